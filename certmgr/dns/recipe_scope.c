/*
 * Steps and authentication of a recipe: their members, and that every placeholder names something
 * that is known when its step runs.
 */
#include <string.h>

#include "base/core/mem.h"
#include "certmgr/dns/recipe_parse.h"

/* What a place may name besides credentials and options. */
enum {
    S_CANDIDATE = 1,
    S_ZONE = 2, /* zone.name, zone.x, name.relative */
    S_NAME = 4, /* name.fqdn, name.record */
    S_VALUE = 8,
    S_VALUES = 16,
    S_RECORD = 32,
    S_LOGIN = 64,
};

struct scope {
    struct rcp_parse *p;
    const char *pointer;
    unsigned allowed;
};

#define REQUEST                                                                                    \
    {"get", T_TEXT, false}, {"post", T_TEXT, false}, {"put", T_TEXT, false},                       \
        {"patch", T_TEXT, false}, {"del", T_TEXT, false}, {"query", T_MAP, false},                 \
        {"headers", T_HEADERS, false}, {"json", T_ANY, false}, {"form", T_MAP, false},             \
        {"ok", T_RULE, false}, {"error", T_OBJ, false},                                            \
    {                                                                                              \
        "reply", T_TEXT, false                                                                     \
    }
#define LISTS                                                                                      \
    {"items", T_POINTER, false}, {"where", T_MAP, false},                                          \
    {                                                                                              \
        "paging", T_OBJ, false                                                                     \
    }
#define END                                                                                        \
    {                                                                                              \
        NULL, T_ANY, false                                                                         \
    }

static const struct rcp_member zone_step[] = {REQUEST,
                                              LISTS,
                                              {"iterate", T_TEXT, true},
                                              {"name", T_POINTER, false},
                                              {"gone", T_RULE, false},
                                              {"save", T_SAVE, false},
                                              END};
static const struct rcp_member find_step[] = {REQUEST,
                                              LISTS,
                                              {"inner", T_POINTER, false},
                                              {"value", T_POINTER, false},
                                              {"id", T_POINTER, false},
                                              {"gone", T_RULE, false},
                                              {"save", T_SAVE, false},
                                              END};
static const struct rcp_member add_step[] = {
    REQUEST, {"already", T_RULE, false}, {"save", T_SAVE, false}, END};
static const struct rcp_member delete_step[] = {
    REQUEST, {"gone", T_RULE, false}, {"save", T_SAVE, false}, END};
static const struct rcp_member put_step[] = {
    REQUEST, {"conflict", T_RULE, false}, {"gone", T_RULE, false}, {"save", T_SAVE, false}, END};
static const struct rcp_member commit_step[] = {REQUEST, {"save", T_SAVE, false}, END};
static const struct rcp_member wait_step[] = {REQUEST,
                                              {"until", T_RULE, true},
                                              {"interval_s", T_COUNT, false},
                                              {"limit_s", T_COUNT, false},
                                              END};
static const struct rcp_member login_step[] = {REQUEST, {"save", T_SAVE, true}, END};
static const struct rcp_member logout_step[] = {REQUEST, END};

static const struct {
    const char *name;
    const struct rcp_member *table;
    unsigned allowed;
} steps[] = {
    {"zone", zone_step, S_CANDIDATE | S_ZONE | S_NAME},
    {"find", find_step, S_ZONE | S_NAME | S_VALUE},
    {"add", add_step, S_ZONE | S_NAME | S_VALUE | S_RECORD},
    {"delete", delete_step, S_ZONE | S_NAME | S_VALUE | S_RECORD},
    {"put", put_step, S_ZONE | S_NAME | S_VALUE | S_VALUES | S_RECORD},
    {"clear", put_step, S_ZONE | S_NAME | S_VALUE | S_RECORD},
    {"commit", commit_step, S_ZONE | S_NAME | S_RECORD},
    {"wait", wait_step, S_ZONE | S_NAME | S_RECORD},
};
#define STEP_COUNT (sizeof(steps) / sizeof(steps[0]))

/* ---- placeholders -------------------------------------------------------------------------- */

static const json_t *named(const json_t *list, const char *name)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (strcmp(cm_json_str_or(json_array_get(list, i), "name", ""), name) == 0)
            return json_array_get(list, i);
    return NULL;
}

static bool saved(const json_t *save, const char *name)
{
    CM_AUTO_STR long_name = cm_asprintf("record.%s", name);
    return json_object_get(save, name) || json_object_get(save, long_name);
}

