/* Strict absolute http(s) URLs (RFC 3986, RFC 9110 4.2) and percent-encoding. */
#include "base/net/url.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/core/mem.h"
#include "base/core/num.h"
#include "base/core/utf8.h"
#include "base/net/http_parse.h"

#define PORT_HTTP  80
#define PORT_HTTPS 443

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static char to_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = to_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Visible ASCII without '#', '\\' (some parsers take it for '/') and broken escapes. */
static bool chars_ok(const char *text)
{
    for (; *text; text++) {
        if (*text <= 0x20 || *text >= 0x7f || *text == '#' || *text == '\\')
            return false;
        if (*text == '%' && (hex_value(text[1]) < 0 || hex_value(text[2]) < 0))
            return false;
    }
    return true;
}

/* Letters, digits, hyphens and underscores in non-empty labels. */
static bool name_ok(const char *host)
{
    size_t label = 0;
    for (; *host; host++) {
        if (*host == '.' && label == 0)
            return false;
        if (*host != '.' && !is_alnum(*host) && *host != '-' && *host != '_')
            return false;
        label = *host == '.' ? 0 : label + 1;
    }
    return label > 0;
}

/* "host", "host:port", "[v6]" or "[v6]:port" in text[0..len). */
static int parse_authority(const char *text, size_t len, struct url *ret)
{
    const char *end = text + len, *host = text, *host_end, *rest;
    bool literal = len > 0 && *text == '[';
    if (literal) {
        host = text + 1;
        host_end = memchr(host, ']', (size_t)(end - host));
        if (!host_end)
            return CM_EMALF;
        rest = host_end + 1;
    } else {
        host_end = memchr(text, ':', len);
        rest = host_end = host_end ? host_end : end;
    }
    size_t host_len = (size_t)(host_end - host);
    if (host_len == 0 || host_len >= sizeof(ret->host))
        return CM_EMALF;
    for (size_t i = 0; i < host_len; i++)
        ret->host[i] = to_lower(host[i]);
    ret->host[host_len] = '\0';
    struct in6_addr v6;
    if (literal ? inet_pton(AF_INET6, ret->host, &v6) != 1 : !name_ok(ret->host))
        return CM_EMALF;

    ret->port = ret->https ? PORT_HTTPS : PORT_HTTP;
    if (rest == end)
        return 0;
    char digits[6];
    size_t digits_len = (size_t)(end - rest) - 1;
    if (*rest != ':' || digits_len == 0 || digits_len >= sizeof(digits))
        return CM_EMALF;
    memcpy(digits, rest + 1, digits_len);
    digits[digits_len] = '\0';
    int64_t port;
    if (cm_num_i64(digits, 1, 65535, &port) < 0)
        return CM_EMALF;
    ret->port = (int)port;
    return 0;
}

int url_parse(const char *text, struct url *ret, struct cm_err *err)
{
    *ret = (struct url){.https = strncasecmp(text, "https://", 8) == 0};
    if (!ret->https && strncasecmp(text, "http://", 7) != 0)
        return cm_fail(err, CM_EMALF, "URL does not begin with https:// or http://: %.200s", text);
    if (!chars_ok(text))
        return cm_fail(err, CM_EMALF,
                       "URL holds a character that is not allowed (blank, '#', '\\', control or "
                       "non-ASCII) or a broken %% escape: %.200s",
                       text);
    const char *authority = text + (ret->https ? 8 : 7);
    size_t len = strcspn(authority, "/?");
    if (memchr(authority, '@', len))
        return cm_fail(err, CM_EMALF, "URL must not contain a user name or password");
    if (parse_authority(authority, len, ret) < 0)
        return cm_fail(err, CM_EMALF, "URL has a malformed host or port: %.200s", text);
    const char *path = authority + len;
    const char *slash = *path == '/' ? "" : "/";
    int n = snprintf(ret->path, sizeof(ret->path), "%s%s", slash, path);
    if (n < 0 || (size_t)n >= sizeof(ret->path))
        return cm_fail(err, CM_EMALF, "URL path is longer than %zu bytes", sizeof(ret->path) - 1);
    return 0;
}

