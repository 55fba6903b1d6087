/*
 * Which order: the saved one, the one whose newOrder reply was lost, or a new one (RFC 8555 7.4).
 *
 * A new order is made only when the old one is proven dead, so a crash never leaves two.
 */
#include "certmgr/acme/job.h"

#include <string.h>

#include "base/core/clock.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "certmgr/acme/header.h"
#include "certmgr/acme/ident.h"

void acme_choose_enter(struct acme_order *o)
{
    if (o->op) { /* the account was looked up for another request */
        acme_op_begin(o);
        return;
    }
    const char *kid = acme_state_str(o, "kid");
    o->kid_changed = kid && strcmp(kid, o->kid) != 0;
    if (acme_state_str(o, "order_url")) {
        o->pause_ms = acme_poll_left(o);
        acme_go(o, STEP_READ_ORDER);
    } else if (acme_state_str(o, "ordering_at")) {
        acme_lookup_start(o);
    } else {
        acme_new_order_begin(o);
    }
}

/* ---- the saved order ------------------------------------------------------------------------ */

void acme_read_order_enter(struct acme_order *o)
{
    acme_request(o, acme_state_str(o, "order_url"), "");
}

/* The CA itself says that nothing can come of this order any more. */
static bool proven_dead(const struct acme_order *o)
{
    const struct acme_reply *reply = &o->reply;
    if (!acme_reply_refused(reply))
        return false;
    if (reply->status == 404 || reply->status == 410)
        return true;
    if (o->kid_changed && reply->status <= 403)
        return true; /* it was another account's */
    int64_t expires = cm_json_time(o->state, "expires_at", 0);
    return expires != 0 && cm_now_ms() > expires; /* some CAs call it malformed, or deny it */
}

static void replace_dead(struct acme_order *o, const char *why)
{
    acme_log(o, CM_LOG_INFO, "The earlier order %s; making a new one", why);
    acme_state_drop_order(o);
    acme_new_order_begin(o);
}

void acme_read_order_react(struct acme_order *o)
{
    struct acme_order_object object;
    if (!o->no_replace && proven_dead(o)) {
        replace_dead(o, "is gone at the CA");
        return;
    }
    if (!acme_reply_object(o, ACME_ABOUT_ORDER, "the order"))
        return;
    if (acme_order_parse(o->reply.json, o->names, o->lab_http, &object, &o->err) < 0) {
        acme_give_up(o);
        return;
    }
    bool expired = object.expires_ms != 0 && cm_now_ms() > object.expires_ms &&
                   object.status != ACME_VALID; /* 7.1.3: then the server considers it invalid */
    if (!o->no_replace && (object.status == ACME_INVALID || expired)) {
        replace_dead(o, expired ? "has expired" : "has failed");
        return;
    }
    acme_log(o, CM_LOG_INFO, "Going on with the order made before (%s)",
             acme_status_name(object.status));
    acme_order_act(o, &object);
}

/* ---- a new order ---------------------------------------------------------------------------- */

/* A profile that the CA does not (or no longer) list is never sent: it would only be refused.
 * False: nothing is ordered. */
static bool profile_settled(struct acme_order *o)
{
    const json_t *listed = o->ca->directory.profiles;
    if (!o->profile || json_object_get(listed, o->profile))
        return true;
    if (!o->profile_required) {
        acme_log(o, CM_LOG_INFO,
                 "The CA does not list the profile \"%s\"; ordering without a profile", o->profile);
        return true;
    }
    cm_fail(&o->err, CM_EHUMAN, "The CA does not list the profile \"%s\", which is required",
            o->profile);
    o->err.retry = CM_RETRY_CONFIGURATION;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)listed, key, value)
    {
        char name[ACME_TEXT_MAX];
        acme_text(key, name);
        cm_err_cause(&o->err, "It lists \"%.64s\"", name);
    }
    cm_err_hint(&o->err,
                "Nothing was ordered. Operator: choose another profile of the CA, or let the "
                "certificate be ordered without one when it is missing.");
    acme_give_up(o);
    return false;
}

/* The intent is saved first: drive() saves a changed state before it enters the step. */
static void intend(struct acme_order *o)
{
    char now[CM_TIME_TEXT];
    cm_time_format(cm_now_ms(), now);
    acme_state_set(o, "kid", json_string(o->kid));
    acme_state_set(o, "left", NULL); /* the CA may give them to this order */
    acme_state_set(o, "ordering_at", json_string(now));
    acme_go(o, STEP_NEW_ORDER);
}

/* No order exists, and none was lost: what stands in the way of one is found before the CA is told
 * (RFC 8659 2.1: the CA would have to refuse it). */
void acme_new_order_begin(struct acme_order *o)
{
    if (!profile_settled(o))
        return;
    if (!o->ports.may_order) {
        intend(o);
        return;
    }
    acme_state_set(o, "ordering_at", NULL);
    acme_go(o, STEP_ALLOW);
}

void acme_allow_enter(struct acme_order *o)
{
    acme_call_may_order(o);
}

void acme_allow_react(struct acme_order *o)
{
    if (o->err.code != 0)
        acme_give_up(o);
    else if (o->kid)
        intend(o);
    else
        acme_go(o, STEP_ACCOUNT_NEW);
}

