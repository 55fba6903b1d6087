/* Context-escaping HTML writer.  See html.h. */
#include "web-ui/html.h"

#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include "base/core/mem.h"
#include "base/core/utf8.h"

void html_raw(struct cm_buf *out, const char *markup)
{
    cm_buf_puts(out, markup);
}

static const char *entity_of(char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

/* Browsers send the lines of a text area with CR LF; one line end comes back as one. */
static bool is_crlf(const char *text)
{
    return text[0] == '\r' && text[1] == '\n';
}

/* C0 controls but tab and newline, and DEL: a parser may drop or rewrite them. */
static bool is_control(unsigned char c)
{
    return (c < 0x20 && c != '\t' && c != '\n') || c == 0x7f;
}

void html_text(struct cm_buf *out, const char *text)
{
    size_t len = text ? strlen(text) : 0;

    for (size_t i = 0; i < len;) {
        const char *entity = entity_of(text[i]);
        size_t seq = cm_utf8_seq(text + i, len - i);

        if (entity) {
            cm_buf_puts(out, entity);
            i++;
        } else if (is_crlf(text + i)) {
            i++; /* the LF follows */
        } else if (seq == 0 || is_control((unsigned char)text[i])) {
            cm_buf_puts(out, "\xef\xbf\xbd");
            i++;
        } else {
            cm_buf_add(out, text + i, seq);
            i += seq;
        }
    }
}

void html_int(struct cm_buf *out, long long number)
{
    cm_buf_printf(out, "%lld", number);
}

static bool takes_url(const char *name)
{
    return strcmp(name, "href") == 0 || strcmp(name, "src") == 0 || strcmp(name, "action") == 0;
}

/* Local references and web addresses; "//host" and "/\host" would leave the origin unseen. */
static bool url_is_safe(const char *url)
{
    if (url[0] == '/')
        return url[1] != '/' && url[1] != '\\';
    return url[0] == '#' || url[0] == '?' || strncmp(url, "https://", 8) == 0 ||
           strncmp(url, "http://", 7) == 0;
}

static void attribute(struct cm_buf *out, const char *name, const char *value)
{
    CM_BUG_ON(strncmp(name, "on", 2) == 0 || strcmp(name, "style") == 0);
    if (takes_url(name) && !url_is_safe(value))
        value = "#";
    cm_buf_putc(out, ' ');
    cm_buf_puts(out, name);
    if (*value) {
        cm_buf_puts(out, "=\"");
        html_text(out, value);
        cm_buf_putc(out, '"');
    }
}

static void open_tag(struct cm_buf *out, const char *tag, va_list ap)
{
    cm_buf_putc(out, '<');
    cm_buf_puts(out, tag);
    for (const char *name; (name = va_arg(ap, const char *));) {
        const char *value = va_arg(ap, const char *);

        if (value)
            attribute(out, name, value);
    }
    cm_buf_putc(out, '>');
}

void html_open(struct cm_buf *out, const char *tag, ...)
{
    va_list ap;

    va_start(ap, tag);
    open_tag(out, tag, ap);
    va_end(ap);
}

void html_close(struct cm_buf *out, const char *tag)
{
    cm_buf_puts(out, "</");
    cm_buf_puts(out, tag);
    cm_buf_putc(out, '>');
}

void html_leaf(struct cm_buf *out, const char *tag, const char *text, ...)
{
    va_list ap;

    va_start(ap, text);
    open_tag(out, tag, ap);
    va_end(ap);
    html_text(out, text);
    html_close(out, tag);
}
