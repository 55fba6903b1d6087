/* Checkpoints on a hub: every member may write those of the others. */
#include "tests/unit/replicator/rig.h"

#include <stdio.h>
#include <string.h>

#include "base/core/mem.h"

#define DOC "settings:default"

struct fixture {
    struct rig rig;
    struct node hub, edge;
    struct rp_client *client;
    char rev[CS_REV_MAX + 1]; /* on the hub */
    int days;                 /* that the edge is to have */
};

static int setup(void **state)
{
    struct fixture *f = test_calloc(1, sizeof(*f));
    rig_open(&f->rig);
    node_start(&f->rig, &f->hub, "hub", true);
    node_start(&f->rig, &f->edge, "edge", false);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    rp_client_end(f->client);
    node_close(&f->edge);
    node_close(&f->hub);
    rig_close(&f->rig);
    test_free(f);
    return 0;
}

static void join(struct fixture *f)
{
    struct cm_err err = CM_ERR_INIT;
    const struct rp_client_opts opts = {.loop = f->rig.loop,
                                        .store = f->edge.store,
                                        .http = f->rig.http,
                                        .url = f->hub.url,
                                        .allow_http = true,
                                        .hub = true,
                                        .authorization = "Basic eDp5"};
    if (rp_client_new(&opts, &f->client, &err) < 0)
        fail_msg("rp_client_new: %s", err.what);
}

/* The next version on the hub. */
static void put_days(struct fixture *f, int days)
{
    json_t *doc = doc_settings("default", 1000 + days, days);
    if (f->rev[0])
        cm_json_set_str(doc, "_rev", f->rev);
    put_doc(&f->hub, doc, f->rev);
}

static bool has_days(void *arg)
{
    const struct fixture *f = arg;
    CM_AUTO_JSON body = cs_get_body(f->edge.store, DOC);
    return cm_json_int(body, "renew_days", -1) == f->days;
}

static void wait_days(struct fixture *f, int days)
{
    f->days = days;
    rig_wait(&f->rig, has_days, f);
}

static int note_key(void *arg, const char *key, const json_t *value)
{
    (void)value;
    json_array_append_new(arg, json_string(key));
    return 0;
}

/* Names of the checkpoints that the edge and the hub both have (owned). */
static json_t *shared(struct fixture *f)
{
    CM_AUTO_JSON keys = json_array();
    json_t *both = json_array();
    assert_int_equal(cs_kv_each(f->edge.store, "local", "", note_key, keys), 0);
    for (size_t i = 0; i < json_array_size(keys); i++) {
        const char *key = json_string_value(json_array_get(keys, i));
        CM_AUTO_JSON there = cs_kv_get(f->hub.store, "local", key);
        if (there)
            json_array_append_new(both, json_string(key));
    }
    return both;
}

static bool is_saved(void *arg)
{
    CM_AUTO_JSON both = shared(arg);
    return json_array_size(both) > 0;
}

/* The hub's copies say that the edge has read so far. */
static void lead_to(struct fixture *f, int64_t seq)
{
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_JSON both = shared(f);
    CM_AUTO_STR token = cm_asprintf("%lld-%s", (long long)seq, cs_epoch(f->hub.store));
    for (size_t i = 0; i < json_array_size(both); i++) {
        const char *key = json_string_value(json_array_get(both, i));
        CM_AUTO_JSON found = cs_kv_get(f->hub.store, "local", key);
        CM_AUTO_JSON doc = json_deep_copy(found);
        cm_json_set_str(doc, "source_last_seq", token);
        cm_json_set_str(doc, "stored_seq", token);
        cm_json_set_str(json_array_get(cm_json_arr(doc, "history"), 0), "recorded_seq", token);
        if (cs_kv_put(f->hub.store, "local", key, doc, &err) < 0)
            fail_msg("%s", err.what);
    }
}

static void leave(struct fixture *f)
{
    rig_wait(&f->rig, is_saved, f);
    rp_client_end(f->client);
    f->client = NULL;
}

/* A server that was away is not led past what changed meanwhile: neither at its next start, nor at
 * the one after that, when it has seen the false copy once. */
static void nobody_is_led_past_a_change(void **state)
{
    struct fixture *f = *state;
    put_days(f, 30);
    join(f);
    wait_days(f, 30);
    for (int days = 40; days < 60; days += 10) {
        leave(f);
        put_days(f, days);
        lead_to(f, cs_seq(f->hub.store));
        join(f);
        wait_days(f, days);
    }
}

/* Led back, it compares once more, and misses nothing. */
static void led_back_it_compares_again(void **state)
{
    struct fixture *f = *state;
    put_days(f, 30);
    put_doc(&f->hub, doc_settings("other", 1001, 30), NULL);
    join(f);
    wait_days(f, 30);
    leave(f);
    put_days(f, 40);
    lead_to(f, 0);
    join(f);
    wait_days(f, 40);
    client_settle(&f->edge, f->client);
    CM_AUTO_JSON list = cs_quarantine(f->edge.store);
    assert_int_equal(json_array_size(list), 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(nobody_is_led_past_a_change),
        T(led_back_it_compares_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
