/* Documents from peers: JSON, schema, canonical form, replicated put with and without policy. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/core/mem.h"
#include "certstore/schema.h"
#include "certstore/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define COMMIT_EVERY 64

static struct cs_store *stores[2]; /* without and with policy */
static char dirs[2][64];
static unsigned runs;

static void accept_all(void *arg, const json_t *body, bool deleted, struct cs_verdict *ret)
{
    (void)arg;
    (void)deleted;
    ret->valid = true;
    ret->serial = cm_json_int(body, "serial", 0);
}

static void close_stores(void)
{
    static const char *const files[] = {"data.mdb", "lock.mdb", "store.lock"};
    for (int i = 0; i < 2; i++) {
        cs_close(stores[i]);
        for (size_t f = 0; f < sizeof(files) / sizeof(files[0]); f++) {
            char path[128];
            snprintf(path, sizeof(path), "%s/%s", dirs[i], files[f]);
            unlink(path);
        }
        rmdir(dirs[i]);
    }
}

static void open_stores(void)
{
    for (int i = 0; i < 2; i++) {
        struct cm_err err = CM_ERR_INIT;
        snprintf(dirs[i], sizeof(dirs[i]), "/tmp/fuzz-document-XXXXXX");
        CM_BUG_ON(!mkdtemp(dirs[i]));
        struct cs_opts opts = {
            .dir = dirs[i], .create = true, .policy = i == 1, .verify = accept_all};
        CM_BUG_ON(cs_open(&opts, &stores[i], &err) < 0);
    }
    atexit(close_stores);
}

/* What was accepted as new reads back the same, byte for byte in canonical form. */
static void check_stored(struct cs_store *store, const json_t *doc, const struct cs_result *result)
{
    json_t *stored = NULL;
    CM_BUG_ON(cs_commit(store, NULL) < 0);
    CM_BUG_ON(cs_read_rev(store, cm_json_str(doc, "_id"), result->rev, true, false, &stored, NULL) <
              0);
    const char *key;
    json_t *value;
    json_object_foreach(stored, key, value)
        CM_BUG_ON(key[0] != '_' && !json_equal(value, json_object_get(doc, key)));
    json_decref(stored);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *doc = NULL;
    struct cs_result result;
    struct cm_buf text;
    if (!stores[0])
        open_stores();
    if (cm_json_parse_lax((const char *)data, size, &doc, NULL) < 0)
        return 0;
    if (json_is_object(doc)) {
        bool fits = cs_schema_check(doc, false, NULL) == 0;
        cs_schema_check(doc, true, NULL);
        cm_buf_init(&text, 4 << 20);
        int rc = cm_json_canonical(doc, &text, NULL);
        /* The schema lets nothing through that cannot be signed. */
        CM_BUG_ON(fits && rc < 0);
        cm_buf_fini(&text);
    }
    for (int i = 0; i < 2; i++) {
        CM_BUG_ON(cs_put_replicated(stores[i], doc, "peer", &result, NULL) < 0);
        if (result.code == 0 && result.changed)
            check_stored(stores[i], doc, &result);
        CM_BUG_ON(result.code < 0 && result.reason[0] == '\0');
    }
    cs_put_edit(stores[0], doc, &result, NULL);
    if (++runs % COMMIT_EVERY == 0)
        for (int i = 0; i < 2; i++)
            CM_BUG_ON(cs_commit(stores[i], NULL) < 0);
    json_decref(doc);
    return 0;
}