/* RFC 9773 5: only at a CA that has ARI.  One that refused it once is not asked again for it. */
static bool wants_replaces(const struct acme_order *o)
{
    const char *refused = acme_state_str(o, "replaces_refused");
    return o->replaces && o->ca->directory.renewal_info &&
           (!refused || strcmp(refused, o->replaces) != 0);
}

/* What CAs say when `replaces` is what they do not take: 409 of any type (alreadyReplaced,
 * conflict), malformed about it, or the certificate is another account's. */
static bool refuses_replaces(const struct acme_order *o)
{
    const struct acme_reply *reply = &o->reply;
    if (!wants_replaces(o) || reply->err.code != 0 || reply->status < 400)
        return false;
    const char *detail = cm_json_str_or(reply->json, "detail", "");
    return reply->status == 409 || acme_problem_is(reply->json, "alreadyReplaced") ||
           acme_problem_is(reply->json, "conflict") ||
           (acme_problem_is(reply->json, "malformed") &&
            (strcasestr(detail, "replace") || strcasestr(detail, "certid"))) ||
           (reply->status == 401 && !acme_problem_is(reply->json, "accountDoesNotExist"));
}

void acme_new_order_enter(struct acme_order *o)
{
    CM_AUTO_JSON payload = json_object();
    json_t *ids = json_array();
    size_t i;
    json_t *name;
    json_array_foreach(o->names, i, name)
    {
        json_array_append_new(ids, acme_ident_json(json_string_value(name)));
    }
    cm_json_set(payload, "identifiers", ids);
    if (o->profile &&
        (o->profile_required || json_object_get(o->ca->directory.profiles, o->profile)))
        cm_json_set_str(payload, "profile", o->profile);
    if (wants_replaces(o))
        cm_json_set_str(payload, "replaces", o->replaces);
    CM_AUTO_STR text = cm_json_dump(payload, NULL);
    acme_request_once(o, o->ca->directory.new_order, text);
}

/* Whether the CA made the order is not known: look for it before another is made. */
static void unclear(struct acme_order *o)
{
    int64_t now = cm_now_ms();
    int64_t after = acme_retry_after(o->reply.headers, now) - now;
    if (++o->unknowns >= ACME_QUICK_TRIES || after > ACME_WAIT_SHORT_MS) {
        acme_reply_ok(o, ACME_ABOUT_ORDER, "the new order");
        return;
    }
    acme_log(o, CM_LOG_WARN, "The reply to newOrder was lost; looking whether the order exists");
    o->pause_ms = acme_quick_pause(o->unknowns);
    if (after > o->pause_ms)
        o->pause_ms = after;
    acme_lookup_start(o);
}

static void take_new_order(struct acme_order *o, const char *url)
{
    struct acme_order_object object;
    acme_ca_know_order(o->ca, url);
    acme_state_set(o, "order_url", json_string(url));
    acme_state_set(o, "ordering_at", NULL);
    if (!o->reply.json) { /* a damaged body, but the order exists: read it again */
        acme_go(o, STEP_READ_ORDER);
        return;
    }
    if (acme_order_parse(o->reply.json, o->names, o->lab_http, &object, &o->err) < 0) {
        acme_state_drop_order(o);
        acme_give_up(o);
        return;
    }
    acme_log(o, CM_LOG_INFO, "The CA took the order of %zu name%s (%s)", json_array_size(o->names),
             json_array_size(o->names) == 1 ? "" : "s", acme_status_name(object.status));
    acme_order_act(o, &object);
}

void acme_new_order_react(struct acme_order *o)
{
    char location[ACME_URL_MAX];
    char url[ACME_URL_MAX];
    if (o->reply.unknown) {
        unclear(o);
        return;
    }
    if (refuses_replaces(o)) {
        char detail[ACME_TEXT_MAX];
        acme_text(cm_json_str(o->reply.json, "detail"), detail);
        acme_log(o, CM_LOG_INFO,
                 "The CA does not link this order to the certificate it replaces (%.200s); asking "
                 "again without that",
                 detail);
        acme_state_set(o, "replaces_refused", json_string(o->replaces));
        return; /* the same step once more */
    }
    if (!acme_reply_ok(o, ACME_ABOUT_ORDER, "the new order")) {
        /* A clear refusal made no order: nothing to look up later. */
        if (o->reply.err.code == 0 && o->reply.status >= 400 && o->reply.status < 500)
            acme_state_set(o, "ordering_at", NULL);
        return;
    }
    if (!acme_header_get(o->reply.headers, "location", 0, location, sizeof(location))) {
        cm_fail(&o->err, CM_EPEER, "The CA did not tell the URL of the new order");
        acme_give_up(o);
        return;
    }
    if (acme_url_resolve(o->request.url, location, o->lab_http, url, &o->err) < 0) {
        cm_wrap(&o->err, CM_EPEER, "The URL of the new order cannot be used");
        acme_state_set(o, "ordering_at", NULL);
        acme_give_up(o);
        return;
    }
    take_new_order(o, url);
}
