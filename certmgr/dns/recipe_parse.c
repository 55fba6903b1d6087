/*
 * Is a document a recipe?  Every member is known and of its type; every message carries the JSON
 * pointer of what is wrong.  What templates may name is checked in recipe_scope.c.
 */
#include "certmgr/dns/recipe_parse.h"

#include <string.h>
#include <strings.h>

#include "base/core/mem.h"
#include "base/core/num.h"
#include "base/net/url.h"

#define LIST_MAX 32

int rcpp_fail(struct rcp_parse *p, const char *pointer, const char *why)
{
    CM_AUTO_STR test = p->test ? cm_asprintf("test %.60s: ", p->test) : cm_strdup("");
    const char *at = pointer[0] ? pointer : "/";
    int rc = cm_fail(p->err, CM_EINVAL, "recipe %s: %s%s: %s",
                     cm_json_str_or(p->recipe, "id", "without id"), test, at, why);
    cm_err_object(p->err, "%s", at);
    return rc;
}

/* ---- types --------------------------------------------------------------------------------- */

static bool name_ok(const char *text)
{
    size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_");
    return len > 0 && len < RCP_NAME_MAX && text[len] == '\0' && text[0] > '9';
}

static bool id_ok(const char *text)
{
    size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-");
    return len > 0 && len <= 40 && text[len] == '\0';
}

static bool is_text(const json_t *v)
{
    return json_is_string(v) && json_string_length(v) <= RCP_TEMPLATE_MAX;
}

static bool is_bool(const json_t *v)
{
    return json_is_boolean(v);
}

static bool is_list(const json_t *v)
{
    return json_is_array(v) && json_array_size(v) <= LIST_MAX;
}

static bool is_pointer(const json_t *v)
{
    return json_is_string(v) && rcp_pointer_ok(json_string_value(v));
}

static bool is_pointer_map(const json_t *v)
{
    const char *key;
    json_t *member;
    json_object_foreach((json_t *)(uintptr_t)v, key, member)
    {
        const char *name = strncmp(key, "record.", 7) == 0 ? key + 7 : key;
        if (!is_pointer(member) || !name_ok(name))
            return false;
    }
    return json_is_object(v) && json_object_size(v) <= LIST_MAX;
}

static bool is_status_list(const json_t *v)
{
    for (size_t i = 0; i < json_array_size(v); i++) {
        json_int_t n = json_integer_value(json_array_get(v, i));
        if (n < 100 || n > 599)
            return false;
    }
    return json_is_array(v) && json_array_size(v) > 0 && json_array_size(v) <= LIST_MAX;
}

/* status, pointer, or both; one comparison at most, and only of what a pointer finds. */
static bool is_one_predicate(const json_t *v)
{
    const json_t *status = json_object_get(v, "status"), *pointer = json_object_get(v, "pointer");
    const json_t *in = json_object_get(v, "in"), *begins = json_object_get(v, "begins");
    const json_t *exists = json_object_get(v, "exists");
    size_t compared =
        (json_object_get(v, "equals") != NULL) + (in != NULL) + (begins != NULL) + (exists != NULL);
    size_t found = compared + (status != NULL) + (pointer != NULL);
    return found == json_object_size(v) && (status || pointer) && compared <= (pointer ? 1 : 0) &&
           (!status || is_status_list(status)) && (!pointer || is_pointer(pointer)) &&
           (!in || is_list(in)) && (!begins || is_text(begins)) && (!exists || is_bool(exists));
}

static bool is_predicate(const json_t *v)
{
    for (size_t i = 0; i < json_array_size(v); i++)
        if (!is_one_predicate(json_array_get(v, i)))
            return false;
    return json_is_array(v) ? json_array_size(v) > 0 && json_array_size(v) <= LIST_MAX
                            : is_one_predicate(v);
}

static bool is_template_map(const json_t *v)
{
    const char *key;
    json_t *member;
    json_object_foreach((json_t *)(uintptr_t)v, key, member)
    {
        if (json_is_null(member) || json_is_array(member) || json_is_object(member) ||
            strlen(key) > 64)
            return false;
    }
    return json_is_object(v) && json_object_size(v) <= LIST_MAX;
}

