/* Revocation, archive and removal of a credential, against a small CA. */
#include "tests/unit/engine/harness.h"

#include "certmgr/engine/job.h"
#include "certmgr/engine/life.h"

static const struct eng_actor ada = {.who = "ada", .via = "form"};

static void ask_revoke(struct h *h, int reason, bool key, const char *after)
{
    struct eng_revocation wish = {.reason = reason, .key = key, .after = after};
    eng_revoke(h->engine, h->credential, &wish, &ada, h_on_done, h);
    if (h_done(h) != 0)
        fail_msg("%s", h_line(h));
}

static bool has_error(struct h *h)
{
    CM_AUTO_JSON body = h_body(h, "credential", h->credential);
    return cm_json_obj(body, "error") != NULL;
}

static bool is_gone(struct h *h)
{
    CM_AUTO_JSON credential = h_body(h, "credential", h->credential);
    CM_AUTO_JSON keyfile = h_body(h, "keyfile", h->credential);
    return !credential && !keyfile;
}

static bool has_no_keyfile(struct h *h)
{
    CM_AUTO_JSON keyfile = h_body(h, "keyfile", h->credential);
    return !keyfile;
}

static json_t *archived(struct h *h, const char *fingerprint)
{
    CM_AUTO_STR name = cm_asprintf("%s-%.16s", h->credential, fingerprint);
    return h_body(h, "archive", name);
}

/* ---- by account ---------------------------------------------------------------------------------
 */

static void revokes_by_account(void **state)
{
    struct h *h = *state;
    h_account(h);
    CM_AUTO_JSON issued = h_issue(h, "a.example");
    ask_revoke(h, 4, false, "keep");
    CM_AUTO_JSON body = h_status(h, "revoked");
    assert_int_equal(h->ca.revocations, 1);
    assert_false(h->ca.revoked_by_key);
    assert_int_equal(cm_json_int(h->ca.revoked, "reason", -1), 4);
    CM_AUTO_STR payload = eng_revoke_payload(issued);
    CM_AUTO_JSON sent = NULL;
    assert_int_equal(cm_json_parse(payload, strlen(payload), &sent, NULL), 0);
    assert_string_equal(cm_json_str(h->ca.revoked, "certificate"),
                        cm_json_str(sent, "certificate"));
    const json_t *revocation = cm_json_obj(body, "revocation");
    assert_string_equal(cm_json_str(revocation, "asked_by"), "ada");
    assert_true(cm_json_time(revocation, "revoked_at", 0) > 0);
    assert_null(json_object_get(body, "next_action_at")); /* renewal has stopped */
    assert_non_null(cm_json_str(body, "csr"));
    assert_int_equal(eng_plan(body, NULL, cm_now_ms()).action, PLAN_NOTHING);
    /* Once more: refused at once. */
    struct eng_revocation wish = {.after = "keep"};
    eng_revoke(h->engine, h->credential, &wish, &ada, h_on_done, h);
    assert_int_equal(h_done(h), CM_ECONFLICT);
}

static void already_revoked_is_success(void **state)
{
    struct h *h = *state;
    h_account(h);
    json_decref(h_issue(h, "a.example"));
    h->ca.refuse_revoke = "alreadyRevoked";
    ask_revoke(h, 0, false, "keep");
    json_decref(h_status(h, "revoked"));
    assert_null(h->ca.revoked);
}

static void a_failure_is_told_and_tried_again(void **state)
{
    struct h *h = *state;
    h_account(h);
    json_decref(h_issue(h, "a.example"));
    h->ca.refuse_revoke = "badRevocationReason";
    ask_revoke(h, 3, false, "keep");
    h_until(h, has_error, "the error");
    CM_AUTO_JSON body = h_status(h, "revoke_pending");
    const json_t *error = cm_json_obj(body, "error");
    assert_non_null(strstr(cm_json_str(error, "hint"), "reason"));
    assert_string_equal(cm_json_str(error, "retry"), "configuration");
    assert_int_equal(cm_json_int(body, "attempts", 0), 1);
    assert_true(cm_json_time(body, "next_action_at", 0) > cm_now_ms() + 3600000);
    /* Asked for again with another reason, it goes through at once. */
    h->ca.refuse_revoke = NULL;
    ask_revoke(h, 0, false, "keep");
    CM_AUTO_JSON done = h_status(h, "revoked");
    assert_null(cm_json_obj(done, "error"));
    assert_null(json_object_get(h->ca.revoked, "reason")); /* "unspecified" is left out */
}

