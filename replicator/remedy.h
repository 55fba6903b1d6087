/*
 * What puts a document of a hub right that somebody spoiled (reference/replication.md 6).  A leaf
 * that does not count gets an empty tombstone below it, its mark; a document whose good version is
 * a leaf no more (somebody wrote below it), or has another text there (somebody was the first to
 * post that name), is posted once more beside that.  Marks are looked at like everything else:
 * anybody can make one.
 *
 * `leaves` is the hub's answer to open_revs=all with the histories: [{"ok": document}, …].
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "certstore/store.h"

#define RP_REMEDY_MARKS_MAX 200 /* leaves pruned at a time */
#define RP_REMEDY_DIG_DEPTH 10  /* revisions below one leaf that are dug for */
#define RP_REMEDY_DIG_MAX   50  /* … below all leaves of a document */

/* Is a document, with its history, such a mark?  By its form and name: it proves nobody's hand. */
bool rp_remedy_is_mark(const json_t *doc);

/* Our own good version, with its history when revs (owned), or NULL. */
json_t *rp_remedy_ours(struct cs_store *store, const char *id, bool revs);

/* What to post (an array of documents with their histories, owned); empty when nothing is wrong. */
json_t *rp_remedy_docs(struct cs_store *store, const char *id, const json_t *leaves);

/* What to ask for before that (an array of revisions, owned): what lies below leaves that do not
 * count (a mark is one of them) and is not known here. */
json_t *rp_remedy_buried(struct cs_store *store, const char *id, const json_t *leaves);
