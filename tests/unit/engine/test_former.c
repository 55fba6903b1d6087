/* A new key, and what becomes of the certificates that it replaces: the CA is asked to revoke them
 * as soon as the new one serves, not sooner, and until it has heard of all. */
#include "tests/unit/engine/harness.h"

#include "certmgr/engine/former.h"
#include "certmgr/engine/former_alarm.h"
#include "certmgr/engine/job.h"
#include "certmgr/engine/life.h"

static const struct eng_actor ada = {.who = "ada", .via = "form"};

static json_t *archived(struct h *h, const json_t *former)
{
    CM_AUTO_STR name =
        cm_asprintf("%s-%.16s", h->credential, cm_json_str_or(former, "fingerprint", ""));
    return h_body(h, "archive", name);
}

/* A certificate on this server alone. */
static json_t *issue(struct h *h)
{
    h_account(h);
    json_t *fields = h_fields("a.example");
    cm_json_set(fields, "servers", json_pack("[s]", "alpha"));
    if (h_submit(h, fields) != 0)
        fail_msg("%s", h_line(h));
    return h_status(h, "issued");
}

static unsigned wanted_downloads;

static bool is_through(struct h *h)
{
    CM_AUTO_JSON body = h_body(h, "credential", h->credential);
    return h->ca.downloads >= wanted_downloads && h->engine->job_count == 0 &&
           strcmp(cm_json_str_or(body, "status", ""), "issued") == 0;
}

/* reason 0: only a new key.  Returns the new credential's body. */
static json_t *roll_over(struct h *h, int reason)
{
    wanted_downloads = h->ca.downloads + 1;
    if (reason == 0)
        eng_renew(h->engine, h->credential, true, &ada, h_on_done, h);
    else
        eng_roll_over(h->engine, h->credential, reason, &ada, h_on_done, h);
    if (h_done(h) != 0)
        fail_msg("%s", h_line(h));
    h_until(h, is_through, "the new certificate");
    return h_body(h, "credential", h->credential);
}

/* This server says that the present certificate serves, or another state. */
static void report(struct h *h, const char *state)
{
    CM_AUTO_JSON body = h_body(h, "credential", h->credential);
    CM_AUTO_STR id = cm_asprintf("receipt:alpha:%s", h->credential);
    json_t *receipt = json_object();
    cm_json_set_str(receipt, "_id", id);
    cm_json_set_str(receipt, "type", "receipt");
    cm_json_set_str(receipt, "server", "alpha");
    cm_json_set_str(receipt, "credential", h->credential);
    cm_json_set_str(receipt, "state", state);
    json_object_set(receipt, "fingerprint", json_object_get(body, "fingerprint"));
    cm_json_set_time(receipt, "at", cm_now_ms());
    h_put(h, receipt);
}

static unsigned wanted_revocations;
static const json_t *wanted_end; /* of the wish in this one's document */

static bool has_revoked(struct h *h)
{
    CM_AUTO_JSON row = archived(h, wanted_end);
    return h->ca.revocations >= wanted_revocations && !cm_json_obj(row, "revoke");
}

static void until_revoked(struct h *h, unsigned count, const json_t *newest)
{
    wanted_revocations = count;
    wanted_end = newest;
    h_until(h, has_revoked, "the revocations");
    assert_int_equal(h->ca.revocations, count);
}

static void assert_sent(struct h *h, const json_t *former, int reason)
{
    CM_AUTO_STR payload = eng_revoke_payload(former);
    CM_AUTO_JSON sent = NULL;
    assert_int_equal(cm_json_parse(payload, strlen(payload), &sent, NULL), 0);
    assert_string_equal(cm_json_str(h->ca.revoked, "certificate"),
                        cm_json_str(sent, "certificate"));
    assert_int_equal(cm_json_int(h->ca.revoked, "reason", -1), reason);
    assert_false(h->ca.revoked_by_key);
    CM_AUTO_JSON row = archived(h, former);
    const json_t *revocation = cm_json_obj(row, "revocation");
    assert_int_equal(cm_json_int(revocation, "reason", -1), reason);
    assert_true(cm_json_time(revocation, "revoked_at", 0) > 0);
}

/* ---- when ---------------------------------------------------------------------------------------
 */

static void superseded_as_soon_as_the_new_one_serves(void **state)
{
    struct h *h = *state;
    CM_AUTO_JSON first = issue(h);
    CM_AUTO_JSON second = roll_over(h, FORMER_SUPERSEDED);
    assert_string_not_equal(cm_json_str(first, "public_key_sha256"),
                            cm_json_str(second, "public_key_sha256"));
    assert_null(cm_json_obj(second, "rollover"));
    CM_AUTO_JSON kept = archived(h, first);
    assert_string_equal(cm_json_str(kept, "why"), "superseded");
    assert_string_equal(cm_json_str(cm_json_obj(kept, "revoke"), "asked_by"), "ada");
    h_turns(h, 100);
    report(h, "failed"); /* the former one serves there still */
    h_turns(h, 100);
    assert_int_equal(h->ca.revocations, 0);
    report(h, "served");
    until_revoked(h, 1, first);
    assert_sent(h, first, 4);
    CM_AUTO_JSON after = h_status(h, "issued"); /* the new one is as it was */
    assert_string_equal(cm_json_str(after, "fingerprint"), cm_json_str(second, "fingerprint"));
    assert_null(cm_json_obj(after, "revocation"));
    h_restart(h);
    h_turns(h, 100);
    assert_int_equal(h->ca.revocations, 1); /* once */
}

