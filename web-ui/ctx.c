/* Life of an exchange's context.  See ctx.h. */
#include "web-ui/ctx.h"

#include <string.h>

#include "base/core/mem.h"
#include "web-ui/reply.h"

static void client_gone(void *arg)
{
    struct web_ctx *ctx = arg;

    ctx->ex = NULL;
    ctx->req = NULL;
}

struct web_ctx *web_ctx_new(struct web *web, struct http_exchange *ex)
{
    struct web_ctx *ctx = cm_calloc(1, sizeof(*ctx));
    const struct http_request *req = http_ex_request(ex);

    web->refs++;
    ctx->web = web;
    ctx->ex = ex;
    ctx->req = req;
    ctx->lang = web_lang_pick(http_head_field(&req->head, "accept-language"));
    ctx->api = strncmp(req->head.path, "/api/", 5) == 0;
    ctx->tls = req->tls;
    ctx->head = req->head.method == HTTP_HEAD;
    http_ex_on_close(ex, client_gone, ctx);
    return ctx;
}

void web_ctx_free(struct web_ctx *ctx)
{
    web_form_fini(&ctx->query);
    web_form_fini(&ctx->form);
    cm_json_free_secret(ctx->json); /* an EAB key, a password of a DNS account */
    if (ctx->edit)
        json_object_del(ctx->web->edits, ctx->edit);
    cm_free(ctx->edit);
    web_unref(ctx->web);
    cm_free_secret(ctx, sizeof(*ctx));
}

bool web_ctx_gone(struct web_ctx *ctx)
{
    if (ctx->ex)
        return false;
    web_ctx_free(ctx);
    return true;
}

struct eng_actor web_actor(const struct web_ctx *ctx)
{
    struct eng_actor actor = {.who = ctx->session.user, .via = "form"};

    if (ctx->api)
        actor.via = ctx->session.root ? "cli" : "api";
    return actor;
}

const char *web_msg(const struct web_ctx *ctx, enum web_msg msg)
{
    return web_text(ctx->lang, msg);
}

bool web_local_path(const char *path)
{
    if (!path || path[0] != '/' || path[1] == '/' || strlen(path) > 1024)
        return false;
    for (const char *p = path; *p; p++) {
        if ((unsigned char)*p <= 0x20 || (unsigned char)*p >= 0x7f || *p == '\\')
            return false;
    }
    return true;
}

struct commit_wait {
    struct web_ctx *ctx;
    web_route_fn fn;
};

static void committed(void *arg, int code, const struct cm_err *err)
{
    struct commit_wait wait = *(struct commit_wait *)arg;

    cm_free(arg);
    if (web_ctx_gone(wait.ctx))
        return;
    if (code < 0)
        web_reply_error(wait.ctx, err);
    else
        wait.fn(wait.ctx);
}

void web_after_commit(struct web_ctx *ctx, web_route_fn fn)
{
    struct commit_wait *wait = cm_calloc(1, sizeof(*wait));

    wait->ctx = ctx;
    wait->fn = fn;
    cs_after_commit(ctx->web->env.store, committed, wait);
}
