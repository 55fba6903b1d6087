/* Certificates by hand: the page of a CSR, its file, what is handed in. */
#include "tests/unit/web/rig.h"

#define PEM "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"

static void show(const char *provider, bool out)
{
    json_t *credential =
        json_pack("{s:s,s:s,s:s,s:[s],s:[s]}", "_id", "credential:" ULID, "provider", provider,
                  "status", "waiting", "host_names", "www.<b>example", "servers", "bravo");
    if (out)
        cm_json_set(credential, "csr_out",
                    json_pack("{s:s,s:s,s:i,s:s}", "csr", PEM, "public_key_sha256", "aa",
                              "key_generation", 1, "at", "2026-11-22T02:16:42.123Z"));
    json_decref(doubles.view);
    doubles.view =
        json_pack("{s:o,s:{},s:[],s:[]}", "credential", credential, "request", "receipts", "steps");
}

static void test_page_and_file(void **state)
{
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    show("manual", true);
    rig_get(&rig, "/credentials/" ULID "/csr", &reply);
    assert_status(&reply, 200);
    assert_has(&reply, "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n");
    assert_has(&reply, "href=\"/credentials/" ULID "/csr.pem\"");
    assert_has(&reply, "name=\"certificate\"");
    assert_has(&reply, "www.&lt;b&gt;example");
    assert_has_not(&reply, "<b>example");
    reply_fini(&reply);
    rig_get(&rig, "/credentials/" ULID "/csr.pem", &reply);
    assert_status(&reply, 200);
    assert_string_equal(reply.body, PEM);
    assert_string_equal(reply_header(&reply, "Content-Disposition"),
                        "attachment; filename=\"" ULID ".csr\"");
    reply_fini(&reply);
    rig_get(&rig, "/credentials/" ULID, &reply);
    assert_has(&reply, "Waiting for a certificate");
    assert_has(&reply, "href=\"/credentials/" ULID "/csr\"");
    assert_has_not(&reply, "http-equiv=\"refresh\""); /* it waits for people, not for the task */
    reply_fini(&reply);
    rig_get(&rig, "/api/v1/credentials/" ULID "/csr", &reply);
    assert_status(&reply, 200);
    assert_has(&reply, "\"key_generation\":1");
    reply_fini(&reply);
    rig_stop(&rig);
}

static void test_none_is_out(void **state)
{
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    show("manual", false);
    rig_get(&rig, "/credentials/" ULID "/csr", &reply);
    assert_status(&reply, 200);
    assert_has(&reply, "No CSR is waiting");
    reply_fini(&reply);
    rig_get(&rig, "/credentials/" ULID "/csr.pem", &reply);
    assert_status(&reply, 404);
    reply_fini(&reply);
    rig_get(&rig, "/api/v1/credentials/" ULID "/csr", &reply);
    assert_status(&reply, 404);
    assert_has(&reply, "no CSR of this credential waits");
    reply_fini(&reply);
    show("acme", false);
    rig_get(&rig, "/credentials/" ULID "/csr", &reply);
    assert_status(&reply, 404);
    reply_fini(&reply);
    rig_stop(&rig);
}

static void test_hand_in(void **state)
{
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    show("manual", true);
    rig_post(&rig, "/credentials/" ULID "/certificate", "certificate=AA%2BB%0Atwo+words", &reply);
    assert_status(&reply, 303);
    assert_string_equal(cm_json_str(doubles.fields, "certificate"), "AA+B\ntwo words");
    assert_string_equal(doubles.name, ULID);
    reply_fini(&reply);
    doubles.field_errors =
        json_pack("[{s:s,s:s}]", "field", "certificate", "message", "it has <expired>");
    rig_post(&rig, "/credentials/" ULID "/certificate", "certificate=OLD%3Cb%3E", &reply);
    assert_status(&reply, 422);
    assert_has(&reply, "id=\"certificate-error\"");
    assert_has(&reply, "it has &lt;expired&gt;");
    assert_has(&reply, "OLD&lt;b&gt;</textarea>"); /* what was pasted is kept */
    reply_fini(&reply);
    rig_stop(&rig);
}

static void test_limit(void **state)
{
    struct rig rig;
    struct reply reply;
    char *body = cm_calloc(1, (220u << 10) + 1);

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    show("manual", true);
    memset(body, 'a', 220u << 10);
    memcpy(body, "certificate=", 12);
    int calls = doubles.calls;
    rig_post(&rig, "/credentials/" ULID "/certificate", body, &reply);
    assert_status(&reply, 413);
    assert_int_equal(doubles.calls, calls);
    reply_fini(&reply);
    cm_free(body);
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_page_and_file),
        cmocka_unit_test(test_none_is_out),
        cmocka_unit_test(test_hand_in),
        cmocka_unit_test(test_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
