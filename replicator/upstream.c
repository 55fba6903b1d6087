/*
 * The memory of an upstream's incarnations (reference/trust-and-tests.md A8).
 *
 * A restored manager begins a new one, and everything is compared with it from the start.  When an
 * incarnation comes back that was followed by another already, two managers are alive: the old one
 * (a clone, or a machine that was switched on again) is not believed.
 *
 * An older copy without a restore (a snapshot of a virtual machine, its image started twice) has
 * the same incarnation.  What gives it away: it does not know a checkpoint any more that it had
 * confirmed, which is durable before it is answered.  It is believed (what it has is signed), and
 * gets back what it lacks.
 */
#include <string.h>

#include "base/core/json.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "replicator/job.h"

#define TABLE     "state"
#define KEY       "upstreams"
#define AGAIN     "again"
#define PAST_MAX  16
#define PEERS_MAX 64
#define EPOCH_LEN 8

/* Our stores' tokens are "N-EPOCH"; a hub of another make has tokens without an incarnation. */
static bool epoch_of(const char *token, char out[EPOCH_LEN + 1])
{
    size_t digits = strspn(token, "0123456789");
    const char *epoch = token + digits + 1;
    if (digits == 0 || token[digits] != '-' || strlen(epoch) != EPOCH_LEN ||
        strspn(epoch, "0123456789abcdef") != EPOCH_LEN)
        return false;
    memcpy(out, epoch, EPOCH_LEN + 1);
    return true;
}

/* Makes it the present one; the one before it becomes the past. */
static void follow(json_t *known, const char *before, const char *epoch)
{
    json_t *past = cm_json_arr(known, "past");
    if (before) {
        json_array_append_new(past, json_string(before));
        if (json_array_size(past) > PAST_MAX)
            json_array_remove(past, 0);
    }
    cm_json_set_str(known, "epoch", epoch);
}

int rp_upstream_check(struct rp_job *job, const json_t *db, struct cm_err *err)
{
    struct rp_client *client = job->client;
    const char *uuid = job->peer_uuid;
    char epoch[EPOCH_LEN + 1];
    job->epoch[0] = '\0';
    if (client->lab || !epoch_of(cm_json_str_or(db, "update_seq", ""), epoch))
        return 0;
    memcpy(job->epoch, epoch, sizeof(epoch));
    CM_AUTO_JSON all = cs_kv_get(client->store, TABLE, KEY);
    if (!all)
        all = json_object();
    json_t *known = cm_json_obj(all, uuid);
    const char *present = cm_json_str(known, "epoch");
    if (present && strcmp(present, epoch) == 0)
        return 0;
    if (cm_json_has_str(cm_json_arr(known, "past"), epoch)) {
        cm_log(CM_LOG_ERROR, "replicator", client->url,
               "the upstream is a copy from before a restore (incarnation %s, present is %s): two "
               "managers are alive",
               epoch, present ? present : "none");
        cm_fail(err, CM_ECONFLICT,
                "the upstream is a copy from before a restore: nothing is taken from it");
        cm_err_hint(err, "Two managers are alive: stop the old one.");
        return CM_ECONFLICT;
    }
    if (!known) {
        if (json_object_size(all) >= PEERS_MAX)
            json_object_clear(all);
        known = json_pack("{s:[]}", "past");
        cm_json_set(all, uuid, known);
    }
    if (present)
        cm_log(CM_LOG_WARN, "replicator", client->url,
               "the upstream was restored from a backup; everything is compared anew");
    CM_AUTO_STR before = present ? cm_strdup(present) : NULL;
    follow(known, before, epoch);
    int rc = cs_kv_put(client->store, TABLE, KEY, all, err);
    return rc < 0 ? rc : before != NULL;
}

bool rp_upstream_forgot(const struct rp_job *job, const json_t *remote, struct cm_err *err)
{
    char epoch[EPOCH_LEN + 1];
    const json_t *acked = job->save.acked;
    const char *token = cm_json_str(acked, "seq");
    if (job->push || job->client->hub || !job->epoch[0] || !token || !epoch_of(token, epoch) ||
        strcmp(epoch, job->epoch) != 0)
        return false;
    /* Ours is written first: a session that both know is not older than the one confirmed. */
    const char *confirmed = cm_json_str_or(acked, "session_id", "");
    const char *newest = cm_json_str_or(job->save.local, "session_id", confirmed);
    int64_t had = rp_seq_number(json_object_get(acked, "seq"));
    if (rp_seq_number(rp_checkpoint_seq_of(remote, confirmed)) >= had ||
        (strcmp(newest, confirmed) != 0 && rp_checkpoint_seq_of(remote, newest) != NULL))
        return false;
    cm_fail(err, CM_ECONFLICT,
            "the upstream runs from an older copy of its store: it has forgotten what it had "
            "confirmed (change %lld)",
            (long long)had);
    cm_err_object(err, "peer %s", job->client->url);
    cm_err_hint(err,
                "What it lacks is given back to it. Was a snapshot of the machine put back, or "
                "does it run twice? Of two, stop one.");
    return true;
}

bool rp_upstream_moved(const struct rp_job *job, const json_t *seq)
{
    char now[EPOCH_LEN + 1];
    const char *token = json_string_value(seq);
    return job->epoch[0] && token && epoch_of(token, now) && strcmp(job->epoch, now) != 0;
}

/* ---- from the beginning ------------------------------------------------------------------- */

void rp_again_note(struct cs_store *store)
{
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_JSON yes = json_true();
    if (cs_kv_put(store, TABLE, AGAIN, yes, &err) < 0)
        cm_log_err(CM_LOG_WARN, "replicator", &err);
    cm_err_fini(&err);
}

bool rp_again_noted(struct cs_store *store)
{
    CM_AUTO_JSON noted = cs_kv_get(store, TABLE, AGAIN);
    return noted != NULL;
}

void rp_again_over(struct cs_store *store)
{
    if (rp_again_noted(store))
        (void)cs_kv_del(store, TABLE, AGAIN, NULL); /* else everything is compared once more */
}
