/*
 * HTTP/1.1 request head parser.
 *
 * A pre-scan over the raw bytes finds the end of the block and refuses every byte whose meaning
 * differs between implementations (bare LF, bare CR, NUL, control bytes); what is left is split
 * into lines without guessing.  Nothing is repaired: two readings of one request are how requests
 * are smuggled (RFC 9112 11.2).
 */
#include "base/net/http_parse.h"

#include <string.h>

#include "base/core/mem.h"
#include "base/core/num.h"
#include "base/core/utf8.h"

struct parse {
    struct http_head *head;
    int *status;
    struct cm_err *err;
};

static const char *const method_names[HTTP_METHOD_COUNT] = {
    [HTTP_GET] = "GET",         [HTTP_HEAD] = "HEAD",   [HTTP_POST] = "POST",
    [HTTP_PUT] = "PUT",         [HTTP_PATCH] = "PATCH", [HTTP_DELETE] = "DELETE",
    [HTTP_OPTIONS] = "OPTIONS",
};

/* Fields that decide framing or access: a second one would be read by one party only. */
static const char *const single_fields[] = {
    "host", "content-length", "expect", "authorization", "content-type", "origin",
};

static int refuse(int *ret_status, struct cm_err *err, int status, const char *what)
{
    bool limit = status == 413 || status == 414 || status == 431;

    *ret_status = status;
    return cm_fail(err, limit ? CM_ELIMIT : CM_EMALF, "HTTP request: %s", what);
}

