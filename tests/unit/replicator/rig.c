/* The replicator's test rig. */
#include "tests/unit/replicator/rig.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/core/mem.h"
#include "tests/unit/scratch.h"

#define TOY_GOOD "Z29vZA"
#define TOY_BAD  "YmFk"
#define TOY_KEY  "00112233445566778899aabbccddeeff"
#define TOY_TIME "2027-01-02T03:04:05.000Z"

/* ---- loop --------------------------------------------------------------------------------- */

static void on_timeout(void *arg)
{
    ((struct rig *)arg)->expired = true;
}

void rig_open(struct rig *rig)
{
    *rig = (struct rig){.peer = "edge", .peer_manager = false};
    rig->loop = cm_loop_new();
    rig->http = http_client_new(rig->loop);
    rig->timeout = cm_timer_new(rig->loop, on_timeout, rig);
}

void rig_close(struct rig *rig)
{
    http_client_free(rig->http);
    cm_timer_free(rig->timeout);
    cm_loop_free(rig->loop);
}

static bool flag_set(void *arg)
{
    return *(const bool *)arg;
}

void rig_wait(struct rig *rig, bool (*check)(void *arg), void *arg)
{
    rig->expired = false;
    cm_timer_start(rig->timeout, WAIT_MS);
    while (!check(arg)) {
        cm_loop_turn(rig->loop, true);
        if (rig->expired)
            fail_msg("timed out");
    }
    cm_timer_stop(rig->timeout);
}

void rig_until(struct rig *rig, const bool *flag)
{
    rig_wait(rig, flag_set, (void *)(uintptr_t)flag);
}

static void set_flag(void *arg)
{
    *(bool *)arg = true;
}

void rig_sleep(struct rig *rig, int64_t ms)
{
    bool over = false;
    struct cm_timer *timer = cm_timer_new(rig->loop, set_flag, &over);
    cm_timer_start(timer, ms);
    rig_until(rig, &over);
    cm_timer_free(timer);
}

/* ---- nodes -------------------------------------------------------------------------------- */

static void on_commit(void *arg)
{
    struct node *node = arg;
    struct cm_err err = CM_ERR_INIT;
    if (cs_commit(node->store, &err) < 0 && !node->frail)
        fail_msg("commit: %s", err.what);
    cm_err_fini(&err);
}

static void arm(void *arg)
{
    const struct node *node = arg;
    if (!node->held)
        cm_timer_start(node->commit, 0);
}

static void toy_verify(void *arg, const json_t *body, bool deleted, struct cs_verdict *ret)
{
    const json_t *first = json_array_get(cm_json_arr(body, "signatures"), 0); /* of trust:root */
    const char *value = cm_json_str_or(first ? first : cm_json_obj(body, "signature"), "value", "");
    (void)arg;
    (void)deleted;
    ret->serial = cm_json_int(body, "serial", 0);
    ret->valid = strcmp(value, TOY_GOOD) == 0;
    if (!ret->valid)
        snprintf(ret->reason, sizeof(ret->reason), "the signature does not verify");
}

static bool toy_wants_back(void *arg, const char *peer)
{
    const struct node *node = arg;
    return node->restored && strcmp(peer, "edge") == 0;
}

static void toy_gave_back(void *arg, const char *peer)
{
    struct node *node = arg;
    assert_string_equal(peer, "edge");
    node->gave_back++;
    node->restored = false;
}

static void toy_take_back(void *arg, const char *peer)
{
    struct node *node = arg;
    assert_string_equal(peer, "edge");
    node->take_back++;
    node->restored = true;
}

static void toy_brought(void *arg, const char *peer, const json_t *body)
{
    struct node *node = arg;
    assert_string_equal(peer, "edge");
    assert_non_null(cm_json_str(body, "type"));
    node->brought++;
}

static bool toy_peer(void *arg, const struct http_request *req, struct rp_peer *ret)
{
    const struct node *node = arg;
    const struct rig *rig = node->rig;
    if (!rig->peer)
        return false;
    if (node->tls && (!req->peer_spki || strcmp(req->peer_spki, node->spki_allowed) != 0))
        return false;
    *ret = (struct rp_peer){.name = rig->peer, .manager = rig->peer_manager};
    return true;
}

static int64_t limit(void *arg, const struct http_request *req)
{
    return rp_server_limit(((struct node *)arg)->server, req);
}

