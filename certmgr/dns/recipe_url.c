/* URLs of a recipe: always below its base or on one of its hosts, always https. */
#include <string.h>

#include "base/core/mem.h"
#include "base/net/hostname.h"
#include "base/net/url.h"
#include "certmgr/dns/recipe.h"

const char *rcp_base_option(const json_t *recipe)
{
    const json_t *all = cm_json_arr(recipe, "options");
    for (size_t i = 0; i < json_array_size(all); i++)
        if (cm_json_bool(json_array_get(all, i), "base", false))
            return cm_json_str(json_array_get(all, i), "name");
    return NULL;
}

/* The account's own base, or NULL. */
static const char *own_base(const struct rcp_vars *vars)
{
    const char *name = rcp_base_option(vars->recipe);
    const char *url = name ? cm_json_str(json_object_get(vars->values, "opt"), name) : NULL;
    return url && url[0] ? url : NULL;
}

int rcp_url(struct cm_buf *out, const char *target, const struct rcp_vars *vars, bool masked,
            struct cm_err *err)
{
    if (target[0] == '/' || target[0] == '\0') {
        const char *own = own_base(vars);
        const char *base = own ? own : cm_json_str_or(vars->recipe, "base", "");
        if (base[0] == '\0')
            return cm_fail(err, CM_EINVAL, "the recipe has no base and the account gives none");
        /* The account's own base is no template. */
        int rc = own ? cm_buf_puts(out, own) : rcp_text(out, base, vars, RCP_PATH, masked, err);
        if (rc != 0)
            return rc < 0 ? rc : cm_fail(err, CM_EINVAL, "base has no value");
        while (out->len > 0 && out->data[out->len - 1] == '/')
            out->data[--out->len] = '\0';
    }
    int rc = rcp_text(out, target, vars, RCP_PATH, masked, err);
    return rc == RCP_UNSET ? cm_fail(err, CM_EINVAL, "the path of a request has no value") : rc;
}

json_t *rcp_reach(const json_t *recipe, const json_t *options)
{
    json_t *out = json_array();
    const json_t *hosts = cm_json_arr(recipe, "hosts"), *rules = cm_json_arr(recipe, "options");
    const char *name = rcp_base_option(recipe);
    const char *own = name ? cm_json_str(options, name) : NULL;
    struct url url;
    for (size_t i = 0; i < json_array_size(hosts); i++)
        if (!cm_json_has_str(out, json_string_value(json_array_get(hosts, i))))
            json_array_append(out, json_array_get(hosts, i));
    for (size_t i = 0; name && (!own || !own[0]) && i < json_array_size(rules); i++) {
        const json_t *rule = json_array_get(rules, i);
        if (strcmp(cm_json_str_or(rule, "name", ""), name) == 0)
            own = cm_json_str(rule, "default");
    }
    if (!own || url_parse(own, &url, NULL) < 0)
        return out;
    CM_AUTO_STR place = url.https && url.port == 443 ? cm_strdup(url.host)
                                                     : cm_asprintf("%s:%d", url.host, url.port);
    if (!cm_json_has_str(out, place))
        json_array_append_new(out, json_string(place));
    return out;
}

bool rcp_is_loopback(const char *host)
{
    return strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0 ||
           (strncmp(host, "127.", 4) == 0 && hostname_is_ip(host));
}

static bool host_allowed(const struct rcp_vars *vars, const struct url *url)
{
    struct url base;
    const char *own = own_base(vars);
    if (url->https && url->port == 443 &&
        cm_json_has_str(cm_json_arr(vars->recipe, "hosts"), url->host))
        return true;
    return own && url_parse(own, &base, NULL) == 0 && strcmp(base.host, url->host) == 0 &&
           base.port == url->port && base.https == url->https;
}

/* A segment "." or ".." would be taken for another place by the server. */
static bool has_dots(const char *path)
{
    for (const char *p = path; *p && *p != '?';) {
        const char *end = p + 1 + strcspn(p + 1, "/?");
        size_t len = (size_t)(end - p - 1);
        if ((len == 1 && p[1] == '.') || (len == 2 && p[1] == '.' && p[2] == '.'))
            return true;
        p = end;
    }
    return false;
}

int rcp_url_allowed(const char *text, const struct rcp_vars *vars, bool lab_http,
                    struct cm_err *err)
{
    struct url url;
    if (url_parse(text, &url, NULL) < 0)
        return cm_fail(err, CM_EINVAL, "a request's URL is malformed or too long");
    if (!url.https && !(lab_http && rcp_is_loopback(url.host)))
        return cm_fail(err, CM_EDENIED, "a request to host %s is not https", url.host);
    if (!host_allowed(vars, &url))
        return cm_fail(err, CM_EDENIED, "host %s, port %d is none of the recipe's hosts", url.host,
                       url.port);
    if (has_dots(url.path))
        return cm_fail(err, CM_EINVAL, "a value in the path of a request is \".\" or \"..\"");
    return 0;
}
