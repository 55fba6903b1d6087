/* The report of a period: each credential once, in its list; bounds; the end of the engine. */
#include "tests/unit/engine/harness.h"

#include "certmgr/engine/report.h"

#define HOUR INT64_C(3600000)

static const struct eng_actor ada = {.who = "ada", .via = "form"};
static json_t *report;
static bool answered;

static int teardown(void **state)
{
    json_decref(report);
    report = NULL;
    return h_teardown(state);
}

static void on_report(void *arg, const json_t *found)
{
    json_decref(report);
    report = json_deep_copy(found);
    answered = true;
    (void)arg;
}

static bool has_answer(struct h *h)
{
    (void)h;
    return answered;
}

static void ask(struct h *h, int64_t since_ms)
{
    answered = false;
    eng_report(h->engine, since_ms, on_report, NULL);
    assert_false(answered);
    h_until(h, has_answer, "the report");
}

static int64_t count(const char *name)
{
    return cm_json_int(cm_json_obj(report, name), "count", -1);
}

static const json_t *first(const char *name)
{
    return json_array_get(cm_json_arr(cm_json_obj(report, name), "rows"), 0);
}

static json_t *fields_of(const char *name)
{
    json_t *fields = h_fields(name);
    CM_AUTO_STR file = cm_asprintf("%s.kyr", name);
    cm_json_set_str(fields, "keyring_file", file);
    return fields;
}

static void each_in_its_list(void **state)
{
    struct h *h = *state;
    h_account(h);
    ask(h, 0);
    assert_int_equal(count("issued") + count("skipped") + count("failed") + count("misconfigured"),
                     0);
    json_decref(h_issue(h, "new.example"));
    char issued[CM_ULID_TEXT];
    (void)cm_strcpy(issued, sizeof(issued), h->credential);
    h->ca.refuse_orders = 1;
    h->ca.refuse_type = "rejectedIdentifier";
    assert_int_equal(h_submit(h, fields_of("bad.example")), 0);
    json_decref(h_status(h, "error"));
    ask(h, cm_now_ms() - 24 * HOUR);
    assert_int_equal(count("issued"), 1);
    const json_t *row = first("issued");
    assert_string_equal(cm_json_str(row, "credential"), issued);
    assert_string_equal(json_string_value(json_array_get(cm_json_arr(row, "names"), 0)),
                        "new.example");
    assert_non_null(cm_json_str(row, "not_after"));
    assert_non_null(cm_json_str(row, "keyring_file"));
    assert_int_equal(json_array_size(cm_json_arr(row, "servers")), 2);
    assert_int_equal(count("failed"), 1);
    assert_non_null(strstr(cm_json_str(first("failed"), "text"), "rejectedIdentifier"));
    assert_non_null(cm_json_str(first("failed"), "next_at"));
    assert_int_equal(count("skipped"), 0);
    /* Of a later period it is one that was left alone, until its renewal. */
    ask(h, cm_now_ms() + HOUR);
    assert_int_equal(count("issued"), 0);
    assert_int_equal(count("skipped"), 1);
    CM_AUTO_JSON body = h_body(h, "credential", issued);
    assert_string_equal(cm_json_str(cm_json_obj(report, "skipped"), "next_at"),
                        cm_json_str(body, "next_action_at"));
    struct eng_revocation wish = {.after = "keep"};
    eng_revoke(h->engine, issued, &wish, &ada, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    (void)cm_strcpy(h->credential, sizeof(h->credential), issued);
    json_decref(h_status(h, "revoked"));
    ask(h, 0);
    assert_int_equal(count("ended"), 1);
    assert_int_equal(count("issued"), 0);
}

/* D8, N8: settings that no unattended run can work with are counted, each with its fix. */
static void settings_that_cannot_work(void **state)
{
    struct h *h = *state;
    h_account(h);
    json_decref(h_issue(h, "www.hand.example"));
    ask(h, 0);
    assert_int_equal(count("misconfigured"), 0);
    CM_AUTO_JSON fields =
        json_pack("{s:s,s:s,s:s}", "name", "people", "kind", "manual", "domains", "hand.example");
    eng_dns_account_put(h->engine, fields, &ada, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    h_turns(h, 20);
    ask(h, 0);
    assert_int_equal(count("misconfigured"), 1);
    assert_int_equal(count("issued"), 1); /* besides */
    assert_non_null(strstr(cm_json_str(first("misconfigured"), "text"), "The name is proved"));
    assert_non_null(strstr(cm_json_str(first("misconfigured"), "fix"), "pause the renewal"));
    CM_AUTO_JSON account = h_body(h, "account", "ca");
    json_object_del(account, "terms_agreed");
    h_put(h, json_incref(account));
    ask(h, 0);
    assert_non_null(strstr(cm_json_str(first("misconfigured"), "text"), "terms of service"));
}

/* More than a slice, more than a list holds. */
static void many(void **state)
{
    struct h *h = *state;
    h_account(h);
    for (int i = 0; i < REPORT_ROWS + 5; i++) {
        char ulid[CM_ULID_TEXT];
        cm_ulid(ulid);
        json_t *body =
            json_pack("{s:o,s:s,s:s,s:[o],s:[s],s:s,s:s,s:s,s:s}", "_id",
                      json_sprintf("credential:%s", ulid), "type", "credential", "status", "issued",
                      "host_names", json_sprintf("n%d.example", i), "servers", "alpha", "provider",
                      "acme", "account", "ca", "key_type", "P-256", "key_rollover", "keep");
        cm_json_set(body, "host_names_ascii", json_deep_copy(json_object_get(body, "host_names")));
        cm_json_set_time(body, "issued_at", cm_now_ms());
        cm_json_set_bool(body, "paused", true);
        h_put(h, body);
    }
    ask(h, 0);
    assert_int_equal(count("issued"), REPORT_ROWS + 5);
    assert_int_equal(json_array_size(cm_json_arr(cm_json_obj(report, "issued"), "rows")),
                     REPORT_ROWS);
}

static void it_ends_with_the_engine(void **state)
{
    struct h *h = *state;
    report = json_object();
    answered = false;
    eng_report(h->engine, 0, on_report, NULL);
    h_restart(h);
    h_until(h, has_answer, "the end");
    assert_null(report);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, h_setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_in_its_list),
        TEST(settings_that_cannot_work),
        TEST(many),
        TEST(it_ends_with_the_engine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
