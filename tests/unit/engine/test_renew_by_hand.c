/* Renewal by hand: with the key or with another one, once for each wish. */
#include "tests/unit/engine/harness.h"

static json_t *renew(struct h *h, bool new_key, unsigned downloads)
{
    struct eng_actor actor = {.who = "ada", .via = "cli"};
    h_turns(h, 20);
    eng_renew(h->engine, h->credential, new_key, &actor, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    h_until_downloads(h, downloads);
    return h_status(h, "issued");
}

static void a_renewal_by_hand_keeps_the_key(void **state)
{
    struct h *h = *state;
    h_account(h);
    CM_AUTO_JSON before = h_issue(h, "www.example.com");
    CM_AUTO_JSON after = renew(h, false, 2);
    assert_true(json_equal(json_object_get(before, "public_key_sha256"),
                           json_object_get(after, "public_key_sha256")));
    assert_false(
        json_equal(json_object_get(before, "fingerprint"), json_object_get(after, "fingerprint")));
    assert_string_equal(cm_json_str(after, "requested_by"), "ada");
    assert_int_equal(h_op_count(h, "key.create"), 1);
    assert_true(cm_json_time(after, "next_action_at", 0) > cm_now_ms());
}

static void a_roll_over_makes_a_new_key_once(void **state)
{
    struct h *h = *state;
    h_account(h);
    CM_AUTO_JSON before = h_issue(h, "www.example.com");
    CM_AUTO_JSON after = renew(h, true, 2);
    assert_false(json_equal(json_object_get(before, "public_key_sha256"),
                            json_object_get(after, "public_key_sha256")));
    assert_int_equal(cm_json_int(after, "key_generation", 0), 2);
    assert_string_equal(cm_json_str(after, "key_rollover"), "keep"); /* asked for once */
    CM_AUTO_JSON again = renew(h, false, 3);
    assert_int_equal(cm_json_int(again, "key_generation", 0), 2);
}

static void a_renewal_is_answered_once_by_whatever_manager(void **state)
{
    struct h *h = *state;
    h_account(h);
    json_decref(h_issue(h, "www.example.com"));
    CM_AUTO_JSON first = renew(h, false, 2);
    CM_AUTO_JSON second = renew(h, false, 3);
    /* A manager that takes over knows no answers. */
    CM_AUTO_STR one = cm_asprintf("request/%s", cm_json_str(first, "request"));
    CM_AUTO_STR two = cm_asprintf("request/%s", cm_json_str(second, "request"));
    h_turns(h, 50);
    assert_int_equal(cs_kv_del(h->store, "state", one, NULL), 0);
    assert_int_equal(cs_kv_del(h->store, "state", two, NULL), 0);
    assert_int_equal(cs_kv_del(h->store, "state", "term", NULL), 0);
    h_restart(h);
    h_turns(h, 100);
    assert_int_equal(h->ca.new_orders, 3);
}

static void a_roll_over_in_the_middle_of_a_renewal_is_not_lost(void **state)
{
    struct h *h = *state;
    struct eng_actor actor = {.who = "ada", .via = "cli"};
    h_account(h);
    json_decref(h_issue(h, "www.example.com"));
    h_turns(h, 20);
    h->away_op = "jws.sign";
    h->away = 1; /* the renewal waits for its agent */
    eng_renew(h->engine, h->credential, false, &actor, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    json_decref(h_status(h, "renew"));
    eng_renew(h->engine, h->credential, true, &actor, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    for (unsigned downloads = 2;; downloads++) {
        h_until_downloads(h, downloads);
        CM_AUTO_JSON now = h_body(h, "credential", h->credential);
        if (cm_json_int(now, "key_generation", 0) == 2)
            break;
    }
    CM_AUTO_JSON after = h_status(h, "issued");
    CM_AUTO_JSON keyfile = h_body(h, "keyfile", h->credential);
    assert_int_equal(cm_json_int(keyfile, "key_generation", 0), 2);
    assert_true(
        json_equal(json_object_get(keyfile, "fingerprint"), json_object_get(after, "fingerprint")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        H_TEST(a_renewal_by_hand_keeps_the_key),
        H_TEST(a_roll_over_makes_a_new_key_once),
        H_TEST(a_renewal_is_answered_once_by_whatever_manager),
        H_TEST(a_roll_over_in_the_middle_of_a_renewal_is_not_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
