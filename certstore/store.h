/*
 * The certificate store: JSON documents with CouchDB revision trees in one LMDB environment.
 *
 * Reading order: design section 5-7 (docs/documents.md, docs/store-format.md).  One process opens
 * the store.  All writes of one loop turn share one transaction (group commit): a put takes effect
 * at once for the writer, becomes durable at the commit, and only then do replies, remote steps
 * and feeds see it.
 *
 * The *effective leaf* is, among all leaves, the validly signed one with the highest serial; every
 * view, index and edit uses it.  CouchDB's winner is shown only by the replication routes.
 */
#pragma once

#include "base/core/err.h"
#include "base/core/json.h"

#define CS_ID_MAX         400           /* bytes of a document id (LMDB keys end at 511) */
#define CS_REV_MAX        64            /* "N-" + 32 hex, or foreign text */
#define CS_DOC_MAX        (256u << 10)  /* bytes of one document's JSON */
#define CS_TRUST_MAX      (1900u << 10) /* of trust:root: 3,000 servers, and an agent's frame */
#define CS_GENERATION_MAX 999999999999999LL
#define CS_LEAVES_MAX     10 /* per document; beyond, the oldest non-effective is dropped */
#define CS_REVS_LIMIT     1000
#define CS_BATCH_MAX      1000 /* documents of one _bulk_docs */
#define CS_QUARANTINE_MAX 1000
#define CS_KV_KEY_MAX     200
/* Arrays and objects within each other; _bulk_get puts five more around a document. */
#define CS_DOC_LEVELS (CM_JSON_DEPTH_MAX - 5)
/* A peer may be CS_GENERATION_JUMP ahead of what we know, or of a version in each CS_GENERATION_MS
 * from CS_GENERATION_FROM to the signed serial: 28 million at the end of 2026. */
#define CS_GENERATION_JUMP 10000
#define CS_GENERATION_MS   1000
#define CS_GENERATION_FROM 1767225600000LL /* 2026-01-01 */

struct cs_store;

/* How many bytes the document with this id may have. */
size_t cs_doc_max(const char *id);

/* What the verify port says about one revision. */
struct cs_verdict {
    bool valid;
    int64_t serial;   /* of the body; 0 when absent */
    char reason[160]; /* why not valid */
};
/* body: the document without "_" members but _id.  Must be fast and free of side effects. */
typedef void (*cs_verify_fn)(void *arg, const json_t *body, bool deleted, struct cs_verdict *ret);

/* Signs a body (sets `signature`, or `signatures` for trust:root).  done is called exactly once, in
 * the order of the calls. */
typedef void (*cs_signed_fn)(void *done_arg, const json_t *signed_body, const struct cm_err *err);
typedef void (*cs_sign_fn)(void *arg, json_t *take_body, bool deleted, cs_signed_fn done,
                           void *done_arg);

struct cs_opts {
    const char *dir;     /* made with mode 0700 when missing */
    size_t map_size;     /* 0 = 16 GiB, or twice the file if that is more; sparse */
    bool create;         /* make a new store when none is there */
    bool policy;         /* signatures, schema and types are enforced (off: certstore-lab) */
    cs_verify_fn verify; /* with policy */
    cs_sign_fn sign;     /* with cs_publish() */
    void *port_arg;
    void (*arm)(void *arg); /* asks for cs_commit() at the end of this loop turn; NULL = the caller
                               commits by itself */
    void *arm_arg;
};

int cs_open(const struct cs_opts *opts, struct cs_store **ret, struct cm_err *err);
void cs_close(struct cs_store *store); /* commits what is open; NULL allowed */

/* Stable id of this store (32 hex) and of its incarnation (8 hex, new after a restore). */
const char *cs_uuid(const struct cs_store *store);
const char *cs_epoch(const struct cs_store *store);
/* Newest durable update sequence. */
int64_t cs_seq(const struct cs_store *store);
int64_t cs_doc_count(const struct cs_store *store); /* effective, not deleted */
int64_t cs_deleted_count(const struct cs_store *store);

/* ---- documents ---------------------------------------------------------------------------- */

struct cs_doc {
    char id[CS_ID_MAX + 1];
    char rev[CS_REV_MAX + 1];
    bool deleted;
    int64_t seq;
    int64_t serial;
    json_t *body; /* owned; with _id, without other "_" members */
};
void cs_doc_fini(struct cs_doc *doc);