static bool option_tells(const json_t *recipe, const char *part)
{
    const json_t *all = cm_json_arr(recipe, "options");
    for (size_t i = 0; i < json_array_size(all); i++)
        if (strcmp(cm_json_str_or(json_array_get(all, i), "zone", ""), part) == 0)
            return true;
    return false;
}

static bool zone_has(const json_t *recipe, const char *part)
{
    const json_t *zone = cm_json_obj(cm_json_obj(recipe, "steps"), "zone");
    if (option_tells(recipe, part))
        return true;
    if (strcmp(part, "name") == 0)
        return strcmp(cm_json_str_or(zone, "iterate", "none"), "none") != 0;
    return saved(cm_json_obj(zone, "save"), part);
}

static bool record_has(const json_t *recipe, const char *part)
{
    static const char *const from[] = {"find", "add", "put", "delete", "commit", "clear"};
    const json_t *all = cm_json_obj(recipe, "steps");
    if (strcmp(part, "id") == 0 && cm_json_str(cm_json_obj(all, "find"), "id"))
        return true;
    for (size_t i = 0; i < sizeof(from) / sizeof(from[0]); i++)
        if (saved(cm_json_obj(cm_json_obj(all, from[i]), "save"), part))
            return true;
    return false;
}

static bool login_has(const json_t *recipe, const char *part)
{
    const json_t *auth = cm_json_obj(recipe, "auth"), *login = cm_json_obj(auth, "login");
    return login ? saved(cm_json_obj(login, "save"), part) : strcmp(part, "token") == 0;
}

/* zone.x, name.x and the saved members; the fixed ones are in known(). */
static bool known_part(const struct scope *s, const struct rcp_hole *h)
{
    const json_t *r = s->p->recipe;
    unsigned a = s->allowed;
    if (h->name[0] == '\0') /* the whole of zone, record or login is no value */
        return false;
    if (strcmp(h->root, "zone") == 0 && strcmp(h->name, "candidate") == 0)
        return (a & S_CANDIDATE) != 0;
    if (strcmp(h->root, "zone") == 0)
        return (a & S_ZONE) && zone_has(r, h->name);
    if (strcmp(h->root, "record") == 0)
        return (a & S_RECORD) && record_has(r, h->name);
    if (strcmp(h->root, "login") == 0)
        return (a & S_LOGIN) && login_has(r, h->name);
    if (strcmp(h->root, "name") != 0)
        return false;
    if (strcmp(h->name, "relative") == 0)
        return (a & S_ZONE) && zone_has(r, "name");
    return (a & S_NAME) && (strcmp(h->name, "fqdn") == 0 || strcmp(h->name, "record") == 0);
}

static bool known(const struct scope *s, const struct rcp_hole *h)
{
    const json_t *r = s->p->recipe;
    if (strcmp(h->root, "cred") == 0)
        return named(cm_json_arr(r, "credentials"), h->name) != NULL;
    if (strcmp(h->root, "opt") == 0)
        return named(cm_json_arr(r, "options"), h->name) != NULL;
    if (strcmp(h->root, "value") == 0)
        return (s->allowed & S_VALUE) && h->name[0] == '\0';
    if (strcmp(h->root, "values") == 0)
        return (s->allowed & S_VALUES) && h->name[0] == '\0';
    return known_part(s, h);
}

static int check_hole(void *arg, const struct rcp_hole *hole, struct cm_err *err)
{
    struct scope *s = arg;
    (void)err;
    if (known(s, hole))
        return 0;
    CM_AUTO_STR why = cm_asprintf("{{%s%s%s}} is not known here", hole->root,
                                  hole->name[0] ? "." : "", hole->name);
    return rcpp_fail(s->p, s->pointer, why);
}

/* Recursion: bounded by the depth that cm_json_parse allows. */
static int check_templates(struct rcp_parse *p, const char *pointer, const json_t *v,
                           unsigned allowed)
{
    const char *key;
    json_t *member;
    struct scope scope = {.p = p, .pointer = pointer, .allowed = allowed};
    if (json_is_string(v)) {
        struct cm_err err = CM_ERR_INIT;
        int rc = rcp_holes(json_string_value(v), check_hole, &scope, &err);
        if (err.code)
            rc = rcpp_fail(p, pointer, err.what);
        cm_err_fini(&err);
        return rc;
    }
    for (size_t i = 0; i < json_array_size(v); i++) {
        CM_AUTO_STR at = cm_asprintf("%s/%zu", pointer, i);
        if (check_templates(p, at, json_array_get(v, i), allowed) < 0)
            return CM_EINVAL;
    }
    json_object_foreach((json_t *)(uintptr_t)v, key, member)
    {
        CM_AUTO_STR at = cm_asprintf("%s/%.60s", pointer, key);
        if (check_templates(p, at, member, allowed) < 0)
            return CM_EINVAL;
    }
    return 0;
}

