/* A document that the manager made of a request is refused itself: that is the request's answer. */
#include "tests/unit/engine/harness.h"

static const struct eng_actor ada = {.who = "ada", .via = "form"};

static const char *error_text(const json_t *body)
{
    static char text[4096];
    CM_AUTO_STR dump = cm_json_dump(json_object_get(body, "error"), NULL);
    (void)cm_strcpy(text, sizeof(text), dump ? dump : "");
    return text;
}

static char awaited[sizeof(((struct h *)NULL)->credential)];

static bool is_told(struct h *h)
{
    CM_AUTO_JSON body = h_body(h, "credential", awaited);
    return json_object_get(body, "error") != NULL;
}

static void on_change(void *arg, const char *credential, const json_t *errors, const json_t *notes,
                      const struct cm_err *err)
{
    (void)credential;
    (void)errors;
    (void)notes;
    h_on_done(arg, err);
}

static void a_new_request_is_answered_with_the_cause(void **state)
{
    struct h *h = *state;
    h_account(h);
    h->spoil_credentials = 1;
    assert_int_equal(h_submit(h, h_fields("www.example.com")), 0);
    CM_AUTO_JSON body = h_status(h, "error");
    assert_true(eng_is_refused(body));
    assert_non_null(strstr(error_text(body), "makes no valid document"));
    assert_non_null(strstr(error_text(body), "schema: member foreign is unknown"));
    assert_string_equal(cm_json_str(body, "requested_by"), "ada");
    assert_null(json_object_get(body, "host_names")); /* it might be the very fault */
    h_turns(h, 20);
    CM_AUTO_STR key = cm_asprintf("request/%s", cm_json_str(body, "request"));
    CM_AUTO_JSON answer = cs_kv_get(h->store, "state", key);
    assert_string_equal(cm_json_str(answer, "outcome"), "Request refused");
    h_restart(h);
    h_turns(h, 50);
    assert_int_equal(h->ca.new_orders, 0);
    assert_int_equal(h_submit(h, h_fields("www.example.com")), 0);
    json_decref(h_status(h, "issued")); /* it holds no name and no file */
}

/* What serves goes on serving; only the error comes in. */
static void a_change_leaves_the_certificate_as_it_is(void **state)
{
    struct h *h = *state;
    h_account(h);
    CM_AUTO_JSON before = h_issue(h, "www.example.com");
    h_turns(h, 20);
    CM_AUTO_JSON fields = h_fields("new.example.com");
    h->spoil_credentials = 1;
    (void)cm_strcpy(awaited, sizeof(awaited), h->credential);
    eng_change(h->engine, h->credential, fields, 0, &ada, on_change, h);
    assert_int_equal(h_done(h), 0);
    h_until(h, is_told, "the refusal");
    CM_AUTO_JSON body = h_body(h, "credential", h->credential);
    assert_string_equal(cm_json_str(body, "status"), "issued");
    assert_non_null(strstr(error_text(body), "member foreign"));
    assert_true(json_equal(json_object_get(body, "host_names_ascii"),
                           json_object_get(before, "host_names_ascii")));
    assert_int_equal(h->ca.new_orders, 1);
}

static bool is_spoiled(struct h *h)
{
    return h->spoil_credentials == 0;
}

static void a_refusal_that_cannot_be_written_ends(void **state)
{
    struct h *h = *state;
    h_account(h);
    h->spoil_credentials = 2;
    assert_int_equal(h_submit(h, h_fields("www.example.com")), 0);
    h_until(h, is_spoiled, "two refusals");
    h_turns(h, 50);
    assert_null(h_body(h, "credential", h->credential));
    assert_int_equal(h_submit(h, h_fields("www.example.com")), 0);
    json_decref(h_status(h, "issued"));
}

static bool is_asked_again(struct h *h)
{
    return h->sign_away == 0;
}

/* Not for good: asked again until it is written. */
static void a_time_out_of_the_agent_gives_no_request_up(void **state)
{
    struct h *h = *state;
    h_account(h);
    h->sign_skip = 1; /* the request's own signature */
    h->sign_away = 1;
    h->sign_code = CM_ETIMEOUT;
    assert_int_equal(h_submit(h, h_fields("www.example.com")), 0);
    h_until(h, is_asked_again, "the time-out");
    CM_AUTO_JSON body = h_status(h, "issued");
    assert_int_equal(cm_json_int(body, "attempts", -1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        H_TEST(a_new_request_is_answered_with_the_cause),
        H_TEST(a_change_leaves_the_certificate_as_it_is),
        H_TEST(a_refusal_that_cannot_be_written_ends),
        H_TEST(a_time_out_of_the_agent_gives_no_request_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
