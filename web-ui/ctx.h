/*
 * One exchange on its way through the web interface: who asks, what was sent, and the reply.
 *
 * The context outlives a client that goes away while the engine, a worker or the store is at work;
 * then ex is NULL and every reply function only frees.  Each reply function ends the context.
 */
#pragma once

#include "base/core/json.h"
#include "web-ui/form.h"
#include "web-ui/password.h"
#include "web-ui/router.h"
#include "web-ui/session.h"
#include "web-ui/text.h"
#include "web-ui/throttle.h"
#include "web-ui/web.h"

#define WEB_NOTES_MAX 100 /* submissions whose notes are remembered for their page */

struct web {
    struct web_env env; /* self and ui_url are copies */
    struct web_throttle *throttle;
    struct web_passwords *passwords;
    struct web_streams *streams;
    json_t *edits; /* documents that a request is changing right now (precondition.h) */
    json_t *notes; /* credential -> [text], newest last */
    size_t refs;   /* one of the owner, one per living context */
    bool closing;
};

struct web_ctx {
    struct web *web;
    struct http_exchange *ex;       /* NULL: the client is gone */
    const struct http_request *req; /* NULL with ex */
    const struct web_route *route;
    enum web_lang lang;
    bool api; /* replies are JSON */
    bool tls;
    bool head; /* HEAD request */
    char param[ROUTE_PARAM_MAX];
    struct web_form query, form;
    json_t *json; /* body of an API request */
    struct web_session session;
    char *edit; /* member of web->edits that this request holds, or NULL */
};

struct web_ctx *web_ctx_new(struct web *web, struct http_exchange *ex);
void web_ctx_free(struct web_ctx *ctx);
/* In callbacks: when the client is gone, frees the context and returns true. */
bool web_ctx_gone(struct web_ctx *ctx);
void web_unref(struct web *web);

/* Who asks, for documents the engine writes. */
struct eng_actor web_actor(const struct web_ctx *ctx);
/* The page's text in the language of the client. */
const char *web_msg(const struct web_ctx *ctx, enum web_msg msg);
/* Is this a path of our own to go on to ("/…")? */
bool web_local_path(const char *path);

/* fn(ctx) when everything written so far is durable; on failure the error is replied. */
void web_after_commit(struct web_ctx *ctx, web_route_fn fn);
