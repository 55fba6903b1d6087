/* The CA's side of the fake: a small model of RFC 8555 with knobs for misbehaviour. */
#include "tests/unit/acme/fake_ca.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/clock.h"
#include "base/core/mem.h"
#include "certmgr/acme/ident.h"

#define PEM                                                                                        \
    "-----BEGIN CERTIFICATE-----\nTUlJQg==\n-----END CERTIFICATE-----\n"                           \
    "-----BEGIN CERTIFICATE-----\nTUlJQw==\n-----END CERTIFICATE-----\n"

void fake_violation(struct fake *f, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    if (f->violation[0] == '\0')
        vsnprintf(f->violation, sizeof(f->violation), fmt, ap);
    va_end(ap);
}

void fake_header(struct fake_reply *r, const char *line)
{
    cm_buf_printf(&r->headers, "%s\r\n", line);
}

void fake_body(struct fake_reply *r, const char *text)
{
    cm_buf_reset(&r->body);
    cm_buf_puts(&r->body, text);
}

static void body_json(struct fake_reply *r, json_t *take)
{
    char *text = cm_json_dump(take, NULL);
    fake_body(r, text);
    cm_free(text);
    json_decref(take);
}

void fake_problem(struct fake_reply *r, int status, const char *type, const char *detail)
{
    r->status = status;
    body_json(r, json_pack("{s:o, s:s, s:i}", "type",
                           json_sprintf("urn:ietf:params:acme:error:%s", type), "detail", detail,
                           "status", status));
}

void fake_new_nonce(struct fake *f, struct fake_reply *r)
{
    char text[32];
    snprintf(text, sizeof(text), "nonce-%u", ++f->nonce_next);
    json_array_append_new(f->nonces, json_string(text));
    cm_buf_printf(&r->headers, "Replay-Nonce: %s\r\n", text);
}

static bool use_nonce(struct fake *f, const char *nonce)
{
    size_t i;
    json_t *v;
    json_array_foreach(f->nonces, i, v)
    {
        if (strcmp(json_string_value(v), nonce) == 0) {
            json_array_remove(f->nonces, i);
            return true;
        }
    }
    return false;
}

static void set_time(json_t *obj, const char *key, int64_t ms)
{
    char text[CM_TIME_TEXT];
    cm_time_format(ms, text);
    json_object_set_new(obj, key, json_string(text));
}

/* ---- objects -------------------------------------------------------------------------------- */

static json_t *order_json(struct fake *f, int id)
{
    struct fake_order *o = &f->order[id];
    json_t *ids = json_array();
    json_t *authz = json_array();
    size_t i;
    json_t *name;
    /* in another order than asked: nothing may depend on positions */
    for (i = json_array_size(o->names); i > 0; i--) {
        name = json_array_get(o->names, i - 1);
        json_array_append_new(ids, acme_ident_json(json_string_value(name)));
    }
    for (int k = 0; k < o->authz_count; k++)
        json_array_append_new(
            authz, json_sprintf(FAKE_BASE "/authz/%d", o->authz[o->authz_count - 1 - k]));
    json_t *obj = json_pack("{s:s, s:o, s:o, s:o, s:n}", "status", o->status, "identifiers", ids,
                            "authorizations", authz, "finalize",
                            json_sprintf(FAKE_BASE "/order/%d/finalize", id), "extra");
    if (!f->no_expires)
        set_time(obj, "expires", o->expires);
    if (strcmp(o->status, "valid") == 0)
        json_object_set_new(obj, "certificate", json_sprintf(FAKE_BASE "/cert/%d", id));
    return obj;
}

static void add_challenge(json_t *challenges, const char *type, const char *path, int id,
                          const char *status)
{
    json_array_append_new(challenges,
                          json_pack("{s:s, s:o, s:o, s:s}", "type", type, "url",
                                    json_sprintf("%s%s%d", FAKE_BASE, path, id), "token",
                                    json_sprintf("%.3s_%d", type, id), "status", status));
}

