/* A recipe's requests on their way: their distance from each other, and pauses that a busy provider
 * asks for.  HTTP and the timers are ours here. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/net/http_client.h"
#include "certmgr/dns/provider.h"
#include "certmgr/dns/recipe.h"
#include "certmgr/dns/recipe_gate.h"

static struct cm_loop *loop;

/* ---- what stands in for the world --------------------------------------------------------------
 */

static struct {
    int status; /* of all answers but the last one */
    const char *headers;
    unsigned busy, calls; /* so many of those; requests so far */
    http_done_fn done;
    void *arg;
    char key[64]; /* of the last pass */
    int64_t parallel, interval_ms, pause_ms;
    unsigned ended;
    int code;
    int64_t next_ms;
} seen;

struct http_call *__wrap_http_call(struct http_client *client, const struct http_call_opts *opts,
                                   http_done_fn done, void *arg, struct cm_err *err);
void __wrap_http_call_cancel(struct http_call *call);
struct gate_pass *__real_gate_ask(struct cm_loop *on, const char *key, int64_t parallel,
                                  int64_t interval_ms, cm_fn fn, void *arg);
struct gate_pass *__wrap_gate_ask(struct cm_loop *on, const char *key, int64_t parallel,
                                  int64_t interval_ms, cm_fn fn, void *arg);
void __real_cm_timer_start(struct cm_timer *timer, int64_t ms);
void __wrap_cm_timer_start(struct cm_timer *timer, int64_t ms);

static void answer(void *unused)
{
    struct cm_err none = CM_ERR_INIT;
    bool busy = seen.calls <= seen.busy;
    (void)unused;
    struct http_result res = {.err = &none,
                              .status = busy ? seen.status : 200,
                              .headers = busy ? seen.headers : "",
                              .body = "OK",
                              .body_len = 2};
    seen.done(seen.arg, &res);
}

struct http_call *__wrap_http_call(struct http_client *client, const struct http_call_opts *opts,
                                   http_done_fn done, void *arg, struct cm_err *err)
{
    (void)client;
    (void)err;
    assert_string_equal(opts->method, "GET");
    seen.calls++;
    seen.done = done;
    seen.arg = arg;
    cm_loop_defer(loop, answer, NULL);
    return (struct http_call *)(void *)&seen;
}

void __wrap_http_call_cancel(struct http_call *call)
{
    (void)call;
    fail();
}

struct gate_pass *__wrap_gate_ask(struct cm_loop *on, const char *key, int64_t parallel,
                                  int64_t interval_ms, cm_fn fn, void *arg)
{
    (void)snprintf(seen.key, sizeof(seen.key), "%s", key);
    seen.parallel = parallel;
    seen.interval_ms = interval_ms;
    return __real_gate_ask(on, key, parallel, 0, fn, arg);
}

/* Pauses are told and not waited for. */
void __wrap_cm_timer_start(struct cm_timer *timer, int64_t ms)
{
    if (ms > 1)
        seen.pause_ms = ms;
    __real_cm_timer_start(timer, 0);
}

static void on_done(void *arg, const json_t *record, const struct cm_err *err)
{
    (void)arg;
    (void)record;
    seen.ended++;
    seen.code = err ? err->code : 0;
    seen.next_ms = err ? err->next_attempt_ms : 0;
}

/* One value by a recipe with these limits, at a provider that is busy so often. */
static void add(json_t *take_limits, unsigned busy, int status, const char *headers)
{
    CM_AUTO_JSON recipe = json_pack(
        "{s:i,s:s,s:s,s:i,s:s,s:[s],s:{s:s},s:s,s:{s:s,s:s},s:{s:{s:s},s:{s:s}}}", "schema", 1,
        "id", "one", "title", "One", "revision", 1, "base", "https://dns.example", "hosts",
        "dns.example", "txt", "mode", "single", "reply", "text", "ok", "pointer", "", "begins",
        "OK", "steps", "add", "get", "/add", "delete", "get", "/delete");
    struct dnsp_env env = {.loop = loop};
    struct dnsp_account account = {.name = "main", .kind = "recipe", .recipe = recipe};
    struct cm_err err = CM_ERR_INIT;
    assert_non_null(recipe);
    cm_json_set(recipe, "limits", take_limits);
    if (dnsp_check(&account, &err) != 0)
        fail_msg("%s", err.what);
    memset(&seen, 0, sizeof(seen));
    seen.busy = busy;
    seen.status = status;
    seen.headers = headers;
    dnsp_add(&env, &account, "_acme-challenge.a.example", "value", NULL, on_done, NULL);
    while (seen.ended == 0)
        cm_loop_turn(loop, true);
    assert_int_equal(seen.ended, 1);
}

