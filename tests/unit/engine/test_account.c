/* An account between two bindings, a late binding, and new terms. */
#include "tests/unit/engine/harness.h"

static const struct eng_actor actor = {.who = "ada", .via = "form"};

static bool is_idle(struct h *h)
{
    return h->engine->job_count == 0;
}

static int rebind(struct h *h, const char *kid, const char *hmac)
{
    struct eng_binding binding = {.kid = kid, .hmac = hmac};
    eng_account_rebind(h->engine, "ca", &binding, &actor, h_on_done, h);
    return h_done(h);
}

static int act(struct h *h, enum eng_account_act kind)
{
    eng_account_act(h->engine, "ca", kind, &actor, h_on_done, h);
    return h_done(h);
}

static void another_ca_account_takes_another_key(void **state)
{
    struct h *h = *state;
    h_account(h);
    CM_AUTO_JSON first = h_issue(h, "www.example.com");
    assert_non_null(first);
    h_until(h, is_idle, "the job to end");
    CM_AUTO_JSON before = h_body(h, "account", "ca");
    assert_non_null(cm_json_str(before, "kid"));
    assert_int_equal(rebind(h, "kid-2", ""), CM_EINVAL);
    assert_non_null(strstr(h_line(h), "eab_hmac: give"));
    assert_int_equal(rebind(h, "kid-2", "c2VjcmV0"), 0);

    CM_AUTO_JSON bound = h_body(h, "account", "ca");
    assert_null(json_object_get(bound, "kid"));
    assert_string_equal(cm_json_str(bound, "status"), "new");
    assert_string_equal(cm_json_str(cm_json_obj(bound, "eab"), "kid"), "kid-2");
    assert_true(json_equal(json_object_get(before, "terms_agreed"),
                           json_object_get(bound, "terms_agreed")));
    assert_true(
        json_equal(json_object_get(before, "contacts"), json_object_get(bound, "contacts")));
    assert_false(
        json_equal(json_object_get(before, "thumbprint"), json_object_get(bound, "thumbprint")));
    const json_t *former = json_array_get(cm_json_arr(bound, "former"), 0);
    static const char *const kept[] = {"sealed_key", "thumbprint", "kid"};
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        assert_true(json_equal(json_object_get(before, kept[i]), json_object_get(former, kept[i])));
    assert_string_equal(cm_json_str(former, "by"), "ada");

    /* The next order registers anew, with the binding: the former URL is not taken over. */
    CM_AUTO_JSON second = h_issue(h, "api.example.com");
    assert_non_null(second);
    assert_int_equal(h->ca.accounts, 2);
    assert_true(json_equal(h->ca.eab, cm_json_obj(cm_json_obj(bound, "eab"), "jws")));
    CM_AUTO_JSON after = h_body(h, "account", "ca");
    assert_non_null(cm_json_str(after, "kid"));
    assert_null(json_object_get(cm_json_obj(after, "eab"), "jws"));

    /* No more than the last few are kept, the newest first. */
    for (int i = 0; i < 4; i++)
        assert_int_equal(rebind(h, "kid-3", "c2VjcmV0"), 0);
    CM_AUTO_JSON many = h_body(h, "account", "ca");
    assert_int_equal(json_array_size(cm_json_arr(many, "former")), 3);
}

static void there_is_nothing_to_rebind(void **state)
{
    struct h *h = *state;
    assert_int_equal(rebind(h, "kid", "c2VjcmV0"), CM_ENOENT);
    h_account(h);
    CM_AUTO_JSON body = h_body(h, "account", "ca");
    cm_json_set(body, "rollover",
                json_pack("{s:s,s:s}", "sealed_key", "c2VhbGVk", "thumbprint",
                          cm_json_str(body, "thumbprint")));
    h_put(h, json_incref(body));
    assert_int_equal(rebind(h, "kid", "c2VjcmV0"), CM_ECONFLICT);
    h->engine->env.manager = false;
    assert_int_equal(rebind(h, "kid", "c2VjcmV0"), CM_EDENIED);
    h->engine->env.manager = true;
}

