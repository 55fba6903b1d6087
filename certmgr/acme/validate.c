/*
 * Proof of control: authorizations read, challenges published and answered (RFC 8555 7.5), and,
 * when the order fails, what the CA says about each name.
 */
#include "certmgr/acme/job.h"

#include <stdio.h>
#include <string.h>

#include "base/core/log.h"
#include "base/core/mem.h"

static json_t *authorizations(const struct acme_order *o)
{
    return cm_json_arr(o->state, "authorizations");
}

/* ---- authorizations ------------------------------------------------------------------------- */

/* "3 names to prove: 2 by http-01, 1 by dns-01" */
static void log_choice(struct acme_order *o)
{
    static const char *const types[] = {ACME_HTTP01, ACME_DNS01, ACME_TLSALPN};
    const json_t *tokens = cm_json_arr(o->state, "tokens");
    char parts[128] = "";
    size_t len = 0;
    size_t total = json_array_size(tokens);
    for (size_t t = 0; t < sizeof(types) / sizeof(types[0]); t++) {
        size_t count = 0;
        for (size_t i = 0; i < total; i++)
            count += strcmp(cm_json_str_or(json_array_get(tokens, i), "type", ""), types[t]) == 0;
        if (count > 0)
            len += (size_t)snprintf(parts + len, sizeof(parts) - len, "%s%zu by %s",
                                    len > 0 ? ", " : "", count, types[t]);
    }
    acme_log(o, CM_LOG_INFO, "%zu name%s to prove: %s", total, total == 1 ? "" : "s", parts);
}

static bool is_answered(const struct acme_order *o, size_t i)
{
    const char *url = json_string_value(json_array_get(o->urls, i)); /* NULL: being checked */
    return !url || cm_json_has_str(cm_json_arr(o->state, "answered"), url);
}

/* Which names are proved in this round.  Where only one value fits at a time, what the CA was told
 * to check keeps its place until the CA has looked. */
static void choose_round(struct acme_order *o)
{
    json_t *chosen = json_array(), *urls = json_array();
    size_t total = json_array_size(o->tokens);
    for (int answered = 1; answered >= 0; answered--) {
        for (size_t i = 0; i < total; i++) {
            json_t *token = json_array_get(o->tokens, i);
            if (is_answered(o, i) != (answered == 1))
                continue;
            if (o->ports.at_once && json_array_size(chosen) > 0 &&
                !o->ports.at_once(o->ports.arg, chosen, token))
                continue;
            json_array_append(chosen, token);
            json_array_append(urls, json_array_get(o->urls, i));
        }
    }
    o->put_off = total - json_array_size(chosen);
    json_decref(o->tokens);
    json_decref(o->urls);
    o->tokens = chosen;
    o->urls = urls;
}

/* An answer that the CA has confirmed is not repeated: it would be a second validation. */
static void gather_answers(struct acme_order *o)
{
    size_t i;
    json_t *url;
    json_array_foreach(o->urls, i, url)
    {
        if (!is_answered(o, i))
            json_array_append(o->to_answer, url);
    }
}

static void all_read(struct acme_order *o)
{
    bool later = o->put_off > 0;
    choose_round(o);
    gather_answers(o);
    o->index = 0;
    if (json_array_size(o->tokens) == 0) { /* every name is proved already */
        acme_poll_start(o, STEP_POLL_READY, 0);
        return;
    }
    if (later && json_array_size(o->to_answer) == 0) { /* the CA has not looked yet */
        acme_poll_start(o, STEP_POLL_READY, o->polls);
        return;
    }
    if (o->put_off > 0)
        acme_log(o, CM_LOG_INFO, "%zu name%s proved afterwards: the TXT value needs the same place",
                 o->put_off, o->put_off == 1 ? " is" : "s are");
    acme_state_set(o, "tokens", o->tokens); /* durable before it is published */
    o->tokens = NULL;
    log_choice(o);
    acme_go(o, STEP_PUBLISH);
}

void acme_authz_enter(struct acme_order *o)
{
    if (o->index == 0) {
        json_decref(o->tokens);
        o->tokens = json_array();
        json_decref(o->urls);
        o->urls = json_array();
        json_decref(o->to_answer);
        o->to_answer = json_array();
    }
    const char *url = json_string_value(json_array_get(authorizations(o), o->index));
    acme_request(o, url, "");
}

static void add_token(struct acme_order *o, const struct acme_authz *authz)
{
    int64_t expires = authz->expires_ms;
    int64_t order_expires = cm_json_time(o->state, "expires_at", 0);
    if (expires == 0 || (order_expires != 0 && order_expires > expires))
        expires = order_expires;
    CM_AUTO_STR key_authorization = acme_key_authorization(authz->token, o->thumbprint);
    json_t *token = json_object();
    cm_json_set_str(token, "host", authz->name);
    cm_json_set_str(token, "type", authz->type);
    cm_json_set_str(token, "token", authz->token);
    cm_json_set_str(token, "key_authorization", key_authorization);
    cm_json_set_time(token, "expires_at", expires);
    json_array_append_new(o->tokens, token);
    json_array_append_new(o->urls, authz->challenge_status == ACME_PENDING ? json_string(authz->url)
                                                                           : json_null());
}

