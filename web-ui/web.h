/*
 * The web interface and the REST API of one server: routes, sessions, pages.
 *
 * The same view-model feeds pages and API.  Pages work without scripts; CSP allows own files only.
 */
#pragma once

#include "base/net/http_server.h"
#include "certmgr/engine/engine.h"
#include "certmgr/fleet/fleet.h"
#include "web-ui/care.h"
#include "web-ui/power.h"
#include "web-ui/upstream.h"

#define WEB_FORM_MAX       (64u << 10) /* body of a form or JSON request */
#define WEB_SESSION_IDLE_S 1800
#define WEB_SESSION_MAX_S  43200
#define WEB_SESSIONS_MAX   1000
#define WEB_LOGIN_JOBS_MAX 2 /* Argon2 runs at a time; more are queued or refused */

/* Outcome of a test notice: [{channel, to, ok, error?}] (borrowed), or err. */
typedef void (*web_notify_fn)(void *arg, const json_t *result, const struct cm_err *err);

struct web_env {
    struct cm_loop *loop;
    struct cs_store *store;
    struct engine *engine;
    struct fleet *fleet;
    const char *self;
    const char *ui_url; /* "https://host:8443" of this server */
    bool
        socket_group; /* the API's socket belongs to a group: who can connect is an administrator */
    /* {pull, push, peers, listeners: [...]} for the status page (owned result); may be NULL */
    json_t *(*status)(void *arg);
    void *status_arg;
    /* Sends a test notice over every configured channel, asked for by `who`; NULL = none are sent
     * by this server.  done is called exactly once, never from inside. */
    void (*notify_test)(void *arg, const char *who, web_notify_fn done, void *done_arg);
    void *notify_arg;
    struct web_care care; /* this server's own state */
    struct web_upstream upstream;
    struct web_power power;
};
struct web;
struct web *web_new(const struct web_env *env);
void web_free(struct web *web);
/* For the UI listener (TLS) and the Unix socket alike: a Unix client whose uid is 0 or our own is
 * the administrator "root" without a session; so is, by name, everybody of the socket's group. */
int64_t web_limit(void *web, const struct http_request *req); /* http_limit_fn */
void web_too_large(void *web, struct http_exchange *ex);      /* http_handler_fn */
void web_handle(void *web, struct http_exchange *ex);         /* http_handler_fn */

/* Makes a one-time set-up token (valid 24 h) in the store; *ret (cm_free) = the token. Commits are
 * the caller's business. */
int web_setup_token(struct cs_store *store, char **ret, struct cm_err *err);
