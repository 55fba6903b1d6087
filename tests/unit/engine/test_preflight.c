/* The check before a request: what it knows by itself, its bounds and its ends. */
#include "tests/unit/engine/harness.h"

#include "certmgr/engine/guard.h"
#include "certmgr/engine/preflight.h"

static json_t *report, *field_errors;
static bool away;

static int setup(void **state)
{
    away = false;
    return h_setup(state);
}

static int teardown(void **state)
{
    acme_preset_test(NULL, 0);
    json_decref(report);
    json_decref(field_errors);
    report = field_errors = NULL;
    return h_teardown(state);
}

static void on_report(void *arg, const json_t *found, const json_t *errors,
                      const struct cm_err *err)
{
    json_decref(report);
    json_decref(field_errors);
    report = json_deep_copy(found);
    field_errors = json_deep_copy(errors);
    h_on_done(arg, err);
}

static bool is_away(void *arg)
{
    (void)arg;
    return away;
}

static struct eng_preflight_opts opts(void)
{
    return (struct eng_preflight_opts){.actor = {.who = "ada", .via = "form"}, .gone = is_away};
}

static int check(struct h *h, json_t *take_fields)
{
    struct eng_preflight_opts with = opts();
    eng_preflight(h->engine, take_fields, &with, on_report, h);
    json_decref(take_fields);
    return h_done(h);
}

/* The nth row of this id, or NULL. */
static const json_t *row(const char *id)
{
    size_t i;
    json_t *one;
    json_array_foreach(cm_json_arr(report, "checks"), i, one)
    {
        if (strcmp(cm_json_str_or(one, "id", ""), id) == 0)
            return one;
    }
    return NULL;
}

static const char *text(const char *id)
{
    return cm_json_str_or(row(id), "text", "");
}

static void account_at(struct h *h, const char *directory)
{
    CM_AUTO_JSON fields =
        json_pack("{s:s,s:s,s:b}", "name", "ca", "directory", directory, "terms_agreed", 1);
    const struct eng_actor actor = {.who = "ada", .via = "form"};
    eng_account_put(h->engine, fields, &actor, h_on_done, h);
    if (h_done(h) != 0)
        fail_msg("%s", h_line(h));
}

/* ---- what it finds ----------------------------------------------------------------------------
 */

static void names_go_round_and_the_directory_is_read(void **state)
{
    struct h *h = *state;
    h_account(h);
    assert_int_equal(check(h, h_fields("M\xc3\xbcLLER.example, www.example.com")), 0);
    assert_string_equal(cm_json_str_or(report, "result", ""), "ok");
    assert_non_null(strstr(text("name_ok"), "xn--mller-kva.example, and reads back as "
                                            "m\xc3\xbcller.example"));
    assert_null(row("directory_unread"));
    assert_null(row("budget_ok")); /* nothing is known of the small CA's limits */
    assert_non_null(strstr(text("challenge_ok"), "http-01"));
    assert_int_equal(h->ca.new_orders, 0);
    assert_int_equal(h->ca.accounts, 0);
}

/* Required it fails; preferred it would be left out. */
static void a_profile_the_ca_does_not_offer(void **state)
{
    struct h *h = *state;
    h_account(h);
    json_t *fields = h_fields("www.example.com");
    cm_json_set_str(fields, "profile", "nosuch");
    json_t *required = json_deep_copy(fields);
    cm_json_set_bool(required, "profile_required", true);
    assert_int_equal(check(h, fields), 0);
    assert_string_equal(cm_json_str_or(report, "result", ""), "warn");
    assert_non_null(strstr(text("profile_unknown"), "\"nosuch\"; it would be left out"));
    assert_int_equal(check(h, required), 0);
    assert_string_equal(cm_json_str_or(report, "result", ""), "fail");
    assert_non_null(strstr(text("profile_unknown"), "nosuch"));
    assert_non_null(cm_json_str(row("profile_unknown"), "fix"));
}

static void a_ca_that_is_away_is_told(void **state)
{
    struct h *h = *state;
    account_at(h, "https://127.0.0.1:1/dir");
    assert_int_equal(check(h, h_fields("www.example.com")), 0);
    assert_string_equal(cm_json_str_or(report, "result", ""), "fail");
    assert_string_equal(cm_json_str_or(row("directory_unread"), "what", ""), "directory");
}

static void kind_of_key_and_class_of_known_cas(void **state)
{
    struct h *h = *state;
    account_at(h, "https://acme.ssl.com/sslcom-dv-ecc");
    json_t *fields = h_fields("example.com, mail.example.com");
    cm_json_set_str(fields, "key_type", "RSA-2048");
    assert_int_equal(check(h, fields), 0);
    assert_string_equal(cm_json_str_or(row("key_type_wrong"), "result", ""), "fail");
    assert_non_null(strstr(text("billing_class"), "\"Premium\""));
    assert_non_null(strstr(text("billing_changed"), "Adding mail.example.com"));
    assert_string_equal(cm_json_str_or(row("billing_changed"), "name", ""), "mail.example.com");
    assert_int_equal(check(h, h_fields("example.com, www.example.com")), 0);
    assert_null(row("key_type_wrong"));
    assert_null(row("billing_changed")); /* a name and its www */
    assert_non_null(strstr(text("billing_class"), "\"Basic\""));
}

