/* The deployment step machine: agent, hooks and wire in memory. */
#include "tests/unit/engine/harness.h"

#include "certmgr/engine/dep_run.h"

#define ULID  "01HZZZZZZZZZZZZZZZZZZZZZZA"
#define ULID2 "01HZZZZZZZZZZZZZZZZZZZZZZB"

static char fingerprint_a[65], fingerprint_b[65];

/* What hooks and wire say, and what happened in which order. */
struct world {
    struct h *h;
    struct deployer *deployer;
    struct cm_buf trace; /* "stage swap test reload look commit " … */
    size_t ops_seen;
    bool test_fails, reload_fails, wire_down;
    unsigned reload_fails_from;           /* nth reload on; 0 = off */
    unsigned reloads, looks, stale_looks; /* so many looks see the old certificate */
    const char *output;
    dep_hook_fn held; /* hold_test: the test never ends by itself */
    void *held_arg;
    bool hold_test;
};
static struct world world;

/* Agent calls enter the trace when something else happens, in their order. */
static void trace_ops(void)
{
    const json_t *ops = world.h->ops;
    for (; world.ops_seen < json_array_size(ops); world.ops_seen++) {
        const char *op = cm_json_str_or(json_array_get(ops, world.ops_seen), "op", "");
        if (strncmp(op, "deploy.", 7) == 0)
            cm_buf_printf(&world.trace, "%s ", op + 7);
    }
}

static const char *trace(void)
{
    trace_ops();
    return cm_buf_str(&world.trace);
}

static void run_hook(void *arg, const char *target, const char *step, dep_hook_fn done,
                     void *done_arg)
{
    (void)arg;
    (void)target;
    trace_ops();
    cm_buf_printf(&world.trace, "%s ", step);
    bool test = strcmp(step, "test") == 0;
    if (test && world.hold_test) {
        world.held = done;
        world.held_arg = done_arg;
        return;
    }
    world.reloads += !test;
    bool fails =
        test ? world.test_fails : world.reload_fails && world.reloads >= world.reload_fails_from;
    struct cm_err err = CM_ERR_INIT;
    if (fails)
        cm_fail(&err, CM_EPEER, "%s ended with status 1", step);
    done(done_arg, fails && world.output ? world.output : "", fails ? &err : NULL);
    cm_err_fini(&err);
}

static void look(void *arg, const char *address, const char *server_name, dep_wire_fn done,
                 void *done_arg)
{
    (void)arg;
    assert_string_equal(address, "127.0.0.1:443");
    assert_string_equal(server_name, "www.example.com");
    trace_ops();
    if (world.looks++ == 0)
        cm_buf_puts(&world.trace, "look ");
    struct cm_err err = CM_ERR_INIT;
    if (world.wire_down)
        cm_fail(&err, CM_ENET, "127.0.0.1:443 cannot be reached");
    bool stale = world.stale_looks > 0;
    world.stale_looks -= stale;
    done(done_arg,
         world.wire_down ? NULL
         : stale         ? fingerprint_b
                         : fingerprint_a,
         world.wire_down ? &err : NULL);
    cm_err_fini(&err);
}

static void start(struct h *h, bool test, bool reload, bool check)
{
    struct dep_target target = {.name = "default",
                                .has_test = test,
                                .has_reload = reload,
                                .check = check ? "127.0.0.1:443" : NULL};
    struct dep_hooks hooks = {.run = run_hook};
    struct dep_wire wire = {.look = look};
    world.h = h;
    world.deployer = dep_new(&h->env, h->engine, &target, 1, &hooks, &wire);
}

static int setup(void **state)
{
    world = (struct world){.h = NULL};
    cm_buf_init(&world.trace, 10000);
    memset(fingerprint_a, 'a', 64);
    memset(fingerprint_b, 'b', 64);
    return h_setup(state);
}

static int teardown(void **state)
{
    dep_free(world.deployer);
    cm_buf_fini(&world.trace);
    return h_teardown(state);
}