static json_t *authz_json(struct fake *f, int id)
{
    struct fake_authz *a = &f->authz[id];
    char token[64];
    snprintf(token, sizeof(token), "-token_%d", id); /* tokens may begin with '-' */
    json_t *challenges = json_array();
    if (f->offer_all) {
        add_challenge(challenges, "dns-01", "/chal-dns/", id, a->challenge);
        add_challenge(challenges, "tls-alpn-01", "/chal-alpn/", id, a->challenge);
    } else {
        json_array_append_new(challenges,
                              json_pack("{s:s, s:s, s:s, s:s}", "type", "dns-01", "url",
                                        "http://plain.test/dns", "token", "../x", "status", "odd"));
    }
    if (!f->wildcard_only_dns || !a->wildcard) {
        json_t *c = json_pack("{s:s, s:o, s:s, s:s}", "type", "http-01", "url",
                              json_sprintf(FAKE_BASE "/chal/%d", id), "token",
                              f->token ? f->token : token, "status", a->challenge);
        if (strcmp(a->challenge, "invalid") == 0)
            json_object_set_new(c, "error",
                                json_pack("{s:s, s:s, s:i}", "type",
                                          "urn:ietf:params:acme:error:connection", "detail",
                                          "no route to host", "status", 400));
        json_array_append_new(challenges, c);
    }
    json_t *obj =
        json_pack("{s:s, s:o, s:o}", "status", a->status, "identifier",
                  acme_ident_json(a->wildcard ? a->name + 2 : a->name), "challenges", challenges);
    if (a->wildcard)
        json_object_set_new(obj, "wildcard", json_true());
    set_time(obj, "expires", f->wall_ms + 3600000);
    return obj;
}

static void directory(struct fake *f, struct fake_reply *r)
{
    json_t *obj = json_pack("{s:s, s:s, s:s, s:s, s:f}", "newNonce", FAKE_BASE "/nonce",
                            "newAccount", FAKE_BASE "/acct", "newOrder", FAKE_BASE "/order",
                            "keyChange", FAKE_BASE "/key", "unknown", 1.5);
    if (f->has_terms)
        json_object_set_new(obj, "meta", json_pack("{s:s}", "termsOfService", "https://ca.test/t"));
    else if (f->eab_required)
        json_object_set_new(obj, "meta", json_pack("{s:b}", "externalAccountRequired", 1));
    if (f->directory_more) {
        json_t *more = json_loads(f->directory_more, 0, NULL);
        json_object_update(obj, more);
        json_decref(more);
    }
    body_json(r, obj);
}

/* False: the CA has refused the binding. */
static bool takes_binding(struct fake *f, const json_t *eab, struct fake_reply *r)
{
    bool first = eab == f->eab || json_equal(eab, f->eab);
    if (!first && !(f->eab_other && json_equal(eab, f->eab_other)))
        fake_violation(f, "registered with another binding than was given");
    if (!f->eab_refusal || (!first && !f->eab_never))
        return true;
    fake_problem(r, 400, f->eab_refusal, "no such HMAC");
    return false;
}

static void new_account(struct fake *f, const char *payload, struct fake_reply *r)
{
    json_t *p = NULL;
    cm_json_parse(payload, strlen(payload), &p, NULL);
    bool only = cm_json_bool(p, "onlyReturnExisting", false);
    if (!f->account && only) {
        fake_problem(r, 400, "accountDoesNotExist", "no such account");
    } else {
        if (!f->account) {
            if (f->has_terms && !cm_json_bool(p, "termsOfServiceAgreed", false))
                fake_violation(f, "registered without agreeing to the terms");
            if (!takes_binding(f, json_object_get(p, "externalAccountBinding"), r)) {
                json_decref(p);
                return;
            }
            f->accounts_made++;
            f->account_number++;
            r->status = 201;
        }
        f->account = true;
        cm_buf_printf(&r->headers, "Location: " FAKE_BASE "/acct/%d\r\n", f->account_number);
        fake_body(r, "{\"status\":\"valid\",\"contact\":null}");
    }
    json_decref(p);
}

static void account(struct fake *f, struct fake_reply *r)
{
    json_t *obj = json_pack("{s:s}", "status", "valid");
    if (!f->no_orders_list)
        json_object_set_new(obj, "orders", json_string(FAKE_BASE "/orders/0"));
    body_json(r, obj);
}

