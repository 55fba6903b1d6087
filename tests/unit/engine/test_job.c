/* One credential from the request to the documents of the end, against a small CA. */
#include "tests/unit/engine/harness.h"

#include "certmgr/engine/job.h"

static const char *cause(const json_t *body)
{
    static char text[4096];
    const json_t *error = cm_json_obj(body, "error");
    snprintf(text, sizeof(text), "%s | %s | %s", cm_json_str_or(error, "what", ""),
             json_string_value(json_array_get(cm_json_arr(error, "causes"), 0))
                 ? json_string_value(json_array_get(cm_json_arr(error, "causes"), 0))
                 : "",
             cm_json_str_or(error, "hint", ""));
    return text;
}

static bool has_step(struct h *h, const char *part)
{
    CM_AUTO_JSON steps = eng_steps(h->engine, h->credential);
    size_t i;
    json_t *line;
    json_array_foreach(steps, i, line)
    {
        if (strstr(cm_json_str_or(line, "text", ""), part))
            return true;
    }
    return false;
}

static bool is_idle(struct h *h)
{
    return h->engine->job_count == 0;
}

static bool is_busy(struct h *h)
{
    return h->engine->job_count > 0;
}

static json_t *order_of(struct h *h)
{
    return cs_kv_get(h->store, "order", h->credential);
}

/* Makes an issued credential due for renewal now. */
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

static bool ordered_again(struct h *h)
{
    return h->ca.downloads >= wanted_orders && is_idle(h);
}

/* ---- the good end -------------------------------------------------------------------------------
 */

