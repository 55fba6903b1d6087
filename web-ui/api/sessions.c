/* /api/v1/sessions: where the caller is signed in, and signing out everywhere; /api/v1/users: who
 * else may sign in, whose sessions an administrator can end. */
#include "web-ui/api/api.h"
#include "web-ui/reply.h"
#include "web-ui/stream.h"

void api_sessions(struct web_ctx *ctx)
{
    web_reply_json(ctx, 200,
                   api_list("sessions", web_session_list(ctx->web->env.store, &ctx->session)));
}

static void ended(struct web_ctx *ctx)
{
    web_streams_beat(ctx->web->streams);
    web_reply(ctx, 204, NULL, "", 0);
}

void api_sessions_delete(struct web_ctx *ctx)
{
    const char *user = web_form_get(&ctx->query, "user");

    if (user && !web_session_end_user(ctx->web->env.store, &ctx->session, user)) {
        web_reply_status(ctx, 404);
        return;
    }
    if (!user)
        web_session_end_all(ctx->web->env.store, ctx->session.user);
    web_after_commit(ctx, ended);
}

void api_users(struct web_ctx *ctx)
{
    web_reply_json(ctx, 200, api_list("users", web_session_people(ctx->web->env.store)));
}
