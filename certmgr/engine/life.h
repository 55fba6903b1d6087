/*
 * The end of a credential's life: revocation, archive, removal; what is kept of certificates that
 * were replaced.
 */
#pragma once

#include "certmgr/engine/internal.h"

#define REVOKE_HOLDER_MS   600000 /* a holder's time to revoke by the certificate's key */
#define ARCHIVE_DAYS       30     /* an archived certificate is kept so long after its end */
#define ARCHIVE_SWEEP_MS   INT64_C(86400000)
#define ARCHIVE_SWEEP_MAX  500 /* removed by one sweep; the next one follows soon */
#define ARCHIVE_AGAIN_MS   60000
#define ARCHIVE_RETRY_MS   5000 /* after a write that failed */
#define ARCHIVE_AGAIN_MOST 1000 /* replaced certificates that wait for another attempt */

/* ---- revoke.c ---- */
bool eng_revoke_by_key(const json_t *credential);
/* The payload of RFC 8555 7.6 (owned; NULL = no certificate), and the verb that signs by the
 * certificate's key (owned). */
char *eng_revoke_payload(const json_t *credential);
json_t *eng_revoke_signer(const json_t *credential);

/* ---- life.c: what intake and the holders' reports do to a credential's body ---- */
/* "revoke", "revoked", "archive", "delete": answers such a request.  0 = publish body, 1 = leave it
 * as it is; *ret_outcome for the step log (static text). */
int eng_life_answer(struct engine *engine, const char *ulid, const json_t *request, json_t *body,
                    const char **ret_outcome);
bool eng_life_is(const char *action);
/* The certificate is revoked: status, and what was asked to become of the credential.  0 = publish,
 * 1 = it was done before. */
int eng_revoked(json_t *body, int64_t now_ms);
/* A person wants the CA to be asked again at once: reason, signer and what becomes of the
 * credential stay as they were asked for, and the error until the CA has answered. */
void eng_revoke_again(json_t *body, int64_t now_ms);
/* Was there such a credential, and was it removed? */
bool eng_is_gone(const struct engine *engine, const char *ulid);
/* A tombstone of body. */
void eng_tombstone(json_t *body);
/* An eng_edit_fn without an argument: a tombstone of what exists; where nothing does, nothing. */
int eng_edit_gone(void *arg, json_t *body, struct cm_err *err);

/* ---- archive.c (manager) ---- */
/* A certificate goes: archive:<ulid>-<fingerprint's first 16 digits>, without keys.  why:
 * "deleted"; "superseded" and "compromised": the CA is to revoke it (former.h).  done may be NULL.
 */
void eng_archive(struct engine *engine, const char *ulid, const json_t *credential, const char *why,
                 cs_published_fn done, void *arg);
/* Another certificate has taken the place of former's (a credential's body):
 * archive:<ulid>-<fingerprint's first 16 digits>, without keys.  What meets a full disk (or a store
 * or key agent that fails) is tried again every ARCHIVE_RETRY_MS, of ARCHIVE_AGAIN_MOST
 * certificates at most.  done (may be NULL) is told after the first attempt, and of no error. */
void eng_archive_former(struct engine *engine, const char *ulid, const json_t *former,
                        cs_published_fn done, void *arg);
void eng_archive_start(struct engine *engine);
void eng_archive_stop(struct engine *engine);
/* A credential changed: revoked and wished away, or gone. */
void eng_archive_look(struct engine *engine, const char *ulid);

/* ---- holder.c (every server) ---- */
void eng_holder_start(struct engine *engine);
void eng_holder_stop(struct engine *engine);
/* A credential changed: does it ask this server to revoke by the certificate's key? */
void eng_holder_look(struct engine *engine, const char *ulid);
