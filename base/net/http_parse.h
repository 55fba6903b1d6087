/*
 * HTTP/1.1 request head: a pure parser over one complete header block (RFC 9112).
 *
 * The block ends at the first CRLF CRLF, which the caller found within HTTP_HEAD_MAX bytes.
 * Strictness: docs/adr/0003-http-server.md; the leniency table is tests/unit/net/test_http_parse.c.
 */
#pragma once

#include "base/core/err.h"
#include <stddef.h>

#define HTTP_HEAD_MAX   16384 /* request line + fields + CRLFCRLF */
#define HTTP_FIELDS_MAX 64
#define HTTP_TARGET_MAX 8192
#define HTTP_QUERY_MAX  256 /* decoded query or form parameters: a form ticks up to 200 servers */

enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_PATCH,
    HTTP_DELETE,
    HTTP_OPTIONS,
    HTTP_METHOD_COUNT
};

struct http_field {
    const char *name;  /* lower-cased token */
    const char *value; /* trimmed UTF-8, no control bytes but tabs */
};

/* A parsed head.  All strings live in `store`, one allocation, freed by http_head_fini(). */
struct http_head {
    enum http_method method;
    int minor;          /* 1, or 0 (then the connection closes after the reply) */
    const char *target; /* as sent, origin-form */
    const char *path;   /* percent-decoded UTF-8 without control bytes and dot segments;
                           %2F stays "%2F" (as "%252F" does: `target` tells them apart) */
    const char *query;  /* raw printable text behind '?' with well-formed escapes, or "" */
    const char *host;   /* the one Host field, never empty */
    struct http_field field[HTTP_FIELDS_MAX];
    size_t field_count;
    int64_t content_length; /* 0 when absent */
    bool has_body;          /* Content-Length present */
    bool keep_alive;
    bool expect_continue;
    char *store;
};

/* Looks for the end of a header block in the data[0..len) received so far; *seen (0 at first)
 * remembers how far earlier calls looked.  Returns the length of the block, 0 while it is
 * incomplete, or CM_EMALF/CM_ELIMIT with *ret_status as soon as no acceptable head can come of it.
 */
int http_head_scan(const char *data, size_t len, size_t *seen, int *ret_status, struct cm_err *err);
/* Parses block[0..len), which ends in CRLFCRLF.  On refusal returns CM_EMALF/CM_ELIMIT and sets
 * *ret_status to the status to send: 400, 405 (unknown method), 413, 414, 417, 431, 501 (any
 * Transfer-Encoding), 505. */
int http_head_parse(const char *block, size_t len, struct http_head *ret, int *ret_status,
                    struct cm_err *err);
void http_head_fini(struct http_head *head);
/* Value of a field (name in lower case) or NULL. */
const char *http_head_field(const struct http_head *head, const char *name);
const char *http_method_name(enum http_method method);
