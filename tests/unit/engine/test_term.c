/* A manager answers whatever comes in its term, and once what came before it. */
#include "tests/unit/engine/harness.h"

#define HOUR      (3600 * INT64_C(1000))
#define TEN_YEARS (3652 * 24 * HOUR)

/* As another server makes it, by its own clock and from what it has seen: the first version. */
static void ask(struct h *h, const char *action, int64_t at)
{
    char ulid[CM_ULID_TEXT];
    cm_ulid(ulid);
    CM_AUTO_STR id = cm_asprintf("request:%s", ulid);
    json_t *doc = json_pack("{s:s,s:s,s:s,s:s,s:i,s:{s:s,s:s,s:s}}", "_id", id, "type", "request",
                            "action", action, "credential", h->credential, "base_serial", 1, "by",
                            "who", "eve", "via", "api", "server", "bravo");
    cm_json_set_time(doc, "at", at);
    h_put(h, doc);
}

static bool is_removed(struct h *h)
{
    CM_AUTO_JSON body = h_body(h, "credential", h->credential);
    return !body;
}

static void take_over(struct h *h)
{
    assert_int_equal(cs_kv_del(h->store, "state", "term", NULL), 0);
    h_restart(h);
}

static void a_slow_clock_loses_nothing(void **state)
{
    struct h *h = *state;
    h_account(h);
    json_decref(h_issue(h, "www.example.com"));
    ask(h, "delete", cm_now_ms() - TEN_YEARS);
    h_until(h, is_removed, "the credential to be removed");
}

static void nor_does_it_after_a_restart(void **state)
{
    struct h *h = *state;
    h_account(h);
    json_decref(h_issue(h, "www.example.com"));
    h_restart(h);
    ask(h, "delete", cm_now_ms() - HOUR);
    h_until(h, is_removed, "the credential to be removed");
}

static void what_a_predecessor_answered_is_left_alone(void **state)
{
    struct h *h = *state;
    h_account(h);
    json_decref(h_issue(h, "www.example.com"));
    take_over(h);
    ask(h, "renew", cm_now_ms() - HOUR);
    h_turns(h, 100);
    assert_int_equal(h->ca.new_orders, 1);
    h_restart(h); /* the same term */
    ask(h, "renew", cm_now_ms() - HOUR);
    h_turns(h, 100);
    assert_int_equal(h->ca.new_orders, 1);
    ask(h, "delete", cm_now_ms());
    h_until(h, is_removed, "the credential to be removed");
}

static void who_was_no_manager_meanwhile_has_a_predecessor(void **state)
{
    struct h *h = *state;
    h_account(h);
    json_decref(h_issue(h, "www.example.com"));
    eng_free(h->engine);
    h->env.manager = false;
    h->engine = eng_new(&h->env);
    eng_free(h->engine);
    h->env.manager = true;
    h->engine = eng_new(&h->env);
    ask(h, "renew", cm_now_ms() - HOUR);
    h_turns(h, 100);
    assert_int_equal(h->ca.new_orders, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        H_TEST(a_slow_clock_loses_nothing),
        H_TEST(nor_does_it_after_a_restart),
        H_TEST(what_a_predecessor_answered_is_left_alone),
        H_TEST(who_was_no_manager_meanwhile_has_a_predecessor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
