/* The button Check of the form, and the check of the API. */
#include "tests/unit/web/rig.h"

static void start(struct rig *rig)
{
    rig_start(rig);
    rig_sign_in(rig);
    rig_account(rig, "le");
}

static void the_form_comes_back_with_the_findings(void **state)
{
    struct rig rig;
    struct reply reply;
    (void)state;
    start(&rig);
    rig_get(&rig, "/credentials/new", &reply);
    assert_has(&reply, "name=\"check\" value=\"1\">Check</button>");
    assert_has_not(&reply, "check-result");
    reply_fini(&reply);
    rig_post(&rig, "/credentials",
             "host_names=a.example&account=le&servers=alpha&target=kept&profile=short&check=1",
             &reply);
    assert_status(&reply, 200);
    assert_has(&reply, "Result of the check");
    assert_has(&reply, "&lt;script&gt;no&lt;/script&gt;");
    assert_has_not(&reply, "<script>no");
    assert_has(&reply, "add &lt;b&gt;this");
    assert_has(&reply, "Add a CAA record for the CA");
    assert_true(strstr(reply.text, "&lt;script") < strstr(reply.text, "all is well"));
    assert_has(&reply, "value=\"kept\"");
    assert_has(&reply, "value=\"short\"");
    assert_has(&reply, "a.example</textarea>");
    assert_string_equal(cm_json_str_or(doubles.fields, "host_names", ""), "a.example");
    reply_fini(&reply);
    rig_stop(&rig);
}

static void in_japanese_the_fix_is_japanese(void **state)
{
    struct rig rig;
    struct reply reply;
    (void)state;
    start(&rig);
    CM_AUTO_STR headers = cm_asprintf("%s" SAME FORM "Accept-Language: ja\r\n", rig.cookie);
    CM_AUTO_STR body =
        cm_asprintf("csrf=%s&host_names=a.example&account=le&servers=alpha&check=1", rig.csrf);
    rig_send(&rig, false, "POST", "/credentials", headers, body, &reply);
    assert_status(&reply, 200);
    assert_has(&reply, "CAA レコードを追加");
    assert_has(&reply, "<p lang=\"en\">add &lt;b&gt;this");
    assert_has_not(&reply, "instead of a second one"); /* said in Japanese already */
    reply_fini(&reply);
    rig_stop(&rig);
}

static void mistakes_stay_at_their_fields(void **state)
{
    struct rig rig;
    struct reply reply;
    (void)state;
    start(&rig);
    doubles.field_errors = json_pack("[{s:s,s:s,s:s}]", "field", "host_names", "value",
                                     "-a.example", "message", "begins with a hyphen");
    rig_post(&rig, "/credentials", "host_names=-a.example&account=le&check=1", &reply);
    assert_status(&reply, 422);
    assert_has(&reply, "begins with a hyphen");
    assert_has_not(&reply, "check-result");
    reply_fini(&reply);
    rig_stop(&rig);
}

static void the_api_answers_with_the_report(void **state)
{
    struct rig rig;
    struct reply reply;
    (void)state;
    start(&rig);
    CM_AUTO_STR headers = cm_asprintf("%s" SAME JSON, rig.cookie);
    rig_send(&rig, false, "POST", "/api/v1/checks", headers,
             "{\"host_names\":[\"a.example\"],\"credential\":\"" ULID "\"}", &reply);
    assert_status(&reply, 200);
    assert_has(&reply, "\"result\":\"fail\"");
    assert_string_equal(doubles.name, ULID);
    reply_fini(&reply);
    rig_send(&rig, false, "POST", "/api/v1/checks", headers, "{\"probe_dns\":true}", &reply);
    assert_status(&reply, 422);
    reply_fini(&reply);
    rig_send_and_vanish(&rig, "POST", "/api/v1/checks", headers, "{\"host_names\":\"a.example\"}");
    rig_settle(&rig);
    rig_get(&rig, "/api/v1/accounts/le/budget", &reply);
    assert_status(&reply, 200);
    assert_has(&reply, "\"left\":0");
    reply_fini(&reply);
    rig_get(&rig, "/api/v1/accounts/nobody/budget", &reply);
    assert_status(&reply, 404);
    reply_fini(&reply);
    rig_stop(&rig);
}

static void limits_are_shown_with_the_account(void **state)
{
    struct rig rig;
    struct reply reply;
    (void)state;
    start(&rig);
    rig_get(&rig, "/accounts/le", &reply);
    assert_status(&reply, 200);
    assert_has(&reply, "Limits of the CA");
    assert_has(&reply, "&lt;i&gt;example.com");
    assert_has_not(&reply, "<i>example");
    assert_has(&reply, "0 of 50");
    reply_fini(&reply);
    rig_get(&rig, "/accounts/new", &reply);
    assert_has_not(&reply, "Limits of the CA");
    reply_fini(&reply);
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_form_comes_back_with_the_findings),
        cmocka_unit_test(in_japanese_the_fix_is_japanese),
        cmocka_unit_test(mistakes_stay_at_their_fields),
        cmocka_unit_test(the_api_answers_with_the_report),
        cmocka_unit_test(limits_are_shown_with_the_account),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
