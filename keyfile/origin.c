/* Origins of https URLs. */
#include "keyfile/origin.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/core/num.h"

#define HOST_MAX 255

/* Plain http only to this machine: for a lab CA, and only where the configuration allows it. */
static const struct {
    const char *scheme, *host;
    int64_t port;
} schemes[] = {{"https://", "", 443}, {"http://", "127.", 80}};

static bool printable(const char *url)
{
    for (; *url; url++) {
        if (*url <= ' ' || *url >= 0x7f || *url == '\\')
            return false;
    }
    return true;
}

/* Host part: a name, an IPv4 address, or an IPv6 address in brackets.  Returns its length or 0. */
static size_t host_len(const char *at)
{
    if (*at != '[')
        return strspn(at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-");
    size_t len = strspn(at + 1, "0123456789abcdefABCDEF:.");
    return len > 0 && at[len + 1] == ']' ? len + 2 : 0;
}

int kf_origin(const char *url, char out[KF_ORIGIN_TEXT], struct cm_err *err)
{
    char host[HOST_MAX + 1], port[8] = "";
    size_t kind = strncmp(url, schemes[1].scheme, strlen(schemes[1].scheme)) == 0 ? 1 : 0;
    size_t skip = strlen(schemes[kind].scheme);
    if (strlen(url) > KF_URL_MAX || !printable(url) ||
        strncmp(url, schemes[kind].scheme, skip) != 0 ||
        strncmp(url + skip, schemes[kind].host, strlen(schemes[kind].host)) != 0)
        return cm_fail(err, CM_EMALF, "\"%.100s\" is not an https URL", url);
    const char *at = url + skip;
    size_t len = host_len(at);
    if (len == 0 || len > HOST_MAX)
        return cm_fail(err, CM_EMALF, "URL \"%.100s\" has no valid host", url);
    for (size_t i = 0; i < len; i++)
        host[i] = (char)tolower((unsigned char)at[i]);
    host[len] = '\0';
    at += len;
    if (*at == ':') {
        int64_t number;
        len = strspn(at + 1, "0123456789");
        if (len == 0 || len >= sizeof(port))
            return cm_fail(err, CM_EMALF, "URL \"%.100s\" has no valid port", url);
        memcpy(port, at + 1, len);
        port[len] = '\0';
        if (cm_num_i64(port, 1, 65535, &number) < 0)
            return cm_fail(err, CM_EMALF, "URL \"%.100s\" has no valid port", url);
        if (number == schemes[kind].port)
            port[0] = '\0';
        at += len + 1;
    }
    if (*at != '\0' && *at != '/' && *at != '?')
        return cm_fail(err, CM_EMALF, "URL \"%.100s\" is malformed behind its host", url);
    snprintf(out, KF_ORIGIN_TEXT, "%s%s%s%s", schemes[kind].scheme, host, port[0] ? ":" : "", port);
    return 0;
}
