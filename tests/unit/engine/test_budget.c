/* The ledger of the CA's limits and what holds renewals back, against the small CA. */
#include "tests/unit/engine/harness.h"

#include "certmgr/engine/guard.h"

#define HOUR_MS INT64_C(3600000)

static char directory[128];
static struct acme_preset row;

/* The small CA with limits. */
static void limits(struct h *h)
{
    h_account(h);
    snprintf(directory, sizeof(directory), "%s/dir", h->ca.base);
    row = (struct acme_preset){.directory = directory};
    acme_preset_test(&row, 1);
}

static int teardown(void **state)
{
    acme_preset_test(NULL, 0);
    return h_teardown(state);
}

static bool is_idle(struct h *h)
{
    return h->engine->job_count == 0 && json_object_size(h->engine->queue) == 0;
}

static int make_due(void *arg, json_t *body, struct cm_err *err)
{
    (void)arg;
    (void)err;
    cm_json_set_time(body, "next_action_at", cm_now_ms() - 1000);
    return 0;
}

static void on_edited(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    (void)doc;
    h_on_done(arg, err);
}

static void edit(struct h *h, eng_edit_fn fn)
{
    CM_AUTO_STR id = cm_asprintf("credential:%s", h->credential);
    eng_edit(h->engine, id, "credential", fn, on_edited, h);
    assert_int_equal(h_done(h), 0);
}

static unsigned wanted_orders;

static bool has_orders(struct h *h)
{
    return h->ca.downloads >= wanted_orders && is_idle(h);
}

/* Due, and renewed. */
static void renews(struct h *h)
{
    wanted_orders = h->ca.downloads + 1;
    edit(h, make_due);
    h_until(h, has_orders, "the renewal");
    json_decref(h_status(h, "issued"));
}

static struct eng_wish wish_of(const json_t *names)
{
    return (struct eng_wish){.account = "ca", .directory = directory, .names = names};
}

/* How often the credential began to wait, when all is quiet. */
static unsigned waits_told(struct h *h)
{
    unsigned count = 0;
    size_t i;
    json_t *step;
    h_turns(h, 100);
    h_until(h, is_idle, "rest");
    CM_AUTO_JSON steps = eng_steps(h->engine, h->credential);
    json_array_foreach(steps, i, step)
    {
        count += strncmp(cm_json_str_or(step, "text", ""), "Waits for", 9) == 0;
    }
    return count;
}

/* ---- limits -----------------------------------------------------------------------------------
 */

