/* Strict absolute http(s) URLs and percent-encoding. */
#pragma once

#include "base/core/buf.h"
#include "base/core/err.h"

struct url {
    bool https;
    char host[256]; /* lower case; IPv6 without brackets */
    int port;
    char path[4096]; /* begins with '/', includes the query */
};

/* https:// or http:// only; no user info, no fragment, no control bytes or blanks. */
int url_parse(const char *text, struct url *ret, struct cm_err *err);
/* "https://host:port" (default port left out). */
void url_origin(const struct url *url, char *out, size_t size);
/* Resolves an absolute URL or absolute path against base; returns CM_EMALF for anything else. */
int url_join(const char *base, const char *ref, char *out, size_t size, struct cm_err *err);
/* Appends text percent-encoded (everything but unreserved). */
void url_encode(struct cm_buf *out, const char *text);
/* Decodes application/x-www-form-urlencoded or a query string: calls fn for each pair; refuses
 * malformed escapes, NUL, invalid UTF-8 and more than HTTP_QUERY_MAX pairs (CM_EMALF/CM_ELIMIT).
 * A non-zero return of fn stops and is returned. */
typedef int (*url_pair_fn)(void *arg, const char *name, const char *value);
int url_form_each(const char *text, size_t len, url_pair_fn fn, void *arg, struct cm_err *err);
