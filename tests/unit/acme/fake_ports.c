/* The ports of the fake: every call becomes an event; time jumps from event to event. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/core/clock.h"
#include "base/core/mem.h"
#include "tests/unit/acme/fake_ca.h"

#define LATENCY_MS 1

enum event_kind { EV_HTTP, EV_JSON, EV_DONE, EV_TICK };

struct fake_event {
    struct fake_event *next;
    int64_t due_ms;
    unsigned long seq;
    enum event_kind kind;
    union {
        acme_http_fn http;
        acme_json_fn json;
        acme_done_fn done;
        acme_tick_fn tick;
    } fn;
    void *arg;
    struct fake_reply reply;
    json_t *value;
    int error;
};

static void event_free(struct fake_event *e)
{
    cm_buf_fini(&e->reply.headers);
    cm_buf_fini(&e->reply.body);
    json_decref(e->value);
    cm_free(e);
}

static struct fake_event *event_new(struct fake *f, enum event_kind kind, int64_t delay, void *arg)
{
    struct fake_event *e = cm_calloc(1, sizeof(*e));
    e->kind = kind;
    e->due_ms = f->mono_ms + delay;
    e->seq = f->event_seq++;
    e->arg = arg;
    cm_buf_init(&e->reply.headers, 1 << 20);
    cm_buf_init(&e->reply.body, 4 << 20);
    return e;
}

static void enqueue(struct fake *f, struct fake_event *e)
{
    struct fake_event **at = &f->queue;
    while (*at &&
           ((*at)->due_ms < e->due_ms || ((*at)->due_ms == e->due_ms && (*at)->seq < e->seq)))
        at = &(*at)->next;
    e->next = *at;
    *at = e;
}

/* Does the process die at this call?  Sets whether the call still takes effect. */
static bool dies(struct fake *f, bool *ret_effect)
{
    f->calls++;
    *ret_effect = true;
    if (f->crash_at == 0 || --f->crash_at > 0)
        return false;
    f->crashed = true;
    *ret_effect = !f->crash_before_effect;
    return true;
}

/* ---- ports ---------------------------------------------------------------------------------- */

static void port_send(void *arg, const struct acme_http_req *req, acme_http_fn done, void *done_arg)
{
    struct fake *f = arg;
    bool effect;
    bool dead = dies(f, &effect);
    struct fake_event *e = event_new(f, EV_HTTP, LATENCY_MS, done_arg);
    e->fn.http = done;
    if (effect)
        fake_ca_handle(f, req, &e->reply);
    if (dead)
        event_free(e);
    else
        enqueue(f, e);
}

static void port_sign(void *arg, const char *url, const char *nonce, const char *payload,
                      const char *kid, acme_json_fn done, void *done_arg)
{
    struct fake *f = arg;
    bool effect;
    bool dead = dies(f, &effect);
    json_t *head = json_pack("{s:s, s:s, s:s}", "alg", "ES256", "nonce", nonce, "url", url);
    if (kid)
        json_object_set_new(head, "kid", json_string(kid));
    else
        json_object_set_new(head, "jwk", json_pack("{s:s}", "kty", "EC"));
    char *text = cm_json_dump(head, NULL);
    json_decref(head);
    f->signs++;
    struct fake_event *e = event_new(f, EV_JSON, 0, done_arg);
    e->fn.json = done;
    e->error = f->fail_sign;
    f->fail_sign = 0;
    e->value =
        json_pack("{s:s, s:s, s:s}", "protected", text, "payload", payload, "signature", "c2ln");
    cm_free(text);
    if (dead)
        event_free(e);
    else
        enqueue(f, e);
}

static void finish_done(struct fake *f, bool dead, acme_done_fn done, void *done_arg, int error)
{
    if (dead)
        return;
    struct fake_event *e = event_new(f, EV_DONE, 0, done_arg);
    e->fn.done = done;
    e->error = error;
    enqueue(f, e);
}

static void port_save(void *arg, const json_t *state, acme_done_fn done, void *done_arg)
{
    struct fake *f = arg;
    bool effect;
    bool dead = dies(f, &effect);
    if (effect && f->fail_save == 0) {
        json_decref(f->saved);
        f->saved = json_deep_copy(state);
    }
    f->saves++;
    finish_done(f, dead, done, done_arg, f->fail_save);
    f->fail_save = 0;
}

static void port_save_account(void *arg, const char *kid, acme_done_fn done, void *done_arg)
{
    struct fake *f = arg;
    bool effect;
    bool dead = dies(f, &effect);
    if (effect) {
        cm_free(f->saved_kid);
        f->saved_kid = cm_strdup(kid);
    }
    f->account_saves++;
    finish_done(f, dead, done, done_arg, 0);
}