static void an_order_beyond_the_limit_waits_and_burns_nothing(void **state)
{
    struct h *h = *state;
    limits(h);
    row.rate[ACME_LIMIT_ORDERS] = (struct acme_rate){1, HOUR_MS};
    json_decref(h_issue(h, "one.example.com"));
    h_until(h, is_idle, "the end");
    int64_t before = cm_now_ms();
    assert_int_equal(h_submit(h, h_fields("two.example.com")), 0);
    CM_AUTO_JSON body = h_status(h, "waiting");
    h_until(h, is_idle, "the end");
    int64_t next = cm_json_time(body, "next_action_at", 0);
    assert_in_range(next, before + HOUR_MS - 60000, before + HOUR_MS + 60000);
    assert_int_equal(next, cm_json_time(cm_json_obj(body, "waits_for"), "until", 0));
    assert_int_equal(cm_json_int(body, "attempts", -1), 0);
    assert_null(json_object_get(body, "error"));
    assert_int_equal(h->ca.new_orders, 1);
    CM_AUTO_JSON view = eng_view(h->engine, h->credential);
    assert_non_null(strstr(cm_json_str_or(view, "next", ""), "Waits for the CA's limit until 20"));
    assert_non_null(strstr(cm_json_str_or(view, "next", ""), "1 new orders of the account ca"));

    /* The next one that waits comes later: the refill is promised once. */
    char first[CM_ULID_TEXT];
    (void)cm_strcpy(first, sizeof(first), h->credential);
    assert_int_equal(h_submit(h, h_fields("three.example.com")), 0);
    CM_AUTO_JSON third = h_status(h, "waiting");
    assert_int_equal(cm_json_time(third, "next_action_at", 0), next + HOUR_MS);

    /* A person who is impatient neither burns the limit nor loses the place. */
    (void)cm_strcpy(h->credential, sizeof(h->credential), first);
    const struct eng_actor actor = {.who = "ada", .via = "form"};
    h_until(h, is_idle, "the end");
    eng_retry(h->engine, first, &actor, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    h_turns(h, 50);
    h_until(h, is_idle, "the end");
    CM_AUTO_JSON again = h_status(h, "waiting");
    assert_int_equal(cm_json_time(again, "next_action_at", 0), next);
    assert_int_equal(h->ca.new_orders, 1);

    /* Kept over a restart, and served when the time has come. */
    h_restart(h);
    CM_AUTO_JSON shown = eng_budget_view(h->engine, "ca");
    const json_t *limit = json_array_get(cm_json_arr(shown, "limits"), 0);
    assert_string_equal(cm_json_str(limit, "limit"), "orders");
    assert_int_equal(cm_json_int(limit, "left", -1), 0);
    assert_int_equal(cm_json_int(limit, "of", -1), 1);
    assert_true(cm_json_time(limit, "next_at", 0) > before);
    cm_clock_fake(next + 1000, cm_mono_ms() + next + 1000 - cm_now_ms());
    edit(h, make_due);
    CM_AUTO_JSON issued = h_status(h, "issued");
    assert_null(json_object_get(issued, "waits_for"));
    assert_int_equal(h->ca.new_orders, 2);
}

static void renewals_of_the_same_names_take_only_the_set(void **state)
{
    struct h *h = *state;
    limits(h);
    row.rate[ACME_LIMIT_ORDERS] = (struct acme_rate){1, HOUR_MS};
    row.rate[ACME_LIMIT_DOMAIN] = (struct acme_rate){1, HOUR_MS};
    row.rate[ACME_LIMIT_SET] = (struct acme_rate){2, HOUR_MS};
    json_decref(h_issue(h, "www.example.com, example.com"));
    h_until(h, is_idle, "the end");
    renews(h);
    assert_int_equal(h->ca.new_orders, 2);
    const struct eng_actor actor = {.who = "ada", .via = "form"};
    eng_renew(h->engine, h->credential, false, &actor, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    h_turns(h, 50);
    h_until(h, is_idle, "the end");
    CM_AUTO_JSON body = h_status(h, "renew");
    assert_non_null(strstr(cm_json_str_or(cm_json_obj(body, "waits_for"), "text", ""),
                           "exactly the names www.example.com and 1 more"));
    assert_int_equal(h->ca.new_orders, 2);
    assert_non_null(cm_json_str(body, "chain")); /* what serves stays */
}

static void orders_under_way_hold_what_they_will_take(void **state)
{
    struct h *h = *state;
    limits(h);
    char text[BUDGET_TEXT_MAX];
    row.rate[ACME_LIMIT_DOMAIN] = (struct acme_rate){2, HOUR_MS};
    row.rate[ACME_LIMIT_SET] = (struct acme_rate){9, HOUR_MS};
    CM_AUTO_JSON one = json_pack("[s,s]", "a.example.co.uk", "b.example.co.uk");
    CM_AUTO_JSON two = json_pack("[s]", "*.example.co.uk");
    CM_AUTO_JSON other = json_pack("[s]", "a.elsewhere.co.uk");
    struct eng_wish a = wish_of(one), b = wish_of(two), c = wish_of(other);
    int64_t now = cm_now_ms();
    cm_clock_fake(now, cm_mono_ms());
    json_t *first = eng_budget_begin(h->engine, &a, true);
    assert_int_equal(json_array_size(first), 2); /* the domain once, the set */
    assert_int_equal(eng_budget_ask(h->engine, &b, text), now);
    json_t *second = eng_budget_begin(h->engine, &b, true);
    assert_int_equal(eng_budget_ask(h->engine, &a, text), now + HOUR_MS);
    assert_non_null(strstr(text, "example.co.uk"));
    assert_int_equal(eng_budget_ask(h->engine, &c, text), now);
    eng_budget_end(h->engine, second, false); /* failed: nothing was taken */
    assert_int_equal(eng_budget_ask(h->engine, &a, text), now);
    eng_budget_end(h->engine, first, true);
    assert_int_equal(eng_budget_ask(h->engine, &b, text), now);
    eng_budget_end(h->engine, eng_budget_begin(h->engine, &b, true), true);
    assert_int_equal(eng_budget_ask(h->engine, &b, text), now + HOUR_MS);
    b.ari = true; /* renewals at the CA's own time are exempt */
    assert_int_equal(eng_budget_ask(h->engine, &b, text), now);
    b.ari = false;
    b.same_set = true;
    assert_int_equal(eng_budget_ask(h->engine, &b, text), now);
    /* Full again: swept. */
    cm_clock_fake(now + 20 * HOUR_MS, cm_mono_ms() + 20 * HOUR_MS);
    eng_budget_sweep(h->engine);
    CM_AUTO_JSON shown = eng_budget_view(h->engine, "ca");
    assert_int_equal(json_array_size(cm_json_arr(shown, "limits")), 0);
}

static void failed_checks_of_a_name_are_counted(void **state)
{
    struct h *h = *state;
    limits(h);
    char text[BUDGET_TEXT_MAX];
    row.rate[ACME_LIMIT_FAILED] = (struct acme_rate){1, HOUR_MS};
    h->ca.fail_validation = true;
    assert_int_equal(h_submit(h, h_fields("www.example.com")), 0);
    json_decref(h_status(h, "error"));
    CM_AUTO_JSON names = json_pack("[s]", "www.example.com");
    CM_AUTO_JSON others = json_pack("[s]", "example.com");
    struct eng_wish wish = wish_of(names), other = wish_of(others);
    assert_true(eng_budget_ask(h->engine, &wish, text) > cm_now_ms());
    assert_non_null(strstr(text, "failed checks of www.example.com"));
    assert_true(eng_budget_ask(h->engine, &other, text) <= cm_now_ms());
    const struct eng_actor actor = {.who = "ada", .via = "form"};
    h_until(h, is_idle, "the end");
    eng_retry(h->engine, h->credential, &actor, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    CM_AUTO_JSON body = h_status(h, "waiting");
    assert_int_equal(cm_json_int(body, "attempts", -1), 1); /* waiting is no attempt */
    assert_int_equal(waits_told(h), 1);
    assert_int_equal(h->ca.new_orders, 1);
}

static void a_ca_without_limits_keeps_no_ledger(void **state)
{
    struct h *h = *state;
    h_account(h);
    json_decref(h_issue(h, "www.example.com"));
    CM_AUTO_JSON view = eng_budget_view(h->engine, "ca");
    assert_false(cm_json_bool(view, "known", true));
    assert_int_equal(json_array_size(cm_json_arr(view, "limits")), 0);
    assert_null(eng_budget_view(h->engine, "nobody"));
}

/* ---- loops ------------------------------------------------------------------------------------
 */

static void the_third_identical_issue_waits_for_a_person(void **state)
{
    struct h *h = *state;
    h_account(h);
    json_decref(h_issue(h, "www.example.com"));
    h_until(h, is_idle, "the end");
    renews(h);
    edit(h, make_due);
    CM_AUTO_JSON body = h_status(h, "error");
    assert_int_equal(h->ca.new_orders, 2);
    const json_t *error = cm_json_obj(body, "error");
    assert_non_null(strstr(cm_json_str_or(error, "what", ""), "round of a loop"));
    assert_non_null(strstr(cm_json_str_or(error, "hint", ""), "Retry"));
    int64_t pause = cm_json_time(body, "next_action_at", 0) - cm_now_ms();
    assert_true(pause > 11 * HOUR_MS); /* daily */
    assert_non_null(cm_json_str(body, "chain"));
    h_until(h, is_idle, "the end");
    h_restart(h);
    const struct eng_actor actor = {.who = "ada", .via = "form"};
    eng_renew(h->engine, h->credential, false, &actor, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    json_decref(h_status(h, "issued"));
    assert_int_equal(h->ca.new_orders, 3);
}

/* The chain of one order, downloaded by one life after the other. */
static void an_order_counts_once(void **state)
{
    struct h *h = *state;
    h_account(h);
    CM_AUTO_JSON body = h_issue(h, "www.example.com");
    h_until(h, is_idle, "the end");
    CM_AUTO_JSON names = json_pack("[s]", "again.example.com");
    for (int i = 0; i < 5; i++)
        eng_again_note(h->engine, body, names, "https://ca.test/order/7");
    assert_false(eng_again_loops(h->engine, body, names));
    eng_again_note(h->engine, body, names, "https://ca.test/order/8");
    assert_true(eng_again_loops(h->engine, body, names));
}

static void a_week_later_it_is_no_loop(void **state)
{
    struct h *h = *state;
    h_account(h);
    json_decref(h_issue(h, "www.example.com"));
    h_until(h, is_idle, "the end");
    renews(h);
    int64_t now = cm_now_ms() + 8 * 24 * HOUR_MS;
    cm_clock_fake(now, cm_mono_ms() + 8 * 24 * HOUR_MS);
    renews(h);
    assert_int_equal(h->ca.new_orders, 3);
}

/* ---- Retry-After ------------------------------------------------------------------------------
 */

static bool has_error(struct h *h)
{
    CM_AUTO_JSON body = h_body(h, "credential", h->credential);
    return cm_json_obj(body, "error") != NULL;
}

static void the_cas_pause_survives_a_restart(void **state)
{
    struct h *h = *state;
    h_account(h);
    h->ca.refuse_orders = 1;
    h->ca.refuse_type = "rateLimited";
    h->ca.retry_after = "1800";
    assert_int_equal(h_submit(h, h_fields("one.example.com")), 0);
    CM_AUTO_JSON body = h_status(h, "error");
    assert_true(cm_json_time(body, "next_action_at", 0) >= cm_now_ms() + 1700000);
    h_until(h, is_idle, "the end");
    h_restart(h);
    assert_int_equal(h_submit(h, h_fields("two.example.com")), 0);
    CM_AUTO_JSON other = h_status(h, "waiting");
    assert_true(cm_json_time(other, "next_action_at", 0) >= cm_now_ms() + 1700000);
    assert_int_equal(waits_told(h), 1);
    assert_int_equal(h->ca.new_orders, 1); /* the CA was not asked */
}

/* Also when it was no order that the CA answered so. */
static void a_pause_for_a_revocation_survives_a_restart(void **state)
{
    struct h *h = *state;
    h_account(h);
    json_decref(h_issue(h, "one.example.com"));
    h->ca.refuse_revoke = "rateLimited";
    h->ca.retry_after = "1800";
    struct eng_actor actor = {.who = "ada", .via = "form"};
    struct eng_revocation wish = {.reason = 4, .after = "keep"};
    eng_revoke(h->engine, h->credential, &wish, &actor, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    h_until(h, has_error, "the refusal");
    h_until(h, is_idle, "the end");
    h_restart(h);
    assert_int_equal(h_submit(h, h_fields("two.example.com")), 0);
    CM_AUTO_JSON other = h_status(h, "waiting");
    h_until(h, is_idle, "the end");
    assert_int_equal(waits_told(h), 1);
    assert_true(cm_json_time(other, "next_action_at", 0) >= cm_now_ms() + 1700000);
    assert_int_equal(h->ca.new_orders, 1);
}

/* ---- mass actions -----------------------------------------------------------------------------
 */

static struct plan due_plan(void)
{
    return (struct plan){.action = PLAN_RENEW, .when_ms = cm_now_ms()};
}

static void when_many_renewals_fail_the_others_wait(void **state)
{
    struct h *h = *state;
    h_account(h);
    CM_AUTO_JSON body = h_issue(h, "www.example.com");
    h_until(h, is_idle, "the end");
    CM_AUTO_STR url = cm_asprintf("%s/dir", h->ca.base);
    struct plan plan = due_plan();
    assert_true(eng_guard_may(h->engine, body, &plan));
    for (int i = 0; i < BREAKER_LEAST; i++)
        eng_guard_ended(h->engine, url, false);
    assert_false(eng_guard_may(h->engine, body, &plan));
    assert_non_null(strstr(eng_guard_why(h->engine, body, &plan), "one is tried"));
    unsigned orders = h->ca.new_orders;
    edit(h, make_due);
    h_turns(h, 100);
    assert_int_equal(h->ca.new_orders, orders);
    CM_AUTO_JSON view = eng_view(h->engine, h->credential);
    assert_non_null(strstr(cm_json_str_or(view, "next", ""), "Held back"));
    CM_AUTO_JSON status = eng_status(h->engine);
    const json_t *alarm = json_array_get(cm_json_arr(status, "alarms"), 0);
    assert_non_null(strstr(cm_json_str_or(alarm, "what", ""), "5 of 5 renewals"));
    assert_non_null(cm_json_str(alarm, "hint"));
    /* What a person asks for is not held back; new orders are not either. */
    struct plan issue = {.action = PLAN_ISSUE, .when_ms = cm_now_ms()};
    CM_AUTO_JSON pending = json_pack("{s:s,s:s}", "status", "pending", "account", "ca");
    assert_true(eng_guard_may(h->engine, pending, &issue));

    /* Kept over a restart; then a canary goes, and with its success the alarm. */
    h_restart(h);
    h_until(h, is_idle, "the canary");
    wanted_orders = 2;
    h_until(h, has_orders, "the canary's certificate");
    CM_AUTO_JSON after = eng_status(h->engine);
    assert_null(json_object_get(after, "alarms"));
    plan = due_plan();
    assert_true(eng_guard_may(h->engine, body, &plan));
}

static bool clock_is_believed(struct h *h)
{
    CM_AUTO_JSON alarms = eng_guard_alarms(h->engine);
    return json_array_size(alarms) == 0;
}

static int64_t wanted_attempts;

static bool has_attempts(struct h *h)
{
    CM_AUTO_JSON body = h_body(h, "credential", h->credential);
    return cm_json_int(body, "attempts", 0) >= wanted_attempts;
}

static void one_credential_that_fails_again_and_again_holds_nobody_back(void **state)
{
    struct h *h = *state;
    h_account(h);
    CM_AUTO_JSON body = h_issue(h, "www.example.com");
    h_until(h, is_idle, "the end");
    struct plan plan = due_plan();
    h->ca.refuse_orders = 100;
    h->ca.refuse_type = "serverInternal";
    for (wanted_attempts = 1; wanted_attempts <= BREAKER_LEAST + 1; wanted_attempts++) {
        edit(h, make_due);
        h_until(h, has_attempts, "the failure");
        h_until(h, is_idle, "its end");
        assert_true(eng_guard_may(h->engine, body, &plan));
    }
}

static int make_ended(void *arg, json_t *body, struct cm_err *err)
{
    (void)arg;
    (void)err;
    cm_json_set_time(body, "not_after", cm_now_ms() - 1000);
    return 0;
}

static void the_end_is_told_while_the_renewal_is_held_back(void **state)
{
    struct h *h = *state;
    h_account(h);
    json_decref(h_issue(h, "www.example.com"));
    h_until(h, is_idle, "the end");
    CM_AUTO_STR url = cm_asprintf("%s/dir", h->ca.base);
    for (int i = 0; i < BREAKER_LEAST; i++)
        eng_guard_ended(h->engine, url, false);
    unsigned orders = h->ca.new_orders;
    edit(h, make_due);
    edit(h, make_ended);
    CM_AUTO_JSON ended = h_status(h, "expired");
    assert_string_equal(cm_json_str(cm_json_obj(ended, "health"), "color"), "red");
    h_turns(h, 100);
    assert_int_equal(h->ca.new_orders, orders);
}

static void a_clock_that_disagrees_with_the_ca_holds_renewals_back(void **state)
{
    struct h *h = *state;
    h_account(h);
    CM_AUTO_JSON body = h_issue(h, "www.example.com");
    h_until(h, is_idle, "the end");
    h->engine->guard->date_boot_ms = 0;
    eng_guard_reply(h->engine, "Date: Sat, 01 Jan 2000 00:00:00 GMT\r\n");
    struct plan plan = due_plan(), expire = {.action = PLAN_EXPIRE, .when_ms = cm_now_ms()};
    assert_false(eng_guard_may(h->engine, body, &plan));
    assert_false(eng_guard_may(h->engine, body, &expire));
    assert_non_null(strstr(eng_guard_why(h->engine, body, &plan), "clock"));
    CM_AUTO_JSON alarms = eng_guard_alarms(h->engine);
    assert_non_null(strstr(cm_json_str_or(json_array_get(alarms, 0), "what", ""), "ahead of the"));
    /* The CA is asked at once, and its answer has the right date. */
    wanted_orders = h->ca.downloads + 1;
    edit(h, make_due);
    h_until(h, clock_is_believed, "the CA's date");
    h_until(h, has_orders, "the renewal that was held back");
    assert_true(eng_guard_may(h->engine, body, &plan));
}

static void a_jump_of_the_clock_asks_the_ca(void **state)
{
    struct h *h = *state;
    h_account(h);
    CM_AUTO_JSON body = h_issue(h, "www.example.com");
    h_until(h, is_idle, "the end");
    struct plan plan = due_plan();
    assert_true(eng_guard_may(h->engine, body, &plan));
    h->ca.refuse_orders = 0;
    int64_t mono = cm_mono_ms();
    cm_clock_fake(cm_now_ms() + 2 * HOUR_MS, mono + 1000);
    assert_false(eng_guard_may(h->engine, body, &plan));
    h_until(h, clock_is_believed, "the CA's date"); /* the small CA has the same clock */
    assert_true(eng_guard_may(h->engine, body, &plan));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, h_setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_order_beyond_the_limit_waits_and_burns_nothing),
        TEST(renewals_of_the_same_names_take_only_the_set),
        TEST(orders_under_way_hold_what_they_will_take),
        TEST(failed_checks_of_a_name_are_counted),
        TEST(a_ca_without_limits_keeps_no_ledger),
        TEST(the_third_identical_issue_waits_for_a_person),
        TEST(an_order_counts_once),
        TEST(a_week_later_it_is_no_loop),
        TEST(the_cas_pause_survives_a_restart),
        TEST(a_pause_for_a_revocation_survives_a_restart),
        TEST(when_many_renewals_fail_the_others_wait),
        TEST(one_credential_that_fails_again_and_again_holds_nobody_back),
        TEST(the_end_is_told_while_the_renewal_is_held_back),
        TEST(a_clock_that_disagrees_with_the_ca_holds_renewals_back),
        TEST(a_jump_of_the_clock_asks_the_ca),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
