/* RFC 8785 canonical JSON for the integer-only documents that are signed. */
#include "base/core/json.h"

#include <stdlib.h>
#include <string.h>

#include "base/core/json_text.h"
#include "base/core/mem.h"

#define MEMBERS_USUAL 48 /* sorted without an allocation */

struct member {
    const char *key;
    size_t len;
    const json_t *value;
};

static int put_value(const json_t *v, unsigned depth, struct cm_buf *out, struct cm_err *err);

/* Section 3.2.3: order by UTF-16 code units.  UTF-8 bytes give code point order, which differs only
 * where U+E000..U+FFFF (lead 0xEE, 0xEF) meets U+10000.. (lead 0xF0..), a surrogate in UTF-16. */
static int compare_members(const void *pa, const void *pb)
{
    const unsigned char *a = (const unsigned char *)((const struct member *)pa)->key;
    const unsigned char *b = (const unsigned char *)((const struct member *)pb)->key;
    while (*a && *a == *b) {
        a++;
        b++;
    }
    if (*a >= 0xee && *b >= 0xee && (*a >= 0xf0) != (*b >= 0xf0))
        return *a >= 0xf0 ? -1 : 1;
    return (int)*a - (int)*b;
}

/* A few are sorted faster by hand than by handing each comparison to qsort(). */
static void sort_members(struct member *member, size_t n)
{
    if (n > MEMBERS_USUAL) {
        qsort(member, n, sizeof(*member), compare_members);
        return;
    }
    for (size_t i = 1; i < n; i++) {
        struct member one = member[i];
        size_t at = i;
        for (; at > 0 && compare_members(&member[at - 1], &one) > 0; at--)
            member[at] = member[at - 1];
        member[at] = one;
    }
}

/* Sorts and writes them. */
static int put_members(struct member *member, size_t n, struct cm_json_extra *extra, unsigned depth,
                       struct cm_buf *out, struct cm_err *err)
{
    int rc = 0;
    sort_members(member, n);
    cm_json_add(out, "{", 1);
    for (size_t i = 0; i < n && rc == 0; i++) {
        if (i > 0)
            cm_json_add(out, ",", 1);
        if (extra && member[i].key == extra->key)
            extra->at = out->len;
        cm_json_put_string(out, member[i].key, member[i].len);
        cm_json_add(out, ":", 1);
        rc = put_value(member[i].value, depth, out, err);
    }
    cm_json_add(out, "}", 1);
    return rc;
}

/* keep NULL: every member; extra: one more, or NULL. */
static int put_object(const json_t *obj, bool (*keep)(const char *key), struct cm_json_extra *extra,
                      unsigned depth, struct cm_buf *out, struct cm_err *err)
{
    size_t count = json_object_size(obj) + 1, n = 0;
    struct member few[MEMBERS_USUAL];
    struct member *member = count <= MEMBERS_USUAL ? few : cm_calloc(count, sizeof(*member));
    const char *key;
    json_t *value;
    size_t len;
    /* jansson's iterator takes a non-const object but does not change it. */
    json_object_keylen_foreach((json_t *)(uintptr_t)obj, key, len, value)
    {
        if (!keep || keep(key))
            member[n++] = (struct member){.key = key, .len = len, .value = value};
    }
    if (extra)
        member[n++] =
            (struct member){.key = extra->key, .len = strlen(extra->key), .value = extra->value};
    int rc = put_members(member, n, extra, depth, out, err);
    if (member != few)
        cm_free(member);
    return rc;
}

static int put_array(const json_t *arr, unsigned depth, struct cm_buf *out, struct cm_err *err)
{
    int rc = 0;
    cm_json_add(out, "[", 1);
    for (size_t i = 0; i < json_array_size(arr) && rc == 0; i++) {
        if (i > 0)
            cm_json_add(out, ",", 1);
        rc = put_value(json_array_get(arr, i), depth, out, err);
    }
    cm_json_add(out, "]", 1);
    return rc;
}

static int put_integer(const json_t *v, struct cm_buf *out, struct cm_err *err)
{
    json_int_t n = json_integer_value(v);
    if (n > CM_JSON_INT_MAX || n < -CM_JSON_INT_MAX)
        return cm_fail(err, CM_EINVAL, "canonical JSON: an integer is outside +-(2^53-1)");
    cm_json_put_integer(out, n);
    return 0;
}

static int put_value(const json_t *v, unsigned depth, struct cm_buf *out, struct cm_err *err)
{
    if (!v)
        return cm_fail(err, CM_EINVAL, "canonical JSON: no value");
    if (depth >= CM_JSON_DEPTH_MAX && (json_is_object(v) || json_is_array(v)))
        return cm_fail(err, CM_ELIMIT, "canonical JSON: nested deeper than %d levels",
                       CM_JSON_DEPTH_MAX);
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return put_object(v, NULL, NULL, depth + 1, out, err);
    case JSON_ARRAY:
        return put_array(v, depth + 1, out, err);
    case JSON_STRING:
        cm_json_put_string(out, json_string_value(v), json_string_length(v));
        return 0;
    case JSON_INTEGER:
        return put_integer(v, out, err);
    case JSON_REAL:
        return cm_fail(err, CM_EINVAL, "canonical JSON: only integers are allowed as numbers");
    case JSON_TRUE:
        cm_buf_puts(out, "true");
        return 0;
    case JSON_FALSE:
        cm_buf_puts(out, "false");
        return 0;
    case JSON_NULL:
        cm_buf_puts(out, "null");
        return 0;
    }
    return cm_fail(err, CM_EINVAL, "canonical JSON: unknown kind of value");
}

static int finish(int rc, const struct cm_buf *out, struct cm_err *err)
{
    if (rc < 0)
        return rc;
    if (out->failed)
        return cm_fail(err, CM_ELIMIT, "canonical JSON: longer than %zu bytes", out->max);
    return 0;
}

int cm_json_canonical(const json_t *v, struct cm_buf *out, struct cm_err *err)
{
    return finish(put_value(v, 0, out, err), out, err);
}

int cm_json_canonical_view(const json_t *obj, bool (*keep)(const char *key),
                           struct cm_json_extra *extra, struct cm_buf *out, struct cm_err *err)
{
    return finish(put_object(obj, keep, extra, 1, out, err), out, err);
}