static void port_may_order(void *arg, const char *kid, acme_done_fn done, void *done_arg)
{
    struct fake *f = arg;
    bool effect;
    bool dead = dies(f, &effect);
    f->looks++;
    f->looks_nameless += kid == NULL;
    finish_done(f, dead, done, done_arg, f->fail_look);
}

static void port_publish(void *arg, const json_t *tokens, acme_done_fn done, void *done_arg)
{
    struct fake *f = arg;
    bool effect;
    bool dead = dies(f, &effect);
    size_t i;
    json_t *t;
    json_array_foreach(tokens, i, t)
    {
        char expected[600];
        snprintf(expected, sizeof(expected), "%s." FAKE_THUMB, cm_json_str_or(t, "token", ""));
        if (strcmp(cm_json_str_or(t, "key_authorization", ""), expected) != 0 ||
            (!f->choose && strcmp(cm_json_str_or(t, "type", ""), "http-01") != 0) ||
            cm_json_time(t, "expires_at", 0) <= f->wall_ms || json_object_size(t) != 5)
            fake_violation(f, "malformed token published");
    }
    if (!json_equal(tokens, json_object_get(f->saved, "tokens")))
        fake_violation(f, "tokens were published before they were saved");
    if (effect) {
        json_decref(f->published);
        f->published = json_deep_copy(tokens);
    }
    f->publishes++;
    finish_done(f, dead, done, done_arg, f->fail_publish);
    f->fail_publish = 0;
}

static void port_csr(void *arg, acme_json_fn done, void *done_arg)
{
    struct fake *f = arg;
    bool effect;
    bool dead = dies(f, &effect);
    f->csrs++;
    if (dead)
        return;
    struct fake_event *e = event_new(f, EV_JSON, 0, done_arg);
    e->fn.json = done;
    e->value = json_pack("{s:s}", "csr", f->csr_text);
    e->error = f->fail_csr;
    f->fail_csr = 0;
    enqueue(f, e);
}

static void port_wait(void *arg, int64_t ms, acme_tick_fn done, void *done_arg)
{
    struct fake *f = arg;
    bool effect;
    bool dead = dies(f, &effect);
    if (dead)
        return;
    if (ms < 0)
        fake_violation(f, "a wait of %lld ms", (long long)ms);
    struct fake_event *e = event_new(f, EV_TICK, ms, done_arg);
    e->fn.tick = done;
    enqueue(f, e);
}

static bool port_wanted(void *arg, const char *chain_pem, size_t index)
{
    struct fake *f = arg;
    f->shown = index;
    return strstr(chain_pem, f->wanted) != NULL;
}

static void port_log(void *arg, int level, const char *text)
{
    struct fake *f = arg;
    cm_buf_printf(&f->log, "%d %s\n", level, text);
}

/* ---- events --------------------------------------------------------------------------------- */

static void deliver(struct fake_event *e)
{
    struct cm_err err = CM_ERR_INIT;
    int error = e->kind == EV_HTTP ? e->reply.error : e->error;
    if (error != 0)
        cm_fail(&err, error, "the port failed");
    if (e->kind == EV_HTTP) {
        struct acme_http_res res = {.status = error ? 0 : e->reply.status,
                                    .headers = error ? NULL : cm_buf_str(&e->reply.headers),
                                    .body = error ? NULL : cm_buf_str(&e->reply.body),
                                    .body_len = error ? 0 : e->reply.body.len,
                                    .err = error ? &err : NULL};
        e->fn.http(e->arg, &res);
    } else if (e->kind == EV_JSON) {
        e->fn.json(e->arg, error ? NULL : e->value, error ? &err : NULL);
    } else if (e->kind == EV_DONE) {
        e->fn.done(e->arg, error ? &err : NULL);
    } else {
        e->fn.tick(e->arg);
    }
    cm_err_fini(&err);
}

bool fake_turn(struct fake *f)
{
    struct fake_event *e = f->queue;
    if (!e)
        return false;
    f->queue = e->next;
    if (e->due_ms > f->mono_ms) {
        f->wall_ms += e->due_ms - f->mono_ms;
        f->mono_ms = e->due_ms;
        cm_clock_fake(f->wall_ms, f->mono_ms);
    }
    deliver(e);
    event_free(e);
    return true;
}

void fake_run(struct fake *f)
{
    for (unsigned i = 0; i < 100000 && !f->done && !f->crashed; i++) {
        if (!fake_turn(f))
            break;
    }
}

/* ---- life ----------------------------------------------------------------------------------- */

