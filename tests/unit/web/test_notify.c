/* Test notices: button and API, what they tell of each channel, and who may ask. */
#include "tests/unit/web/rig.h"

#include "web-ui/ctx.h"

struct fake {
    json_t *result;
    int code;
    char who[80];
    int calls;
    web_notify_fn done;
    void *done_arg;
    bool hold;
};

static void fake_test(void *arg, const char *who, web_notify_fn done, void *done_arg)
{
    struct fake *fake = arg;
    struct cm_err err = CM_ERR_INIT;

    fake->calls++;
    snprintf(fake->who, sizeof(fake->who), "%s", who);
    fake->done = done;
    fake->done_arg = done_arg;
    if (fake->hold)
        return;
    if (fake->code) {
        cm_fail(&err, fake->code, "no notices are configured on this server");
        cm_err_hint(&err, "Set mail_to in section [notify]");
    }
    done(done_arg, fake->result, err.code ? &err : NULL);
    cm_err_fini(&err);
}

static void begin(struct rig *rig, struct fake *fake)
{
    rig_start(rig);
    rig_sign_in(rig);
    rig->web->env.notify_test = fake_test;
    rig->web->env.notify_arg = fake;
}

static json_t *both(void)
{
    return json_pack("[{s:s,s:s,s:b},{s:s,s:s,s:b,s:{s:s,s:s,s:s}}]", "channel", "mail", "to",
                     "admin@example.com", "ok", 1, "channel", "webhook", "to",
                     "https://<hook>.example", "ok", 0, "error", "code", "peer", "what",
                     "status 500", "hint", "Look at the log");
}

static void test_button(void **state)
{
    struct rig rig;
    struct reply reply;
    struct fake fake = {.result = both()};

    (void)state;
    begin(&rig, &fake);
    rig_get(&rig, "/status", &reply);
    assert_status(&reply, 200);
    assert_has(&reply, "action=\"/status/notify-test\"");
    assert_has(&reply, ">Send a test notice</button>");
    reply_fini(&reply);
    rig_post(&rig, "/status/notify-test", "", &reply);
    assert_status(&reply, 200);
    assert_string_equal(fake.who, USER);
    assert_has(&reply, "The test notice was sent by mail to admin@example.com.");
    assert_has(&reply, "could not be sent by webhook to https://&lt;hook&gt;.example.");
    assert_has(&reply, "status 500");
    assert_has(&reply, "Look at the log");
    reply_fini(&reply);
    rig_send(&rig, false, "POST", "/status/notify-test", FORM SAME, "", &reply);
    assert_int_not_equal(reply.status, 200); /* nobody is signed in there */
    reply_fini(&reply);
    assert_int_equal(fake.calls, 1);
    json_decref(fake.result);
    rig_stop(&rig);
}

static json_t *nobody_is_told(void *arg)
{
    (void)arg;
    return json_pack("{s:{s:i,s:b}}", "notices", "open", 0, "off", 1);
}

static void test_not_configured(void **state)
{
    struct rig rig;
    struct reply reply;
    struct fake fake = {.code = CM_EINVAL};

    (void)state;
    begin(&rig, &fake);
    rig_post(&rig, "/status/notify-test", "", &reply);
    assert_status(&reply, 422);
    assert_has(&reply, "no notices are configured");
    assert_has(&reply, "Set mail_to in section [notify]");
    assert_has(&reply, ">Send a test notice</button>"); /* the page stays */
    reply_fini(&reply);
    rig.web->env.status = nobody_is_told;
    rig_get(&rig, "/status", &reply);
    assert_has(&reply, "Nobody is told of failures and alarms");
    assert_has_not(&reply, "notify-test");
    reply_fini(&reply);
    rig.web->env.notify_test = NULL; /* not a manager */
    rig_get(&rig, "/status", &reply);
    assert_has_not(&reply, "notify-test");
    reply_fini(&reply);
    rig_post(&rig, "/status/notify-test", "", &reply);
    assert_status(&reply, 404);
    reply_fini(&reply);
    assert_int_equal(fake.calls, 1);
    rig_stop(&rig);
}

static void test_api(void **state)
{
    struct rig rig;
    struct reply reply;
    struct fake fake = {.result = both()};

    (void)state;
    begin(&rig, &fake);
    rig_send(&rig, true, "POST", "/api/v1/notify/test", JSON, "{}", &reply);
    assert_status(&reply, 200);
    assert_string_equal(fake.who, "root");
    json_t *body = NULL;
    assert_int_equal(cm_json_parse(reply.body, strlen(reply.body), &body, NULL), 0);
    assert_false(cm_json_bool(body, "ok", true));
    assert_int_equal(json_array_size(cm_json_arr(body, "channels")), 2);
    json_decref(body);
    reply_fini(&reply);
    json_array_remove(fake.result, 1);
    rig_send(&rig, true, "POST", "/api/v1/notify/test", JSON, "{}", &reply);
    assert_has(&reply, "\"ok\":true}");
    reply_fini(&reply);
    rig_send(&rig, true, "POST", "/api/v1/notify/test", JSON, "{\"to\":\"x\"}", &reply);
    assert_status(&reply, 422);
    reply_fini(&reply);
    fake.code = CM_EINVAL;
    rig_send(&rig, true, "POST", "/api/v1/notify/test", JSON, "{}", &reply);
    assert_status(&reply, 422);
    reply_fini(&reply);
    rig_send(&rig, false, "POST", "/api/v1/notify/test", JSON SAME, "{}", &reply);
    assert_status(&reply, 401);
    reply_fini(&reply);
    assert_int_equal(fake.calls, 3);
    json_decref(fake.result);
    rig_stop(&rig);
}

/* The delivery ends long after the client went away. */
static void test_client_gone(void **state)
{
    struct rig rig;
    struct fake fake = {.result = both(), .hold = true};

    (void)state;
    begin(&rig, &fake);
    CM_AUTO_STR headers = cm_asprintf("%s" JSON SAME, rig.cookie);
    rig_send_and_vanish(&rig, "POST", "/api/v1/notify/test", headers, "{}");
    rig_settle(&rig);
    assert_int_equal(fake.calls, 1);
    fake.done(fake.done_arg, fake.result, NULL);
    rig_settle(&rig);
    json_decref(fake.result);
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_button),
        cmocka_unit_test(test_not_configured),
        cmocka_unit_test(test_api),
        cmocka_unit_test(test_client_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