/* ---- requests ------------------------------------------------------------------------------ */

int rcpp_url_literal(struct rcp_parse *p, const char *pointer, const char *url)
{
    static const char *const fine = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                    "-._~:@!$&'()*+,;=/{}| ";
    const char *path = url;
    if (url[0] != '/') {
        if (strncmp(url, "https://", 8) != 0)
            return rcpp_fail(p, pointer, "must be a path or begin with https://");
        path = url + 8 + strcspn(url + 8, "/");
        CM_AUTO_STR host = cm_strndup(url + 8, (size_t)(path - url - 8));
        if (!cm_json_has_str(cm_json_arr(p->recipe, "hosts"), host))
            return rcpp_fail(p, pointer, "names a host that is not in hosts");
    }
    if (path[strspn(path, fine)] != '\0' || strstr(path, "/../") || strstr(path, "/./"))
        return rcpp_fail(p, pointer, "holds a character that a path cannot (queries go to query)");
    /* Blanks are for placeholders only. */
    for (const char *b = strchr(path, ' '); b; b = strchr(b + 1, ' ')) {
        CM_AUTO_STR before = cm_strndup(path, (size_t)(b - path));
        const char *open = strrchr(before, '{'), *close = strrchr(before, '}');
        if (!open || (close && close > open))
            return rcpp_fail(p, pointer, "holds a blank");
    }
    return 0;
}

static int check_request(struct rcp_parse *p, const char *pointer, const json_t *step,
                         unsigned allowed)
{
    static const char *const methods[] = {"get", "post", "put", "patch", "del"};
    static const char *const parts[] = {"query", "headers", "json", "form", "where"};
    unsigned count = 0;
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        const char *url = cm_json_str(step, methods[i]);
        CM_AUTO_STR at = cm_asprintf("%s/%s", pointer, methods[i]);
        if (!url)
            continue;
        count++;
        if ((url[0] != '\0' && rcpp_url_literal(p, at, url) < 0) ||
            check_templates(p, at, json_object_get(step, methods[i]), allowed) < 0)
            return CM_EINVAL;
    }
    const char *iterate = cm_json_str_or(step, "iterate", "");
    bool optional = strcmp(iterate, "none") == 0 || strcmp(iterate, "soa") == 0;
    if (count > 1 || (count == 0 && !optional))
        return rcpp_fail(p, pointer, "needs exactly one of get, post, put, patch, del");
    if (json_object_get(step, "json") && json_object_get(step, "form"))
        return rcpp_fail(p, pointer, "has json and form; one body at most");
    if (cm_json_str(step, "get") &&
        (json_object_get(step, "json") || json_object_get(step, "form")))
        return rcpp_fail(p, pointer, "GET has no body");
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        CM_AUTO_STR at = cm_asprintf("%s/%s", pointer, parts[i]);
        if (check_templates(p, at, json_object_get(step, parts[i]), allowed) < 0)
            return CM_EINVAL;
    }
    return rcpp_reply_rules(p, pointer, step);
}

/* ---- authentication ------------------------------------------------------------------------ */

static const struct rcp_member auth_headers[] = {{"kind", T_TEXT, true},
                                                 {"set", T_HEADERS, true},
                                                 {"query", T_MAP, false},
                                                 {"body", T_MAP, false},
                                                 END};
static const struct rcp_member auth_set[] = {{"kind", T_TEXT, true}, {"set", T_MAP, true}, END};
static const struct rcp_member auth_basic[] = {
    {"kind", T_TEXT, true}, {"user", T_TEXT, true}, {"password", T_TEXT, true}, END};
static const struct rcp_member auth_login[] = {
    {"kind", T_TEXT, true},         {"login", T_OBJ, true},         {"logout", T_OBJ, false},
    {"set", T_HEADERS, false},      {"query", T_MAP, false},        {"body", T_MAP, false},
    {"lifetime", T_POINTER, false}, {"lifetime_s", T_COUNT, false}, END};
static const struct rcp_member auth_jwt[] = {
    {"kind", T_TEXT, true},      {"url", T_TEXT, true},
    {"issuer", T_TEXT, true},    {"subject", T_TEXT, false},
    {"audience", T_TEXT, false}, {"scope", T_TEXT, false},
    {"key", T_TEXT, true},       END};
