/* Requests that are over go 30 days after their completion, and the memory of their answer too. */
#include "tests/unit/engine/harness.h"

#include "certmgr/engine/over.h"

#define DAY_MS OVER_SWEEP_MS

/* A sweep on this day; returns whether the request is still there. */
static bool there_on(struct h *h, const char *request, int64_t base_ms, int day)
{
    cm_clock_fake(base_ms + day * DAY_MS, -1);
    eng_over_stop(h->engine);
    eng_over_start(h->engine);
    h_turns(h, 100);
    CM_AUTO_JSON body = h_body(h, "request", request);
    return body != NULL;
}

static bool has_mark(struct h *h, const char *kind, const char *request)
{
    CM_AUTO_STR key = cm_asprintf("%s/%s", kind, request);
    CM_AUTO_JSON mark = cs_kv_get(h->store, "state", key);
    return mark != NULL;
}

static json_t *issued(struct h *h, char request[CM_ULID_TEXT])
{
    h_account(h);
    json_t *body = h_issue(h, "www.example.com");
    (void)cm_strcpy(request, CM_ULID_TEXT, cm_json_str_or(body, "request", ""));
    return body;
}

/* Another server's request as it comes up, already answered by this credential. */
static void put_foreign(struct h *h, const char *request, int64_t at_ms)
{
    json_t *doc = json_pack("{s:s,s:s,s:s,s:i,s:{s:s,s:s,s:s}}", "type", "request", "action",
                            "retry", "credential", h->credential, "base_serial", 1, "by", "who",
                            "eve", "via", "api", "server", "bravo");
    CM_AUTO_STR id = cm_asprintf("request:%s", request);
    cm_json_set_str(doc, "_id", id);
    cm_json_set_time(doc, "at", at_ms);
    h_put(h, doc);
}

static void a_completed_request_goes_after_30_days(void **state)
{
    struct h *h = *state;
    char request[CM_ULID_TEXT];
    json_decref(issued(h, request));
    int64_t now = cm_now_ms();
    assert_true(there_on(h, request, now, 0));
    assert_true(has_mark(h, "over", request));
    assert_true(has_mark(h, "request", request));
    assert_true(there_on(h, request, now, 29));
    assert_false(there_on(h, request, now, 31));
    (void)there_on(h, request, now, 32); /* the document is gone: the marks, too */
    assert_false(has_mark(h, "over", request));
    assert_false(has_mark(h, "request", request));
    /* Nothing is asked again, and the credential is shown without its request. */
    h_restart(h);
    h_turns(h, 100);
    assert_int_equal(h->ca.new_orders, 1);
    CM_AUTO_JSON view = eng_view(h->engine, h->credential);
    assert_string_equal(cm_json_str(cm_json_obj(view, "credential"), "request"), request);
    assert_int_equal(json_object_size(cm_json_obj(view, "request")), 0);
}

/* The 30 days begin when it is complete, not when it was made. */
static void what_is_at_work_stays(void **state)
{
    struct h *h = *state;
    char request[CM_ULID_TEXT];
    CM_AUTO_JSON body = issued(h, request);
    int64_t now = cm_now_ms();
    static const char *const working[] = {"pending", "waiting", "renew", "revoke_pending"};
    eng_free(h->engine); /* only the sweep is looked at */
    h->env.held = true;
    h->engine = eng_new(&h->env);
    for (int i = 0; i < 4; i++) {
        json_t *doc = json_deep_copy(body);
        json_object_del(doc, "serial");
        cm_json_set_str(doc, "status", working[i]);
        h_put(h, doc);
        assert_true(there_on(h, request, now, 40 * i + 40));
        assert_false(has_mark(h, "over", request));
    }
    json_t *failing = json_deep_copy(body);
    json_object_del(failing, "serial");
    cm_json_set_str(failing, "status", "error");
    cm_json_set_time(failing, "next_action_at", now + 400 * DAY_MS);
    h_put(h, failing);
    assert_true(there_on(h, request, now, 200));
    assert_false(has_mark(h, "over", request)); /* tried again: not over */
    json_t *refused = json_deep_copy(body);
    json_object_del(refused, "serial");
    json_object_del(refused, "next_action_at");
    cm_json_set_str(refused, "status", "error");
    h_put(h, refused);
    assert_true(there_on(h, request, now, 201));
    assert_true(there_on(h, request, now, 230));
    assert_false(there_on(h, request, now, 232));
}

static void what_was_never_answered_stays(void **state)
{
    struct h *h = *state;
    char request[CM_ULID_TEXT], other[CM_ULID_TEXT];
    json_decref(issued(h, request));
    eng_free(h->engine); /* a server whose manager is away */
    h->env.manager = false;
    h->env.self = "bravo";
    h->engine = eng_new(&h->env);
    int64_t now = cm_now_ms();
    cm_ulid(other);
    put_foreign(h, other, now + DAY_MS); /* made after all that the credential tells */
    assert_true(there_on(h, other, now, 2));
    assert_true(there_on(h, other, now, 90));
    assert_false(has_mark(h, "over", other));
    /* … and what others made is theirs */
    assert_true(there_on(h, request, now, 90));
    assert_false(has_mark(h, "over", request));
}

/* The manager waits longer for a server that may be gone. */
static void the_manager_buries_what_others_left(void **state)
{
    struct h *h = *state;
    char request[CM_ULID_TEXT], other[CM_ULID_TEXT];
    json_decref(issued(h, request));
    int64_t now = cm_now_ms();
    cm_ulid(other);
    put_foreign(h, other, now - DAY_MS);
    assert_true(there_on(h, other, now, 0));
    assert_true(there_on(h, other, now, 31));
    assert_false(there_on(h, request, now, 31));
    assert_true(there_on(h, other, now, 59));
    assert_false(there_on(h, other, now, 61));
}

static void it_takes_many_in_slices(void **state)
{
    struct h *h = *state;
    char first[CM_ULID_TEXT], other[CM_ULID_TEXT];
    json_decref(issued(h, first));
    int64_t now = cm_now_ms();
    for (int i = 0; i < OVER_SLICE + 5; i++) {
        cm_ulid(other);
        put_foreign(h, other, now - DAY_MS);
    }
    (void)there_on(h, other, now, 0);
    for (int i = 0; i < 50 && !has_mark(h, "over", other); i++)
        h_turns(h, 20);
    assert_true(has_mark(h, "over", other)); /* the last one, too */
    assert_true(has_mark(h, "over", first));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        H_TEST(a_completed_request_goes_after_30_days),
        H_TEST(what_is_at_work_stays),
        H_TEST(what_was_never_answered_stays),
        H_TEST(the_manager_buries_what_others_left),
        H_TEST(it_takes_many_in_slices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
