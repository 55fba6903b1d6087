/* What people decide in a credential: whose edit is stale, and whose is not. */
#include "tests/unit/engine/harness.h"

/* ---- the rule ----------------------------------------------------------------------------------
 */

static json_t *version(int64_t serial, int64_t over)
{
    json_t *body = json_pack("{s:s,s:[s],s:s}", "status", "issued", "host_names", "a.example",
                             "account", "ca");
    cm_json_set_int(body, "serial", serial);
    if (over >= 0)
        cm_json_set_int(body, "edited_over", over);
    return body;
}

static void what_was_seen_after_the_last_decision_counts(void **state)
{
    (void)state;
    CM_AUTO_JSON body = version(20, 10);
    assert_false(eng_is_stale(body, 20));
    assert_false(eng_is_stale(body, 11));
    assert_true(eng_is_stale(body, 10)); /* somebody decided over this one */
    assert_true(eng_is_stale(body, 9));
    assert_true(eng_is_stale(body, 0));
    assert_true(eng_is_stale(body, 21)); /* of another history */
    CM_AUTO_JSON unknown = version(20, -1);
    assert_false(eng_is_stale(unknown, 20));
    assert_true(eng_is_stale(unknown, 19));
    CM_AUTO_JSON fresh = json_object();
    assert_false(eng_is_stale(fresh, 0));
    assert_true(eng_is_stale(fresh, 5));
}

static int64_t noted(const json_t *before, const char *member, json_t *take_value)
{
    CM_AUTO_JSON body = json_copy((json_t *)(uintptr_t)before);
    cm_json_set(body, member, take_value);
    eng_note_decision(before, body);
    return cm_json_int(body, "edited_over", -1);
}

static void only_decisions_are_noted(void **state)
{
    (void)state;
    CM_AUTO_JSON before = version(20, 10);
    assert_int_equal(noted(before, "host_names", json_pack("[s]", "b.example")), 20);
    assert_int_equal(noted(before, "paused", json_true()), 20);
    assert_int_equal(noted(before, "renew_days", json_integer(9)), 20);
    assert_int_equal(noted(before, "revocation", json_pack("{s:i}", "reason", 1)), 20);
    assert_int_equal(noted(before, "rollover", json_pack("{s:i}", "reason", 1)), 20);
    assert_int_equal(noted(before, "status", json_string("archived")), 20);
    assert_int_equal(noted(before, "status", json_string("renew")), 10);
    assert_int_equal(noted(before, "next_action_at", json_string("x")), 10);
    assert_int_equal(noted(before, "ari", json_object()), 10);
    assert_int_equal(noted(before, "chain", json_string("x")), 10);
    assert_int_equal(noted(before, "host_names", json_pack("[s]", "a.example")),
                     10); /* as it was */
    CM_AUTO_JSON unknown = version(20, -1);
    assert_int_equal(noted(unknown, "attempts", json_integer(1)), -1); /* not known, not invented */
    CM_AUTO_JSON first = json_object();
    eng_note_decision(NULL, first);
    assert_int_equal(cm_json_int(first, "edited_over", -1), 0);
}

/* ---- people and the task -----------------------------------------------------------------------
 */

static unsigned answers;
static int code;

static void on_change(void *arg, const char *credential, const json_t *errors, const json_t *notes,
                      const struct cm_err *err)
{
    (void)arg;
    (void)credential;
    (void)notes;
    assert_int_equal(json_array_size(errors), 0);
    code = err ? err->code : 0;
    answers++;
}

/* Sends what a person has typed who saw this version. */
static int send_change(struct h *h, json_t *take_fields, int64_t base)
{
    struct eng_actor ada = {.who = "ada", .via = "form"};
    answers = 0;
    eng_change(h->engine, h->credential, take_fields, base, &ada, on_change, NULL);
    while (answers == 0)
        cm_loop_turn(h->loop, true);
    json_decref(take_fields);
    return code;
}

static int64_t serial(struct h *h)
{
    CM_AUTO_JSON body = h_body(h, "credential", h->credential);
    return cm_json_int(body, "serial", 0);
}

static bool wrote;

static void on_wrote(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    (void)arg;
    (void)doc;
    assert_null(err);
    wrote = true;
}

static int edit_time(void *arg, json_t *body, struct cm_err *err)
{
    (void)arg;
    (void)err;
    cm_json_set_time(body, "next_action_at", cm_json_time(body, "next_action_at", 0) - 60000);
    return 0;
}

/* The CA proposes another time, say. */
static void background(struct h *h)
{
    CM_AUTO_STR id = cm_asprintf("credential:%s", h->credential);
    int64_t before = serial(h);
    wrote = false;
    eng_edit(h->engine, id, "credential", edit_time, on_wrote, NULL);
    while (!wrote)
        cm_loop_turn(h->loop, true);
    assert_true(serial(h) > before);
}

static int64_t begin(struct h *h)
{
    h_account(h);
    json_decref(h_issue(h, "www.example.com"));
    h_turns(h, 20);
    return serial(h);
}

static void the_task_makes_nobody_stale(void **state)
{
    struct h *h = *state;
    int64_t seen = begin(h);
    background(h);
    assert_int_equal(send_change(h, json_pack("{s:i}", "renew_days", 11), seen), 0);
    background(h); /* before the manager comes to it */
    h_turns(h, 50);
    CM_AUTO_JSON body = h_body(h, "credential", h->credential);
    assert_int_equal(cm_json_int(body, "renew_days", 0), 11);
    assert_null(json_object_get(body, "error"));
    assert_string_equal(cm_json_str(body, "requested_by"), "ada");
    assert_int_equal(h->ca.new_orders, 1);
}

static void two_people_never_overwrite_each_other(void **state)
{
    struct h *h = *state;
    int64_t seen = begin(h);
    assert_int_equal(send_change(h, json_pack("{s:i}", "renew_days", 11), seen), 0);
    /* the second one comes before the manager has answered the first */
    assert_int_equal(send_change(h, json_pack("{s:i}", "renew_days", 12), seen), 0);
    h_turns(h, 100);
    CM_AUTO_JSON body = h_body(h, "credential", h->credential);
    assert_int_equal(cm_json_int(body, "renew_days", 0), 11);
    assert_non_null(
        strstr(cm_json_str_or(cm_json_obj(body, "error"), "what", ""), "someone else changed"));
    background(h);
    assert_int_equal(send_change(h, json_pack("{s:i}", "renew_days", 13), seen), CM_ECONFLICT);
    assert_int_equal(send_change(h, json_pack("{s:i}", "renew_days", 14), serial(h)), 0);
    h_turns(h, 50);
    CM_AUTO_JSON last = h_body(h, "credential", h->credential);
    assert_int_equal(cm_json_int(last, "renew_days", 0), 14);
}

/* An edit would begin the task anew: who archived it must not find it issued. */
static void the_end_of_a_credential_is_no_detail(void **state)
{
    struct h *h = *state;
    struct eng_actor ada = {.who = "ada", .via = "form"};
    int64_t seen = begin(h);
    eng_put_away(h->engine, h->credential, false, &ada, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    json_decref(h_status(h, "archived"));
    assert_int_equal(send_change(h, json_pack("{s:i}", "renew_days", 13), seen), CM_ECONFLICT);
    h_turns(h, 50);
    json_decref(h_status(h, "archived"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_seen_after_the_last_decision_counts),
        cmocka_unit_test(only_decisions_are_noted),
        H_TEST(the_task_makes_nobody_stale),
        H_TEST(two_people_never_overwrite_each_other),
        H_TEST(the_end_of_a_credential_is_no_detail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
