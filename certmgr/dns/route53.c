/*
 * Kind "route53": Amazon's API, which wants every request signed and speaks XML.
 *
 * The TXT set of a name is replaced as a whole: it is read, merged, written (UPSERT), waited for
 * until INSYNC, and read back; the last value away is a DELETE of exactly what was read.
 */
#include <string.h>

#include "base/core/clock.h"
#include "base/core/mem.h"
#include "base/net/domain.h"
#include "base/net/url.h"
#include "certmgr/dns/recipe.h"
#include "certmgr/dns/route53_api.h"
#include "certmgr/dns/sigv4.h"
#include "certmgr/dns/xml.h"

#define HOST          "route53.amazonaws.com"
#define API           "/2013-04-01"
#define TTL_USUAL     60
#define ROUNDS_MAX    3
#define TRIES_MAX     4
#define SYNC_PAUSE_MS INT64_C(100) /* by the square of the requests; a change takes up to 60 s */
#define TEXT_MAX      300

enum phase { P_ZONE, P_LIST, P_CHANGE, P_SYNC, P_CHECK };

struct run {
    struct dnsp_call *call;
    bool adding;
    enum phase phase;
    const char *candidate;
    char *zone, *change;
    json_t *values; /* as they stand in the zone */
    int64_t ttl;
    unsigned requests, tries, rounds;
    struct http_call *http;
    struct cm_timer *timer;
};

static void send_next(void *arg);

static void run_free(struct run *run)
{
    if (run->http)
        http_call_cancel(run->http);
    cm_timer_free(run->timer);
    json_decref(run->values);
    cm_free(run->zone);
    cm_free(run->change);
    cm_free(run);
}

static void finish(struct run *run, struct cm_err *err)
{
    struct dnsp_call *call = run->call;
    json_t *record = run->adding && run->zone ? json_pack("{s:s}", "zone", run->zone) : NULL;
    run_free(run);
    dnsp_finish(call, record, err && err->code ? err : NULL);
    cm_err_fini(err);
}

static void go(struct run *run, enum phase phase, int64_t pause_ms)
{
    run->phase = phase;
    run->tries = 0;
    cm_timer_start(run->timer, pause_ms);
}

/* ---- the set ------------------------------------------------------------------------------- */

static size_t place_of(const struct run *run)
{
    for (size_t i = 0; i < json_array_size(run->values); i++) {
        CM_AUTO_STR plain = rcp_unquote(json_string_value(json_array_get(run->values, i)));
        if (strcmp(plain, run->call->value) == 0)
            return i;
    }
    return SIZE_MAX;
}

static void after_list(struct run *run)
{
    struct cm_err err = CM_ERR_INIT;
    size_t at = place_of(run);
    bool there = at != SIZE_MAX;
    if (there == run->adding) {
        dnsp_trace(run->call, "the value is %s", there ? "there" : "gone");
        finish(run, &err);
        return;
    }
    if (run->rounds++ >= ROUNDS_MAX) {
        cm_fail(&err, CM_EPEER, "%s: the TXT set was written but is another one", run->call->fqdn);
        err.retry = CM_RETRY_TRANSIENT;
        finish(run, &err);
        return;
    }
    go(run, P_CHANGE, 0);
}

/* The body of the change: the merged set, or a DELETE of the set as it was read. */
static void put_change(struct run *run, struct cm_buf *body)
{
    size_t at = place_of(run);
    bool last = !run->adding && json_array_size(run->values) == 1;
    CM_AUTO_JSON set = json_copy(run->values);
    if (run->adding) {
        CM_AUTO_STR quoted = rcp_quote(run->call->value);
        json_array_append_new(set, json_string(quoted));
    } else if (!last) {
        json_array_remove(set, at);
    }
    r53_change(body, last ? "DELETE" : "UPSERT", run->call->fqdn, run->ttl, set);
    dnsp_trace(run->call, "change: %s TXT %s, %zu values", last ? "DELETE" : "UPSERT",
               run->call->fqdn, json_array_size(set));
}

