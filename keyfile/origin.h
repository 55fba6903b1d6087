/* Origins of https URLs (RFC 6454), as far as the agent needs them: to compare, never to connect.
 */
#pragma once

#include "base/core/err.h"

#define KF_ORIGIN_TEXT 280
#define KF_URL_MAX     2048

/* "https://host[:port]" of an https URL: lower case, port 443 left out.  Strict: no user part, no
 * blanks or control characters, no backslash, decimal port.  http:// passes for 127.… only (lab).
 */
int kf_origin(const char *url, char out[KF_ORIGIN_TEXT], struct cm_err *err);
