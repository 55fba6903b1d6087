/* One request of a recipe: URL, headers and body rendered, and its masked form for people. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/core/mem.h"
#include "base/net/url.h"
#include "certmgr/dns/recipe.h"

#define URL_MAX    4400
#define HEADER_MAX 8192

static const struct {
    const char *member, *method;
} methods[] = {
    {"get", "GET"}, {"post", "POST"}, {"put", "PUT"}, {"patch", "PATCH"}, {"del", "DELETE"}};

struct build {
    struct rcp_request *ret;
    const json_t *step;
    const struct rcp_vars *vars;
    const json_t *headers, *query, *body; /* of the authentication */
    bool masked;
    struct cm_err *err;
};

void rcp_request_fini(struct rcp_request *request)
{
    if (request->url)
        cm_free_secret(request->url, strlen(request->url));
    for (size_t i = 0; i < request->header_count; i++)
        cm_free_secret(request->headers[i], strlen(request->headers[i]));
    if (request->body)
        cm_free_secret(request->body, request->body_len);
    cm_free(request->shown);
    *request = (struct rcp_request){0};
}

static const char *target_of(const json_t *step, const char **method)
{
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        const char *target = cm_json_str(step, methods[i].member);
        if (target) {
            *method = methods[i].method;
            return target;
        }
    }
    *method = "GET";
    return "";
}

/* Appends "name=value" pairs; separators as in a form (a query begins with '?'). */
static int put_pairs(struct cm_buf *out, const json_t *set, const char *first, bool *any,
                     enum rcp_pos pos, const struct build *b)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)set, name, value)
    {
        CM_AUTO_STR fixed = rcp_scalar(value);
        struct cm_buf text;
        cm_buf_init(&text, RCP_BODY_MAX);
        int rc = rcp_text(&text, fixed ? fixed : "", b->vars, pos, b->masked, b->err);
        if (rc == 0) {
            cm_buf_puts(out, *any ? "&" : first);
            *any = true;
            url_encode(out, name);
            cm_buf_putc(out, '=');
            cm_buf_puts(out, cm_buf_str(&text));
        }
        rcp_buf_wipe(&text);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int put_url(struct cm_buf *out, const char *target, const struct rcp_page *page,
                   const struct build *b)
{
    bool any = page && page->next && strchr(page->next, '?');
    int rc = 0;
    if (page && page->next) {
        /* A provider may repeat our query, secrets and all, in its own words. */
        cm_buf_add(out, page->next, b->masked ? strcspn(page->next, "?") : strlen(page->next));
        any = any && !b->masked;
    } else {
        rc = rcp_url(out, target, b->vars, b->masked, b->err);
        any = rc == 0 && strchr(cm_buf_str(out), '?');
        if (rc == 0)
            rc = put_pairs(out, cm_json_obj(b->step, "query"), "?", &any, RCP_QUERY, b);
    }
    if (rc == 0)
        rc = put_pairs(out, b->query, "?", &any, RCP_QUERY, b);
    if (rc == 0 && page && page->name) {
        cm_buf_puts(out, any ? "&" : "?");
        url_encode(out, page->name);
        cm_buf_putc(out, '=');
        url_encode(out, page->value);
    }
    if (rc == 0 && out->failed)
        rc = cm_fail(b->err, CM_ELIMIT, "a request's URL is longer than %d bytes", URL_MAX);
    return rc;
}

static int add_header(const struct build *b, char *take)
{
    struct rcp_request *r = b->ret;
    if (r->header_count >= RCP_HEADERS_MAX) {
        cm_free_secret(take, strlen(take));
        return cm_fail(b->err, CM_ELIMIT, "more than %d headers", RCP_HEADERS_MAX);
    }
    r->headers[r->header_count++] = take;
    return 0;
}

static int put_headers(const json_t *set, const struct build *b)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)set, name, value)
    {
        struct cm_buf line;
        cm_buf_init(&line, HEADER_MAX);
        cm_buf_printf(&line, "%s: ", name);
        /* A JSON header (as Linode's filter) is escaped as JSON: control bytes become \u. */
        int rc = json_is_string(value)
                     ? rcp_text(&line, json_string_value(value), b->vars, RCP_HEADER, false, b->err)
                     : rcp_json(&line, value, NULL, b->vars, false, b->err);
        if (rc == 0)
            rc = add_header(b, cm_strdup(cm_buf_str(&line)));
        rcp_buf_wipe(&line);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static bool has_header(const struct rcp_request *r, const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < r->header_count; i++)
        if (strncasecmp(r->headers[i], name, len) == 0 && r->headers[i][len] == ':')
            return true;
    return false;
}