/* A refused revocation is explained as one: JPRS says malformed of a certificate that is not there.
 */
static void a_certificate_that_the_ca_does_not_know(void **state)
{
    struct h *h = *state;
    h_account(h);
    json_decref(h_issue(h, "a.example"));
    h->ca.refuse_revoke = "malformed";
    ask_revoke(h, 0, false, "keep");
    h_until(h, has_error, "the error");
    CM_AUTO_JSON body = h_status(h, "revoke_pending");
    const json_t *error = cm_json_obj(body, "error");
    assert_non_null(strstr(cm_json_str(error, "hint"), "nothing is left to revoke"));
    assert_string_equal(cm_json_str(error, "retry"), "permanent");
}

static bool was_asked_again(struct h *h)
{
    CM_AUTO_JSON body = h_body(h, "credential", h->credential);
    return h->ca.revocations >= 2 && cm_json_int(body, "attempts", 0) == 2;
}

/* A retry is the same wish once more: reason and what follows stay, and follow only when the CA has
 * revoked it; until then its refusal is shown. */
static void a_retry_keeps_what_was_asked_for(void **state)
{
    struct h *h = *state;
    h_account(h);
    json_decref(h_issue(h, "a.example"));
    h->ca.refuse_revoke = "badRevocationReason";
    ask_revoke(h, 4, false, "archive");
    h_until(h, has_error, "the error");
    eng_retry(h->engine, h->credential, &ada, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    h_until(h, was_asked_again, "the second refusal");
    CM_AUTO_JSON body = h_status(h, "revoke_pending");
    assert_non_null(cm_json_obj(body, "error"));
    assert_string_equal(cm_json_str(cm_json_obj(body, "revocation"), "after"), "archive");
    assert_true(cm_json_time(body, "next_action_at", 0) > cm_now_ms() + 3600000);
    h->ca.refuse_revoke = NULL;
    eng_retry(h->engine, h->credential, &ada, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    CM_AUTO_JSON done = h_status(h, "archived");
    assert_null(cm_json_obj(done, "error"));
    assert_int_equal(cm_json_int(h->ca.revoked, "reason", -1), 4);
    assert_int_equal(h->ca.revocations, 3);
}

static void refuses_what_cannot_be(void **state)
{
    struct h *h = *state;
    h_account(h);
    json_decref(h_issue(h, "a.example"));
    struct eng_revocation wish = {.reason = 7, .after = "keep"};
    eng_revoke(h->engine, h->credential, &wish, &ada, h_on_done, h);
    assert_int_equal(h_done(h), CM_EINVAL);
    assert_int_equal(strncmp(h->err.what, "reason:", 7), 0);
    eng_revoke(h->engine, "01JAAAAAAAAAAAAAAAAAAAAAAA", &wish, &ada, h_on_done, h);
    assert_int_equal(h_done(h), CM_ENOENT);
    assert_int_equal(h->ca.revocations, 0);
}

/* ---- by the certificate's key ------------------------------------------------------------------
 */

static void falls_back_to_the_key(void **state)
{
    struct h *h = *state;
    h_account(h);
    json_decref(h_issue(h, "a.example")); /* alpha, the manager, is a holder */
    h->ca.refuse_account = "unauthorized";
    ask_revoke(h, 1, false, "keep");
    CM_AUTO_JSON body = h_status(h, "revoked");
    assert_int_equal(h->ca.revocations, 2);
    assert_true(h->ca.revoked_by_key);
    assert_int_equal(h_op_count(h, "revoke.sign"), 1);
    assert_int_equal(cm_json_int(h->ca.revoked, "reason", -1), 1);
    assert_null(cm_json_str(body, "csr")); /* a compromised key is not used again */
}

/* The account is not at that CA (any more): RFC 8555 7.6 lets the certificate's key speak. */
static void an_unknown_account_is_no_obstacle(void **state)
{
    struct h *h = *state;
    h_account(h);
    json_decref(h_issue(h, "a.example"));
    h->ca.refuse_account = "accountDoesNotExist";
    ask_revoke(h, 5, false, "keep");
    CM_AUTO_JSON body = h_status(h, "revoked");
    assert_true(h->ca.revoked_by_key);
    assert_string_equal(cm_json_str(cm_json_obj(body, "revocation"), "signer"), "key");
}

static void asks_one_holder_after_the_other(void **state)
{
    struct h *h = *state;
    h_account(h);
    if (h_submit(h, json_pack("{s:s,s:[s,s],s:s}", "host_names", "b.example", "servers", "bravo",
                              "charlie", "account", "ca")) != 0)
        fail_msg("%s", h_line(h));
    json_decref(h_status(h, "issued"));
    ask_revoke(h, 0, true, "keep");
    bool found = false;
    for (int i = 0; i < 200 && !found; i++) {
        h_turns(h, 10);
        CM_AUTO_JSON body = h_body(h, "credential", h->credential);
        found = cm_json_str(cm_json_obj(body, "revocation"), "holder") != NULL;
    }
    CM_AUTO_JSON body = h_body(h, "credential", h->credential);
    const json_t *order = cm_json_obj(body, "revocation");
    assert_string_equal(cm_json_str(order, "holder"), "bravo");
    int64_t next = cm_json_time(body, "next_action_at", 0);
    assert_true(next > cm_now_ms() + REVOKE_HOLDER_MS / 2);
    assert_int_equal(h->ca.revocations, 0);

    /* bravo's own engine: the document is the order, the CA hears from here. */
    struct eng_env env = h->env;
    env.self = "bravo";
    env.manager = false;
    struct engine *bravo = eng_new(&env);
    for (int i = 0; i < 300 && h->ca.revocations == 0; i++)
        h_turns(h, 10);
    assert_int_equal(h->ca.revocations, 1);
    assert_true(h->ca.revoked_by_key);
    /* Its report is signed by "alpha" here (the harness signs everything so): not believed. */
    h_turns(h, 100);
    CM_AUTO_JSON still = h_status(h, "revoke_pending");
    /* A report of the holder is. */
    json_t *edit = json_deep_copy(still);
    json_object_del(edit, "serial");
    json_object_del(edit, "signature");
    cm_json_set_str(json_object_get(edit, "revocation"), "holder", "alpha");
    h_put(h, edit);
    char ulid[CM_ULID_TEXT];
    cm_ulid(ulid);
    CM_AUTO_STR id = cm_asprintf("request:%s", ulid);
    json_t *said = json_pack("{s:s,s:s,s:s,s:s,s:{s:s}}", "_id", id, "type", "request", "action",
                             "revoked", "credential", h->credential, "revoke", "fingerprint",
                             cm_json_str(still, "fingerprint"));
    cm_json_set_time(said, "at", cm_now_ms());
    h_put(h, said);
    json_decref(h_status(h, "revoked"));
    eng_free(bravo);
}

/* ---- afterwards ---------------------------------------------------------------------------------
 */

static void revokes_and_removes(void **state)
{
    struct h *h = *state;
    h_account(h);
    CM_AUTO_JSON issued = h_issue(h, "a.example");
    ask_revoke(h, 5, false, "delete");
    h_until(h, is_gone, "the tombstones");
    CM_AUTO_JSON kept = archived(h, cm_json_str(issued, "fingerprint"));
    assert_non_null(kept);
    assert_string_equal(cm_json_str(kept, "chain"), cm_json_str(issued, "chain"));
    assert_null(cm_json_str(kept, "sealed_key"));
    assert_int_equal(cm_json_int(cm_json_obj(kept, "revocation"), "reason", 0), 5);
    h_turns(h, 20);
    CM_AUTO_JSON view = eng_view(h->engine, h->credential);
    assert_null(view); /* its old requests do not bring it back … */
    h_restart(h);
    h_turns(h, 50);
    assert_true(is_gone(h)); /* … after a restart neither */
    assert_int_equal(h->ca.new_orders, 1);
}

static void archives(void **state)
{
    struct h *h = *state;
    h_account(h);
    json_decref(h_issue(h, "a.example"));
    eng_put_away(h->engine, h->credential, false, &ada, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    CM_AUTO_JSON body = h_status(h, "archived");
    assert_null(cm_json_str(body, "sealed_key"));
    assert_non_null(cm_json_str(body, "chain"));
    assert_null(json_object_get(body, "next_action_at"));
    h_until(h, has_no_keyfile, "the keyfile's tombstone");
    assert_int_equal(h->ca.revocations, 0);
    eng_retry(h->engine, h->credential, &ada, h_on_done, h);
    assert_int_equal(h_done(h), CM_ECONFLICT);
    h_turns(h, 50);
    json_decref(h_status(h, "archived")); /* for good */
}

static void keeps_what_was_replaced_until_30_days_after(void **state)
{
    struct h *h = *state;
    h_account(h);
    CM_AUTO_JSON first = h_issue(h, "a.example");
    eng_renew(h->engine, h->credential, true, &ada, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    for (int i = 0; i < 500 && h->ca.downloads < 2; i++)
        h_turns(h, 10);
    h_turns(h, 50);
    CM_AUTO_JSON second = h_status(h, "issued");
    assert_string_not_equal(cm_json_str(first, "fingerprint"), cm_json_str(second, "fingerprint"));
    CM_AUTO_JSON kept = archived(h, cm_json_str(first, "fingerprint"));
    assert_string_equal(cm_json_str(kept, "why"), "replaced");
    assert_null(cm_json_str(kept, "sealed_key"));
    /* 30 days after its end it goes; a day before, it stays. */
    int64_t end = cm_json_time(first, "not_after", 0);
    for (int day = 29; day <= 31; day += 2) {
        cm_clock_fake(end + day * ARCHIVE_SWEEP_MS, -1);
        eng_archive_stop(h->engine);
        eng_archive_start(h->engine);
        h_turns(h, 100);
        CM_AUTO_JSON there = archived(h, cm_json_str(first, "fingerprint"));
        assert_int_equal(there != NULL, day == 29);
    }
}

static void revokes_while_an_order_is_open(void **state)
{
    struct h *h = *state;
    h_account(h);
    json_decref(h_issue(h, "a.example"));
    h->ca.hold_finalize = true;
    eng_renew(h->engine, h->credential, false, &ada, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    for (int i = 0; i < 500 && h->ca.finalized < 2; i++)
        h_turns(h, 10);
    ask_revoke(h, 0, false, "keep");
    json_decref(h_status(h, "revoked"));
    CM_AUTO_JSON order = cs_kv_get(h->store, "order", h->credential);
    assert_null(order);
    h_turns(h, 50);
    assert_int_equal(h->engine->job_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        H_TEST(revokes_by_account),
        H_TEST(already_revoked_is_success),
        H_TEST(a_failure_is_told_and_tried_again),
        H_TEST(a_certificate_that_the_ca_does_not_know),
        H_TEST(a_retry_keeps_what_was_asked_for),
        H_TEST(refuses_what_cannot_be),
        H_TEST(falls_back_to_the_key),
        H_TEST(an_unknown_account_is_no_obstacle),
        H_TEST(asks_one_holder_after_the_other),
        H_TEST(revokes_and_removes),
        H_TEST(archives),
        H_TEST(keeps_what_was_replaced_until_30_days_after),
        H_TEST(revokes_while_an_order_is_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
