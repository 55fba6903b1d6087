/* Writing JSON: strings in runs, everything into one buffer; byte for byte as jansson writes it. */
#include <stdlib.h>

#include "base/core/json.h"
#include "base/core/json_text.h"
#include "base/core/mem.h"

#define DEPTH_MAX 256 /* beyond, jansson writes (or refuses) the rest */
#define TEXT_MAX  (SIZE_MAX / 4)
#define TEXT_SIZE 512 /* room for most values without growing */

static void put_escape(struct cm_buf *out, unsigned char c, const char *hex)
{
    static const char short_form[] = "btn?fr"; /* 0x08..0x0d */
    if (c == '"' || c == '\\')
        cm_json_add(out, (const char[]){'\\', (char)c}, 2);
    else if (c >= 0x08 && c <= 0x0d && c != 0x0b)
        cm_json_add(out, (const char[]){'\\', short_form[c - 0x08]}, 2);
    else
        cm_json_add(out, (const char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
}

static void put_string(struct cm_buf *out, const char *text, size_t len, const char *hex)
{
    bool high = false;
    cm_json_add(out, "\"", 1);
    for (size_t at = 0; at < len; at++) {
        size_t run = cm_json_plain(text + at, len - at, &high);
        cm_json_add(out, text + at, run);
        at += run;
        if (at < len)
            put_escape(out, (unsigned char)text[at], hex);
    }
    cm_json_add(out, "\"", 1);
}

void cm_json_put_string(struct cm_buf *out, const char *text, size_t len)
{
    put_string(out, text, len, "0123456789abcdef");
}

void cm_json_put_integer(struct cm_buf *out, int64_t value)
{
    char text[24], *at = text + sizeof(text);
    uint64_t n = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do {
        *--at = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    if (value < 0)
        *--at = '-';
    cm_json_add(out, at, (size_t)(text + sizeof(text) - at));
}

/* Fractions, and what is nested too deeply: NULL (a loop, no UTF-8) is a bug of the caller. */
static void put_slow(struct cm_buf *out, const json_t *v)
{
    char *text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
    CM_BUG_ON(!text);
    cm_buf_puts(out, text);
    free(text);
}

static void put(struct cm_buf *out, const json_t *v, unsigned depth);

static void put_array(struct cm_buf *out, const json_t *v, unsigned depth)
{
    cm_json_add(out, "[", 1);
    for (size_t i = 0; i < json_array_size(v); i++) {
        if (i > 0)
            cm_json_add(out, ",", 1);
        put(out, json_array_get(v, i), depth);
    }
    cm_json_add(out, "]", 1);
}

static void put_object(struct cm_buf *out, const json_t *v, unsigned depth)
{
    const char *key;
    json_t *member;
    size_t len, n = 0;
    cm_json_add(out, "{", 1);
    json_object_keylen_foreach((json_t *)(uintptr_t)v, key, len, member)
    {
        if (n++ > 0)
            cm_json_add(out, ",", 1);
        put_string(out, key, len, "0123456789ABCDEF");
        cm_json_add(out, ":", 1);
        put(out, member, depth);
    }
    cm_json_add(out, "}", 1);
}

static void put(struct cm_buf *out, const json_t *v, unsigned depth)
{
    switch (json_typeof(v)) {
    case JSON_OBJECT:
    case JSON_ARRAY:
        if (depth == DEPTH_MAX)
            put_slow(out, v);
        else if (json_is_array(v))
            put_array(out, v, depth + 1);
        else
            put_object(out, v, depth + 1);
        break;
    case JSON_STRING:
        put_string(out, json_string_value(v), json_string_length(v), "0123456789ABCDEF");
        break;
    case JSON_INTEGER:
        cm_json_put_integer(out, json_integer_value(v));
        break;
    case JSON_REAL:
        put_slow(out, v);
        break;
    case JSON_TRUE:
        cm_buf_add(out, "true", 4);
        break;
    case JSON_FALSE:
        cm_buf_add(out, "false", 5);
        break;
    case JSON_NULL:
        cm_buf_add(out, "null", 4);
        break;
    }
}

void cm_json_put(const json_t *v, struct cm_buf *out)
{
    CM_BUG_ON(!v);
    put(out, v, 0);
}

char *cm_json_dump(const json_t *v, size_t *ret_len)
{
    struct cm_buf out;
    cm_buf_init(&out, TEXT_MAX);
    cm_buf_reserve(&out, TEXT_SIZE);
    cm_json_put(v, &out);
    return cm_buf_take(&out, ret_len);
}
