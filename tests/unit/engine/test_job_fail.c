/* The bad end of an attempt, while somebody asks for the next one. */
#include "tests/unit/engine/harness.h"

static const struct eng_actor ada = {.who = "ada", .via = "cli"};

static bool is_held(struct h *h)
{
    return h->ca.held != NULL;
}

static char before[CM_ULID_TEXT];

static bool is_another_request(struct h *h)
{
    CM_AUTO_JSON body = h_body(h, "credential", h->credential);
    return strcmp(cm_json_str_or(body, "request", ""), before) != 0;
}

static void note_request(struct h *h)
{
    CM_AUTO_JSON body = h_body(h, "credential", h->credential);
    (void)cm_strcpy(before, sizeof(before), cm_json_str_or(body, "request", ""));
}

/* The manager has taken the request in while the CA still thinks about the attempt before. */
static void retry(struct h *h)
{
    note_request(h);
    eng_retry(h->engine, h->credential, &ada, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    h_until(h, is_another_request, "the retry");
}

/* An order that the CA will refuse for good, as soon as it goes on. */
static void order(struct h *h)
{
    h_account(h);
    h->ca.hold_path = "/new-order";
    h->ca.refuse_orders = 1;
    h->ca.refuse_type = "malformed";
    assert_int_equal(h_submit(h, h_fields("www.example.com")), 0);
    h_until(h, is_held, "the order");
}

static int64_t next_in(struct h *h)
{
    CM_AUTO_JSON body = h_status(h, "error");
    return cm_json_time(body, "next_action_at", 0) - cm_now_ms();
}

static void a_retry_in_the_last_moment_is_one(void **state)
{
    struct h *h = *state;
    order(h);
    retry(h);
    h_ca_go_on(&h->ca);
    CM_AUTO_JSON body = h_status(h, "issued"); /* by the attempt that was asked for */
    assert_null(json_object_get(body, "error"));
    assert_int_equal(h->ca.refuse_orders, 0);
}

static void without_one_it_waits(void **state)
{
    struct h *h = *state;
    order(h);
    h_ca_go_on(&h->ca);
    assert_true(next_in(h) > 60000);
}

static void what_the_ca_asks_for_stands(void **state)
{
    struct h *h = *state;
    order(h);
    retry(h);
    h->ca.refuse_type = "rateLimited";
    h->ca.retry_after = "3000";
    h_ca_go_on(&h->ca);
    assert_true(next_in(h) > 2900000);
}

/* An edit that was refused as stale asked for no attempt. */
static void a_refused_request_is_none(void **state)
{
    struct h *h = *state;
    char ulid[CM_ULID_TEXT];
    order(h);
    note_request(h);
    cm_ulid(ulid);
    json_t *stale = json_object();
    CM_AUTO_STR id = cm_asprintf("request:%s", ulid);
    cm_json_set_str(stale, "_id", id);
    cm_json_set_str(stale, "type", "request");
    cm_json_set_str(stale, "action", "issue");
    cm_json_set_str(stale, "credential", h->credential);
    cm_json_set_int(stale, "base_serial", 0);
    cm_json_set(stale, "fields", json_pack("{s:[s]}", "host_names", "x.example"));
    cm_json_set(stale, "by",
                json_pack("{s:s,s:s,s:s}", "who", "eve", "via", "api", "server", "bravo"));
    cm_json_set_time(stale, "at", cm_now_ms());
    h_put(h, stale);
    h_until(h, is_another_request, "the refusal");
    h_ca_go_on(&h->ca);
    assert_true(next_in(h) > 60000);
}

static bool is_revoked(struct h *h)
{
    CM_AUTO_JSON body = h_body(h, "credential", h->credential);
    return strcmp(cm_json_str_or(body, "status", ""), "revoked") == 0;
}

static void a_revocation_is_asked_for_again_too(void **state)
{
    struct h *h = *state;
    struct eng_revocation wish = {.after = "keep"};
    h_account(h);
    json_decref(h_issue(h, "www.example.com"));
    h->ca.hold_path = "/new-revoke";
    eng_revoke(h->engine, h->credential, &wish, &ada, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    h_until(h, is_held, "the revocation");
    retry(h);
    h->ca.refuse_revoke = "malformed";
    h_ca_go_on(&h->ca); /* refused at once, on the wire */
    h->ca.refuse_revoke = NULL;
    h_until(h, is_revoked, "the second attempt");
    assert_int_equal(h->ca.revocations, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        H_TEST(a_retry_in_the_last_moment_is_one),   H_TEST(without_one_it_waits),
        H_TEST(what_the_ca_asks_for_stands),         H_TEST(a_refused_request_is_none),
        H_TEST(a_revocation_is_asked_for_again_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
