/*
 * A year in a moment: certificates of 45 days, the clock moved from one due time to the next.
 * Nothing runs out, no renewal is late, no limit of the CA is exceeded, and neither memory nor
 * descriptors grow.  CERTMGR_YEAR=1000 for the release; else 10 credentials.
 */
#include "tests/unit/engine/harness.h"

#include <dirent.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/num.h"
#include "certmgr/acme/ca.h"
#include "certmgr/acme/presets.h"
#include "certmgr/engine/life.h"
#include "certstore/internal.h"

#define DAY_MS    INT64_C(86400000)
#define HOUR_MS   INT64_C(3600000)
#define LIFE_S    (45L * 86400)
#define REFILL_MS 36000 /* an order of an account more; three tenths of all of them at once */
#define FIRST_MAX 5000
#define MANY      50
#define WINDOW    60 /* days; the least memory in use within one is compared with the next ones */
#define WINDOWS   6
#define GROWTH    1024 /* bytes: about ten for a renewal */

static struct acme_preset row;
static char directory[80];
static int64_t started_ms[FIRST_MAX]; /* of every first order, by the fake clock */
static size_t started;

static int teardown(void **state)
{
    acme_preset_test(NULL, 0);
    return h_teardown(state);
}

static bool is_idle(struct h *h)
{
    return h->engine->job_count == 0 && json_object_size(h->engine->queue) == 0;
}

/* ---- accounting --------------------------------------------------------------------------------
 *
 * What this project's code allocates (base/core/mem.c) and JSON values; not what libraries keep for
 * themselves: LMDB's spare pages are as many as the largest transaction so far had, by chance. */

static size_t own_bytes;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *ptr, size_t size);
void __real_free(void *ptr);
int __real_vasprintf(char **ret, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *ptr, size_t size);
void __wrap_free(void *ptr);
int __wrap_vasprintf(char **ret, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));

static void *counted(void *ptr)
{
    own_bytes += malloc_usable_size(ptr);
    return ptr;
}