/* Header names are tokens (RFC 9110 5.6.2); those that frame a message are not a recipe's. */
static bool is_header_map(const json_t *v)
{
    static const char *const ours[] = {"host",       "content-length", "transfer-encoding",
                                       "connection", "upgrade",        "te",
                                       "trailer",    "expect",         "cookie"};
    const char *key;
    json_t *member;
    json_object_foreach((json_t *)(uintptr_t)v, key, member)
    {
        size_t len =
            strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");
        if (len == 0 || key[len] || (!json_is_string(member) && !json_is_object(member)))
            return false;
        if (json_is_string(member) && strpbrk(json_string_value(member), "\r\n"))
            return false;
        for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
            if (strcasecmp(key, ours[i]) == 0)
                return false;
    }
    return json_is_object(v) && json_object_size(v) <= 16;
}

static bool is_pointers(const json_t *v)
{
    for (size_t i = 0; i < json_array_size(v); i++)
        if (!is_pointer(json_array_get(v, i)))
            return false;
    return is_pointer(v) || (json_is_array(v) && json_array_size(v) <= LIST_MAX);
}

static bool is_scalar(const json_t *v)
{
    return json_is_string(v) || json_is_integer(v);
}

static bool is_any(const json_t *v)
{
    return v != NULL;
}

static bool is_count(const json_t *v)
{
    return json_is_integer(v) && json_integer_value(v) >= 0 && json_integer_value(v) <= 1000000;
}

static bool is_integer(const json_t *v)
{
    return json_is_integer(v);
}

static bool is_object(const json_t *v)
{
    return json_is_object(v);
}

static bool is_https(const json_t *v)
{
    struct url url;
    return json_is_string(v) && url_parse(json_string_value(v), &url, NULL) == 0 && url.https;
}

static const char *const type_names[] = {
    [T_TEXT] = "a text",
    [T_COUNT] = "a number from 0 on",
    [T_INT] = "an integer",
    [T_BOOL] = "true or false",
    [T_OBJ] = "an object",
    [T_LIST] = "a list of at most 32",
    [T_ANY] = "a value",
    [T_SCALAR] = "a text or an integer",
    [T_POINTER] = "a JSON pointer (RFC 6901)",
    [T_POINTERS] = "a JSON pointer (RFC 6901) or a list of them",
    [T_SAVE] = "an object of names and JSON pointers",
    [T_RULE] = "a predicate {status, pointer, equals | in | begins | exists} or a list of them",
    [T_MAP] = "an object of templates",
    [T_HEADERS] = "an object of header names (not framing ones) and one-line templates",
    [T_STATUS] = "a list of HTTP statuses",
    [T_URL] = "an https:// URL",
};
static bool (*const type_checks[])(const json_t *) = {
    [T_TEXT] = is_text,         [T_COUNT] = is_count,        [T_INT] = is_integer,
    [T_BOOL] = is_bool,         [T_OBJ] = is_object,         [T_LIST] = is_list,
    [T_ANY] = is_any,           [T_SCALAR] = is_scalar,      [T_POINTER] = is_pointer,
    [T_POINTERS] = is_pointers, [T_SAVE] = is_pointer_map,   [T_RULE] = is_predicate,
    [T_MAP] = is_template_map,  [T_HEADERS] = is_header_map, [T_STATUS] = is_status_list,
    [T_URL] = is_https,
};

int rcpp_object(struct rcp_parse *p, const char *pointer, const json_t *obj,
                const struct rcp_member *table)
{
    const char *key;
    json_t *member;
    if (!json_is_object(obj))
        return rcpp_fail(p, pointer, "must be an object");
    json_object_foreach((json_t *)(uintptr_t)obj, key, member)
    {
        const struct rcp_member *row = table;
        while (row->name && strcmp(row->name, key) != 0)
            row++;
        CM_AUTO_STR at = cm_asprintf("%s/%.60s", pointer, key);
        if (!row->name)
            return rcpp_fail(p, at, "is not a member of the language");
        CM_AUTO_STR why = cm_asprintf("must be %s", type_names[row->type]);
        if (!type_checks[row->type](member))
            return rcpp_fail(p, at, why);
    }
    for (const struct rcp_member *row = table; row->name; row++) {
        CM_AUTO_STR why = cm_asprintf("lacks \"%s\"", row->name);
        if (row->required && !json_object_get(obj, row->name))
            return rcpp_fail(p, pointer, why);
    }
    return 0;
}