static void put_keyfile(struct h *h, const char *ulid, const char *target, const char *server,
                        const char *fingerprint)
{
    CM_AUTO_STR id = cm_asprintf("keyfile:%s", ulid);
    CM_AUTO_STR leaf = cm_strdup("-----BEGIN CERTIFICATE-----\n");
    h_put(h, json_pack("{s:s,s:s,s:s,s:[s,s],s:s,s:s,s:[s,s],s:s,s:i,s:s,s:s,s:s,s:s}", "_id", id,
                       "type", "keyfile", "credential", ulid, "servers", "bravo", server,
                       "keyring_file", "www.kyr", "target", target, "names", "*.example.com",
                       "www.example.com", "sealed_key", "c2VhbGVk", "key_generation", 1,
                       "public_key_sha256", fingerprint, "leaf", leaf, "intermediates", "",
                       "fingerprint", fingerprint));
}

static const char *wanted_state;
static const char *wanted_ulid = ULID;

static json_t *receipt(struct h *h, const char *ulid)
{
    CM_AUTO_STR id = cm_asprintf("receipt:alpha:%s", ulid);
    return cs_get_body(h->store, id);
}

static bool has_state(struct h *h)
{
    CM_AUTO_JSON body = receipt(h, wanted_ulid);
    return strcmp(cm_json_str_or(body, "state", ""), wanted_state) == 0;
}

static json_t *wait_state(struct h *h, const char *ulid, const char *state)
{
    wanted_state = state;
    wanted_ulid = ulid;
    h_until(h, has_state, state);
    return receipt(h, ulid);
}

static const char *all_of(const json_t *body)
{
    static char text[4096];
    CM_AUTO_STR dump = cm_json_dump(json_object_get(body, "error"), NULL);
    (void)cm_strcpy(text, sizeof(text), dump ? dump : "");
    return text;
}

/* ---- the good end
 * ----------------------------------------------------------------------------------- */

static void deploys_in_order_and_reports_what_is_served(void **state)
{
    struct h *h = *state;
    start(h, true, true, true);
    world.stale_looks = 2; /* the service takes a moment to change over */
    put_keyfile(h, ULID, "default", "alpha", fingerprint_a);
    CM_AUTO_JSON body = wait_state(h, ULID, "served");
    assert_string_equal(trace(), "stage swap test reload look commit ");
    assert_int_equal(world.looks, 3);
    assert_string_equal(cm_json_str(body, "fingerprint"), fingerprint_a);
    assert_string_equal(cm_json_str(body, "target"), "default");
    assert_int_equal(cm_json_int(body, "key_generation", 0), 1);
    assert_null(json_object_get(body, "error"));
}

static void the_state_says_how_far_it_could_be_proved(void **state)
{
    struct h *h = *state;
    start(h, false, true, false);
    put_keyfile(h, ULID, "default", "alpha", fingerprint_a);
    json_decref(wait_state(h, ULID, "reloaded"));
    assert_string_equal(trace(), "stage swap reload commit ");
}

static void without_hooks_and_check_it_is_deployed(void **state)
{
    struct h *h = *state;
    start(h, false, false, false);
    put_keyfile(h, ULID, "default", "alpha", fingerprint_a);
    json_decref(wait_state(h, ULID, "deployed"));
    assert_string_equal(trace(), "stage swap commit ");
}

static void a_document_for_others_is_left_alone(void **state)
{
    struct h *h = *state;
    start(h, true, true, true);
    put_keyfile(h, ULID, "default", "charlie", fingerprint_a);
    h_turns(h, 50);
    assert_string_equal(trace(), "");
    assert_null(receipt(h, ULID));
}

static void what_is_served_already_is_not_touched(void **state)
{
    struct h *h = *state;
    start(h, true, true, true);
    put_keyfile(h, ULID, "default", "alpha", fingerprint_a);
    CM_AUTO_JSON before = wait_state(h, ULID, "served");
    dep_free(world.deployer);
    trace_ops();
    cm_buf_reset(&world.trace);
    h->stage_unchanged = true;
    start(h, true, true, true);
    h_turns(h, 100);
    assert_string_equal(trace(), "stage ");
    CM_AUTO_JSON after = receipt(h, ULID);
    assert_true(json_equal(before, after)); /* the very same serial */
}

