/* Digests of key authorizations. */
#include "certmgr/acme/proof.h"

#include <string.h>

#include "base/core/bytes.h"
#include "base/core/mem.h"

void acme_proof_digest(const char *key_authorization, uint8_t out[32])
{
    cm_sha256(key_authorization, strlen(key_authorization), out);
}

void acme_dns01_value(const char *key_authorization, char out[ACME_TXT_SIZE])
{
    uint8_t digest[CM_SHA256_SIZE];
    acme_proof_digest(key_authorization, digest);
    CM_AUTO_STR text = cm_b64url(digest, sizeof(digest));
    (void)cm_strcpy(out, ACME_TXT_SIZE, text);
}
