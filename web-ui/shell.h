/* The frame of every page: head, skip link, navigation, main landmark, footer; and the pages for
 * bare statuses. */
#pragma once

#include "web-ui/ctx.h"

enum web_nav {
    NAV_NONE,
    NAV_CREDENTIALS,
    NAV_SERVERS,
    NAV_ACCOUNTS,
    NAV_DNS,
    NAV_SETTINGS,
    NAV_STATUS,
};
struct web_page {
    const char *title;
    enum web_nav nav;
    const char *module;  /* ES module of assets/ that enhances the page, or NULL */
    const char *refresh; /* seconds after which a browser without scripts loads it again, or NULL */
};

/* Starts a page on an empty buffer.  title is text, escaped here; the h1 is the caller's. */
void web_page_begin(struct web_ctx *ctx, struct cm_buf *page, const char *title, enum web_nav nav);
void web_page_begin_with(struct web_ctx *ctx, struct cm_buf *page, const struct web_page *opts);
void web_page_end(struct web_ctx *ctx, struct cm_buf *page);
/* Hidden input with the form token. */
void web_page_token(const struct web_ctx *ctx, struct cm_buf *page);
/* Replies with a whole page that says in plain words what the status means; err adds the error
 * object.  Ends ctx. */
void web_page_status(struct web_ctx *ctx, int status, const struct cm_err *err);
