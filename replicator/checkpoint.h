/*
 * Checkpoints: how far a replication job is known to both sides (reference/replication.md 2.6).
 *
 * The same document lies as `_local/JOB` on source and target.  What both remember is where the
 * next run begins; a side that lost its copy, or was restored, makes it begin earlier.  Pure.
 */
#pragma once

#include "base/core/json.h"

#define RP_JOB_ID      33 /* 32 hex digits + NUL */
#define RP_HISTORY_MAX 50 /* sessions kept in a checkpoint */

/* Name of the job, the same for every run with the same pair.  own: uuid and incarnation of the
 * store whose replicator runs (another incarnation begins anew). */
void rp_job_id(const char *own_uuid, const char *own_epoch, const char *peer_uuid, const char *db,
               bool push, char out[RP_JOB_ID]);

/* What one run has done. */
struct rp_session {
    char id[RP_JOB_ID];
    int64_t started_ms;
    json_t *start_seq; /* where it began; owned by the job */
    int64_t missing_checked, missing_found, docs_read, docs_written, write_failures;
};

/* Compares both sides' documents (NULL = none): our own, and what the peer shows.  Whoever may
 * write to the peer may have written that, too: it says which sessions it remembers, but where one
 * was is taken from our own copy, and when the peer's is before that and not what it had
 * acknowledged last, it was restored.  Returns the sequence both know (borrowed; NULL = from the
 * beginning) and in *ret_history the older sessions to keep (borrowed, may be NULL; entries from
 * *ret_from on). */
const json_t *rp_checkpoint_compare(const json_t *own, const json_t *peer,
                                    const json_t **ret_history, size_t *ret_from);

/* The sequence at which a document (NULL = none) remembers that session (borrowed), or NULL. */
const json_t *rp_checkpoint_seq_of(const json_t *doc, const char *session_id);

/* The document to store: this session at seq in front of history[from…] (owned).  stored: what
 * the peer has stored last, NULL = nothing. */
json_t *rp_checkpoint_make(const struct rp_session *session, const json_t *seq,
                           const json_t *stored, const json_t *history, size_t from);
