/* The one-time set-up link: makes an administrator, or gives an existing one a new password. */
#include <string.h>

#include "base/core/mem.h"
#include "base/core/utf8.h"
#include "web-ui/field.h"
#include "web-ui/html.h"
#include "web-ui/pages/pages.h"
#include "web-ui/reply.h"
#include "web-ui/shell.h"
#include "web-ui/stream.h"
#include "web-ui/user.h"
#include "web-ui/view.h"

static void render(struct web_ctx *ctx, int status, const char *token, const char *name,
                   const json_t *errors)
{
    struct cm_buf page;
    struct web_field fields[] = {
        {.name = "name",
         .label = MSG_USER_NAME,
         .hint = MSG_USER_NAME_HINT,
         .value = name,
         .autocomplete = "username",
         .required = true,
         .names = true,
         .errors = errors},
        {.name = "password",
         .label = MSG_PASSWORD,
         .hint = MSG_PASSWORD_HINT,
         .type = "password",
         .autocomplete = "new-password",
         .required = true,
         .errors = errors},
        {.name = "password2",
         .label = MSG_PASSWORD_AGAIN,
         .type = "password",
         .autocomplete = "new-password",
         .required = true,
         .errors = errors},
    };

    web_page_begin(ctx, &page, web_msg(ctx, MSG_SETUP), NAV_NONE);
    html_raw(&page, "<section class=\"card narrow\">");
    web_error_summary(ctx, &page, errors);
    html_leaf(&page, "h1", web_msg(ctx, MSG_SETUP), NULL);
    html_leaf(&page, "p", web_msg(ctx, MSG_SETUP_LEAD), "class", "lead", NULL);
    html_raw(&page, "<form method=\"post\" action=\"/setup\">");
    html_open(&page, "input", "type", "hidden", "name", "token", "value", token, NULL);
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        web_field(ctx, &page, &fields[i]);
    html_leaf(&page, "button", web_msg(ctx, MSG_SETUP_SUBMIT), "class", "primary wide", "type",
              "submit", NULL);
    html_raw(&page, "</form></section>");
    web_page_end(ctx, &page);
    web_reply_html(ctx, status, &page);
}

static void link_is_dead(struct web_ctx *ctx)
{
    struct cm_buf page;

    web_page_begin(ctx, &page, web_msg(ctx, MSG_SETUP), NAV_NONE);
    html_raw(&page, "<section class=\"card narrow\">");
    html_leaf(&page, "h1", web_msg(ctx, MSG_SETUP_DEAD), NULL);
    html_leaf(&page, "p", web_msg(ctx, MSG_SETUP_DEAD_LEAD), NULL);
    html_raw(&page, "</section>");
    web_page_end(ctx, &page);
    web_reply_html(ctx, 404, &page);
}

void page_setup(struct web_ctx *ctx)
{
    const char *token = web_form_text(&ctx->query, "token");

    if (web_setup_ok(ctx->web->env.store, token))
        render(ctx, 200, token, "", NULL);
    else
        link_is_dead(ctx);
}

static size_t count_chars(const char *text)
{
    size_t count = 0, len = strlen(text);

    for (size_t i = 0; i < len; count++) {
        size_t seq = cm_utf8_seq(text + i, len - i);

        i += seq ? seq : 1;
    }
    return count;
}

static json_t *check(const struct web_ctx *ctx)
{
    const char *password = web_form_text(&ctx->form, "password");
    json_t *errors = json_array();

    if (!web_user_name_ok(web_form_text(&ctx->form, "name")))
        web_field_fail(errors, "name", web_msg(ctx, MSG_USER_NAME_BAD));
    if (count_chars(password) < PASSWORD_CHARS_MIN)
        web_field_fail(errors, "password", web_msg(ctx, MSG_PASSWORD_SHORT));
    else if (strlen(password) > PASSWORD_BYTES_MAX)
        web_field_fail(errors, "password", web_msg(ctx, MSG_PASSWORD_LONG));
    else if (strcmp(password, web_form_text(&ctx->form, "name")) == 0)
        web_field_fail(errors, "password", web_msg(ctx, MSG_PASSWORD_IS_NAME));
    if (strcmp(password, web_form_text(&ctx->form, "password2")) != 0)
        web_field_fail(errors, "password2", web_msg(ctx, MSG_PASSWORD_DIFFERS));
    return errors;
}

static void go_on(struct web_ctx *ctx)
{
    web_streams_beat(ctx->web->streams); /* a new password has ended the old sessions */
    web_reply_redirect(ctx, web_is_standby(ctx->web) ? "/manager" : "/credentials");
}

/* The link is taken first: of two that use it at the same time, one gets CM_ENOENT here. */
static void hashed(void *arg, bool matches, const char *encoded, const struct cm_err *failure)
{
    struct web_ctx *ctx = arg;
    struct cs_store *store = ctx->web->env.store;
    struct cm_err err = CM_ERR_INIT;
    char cookie[SESSION_COOKIE_MAX];
    const char *name = web_form_text(&ctx->form, "name");
    int rc;

    (void)matches;
    if (web_ctx_gone(ctx))
        return;
    if (failure) {
        web_reply_error(ctx, failure);
        return;
    }
    rc = web_setup_use(store, web_form_text(&ctx->form, "token"), &err);
    if (rc == 0)
        rc = web_user_put(store, name, encoded, &err);
    if (rc == 0) {
        web_session_end_all(store, name);
        rc = web_session_start(store, name, cookie, &err);
    }
    if (rc == 0) {
        http_ex_header(ctx->ex, "Set-Cookie", cookie);
        web_after_commit(ctx, go_on);
    } else if (rc == CM_ENOENT) {
        link_is_dead(ctx);
    } else {
        web_reply_error(ctx, &err);
    }
    cm_wipe(cookie, sizeof(cookie));
    cm_err_fini(&err);
}

void page_setup_post(struct web_ctx *ctx)
{
    const char *token = web_form_text(&ctx->form, "token");
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_JSON errors = NULL;

    if (!web_setup_ok(ctx->web->env.store, token)) {
        link_is_dead(ctx);
        return;
    }
    errors = check(ctx);
    if (json_array_size(errors) > 0)
        render(ctx, 422, token, web_form_text(&ctx->form, "name"), errors);
    else if (web_password_hash(ctx->web->passwords, web_form_text(&ctx->form, "password"), hashed,
                               ctx, &err) < 0)
        web_reply_error(ctx, &err);
    cm_err_fini(&err);
}
