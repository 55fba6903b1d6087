/*
 * GET and POST /db/_changes: options of a feed (reference/replication.md 2.1).  The feed itself is
 * feed.c.
 */
#include <string.h>

#include "base/core/json.h"
#include "base/core/mem.h"
#include "base/core/num.h"
#include "replicator/feed.h"
#include "replicator/seq.h"

#define HEARTBEAT_MIN_MS 100 /* a peer cannot make us write more often */

static bool take_kind(struct rp_req *req, struct rp_feed_opts *opts)
{
    const char *kind = rp_query(&req->route, "feed");
    if (!kind || strcmp(kind, "normal") == 0)
        opts->kind = RP_FEED_NORMAL;
    else if (strcmp(kind, "longpoll") == 0)
        opts->kind = RP_FEED_LONGPOLL;
    else if (strcmp(kind, "continuous") == 0 || strcmp(kind, "live") == 0)
        opts->kind = RP_FEED_CONTINUOUS;
    else
        return false;
    /* Newest first has an end, so there is nothing to wait for; the answer to HEAD has no body that
     * would ever end. */
    opts->descending = rp_query_true(&req->route, "descending");
    if (opts->descending || req->http->head.method == HTTP_HEAD)
        opts->kind = RP_FEED_NORMAL;
    return true;
}

/* A number of ms within [low, RP_TIMEOUT_MAX]; larger ones are capped. */
static bool take_ms(const char *text, int64_t low, int64_t *ret)
{
    if (!rp_count(text, ret))
        return false;
    if (*ret < low)
        *ret = low;
    if (*ret > RP_TIMEOUT_MAX)
        *ret = RP_TIMEOUT_MAX;
    return true;
}

/* Returns NULL, or why the times are refused. */
static const char *take_times(struct rp_req *req, struct rp_feed_opts *opts)
{
    const char *timeout = rp_query(&req->route, "timeout");
    const char *heartbeat = rp_query(&req->route, "heartbeat");
    opts->timeout_ms = RP_TIMEOUT_MAX;
    if (timeout && !take_ms(timeout, 0, &opts->timeout_ms))
        return "timeout is not a number of milliseconds";
    if (!heartbeat || strcmp(heartbeat, "false") == 0)
        return NULL;
    int64_t asked = 0;
    int rc = cm_num_i64(heartbeat, INT64_MIN, INT64_MAX, &asked);
    if (strcmp(heartbeat, "true") == 0)
        opts->heartbeat_ms = RP_TIMEOUT_MAX;
    else if (rc == CM_EMALF)
        return "Invalid heartbeat value. Expecting a positive integer value (in milliseconds).";
    else if ((rc == 0 && asked <= 0) || !take_ms(heartbeat, HEARTBEAT_MIN_MS, &opts->heartbeat_ms))
        return "The heartbeat value should be a positive integer (in milliseconds).";
    return NULL;
}

/* Returns NULL, or why the numbers are refused. */
static const char *take_options(struct rp_req *req, struct rp_feed_opts *opts)
{
    const struct cs_store *store = req->server->store;
    const struct rp_route *route = &req->route;
    const char *since = rp_query(route, "since"), *limit = rp_query(route, "limit");
    const char *style = rp_query(route, "style");
    if (!since)
        since = rp_query(route, "last-event-id"); /* CouchDB's other name of it */
    if (since && rp_seq_parse(since, cs_epoch(store), cs_seq(store), &opts->since) < 0)
        return "Malformed sequence supplied in 'since' parameter.";
    opts->limit = INT64_MAX;
    if (limit && !rp_count(limit, &opts->limit))
        return "limit is not a number";
    if (!take_kind(req, opts))
        return "Supported `feed` types: normal, continuous, live, longpoll";
    const char *why = take_times(req, opts);
    if (why)
        return why;
    if (style && strcmp(style, "all_docs") != 0 && strcmp(style, "main_only") != 0)
        return "style is neither main_only nor all_docs";
    opts->all_leaves = style && strcmp(style, "all_docs") == 0;
    opts->include_docs = rp_query_true(route, "include_docs");
    opts->conflicts = rp_query_true(route, "conflicts");
    return NULL;
}

/* Ids as a set; NULL when one is not text. */
static json_t *id_set(const json_t *ids)
{
    json_t *set = json_object();
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const char *id = json_string_value(json_array_get(ids, i));
        if (!id) {
            json_decref(set);
            return NULL;
        }
        cm_json_set_bool(set, id, true);
    }
    return set;
}

/* filter=_doc_ids with the ids in the body or in the query.  Returns false when answered. */
static bool take_doc_ids(struct rp_req *req, const json_t *body, struct rp_feed_opts *opts)
{
    const char *text = rp_query(&req->route, "doc_ids");
    CM_AUTO_JSON parsed = NULL;
    const json_t *ids = cm_json_arr(body, "doc_ids");
    if (!ids && text && cm_json_parse(text, strlen(text), &parsed, NULL) == 0)
        ids = parsed;
    if (json_is_array(ids))
        opts->doc_ids = id_set(ids);
    if (!opts->doc_ids)
        rp_bad_request(req, "`doc_ids` filter parameter is not a list of doc ids.");
    return opts->doc_ids != NULL;
}

static bool take_filter(struct rp_req *req, struct rp_feed_opts *opts)
{
    const char *filter = rp_query(&req->route, "filter");
    CM_AUTO_JSON body = NULL;
    if (req->http->head.method == HTTP_POST && req->http->body_len > 0) {
        body = rp_body(req);
        if (!body)
            return false;
    }
    if (!filter || filter[strspn(filter, "/")] == '\0')
        return true;
    if (strcmp(filter, "_doc_ids") == 0)
        return take_doc_ids(req, body, opts);
    if (strcmp(filter, "_design") == 0) {
        opts->design_only = true;
        return true;
    }
    const char *slash = strchr(filter + 1, '/');
    if (filter[0] == '_')
        rp_bad_request(req, "unknown builtin filter name");
    else if (!slash || slash[1] == '\0' || strchr(slash + 1, '/'))
        rp_bad_request(req, "`filter` must be of the form `designname/filtername`");
    else
        rp_not_found(req, "missing");
    return false;
}

void rp_serve_changes(struct rp_req *req)
{
    struct rp_feed_opts opts = {0};
    const char *why = take_options(req, &opts);
    if (why) {
        rp_bad_request(req, why);
        return;
    }
    if (req->server->stream_count >= RP_FEED_MAX) {
        rp_error(req, 503, "service_unavailable", "too many feeds are open; try again later");
        return;
    }
    if (!take_filter(req, &opts))
        return;
    rp_seen(req->server, req->peer, rp_query(&req->route, "since"));
    rp_feed_start(req, &opts);
}
