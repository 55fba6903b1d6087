/*
 * One revision, "N-id" (CouchDB): N is the generation, an id of 32 hex digits is 16 bytes, any
 * other id is text.  Ids compare as bytes, which is what makes two replicas agree on the winner.
 * Like in CouchDB, 16 bytes are always shown as 32 hex digits.
 */
#pragma once

#include "certstore/store.h"

#define CS_REVID_MAX 62

struct cs_rev {
    int64_t gen;
    uint8_t len;
    uint8_t id[CS_REVID_MAX];
};

/* Reads "N-id"; 0 or CM_EMALF (also for a text over CS_REV_MAX, 32 characters that are not hex, a
 * generation over CS_GENERATION_MAX). */
int cs_rev_parse(const char *text, struct cs_rev *ret);
/* Is this a revision to CouchDB ("N-id": N of any size, an id of 32 characters in hex), whether or
 * not a store of ours can hold it? */
bool cs_rev_named(const char *text);
/* The id alone, as it stands in `_revisions.ids`. */
int cs_rev_parse_id(const char *id, int64_t gen, struct cs_rev *ret);
void cs_rev_format(const struct cs_rev *rev, char out[CS_REV_MAX + 1]);
void cs_rev_format_id(const struct cs_rev *rev, char out[CS_REV_MAX + 1]);
/* By generation, then id; <0, 0, >0. */
int cs_rev_cmp(const struct cs_rev *a, const struct cs_rev *b);
bool cs_rev_eq(const struct cs_rev *a, const struct cs_rev *b);
