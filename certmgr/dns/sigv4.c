/* AWS Signature Version 4 from SHA-256 and HMAC alone. */
#include "certmgr/dns/sigv4.h"

#include <string.h>

#include "base/core/bytes.h"
#include "base/core/clock.h"
#include "base/core/mem.h"

static void amz_date(int64_t now_ms, char date[SIGV4_DATE])
{
    char text[CM_TIME_TEXT]; /* "2015-08-30T12:36:00.000Z" */
    size_t n = 0;
    cm_time_format(now_ms, text);
    for (const char *p = text; *p && *p != '.' && n + 2 < SIGV4_DATE; p++)
        if (*p != '-' && *p != ':')
            date[n++] = *p;
    date[n++] = 'Z';
    date[n] = '\0';
}

static void mac(uint8_t key[CM_SHA256_SIZE], const char *text)
{
    uint8_t out[CM_SHA256_SIZE];
    cm_hmac_sha256(key, CM_SHA256_SIZE, text, strlen(text), out);
    memcpy(key, out, sizeof(out));
    cm_wipe(out, sizeof(out));
}

static void signing_key(const struct sigv4_key *key, const char *day, uint8_t out[CM_SHA256_SIZE])
{
    char *first = cm_asprintf("AWS4%s", key->secret);
    cm_hmac_sha256(first, strlen(first), day, strlen(day), out);
    cm_free_secret(first, strlen(first));
    mac(out, key->region);
    mac(out, key->service);
    mac(out, "aws4_request");
}

char *sigv4_sign(const struct sigv4_request *request, const struct sigv4_key *key, int64_t now_ms,
                 char date[SIGV4_DATE])
{
    char body[CM_SHA256_HEX], all[CM_SHA256_HEX], hex[CM_SHA256_HEX];
    uint8_t k[CM_SHA256_SIZE];
    const char *names = key->token ? "host;x-amz-date;x-amz-security-token" : "host;x-amz-date";
    amz_date(now_ms, date);
    CM_AUTO_STR day = cm_strndup(date, 8);
    CM_AUTO_STR scope = cm_asprintf("%s/%s/%s/aws4_request", day, key->region, key->service);
    cm_sha256_hex(request->body_len ? request->body : "", request->body_len, body);
    char *canonical = cm_asprintf(
        "%s\n%s\n%s\nhost:%s\nx-amz-date:%s\n%s%s%s\n%s\n%s", request->method, request->path,
        request->query, request->host, date, key->token ? "x-amz-security-token:" : "",
        key->token ? key->token : "", key->token ? "\n" : "", names, body);
    cm_sha256_hex(canonical, strlen(canonical), all);
    cm_free_secret(canonical, strlen(canonical));
    CM_AUTO_STR to_sign = cm_asprintf("AWS4-HMAC-SHA256\n%s\n%s\n%s", date, scope, all);
    signing_key(key, day, k);
    mac(k, to_sign);
    cm_hex(k, sizeof(k), hex);
    return cm_asprintf("Authorization: AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, "
                       "Signature=%s",
                       key->id, scope, names, hex);
}
