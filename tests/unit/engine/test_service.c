/* Accounts, roots, settings, the view and the step log. */
#include "tests/unit/engine/harness.h"

static const struct eng_actor actor = {.who = "ada", .via = "form"};

static int put_account(struct h *h, json_t *take_fields)
{
    eng_account_put(h->engine, take_fields, &actor, h_on_done, h);
    json_decref(take_fields);
    return h_done(h);
}

static json_t *account(struct h *h, const char *name, const char *path)
{
    CM_AUTO_STR directory = cm_asprintf("%s%s", h->ca.base, path);
    return json_pack("{s:s,s:s,s:[s,s],s:b,s:s}", "name", name, "directory", directory, "contacts",
                     "a@example.com",
                     "mailto:b@b\xc3\xbc"
                     "cher.example",
                     "terms_agreed", 1, "http_port", "5002");
}

static void an_account_gets_a_key_and_keeps_the_agreement(void **state)
{
    struct h *h = *state;
    if (put_account(h, account(h, "ca", "/dir")) != 0)
        fail_msg("%s", h_line(h));
    CM_AUTO_JSON body = h_body(h, "account", "ca");
    assert_string_equal(cm_json_str(body, "status"), "new");
    assert_string_equal(cm_json_str(body, "sealed_key"), "c2VhbGVk");
    assert_non_null(cm_json_str(body, "thumbprint"));
    assert_int_equal(cm_json_int(body, "http_port", 0), 5002);
    assert_int_equal(cm_json_int(body, "tls_port", 0), 443);
    assert_string_equal(cm_json_str(body, "challenge"), "http-01");
    assert_true(cm_json_bool(body, "self_check", false));
    assert_true(cm_json_has_str(cm_json_arr(body, "contacts"), "mailto:a@example.com"));
    assert_true(cm_json_has_str(cm_json_arr(body, "contacts"), "mailto:b@xn--bcher-kva.example"));
    const json_t *agreed = cm_json_obj(body, "terms_agreed");
    assert_string_equal(cm_json_str(agreed, "by"), "ada");
    assert_string_equal(cm_json_str(agreed, "url"), "https://ca.example/terms");
    assert_non_null(cm_json_str(agreed, "at"));
}

static json_t *bound(struct h *h, const char *name, const char *kid, const char *hmac)
{
    json_t *fields = account(h, name, "/dir");
    cm_json_set_bool(fields, "self_check", false);
    cm_json_set_str(fields, "eab_kid", kid);
    cm_json_set_str(fields, "eab_hmac", hmac);
    return fields;
}

static void a_binding_is_signed_at_once_and_sent_once(void **state)
{
    struct h *h = *state;
    h->ca.eab_required = true;
    assert_int_equal(put_account(h, account(h, "ca", "/dir")), CM_EINVAL);
    assert_non_null(strstr(h_line(h), "eab_kid: this CA registers only"));
    assert_int_equal(put_account(h, bound(h, "ca", "kid-1", NULL)), CM_EINVAL);
    assert_non_null(strstr(h_line(h), "eab_hmac: key identifier and HMAC key belong together"));
    if (put_account(h, bound(h, "ca", "kid-1", "c2VjcmV0LWhtYWM")) != 0)
        fail_msg("%s", h_line(h));
    CM_AUTO_JSON fresh = h_body(h, "account", "ca");
    CM_AUTO_STR text = cm_json_dump(fresh, NULL);
    assert_null(strstr(text, "c2VjcmV0LWhtYWM")); /* the HMAC key is nowhere */
    assert_string_equal(cm_json_str_or(cm_json_obj(fresh, "eab"), "kid", ""), "kid-1");
    const json_t *jws = cm_json_obj(cm_json_obj(fresh, "eab"), "jws");
    assert_non_null(jws);
    /* saved again without the key: the binding stays */
    assert_int_equal(put_account(h, bound(h, "ca", NULL, NULL)), 0);
    CM_AUTO_JSON issued = h_issue(h, "www.example.com");
    assert_non_null(issued);
    assert_true(json_equal(h->ca.eab, jws));
    CM_AUTO_JSON registered = h_body(h, "account", "ca");
    assert_string_equal(cm_json_str_or(cm_json_obj(registered, "eab"), "kid", ""), "kid-1");
    assert_null(json_object_get(cm_json_obj(registered, "eab"), "jws"));
    /* registered: the same binding is nothing new, another one is refused */
    assert_int_equal(put_account(h, bound(h, "ca", "kid-1", "c2VjcmV0LWhtYWM")), 0);
    assert_int_equal(put_account(h, bound(h, "ca", "kid-2", "c2VjcmV0LWhtYWM")), CM_EINVAL);
    assert_non_null(strstr(h_line(h), "registered at the CA already"));
    assert_int_equal(h_op_count(h, "eab.sign"), 1);
    assert_int_equal(h->ca.accounts, 1);
}