/* ---- replies ------------------------------------------------------------------------------- */

static void next_candidate(struct run *run)
{
    struct cm_err err = CM_ERR_INIT;
    const char *dot = strchr(run->candidate, '.');
    if (dot && !domain_is_registry(dot + 1)) {
        run->candidate = dot + 1;
        go(run, P_ZONE, 0);
        return;
    }
    cm_fail(&err, CM_ENOENT, "no public hosted zone for %s in this account", run->call->fqdn);
    cm_err_hint(&err, "allow route53:ListHostedZonesByName, or give the zone id");
    err.retry = CM_RETRY_CONFIGURATION;
    finish(run, &err);
}

static void take(struct run *run, const json_t *xml)
{
    struct cm_err err = CM_ERR_INIT;
    const char *status = xml_text(xml, "ChangeInfo/Status"), *id = xml_text(xml, "ChangeInfo/Id");
    switch (run->phase) {
    case P_ZONE:
        run->zone = r53_zone_id(xml, run->candidate);
        if (run->zone)
            go(run, P_LIST, 0);
        else
            next_candidate(run);
        return;
    case P_LIST:
    case P_CHECK:
        if (r53_values(xml, run->call->fqdn, run->values, &run->ttl, &err) < 0)
            finish(run, &err);
        else
            after_list(run);
        return;
    case P_CHANGE:
    case P_SYNC:
        if (id) {
            const char *slash = strrchr(id, '/');
            cm_free(run->change);
            run->change = cm_strdup(slash ? slash + 1 : id);
        }
        if (status && strcmp(status, "INSYNC") == 0)
            go(run, P_CHECK, 0);
        else
            go(run, P_SYNC, SYNC_PAUSE_MS * run->requests * run->requests);
        return;
    }
}

static bool is_busy(int status, const char *code)
{
    return status == 429 || status >= 500 ||
           (code && (strstr(code, "Throttl") || strcmp(code, "PriorRequestNotComplete") == 0));
}

/* A set that changed between reading and writing is read again. */
static bool is_stale(const struct run *run, const char *code)
{
    return run->phase == P_CHANGE && code && strcmp(code, "InvalidChangeBatch") == 0;
}

static void refused(struct run *run, const struct http_result *res, const json_t *xml)
{
    struct cm_err err = CM_ERR_INIT;
    const char *code = xml_text(xml, "Error/Code"), *text = xml_text(xml, "Error/Message");
    if (!text)
        text = xml_text(xml, "Messages/Message");
    if (is_busy(res->status, code) && ++run->tries < TRIES_MAX) {
        cm_timer_start(run->timer, INT64_C(1000) << run->tries);
        return;
    }
    if (is_stale(run, code) && run->rounds < ROUNDS_MAX) {
        go(run, P_LIST, 1000);
        return;
    }
    bool denied = res->status == 401 || res->status == 403;
    cm_fail(&err, denied ? CM_EDENIED : CM_EPEER, "Route 53 answered status %d", res->status);
    if (code || text)
        cm_err_cause(&err, "%.60s: %.*s", code ? code : "", TEXT_MAX, text ? text : "");
    err.retry = denied ? CM_RETRY_CONFIGURATION : CM_RETRY_TRANSIENT;
    finish(run, &err);
}

static void lost(struct run *run, const struct cm_err *why)
{
    struct cm_err err = CM_ERR_INIT;
    bool transient = why->code == CM_ENET || why->code == CM_ETIMEOUT;
    if (transient && ++run->tries < TRIES_MAX) {
        cm_timer_start(run->timer, INT64_C(1000) << run->tries);
        return;
    }
    cm_err_copy(&err, why);
    cm_wrap(&err, CM_ENET, "no answer from Route 53");
    finish(run, &err);
}

