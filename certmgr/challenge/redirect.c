/*
 * The rules of redirects in HTTP-01, in the strictest reading among CAs (reference/acme.md H4,
 * H4b): http or https, ports 80 and 443, a public host name, a path of bounded length.
 */
#include "certmgr/challenge/redirect.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/core/mem.h"
#include "base/core/utf8.h"
#include "base/net/hostname.h"
#include "base/net/url.h"

#define SHOWN_HOST_MAX 100
#define HINT_ANSWER                                                                                \
    "let the web server pass /.well-known/acme-challenge/ on to CertMgr before its redirect "      \
    "(docs/beside-a-web-server.md)"

bool ch_redirect_status(int status)
{
    return status == 301 || status == 302 || status == 307 || status == 308;
}

/* RFC 3986 5.2.4, in place, on the path before the query. */
static void remove_dots(char *path)
{
    size_t end = strcspn(path, "?"), in = 0, out = 0;
    while (in < end) { /* path[in] is a slash */
        size_t len = 1;
        while (in + len < end && path[in + len] != '/')
            len++;
        bool last = in + len == end;
        bool one = len == 2 && path[in + 1] == '.';
        bool two = len == 3 && path[in + 1] == '.' && path[in + 2] == '.';
        if (two)
            while (out > 0 && path[--out] != '/')
                ;
        if (!one && !two) {
            memmove(path + out, path + in, len);
            out += len;
        } else if (last) {
            path[out++] = '/';
        }
        in += len;
    }
    memmove(path + out, path + end, strlen(path + end) + 1);
}

