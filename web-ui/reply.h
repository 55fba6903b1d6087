/*
 * Replies: the security header set on every one of them, pages, JSON, problem details (RFC 9457).
 *
 * A 200 of the API carries an entity tag, and becomes 304 when the client has that already.
 */
#pragma once

#include "web-ui/ctx.h"

/* All of these end ctx. */
void web_reply(struct web_ctx *ctx, int status, const char *type, const void *body, size_t len);
/* 200, immutable caching: only for paths that carry the content's hash. */
void web_reply_asset(struct web_ctx *ctx, const char *type, const void *body, size_t len);
/* Takes the buffer (fini). */
void web_reply_html(struct web_ctx *ctx, int status, struct cm_buf *page);
void web_reply_json(struct web_ctx *ctx, int status, json_t *take);
/* Head of an endless reply; the exchange is the caller's from here on (http_ex_write,
 * http_ex_end, http_ex_on_close). */
struct http_exchange *web_reply_stream(struct web_ctx *ctx, const char *type);
/* 303 See Other. */
void web_reply_redirect(struct web_ctx *ctx, const char *location);
/* A bare status in plain words: page or problem details. */
void web_reply_status(struct web_ctx *ctx, int status);
/* A failed operation: status by its code, page or problem details with the error object.  err NULL
 * = 500. */
void web_reply_error(struct web_ctx *ctx, const struct cm_err *err);
/* Problem details, `type` = "urn:certmgr:problem:" and "fields", the error's code, or a word for
 * the status.  title: NULL = the reason phrase; take_errors: [{pointer, detail, value?}] or
 * NULL; err: shown under "error", or NULL. */
void web_reply_problem(struct web_ctx *ctx, int status, const char *title, const char *detail,
                       json_t *take_errors, const struct cm_err *err);
/* A problem with a type of its own. */
void web_reply_problem_as(struct web_ctx *ctx, int status, const char *type, const char *detail);
/* HTTP status of an error code. */
int web_status_of(int code);
