/* Bytes as text and digests: base64, base64url, hex, SHA-256, HMAC, random, ULID. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CM_SHA256_SIZE 32
#define CM_SHA256_HEX  65 /* with NUL */
#define CM_ULID_TEXT   27 /* 26 + NUL */

/* Fresh NUL-terminated strings, freed with cm_free. */
char *cm_b64(const void *data, size_t len);
char *cm_b64url(const void *data, size_t len); /* no padding (RFC 7515) */
/* Strict decoders: the whole text or CM_EMALF; *ret is owned by the caller (cm_free). */
int cm_b64_decode(const char *text, size_t len, uint8_t **ret, size_t *ret_len);
int cm_b64url_decode(const char *text, size_t len, uint8_t **ret,
                     size_t *ret_len);                /* '=' refused */
void cm_hex(const void *data, size_t len, char *out); /* out: 2*len+1 bytes, lower case */
int cm_hex_decode(const char *text, uint8_t *out, size_t out_len); /* exactly 2*out_len digits */

void cm_sha256(const void *data, size_t len, uint8_t out[CM_SHA256_SIZE]);
void cm_sha256_hex(const void *data, size_t len, char out[CM_SHA256_HEX]);
void cm_hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
                    uint8_t out[CM_SHA256_SIZE]);
/* bits: 256, 384 or 512.  Returns how many bytes of out count. */
#define CM_HMAC_MAX 64
size_t cm_hmac_sha2(unsigned bits, const void *key, size_t key_len, const void *data, size_t len,
                    uint8_t out[CM_HMAC_MAX]);
/* Cryptographic random bytes; ends the process if the system gives none. */
void cm_random(void *out, size_t len);
/* ULID of now (48 bit ms + 80 random bits, Crockford base 32, upper case). */
void cm_ulid(char out[CM_ULID_TEXT]);
bool cm_ulid_ok(const char *text);