/* The effective leaf.  CM_ENOENT when there is none or it is a tombstone. */
int cs_get(struct cs_store *store, const char *id, struct cs_doc *ret, struct cm_err *err);
/* Same, body only; NULL when absent (new reference). */
json_t *cs_get_body(struct cs_store *store, const char *id);
/* The same two without a copy: the body is shared with others, so neither it nor anything in it may
 * be changed, nor become part of something that is. */
int cs_peek(struct cs_store *store, const char *id, struct cs_doc *ret, struct cm_err *err);
json_t *cs_peek_body(struct cs_store *store, const char *id);

/* Outcome of one write. */
struct cs_result {
    int code; /* 0, CM_ECONFLICT, CM_EDENIED (quarantined), CM_ELIMIT, CM_EMALF … */
    char rev[CS_REV_MAX + 1];
    bool changed; /* false: the revision was known already */
    bool newer;   /* brought by a peer, and above what counted here (or new): we had not seen it */
    char reason[160];
};

/* A signed document of our own: becomes a child of the effective leaf (or of the winner).  Refused
 * with CM_ECONFLICT when its serial is not above the effective one's; the same document once more
 * is success with changed = false.  doc has `_id`, and `_deleted: true` for a signed tombstone.
 * Returns what ret->code says. */
int cs_put(struct cs_store *store, const json_t *doc, struct cs_result *ret, struct cm_err *err);

/* One replicated document (new_edits=false): `_id`, `_rev`, optional `_revisions`, `_deleted`.
 * Never a batch error: the outcome of this document is in *ret; a refused one is kept in the
 * quarantine with the peer's name.  Returns negative only when the store itself failed. */
int cs_put_replicated(struct cs_store *store, const json_t *doc, const char *peer,
                      struct cs_result *ret, struct cm_err *err);

/* The same in two steps, for many documents: what goes without the store (reading, schema, index
 * keys) may be done on any thread.  take_doc: nobody else may look at it from now on, its members
 * that begin with "_" are taken out; policy as of the store.  Never NULL: what is wrong with the
 * document is said when it is put.  It is not kept in memory once it is put.
 * place: memory where the text that will be stored may be written instead of into memory of its own
 * (it lives as long as what is returned); CS_NO_PLACE = none. */
struct cs_place {
    char *at;
    size_t size;
    size_t len; /* not 0: so much of it is that text already */
};
#define CS_NO_PLACE ((struct cs_place){0})
struct cs_ready;
struct cs_ready *cs_ready_new(json_t *take_doc, bool policy, struct cs_place place);
void cs_ready_free(struct cs_ready *ready); /* on any thread */
/* Of a document whose signature was found good: what its text says once more is freed but for the
 * members by which the verify port names and judges the signer (and its `signature` value). */
void cs_ready_slim(struct cs_ready *ready);
/* What is signed (borrowed): the document without CouchDB's members, or whatever it is. */
const json_t *cs_ready_body(const struct cs_ready *ready);
bool cs_ready_deleted(const struct cs_ready *ready);
/* As cs_put_replicated(). */
int cs_put_ready(struct cs_store *store, struct cs_ready *ready, const char *peer,
                 struct cs_result *ret, struct cm_err *err);

/* What a replicated document would be worth, without putting it (with policy). */
enum cs_weight {
    CS_WEIGHT_NONE,  /* it would be refused, or has the name of a version but not its text */
    CS_WEIGHT_KNOWN, /* this revision is known here, as one that is not effective */
    CS_WEIGHT_SAME,  /* the effective version, maybe under another name */
    CS_WEIGHT_NEWER, /* it would become the effective version (or the store failed) */
};
enum cs_weight cs_weigh(struct cs_store *store, const json_t *doc);

/* Interactive CouchDB edit (new_edits=true; certstore-lab): `_rev` must be a leaf; without `_rev`
 * the document must be new or its winner a tombstone.  CM_EDENIED with policy.  Returns what
 * ret->code says. */
int cs_put_edit(struct cs_store *store, const json_t *doc, struct cs_result *ret,
                struct cm_err *err);

/* Commits the open batch now; then after-commit callbacks and change listeners run.  0 when
 * nothing was open.  CM_EBUSY inside a callback of cs_each(), cs_changes() or cs_kv_each(). */
