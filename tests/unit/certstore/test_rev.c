/* Revision ids: text form and order. */
#include "support.h"

#include "certstore/rev.h"

static void round_trip(const char *text, const char *expected)
{
    struct cs_rev rev;
    char out[CS_REV_MAX + 1];
    assert_int_equal(cs_rev_parse(text, &rev), 0);
    cs_rev_format(&rev, out);
    assert_string_equal(out, expected);
}

static void reads_and_writes(void **state)
{
    (void)state;
    round_trip("1-a", "1-a");
    round_trip("12-00112233445566778899aabbccddeeff", "12-00112233445566778899aabbccddeeff");
    round_trip("12-00112233445566778899AABBCCDDEEFF", "12-00112233445566778899aabbccddeeff");
    round_trip("999999999999999-00112233445566778899aabbccddeeff",
               "999999999999999-00112233445566778899aabbccddeeff");
    /* 16 bytes of text are what CouchDB takes them for. */
    round_trip("1-abcdefghijklmnop", "1-6162636465666768696a6b6c6d6e6f70");
}

static void refuses(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", "-", "1", "1-", "-a", "0-a", "01-a", "+1-a", " 1-a", "1 -a", "1.0-a",
        "1000000000000000-a", "99999999999999999999999999-a",
        /* 32 characters that are not hex */
        "1-0011223344556677889900aabbccddgg",
        /* one over the limit of a whole revision */
        "1-0123456789012345678901234567890123456789012345678901234567890123"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct cs_rev rev;
        if (cs_rev_parse(bad[i], &rev) != CM_EMALF)
            fail_msg("accepted: %s", bad[i]);
    }
}

/* What CouchDB takes for a revision is more than what we can hold. */
static void names(void **state)
{
    static const char *const named[] = {"1-a",
                                        "0-a",
                                        "+1-a",
                                        "-1-a",
                                        "1-",
                                        "1--",
                                        "99999999999999999999999999-a",
                                        "1-00112233445566778899AAbbccddeeff",
                                        "1-0123456789012345678901234567890123456789"};
    static const char *const not_named[] = {
        "",      "-",    "1",    "-a",  "a-1",
        "1.0-a", " 1-a", "1 -a", "+-a", "1-0011223344556677889900aabbccddgg"};
    (void)state;
    for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++)
        if (!cs_rev_named(named[i]))
            fail_msg("refused: %s", named[i]);
    for (size_t i = 0; i < sizeof(not_named) / sizeof(not_named[0]); i++)
        if (cs_rev_named(not_named[i]))
            fail_msg("accepted: %s", not_named[i]);
}

static int order(const char *a, const char *b)
{
    struct cs_rev x, y;
    assert_int_equal(cs_rev_parse(a, &x), 0);
    assert_int_equal(cs_rev_parse(b, &y), 0);
    int forth = cs_rev_cmp(&x, &y), back = cs_rev_cmp(&y, &x);
    assert_int_equal(forth<0, back> 0);
    assert_int_equal(forth == 0, cs_rev_eq(&x, &y));
    return forth;
}

static void orders_as_couchdb(void **state)
{
    (void)state;
    assert_true(order("2-a", "10-a") < 0);
    assert_true(order("1-a", "1-b") < 0);
    assert_true(order("1-a", "1-aa") < 0);
    assert_int_equal(order("1-a", "1-a"), 0);
    /* Bytes, not text: the hex id is 16 times 0xff and so above 'z'. */
    assert_true(order("1-zzz", "1-ffffffffffffffffffffffffffffffff") < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_and_writes),
        cmocka_unit_test(refuses),
        cmocka_unit_test(names),
        cmocka_unit_test(orders_as_couchdb),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
