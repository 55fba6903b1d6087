/*
 * Host names as people type them -> ASCII names a CA takes (libidn2, then our own rule).
 *
 * libidn2 2.3 non-transitional, NFC input; afterwards our rule (reference/acme.md 5.4): labels 1-63
 * of letters, digits, hyphen; no hyphen at the ends; total <= 253; at least two labels; last not
 * all digits; lower case; trailing dot removed; "*" only as whole first label.
 */
#pragma once

#include "base/core/err.h"

#define HOSTNAME_MAX 254 /* with NUL */

enum hostname_kind { HOSTNAME_DNS, HOSTNAME_WILDCARD, HOSTNAME_IP };

/* Converts one name.  Returns 0, or CM_EINVAL with a sentence for the person who typed it. */
int hostname_to_ascii(const char *typed, char out[HOSTNAME_MAX], enum hostname_kind *ret_kind,
                      struct cm_err *err);
/* A-label form -> U-label form for display; falls back to the input. */
void hostname_to_unicode(const char *ascii, char *out, size_t size);
/* Is it an IPv4 or IPv6 literal? */
bool hostname_is_ip(const char *text);