int cs_commit(struct cs_store *store, struct cm_err *err);
/* fn(arg, code, err) once everything put so far is durable (or failed); at once when no batch is
 * open. */
typedef void (*cs_commit_fn)(void *arg, int code, const struct cm_err *err);
/* How many wait for the next commit. */
size_t cs_waiting(const struct cs_store *store);
void cs_after_commit(struct cs_store *store, cs_commit_fn fn, void *arg);

/* Gives the body a serial = max(last known + 1, wall clock ms), has it signed, puts it, waits for
 * the commit.  doc: `_id`, `type`, members (and `_deleted`).  base_serial: serial of the version
 * the caller edited, 0 = the document must not exist yet, -1 = do not care; stale = CM_ECONFLICT.
 * done may be NULL. */
typedef void (*cs_published_fn)(void *arg, const struct cs_doc *doc, const struct cm_err *err);
void cs_publish(struct cs_store *store, json_t *take_doc, int64_t base_serial, cs_published_fn done,
                void *arg);

/* ---- indexes over effective leaves ---------------------------------------------------------- */

enum cs_index {
    CS_BY_TYPE = 1,   /* key: type; without policy "" for every document */
    CS_BY_HOST,       /* credential: reversed labels of each ASCII name ("com.example.www") */
    CS_BY_EXPIRY,     /* credential: not_after (RFC 3339 text) */
    CS_BY_STATUS,     /* credential: status */
    CS_BY_SERVER,     /* credential: each server with access */
    CS_BY_DUE,        /* credential: next_action_at */
    CS_BY_TOKEN,      /* challenge: each token */
    CS_BY_CREDENTIAL, /* request, receipt: the credential's ULID */
};
/* Entries of an index in key order, those whose key begins with prefix, strictly after `after`
 * ("key\0id" cursor as handed to fn, or NULL).  fn gets a durable or own-batch view; returning
 * non-zero stops (and is returned).  fn must not write to the store. */
typedef int (*cs_index_fn)(void *arg, const char *key, const char *id);
int cs_each(struct cs_store *store, enum cs_index index, const char *prefix, const char *after_key,
            const char *after_id, cs_index_fn fn, void *arg);

/* ---- change feed ------------------------------------------------------------------------------
 */

struct cs_change {
    int64_t seq;
    const char *id;
    bool deleted; /* of the winner */
    size_t leaf_count;
    const char *const *leaf_rev; /* winner first; deleted leaves too */
};
/* Durable changes with seq > since, oldest first, at most limit.  fn: non-zero stops. */
typedef int (*cs_change_fn)(void *arg, const struct cs_change *change);
int cs_changes(struct cs_store *store, int64_t since, size_t limit, cs_change_fn fn, void *arg,
               struct cm_err *err);
/* The same rows in the order of ids, deleted ones too: from `from` on (NULL = from the first, or
 * descending from the last), `from` included.  At most limit. */
int cs_docs(struct cs_store *store, const char *from, bool descending, size_t limit,
            cs_change_fn fn, void *arg, struct cm_err *err);
/* fn(arg, id) for every document changed, after each commit; fn may write. */
typedef void (*cs_listener_fn)(void *arg, const char *id);
void cs_listen(struct cs_store *store, cs_listener_fn fn, void *arg);
/* fn(arg, key) for every key of a local table (below) that was put, after each commit; fn may
 * write. table is borrowed. */
typedef void (*cs_local_fn)(void *arg, const char *key);
void cs_listen_local(struct cs_store *store, const char *table, cs_local_fn fn, void *arg);
/* Ends all listening with this arg; also from inside a listener. */
void cs_unlisten(struct cs_store *store, const void *arg);

/* ---- replication reads --------------------------------------------------------------------------
 */

/* All of these see durable state only, not the open batch. */

/* One revision as CouchDB shows it: body + _id, _rev, [_deleted], [_revisions].  rev NULL = the
 * winner.  latest: the leaf at or below rev instead.  CM_ENOENT when body or revision is missing.
 * *ret owned by the caller, its members' values shared: members may be set and deleted, no more. */
int cs_read_rev(struct cs_store *store, const char *id, const char *rev, bool revs, bool latest,
                json_t **ret, struct cm_err *err);
/* What is left of the winner and its ancestors, newest first: *ret is an array of {rev, status},
 * "available", "deleted" or "missing" (owned).  CM_ENOENT = unknown id. */
