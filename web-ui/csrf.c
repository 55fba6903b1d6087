/* Cross-site request rules.  See csrf.h. */
#include "web-ui/csrf.h"

#include <string.h>
#include <strings.h>

#include "base/core/mem.h"

bool web_method_is_safe(enum http_method method)
{
    return method == HTTP_GET || method == HTTP_HEAD || method == HTTP_OPTIONS;
}

bool web_origin_ok(const struct http_request *req)
{
    const char *site = http_head_field(&req->head, "sec-fetch-site");
    const char *origin = http_head_field(&req->head, "origin");
    const char *scheme = req->tls ? "https://" : "http://";

    if (site)
        return strcmp(site, "same-origin") == 0 || strcmp(site, "none") == 0;
    if (!origin || strncasecmp(origin, scheme, strlen(scheme)) != 0)
        return false;
    return strcasecmp(origin + strlen(scheme), req->head.host) == 0;
}

bool web_token_ok(const struct web_session *session, const char *token)
{
    size_t len = strlen(session->csrf);

    return session->valid && len > 0 && token && strlen(token) == len &&
           cm_memcmp_ct(session->csrf, token, len) == 0;
}
