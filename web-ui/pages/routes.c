/* Routes of the pages.  See web-ui/router.h. */
#include "web-ui/pages/pages.h"
#include "web-ui/router.h"
#include "web-ui/web.h"

#define F WEB_FORM_MAX

const struct web_route web_page_routes[] = {
    /* method, path, handler, body, who, cross-site rule, everywhere */
    {HTTP_GET, "/assets/{file}", page_asset, 0, AUTH_NONE, BODY_NONE, true},
    {HTTP_GET, "/", page_home, 0, AUTH_USER, BODY_NONE, false},
    {HTTP_GET, "/setup", page_setup, 0, AUTH_NONE, BODY_NONE, false},
    {HTTP_POST, "/setup", page_setup_post, F, AUTH_NONE, BODY_OPEN_FORM, false},
    {HTTP_GET, "/login", page_login, 0, AUTH_NONE, BODY_NONE, false},
    {HTTP_POST, "/login", page_login_post, F, AUTH_NONE, BODY_OPEN_FORM, false},
    {HTTP_POST, "/logout", page_logout_post, F, AUTH_USER, BODY_FORM, false},
    {HTTP_GET, "/credentials", page_credentials, 0, AUTH_USER, BODY_NONE, false},
    {HTTP_POST, "/credentials", page_credential_post, F, AUTH_USER, BODY_FORM, false},
    {HTTP_GET, "/credentials/new", page_credential_new, 0, AUTH_USER, BODY_NONE, false},
    {HTTP_GET, "/credentials/{ulid}", page_credential, 0, AUTH_USER, BODY_NONE, false},
    {HTTP_GET, "/credentials/{ulid}/edit", page_credential_edit, 0, AUTH_USER, BODY_NONE, false},
    {HTTP_POST, "/credentials/{ulid}/edit", page_credential_edit_post, F, AUTH_USER, BODY_FORM,
     false},
    {HTTP_POST, "/credentials/{ulid}/retry", page_credential_retry, F, AUTH_USER, BODY_FORM, false},
    {HTTP_POST, "/credentials/{ulid}/renew", page_credential_renew, F, AUTH_USER, BODY_FORM, false},
    {HTTP_GET, "/credentials/{ulid}/end", page_credential_end, 0, AUTH_USER, BODY_NONE, false},
    {HTTP_POST, "/credentials/{ulid}/revoke", page_credential_revoke_post, F, AUTH_USER, BODY_FORM,
     false},
    {HTTP_POST, "/credentials/{ulid}/remove", page_credential_remove_post, F, AUTH_USER, BODY_FORM,
     false},
    {HTTP_POST, "/credentials/renew", page_credentials_renew, F, AUTH_USER, BODY_FORM, false},
    {HTTP_GET, "/servers", page_servers, 0, AUTH_USER, BODY_NONE, false},
    {HTTP_POST, "/servers", page_servers_post, F, AUTH_USER, BODY_FORM, false},
    {HTTP_GET, "/accounts", page_accounts, 0, AUTH_USER, BODY_NONE, false},
    {HTTP_POST, "/accounts", page_accounts_post, F, AUTH_USER, BODY_FORM, false},
    {HTTP_GET, "/servers/{name}/remove", page_server_remove, 0, AUTH_USER, BODY_NONE, false},
    {HTTP_POST, "/servers/{name}/remove", page_server_remove_post, F, AUTH_USER, BODY_FORM, false},
    {HTTP_GET, "/accounts/new", page_account_new, 0, AUTH_USER, BODY_NONE, false},
    {HTTP_GET, "/accounts/{name}", page_account, 0, AUTH_USER, BODY_NONE, false},
    {HTTP_POST, "/accounts/{name}/act", page_account_act_post, F, AUTH_USER, BODY_FORM, false},
    {HTTP_GET, "/dns-accounts", page_dns_accounts, 0, AUTH_USER, BODY_NONE, false},
    {HTTP_POST, "/dns-accounts", page_dns_accounts_post, F, AUTH_USER, BODY_FORM, false},
    {HTTP_GET, "/dns-accounts/new", page_dns_account_new, 0, AUTH_USER, BODY_NONE, false},
    {HTTP_GET, "/dns-accounts/{name}", page_dns_account, 0, AUTH_USER, BODY_NONE, false},
    {HTTP_POST, "/dns-accounts/{name}/test", page_dns_test_post, F, AUTH_USER, BODY_FORM, false},
    {HTTP_POST, "/dns-accounts/{name}/remove", page_dns_remove_post, F, AUTH_USER, BODY_FORM,
     false},
    {HTTP_POST, "/credentials/{ulid}/go-on", page_credential_go_on, F, AUTH_USER, BODY_FORM, false},
    {HTTP_GET, "/settings", page_settings, 0, AUTH_USER, BODY_NONE, false},
    {HTTP_POST, "/settings", page_settings_post, F, AUTH_USER, BODY_FORM, false},
    {HTTP_GET, "/sessions", page_sessions, 0, AUTH_USER, BODY_NONE, false},
    {HTTP_POST, "/sessions/end", page_sessions_end_post, F, AUTH_USER, BODY_FORM, false},
    {HTTP_GET, "/status", page_status, 0, AUTH_USER, BODY_NONE, false},
    {HTTP_POST, "/status/hold-release", page_hold_release_post, F, AUTH_USER, BODY_FORM, false},
    {HTTP_POST, "/status/quarantine-clear", page_quarantine_clear_post, F, AUTH_USER, BODY_FORM,
     false},
    {HTTP_POST, "/status/notify-test", page_notify_test_post, F, AUTH_USER, BODY_FORM, false},
};
const size_t web_page_route_count = sizeof(web_page_routes) / sizeof(web_page_routes[0]);