int cs_revs_info(struct cs_store *store, const char *id, json_t **ret, struct cm_err *err);
/* Every leaf (winner first), documents as above; *ret is an array. CM_ENOENT = unknown id. */
int cs_read_leaves(struct cs_store *store, const char *id, bool revs, json_t **ret,
                   struct cm_err *err);
/* The same as text, appended to out: {"ok":{…}} of the revision, of each leaf at or below it
 * (latest), or of every leaf (rev NULL), with commas between.  Stored texts are copied, not parsed.
 * *ret_count: how many.  On failure out is as before. */
int cs_write_revs(struct cs_store *store, const char *id, const char *rev, bool revs, bool latest,
                  struct cm_buf *out, size_t *ret_count, struct cm_err *err);
/* Is this revision known (leaf or ancestor)? */
bool cs_has_rev(struct cs_store *store, const char *id, const char *rev);
/* Which of revs (array of texts) are unknown: *ret_missing in the order asked; *ret_ancestors (NULL
 * = not wanted): leaves of a lower generation than one of them, which a peer may know.  Both are
 * owned arrays.  CM_EMALF: not an array of revisions. */
int cs_missing_revs(struct cs_store *store, const char *id, const json_t *revs,
                    json_t **ret_missing, json_t **ret_ancestors, struct cm_err *err);

/* ---- quarantine
 * ---------------------------------------------------------------------------------- */

/* How the reason begins of what was stored, and lost its verdict with its signer. */
#define CS_REJUDGE_REASON "its signer is no longer in the trust root"
/* Array of {id, rev, peer, reason, at, count}, newest first. */
json_t *cs_quarantine(struct cs_store *store);
/* Lists a revision that was not even read (too large, no document, no revision); rev is shortened.
 */
int cs_quarantine_note(struct cs_store *store, const char *id, const char *rev, const char *peer,
                       const char *reason, struct cm_err *err);
/* Is this revision in the list? */
bool cs_is_refused(struct cs_store *store, const char *id, const char *rev);
/* Forgets an entry as cs_quarantine() shows it, or all of them (id NULL).  *ret_count: how many.
 * What is refused once more is listed once more. */
int cs_quarantine_forget(struct cs_store *store, const char *id, const char *rev, size_t *ret_count,
                         struct cm_err *err);
/* Tries every quarantined document again (after trust:root changed), oldest first; what is
 * accepted leaves the list. */
int cs_quarantine_retry(struct cs_store *store, struct cm_err *err);

/* ---- verdicts decided anew (rejudge.c)
 * ----------------------------------------------------------------------------------
 */

/* A signer left the trust root, or is back: what servers wrote is to be judged anew.  Part of the
 * open batch, so that it is durable together with the trust root; a pass under way begins again. */
int cs_rejudge_begin(struct cs_store *store, struct cm_err *err);
/* One slice of the pass: at most CS_REJUDGE_SLICE documents through the verify port, their place
 * in the same batch.  A version whose signer does not count any more stays stored, is effective no
 * longer and is listed in the quarantine; one whose signer counts again is effective again.
 * Documents of the manager keep their verdict until a present manager has signed them anew, and so
 * do tombstones.
 * Returns 1 when there is more, 0 at the end (or when nothing is to be done), negative when the
 * store failed.  A pass goes on after a restart where it was. */
#define CS_REJUDGE_SLICE 200
int cs_rejudge(struct cs_store *store, struct cm_err *err);
/* {state: "idle"|"running", started_at, finished_at?, documents, at_most?, lost, regained} of the
 * last pass (owned); NULL when there was none.  documents: looked at by now, of at_most. */
json_t *cs_rejudge_status(struct cs_store *store);

/* ---- housekeeping as CouchDB offers it (certstore-lab; all of it CM_EDENIED with policy) -------
 */

/* Generations kept of each path, 1 to CS_REVS_LIMIT; a document follows when it changes next. */
int64_t cs_revs_limit(const struct cs_store *store);
int cs_set_revs_limit(struct cs_store *store, int64_t limit, struct cm_err *err);
/* Removes these leaves for good, with the ancestors that no other leaf has; peers are not told.
 * Revisions that are no leaf are left alone.  *ret_purged: owned array of what went. */
int cs_purge(struct cs_store *store, const char *id, const json_t *revs, json_t **ret_purged,
             struct cm_err *err);
/* Removes the bodies of revisions that are no leaf, of at most limit documents from `from` on (""
 * = all).  next: where to go on, "" = done. */
