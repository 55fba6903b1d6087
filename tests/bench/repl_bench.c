/*
 * The C half of the replication benchmark: what replication.py measures from outside, and what can
 * only be measured inside.  One line of JSON on standard output per command; times in milliseconds
 * of the monotonic clock, which two processes share.
 *
 *   repl-bench fill DIR COUNT                    COUNT signed documents in DIR/source
 *   repl-bench serve DIR ADDRESS [COUNT EVERY]   serves DIR/source until SIGTERM; puts COUNT
 *                                                documents, one every EVERY ms, and shows when
 *   repl-bench pull DIR TARGET URL COUNT [MORE]  pulls into DIR/TARGET until COUNT are there, then
 *                                                once more; waits for MORE and shows when they came
 *   repl-bench scale DIR TARGET                  opens DIR/TARGET, reads pages of 50
 *   repl-bench bodies DIR COUNT OUT              _bulk_docs bodies of 500 documents, one a line
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/core/clock.h"
#include "base/core/file.h"
#include "base/core/json.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "base/core/num.h"
#include "replicator/replicator.h"
#include "tests/bench/repl_node.h"

#define FILL_BATCH   500
#define PAGE_ROWS    50
#define PAGES        200
#define SERIAL_FIRST 1700000000000LL
#define PUT_SERIAL   (SERIAL_FIRST + 1000000000LL)
#define CONNS_MAX    4000
#define TIMEOUT_MS   300000

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static double cpu_ms(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e3 +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e3;
}

static void show(json_t *take)
{
    CM_AUTO_JSON v = take;
    CM_AUTO_STR text = cm_json_dump(v, NULL);
    puts(text);
    fflush(stdout);
}

static int64_t number(const char *text)
{
    int64_t value = 0;
    if (cm_num_i64(text, 0, 100000000, &value) < 0) {
        fprintf(stderr, "repl-bench: \"%s\" is not a count\n", text);
        exit(2);
    }
    return value;
}

/* ---- fill --------------------------------------------------------------------------------- */

static int put_new(const struct bench_fleet *fleet, struct bench_node *node, int64_t at,
                   int64_t serial, struct cm_err *err)
{
    json_t *doc = NULL;
    struct cs_result res;
    int rc = bench_document(fleet, at, serial, NULL, &doc, err);
    if (rc == 0)
        rc = cs_put(node->store, doc, &res, err);
    json_decref(doc);
    return rc;
}

static int fill(const struct bench_fleet *fleet, int64_t count, struct cm_err *err)
{
    struct bench_node node;
    CM_AUTO_STR dir = bench_path(fleet, "source");
    int rc = bench_node_open(fleet, "source", dir, &node, err);
    double begun = now_ms();
    for (int64_t i = 0; i < count && rc == 0; i++) {
        rc = put_new(fleet, &node, i, SERIAL_FIRST + i, err);
        if (rc == 0 && i % FILL_BATCH == FILL_BATCH - 1)
            rc = cs_commit(node.store, err);
    }
    if (rc == 0)
        rc = cs_commit(node.store, err);
    if (rc == 0)
        show(json_pack("{s:I, s:f}", "documents", (json_int_t)cs_doc_count(node.store), "wall",
                       now_ms() - begun));
    bench_node_close(&node);
    return rc;
}

/* ---- serve -------------------------------------------------------------------------------- */

struct serve {
    const struct bench_fleet *fleet;
    struct bench_node node;
    struct cm_timer *timer;
    int64_t left, every, put;
    json_t *times; /* of the puts */
};

static bool peer(void *arg, const struct http_request *req, struct rp_peer *ret)
{
    struct serve *s = arg;
    const struct kf_server *server =
        req->peer_spki ? kf_trust_by_tls(fleet_trust(s->node.fleet), req->peer_spki) : NULL;
    if (server)
        *ret = (struct rp_peer){.name = server->name, .manager = server->manager};
    return server != NULL;
}

static bool peer_ok(void *arg, const char *spki_hex)
{
    struct serve *s = arg;
    return kf_trust_by_tls(fleet_trust(s->node.fleet), spki_hex) != NULL;
}

static void on_timer(void *arg)
{
    struct serve *s = arg;
    struct cm_err err = CM_ERR_INIT;
    double begun = now_ms();
    if (put_new(s->fleet, &s->node, s->put, PUT_SERIAL + s->put, &err) < 0)
        cm_log_err(CM_LOG_ERROR, "bench", &err);
    cm_err_fini(&err);
    s->put++;
    json_array_append_new(s->times, json_real(begun));
    if (--s->left > 0)
        cm_timer_start(s->timer, s->every);
    else
        show(json_incref(s->times));
}

