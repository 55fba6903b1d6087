/*
 * From when on servers serve a new certificate (reference/acme.md N5): some CAs' OCSP responders
 * hear of a certificate minutes after its issue, and browsers that ask them show an error until
 * then.  The account says how long to wait (`activation`: at_once, delay, ocsp); without a word the
 * preset of its CA does.
 *
 * The manager writes `serve_from` into the signed keyfile: document; servers keep what they serve
 * until then (dep_hold.c).  With "ocsp" that time is the latest one: as soon as the responder says
 * good, the manager takes it away.  So nothing has to be alive for a certificate to come into
 * force.  A former certificate is never served beyond its end for that.
 */
#pragma once

#include "certmgr/engine/internal.h"
#include "keyfile/cert.h"

#define ENG_OCSP_WAIT_S   600   /* the latest, where the account does not say */
#define ENG_OCSP_FIRST_MS 1000  /* pause after the first answer that is not good, doubled … */
#define ENG_OCSP_PAUSE_MS 30000 /* … up to so long */
#define ENG_OCSP_CALL_MS  10000
#define ENG_OCSP_MAX      2000 /* certificates asked about at a time; others wait to the end */

/* The account's fields `activation` and `activation_s` as typed, into its members. */
int eng_activation_check(const json_t *fields, json_t *members, struct cm_err *err);
/* `activation` of a credential that has just got this chain: {from, by, url?}, or NULL when it is
 * in force at once (owned).  account: body, or NULL when none issued it; former: the credential
 * before. */
json_t *eng_activation_of(const json_t *account, const json_t *former, const struct kf_chain *chain,
                          int64_t now_ms);
/* `serve_from` of the keyfile: document, or taken away. */
void eng_activation_place(json_t *keyfile, const json_t *activation);

/* Asking responders (manager).  The table "ocsp" keeps who is asked about over a restart. */
void eng_activation_start(struct engine *engine);
void eng_activation_stop(struct engine *engine);
void eng_activation_look(struct engine *engine, const char *ulid);
