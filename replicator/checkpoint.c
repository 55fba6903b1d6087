/* Checkpoint documents: names, comparison, contents. */
#include "replicator/checkpoint.h"

#include <string.h>

#include "base/core/bytes.h"
#include "base/core/clock.h"
#include "base/core/mem.h"
#include "replicator/job.h"

#define FORMAT_VERSION 4 /* of CouchDB's checkpoint documents */

void rp_job_id(const char *own_uuid, const char *own_epoch, const char *peer_uuid, const char *db,
               bool push, char out[RP_JOB_ID])
{
    char hex[CM_SHA256_HEX];
    CM_AUTO_STR text = cm_asprintf("%s\n%s\n%s\n%s\n%s", own_uuid, own_epoch, peer_uuid, db,
                                   push ? "push" : "pull");
    cm_sha256_hex(text, strlen(text), hex);
    memcpy(out, hex, RP_JOB_ID - 1);
    out[RP_JOB_ID - 1] = '\0';
}

static const char *session_at(const json_t *history, size_t i)
{
    return cm_json_str(json_array_get(history, i), "session_id");
}

/* The entry of the session, or NULL. */
static const json_t *find_session(const json_t *history, const char *id)
{
    for (size_t i = 0; id && i < json_array_size(history) && i < RP_HISTORY_MAX; i++) {
        const char *other = session_at(history, i);
        if (other && strcmp(other, id) == 0)
            return json_array_get(history, i);
    }
    return NULL;
}

const json_t *rp_checkpoint_seq_of(const json_t *doc, const char *session_id)
{
    const char *id = cm_json_str(doc, "session_id");
    if (id && strcmp(id, session_id) == 0)
        return json_object_get(doc, "source_last_seq");
    return json_object_get(find_session(cm_json_arr(doc, "history"), session_id), "recorded_seq");
}

/* Where a session was that both know, NULL = not to be told.  The number in front of a peer's
 * sequence is for comparing only: the rest may lead anywhere. */
static const json_t *agreed(const json_t *own, const json_t *stored, const json_t *peer)
{
    if (json_equal(own, peer))
        return own;
    if (stored && json_equal(stored, peer))
        return stored;
    return rp_seq_number(own) >= 0 && rp_seq_number(peer) >= rp_seq_number(own) ? own : NULL;
}

const json_t *rp_checkpoint_compare(const json_t *own, const json_t *peer,
                                    const json_t **ret_history, size_t *ret_from)
{
    const char *own_id = cm_json_str(own, "session_id"), *peer_id = cm_json_str(peer, "session_id");
    const json_t *ours = cm_json_arr(own, "history"), *theirs = cm_json_arr(peer, "history");
    const json_t *seq = NULL, *entry = NULL;
    *ret_history = NULL;
    *ret_from = 0;
    if (own_id && peer_id && strcmp(own_id, peer_id) == 0) {
        seq = agreed(json_object_get(own, "source_last_seq"), json_object_get(own, "stored_seq"),
                     json_object_get(peer, "source_last_seq"));
        *ret_history = seq ? ours : NULL;
        return seq;
    }
    /* Newest first: the first session of ours that the other one knows too. */
    for (size_t i = 0; !entry && i < json_array_size(ours) && i < RP_HISTORY_MAX; i++) {
        entry = find_session(theirs, session_at(ours, i));
        if (entry)
            seq = agreed(json_object_get(json_array_get(ours, i), "recorded_seq"), NULL,
                         json_object_get(entry, "recorded_seq"));
        *ret_history = seq ? ours : NULL;
        *ret_from = seq ? i + 1 : 0;
    }
    return seq;
}

static void set_seq(json_t *obj, const char *key, const json_t *seq)
{
    if (seq)
        json_object_set(obj, key, (json_t *)(uintptr_t)seq);
    else
        cm_json_set_int(obj, key, 0);
}

json_t *rp_checkpoint_make(const struct rp_session *session, const json_t *seq,
                           const json_t *stored, const json_t *history, size_t from)
{
    json_t *doc = json_object(), *list = json_array(), *head = json_object();
    cm_json_set_str(head, "session_id", session->id);
    set_seq(head, "recorded_seq", seq);
    set_seq(head, "start_last_seq", session->start_seq);
    set_seq(head, "end_last_seq", seq);
    cm_json_set_time(head, "start_time", session->started_ms);
    cm_json_set_time(head, "end_time", cm_now_ms());
    cm_json_set_int(head, "missing_checked", session->missing_checked);
    cm_json_set_int(head, "missing_found", session->missing_found);
    cm_json_set_int(head, "docs_read", session->docs_read);
    cm_json_set_int(head, "docs_written", session->docs_written);
    cm_json_set_int(head, "doc_write_failures", session->write_failures);
    json_array_append_new(list, head);
    for (size_t i = from; i < json_array_size(history); i++) {
        const char *id = session_at(history, i);
        if (id && strcmp(id, session->id) != 0 && json_array_size(list) < RP_HISTORY_MAX)
            json_array_append(list, json_array_get(history, i));
    }
    cm_json_set_str(doc, "session_id", session->id);
    set_seq(doc, "source_last_seq", seq);
    if (stored)
        json_object_set(doc, "stored_seq", (json_t *)(uintptr_t)stored);
    cm_json_set_int(doc, "replication_id_version", FORMAT_VERSION);
    cm_json_set(doc, "history", list);
    return doc;
}
