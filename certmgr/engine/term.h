/*
 * Since when this manager answers requests.
 *
 * What was answered is remembered in this store alone.  Who takes over from another manager, or
 * goes on with a restored store, has no memory of what was answered before, and must not do it
 * twice; who never had a predecessor remembers everything, and must answer whatever comes: its
 * maker's clock may be wrong by years.
 */
#pragma once

#include "certmgr/engine/internal.h"

/* The manager's task begins to work: begins a term, or goes on with the one of this incarnation of
 * the store (cs_epoch).  One with a predecessor begins now. */
void eng_term_start(struct engine *engine);

/* This server is no manager: its next term has a predecessor. */
void eng_term_end(struct engine *engine);

/* Was this asked before the term, at a predecessor?  By the asking server's clock. */
bool eng_term_before(const struct engine *engine, const json_t *request);