static int refuse_in(const struct parse *p, int status, const char *what)
{
    return refuse(p->status, p->err, status, what);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* tchar of RFC 9110 5.6.2 */
static bool is_token_char(char c)
{
    return is_alnum(c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* pchar of RFC 3986 3.3 without "%" */
static bool is_path_char(char c)
{
    return is_alnum(c) || (c != '\0' && strchr("-._~!$&'()*+,;=:@", c) != NULL);
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static int hex_value(char c)
{
    if (is_digit(c))
        return c - '0';
    c = lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte of the escape at text ("%41"), or -1. */
static int escaped_byte(const char *text)
{
    int high = hex_value(text[1]);
    int low = high < 0 ? -1 : hex_value(text[2]);

    return low < 0 ? -1 : high * 16 + low;
}

int http_head_scan(const char *data, size_t len, size_t *seen, int *ret_status, struct cm_err *err)
{
    size_t end = len < HTTP_HEAD_MAX ? len : HTTP_HEAD_MAX;

    for (size_t i = *seen; i < end; i++) {
        unsigned char c = (unsigned char)data[i];
        bool after_cr = i > 0 && data[i - 1] == '\r';
        if (c == '\n' && !after_cr)
            return refuse(ret_status, err, 400, "a line ends in LF without CR");
        if (c != '\n' && after_cr)
            return refuse(ret_status, err, 400, "CR without LF");
        if (c == '\n' && i >= 3 && data[i - 2] == '\n')
            return (int)(i + 1);
        if ((c < 0x20 && c != '\t' && c != '\r' && c != '\n') || c == 0x7f)
            return refuse(ret_status, err, 400, "control byte in the header block");
    }
    *seen = end;
    if (end < HTTP_HEAD_MAX)
        return 0;
    if (memchr(data, '\n', end) == NULL)
        return refuse(ret_status, err, 414, "the request line is too long");
    return refuse(ret_status, err, 431, "the header block is too long");
}

/* "HTTP/1.1": anything shaped like a version that is not 1.0 or 1.1 is 505 (RFC 9110 15.6.6). */
static int parse_version(const struct parse *p, const char *text)
{
    size_t major, minor;

    if (strcmp(text, "HTTP/1.1") == 0 || strcmp(text, "HTTP/1.0") == 0) {
        p->head->minor = text[7] - '0';
        return 0;
    }
    if (strncmp(text, "HTTP/", 5) != 0)
        return refuse_in(p, 400, "no HTTP version in the request line");
    text += 5;
    major = strspn(text, "0123456789");
    if (major == 0 || text[major] != '.')
        return refuse_in(p, 400, "malformed HTTP version");
    text += major + 1;
    minor = strspn(text, "0123456789");
    if (minor == 0 || text[minor] != '\0')
        return refuse_in(p, 400, "malformed HTTP version");
    return refuse_in(p, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
}

static int parse_method(const struct parse *p, const char *text)
{
    if (*text == '\0')
        return refuse_in(p, 400, "empty method");
    for (const char *c = text; *c != '\0'; c++) {
        if (!is_token_char(*c))
            return refuse_in(p, 400, "malformed method");
    }
    for (int i = 0; i < HTTP_METHOD_COUNT; i++) {
        if (strcmp(text, method_names[i]) == 0) {
            p->head->method = (enum http_method)i;
            return 0;
        }
    }
    return refuse_in(p, 405, "unknown method");
}

/* Length of the separator at text: "/" or "\" or a "%2F" that decoding left in place. */
static size_t separator_len(const char *text)
{
    if (*text == '/' || *text == '\\')
        return 1;
    return strncmp(text, "%2F", 3) == 0 ? 3 : 0;
}

/* Is a segment of the decoded path "." or ".."?  Whatever a later reader may take for a separator
 * counts as one here. */
static bool has_dot_segment(const char *path)
{
    const char *start = path;

    for (const char *c = path;; c++) {
        size_t sep = separator_len(c);
        if (sep == 0 && *c != '\0')
            continue;
        size_t n = (size_t)(c - start);
        if ((n == 1 && start[0] == '.') || (n == 2 && start[0] == '.' && start[1] == '.'))
            return true;
        if (*c == '\0')
            return false;
        start = c + sep;
        c += sep - 1;
    }
}

/* Decodes the path part of the target into out, which is as large as the target. */
static int decode_path(const struct parse *p, const char *target, char *out)
{
    char *o = out;

    for (const char *c = target; *c != '\0' && *c != '?'; c++) {
        if (*c != '%') {
            if (*c != '/' && !is_path_char(*c))
                return refuse_in(p, 400, "character that must be escaped in the path");
            *o++ = *c;
            continue;
        }
        int byte = escaped_byte(c);
        if (byte < 0x20 || byte == 0x7f)
            return refuse_in(p, 400, "malformed or forbidden escape in the path");
        c += 2;
        if (byte == '/') {
            memcpy(o, "%2F", 3);
            o += 3;
        } else {
            *o++ = (char)byte;
        }
    }
    *o = '\0';
    if (!cm_utf8_ok(out, (size_t)(o - out)))
        return refuse_in(p, 400, "the path is not UTF-8");
    if (has_dot_segment(out))
        return refuse_in(p, 400, "dot segment in the path");
    return 0;
}

static int check_query(const struct parse *p, const char *query)
{
    for (const char *c = query; *c != '\0'; c++) {
        unsigned char u = (unsigned char)*c;
        if (u <= 0x20 || u >= 0x7f || u == '#')
            return refuse_in(p, 400, "character that must be escaped in the query");
        if (u == '%' && escaped_byte(c) <= 0)
            return refuse_in(p, 400, "malformed or forbidden escape in the query");
    }
    return 0;
}

/* Origin-form only (RFC 9112 3.2.1).  "//host" would be read as another authority by whoever
 * resolves it as a reference, so it is refused as well. */
static int parse_target(const struct parse *p, const char *target, char *path_room)
{
    const char *query;
    int r;

    if (strlen(target) > HTTP_TARGET_MAX)
        return refuse_in(p, 414, "the target is too long");
    if (target[0] != '/' || target[1] == '/')
        return refuse_in(p, 400, "the target is not in origin form");
    r = decode_path(p, target, path_room);
    if (r < 0)
        return r;
    query = strchr(target, '?');
    query = query == NULL ? "" : query + 1;
    r = check_query(p, query);
    if (r < 0)
        return r;
    p->head->target = target;
    p->head->path = path_room;
    p->head->query = query;
    return 0;
}

/* method SP target SP version, one space each (RFC 9112 3: the lenient split is not used). */
static int parse_request_line(const struct parse *p, char *line, char *path_room)
{
    char *target = strchr(line, ' ');
    char *version = target == NULL ? NULL : strchr(target + 1, ' ');
    int r;

    if (version == NULL)
        return refuse_in(p, 400, "malformed request line");
    *target++ = '\0';
    *version++ = '\0';
    r = parse_version(p, version);
    if (r == 0)
        r = parse_method(p, line);
    if (r == 0)
        r = parse_target(p, target, path_room);
    return r;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* name ":" OWS value OWS; a blank at the start of the line (obs-fold) or before the colon makes the
 * name no token (RFC 9112 5.1, 5.2). */
static int parse_field(const struct parse *p, char *line)
{
    struct http_head *head = p->head;
    char *colon = strchr(line, ':');
    char *value, *end;

    if (colon == NULL || colon == line)
        return refuse_in(p, 400, "header line without a name");
    for (char *c = line; c < colon; c++) {
        if (!is_token_char(*c))
            return refuse_in(p, 400, "malformed header name");
        *c = lower(*c);
    }
    if (head->field_count == HTTP_FIELDS_MAX)
        return refuse_in(p, 431, "too many header fields");
    *colon = '\0';
    value = colon + 1;
    while (is_blank(*value))
        value++;
    end = value + strlen(value);
    while (end > value && is_blank(end[-1]))
        end--;
    *end = '\0';
    if (!cm_utf8_ok(value, (size_t)(end - value)))
        return refuse_in(p, 400, "header value is not UTF-8");
    head->field[head->field_count++] = (struct http_field){.name = line, .value = value};
    return 0;
}

static size_t count_fields(const struct http_head *head, const char *name)
{
    size_t n = 0;

    for (size_t i = 0; i < head->field_count; i++)
        n += strcmp(head->field[i].name, name) == 0;
    return n;
}

/* uri-host [":" port] of RFC 9110 7.2, with the characters host names really have. */
static bool host_ok(const char *host)
{
    size_t n;

    if (*host == '[') {
        n = strspn(host + 1, "0123456789abcdefABCDEF:.");
        if (n == 0 || host[n + 1] != ']')
            return false;
        host += n + 2;
    } else {
        for (n = 0; is_alnum(host[n]) || host[n] == '-' || host[n] == '.' || host[n] == '_'; n++)
            ;
        if (n == 0)
            return false;
        host += n;
    }
    if (*host == '\0')
        return true;
    if (*host++ != ':')
        return false;
    n = strspn(host, "0123456789");
    return n >= 1 && n <= 5 && host[n] == '\0';
}

static bool same_word(const char *text, size_t len, const char *word)
{
    for (size_t i = 0; i < len; i++) {
        if (word[i] == '\0' || lower(text[i]) != word[i])
            return false;
    }
    return word[len] == '\0';
}

/* Does the comma-separated list contain the (lower-case) word? */
static bool list_has(const char *list, const char *word)
{
    while (*list != '\0') {
        size_t n = strcspn(list, ",");
        const char *from = list;
        size_t len = n;
        while (len > 0 && is_blank(*from)) {
            from++;
            len--;
        }
        while (len > 0 && is_blank(from[len - 1]))
            len--;
        if (same_word(from, len, word))
            return true;
        list += n + (list[n] == ',');
    }
    return false;
}

/* The one decimal length; both lengths in one request cannot happen, as any Transfer-Encoding is
 * refused before (RFC 9112 6.1, 6.3). */
static int take_length(const struct parse *p)
{
    const char *text = http_head_field(p->head, "content-length");

    if (text == NULL)
        return 0;
    switch (cm_num_i64(text, 0, INT64_MAX, &p->head->content_length)) {
    case 0:
        p->head->has_body = true;
        return 0;
    case CM_ELIMIT:
        return refuse_in(p, 413, "Content-Length is too large");
    default:
        return refuse_in(p, 400, "Content-Length is not a decimal number");
    }
}

static int take_fields(const struct parse *p)
{
    struct http_head *head = p->head;
    const char *expect;

    if (count_fields(head, "transfer-encoding") > 0)
        return refuse_in(p, 501, "Transfer-Encoding is not supported in requests");
    for (size_t i = 0; i < sizeof(single_fields) / sizeof(single_fields[0]); i++) {
        if (count_fields(head, single_fields[i]) > 1)
            return refuse_in(p, 400, "a header field that may occur once is repeated");
    }
    head->host = http_head_field(head, "host");
    if (head->host == NULL)
        return refuse_in(p, 400, "no Host");
    if (!host_ok(head->host))
        return refuse_in(p, 400, "malformed Host");
    head->keep_alive = head->minor == 1;
    for (size_t i = 0; i < head->field_count; i++) {
        if (strcmp(head->field[i].name, "connection") == 0 &&
            list_has(head->field[i].value, "close"))
            head->keep_alive = false;
    }
    /* RFC 9110 10.1.1: an expectation in an HTTP/1.0 request is ignored. */
    expect = http_head_field(head, "expect");
    if (expect != NULL && head->minor == 1) {
        if (!same_word(expect, strlen(expect), "100-continue"))
            return refuse_in(p, 417, "unknown expectation");
        head->expect_continue = true;
    }
    return take_length(p);
}

/* Cuts the line at text off its CRLF and returns the start of the next one. */
static char *cut_line(char *text)
{
    char *cr = strchr(text, '\r');

    CM_BUG_ON(cr == NULL); /* the block was scanned for it */
    *cr = '\0';
    return cr + 2;
}

static int parse_lines(const struct parse *p, char *text, char *path_room)
{
    char *next = cut_line(text);
    int r = parse_request_line(p, text, path_room);

    while (r == 0 && *next != '\r') {
        text = next;
        next = cut_line(text);
        r = parse_field(p, text);
    }
    return r == 0 ? take_fields(p) : r;
}

int http_head_parse(const char *block, size_t len, struct http_head *ret, int *ret_status,
                    struct cm_err *err)
{
    struct parse p = {.head = ret, .status = ret_status, .err = err};
    size_t seen = 0;
    int r;

    *ret = (struct http_head){.target = "", .path = "", .query = "", .host = ""};
    *ret_status = 0;
    r = http_head_scan(block, len, &seen, ret_status, err);
    if (r < 0)
        return r;
    if ((size_t)r != len || len < 4)
        return refuse(ret_status, err, 400, "incomplete header block");
    /* The block, its NUL, and room for the decoded path. */
    ret->store = cm_malloc(len * 2 + 2);
    memcpy(ret->store, block, len);
    ret->store[len] = '\0';
    r = parse_lines(&p, ret->store, ret->store + len + 1);
    if (r < 0)
        http_head_fini(ret);
    return r;
}

void http_head_fini(struct http_head *head)
{
    cm_free(head->store);
    *head = (struct http_head){.target = "", .path = "", .query = "", .host = ""};
}

const char *http_head_field(const struct http_head *head, const char *name)
{
    for (size_t i = 0; i < head->field_count; i++) {
        if (strcmp(head->field[i].name, name) == 0)
            return head->field[i].value;
    }
    return NULL;
}

const char *http_method_name(enum http_method method)
{
    return method < HTTP_METHOD_COUNT ? method_names[method] : "?";
}
