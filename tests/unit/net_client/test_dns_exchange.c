/* Raw DNS messages: UDP, repeats, TCP, forged and missing answers. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "base/net/dns_exchange.h"
#include "tests/unit/dns/fake_dns.h"

#define PORT 22350
#define TXT  16

static const struct fake_rule rules[] = {
    {.name = "plain.test", .type = TXT, .answer = {"plain.test TXT here"}},
    {.name = "cut.test", .type = TXT, .rcode = FAKE_CUT, .answer = {"cut.test TXT whole"}},
    {.name = "forged.test", .type = TXT, .rcode = FAKE_WRONG_ID},
    {.name = "lost.test", .type = TXT, .rcode = FAKE_SILENT},
    {.name = "lost.test", .type = TXT, .answer = {"lost.test TXT at-last"}, .after = 1},
    {.name = NULL},
};

static struct cm_loop *loop;
static struct fake_dns fake;

struct outcome {
    bool done;
    size_t len;
    unsigned char answer[2048];
    int code;
    char what[512];
};

static void on_answer(void *arg, const uint8_t *answer, size_t len, const struct cm_err *err)
{
    struct outcome *o = arg;
    o->done = true;
    o->len = len;
    if (answer)
        memcpy(o->answer, answer, len < sizeof(o->answer) ? len : sizeof(o->answer));
    if (err) {
        o->code = err->code;
        snprintf(o->what, sizeof(o->what), "%s", err->what);
    }
}

static size_t question(const char *name, unsigned char *out)
{
    memset(out, 0, 12);
    out[0] = 0x12;
    out[1] = 0x34;
    out[5] = 1;
    size_t at = 12 + fake_name(out + 12, name);
    at += fake_u16(out + at, TXT);
    return at + fake_u16(out + at, 1);
}

static struct dns_exchange *begin(struct outcome *o, const char *address, unsigned port,
                                  const char *name)
{
    unsigned char msg[512];
    size_t len = question(name, msg);
    struct dns_exchange *x = dns_exchange(loop, address, port, msg, len, on_answer, o);
    assert_non_null(x);
    assert_false(o->done);
    return x;
}

static struct outcome run(const char *address, unsigned port, const char *name)
{
    struct outcome o = {0};
    begin(&o, address, port, name);
    while (!o.done)
        cm_loop_turn(loop, true);
    return o;
}

static bool holds(const struct outcome *o, const char *text)
{
    return memmem(o->answer, o->len, text, strlen(text)) != NULL;
}

static int setup(void **state)
{
    (void)state;
    fake_start(&fake, "127.0.22.60", PORT, rules);
    loop = cm_loop_new();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cm_loop_free(loop);
    fake_stop(&fake);
    return 0;
}

static void an_answer_comes_back(void **state)
{
    (void)state;
    struct outcome o = run("127.0.22.60", PORT, "plain.test");
    assert_int_equal(o.code, 0);
    assert_true(holds(&o, "here"));
    assert_int_equal(fake.over_tcp, 0);
}

static void a_cut_answer_is_fetched_over_tcp(void **state)
{
    (void)state;
    struct outcome o = run("127.0.22.60", PORT, "cut.test");
    assert_true(holds(&o, "whole"));
    assert_int_equal(fake.over_tcp, 1);
}

static void a_long_message_goes_over_tcp_at_once(void **state)
{
    unsigned char msg[1400] = {0};
    struct outcome o = {0};
    (void)state;
    question("plain.test", msg);
    int before = fake.over_tcp;
    dns_exchange(loop, "127.0.22.60", PORT, msg, sizeof(msg), on_answer, &o);
    while (!o.done)
        cm_loop_turn(loop, true);
    assert_true(holds(&o, "here"));
    assert_int_equal(fake.over_tcp - before, 1);
}

/* A lost message is sent again after 1.5 s; a forged answer beside it is passed over. */
static void what_is_lost_is_sent_again(void **state)
{
    struct outcome lost = {0}, forged = {0};
    (void)state;
    begin(&lost, "127.0.22.60", PORT, "lost.test");
    struct dns_exchange *x = begin(&forged, "127.0.22.61", PORT, "forged.test");
    while (!lost.done)
        cm_loop_turn(loop, true);
    assert_true(holds(&lost, "at-last"));
    assert_false(forged.done);
    dns_exchange_cancel(x);
    dns_exchange_cancel(NULL);
}

static void nobody_there_is_told(void **state)
{
    (void)state;
    struct outcome o = run("127.0.22.69", 22996, "plain.test");
    assert_int_equal(o.code, CM_ENET);
    assert_non_null(strstr(o.what, "127.0.22.69 port 22996 cannot be reached"));
    o = run("no address", PORT, "plain.test");
    assert_int_equal(o.code, CM_EINVAL);
    o = run("127.0.22.60", 0, "plain.test");
    assert_int_equal(o.code, CM_EINVAL);
}

static void ways_are_known_without_sending(void **state)
{
    (void)state;
    assert_true(dns_routable("127.0.22.99"));
    assert_false(dns_routable("not.an.address"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_comes_back),
        cmocka_unit_test(a_cut_answer_is_fetched_over_tcp),
        cmocka_unit_test(a_long_message_goes_over_tcp_at_once),
        cmocka_unit_test(what_is_lost_is_sent_again),
        cmocka_unit_test(nobody_there_is_told),
        cmocka_unit_test(ways_are_known_without_sending),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
