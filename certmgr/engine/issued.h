/* What credential: and keyfile: documents say of a certificate that has just been issued, whoever
 * brought it: an order (job_finish.c) or a person (manual.c). */
#pragma once

#include "keyfile/cert.h"

/* Members of the credential: status, key, chain, dates, health (owned).  key: {sealed_key,
 * public_key_sha256, csr, key_generation}; activation: activation.h, or NULL. */
json_t *eng_issued(const json_t *key, const struct kf_chain *chain, json_t *activation,
                   int64_t now_ms);
/* Members of the keyfile (owned).  key: as above with names and servers. */
json_t *eng_issued_keyfile(const char *ulid, const json_t *key, const json_t *names,
                           const struct kf_chain *chain, const json_t *activation);
/* What belonged to the former certificate goes from a credential's body. */
void eng_issued_clear(json_t *body);