int cs_compact(struct cs_store *store, const char *from, size_t limit, char next[CS_ID_MAX + 2],
               struct cm_err *err);

/* ---- manager-local tables (never replicated)
 * --------------------------------------------------------- */

/* Tables in use: "local" (checkpoints, _local documents), "order", "log", "user", "session",
 * "setup", "invite", "state", "notice", "heal", "database" (revs_limit, security object).  Keys are
 * text up to CS_KV_KEY_MAX. */
int cs_kv_put(struct cs_store *store, const char *table, const char *key, const json_t *value,
              struct cm_err *err);
json_t *cs_kv_get(struct cs_store *store, const char *table, const char *key); /* NULL = absent */
int cs_kv_del(struct cs_store *store, const char *table, const char *key, struct cm_err *err);
typedef int (*cs_kv_fn)(void *arg, const char *key, const json_t *value);
int cs_kv_each(struct cs_store *store, const char *table, const char *prefix, cs_kv_fn fn,
               void *arg);

/* ---- care
 * ------------------------------------------------------------------------------------------------
 */

/* Reads everything: checksums, trees, indexes against documents, sequences.  *ret_report (owned):
 * {documents, revisions, problems: [text…]}.  Returns 0 also when problems were found. */
int cs_check(struct cs_store *store, json_t **ret_report, struct cm_err *err);

/* Above these parts of the map: people are warned; new credentials and the like are refused, while
 * whatever exists is still renewed, deployed and reported on. */
#define CS_MAP_WARN   70
#define CS_MAP_REFUSE 90
/* Bytes free on the store's disk below which people are warned: when it is full nothing can be
 * saved any more, not even that. */
#define CS_DISK_WARN   (64ll << 20)
#define CS_VIEW_MAX_MS 2000 /* a snapshot that is held longer keeps old pages from being reused */

struct cs_stat {
    int64_t documents, deleted, refused; /* effective, their tombstones, quarantined */
    int64_t records;                     /* of all tables */
    int64_t map_size, map_used, file_size;
    int64_t disk_free; /* bytes; INT64_MAX = not known */
    int map_percent;
    int64_t readers, slow_views; /* snapshots held longer than CS_VIEW_MAX_MS since the start */
    int64_t stuck_reader; /* process that reads from one snapshot for CS_READER_MAX_MS; 0 = none */
};
int cs_stat(struct cs_store *store, struct cs_stat *ret, struct cm_err *err);
/* The same as {documents, …} for status pages (owned); NULL when the store cannot be read. */
json_t *cs_stat_json(struct cs_store *store);
/* Housekeeping, every CS_CARE_MS: measures the map, frees what dead readers hold, tells of another
 * process that keeps one snapshot for CS_READER_MAX_MS: what is replaced meanwhile cannot be used
 * again, and the file grows. */
#define CS_READER_MAX_MS (5 * 60 * 1000)
#define CS_CARE_MS       30000
void cs_care(struct cs_store *store);

/* A compacted copy as a store of its own: file `path` (mode 0600, must not exist), durable.  Blocks
 * for as long as it takes; may run on a worker thread while the store is in use. */
int cs_copy(struct cs_store *store, const char *path, struct cm_err *err);

/* Reads everything again, a slice at a time, while the store is in use: checksums, trees, indexes.
 * A pass begins CS_SCRUB_EVERY_S after the last one ended; place and result survive a restart. */
#define CS_SCRUB_EVERY_S (7 * 24 * 3600)
#define CS_SCRUB_SLICE   200 /* records of one slice */
/* One slice.  Returns 1 when there is more to read now, 0 when not, negative when the store
 * failed.  now: begin a pass whatever the date. */
int cs_scrub(struct cs_store *store, bool now, struct cm_err *err);
/* {state: "idle"|"running", records, problems: [text…], finished_at?, started_at?} (owned). */
json_t *cs_scrub_status(struct cs_store *store);

/* ---- restore ----------------------------------------------------------------------------------
 */

/* A new incarnation: sequence tokens and checkpoints of the old one mean nothing any more.  Durable
 * when it returns; no batch may be open. */
int cs_renew_epoch(struct cs_store *store, struct cm_err *err);
/* While why (a static text) is set, cs_publish() refuses with CM_EBUSY and this text. */
void cs_set_hold(struct cs_store *store, const char *why);