static void a_compromised_key_waits_for_no_server_long(void **state)
{
    struct h *h = *state;
    CM_AUTO_JSON first = issue(h);
    CM_AUTO_JSON second = roll_over(h, 0); /* archived, and nothing else */
    CM_AUTO_JSON third = roll_over(h, FORMER_COMPROMISED);
    h_turns(h, 100);
    assert_int_equal(h->ca.revocations, 0);
    CM_AUTO_JSON kept = archived(h, second);
    assert_string_equal(cm_json_str(kept, "why"), "compromised");
    CM_AUTO_JSON plain = archived(h, first);
    assert_string_equal(cm_json_str(plain, "why"), "replaced");
    cm_clock_fake(cm_now_ms() + FORMER_HURRY_MS, cm_mono_ms() + FORMER_HURRY_MS);
    /* found again by the next life; those archived before are revoked as well */
    h_restart(h);
    until_revoked(h, 2, second);
    assert_sent(h, first, 1);
    CM_AUTO_JSON row = archived(h, second);
    assert_int_equal(cm_json_int(cm_json_obj(row, "revocation"), "reason", -1), 1);
    assert_non_null(third);
}

static void a_certificate_that_is_not_in_force_is_waited_for(void **state)
{
    struct h *h = *state;
    CM_AUTO_JSON first = issue(h);
    CM_AUTO_JSON second = roll_over(h, FORMER_SUPERSEDED);
    CM_AUTO_JSON held = json_copy(second);
    json_t *activation = json_object();
    cm_json_set_time(activation, "from", cm_now_ms() + 600000);
    cm_json_set_str(activation, "by", "delay");
    cm_json_set(held, "activation", activation);
    h_put(h, json_incref(held));
    report(h, "served");
    h_turns(h, 100);
    assert_int_equal(h->ca.revocations, 0);
    cm_clock_fake(cm_now_ms() + 600000, cm_mono_ms() + 600000);
    h_restart(h);
    until_revoked(h, 1, first);
}

/* Killed between the archive and the credential: what is to be revoked serves still. */
static void never_the_one_that_serves(void **state)
{
    struct h *h = *state;
    CM_AUTO_JSON first = issue(h);
    CM_AUTO_JSON asked = json_copy(first);
    cm_json_set(asked, "rollover", json_pack("{s:i,s:s}", "reason", 1, "asked_by", "ada"));
    eng_archive(h->engine, h->credential, asked, "compromised", NULL, NULL);
    report(h, "served");
    CM_AUTO_JSON row = archived(h, first);
    assert_non_null(cm_json_obj(row, "revoke"));
    cm_clock_fake(cm_now_ms() + FORMER_HURRY_MS, cm_mono_ms() + FORMER_HURRY_MS);
    h_restart(h);
    h_turns(h, 200);
    assert_int_equal(h->ca.revocations, 0);
    CM_AUTO_JSON after = archived(h, first); /* and it is not forgotten */
    assert_non_null(cm_json_obj(after, "revoke"));
}

/* ---- refusals -----------------------------------------------------------------------------------
 */

static const json_t *wanted_row;

static bool is_told(struct h *h)
{
    CM_AUTO_JSON row = archived(h, wanted_row);
    return cm_json_obj(row, "error") != NULL;
}

/* The alarm that is kept, of whichever credential, or NULL (owned). */
static json_t *alarm_row(struct h *h)
{
    CM_AUTO_JSON all = eng_former_alarms(h->engine);
    return json_incref(json_object_iter_value(json_object_iter(all)));
}

static bool has_alarm(struct h *h)
{
    CM_AUTO_JSON row = alarm_row(h);
    return row != NULL;
}

static bool has_no_alarm(struct h *h)
{
    return !has_alarm(h);
}