static void issues_and_writes_all_documents(void **state)
{
    struct h *h = *state;
    h_account(h);
    eng_root_put(h->engine, h->ca.keys.root, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    CM_AUTO_JSON body = h_issue(h, "www.example.com, m\xc3\xbcller.example");
    h_until(h, is_idle, "the job to end");

    assert_string_equal(cm_json_str_or(cm_json_obj(body, "health"), "color", ""), "green");
    assert_string_equal(cm_json_str(body, "root"), h->ca.keys.root);
    assert_string_equal(cm_json_str(body, "issuer"), "Test Middle");
    assert_true(cm_json_has_str(cm_json_arr(body, "san"), "xn--mller-kva.example"));
    assert_true(cm_json_has_str(cm_json_arr(body, "san_unicode"), "m\xc3\xbcller.example"));
    assert_int_equal(cm_json_int(body, "key_generation", 0), 1);
    assert_int_equal(cm_json_int(body, "attempts", -1), 0);
    assert_null(json_object_get(body, "error"));
    assert_non_null(strstr(cm_json_str_or(body, "chain", ""), h->ca.keys.middle));
    int64_t left = cm_json_time(body, "not_after", 0) - cm_json_time(body, "next_action_at", 0);
    assert_true(left >= INT64_C(30) * 86400000 && left < INT64_C(33) * 86400000);

    CM_AUTO_JSON keyfile = h_body(h, "keyfile", h->credential);
    static const char *const shared[] = {"sealed_key",  "public_key_sha256", "key_generation",
                                         "fingerprint", "keyring_file",      "target",
                                         "servers",     "not_after",         "root"};
    for (size_t i = 0; i < sizeof(shared) / sizeof(shared[0]); i++)
        assert_true(
            json_equal(json_object_get(body, shared[i]), json_object_get(keyfile, shared[i])));
    assert_string_equal(cm_json_str(keyfile, "intermediates"), h->ca.keys.middle);
    assert_true(
        json_equal(json_object_get(body, "host_names_ascii"), json_object_get(keyfile, "names")));

    CM_AUTO_JSON challenge = h_body(h, "challenge", h->credential);
    assert_int_equal(json_array_size(cm_json_arr(challenge, "tokens")), 0);
    assert_null(order_of(h));
    assert_int_equal(h->ca.new_orders, 1);
    assert_true(has_step(h, "Certificate issued by Test Middle"));
    CM_AUTO_JSON account = h_body(h, "account", "ca");
    assert_string_equal(cm_json_str_or(account, "status", ""), "valid");
    assert_non_null(strstr(cm_json_str_or(account, "kid", ""), "/account/1"));
}

static void a_missing_root_is_yellow_and_said(void **state)
{
    struct h *h = *state;
    h_account(h);
    CM_AUTO_JSON body = h_issue(h, "www.example.com");
    const json_t *health = cm_json_obj(body, "health");
    assert_string_equal(cm_json_str(health, "color"), "yellow");
    assert_non_null(strstr(json_string_value(json_array_get(cm_json_arr(health, "causes"), 0)),
                           "root certificate"));
    assert_null(json_object_get(body, "root"));
}

/* The default chain is the one whose root has this fingerprint, and not alternate #1. */
static void a_chain_is_chosen_by_fingerprint_or_number(void **state)
{
    struct h *h = *state;
    struct kf_cert_info root;
    h_account(h);
    eng_root_put(h->engine, h->ca.keys.root, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    assert_int_equal(kf_cert_info(h->ca.keys.root, &root, NULL), 0);
    json_t *fields = h_fields("www.example.com");
    json_object_set_new(fields, "alternate_chain", json_sprintf("SHA256:%s", root.fingerprint));
    assert_int_equal(h_submit(h, fields), 0);
    json_decref(h_status(h, "issued"));
    assert_true(has_step(h, "leads to \"Test Root\" (#0, sha256:"));
    assert_false(has_step(h, "default one is used"));
    h_until(h, is_idle, "the job to end");
    kf_cert_info_fini(&root);

    fields = h_fields("other.example.com"); /* one that leads elsewhere */
    json_object_set_new(fields, "alternate_chain", json_sprintf("sha256:%064d", 7));
    cm_json_set_str(fields, "keyring_file", "other.kyr");
    assert_int_equal(h_submit(h, fields), 0);
    json_decref(h_status(h, "issued"));
    assert_true(has_step(h, "default one is used"));
    h_until(h, is_idle, "the job to end");

    fields = h_fields("first.example.com");
    cm_json_set_str(fields, "alternate_chain", "#1");
    cm_json_set_str(fields, "keyring_file", "first.kyr");
    assert_int_equal(h_submit(h, fields), 0);
    json_decref(h_status(h, "issued"));
    assert_true(has_step(h, "default one is used"));
}

static void renewal_keeps_key_and_request(void **state)
{
    struct h *h = *state;
    h_account(h);
    CM_AUTO_JSON before = h_issue(h, "www.example.com");
    h_until(h, is_idle, "the job to end");
    wanted_orders = 2;
    edit(h, make_due);
    h_until(h, ordered_again, "the second order");
    CM_AUTO_JSON after = h_status(h, "issued");
    assert_int_equal(h_op_count(h, "key.create"), 1);
    assert_true(json_equal(json_object_get(before, "public_key_sha256"),
                           json_object_get(after, "public_key_sha256")));
    assert_true(json_equal(json_object_get(before, "csr"), json_object_get(after, "csr")));
    assert_false(
        json_equal(json_object_get(before, "fingerprint"), json_object_get(after, "fingerprint")));
    CM_AUTO_JSON keyfile = h_body(h, "keyfile", h->credential);
    assert_true(
        json_equal(json_object_get(keyfile, "fingerprint"), json_object_get(after, "fingerprint")));
    assert_int_equal(h->ca.accounts, 1);
    assert_true(has_step(h, "The key is kept"));
}

static int roll_over(void *arg, json_t *body, struct cm_err *err)
{
    cm_json_set_str(body, "key_rollover", "every_renewal");
    return make_due(arg, body, err);
}

static void rollover_makes_the_next_generation(void **state)
{
    struct h *h = *state;
    h_account(h);
    CM_AUTO_JSON before = h_issue(h, "www.example.com");
    h_until(h, is_idle, "the job to end");
    wanted_orders = 2;
    edit(h, roll_over);
    h_until(h, ordered_again, "the second order");
    CM_AUTO_JSON after = h_status(h, "issued");
    assert_int_equal(h_op_count(h, "key.create"), 2);
    assert_int_equal(cm_json_int(after, "key_generation", 0), 2);
    assert_false(json_equal(json_object_get(before, "public_key_sha256"),
                            json_object_get(after, "public_key_sha256")));
}

/* ---- failures
 * ------------------------------------------------------------------------------------- */

static void a_refused_order_is_an_error_with_a_next_attempt(void **state)
{
    struct h *h = *state;
    h_account(h);
    h->ca.refuse_orders = 1;
    h->ca.refuse_type = "rejectedIdentifier";
    assert_int_equal(h_submit(h, h_fields("www.example.com")), 0);
    CM_AUTO_JSON body = h_status(h, "error");
    h_until(h, is_idle, "the job to end");
    assert_int_equal(cm_json_int(body, "attempts", 0), 1);
    const json_t *error = cm_json_obj(body, "error");
    assert_non_null(
        strstr(cm_json_str_or(cm_json_obj(error, "problem"), "detail", ""), "not today"));
    assert_int_equal(cm_json_int(error, "attempts", 0), 1);
    assert_true(json_equal(json_object_get(error, "next_attempt_at"),
                           json_object_get(body, "next_action_at")));
    assert_true(cm_json_time(body, "next_action_at", 0) > cm_now_ms() + 20000);
    assert_string_equal(cm_json_str_or(cm_json_obj(body, "health"), "color", ""), "red");
    /* The key is made once: the next attempt takes it. */
    CM_AUTO_JSON order = order_of(h);
    assert_non_null(cm_json_str(order, "csr"));
    eng_retry(h->engine, h->credential, &(struct eng_actor){.who = "ada", .via = "cli"}, h_on_done,
              h);
    assert_int_equal(h_done(h), 0);
    CM_AUTO_JSON issued = h_status(h, "issued");
    assert_int_equal(h_op_count(h, "key.create"), 1);
    assert_null(json_object_get(issued, "error"));
    assert_int_equal(h->ca.new_orders, 2);
}

static void retry_after_is_a_floor(void **state)
{
    struct h *h = *state;
    h_account(h);
    h->ca.refuse_orders = 1;
    h->ca.refuse_type = "rateLimited";
    h->ca.retry_after = "200000";
    assert_int_equal(h_submit(h, h_fields("www.example.com")), 0);
    CM_AUTO_JSON body = h_status(h, "error");
    assert_true(cm_json_time(body, "next_action_at", 0) >= cm_now_ms() + 190000000);
}

static void a_failed_validation_empties_the_challenge(void **state)
{
    struct h *h = *state;
    h_account(h);
    h->ca.fail_validation = true;
    assert_int_equal(h_submit(h, h_fields("www.example.com")), 0);
    json_decref(h_status(h, "error"));
    h_until(h, is_idle, "the job to end");
    h_turns(h, 50);
    CM_AUTO_JSON challenge = h_body(h, "challenge", h->credential);
    assert_non_null(challenge);
    assert_int_equal(json_array_size(cm_json_arr(challenge, "tokens")), 0);
    CM_AUTO_JSON order = order_of(h);
    assert_null(cm_json_str(cm_json_obj(order, "acme"), "order_url"));
}

static bool given_up_two(struct h *h)
{
    return h->ca.given_up >= 2 && has_step(h, "2 authorizations of the failed order");
}

/* RFC 8555 7.5.2: one name fails, the two others would stay pending at the CA. */
static void what_a_failed_order_leaves_open_is_given_up(void **state)
{
    struct h *h = *state;
    h_account(h);
    h->ca.fail_validation = h->ca.fail_one = true;
    assert_int_equal(h_submit(h, h_fields("a.example.com b.example.com c.example.com")), 0);
    json_decref(h_status(h, "error"));
    h_until(h, given_up_two, "two authorizations to be given up");
    h_turns(h, 50);
    assert_int_equal(h->ca.given_up, 2); /* not the invalid one */
    assert_null(h->engine->lefts);
}

static void a_refusal_to_give_up_ends_it(void **state)
{
    struct h *h = *state;
    h_account(h);
    h->ca.fail_validation = h->ca.fail_one = true;
    h->ca.refuse_giving_up = "unauthorized";
    assert_int_equal(h_submit(h, h_fields("a.example.com b.example.com c.example.com")), 0);
    json_decref(h_status(h, "error"));
    h_until(h, is_idle, "the job to end");
    h_turns(h, 300);
    assert_int_equal(h->ca.given_up, 0);
    assert_null(h->engine->lefts);
    assert_false(has_step(h, "given up at the CA"));
    CM_AUTO_JSON body = h_body(h, "credential", h->credential); /* what is told is why it failed */
    CM_AUTO_STR error = cm_json_dump(cm_json_obj(body, "error"), NULL);
    assert_non_null(strstr(error, "wrong answer"));
}

static void a_failed_renewal_keeps_what_serves(void **state)
{
    struct h *h = *state;
    h_account(h);
    CM_AUTO_JSON before = h_issue(h, "www.example.com");
    h_until(h, is_idle, "the job to end");
    h->ca.fail_validation = true;
    edit(h, make_due);
    CM_AUTO_JSON after = h_status(h, "error");
    static const char *const kept[] = {"chain", "sealed_key", "fingerprint", "not_after"};
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        assert_true(json_equal(json_object_get(before, kept[i]), json_object_get(after, kept[i])));
    assert_string_equal(cm_json_str_or(cm_json_obj(after, "health"), "color", ""), "yellow");
    CM_AUTO_JSON keyfile = h_body(h, "keyfile", h->credential);
    assert_true(json_equal(json_object_get(keyfile, "fingerprint"),
                           json_object_get(before, "fingerprint")));
}

static void a_short_life_shortens_the_pause(void **state)
{
    struct h *h = *state;
    h_account(h);
    h->ca.life_s = 60; /* from a minute ago: two minutes in all */
    json_decref(h_issue(h, "www.example.com"));
    h_until(h, is_idle, "the job to end");
    h->ca.refuse_orders = 2;
    h->ca.refuse_type = "serverInternal";
    edit(h, make_due);
    CM_AUTO_JSON body = h_status(h, "error");
    int64_t pause = cm_json_time(body, "next_action_at", 0) - cm_now_ms();
    assert_in_range(pause, 5000, 10000);
    /* but the CA's own wish stands */
    h_until(h, is_idle, "the job to end");
    h->ca.refuse_orders = 1;
    h->ca.refuse_type = "rateLimited";
    h->ca.retry_after = "3600";
    edit(h, make_due);
    h_until(h, is_busy, "the job to begin");
    h_until(h, is_idle, "the job to end");
    CM_AUTO_JSON limited = h_body(h, "credential", h->credential);
    assert_true(cm_json_time(limited, "next_action_at", 0) > cm_now_ms() + 3500000);
}

/* A renewal that fails for so long that the certificate runs out. */
static int run_out(void *arg, json_t *body, struct cm_err *err)
{
    (void)arg;
    (void)err;
    cm_json_set_time(body, "not_after", cm_now_ms() + 300);
    cm_json_set_time(body, "next_action_at", cm_now_ms() + 3600000);
    return 0;
}

static void the_end_is_told_and_attempts_go_on(void **state)
{
    struct h *h = *state;
    h_account(h);
    CM_AUTO_JSON before = h_issue(h, "www.example.com");
    h_until(h, is_idle, "the job to end");
    h->ca.fail_validation = true;
    edit(h, make_due);
    json_decref(h_status(h, "error"));
    h_until(h, is_idle, "the job to end");
    edit(h, run_out);
    CM_AUTO_JSON ended = h_status(h, "expired");
    assert_string_equal(cm_json_str_or(cm_json_obj(ended, "health"), "color", ""), "red");
    assert_non_null(json_object_get(ended, "error")); /* why it was not renewed */
    assert_true(cm_json_time(ended, "next_action_at", 0) > cm_now_ms() + 3500000);
    assert_true(has_step(h, "The certificate has expired"));
    assert_true(json_equal(json_object_get(before, "chain"), json_object_get(ended, "chain")));
    /* the next attempt fails as well: told as a failure again, not once more as the end */
    h_until(h, is_idle, "the job to end");
    edit(h, make_due);
    json_decref(h_status(h, "error"));
    h_turns(h, 300);
    CM_AUTO_JSON failed = h_body(h, "credential", h->credential);
    assert_string_equal(cm_json_str(failed, "status"), "error");
    assert_string_equal(cm_json_str_or(cm_json_obj(failed, "health"), "color", ""), "red");
    h->ca.fail_validation = false;
    edit(h, make_due);
    CM_AUTO_JSON after = h_status(h, "issued");
    assert_null(json_object_get(after, "error"));
    assert_true(cm_json_time(after, "not_after", 0) > cm_now_ms());
}

static int pause_and_run_out(void *arg, json_t *body, struct cm_err *err)
{
    cm_json_set_bool(body, "paused", true);
    return run_out(arg, body, err);
}

static void a_paused_one_expires_for_good(void **state)
{
    struct h *h = *state;
    h_account(h);
    json_decref(h_issue(h, "www.example.com"));
    h_until(h, is_idle, "the job to end");
    edit(h, pause_and_run_out);
    CM_AUTO_JSON ended = h_status(h, "expired");
    assert_null(json_object_get(ended, "next_action_at"));
    h_turns(h, 100);
    assert_int_equal(h->ca.new_orders, 1);
}

static void a_new_key_is_not_the_staged_old_one(void **state)
{
    struct h *h = *state;
    h_account(h);
    CM_AUTO_JSON before = h_issue(h, "www.example.com");
    h_until(h, is_idle, "the job to end");
    h->ca.refuse_orders = 1;
    h->ca.refuse_type = "serverInternal";
    edit(h, make_due); /* this order is for the key that is kept */
    json_decref(h_status(h, "error"));
    h_until(h, is_idle, "the job to end");
    eng_renew(h->engine, h->credential, true, &(struct eng_actor){.who = "ada", .via = "cli"},
              h_on_done, h);
    assert_int_equal(h_done(h), 0);
    CM_AUTO_JSON after = h_status(h, "issued");
    assert_false(json_equal(json_object_get(before, "public_key_sha256"),
                            json_object_get(after, "public_key_sha256")));
    assert_int_equal(h->ca.finalized, 2);
}

static void a_certificate_for_another_key_is_not_used(void **state)
{
    struct h *h = *state;
    h_account(h);
    h->ca.wrong_key = true;
    assert_int_equal(h_submit(h, h_fields("www.example.com")), 0);
    CM_AUTO_JSON body = h_status(h, "error");
    h_until(h, is_idle, "the job to end");
    assert_non_null(strstr(cause(body), "cannot be used"));
    assert_true(cm_json_str_or(cm_json_obj(body, "error"), "hint", "")[0] != '\0');
    /* another try costs another certificate of the CA's limits: in a day, not in a minute */
    assert_true(cm_json_time(body, "next_action_at", 0) > cm_now_ms() + INT64_C(11) * 3600000);
    assert_null(json_object_get(body, "chain"));
    assert_null(h_body(h, "keyfile", h->credential));
    /* That order is used up: the next attempt makes another. */
    CM_AUTO_JSON order = order_of(h);
    assert_null(json_object_get(order, "acme"));
}

static void an_account_that_vanished_is_a_persons_matter(void **state)
{
    struct h *h = *state;
    h_account(h);
    json_decref(h_issue(h, "www.example.com"));
    h_until(h, is_idle, "the job to end");
    json_t *gone = h_body(h, "account", "ca");
    cm_json_set_bool(gone, "_deleted", true);
    h_put(h, gone);
    edit(h, make_due);
    CM_AUTO_JSON body = h_status(h, "error");
    assert_non_null(strstr(cause(body), "no ACME account \"ca\""));
    assert_string_equal(cm_json_str_or(cm_json_obj(body, "error"), "retry", ""), "configuration");
    /* straight to daily, give or take the jitter */
    assert_true(cm_json_time(body, "next_action_at", 0) > cm_now_ms() + INT64_C(11) * 3600000);
}

/* ---- agent away, restarts
 * --------------------------------------------------------------------------- */

static void an_absent_agent_is_no_attempt(void **state)
{
    struct h *h = *state;
    h_account(h);
    h->away = 1;
    h->away_op = "key.create";
    CM_AUTO_JSON body = h_issue(h, "www.example.com");
    assert_int_equal(cm_json_int(body, "attempts", -1), 0);
    assert_true(has_step(h, "key agent does not answer"));
    assert_int_equal(h->ca.new_orders, 1);
}

static void an_agent_away_in_mid_order_resumes_the_order(void **state)
{
    struct h *h = *state;
    h_account(h);
    h->away_op = "jws.sign";
    assert_int_equal(h_submit(h, h_fields("www.example.com")), 0);
    while (h->ca.new_orders == 0)
        cm_loop_turn(h->loop, true);
    h->away = 1;
    CM_AUTO_JSON body = h_status(h, "issued");
    assert_int_equal(h->ca.new_orders, 1);
    assert_int_equal(cm_json_int(body, "attempts", -1), 0);
}

static bool is_held(struct h *h)
{
    return h->ca.held != NULL;
}

static void an_open_order_is_finished_after_a_restart(void **state)
{
    struct h *h = *state;
    h_account(h);
    h->ca.hold_finalize = true;
    assert_int_equal(h_submit(h, h_fields("www.example.com")), 0);
    h_until(h, is_held, "finalize");
    h->ca.hold_finalize = false;
    h_restart(h);
    CM_AUTO_JSON body = h_status(h, "issued");
    assert_non_null(body);
    assert_int_equal(h->ca.new_orders, 1); /* never a second order while one is open */
    assert_int_equal(h_op_count(h, "key.create"), 1);
    h_until(h, is_idle, "the job to end");
    assert_null(order_of(h));
}

static void a_restart_at_any_moment_ends_in_one_certificate(void **state)
{
    struct h *h = *state;
    h_account(h);
    assert_int_equal(h_submit(h, h_fields("www.example.com www2.example.com")), 0);
    /* Killed again and again, a few turns later each time. */
    for (unsigned round = 0; round < 60; round++) {
        for (unsigned turn = 0; turn < 2 + round; turn++)
            cm_loop_turn(h->loop, false);
        h_restart(h);
    }
    CM_AUTO_JSON body = h_status(h, "issued");
    h_until(h, is_idle, "the job to end");
    CM_AUTO_JSON keyfile = h_body(h, "keyfile", h->credential);
    assert_true(
        json_equal(json_object_get(keyfile, "fingerprint"), json_object_get(body, "fingerprint")));
    assert_true(json_equal(json_object_get(keyfile, "public_key_sha256"),
                           json_object_get(body, "public_key_sha256")));
    assert_null(order_of(h));
    CM_AUTO_JSON challenge = h_body(h, "challenge", h->credential);
    assert_int_equal(json_array_size(cm_json_arr(challenge, "tokens")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        H_TEST(issues_and_writes_all_documents),
        H_TEST(a_missing_root_is_yellow_and_said),
        H_TEST(a_chain_is_chosen_by_fingerprint_or_number),
        H_TEST(renewal_keeps_key_and_request),
        H_TEST(rollover_makes_the_next_generation),
        H_TEST(a_refused_order_is_an_error_with_a_next_attempt),
        H_TEST(retry_after_is_a_floor),
        H_TEST(a_failed_validation_empties_the_challenge),
        H_TEST(what_a_failed_order_leaves_open_is_given_up),
        H_TEST(a_refusal_to_give_up_ends_it),
        H_TEST(a_failed_renewal_keeps_what_serves),
        H_TEST(a_short_life_shortens_the_pause),
        H_TEST(the_end_is_told_and_attempts_go_on),
        H_TEST(a_paused_one_expires_for_good),
        H_TEST(a_new_key_is_not_the_staged_old_one),
        H_TEST(a_certificate_for_another_key_is_not_used),
        H_TEST(an_account_that_vanished_is_a_persons_matter),
        H_TEST(an_absent_agent_is_no_attempt),
        H_TEST(an_agent_away_in_mid_order_resumes_the_order),
        H_TEST(an_open_order_is_finished_after_a_restart),
        H_TEST(a_restart_at_any_moment_ends_in_one_certificate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