static void count_docs(struct node *node, const struct http_request *req)
{
    bool get = strstr(req->head.path, "/_bulk_get") != NULL;
    if (node->unread || (!get && !strstr(req->head.path, "/_bulk_docs")))
        return;
    json_t *body = NULL;
    cm_json_parse_lax(req->body, req->body_len, &body, NULL);
    size_t count = json_array_size(json_object_get(body, "docs"));
    json_decref(body);
    node->bulk_gets += get;
    node->bulk_docs += !get;
    node->docs_sent += count;
    if (count > node->largest_request)
        node->largest_request = count;
}

static void die(void *arg)
{
    struct node *node = arg;
    http_listener_free(node->listener);
    node->listener = NULL;
}

static bool lies(struct lie *lie, const struct http_request *req)
{
    return lie && (lie->times == 0 || lie->told < lie->times) &&
           strstr(req->head.path, lie->path) &&
           (!lie->query || strstr(req->head.query, lie->query));
}

static void handle(void *arg, struct http_exchange *ex)
{
    struct node *node = arg;
    const struct http_request *req = http_ex_request(ex);
    node->requests++;
    node->puts += req->head.method == HTTP_PUT;
    count_docs(node, req);
    if (strstr(req->head.path, "/_revs_diff") && !node->first_diff[0])
        snprintf(node->first_diff, sizeof(node->first_diff), "%.*s",
                 (int)sizeof(node->first_diff) - 1, req->body);
    if (strstr(req->head.path, "/_changes") && strstr(req->head.query, "since=0"))
        node->from_zero += strstr(req->head.query, "since=0-") == NULL;
    if (node->die_after > 0 && node->docs_sent >= node->die_after && !node->dead) {
        node->dead = true;
        cm_loop_defer(node->rig->loop, die, node); /* this request gets no answer */
        return;
    }
    if (node->answer && node->answer(node->answer_arg, req, ex))
        return;
    if (lies(node->lie, req)) {
        node->lie->told++;
        http_ex_reply(ex, node->lie->status, "application/json", node->lie->text,
                      strlen(node->lie->text));
    } else if (node->body_max > 0 && req->body_len > node->body_max)
        http_ex_reply(ex, 504, "application/json", "{}", 2);
    else if (node->no_bulk_get && strstr(req->head.path, "/_bulk_get"))
        http_ex_reply(ex, 404, "application/json", "{}", 2);
    else if (node->poison && strstr(req->body, node->poison))
        http_ex_reply(ex, 200, "application/json", "{\"results\":[", 12);
    else if (node->fail_path && strstr(req->head.path, node->fail_path))
        http_ex_reply(ex, 500, "application/json", "{}", 2);
    else
        rp_server_handle(node->server, ex);
}

void node_listen(struct node *node)
{
    struct cm_err err = CM_ERR_INIT;
    const struct http_listen_opts opts = {.address = node->address,
                                          .fd = -1,
                                          .tls = node->tls,
                                          .limit = limit,
                                          .too_large = rp_server_too_large,
                                          .handler = handle,
                                          .arg = node};
    if (http_listen(node->rig->loop, &opts, &node->listener, &err) < 0)
        fail_msg("listen: %s", err.what);
    snprintf(node->address, sizeof(node->address), "%s", http_listener_address(node->listener));
    snprintf(node->url, sizeof(node->url), "http%s://%s/db", node->tls ? "s" : "", node->address);
}

static void open_store(struct node *node)
{
    struct cm_err err = CM_ERR_INIT;
    node->commit = cm_timer_new(node->rig->loop, on_commit, node);
    const struct cs_opts opts = {.dir = node->dir,
                                 .map_size = 1u << 28,
                                 .create = true,
                                 .policy = !node->lab,
                                 .verify = toy_verify,
                                 .arm = arm,
                                 .arm_arg = node};
    if (cs_open(&opts, &node->store, &err) < 0)
        fail_msg("cs_open: %s", err.what);
    node->server = rp_server_new(&(struct rp_server_opts){.loop = node->rig->loop,
                                                          .store = node->store,
                                                          .db = "db",
                                                          .lab = node->lab,
                                                          .peer = toy_peer,
                                                          .wants_back = toy_wants_back,
                                                          .gave_back = toy_gave_back,
                                                          .take_back = toy_take_back,
                                                          .brought = toy_brought,
                                                          .prove = node->prove,
                                                          .prove_arg = node->prove_arg,
                                                          .arg = node});
}

void node_start(struct rig *rig, struct node *node, const char *name, bool lab)
{
    *node = (struct node){.rig = rig, .name = name, .lab = lab, .address = "127.0.0.1:0"};
    assert_non_null(scratch_dir(node->dir, sizeof(node->dir), "rp-test"));
    open_store(node);
    node_listen(node);
}

