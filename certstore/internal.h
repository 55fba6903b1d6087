/*
 * What the files of the store share: the open store, its batch, document entries and the one
 * function that changes a document.
 *
 * Everything that may be refused is checked before the first write of a put, so that a refused
 * document leaves the batch of the others untouched; a write that fails (disk or map full) spoils
 * the whole batch, which is then reported as failed at its commit.
 */
#pragma once

#include "base/core/told.h"
#include "certstore/record.h"
#include "certstore/revtree.h"
#include "certstore/schema.h"
#include "certstore/store.h"

#define CS_LISTENERS_MAX    32
#define CS_BODIES_KEPT      128  /* parsed bodies in memory, of at most 16 KiB of text */
#define CS_LEAVES_MAX_LAB   1000 /* without policy, where a judge may build wide trees */
#define CS_ENTRY_BYTES_MAX  (CS_TREE_BYTES_MAX + 4096u)
#define CS_HASH_SIZE        16
#define CS_QUARANTINE_BYTES (64 << 20) /* of refused documents kept for a retry */

/* Counters of the store; one record, written with each commit. */
struct cs_state {
    int64_t seq;
    int64_t docs;    /* effective leaf is live */
    int64_t deleted; /* the others */
    int64_t quarantine_count, quarantine_bytes, quarantine_next;
};

struct cs_waiter {
    cs_commit_fn fn;
    void *arg;
};

/* Who hears about commits (listen.c): of documents or of one local table; neither = a free place.
 */
struct cs_ear {
    cs_listener_fn fn;
    cs_local_fn local;
    const char *table;
    void *arg;
};

struct cs_publication;

/* A body in memory (bodies.c). */
struct cs_kept {
    char *id;
    struct cs_rev rev;
    json_t *body; /* shared: never changed */
};

struct cs_store {
    struct cs_env *env;
    char *dir;
    bool policy;
    cs_verify_fn verify;
    cs_sign_fn sign;
    void *port_arg;
    void (*arm)(void *arg);
    void *arm_arg;
    char uuid[33], epoch[9];
    int64_t revs_limit;
    int64_t last_serial; /* highest ever assigned; never goes back, also when a batch fails */

    struct cs_state durable, batch; /* batch: as the open batch will leave it */
    bool open;                      /* a batch is open */
    bool dirty;                     /* … and something was written in it */
    bool failed;                    /* … and is spoilt: its transaction is aborted already */
    bool broken;                    /* the disk failed a commit: no more writes in this process */
    struct cs_txn txn;              /* of the open batch */
    struct cm_err why;              /* of failed or broken */
    json_t *changed;                /* ids of the batch, in order (an object used as ordered set) */
    unsigned views;                 /* callbacks under way that hold a transaction */

    struct cs_waiter *waiter;
    size_t waiter_count, waiter_size;
    json_t *local_changed; /* "table/key" of the batch, where somebody listens */
    struct cs_ear ear[CS_LISTENERS_MAX];
    struct cs_publication *publications; /* waiting for the sign port */
    struct cs_kept kept[CS_BODIES_KEPT];
    struct cm_told forks; /* in the log (put.c) */

    /* care.c */
    bool damaged;                   /* reading it ended a process (crash.h) */
    int map_percent;                /* of the map in use, as last measured */
    int64_t measured_ms;            /* monotonic; 0 = never */
    int64_t view_begun_ms;          /* monotonic: of the outermost view */
    int64_t slow_views;             /* snapshots held longer than CS_VIEW_MAX_MS */
    json_t *scrub;                  /* of scrub.c: where the pass is */
    const char *hold;               /* why nothing is published (static text); NULL = it is */
    int64_t reader_pid, reader_txn; /* oldest foreign snapshot seen by cs_care(), since when */
    int64_t reader_since_ms;
    bool reader_told;
};

/* ---- transactions (store.c) ---- */

/* A transaction to read from: the open batch's own, or (durable, or no batch) a snapshot. */
struct cs_view {
    struct cs_txn *txn, own;
    bool durable;
};
int cs_view_begin(struct cs_store *store, bool durable, struct cs_view *ret, struct cm_err *err);
void cs_view_end(struct cs_store *store, struct cs_view *view);

/* Opens the batch when none is open; 0 or why the store takes no writes now. */
int cs_batch(struct cs_store *store, struct cm_err *err);
/* Write or delete in the batch; a failure spoils the batch.  Deleting what is not there is
 * success. */
int cs_batch_put(struct cs_store *store, const struct cs_key *key, const void *payload, size_t len,
                 struct cm_err *err);
int cs_batch_del(struct cs_store *store, const struct cs_key *key, struct cm_err *err);