static void bind_at(struct h *h, int64_t at_ms)
{
    CM_AUTO_JSON body = h_body(h, "account", "ca");
    cm_json_set_str(body, "directory", "https://acme.amecert.jprs.jp/DV/getDirectory");
    cm_json_set(body, "eab", json_pack("{s:s,s:{s:s}}", "kid", "kid-1", "jws", "payload", "e30"));
    cm_json_set_time(json_object_get(body, "eab"), "at", at_ms);
    h_put(h, json_incref(body));
}

static void a_late_binding_is_not_sent(void **state)
{
    struct h *h = *state;
    struct eng_account *account = NULL;
    h_account(h);
    bind_at(h, cm_now_ms() - INT64_C(13) * 86400000);
    assert_int_equal(eng_account_get(h->engine, "ca", &account, NULL), 0);
    eng_account_unref(account);
    bind_at(h, cm_now_ms() - INT64_C(14) * 86400000 - 1000);
    h_turns(h, 20);
    assert_int_equal(h_submit(h, h_fields("www.example.com")), 0);
    CM_AUTO_JSON body = h_status(h, "error");
    const json_t *error = cm_json_obj(body, "error");
    assert_non_null(strstr(cm_json_str(error, "what"), "was not used in time"));
    assert_non_null(strstr(cm_json_str(error, "hint"), "ask the reseller"));
    assert_string_equal(cm_json_str(error, "retry"), cm_retry_name(CM_RETRY_CONFIGURATION));
}

/* Looked up by its key: the URL is kept, but not of an account that the CA has ended. */
static void an_account_is_looked_up(void **state)
{
    struct h *h = *state;
    h_account(h);
    h->ca.account_status = "revoked";
    assert_int_equal(act(h, ACCOUNT_FIND), CM_ECONFLICT);
    assert_non_null(strstr(h_line(h), "The account is revoked at the CA"));
    CM_AUTO_JSON before = h_body(h, "account", "ca");
    assert_string_equal(cm_json_str(before, "status"), "new");
    assert_null(json_object_get(before, "kid"));
    h->ca.account_status = NULL;
    assert_int_equal(act(h, ACCOUNT_FIND), 0);
    CM_AUTO_JSON found = h_body(h, "account", "ca");
    assert_string_equal(cm_json_str(found, "status"), "valid");
    assert_non_null(cm_json_str(found, "kid"));
}

/* The CA refuses it for good (RFC 8555 7.3.6): nothing is sent in its name, and the reason told. */
static void a_deactivated_account_is_not_used(void **state)
{
    struct h *h = *state;
    h_account(h);
    CM_AUTO_JSON body = h_body(h, "account", "ca");
    cm_json_set_str(body, "status", "deactivated");
    cm_json_set_str(body, "kid", "https://ca.example/acct/1");
    h_put(h, json_incref(body));
    assert_int_equal(h_submit(h, h_fields("www.example.com")), 0);
    CM_AUTO_JSON failed = h_status(h, "error");
    const json_t *error = cm_json_obj(failed, "error");
    assert_non_null(strstr(cm_json_str(error, "what"), "was deactivated at the CA"));
    assert_string_equal(cm_json_str(error, "retry"), cm_retry_name(CM_RETRY_CONFIGURATION));
    assert_int_equal(h->ca.new_orders, 0);
    assert_int_equal(h->ca.accounts, 0);
}

static bool has_error(struct h *h)
{
    CM_AUTO_JSON body = h_body(h, "account", "ca");
    return cm_json_obj(body, "error") && is_idle(h);
}