static const struct rcp_member auth_client[] = {{"kind", T_TEXT, true},
                                                {"url", T_TEXT, true},
                                                {"client_id", T_TEXT, true},
                                                {"client_secret", T_TEXT, true},
                                                {"scope", T_TEXT, false},
                                                {"audience", T_TEXT, false},
                                                END};

static int check_login(struct rcp_parse *p, const json_t *auth)
{
    const json_t *login = cm_json_obj(auth, "login"), *logout = cm_json_obj(auth, "logout");
    if (rcpp_object(p, "/auth/login", login, login_step) < 0 ||
        check_request(p, "/auth/login", login, 0) < 0)
        return CM_EINVAL;
    if (!logout)
        return 0;
    if (rcpp_object(p, "/auth/logout", logout, logout_step) < 0)
        return CM_EINVAL;
    return check_request(p, "/auth/logout", logout, S_LOGIN);
}

static int check_auth(struct rcp_parse *p)
{
    static const struct {
        const char *kind;
        const struct rcp_member *table;
    } kinds[] = {{"headers", auth_headers},     {"basic", auth_basic},
                 {"query", auth_set},           {"body", auth_set},
                 {"login", auth_login},         {"jwt-bearer", auth_jwt},
                 {"oauth2-client", auth_client}};
    const json_t *auth = cm_json_obj(p->recipe, "auth");
    const char *kind = cm_json_str_or(auth, "kind", "");
    if (!auth)
        return 0;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(kind, kinds[i].kind) != 0)
            continue;
        const char *url = cm_json_str(auth, "url"), *key;
        json_t *member;
        if (rcpp_object(p, "/auth", auth, kinds[i].table) < 0 ||
            (url && rcpp_url_literal(p, "/auth/url", url) < 0))
            return CM_EINVAL;
        json_object_foreach((json_t *)(uintptr_t)auth, key, member)
        {
            CM_AUTO_STR at = cm_asprintf("/auth/%s", key);
            if (strcmp(key, "login") != 0 && strcmp(key, "logout") != 0 &&
                strcmp(key, "lifetime") != 0 &&
                check_templates(p, at, member, rcp_needs_login(p->recipe) ? S_LOGIN : 0) < 0)
                return CM_EINVAL;
        }
        return strcmp(kind, "login") == 0 ? check_login(p, auth) : 0;
    }
    return rcpp_fail(p, "/auth/kind",
                     "must be one of: headers basic query body login jwt-bearer oauth2-client");
}

/* Members of a body that authentication adds need an object to go into. */
static int check_body(struct rcp_parse *p, const char *pointer, const json_t *step)
{
    const json_t *headers, *query, *body, *json = json_object_get(step, "json");
    rcp_auth_parts(p->recipe, &headers, &query, &body);
    if (body && json && !json_is_object(json))
        return rcpp_fail(p, pointer, "json must be an object: the authentication adds members");
    return 0;
}

int rcpp_steps(struct rcp_parse *p)
{
    const json_t *all = cm_json_obj(p->recipe, "steps"), *txt = cm_json_obj(p->recipe, "txt");
    const char *key;
    json_t *member;
    json_object_foreach((json_t *)(uintptr_t)all, key, member)
    {
        size_t i = 0;
        CM_AUTO_STR at = cm_asprintf("/steps/%.40s", key);
        while (i < STEP_COUNT && strcmp(steps[i].name, key) != 0)
            i++;
        if (i == STEP_COUNT)
            return rcpp_fail(p, at, "is no step (zone find add delete put clear commit wait)");
        if (rcpp_object(p, at, member, steps[i].table) < 0 ||
            rcpp_choice(p, at, member, "iterate", "suffix soa list none") < 0 ||
            check_request(p, at, member, steps[i].allowed) < 0 || check_body(p, at, member) < 0)
            return CM_EINVAL;
        if (strcmp(cm_json_str_or(member, "iterate", ""), "list") == 0 &&
            (!cm_json_str(member, "items") || !cm_json_str(member, "name")))
            return rcpp_fail(p, at, "iterate list needs items and name");
    }
    const json_t *base = json_object_get(p->recipe, "base");
    if (check_templates(p, "/txt/item", json_object_get(txt, "item"), S_VALUE) < 0 ||
        check_templates(p, "/base", base, 0) < 0)
        return CM_EINVAL;
    return check_auth(p);
}