static void orders(struct fake *f, int page, struct fake_reply *r)
{
    json_t *urls = json_array();
    int from = page * f->per_page;
    for (int i = from; i < from + f->per_page && i < f->order_count; i++)
        json_array_append_new(urls, json_sprintf(FAKE_BASE "/order/%d", i));
    if (from + f->per_page < f->order_count)
        cm_buf_printf(&r->headers, "Link: <%s/orders/%d>;rel=\"next\"\r\n",
                      page % 2 ? FAKE_BASE : "", page + 1);
    body_json(r, json_pack("{s:o}", "orders", urls));
}

static int new_authz(struct fake *f, const char *name)
{
    struct fake_authz *a = &f->authz[f->authz_count];
    snprintf(a->name, sizeof(a->name), "%s", name);
    a->wildcard = strncmp(name, "*.", 2) == 0;
    bool valid = f->reuse && cm_json_has_str(f->valid_names, name);
    a->status = valid ? "valid" : "pending";
    a->challenge = a->status;
    return f->authz_count++;
}

static void new_order(struct fake *f, const char *payload, struct fake_reply *r)
{
    json_t *p = NULL;
    size_t i;
    json_t *id;
    cm_json_parse(payload, strlen(payload), &p, NULL);
    struct fake_order *o = &f->order[f->order_count];
    o->used = true;
    o->names = json_array();
    o->status = "ready";
    o->expires = f->wall_ms + f->order_life_ms;
    json_array_foreach(cm_json_arr(p, "identifiers"), i, id)
    {
        const char *name = cm_json_str_or(id, "value", "");
        json_array_append_new(o->names, json_string(name));
        o->authz[o->authz_count] = new_authz(f, name);
        if (strcmp(f->authz[o->authz[o->authz_count]].status, "valid") != 0)
            o->status = "pending";
        o->authz_count++;
    }
    json_decref(p);
    f->orders_made++;
    r->status = 201;
    cm_buf_printf(&r->headers, "Location: " FAKE_BASE "/order/%d\r\n", f->order_count);
    body_json(r, order_json(f, f->order_count));
    f->order_count++;
}

/* A poll may move the order on. */
static void advance(struct fake *f, struct fake_order *o)
{
    if (strcmp(o->status, "processing") == 0 && ++o->polls > f->polls_processing)
        o->status = "valid";
    if (strcmp(o->status, "pending") != 0)
        return;
    for (int i = 0; i < o->authz_count; i++) {
        if (strcmp(f->authz[o->authz[i]].challenge, "pending") == 0)
            return; /* not answered yet */
    }
    if (++o->polls <= f->polls_pending)
        return;
    o->polls = 0;
    o->status = "ready";
    for (int i = 0; i < o->authz_count; i++) {
        struct fake_authz *a = &f->authz[o->authz[i]];
        bool fails = f->fail_name && strcmp(f->fail_name, a->name) == 0;
        a->status = a->challenge = fails ? "invalid" : "valid";
        if (fails)
            o->status = "invalid";
        else
            json_array_append_new(f->valid_names, json_string(a->name));
    }
}

static void finalize(struct fake *f, int id, const char *payload, struct fake_reply *r)
{
    struct fake_order *o = &f->order[id];
    json_t *p = NULL;
    cm_json_parse(payload, strlen(payload), &p, NULL);
    if (strcmp(cm_json_str_or(p, "csr", ""), f->csr_text) != 0)
        fake_violation(f, "finalize without our CSR: %s", payload);
    json_decref(p);
    if (strcmp(o->status, "ready") != 0 || f->not_ready > 0) {
        f->not_ready -= f->not_ready > 0;
        fake_problem(r, 403, "orderNotReady", "order is not ready");
        return;
    }
    o->status = f->finalize_at_once ? "valid" : "processing";
    f->finalized++;
    body_json(r, order_json(f, id));
}

