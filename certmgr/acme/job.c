/* The drive loop of an order job and its port calls. */
#include "certmgr/acme/job.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/core/clock.h"
#include "base/core/log.h"
#include "base/core/mem.h"

/* Jobs a reply may be for.  The front has one thread (docs: one loop owns all state), so plain
 * variables will do; the list is as long as there are orders in flight. */
static struct acme_order *live;
static uintptr_t last_ticket;

static void drive(struct acme_order *o);

/* ---- tickets -------------------------------------------------------------------------------- */

static void *new_ticket(struct acme_order *o)
{
    if (++last_ticket == 0)
        ++last_ticket;
    o->ticket = last_ticket;
    /* an id in pointer's clothes, never dereferenced */
    return (void *)last_ticket; /* NOLINT(performance-no-int-to-ptr) */
}

static struct acme_order *claim(void *arg)
{
    uintptr_t ticket = (uintptr_t)arg;
    for (struct acme_order *o = live; o && ticket != 0; o = o->next_live) {
        if (o->ticket == ticket) {
            o->ticket = 0;
            return o;
        }
    }
    return NULL;
}

void acme_job_link(struct acme_order *o)
{
    o->next_live = live;
    live = o;
}

void acme_job_unlink(struct acme_order *o)
{
    for (struct acme_order **at = &live; *at; at = &(*at)->next_live) {
        if (*at == o) {
            *at = o->next_live;
            return;
        }
    }
}

bool acme_order_in_use(const struct acme_order *o, const char *order_url)
{
    for (const struct acme_order *other = live; other; other = other->next_live) {
        const char *url = acme_state_str(other, "order_url");
        if (other != o && url && strcmp(url, order_url) == 0)
            return true;
    }
    return false;
}

bool acme_authz_in_use(const char *url)
{
    for (const struct acme_order *o = live; o; o = o->next_live) {
        if (cm_json_has_str(cm_json_arr(o->state, "authorizations"), url))
            return true;
    }
    return false;
}

/* ---- port calls ----------------------------------------------------------------------------- */

static void on_http(void *arg, const struct acme_http_res *res)
{
    struct acme_order *o = claim(arg);
    if (!o)
        return;
    o->took_ms = cm_mono_ms() - o->sent_ms;
    acme_request_reply(o, res);
    drive(o);
}

void acme_call_send(struct acme_order *o, const char *method, const char *url, const char *body,
                    const char *accept)
{
    struct acme_http_req req = {.method = method, .url = url, .body = body, .accept = accept};
    o->request_count++;
    o->sent_ms = cm_mono_ms();
    o->ports.send(o->ports.arg, &req, on_http, new_ticket(o));
}

static void on_sign(void *arg, const json_t *value, const struct cm_err *err)
{
    struct acme_order *o = claim(arg);
    if (!o)
        return;
    acme_request_signed(o, value, err);
    drive(o);
}

void acme_call_sign(struct acme_order *o)
{
    const struct acme_request *r = &o->request;
    o->ports.sign(o->ports.arg, r->url, r->nonce, r->payload, r->embed_jwk ? NULL : o->kid, on_sign,
                  new_ticket(o));
}

static void on_tick(void *arg)
{
    struct acme_order *o = claim(arg);
    if (!o)
        return;
    acme_request_tick(o);
    drive(o);
}

void acme_call_wait(struct acme_order *o, int64_t ms)
{
    o->ports.wait(o->ports.arg, ms, on_tick, new_ticket(o));
}

/* Result of a port that only says how it went: the step sees o->err. */
static void on_done(void *arg, const struct cm_err *err)
{
    struct acme_order *o = claim(arg);
    if (!o)
        return;
    cm_err_fini(&o->err);
    if (err && err->code != 0)
        cm_err_copy(&o->err, err);
    o->have_result = true;
    drive(o);
}

void acme_call_save_account(struct acme_order *o)
{
    o->ports.save_account(o->ports.arg, o->kid, on_done, new_ticket(o));
}

void acme_call_publish(struct acme_order *o)
{
    o->ports.publish(o->ports.arg, cm_json_arr(o->state, "tokens"), on_done, new_ticket(o));
}

void acme_call_may_order(struct acme_order *o)
{
    o->ports.may_order(o->ports.arg, o->kid, on_done, new_ticket(o));
}

