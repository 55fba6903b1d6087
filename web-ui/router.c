/* Path matching.  See router.h. */
#include "web-ui/router.h"

#include <string.h>

#include "base/core/mem.h"

/* Compares segment by segment; "{…}" takes one non-empty segment. */
static bool path_matches(const char *pattern, const char *path, char param[ROUTE_PARAM_MAX])
{
    param[0] = '\0';
    while (*pattern && *path) {
        size_t len;

        if (*pattern != '{') {
            if (*pattern++ != *path++)
                return false;
            continue;
        }
        len = strcspn(path, "/");
        if (len == 0 || len >= ROUTE_PARAM_MAX)
            return false;
        memcpy(param, path, len);
        param[len] = '\0';
        path += len;
        pattern += strcspn(pattern, "}") + 1;
    }
    return *pattern == '\0' && *path == '\0';
}

const struct web_route *web_route_find(const struct web_route *table, size_t count,
                                       enum http_method method, const char *path,
                                       char param[ROUTE_PARAM_MAX], unsigned *ret_methods)
{
    enum http_method wanted = method == HTTP_HEAD ? HTTP_GET : method;

    *ret_methods = 0;
    for (size_t i = 0; i < count; i++) {
        if (!path_matches(table[i].pattern, path, param))
            continue;
        if (table[i].method == wanted)
            return &table[i];
        *ret_methods |= 1u << table[i].method;
    }
    param[0] = '\0';
    return NULL;
}

void web_route_allow(unsigned methods, char *out, size_t size)
{
    size_t len = 0;

    if (methods & (1u << HTTP_GET))
        methods |= 1u << HTTP_HEAD;
    out[0] = '\0';
    for (int m = 0; m < HTTP_METHOD_COUNT; m++) {
        const char *name = http_method_name((enum http_method)m);

        if (!(methods & (1u << m)) || len + strlen(name) + 3 > size)
            continue;
        if (len) {
            memcpy(out + len, ", ", 2);
            len += 2;
        }
        memcpy(out + len, name, strlen(name) + 1);
        len += strlen(name);
    }
}

const struct web_route *web_route_at(size_t i)
{
    if (i < web_page_route_count)
        return &web_page_routes[i];
    i -= web_page_route_count;
    return i < web_api_route_count ? &web_api_routes[i] : NULL;
}
