/* A strict little XML reader: what it does not know it refuses. */
#include "certmgr/dns/xml.h"

#include <string.h>

#include "base/core/json.h"
#include "base/core/mem.h"
#include "base/core/utf8.h"

#define NAME_MAX_LEN 64
#define TEXT_MAX     (64u << 10)

struct reader {
    const char *p, *end;
    size_t elements;
    struct cm_err *err;
};

static int bad(struct reader *r, const char *why)
{
    return cm_fail(r->err, CM_EMALF, "XML does not parse: %s", why);
}

static bool begins(const struct reader *r, const char *text)
{
    size_t len = strlen(text);
    return (size_t)(r->end - r->p) >= len && memcmp(r->p, text, len) == 0;
}

static void blanks(struct reader *r)
{
    while (r->p < r->end && strchr(" \t\r\n", *r->p))
        r->p++;
}

static bool name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("-_.:", c));
}

static int read_name(struct reader *r, char out[NAME_MAX_LEN])
{
    size_t n = 0;
    while (r->p < r->end && name_char(*r->p)) {
        if (n + 1 >= NAME_MAX_LEN)
            return bad(r, "a name is too long");
        out[n++] = *r->p++;
    }
    out[n] = '\0';
    return n > 0 ? 0 : bad(r, "a name is missing");
}

/* Attributes are read over (namespaces); their values cannot hold '<'. */
static int skip_attributes(struct reader *r)
{
    char name[NAME_MAX_LEN];
    for (blanks(r); r->p < r->end && name_char(*r->p); blanks(r)) {
        if (read_name(r, name) < 0)
            return CM_EMALF;
        blanks(r);
        if (r->p >= r->end || *r->p++ != '=')
            return bad(r, "an attribute has no value");
        blanks(r);
        char quote = r->p < r->end ? *r->p++ : '\0';
        if (quote != '"' && quote != '\'')
            return bad(r, "an attribute is not quoted");
        while (r->p < r->end && *r->p != quote && *r->p != '<')
            r->p++;
        if (r->p >= r->end || *r->p++ != quote)
            return bad(r, "an attribute does not end");
    }
    return 0;
}

static int read_reference(struct reader *r, struct cm_buf *out)
{
    static const struct {
        const char *name;
        char c;
    } known[] = {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (begins(r, known[i].name)) {
            r->p += strlen(known[i].name);
            return cm_buf_putc(out, known[i].c);
        }
    }
    unsigned value = 0, digits = 0;
    if (!begins(r, "&#"))
        return bad(r, "an unknown entity");
    for (r->p += 2; r->p < r->end && *r->p >= '0' && *r->p <= '9' && digits < 4; digits++)
        value = value * 10 + (unsigned)(*r->p++ - '0');
    if (digits == 0 || r->p >= r->end || *r->p++ != ';' || value < 9 || value > 126)
        return bad(r, "a character reference outside ASCII");
    return cm_buf_putc(out, (char)value);
}

static int read_element(struct reader *r, unsigned depth, json_t **ret);

static int read_content(struct reader *r, unsigned depth, json_t *kids, struct cm_buf *text)
{
    while (r->p < r->end && !begins(r, "</")) {
        json_t *kid = NULL;
        int rc = 0;
        if (*r->p == '<') {
            rc = read_element(r, depth + 1, &kid);
            if (rc == 0)
                json_array_append_new(kids, kid);
        } else if (*r->p == '&') {
            rc = read_reference(r, text);
        } else {
            rc = cm_buf_putc(text, *r->p++);
        }
        if (rc < 0)
            return rc;
    }
    return 0;
}

static char *trimmed(const struct cm_buf *text)
{
    const char *from = cm_buf_str(text);
    from += strspn(from, " \t\r\n");
    size_t len = strlen(from);
    while (len > 0 && strchr(" \t\r\n", from[len - 1]))
        len--;
    return cm_strndup(from, len);
}

/* Recursion: bounded by XML_DEPTH_MAX. */
static int read_element(struct reader *r, unsigned depth, json_t **ret)
{
    char name[NAME_MAX_LEN], closing[NAME_MAX_LEN];
    struct cm_buf text;
    if (depth > XML_DEPTH_MAX || ++r->elements > XML_ELEMENTS_MAX)
        return cm_fail(r->err, CM_ELIMIT, "XML: too deep or too many elements");
    r->p++; /* '<' */
    if (read_name(r, name) < 0 || skip_attributes(r) < 0)
        return CM_EMALF;
    CM_AUTO_JSON kids = json_array();
    if (begins(r, "/>")) {
        r->p += 2;
        *ret = json_pack("{s:s, s:s, s:O}", "tag", name, "text", "", "kids", kids);
        return 0;
    }
    if (r->p >= r->end || *r->p++ != '>')
        return bad(r, "a tag does not end");
    cm_buf_init(&text, TEXT_MAX);
    int rc = read_content(r, depth, kids, &text);
    CM_AUTO_STR plain = trimmed(&text);
    cm_buf_fini(&text);
    if (rc < 0)
        return rc;
    if (!begins(r, "</"))
        return bad(r, "it ends inside an element");
    r->p += 2;
    if (read_name(r, closing) < 0)
        return CM_EMALF;
    blanks(r);
    if (strcmp(name, closing) != 0 || r->p >= r->end || *r->p++ != '>')
        return bad(r, "tags do not match");
    *ret = json_pack("{s:s, s:s, s:O}", "tag", name, "text", plain, "kids", kids);
    return *ret ? 0 : bad(r, "a text is not UTF-8");
}

int xml_parse(const char *text, size_t len, json_t **ret, struct cm_err *err)
{
    struct reader r = {.p = text, .end = text + len, .err = err};
    *ret = NULL;
    if (memchr(text, 0, len) || !cm_utf8_ok(text, len))
        return bad(&r, "it is not UTF-8 text");
    blanks(&r);
    if (begins(&r, "<?xml ")) {
        while (r.p < r.end && !begins(&r, "?>"))
            r.p++;
        r.p += begins(&r, "?>") ? 2 : 0;
        blanks(&r);
    }
    if (r.p >= r.end || *r.p != '<')
        return bad(&r, "there is no element");
    int rc = read_element(&r, 0, ret);
    blanks(&r);
    if (rc == 0 && r.p != r.end) {
        cm_json_free(ret);
        return bad(&r, "something follows the last element");
    }
    return rc;
}

const json_t *xml_at(const json_t *node, const char *path)
{
    while (node && *path) {
        size_t len = strcspn(path, "/");
        const json_t *kids = cm_json_arr(node, "kids"), *found = NULL;
        for (size_t i = 0; i < json_array_size(kids) && !found; i++) {
            const char *tag = cm_json_str_or(json_array_get(kids, i), "tag", "");
            if (strlen(tag) == len && memcmp(tag, path, len) == 0)
                found = json_array_get(kids, i);
        }
        node = found;
        path += len + (path[len] == '/');
    }
    return node;
}

const char *xml_text(const json_t *node, const char *path)
{
    return cm_json_str(xml_at(node, path), "text");
}

void xml_escape(struct cm_buf *out, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '&':
            cm_buf_puts(out, "&amp;");
            break;
        case '<':
            cm_buf_puts(out, "&lt;");
            break;
        case '>':
            cm_buf_puts(out, "&gt;");
            break;
        case '"':
            cm_buf_puts(out, "&quot;");
            break;
        default:
            cm_buf_putc(out, *text);
        }
    }
}