/* What is kept of a binding until it has served: with what it was signed, how long the key was, and
 * the other reading of a key that has two. */
static void a_binding_is_kept_until_it_has_served(void **state)
{
    struct h *h = *state;
    h->ca.eab_required = true;
    json_t *fields = bound(h, "ca", " kid-1\n", H_TWICE);
    cm_json_set_str(fields, "eab_alg", "HS1");
    assert_int_equal(put_account(h, json_deep_copy(fields)), CM_EINVAL);
    assert_non_null(strstr(h_line(h), "eab_alg: choose HS256, HS384 or HS512"));
    cm_json_set_str(fields, "eab_alg", "HS384");
    assert_int_equal(put_account(h, fields), 0);
    CM_AUTO_JSON fresh = h_body(h, "account", "ca");
    const json_t *eab = cm_json_obj(fresh, "eab");
    assert_string_equal(cm_json_str(eab, "kid"), "kid-1");
    assert_string_equal(cm_json_str(eab, "alg"), "HS384");
    assert_int_equal(cm_json_int(eab, "key_bytes", 0), 32);
    assert_non_null(cm_json_obj(eab, "jws_other"));
    json_decref(h_issue(h, "www.example.com"));
    CM_AUTO_JSON registered = h_body(h, "account", "ca");
    eab = cm_json_obj(registered, "eab");
    assert_null(json_object_get(eab, "jws"));
    assert_null(json_object_get(eab, "jws_other"));
    assert_int_equal(cm_json_int(eab, "key_bytes", 0), 32);
}

static void a_binding_needs_the_directory(void **state)
{
    struct h *h = *state;
    json_t *fields = bound(h, "ca", "kid-1", "c2VjcmV0");
    cm_json_set_str(fields, "directory", "http://127.0.0.1:1/dir");
    assert_int_equal(put_account(h, fields), CM_EINVAL);
    assert_non_null(strstr(h_line(h), "directory: no ACME directory could be read there"));
    assert_null(h_body(h, "account", "ca"));
    h->fail_op = "eab.sign";
    h->fail_code = CM_EINVAL;
    assert_int_equal(put_account(h, bound(h, "ca", "kid-1", "c2VjcmV0")), CM_EINVAL);
    assert_string_equal(h->err.what, "the agent refuses eab.sign"); /* its words name the field */
}

static void the_key_stays_while_the_directory_stays(void **state)
{
    struct h *h = *state;
    assert_int_equal(put_account(h, account(h, "ca", "/dir")), 0);
    CM_AUTO_JSON first = h_body(h, "account", "ca");
    json_t *again = account(h, "ca", "/dir");
    cm_json_set_bool(again, "self_check", false);
    assert_int_equal(put_account(h, again), 0);
    assert_int_equal(h_op_count(h, "account.create"), 1);
    CM_AUTO_JSON second = h_body(h, "account", "ca");
    assert_false(cm_json_bool(second, "self_check", true));
    assert_true(json_equal(json_object_get(first, "terms_agreed"),
                           json_object_get(second, "terms_agreed")));
    /* Another CA: another key, and the old URL and agreement go. */
    json_t *moved = account(h, "ca", "/other");
    cm_json_set_bool(moved, "terms_agreed", false);
    assert_int_equal(put_account(h, moved), 0);
    assert_int_equal(h_op_count(h, "account.create"), 2);
    CM_AUTO_JSON third = h_body(h, "account", "ca");
    assert_null(json_object_get(third, "terms_agreed"));
    assert_null(json_object_get(third, "kid"));
}

