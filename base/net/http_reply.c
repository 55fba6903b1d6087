/* Reading a raw reply header block: fields and Retry-After.  Pure functions without libcurl. */
#include "base/net/http_client.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/core/clock.h"
#include "base/core/mem.h"
#include "base/core/num.h"

#define RETRY_AFTER_MAX_MS (INT64_C(365) * 86400 * 1000)
#define DATE_TEXT_MAX      64
#define MS_PER_YEAR        INT64_C(31556952000) /* mean Gregorian year */

bool http_header_get(const char *headers, const char *name, unsigned nth, char *out, size_t size)
{
    size_t name_len = strlen(name);
    for (const char *line = headers; *line;) {
        size_t len = strcspn(line, "\r\n");
        if (len > name_len && line[name_len] == ':' && strncasecmp(line, name, name_len) == 0 &&
            nth-- == 0) {
            const char *value = line + name_len + 1, *end = line + len;
            while (value < end && (*value == ' ' || *value == '\t'))
                value++;
            while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
                end--;
            size_t value_len = (size_t)(end - value);
            if (value_len >= size)
                return false;
            memcpy(out, value, value_len);
            out[value_len] = '\0';
            return true;
        }
        line += len;
        line += strspn(line, "\r\n");
    }
    return false;
}

/* 1..12, or 0 when text does not begin with a month's name (case counts, RFC 9110 5.6.7). */
static int month_of(const char *text)
{
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    for (int i = 0; i < 12; i++) {
        if (strncmp(text, names + 3 * i, 3) == 0)
            return i + 1;
    }
    return 0;
}

/* Does text have this shape?  d = digit, a = letter, others stand for themselves. */
static bool has_shape(const char *text, const char *shape)
{
    for (; *shape && *text; shape++, text++) {
        bool digit = *text >= '0' && *text <= '9';
        bool letter = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z');
        if (*shape == 'd' ? !digit : *shape == 'a' ? !letter : *text != *shape)
            return false;
    }
    return *shape == '\0' && *text == '\0';
}

/* The three date forms of RFC 9110 5.6.7; the calendar is checked by cm_time_parse(). */
static int parse_http_date(const char *text, int64_t now_ms, int64_t *ret_ms)
{
    char day[3] = {0}, year[5] = {0}, iso[DATE_TEXT_MAX];
    const char *month, *time;
    const char *comma = strchr(text, ',');
    bool two_digit_year = false;
    if (comma && has_shape(comma, ", dd aaa dddd dd:dd:dd GMT")) { /* IMF-fixdate */
        memcpy(day, comma + 2, 2);
        month = comma + 5;
        memcpy(year, comma + 9, 4);
        time = comma + 14;
    } else if (comma && has_shape(comma, ", dd-aaa-dd dd:dd:dd GMT")) { /* RFC 850 */
        memcpy(day, comma + 2, 2);
        month = comma + 5;
        year[0] = '2';
        year[1] = '0';
        memcpy(year + 2, comma + 9, 2);
        time = comma + 12;
        two_digit_year = true;
    } else if (has_shape(text, "aaa aaa dd dd:dd:dd dddd") ||
               has_shape(text, "aaa aaa  d dd:dd:dd dddd")) { /* asctime */
        day[0] = text[8] == ' ' ? '0' : text[8];
        day[1] = text[9];
        month = text + 4;
        memcpy(year, text + 20, 4);
        time = text + 11;
    } else {
        return CM_EMALF;
    }
    snprintf(iso, sizeof(iso), "%s-%02d-%sT%.8sZ", year, month_of(month), day, time);
    if (cm_time_parse(iso, ret_ms) < 0)
        return CM_EMALF;
    /* A two-digit year more than 50 years ahead means the past century. */
    if (two_digit_year && *ret_ms > now_ms + 50 * MS_PER_YEAR) {
        memcpy(iso, "19", 2);
        return cm_time_parse(iso, ret_ms);
    }
    return 0;
}

int64_t http_date(const char *headers, int64_t now_ms)
{
    char value[DATE_TEXT_MAX] = "";
    int64_t at = 0;
    if (!http_header_get(headers, "Date", 0, value, sizeof(value)) ||
        parse_http_date(value, now_ms, &at) < 0)
        return 0;
    return at;
}

int64_t http_retry_after(const char *headers, int64_t now_ms)
{
    char value[DATE_TEXT_MAX] = "";
    int64_t seconds, at;
    if (!http_header_get(headers, "Retry-After", 0, value, sizeof(value)))
        return 0;
    int rc = cm_num_i64(value, 0, INT64_MAX, &seconds);
    if (rc == CM_ELIMIT)
        seconds = INT64_MAX;
    if (rc != CM_EMALF)
        at = cm_add_sat(now_ms, cm_mul_sat(seconds, 1000));
    else if (parse_http_date(value, now_ms, &at) < 0)
        return 0;
    int64_t latest = cm_add_sat(now_ms, RETRY_AFTER_MAX_MS);
    if (at > latest)
        return latest;
    return at < now_ms ? now_ms : at; /* a date in the past means: at once */
}
