/*
 * A year in a moment: certificates of 45 days, the clock moved from one due time to the next.
 * Nothing runs out, no limit of the CA is exceeded, and neither memory nor descriptors grow.
 * CERTMGR_YEAR=1000 for the release; else 10 credentials.
 */
#include "tests/unit/engine/harness.h"

#include <dirent.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/num.h"
#include "certmgr/engine/ca_known.h"

#define DAY_MS   INT64_C(86400000)
#define HOUR_MS  INT64_C(3600000)
#define LIFE_S   (45L * 86400)
#define ORDERS   300 /* of an account in three hours, as at Let's Encrypt */
#define LOG_SIZE 200000
#define MANY     50

static struct ca_known row;
static char directory[80];
static int64_t started_ms[LOG_SIZE]; /* of every order, by the fake clock */
static size_t started;

static int teardown(void **state)
{
    ca_known_test(NULL);
    return h_teardown(state);
}

static bool is_idle(struct h *h)
{
    return h->engine->job_count == 0 && json_object_size(h->engine->queue) == 0;
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
    unsigned before = h->ca.new_orders;
    h->ca.shift_s = (long)(shift_ms / 1000);
    sched_again(h->engine);
    h_until(h, is_idle, "the end of what is due");
    json_array_clear(h->ops);
    while (before++ < h->ca.new_orders && started < LOG_SIZE)
        started_ms[started++] = cm_now_ms();
}

static void nothing_ran_out(struct h *h, const json_t *ids)
{
    size_t i;
    json_t *id;
    json_array_foreach(ids, i, id)
    {
        CM_AUTO_JSON body = h_body(h, "credential", json_string_value(id));
        if (!cm_json_str(body, "chain"))
            continue; /* its first order waits for the CA's limit */
        assert_true(cm_json_time(body, "not_after", 0) > cm_now_ms());
        assert_null(cm_json_obj(body, "error"));
    }
}

static void no_limit_was_exceeded(void)
{
    for (size_t first = 0, last = 0; last < started; last++) {
        while (started_ms[first] + 3 * HOUR_MS <= started_ms[last])
            first++;
        assert_in_range(last - first + 1, 1,
                        2 * ORDERS); /* a full bucket and three hours of refill */
    }
}

static void a_year_of_45_days(void **state)
{
    struct h *h = *state;
    int64_t count = 10, mono = cm_mono_ms(), start = cm_now_ms();
    const char *wanted = getenv("CERTMGR_YEAR");
    if (wanted)
        assert_int_equal(cm_num_i64(wanted, 1, 5000, &count), 0);
    h_account(h);
    h->ca.life_s = LIFE_S;
    snprintf(directory, sizeof(directory), "%s/dir", h->ca.base);
    row = (struct ca_known){.directory = directory};
    row.rate[LIMIT_ORDERS] = (struct eng_rate){ORDERS, 36000};
    row.rate[LIMIT_SET] = (struct eng_rate){5, 34 * HOUR_MS};
    ca_known_test(&row);
    cm_clock_fake(start, mono);
    CM_AUTO_JSON ids = json_array();
    for (int64_t i = 0; i < count; i++) {
        CM_AUTO_STR name = cm_asprintf("n%d.example.com", (int)i);
        json_t *fields = h_fields(name);
        CM_AUTO_STR file = cm_asprintf("n%d.kyr", (int)i);
        cm_json_set_str(fields, "keyring_file", file);
        assert_int_equal(h_submit(h, fields), 0);
        json_array_append_new(ids, json_string(h->credential));
    }
    work(h, 0);
    unsigned files = 0;
    size_t bytes = 0;
    int64_t now = start;
    while (now < start + 365 * DAY_MS) {
        int64_t due = h->engine->armed_ms, step = count > MANY ? 12 * HOUR_MS : DAY_MS;
        /* a wake-up comes a little late; of many, those of half a day are done together */
        now = count <= MANY && due > now && due < now + step ? due + 1000 : now + step;
        cm_clock_fake(now, mono + now - start);
        work(h, now - start);
        nothing_ran_out(h, ids);
        if (files == 0 && now > start + 60 * DAY_MS) { /* each has been renewed once */
            files = open_files();
            bytes = mallinfo2().uordblks;
        }
    }
    no_limit_was_exceeded();
    /* at 30 of 45 days: eleven or twelve renewals and the first order */
    assert_true(h->ca.finalized >= count * 11 && h->ca.finalized <= count * 14);
    assert_int_equal(h->ca.new_orders, h->ca.finalized);
    assert_true(open_files() <= files + 4);
    /* what the harness itself keeps of each order and call is in it; the sanitizers say nothing */
    print_message("%d credentials: %u orders, %zu KB in use after 60 days, %zu KB at the end, %u "
                  "descriptors\n",
                  (int)count, h->ca.new_orders, bytes >> 10, (size_t)mallinfo2().uordblks >> 10,
                  open_files());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_year_of_45_days, h_setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
