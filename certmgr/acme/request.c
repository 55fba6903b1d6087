/*
 * One request of an order: nonce, signature, sending, and the repairs that need no thought:
 * badNonce (RFC 8555 6.5) is retried at once with the nonce of that very reply; a broken connection
 * or a 5xx up to ACME_QUICK_TRIES times; a short Retry-After is waited for.
 *
 * What must not be done twice (newOrder, finalize) is not sent again after an unclear end: its step
 * reads from the CA what happened.
 */
#include "certmgr/acme/job.h"

#include <string.h>

#include "base/core/clock.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "certmgr/acme/header.h"
#include "certmgr/acme/op.h"

void acme_reply_fini(struct acme_reply *reply)
{
    cm_free(reply->headers);
    cm_free(reply->body);
    json_decref(reply->json);
    cm_err_fini(&reply->err);
    *reply = (struct acme_reply){0};
}

void acme_request_fini(struct acme_request *request)
{
    cm_free(request->url);
    cm_free(request->payload);
    *request = (struct acme_request){0};
}

int64_t acme_quick_pause(unsigned tries)
{
    static const int64_t table[ACME_QUICK_TRIES] = {200, 200, 1000, 2000, 4000};
    return table[tries < ACME_QUICK_TRIES ? tries : ACME_QUICK_TRIES - 1];
}

static void end_request(struct acme_order *o)
{
    o->request.phase = PHASE_IDLE;
    o->have_result = true;
}

/* Sends the next message of the request: HEAD for a nonce, or goes to sign, or the plain GET. */
static void begin_try(struct acme_order *o)
{
    struct acme_request *r = &o->request;
    acme_reply_fini(&o->reply);
    if (o->request_count >= ACME_REQUESTS_MAX) {
        cm_fail(&o->reply.err, CM_ELIMIT, "This run has sent %d requests to the CA",
                ACME_REQUESTS_MAX);
        cm_err_hint(&o->reply.err, "The next run goes on with the same order.");
        end_request(o);
    } else if (!r->payload) {
        r->phase = PHASE_SEND;
        acme_call_send(o, "GET", r->url, NULL, r->accept);
    } else if (r->nonce[0] != '\0' || acme_nonces_take(&o->ca->nonces, r->nonce)) {
        r->phase = PHASE_SIGN;
        acme_call_sign(o);
    } else {
        r->phase = PHASE_NONCE;
        acme_call_send(o, "HEAD", o->ca->directory.new_nonce, NULL, NULL);
    }
}

static void start(struct acme_order *o, const char *url, const char *payload)
{
    struct acme_request *r = &o->request;
    char *new_url = cm_strdup(url); /* url may be a part of the last reply or request */
    char *new_payload = payload ? cm_strdup(payload) : NULL;
    acme_request_fini(r);
    r->url = new_url;
    r->payload = new_payload;
}

void acme_request(struct acme_order *o, const char *url, const char *payload)
{
    start(o, url, payload);
    begin_try(o);
}

void acme_request_once(struct acme_order *o, const char *url, const char *payload)
{
    start(o, url, payload);
    o->request.once = true;
    begin_try(o);
}

void acme_request_jwk(struct acme_order *o, const char *url, const char *payload)
{
    start(o, url, payload);
    o->request.embed_jwk = true;
    begin_try(o);
}

void acme_request_accept(struct acme_order *o, const char *url, const char *accept)
{
    start(o, url, "");
    o->request.accept = accept;
    begin_try(o);
}

static void pause_then_try(struct acme_order *o, int64_t ms)
{
    o->request.phase = PHASE_PAUSE;
    acme_call_wait(o, ms);
}

void acme_request_tick(struct acme_order *o)
{
    if (o->request.phase == PHASE_PAUSE)
        begin_try(o);
}

void acme_request_signed(struct acme_order *o, const json_t *jws, const struct cm_err *err)
{
    struct acme_request *r = &o->request;
    r->nonce[0] = '\0'; /* spent, whatever happens now */
    if ((err && err->code != 0) || !json_is_object(jws)) {
        if (err && err->code != 0)
            cm_err_copy(&o->reply.err, err);
        cm_wrap(&o->reply.err, CM_EBUSY, "A request to the CA could not be signed");
        end_request(o);
        return;
    }
    CM_AUTO_STR body = cm_json_dump(jws, NULL);
    r->phase = PHASE_SEND;
    acme_call_send(o, "POST", r->url, body, r->accept);
}