static void challenge(struct fake *f, const struct fake_req *req, struct fake_reply *r)
{
    struct fake_authz *a = &f->authz[req->id];
    const char *payload = req->payload;
    const char *type = strstr(req->url, "/chal-dns/")    ? "dns-01"
                       : strstr(req->url, "/chal-alpn/") ? "tls-alpn-01"
                                                         : "http-01";
    if (strcmp(payload, "{}") != 0)
        fake_violation(f, "the answer to a challenge is {}, not %s", payload);
    bool live = false;
    size_t i;
    json_t *t;
    json_array_foreach(f->published, i, t)
    {
        live = live || (strcmp(cm_json_str_or(t, "host", ""), a->name) == 0 &&
                        strcmp(cm_json_str_or(t, "type", ""), type) == 0);
    }
    if (!live)
        fake_violation(f, "%s was answered before it was published", a->name);
    f->answers++;
    if (strcmp(a->challenge, "pending") == 0)
        a->challenge = "processing";
    body_json(r, json_pack("{s:s, s:s}", "type", type, "status", a->challenge));
}

static void certificate(struct fake *f, const struct fake_req *req, struct fake_reply *r)
{
    if (!req->accept || strcmp(req->accept, "application/pem-certificate-chain") != 0)
        fake_violation(f, "the certificate was asked for without its media type");
    if (strcmp(f->order[req->id].status, "valid") != 0)
        fake_violation(f, "the certificate was asked for too early");
    if (f->cert_links)
        cm_buf_puts(&r->headers, f->cert_links);
    fake_body(r, f->cert_body ? f->cert_body : PEM);
}

/* ---- requests ------------------------------------------------------------------------------- */

static int trailing_id(const char *path, const char *prefix, const char *suffix, int limit)
{
    size_t len = strlen(prefix);
    char *end;
    if (strncmp(path, prefix, len) != 0 || path[len] < '0' || path[len] > '9')
        return -1;
    long id = strtol(path + len, &end, 10);
    return strcmp(end, suffix) == 0 && id < limit ? (int)id : -1;
}

static void classify(struct fake *f, struct fake_req *req)
{
    static const struct {
        const char *path;
        enum fake_kind kind;
    } fixed[] = {{"/dir", FAKE_DIRECTORY},
                 {"/nonce", FAKE_NEW_NONCE},
                 {"/acct", FAKE_NEW_ACCOUNT},
                 {"/order", FAKE_NEW_ORDER}};
    const struct {
        const char *prefix, *suffix;
        enum fake_kind kind;
        int limit;
    } with_id[] = {{"/acct/", "", FAKE_ACCOUNT, 100},
                   {"/orders/", "", FAKE_ORDERS, 100},
                   {"/order/", "", FAKE_ORDER, f->order_count},
                   {"/order/", "/finalize", FAKE_FINALIZE, f->order_count},
                   {"/authz/", "", FAKE_AUTHZ, f->authz_count},
                   {"/chal/", "", FAKE_CHALLENGE, f->authz_count},
                   {"/chal-dns/", "", FAKE_CHALLENGE, f->authz_count},
                   {"/chal-alpn/", "", FAKE_CHALLENGE, f->authz_count},
                   {"/op/", "", FAKE_OTHER, 100},
                   {"/cert/", "", FAKE_CERT, f->order_count}};
    req->kind = FAKE_UNKNOWN;
    if (strncmp(req->url, FAKE_BASE "/", sizeof(FAKE_BASE)) != 0)
        return;
    const char *path = req->url + sizeof(FAKE_BASE) - 1;
    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
        if (strcmp(path, fixed[i].path) == 0)
            req->kind = fixed[i].kind;
    }
    for (size_t i = 0; i < sizeof(with_id) / sizeof(with_id[0]); i++) {
        int id = trailing_id(path, with_id[i].prefix, with_id[i].suffix, with_id[i].limit);
        if (id >= 0) {
            req->kind = with_id[i].kind;
            req->id = id;
        }
    }
}