int rcpp_choice(struct rcp_parse *p, const char *pointer, const json_t *obj, const char *name,
                const char *choices)
{
    const char *text = cm_json_str(obj, name);
    if (!text)
        return 0;
    CM_AUTO_STR padded = cm_asprintf(" %s ", text);
    CM_AUTO_STR all = cm_asprintf(" %s ", choices);
    if (!strchr(text, ' ') && strstr(all, padded))
        return 0;
    CM_AUTO_STR at = cm_asprintf("%s/%s", pointer, name);
    CM_AUTO_STR why = cm_asprintf("must be one of: %s", choices);
    return rcpp_fail(p, at, why);
}

/* ---- tables -------------------------------------------------------------------------------- */

static const struct rcp_member top[] = {{"$schema", T_TEXT, false}, /* for editors */
                                        {"schema", T_INT, true},
                                        {"id", T_TEXT, true},
                                        {"title", T_TEXT, true},
                                        {"docs", T_URL, false},
                                        {"revision", T_COUNT, true},
                                        {"unverified", T_BOOL, false},
                                        {"credentials", T_LIST, false},
                                        {"options", T_LIST, false},
                                        {"base", T_TEXT, false},
                                        {"hosts", T_LIST, false},
                                        {"auth", T_OBJ, false},
                                        {"names", T_OBJ, false},
                                        {"txt", T_OBJ, true},
                                        {"steps", T_OBJ, true},
                                        {"ok", T_RULE, false},
                                        {"already", T_RULE, false},
                                        {"gone", T_RULE, false},
                                        {"conflict", T_RULE, false},
                                        {"error", T_OBJ, false},
                                        {"paging", T_OBJ, false},
                                        {"limits", T_OBJ, false},
                                        {"reply", T_TEXT, false},
                                        {"propagation", T_OBJ, false},
                                        {"tests", T_LIST, false},
                                        {NULL, T_ANY, false}};
static const struct rcp_member credential[] = {
    {"name", T_TEXT, true},      {"title", T_TEXT, false}, {"secret", T_BOOL, false},
    {"required", T_BOOL, false}, {"help", T_TEXT, false},  {"pattern", T_TEXT, false},
    {NULL, T_ANY, false}};
static const struct rcp_member option[] = {
    {"name", T_TEXT, true},       {"title", T_TEXT, false},    {"help", T_TEXT, false},
    {"default", T_SCALAR, false}, {"min", T_INT, false},       {"max", T_INT, false},
    {"pattern", T_TEXT, false},   {"required", T_BOOL, false}, {"base", T_BOOL, false},
    {"zone", T_TEXT, false},      {NULL, T_ANY, false}};
static const struct rcp_member name_rules[] = {{"zone", T_TEXT, false},
                                               {"record", T_TEXT, false},
                                               {"apex", T_TEXT, false},
                                               {NULL, T_ANY, false}};
static const struct rcp_member txt[] = {{"mode", T_TEXT, true},       {"quoted", T_BOOL, false},
                                        {"max", T_COUNT, false},      {"item", T_ANY, false},
                                        {"read_back", T_BOOL, false}, {"delete", T_BOOL, false},
                                        {NULL, T_ANY, false}};
static const struct rcp_member limits[] = {{"parallel", T_COUNT, false},
                                           {"min_interval_ms", T_COUNT, false},
                                           {"timeout_s", T_COUNT, false},
                                           {"retry", T_STATUS, false},
                                           {"retry_after", T_BOOL, false},
                                           {"serial", T_BOOL, false},
                                           {NULL, T_ANY, false}};
static const struct rcp_member propagation[] = {{"method", T_TEXT, true},
                                                {"wait_s", T_COUNT, false},
                                                {"interval_s", T_COUNT, false},
                                                {"limit_s", T_COUNT, false},
                                                {NULL, T_ANY, false}};
static const struct rcp_member errors[] = {
    {"text", T_POINTERS, false}, {"code", T_POINTERS, false}, {NULL, T_ANY, false}};
static const struct rcp_member paging[] = {{"next", T_POINTER, false}, {"query", T_TEXT, false},
                                           {"start", T_COUNT, false},  {"last", T_POINTER, false},
                                           {"max", T_COUNT, false},    {NULL, T_ANY, false}};

/* ---- parts --------------------------------------------------------------------------------- */