static void keep_reply(struct acme_order *o, const struct acme_http_res *res)
{
    struct acme_reply *reply = &o->reply;
    acme_reply_fini(reply);
    if (res->err && res->err->code != 0) {
        cm_err_copy(&reply->err, res->err);
        return;
    }
    reply->status = res->status;
    reply->headers = cm_strdup(res->headers ? res->headers : "");
    reply->body_len = res->body ? res->body_len : 0;
    if (reply->body_len > ACME_REPLY_MAX) {
        reply->body_len = 0;
        cm_fail(&reply->err, CM_ELIMIT, "A reply of the CA is larger than %u KiB",
                ACME_REPLY_MAX >> 10);
        return;
    }
    reply->body = cm_malloc(reply->body_len + 1);
    if (reply->body_len > 0)
        memcpy(reply->body, res->body, reply->body_len);
    reply->body[reply->body_len] = '\0';
    size_t blank = strspn(reply->body, " \t\r\n");
    if (reply->body[blank] == '{')
        (void)cm_json_parse_lax(reply->body, reply->body_len, &reply->json, NULL);
}

/* Each badNonce waits a little longer than the one before; the first is retried at once.  The
 * reply's own nonce is fresh, so a long pause would help nobody. */
static int64_t nonce_pause(unsigned tries)
{
    if (tries <= 1)
        return 0;
    return tries > 3 ? 100 : INT64_C(25) << (tries - 2);
}

static bool retry_nonce(struct acme_order *o)
{
    struct acme_request *r = &o->request;
    if (!acme_problem_is(o->reply.json, "badNonce") || r->nonce_tries >= ACME_NONCE_RETRY)
        return false;
    r->nonce_tries++;
    if (r->nonce_tries > 1)
        acme_nonces_clear(&o->ca->nonces); /* the CA has forgotten them all, it seems */
    if (!acme_header_get(o->reply.headers, "replay-nonce", 0, r->nonce, sizeof(r->nonce)) ||
        !acme_nonce_ok(r->nonce))
        r->nonce[0] = '\0';
    pause_then_try(o, nonce_pause(r->nonce_tries));
    return true;
}

static bool is_network(int code)
{
    return code == CM_ENET || code == CM_ETIMEOUT || code == CM_ECLOSED || code == CM_EIO;
}

/* What is asked besides, unsigned, holds no order up: renewal information that cannot be had is no
 * reason not to renew (RFC 9773 4.3.3). */
static bool is_aside(const struct acme_order *o)
{
    return o->op && o->op->kind == ACME_OP_GET && o->step == STEP_OP;
}

/* Retries what is worth it inside the run.  Returns false when the reply is what it is. */
static bool retry_quickly(struct acme_order *o)
{
    struct acme_request *r = &o->request;
    const struct acme_reply *reply = &o->reply;
    int64_t now = cm_now_ms();
    int64_t after = reply->status >= 400 ? acme_retry_after(reply->headers, now) : 0;
    bool shaky = reply->err.code != 0 ? is_network(reply->err.code)
                                      : reply->status >= 500 || reply->status == 408;
    if (after > 0 && !is_aside(o))
        acme_ca_pause(o->ca, after);
    /* Refused, so surely not done; 503 is how CAs limit by address before they look (6.6). */
    bool limited = (reply->status == 429 || reply->status == 503) && after > 0;
    bool unclear = r->once && shaky && !limited && r->phase == PHASE_SEND;
    if (unclear || !(shaky || limited) || after - now > ACME_WAIT_SHORT_MS ||
        ++r->tries >= ACME_QUICK_TRIES) {
        o->reply.unknown = unclear;
        return false;
    }
    int64_t pause = acme_quick_pause(r->tries);
    if (after - now > pause)
        pause = after - now;
    acme_log(o, CM_LOG_INFO, "The CA %s; trying again",
             reply->err.code != 0 ? "did not answer" : "asked to wait");
    pause_then_try(o, pause);
    return true;
}

