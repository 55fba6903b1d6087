/*
 * What proves control of a name: the kinds of challenges and the values they show (RFC 8555 8,
 * RFC 8737).  Pure functions.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define ACME_HTTP01   "http-01"
#define ACME_DNS01    "dns-01"
#define ACME_TLSALPN  "tls-alpn-01"
#define ACME_TXT_SIZE 44 /* of a dns-01 value, with NUL */

/* Which challenge proves this name; NULL = http-01. */
typedef const char *(*acme_challenge_fn)(void *arg, const char *name);

/* SHA-256 of the key authorization: what the acmeIdentifier extension holds (RFC 8737 3). */
void acme_proof_digest(const char *key_authorization, uint8_t out[32]);
/* The TXT value at _acme-challenge (RFC 8555 8.4). */
void acme_dns01_value(const char *key_authorization, char out[ACME_TXT_SIZE]);
