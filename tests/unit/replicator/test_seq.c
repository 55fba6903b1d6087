/* Sequence tokens: writing, reading, other incarnations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "replicator/seq.h"

#define EPOCH  "0badcafe"
#define NEWEST 100

static void test_format(void **state)
{
    char text[RP_SEQ_TEXT];
    (void)state;
    rp_seq_format(0, EPOCH, text);
    assert_string_equal(text, "0-0badcafe");
    rp_seq_format(INT64_MAX, EPOCH, text);
    assert_string_equal(text, "9223372036854775807-0badcafe");
}

static void test_parse(void **state)
{
    static const struct {
        const char *text;
        int64_t seq; /* -1 = refused */
    } table[] = {
        {"0", 0},
        {"42", 42},
        {"now", NEWEST},
        {"\"now\"", NEWEST},
        {"42-0badcafe", 42},
        {"\"42-0badcafe\"", 42},
        {"100-0badcafe", 100},
        {"100", 100},
        {"101-0badcafe", 0}, /* never given out */
        {"101", 0},
        {"42-deadbeef", 0}, /* another incarnation */
        {"42-g1AAAACjeJzLYWBg", 0},
        {"", -1},
        {"-1", -1},
        {"x", -1},
        {"4 2", -1},
        {"42x", -1},
        {"99999999999999999999", -1},
        {"\"", -1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        int64_t seq = -1;
        int rc = rp_seq_parse(table[i].text, EPOCH, NEWEST, &seq);
        if (table[i].seq < 0)
            assert_true(rc < 0);
        else {
            assert_int_equal(rc, 0);
            assert_int_equal(seq, table[i].seq);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_parse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
