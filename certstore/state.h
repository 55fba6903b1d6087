/*
 * Do two replicas hold the same?  A digest over what counts of every document: its id, its
 * effective revision and whether that is a tombstone; not over sequences, losing leaves or what
 * was refused, in which healthy replicas differ.
 */
#pragma once

#include "certstore/store.h"

#define CS_STATE_GROUPS 4096 /* rows at most; what does not fit is an error, never left out */

/* Array of {type, by?, documents, deleted, hash} (owned), in the order of ids: one row for each
 * type, and for types that servers write (marked up) one for each signer, `by`.  hash: 64 hex
 * digits, the same on two stores exactly when the row's documents are.  Reads every document once:
 * half a second for 100,000.  Returns 0, CM_ELIMIT or why the store cannot be read. */
int cs_state(struct cs_store *store, json_t **ret, struct cm_err *err);