/* ---- tests -------------------------------------------------------------------------------------
 */

static void requests_keep_their_distance(void **state)
{
    (void)state;
    add(json_pack("{s:i,s:i}", "parallel", 3, "min_interval_ms", 250), 0, 0, "");
    assert_int_equal(seen.code, 0);
    assert_string_equal(seen.key, "main"); /* of all calls of the account together */
    assert_int_equal(seen.parallel, 3);
    assert_int_equal(seen.interval_ms, 250);
    assert_int_equal(seen.pause_ms, 0);
    assert_int_equal(seen.calls, 1);
    add(json_object(), 0, 0, "");
    assert_true(seen.parallel > 0);
    assert_int_equal(seen.interval_ms, 0);
}

static void a_busy_provider_says_when(void **state)
{
    (void)state;
    add(json_object(), 1, 429, "Retry-After: 7\r\n");
    assert_int_equal(seen.code, 0);
    assert_int_equal(seen.calls, 2);
    assert_int_equal(seen.pause_ms, 7000);
    add(json_object(), 1, 503, "");
    assert_int_equal(seen.code, 0);
    assert_int_equal(seen.pause_ms, 1000); /* it does not: ours */
    add(json_object(), 2, 503, "");
    assert_int_equal(seen.code, 0);
    assert_int_equal(seen.calls, 3);
    assert_int_equal(seen.pause_ms, 2000); /* longer each time */
    add(json_pack("{s:b}", "retry_after", 0), 1, 429, "Retry-After: 7\r\n");
    assert_int_equal(seen.code, 0);
    assert_int_equal(seen.pause_ms, 1000); /* a recipe may know better */
}

static void a_long_pause_ends_the_call(void **state)
{
    char header[64];
    (void)state;
    (void)snprintf(header, sizeof(header), "Retry-After: %d\r\n", RCP_RETRY_MAX_S + 1);
    add(json_object(), 1, 429, header);
    assert_true(seen.code != 0);
    assert_int_equal(seen.calls, 1);
    assert_int_equal(seen.pause_ms, 0);
    assert_true(seen.next_ms > cm_now_ms() + (RCP_RETRY_MAX_S - 60) * INT64_C(1000));
    (void)snprintf(header, sizeof(header), "Retry-After: %d\r\n", RCP_RETRY_MAX_S);
    add(json_object(), 1, 429, header);
    assert_int_equal(seen.code, 0);
    assert_int_equal(seen.pause_ms, RCP_RETRY_MAX_S * 1000);
}

static void what_is_tried_again_has_an_end(void **state)
{
    (void)state;
    add(json_object(), 100, 429, "");
    assert_true(seen.code != 0);
    assert_int_equal(seen.calls, RCP_TRIES_MAX);
    add(json_object(), 100, 418, "Retry-After: 7\r\n"); /* no answer of somebody who is busy … */
    assert_true(seen.code != 0);
    assert_int_equal(seen.calls, 1);
    add(json_pack("{s:[i]}", "retry", 418), 1, 418, "Retry-After: 7\r\n"); /* … but here it is */
    assert_int_equal(seen.code, 0);
    assert_int_equal(seen.pause_ms, 7000);
    add(json_pack("{s:[i]}", "retry", 418), 1, 429, "");
    assert_true(seen.code != 0);
    assert_int_equal(seen.calls, 1);
}

static int set_up(void **state)
{
    (void)state;
    loop = cm_loop_new();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    cm_loop_free(loop);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_keep_their_distance),
        cmocka_unit_test(a_busy_provider_says_when),
        cmocka_unit_test(a_long_pause_ends_the_call),
        cmocka_unit_test(what_is_tried_again_has_an_end),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
