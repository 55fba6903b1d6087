/* The fast JSON reader and writer beside jansson: what the reader takes has jansson's value, and
 * what the writer writes reads back the same. */
#include <stdint.h>
#include <string.h>

#include "base/core/json.h"
#include "base/core/json_text.h"
#include "base/core/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was taken apart reads as the whole does, or neither reads. */
static void check_split(const char *text, size_t size)
{
    struct cm_json_span *span;
    size_t count;
    json_t *rest, *whole = NULL;
    if (!cm_json_split(text, size, "docs", 16, &span, &count, &rest))
        return;
    json_t *docs = json_array();
    for (size_t i = 0; i < count; i++) {
        json_t *one = NULL;
        if (cm_json_parse_lax(span[i].at, span[i].len, &one, NULL) == 0)
            json_array_append_new(docs, one);
    }
    bool all = json_array_size(docs) == count;
    CM_BUG_ON((cm_json_parse_lax(text, size, &whole, NULL) == 0) != all);
    json_object_set_new(rest, "docs", docs);
    CM_BUG_ON(all && !json_equal(rest, whole));
    json_decref(whole);
    json_decref(rest);
    cm_free(span);
}

/* The parts of what is well-formed are well-formed, and none lies outside of it. */
static void check_parts(const char *text, size_t size, bool whole)
{
    struct cm_json_span *span;
    size_t count;
    CM_BUG_ON(whole && !cm_json_wellformed(text, size));
    if (!cm_json_parts(text, size, SIZE_MAX, &span, &count))
        return;
    for (size_t i = 0; i < count; i++) {
        CM_BUG_ON(span[i].at < text || span[i].at + span[i].len > text + size);
        bool name = *span[i].at == '"'; /* of a member, or it is a text */
        CM_BUG_ON(!name && !cm_json_wellformed(span[i].at, span[i].len));
    }
    cm_free(span);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    json_t *taken = cm_json_read(text, size);
    json_t *judge = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
    CM_BUG_ON(taken && (!judge || !json_equal(taken, judge) || memchr(text, 0, size)));
    json_t *parsed = NULL;
    CM_BUG_ON(cm_json_parse(text, size, &parsed, NULL) != 0 && taken);
    if (parsed) {
        size_t len = 0;
        char *dump = cm_json_dump(parsed, &len);
        json_t *again = json_loadb(dump, len, JSON_DECODE_ANY, NULL);
        CM_BUG_ON(!again || !json_equal(parsed, again));
        json_decref(again);
        cm_free(dump);
    }
    check_split(text, size);
    check_parts(text, size, parsed != NULL);
    json_decref(parsed);
    json_decref(taken);
    json_decref(judge);
    return 0;
}
