/* One health for page, API and CLI: what is written, and which server's deployment failed. */
#include "tests/unit/engine/harness.h"

static void put_receipt(struct h *h, const char *server, const char *state, json_t *take_error)
{
    CM_AUTO_STR id = cm_asprintf("receipt:%s:%s", server, h->credential);
    json_t *doc =
        json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "_id", id, "type", "receipt", "server", server,
                  "credential", h->credential, "state", state, "at", "2026-11-22T02:16:42.000Z");
    cm_json_set(doc, "error", take_error);
    h_put(h, doc);
}

/* Issued, and written to be of this color. */
static void issued(struct h *h, const char *color, json_t *take_causes)
{
    h_account(h);
    json_t *body = h_issue(h, "www.example.com");
    json_object_del(body, "serial");
    cm_json_set(body, "health", json_pack("{s:s,s:o}", "color", color, "causes", take_causes));
    h_put(h, body);
}

static json_t *failure(const char *what)
{
    return json_pack("{s:s,s:s}", "code", "io", "what", what);
}

/* The color and the causes, one per line (static). */
static const char *shown(struct h *h)
{
    static char text[4096];
    CM_AUTO_JSON body = h_body(h, "credential", h->credential);
    CM_AUTO_JSON health = eng_health(h->store, h->credential, body);
    CM_AUTO_JSON view = eng_view(h->engine, h->credential);
    const json_t *in_view = cm_json_obj(cm_json_obj(view, "credential"), "health");
    assert_true(json_equal(health, in_view)); /* the view shows the same */
    int len = snprintf(text, sizeof(text), "%s", cm_json_str_or(health, "color", "none"));
    size_t i;
    json_t *cause;
    json_array_foreach(cm_json_arr(health, "causes"), i, cause)
    {
        len += snprintf(text + len, sizeof(text) - (size_t)len, "\n%s", json_string_value(cause));
    }
    return text;
}

static void a_failed_deployment_is_yellow_and_named(void **state)
{
    struct h *h = *state;
    issued(h, "green", json_array());
    assert_string_equal(shown(h), "green");
    put_receipt(h, "bravo", "served", NULL);
    assert_string_equal(shown(h), "green");
    put_receipt(h, "bravo", "failed", failure("the reload command failed with status 1"));
    assert_string_equal(
        shown(h),
        "yellow\nthe deployment on bravo failed: the reload command failed with status 1");
    CM_AUTO_JSON body = h_body(h, "credential", h->credential);
    CM_AUTO_JSON health = eng_health(h->store, h->credential, body);
    const json_t *told = json_array_get(cm_json_arr(health, "told"), 0);
    assert_string_equal(cm_json_str(told, "code"), "deployment_failed");
    assert_string_equal(cm_json_str(told, "server"), "bravo");
    assert_string_equal(cm_json_str(told, "what"), "the reload command failed with status 1");
    put_receipt(h, "bravo", "served", NULL);
    assert_string_equal(shown(h), "green");
}

/* One that has access no more does not count. */
static void only_servers_with_access_count(void **state)
{
    struct h *h = *state;
    issued(h, "green", json_array());
    put_receipt(h, "charlie", "failed", failure("gone"));
    assert_string_equal(shown(h), "green");
    put_receipt(h, "alpha", "failed", NULL);
    assert_string_equal(shown(h), "yellow\nthe deployment on alpha failed");
}

static void red_stays_red(void **state)
{
    struct h *h = *state;
    issued(h, "red", json_pack("[s]", "ended"));
    put_receipt(h, "bravo", "failed", failure("no disk"));
    assert_string_equal(shown(h), "red\nended\nthe deployment on bravo failed: no disk");
}

static void an_end_that_is_not_written_yet_is_shown(void **state)
{
    struct h *h = *state;
    issued(h, "yellow", json_pack("[s]", "the order waits for records"));
    json_t *body = h_body(h, "credential", h->credential);
    cm_json_set_time(body, "not_after", cm_now_ms() - 1000);
    CM_AUTO_JSON health = eng_health(h->store, h->credential, body);
    assert_string_equal(cm_json_str(health, "color"), "red");
    const json_t *causes = cm_json_arr(health, "causes"), *told = cm_json_arr(health, "told");
    assert_string_equal(json_string_value(json_array_get(causes, 0)),
                        "the certificate has expired");
    assert_string_equal(cm_json_str(json_array_get(told, 0), "code"), "expired");
    assert_int_equal(json_array_size(causes), 2);
    json_decref(body);
}

static void without_certificate_there_is_none(void **state)
{
    struct h *h = *state;
    cm_ulid(h->credential);
    CM_AUTO_JSON pending = json_pack("{s:s}", "status", "pending");
    assert_null(eng_health(h->store, h->credential, pending));
    assert_null(eng_health(h->store, h->credential, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        H_TEST(a_failed_deployment_is_yellow_and_named),
        H_TEST(only_servers_with_access_count),
        H_TEST(red_stays_red),
        H_TEST(an_end_that_is_not_written_yet_is_shown),
        H_TEST(without_certificate_there_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
