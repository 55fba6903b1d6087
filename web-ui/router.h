/*
 * Routes are data: one row per method and path, with its body limit, who may call it, and how
 * cross-site requests to it are told apart.
 */
#pragma once

#include "base/net/http_server.h"

#define ROUTE_PARAM_MAX 256 /* "{…}" part of a path, with NUL */

struct web_ctx;
/* Must lead to exactly one web_reply…() or web_ctx_free() of ctx, now or later. */
typedef void (*web_route_fn)(struct web_ctx *ctx);

enum web_auth {
    AUTH_NONE,
    AUTH_USER,   /* a session, or root on the Unix socket */
    AUTH_SOCKET, /* root on the Unix socket only */
};
enum web_body {
    BODY_NONE,
    BODY_OPEN_FORM, /* before login: fetch metadata only */
    BODY_FORM,      /* fetch metadata and the session's token */
    BODY_UPLOAD,    /* as BODY_FORM, and multipart/form-data is taken, too */
    BODY_JSON,      /* fetch metadata and application/json */
    BODY_PEM,       /* as JSON, or a PEM media type */
};

struct web_route {
    enum http_method method; /* HEAD is served by the GET row */
    const char *pattern;     /* "/credentials/{ulid}/retry" */
    web_route_fn handler;
    unsigned body_max;
    enum web_auth auth;
    enum web_body body;
    bool everywhere; /* served by servers that are not the manager, too */
};

/* The row for a request; param gets the "{…}" part.  NULL = 404 when *ret_methods is 0, else 405:
 * *ret_methods has a bit (1 << method) for each method the path knows. */
const struct web_route *web_route_find(const struct web_route *table, size_t count,
                                       enum http_method method, const char *path,
                                       char param[ROUTE_PARAM_MAX], unsigned *ret_methods);
/* "GET, HEAD, POST" for the Allow field. */
void web_route_allow(unsigned methods, char *out, size_t size);

/* The product's tables: each folder owns its own (pages/routes.c, api/routes.c). */
extern const struct web_route web_page_routes[], web_api_routes[];
extern const size_t web_page_route_count, web_api_route_count;
/* Both as one list; NULL behind the last. */
const struct web_route *web_route_at(size_t i);