/* ---- care (care.c) ---- */

/* May this document, which is new here, still be made by us?  CM_EFULL above CS_MAP_REFUSE %. */
int cs_care_new(struct cs_store *store, const json_t *body, struct cs_result *result,
                struct cm_err *err);
/* One record of the store is examined (check.c); the same walk serves cs_check() and the scrub. */
struct cs_check {
    struct cs_store *store;
    struct cs_txn *txn;
    json_t *problems;
    int64_t more;         /* problems beyond the first hundred */
    int64_t present[128]; /* records per table letter */
    int64_t bodies, seqs, indexed;
    int64_t docs, deleted, revisions, last_seq;
    int64_t quarantined;
};
void cs_check_record(struct cs_check *check, const struct cs_slice *key,
                     const struct cs_slice *value);

/* ---- listeners (listen.c) ---- */

/* Remembers that a key of a local table was written in the batch. */
void cs_note_local(struct cs_store *store, const char *table, const char *key);
/* Tells everybody what a commit made durable. */
void cs_tell(struct cs_store *store, const json_t *changed, const json_t *local_changed);

/* ---- document entries (entry.c) ---- */

struct cs_head {
    bool winner_deleted;
    bool has_effective, effective_deleted;
    int64_t seq;
    int64_t serial; /* of the effective leaf */
    struct cs_rev effective;
};

struct cs_entry {
    bool found;
    struct cs_head head;
    struct cs_tree tree;
};
#define CS_ENTRY_INIT ((struct cs_entry){0})
void cs_entry_fini(struct cs_entry *entry);
/* found = false (and 0) when the document is unknown. */
int cs_entry_load(struct cs_txn *txn, const char *id, struct cs_entry *ret, struct cm_err *err);
int cs_entry_parse(const struct cs_slice *payload, struct cs_entry *ret, struct cm_err *err);
/* Head only, without reading the tree; CM_ENOENT when unknown. */
int cs_head_load(struct cs_txn *txn, const char *id, struct cs_head *ret, struct cm_err *err);
/* Recomputes the head from the tree and writes the entry into the batch. */
void cs_entry_settle(struct cs_store *store, struct cs_entry *entry);
int cs_entry_save(struct cs_store *store, const char *id, const struct cs_entry *entry,
                  struct cm_err *err);
/* The stored body of a revision (new reference); CM_ENOENT when there is none. */
int cs_body_load(struct cs_txn *txn, const char *id, const struct cs_rev *rev, json_t **ret,
                 size_t *ret_len, struct cm_err *err);

/* ---- bodies in memory (bodies.c) ---- */

/* As cs_body_load(), parsed once for all who ask: never to be changed. */
int cs_body_shared(struct cs_store *store, struct cs_txn *txn, const char *id,
                   const struct cs_rev *rev, json_t **ret, struct cm_err *err);
void cs_bodies_fini(struct cs_store *store);

/* ---- indexes (index.c) ---- */

struct cs_index_key {
    enum cs_index index;
    char *text; /* behind the last key */
};
/* The index entries of an effective document, sorted, without duplicates. */
struct cs_index_set {
    struct cs_index_key *key;
    size_t count, size;
};
/* body NULL: no entries. */
void cs_index_of(bool policy, const char *id, const json_t *body, struct cs_index_set *ret);
void cs_index_fini(struct cs_index_set *set);
int cs_index_update(struct cs_store *store, const char *id, const struct cs_index_set *before,
                    const struct cs_index_set *after, struct cm_err *err);
/* Removes every entry of a document by reading all of them: for when what was indexed can no
 * longer be read. */
int cs_index_purge(struct cs_store *store, const char *id, struct cm_err *err);
bool cs_index_has(struct cs_txn *txn, const char *id, const struct cs_index_key *key);
/* Do the keys fit LMDB's limit? */
bool cs_index_fits(const struct cs_index_set *set, const char *id);

/* ---- incoming documents (indoc.c) ---- */

struct cs_indoc {
    const char *id; /* borrowed from body */
    bool deleted;
    json_t *body;  /* `_id` and the members without "_" (slim: not all) */
    json_t *aside; /* the others; NULL = there were none */
    char *text;    /* the body, compact */
    bool placed;   /* text is memory of the caller's */
    size_t text_len;
    struct cs_rev *path; /* newest first; path_len 0 = no `_rev` given */
    size_t path_len;
    bool slim; /* cs_indoc_slim() was here */
    bool keep; /* in memory, when it is put: somebody here works with it */
    /* With policy, of cs_indoc_examine(). */
    bool examined;
    struct cs_result finding; /* code 0: nothing speaks against it but perhaps its signature */
    struct cs_index_set keys; /* of the body */
};
/* Returns 0 or a code, with the reason in ret->reason; always needs cs_indoc_fini().  These and
 * cs_indoc_examine() may run on any thread. */