static void a_refusal_is_kept_and_tried_again(void **state)
{
    struct h *h = *state;
    CM_AUTO_JSON first = issue(h);
    json_decref(roll_over(h, FORMER_SUPERSEDED));
    h->ca.refuse_revoke = "rateLimited";
    h->ca.retry_after = "3000";
    wanted_row = first;
    report(h, "served");
    h_until(h, is_told, "the refusal");
    CM_AUTO_JSON row = archived(h, first);
    assert_int_equal(cm_json_int(row, "attempts", 0), 1);
    assert_true(cm_json_time(row, "next_action_at", 0) > cm_now_ms() + 2900000);
    assert_non_null(cm_json_obj(row, "revoke"));
    h_until(h, has_alarm, "the alarm");
    CM_AUTO_JSON alarm = alarm_row(h);
    assert_string_equal(cm_json_str(alarm, "kind"), "revocation_failed");
    assert_int_equal(cm_json_int(alarm, "level", 0), 1);
    assert_string_equal(cm_json_str(alarm, "title"),
                        "Revocation of the former certificate of a.example failed");
    assert_string_equal(cm_json_str(alarm, "what"), cm_json_str(cm_json_obj(row, "error"), "what"));
    assert_true(json_equal(cm_json_arr(alarm, "because"),
                           cm_json_arr(cm_json_obj(row, "error"), "causes")));
    assert_int_equal(cm_json_time(alarm, "next_at", 0), cm_json_time(row, "next_action_at", 0));
    assert_true(cm_json_time(alarm, "since", 0) > 0);
    h->ca.refuse_revoke = NULL;
    h->ca.retry_after = NULL;
    h_restart(h);
    h_turns(h, 100);
    assert_int_equal(h->ca.revocations, 1); /* not before its time */
    assert_true(has_alarm(h));              /* nor is it over */
    cm_clock_fake(cm_now_ms() + 3100000, cm_mono_ms() + 3100000);
    h_restart(h);
    until_revoked(h, 2, first);
    CM_AUTO_JSON done = archived(h, first);
    assert_null(cm_json_obj(done, "error"));
    assert_null(json_object_get(done, "next_action_at"));
    h_until(h, has_no_alarm, "the end of the alarm");
}

/* Whoever holds the key is worse than a key that is old. */
static void the_alarm_of_a_compromised_key_is_critical(void **state)
{
    struct h *h = *state;
    json_decref(issue(h));
    json_decref(roll_over(h, FORMER_COMPROMISED));
    h->ca.refuse_revoke = "unauthorized";
    report(h, "served");
    h_until(h, has_alarm, "the alarm");
    CM_AUTO_JSON alarm = alarm_row(h);
    assert_int_equal(cm_json_int(alarm, "level", 0), 3);
    CM_AUTO_STR path = cm_asprintf("/credentials/%s", h->credential);
    assert_string_equal(cm_json_str(alarm, "path"), path);
}

/* A row of which nothing is left is taken away by the next start. */
static void an_alarm_without_a_wish_goes(void **state)
{
    struct h *h = *state;
    CM_AUTO_JSON alarm = json_pack("{s:s,s:s}", "kind", "revocation_failed", "title", "x");
    json_decref(issue(h));
    assert_int_equal(
        cs_kv_put(h->store, "state", "alarm/former/01JD8Y2K5R3V7W9X0ABCDEFGHJ", alarm, NULL), 0);
    h_turns(h, 20);
    assert_true(has_alarm(h));
    h_restart(h);
    h_until(h, has_no_alarm, "the end of the alarm");
}

static void one_that_has_ended_is_asked_for_once(void **state)
{
    struct h *h = *state;
    CM_AUTO_JSON first = issue(h);
    json_decref(roll_over(h, FORMER_SUPERSEDED));
    h->ca.refuse_revoke = "malformed";
    int64_t past = cm_json_time(first, "not_after", 0) + 1000 - cm_now_ms();
    cm_clock_fake(cm_now_ms() + past, cm_mono_ms() + past);
    h_restart(h);
    until_revoked(h, 1, first);
    CM_AUTO_JSON row = archived(h, first);
    assert_true(cm_json_bool(row, "given_up", false));
    assert_null(cm_json_obj(row, "revocation"));
}

static void wishes_that_cannot_be(void **state)
{
    struct h *h = *state;
    CM_AUTO_JSON first = issue(h);
    eng_roll_over(h->engine, h->credential, 5, &ada, h_on_done, h);
    assert_int_equal(h_done(h), CM_EINVAL);
    /* another request for a new key, before there is one, takes the wish back */
    h->ca.hold_finalize = true;
    eng_roll_over(h->engine, h->credential, FORMER_SUPERSEDED, &ada, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    for (int i = 0; i < 500 && h->ca.finalized < 2; i++)
        h_turns(h, 10);
    CM_AUTO_JSON wished = h_body(h, "credential", h->credential);
    assert_int_equal(cm_json_int(cm_json_obj(wished, "rollover"), "reason", 0), 4);
    eng_renew(h->engine, h->credential, true, &ada, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    h_turns(h, 100);
    CM_AUTO_JSON after = h_body(h, "credential", h->credential);
    assert_null(cm_json_obj(after, "rollover"));
    CM_AUTO_JSON row = archived(h, first);
    assert_null(row);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        H_TEST(superseded_as_soon_as_the_new_one_serves),
        H_TEST(a_compromised_key_waits_for_no_server_long),
        H_TEST(a_certificate_that_is_not_in_force_is_waited_for),
        H_TEST(never_the_one_that_serves),
        H_TEST(a_refusal_is_kept_and_tried_again),
        H_TEST(the_alarm_of_a_compromised_key_is_critical),
        H_TEST(an_alarm_without_a_wish_goes),
        H_TEST(one_that_has_ended_is_asked_for_once),
        H_TEST(wishes_that_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