static void on_reply(void *arg, const struct http_result *res)
{
    struct run *run = arg;
    struct cm_err err = CM_ERR_INIT;
    json_t *xml = NULL;
    run->http = NULL;
    if (res->err->code) {
        lost(run, res->err);
        return;
    }
    dnsp_trace(run->call, "status %d, %zu bytes", res->status, res->body_len);
    bool fine = res->status >= 200 && res->status <= 299;
    int rc = xml_parse(res->body, res->body_len, &xml, &err);
    if (fine && rc < 0) {
        cm_wrap(&err, CM_EPEER, "Route 53's reply cannot be read");
        finish(run, &err);
    } else {
        cm_err_fini(&err);
        if (fine)
            take(run, xml);
        else
            refused(run, res, xml);
    }
    json_decref(xml);
}

/* ---- requests ------------------------------------------------------------------------------ */

static char *path_of(struct run *run, struct cm_buf *query)
{
    switch (run->phase) {
    case P_ZONE:
        cm_buf_puts(query, "dnsname=");
        url_encode(query, run->candidate);
        cm_buf_puts(query, ".&maxitems=10");
        return cm_strdup(API "/hostedzonesbyname");
    case P_LIST:
    case P_CHECK:
        cm_buf_puts(query, "maxitems=1&name=");
        url_encode(query, run->call->fqdn);
        cm_buf_puts(query, ".&type=TXT");
        break;
    case P_CHANGE:
        break;
    case P_SYNC:
        return cm_asprintf(API "/change/%s", run->change ? run->change : "");
    }
    return cm_asprintf(API "/hostedzone/%s/rrset", run->zone);
}

/* https://route53.amazonaws.com, or a loopback address in the laboratory. */
static char *origin_of(const struct run *run, char *host, size_t host_size)
{
    const char *own = cm_json_str(run->call->account.options, "endpoint");
    struct url url;
    if (own && own[0] && run->call->env->lab_http && url_parse(own, &url, NULL) == 0 &&
        rcp_is_loopback(url.host)) {
        (void)cm_strcpy(host, host_size, strstr(own, "//") + 2);
        return cm_strdup(own);
    }
    (void)cm_strcpy(host, host_size, HOST);
    return cm_strdup("https://" HOST);
}

static void post(struct run *run, const char *path, const char *query, const struct cm_buf *body)
{
    const json_t *secrets = run->call->account.secrets;
    const char *method = body->len ? "POST" : "GET";
    char host[256], date[SIGV4_DATE];
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_STR origin = origin_of(run, host, sizeof(host));
    struct sigv4_key key = {.id = cm_json_str_or(secrets, "access_key_id", ""),
                            .secret = cm_json_str_or(secrets, "secret_access_key", ""),
                            .token = cm_json_str(secrets, "session_token"),
                            .region = "us-east-1",
                            .service = "route53"};
    struct sigv4_request request = {.method = method,
                                    .host = host,
                                    .path = path,
                                    .query = query,
                                    .body = cm_buf_str(body),
                                    .body_len = body->len};
    CM_AUTO_STR authorization = sigv4_sign(&request, &key, cm_now_ms(), date);
    CM_AUTO_STR when = cm_asprintf("X-Amz-Date: %s", date);
    char *token = key.token ? cm_asprintf("X-Amz-Security-Token: %s", key.token) : NULL;
    const char *headers[] = {authorization, when, "Content-Type: text/xml", token, NULL};
    CM_AUTO_STR url = cm_asprintf("%s%s%s%s", origin, path, query[0] ? "?" : "", query);
    struct http_call_opts opts = {.method = method,
                                  .url = url,
                                  .headers = headers,
                                  .body = body->len ? cm_buf_str(body) : NULL,
                                  .body_len = body->len,
                                  .reply_max = DNSP_REPLY_MAX,
                                  .allow_http = run->call->env->lab_http,
                                  .once = body->len > 0};
    dnsp_trace(run->call, "%s %s", method, url);
    run->http = http_call(run->call->env->http, &opts, on_reply, run, &err);
    if (token)
        cm_free_secret(token, strlen(token));
    if (!run->http)
        finish(run, &err);
}