void *__wrap_malloc(size_t size)
{
    return counted(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
    return counted(__real_calloc(count, size));
}

void *__wrap_realloc(void *ptr, size_t size)
{
    own_bytes -= malloc_usable_size(ptr);
    return counted(__real_realloc(ptr, size));
}

void __wrap_free(void *ptr)
{
    own_bytes -= malloc_usable_size(ptr);
    __real_free(ptr);
}

int __wrap_vasprintf(char **ret, const char *fmt, va_list ap)
{
    int len = __real_vasprintf(ret, fmt, ap);
    counted(len < 0 ? NULL : *ret);
    return len;
}

static unsigned open_files(void)
{
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

/* Everything that is due is done; the CA's clock is the fake one. */
static void work(struct h *h, int64_t shift_ms)
{
    h->ca.shift_s = (long)(shift_ms / 1000);
    eng_archive_stop(h->engine); /* its day is one of the loop's clock */
    eng_archive_start(h->engine);
    sched_again(h->engine);
    h_until(h, is_idle, "the end of what is due");
    json_array_clear(h->ops);
}

/* Two thirds of the life, and then as long as nobody looks (CERTMGR_YEAR: half a day) and a day. */
static void no_renewal_was_missed(struct h *h, const json_t *ids, int64_t step_ms)
{
    size_t i, issued = 0;
    json_t *id;
    json_array_foreach(ids, i, id)
    {
        CM_AUTO_JSON body = h_body(h, "credential", json_string_value(id));
        if (!cm_json_str(body, "chain"))
            continue; /* its first order waits for the CA's limit */
        if (++issued > started)
            started_ms[started++] = cm_now_ms();
        int64_t left = cm_json_time(body, "not_after", 0) - cm_now_ms();
        assert_true(left > LIFE_S * 1000 / 3 - step_ms - DAY_MS);
        assert_null(cm_json_obj(body, "error"));
    }
}

/* The CA's own count: a bucket of so many orders that refills every REFILL_MS by one. Who renews
 * for the same names takes none from it (as at Let's Encrypt). */
static void no_limit_was_exceeded(unsigned orders)
{
    int64_t full = (int64_t)orders * REFILL_MS, left = full;
    for (size_t i = 0; i < started; i++) {
        left += i > 0 ? started_ms[i] - started_ms[i - 1] : 0;
        left = (left < full ? left : full) - REFILL_MS;
        if (left < 0)
            fail_msg("order %zu comes %d s too early", i, (int)(-left / 1000));
    }
}

struct year {
    int64_t count, step_ms, start_ms, mono_ms;
    json_t *ids;
    size_t least[WINDOWS + 1];  /* bytes in use, of each window */
    unsigned orders;            /* of the account at once */
    unsigned most[WINDOWS + 1]; /* open descriptors */
};

static void begin(struct h *h, struct year *year)
{
    h_account(h);
    h->ca.life_s = LIFE_S;
    h->ca.forgets = true;
    snprintf(directory, sizeof(directory), "%s/dir", h->ca.base);
    row = (struct acme_preset){.directory = directory};
    row.rate[ACME_LIMIT_ORDERS] = (struct acme_rate){year->orders, REFILL_MS};
    row.rate[ACME_LIMIT_SET] = (struct acme_rate){5, 34 * HOUR_MS};
    acme_preset_test(&row, 1);
    year->start_ms = cm_now_ms();
    year->mono_ms = cm_mono_ms();
    cm_clock_fake(year->start_ms, year->mono_ms);
    for (int64_t i = 0; i < year->count; i++) {
        CM_AUTO_STR name = cm_asprintf("n%d.example.com", (int)i);
        json_t *fields = h_fields(name);
        CM_AUTO_STR file = cm_asprintf("n%d.kyr", (int)i);
        cm_json_set_str(fields, "keyring_file", file);
        assert_int_equal(h_submit(h, fields), 0);
        json_array_append_new(year->ids, json_string(h->credential));
    }
    work(h, 0);
    no_renewal_was_missed(h, year->ids, year->step_ms);
    /* the last orders of an account are remembered: all places are taken from the beginning */
    for (unsigned i = 0; i < ACME_KNOWN_ORDERS; i++) {
        CM_AUTO_STR url = cm_asprintf("%s/order/%u", h->ca.base, 1000000 + i);
        acme_ca_know_order(h->engine->cas->ca, url);
    }
}

static int count_one(void *arg, const char *key, const char *id)
{
    (void)key;
    (void)id;
    (*(int64_t *)arg)++;
    return 0;
}

static void measure(struct h *h, struct year *year, int64_t past_ms)
{
    size_t window = (size_t)(past_ms / (WINDOW * DAY_MS));
    int64_t archived = 0;
    cs_bodies_fini(h->store); /* parsed bodies: a number of them, but which ones is chance */
    size_t bytes = own_bytes;
    unsigned files = open_files();
    if (year->least[window] == 0 || bytes < year->least[window])
        year->least[window] = bytes;
    if (files > year->most[window])
        year->most[window] = files;
    /* 45 days and 30 more, each replaced every 30 days */
    cs_each(h->store, CS_BY_TYPE, "archive", NULL, NULL, count_one, &archived);
    assert_true(archived <= 3 * year->count);
}

/* From the second window on: each credential has been renewed once. */
static void nothing_grew(const struct year *year)
{
    for (size_t i = 1; i < WINDOWS; i++)
        print_message("days %zu to %zu: %zu KB in use, %u descriptors\n", i * WINDOW,
                      (i + 1) * WINDOW, year->least[i] >> 10, year->most[i]);
    for (size_t i = 2; i < WINDOWS; i++) {
        assert_true(year->least[i] <= year->least[1] + GROWTH);
        assert_true(year->most[i] <= year->most[1]);
    }
}

static void a_year_of_45_days(void **state)
{
    struct h *h = *state;
    struct year year = {.count = 10, .ids = json_array()};
    const char *wanted = getenv("CERTMGR_YEAR");
    if (wanted)
        assert_int_equal(cm_num_i64(wanted, 1, FIRST_MAX, &year.count), 0);
    year.orders = (unsigned)year.count * 3 / 10;
    year.step_ms = year.count > MANY ? 12 * HOUR_MS : DAY_MS;
    begin(h, &year);
    for (int64_t past = 0; past < 365 * DAY_MS;) {
        int64_t due = h->engine->armed_ms - year.start_ms;
        /* a wake-up comes a little late; of many, those of half a day are done together */
        past = year.count <= MANY && due > past && due < past + year.step_ms ? due + 1000
                                                                             : past + year.step_ms;
        cm_clock_fake(year.start_ms + past, year.mono_ms + past);
        work(h, past);
        no_renewal_was_missed(h, year.ids, year.step_ms);
        measure(h, &year, past);
    }
    json_decref(year.ids);
    assert_int_equal(started, year.count);
    no_limit_was_exceeded(year.orders);
    /* at 30 of 45 days: eleven or twelve renewals and the first order */
    assert_true(h->ca.finalized >= year.count * 11 && h->ca.finalized <= year.count * 14);
    assert_int_equal(h->ca.new_orders, h->ca.finalized);
    print_message("%d credentials: %u orders\n", (int)year.count, h->ca.new_orders);
    nothing_grew(&year);
}

int main(void)
{
    json_set_alloc_funcs(__wrap_malloc, __wrap_free);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_year_of_45_days, h_setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
