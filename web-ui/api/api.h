/* REST API, /api/v1: handlers (routes.c) and what they share. */
#pragma once

#include "web-ui/ctx.h"

void api_requests(struct web_ctx *ctx);
void api_requests_post(struct web_ctx *ctx);
void api_request(struct web_ctx *ctx);
void api_checks_post(struct web_ctx *ctx);

void api_credentials(struct web_ctx *ctx);
void api_credential(struct web_ctx *ctx);
void api_credential_retry(struct web_ctx *ctx);
void api_credential_csr(struct web_ctx *ctx);
void api_credential_certificate(struct web_ctx *ctx);
void api_imports_post(struct web_ctx *ctx); /* import.c */
void api_credential_export(struct web_ctx *ctx);
void api_credential_renew(struct web_ctx *ctx);
void api_credential_dry_run(struct web_ctx *ctx);
void api_credential_patch(struct web_ctx *ctx);
void api_credential_revoke(struct web_ctx *ctx);
void api_credential_archive(struct web_ctx *ctx);
void api_credential_delete(struct web_ctx *ctx);
void api_credential_receipts(struct web_ctx *ctx);
void api_credential_steps(struct web_ctx *ctx);
void api_credential_events(struct web_ctx *ctx);

void api_accounts(struct web_ctx *ctx);
void api_account(struct web_ctx *ctx);
void api_account_put(struct web_ctx *ctx);
void api_account_act(struct web_ctx *ctx);
void api_account_import(struct web_ctx *ctx); /* account_move.c */
void api_account_export(struct web_ctx *ctx);
void api_account_delete(struct web_ctx *ctx);
void api_account_budget(struct web_ctx *ctx);
void api_presets(struct web_ctx *ctx);

void api_dns_accounts(struct web_ctx *ctx);
void api_dns_account(struct web_ctx *ctx);
void api_dns_account_put(struct web_ctx *ctx);
void api_dns_account_delete(struct web_ctx *ctx);
void api_dns_test(struct web_ctx *ctx);
void api_dns_test_post(struct web_ctx *ctx);
void api_dns_providers(struct web_ctx *ctx);
void api_dns_recipe(struct web_ctx *ctx); /* dns_recipes.c */
void api_dns_recipe_put(struct web_ctx *ctx);
void api_dns_recipe_delete(struct web_ctx *ctx);
void api_dns_recipe_lint(struct web_ctx *ctx);
void api_credential_go_on(struct web_ctx *ctx);

void api_servers(struct web_ctx *ctx);
void api_server(struct web_ctx *ctx);
void api_servers_post(struct web_ctx *ctx);
void api_server_delete(struct web_ctx *ctx);

void api_settings(struct web_ctx *ctx);
void api_settings_put(struct web_ctx *ctx);
void api_roots_post(struct web_ctx *ctx);

void api_sessions(struct web_ctx *ctx);
void api_sessions_delete(struct web_ctx *ctx);
void api_users(struct web_ctx *ctx);

void api_status(struct web_ctx *ctx);
void api_report(struct web_ctx *ctx);
void api_setup_links_post(struct web_ctx *ctx);
void api_openapi(struct web_ctx *ctx);

void health_livez(struct web_ctx *ctx);
void health_readyz(struct web_ctx *ctx);
void health_metrics(struct web_ctx *ctx);

/* ---- members of a JSON body ---- */

enum api_type { API_TEXT, API_INT, API_BOOL, API_TEXTS, API_TEXT_OR_TEXTS, API_OBJECT };
struct api_member {
    const char *name;
    enum api_type type;
    bool required;
};
/* Members of a request (requests.c). */
extern const struct api_member api_request_members[];
extern const size_t api_request_member_count;
/* Is the body an object of these members only, each of its type?  If not, replies 422 with a JSON
 * pointer for each (ctx is gone then) and returns false. */
bool api_body_ok(struct web_ctx *ctx, const struct api_member *members, size_t count);
/* eng_check()'s errors as RFC 9457 errors with pointers into the body (owned). */
json_t *api_field_errors(const json_t *field_errors, const json_t *body);
/* Replies an engine's refusal; "field: message" gets a pointer to that member. */
void api_refused(struct web_ctx *ctx, const struct cm_err *err);
/* What an export gave (200), or why it gave nothing; arg = struct web_ctx *. */
void api_exported(void *arg, const json_t *value, const struct cm_err *err);
/* {name: array} with the array taken. */
json_t *api_list(const char *name, json_t *take_array);
/* 202 with where to look: {credential, notes}. */
void api_submitted(struct web_ctx *ctx, json_t *take_answer);
/* What became of something handed in for a credential (eng_submit_fn): that, or a problem: 422 with
 * `title` where fields have errors.  A client that has gone gets nothing. */
void api_taken(struct web_ctx *ctx, const char *title, const char *credential,
               const json_t *field_errors, const json_t *notes, const struct cm_err *err);

/* ---- lists: ?after=CURSOR&limit=N, reply {name: [...], next: cursor or null} ---- */

#define API_PAGE_ROWS 50
#define API_LIMIT_MAX 1000
/* The page size asked for, or the fallback; false = replied 422. */
bool api_limit(struct web_ctx *ctx, size_t fallback, size_t *ret);
void api_bad_cursor(struct web_ctx *ctx);
void api_reply_page(struct web_ctx *ctx, const char *name, json_t *take_rows, const char *next);
/* A page of objects with "name", by name; all of them when no limit is given. */
void api_reply_named(struct web_ctx *ctx, const char *name, json_t *take_rows);
/* Replies 204, or the error. */
void api_done(void *ctx, const struct cm_err *err);