void node_stop(struct node *node)
{
    http_listener_free(node->listener);
    node->listener = NULL;
}

void node_purge(struct node *node, const char *id)
{
    CM_AUTO_JSON doc = NULL;
    CM_AUTO_JSON revs = json_array();
    json_t *purged = NULL;
    assert_int_equal(cs_read_rev(node->store, id, NULL, false, false, &doc, NULL), 0);
    json_array_append(revs, json_object_get(doc, "_rev"));
    assert_int_equal(cs_purge(node->store, id, revs, &purged, NULL), 0);
    assert_int_equal(cs_commit(node->store, NULL), 0);
    json_decref(purged);
}

void node_close_store(struct node *node)
{
    cs_close(node->store);
    node->store = NULL;
}

static void shut(struct node *node)
{
    node_close_store(node);
    if (node->listener)
        node_stop(node);
    rp_server_free(node->server);
    cm_timer_free(node->commit);
}

void node_restart(struct node *node)
{
    shut(node);
    node->dead = false;
    open_store(node);
    node_listen(node);
}

void node_close(struct node *node)
{
    shut(node);
    DIR *dir = opendir(node->dir);
    assert_non_null(dir);
    for (const struct dirent *item; (item = readdir(dir)) != NULL;)
        if (item->d_name[0] != '.')
            unlinkat(dirfd(dir), item->d_name, 0);
    closedir(dir);
    rmdir(node->dir);
}

/* ---- requests ----------------------------------------------------------------------------- */

#define PARSED_MAX (4u << 20)

struct asking {
    const struct node *node;
    struct answer *answer;
    bool done;
};

static void on_answer(void *arg, const struct http_result *res)
{
    struct asking *asking = arg;
    struct answer *answer = asking->answer;
    answer->status = res->status;
    snprintf(answer->headers, sizeof(answer->headers), "%s", res->headers);
    snprintf(answer->text, sizeof(answer->text), "%s", res->body);
    answer->len = res->body_len;
    if (!asking->node->unread || res->body_len <= PARSED_MAX)
        cm_json_parse_lax(res->body, res->body_len, &answer->body, NULL);
    asking->done = true;
}

void answer_fini(struct answer *answer)
{
    json_decref(answer->body);
    *answer = (struct answer){0};
}

void ask_as(struct node *node, struct answer *answer, const char *method, const char *path,
            const char *header, const char *body)
{
    struct cm_err err = CM_ERR_INIT;
    struct asking asking = {.node = node, .answer = answer};
    const char *headers[] = {header, NULL};
    char url[1024];
    answer_fini(answer);
    snprintf(url, sizeof(url), "http://%s%s", node->address, path);
    const struct http_call_opts opts = {.method = method,
                                        .url = url,
                                        .headers = headers,
                                        .body = body,
                                        .body_len = body ? strlen(body) : 0,
                                        .reply_max = 32u << 20,
                                        .allow_http = true};
    if (!http_call(node->rig->http, &opts, on_answer, &asking, &err))
        fail_msg("http_call: %s", err.what);
    rig_until(node->rig, &asking.done);
}

void ask(struct node *node, struct answer *answer, const char *method, const char *path,
         const char *body)
{
    ask_as(node, answer, method, path, "Content-Type: application/json", body);
}

static int on_feed_data(void *arg, const void *data, size_t len)
{
    struct feed_reader *feed = arg;
    if (feed->len + len >= sizeof(feed->text))
        return -1;
    memcpy(feed->text + feed->len, data, len);
    feed->len += len;
    feed->text[feed->len] = '\0';
    return 0;
}

static void on_feed_done(void *arg, const struct http_result *res)
{
    struct feed_reader *feed = arg;
    feed->call = NULL;
    feed->status = res->status;
    if (feed->len == 0 && res->body) /* only the body of a success comes in pieces */
        snprintf(feed->text, sizeof(feed->text), "%s", res->body);
    feed->done = true;
}

void feed_start_as(struct node *node, struct feed_reader *feed, const char *method,
                   const char *path, const char *body)
{
    static const char *const json[] = {"Content-Type: application/json", NULL};
    struct cm_err err = CM_ERR_INIT;
    char url[1024];
    *feed = (struct feed_reader){0};
    snprintf(url, sizeof(url), "%s%s", node->url, path);
    const struct http_call_opts opts = {.method = method,
                                        .url = url,
                                        .headers = json,
                                        .body = body,
                                        .body_len = body ? strlen(body) : 0,
                                        .timeout_ms = -1,
                                        .allow_http = true,
                                        .on_data = on_feed_data};
    feed->call = http_call(node->rig->http, &opts, on_feed_done, feed, &err);
    if (!feed->call)
        fail_msg("http_call: %s", err.what);
}

