/* The CA's word on renewal: asked, chosen once, kept over a restart, obeyed, and never in the way.
 */
#include "tests/unit/engine/harness.h"

#include "certmgr/acme/ca.h"
#include "certmgr/engine/ari.h"
#include "keyfile/certid.h"

#define HOUR INT64_C(3600000)

static const struct eng_actor ada = {.who = "ada", .via = "form"};

static json_t *window(int64_t from, int64_t to, const char *url)
{
    char start[CM_TIME_TEXT], end[CM_TIME_TEXT];
    cm_time_format(cm_now_ms() + from, start);
    cm_time_format(cm_now_ms() + to, end);
    json_t *info = json_pack("{s:{s:s,s:s}}", "suggestedWindow", "start", start, "end", end);
    cm_json_set_str(info, "explanationURL", url);
    return info;
}

static void answer(struct h *h, json_t *take)
{
    json_decref(h->ca.ari);
    h->ca.ari = take;
}

static json_t *row(struct h *h)
{
    return cs_kv_get(h->store, "ari", h->credential);
}

static unsigned wanted_asks;

static bool asked(struct h *h)
{
    return h->ca.ari_asks >= wanted_asks;
}

/* The next question comes now, as after a restart when its time has come. */
static void ask_now(struct h *h)
{
    CM_AUTO_JSON due = row(h);
    assert_non_null(due);
    cm_json_set_time(due, "check_at", cm_now_ms() - 1);
    eng_ari_stop(h->engine);
    assert_int_equal(cs_kv_put(h->store, "ari", h->credential, due, NULL), 0);
    wanted_asks = h->ca.ari_asks + 1;
    eng_ari_start(h->engine);
    h_until(h, asked, "the question");
    h_turns(h, 50);
}

static int64_t renew_at(struct h *h)
{
    CM_AUTO_JSON body = h_body(h, "credential", h->credential);
    return cm_json_time(cm_json_obj(body, "ari"), "renew_at", 0);
}

static int64_t next_action(struct h *h)
{
    CM_AUTO_JSON body = h_body(h, "credential", h->credential);
    return cm_json_time(body, "next_action_at", 0);
}

static int64_t pause_of(struct h *h)
{
    CM_AUTO_JSON at = row(h);
    return cm_json_time(at, "check_at", 0) - cm_now_ms();
}

static void chooses_once_and_keeps(void **state)
{
    struct h *h = *state;
    answer(h, window(10 * 24 * HOUR, 12 * 24 * HOUR, NULL));
    h_account(h);
    CM_AUTO_JSON body = h_issue(h, "a.example");
    h_turns(h, 20);
    assert_true(pause_of(h) <= ARI_FIRST_MS); /* soon after the issue */
    assert_int_equal(h->ca.ari_asks, 0);
    ask_now(h);
    char id[KF_CERTID_MAX];
    const char *chain = cm_json_str(body, "chain");
    assert_int_equal(kf_ari_id(chain, strlen(chain), id, NULL), 0);
    assert_string_equal(h->ca.ari_id, id);
    int64_t chosen = renew_at(h), now = cm_now_ms();
    assert_true(chosen >= now + 10 * 24 * HOUR - 60000 && chosen <= now + 12 * 24 * HOUR);
    assert_int_equal(next_action(h), chosen);
    assert_true(pause_of(h) > 5 * HOUR && pause_of(h) <= 6 * HOUR); /* at least twice a day */
    /* The same window again: the same time.  Retry-After in both forms. */
    h->ca.retry_after = "7200";
    ask_now(h);
    assert_int_equal(renew_at(h), chosen);
    assert_true(pause_of(h) > HOUR && pause_of(h) <= 2 * HOUR);
    /* Another window: another time. */
    answer(h, window(3 * 24 * HOUR, 4 * 24 * HOUR, "https://ca.example/why"));
    ask_now(h);
    assert_true(renew_at(h) < now + 5 * 24 * HOUR);
    assert_int_equal(next_action(h), renew_at(h));
    CM_AUTO_JSON told = h_body(h, "credential", h->credential);
    assert_string_equal(cm_json_str(cm_json_obj(told, "ari"), "explanation_url"),
                        "https://ca.example/why");
    /* A restart does not ask sooner. */
    unsigned asks = h->ca.ari_asks;
    h_restart(h);
    h_turns(h, 100);
    assert_int_equal(h->ca.ari_asks, asks);
    assert_true(pause_of(h) > HOUR);
}

