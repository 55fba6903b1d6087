/* Parsing JSON from outside with limits, and small getters and setters. */
#include "base/core/json.h"

#include <stdlib.h>
#include <string.h>

#include "base/core/clock.h"
#include "base/core/json_text.h"
#include "base/core/mem.h"
#include "base/core/utf8.h"

void cm_json_free(json_t **v)
{
    json_decref(*v);
    *v = NULL;
}

/* Linear pre-scan: jansson recurses up to 2048 levels before it refuses. */
static bool too_deep(const char *text, size_t len)
{
    size_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            if (++depth > CM_JSON_DEPTH_MAX)
                return true;
        } else if ((c == ']' || c == '}') && depth > 0) {
            depth--;
        }
    }
    return false;
}

/* Recursion is bounded by the pre-scan. */
static int check_numbers(const json_t *v, bool allow_real, struct cm_err *err)
{
    int rc = 0;
    if (json_is_real(v) && !allow_real)
        return cm_fail(err, CM_EMALF, "JSON: fractions and exponents are not allowed here");
    if (json_is_integer(v)) {
        json_int_t n = json_integer_value(v);
        if (n > CM_JSON_INT_MAX || n < -CM_JSON_INT_MAX)
            return cm_fail(err, CM_EMALF, "JSON: an integer is outside +-(2^53-1)");
    }
    if (json_is_array(v)) {
        for (size_t i = 0; i < json_array_size(v) && rc == 0; i++)
            rc = check_numbers(json_array_get(v, i), allow_real, err);
    } else if (json_is_object(v)) {
        const char *key;
        json_t *member;
        json_object_foreach((json_t *)(uintptr_t)v, key, member)
        {
            rc = check_numbers(member, allow_real, err);
            if (rc < 0)
                break;
        }
    }
    return rc;
}

static int parse(const char *text, size_t len, bool allow_real, json_t **ret, struct cm_err *err)
{
    *ret = cm_json_read(text, len);
    if (*ret)
        return 0;
    /* jansson takes a NUL byte behind the value for the end and ignores what follows. */
    if (len > 0 && memchr(text, 0, len))
        return cm_fail(err, CM_EMALF, "JSON does not parse: it holds a NUL byte");
    if (too_deep(text, len))
        return cm_fail(err, CM_ELIMIT, "JSON: nested deeper than %d levels", CM_JSON_DEPTH_MAX);
    json_error_t why;
    json_t *v = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
    if (!v) {
        /* jansson quotes the input behind "near": it may be a secret, so it is cut off. */
        char *near = strstr(why.text, " near ");
        if (near)
            *near = '\0';
        return cm_fail(err, CM_EMALF, "JSON does not parse (line %d, column %d): %s", why.line,
                       why.column, why.text);
    }
    int rc = check_numbers(v, allow_real, err);
    if (rc < 0) {
        json_decref(v);
        return rc;
    }
    *ret = v;
    return 0;
}

int cm_json_parse(const char *text, size_t len, json_t **ret, struct cm_err *err)
{
    return parse(text, len, false, ret, err);
}

int cm_json_parse_lax(const char *text, size_t len, json_t **ret, struct cm_err *err)
{
    return parse(text, len, true, ret, err);
}

const char *cm_json_str(const json_t *obj, const char *key)
{
    return json_string_value(json_object_get(obj, key));
}

const char *cm_json_str_or(const json_t *obj, const char *key, const char *fallback)
{
    const char *text = cm_json_str(obj, key);
    return text ? text : fallback;
}

int64_t cm_json_int(const json_t *obj, const char *key, int64_t fallback)
{
    const json_t *v = json_object_get(obj, key);
    return json_is_integer(v) ? (int64_t)json_integer_value(v) : fallback;
}

bool cm_json_bool(const json_t *obj, const char *key, bool fallback)
{
    const json_t *v = json_object_get(obj, key);
    return json_is_boolean(v) ? json_is_true(v) : fallback;
}

json_t *cm_json_obj(const json_t *obj, const char *key)
{
    json_t *v = json_object_get(obj, key);
    return json_is_object(v) ? v : NULL;
}

json_t *cm_json_arr(const json_t *obj, const char *key)
{
    json_t *v = json_object_get(obj, key);
    return json_is_array(v) ? v : NULL;
}

int64_t cm_json_time(const json_t *obj, const char *key, int64_t fallback)
{
    int64_t ms;
    const char *text = cm_json_str(obj, key);
    return text && cm_time_parse(text, &ms) == 0 ? ms : fallback;
}

bool cm_json_has_str(const json_t *arr, const char *text)
{
    for (size_t i = 0; i < json_array_size(arr); i++) {
        const char *item = json_string_value(json_array_get(arr, i));
        if (item && strcmp(item, text) == 0)
            return true;
    }
    return false;
}

void cm_json_set(json_t *obj, const char *key, json_t *take)
{
    if (!take)
        json_object_del(obj, key);
    else
        CM_BUG_ON(json_object_set_new(obj, key, take) != 0);
}

/* A text that others hold stays as it is; the depth is the parser's (or of what we made). */
static void wipe(json_t *value)
{
    const char *key;
    json_t *member;
    size_t i;
    if (!value || value->refcount != 1)
        return;
    if (json_is_string(value))
        cm_wipe((char *)(uintptr_t)json_string_value(value), json_string_length(value));
    json_object_foreach(value, key, member)
    {
        wipe(member);
    }
    json_array_foreach(value, i, member)
    {
        wipe(member);
    }
}

void cm_json_free_secret(json_t *take)
{
    wipe(take);
    json_decref(take);
}

void cm_json_set_str(json_t *obj, const char *key, const char *value)
{
    if (!value) {
        json_object_del(obj, key);
        return;
    }
    if (cm_utf8_ok(value, strlen(value))) {
        cm_json_set(obj, key, json_string_nocheck(value));
        return;
    }
    CM_AUTO_STR fixed = cm_strdup(value);
    cm_utf8_fix(fixed);
    cm_json_set(obj, key, json_string_nocheck(fixed));
}

void cm_json_set_int(json_t *obj, const char *key, int64_t value)
{
    cm_json_set(obj, key, json_integer(value));
}

void cm_json_set_bool(json_t *obj, const char *key, bool value)
{
    cm_json_set(obj, key, json_boolean(value));
}

void cm_json_set_time(json_t *obj, const char *key, int64_t ms)
{
    if (ms == 0) {
        json_object_del(obj, key);
        return;
    }
    char text[CM_TIME_TEXT];
    cm_time_format(ms, text);
    cm_json_set_str(obj, key, text);
}
