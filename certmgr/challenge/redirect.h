/* Where a redirect of a challenge leads, and whether a CA goes there.  No input or output. */
#pragma once

#include "base/core/err.h"

#define CH_REDIRECTS_MAX     10   /* followed (reference/acme.md H4) */
#define CH_REDIRECT_PATH_MAX 2000 /* bytes of the target's path (H4b) */
#define CH_URL_MAX           4400

/* Is it a status whose Location a CA follows?  (303 is none: Boulder refuses it.) */
bool ch_redirect_status(int status);
/* Resolves `location` against the absolute URL `from` into `out` (absolute, lower-case host, no
 * default port, no fragment, no dot segments).  `host` is the name that is validated, `port` the
 * port it is fetched from (80, or the laboratory's).
 *
 * Returns 0, or CM_EPEER when a CA does not follow: err->what goes on from "hop 2, URL: " and
 * err->hint says what to change in the web server.  `out` holds the target as far as it is known.
 */
int ch_redirect(const char *from, const char *location, const char *host, int port, char *out,
                size_t size, struct cm_err *err);
