/*
 * What a peer listed and could not give: in a cluster another node may have told of it, and this
 * one does not have it yet, or no copy answered in time (CouchDB's own replicator asks again after
 * two seconds).  It is asked for again before the batch ends, some seconds long; then the others
 * must not wait any longer.
 */
#include <string.h>

#include "base/core/json.h"
#include "base/core/mem.h"
#include "base/core/utf8.h"
#include "certstore/rev.h"
#include "replicator/pull.h"

#define TRIES_MAX  5
#define FIRST_MS   250 /* then twice as long each time: 8 s in all */
#define REASON_MAX 120 /* bytes of a peer's reason that are kept */

/* Only what was asked for counts, and no more of it than that. */
void rp_pull_later(struct rp_job *job, const json_t *entry)
{
    static const char *const members[] = {"id", "rev", "error", "reason"};
    struct rp_pull *pull = job->pull;
    const char *id = cm_json_str(entry, "id"), *rev = cm_json_str(entry, "rev");
    struct cs_rev parsed;
    if (!id || !rev || !rp_pull_wants(job, id) || cs_rev_parse(rev, &parsed) < 0 ||
        cs_has_rev(job->client->store, id, rev))
        return;
    if (!pull->later)
        pull->later = json_array();
    if (json_array_size(pull->later) >= json_array_size(pull->missing))
        return;
    json_t *again = json_object();
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
        cm_json_set_str(again, members[i], cm_json_str(entry, members[i]));
    json_array_append_new(pull->later, again);
}

/* Those that were purged or superseded since are nobody's loss; the others are listed.  Where the
 * next opening begins they are seen again. */
static void give_up(struct rp_job *job, const json_t *later)
{
    job->pull->hold = true;
    for (size_t i = 0; i < json_array_size(later); i++) {
        const json_t *entry = json_array_get(later, i);
        const char *error = cm_json_str_or(entry, "error", "not_found");
        if (strcmp(error, "not_found") == 0)
            continue;
        CM_AUTO_STR why = cm_asprintf("left out, the peer cannot read it: %.*s", REASON_MAX,
                                      cm_json_str_or(entry, "reason", error));
        cm_utf8_trim(why);
        rp_pull_refuse(job, cm_json_str_or(entry, "id", ""), cm_json_str_or(entry, "rev", ""), why);
    }
}

bool rp_later_ask(struct rp_job *job, rp_job_fn fetch)
{
    struct rp_pull *pull = job->pull;
    CM_AUTO_JSON later = pull->later;
    pull->later = NULL;
    if (!later)
        return false;
    if (pull->tries >= TRIES_MAX) {
        give_up(job, later);
        return false;
    }
    if (job->call) { /* the rows behind this batch: they will be asked for again */
        http_call_cancel(job->call);
        job->call = NULL;
        pull->asked_ahead = false;
    }
    json_decref(pull->missing);
    pull->missing = json_incref(later);
    pull->at = 0;
    rp_job_after(job, (int64_t)FIRST_MS << pull->tries++, fetch);
    return true;
}
