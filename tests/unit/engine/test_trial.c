/* Dry runs at the staging of a CA, asked for or first after failures (reference/acme.md N6). */
#include "tests/unit/engine/harness.h"

#include "certmgr/acme/presets.h"

static const struct eng_actor actor = {.who = "ada", .via = "form"};
static struct h_ca staging;
static char live_url[96], staging_url[96];
static struct acme_preset rows[] = {
    {.name = "live", .title = "Live CA", .directory = live_url, .staging = "live-staging"},
    {.name = "live-staging", .title = "Live CA (staging)", .directory = staging_url, .test = true}};

static int setup(void **state)
{
    int rc = h_setup(state);
    struct h *h = *state;
    h_ca_start(&staging, h->loop);
    (void)snprintf(live_url, sizeof(live_url), "%s/dir", h->ca.base);
    (void)snprintf(staging_url, sizeof(staging_url), "%s/dir", staging.base);
    acme_preset_test(rows, 2);
    h_account(h);
    return rc;
}

static int teardown(void **state)
{
    struct h *h = *state;
    acme_preset_test(NULL, 0);
    eng_free(h->engine); /* before the CA that it asks */
    h->engine = NULL;
    h_ca_stop(&staging);
    return h_teardown(state);
}

#define TRIAL_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

static json_t *body_of(struct h *h)
{
    return h_body(h, "credential", h->credential);
}

static bool has_ended(struct h *h)
{
    CM_AUTO_JSON body = body_of(h);
    const char *state = cm_json_str(cm_json_obj(body, "trial"), "state");
    return h->engine->job_count == 0 && state && strcmp(state, "wanted") != 0;
}

/* The outcome of the dry run that was asked for (owned). */
static json_t *outcome(struct h *h, const char *state)
{
    h_until(h, has_ended, "the end of the dry run");
    CM_AUTO_JSON body = body_of(h);
    const json_t *trial = cm_json_obj(body, "trial");
    assert_string_equal(cm_json_str(trial, "state"), state);
    return json_incref((json_t *)(uintptr_t)trial);
}

static int ask(struct h *h)
{
    eng_dry_run(h->engine, h->credential, &actor, h_on_done, h);
    return h_done(h);
}

static int on_row(void *arg, const char *key, const json_t *value)
{
    (void)key;
    (void)value;
    ++*(int *)arg;
    return 0;
}

static void assert_nothing_left(struct h *h)
{
    int left = 0;
    h_turns(h, 20);
    cs_kv_each(h->store, "order", "", on_row, &left);
    assert_int_equal(left, 0);
    CM_AUTO_JSON challenge = h_body(h, "challenge", h->credential);
    assert_int_equal(json_array_size(cm_json_arr(challenge, "tokens")), 0);
}

static void nothing_is_kept_but_the_outcome(void **state)
{
    struct h *h = *state;
    CM_AUTO_JSON before = h_issue(h, "www.example.com");
    CM_AUTO_JSON keyfile = h_body(h, "keyfile", h->credential);
    unsigned orders = h->ca.new_orders;
    assert_int_equal(ask(h), 0);
    CM_AUTO_JSON trial = outcome(h, "passed");
    CM_AUTO_JSON after = body_of(h);
    CM_AUTO_JSON same = h_body(h, "keyfile", h->credential);
    static const char *const kept[] = {"status",         "fingerprint",    "sealed_key", "csr",
                                       "key_generation", "next_action_at", "chain",      "health"};
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        assert_true(json_equal(json_object_get(before, kept[i]), json_object_get(after, kept[i])));
    assert_true(json_equal(keyfile, same));
    assert_int_equal(h->ca.new_orders, orders); /* the live CA heard nothing of it */
    assert_int_equal(staging.new_orders, 1);
    assert_int_equal(staging.downloads, 1);
    assert_string_equal(cm_json_str(trial, "by"), "ada");
    assert_string_equal(cm_json_str(trial, "account"), "live-staging");
    assert_nothing_left(h);
    /* The account was made, and says who agreed to what. */
    CM_AUTO_JSON account = h_body(h, "account", "live-staging");
    assert_string_equal(cm_json_str(cm_json_obj(account, "terms_agreed"), "by"), "ada");
    assert_non_null(cm_json_str(account, "kid"));
    CM_AUTO_JSON live = h_body(h, "account", "ca");
    assert_string_not_equal(cm_json_str(account, "thumbprint"), cm_json_str(live, "thumbprint"));
    assert_int_equal(ask(h), 0); /* the next one uses it again */
    json_decref(outcome(h, "passed"));
    assert_int_equal(staging.accounts, 1);
}

