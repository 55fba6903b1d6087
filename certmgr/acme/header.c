/* Reading Replay-Nonce, Retry-After and Link fields of a raw head. */
#include "certmgr/acme/header.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/core/clock.h"
#include "base/core/mem.h"
#include "base/core/num.h"
#include "certmgr/acme/text.h"

#define LINK_FIELD_MAX 8192

bool acme_header_get(const char *headers, const char *name, unsigned nth, char *out, size_t size)
{
    size_t name_len = strlen(name);
    for (const char *line = headers; line && *line != '\0';) {
        const char *end = line + strcspn(line, "\r\n");
        const char *colon = memchr(line, ':', (size_t)(end - line));
        if (colon && (size_t)(colon - line) == name_len && strncasecmp(line, name, name_len) == 0 &&
            nth-- == 0) {
            const char *value = colon + 1;
            while (value < end && (*value == ' ' || *value == '\t'))
                value++;
            while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
                end--;
            size_t len = (size_t)(end - value);
            if (len >= size)
                return false;
            memcpy(out, value, len);
            out[len] = '\0';
            return true;
        }
        line = end + strspn(end, "\r\n");
    }
    return false;
}

static int month_number(const char *name)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    for (int i = 0; i < 12; i++) {
        if (strncmp(months + (size_t)i * 3, name, 3) == 0)
            return i + 1;
    }
    return 0;
}

/* The parts of an HTTP-date, still text: "06", "Nov", "1994", "08:49:37". */
static int64_t date_ms(const char *day, const char *month, const char *year, const char *clock)
{
    char text[48];
    int64_t ms = 0;
    int n = month_number(month);
    if (n == 0)
        return 0;
    snprintf(text, sizeof(text), "%.4s-%02d-%c%cT%.8sZ", year, n, day[0] == ' ' ? '0' : day[0],
             day[1], clock);
    return cm_time_parse(text, &ms) < 0 ? 0 : ms;
}

/* RFC 9110 5.6.7: IMF-fixdate, and the two obsolete forms a recipient must read. */
static int64_t http_date(const char *text, int64_t now_ms)
{
    size_t len = strlen(text);
    const char *comma = strchr(text, ',');
    if (len == 29 && comma == text + 3) /* Sun, 06 Nov 1994 08:49:37 GMT */
        return date_ms(text + 5, text + 8, text + 12, text + 17);
    if (!comma && len == 24) /* Sun Nov  6 08:49:37 1994 */
        return date_ms(text + 8, text + 4, text + 20, text + 11);
    if (comma && strlen(comma) == 24) { /* Sunday, 06-Nov-94 08:49:37 GMT */
        char now[CM_TIME_TEXT];
        char year[5];
        cm_time_format(now_ms, now);
        snprintf(year, sizeof(year), "%.2s%.2s", now, comma + 9);
        return date_ms(comma + 2, comma + 5, year, comma + 12);
    }
    return 0;
}

int64_t acme_retry_after(const char *headers, int64_t now_ms)
{
    char value[64];
    int64_t seconds;
    int64_t at;
    if (!acme_header_get(headers, "retry-after", 0, value, sizeof(value)))
        return 0;
    int rc = cm_num_i64(value, 0, ACME_RETRY_AFTER_MAX / 1000, &seconds);
    if (rc == 0)
        at = cm_add_sat(now_ms, cm_mul_sat(seconds, 1000));
    else if (strspn(value, "0123456789") == strlen(value) && value[0] != '\0')
        at = cm_add_sat(now_ms, ACME_RETRY_AFTER_MAX);
    else
        at = http_date(value, now_ms);
    if (at == 0)
        return 0;
    if (at < now_ms)
        return now_ms;
    int64_t latest = cm_add_sat(now_ms, ACME_RETRY_AFTER_MAX);
    return at > latest ? latest : at;
}

/* Does the relation list ("next", "up next") hold rel? */
static bool rel_has(const char *list, size_t len, const char *rel)
{
    size_t rel_len = strlen(rel);
    for (size_t i = 0; i < len;) {
        size_t n = 0;
        while (i + n < len && list[i + n] != ' ' && list[i + n] != '\t')
            n++;
        if (n == rel_len && strncasecmp(list + i, rel, n) == 0)
            return true;
        i += n == 0 ? 1 : n;
    }
    return false;
}

/* Reads the parameters behind <target> up to the next comma outside quotes; returns that place. */
static const char *link_params(const char *p, const char *rel, bool *ret_match)
{
    *ret_match = false;
    while (*p != '\0' && *p != ',') {
        p += strspn(p, "; \t");
        const char *name = p;
        p += strcspn(p, "=;, \t");
        size_t name_len = (size_t)(p - name);
        p += strspn(p, " \t");
        if (*p != '=') {
            if (*p != '\0' && *p != ',' && name_len == 0)
                p++; /* a stray byte */
            continue;
        }
        p++;
        p += strspn(p, " \t");
        const char *value = p;
        size_t value_len;
        if (*p == '"') {
            value = ++p;
            p += strcspn(p, "\"");
            value_len = (size_t)(p - value);
            p += *p == '"';
        } else {
            p += strcspn(p, ";, \t");
            value_len = (size_t)(p - value);
        }
        if (name_len == 3 && strncasecmp(name, "rel", 3) == 0)
            *ret_match = *ret_match || rel_has(value, value_len, rel);
    }
    return p;
}

void acme_link_each(const char *headers, const char *rel, acme_link_fn fn, void *arg)
{
    unsigned links = 0;
    char *field = cm_malloc(LINK_FIELD_MAX);
    for (unsigned n = 0; n < ACME_LINKS_MAX; n++) {
        if (!acme_header_get(headers, "link", n, field, LINK_FIELD_MAX))
            break;
        for (const char *p = field; *p != '\0' && links < ACME_LINKS_MAX; links++) {
            p += strcspn(p, "<");
            const char *end = strchr(p, '>');
            if (*p != '<' || !end)
                break;
            bool match;
            const char *target = p + 1;
            size_t len = (size_t)(end - target);
            p = link_params(end + 1, rel, &match);
            if (match && len > 0 && len < ACME_URL_MAX) {
                CM_AUTO_STR copy = cm_strndup(target, len);
                fn(arg, copy);
            }
        }
    }
    cm_free(field);
}
