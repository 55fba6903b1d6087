/* Rows of a changes feed that our JSON reader refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/core/json.h"
#include "base/core/mem.h"
#include "replicator/job.h"
#include "replicator/rows.h"

static void mends(const char *from, const char *to)
{
    CM_AUTO_STR text = cm_strdup(from);
    rp_rows_mend(text, strlen(text));
    assert_string_equal(text, to);
}

static void escapes_that_no_text_may_hold(void **state)
{
    (void)state;
    mends("[\"a\\u0000b\"]", "[\"a\\ufffdb\"]");
    mends("[\"\\ud800\"]", "[\"\\ufffd\"]");
    mends("[\"\\uDFFFx\"]", "[\"\\ufffdx\"]");
    mends("[\"\\ud800\\ud800\\udc00\"]", "[\"\\ufffd\\ud800\\udc00\"]");
    mends("[\"\\ud800\\u0000\"]", "[\"\\ufffd\\ufffd\"]");
    mends("[\"\\ud800\\n\"]", "[\"\\ufffd\\n\"]");
}

static void everything_else_stays(void **state)
{
    (void)state;
    static const char *const good[] = {"",
                                       "[]",
                                       "[\"\\\\u0000\"]",
                                       "[\"\\ud83d\\ude00\"]",
                                       "[\"\\uD83D\\uDE00\"]",
                                       "[\"\\u0001\"]",
                                       "[\"\\\"\\u00e9\"]",
                                       "\\",
                                       "\\u",
                                       "\\u000",
                                       "[\"\\uzzzz\"]"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        mends(good[i], good[i]);
    mends("[\"\\ud83d\\ude0", "[\"\\ufffd\\ude0"); /* cut off: it does not parse anyway */
}

static void is_seq(const char *text, const char *wanted)
{
    CM_AUTO_JSON seq = rp_rows_first_seq(text, strlen(text));
    CM_AUTO_STR found = seq ? json_dumps(seq, JSON_ENCODE_ANY) : cm_strdup("none");
    assert_string_equal(found, wanted);
}

static void the_place_of_a_row(void **state)
{
    (void)state;
    is_seq("{\"results\":[\n{\"seq\":\"12-g1AAAA\",\"id\":\"x", "\"12-g1AAAA\"");
    is_seq("{\"results\":[{\"seq\":12,\"id\":\"x", "12");
    is_seq("{\"results\":[{\"seq\":\"\",\"id\":\"x", "none");
    is_seq("{\"results\":[{\"seq\":\"1\\n\",\"id\":\"x", "none");
    is_seq("{\"results\":[{\"seq\":-1,\"id\":\"x", "none");
    is_seq("{\"results\":[{\"seq\":1.5,\"id\":\"x", "none");
    is_seq("{\"results\":[{\"seq\":99999999999999999999,\"id\":\"x", "none");
    is_seq("{\"results\":[{\"seq\":\"1", "none");
    is_seq("{\"results\":[{\"id\":\"x\",\"seq\":1}", "none");
    is_seq("{\"results\":[],\"last_seq\":1}", "none");
    is_seq("<html>", "none");
    is_seq("", "none");
    char text[RP_SEQ_MAX + 64];
    for (size_t over = 0; over < 2; over++) {
        int at = snprintf(text, sizeof(text), "{\"results\":[{\"seq\":\"");
        memset(text + at, 'a', RP_SEQ_MAX + over);
        memcpy(text + at + RP_SEQ_MAX + over, "\",", 3);
        CM_AUTO_JSON seq = rp_rows_first_seq(text, strlen(text));
        assert_int_equal(seq != NULL, over == 0);
    }
}

static void whole(bool wanted, const char *text)
{
    if (rp_rows_whole(text, strlen(text)) != wanted)
        fail_msg("%s is%s whole", text, wanted ? " not" : "");
}

static void half_of_a_feed(void **state)
{
    (void)state;
    whole(true, "{\"results\":[{\"seq\":1,\"id\":\"x\",\"changes\":[1e9999]}],\"last_seq\":1}\n");
    whole(true, "{\"a\":\"]}\\\"\\\\\"} \r\n\t");
    whole(true, "[]");
    whole(false, "");
    whole(false, "\n\n");
    whole(false, "\"{}\"");
    whole(false, "{\"results\":[{\"seq\":1,\"id\":\"x\",\"changes\":[");
    whole(false, "{\"results\":[{\"seq\":1,\"id\":\"x");
    whole(false, "{\"results\":[{\"seq\":1,\"id\":\"x]}]}");
    whole(false, "{\"results\":[{\"seq\":1,\"id\":\"x\\\"}]}");
    whole(false, "{\"results\":[{\"seq\":1,\"id\":\"x\\");
    /* What a hub says that fails in the middle. */
    whole(false, "{\"results\":[{\"seq\":1}\n\n{\"error\":\"timeout\",\"reason\":\"x\"}\n");
    whole(false, "{\"results\":[]}{\"error\":\"timeout\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(escapes_that_no_text_may_hold),
        cmocka_unit_test(everything_else_stays),
        cmocka_unit_test(the_place_of_a_row),
        cmocka_unit_test(half_of_a_feed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
