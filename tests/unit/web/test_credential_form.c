/* The TLS Credentials form: what it offers, and what submitting it asks the engine for. */
#include "tests/unit/web/rig.h"

static void test_new_form(void **state)
{
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    rig_account(&rig, "pebble");
    rig_get(&rig, "/credentials/new", &reply);
    assert_status(&reply, 200);
    assert_has(&reply, "<textarea id=\"host_names\"");
    assert_has(&reply, "<option value=\"acme\" selected>ACME</option>");
    assert_has(&reply, "<option value=\"pebble\" selected>pebble</option>");
    assert_has(&reply, "<option value=\"P-256\" selected>");
    assert_has(&reply, "<option value=\"RSA-2048\">");
    assert_has(&reply, "name=\"servers\" value=\"alpha.example.net\">");
    assert_has(&reply, "name=\"servers\" value=\"bravo.example.net\">");
    assert_has_not(&reply, "charlie.example.net"); /* removed */
    assert_has(&reply, "value=\"keyfile.kyr\"");
    assert_has(&reply, "name=\"renew_days\" type=\"text\" inputmode=\"numeric\" value=\"30\"");
    assert_has(&reply, ">Submit Request</button>");
    /* every field has a label, every hint is tied to its field */
    assert_has(&reply, "<label for=\"host_names\">");
    assert_has(&reply, "aria-describedby=\"host_names-hint\"");
    reply_fini(&reply);
    rig_stop(&rig);
}

/* As many servers as a key can be sealed for, each ticked in the form. */
static void test_submit_for_many_servers(void **state)
{
    struct rig rig;
    struct reply reply;
    struct cm_buf body;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    cm_buf_init(&body, WEB_FORM_MAX);
    cm_buf_printf(&body, "host_names=www.example.com&provider=acme&account=pebble&key_type=P-256"
                         "&keyring_file=a.kyr&renew_days=20&target=web&key_rollover=keep");
    for (int i = 0; i < 200; i++)
        cm_buf_printf(&body, "&servers=server%d.example.net", i);
    rig_post(&rig, "/credentials", cm_buf_str(&body), &reply);
    assert_status(&reply, 303);
    assert_int_equal(json_array_size(cm_json_arr(doubles.fields, "servers")), 200);
    reply_fini(&reply);
    cm_buf_fini(&body);
    rig_stop(&rig);
}

static void test_submit(void **state)
{
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    doubles.notes = json_pack("[s]", "duplicate folded: <www.example.com>");
    rig_post(&rig, "/credentials",
             "host_names=www.example.com%0D%0A%E6%97%A5%E6%9C%AC.example&provider=acme&account="
             "pebble&key_type=P-256&servers=alpha.example.net&servers=bravo.example.net&"
             "keyring_file=a.kyr&renew_days=20&target=",
             &reply);
    assert_status(&reply, 303);
    assert_string_equal(reply_header(&reply, "Location"), "/credentials/" ULID);
    reply_fini(&reply);
    assert_string_equal(doubles.who, USER);
    assert_string_equal(doubles.via, "form");
    assert_string_equal(cm_json_str(doubles.fields, "host_names"),
                        "www.example.com\r\n\xe6\x97\xa5\xe6\x9c\xac.example");
    assert_int_equal(json_array_size(cm_json_arr(doubles.fields, "servers")), 2);
    assert_int_equal(cm_json_int(doubles.fields, "renew_days", 0), 20);
    assert_null(json_object_get(doubles.fields, "target")); /* empty = the default */
    assert_null(json_object_get(doubles.fields, "csrf"));
    assert_null(json_object_get(doubles.fields, "exportable")); /* nobody ticked it */
    rig_post(&rig, "/credentials",
             "host_names=www.example.com&provider=acme&account=pebble&key_type=P-256&exportable=1&"
             "servers=alpha.example.net&keyring_file=keyfile.kyr",
             &reply);
    assert_status(&reply, 303);
    reply_fini(&reply);
    assert_true(cm_json_bool(doubles.fields, "exportable", false));
    assert_null(json_object_get(doubles.fields, "keyring_file")); /* as the form came */

    doubles.view = json_pack("{s:{}, s:{s:{s:[s]}}, s:[], s:[], s:s}", "challenge", "request",
                             "fields", "host_names", "www.example.com", "receipts", "steps", "next",
                             "The manager takes it up");
    rig_get(&rig, "/credentials/" ULID, &reply);
    assert_has(&reply, "duplicate folded: &lt;www.example.com&gt;");
    reply_fini(&reply);
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_new_form),
        cmocka_unit_test(test_submit),
        cmocka_unit_test(test_submit_for_many_servers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