/* A reason that is given later is no other window. */
static void a_new_reason_is_no_new_time(void **state)
{
    struct h *h = *state;
    json_t *info = window(10 * 24 * HOUR, 50 * 24 * HOUR, NULL);
    CM_AUTO_JSON same = json_deep_copy(info);
    answer(h, info);
    h_account(h);
    json_decref(h_issue(h, "a.example"));
    h_turns(h, 20);
    ask_now(h);
    int64_t chosen = renew_at(h);
    assert_true(chosen > 0);
    cm_json_set_str(same, "explanationURL", "https://ca.example/why");
    answer(h, json_incref(same));
    ask_now(h);
    CM_AUTO_JSON told = h_body(h, "credential", h->credential);
    assert_string_equal(cm_json_str(cm_json_obj(told, "ari"), "explanation_url"),
                        "https://ca.example/why");
    assert_int_equal(renew_at(h), chosen);
}

static void a_failure_changes_nothing(void **state)
{
    struct h *h = *state;
    answer(h, window(24 * HOUR, 12 * HOUR, NULL)); /* inverted */
    h_account(h);
    CM_AUTO_JSON body = h_issue(h, "a.example");
    int64_t usual = cm_json_time(body, "next_action_at", 0);
    h_turns(h, 20);
    for (unsigned failure = 1; failure <= 3; failure++) {
        ask_now(h);
        assert_int_equal(renew_at(h), 0);
        assert_int_equal(next_action(h), usual);
        int64_t want = 60000 * (INT64_C(1) << (failure - 1));
        assert_true(pause_of(h) > want - 30000 && pause_of(h) <= want);
    }
    h->ca.ari_status = 404;
    ask_now(h);
    h->ca.ari_status = 500;
    h->ca.retry_after = "90000"; /* more than a day */
    ask_now(h);
    assert_int_equal(next_action(h), usual);
    CM_AUTO_JSON still = h_status(h, "issued");
    assert_null(cm_json_obj(still, "error"));
    /* nor does an overloaded service keep the CA's other work waiting */
    h->ca.ari_status = 503;
    h->ca.retry_after = "3600";
    ask_now(h);
    assert_true(pause_of(h) > HOUR - 60000);
    struct eng_account *account = NULL;
    assert_int_equal(eng_account_get(h->engine, "ca", &account, NULL), 0);
    assert_true(account->ca->floor_ms <= cm_now_ms());
    eng_account_unref(account);
}

static bool renewed(struct h *h)
{
    return h->ca.downloads >= 2 && h->engine->job_count == 0;
}

static void a_past_window_renews_now_and_only_once(void **state)
{
    struct h *h = *state;
    answer(h, window(-3 * HOUR, -2 * HOUR, NULL));
    h_account(h);
    CM_AUTO_JSON first = h_issue(h, "a.example");
    h_turns(h, 20);
    ask_now(h);
    h_until(h, renewed, "the renewal");
    h_turns(h, 50);
    char id[KF_CERTID_MAX];
    const char *chain = cm_json_str(first, "chain");
    assert_int_equal(kf_ari_id(chain, strlen(chain), id, NULL), 0);
    assert_string_equal(json_string_value(h->ca.replaces), id);
    CM_AUTO_JSON second = h_status(h, "issued");
    assert_null(cm_json_str(cm_json_obj(second, "ari"), "renew_at")); /* of the former one */
    assert_true(cm_json_time(cm_json_obj(second, "ari"), "renewed_at", 0) > 0);
    /* The CA says the same of the new one: a day at least lies between them. */
    ask_now(h);
    h_turns(h, 100);
    assert_int_equal(h->ca.downloads, 2);
    assert_true(renew_at(h) > cm_now_ms() + 23 * HOUR);
    /* … and the question is about the new one: the replaced one is asked for no more. */
    chain = cm_json_str(second, "chain");
    assert_int_equal(kf_ari_id(chain, strlen(chain), id, NULL), 0);
    assert_string_equal(h->ca.ari_id, id);
}

