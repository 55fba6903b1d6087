/* Reading the plain subset of JSON at the speed of its strings: one pass, one allocation a value.
 */
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/core/json.h"
#include "base/core/json_text.h"
#include "base/core/mem.h"
#include "base/core/utf8.h"

#define DIGITS_MAX 16 /* of 2^53-1 */

struct reader {
    const char *at, *end;
    unsigned depth;
    struct cm_buf text; /* of a string with escapes */
};

static json_t *read_value(struct reader *in);

/* ---- strings ------------------------------------------------------------------------------ */

static size_t plain_bytes(const char *text, size_t len, bool *high)
{
    size_t at = 0;
    for (; at < len; at++) {
        unsigned char c = (unsigned char)text[at];
        if (c < 0x20 || c == '"' || c == '\\')
            break;
        *high = *high || c >= 0x80;
    }
    return at;
}

#ifdef __SSE2__

#define STEP 16

/* Which of the 16 bytes need care; *high: which are above 0x7f. */
static unsigned special(__m128i bytes, unsigned *high)
{
    __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
    __m128i quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'));
    __m128i slash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));
    *high = (unsigned)_mm_movemask_epi8(bytes);
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(control, _mm_or_si128(quote, slash)));
}

static __m128i load16(const char *text)
{
    return _mm_loadu_si128((const __m128i *)(const void *)text);
}

/* The first and the last `half` (8 or 4) bytes, which may overlap, side by side; 4: then zeros. */
static __m128i load_ends(const char *text, size_t len, size_t half)
{
    uint64_t first = 0, last = 0;
    if (half == 8) {
        memcpy(&first, text, 8);
        memcpy(&last, text + len - 8, 8);
        return _mm_set_epi64x((int64_t)last, (int64_t)first);
    }
    memcpy(&first, text, 4);
    memcpy(&last, text + len - 4, 4);
    return _mm_set_epi64x(0, (int64_t)(first | last << 32));
}

/* From the masks of load_ends(): how many bytes are plain. */
static size_t plain_until(unsigned found, unsigned above, size_t half, size_t len, bool *high)
{
    unsigned whole = (1u << 2 * half) - 1;
    found &= whole;
    unsigned first = found ? (unsigned)__builtin_ctz(found) : (unsigned)(2 * half);
    *high = *high || (above & whole & ((1u << first) - 1));
    return !found ? len : first < half ? first : len + first - 2 * half;
}

size_t cm_json_plain(const char *text, size_t len, bool *high)
{
    size_t at = 0;
    unsigned seen = 0, above = 0, found;
    for (; at + STEP <= len; at += STEP) {
        found = special(load16(text + at), &above);
        if (found) {
            unsigned first = (unsigned)__builtin_ctz(found);
            *high = *high || seen || (above & ((1u << first) - 1));
            return at + first;
        }
        seen |= above;
    }
    *high = *high || seen != 0;
    size_t rest = len - at, half = rest >= 8 ? 8 : 4;
    if (rest >= 4) {
        found = special(load_ends(text + at, rest, half), &above);
        return at + plain_until(found, above, half, rest, high);
    }
    return at + plain_bytes(text + at, rest, high);
}

#else

#define STEP  8
#define ONES  UINT64_C(0x0101010101010101)
#define HIGHS UINT64_C(0x8080808080808080)

/* Marks the lowest byte that is the given one, and perhaps others above it. */
static uint64_t has(uint64_t word, unsigned char byte)
{
    uint64_t x = word ^ (ONES * byte);
    return (x - ONES) & ~x & HIGHS;
}

/* Is one of the eight bytes in need of care?  *high: is one above 0x7f? */
static unsigned special(const char *text, unsigned *high)
{
    uint64_t word;
    memcpy(&word, text, sizeof(word));
    uint64_t control = (word - ONES * 0x20) & ~word & HIGHS;
    *high = (word & HIGHS) != 0;
    return (control | has(word, '"') | has(word, '\\')) != 0;
}

size_t cm_json_plain(const char *text, size_t len, bool *high)
{
    size_t at = 0;
    unsigned seen = 0, above = 0;
    for (; at + STEP <= len && !special(text + at, &above); at += STEP)
        seen |= above;
    *high = *high || seen != 0;
    return at + plain_bytes(text + at, len - at, high);
}

#endif