/* The shape of a signed request (RFC 8555 6.2 to 6.5).  False: the reply is filled. */
static bool check_jws(struct fake *f, const struct fake_req *req, const json_t *jws,
                      struct fake_reply *r)
{
    const char *text = cm_json_str_or(jws, "protected", "");
    json_t *head = NULL;
    bool go_on = false;
    cm_json_parse(text, strlen(text), &head, NULL);
    bool jwk = cm_json_obj(head, "jwk") != NULL;
    const char *kid = cm_json_str(head, "kid");
    if (json_object_size(jws) != 3 || !cm_json_str(jws, "signature") || json_object_size(head) != 4)
        fake_violation(f, "malformed JWS for %s: %s", req->url, text);
    if (strcmp(cm_json_str_or(head, "url", ""), req->url) != 0)
        fake_violation(f, "url of the JWS is not %s: %s", req->url, text);
    if (jwk == (kid != NULL) || (jwk != (req->kind == FAKE_NEW_ACCOUNT) && req->kind != FAKE_OTHER))
        fake_violation(f, "jwk or kid is wrong for %s: %s", req->url, text);
    bool nonce_ok = use_nonce(f, cm_json_str_or(head, "nonce", ""));
    char expected[64];
    snprintf(expected, sizeof(expected), FAKE_BASE "/acct/%d", f->account_number);
    if (!nonce_ok || f->bad_nonces > 0) {
        f->bad_nonces -= f->bad_nonces > 0;
        fake_problem(r, 400, "badNonce", "nonce is bad");
    } else if (kid && (!f->account || strcmp(kid, expected) != 0)) {
        fake_problem(r, 400, "accountDoesNotExist", "unknown kid");
    } else {
        go_on = true;
    }
    json_decref(head);
    return go_on;
}

static void model(struct fake *f, const struct fake_req *req, struct fake_reply *r)
{
    bool read = req->payload && req->payload[0] == '\0';
    bool wants_payload = req->kind == FAKE_NEW_ACCOUNT || req->kind == FAKE_NEW_ORDER ||
                         req->kind == FAKE_CHALLENGE || req->kind == FAKE_FINALIZE;
    if (req->payload && req->kind != FAKE_UNKNOWN && req->kind != FAKE_OTHER &&
        read == wants_payload)
        fake_violation(f, "POST-as-GET or not is wrong for %s", req->url);
    r->status = 200;
    switch (req->kind) {
    case FAKE_DIRECTORY:
        directory(f, r);
        break;
    case FAKE_NEW_ACCOUNT:
        new_account(f, req->payload, r);
        break;
    case FAKE_ACCOUNT:
        account(f, r);
        break;
    case FAKE_ORDERS:
        orders(f, req->id, r);
        break;
    case FAKE_NEW_ORDER:
        new_order(f, req->payload, r);
        break;
    case FAKE_ORDER:
        advance(f, &f->order[req->id]);
        body_json(r, order_json(f, req->id));
        break;
    case FAKE_AUTHZ:
        body_json(r, authz_json(f, req->id));
        break;
    case FAKE_CHALLENGE:
        challenge(f, req, r);
        break;
    case FAKE_FINALIZE:
        finalize(f, req->id, req->payload, r);
        break;
    case FAKE_CERT:
        certificate(f, req, r);
        break;
    case FAKE_NEW_NONCE:
        break;
    case FAKE_OTHER:
        fake_body(r, "{}");
        break;
    default:
        fake_problem(r, 404, "malformed", "no such page");
    }
}

void fake_ca_handle(struct fake *f, const struct acme_http_req *http, struct fake_reply *r)
{
    struct fake_req req = {.method = http->method, .url = http->url, .accept = http->accept};
    json_t *jws = NULL;
    classify(f, &req);
    f->count[req.kind]++;
    f->requests++;
    r->status = 200;
    bool post = strcmp(http->method, "POST") == 0;
    bool plain = req.kind == FAKE_DIRECTORY || req.kind == FAKE_NEW_NONCE;
    if (post == plain && req.kind != FAKE_UNKNOWN && req.kind != FAKE_OTHER)
        fake_violation(f, "%s %s is the wrong method", http->method, http->url);
    if (post && (!http->body || cm_json_parse(http->body, strlen(http->body), &jws, NULL) < 0))
        fake_violation(f, "%s got no JWS", http->url);
    if (post)
        req.payload = cm_json_str_or(jws, "payload", "");
    /* directory replies carry no nonce; all others do */
    if (req.kind != FAKE_DIRECTORY)
        fake_new_nonce(f, r);
    if (!f->before || !f->before(f, &req, r)) {
        if (!post || check_jws(f, &req, jws, r))
            model(f, &req, r);
    }
    if (f->after)
        f->after(f, &req, r);
    json_decref(jws);
}