static void on_term(void *arg)
{
    cm_loop_stop(arg);
}

static int serve(const struct bench_fleet *fleet, const char *address, int64_t count, int64_t every,
                 struct cm_err *err)
{
    struct serve s = {.fleet = fleet, .left = count, .every = every, .times = json_array()};
    CM_AUTO_STR dir = bench_path(fleet, "source");
    CM_AUTO_STR cert = bench_path(fleet, "source-tls.crt");
    CM_AUTO_STR key = bench_path(fleet, "source-tls.key");
    struct tls_server *tls = NULL;
    struct http_listener *listener = NULL;
    const struct tls_server_opts to = {
        .cert_file = cert, .key_file = key, .ask_client_cert = true, .peer_ok = peer_ok, .arg = &s};
    int rc = bench_node_open(fleet, "source", dir, &s.node, err);
    if (rc == 0)
        rc = tls_server_new(&to, &tls, err);
    if (rc < 0)
        return rc;
    struct rp_server *server = rp_server_new(&(struct rp_server_opts){.loop = s.node.loop,
                                                                      .store = s.node.store,
                                                                      .db = "certstore",
                                                                      .peer = peer,
                                                                      .arg = &s,
                                                                      .prove = fleet_prove,
                                                                      .prove_arg = s.node.fleet});
    const struct http_listen_opts lo = {.address = address,
                                        .fd = -1,
                                        .tls = tls,
                                        .limit = rp_server_limit,
                                        .handler = rp_server_handle,
                                        .arg = server,
                                        .conns_max = CONNS_MAX,
                                        .conns_per_addr = CONNS_MAX};
    rc = http_listen(s.node.loop, &lo, &listener, err);
    if (rc == 0) {
        char spki[65];
        tls_spki_of_file(cert, spki, NULL);
        show(json_pack("{s:s, s:s}", "address", http_listener_address(listener), "spki", spki));
        s.timer = cm_timer_new(s.node.loop, on_timer, &s);
        if (count > 0)
            cm_timer_start(s.timer, 1000); /* the peer connects first */
        cm_loop_on_term(s.node.loop, on_term, s.node.loop);
        cm_loop_run(s.node.loop);
        cm_timer_free(s.timer);
    }
    http_listener_free(listener);
    bench_node_close_store(&s.node);
    rp_server_free(server);
    tls_server_free(tls);
    bench_node_close(&s.node);
    json_decref(s.times);
    return rc;
}

/* ---- pull --------------------------------------------------------------------------------- */

struct pull {
    struct bench_node node;
    struct rp_client *client;
    int64_t more;
    json_t *times; /* of batches that became durable here */
};

static void on_batch(void *arg, size_t documents)
{
    struct pull *p = arg;
    for (size_t i = 0; i < documents; i++)
        json_array_append_new(p->times, json_real(now_ms()));
}

/* Turns the loop until the client listens and `count` documents are here; false when it does not
 * come to that. */
static bool settle(struct pull *p, int64_t count)
{
    double end = now_ms() + TIMEOUT_MS;
    while (now_ms() < end) {
        if (cs_doc_count(p->node.store) < count) {
            cm_loop_turn(p->node.loop, true);
            continue;
        }
        CM_AUTO_JSON status = rp_client_status(p->client);
        const json_t *row = cm_json_obj(status, "pull");
        bool live = strcmp(cm_json_str_or(row, "state", ""), "live") == 0;
        if (live)
            return true;
        cm_loop_turn(p->node.loop, true);
    }
    return false;
}

static int start(struct pull *p, const struct bench_fleet *fleet, struct http_client *http,
                 const char *url, struct cm_err *err)
{
    CM_AUTO_STR cert = bench_path(fleet, "target-tls.crt");
    CM_AUTO_STR key = bench_path(fleet, "target-tls.key");
    CM_AUTO_STR source = bench_path(fleet, "source-tls.crt");
    char spki[65];
    bool tls = strncmp(url, "https:", 6) == 0;
    int rc = tls_spki_of_file(source, spki, err);
    const struct rp_client_opts opts = {.loop = p->node.loop,
                                        .store = p->node.store,
                                        .http = http,
                                        .url = url,
                                        .cert_file = tls ? cert : NULL,
                                        .key_file = tls ? key : NULL,
                                        .pin_spki = tls ? spki : NULL,
                                        .allow_http = !tls,
                                        .pull_only = true,
                                        .on_batch = on_batch,
                                        .arg = p,
                                        .prove = fleet_prove,
                                        .prove_arg = p->node.fleet};
    return rc < 0 ? rc : rp_client_new(&opts, &p->client, err);
}

