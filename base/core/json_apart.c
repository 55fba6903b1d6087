/* Texts that are JSON but hold what nobody here reads: judged by their grammar alone and taken
 * apart, so that the readable parts can be read. */
#include "base/core/json.h"
#include "base/core/json_text.h"
#include "base/core/mem.h"
#include "base/core/utf8.h"

struct cursor {
    const char *at, *end;
};

static void skip_blanks(struct cursor *in)
{
    in->at = cm_json_blanks(in->at, in->end);
}

static bool take(struct cursor *in, char c)
{
    skip_blanks(in);
    if (in->at == in->end || *in->at != c)
        return false;
    in->at++;
    return true;
}

/* ---- the grammar (RFC 8259) --------------------------------------------------------------- */

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* Behind the backslash; any four hex digits will do. */
static bool pass_escape(struct cursor *in)
{
    if (in->at == in->end || !*in->at || !strchr("\"\\/bfnrtu", *in->at))
        return false;
    if (*in->at++ != 'u')
        return true;
    for (int i = 0; i < 4; i++, in->at++)
        if (in->at == in->end || !is_hex(*in->at))
            return false;
    return true;
}

static bool pass_string(struct cursor *in)
{
    bool high = false;
    const char *begin = in->at;
    if (!take(in, '"'))
        return false;
    for (;;) {
        in->at += cm_json_plain(in->at, (size_t)(in->end - in->at), &high);
        if (in->at == in->end)
            return false;
        char c = *in->at++;
        if (c == '"')
            return !high || cm_utf8_ok(begin, (size_t)(in->at - begin));
        if (c != '\\' || !pass_escape(in))
            return false;
    }
}

static bool pass_digits(struct cursor *in)
{
    const char *begin = in->at;
    while (in->at < in->end && *in->at >= '0' && *in->at <= '9')
        in->at++;
    return in->at > begin;
}

static bool pass_number(struct cursor *in)
{
    in->at += in->at < in->end && *in->at == '-';
    bool zero = in->at < in->end && *in->at == '0';
    const char *begin = in->at;
    if (!pass_digits(in) || (zero && in->at > begin + 1))
        return false;
    if (in->at < in->end && *in->at == '.') {
        in->at++;
        if (!pass_digits(in))
            return false;
    }
    if (in->at < in->end && (*in->at == 'e' || *in->at == 'E')) {
        in->at++;
        in->at += in->at < in->end && (*in->at == '+' || *in->at == '-');
        return pass_digits(in);
    }
    return true;
}

static bool pass_word(struct cursor *in)
{
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < 3; i++) {
        size_t len = strlen(words[i]);
        if ((size_t)(in->end - in->at) >= len && memcmp(in->at, words[i], len) == 0) {
            in->at += len;
            return true;
        }
    }
    return false;
}

static bool pass_name(struct cursor *in)
{
    skip_blanks(in);
    return pass_string(in) && take(in, ':');
}

/* Behind a value: closes what ends here, up to the next value.  False: that is wrong; *over: there
 * is none. */
static bool pass_on(struct cursor *in, struct cm_buf *open, bool *over)
{
    while (open->len > 0) {
        bool object = open->data[open->len - 1] == '{';
        if (take(in, ','))
            return !object || pass_name(in);
        if (!take(in, object ? '}' : ']'))
            return false;
        open->len--;
    }
    *over = true;
    return true;
}

/* A value that begins here, brackets up to the first one inside of them. */
static bool pass_value(struct cursor *in, struct cm_buf *open, bool *inside)
{
    skip_blanks(in);
    *inside = false;
    if (in->at == in->end)
        return false;
    char c = *in->at;
    if (c == '"')
        return pass_string(in);
    if (c != '{' && c != '[')
        return c == '-' || (c >= '0' && c <= '9') ? pass_number(in) : pass_word(in);
    in->at++;
    if (take(in, c == '{' ? '}' : ']'))
        return true;
    *inside = true;
    cm_buf_putc(open, c);
    return c == '[' || pass_name(in);
}

bool cm_json_wellformed(const char *text, size_t len)
{
    struct cursor in = {.at = text, .end = text + len};
    struct cm_buf open; /* the brackets around: a text is as deep as it likes */
    bool over = false, inside = false, good = true;
    cm_buf_init(&open, len + 1);
    while (good && !over)
        good = pass_value(&in, &open, &inside) && (inside || pass_on(&in, &open, &over));
    cm_buf_fini(&open);
    skip_blanks(&in);
    return good && in.at == in.end;
}

/* ---- taking apart ------------------------------------------------------------------------- */

static void skip_string(struct cursor *in)
{
    bool high = false;
    for (in->at++; *in->at != '"'; in->at += *in->at == '\\' ? 2 : 0)
        in->at += cm_json_plain(in->at, (size_t)(in->end - in->at), &high);
    in->at++;
}

/* Up to the comma or the bracket that ends a part. */
static void skip_part(struct cursor *in)
{
    size_t open = 0;
    for (;; in->at++) {
        char c = *in->at;
        if (open == 0 && (c == ',' || c == ']' || c == '}'))
            return;
        open += c == '{' || c == '[';
        open -= c == '}' || c == ']';
        if (c == '"') {
            skip_string(in);
            in->at--;
        }
    }
}

static struct cm_json_span trimmed(const char *from, const char *to)
{
    while (to > from && (to[-1] == ' ' || to[-1] == '\n' || to[-1] == '\t' || to[-1] == '\r'))
        to--;
    return (struct cm_json_span){.at = from, .len = (size_t)(to - from)};
}

bool cm_json_parts(const char *text, size_t len, size_t max, struct cm_json_span **ret,
                   size_t *ret_count)
{
    struct cursor in = {.at = text, .end = text + len};
    struct cm_json_span *span = NULL;
    size_t count = 0, size = 0;
    *ret = NULL;
    *ret_count = 0;
    if (!cm_json_wellformed(text, len) || (!take(&in, '{') && !take(&in, '[')))
        return false;
    while (!take(&in, '}') && !take(&in, ']')) {
        if (count == max) {
            cm_free(span);
            return false;
        }
        if (count == size) {
            size = size ? 2 * size : 16;
            span = cm_realloc(span, size * sizeof(*span));
        }
        skip_blanks(&in);
        const char *from = in.at;
        skip_part(&in);
        span[count++] = trimmed(from, in.at);
        in.at += *in.at == ',';
    }
    *ret = span;
    *ret_count = count;
    return true;
}
