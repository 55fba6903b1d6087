/* Options: taken out of the words wherever they stand, each with its rule. */
#include "tests/unit/cli/support.h"

#define ARGS_MAX (2 * CLI_VALUES_MAX + 16)

struct parsed {
    struct cli cli;
    char *argv[ARGS_MAX];
    struct cli_option option[4];
    int rv;
};

static void parse(struct parsed *p, const char *const *words)
{
    int argc = 0;
    *p = (struct parsed){.option = {{.name = "--domain", .short_name = "-d"},
                                    {.name = "--server"},
                                    {.name = "--wait", .short_name = "-w", .flag = true},
                                    {.name = NULL}}};
    for (; words[argc] != NULL; argc++)
        p->argv[argc] = (char *)(uintptr_t)words[argc];
    p->cli.argc = argc;
    p->cli.argv = p->argv;
    p->rv = cli_options(&p->cli, p->option);
}
#define PARSE(p, ...) parse(p, (const char *const[]){__VA_ARGS__, NULL})

static void options_and_words_mix(void **state)
{
    static struct parsed p;
    (void)state;
    PARSE(&p, "one", "-d", "a.example", "two", "--domain", "b.example", "-w", "--domain=c=d", "-");
    assert_int_equal(p.rv, 0);
    assert_int_equal(p.cli.argc, 3);
    assert_string_equal(p.cli.argv[0], "one");
    assert_string_equal(p.cli.argv[1], "two");
    assert_string_equal(p.cli.argv[2], "-");
    assert_int_equal(p.option[0].count, 3);
    assert_string_equal(p.option[0].value[0], "a.example");
    assert_string_equal(p.option[0].value[1], "b.example");
    assert_string_equal(p.option[0].value[2], "c=d");
    assert_string_equal(cli_value(&p.option[0], "x"), "c=d");
    assert_string_equal(cli_value(&p.option[1], "x"), "x");
    assert_int_equal(p.option[2].count, 1);
    assert_false(p.cli.json);
}

static void values_may_look_like_options(void **state)
{
    static struct parsed p;
    (void)state;
    PARSE(&p, "-d", "--server", "--server=", "--json");
    assert_int_equal(p.rv, 0);
    assert_string_equal(p.option[0].value[0], "--server");
    assert_string_equal(p.option[1].value[0], "");
    assert_true(p.cli.json);
    assert_int_equal(p.cli.argc, 0);
}

static void words_only_behind_a_lone_double_dash(void **state)
{
    static struct parsed p;
    (void)state;
    PARSE(&p, "-w", "--", "--json", "-d", "--");
    assert_int_equal(p.rv, 0);
    assert_false(p.cli.json);
    assert_int_equal(p.cli.argc, 3);
    assert_string_equal(p.cli.argv[0], "--json");
    assert_string_equal(p.cli.argv[1], "-d");
    assert_string_equal(p.cli.argv[2], "--");
    assert_int_equal(p.option[0].count, 0);
}

static void what_does_not_fit_is_refused(void **state)
{
    static struct parsed p;
    static const char *const bad[] = {"--domai",    "--domains", "-x",       "-dx",
                                      "--wait=yes", "-d",        "--server", "--=a"};
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        PARSE(&p, bad[i]);
        if (p.rv != CLI_USAGE)
            fail_msg("%s was taken", bad[i]);
    }
}

static void so_many_values_and_no_more(void **state)
{
    static struct parsed p;
    const char *words[ARGS_MAX] = {0};
    (void)state;
    for (size_t i = 0; i < CLI_VALUES_MAX; i++) {
        words[2 * i] = "-d";
        words[2 * i + 1] = "a.example";
    }
    parse(&p, words);
    assert_int_equal(p.rv, 0);
    assert_int_equal(p.option[0].count, CLI_VALUES_MAX);
    words[2 * CLI_VALUES_MAX] = "--domain=one.more";
    parse(&p, words);
    assert_int_equal(p.rv, CLI_USAGE);
}

static void an_error_has_its_exit_status(void **state)
{
    static const struct {
        int code, status;
    } rows[] = {
        {CM_ENOENT, CLI_NOT_FOUND}, {CM_ECONFLICT, CLI_CONFLICT},   {CM_EDENIED, CLI_DENIED},
        {CM_ENET, CLI_UNREACHABLE}, {CM_ETIMEOUT, CLI_UNREACHABLE}, {CM_ECLOSED, CLI_UNREACHABLE},
        {CM_EINVAL, CLI_FAILED},    {CM_EIO, CLI_FAILED},           {CM_EPEER, CLI_FAILED}};
    static struct cli cli;
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct cm_err err = CM_ERR_INIT;
        cm_fail(&err, rows[i].code, "a test");
        assert_int_equal(cli_error(&cli, &err), rows[i].status);
        cm_err_fini(&err);
    }
    assert_int_equal(cli_usage(&cli, "a test"), CLI_USAGE);
}

static void control_bytes_do_not_reach_the_terminal(void **state)
{
    (void)state;
    CM_AUTO_JSON v = json_pack("{s:s, s:[s, {s:s}], s:i, s:n}", "a", "x\x1b[2Jy\x7fz", "b",
                               "caf\xc3\xa9\n\tok", "c",
                               "\xc2\x9b"
                               "31m",
                               "n", 5, "z");
    cli_clean(v);
    assert_string_equal(cm_json_str(v, "a"), "x?[2Jy?z");
    json_t *b = cm_json_arr(v, "b");
    assert_string_equal(json_string_value(json_array_get(b, 0)), "caf\xc3\xa9\n\tok");
    assert_string_equal(cm_json_str(json_array_get(b, 1), "c"), "??31m");
    assert_int_equal(cm_json_int(v, "n", 0), 5);
    cli_clean(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_and_words_mix),
        cmocka_unit_test(values_may_look_like_options),
        cmocka_unit_test(words_only_behind_a_lone_double_dash),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(so_many_values_and_no_more),
        cmocka_unit_test(an_error_has_its_exit_status),
        cmocka_unit_test(control_bytes_do_not_reach_the_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
