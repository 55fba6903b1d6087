/* What a provider answered: pointers (RFC 6901), predicates, error texts, lists of items. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/core/mem.h"
#include "base/core/num.h"
#include "base/core/utf8.h"
#include "certmgr/dns/recipe.h"

#define SAID_MAX 300 /* bytes of a provider's own words in a report */

/* ---- pointers ------------------------------------------------------------------------------ */

bool rcp_pointer_ok(const char *pointer)
{
    if (strlen(pointer) > 256 || (pointer[0] != '\0' && pointer[0] != '/'))
        return false;
    for (const char *p = strchr(pointer, '~'); p; p = strchr(p + 1, '~'))
        if (p[1] != '0' && p[1] != '1')
            return false;
    return true;
}

static const json_t *step_into(const json_t *v, const char *token, size_t len)
{
    char key[257];
    size_t n = 0;
    for (size_t i = 0; i < len && n + 1 < sizeof(key); i++) {
        if (token[i] == '~' && i + 1 < len)
            key[n++] = token[++i] == '0' ? '~' : '/';
        else
            key[n++] = token[i];
    }
    key[n] = '\0';
    if (json_is_object(v))
        return json_object_get(v, key);
    int64_t index;
    if (!json_is_array(v) || (key[0] == '0' && key[1]) || cm_num_i64(key, 0, 1000000, &index) < 0)
        return NULL;
    return json_array_get(v, (size_t)index);
}

const json_t *rcp_pointer(const json_t *v, const char *pointer)
{
    const char *p = pointer;
    while (v && *p == '/') {
        size_t len = strcspn(p + 1, "/");
        v = step_into(v, p + 1, len);
        p += 1 + len;
    }
    return v;
}

char *rcp_scalar(const json_t *v)
{
    if (json_is_string(v))
        return cm_strdup(json_string_value(v));
    if (json_is_integer(v))
        return cm_asprintf("%" JSON_INTEGER_FORMAT, json_integer_value(v));
    if (json_is_boolean(v))
        return cm_strdup(json_is_true(v) ? "true" : "false");
    if (json_is_real(v))
        return cm_asprintf("%.17g", json_real_value(v));
    return NULL;
}

/* ---- predicates ---------------------------------------------------------------------------- */

static bool has_status(const json_t *list, int status)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (json_integer_value(json_array_get(list, i)) == status)
            return true;
    return false;
}

static bool holds_one(const json_t *p, int status, const json_t *doc)
{
    const json_t *list = cm_json_arr(p, "status");
    const char *pointer = cm_json_str(p, "pointer");
    if (list && !has_status(list, status))
        return false;
    if (!pointer)
        return list != NULL;
    const json_t *v = rcp_pointer(doc, pointer);
    const json_t *equals = json_object_get(p, "equals"), *in = cm_json_arr(p, "in");
    const char *begins = cm_json_str(p, "begins");
    if (begins)
        return json_is_string(v) && strncmp(json_string_value(v), begins, strlen(begins)) == 0;
    if (equals)
        return v && json_equal(v, equals);
    for (size_t i = 0; i < json_array_size(in); i++)
        if (v && json_equal(v, json_array_get(in, i)))
            return true;
    return !in && cm_json_bool(p, "exists", true) == (v && !json_is_null(v));
}

bool rcp_holds(const json_t *predicate, int status, const json_t *doc)
{
    if (!json_is_array(predicate))
        return json_is_object(predicate) && holds_one(predicate, status, doc);
    for (size_t i = 0; i < json_array_size(predicate); i++)
        if (holds_one(json_array_get(predicate, i), status, doc))
            return true;
    return false;
}

const json_t *rcp_rule(const json_t *recipe, const json_t *step, const char *name)
{
    const json_t *own = json_object_get(step, name);
    return own ? own : json_object_get(recipe, name);
}

/* ---- bodies -------------------------------------------------------------------------------- */

static char *trimmed(const char *text, size_t len)
{
    while (len > 0 && strchr(" \t\r\n", text[len - 1]))
        len--;
    size_t from = 0;
    while (from < len && strchr(" \t\r\n", text[from]))
        from++;
    char *out = cm_strndup(text + from, len - from);
    cm_utf8_fix(out);
    return out;
}

int rcp_reply_parse(const json_t *recipe, const json_t *step, const struct rcp_reply *reply,
                    json_t **ret, struct cm_err *err)
{
    const json_t *form = rcp_rule(recipe, step, "reply");
    CM_AUTO_STR text = trimmed(reply->body, reply->body_len);
    *ret = NULL;
    if (json_is_string(form) && strcmp(json_string_value(form), "text") == 0) {
        *ret = json_string(text);
        return 0;
    }
    if (text[0] == '\0')
        return 0;
    if (cm_json_parse_lax(reply->body, reply->body_len, ret, err) == 0)
        return 0;
    /* Proxies answer errors with pages of their own: the status says enough then. */
    if (reply->status < 200 || reply->status > 299) {
        cm_err_fini(err);
        return 0;
    }
    return cm_wrap(err, CM_EPEER, "the provider's reply is no JSON");
}

static const json_t *said(const json_t *rule, const char *name, const json_t *doc)
{
    const json_t *pointers = json_object_get(rule, name);
    if (json_is_string(pointers))
        return rcp_pointer(doc, json_string_value(pointers));
    for (size_t i = 0; i < json_array_size(pointers); i++) {
        const json_t *v = rcp_pointer(doc, json_string_value(json_array_get(pointers, i)));
        if (v && !json_is_null(v))
            return v;
    }
    return NULL;
}