void feed_start(struct node *node, struct feed_reader *feed, const char *path)
{
    feed_start_as(node, feed, "GET", path, NULL);
}

void feed_stop(struct feed_reader *feed)
{
    if (feed->call)
        http_call_cancel(feed->call);
    feed->call = NULL;
}

/* ---- clients ------------------------------------------------------------------------------ */

struct rp_client *client_start_with(struct node *from, struct node *to, bool pull, bool push)
{
    struct cm_err err = CM_ERR_INIT;
    struct rp_client *client = NULL;
    const struct rp_client_opts opts = {.loop = from->rig->loop,
                                        .store = from->store,
                                        .http = from->rig->http,
                                        .url = to->url,
                                        .cert_file = from->cert_file,
                                        .key_file = from->key_file,
                                        .pin_spki = from->pin,
                                        .allow_http = !to->tls,
                                        .lab = from->lab,
                                        .pull_only = !push,
                                        .push_only = !pull};
    if (rp_client_new(&opts, &client, &err) < 0)
        fail_msg("rp_client_new: %s", err.what);
    return client;
}

struct rp_client *client_start(struct node *from, struct node *to)
{
    return client_start_with(from, to, true, true);
}

json_t *client_part(struct rp_client *client, const char *direction)
{
    CM_AUTO_JSON status = rp_client_status(client);
    return json_incref(json_object_get(status, direction));
}

static bool part_live(struct rp_client *client, const char *direction)
{
    CM_AUTO_JSON part = client_part(client, direction);
    return !part || strcmp(cm_json_str_or(part, "state", ""), "live") == 0;
}

static bool client_live(void *arg)
{
    return part_live(arg, "pull") && part_live(arg, "push");
}

void client_settle(struct node *from, struct rp_client *client)
{
    rig_wait(from->rig, client_live, client);
    for (int i = 0; i < 10; i++) /* turns count, not time alone: a machine may have been away */
        rig_sleep(from->rig, 2);
    rig_wait(from->rig, client_live, client);
}

/* ---- documents ---------------------------------------------------------------------------- */

static json_t *toy_signature(const char *value)
{
    return json_pack("{s:s,s:s,s:s}", "by", "manager", "key", TOY_KEY, "value", value);
}

json_t *doc_settings(const char *name, int64_t serial, int64_t renew_days)
{
    CM_AUTO_STR id = cm_asprintf("settings:%s", name);
    return json_pack("{s:s,s:s,s:I,s:I,s:o}", "_id", id, "type", "settings", "serial",
                     (json_int_t)serial, "renew_days", (json_int_t)renew_days, "signature",
                     toy_signature(TOY_GOOD));
}

json_t *doc_receipt(const char *server, const char *ulid, int64_t serial, const char *state)
{
    CM_AUTO_STR id = cm_asprintf("receipt:%s:%s", server, ulid);
    return json_pack("{s:s,s:s,s:I,s:s,s:s,s:s,s:s,s:o}", "_id", id, "type", "receipt", "serial",
                     (json_int_t)serial, "server", server, "credential", ulid, "state", state, "at",
                     TOY_TIME, "signature", toy_signature(TOY_GOOD));
}

void doc_forge(json_t *doc)
{
    cm_json_set(doc, "signature", toy_signature(TOY_BAD));
}

void put_doc(struct node *node, json_t *take, char *ret_rev)
{
    CM_AUTO_JSON doc = take;
    struct cm_err err = CM_ERR_INIT;
    struct cs_result res = {0};
    int rc = node->lab ? cs_put_edit(node->store, doc, &res, &err)
                       : cs_put(node->store, doc, &res, &err);
    if (rc < 0)
        fail_msg("put: %s %s", err.what, res.reason);
    assert_int_equal(cs_commit(node->store, NULL), 0);
    if (ret_rev)
        snprintf(ret_rev, CS_REV_MAX + 1, "%s", res.rev);
}

bool same_leaves(struct node *a, struct node *b, const char *id)
{
    CM_AUTO_JSON left = NULL;
    CM_AUTO_JSON right = NULL;
    if (cs_read_leaves(a->store, id, true, &left, NULL) < 0 ||
        cs_read_leaves(b->store, id, true, &right, NULL) < 0)
        return false;
    return json_equal(left, right) != 0;
}
