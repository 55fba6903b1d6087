/* The model.  See model.h. */
#include "tests/fault/model.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/core/mem.h"

enum op { OP_PUT, OP_DELETE, OP_REPLICATE, OP_KV, OP_KV_DELETE, OPS };

/* splitmix64: the operation's number decides what it does. */
uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15ULL;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
}

static enum op op_of(const struct model *m, int64_t n, size_t *ret_key)
{
    uint64_t x = mix(m->seed ^ (uint64_t)n);
    *ret_key = (size_t)(x >> 32) % MODEL_KEYS;
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

_Noreturn void die(const char *what, const struct cm_err *err)
{
    fprintf(stderr, "fault: %s%s%s\n", what, err ? ": " : "", err ? err->what : "");
    _exit(2);
}

static void accept_all(void *arg, const json_t *body, bool deleted, struct cs_verdict *ret)
{
    (void)arg;
    (void)deleted;
    ret->valid = true;
    ret->serial = cm_json_int(body, "serial", 0);
}

int model_open(const char *dir, struct cs_store **ret, struct cm_err *err)
{
    struct cs_opts opts = {.dir = dir, .create = true, .policy = true, .verify = accept_all};
    return cs_open(&opts, ret, err);
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

static int put_replicated(struct cs_store *store, const struct slot *slot, size_t key, int64_t n,
                          struct cm_err *err)
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
    int rc = cs_put_replicated(store, doc, "peer", &result, err);
    json_decref(doc);
    return rc == 0 && result.code < 0 ? cm_fail(err, result.code, "%s", result.reason) : rc;
}

static int put_kv(struct cs_store *store, const char *table, const char *key, int64_t n,
                  struct cm_err *err)
{
    json_t *value = json_integer(n);
    int rc = cs_kv_put(store, table, key, value, err);
    json_decref(value);
    return rc;
}

int model_perform(struct cs_store *store, struct model *m, int64_t n, struct cm_err *err)
{
    struct cs_result result;
    size_t key;
    enum op op = op_of(m, n, &key);
    char name[24];
    int rc;
    snprintf(name, sizeof(name), "k%zu", key);
    if (op == OP_PUT || op == OP_DELETE) {
        json_t *doc = document('o', key, n, op == OP_DELETE);
        rc = cs_put(store, doc, &result, err);
        json_decref(doc);
    } else if (op == OP_REPLICATE) {
        rc = put_replicated(store, slot_of(m, op, key), key, n, err);
    } else if (op == OP_KV) {
        rc = put_kv(store, "order", name, n, err);
    } else {
        rc = cs_kv_del(store, "order", name, err);
    }
    model_apply(m, n);
    return rc;
}

int model_batch(struct cs_store *store, struct model *m, int64_t done, int64_t end,
                struct cm_err *err)
{
    int rc = 0;
    while (rc == 0 && done < end)
        rc = model_perform(store, m, ++done, err);
    if (rc == 0)
        rc = put_kv(store, "state", "mark", end, err);
    int committed = cs_commit(store, rc == 0 ? err : NULL);
    return rc < 0 ? rc : committed;
}

/* ---- judging ---- */

static unsigned problems;
static bool silent;

__attribute__((format(printf, 1, 2))) static void tell(const char *fmt, ...)
{
    va_list ap;
    problems++;
    if (silent)
        return;
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
}

static void compare(const char *what, size_t key, int64_t found, int64_t expected)
{
    if (found == expected)
        return;
    tell("  %s %zu: operation %" PRId64 " found, %" PRId64 " expected\n", what, key, found,
         expected);
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
        tell("  check: %s\n", err.what);
    cm_err_fini(&err);
    json_t *found = cm_json_arr(report, "problems");
    for (size_t i = 0; i < json_array_size(found); i++)
        tell("  check: %s\n", json_string_value(json_array_get(found, i)));
    json_decref(report);
}

unsigned model_examine(const char *dir, struct model *m, int64_t before, int64_t acknowledged,
                       bool quiet, int64_t *ret_mark)
{
    struct cs_store *store = NULL;
    struct cm_err err = CM_ERR_INIT;
    char name[24];
    problems = 0;
    silent = quiet;
    *ret_mark = before;
    if (model_open(dir, &store, &err) < 0) {
        tell("  %s\n", err.what);
        cm_err_fini(&err);
        return problems;
    }
    int64_t mark = found_kv(store, "state", "mark");
    if (mark < acknowledged)
        tell("  operation %" PRId64 " was acknowledged, the store ends at %" PRId64 "\n",
             acknowledged, mark);
    for (int64_t n = before + 1; n <= mark; n++)
        model_apply(m, n);
    for (size_t key = 0; key < MODEL_KEYS; key++) {
        const struct slot *own = &m->own[key], *kv = &m->kv[key];
        snprintf(name, sizeof(name), "k%zu", key);
        compare("document", key, found_doc(store, 'o', key), own->gone ? -own->last : own->last);
        compare("replicated document", key, found_doc(store, 'r', key), m->replicated[key].last);
        compare("local value", key, found_kv(store, "order", name), kv->gone ? 0 : kv->last);
    }
    check_sound(store);
    cs_close(store);
    *ret_mark = mark;
    return problems;
}

void remove_store(const char *dir)
{
    static const char *const files[] = {"data.mdb", "lock.mdb", "store.lock"};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        char *path = cm_asprintf("%s/%s", dir, files[i]);
        unlink(path);
        cm_free(path);
    }
    rmdir(dir);
}
