/* Who is listed as a peer: everybody that should come, and nobody else. */
#include "certmgr/upstream_internal.h"
#include "replicator/serve.h"
#include "tests/unit/fleet/support.h"

static struct server alpha, beta, third;
static struct config config;
static struct upstream up;

static void adopt(const json_t *trust)
{
    struct cm_err err = CM_ERR_INIT;
    OK(fleet_adopt(alpha.fleet, trust, &err), err);
}

static int setup(void **state)
{
    (void)state;
    manager_init(&alpha, "alpha");
    server_attach(&alpha);
    member_init(&beta, "beta", &alpha);
    member_init(&third, "gamma", &alpha);
    adopt(kf_trust_document(fleet_trust(third.fleet)));
    struct rp_server_opts opts = {.loop = alpha.loop, .store = alpha.store, .db = "certstore"};
    snprintf(config.name, sizeof(config.name), "alpha");
    up = (struct upstream){.opts = {.store = alpha.store, .fleet = alpha.fleet, .config = &config},
                           .server = rp_server_new(&opts)};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    server_fini(&third);
    server_fini(&beta);
    server_close(&alpha);
    rp_server_free(up.server);
    server_fini(&alpha);
    return 0;
}

/* The names in their order, each behind a space. */
static void listed(const char *want)
{
    char names[128] = "";
    size_t i, at = 0;
    json_t *row;
    CM_AUTO_JSON peers = upstream_peers(&up);
    json_array_foreach(peers, i, row)
    {
        at += (size_t)snprintf(names + at, sizeof(names) - at, " %s",
                               cm_json_str_or(row, "peer", "?"));
        assert_true(at < sizeof(names));
    }
    assert_string_equal(names, want);
}

/* A person looks at the manager's routes with the manager's own TLS identity. */
static void the_manager_is_no_peer_of_itself(void **state)
{
    (void)state;
    listed(" beta gamma");
    rp_seen(up.server, "gamma", "now");
    rp_seen(up.server, "alpha", NULL);
    listed(" gamma beta");
}

static void who_was_removed_is_not_missed(void **state)
{
    (void)state;
    rp_seen(up.server, "beta", "now");
    rp_seen(up.server, "gamma", "now");
    listed(" beta gamma");
    CM_AUTO_JSON reply =
        must(agent_now(&alpha, json_pack("{s:s, s:s}", "op", "trust.remove", "name", "beta")));
    adopt(cm_json_obj(reply, "document"));
    listed(" gamma");
    rp_seen(up.server, "stranger", NULL);
    listed(" gamma");
}

/* Behind a hub the time is the writer's: a clock ahead, or a made-up serial, is not shown as such.
 */
static void nobody_was_seen_in_the_future(void **state)
{
    (void)state;
    up.doc = json_object();
    up.heard =
        json_pack("{s:I, s:I}", "beta", (json_int_t)9007199254740991, "gamma", (json_int_t)1000);
    int64_t before = cm_now_ms();
    CM_AUTO_JSON peers = upstream_peers(&up);
    assert_in_range(cm_json_time(json_array_get(peers, 0), "last_seen_at", 0), before, cm_now_ms());
    assert_int_equal(cm_json_time(json_array_get(peers, 1), "last_seen_at", 0), 1000);
    json_decref(up.doc);
    json_decref(up.heard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_manager_is_no_peer_of_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_was_seen_in_the_future, setup, teardown),
        cmocka_unit_test_setup_teardown(who_was_removed_is_not_missed, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