/* The reply to HEAD newNonce. */
static void on_nonce(struct acme_order *o)
{
    const struct acme_reply *reply = &o->reply;
    struct acme_request *r = &o->request;
    if (reply->err.code == 0 && reply->status >= 200 && reply->status < 300) {
        if (acme_nonces_take(&o->ca->nonces, r->nonce)) {
            begin_try(o);
            return;
        }
        cm_fail(&o->reply.err, CM_EPEER, "The CA gave no usable nonce");
        cm_err_hint(&o->reply.err, "newNonce must answer with a Replay-Nonce field (RFC 8555 7.2); "
                                   "check the directory URL and proxies on the way to the CA.");
        o->reply.status = 0;
    } else if (retry_quickly(o)) {
        return;
    }
    end_request(o);
}

void acme_request_reply(struct acme_order *o, const struct acme_http_res *res)
{
    keep_reply(o, res);
    bool nonce_only = o->request.phase == PHASE_NONCE;
    bool bad_nonce = o->reply.status >= 400 && acme_problem_is(o->reply.json, "badNonce");
    /* The nonce of a badNonce reply is kept for its own retry, all others go to the pool. */
    if (o->reply.status != 0 && !bad_nonce)
        acme_nonces_put(&o->ca->nonces, o->reply.headers);
    if (nonce_only) {
        on_nonce(o);
        return;
    }
    if (bad_nonce && retry_nonce(o))
        return;
    if (!bad_nonce && retry_quickly(o))
        return;
    end_request(o);
}

/* ---- judging the end ------------------------------------------------------------------------ */

bool acme_reply_refused(const struct acme_reply *reply)
{
    return reply->err.code == 0 && reply->status >= 400 && reply->status < 500 &&
           reply->status != 408 && reply->status != 429 &&
           !acme_problem_is(reply->json, "badNonce") &&
           !acme_problem_is(reply->json, "rateLimited") &&
           !acme_problem_is(reply->json, "accountDoesNotExist");
}

/* A URL of the directory that is gone: the CA may have moved it (7.1.1).  Read it again, once. */
static bool reread_directory(struct acme_order *o)
{
    const struct acme_reply *reply = &o->reply;
    bool gone = reply->status == 404 || reply->status == 410 || reply->status == 405 ||
                acme_problem_is(reply->json, "malformed");
    if (!gone || o->directory_reread || !acme_directory_has(&o->ca->directory, o->request.url))
        return false;
    o->directory_reread = true;
    o->stale_url = cm_strdup(o->request.url);
    acme_directory_fini(&o->ca->directory);
    acme_log(o, CM_LOG_INFO, "The CA refused a URL of its directory; reading the directory again");
    acme_go(o, STEP_DIRECTORY);
    return true;
}

bool acme_reply_ok(struct acme_order *o, enum acme_about about, const char *what)
{
    struct acme_reply *reply = &o->reply;
    if (reply->err.code == 0 && reply->status >= 200 && reply->status < 300)
        return true;
    cm_err_fini(&o->err);
    if (reply->err.code != 0) {
        cm_err_copy(&o->err, &reply->err);
        cm_wrap(&o->err, CM_ENET, "The CA could not be asked for %s", what);
        if (about == ACME_ABOUT_ACCOUNT)
            cm_err_object(&o->err, "account at %.100s", o->ca->url);
        acme_give_up(o);
        return false;
    }
    if (acme_problem_is(reply->json, "accountDoesNotExist") && !o->account_repaired &&
        !o->request.embed_jwk && o->step != STEP_ACCOUNT_FIND && o->step != STEP_ACCOUNT_NEW) {
        o->account_repaired = true;
        acme_log(o, CM_LOG_WARN, "The CA does not know the account; looking it up by its key");
        acme_go(o, STEP_ACCOUNT_FIND);
        return false;
    }
    acme_problem_fail(&o->err, reply->json, reply->status, reply->headers, about, what);
    if (about == ACME_ABOUT_ACCOUNT)
        cm_err_object(&o->err, "account at %.100s", o->ca->url);
    if (!reread_directory(o)) /* keeps the error, in case nothing has moved */
        acme_give_up(o);
    return false;
}

bool acme_reply_object(struct acme_order *o, enum acme_about about, const char *what)
{
    if (!acme_reply_ok(o, about, what))
        return false;
    if (o->reply.json)
        return true;
    cm_fail(&o->err, CM_EPEER, "The CA's reply to %s is not a usable JSON object", what);
    cm_err_hint(&o->err,
                "The reply was cut off, too deeply nested, or made by a proxy. CertMgr tries "
                "again by itself.");
    acme_give_up(o);
    return false;
}
