/*
 * What the replication client tells about its two jobs: state, lag, pace, the last error.
 *
 * Lag is counted in changes of the source that were not looked at yet (an upper bound of documents:
 * not every change is one for us), and in seconds since the job was last caught up.  What a peer
 * has that does not answer is not known: no number is given then, for 0 would say that all is here.
 */
#include <string.h>

#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/num.h"
#include "replicator/job.h"

void rp_job_state(struct rp_job *job, enum rp_state state)
{
    if (job->state == RP_LIVE || state == RP_LIVE)
        job->live_ms = cm_now_ms();
    job->state = state;
}

void rp_job_count(struct rp_job *job, size_t documents)
{
    int64_t slot = cm_mono_ms() / RP_PACE_MS;
    size_t i = (size_t)(slot % RP_PACE_SLOTS);
    if (job->pace.slot[i] != slot)
        job->pace.count[i] = 0;
    job->pace.slot[i] = slot;
    job->pace.count[i] += (int64_t)documents;
    job->documents += (int64_t)documents;
}

int64_t rp_seq_number(const json_t *seq)
{
    char digits[20];
    int64_t number = -1;
    const char *text = json_string_value(seq);
    if (json_is_integer(seq))
        return json_integer_value(seq);
    size_t len = text ? strspn(text, "0123456789") : 0;
    if (len == 0 || len >= sizeof(digits))
        return -1;
    memcpy(digits, text, len);
    digits[len] = '\0';
    return cm_num_i64(digits, 0, INT64_MAX, &number) == 0 ? number : -1;
}

static int64_t last_minute(const struct rp_pace *pace)
{
    int64_t slot = cm_mono_ms() / RP_PACE_MS, sum = 0;
    for (size_t i = 0; i < RP_PACE_SLOTS; i++)
        sum += slot - pace->slot[i] < RP_PACE_SLOTS ? pace->count[i] : 0;
    return sum;
}

static void add_lag(json_t *row, const struct rp_job *job)
{
    int64_t behind = job->push ? rp_push_behind(job) : job->behind;
    if (job->state == RP_LIVE)
        behind = 0;
    else if (behind == 0 && !job->push && job->state != RP_REPLICATING)
        behind = -1;
    if (behind >= 0)
        cm_json_set_int(row, "lag_documents", behind);
    if (job->state == RP_LIVE)
        cm_json_set_int(row, "lag_seconds", 0);
    else if (job->live_ms > 0)
        cm_json_set_int(row, "lag_seconds", (cm_now_ms() - job->live_ms) / 1000);
}

/* A push without anything to send has no connection of its own: whether the peer is there, the pull
 * of the same client knows. */
static enum rp_state shown_state(const struct rp_job *job)
{
    const struct rp_job *pull = job->client->job[0];
    bool away = job->push && pull && (pull->state == RP_WAITING || pull->state == RP_CONNECTING);
    return away && job->state == RP_LIVE ? pull->state : job->state;
}

static json_t *job_status(const struct rp_job *job)
{
    static const char *const names[] = {"stopped", "connecting", "replicating", "live", "waiting"};
    json_t *row = json_object();
    cm_json_set_str(row, "state", names[shown_state(job)]);
    if (job->save.seq)
        json_object_set(row, "last_seq", job->save.seq);
    cm_json_set_bool(row, "saved", rp_save_clean(job));
    cm_json_set_time(row, "last_success_at", job->success_ms);
    cm_json_set_int(row, "documents", job->documents);
    cm_json_set_int(row, "refused", job->refused);
    cm_json_set_int(row, "rate", last_minute(&job->pace));
    add_lag(row, job);
    cm_json_set(row, "last_error", cm_err_to_json(&job->last_err));
    cm_json_set_time(row, "last_error_at", job->last_err_ms);
    cm_json_set(row, "error", cm_err_to_json(&job->err));
    return row;
}

json_t *rp_client_status(struct rp_client *client)
{
    json_t *status = json_object();
    cm_json_set_str(status, "url", client->url);
    if (client->job[0])
        cm_json_set(status, "pull", job_status(client->job[0]));
    if (client->job[1])
        cm_json_set(status, "push", job_status(client->job[1]));
    if (client->heal)
        cm_json_set_int(status, "healed", rp_heal_count(client));
    return status;
}
