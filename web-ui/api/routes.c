/* Routes of the REST API, of health and metrics.  See web-ui/router.h. */
#include "web-ui/api/api.h"
#include "web-ui/api/notify.h"
#include "web-ui/api/power.h"
#include "web-ui/api/replication.h"
#include "web-ui/api/store.h"
#include "web-ui/router.h"
#include "web-ui/web.h"

#define F WEB_FORM_MAX
#define U (160u << 10) /* an upstream with its certificates */
#define T (2u << 20)   /* a trust root */
#define R (160u << 10) /* a recipe of a DNS provider */

const struct web_route web_api_routes[] = {
    /* method, path, handler, body, who, cross-site rule, everywhere */
    {HTTP_GET, "/livez", health_livez, 0, AUTH_NONE, BODY_NONE, true},
    {HTTP_GET, "/readyz", health_readyz, 0, AUTH_NONE, BODY_NONE, true},
    {HTTP_GET, "/metrics", health_metrics, 0, AUTH_NONE, BODY_NONE, true},
    {HTTP_GET, "/api/v1/openapi.json", api_openapi, 0, AUTH_NONE, BODY_NONE, true},
    {HTTP_GET, "/api/v1/requests", api_requests, 0, AUTH_USER, BODY_NONE, false},
    {HTTP_POST, "/api/v1/requests", api_requests_post, F, AUTH_USER, BODY_JSON, false},
    {HTTP_GET, "/api/v1/requests/{ulid}", api_request, 0, AUTH_USER, BODY_NONE, false},
    {HTTP_GET, "/api/v1/credentials", api_credentials, 0, AUTH_USER, BODY_NONE, false},
    {HTTP_GET, "/api/v1/credentials/{ulid}", api_credential, 0, AUTH_USER, BODY_NONE, false},
    {HTTP_GET, "/api/v1/credentials/{ulid}/receipts", api_credential_receipts, 0, AUTH_USER,
     BODY_NONE, false},
    {HTTP_GET, "/api/v1/credentials/{ulid}/steps", api_credential_steps, 0, AUTH_USER, BODY_NONE,
     false},
    {HTTP_GET, "/api/v1/credentials/{ulid}/events", api_credential_events, 0, AUTH_USER, BODY_NONE,
     false},
    {HTTP_POST, "/api/v1/credentials/{ulid}/retry", api_credential_retry, F, AUTH_USER, BODY_JSON,
     false},
    {HTTP_POST, "/api/v1/credentials/{ulid}/renew", api_credential_renew, F, AUTH_USER, BODY_JSON,
     false},
    {HTTP_POST, "/api/v1/credentials/{ulid}/revoke", api_credential_revoke, F, AUTH_USER, BODY_JSON,
     false},
    {HTTP_POST, "/api/v1/credentials/{ulid}/archive", api_credential_archive, F, AUTH_USER,
     BODY_JSON, false},
    {HTTP_DELETE, "/api/v1/credentials/{ulid}", api_credential_delete, F, AUTH_USER, BODY_JSON,
     false},
    {HTTP_PATCH, "/api/v1/credentials/{ulid}", api_credential_patch, F, AUTH_USER, BODY_JSON,
     false},
    {HTTP_GET, "/api/v1/accounts", api_accounts, 0, AUTH_USER, BODY_NONE, false},
    {HTTP_GET, "/api/v1/accounts/{name}", api_account, 0, AUTH_USER, BODY_NONE, false},
    {HTTP_PUT, "/api/v1/accounts/{name}", api_account_put, F, AUTH_USER, BODY_JSON, false},
    {HTTP_POST, "/api/v1/accounts/{name}/act", api_account_act, F, AUTH_USER, BODY_JSON, false},
    {HTTP_DELETE, "/api/v1/accounts/{name}", api_account_delete, F, AUTH_USER, BODY_JSON, false},
    {HTTP_GET, "/api/v1/dns-accounts", api_dns_accounts, 0, AUTH_USER, BODY_NONE, false},
    {HTTP_GET, "/api/v1/dns-accounts/{name}", api_dns_account, 0, AUTH_USER, BODY_NONE, false},
    {HTTP_PUT, "/api/v1/dns-accounts/{name}", api_dns_account_put, F, AUTH_USER, BODY_JSON, false},
    {HTTP_DELETE, "/api/v1/dns-accounts/{name}", api_dns_account_delete, F, AUTH_USER, BODY_JSON,
     false},
    {HTTP_GET, "/api/v1/dns-accounts/{name}/test", api_dns_test, 0, AUTH_USER, BODY_NONE, false},
    {HTTP_POST, "/api/v1/dns-accounts/{name}/test", api_dns_test_post, F, AUTH_USER, BODY_JSON,
     false},
    {HTTP_GET, "/api/v1/dns-providers", api_dns_providers, 0, AUTH_USER, BODY_NONE, false},
    {HTTP_PUT, "/api/v1/dns-providers/{name}", api_dns_provider_put, R, AUTH_USER, BODY_JSON,
     false},
    {HTTP_POST, "/api/v1/credentials/{ulid}/go-on", api_credential_go_on, F, AUTH_USER, BODY_JSON,
     false},
    {HTTP_GET, "/api/v1/presets", api_presets, 0, AUTH_USER, BODY_NONE, false},
    {HTTP_GET, "/api/v1/servers", api_servers, 0, AUTH_USER, BODY_NONE, false},
    {HTTP_POST, "/api/v1/servers", api_servers_post, F, AUTH_USER, BODY_JSON, false},
    {HTTP_GET, "/api/v1/servers/{name}", api_server, 0, AUTH_USER, BODY_NONE, false},
    {HTTP_PATCH, "/api/v1/servers/{name}", api_server_patch, F, AUTH_USER, BODY_JSON, false},
    {HTTP_POST, "/api/v1/manager/promote", api_manager_promote, F, AUTH_SOCKET, BODY_JSON, false},
    {HTTP_GET, "/api/v1/trust", api_trust, 0, AUTH_USER, BODY_NONE, false},
    {HTTP_PUT, "/api/v1/trust/threshold", api_trust_threshold, F, AUTH_USER, BODY_JSON, false},
    {HTTP_POST, "/api/v1/trust/signatures", api_trust_sign, T, AUTH_SOCKET, BODY_JSON, false},
    {HTTP_DELETE, "/api/v1/servers/{name}", api_server_delete, F, AUTH_USER, BODY_JSON, false},
    {HTTP_GET, "/api/v1/sessions", api_sessions, 0, AUTH_USER, BODY_NONE, false},
    {HTTP_DELETE, "/api/v1/sessions", api_sessions_delete, F, AUTH_USER, BODY_JSON, false},
    {HTTP_POST, "/api/v1/roots", api_roots_post, F, AUTH_USER, BODY_PEM, false},
    {HTTP_GET, "/api/v1/settings", api_settings, 0, AUTH_USER, BODY_NONE, false},
    {HTTP_PUT, "/api/v1/settings", api_settings_put, F, AUTH_USER, BODY_JSON, false},
    {HTTP_GET, "/api/v1/status", api_status, 0, AUTH_USER, BODY_NONE, false},
    {HTTP_POST, "/api/v1/hold/release", api_hold_release, F, AUTH_USER, BODY_JSON, false},
    {HTTP_GET, "/api/v1/store", api_store, 0, AUTH_USER, BODY_NONE, false},
    {HTTP_POST, "/api/v1/store/scrub", api_store_scrub, F, AUTH_USER, BODY_JSON, false},
    {HTTP_POST, "/api/v1/store/copies", api_store_copies, F, AUTH_SOCKET, BODY_JSON, false},
    {HTTP_PUT, "/api/v1/recovery-key", api_recovery_key, F, AUTH_SOCKET, BODY_JSON, false},
    {HTTP_POST, "/api/v1/notify/test", api_notify_test, F, AUTH_USER, BODY_JSON, false},
    {HTTP_GET, "/api/v1/replication", api_replication, 0, AUTH_USER, BODY_NONE, false},
    {HTTP_GET, "/api/v1/upstream", api_upstream, 0, AUTH_USER, BODY_NONE, false},
    {HTTP_PUT, "/api/v1/upstream", api_upstream_put, U, AUTH_SOCKET, BODY_JSON, false},
    {HTTP_DELETE, "/api/v1/upstream", api_upstream_delete, F, AUTH_SOCKET, BODY_JSON, false},
    {HTTP_POST, "/api/v1/upstream/test", api_upstream_test, F, AUTH_USER, BODY_JSON, false},
    {HTTP_GET, "/api/v1/quarantine", api_quarantine, 0, AUTH_USER, BODY_NONE, false},
    {HTTP_POST, "/api/v1/quarantine/clear", api_quarantine_clear, F, AUTH_USER, BODY_JSON, false},
    {HTTP_POST, "/api/v1/setup-links", api_setup_links_post, F, AUTH_SOCKET, BODY_JSON, false},
};
const size_t web_api_route_count = sizeof(web_api_routes) / sizeof(web_api_routes[0]);