static int put_body(struct cm_buf *out, const char **type, const struct build *b)
{
    const json_t *json = json_object_get(b->step, "json"), *form = cm_json_obj(b->step, "form");
    bool any = false;
    if (form) {
        *type = "application/x-www-form-urlencoded";
        int rc = put_pairs(out, form, "", &any, RCP_FORM, b);
        return rc < 0 ? rc : put_pairs(out, b->body, "", &any, RCP_FORM, b);
    }
    if (json || b->body) {
        *type = "application/json";
        json_t *none = json_object();
        int rc = rcp_json(out, json ? json : none, b->body, b->vars, b->masked, b->err);
        json_decref(none);
        return rc == RCP_UNSET ? cm_fail(b->err, CM_EINVAL, "a body has no value") : rc;
    }
    return 0;
}

static int build_shown(struct build *b, const char *target, const struct rcp_page *page)
{
    struct cm_buf url, body, line;
    const char *type = NULL;
    cm_buf_init(&url, URL_MAX);
    cm_buf_init(&body, RCP_BODY_MAX);
    cm_buf_init(&line, RCP_BODY_MAX * 2);
    b->masked = true;
    int rc = put_url(&url, target, page, b);
    if (rc == 0 && strcmp(b->ret->method, "GET") != 0)
        rc = put_body(&body, &type, b);
    if (rc == 0) {
        cm_buf_printf(&line, "%s %s", b->ret->method, cm_buf_str(&url));
        if (body.len > 0)
            cm_buf_printf(&line, " %s", cm_buf_str(&body));
        b->ret->shown = cm_buf_take(&line, NULL);
        rcp_scrub(b->ret->shown, b->vars);
    }
    cm_buf_fini(&url);
    cm_buf_fini(&body);
    cm_buf_fini(&line);
    return rc;
}

static int build_sent(struct build *b, const char *target, const struct rcp_page *page)
{
    struct cm_buf url, body;
    const char *type = NULL;
    b->masked = false;
    cm_buf_init(&url, URL_MAX);
    cm_buf_init(&body, RCP_BODY_MAX);
    int rc = put_url(&url, target, page, b);
    if (rc == 0 && strcmp(b->ret->method, "GET") != 0)
        rc = put_body(&body, &type, b);
    if (rc == 0)
        rc = put_headers(b->headers, b);
    if (rc == 0)
        rc = put_headers(cm_json_obj(b->step, "headers"), b);
    if (rc == 0 && type && !has_header(b->ret, "Content-Type"))
        rc = add_header(b, cm_asprintf("Content-Type: %s", type));
    if (rc == 0 && !has_header(b->ret, "Accept"))
        rc = add_header(b, cm_strdup("Accept: application/json, */*;q=0.5"));
    if (rc == 0) {
        b->ret->url = cm_strdup(cm_buf_str(&url));
        b->ret->body_len = body.len;
        b->ret->body = type ? cm_strdup(cm_buf_str(&body)) : NULL;
    }
    if (rc == 0 && b->ret->body && strlen(b->ret->body) != body.len)
        rc = cm_fail(b->err, CM_EINVAL, "a body holds a NUL byte");
    rcp_buf_wipe(&url);
    rcp_buf_wipe(&body);
    return rc;
}

int rcp_request_build(struct rcp_request *ret, const json_t *step, const struct rcp_vars *vars,
                      bool with_auth, const struct rcp_page *page, bool lab_http,
                      struct cm_err *err)
{
    struct build b = {.ret = ret, .step = step, .vars = vars, .err = err};
    char *basic = NULL;
    *ret = (struct rcp_request){0};
    const char *target = target_of(step, &ret->method);
    if (with_auth)
        rcp_auth_parts(vars->recipe, &b.headers, &b.query, &b.body);
    int rc = with_auth ? rcp_auth_line(vars, &basic, err) : 0;
    if (rc == 0 && basic)
        rc = add_header(&b, basic);
    if (rc == 0)
        rc = build_sent(&b, target, page);
    if (rc == 0)
        rc = rcp_url_allowed(ret->url, vars, lab_http, err);
    if (rc == 0)
        rc = build_shown(&b, target, page);
    if (rc < 0)
        rcp_request_fini(ret);
    return rc;
}
