/*
 * A server's three keys are replaced: its word (rotation:<server>, docs/documents.md), signed with
 * the old sign key and proved by each new key, and the two versions of the trust root that follow
 * from it.  The first lists the new keys, with the old ones beside them; the second forgets the
 * old ones but for their hashes.
 */
#pragma once

#include "keyfile/trust_build.h"

/* A key's signature over the three new keys, base64url: it is not somebody else's. */
struct kf_new_keys {
    const char *name;
    const char *seal, *sign, *tls; /* SPKI DER, base64 */
};
int kf_rotation_prove(EVP_PKEY *key, const struct kf_new_keys *keys, char **ret,
                      struct cm_err *err);

/* Does the trust root list these keys as the server's present ones? */
bool kf_trust_has_keys(const struct kf_trust *trust, const json_t *document);
/* Lists the new keys; results as of trust_build.h.  CM_EBUSY while the server's former ones count.
 */
int kf_trust_rotate(const struct kf_identity *identity, const struct kf_trust *current,
                    const json_t *document, int64_t now_ms, json_t **ret, struct cm_err *err);
/* Forgets the former ones: the document says, signed with the new key, that nothing needs them. */
int kf_trust_retire(const struct kf_identity *identity, const struct kf_trust *current,
                    const json_t *document, int64_t now_ms, json_t **ret, struct cm_err *err);
/* In a server's object of a trust root: moves `old` to the list `replaced` (tests, and who has to
 * know what a retirement may change). */
int kf_trust_forget_old(json_t *entry, const char *at, struct cm_err *err);