static void files_written_again_are_no_new_receipt(void **state)
{
    struct h *h = *state;
    start(h, true, true, true);
    put_keyfile(h, ULID, "default", "alpha", fingerprint_a);
    CM_AUTO_JSON before = wait_state(h, ULID, "served");
    dep_free(world.deployer);
    trace_ops();
    cm_buf_reset(&world.trace);
    start(h, true, true, true); /* somebody damaged the files: the agent writes them again */
    h_turns(h, 100);
    assert_non_null(strstr(trace(), "stage swap test reload "));
    CM_AUTO_JSON after = receipt(h, ULID);
    assert_true(json_equal(before, after));
}

static void a_crash_after_the_swap_is_made_up_for(void **state)
{
    struct h *h = *state;
    h->stage_unchanged = true; /* the files are in place, but nobody reported */
    start(h, true, true, true);
    put_keyfile(h, ULID, "default", "alpha", fingerprint_a);
    json_decref(wait_state(h, ULID, "served"));
    assert_string_equal(trace(), "stage test reload look commit ");
}

/* The keyfile document of ULID, in force after so long. */
static void put_later(struct h *h, const char *fingerprint, int64_t ms)
{
    put_keyfile(h, ULID, "default", "charlie", fingerprint);
    CM_AUTO_JSON body = h_body(h, "keyfile", ULID);
    cm_json_set(body, "servers", json_pack("[s]", "alpha"));
    cm_json_set_time(body, "serve_from", cm_now_ms() + ms);
    h_put(h, json_incref(body));
}

static void what_is_not_in_force_waits_and_the_old_one_stays(void **state)
{
    struct h *h = *state;
    start(h, true, true, true);
    put_keyfile(h, ULID, "default", "alpha", fingerprint_a);
    CM_AUTO_JSON before = wait_state(h, ULID, "served");
    trace_ops();
    cm_buf_reset(&world.trace);
    put_later(h, fingerprint_b, 600000);
    h_turns(h, 150);
    assert_string_equal(trace(), "");
    dep_free(world.deployer); /* a restart changes nothing */
    start(h, true, true, false);
    h_turns(h, 150);
    assert_string_equal(trace(), "");
    CM_AUTO_JSON after = receipt(h, ULID);
    assert_true(json_equal(before, after));
    put_later(h, fingerprint_b, 5000); /* the manager has said: sooner */
    h_turns(h, 100);
    assert_string_equal(trace(), "");
    json_decref(wait_state(h, ULID, "reloaded"));
    assert_string_equal(trace(), "stage swap test reload commit ");
}

static void one_at_a_time_in_one_target(void **state)
{
    struct h *h = *state;
    world.hold_test = true;
    start(h, true, false, false);
    put_keyfile(h, ULID, "default", "alpha", fingerprint_a);
    put_keyfile(h, ULID2, "default", "alpha", fingerprint_b);
    h_turns(h, 50);
    assert_string_equal(trace(), "stage swap test ");
    world.hold_test = false;
    world.held(world.held_arg, "", NULL);
    json_decref(wait_state(h, ULID, "deployed"));
    json_decref(wait_state(h, ULID2, "deployed"));
    assert_string_equal(trace(), "stage swap test commit stage swap test commit ");
}

/* ---- failures
 * ----------------------------------------------------------------------------------------- */

static void a_failed_test_rolls_back_without_a_reload(void **state)
{
    struct h *h = *state;
    world.test_fails = true;
    world.output = "nginx: [emerg] cannot load certificate";
    start(h, true, true, true);
    put_keyfile(h, ULID, "default", "alpha", fingerprint_a);
    CM_AUTO_JSON body = wait_state(h, ULID, "failed");
    assert_string_equal(trace(), "stage swap test rollback ");
    assert_non_null(strstr(all_of(body), "[emerg] cannot load certificate"));
    assert_non_null(strstr(all_of(body), "target \\\"default\\\""));
    const json_t *error = cm_json_obj(body, "error");
    assert_int_equal(cm_json_int(error, "attempts", 0), 1);
    int64_t next = cm_json_time(error, "next_attempt_at", 0) - cm_now_ms();
    assert_true(next > 20000 && next <= 90000);
}

