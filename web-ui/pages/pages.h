/* The pages: one handler per route (routes.c), one file per page. */
#pragma once

#include "web-ui/ctx.h"

void page_home(struct web_ctx *ctx);
void page_asset(struct web_ctx *ctx);

void page_setup(struct web_ctx *ctx);
void page_setup_post(struct web_ctx *ctx);
void page_login(struct web_ctx *ctx);
void page_login_post(struct web_ctx *ctx);
void page_logout_post(struct web_ctx *ctx);

void page_credentials(struct web_ctx *ctx);
void page_credential_new(struct web_ctx *ctx);
void page_credential_edit(struct web_ctx *ctx);
void page_credential_edit_post(struct web_ctx *ctx);
void page_credential_post(struct web_ctx *ctx);
void page_credential(struct web_ctx *ctx);
void page_credential_retry(struct web_ctx *ctx);
void page_credential_renew(struct web_ctx *ctx);
void page_credential_dry_run(struct web_ctx *ctx);
void page_credentials_renew(struct web_ctx *ctx);
void page_csr(struct web_ctx *ctx);
void page_csr_file(struct web_ctx *ctx);
void page_csr_post(struct web_ctx *ctx);
void page_credential_end(struct web_ctx *ctx);
void page_credential_revoke_post(struct web_ctx *ctx);
void page_credential_remove_post(struct web_ctx *ctx);

void page_servers(struct web_ctx *ctx);
void page_servers_post(struct web_ctx *ctx);
void page_server_remove(struct web_ctx *ctx);
void page_server_remove_post(struct web_ctx *ctx);
void page_server_rotate(struct web_ctx *ctx);
void page_server_rotate_post(struct web_ctx *ctx);
void page_server_rotate_cancel(struct web_ctx *ctx);
/* Link to it in a row of the list of servers. */
void part_rotate_link(struct web_ctx *ctx, struct cm_buf *page, const json_t *server);
void page_manager(struct web_ctx *ctx);
void page_manager_post(struct web_ctx *ctx);
void page_dns_accounts(struct web_ctx *ctx);
void page_dns_accounts_post(struct web_ctx *ctx);
void page_dns_account_new(struct web_ctx *ctx);
void page_dns_account(struct web_ctx *ctx);
void page_dns_test_post(struct web_ctx *ctx);
void page_dns_remove_post(struct web_ctx *ctx);
void page_recipes(struct web_ctx *ctx);
void page_recipes_post(struct web_ctx *ctx);
void page_recipe_new(struct web_ctx *ctx);
void page_recipe(struct web_ctx *ctx);
void page_recipe_edit(struct web_ctx *ctx);
void page_recipe_remove_post(struct web_ctx *ctx);
void page_credential_go_on(struct web_ctx *ctx);
void page_accounts(struct web_ctx *ctx);
void page_accounts_post(struct web_ctx *ctx);
void page_account_new(struct web_ctx *ctx);
void page_account(struct web_ctx *ctx);
void page_account_act_post(struct web_ctx *ctx);
void page_account_export(struct web_ctx *ctx); /* account_move.c */
void page_settings(struct web_ctx *ctx);
void page_settings_post(struct web_ctx *ctx);
void page_sessions(struct web_ctx *ctx);
void page_sessions_end_post(struct web_ctx *ctx);
void page_session_end_post(struct web_ctx *ctx);
void page_user_end_post(struct web_ctx *ctx);
void page_status(struct web_ctx *ctx);
void page_report(struct web_ctx *ctx);
void page_notify_test_post(struct web_ctx *ctx);
void page_hold_release_post(struct web_ctx *ctx);
void page_quarantine_clear_post(struct web_ctx *ctx);
/* Parts of the status page. */
void part_look(struct web_ctx *ctx, struct cm_buf *page, const json_t *status); /* status_look.c */
void part_hold(struct web_ctx *ctx, struct cm_buf *page, const json_t *hold);   /* NULL allowed */
void part_replication(struct web_ctx *ctx, struct cm_buf *page);
void part_refused(struct web_ctx *ctx, struct cm_buf *page, const json_t *list);