static void names_of_one_fate(void **state)
{
    struct h *h = *state;
    struct acme_preset known = {.directory = "https://127.0.0.1:1/dir", .one_fate = true};
    account_at(h, known.directory);
    acme_preset_test(&known, 1);
    assert_int_equal(check(h, h_fields("a.example.jp, b.example.jp")), 0);
    assert_string_equal(cm_json_str_or(row("one_fate"), "result", ""), "warn");
    assert_int_equal(check(h, h_fields("a.example.jp")), 0);
    assert_null(row("one_fate"));
}

static void the_same_set_and_the_limits(void **state)
{
    struct h *h = *state;
    static char directory[128];
    h_account(h);
    json_decref(h_issue(h, "www.example.com, example.com"));
    snprintf(directory, sizeof(directory), "%s/dir", h->ca.base);
    struct acme_preset known = {.directory = directory,
                                .rate = {[ACME_LIMIT_ORDERS] = {2, 3600000}}};
    acme_preset_test(&known, 1);
    json_t *fields = h_fields("example.com, www.example.com");
    cm_json_set_str(fields, "keyring_file", "other.kyr");
    assert_int_equal(check(h, json_incref(fields)), 0);
    assert_non_null(strstr(text("set_exact"), h->credential));
    assert_string_equal(cm_json_str_or(row("set_recent"), "result", ""), "warn");
    assert_string_equal(cm_json_str_or(row("budget_ok"), "result", ""), "ok");
    assert_string_equal(cm_json_str_or(report, "result", ""), "warn");
    /* Not its own double. */
    struct eng_preflight_opts own = opts();
    own.credential = h->credential;
    eng_preflight(h->engine, fields, &own, on_report, h);
    assert_int_equal(h_done(h), 0);
    assert_null(row("set_exact"));
    json_decref(fields);
    /* One name more is another set. */
    assert_int_equal(check(h, h_fields("example.com, www.example.com, a.example.com")), 0);
    assert_null(row("set_exact"));
    CM_AUTO_JSON names = json_pack("[s]", "x.example.com");
    struct eng_wish wish = {.account = "ca", .directory = directory, .names = names};
    for (int i = 0; i < 2; i++)
        eng_budget_end(h->engine, eng_budget_begin(h->engine, &wish, true), false);
    assert_int_equal(check(h, h_fields("y.example.com")), 0);
    assert_non_null(strstr(text("budget_wait"), "2 new orders of the account ca"));
    assert_string_equal(cm_json_str_or(row("budget_wait"), "result", ""), "warn");
}

/* ---- its bounds -------------------------------------------------------------------------------
 */

static void mistakes_are_field_errors(void **state)
{
    struct h *h = *state;
    h_account(h);
    assert_int_equal(check(h, h_fields("-bad-.example")), CM_EINVAL);
    assert_null(report);
    assert_string_equal(cm_json_str_or(json_array_get(field_errors, 0), "field", ""), "host_names");
}

static void who_goes_ends_it(void **state)
{
    struct h *h = *state;
    h_account(h);
    away = true;
    assert_int_equal(check(h, h_fields("www.example.com")), CM_ECLOSED);
    assert_null(report);
}

static unsigned ends, closed;

static void on_end(void *arg, const json_t *found, const json_t *errors, const struct cm_err *err)
{
    (void)arg;
    (void)found;
    (void)errors;
    ends++;
    closed += err && err->code == CM_ECLOSED;
}

static bool all_ended(struct h *h)
{
    (void)h;
    return ends == PREFLIGHT_AT_ONCE;
}

static void so_many_at_a_time_and_all_end_with_the_engine(void **state)
{
    struct h *h = *state;
    struct eng_preflight_opts with = opts();
    h_account(h);
    ends = closed = 0;
    CM_AUTO_JSON fields = h_fields("www.example.com");
    for (int i = 0; i < PREFLIGHT_AT_ONCE; i++)
        eng_preflight(h->engine, fields, &with, on_end, NULL);
    assert_int_equal(check(h, h_fields("www.example.com")), CM_EBUSY);
    h_until(h, all_ended, "the others");
    ends = closed = 0;
    for (int i = 0; i < 3; i++)
        eng_preflight(h->engine, fields, &with, on_end, NULL);
    h_restart(h);
    assert_int_equal(ends, 3);
    assert_int_equal(closed, 3);
    assert_int_equal(check(h, h_fields("www.example.com")), 0);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(names_go_round_and_the_directory_is_read),
        TEST(a_profile_the_ca_does_not_offer),
        TEST(a_ca_that_is_away_is_told),
        TEST(kind_of_key_and_class_of_known_cas),
        TEST(names_of_one_fate),
        TEST(the_same_set_and_the_limits),
        TEST(mistakes_are_field_errors),
        TEST(who_goes_ends_it),
        TEST(so_many_at_a_time_and_all_end_with_the_engine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