static void the_budget_of_the_live_ca_is_untouched(void **state)
{
    struct h *h = *state;
    rows[0].rate[ACME_LIMIT_ORDERS] = (struct acme_rate){10, 3600000};
    rows[0].rate[ACME_LIMIT_SET] = (struct acme_rate){5, 3600000};
    json_t *fields = h_fields("www.example.com");
    cm_json_set_bool(fields, "dry_run", true);
    assert_int_equal(h_submit(h, fields), 0);
    json_decref(outcome(h, "passed"));
    CM_AUTO_JSON view = eng_budget_view(h->engine, "ca");
    size_t i;
    json_t *row;
    json_array_foreach(cm_json_arr(view, "limits"), i, row)
    {
        assert_int_equal(cm_json_int(row, "left", -1), cm_json_int(row, "of", -2));
    }
    memset(rows[0].rate, 0, sizeof(rows[0].rate));
}

static void a_draft_is_tried_and_then_submitted(void **state)
{
    struct h *h = *state;
    json_t *fields = h_fields("www.example.com");
    cm_json_set_bool(fields, "dry_run", true);
    assert_int_equal(h_submit(h, fields), 0);
    json_decref(outcome(h, "passed"));
    CM_AUTO_JSON draft = body_of(h);
    assert_string_equal(cm_json_str(draft, "status"), "draft");
    assert_null(cm_json_str(draft, "sealed_key"));
    assert_null(cm_json_str(draft, "chain"));
    CM_AUTO_JSON none = h_body(h, "keyfile", h->credential);
    assert_null(none);
    assert_int_equal(h->ca.new_orders, 0);
    h_turns(h, 50);
    assert_int_equal(h->engine->job_count, 0); /* it waits to be submitted */
    eng_retry(h->engine, h->credential, &actor, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    CM_AUTO_JSON issued = h_status(h, "issued");
    assert_non_null(cm_json_str(issued, "chain"));
    assert_null(json_object_get(issued, "trial"));
    assert_int_equal(h->ca.new_orders, 1);
}

static void a_failed_one_says_why_and_changes_nothing(void **state)
{
    struct h *h = *state;
    CM_AUTO_JSON before = h_issue(h, "www.example.com");
    staging.fail_validation = true;
    assert_int_equal(ask(h), 0);
    CM_AUTO_JSON trial = outcome(h, "failed");
    const json_t *error = cm_json_obj(trial, "error");
    assert_non_null(strstr(cm_json_str(error, "what"), "www.example.com"));
    CM_AUTO_JSON after = body_of(h);
    assert_string_equal(cm_json_str(after, "status"), "issued");
    assert_null(json_object_get(after, "error"));
    assert_true(json_equal(json_object_get(before, "next_action_at"),
                           json_object_get(after, "next_action_at")));
    assert_nothing_left(h);
    h_turns(h, 50);
    assert_int_equal(staging.new_orders, 1); /* made once */
}

static void a_ca_without_staging_says_so(void **state)
{
    struct h *h = *state;
    json_decref(h_issue(h, "www.example.com"));
    acme_preset_test(NULL, 0);
    assert_int_equal(ask(h), CM_ECONFLICT);
    assert_non_null(strstr(h->err.what, "has no staging environment"));
    json_t *fields = h_fields("api.example.com");
    cm_json_set_bool(fields, "dry_run", true);
    assert_int_equal(h_submit(h, fields), CM_ECONFLICT);
    assert_non_null(strstr(h->err.hint, "Check"));
}

/* A CA that the table does not know: a person has named the account. */
static void an_account_can_be_paired(void **state)
{
    struct h *h = *state;
    acme_preset_test(NULL, 0);
    CM_AUTO_JSON other = json_pack("{s:s,s:s,s:b,s:b}", "name", "try", "directory", staging_url,
                                   "terms_agreed", 1, "self_check", 0);
    eng_account_put(h->engine, other, &actor, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    CM_AUTO_JSON fields = json_pack("{s:s,s:s,s:b,s:s}", "name", "ca", "directory", live_url,
                                    "self_check", 0, "staging", "nobody");
    eng_account_put(h->engine, fields, &actor, h_on_done, h);
    assert_int_equal(h_done(h), CM_EINVAL);
    cm_json_set_str(fields, "staging", "try");
    eng_account_put(h->engine, fields, &actor, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    json_decref(h_issue(h, "www.example.com"));
    assert_int_equal(ask(h), 0);
    CM_AUTO_JSON trial = outcome(h, "passed");
    assert_string_equal(cm_json_str(trial, "account"), "try");
}

/* One that was deactivated is never of use again: another is made. */
static void a_deactivated_account_stands_for_no_staging(void **state)
{
    struct h *h = *state;
    char name[ENG_ACCOUNT_TEXT];
    const struct acme_preset *make;
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_JSON other = json_pack("{s:s,s:s,s:b,s:b}", "name", "old", "directory", staging_url,
                                   "terms_agreed", 1, "self_check", 0);
    eng_account_put(h->engine, other, &actor, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    assert_int_equal(eng_staging_find(h->engine, "ca", name, &make, &err), 0);
    assert_string_equal(name, "old");
    assert_null(make);
    CM_AUTO_JSON body = h_body(h, "account", "old");
    cm_json_set_str(body, "status", "deactivated");
    h_put(h, json_incref(body));
    assert_int_equal(eng_staging_find(h->engine, "ca", name, &make, &err), 0);
    assert_string_equal(name, "live-staging");
    assert_non_null(make);
}

static void other_terms_are_for_a_person(void **state)
{
    struct h *h = *state;
    json_decref(h_issue(h, "www.example.com"));
    staging.terms = "https://ca.example/other-terms";
    assert_int_equal(ask(h), 0);
    CM_AUTO_JSON trial = outcome(h, "failed");
    const json_t *error = cm_json_obj(trial, "error");
    assert_string_equal(cm_json_str(error, "what"), "The account for dry runs could not be made");
    assert_non_null(strstr(cm_json_str(error, "hint"), "live-staging"));
    CM_AUTO_JSON account = h_body(h, "account", "live-staging");
    assert_null(account);
    assert_int_equal(staging.accounts, 0);
}

static bool is_held(struct h *h)
{
    (void)h;
    return staging.held != NULL;
}

static void a_kill_in_the_middle(void **state)
{
    struct h *h = *state;
    json_decref(h_issue(h, "www.example.com"));
    staging.hold_finalize = true;
    assert_int_equal(ask(h), 0);
    h_until(h, is_held, "the order at the staging");
    staging.hold_finalize = false;
    h_restart(h);
    json_decref(outcome(h, "passed"));
    assert_int_equal(staging.new_orders, 1);
    assert_nothing_left(h);
}

/* ---- first after failures ----------------------------------------------------------------------
 */

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

static unsigned wanted_attempts;

static bool has_failed(struct h *h)
{
    CM_AUTO_JSON body = body_of(h);
    return cm_json_int(body, "attempts", 0) == wanted_attempts && h->engine->job_count == 0;
}

static json_t *failed(struct h *h, unsigned attempts)
{
    wanted_attempts = attempts;
    h_until(h, has_failed, "the failure");
    return body_of(h);
}

static void again(struct h *h)
{
    CM_AUTO_STR id = cm_asprintf("credential:%s", h->credential);
    eng_edit(h->engine, id, "credential", make_due, on_edited, h);
    assert_int_equal(h_done(h), 0);
}

/* Two failures at the live CA; what the credential says then (owned). */
static json_t *fail_twice(struct h *h)
{
    h->ca.fail_validation = true;
    assert_int_equal(h_submit(h, h_fields("www.example.com")), 0);
    json_decref(failed(h, 1));
    again(h);
    return failed(h, ENG_TRIAL_AFTER);
}

static void the_staging_is_asked_first_after_failures(void **state)
{
    struct h *h = *state;
    CM_AUTO_JSON body = fail_twice(h);
    const json_t *trial = cm_json_obj(body, "trial");
    assert_string_equal(cm_json_str(trial, "reason"), "failures");
    CM_AUTO_JSON view = eng_view(h->engine, h->credential);
    const json_t *told = cm_json_obj(view, "next_told");
    assert_string_equal(cm_json_str(told, "code"), "dry_run");
    assert_string_equal(cm_json_str(cm_json_obj(told, "why"), "code"), "staging_first");
    assert_int_equal(h->ca.new_orders, 2);
    /* What the staging refuses, the live CA is not asked. */
    staging.fail_validation = true;
    again(h);
    CM_AUTO_JSON third = failed(h, 3);
    assert_int_equal(h->ca.new_orders, 2);
    assert_int_equal(staging.new_orders, 1);
    assert_non_null(strstr(cm_json_str(cm_json_obj(third, "error"), "what"), "dry run"));
    assert_string_equal(cm_json_str(cm_json_obj(third, "trial"), "state"), "wanted");
    /* Mended: the staging passes, then the live CA's turn, in one go. */
    staging.fail_validation = h->ca.fail_validation = false;
    again(h);
    CM_AUTO_JSON issued = h_status(h, "issued");
    assert_int_equal(staging.new_orders, 2);
    assert_int_equal(h->ca.new_orders, 3);
    assert_null(json_object_get(issued, "trial"));
    assert_nothing_left(h);
}

static void the_staging_s_own_troubles_hold_nobody_back(void **state)
{
    struct h *h = *state;
    json_decref(fail_twice(h));
    staging.refuse_orders = 1;
    staging.refuse_type = "serverInternal";
    h->ca.fail_validation = false;
    again(h);
    json_decref(h_status(h, "issued"));
    assert_int_equal(h->ca.new_orders, 3);
}

static void who_asks_in_person_is_not_sent_there(void **state)
{
    struct h *h = *state;
    json_decref(fail_twice(h));
    h->ca.fail_validation = false;
    eng_retry(h->engine, h->credential, &actor, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    json_decref(h_status(h, "issued"));
    assert_int_equal(staging.new_orders, 0);
}

static void it_can_be_switched_off(void **state)
{
    struct h *h = *state;
    CM_AUTO_JSON wrong = json_pack("{s:s}", "staging_first", "no");
    CM_AUTO_JSON off = json_pack("{s:b}", "staging_first", 0);
    eng_settings_put(h->engine, wrong, h_on_done, h);
    assert_int_equal(h_done(h), CM_EINVAL);
    eng_settings_put(h->engine, off, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    CM_AUTO_JSON body = fail_twice(h);
    assert_null(json_object_get(body, "trial"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TRIAL_TEST(nothing_is_kept_but_the_outcome),
        TRIAL_TEST(the_budget_of_the_live_ca_is_untouched),
        TRIAL_TEST(a_draft_is_tried_and_then_submitted),
        TRIAL_TEST(a_failed_one_says_why_and_changes_nothing),
        TRIAL_TEST(a_ca_without_staging_says_so),
        TRIAL_TEST(an_account_can_be_paired),
        TRIAL_TEST(a_deactivated_account_stands_for_no_staging),
        TRIAL_TEST(other_terms_are_for_a_person),
        TRIAL_TEST(a_kill_in_the_middle),
        TRIAL_TEST(the_staging_is_asked_first_after_failures),
        TRIAL_TEST(the_staging_s_own_troubles_hold_nobody_back),
        TRIAL_TEST(who_asks_in_person_is_not_sent_there),
        TRIAL_TEST(it_can_be_switched_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