static void send_next(void *arg)
{
    struct run *run = arg;
    struct cm_buf query, body;
    struct cm_err err = CM_ERR_INIT;
    if (run->requests++ >= DNSP_REQUESTS_MAX) {
        cm_fail(&err, CM_ELIMIT, "more than %d requests for one value", DNSP_REQUESTS_MAX);
        err.retry = CM_RETRY_TRANSIENT;
        finish(run, &err);
        return;
    }
    cm_buf_init(&query, 1024);
    cm_buf_init(&body, RCP_BODY_MAX);
    CM_AUTO_STR path = path_of(run, &query);
    if (run->phase == P_CHANGE)
        put_change(run, &body);
    if (body.failed) {
        cm_fail(&err, CM_ELIMIT, "the TXT set of %s is too large", run->call->fqdn);
        finish(run, &err);
    } else {
        post(run, path, cm_buf_str(&query), &body);
    }
    cm_buf_fini(&query);
    cm_buf_fini(&body);
}

/* ---- kind ---------------------------------------------------------------------------------- */

static bool id_ok(const char *text)
{
    size_t len = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");
    return len > 0 && len <= 32 && text[len] == '\0';
}

static int route53_check(const struct dnsp_account *account, struct cm_err *err)
{
    static const char *const needed[] = {"access_key_id", "secret_access_key"};
    const char *zone = cm_json_str(account->options, "zone_id");
    const char *key;
    json_t *member;
    for (size_t i = 0; i < 2; i++)
        if (cm_json_str_or(account->secrets, needed[i], "")[0] == '\0')
            return cm_fail(err, CM_EINVAL, "%s: is needed", needed[i]);
    json_object_foreach((json_t *)(uintptr_t)account->secrets, key, member)
    {
        const char *text = json_string_value(member);
        if (!text || strpbrk(text, "\r\n ,"))
            return cm_fail(err, CM_EINVAL, "%.40s: must be a text without blanks", key);
    }
    if (zone && zone[0] && !id_ok(zone))
        return cm_fail(err, CM_EINVAL, "zone_id: must look like Z0123456789ABC");
    int64_t ttl = cm_json_int(account->options, "ttl", TTL_USUAL);
    if (ttl < 0 || ttl > 86400)
        return cm_fail(err, CM_EINVAL, "ttl: must be a number from 0 to 86400");
    return 0;
}

static void *begin(struct dnsp_call *call, bool adding)
{
    struct run *run = cm_calloc(1, sizeof(*run));
    const char *zone = cm_json_str_or(call->account.options, "zone_id", "");
    if (zone[0] == '\0')
        zone = cm_json_str_or(call->record, "zone", "");
    run->call = call;
    run->adding = adding;
    run->candidate = call->fqdn;
    run->zone = id_ok(zone) ? cm_strdup(zone) : NULL;
    run->values = json_array();
    run->ttl = cm_json_int(call->account.options, "ttl", TTL_USUAL);
    run->timer = cm_timer_new(call->env->loop, send_next, run);
    go(run, run->zone ? P_LIST : P_ZONE, 0);
    return run;
}

static void *route53_add(struct dnsp_call *call)
{
    return begin(call, true);
}

static void *route53_delete(struct dnsp_call *call)
{
    return begin(call, false);
}

static void route53_cancel(void *state)
{
    run_free(state);
}

const struct dnsp_kind dnsp_route53 = {
    .name = "route53",
    .title = "Amazon Route 53",
    .unverified = true,
    .check = route53_check,
    .add = route53_add,
    .del = route53_delete,
    .cancel = route53_cancel,
};