static void a_failed_reload_rolls_back_and_reloads(void **state)
{
    struct h *h = *state;
    world.reload_fails = true;
    start(h, true, true, true);
    put_keyfile(h, ULID, "default", "alpha", fingerprint_a);
    CM_AUTO_JSON body = wait_state(h, ULID, "failed");
    assert_string_equal(trace(), "stage swap test reload rollback reload ");
    assert_non_null(strstr(all_of(body), "The reload of target"));
    assert_non_null(strstr(all_of(body), "with the former files failed, too"));
}

static void another_certificate_on_the_wire_rolls_back(void **state)
{
    struct h *h = *state;
    world.stale_looks = 1000;
    start(h, true, true, true);
    put_keyfile(h, ULID, "default", "alpha", fingerprint_a);
    while (!world.deployer->place[0].run || world.deployer->place[0].run->step != DEP_LOOK)
        cm_loop_turn(h->loop, true);
    world.deployer->place[0].run->looks = DEP_WIRE_TRIES - 2; /* not the whole half minute */
    CM_AUTO_JSON body = wait_state(h, ULID, "failed");
    assert_string_equal(trace(), "stage swap test reload look rollback reload ");
    assert_non_null(strstr(all_of(body), "still serves another certificate"));
    assert_non_null(strstr(all_of(body), "bbbbbbbbbbbbbbbb"));
}

static void a_port_that_is_down_rolls_back(void **state)
{
    struct h *h = *state;
    world.wire_down = true;
    start(h, false, true, true);
    put_keyfile(h, ULID, "default", "alpha", fingerprint_a);
    while (!world.deployer->place[0].run || world.deployer->place[0].run->step != DEP_LOOK)
        cm_loop_turn(h->loop, true);
    world.deployer->place[0].run->looks = DEP_WIRE_TRIES - 1;
    CM_AUTO_JSON body = wait_state(h, ULID, "failed");
    assert_non_null(strstr(all_of(body), "cannot be reached"));
    assert_non_null(strstr(trace(), "rollback reload "));
}

static void a_refused_document_is_reported_with_its_cause(void **state)
{
    struct h *h = *state;
    h->fail_op = "deploy.stage";
    h->fail_code = CM_EDENIED;
    start(h, true, true, true);
    put_keyfile(h, ULID, "default", "alpha", fingerprint_a);
    CM_AUTO_JSON body = wait_state(h, ULID, "failed");
    assert_string_equal(trace(), "stage ");
    assert_non_null(strstr(all_of(body), "the agent refuses deploy.stage"));
    assert_non_null(strstr(all_of(body), "denied"));
}

static void a_directory_that_cannot_be_written_says_what_to_do(void **state)
{
    struct h *h = *state;
    h->fail_op = "deploy.swap";
    h->fail_code = CM_EIO;
    start(h, true, true, true);
    put_keyfile(h, ULID, "default", "alpha", fingerprint_a);
    CM_AUTO_JSON body = wait_state(h, ULID, "failed");
    assert_non_null(strstr(all_of(body), "data directory of [target default]"));
}

static void a_target_that_is_not_configured_is_named(void **state)
{
    struct h *h = *state;
    start(h, true, true, true);
    put_keyfile(h, ULID, "mail", "alpha", fingerprint_a);
    CM_AUTO_JSON body = wait_state(h, ULID, "failed");
    assert_string_equal(trace(), "");
    assert_non_null(strstr(all_of(body), "[target mail]"));
}

static void an_absent_agent_is_no_attempt(void **state)
{
    struct h *h = *state;
    h->away = 1;
    h->away_op = "deploy.swap";
    start(h, false, false, false);
    put_keyfile(h, ULID, "default", "alpha", fingerprint_a);
    CM_AUTO_JSON body = wait_state(h, ULID, "deployed");
    assert_string_equal(trace(), "stage swap stage swap commit ");
    assert_null(json_object_get(body, "error"));
}

static void a_receipt_waits_for_an_absent_agent(void **state)
{
    struct h *h = *state;
    start(h, false, false, false);
    put_keyfile(h, ULID, "default", "alpha", fingerprint_a);
    h->sign_away = 1;
    json_decref(wait_state(h, ULID, "deployed"));
    assert_string_equal(trace(), "stage swap commit ");
}

