/* The fast JSON reader and writer beside jansson: what the reader takes has jansson's value, and
 * what the writer writes reads back the same. */
#include <stdint.h>
#include <string.h>

#include "base/core/json.h"
#include "base/core/json_text.h"
#include "base/core/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
    json_decref(parsed);
    json_decref(taken);
    json_decref(judge);
    return 0;
}
