/*
 * SIGKILL at random moments.  A child writes signed documents, replicated documents, tombstones and
 * local values in batches and acknowledges each commit through a pipe; the parent kills it, opens
 * the store and compares everything with a model.  What was written is a function of the
 * operation's number, so the parent knows exactly what must be there: all batches up to the stored
 * mark, the mark not below the last acknowledgement, and nothing of a batch that did not commit.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/core/clock.h"
#include "base/core/mem.h"
#include "base/core/num.h"
#include "certstore/store.h"

#define KEYS       60
#define BATCH_MAX  12
#define ROUNDS_MAX 100000
#define KILL_MS    40 /* after the first acknowledgement, at most */

enum op { OP_PUT, OP_DELETE, OP_REPLICATE, OP_KV, OP_KV_DELETE, OPS };

struct slot {
    int64_t last; /* operation that wrote it last; 0 = never */
    bool gone;
    int64_t generation, parent; /* of replicated documents: parent = operation of the last one */
};

struct model {
    uint64_t seed;
    struct slot own[KEYS], replicated[KEYS], kv[KEYS];
};

/* splitmix64: the operation's number decides what it does. */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15ULL;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
}

static enum op op_of(const struct model *m, int64_t n, size_t *ret_key)
{
    uint64_t x = mix(m->seed ^ (uint64_t)n);
    *ret_key = (size_t)(x >> 32) % KEYS;
    unsigned dice = (unsigned)(x & 0xff);
    return dice < 90    ? OP_PUT
           : dice < 120 ? OP_DELETE
           : dice < 190 ? OP_REPLICATE
           : dice < 235 ? OP_KV
                        : OP_KV_DELETE;
}

static struct slot *slot_of(struct model *m, enum op op, size_t key)
{
    return op == OP_REPLICATE                  ? &m->replicated[key]
           : op == OP_KV || op == OP_KV_DELETE ? &m->kv[key]
                                               : &m->own[key];
}

static void model_apply(struct model *m, int64_t n)
{
    size_t key;
    enum op op = op_of(m, n, &key);
    struct slot *slot = slot_of(m, op, key);
    slot->last = n;
    slot->gone = op == OP_DELETE || op == OP_KV_DELETE;
    if (op == OP_REPLICATE) {
        slot->generation++;
        slot->parent = n;
    }
}

static void die(const char *what, const struct cm_err *err)
{
    fprintf(stderr, "kill_store: %s%s%s\n", what, err ? ": " : "", err ? err->what : "");
    exit(2);
}

static void accept_all(void *arg, const json_t *body, bool deleted, struct cs_verdict *ret)
{
    (void)arg;
    (void)deleted;
    ret->valid = true;
    ret->serial = cm_json_int(body, "serial", 0);
}

static struct cs_store *open_store(const char *dir)
{
    struct cm_err err = CM_ERR_INIT;
    struct cs_store *store;
    struct cs_opts opts = {.dir = dir, .create = true, .policy = true, .verify = accept_all};
    if (cs_open(&opts, &store, &err) < 0)
        die("cannot open the store", &err);
    return store;
}

static json_t *document(char kind, size_t key, int64_t n, bool deleted)
{
    char id[40];
    snprintf(id, sizeof(id), "settings:%c%zu", kind, key);
    json_t *doc = json_object();
    cm_json_set_str(doc, "_id", id);
    cm_json_set_str(doc, "type", "settings");
    cm_json_set_int(doc, "serial", n);
    if (!deleted)
        cm_json_set_int(doc, "renew_days", n % 3650);
    cm_json_set(doc, "signature",
                json_pack("{s:s,s:s,s:s}", "by", "manager", "key",
                          "00112233445566778899aabbccddeeff", "value", "x"));
    if (deleted)
        cm_json_set_bool(doc, "_deleted", true);
    return doc;
}

static void name_rev(char out[CS_REV_MAX + 1], int64_t generation, int64_t n)
{
    snprintf(out, CS_REV_MAX + 1, "%" PRId64 "-%032" PRIx64, generation, (uint64_t)n);
}

/* ---- child ---------------------------------------------------------------------------------- */