int cs_indoc_read(const json_t *doc, bool policy, struct cs_indoc *ret, struct cs_result *result);
/* The same without a copy: the document becomes the body, nobody else may look at it meanwhile.
 * place: as of cs_ready_new(). */
int cs_indoc_take(json_t *take_doc, bool policy, struct cs_place place, struct cs_indoc *ret,
                  struct cs_result *result);
/* The document as it came (owned). */
json_t *cs_indoc_whole(const struct cs_indoc *in);
/* `_id` and all members without "_" (owned). */
json_t *cs_indoc_body(const struct cs_indoc *in);
/* Schema and index keys. */
void cs_indoc_examine(struct cs_indoc *in);
/* Of a body that was examined, keeps in memory what the verify port asks of a checked document. */
void cs_indoc_slim(struct cs_indoc *in);
/* The text of this revision is being written (bodies.c). */
void cs_body_keep(struct cs_store *store, const struct cs_indoc *in, const struct cs_rev *rev);
void cs_indoc_fini(struct cs_indoc *in);
/* Fills result and returns code. */
int cs_refuse(struct cs_result *result, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Schema and signature; without policy always valid. */
int cs_indoc_judge(struct cs_store *store, struct cs_indoc *in, int64_t *ret_serial,
                   struct cs_result *result);
/* Same content but for the signatures (ECDSA gives another value each time). */
bool cs_same_content(const json_t *a, const json_t *b);

/* ---- changing a document (put.c) ---- */

struct cs_change_in {
    const struct cs_indoc *in;
    const struct cs_rev *path;
    size_t path_len;
    bool valid;
    int64_t serial;
};
/* Merges one revision into a loaded entry and writes everything that follows from it.  Returns 0
 * (result filled) or negative when the store failed. */
int cs_apply(struct cs_store *store, struct cs_entry *entry, const struct cs_change_in *change,
             struct cs_result *result, struct cm_err *err);
/* Writes what follows from cs_tree_cut() of a loaded entry; without policy only. */
int cs_apply_cut(struct cs_store *store, const char *id, struct cs_entry *entry,
                 struct cm_err *err);
/* Writes what follows from other verdicts (CS_NODE_VALID) of a loaded entry's leaves: effective
 * leaf, indexes, counters; listeners are told, peers are not (they judge for themselves). */
int cs_apply_verdicts(struct cs_store *store, const char *id, struct cs_entry *entry,
                      struct cm_err *err);
/* Deletes the bodies of the tree's dropped revisions. */
int cs_drop_bodies(struct cs_store *store, const char *id, const struct cs_tree *tree,
                   struct cm_err *err);
/* cs_put_ready() without its quarantine. */
int cs_replicate(struct cs_store *store, struct cs_ready *ready, struct cs_result *result,
                 struct cm_err *err);

/* ---- quarantine (quarantine.c) ---- */

int cs_quarantine_add(struct cs_store *store, const json_t *doc, const char *peer,
                      const char *reason, struct cm_err *err);
/* Forgets the entry of a revision that was accepted meanwhile. */
int cs_quarantine_drop(struct cs_store *store, const json_t *doc, struct cm_err *err);

/* ---- verdicts decided anew (rejudge.c) ---- */

#define CS_REJUDGE_NOTES      (CS_QUARANTINE_MAX / 2) /* a full list takes no more of them */
#define CS_REJUDGE_REASON_MAX 160

struct cs_rejudged {
    int64_t lost, regained; /* leaves */
    char why[100];          /* the last refusal of the verify port */
};
/* Is it a leaf that was accepted once and lost its verdict? */
bool cs_is_lost(const struct cs_node *node);
/* Judges the leaves of a loaded entry anew (lost_only: only those that lost their verdict, as when
 * a peer sends one of them again) and writes what follows. */
int cs_rejudge_entry(struct cs_store *store, const char *id, struct cs_entry *entry, bool lost_only,
                     struct cs_rejudged *counts, struct cm_err *err);
/* A newer version counts: what it replaced, and what had lost its verdict beside it, leaves the
 * quarantine. */
int cs_rejudge_replaced(struct cs_store *store, const char *id, const struct cs_tree *tree,
                        struct cm_err *err);

/* ---- housekeeping (housekeep.c) ---- */

void cs_housekeep_load(struct cs_store *store);

/* ---- publications (publish.c) ---- */

void cs_publish_close(struct cs_store *store);
