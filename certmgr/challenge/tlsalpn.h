/*
 * TLS-ALPN-01 (RFC 8737): answering from the replicated `challenge:` documents, so whichever server
 * of the fleet the CA meets can answer.
 */
#pragma once

#include "base/net/tls_alpn.h"
#include "certstore/store.h"

#define CH_ALPN_CERTS 64 /* certificates kept; the oldest gives way */

struct ch_tlsalpn;
/* Knows the documents with tokens of this kind; the store outlives it. */
struct ch_tlsalpn *ch_tlsalpn_new(struct cs_store *store);
void ch_tlsalpn_free(struct ch_tlsalpn *answers); /* NULL allowed */
/* tls_alpn_find_fn; arg = struct ch_tlsalpn *.  Two orders for one name at a time: the one whose
 * token ends first is answered, so that the other's self-check waits for it. */
const struct tls_alpn_cert *ch_tlsalpn_find(void *arg, const char *sni);
/* Certificates made so far (tests). */
size_t ch_tlsalpn_made(const struct ch_tlsalpn *answers);