static void put_replicated(struct cs_store *store, const struct slot *slot, size_t key, int64_t n)
{
    struct cs_result result;
    char rev[CS_REV_MAX + 1], parent[CS_REV_MAX + 1];
    json_t *doc = document('r', key, n, false), *ids = json_array();
    name_rev(rev, slot->generation + 1, n);
    json_array_append_new(ids, json_string(strchr(rev, '-') + 1));
    if (slot->generation > 0) {
        name_rev(parent, slot->generation, slot->parent);
        json_array_append_new(ids, json_string(strchr(parent, '-') + 1));
    }
    cm_json_set_str(doc, "_rev", rev);
    cm_json_set(doc, "_revisions",
                json_pack("{s:I,s:o}", "start", (json_int_t)slot->generation + 1, "ids", ids));
    if (cs_put_replicated(store, doc, "peer", &result, NULL) < 0 || result.code < 0)
        die(result.reason, NULL);
    json_decref(doc);
}

static void put_kv(struct cs_store *store, const char *table, const char *key, int64_t n)
{
    struct cm_err err = CM_ERR_INIT;
    json_t *value = json_integer(n);
    if (cs_kv_put(store, table, key, value, &err) < 0)
        die("cs_kv_put", &err);
    json_decref(value);
}

static void perform(struct cs_store *store, struct model *m, int64_t n)
{
    struct cm_err err = CM_ERR_INIT;
    struct cs_result result;
    size_t key;
    enum op op = op_of(m, n, &key);
    char name[24];
    snprintf(name, sizeof(name), "k%zu", key);
    if (op == OP_PUT || op == OP_DELETE) {
        json_t *doc = document('o', key, n, op == OP_DELETE);
        if (cs_put(store, doc, &result, &err) < 0)
            die("cs_put", &err);
        json_decref(doc);
    } else if (op == OP_REPLICATE) {
        put_replicated(store, slot_of(m, op, key), key, n);
    } else if (op == OP_KV) {
        put_kv(store, "order", name, n);
    } else if (cs_kv_del(store, "order", name, &err) < 0) {
        die("cs_kv_del", &err);
    }
    model_apply(m, n);
}

static void child_main(const char *dir, struct model *m, int64_t done, uint64_t random, int out)
{
    struct cm_err err = CM_ERR_INIT;
    struct cs_store *store = open_store(dir);
    for (;;) {
        random = mix(random);
        int64_t end = done + 1 + (int64_t)(random % BATCH_MAX);
        while (done < end)
            perform(store, m, ++done);
        put_kv(store, "state", "mark", done);
        if (cs_commit(store, &err) < 0)
            die("cs_commit", &err);
        if (write(out, &done, sizeof(done)) != sizeof(done))
            _exit(0);
    }
}

/* ---- parent ---------------------------------------------------------------------------------- */

static unsigned problems;

static void compare(const char *what, size_t key, int64_t found, int64_t expected)
{
    if (found == expected)
        return;
    fprintf(stderr, "  %s %zu: operation %" PRId64 " found, %" PRId64 " expected\n", what, key,
            found, expected);
    problems++;
}

/* Operation of the newest version, negative for a tombstone, 0 when there is none. */
static int64_t found_doc(struct cs_store *store, char kind, size_t key)
{
    char id[40];
    json_t *doc = NULL;
    snprintf(id, sizeof(id), "settings:%c%zu", kind, key);
    if (cs_read_rev(store, id, NULL, false, false, &doc, NULL) < 0)
        return 0;
    int64_t n = cm_json_int(doc, "serial", 0);
    bool deleted = cm_json_bool(doc, "_deleted", false);
    if (!deleted && cm_json_int(doc, "renew_days", -1) != n % 3650)
        n = -1;
    /* The effective version must be the same one. */
    json_t *body = cs_get_body(store, id);
    if (deleted ? body != NULL : cm_json_int(body, "serial", 0) != n)
        n = -2;
    json_decref(body);
    json_decref(doc);
    return deleted ? -n : n;
}

static int64_t found_kv(struct cs_store *store, const char *table, const char *key)
{
    json_t *value = cs_kv_get(store, table, key);
    int64_t n = value ? (int64_t)json_integer_value(value) : 0;
    json_decref(value);
    return n;
}

static void check_sound(struct cs_store *store)
{
    json_t *report = NULL;
    struct cm_err err = CM_ERR_INIT;
    if (cs_check(store, &report, &err) < 0)
        die("cs_check", &err);
    json_t *found = cm_json_arr(report, "problems");
    for (size_t i = 0; i < json_array_size(found); i++)
        fprintf(stderr, "  check: %s\n", json_string_value(json_array_get(found, i)));
    problems += (unsigned)json_array_size(found);
    json_decref(report);
}

