/* Documents from peers: JSON, schema, canonical form, replicated put with and without policy. */
#include <stdint.h>

#include "certstore/schema.h"
#include "tests/fuzz/scratch_store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define COMMIT_EVERY 64

static unsigned runs;

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
    if (!scratch_store[0])
        scratch_open();
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
    for (int i = 0; i < SCRATCH_COUNT; i++) {
        CM_BUG_ON(cs_put_replicated(scratch_store[i], doc, "peer", &result, NULL) < 0);
        if (result.code == 0 && result.changed)
            check_stored(scratch_store[i], doc, &result);
        CM_BUG_ON(result.code < 0 && result.reason[0] == '\0');
    }
    cs_put_edit(scratch_store[0], doc, &result, NULL);
    if (++runs % COMMIT_EVERY == 0)
        for (int i = 0; i < SCRATCH_COUNT; i++)
            CM_BUG_ON(cs_commit(scratch_store[i], NULL) < 0);
    json_decref(doc);
    return 0;
}