void url_origin(const struct url *url, char *out, size_t size)
{
    bool literal = strchr(url->host, ':') != NULL;
    bool standard = url->port == (url->https ? PORT_HTTPS : PORT_HTTP);
    char port[16] = "";
    if (!standard)
        snprintf(port, sizeof(port), ":%d", url->port);
    snprintf(out, size, "%s://%s%s%s%s", url->https ? "https" : "http", literal ? "[" : "",
             url->host, literal ? "]" : "", port);
}

int url_join(const char *base, const char *ref, char *out, size_t size, struct cm_err *err)
{
    struct url url;
    /* "//host/path" would leave the origin without saying so: refused with the other forms. */
    if (ref[0] == '/' && ref[1] != '/') {
        char origin[320];
        int rc = url_parse(base, &url, err);
        if (rc < 0)
            return rc;
        url_origin(&url, origin, sizeof(origin));
        int n = snprintf(out, size, "%s%s", origin, ref);
        if (n < 0 || (size_t)n >= size)
            return cm_fail(err, CM_EMALF, "URL is longer than %zu bytes", size - 1);
    } else if (cm_strcpy(out, size, ref) < 0) {
        return cm_fail(err, CM_EMALF, "URL is longer than %zu bytes", size - 1);
    }
    return url_parse(out, &url, err);
}

void url_encode(struct cm_buf *out, const char *text)
{
    for (; *text; text++) {
        if (is_alnum(*text) || strchr("-._~", *text))
            cm_buf_putc(out, *text);
        else
            cm_buf_printf(out, "%%%02X", (unsigned char)*text);
    }
}

/* Decodes text[0..len) into out (len + 1 bytes are enough). */
static int decode_part(const char *text, size_t len, char *out, struct cm_err *err)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (c == '%') {
            int high = i + 2 < len ? hex_value(text[i + 1]) : -1;
            int low = high >= 0 ? hex_value(text[i + 2]) : -1;
            if (low < 0)
                return cm_fail(err, CM_EMALF, "a %% escape in the query or form is broken");
            c = (char)(high << 4 | low);
            i += 2;
        } else if (c == '+') {
            c = ' ';
        }
        if (c == '\0')
            return cm_fail(
                err, CM_EMALF,
                "a field holds a NUL byte, which no text has: take it out and send it again");
        out[n++] = c;
    }
    out[n] = '\0';
    if (!cm_utf8_ok(out, n))
        return cm_fail(err, CM_EMALF, "the query or form is not UTF-8");
    return 0;
}

static int decode_pair(const char *text, size_t len, char *scratch, url_pair_fn fn, void *arg,
                       struct cm_err *err)
{
    const char *equal = memchr(text, '=', len);
    size_t name_len = equal ? (size_t)(equal - text) : len;
    char *name = scratch, *value = scratch + name_len + 1;
    int rc = decode_part(text, name_len, name, err);
    value[0] = '\0';
    if (rc == 0 && equal)
        rc = decode_part(equal + 1, len - name_len - 1, value, err);
    return rc < 0 ? rc : fn(arg, name, value);
}

int url_form_each(const char *text, size_t len, url_pair_fn fn, void *arg, struct cm_err *err)
{
    char *scratch = cm_malloc(len + 2);
    unsigned count = 0;
    int rc = 0;
    for (size_t at = 0; at < len && rc == 0;) {
        const char *amp = memchr(text + at, '&', len - at);
        size_t part = amp ? (size_t)(amp - text) - at : len - at;
        if (part > 0 && ++count > HTTP_QUERY_MAX)
            rc = cm_fail(err, CM_ELIMIT, "more than %d query or form fields", HTTP_QUERY_MAX);
        else if (part > 0)
            rc = decode_pair(text + at, part, scratch, fn, arg, err);
        at += part + 1;
    }
    cm_free_secret(scratch, len + 2); /* forms carry passwords */
    return rc;
}
