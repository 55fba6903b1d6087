/* Fields that the TLS Credentials form and the settings share: CA account, key type, servers. */
#pragma once

#include "web-ui/ctx.h"

#define FORM_SERVER_BOXES 40 /* check boxes; a larger fleet gets a text area instead */

/* <select> of the ACME accounts; a notice when there is none.  empty: offer "none", too. */
void choice_account(const struct web_ctx *ctx, struct cm_buf *page, const char *value, bool empty,
                    const json_t *errors);
void choice_provider(const struct web_ctx *ctx, struct cm_buf *page, const char *value,
                     const json_t *errors);
void choice_key_type(const struct web_ctx *ctx, struct cm_buf *page, const char *value,
                     const json_t *errors);
/* Card with the active servers; chosen: array of names. */
void choice_servers(const struct web_ctx *ctx, struct cm_buf *page, const json_t *chosen,
                    const json_t *errors);