/* Only when the directory has renewalInfo. */
static void a_ca_without_it_is_not_asked(void **state)
{
    struct h *h = *state;
    h_account(h);
    json_decref(h_issue(h, "a.example"));
    h_turns(h, 50);
    CM_AUTO_JSON none = row(h);
    assert_null(none);
    h_restart(h);
    h_turns(h, 50);
    assert_int_equal(h->ca.ari_asks, 0);
}

static bool is_forgotten(struct h *h)
{
    CM_AUTO_JSON due = row(h);
    return due == NULL;
}

static void nobody_asks_after_the_end(void **state)
{
    struct h *h = *state;
    answer(h, window(24 * HOUR, 25 * HOUR, NULL));
    h_account(h);
    CM_AUTO_JSON body = h_issue(h, "a.example");
    h_turns(h, 20);
    ask_now(h);
    unsigned asks = h->ca.ari_asks;
    /* A second after its end, with no job to renew it. */
    CM_AUTO_JSON paused = h_body(h, "credential", h->credential);
    cm_json_set_bool(paused, "paused", true);
    h_put(h, json_incref(paused));
    cm_clock_fake(cm_json_time(body, "not_after", 0) + 1000, -1);
    eng_ari_stop(h->engine);
    eng_ari_start(h->engine);
    h_until(h, is_forgotten, "the row to go");
    h_turns(h, 50);
    assert_int_equal(h->ca.ari_asks, asks);
}

static void never_of_what_does_not_serve(void **state)
{
    struct h *h = *state;
    answer(h, window(24 * HOUR, 25 * HOUR, NULL));
    h_account(h);
    json_decref(h_issue(h, "a.example"));
    h_turns(h, 20);
    ask_now(h);
    struct eng_revocation wish = {.after = "keep"};
    eng_revoke(h->engine, h->credential, &wish, &ada, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    json_decref(h_status(h, "revoked"));
    h_turns(h, 20);
    CM_AUTO_JSON gone = row(h);
    assert_null(gone);
}

/* `replaces` only at the CA and by the account that issued it. */
static void replaces_what_this_account_issued(void **state)
{
    struct h *h = *state;
    answer(h, window(24 * HOUR, 25 * HOUR, NULL));
    h_account(h);
    CM_AUTO_JSON body = h_issue(h, "a.example");
    struct eng_account *account;
    assert_int_equal(eng_account_get(h->engine, "ca", &account, NULL), 0);
    CM_AUTO_JSON order = json_object();
    eng_ari_order(body, account, order);
    assert_non_null(cm_json_str(order, "replaces"));
    assert_false(cm_json_bool(order, "ari_led", false));
    CM_AUTO_JSON other = json_deep_copy(body);
    cm_json_set_str(json_object_get(other, "issued_by"), "account", "second");
    eng_ari_order(other, account, order);
    assert_null(cm_json_str(order, "replaces"));
    json_decref(other);
    other = json_deep_copy(body);
    cm_json_set_str(json_object_get(other, "issued_by"), "directory", "https://else.example/");
    eng_ari_order(other, account, order);
    assert_null(cm_json_str(order, "replaces"));
    json_decref(other);
    other = json_deep_copy(body);
    cm_json_set(other, "host_names_ascii", json_pack("[s]", "z.example"));
    eng_ari_order(other, account, order);
    assert_null(cm_json_str(order, "replaces"));
    eng_account_unref(account);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        H_TEST(chooses_once_and_keeps),       H_TEST(a_failure_changes_nothing),
        H_TEST(a_new_reason_is_no_new_time),  H_TEST(a_past_window_renews_now_and_only_once),
        H_TEST(never_of_what_does_not_serve), H_TEST(a_ca_without_it_is_not_asked),
        H_TEST(nobody_asks_after_the_end),    H_TEST(replaces_what_this_account_issued),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
