/* DNS-01 in the engine: values written, shared, taken away, and their journal. */
#include "tests/unit/engine/dns_rig.h"

static char first_credential[CM_ULID_TEXT];

/* ---- values -------------------------------------------------------------------------------------
 */

static size_t seen_at_answer, journal_at_answer;

static void note_zone(void *arg)
{
    struct h *h = arg;
    seen_at_answer = fake_values(OWNER);
    journal_at_answer = journal(h);
}

static void two_values_at_one_name(void **state)
{
    struct h *h = *state;
    account(h, "main", "example.com");
    h->ca.on_answer = note_zone;
    h->ca.on_answer_arg = h;
    json_decref(h_issue(h, "*.example.com example.com"));
    assert_int_equal(seen_at_answer, 2);
    assert_int_equal(journal_at_answer, 2);
    assert_string_equal(cm_json_str(fake.secrets, "token"), "s3cret");
    h_until(h, is_clean, "an empty zone");
    assert_int_equal(fake.crossed, 0);
    CM_AUTO_JSON challenge = h_body(h, "challenge", h->credential);
    assert_int_equal(json_array_size(cm_json_arr(challenge, "tokens")), 0);
}

static void mixed_order_and_cname(void **state)
{
    struct h *h = *state;
    account(h, "main", "example.com");
    account(h, "target", "acme.example.org");
    cm_json_set_str(fake.cname, "_acme-challenge.www.example.net", "w.acme.example.org");
    json_decref(h_issue(h, "www.example.com www.example.net www.example.org"));
    assert_true(has_call("add _acme-challenge.www.example.com"));
    assert_true(has_call("add w.acme.example.org"));
    assert_false(has_call("add _acme-challenge.www.example.net"));
    assert_false(has_call("add _acme-challenge.www.example.org")); /* http-01 */
    h_until(h, is_clean, "an empty zone");
}

static void a_refused_value_fails_the_order(void **state)
{
    struct h *h = *state;
    account(h, "main", "example.com");
    fake.fail_adds = 1;
    assert_int_equal(h_submit(h, h_fields("*.example.com example.com")), 0);
    CM_AUTO_JSON body = h_status(h, "error");
    CM_AUTO_STR text = cm_json_dump(cm_json_obj(body, "error"), NULL);
    assert_non_null(strstr(text, "the provider is away"));
    assert_non_null(strstr(text, OWNER));
    assert_int_equal(h->ca.answered, 0); /* the CA was not told */
}

/* Nobody knows whether it was set: looked for a few times, then let be; the account can go. */
static void an_addition_that_failed_is_no_burden(void **state)
{
    struct h *h = *state;
    account(h, "main", "example.com");
    h_turns(h, 100); /* the sweep of the start is over: this owner has no order */
    struct eng_dns_value value = {.owner = "01JDEXAMPE0000000000000001",
                                  .account = "main",
                                  .zone = "",
                                  .fqdn = OWNER,
                                  .value = "refused"};
    fake.fail_adds = fake.fail_deletes = 100;
    eng_dns_add(h->engine, &value, NULL, h_on_done, h);
    assert_int_equal(h_done(h), CM_EIO);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(journal(h), 1);
        assert_int_equal(eng_dns_journal_count(h->engine, "main"), i == 0 ? 1 : 0);
        eng_dns_release(h->engine, value.owner);
        h_turns(h, 20);
    }
    assert_int_equal(journal(h), 0);
    assert_int_equal(json_array_size(fake.calls), 6);
}

static void failed_validation_leaves_nothing(void **state)
{
    struct h *h = *state;
    account(h, "main", "example.com");
    h->ca.fail_validation = true;
    assert_int_equal(h_submit(h, h_fields("*.example.com")), 0);
    json_decref(h_status(h, "error"));
    h_until(h, is_clean, "an empty zone");
    assert_true(has_call("delete " OWNER));
}

static bool has_removing(struct h *h)
{
    CM_AUTO_JSON all = dns_journal(h->engine, NULL);
    const char *key;
    json_t *entry;
    json_object_foreach(all, key, entry)
    {
        if (dns_journal_is(entry, "removing") && cm_json_int(entry, "attempts", 0) == 1)
            return true;
    }
    return false;
}