/* Brings the model to the stored mark and compares.  Returns the mark. */
static int64_t examine(const char *dir, struct model *m, int64_t before, int64_t acknowledged)
{
    struct cs_store *store = open_store(dir);
    int64_t mark = found_kv(store, "state", "mark");
    char name[24];
    if (mark < acknowledged) {
        fprintf(stderr, "  operation %" PRId64 " was acknowledged, the store ends at %" PRId64 "\n",
                acknowledged, mark);
        problems++;
    }
    for (int64_t n = before + 1; n <= mark; n++)
        model_apply(m, n);
    for (size_t key = 0; key < KEYS; key++) {
        const struct slot *own = &m->own[key], *kv = &m->kv[key];
        snprintf(name, sizeof(name), "k%zu", key);
        compare("document", key, found_doc(store, 'o', key), own->gone ? -own->last : own->last);
        compare("replicated document", key, found_doc(store, 'r', key), m->replicated[key].last);
        compare("local value", key, found_kv(store, "order", name), kv->gone ? 0 : kv->last);
    }
    check_sound(store);
    cs_close(store);
    return mark;
}

static void sleep_us(uint64_t us)
{
    struct timespec t = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000};
    nanosleep(&t, NULL);
}

/* One life of a child.  Returns the last acknowledged operation. */
static int64_t run_and_kill(const char *dir, const struct model *m, int64_t done, uint64_t random)
{
    int ends[2], status;
    int64_t acknowledged = 0, n;
    if (pipe(ends) != 0)
        die("pipe", NULL);
    pid_t child = fork();
    if (child < 0)
        die("fork", NULL);
    if (child == 0) {
        struct model copy = *m;
        close(ends[0]);
        child_main(dir, &copy, done, random, ends[1]);
        _exit(0);
    }
    close(ends[1]);
    /* Every fourth dies while opening; the others some time after their first commit. */
    if (random % 4 != 0 && read(ends[0], &n, sizeof(n)) == sizeof(n))
        acknowledged = n;
    sleep_us(mix(random) % (KILL_MS * 1000));
    kill(child, SIGKILL);
    if (waitpid(child, &status, 0) != child)
        die("waitpid", NULL);
    if (!WIFSIGNALED(status)) {
        fprintf(stderr, "  the child ended by itself (status %d)\n", status);
        problems++;
    }
    while (read(ends[0], &n, sizeof(n)) == sizeof(n))
        acknowledged = n;
    close(ends[0]);
    return acknowledged;
}

static void remove_dir(const char *dir)
{
    static const char *const files[] = {"data.mdb", "lock.mdb", "store.lock"};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        char *path = cm_asprintf("%s/%s", dir, files[i]);
        unlink(path);
        cm_free(path);
    }
    rmdir(dir);
}

int main(int argc, char **argv)
{
    int64_t rounds = 100, seed = cm_now_ms(), mark = 0, kills_after_ack = 0;
    for (int i = 1; i + 1 < argc; i += 2) {
        int64_t *value = strcmp(argv[i], "--rounds") == 0 ? &rounds
                         : strcmp(argv[i], "--seed") == 0 ? &seed
                                                          : NULL;
        if (!value || cm_num_i64(argv[i + 1], 1, INT64_MAX, value) < 0)
            die("usage: kill_store [--rounds N] [--seed N]", NULL);
    }
    if (rounds > ROUNDS_MAX)
        rounds = ROUNDS_MAX;
    const char *tmp = getenv("TMPDIR");
    char *dir = cm_asprintf("%s/kill-store-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(dir))
        die("mkdtemp", NULL);
    printf("seed %" PRId64 ", %" PRId64 " kills\n", seed, rounds);
    fflush(stdout);
    struct model model = {.seed = mix((uint64_t)seed)};
    int64_t round = 0;
    for (; round < rounds && problems == 0; round++) {
        int64_t acknowledged =
            run_and_kill(dir, &model, mark, mix((uint64_t)seed + (uint64_t)round));
        kills_after_ack += acknowledged > 0;
        mark = examine(dir, &model, mark, acknowledged);
    }
    printf("%" PRId64 " kills, %" PRId64 " of them after an acknowledgement, %" PRId64
           " operations, %u problems\n",
           round, kills_after_ack, mark, problems);
    /* A run whose children never wrote anything proves nothing. */
    if (kills_after_ack * 2 < rounds)
        die("most children died before their first commit", NULL);
    if (problems == 0)
        remove_dir(dir);
    else
        fprintf(stderr, "the store is left in %s; repeat with --seed %" PRId64 "\n", dir, seed);
    cm_free(dir);
    return problems == 0 ? 0 : 1;
}
