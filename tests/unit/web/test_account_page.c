/* The page of one account: its binding, another CA account, new terms. */
#include "tests/unit/web/rig.h"

#include "web-ui/view.h"

static void put(struct rig *rig, const char *directory, const char *kid, int64_t at_ms,
                json_t *take_terms)
{
    json_t *doc = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s?}", "_id", "account:ca", "type",
                            "account", "directory", directory, "status", kid ? "valid" : "new",
                            "sealed_key", "c2VjcmV0", "kid", kid);
    json_t *eab = json_pack("{s:s,s:{s:s}}", "kid", "kid-1", "jws", "payload", "e30");

    if (!kid)
        json_object_del(doc, "kid");
    cm_json_set_time(eab, "at", at_ms);
    cm_json_set(doc, "eab", eab);
    cm_json_set(doc, "new_terms", take_terms);
    rig_put(rig, doc);
}

#define JPRS "https://acme.amecert.jprs.jp/DV/getDirectory"

static void test_binding_days(void **state)
{
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    put(&rig, JPRS, NULL, cm_now_ms() - INT64_C(13) * 86400000, NULL);
    rig_get(&rig, "/accounts/ca", &reply);
    assert_has(&reply, "It is of use until");
    assert_has(&reply, "<span class=\"ago\">13 d ago</span>"); /* A5: its age */
    assert_has(&reply, "name=\"eab_kid\"");
    assert_has_not(&reply, "ask the reseller");
    assert_has_not(&reply, "value=\"rebind\"");
    reply_fini(&reply);
    put(&rig, JPRS, NULL, cm_now_ms() - INT64_C(15) * 86400000, NULL);
    rig_get(&rig, "/accounts/ca", &reply);
    assert_has(&reply, "ask the reseller");
    reply_fini(&reply);
    /* Registered, it has served its purpose; elsewhere no limit is known. */
    put(&rig, JPRS, "https://ca.example/a/1", cm_now_ms() - INT64_C(15) * 86400000, NULL);
    rig_get(&rig, "/accounts/ca", &reply);
    assert_has_not(&reply, "ask the reseller");
    assert_has(&reply, "a binding is not sent again");
    assert_has(&reply, "value=\"rebind\"");
    reply_fini(&reply);
    rig_stop(&rig);
}

/* A7: who agreed to what, and when. */
static void test_terms_agreed(void **state)
{
    struct rig rig;
    struct reply reply;
    json_t *agreed = json_pack("{s:s,s:s}", "by", "ada", "url", "https://ca.example/terms-1");

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    cm_json_set_time(agreed, "at", cm_now_ms() - INT64_C(5) * 86400000);
    rig_put(&rig, json_pack("{s:s, s:s, s:s, s:s, s:o}", "_id", "account:ca", "type", "account",
                            "directory", "https://ca.example/dir", "status", "new", "terms_agreed",
                            agreed));
    rig_get(&rig, "/accounts/ca", &reply);
    assert_has(&reply, "<strong>ada</strong>");
    assert_has(&reply, "<span class=\"ago\">5 d ago</span>");
    assert_has(&reply, "href=\"https://ca.example/terms-1\"");
    reply_fini(&reply);
    rig_stop(&rig);
}

/* How much of the HMAC key arrived, and that one which can be read in two ways is. */
static void test_binding_key(void **state)
{
    struct rig rig;
    struct reply reply;
    json_t *eab = json_pack("{s:s,s:i,s:s,s:{s:s},s:{s:s}}", "kid", "kid-1", "key_bytes", 44, "alg",
                            "HS384", "jws", "payload", "e30", "jws_other", "signature", "c2VjcmV0");

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    cm_json_set_time(eab, "at", cm_now_ms());
    rig_put(&rig, json_pack("{s:s, s:s, s:s, s:s, s:o}", "_id", "account:ca", "type", "account",
                            "directory", JPRS, "status", "new", "eab", eab));
    rig_get(&rig, "/accounts/ca", &reply);
    assert_has(&reply, "HMAC key of 44 bytes, HS384.");
    assert_has(&reply, "encoded twice");
    assert_has(&reply, "<option value=\"HS512\"");
    reply_fini(&reply);
    CM_AUTO_JSON view = web_account(rig.store, "ca");
    const json_t *shown = cm_json_obj(view, "eab");
    assert_true(cm_json_bool(shown, "two_readings", false));
    assert_null(json_object_get(shown, "jws"));
    assert_null(json_object_get(shown, "jws_other"));
    rig_stop(&rig);
}

/* What the CA refused stands at its field, in the CA's words. */
static void test_refused_contact(void **state)
{
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    rig_put(&rig,
            json_pack("{s:s,s:s,s:s,s:s,s:s,s:[s],s:{s:s,s:s,s:{s:s,s:s}}}", "_id", "account:ca",
                      "type", "account", "directory", "https://ca.example/dir", "status", "error",
                      "sealed_key", "c2VjcmV0", "contacts", "mailto:a@b.invalid", "error", "code",
                      "human", "what", "The CA refused the registration", "problem", "type",
                      "urn:ietf:params:acme:error:invalidContact", "detail",
                      "<b>no</b> mail there"));
    rig_get(&rig, "/accounts/ca", &reply);
    assert_has(&reply, "id=\"contacts-error\"");
    assert_has(&reply, "&lt;b&gt;no&lt;/b&gt; mail there");
    assert_has(&reply, "The CA refused the registration");
    reply_fini(&reply);
    rig_stop(&rig);
}