static bool has_scheme(const char *ref)
{
    size_t n = strspn(ref, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.");
    return n > 0 && ref[n] == ':';
}

/* RFC 3986 5.2.2: any reference to an absolute one. */
static int absolute(const struct url *from, const char *ref, char *out, size_t size)
{
    char origin[320];
    int n;
    url_origin(from, origin, sizeof(origin));
    size_t path = strcspn(from->path, "?");
    if (has_scheme(ref))
        n = snprintf(out, size, "%s", ref);
    else if (strncmp(ref, "//", 2) == 0)
        n = snprintf(out, size, "%s:%s", from->https ? "https" : "http", ref);
    else if (ref[0] == '/')
        n = snprintf(out, size, "%s%s", origin, ref);
    else if (ref[0] == '?')
        n = snprintf(out, size, "%s%.*s%s", origin, (int)path, from->path, ref);
    else if (ref[0] == '#' || ref[0] == '\0')
        n = snprintf(out, size, "%s%s", origin, from->path);
    else {
        while (path > 0 && from->path[path - 1] != '/')
            path--;
        n = snprintf(out, size, "%s%.*s%s", origin, (int)path, from->path, ref);
    }
    out[strcspn(out, "#")] = '\0';
    return n < 0 || (size_t)n >= size ? CM_ELIMIT : 0;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n > m && strcmp(text + n - m, end) == 0;
}

/* Could a CA on the Internet know this name?  One of the same top-level domain as the validated
 * host is as public as that. */
static bool is_public(const char *name, const char *host)
{
    static const char *const inside[] = {".localhost", ".local",     ".internal", ".intranet",
                                         ".lan",       ".home",      ".corp",     ".private",
                                         ".invalid",   ".home.arpa", ".onion"};
    const char *top = strrchr(name, '.'), *own = strrchr(host, '.');
    if (!top || top[1] == '\0' || strspn(top + 1, "0123456789") == strlen(top + 1))
        return false;
    if (own && strcmp(top, own) == 0)
        return true;
    for (size_t i = 0; i < sizeof(inside) / sizeof(inside[0]); i++)
        if (ends_with(name, inside[i]))
            return false;
    return true;
}

/* "Redirect / https://www.example.com" makes the path part of the host: the most frequent mistake,
 * told even when nothing else of the URL can be read. */
static int judge_slash(const char *text, struct cm_err *err)
{
    static const char mark[] = ".well-known";
    const char *authority = strstr(text, "://");
    if (!authority)
        return 0;
    authority += 3;
    size_t len = strcspn(authority, "/?"), mark_len = sizeof(mark) - 1;
    if (len <= mark_len || strncasecmp(authority + len - mark_len, mark, mark_len) != 0)
        return 0;
    int n = (int)(len - mark_len < SHOWN_HOST_MAX ? len - mark_len : SHOWN_HOST_MAX);
    cm_fail(err, CM_EPEER,
            "redirected to the host %.*s.well-known: a slash is missing behind \"%.*s\" in the "
            "redirect rule",
            n, authority, n, authority);
    cm_err_hint(err, "write the target of the web server's redirect rule with a slash: %.*s%.*s/",
                (int)(authority - text < 10 ? authority - text : 10), text, n, authority);
    return CM_EPEER;
}

static int judge_host(const struct url *url, const char *host, struct cm_err *err)
{
    if (hostname_is_ip(url->host)) {
        cm_fail(err, CM_EPEER, "redirected to an IP address; a CA follows to host names only");
        cm_err_hint(err, "redirect to a host name, or " HINT_ANSWER);
        return CM_EPEER;
    }
    if (!is_public(url->host, host)) {
        cm_fail(err, CM_EPEER,
                "redirected to the host %.100s, which is no name of the public DNS; a CA does not "
                "follow there",
                url->host);
        cm_err_hint(err, "redirect to a public host name, or " HINT_ANSWER);
        return CM_EPEER;
    }
    return 0;
}

static int judge(const struct url *url, const char *host, int port, struct cm_err *err)
{
    size_t path = strcspn(url->path, "?");
    if (url->port != 80 && url->port != 443 && url->port != port) {
        char own[40] = "";
        if (port != 80)
            snprintf(own, sizeof(own), " (and %d, set for this account)", port);
        cm_fail(err, CM_EPEER, "redirected to port %d; a CA follows only 80 and 443%s", url->port,
                own);
        cm_err_hint(err, "redirect to port 80 or 443, or " HINT_ANSWER);
        return CM_EPEER;
    }
    int rc = judge_host(url, host, err);
    if (rc == 0 && path > CH_REDIRECT_PATH_MAX) {
        rc = cm_fail(err, CM_EPEER, "redirected to a path of %zu bytes; a CA follows up to %d",
                     path, CH_REDIRECT_PATH_MAX);
        cm_err_hint(err, HINT_ANSWER);
    }
    return rc;
}

int ch_redirect(const char *from, const char *location, const char *host, int port, char *out,
                size_t size, struct cm_err *err)
{
    struct url base, url;
    CM_AUTO_STR text = cm_malloc(CH_URL_MAX);
    out[0] = '\0';
    if (url_parse(from, &base, err) < 0)
        return err ? err->code : CM_EMALF;
    int rc = absolute(&base, location, text, CH_URL_MAX);
    if (cm_strcpy(out, size, text) < 0)
        cm_utf8_trim(out);
    if (has_scheme(text) && strncasecmp(text, "http:", 5) != 0 &&
        strncasecmp(text, "https:", 6) != 0) {
        cm_fail(err, CM_EPEER,
                "redirected to the scheme \"%.*s\"; a CA follows only http and https",
                (int)(strcspn(text, ":") < 30 ? strcspn(text, ":") : 30), text);
        cm_err_hint(err, HINT_ANSWER);
        return CM_EPEER;
    }
    if (judge_slash(text, err) < 0)
        return CM_EPEER;
    if (rc == 0)
        rc = url_parse(text, &url, NULL);
    if (rc < 0) {
        cm_fail(err, CM_EPEER, "redirected to what is no URL a CA could follow");
        cm_err_hint(err, "correct the web server's redirect rule, or " HINT_ANSWER);
        return CM_EPEER;
    }
    remove_dots(url.path);
    char origin[320];
    url_origin(&url, origin, sizeof(origin));
    int n = snprintf(out, size, "%s%s", origin, url.path);
    if (n < 0 || (size_t)n >= size)
        return cm_fail(err, CM_EPEER, "redirected to a URL of more than %zu bytes", size - 1);
    return judge(&url, host, port, err);
}