static void removal_is_tried_until_it_is_gone(void **state)
{
    struct h *h = *state;
    account(h, "main", "example.com");
    fake.fail_deletes = 1;
    json_decref(h_issue(h, "example.com"));
    h_until(h, has_removing, "a removal that failed");
    assert_int_equal(fake_values(OWNER), 1);
    /* Its account stays as long as that. */
    eng_dns_account_delete(h->engine, "main", false, &actor, h_on_done, h);
    assert_int_equal(h_done(h), CM_ECONFLICT);
    /* It survives the process, and waits its time. */
    restart(h);
    cm_clock_fake(cm_now_ms() + DNS_RETRY_MS + 1000, -1);
    h_until(h, is_clean, "an empty zone");
    cm_clock_fake(-1, -1);
    eng_dns_account_delete(h->engine, "main", false, &actor, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    CM_AUTO_JSON gone = eng_dns_account_view(h->engine, "main");
    assert_null(gone);
}

static bool is_written(struct h *h)
{
    (void)h;
    return fake_all() > 0;
}

/* Killed while the values are waited for: the order goes on, and the zone is empty at its end. */
static void a_kill_leaves_nothing(void **state)
{
    struct h *h = *state;
    account(h, "main", "example.com");
    fake.delay_ms = 30;
    assert_int_equal(h_submit(h, h_fields("*.example.com example.com")), 0);
    h_until(h, is_written, "a value");
    restart(h);
    json_decref(h_status(h, "issued"));
    h_until(h, is_clean, "an empty zone");
    assert_int_equal(h->ca.new_orders, 1);
}

/* The value was written, its order is gone for good: the sweep of the start takes it away. */
static void sweeps_what_belongs_to_nobody(void **state)
{
    struct h *h = *state;
    account(h, "main", "example.com");
    struct eng_dns_value value = {.owner = "01JDEXAMPE0000000000000000",
                                  .account = "main",
                                  .zone = "",
                                  .fqdn = OWNER,
                                  .value = "left-behind"};
    eng_dns_add(h->engine, &value, NULL, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    json_object_set_new(json_object_get(fake.zone, OWNER), "of-others", json_true());
    h->on_hold = true; /* restored: nothing is touched before the hold is over */
    restart(h);
    h_turns(h, 200);
    assert_int_equal(fake_values(OWNER), 2);
    h->on_hold = false;
    restart(h);
    while (journal(h) > 0)
        h_turns(h, 50);
    assert_int_equal(fake_values(OWNER), 1); /* not ours, not touched */
}

static bool all_set(struct h *h)
{
    (void)h;
    return fake_all() == 40;
}

/* Many at once: never two calls for one name, never more than DNS_PARALLEL for the account. */
static void calls_are_few_and_in_order(void **state)
{
    struct h *h = *state;
    account(h, "main", "example.com");
    h_turns(h, 100); /* the sweep of the start is over: these owners have no order */
    fake.delay_ms = 2;
    for (int i = 0; i < 40; i++) {
        char owner[48], fqdn[64], text[32];
        snprintf(owner, sizeof(owner), "01JDEXAMPE00000000000000%02d", i);
        snprintf(fqdn, sizeof(fqdn), "_acme-challenge.h%d.example.com", i % 8);
        snprintf(text, sizeof(text), "value-%d", i);
        struct eng_dns_value value = {
            .owner = owner, .account = "main", .zone = "", .fqdn = fqdn, .value = text};
        eng_dns_add(h->engine, &value, NULL, NULL, NULL);
    }
    h_until(h, all_set, "forty values");
    assert_int_equal(fake.crossed, 0);
    assert_in_range(fake.most, 2, DNS_PARALLEL);
    for (int i = 0; i < 40; i++) {
        char owner[48];
        snprintf(owner, sizeof(owner), "01JDEXAMPE00000000000000%02d", i);
        eng_dns_release(h->engine, owner);
    }
    h_until(h, is_clean, "an empty zone");
    assert_int_equal(fake.crossed, 0);
}

static void shared_values_stay_for_the_other(void **state)
{
    struct h *h = *state;
    account(h, "main", "example.com");
    h_turns(h, 100); /* the sweep of the start is over: these owners have no order */
    struct eng_dns_value one = {.owner = "01JDEXAMPE0000000000000001",
                                .account = "main",
                                .zone = "",
                                .fqdn = OWNER,
                                .value = "same"};
    struct eng_dns_value two = one;
    two.owner = "01JDEXAMPE0000000000000002";
    eng_dns_add(h->engine, &one, NULL, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    eng_dns_add(h->engine, &two, NULL, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    eng_dns_release(h->engine, one.owner);
    h_turns(h, 20);
    assert_int_equal(fake_values(OWNER), 1);
    assert_int_equal(journal(h), 1);
    eng_dns_release(h->engine, two.owner);
    h_until(h, is_clean, "an empty zone");
}

/* Name and wildcard, and a name below: one TXT value after the other, in one order. */
static void one_value_at_a_time_in_one_order(void **state)
{
    struct h *h = *state;
    account(h, "main", "example.com");
    fake.one_value = true;
    assert_int_equal(h_submit(h, h_fields("*.example.com example.com a.example.com")), 0);
    json_decref(h_status(h, "issued"));
    h_until(h, is_clean, "an empty zone");
    assert_int_equal(h->ca.new_orders, 1);
    assert_int_equal(fake.fullest, 1);
    assert_int_equal(fake.crossed, 0);
    assert_int_equal(json_array_size(fake.calls), 6); /* each value set once and removed once */
}

static bool both_are_issued(struct h *h)
{
    CM_AUTO_JSON one = h_body(h, "credential", first_credential);
    CM_AUTO_JSON two = h_body(h, "credential", h->credential);
    return strcmp(cm_json_str_or(one, "status", ""), "issued") == 0 &&
           strcmp(cm_json_str_or(two, "status", ""), "issued") == 0;
}

/* Two credentials at an account that holds one value: the second one waits for its turn. */
static void one_value_at_a_time_for_two_orders(void **state)
{
    struct h *h = *state;
    account(h, "main", "example.com");
    fake.one_value = true;
    fake.delay_ms = 5;
    assert_int_equal(h_submit(h, h_fields("*.example.com example.com")), 0);
    (void)cm_strcpy(first_credential, sizeof(first_credential), h->credential);
    assert_int_equal(h_submit(h, h_fields("*.b.example.com b.example.com")), 0);
    h_until(h, both_are_issued, "both certificates");
    h_until(h, is_clean, "an empty zone");
    assert_int_equal(h->ca.new_orders, 2);
    assert_int_equal(fake.fullest, 1);
    assert_int_equal(json_array_size(fake.calls), 8);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(two_values_at_one_name),
        TEST(mixed_order_and_cname),
        TEST(a_refused_value_fails_the_order),
        TEST(an_addition_that_failed_is_no_burden),
        TEST(failed_validation_leaves_nothing),
        TEST(removal_is_tried_until_it_is_gone),
        TEST(a_kill_leaves_nothing),
        TEST(sweeps_what_belongs_to_nobody),
        TEST(calls_are_few_and_in_order),
        TEST(shared_values_stay_for_the_other),
        TEST(one_value_at_a_time_in_one_order),
        TEST(one_value_at_a_time_for_two_orders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
