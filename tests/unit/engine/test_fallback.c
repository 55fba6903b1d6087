/* Fall-over between the CAs of a credential's accounts. */
#include "tests/unit/engine/harness.h"

static const struct eng_actor actor = {.who = "ada", .via = "form"};

static bool is_idle(struct h *h)
{
    return h->engine->job_count == 0;
}

static void put_account(struct h *h, const char *name, const struct h_ca *ca)
{
    CM_AUTO_STR directory = cm_asprintf("%s/dir", ca->base);
    CM_AUTO_JSON fields = json_pack("{s:s,s:s,s:b,s:b}", "name", name, "directory", directory,
                                    "terms_agreed", 1, "self_check", 0);
    eng_account_put(h->engine, fields, &actor, h_on_done, h);
    assert_int_equal(h_done(h), 0);
}

static json_t *with_fallback(const char *const *accounts)
{
    json_t *fields = h_fields("www.example.com"), *list = json_array();
    for (size_t i = 0; accounts[i]; i++)
        json_array_append_new(list, json_string(accounts[i]));
    cm_json_set(fields, "fallback_accounts", list);
    return fields;
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

static unsigned wanted_attempts;

static bool has_failed(struct h *h)
{
    CM_AUTO_JSON body = h_body(h, "credential", h->credential);
    return cm_json_int(body, "attempts", 0) == wanted_attempts && is_idle(h);
}

static void again(struct h *h)
{
    CM_AUTO_STR id = cm_asprintf("credential:%s", h->credential);
    eng_edit(h->engine, id, "credential", make_due, on_edited, h);
    assert_int_equal(h_done(h), 0);
}

/* The turn after this failed run (owned body). */
static json_t *failed(struct h *h, unsigned attempts)
{
    wanted_attempts = attempts;
    h_until(h, has_failed, "the failure");
    return h_body(h, "credential", h->credential);
}

static void the_next_ca_is_asked_after_three_failures(void **state)
{
    struct h *h = *state;
    struct h_ca second;
    static const char *const names[] = {"second", NULL};
    h_ca_start(&second, h->loop);
    h_account(h);
    put_account(h, "second", &second);
    h->ca.refuse_orders = 100;
    h->ca.refuse_type = "serverInternal";
    assert_int_equal(h_submit(h, with_fallback(names)), 0);
    for (unsigned i = 1; i <= 3; i++) {
        CM_AUTO_JSON body = failed(h, i);
        assert_string_equal(eng_turn_account(body), i < 3 ? "ca" : "second");
        /* Another CA need not wait for what went wrong here. */
        if (i == 3)
            assert_true(cm_json_time(body, "next_action_at", 0) < cm_now_ms() + 120000);
        assert_int_equal(json_array_size(second.orders), 0);
        again(h);
    }
    CM_AUTO_JSON issued = h_status(h, "issued");
    h_until(h, is_idle, "the job to end");
    assert_int_equal(json_array_size(second.orders), 1);
    const json_t *by = cm_json_obj(issued, "issued_by");
    assert_string_equal(cm_json_str(by, "account"), "second");
    assert_string_equal(eng_issuer_account(issued), "second");
    assert_null(json_object_get(issued, "fallback"));

    /* The next renewal begins with the first again, which did not issue: nothing is replaced. */
    assert_string_equal(eng_turn_account(issued), "ca");
    h->ca.refuse_orders = 0;
    again(h);
    while (h->ca.downloads == 0 || !is_idle(h))
        cm_loop_turn(h->loop, true);
    CM_AUTO_JSON renewed = h_status(h, "issued");
    assert_string_equal(eng_issuer_account(renewed), "ca");
    assert_null(h->ca.replaces);
    h_ca_stop(&second);
}

static void what_a_person_must_mend_moves_on_at_once(void **state)
{
    struct h *h = *state;
    struct h_ca second;
    static const char *const names[] = {"second", NULL};
    h_ca_start(&second, h->loop);
    h_account(h);
    put_account(h, "second", &second);
    h->ca.refuse_orders = second.refuse_orders = 100;
    h->ca.refuse_type = second.refuse_type = "externalAccountRequired";
    assert_int_equal(h_submit(h, with_fallback(names)), 0);
    CM_AUTO_JSON first = failed(h, 1);
    assert_string_equal(eng_turn_account(first), "second");
    again(h);
    /* After the last one it is the first's turn, at its usual pace: nobody is asked in circles. */
    CM_AUTO_JSON last = failed(h, 2);
    assert_string_equal(eng_turn_account(last), "ca");
    assert_true(cm_json_time(last, "next_action_at", 0) > cm_now_ms() + 3600000);
    /* Another choice of accounts begins anew. */
    assert_non_null(json_object_get(last, "fallback"));
    CM_AUTO_JSON fields = json_pack("{s:s}", "account", "second");
    eng_fields_take(last, fields);
    assert_null(json_object_get(last, "fallback"));
    assert_null(json_object_get(last, "fallback_accounts"));
    eng_account_act(h->engine, "second", ACCOUNT_DELETE, &actor, h_on_done, h);
    assert_int_equal(h_done(h), CM_ECONFLICT); /* a credential falls back to it */
    h_ca_stop(&second);
}

/* One after the other as they stand in the list, then the first again. */
static void the_order_of_the_list_counts(void **state)
{
    (void)state;
    static const char *const turns[] = {"b", "c", "d", "a", "b"};
    CM_AUTO_JSON credential =
        json_pack("{s:s,s:[s,s,s]}", "account", "a", "fallback_accounts", "b", "c", "d");
    assert_string_equal(eng_turn_account(credential), "a");
    for (size_t i = 0; i < sizeof(turns) / sizeof(turns[0]); i++) {
        bool other = eng_turn_failed(credential, CM_RETRY_PERMANENT);
        assert_int_equal(other, strcmp(turns[i], "a") != 0); /* else at the usual pace */
        assert_string_equal(eng_turn_account(credential), turns[i]);
    }
}

static void the_list_is_checked(void **state)
{
    struct h *h = *state;
    static const char *const wrong[][5] = {
        {"none"}, {"ca"}, {"second", "second"}, {"a", "b", "c", "d"}};
    h_account(h);
    put_account(h, "second", &h->ca);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(h_submit(h, with_fallback(wrong[i])), CM_EINVAL);
        assert_string_equal(cm_json_str_or(json_array_get(h->errors, 0), "field", ""),
                            "fallback_accounts");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        H_TEST(the_next_ca_is_asked_after_three_failures),
        H_TEST(what_a_person_must_mend_moves_on_at_once),
        H_TEST(the_list_is_checked),
        H_TEST(the_order_of_the_list_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