static void account_mistakes_are_named(void **state)
{
    struct h *h = *state;
    static const struct {
        const char *member, *value, *message;
    } rows[] = {
        {"name", "\"../x\"", "name:"},
        {"name", "\"\"", "name:"},
        {"directory", "\"ca.example\"", "directory:"},
        {"directory", "\"\"", "directory:"},
        {"contacts", "\"nobody\"", "no mail address"},
        {"contacts", "\"a@b@example.com\"", "no mail address"},
        {"contacts", "\"a@example.com?cc=x@y.example\"", "no mail address"},
        {"contacts", "\"\xc3\xbc@example.com\"", "ASCII"},
        {"contacts", "\"a@x.example a@x.example\"", "twice"},
        {"contacts", "5", "contacts:"},
        {"contacts", "\"a@x.eu b@x.eu c@x.eu d@x.eu e@x.eu f@x.eu g@x.eu\"", "at most 6"},
        {"directory", "\"https://acme.amecert.jprs.jp/DV/getDirectory\"", "with 1 to 6 mail"},
        {"http_port", "0", "http_port:"},
        {"http_port", "\"80a\"", "http_port:"},
        {"http_port", "70000", "http_port:"},
        {"tls_port", "70000", "tls_port:"},
        {"challenge", "\"dns-01\"", "challenge:"},
        {"challenge", "1", "challenge:"},
        {"ca_pem", "\"hello\"", "ca_pem:"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        json_t *fields = account(h, "ca", "/dir");
        json_object_set_new(fields, rows[i].member,
                            json_loads(rows[i].value, JSON_DECODE_ANY, NULL));
        if (strstr(rows[i].message, "1 to 6"))
            json_object_del(fields, "contacts");
        if (put_account(h, fields) != CM_EINVAL || !strstr(h->err.what, rows[i].message))
            fail_msg("%s = %s: %s", rows[i].member, rows[i].value, h_line(h));
    }
    assert_int_equal(h_op_count(h, "account.create"), 0);
}

static void a_ca_is_reached_by_https_only(void **state)
{
    struct h *h = *state;
    eng_free(h->engine);
    h->env.lab_http = false;
    h->engine = eng_new(&h->env);
    assert_int_equal(put_account(h, account(h, "ca", "/dir")), CM_EINVAL);
    assert_non_null(strstr(h->err.what, "https"));
}

static void a_refusing_agent_is_quoted(void **state)
{
    struct h *h = *state;
    h->fail_op = "account.create";
    h->fail_code = CM_EDENIED;
    assert_int_equal(put_account(h, account(h, "ca", "/dir")), CM_EDENIED);
    assert_non_null(strstr(h_line(h), "the agent refuses account.create"));
    assert_null(h_body(h, "account", "ca"));
}

static void an_account_of_an_unreachable_ca_is_made_all_the_same(void **state)
{
    struct h *h = *state;
    json_t *fields = account(h, "ca", "/dir");
    cm_json_set_str(fields, "directory", "http://127.0.0.1:1/dir");
    assert_int_equal(put_account(h, fields), 0);
    CM_AUTO_JSON body = h_body(h, "account", "ca");
    assert_string_equal(cm_json_str(cm_json_obj(body, "terms_agreed"), "url"),
                        "http://127.0.0.1:1/dir");
}

static void other_servers_do_not_write_what_is_the_managers(void **state)
{
    struct h *h = *state;
    eng_free(h->engine);
    h->env.manager = false;
    h->engine = eng_new(&h->env);
    assert_int_equal(put_account(h, account(h, "ca", "/dir")), CM_EDENIED);
    eng_root_put(h->engine, h->ca.keys.root, h_on_done, h);
    assert_int_equal(h_done(h), CM_EDENIED);
    CM_AUTO_JSON fields = json_pack("{s:i}", "renew_days", 20);
    eng_settings_put(h->engine, fields, h_on_done, h);
    assert_int_equal(h_done(h), CM_EDENIED);
}

static void a_root_is_kept_once(void **state)
{
    struct h *h = *state;
    eng_root_put(h->engine, h->ca.keys.root, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    struct kf_cert_info info;
    assert_int_equal(kf_cert_info(h->ca.keys.root, &info, NULL), 0);
    CM_AUTO_JSON body = h_body(h, "root", info.fingerprint);
    assert_string_equal(cm_json_str(body, "subject"), "Test Root");
    assert_string_equal(cm_json_str(body, "pem"), h->ca.keys.root);
    eng_root_put(h->engine, h->ca.keys.root, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    CM_AUTO_JSON again = h_body(h, "root", info.fingerprint);
    assert_true(json_equal(body, again));
    kf_cert_info_fini(&info);
    eng_root_put(h->engine, "hello", h_on_done, h);
    assert_int_not_equal(h_done(h), 0);
}

static void settings_are_checked_like_the_form(void **state)
{
    struct h *h = *state;
    static const struct {
        const char *json, *message;
    } rows[] = {
        {"{\"renew_days\": 0}", "renew_days"},      {"{\"key_type\": \"DSA\"}", "key_type"},
        {"{\"servers\": [\"zulu\"]}", "zulu"},      {"{\"account\": \"none\"}", "account"},
        {"{\"keyring_file\": \"a b\"}", "keyring"}, {"{\"colour\": \"red\"}", "colour"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CM_AUTO_JSON fields = json_loads(rows[i].json, 0, NULL);
        eng_settings_put(h->engine, fields, h_on_done, h);
        if (h_done(h) != CM_EINVAL || !strstr(h->err.what, rows[i].message))
            fail_msg("%s: %s", rows[i].json, h_line(h));
    }
    assert_null(h_body(h, "settings", "global"));
    /* One member changes; the others stay. */
    CM_AUTO_JSON one = json_loads("{\"renew_days\": \"14\", \"servers\": [\"bravo\"]}", 0, NULL);
    eng_settings_put(h->engine, one, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    CM_AUTO_JSON two = json_loads("{\"key_type\": \"RSA-2048\"}", 0, NULL);
    eng_settings_put(h->engine, two, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    CM_AUTO_JSON body = h_body(h, "settings", "global");
    assert_int_equal(cm_json_int(body, "renew_days", 0), 14);
    assert_string_equal(cm_json_str(body, "key_type"), "RSA-2048");
}

/* ---- view
 * ------------------------------------------------------------------------------------------- */

static void the_view_shows_all_but_the_sealed_key(void **state)
{
    struct h *h = *state;
    h_account(h);
    json_decref(h_issue(h, "www.example.com"));
    CM_AUTO_STR id = cm_asprintf("receipt:bravo:%s", h->credential);
    h_put(h, json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "_id", id, "type", "receipt", "server", "bravo",
                       "credential", h->credential, "state", "served", "at",
                       "2026-11-22T02:16:42.000Z"));
    h_turns(h, 20);
    CM_AUTO_JSON view = eng_view(h->engine, h->credential);
    const json_t *credential = cm_json_obj(view, "credential");
    assert_null(json_object_get(credential, "sealed_key"));
    assert_non_null(cm_json_str(credential, "chain"));
    assert_string_equal(cm_json_str(cm_json_obj(view, "request"), "action"), "issue");
    assert_string_equal(cm_json_str(json_array_get(cm_json_arr(view, "receipts"), 0), "server"),
                        "bravo");
    assert_non_null(strstr(cm_json_str_or(view, "next", ""), "renewal at"));
    assert_int_equal(json_array_size(cm_json_arr(view, "challenge")), 0);
    /* The manager's log tells what the server reported, and who did. */
    const json_t *steps = cm_json_arr(view, "steps");
    const json_t *last = json_array_get(steps, json_array_size(steps) - 1);
    assert_string_equal(cm_json_str_or(last, "server", ""), "bravo");
    assert_non_null(strstr(cm_json_str_or(last, "text", ""), "served on the wire"));
    assert_string_equal(cm_json_str_or(json_array_get(steps, 0), "text", ""),
                        "Request accepted (by ada on alpha)");
}

static void there_is_no_view_of_nothing(void **state)
{
    struct h *h = *state;
    assert_null(eng_view(h->engine, "01HZZZZZZZZZZZZZZZZZZZZZZZ"));
    assert_null(eng_view(h->engine, "../../etc"));
    assert_null(eng_view(h->engine, ""));
}

static void the_log_is_bounded_and_in_order(void **state)
{
    struct h *h = *state;
    const char *ulid = "01HZZZZZZZZZZZZZZZZZZZZZZZ";
    for (int i = 0; i < ENG_STEPS_SHOWN + 20; i++)
        eng_step(h->engine, ulid, CM_LOG_INFO, "line %d", i);
    CM_AUTO_JSON shown = eng_steps(h->engine, ulid);
    assert_int_equal(json_array_size(shown), ENG_STEPS_SHOWN);
    assert_string_equal(cm_json_str(json_array_get(shown, 0), "text"), "line 20");
    assert_string_equal(cm_json_str(json_array_get(shown, ENG_STEPS_SHOWN - 1), "text"),
                        "line 519");
    eng_steps_trim(h->engine, ulid);
    h_restart(h);
    eng_step(h->engine, ulid, CM_LOG_WARN, "after \xff a restart");
    CM_AUTO_JSON later = eng_steps(h->engine, ulid);
    assert_string_equal(cm_json_str(json_array_get(later, 0), "text"), "line 21");
    const json_t *last = json_array_get(later, ENG_STEPS_SHOWN - 1);
    assert_string_equal(cm_json_str(last, "text"), "after ? a restart");
    assert_string_equal(cm_json_str(last, "level"), "warn");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        H_TEST(an_account_gets_a_key_and_keeps_the_agreement),
        H_TEST(a_binding_is_signed_at_once_and_sent_once),
        H_TEST(a_binding_is_kept_until_it_has_served),
        H_TEST(a_binding_needs_the_directory),
        H_TEST(the_key_stays_while_the_directory_stays),
        H_TEST(account_mistakes_are_named),
        H_TEST(a_ca_is_reached_by_https_only),
        H_TEST(a_refusing_agent_is_quoted),
        H_TEST(an_account_of_an_unreachable_ca_is_made_all_the_same),
        H_TEST(other_servers_do_not_write_what_is_the_managers),
        H_TEST(a_root_is_kept_once),
        H_TEST(settings_are_checked_like_the_form),
        H_TEST(the_view_shows_all_but_the_sealed_key),
        H_TEST(there_is_no_view_of_nothing),
        H_TEST(the_log_is_bounded_and_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