static int code_of(int status)
{
    if (status == 401 || status == 403)
        return CM_EDENIED;
    return status == 404 ? CM_ENOENT : CM_EPEER;
}

static enum cm_retry retry_of(int status)
{
    if (status == 401 || status == 403 || status == 404)
        return CM_RETRY_CONFIGURATION;
    return status == 429 || status >= 500 ? CM_RETRY_TRANSIENT : CM_RETRY_PERMANENT;
}

int rcp_reply_fail(const struct rcp_vars *vars, const json_t *step, const char *what,
                   const struct rcp_reply *reply, const json_t *doc, struct cm_err *err)
{
    const json_t *rule = rcp_rule(vars->recipe, step, "error");
    char *text = rcp_scalar(said(rule, "text", doc)), *code = rcp_scalar(said(rule, "code", doc));
    if (!text && json_is_string(doc))
        text = cm_strdup(json_string_value(doc));
    int rc = cm_fail(err, code_of(reply->status), "%s: the provider answered status %d", what,
                     reply->status);
    if (text || code) {
        char *words = cm_asprintf("%s%s%s", text ? text : "", text && code ? ", code " : "",
                                  code ? code : "");
        rcp_scrub(words, vars);
        for (char *p = words; *p; p++)
            if ((unsigned char)*p < 0x20 || *p == 0x7f)
                *p = ' ';
        if (strlen(words) > SAID_MAX)
            words[SAID_MAX] = '\0';
        cm_utf8_trim(words);
        if (err)
            cm_err_cause(err, "%s", words);
        cm_free(words);
    }
    if (err)
        err->retry = retry_of(reply->status);
    if (err && (reply->status == 401 || reply->status == 403))
        cm_err_hint(err, "check the credentials of the account and what they are allowed to do");
    cm_free(text);
    cm_free(code);
    return rc;
}

void rcp_save(const json_t *save, const json_t *doc, json_t *obj)
{
    const char *key;
    json_t *pointer;
    json_object_foreach((json_t *)(uintptr_t)save, key, pointer)
    {
        const json_t *v = rcp_pointer(doc, json_string_value(pointer));
        const char *name = strncmp(key, "record.", 7) == 0 ? key + 7 : key;
        if (v && !json_is_null(v))
            json_object_set_new(obj, name, json_deep_copy(v));
    }
}

/* ---- lists --------------------------------------------------------------------------------- */

char *rcp_unquote(const char *text)
{
    size_t len = strlen(text);
    if (len < 2 || text[0] != '"' || text[len - 1] != '"')
        return cm_strdup(text);
    struct cm_buf out;
    bool inside = false;
    cm_buf_init(&out, len + 1);
    for (const char *p = text; *p; p++) {
        if (*p == '"')
            inside = !inside;
        else if (inside && *p == '\\' && (p[1] == '"' || p[1] == '\\'))
            cm_buf_putc(&out, *++p);
        else if (inside)
            cm_buf_putc(&out, *p);
        else if (*p != ' ')
            break; /* not character-strings after all */
    }
    return cm_buf_take(&out, NULL);
}

static int fits(const json_t *where, const json_t *item, const struct rcp_vars *vars, bool *ret,
                struct cm_err *err)
{
    const char *pointer;
    json_t *want;
    *ret = true;
    json_object_foreach((json_t *)(uintptr_t)where, pointer, want)
    {
        json_t *value;
        int rc = rcp_value(want, vars, &value, err);
        if (rc != 0)
            return rc < 0 ? rc : cm_fail(err, CM_EINVAL, "where %s has no value", pointer);
        char *a = rcp_scalar(value), *b = rcp_scalar(rcp_pointer(item, pointer));
        json_decref(value);
        *ret = *ret && a && b && strcasecmp(a, b) == 0;
        cm_free(a);
        cm_free(b);
    }
    return 0;
}

static void take_item(const json_t *step, const json_t *item, json_t *ret)
{
    const char *value = cm_json_str_or(step, "value", ""), *id = cm_json_str(step, "id");
    const json_t *v = rcp_pointer(item, value);
    json_t *one = json_pack("{s:O}", "item", item);
    if (json_is_string(v)) {
        CM_AUTO_STR text = rcp_unquote(json_string_value(v));
        cm_json_set_str(one, "value", text);
    }
    v = id ? rcp_pointer(item, id) : NULL;
    if (v)
        json_object_set_new(one, "id", json_deep_copy(v));
    json_array_append_new(ret, one);
}

/* `inner`: the wanted values are in a list inside each item. */
static void take_inner(const json_t *step, const json_t *item, const char *inner, json_t *ret)
{
    const json_t *list = rcp_pointer(item, inner);
    for (size_t i = 0; i < json_array_size(list) && json_array_size(ret) <= RCP_ITEMS_MAX; i++)
        take_item(step, json_array_get(list, i), ret);
}

int rcp_items(const json_t *step, const json_t *doc, const struct rcp_vars *vars, json_t *ret,
              struct cm_err *err)
{
    const json_t *list = rcp_pointer(doc, cm_json_str_or(step, "items", ""));
    const char *inner = cm_json_str(step, "inner");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        bool wanted;
        int rc = fits(json_object_get(step, "where"), item, vars, &wanted, err);
        if (rc < 0)
            return rc;
        if (wanted && inner)
            take_inner(step, item, inner, ret);
        else if (wanted)
            take_item(step, item, ret);
        if (json_array_size(ret) > RCP_ITEMS_MAX)
            return cm_fail(err, CM_ELIMIT, "the provider lists more than %d records or zones",
                           RCP_ITEMS_MAX);
    }
    return 0;
}