static void authz_failed(struct acme_order *o, const struct acme_authz *authz)
{
    acme_problem_fail(&o->err, authz->error, 0, NULL, ACME_ABOUT_CHALLENGE, "the proof of a name");
    cm_wrap(&o->err, CM_EPEER, "The CA's check of %s has failed (authorization %s)", authz->name,
            acme_status_name(authz->status));
    cm_err_object(&o->err, "host %s", authz->name);
    cm_err_name(&o->err, authz->name);
    acme_state_drop_order(o); /* one dead authorization makes the order fail (7.1.6) */
    acme_give_up(o);
}

void acme_authz_react(struct acme_order *o)
{
    struct acme_authz authz;
    if (!acme_reply_object(o, ACME_ABOUT_ORDER, "an authorization"))
        return;
    if (acme_authz_parse(o->reply.json, o->names, o->lab_http, o->ports.challenge_type,
                         o->ports.arg, &authz, &o->err) < 0) {
        acme_give_up(o);
        return;
    }
    if (authz.status == ACME_PENDING) {
        add_token(o, &authz);
    } else if (authz.status != ACME_VALID) {
        authz_failed(o, &authz);
        return;
    }
    o->index++;
    if (o->index >= json_array_size(authorizations(o)))
        all_read(o);
}

/* ---- challenges ----------------------------------------------------------------------------- */

void acme_publish_enter(struct acme_order *o)
{
    acme_call_publish(o);
}

void acme_publish_react(struct acme_order *o)
{
    if (o->err.code != 0) {
        cm_wrap(&o->err, CM_EIO, "The challenges could not be published");
        acme_give_up(o);
        return;
    }
    acme_log(o, CM_LOG_INFO, "The challenges are published");
    acme_go(o, STEP_ANSWER);
}

void acme_answer_enter(struct acme_order *o)
{
    if (o->index < json_array_size(o->to_answer))
        acme_request(o, json_string_value(json_array_get(o->to_answer, o->index)), "{}");
    else
        acme_poll_start(o, STEP_POLL_READY, 0);
}

void acme_answer_react(struct acme_order *o)
{
    /* "malformed" may mean that an earlier answer, whose reply was lost, has been taken: look. */
    if (acme_problem_is(o->reply.json, "malformed") && o->reply.status >= 400 && !o->authz_reread) {
        o->authz_reread = true;
        o->index = 0;
        acme_go(o, STEP_READ_ORDER);
        return;
    }
    if (!acme_reply_ok(o, ACME_ABOUT_CHALLENGE, "the answer to a challenge"))
        return;
    json_t *answered = cm_json_arr(o->state, "answered");
    if (!answered) {
        answered = json_array();
        cm_json_set(o->state, "answered", answered);
    }
    json_array_append(answered, json_array_get(o->to_answer, o->index));
    o->index++;
    /* One write for all: a challenge answered twice after a crash does no harm. */
    if (o->index >= json_array_size(o->to_answer)) {
        o->dirty = true;
        acme_log(o, CM_LOG_INFO, "The CA was told to check %zu name%s", o->index,
                 o->index == 1 ? "" : "s");
        acme_poll_start(o, STEP_POLL_READY, 0);
    }
}

/* ---- what failed ---------------------------------------------------------------------------- */

void acme_diagnose_enter(struct acme_order *o)
{
    if (o->index == 0) {
        cm_err_fini(&o->err); /* the failures of the names gather in it */
        json_decref(o->open);
        o->open = json_array();
    }
    const char *url = json_string_value(json_array_get(authorizations(o), o->index));
    if (url)
        acme_request(o, url, "");
    else
        o->have_result = true;
}

static void note_failure(struct acme_order *o, const struct acme_authz *authz)
{
    char detail[ACME_TEXT_MAX];
    acme_text(cm_json_str(authz->error, "detail"), detail);
    if (o->err.code == 0) {
        acme_problem_fail(&o->err, authz->error, 0, NULL, ACME_ABOUT_CHALLENGE,
                          "the proof of a name");
        cm_wrap(&o->err, CM_EPEER, "The CA's check of %s has failed", authz->name);
        cm_err_object(&o->err, "host %s", authz->name);
    } else {
        cm_err_cause(&o->err, "%s as well: %s", authz->name,
                     detail[0] ? detail : acme_status_name(authz->status));
    }
    cm_err_name(&o->err, authz->name);
    acme_log(o, CM_LOG_WARN, "%s: %s", authz->name,
             detail[0] ? detail : acme_status_name(authz->status));
}

/* Every authorization has been looked at. */
static void judge(struct acme_order *o)
{
    if (o->err.code == 0 && !o->order_dead) {
        acme_poll_start(o, STEP_POLL_READY, o->polls);
        return;
    }
    if (o->err.code == 0)
        acme_problem_fail(&o->err, o->order_error, 0, NULL, ACME_ABOUT_CHALLENGE,
                          o->order_error ? "the order" : "the order and gave no reason");
    acme_state_set(o, "authorizations", json_incref(o->open));
    acme_state_drop_order(o);
    acme_give_up(o);
}

void acme_diagnose_react(struct acme_order *o)
{
    struct acme_authz authz;
    /* What cannot be read is passed over: the other names still tell something. */
    if (o->reply.err.code == 0 && o->reply.status == 200 &&
        acme_authz_parse(o->reply.json, o->names, o->lab_http, o->ports.challenge_type,
                         o->ports.arg, &authz, NULL) == 0) {
        if (authz.status == ACME_PENDING)
            json_array_append(o->open, json_array_get(authorizations(o), o->index));
        else if (authz.status != ACME_VALID)
            note_failure(o, &authz);
    }
    o->index++;
    if (o->index >= json_array_size(authorizations(o)))
        judge(o);
}
