/* Wall and monotonic clock, and RFC 3339 text; tests can make both clocks stand still. */
#include "base/core/clock.h"

#include <string.h>
#include <time.h>

#include "base/core/err.h"
#include "base/core/mem.h"

#define MS_PER_DAY  INT64_C(86400000)
#define TIME_MIN_MS INT64_C(-62167219200000) /* 0000-01-01T00:00:00.000Z */
#define TIME_MAX_MS INT64_C(253402300799999) /* 9999-12-31T23:59:59.999Z */

static int64_t fake_wall_ms = -1;
static int64_t fake_mono_ms = -1;

static int64_t read_clock(clockid_t id)
{
    struct timespec ts;
    CM_BUG_ON(clock_gettime(id, &ts) != 0);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t cm_now_ms(void)
{
    return fake_wall_ms >= 0 ? fake_wall_ms : read_clock(CLOCK_REALTIME);
}

int64_t cm_mono_ms(void)
{
    return fake_mono_ms >= 0 ? fake_mono_ms : read_clock(CLOCK_MONOTONIC);
}

int64_t cm_boot_ms(void)
{
    return fake_mono_ms >= 0 ? fake_mono_ms : read_clock(CLOCK_BOOTTIME);
}

void cm_clock_fake(int64_t wall_ms, int64_t mono_ms)
{
    fake_wall_ms = wall_ms;
    fake_mono_ms = mono_ms;
}

/* Proleptic Gregorian calendar in 400-year eras that start on 1 March. */
static int64_t days_of_civil(int64_t year, int64_t month, int64_t day)
{
    if (month <= 2)
        year--;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static void civil_of_days(int64_t days, int64_t *year, int64_t *month, int64_t *day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month_from_march = (5 * day_of_year + 2) / 153;
    *day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    *month = month_from_march + (month_from_march < 10 ? 3 : -9);
    *year = year_of_era + era * 400 + (*month <= 2 ? 1 : 0);
}

static void put_digits(char *out, unsigned count, int64_t value)
{
    while (count-- > 0) {
        out[count] = (char)('0' + value % 10);
        value /= 10;
    }
}

void cm_time_format(int64_t ms, char out[CM_TIME_TEXT])
{
    if (ms < TIME_MIN_MS)
        ms = TIME_MIN_MS;
    if (ms > TIME_MAX_MS)
        ms = TIME_MAX_MS;
    int64_t days = ms / MS_PER_DAY, rest = ms % MS_PER_DAY;
    if (rest < 0) {
        rest += MS_PER_DAY;
        days--;
    }
    int64_t year, month, day;
    civil_of_days(days, &year, &month, &day);
    memcpy(out, "0000-00-00T00:00:00.000Z", CM_TIME_TEXT);
    put_digits(out, 4, year);
    put_digits(out + 5, 2, month);
    put_digits(out + 8, 2, day);
    put_digits(out + 11, 2, rest / 3600000);
    put_digits(out + 14, 2, rest / 60000 % 60);
    put_digits(out + 17, 2, rest / 1000 % 60);
    put_digits(out + 20, 3, rest % 1000);
}

/* Reads count digits; -1 when one of them is none. */
static int64_t take_digits(const char *text, unsigned count)
{
    int64_t value = 0;
    for (unsigned i = 0; i < count; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        value = value * 10 + (text[i] - '0');
    }
    return value;
}

static int days_in_month(int64_t year, int64_t month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

/* The part behind the seconds: "Z" or "." digits "Z"; digits beyond milliseconds are dropped. */
static int parse_fraction(const char *text, int64_t *ret_ms)
{
    *ret_ms = 0;
    if (*text == '.') {
        int64_t weight = 100;
        const char *first = ++text;
        for (; *text >= '0' && *text <= '9'; text++) {
            *ret_ms += (*text - '0') * weight;
            weight /= 10;
        }
        if (text == first)
            return CM_EMALF;
    }
    return text[0] == 'Z' && text[1] == '\0' ? 0 : CM_EMALF;
}

int cm_time_parse(const char *text, int64_t *ret_ms)
{
    static const char shape[] = "dddd-dd-ddTdd:dd:dd";
    if (!text || strnlen(text, sizeof(shape)) < sizeof(shape))
        return CM_EMALF;
    for (size_t i = 0; i < sizeof(shape) - 1; i++) {
        if (shape[i] != 'd' && text[i] != shape[i])
            return CM_EMALF;
    }
    int64_t year = take_digits(text, 4), month = take_digits(text + 5, 2);
    int64_t day = take_digits(text + 8, 2), hour = take_digits(text + 11, 2);
    int64_t minute = take_digits(text + 14, 2), second = take_digits(text + 17, 2);
    /* Second 60 exists (RFC 3339 5.7) and counts as the first second of the next minute. */
    if (year < 0 || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) ||
        hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60)
        return CM_EMALF;
    int64_t fraction;
    if (parse_fraction(text + sizeof(shape) - 1, &fraction) < 0)
        return CM_EMALF;
    *ret_ms = days_of_civil(year, month, day) * MS_PER_DAY + hour * 3600000 + minute * 60000 +
              second * 1000 + fraction;
    return 0;
}
