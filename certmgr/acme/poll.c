/*
 * Waiting for the CA: the order object is read until its status leads on (RFC 8555 7.1.6, 7.4).
 *
 * Pauses: the CA's Retry-After, else soon at first (a CA on the same machine needs milliseconds),
 * then 1, 2, 3, 5, 8, 10 s.  The first two are what a CA near by needs when it is busy: a poll that
 * comes early costs a request, one that comes late costs little.  The end is the order's own
 * `expires`, no constant of ours.
 */
#include "certmgr/acme/job.h"

#include "base/core/clock.h"
#include "certmgr/acme/header.h"

#define DEADLINE_DEFAULT_MS INT64_C(86400000) /* when the CA gives no `expires` */
#define DIAGNOSE_EVERY      12 /* polls of a pending order between looks at its authorizations */

static int64_t poll_pause(const struct acme_order *o)
{
    static const int64_t table[] = {40,   60,   150,  400,  1000,
                                    2000, 3000, 5000, 8000, ACME_POLL_MAX_MS};
    const unsigned last = sizeof(table) / sizeof(table[0]) - 1;
    int64_t pause = table[o->polls < last ? o->polls : last];
    /* At a distant CA the way there and back is pause enough, at first. */
    return o->polls < 3 && o->took_ms >= pause ? 0 : pause;
}

static void plan_poll(struct acme_order *o)
{
    int64_t now = cm_now_ms();
    int64_t after = acme_retry_after(o->reply.headers, now);
    int64_t left = cm_json_time(o->state, "expires_at", now) - now;
    o->pause_ms = after > now ? after - now : poll_pause(o);
    if (left > 0 && o->pause_ms > left)
        o->pause_ms = left;                                /* one last look at the deadline */
    if (after > now && o->pause_ms > ACME_WAIT_SHORT_MS) { /* also for the next life */
        char text[CM_TIME_TEXT];
        cm_time_format(now + o->pause_ms, text);
        acme_state_set(o, "poll_at", json_string(text));
    }
    o->polls++;
}

int64_t acme_poll_left(const struct acme_order *o)
{
    int64_t now = cm_now_ms(), left = cm_json_time(o->state, "poll_at", 0) - now;
    int64_t most = cm_json_time(o->state, "expires_at", 0) - now;
    return left > 0 && left <= most ? left : 0; /* more: the clock has been set back since */
}

void acme_poll_start(struct acme_order *o, enum acme_step step, unsigned polls)
{
    o->polls = polls;
    plan_poll(o);
    acme_go(o, step);
}

void acme_poll_enter(struct acme_order *o)
{
    acme_request(o, acme_state_str(o, "order_url"), "");
}

/* Keeps what a crash must not lose, and what the next steps need. */
static void remember(struct acme_order *o, const struct acme_order_object *object)
{
    char text[CM_TIME_TEXT];
    acme_state_set(o, "kid", json_string(o->kid));
    if (json_array_size(object->authorizations) > 0)
        acme_state_set(o, "authorizations", json_deep_copy(object->authorizations));
    if (object->finalize)
        acme_state_set(o, "finalize", json_string(object->finalize));
    if (object->expires_ms > 0 || !acme_state_str(o, "expires_at")) {
        cm_time_format(
            object->expires_ms > 0 ? object->expires_ms : cm_now_ms() + DEADLINE_DEFAULT_MS, text);
        acme_state_set(o, "expires_at", json_string(text));
    }
}

static void order_failed(struct acme_order *o, const struct acme_order_object *object)
{
    /* Reasons for each name are all a person needs; one reason (Pebble copies that of a challenge)
     * does not say whose it is: then the authorizations are asked. */
    if (json_array_size(cm_json_arr(object->error, "subproblems")) > 0) {
        acme_problem_fail(&o->err, object->error, 0, NULL, ACME_ABOUT_CHALLENGE, "the order");
        acme_state_drop_order(o);
        acme_give_up(o);
        return;
    }
    json_decref(o->order_error);
    o->order_error = object->error ? json_deep_copy(object->error) : NULL;
    o->index = 0;
    o->order_dead = true;
    acme_go(o, STEP_DIAGNOSE);
}

void acme_order_act(struct acme_order *o, const struct acme_order_object *object)
{
    o->no_replace = true;
    remember(o, object);
    switch (object->status) {
    case ACME_PENDING:
        o->index = 0;
        acme_go(o, STEP_AUTHZ);
        return;
    case ACME_READY:
        acme_go(o, STEP_CSR);
        return;
    case ACME_PROCESSING:
        acme_poll_start(o, STEP_POLL_VALID, 0);
        return;
    case ACME_VALID:
        /* Not worth a write of its own: reading the order gives it again. */
        cm_json_set_str(o->state, "certificate", object->certificate);
        acme_go(o, STEP_DOWNLOAD);
        return;
    default:
        order_failed(o, object);
    }
}

static bool out_of_time(struct acme_order *o, const struct acme_order_object *object)
{
    int64_t expires = cm_json_time(o->state, "expires_at", 0);
    if (expires == 0 || cm_now_ms() < expires)
        return false;
    cm_fail(&o->err, CM_ETIMEOUT, "The CA did not finish the order before it expired (%s, %s)",
            acme_state_str(o, "expires_at"), acme_status_name(object->status));
    cm_err_hint(&o->err,
                "A new order is made at the next attempt. If orders expire at once, check the "
                "clock of this server.");
    acme_state_drop_order(o);
    acme_give_up(o);
    return true;
}

void acme_poll_react(struct acme_order *o)
{
    struct acme_order_object object;
    if (!acme_reply_object(o, ACME_ABOUT_ORDER, "the order"))
        return;
    if (acme_order_parse(o->reply.json, o->names, o->lab_http, &object, &o->err) < 0) {
        acme_give_up(o);
        return;
    }
    bool waiting = object.status == ACME_PENDING || object.status == ACME_PROCESSING;
    if (!waiting) {
        acme_order_act(o, &object);
        return;
    }
    remember(o, &object);
    if (out_of_time(o, &object))
        return;
    if (object.status == ACME_PROCESSING)
        acme_go(o, STEP_POLL_VALID);
    if (object.status == ACME_PENDING && o->put_off > 0) { /* whose turn is it? */
        o->index = 0;
        acme_go(o, STEP_AUTHZ);
        return;
    }
    if (object.status == ACME_PENDING && o->polls % DIAGNOSE_EVERY == 0) {
        /* A CA should fail the order with its authorization; not every one does. */
        o->index = 0;
        o->order_dead = false;
        acme_go(o, STEP_DIAGNOSE);
        return;
    }
    plan_poll(o);
}
