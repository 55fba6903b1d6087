/*
 * What a CA writes and we must not trust: URLs, times, tokens, sentences.
 *
 * Every URL is https (reference/acme.md 3.1, CVE-2025-54799); every sentence is cut and stripped of
 * control bytes before a person sees it; a token has the base64url alphabet or the order fails.
 */
#pragma once

#include "base/core/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ACME_URL_MAX  2048
#define ACME_TEXT_MAX 320 /* one sentence of the CA, with NUL */

/* An absolute https URL of at most ACME_URL_MAX - 1 bytes; with lab_http also http:// to loopback
 * (127.0.0.0/8, ::1, localhost).  NULL text is refused.  Returns 0, CM_EMALF or CM_EDENIED. */
int acme_url_check(const char *url, bool lab_http, struct cm_err *err);
/* Resolves ref (absolute, or a path) against base and checks the result. */
int acme_url_resolve(const char *base, const char *ref, bool lab_http, char out[ACME_URL_MAX],
                     struct cm_err *err);
/* Copies a text of the CA for people: cut to ACME_TEXT_MAX with "...", control bytes as blanks,
 * always valid UTF-8.  NULL gives "". */
void acme_text(const char *text, char out[ACME_TEXT_MAX]);
/* RFC 3339 with any offset -> wall clock ms; 0 when absent or malformed. */
int64_t acme_time(const char *text);
/* 1..ACME_TOKEN_MAX characters of the base64url alphabet (RFC 8555 8.1, 8.3). */
bool acme_token_ok(const char *token);
/* token "." thumbprint (RFC 8555 8.1); the caller frees with cm_free. */
char *acme_key_authorization(const char *token, const char *thumbprint);
/* Compares host names of identifiers (ASCII, any case). */
bool acme_same_name(const char *a, const char *b);
