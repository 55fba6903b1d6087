/*
 * What can still be taken of a text that is JSON but holds a value which is not read here: an
 * integer beyond 2^53, a number that no double holds, half of a surrogate pair, U+0000, a name
 * twice, values nested too deep.  CouchDB takes most of them, so its replicator sends them on: such
 * a document is refused alone, or the client's job would end for all the others.
 */
#pragma once

#include "base/core/json.h"

/* The row of a _bulk_docs with which a document is refused that cannot be read (owned), or NULL:
 * its text is no JSON object. */
json_t *rp_salvage_row(const char *text, size_t len);
/* The body of a _bulk_docs (owned), in which null stands for a document that cannot be read, or
 * NULL: it is no JSON, or more than its documents is at fault.  *ret_rows (owned) is as long as
 * "docs": what is to be answered for each of those, else null. */
json_t *rp_salvage_docs(const char *text, size_t len, json_t **ret_rows);
/* The answer to open_revs (owned), in which the leaves that cannot be read have but their names
 * (_id, _rev, _revisions, _deleted); NULL: it is no JSON array. */
json_t *rp_salvage_leaves(const char *text, size_t len);
/* The body of a _revs_diff without the members that cannot be read (owned), or NULL.  *ret_none
 * becomes NULL. */
json_t *rp_salvage_members(const char *text, size_t len, json_t **ret_none);
