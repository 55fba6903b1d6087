/*
 * A token that every server of the fleet answers by itself, so that the way of a challenge can be
 * tried before any CA was asked.
 *
 * "certmgr-probe-" and 22 characters of base64url: the answer is the token, a dot, and a hash over
 * token and fleet.  It is no key authorization of any account (RFC 8555 8.1): nobody knows a key
 * with that thumbprint, as what is hashed is no JWK.
 */
#pragma once

#include "certstore/store.h"

#define CH_PROBE       "certmgr-probe-"
#define CH_PROBE_TOKEN 37 /* with NUL */

void ch_probe_token(char out[CH_PROBE_TOKEN]); /* a new one */
/* The fleet's answer (cm_free), or NULL: no such token. */
char *ch_probe_answer(struct cs_store *store, const char *token);