static int check_names_of(struct rcp_parse *p, const char *list, const struct rcp_member *table)
{
    const json_t *all = cm_json_arr(p->recipe, list);
    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *one = json_array_get(all, i);
        CM_AUTO_STR at = cm_asprintf("/%s/%zu", list, i);
        if (rcpp_object(p, at, one, table) < 0)
            return CM_EINVAL;
        const char *name = cm_json_str(one, "name"), *pattern = cm_json_str(one, "pattern");
        if (!name_ok(name))
            return rcpp_fail(p, at, "name must be lower case letters, digits and _, 31 at most");
        if (pattern && !rcp_pattern_ok(pattern))
            return rcpp_fail(p, at, "pattern must be literals, \".\" and classes with ? * + {n,m}");
        for (size_t k = 0; k < i; k++)
            if (strcmp(cm_json_str_or(json_array_get(all, k), "name", ""), name) == 0)
                return rcpp_fail(p, at, "the name is used twice");
    }
    return 0;
}

static int check_hosts(struct rcp_parse *p)
{
    const json_t *hosts = cm_json_arr(p->recipe, "hosts");
    const char *base = cm_json_str(p->recipe, "base");
    for (size_t i = 0; i < json_array_size(hosts); i++) {
        const char *host = json_string_value(json_array_get(hosts, i));
        if (!host || !host[0] ||
            host[strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789.-")] != '\0')
            return rcpp_fail(p, "/hosts", "must list host names in lower case");
    }
    if (!base)
        return rcp_base_option(p->recipe)
                   ? 0
                   : rcpp_fail(p, "/base", "is missing, and no option has \"base\": true");
    if (base[0] == '/')
        return rcpp_fail(p, "/base", "must begin with https://");
    return rcpp_url_literal(p, "/base", base);
}

int rcpp_reply_rules(struct rcp_parse *p, const char *pointer, const json_t *obj)
{
    static const struct {
        const char *name;
        const struct rcp_member *table;
    } parts[] = {{"error", errors}, {"paging", paging}};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        const json_t *part = json_object_get(obj, parts[i].name);
        CM_AUTO_STR at = cm_asprintf("%s/%s", pointer, parts[i].name);
        if (part && rcpp_object(p, at, part, parts[i].table) < 0)
            return CM_EINVAL;
    }
    return rcpp_choice(p, pointer, obj, "reply", "json text");
}

static int check_tables(struct rcp_parse *p)
{
    static const struct {
        const char *name;
        const struct rcp_member *table;
    } parts[] = {
        {"names", name_rules}, {"txt", txt}, {"limits", limits}, {"propagation", propagation}};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        const json_t *part = json_object_get(p->recipe, parts[i].name);
        CM_AUTO_STR at = cm_asprintf("/%s", parts[i].name);
        if (part && rcpp_object(p, at, part, parts[i].table) < 0)
            return CM_EINVAL;
    }
    const json_t *names = cm_json_obj(p->recipe, "names");
    if (rcpp_choice(p, "/names", names, "zone", "plain dot") < 0 ||
        rcpp_choice(p, "/names", names, "record", "fqdn dot relative") < 0 ||
        rcpp_reply_rules(p, "", p->recipe) < 0 ||
        rcpp_choice(p, "/propagation", cm_json_obj(p->recipe, "propagation"), "method",
                    "authoritative recursive fixed") < 0)
        return CM_EINVAL;
    return rcpp_choice(p, "/txt", cm_json_obj(p->recipe, "txt"), "mode", "sep set single");
}

static int check_required_steps(struct rcp_parse *p)
{
    const json_t *steps = cm_json_obj(p->recipe, "steps"), *rule = cm_json_obj(p->recipe, "txt");
    bool set = strcmp(cm_json_str_or(rule, "mode", ""), "set") == 0;
    bool deletes = cm_json_bool(rule, "delete", true);
    if (set && (!cm_json_obj(steps, "find") || !cm_json_obj(steps, "put")))
        return rcpp_fail(p, "/steps", "mode set needs find and put");
    if (!set && !cm_json_obj(steps, "add"))
        return rcpp_fail(p, "/steps", "modes sep and single need add");
    if (!set && deletes && !cm_json_obj(steps, "delete"))
        return rcpp_fail(p, "/steps", "lacks delete; \"delete\": false in txt if there is none");
    return 0;
}

