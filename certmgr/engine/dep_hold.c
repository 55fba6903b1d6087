/* Certificates that are not in force yet.  See dep_hold.h. */
#include "certmgr/engine/dep_hold.h"

#include <string.h>

#include "base/core/json.h"

#define HOLD_MAX_MS (INT64_C(32) * 86400000) /* nothing begins later (keyfile/chain.c) */

/* When the wait for this certificate ends, by the clock that nobody sets. */
static int64_t end_of(json_t *holds, const char *ulid, const json_t *keyfile, int64_t from_ms,
                      int64_t mono_ms)
{
    const char *fingerprint = cm_json_str_or(keyfile, "fingerprint", "");
    const json_t *hold = json_object_get(holds, ulid);
    if (hold && strcmp(cm_json_str_or(hold, "fingerprint", ""), fingerprint) == 0)
        return cm_json_int(hold, "end", 0);
    /* A serial is the wall clock of the signing. */
    int64_t longest = from_ms - cm_json_int(keyfile, "serial", from_ms);
    if (longest < 0 || longest > HOLD_MAX_MS)
        longest = longest < 0 ? 0 : HOLD_MAX_MS;
    json_t *fresh = json_object();
    cm_json_set_str(fresh, "fingerprint", fingerprint);
    cm_json_set_int(fresh, "end", mono_ms + longest);
    json_object_set_new(holds, ulid, fresh);
    return mono_ms + longest;
}

int64_t dep_hold(json_t *holds, const char *ulid, const json_t *keyfile, int64_t now_ms,
                 int64_t mono_ms)
{
    int64_t from = cm_json_time(keyfile, "serve_from", 0);
    if (from <= now_ms) {
        json_object_del(holds, ulid);
        return 0;
    }
    int64_t end = end_of(holds, ulid, keyfile, from, mono_ms);
    if (end <= mono_ms)
        return 0; /* the clock here is behind */
    return from - now_ms < end - mono_ms ? from : now_ms + (end - mono_ms);
}
