/* What is remembered of CAA: for how long, asked how often, and what a silent resolver costs. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "base/core/clock.h"
#include "base/core/json.h"
#include "certmgr/dns/caa_memory.h"
#include "tests/unit/dns/fake_dns.h"

#define PORT 22100

static const struct fake_rule rules[] = {
    {.name = "ours.test", .type = DNS_CAA, .answer = {"ours.test CAA 0 issue ca.example"}},
    {.name = "none.test", .type = DNS_CAA, .authority = "test SOA ns.test"}, /* 30 s */
    {.name = "bare.test", .type = DNS_CAA, .answer = {"bare.test CNAME end.test"}},
    {.name = "fail.test", .type = DNS_CAA, .rcode = 2},
    {.name = "silent.test", .type = DNS_CAA, .rcode = FAKE_SILENT},
    {.name = NULL},
};

static struct cm_loop *loop;
static struct dns_client *dns;
static struct caa_memory *memory;
static struct fake_dns fake;
static int64_t now_ms;

struct told {
    unsigned count, failed;
    bool kept;
    size_t records;
    char cname[64];
};

/* Put before the loop's by the linker: the limit of a question passes when pass_limit() says so. */
static struct cm_timer *limit; /* of the question sent first */
void __real_cm_timer_start(struct cm_timer *timer, int64_t ms);
void __wrap_cm_timer_start(struct cm_timer *timer, int64_t ms);
void __wrap_cm_timer_start(struct cm_timer *timer, int64_t ms)
{
    if (ms != CAA_SILENT_MS)
        __real_cm_timer_start(timer, ms);
    else if (!limit)
        limit = timer;
}

static void pass_limit(void)
{
    assert_non_null(limit);
    __real_cm_timer_start(limit, 0);
}

static void on_seen(void *arg, const struct caa_seen *seen)
{
    struct told *told = arg;
    told->count++;
    told->failed += seen->err != NULL;
    told->kept = seen->kept;
    told->records = json_array_size(seen->records);
    snprintf(told->cname, sizeof(told->cname), "%s", seen->cname ? seen->cname : "");
}

static void later(int64_t ms)
{
    now_ms += ms;
    cm_clock_fake(1800000000000, now_ms);
}

static void until(const struct told *told, unsigned count)
{
    for (int i = 0; i < 100000 && told->count < count; i++)
        cm_loop_turn(loop, true);
    assert_int_equal(told->count, count);
}

static struct told ask(const char *name, bool fresh)
{
    struct told told = {.count = 0};
    assert_non_null(caa_memory_ask(memory, name, fresh, on_seen, &told));
    assert_int_equal(told.count, 0); /* never from inside */
    until(&told, 1);
    return told;
}

static int setup(void **state)
{
    (void)state;
    now_ms = 1000000;
    limit = NULL;
    later(0);
    fake_start(&fake, "127.0.221.10", PORT, rules);
    loop = cm_loop_new();
    assert_int_equal(dns_client_new(loop, "127.0.221.10:22100", &dns, NULL), 0);
    memory = caa_memory_new(loop, dns);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    caa_memory_free(memory);
    dns_client_free(dns);
    cm_loop_free(loop);
    fake_stop(&fake);
    cm_clock_fake(-1, -1);
    return 0;
}

static void an_answer_lives_as_long_as_its_ttl(void **state)
{
    static const struct {
        const char *name;
        size_t records;
        int64_t life_ms;
    } rows[] = {{"ours.test", 1, 60000},
                {"none.test", 0, 30000},
                {"bare.test", 0, 60000},
                {"nothing.test", 0, CAA_KEEP_MS}}; /* without a SOA nobody says how long */
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        unsigned before = caa_memory_questions(memory);
        struct told first = ask(rows[i].name, false);
        assert_false(first.kept || first.failed);
        assert_int_equal(first.records, rows[i].records);
        later(rows[i].life_ms - 1);
        struct told again = ask(rows[i].name, false);
        assert_true(again.kept);
        assert_int_equal(again.records, rows[i].records);
        assert_string_equal(again.cname, first.cname);
        assert_int_equal(caa_memory_questions(memory), before + 1);
        later(1);
        assert_false(ask(rows[i].name, false).kept);
        assert_false(ask(rows[i].name, true).kept); /* who wants it fresh gets it */
        assert_int_equal(caa_memory_questions(memory), before + 3);
    }
    assert_string_equal(ask("bare.test", false).cname, "end.test");
}