int rcp_check(const json_t *recipe, struct cm_err *err)
{
    struct rcp_parse p = {.recipe = recipe, .err = err};
    if (rcpp_object(&p, "", recipe, top) < 0)
        return CM_EINVAL;
    if (cm_json_int(recipe, "schema", 0) != 1)
        return rcpp_fail(&p, "/schema", "must be 1");
    if (!id_ok(cm_json_str_or(recipe, "id", "")))
        return rcpp_fail(&p, "/id", "must be lower case letters, digits and -, 40 at most");
    if (check_names_of(&p, "credentials", credential) < 0 ||
        check_names_of(&p, "options", option) < 0 || check_hosts(&p) < 0 || check_tables(&p) < 0 ||
        check_required_steps(&p) < 0)
        return CM_EINVAL;
    return rcpp_steps(&p);
}

/* ---- accounts ------------------------------------------------------------------------------ */

static int check_number(const json_t *rule, const json_t *v, struct cm_err *err)
{
    int64_t min = cm_json_int(rule, "min", 0), max = cm_json_int(rule, "max", 1000000000);
    int64_t n = json_is_integer(v) ? (int64_t)json_integer_value(v) : INT64_MIN;
    if (json_is_string(v)) /* forms send text */
        (void)cm_num_i64(json_string_value(v), min, max, &n);
    if (n >= min && n <= max)
        return 0;
    return cm_fail(err, CM_EINVAL, "%s: must be a number from %lld to %lld",
                   cm_json_str(rule, "name"), (long long)min, (long long)max);
}

static int check_base(const char *name, const char *text, struct cm_err *err)
{
    struct url url;
    if (url_parse(text, &url, NULL) < 0 || strchr(url.path, '?'))
        return cm_fail(err, CM_EINVAL, "%s: must be a URL as https://host/path", name);
    if (!url.https && !rcp_is_loopback(url.host))
        return cm_fail(err, CM_EINVAL, "%s: must begin with https://", name);
    return 0;
}

static int check_one(const json_t *rule, const json_t *v, bool required, struct cm_err *err)
{
    const char *name = cm_json_str(rule, "name"), *pattern = cm_json_str(rule, "pattern");
    bool empty = !v || json_is_null(v) || (json_is_string(v) && json_string_length(v) == 0);
    bool number = json_is_integer(json_object_get(rule, "default")) ||
                  json_object_get(rule, "min") || json_object_get(rule, "max");
    if (empty)
        return required ? cm_fail(err, CM_EINVAL, "%s: is needed", name) : 0;
    if (number)
        return check_number(rule, v, err);
    if (!json_is_string(v))
        return cm_fail(err, CM_EINVAL, "%s: must be a text", name);
    if (pattern && !rcp_pattern_match(pattern, json_string_value(v)))
        return cm_fail(err, CM_EINVAL, "%s: does not have the form %s", name, pattern);
    return cm_json_bool(rule, "base", false) ? check_base(name, json_string_value(v), err) : 0;
}

static int check_group(const json_t *rules, const json_t *given, const char *kind,
                       bool needed_usually, struct cm_err *err)
{
    const char *key;
    json_t *member;
    for (size_t i = 0; i < json_array_size(rules); i++) {
        const json_t *rule = json_array_get(rules, i);
        const json_t *v = json_object_get(given, cm_json_str(rule, "name"));
        bool required = cm_json_bool(rule, "required", needed_usually);
        if (!v)
            v = json_object_get(rule, "default");
        if (check_one(rule, v, required, err) < 0)
            return CM_EINVAL;
    }
    json_object_foreach((json_t *)(uintptr_t)given, key, member)
    {
        bool known = false;
        for (size_t i = 0; i < json_array_size(rules); i++)
            known = known || strcmp(cm_json_str(json_array_get(rules, i), "name"), key) == 0;
        if (!known)
            return cm_fail(err, CM_EINVAL, "%.40s: is no %s of this provider", key, kind);
    }
    return 0;
}

int rcp_check_account(const json_t *recipe, const json_t *options, const json_t *secrets,
                      struct cm_err *err)
{
    if (check_group(cm_json_arr(recipe, "credentials"), secrets, "credential", true, err) < 0)
        return CM_EINVAL;
    return check_group(cm_json_arr(recipe, "options"), options, "option", false, err);
}