/* The account itself says what the CA has against it, until it is saved or registered. */
static void what_the_ca_refuses_stands_in_the_account(void **state)
{
    struct h *h = *state;
    h_account(h);
    h->ca.refuse_orders = 1;
    h->ca.refuse_type = "invalidContact";
    assert_int_equal(h_submit(h, h_fields("www.example.com")), 0);
    json_decref(h_status(h, "error"));
    h_until(h, has_error, "the account to say so");
    CM_AUTO_JSON refused = h_body(h, "account", "ca");
    const json_t *problem = cm_json_obj(cm_json_obj(refused, "error"), "problem");
    assert_string_equal(cm_json_str(problem, "type"), "urn:ietf:params:acme:error:invalidContact");
    assert_string_equal(cm_json_str(refused, "status"), "valid"); /* it is registered */
    h_account(h);                                                 /* saved again */
    CM_AUTO_JSON saved = h_body(h, "account", "ca");
    assert_null(cm_json_obj(saved, "error"));
    /* What is about an order stays there. */
    h->ca.refuse_orders = 1;
    h->ca.refuse_type = "rejectedIdentifier";
    json_t *fields = h_fields("api.example.com");
    cm_json_set_str(fields, "keyring_file", "api.kyr");
    assert_int_equal(h_submit(h, fields), 0);
    json_decref(h_status(h, "error"));
    h_until(h, is_idle, "the job to end");
    CM_AUTO_JSON after = h_body(h, "account", "ca");
    assert_null(cm_json_obj(after, "error"));
}

static bool has_new_terms(struct h *h)
{
    CM_AUTO_JSON body = h_body(h, "account", "ca");
    return cm_json_obj(body, "new_terms") && is_idle(h);
}

static void new_terms_are_agreed_to_by_a_person(void **state)
{
    struct h *h = *state;
    h_account(h);
    assert_int_equal(act(h, ACCOUNT_AGREE), CM_ECONFLICT);
    h->ca.refuse_orders = 1;
    h->ca.refuse_type = "userActionRequired";
    assert_int_equal(h_submit(h, h_fields("www.example.com")), 0);
    CM_AUTO_JSON failed = h_status(h, "error");
    assert_non_null(failed);
    h_until(h, has_new_terms, "the account to say so");
    CM_AUTO_JSON asked = h_body(h, "account", "ca");
    const json_t *terms = cm_json_obj(asked, "new_terms");
    assert_string_equal(cm_json_str(terms, "page"), "https://ca.example/agree");
    assert_string_equal(cm_json_str(terms, "url"), "https://ca.example/terms-2");
    assert_non_null(cm_json_str(terms, "at"));
    /* Until then no order is made. */
    unsigned orders = h->ca.new_orders;
    assert_int_equal(h_submit(h, h_fields("api.example.com")), 0);
    CM_AUTO_JSON waits = h_status(h, "error");
    assert_non_null(strstr(cm_json_str(cm_json_obj(waits, "error"), "what"), "has changed its"));
    assert_int_equal(h->ca.new_orders, orders);
    h_until(h, is_idle, "the job to end");
    assert_int_equal(act(h, ACCOUNT_AGREE), 0);
    CM_AUTO_JSON agreed = h_body(h, "account", "ca");
    assert_null(json_object_get(agreed, "new_terms"));
    const json_t *now = cm_json_obj(agreed, "terms_agreed");
    assert_string_equal(cm_json_str(now, "url"), "https://ca.example/terms-2");
    assert_string_equal(cm_json_str(now, "by"), "ada");
    CM_AUTO_JSON issued = h_issue(h, "shop.example.com");
    assert_non_null(issued);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        H_TEST(another_ca_account_takes_another_key),
        H_TEST(there_is_nothing_to_rebind),
        H_TEST(a_late_binding_is_not_sent),
        H_TEST(an_account_is_looked_up),
        H_TEST(a_deactivated_account_is_not_used),
        H_TEST(what_the_ca_refuses_stands_in_the_account),
        H_TEST(new_terms_are_agreed_to_by_a_person),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
