/* The token that every server of the fleet answers by itself. */
#include "tests/unit/challenge/support.h"

#include "certmgr/challenge/probe.h"

static void every_probe_has_one_answer(void **state)
{
    (void)state;
    char *dir = temp_dir();
    struct cs_store *store = open_store(dir);
    char token[CH_PROBE_TOKEN], other[CH_PROBE_TOKEN];
    ch_probe_token(token);
    ch_probe_token(other);
    assert_int_equal(strlen(token), CH_PROBE_TOKEN - 1);
    assert_string_not_equal(token, other);
    CM_AUTO_STR answer = ch_probe_answer(store, token);
    CM_AUTO_STR again = ch_http01_lookup(store, token, 1);
    CM_AUTO_STR another = ch_probe_answer(store, other);
    assert_string_equal(answer, again);
    assert_string_not_equal(answer, another);
    assert_true(strncmp(answer, token, strlen(token)) == 0 && answer[strlen(token)] == '.');
    assert_int_equal(strlen(answer), strlen(token) + 1 + 43);
    assert_true(strlen(answer) < 128); /* a CA, and so the check, refuses more */
    cs_close(store);
    remove_dir(dir);
}

static void nothing_else_is_answered(void **state)
{
    (void)state;
    char *dir = temp_dir();
    struct cs_store *store = open_store(dir);
    static const char *const tokens[] = {"",
                                         "certmgr-probe-",
                                         "certmgr-probe-short",
                                         "certmgr-probe-aaaaaaaaaaaaaaaaaaaaaaa",
                                         "Certmgr-probe-aaaaaaaaaaaaaaaaaaaaaa",
                                         "certmgr-probe-aaaaaaaaaaaaaaaaaaa/aa"};
    for (size_t i = 0; i < sizeof(tokens) / sizeof(tokens[0]); i++)
        assert_null(ch_http01_lookup(store, tokens[i], 1));
    cs_close(store);
    remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_probe_has_one_answer),
        cmocka_unit_test(nothing_else_is_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