static void on_csr(void *arg, const json_t *value, const struct cm_err *err)
{
    struct acme_order *o = claim(arg);
    if (!o)
        return;
    cm_err_fini(&o->err);
    if (err && err->code != 0)
        cm_err_copy(&o->err, err);
    json_decref(o->value);
    o->value = value ? json_deep_copy(value) : NULL;
    o->have_result = true;
    drive(o);
}

void acme_call_csr(struct acme_order *o)
{
    o->ports.csr(o->ports.arg, on_csr, new_ticket(o));
}

static void on_saved(void *arg, const struct cm_err *err)
{
    struct acme_order *o = claim(arg);
    if (!o)
        return;
    if (err && err->code != 0 && !o->failing) {
        cm_err_fini(&o->err);
        cm_err_copy(&o->err, err);
        cm_wrap(&o->err, CM_EIO, "The state of the order could not be saved");
        acme_give_up(o);
    }
    drive(o);
}

static void save(struct acme_order *o)
{
    o->dirty = false;
    cm_json_set_str(o->state, "step", acme_steps[o->step].id);
    o->ports.save(o->ports.arg, o->state, on_saved, new_ticket(o));
}

/* ---- the loop ------------------------------------------------------------------------------- */

void acme_log(struct acme_order *o, int level, const char *fmt, ...)
{
    char text[CM_ERR_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (o->ports.log)
        o->ports.log(o->ports.arg, level, text);
}

void acme_go(struct acme_order *o, enum acme_step step)
{
    o->step = step;
}

void acme_give_up(struct acme_order *o)
{
    CM_BUG_ON(o->err.code == 0);
    if (o->err.retry == CM_RETRY_NONE)
        o->err.retry = o->err.code == CM_EHUMAN || o->err.code == CM_EDENIED
                           ? CM_RETRY_CONFIGURATION
                           : CM_RETRY_TRANSIENT;
    if (!o->err.hint[0])
        cm_err_hint(
            &o->err, "%s",
            o->err.retry == CM_RETRY_CONFIGURATION || o->err.retry == CM_RETRY_PERMANENT
                ? "Operator: what the CA sent cannot be used. Check the account's directory "
                  "URL and proxies on the way to the CA; then tell the CA."
                : "CertMgr tries again by itself. If this stays, check proxies on the way to "
                  "the CA, then tell the CA.");
    if (!o->op)
        acme_problem_names(&o->err, o->names);
    if (!o->err.object[0] && o->op) {
        cm_err_object(&o->err, "account at %.100s", o->ca->url);
    } else if (!o->err.object[0]) {
        size_t more = json_array_size(o->names) - 1;
        const char *first = json_string_value(json_array_get(o->names, 0));
        if (more > 0)
            cm_err_object(&o->err, "order of %s and %zu more", first, more);
        else
            cm_err_object(&o->err, "order of %s", first);
    }
    o->failing = true;
}

void acme_finish(struct acme_order *o, json_t *take_chain)
{
    o->chain = take_chain;
    o->finished = true;
}

/* Last thing a job does: the callback may free it, so nothing of it is touched afterwards. */
static void report(struct acme_order *o)
{
    struct cm_err err = o->err;
    json_t *chain = o->chain;
    bool failed = o->failing;
    acme_order_fn done = o->done;
    void *arg = o->done_arg;
    o->err = CM_ERR_INIT;
    o->chain = NULL;
    o->done = NULL;
    if (o->ca->owner == o)
        o->ca->owner = NULL;
    if (failed)
        acme_log(o, CM_LOG_WARN, "Stopped at \"%s\": %s", acme_steps[o->step].name, err.what);
    done(arg, failed ? NULL : chain, failed ? &err : NULL);
    cm_err_fini(&err);
    json_decref(chain);
}

static void drive(struct acme_order *o)
{
    while (o->ticket == 0 && o->done) {
        if (o->have_result && !o->failing) {
            o->have_result = false;
            acme_steps[o->step].react(o);
        } else if (o->dirty) {
            save(o); /* durable before whatever comes next */
        } else if (o->failing || o->finished) {
            report(o);
            return;
        } else if (o->pause_ms > 0) {
            int64_t ms = o->pause_ms;
            o->pause_ms = 0;
            acme_call_wait(o, ms);
        } else {
            acme_steps[o->step].enter(o);
        }
    }
}