/* Four hex digits; negative when they are none. */
static int32_t hex4(struct reader *in)
{
    int32_t value = 0;
    if (in->end - in->at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = *in->at++;
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

static void put_utf8(struct cm_buf *out, int32_t c)
{
    char text[4];
    size_t len = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = len; i-- > 1; c >>= 6)
        text[i] = (char)(0x80 | (c & 0x3f));
    text[0] = (char)(lead[len] | c);
    cm_buf_add(out, text, len);
}

/* Behind "\u"; a surrogate must be one half of a pair (RFC 8259 section 7). */
static bool read_unicode(struct reader *in)
{
    int32_t c = hex4(in);
    if (c <= 0 || (c >= 0xdc00 && c <= 0xdfff))
        return false;
    if (c >= 0xd800 && c <= 0xdbff) {
        if (in->end - in->at < 6 || in->at[0] != '\\' || in->at[1] != 'u')
            return false;
        in->at += 2;
        int32_t low = hex4(in);
        if (low < 0xdc00 || low > 0xdfff)
            return false;
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    put_utf8(&in->text, c);
    return true;
}

static bool read_escape(struct reader *in)
{
    static const char names[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
    if (in->at == in->end)
        return false;
    char c = *in->at++;
    if (c == 'u')
        return read_unicode(in);
    const char *found = c ? strchr(names, c) : NULL;
    if (found)
        cm_json_add(&in->text, &means[found - names], 1);
    return found != NULL;
}

/* Behind the opening quote; the text stays valid until the next string is read. */
static bool read_string(struct reader *in, const char **ret, size_t *ret_len)
{
    bool high = false;
    size_t run = cm_json_plain(in->at, (size_t)(in->end - in->at), &high);
    const char *text = in->at;
    in->at += run;
    if (in->at == in->end)
        return false;
    if (*in->at == '"') {
        in->at++;
        *ret = text;
        *ret_len = run;
        return !high || cm_utf8_ok(text, run);
    }
    cm_buf_reset(&in->text);
    for (;;) {
        cm_json_add(&in->text, text, run);
        if (in->at == in->end)
            return false;
        char c = *in->at++;
        if (c == '"')
            break;
        if (c != '\\' || !read_escape(in))
            return false;
        text = in->at;
        run = cm_json_plain(text, (size_t)(in->end - text), &high);
        in->at += run;
    }
    *ret = cm_buf_str(&in->text);
    *ret_len = in->text.len;
    return !high || cm_utf8_ok(*ret, *ret_len);
}

/* ---- values ------------------------------------------------------------------------------- */

static void skip_blanks(struct reader *in)
{
    in->at = cm_json_blanks(in->at, in->end);
}

/* Takes the character when it comes next, blanks before it skipped. */
static bool take(struct reader *in, char c)
{
    skip_blanks(in);
    if (in->at == in->end || *in->at != c)
        return false;
    in->at++;
    return true;
}

static bool read_member(struct reader *in, json_t *obj)
{
    const char *key;
    size_t len;
    /* The key is in the text, or in the buffer that the value may use: copied then. */
    if (!take(in, '"') || !read_string(in, &key, &len))
        return false;
    char short_key[64];
    if (key == in->text.data) {
        if (len > sizeof(short_key))
            return false;
        key = memcpy(short_key, key, len);
    }
    json_t *value = take(in, ':') ? read_value(in) : NULL;
    size_t before = json_object_size(obj);
    return value && json_object_setn_new_nocheck(obj, key, len, value) == 0 &&
           json_object_size(obj) == before + 1; /* else it was there already */
}

static bool read_members(struct reader *in, json_t *obj)
{
    if (take(in, '}'))
        return true;
    do {
        if (!read_member(in, obj))
            return false;
    } while (take(in, ','));
    return take(in, '}');
}

static bool read_items(struct reader *in, json_t *arr)
{
    if (take(in, ']'))
        return true;
    do {
        if (json_array_append_new(arr, read_value(in)) != 0)
            return false;
    } while (take(in, ','));
    return take(in, ']');
}

static json_t *read_inner(struct reader *in, bool object)
{
    if (++in->depth > CM_JSON_DEPTH_MAX)
        return NULL;
    json_t *v = object ? json_object() : json_array();
    if (!(object ? read_members(in, v) : read_items(in, v))) {
        json_decref(v);
        v = NULL;
    }
    in->depth--;
    return v;
}

static json_t *read_integer(struct reader *in)
{
    bool minus = *in->at == '-';
    const char *first = in->at + minus;
    int64_t n = 0;
    for (in->at = first; in->at < in->end && *in->at >= '0' && *in->at <= '9'; in->at++) {
        if (in->at - first >= DIGITS_MAX)
            return NULL;
        n = n * 10 + (*in->at - '0');
    }
    bool more = in->at < in->end && (*in->at == '.' || *in->at == 'e' || *in->at == 'E');
    if (in->at == first || (*first == '0' && in->at > first + 1) || more || n > CM_JSON_INT_MAX)
        return NULL;
    return json_integer(minus ? -n : n);
}

static json_t *read_word(struct reader *in, const char *word, json_t *value)
{
    size_t len = strlen(word);
    if ((size_t)(in->end - in->at) < len || memcmp(in->at, word, len) != 0)
        return NULL;
    in->at += len;
    return value; /* these three are never freed */
}

static json_t *read_value(struct reader *in)
{
    const char *text;
    size_t len;
    skip_blanks(in);
    if (in->at == in->end)
        return NULL;
    switch (*in->at) {
    case '"':
        in->at++;
        return read_string(in, &text, &len) ? json_stringn_nocheck(text, len) : NULL;
    case '{':
    case '[':
        return read_inner(in, *in->at++ == '{');
    case 't':
        return read_word(in, "true", json_true());
    case 'f':
        return read_word(in, "false", json_false());
    case 'n':
        return read_word(in, "null", json_null());
    default:
        return *in->at == '-' || (*in->at >= '0' && *in->at <= '9') ? read_integer(in) : NULL;
    }
}

json_t *cm_json_read(const char *text, size_t len)
{
    struct reader in = {.at = text, .end = text + len};
    cm_buf_init(&in.text, len + 1);
    json_t *v = len > 0 ? read_value(&in) : NULL;
    skip_blanks(&in);
    if (in.at != in.end) {
        json_decref(v);
        v = NULL;
    }
    cm_buf_fini(&in.text);
    return v;
}

/* ---- taking apart ------------------------------------------------------------------------- */

/* Behind the opening quote; what is inside, the value's own reader judges. */
static bool skip_string(struct reader *in)
{
    bool high = false;
    for (;;) {
        in->at += cm_json_plain(in->at, (size_t)(in->end - in->at), &high);
        if (in->at == in->end)
            return false;
        char c = *in->at++;
        if (c == '"')
            return true;
        if (c != '\\' || in->at == in->end)
            return false;
        in->at++;
    }
}

/* From an opening bracket to the one that closes it, as many levels as are allowed here. */
static bool skip_inner(struct reader *in)
{
    unsigned outer = in->depth;
    do {
        if (in->at == in->end)
            return false;
        char c = *in->at++;
        if (c == '"' && !skip_string(in))
            return false;
        in->depth += c == '{' || c == '[';
        in->depth -= c == '}' || c == ']';
        if (in->depth > CM_JSON_DEPTH_MAX)
            return false;
    } while (in->depth > outer);
    return true;
}

/* The text of the next value, which need not be one. */
static bool skip_value(struct reader *in, struct cm_json_span *ret)
{
    skip_blanks(in);
    ret->at = in->at;
    if (in->at < in->end && (*in->at == '{' || *in->at == '[')) {
        if (!skip_inner(in))
            return false;
    } else if (in->at < in->end && *in->at == '"') {
        in->at++;
        if (!skip_string(in))
            return false;
    } else {
        while (in->at < in->end && !strchr(",]} \n\t\r", *in->at)) /* a NUL ends it, too */
            in->at++;
    }
    ret->len = (size_t)(in->at - ret->at);
    return ret->len > 0;
}

struct spans {
    struct cm_json_span *span;
    size_t count, size, max;
    bool there;
};

static bool split_list(struct reader *in, struct spans *out)
{
    if (out->there || !take(in, '['))
        return false;
    out->there = true;
    in->depth++;
    if (!take(in, ']')) {
        do {
            if (out->count == out->max)
                return false;
            if (out->count == out->size) {
                out->size = out->size ? 2 * out->size : 64;
                out->span = cm_realloc(out->span, out->size * sizeof(*out->span));
            }
            if (!skip_value(in, &out->span[out->count++]))
                return false;
        } while (take(in, ','));
        if (!take(in, ']'))
            return false;
    }
    in->depth--;
    return true;
}

static bool split_member(struct reader *in, const char *list, struct spans *out, json_t *rest)
{
    struct cm_json_span value;
    bool high = false;
    if (!take(in, '"'))
        return false;
    const char *key = in->at;
    size_t len = cm_json_plain(key, (size_t)(in->end - key), &high);
    in->at += len;
    if (high || !take(in, '"') || key[len] != '"' || !take(in, ':'))
        return false;
    if (len == strlen(list) && memcmp(key, list, len) == 0)
        return split_list(in, out);
    json_t *v = skip_value(in, &value) ? cm_json_read(value.at, value.len) : NULL;
    size_t before = json_object_size(rest);
    return v && json_object_setn_new_nocheck(rest, key, len, v) == 0 &&
           json_object_size(rest) == before + 1;
}

static bool split_members(struct reader *in, const char *list, struct spans *out, json_t *rest)
{
    if (!take(in, '{'))
        return false;
    in->depth++;
    do {
        if (!split_member(in, list, out, rest))
            return false;
    } while (take(in, ','));
    bool closed = take(in, '}');
    skip_blanks(in);
    return closed && in->at == in->end && out->there;
}

bool cm_json_split(const char *text, size_t len, const char *list, size_t max,
                   struct cm_json_span **ret, size_t *ret_count, json_t **ret_rest)
{
    struct reader in = {.at = text, .end = text + len};
    struct spans out = {.max = max};
    json_t *rest = json_object();
    *ret = NULL;
    *ret_count = 0;
    *ret_rest = NULL;
    if (!split_members(&in, list, &out, rest)) {
        cm_free(out.span);
        json_decref(rest);
        return false;
    }
    *ret = out.span;
    *ret_count = out.count;
    *ret_rest = rest;
    return true;
}
