/* Checks of URLs, times, tokens and sentences that come from a CA. */
#include "certmgr/acme/text.h"

#include <string.h>
#include <strings.h>

#include "base/core/clock.h"
#include "base/core/mem.h"
#include "base/core/utf8.h"
#include "base/net/url.h"
#include "certmgr/acme/order.h"

static bool is_loopback(const char *host)
{
    return strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0 ||
           strcmp(host, "localhost") == 0;
}

int acme_url_check(const char *url, bool lab_http, struct cm_err *err)
{
    struct url parsed;
    if (!url)
        return cm_fail(err, CM_EMALF, "A URL of the CA is missing");
    if (strlen(url) >= ACME_URL_MAX)
        return cm_fail(err, CM_EMALF, "A URL of the CA is longer than %d bytes", ACME_URL_MAX - 1);
    if (url_parse(url, &parsed, err) < 0)
        return cm_wrap(err, CM_EMALF, "A URL of the CA is malformed");
    if (parsed.https || (lab_http && is_loopback(parsed.host)))
        return 0;
    char shown[ACME_TEXT_MAX];
    acme_text(url, shown);
    cm_fail(err, CM_EDENIED, "The URL %s of the CA is not https", shown);
    cm_err_hint(err, "Only https URLs are followed (RFC 8555 6.1). Check the directory URL of the "
                     "account; a CA that hands out plain http URLs cannot be used.");
    return CM_EDENIED;
}

int acme_url_resolve(const char *base, const char *ref, bool lab_http, char out[ACME_URL_MAX],
                     struct cm_err *err)
{
    if (url_join(base, ref, out, ACME_URL_MAX, err) < 0)
        return cm_wrap(err, CM_EMALF, "A URL of the CA is malformed");
    return acme_url_check(out, lab_http, err);
}

void acme_text(const char *text, char out[ACME_TEXT_MAX])
{
    size_t len = 0;
    if (!text)
        text = "";
    for (; len < ACME_TEXT_MAX - 4 && text[len] != '\0'; len++) {
        unsigned char c = (unsigned char)text[len];
        out[len] = c < 0x20 || c == 0x7f ? ' ' : text[len];
    }
    out[len] = '\0';
    if (text[len] != '\0') {
        cm_utf8_trim(out);
        memcpy(out + strlen(out), "...", 4);
    }
    cm_utf8_fix(out);
}

static bool two_digits(const char *text, int *ret)
{
    if (text[0] < '0' || text[0] > '9' || text[1] < '0' || text[1] > '9')
        return false;
    *ret = (text[0] - '0') * 10 + (text[1] - '0');
    return true;
}

int64_t acme_time(const char *text)
{
    char copy[64];
    int64_t ms = 0;
    int64_t offset = 0;
    size_t len = text ? strlen(text) : 0;
    if (len < 20 || len >= sizeof(copy))
        return 0;
    memcpy(copy, text, len + 1);
    if (copy[10] == 't')
        copy[10] = 'T';
    char *zone = copy + len - 1;
    if (*zone == 'z' || *zone == 'Z') {
        *zone = 'Z';
    } else {
        int hours;
        int minutes;
        zone = copy + len - 6; /* "+hh:mm": most CAs write Z, RFC 3339 allows this */
        if ((*zone != '+' && *zone != '-') || zone[3] != ':' || !two_digits(zone + 1, &hours) ||
            !two_digits(zone + 4, &minutes) || hours > 23 || minutes > 59)
            return 0;
        offset = (hours * 60 + minutes) * INT64_C(60000) * (*zone == '+' ? 1 : -1);
        zone[0] = 'Z';
        zone[1] = '\0';
    }
    if (cm_time_parse(copy, &ms) < 0)
        return 0;
    return ms - offset;
}

bool acme_token_ok(const char *token)
{
    if (!token)
        return false;
    size_t len = strspn(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");
    return len > 0 && len <= ACME_TOKEN_MAX && token[len] == '\0';
}

char *acme_key_authorization(const char *token, const char *thumbprint)
{
    return cm_asprintf("%s.%s", token, thumbprint);
}

bool acme_same_name(const char *a, const char *b)
{
    return strcasecmp(a, b) == 0;
}