static void test_rebind(void **state)
{
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    put(&rig, "https://ca.example/dir", "https://ca.example/a/1", cm_now_ms(), NULL);
    int calls = doubles.calls;
    rig_post(&rig, "/accounts/ca/act", "act=rebind&eab_kid=k2&eab_hmac=aGVsbG8", &reply);
    assert_status(&reply, 422);
    assert_has(&reply, "id=\"confirm-error\"");
    assert_has_not(&reply, "aGVsbG8");
    assert_int_equal(doubles.calls, calls);
    reply_fini(&reply);
    rig_post(&rig, "/accounts/ca/act",
             "act=rebind&eab_kid=k2&eab_hmac=aGVsbG8&eab_alg=HS512&confirm=1", &reply);
    assert_status(&reply, 303);
    assert_string_equal(cm_json_str(doubles.fields, "eab_kid"), "k2");
    assert_string_equal(cm_json_str(doubles.fields, "eab_hmac"), "aGVsbG8");
    assert_string_equal(cm_json_str(doubles.fields, "eab_alg"), "HS512");
    reply_fini(&reply);
    rig_stop(&rig);
}

/* What cannot be taken back is asked for twice; the rest is not. */
static void test_the_end_is_confirmed(void **state)
{
    static const struct {
        const char *act;
        enum eng_account_act as;
        bool asked;
    } rows[] = {{"deactivate", ACCOUNT_DEACTIVATE, true},
                {"delete", ACCOUNT_DELETE, true},
                {"update", ACCOUNT_UPDATE, false}};
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    put(&rig, "https://ca.example/dir", "https://ca.example/a/1", cm_now_ms(), NULL);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CM_AUTO_STR plain = cm_asprintf("act=%s", rows[i].act);
        CM_AUTO_STR sure = cm_asprintf("act=%s&sure=1", rows[i].act);

        doubles.base_serial = -1;
        rig_post(&rig, "/accounts/ca/act", plain, &reply);
        assert_status(&reply, rows[i].asked ? 422 : 303);
        if (rows[i].asked) {
            assert_has(&reply, "id=\"sure-error\"");
            assert_int_equal(doubles.base_serial, -1);
        }
        reply_fini(&reply);
        rig_post(&rig, "/accounts/ca/act", sure, &reply);
        assert_status(&reply, 303);
        assert_int_equal(doubles.base_serial, rows[i].as);
        reply_fini(&reply);
    }
    rig_post(&rig, "/accounts/nobody/act", "act=delete", &reply);
    assert_status(&reply, 404);
    reply_fini(&reply);
    rig_stop(&rig);
}

static void test_former_keys_stay_inside(void **state)
{
    struct rig rig;
    json_t *doc = json_pack("{s:s, s:s, s:s, s:s, s:s, s:[{s:s,s:s,s:s}]}", "_id", "account:ca",
                            "type", "account", "directory", "https://ca.example/dir", "status",
                            "new", "sealed_key", "c2VjcmV0", "former", "sealed_key", "Zm9ybWVy",
                            "kid", "https://ca.example/a/1", "at", "2026-11-22T02:16:42.123Z");

    (void)state;
    rig_start(&rig);
    rig_put(&rig, doc);
    CM_AUTO_JSON view = web_account(rig.store, "ca");
    const json_t *former = json_array_get(cm_json_arr(view, "former"), 0);
    assert_string_equal(cm_json_str(former, "kid"), "https://ca.example/a/1");
    assert_null(json_object_get(former, "sealed_key"));
    rig_stop(&rig);
}

static void test_new_terms(void **state)
{
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    put(&rig, "https://ca.example/dir", "https://ca.example/a/1", cm_now_ms(),
        json_pack("{s:s,s:s,s:s}", "at", "2026-11-22T02:16:42.123Z", "page",
                  "https://ca.example/agree", "url", "https://ca.example/terms-2"));
    rig_get(&rig, "/accounts/ca", &reply);
    assert_has(&reply, "Terms changed");
    assert_has(&reply, "href=\"https://ca.example/agree\"");
    assert_has(&reply, "href=\"https://ca.example/terms-2\"");
    reply_fini(&reply);
    rig_post(&rig, "/accounts/ca/act", "act=agree", &reply);
    assert_status(&reply, 303);
    assert_int_equal(doubles.base_serial, ACCOUNT_AGREE);
    reply_fini(&reply);
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_binding_days),
        cmocka_unit_test(test_terms_agreed),
        cmocka_unit_test(test_binding_key),
        cmocka_unit_test(test_refused_contact),
        cmocka_unit_test(test_rebind),
        cmocka_unit_test(test_the_end_is_confirmed),
        cmocka_unit_test(test_former_keys_stay_inside),
        cmocka_unit_test(test_new_terms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