static void a_receipt_waits_for_space(void **state)
{
    struct h *h = *state;
    start(h, false, false, false);
    put_keyfile(h, ULID, "default", "alpha", fingerprint_a);
    h->sign_code = CM_EFULL;
    h->sign_away = 1;
    json_decref(wait_state(h, ULID, "deployed"));
    assert_string_equal(trace(), "stage swap commit ");
}

static void a_full_data_directory_says_what_to_do(void **state)
{
    struct h *h = *state;
    h->fail_op = "deploy.stage";
    h->fail_code = CM_EFULL;
    start(h, false, false, false);
    put_keyfile(h, ULID, "default", "alpha", fingerprint_a);
    CM_AUTO_JSON body = wait_state(h, ULID, "failed");
    assert_non_null(strstr(all_of(body), "Free space"));
    assert_non_null(cm_json_str(cm_json_obj(body, "error"), "next_attempt_at"));
}

static void a_newer_document_is_tried_at_once_after_a_failure(void **state)
{
    struct h *h = *state;
    world.test_fails = true;
    start(h, true, false, false);
    put_keyfile(h, ULID, "default", "alpha", fingerprint_a);
    json_decref(wait_state(h, ULID, "failed"));
    world.test_fails = false;
    put_keyfile(h, ULID, "default", "alpha", fingerprint_b);
    CM_AUTO_JSON body = wait_state(h, ULID, "deployed");
    assert_string_equal(cm_json_str(body, "fingerprint"), fingerprint_b);
    assert_null(json_object_get(body, "error"));
}

static void failures_in_a_row_are_counted(void **state)
{
    struct h *h = *state;
    world.test_fails = true;
    start(h, true, false, false);
    put_keyfile(h, ULID, "default", "alpha", fingerprint_a);
    json_decref(wait_state(h, ULID, "failed"));
    dep_free(world.deployer);
    start(h, true, false, false); /* a start tries again at once */
    int64_t attempts = 0;
    for (int i = 0; i < 500 && attempts < 2; i++) {
        h_turns(h, 10);
        CM_AUTO_JSON body = receipt(h, ULID);
        attempts = cm_json_int(cm_json_obj(body, "error"), "attempts", 0);
    }
    assert_int_equal(attempts, 2);
}

static void going_away_in_mid_run_is_safe(void **state)
{
    struct h *h = *state;
    world.hold_test = true;
    start(h, true, true, true);
    put_keyfile(h, ULID, "default", "alpha", fingerprint_a);
    h_turns(h, 50);
    assert_non_null(world.held);
    dep_free(world.deployer);
    world.deployer = NULL;
    world.held(world.held_arg, "", NULL); /* the answer finds nobody */
    h_turns(h, 10);
    assert_string_equal(trace(), "stage swap test ");
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(deploys_in_order_and_reports_what_is_served),
        TEST(the_state_says_how_far_it_could_be_proved),
        TEST(without_hooks_and_check_it_is_deployed),
        TEST(a_document_for_others_is_left_alone),
        TEST(what_is_served_already_is_not_touched),
        TEST(files_written_again_are_no_new_receipt),
        TEST(a_crash_after_the_swap_is_made_up_for),
        TEST(what_is_not_in_force_waits_and_the_old_one_stays),
        TEST(one_at_a_time_in_one_target),
        TEST(a_failed_test_rolls_back_without_a_reload),
        TEST(a_failed_reload_rolls_back_and_reloads),
        TEST(another_certificate_on_the_wire_rolls_back),
        TEST(a_port_that_is_down_rolls_back),
        TEST(a_refused_document_is_reported_with_its_cause),
        TEST(a_directory_that_cannot_be_written_says_what_to_do),
        TEST(a_target_that_is_not_configured_is_named),
        TEST(an_absent_agent_is_no_attempt),
        TEST(a_receipt_waits_for_an_absent_agent),
        TEST(a_receipt_waits_for_space),
        TEST(a_full_data_directory_says_what_to_do),
        TEST(a_newer_document_is_tried_at_once_after_a_failure),
        TEST(failures_in_a_row_are_counted),
        TEST(going_away_in_mid_run_is_safe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