void fake_init(struct fake *f)
{
    memset(f, 0, sizeof(*f));
    f->wall_ms = FAKE_START_MS;
    f->mono_ms = 5000;
    cm_clock_fake(f->wall_ms, f->mono_ms);
    f->order_life_ms = 3600000;
    f->per_page = 3;
    f->csr_text = "TUlJQkNTUg";
    f->nonces = json_array();
    f->valid_names = json_array();
    f->account_number = 0;
    cm_buf_init(&f->log, 1 << 20);
    f->ca = acme_ca_new(FAKE_DIR);
    f->err = CM_ERR_INIT;
}

static void drop_events(struct fake *f)
{
    while (f->queue) {
        struct fake_event *e = f->queue;
        f->queue = e->next;
        event_free(e);
    }
}

static void drop_result(struct fake *f)
{
    f->done = false;
    json_decref(f->chain);
    f->chain = NULL;
    cm_err_fini(&f->err);
}

void fake_restart(struct fake *f)
{
    acme_order_free(f->job);
    f->job = NULL;
    drop_events(f);
    drop_result(f);
    acme_ca_free(f->ca);
    f->ca = acme_ca_new(FAKE_DIR);
    f->crashed = false;
    f->crash_at = 0;
}

void fake_fini(struct fake *f)
{
    if (f->violation[0] != '\0')
        fail_msg("%s\nlog:\n%s", f->violation, cm_buf_str(&f->log));
    fake_restart(f);
    acme_ca_free(f->ca);
    for (int i = 0; i < f->order_count; i++)
        json_decref(f->order[i].names);
    json_decref(f->nonces);
    json_decref(f->valid_names);
    json_decref(f->saved);
    json_decref(f->published);
    cm_free(f->saved_kid);
    cm_buf_fini(&f->log);
    cm_clock_fake(-1, -1);
}

json_t *fake_names(int count)
{
    json_t *names = json_array();
    for (int i = 1; i <= count; i++)
        json_array_append_new(names, json_sprintf("www%d.example.com", i));
    return names;
}

static void on_result(void *arg, const json_t *chain, const struct cm_err *err)
{
    struct fake *f = arg;
    if (f->done)
        fake_violation(f, "done was called twice");
    if ((chain != NULL) == (err != NULL))
        fake_violation(f, "done needs a chain or an error");
    f->done = true;
    f->chain = chain ? json_deep_copy(chain) : NULL;
    if (err)
        cm_err_copy(&f->err, err);
    acme_order_free(f->job); /* allowed inside of done */
    f->job = NULL;
}

struct acme_ports fake_port_table(struct fake *f)
{
    return (struct acme_ports){.arg = f,
                               .send = port_send,
                               .sign = port_sign,
                               .save = port_save,
                               .save_account = port_save_account,
                               .publish = port_publish,
                               .csr = port_csr,
                               .wait = port_wait,
                               .challenge_type = f->choose,
                               .wanted = f->wanted ? port_wanted : NULL,
                               .may_order = f->looks_first ? port_may_order : NULL,
                               .log = port_log};
}

struct acme_order *fake_job(struct fake *f, const json_t *names, acme_order_fn done, void *arg)
{
    struct acme_ports ports = fake_port_table(f);
    json_t *contacts = json_pack("[s]", "mailto:ops@example.com");
    struct acme_account account = {.directory = FAKE_DIR,
                                   .kid = f->saved_kid,
                                   .thumbprint = FAKE_THUMB,
                                   .contacts = contacts,
                                   .terms_agreed = !f->terms_refused,
                                   .eab = f->eab,
                                   .eab_other = f->eab_other};
    struct cm_err err = CM_ERR_INIT;
    struct acme_order *job =
        acme_order_new(f->ca, &account, names, f->saved, false, &ports, done, arg, &err);
    json_decref(contacts);
    if (job && f->wish)
        acme_order_wish(job, f->wish);
    if (!job)
        fail_msg("no job: %s", err.what);
    cm_err_fini(&err);
    return job;
}

void fake_start_names(struct fake *f, const json_t *names)
{
    acme_order_free(f->job);
    drop_result(f);
    f->job = fake_job(f, names, on_result, f);
}

void fake_start(struct fake *f, int count)
{
    json_t *names = fake_names(count);
    fake_start_names(f, names);
    json_decref(names);
}

void fake_issue(struct fake *f, int count)
{
    fake_start(f, count);
    fake_run(f);
    if (!f->chain)
        fail_msg("no certificate: %s (%s)\n%s", f->err.what, f->err.cause[0], cm_buf_str(&f->log));
}
