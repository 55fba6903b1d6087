/* What has to be read before a form is submitted, names on offer, and contradictions afterwards. */
#include "tests/unit/web/rig.h"

#define FIELDS "host_names=*.example.com&account=le&servers=alpha&target=kept"

static json_t *row(const char *id, const char *result, const char *text)
{
    return json_pack("{s:s,s:s,s:s,s:s,s:s,s:[s]}", "name", "", "what", "renewal", "id", id,
                     "result", result, "text", text, "add", "example.com");
}

static void start(struct rig *rig)
{
    rig_start(rig);
    rig_sign_in(rig);
    rig_account(rig, "le");
}

/* The value of the hidden field that says what was read. */
static const char *read_of(const struct reply *reply)
{
    static char digest[80];
    const char *at = strstr(reply->body, "name=\"read\" value=\"");
    assert_non_null(at);
    snprintf(digest, sizeof(digest), "%.64s", at + strlen("name=\"read\" value=\""));
    return digest;
}

static void shown_once_and_submitted_then(void **state)
{
    struct rig rig;
    struct reply reply;
    (void)state;
    start(&rig);
    doubles.advice = json_array();
    json_array_append_new(doubles.advice, row("by_hand", "warn", "every <b>renewal</b> waits"));
    rig_post(&rig, "/credentials", FIELDS, &reply);
    assert_status(&reply, 200);
    assert_has(&reply, "Please read this first");
    assert_has(&reply, "Nothing has been requested yet");
    assert_has(&reply, "every &lt;b&gt;renewal");
    assert_has(&reply, "value=\"kept\"");
    assert_null(doubles.fields); /* nothing was submitted */
    CM_AUTO_STR again = cm_asprintf("%s&read=%s", FIELDS, read_of(&reply));
    reply_fini(&reply);
    json_array_append_new(doubles.advice, row("key_type_wrong", "fail", "takes EC keys only"));
    rig_post(&rig, "/credentials", again, &reply); /* another one has come up meanwhile */
    assert_status(&reply, 200);
    assert_has(&reply, "takes EC keys only");
    reply_fini(&reply);
    json_array_remove(doubles.advice, 1);
    rig_post(&rig, "/credentials", again, &reply);
    assert_status(&reply, 303);
    assert_non_null(doubles.fields);
    reply_fini(&reply);
    json_array_clear(doubles.advice);
    json_array_append_new(doubles.advice, row("name_beside", "ok", "it can be added"));
    rig_post(&rig, "/credentials", FIELDS, &reply);
    assert_status(&reply, 303); /* an offer alone stops nobody */
    reply_fini(&reply);
    rig_stop(&rig);
}

static void names_are_added_by_a_button_or_a_box(void **state)
{
    struct rig rig;
    struct reply reply;
    (void)state;
    start(&rig);
    doubles.advice = json_array();
    json_array_append_new(doubles.advice, row("wildcard_base", "warn", "does not contain it"));
    rig_post(&rig, "/credentials", FIELDS, &reply);
    assert_has(&reply, "form=\"request\" name=\"add\" value=\"example.com\">Add example.com<");
    assert_has(&reply, "<form id=\"request\"");
    reply_fini(&reply);
    rig_post(&rig, "/credentials", FIELDS "&add=example.com", &reply);
    assert_status(&reply, 200);
    assert_has(&reply, "*.example.com\nexample.com</textarea>");
    assert_null(doubles.fields);
    reply_fini(&reply);
    json_array_clear(doubles.advice);
    rig_get(&rig, "/credentials/new", &reply);
    assert_has(&reply, "name=\"add_base\" value=\"1\">");
    reply_fini(&reply);
    rig_post(&rig, "/credentials", FIELDS "&add_base=1", &reply);
    assert_status(&reply, 303);
    assert_true(cm_json_bool(doubles.fields, "add_base", false));
    reply_fini(&reply);
    rig_stop(&rig);
}

static void a_change_is_advised_on_as_well(void **state)
{
    struct rig rig;
    struct reply reply;
    (void)state;
    start(&rig);
    doubles.view = json_pack(
        "{s:{s:s,s:s,s:[s],s:[s],s:s,s:I},s:{},s:[],s:[],s:s,s:[o]}", "credential", "_id",
        "credential:" ULID, "status", "issued", "host_names", "a.example", "host_names_ascii",
        "a.example", "account", "le", "serial", (json_int_t)5, "request", "receipts", "steps",
        "next", "Nothing", "contradictions", row("by_hand", "warn", "2 of 3 <i>names</i>"));
    doubles.advice = json_array();
    json_array_append_new(doubles.advice, row("fate_dropped", "warn", "revokes the present one"));
    rig_post(&rig, "/credentials/" ULID "/edit", FIELDS "&base_serial=5", &reply);
    assert_status(&reply, 200);
    assert_has(&reply, "revokes the present one");
    assert_string_equal(doubles.name, ULID);
    CM_AUTO_STR again = cm_asprintf("%s&base_serial=5&read=%s", FIELDS, read_of(&reply));
    reply_fini(&reply);
    rig_post(&rig, "/credentials/" ULID "/edit", again, &reply);
    assert_status(&reply, 303);
    reply_fini(&reply);
    /* What was so before the change stops nobody, but what is new besides does. */
    doubles.advice_before = json_deep_copy(doubles.advice);
    rig_post(&rig, "/credentials/" ULID "/edit", FIELDS "&base_serial=5", &reply);
    assert_status(&reply, 303);
    reply_fini(&reply);
    json_array_append_new(doubles.advice, row("key_type_wrong", "fail", "takes EC keys only"));
    rig_post(&rig, "/credentials/" ULID "/edit", FIELDS "&base_serial=5", &reply);
    assert_status(&reply, 200);
    assert_has(&reply, "takes EC keys only");
    reply_fini(&reply);
    rig_get(&rig, "/credentials/" ULID, &reply);
    assert_has(&reply, "2 of 3 &lt;i&gt;names");
    reply_fini(&reply);
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shown_once_and_submitted_then),
        cmocka_unit_test(names_are_added_by_a_button_or_a_box),
        cmocka_unit_test(a_change_is_advised_on_as_well),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
