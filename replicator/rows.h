/*
 * The text of a changes feed that somebody made unreadable.
 *
 * A hub takes ids and revisions that our JSON reader refuses (U+0000, half of a surrogate pair), or
 * of any length: one such row must not stop everybody who reads the feed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/core/json.h"

/* Replaces the escapes that no text may hold by that of U+FFFD, in place; the length stays. */
void rp_rows_mend(char *text, size_t len);
/* Does the text come to the end of the value that it begins with?  A hub that fails while it
 * answers may end its answer in the middle as if it were the end.  Brackets and texts are looked at
 * only, so a whole text need not parse. */
bool rp_rows_whole(const char *text, size_t len);
/* The sequence of the first row of a feed whose text may be cut off (owned: a string of at most
 * RP_SEQ_MAX bytes, or a number), where the row begins with it as CouchDB's and ours do; else NULL.
 */
json_t *rp_rows_first_seq(const char *text, size_t len);
