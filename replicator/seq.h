/*
 * Sequence tokens as they travel: "N-EPOCH", N = update sequence, EPOCH = 8 hex digits of the
 * store's incarnation.  A token of another incarnation (a store restored from a backup) means 0.
 */
#pragma once

#include <stdint.h>

#define RP_SEQ_TEXT 32 /* 19 digits, '-', 8 digits, NUL */

void rp_seq_format(int64_t seq, const char *epoch, char out[RP_SEQ_TEXT]);
/* Reads a token, a plain number or "now" (= newest), also within the double quotes that CouchDB's
 * replicator sends.  Returns 0 or CM_EMALF. */
int rp_seq_parse(const char *text, const char *epoch, int64_t newest, int64_t *ret);
