/*
 * Key rollover with revocation: a person wants a new key and, once the new certificate is in force
 * everywhere, the former ones revoked: as superseded, or because their key is compromised.
 *
 * The wish stands in the credential (`rollover`) until a certificate with another key is there,
 * then as `revoke` in the archive: document of the one it replaced, until the CA has heard of all
 * that are archived of that credential, ended ones too.
 */
#pragma once

#include "certmgr/engine/internal.h"

#define FORMER_SUPERSEDED  4 /* reasons of RFC 5280 5.3.1 */
#define FORMER_COMPROMISED 1
#define FORMER_LOOK_MS     3000 /* between looks whether all servers have the new certificate */
#define FORMER_WAIT_MS     INT64_C(86400000) /* one that is down is waited for so long … */
#define FORMER_HURRY_MS    900000            /* … and this long when the key is compromised */
#define FORMER_ROWS_MAX    1000              /* archived certificates of one credential */

bool eng_former_reason(int64_t reason);
/* What a request "roll_over" wants to become of the former certificates: into, or out of, body. */
void eng_former_wish(struct engine *engine, json_t *body, const json_t *request);
/* Why the certificate of credential goes when the next one has this key: "superseded",
 * "compromised", or NULL: no revocation was asked for. */
const char *eng_former_why(const json_t *credential, const char *public_key_sha256);

/* ---- manager ---- */
void eng_former_start(struct engine *engine);
void eng_former_stop(struct engine *engine);
/* An archived certificate of the credential is to be revoked. */
void eng_former_look(struct engine *engine, const char *ulid);
/* Something changed about a credential: is it one that is waited for? */
void eng_former_touch(struct engine *engine, const char *ulid);