static void what_many_ask_is_asked_once(void **state)
{
    struct told told = {.count = 0};
    (void)state;
    for (int i = 0; i < 100; i++)
        caa_memory_ask(memory, "ours.test", i % 2, on_seen, &told);
    until(&told, 100);
    assert_int_equal(told.failed, 0);
    assert_int_equal(caa_memory_questions(memory), 1);
    assert_int_equal(fake.questions, 1);
}

static void a_failure_is_believed_for_a_moment(void **state)
{
    (void)state;
    assert_int_equal(ask("fail.test", false).failed, 1);
    assert_int_equal(ask("fail.test", false).failed, 1);
    assert_int_equal(caa_memory_questions(memory), 1);
    assert_int_equal(ask("ours.test", false).failed, 0); /* the resolver is well */
    later(CAA_FAILED_MS);
    assert_int_equal(ask("fail.test", false).failed, 1);
    assert_int_equal(caa_memory_questions(memory), 3);
}

/* Machines without a resolver: the first order waits, no other does. */
static void a_silent_resolver_is_waited_for_once(void **state)
{
    struct told told = {.count = 0};
    (void)state;
    caa_memory_ask(memory, "silent.test", false, on_seen, &told);
    cm_loop_turn(loop, false);
    assert_int_equal(told.count, 0);
    later(CAA_SILENT_MS);
    pass_limit();
    until(&told, 1);
    assert_int_equal(told.failed, 1);
    for (int i = 0; i < 20; i++) {
        char name[32];
        snprintf(name, sizeof(name), "n%d.test", i);
        assert_int_equal(ask(name, i % 2).failed, 1);
    }
    assert_int_equal(caa_memory_questions(memory), 1);
    later(CAA_PROBE_MS); /* one of them finds out that it is back; nobody waits for that */
    assert_int_equal(ask("ours.test", false).failed, 1);
    assert_int_equal(ask("n1.test", false).failed, 1);
    assert_int_equal(caa_memory_questions(memory), 2);
    for (int i = 0; i < 100000 && ask("ours.test", false).failed; i++)
        poll(NULL, 0, 1);
    assert_int_equal(ask("n1.test", false).failed, 0);
    assert_int_equal(caa_memory_questions(memory), 3);
}

static void a_silent_name_is_no_silent_resolver(void **state)
{
    struct told told = {.count = 0};
    (void)state;
    caa_memory_ask(memory, "silent.test", false, on_seen, &told);
    later(1);
    assert_int_equal(ask("ours.test", false).failed, 0);
    later(CAA_SILENT_MS);
    pass_limit();
    until(&told, 1);
    assert_int_equal(told.failed, 1);
    assert_int_equal(ask("silent.test", false).failed, 1); /* who comes later does not wait */
    assert_int_equal(ask("n1.test", false).failed, 0);
    assert_int_equal(caa_memory_questions(memory), 3);
}

static void only_so_many_are_under_way_and_kept(void **state)
{
    struct told told = {.count = 0};
    char name[32];
    (void)state;
    for (int i = 0; i <= CAA_KEPT_MAX; i++) {
        snprintf(name, sizeof(name), "n%d.test", i);
        caa_memory_ask(memory, name, false, on_seen, &told);
        if (i == 2 * CAA_OPEN_MAX)
            assert_int_equal(caa_memory_questions(memory), 1 + CAA_OPEN_MAX);
        if (i % (3 * CAA_OPEN_MAX) == 0)
            until(&told, (unsigned)i + 1);
    }
    until(&told, CAA_KEPT_MAX + 1);
    assert_int_equal(told.failed, 0);
    assert_true(ask("n1.test", false).kept);
    assert_true(ask(name, false).kept);
    assert_false(ask("n0.test", false).kept); /* the oldest has gone */
}

static void who_cancels_hears_nothing(void **state)
{
    struct told told = {.count = 0};
    (void)state;
    caa_ask_cancel(caa_memory_ask(memory, "ours.test", false, on_seen, &told));
    caa_ask_cancel(NULL);
    ask("ours.test", false);
    caa_ask_cancel(caa_memory_ask(memory, "ours.test", false, on_seen, &told)); /* a kept one */
    ask("ours.test", false);
    assert_int_equal(told.count, 0);
    /* and what is open when the memory goes goes with it */
    caa_memory_ask(memory, "silent.test", false, on_seen, &told);
    caa_memory_ask(memory, "ours.test", false, on_seen, &told);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_answer_lives_as_long_as_its_ttl),  TEST(what_many_ask_is_asked_once),
        TEST(a_failure_is_believed_for_a_moment),  TEST(a_silent_resolver_is_waited_for_once),
        TEST(a_silent_name_is_no_silent_resolver), TEST(only_so_many_are_under_way_and_kept),
        TEST(who_cancels_hears_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