/* The client stays a listener of its store: both end together. */
static void stop(struct pull *p)
{
    bench_node_close_store(&p->node);
    rp_client_free(p->client);
    p->client = NULL;
}

/* Opens the store, pulls until it is live; *ret_ms of it. */
static int round_of(struct pull *p, const struct bench_fleet *fleet, struct http_client **http,
                    const char *dir, const char *url, int64_t count, double *ret_ms,
                    struct cm_err *err)
{
    int rc = bench_node_open(fleet, "target", dir, &p->node, err);
    if (rc < 0)
        return rc;
    *http = http_client_new(p->node.loop);
    double begun = now_ms();
    rc = start(p, fleet, *http, url, err);
    if (rc == 0 && !settle(p, count))
        rc = cm_fail(err, CM_ETIMEOUT, "the pull does not end: %lld documents of %lld",
                     (long long)cs_doc_count(p->node.store), (long long)count);
    *ret_ms = now_ms() - begun;
    return rc;
}

static void round_end(struct pull *p, struct http_client *http)
{
    stop(p);
    http_client_free(http);
    bench_node_close(&p->node);
}

static int pull(const struct bench_fleet *fleet, const char *target, const char *url, int64_t count,
                int64_t more, struct cm_err *err)
{
    struct pull p = {.times = json_array()};
    struct http_client *http = NULL;
    CM_AUTO_STR dir = bench_path(fleet, target);
    double wall = 0, again = 0, cpu = cpu_ms(), from = now_ms();
    int rc = round_of(&p, fleet, &http, dir, url, count, &wall, err);
    cpu = cpu_ms() - cpu;
    int64_t documents = rc == 0 ? cs_doc_count(p.node.store) : 0;
    /* Let the checkpoint be written: it follows the last batch. */
    for (double end = now_ms() + RP_GATHER_PULL_MS + 2500;
         rc == 0 && more == 0 && now_ms() < end;) {
        struct timespec pause = {.tv_nsec = 2000000};
        cm_loop_turn(p.node.loop, false);
        nanosleep(&pause, NULL);
    }
    json_array_clear(p.times);
    if (rc == 0 && more > 0) {
        puts("{\"live\":true}");
        fflush(stdout);
        for (double end = now_ms() + TIMEOUT_MS;
             json_array_size(p.times) < (size_t)more && now_ms() < end;)
            cm_loop_turn(p.node.loop, true);
    }
    round_end(&p, http);
    if (rc == 0 && more == 0) {
        rc = round_of(&p, fleet, &http, dir, url, count, &again, err);
        round_end(&p, http);
    }
    if (rc == 0)
        show(json_pack("{s:I, s:f, s:f, s:f, s:f, s:O}", "documents", (json_int_t)documents, "from",
                       from, "wall", wall, "cpu", cpu, "again", again, "times", p.times));
    json_decref(p.times);
    return rc;
}

/* ---- scale -------------------------------------------------------------------------------- */

struct page {
    struct bench_node *node;
    size_t rows;
    char key[CS_ID_MAX + 1], id[CS_ID_MAX + 1];
    char rowid[PAGE_ROWS][CS_ID_MAX + 1];
};

static int one_row(void *arg, const char *key, const char *id)
{
    struct page *page = arg;
    cm_strcpy(page->key, sizeof(page->key), key);
    cm_strcpy(page->id, sizeof(page->id), id);
    cm_strcpy(page->rowid[page->rows++], sizeof(page->rowid[0]), id);
    return page->rows == PAGE_ROWS;
}

static long rss_kb(void)
{
    CM_AUTO_STR text = NULL;
    size_t len = 0;
    if (cm_file_read("/proc/self/smaps_rollup", 1u << 16, &text, &len, NULL) < 0)
        return 0;
    const char *anonymous = strstr(text, "\nAnonymous:");
    return anonymous ? strtol(anonymous + 11, NULL, 10) : 0;
}

