/* Keys that come and leave: the page names the commands and takes no key; the API takes what the
 * command has sealed, over the Unix socket alone. */
#include "tests/unit/web/rig.h"

static void show(const char *provider, bool exportable)
{
    json_t *credential =
        json_pack("{s:s,s:s,s:s,s:[s],s:[s],s:s,s:b}", "_id", "credential:" ULID, "provider",
                  provider, "status", "issued", "host_names", "www.example", "servers", "bravo",
                  "chain", "PEM", "exportable", exportable);
    json_decref(doubles.view);
    doubles.view =
        json_pack("{s:o,s:{},s:[],s:[]}", "credential", credential, "request", "receipts", "steps");
}

static void test_the_page_names_the_commands(void **state)
{
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    show("import", true);
    rig_get(&rig, "/credentials/" ULID, &reply);
    assert_status(&reply, 200);
    assert_has(&reply, "certmgr import --credential " ULID " FILE");
    assert_has(&reply, "certmgr export " ULID " --out FILE.p12");
    assert_has(&reply, "Imported with its key");
    assert_has_not(&reply, "/credentials/" ULID "/renew"); /* nothing renews it */
    reply_fini(&reply);
    show("import", false);
    rig_get(&rig, "/credentials/" ULID, &reply);
    assert_has_not(&reply, "certmgr export");
    reply_fini(&reply);
    show("acme", true); /* marked when it was asked for */
    rig_get(&rig, "/credentials/" ULID, &reply);
    assert_has_not(&reply, "certmgr import --credential");
    assert_has(&reply, "certmgr export " ULID);
    reply_fini(&reply);
    rig_get(&rig, "/credentials/" ULID "/edit", &reply);
    assert_has(&reply, "name=\"exportable\" value=\"1\" checked");
    reply_fini(&reply);
    show("import", true); /* what the key's own sealed text says, no form changes */
    rig_get(&rig, "/credentials/" ULID "/edit", &reply);
    assert_status(&reply, 200);
    assert_has_not(&reply, "name=\"exportable\"");
    reply_fini(&reply);
    rig_get(&rig, "/credentials/new", &reply);
    assert_has(&reply, "name=\"exportable\" value=\"1\">");
    assert_has(&reply, "certmgr import");
    assert_has_not(&reply, "value=\"import\"");
    reply_fini(&reply);
    rig_stop(&rig);
}

static void call(struct rig *rig, bool unix_socket, const char *target, const char *body,
                 struct reply *reply)
{
    rig_send(rig, unix_socket, "POST", target, "Content-Type: application/json\r\n", body, reply);
}

static void test_over_the_socket_alone(void **state)
{
    static const char *const targets[] = {"/api/v1/imports", "/api/v1/credentials/" ULID "/export"};
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    for (size_t i = 0; i < 2; i++) {
        call(&rig, false, targets[i], "{\"sealed\":\"AAAA\"}", &reply);
        assert_status(&reply, 403);
        reply_fini(&reply);
        call(&rig, true, targets[i], "{}", &reply);
        assert_status(&reply, 422);
        reply_fini(&reply);
        call(&rig, true, targets[i], "{\"sealed\":\"AAAA\",\"key\":\"-----BEGIN\"}", &reply);
        assert_status(&reply, 422);
        reply_fini(&reply);
    }
    call(&rig, true, targets[0], "{\"sealed\":\"AAAA\",\"servers\":[\"bravo\"]}", &reply);
    assert_status(&reply, 202);
    assert_string_equal(cm_json_str(doubles.fields, "sealed"), "AAAA");
    assert_null(json_object_get(cm_json_obj(doubles.fields, "fields"), "sealed"));
    assert_non_null(json_object_get(cm_json_obj(doubles.fields, "fields"), "servers"));
    reply_fini(&reply);
    call(&rig, true, targets[1], "{\"sealed\":\"AAAA\"}", &reply);
    assert_status(&reply, 200);
    assert_has(&reply, "\"pkcs12\":\"AAAA\"");
    reply_fini(&reply);
    call(&rig, true, "/api/v1/credentials/x/export", "{\"sealed\":\"AAAA\"}", &reply);
    assert_status(&reply, 404);
    reply_fini(&reply);
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_page_names_the_commands),
        cmocka_unit_test(test_over_the_socket_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