static int by_time(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Anonymous memory: what the process owns; LMDB's map is the page cache's. */
static int scale(const struct bench_fleet *fleet, const char *target, struct cm_err *err)
{
    struct bench_node node;
    struct page page = {.node = &node};
    static double took[PAGES];
    CM_AUTO_STR dir = bench_path(fleet, target);
    double begun = now_ms();
    int rc = bench_node_open(fleet, "target", dir, &node, err);
    double opened = now_ms() - begun;
    long before = rss_kb();
    for (size_t i = 0; i < PAGES && rc == 0; i++) {
        double at = now_ms();
        page.rows = 0;
        cs_each(node.store, CS_BY_HOST, "", page.key[0] ? page.key : NULL,
                page.key[0] ? page.id : NULL, one_row, &page);
        for (size_t row = 0; row < page.rows; row++)
            json_decref(cs_peek_body(node.store, page.rowid[row]));
        if (page.rows < PAGE_ROWS)
            page.key[0] = '\0';
        took[i] = now_ms() - at;
    }
    if (rc == 0) {
        qsort(took, PAGES, sizeof(took[0]), by_time);
        show(json_pack("{s:I, s:f, s:f, s:f, s:I, s:I}", "documents",
                       (json_int_t)cs_doc_count(node.store), "open", opened, "page",
                       took[PAGES / 2], "page_p90", took[PAGES * 9 / 10], "opened_kb",
                       (json_int_t)before, "paged_kb", (json_int_t)rss_kb()));
    }
    bench_node_close(&node);
    return rc;
}

/* ---- bodies ------------------------------------------------------------------------------- */

static int bodies(const struct bench_fleet *fleet, int64_t count, const char *path,
                  struct cm_err *err)
{
    FILE *out = fopen(path, "w");
    int rc = out ? 0 : cm_fail(err, CM_EIO, "%s cannot be written", path);
    for (int64_t i = 0; i < count && rc == 0;) {
        CM_AUTO_JSON body = json_object();
        json_t *docs = json_array();
        for (int j = 0; j < FILL_BATCH && i < count && rc == 0; j++, i++) {
            json_t *doc = NULL;
            rc = bench_document(fleet, i, SERIAL_FIRST + i, NULL, &doc, err);
            if (rc < 0)
                break;
            uint8_t random[16];
            char rev[40] = "1-";
            cm_random(random, sizeof(random));
            cm_hex(random, sizeof(random), rev + 2);
            cm_json_set_str(doc, "_rev", rev);
            json_array_append_new(docs, doc);
        }
        cm_json_set_bool(body, "new_edits", false);
        cm_json_set(body, "docs", docs);
        CM_AUTO_STR text = cm_json_dump(body, NULL);
        fprintf(out, "%s\n", text);
    }
    if (out)
        fclose(out);
    return rc;
}

int main(int argc, char **argv)
{
    struct bench_fleet fleet;
    struct cm_err err = CM_ERR_INIT;
    cm_log_init("bench", CM_LOG_WARN);
    if (argc < 3) {
        fprintf(stderr, "usage: repl-bench fill|serve|pull|scale|bodies DIR …\n");
        return 2;
    }
    int rc = bench_fleet_open(argv[2], &fleet, &err);
    if (rc < 0)
        ;
    else if (strcmp(argv[1], "fill") == 0 && argc == 4)
        rc = fill(&fleet, number(argv[3]), &err);
    else if (strcmp(argv[1], "serve") == 0 && (argc == 4 || argc == 6))
        rc = serve(&fleet, argv[3], argc == 6 ? number(argv[4]) : 0,
                   argc == 6 ? number(argv[5]) : 0, &err);
    else if (strcmp(argv[1], "pull") == 0 && (argc == 6 || argc == 7))
        rc = pull(&fleet, argv[3], argv[4], number(argv[5]), argc == 7 ? number(argv[6]) : 0, &err);
    else if (strcmp(argv[1], "scale") == 0 && argc == 4)
        rc = scale(&fleet, argv[3], &err);
    else if (strcmp(argv[1], "bodies") == 0 && argc == 5)
        rc = bodies(&fleet, number(argv[3]), argv[4], &err);
    else
        rc = cm_fail(&err, CM_EINVAL, "no such command, or other arguments are needed");
    if (rc < 0)
        cm_log_err(CM_LOG_ERROR, "bench", &err);
    cm_err_fini(&err);
    bench_fleet_close(&fleet);
    return rc < 0 ? 1 : 0;
}
