/* Failures: a server that dies, a client that restarts, a direction that fails, the wrong peer. */
#include "tests/unit/replicator/rig.h"

#include <stdio.h>
#include <string.h>

#include "base/core/mem.h"
#include "replicator/job.h"
#include "replicator/patience.h"
#include "tests/unit/replicator/quick.h"

#define DOCS 1300

struct fixture {
    struct rig rig;
    struct node up, edge;
    struct rp_client *client;
    size_t want; /* documents */
    const char *direction, *wanted_state;
};

static int setup(void **state)
{
    struct fixture *f = test_calloc(1, sizeof(*f));
    rig_open(&f->rig);
    node_start(&f->rig, &f->up, "up", true);
    node_start(&f->rig, &f->edge, "edge", true);
    unhurried = true;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    node_close_store(&f->edge);
    node_close_store(&f->up);
    rp_client_free(f->client);
    node_close(&f->edge);
    node_close(&f->up);
    rig_close(&f->rig);
    test_free(f);
    return 0;
}

static void fill(struct node *node, int count)
{
    for (int i = 0; i < count; i++) {
        CM_AUTO_STR id = cm_asprintf("doc%04d", i);
        CM_AUTO_JSON doc = json_pack("{s:s,s:i}", "_id", id, "v", i);
        struct cs_result res;
        assert_int_equal(cs_put_edit(node->store, doc, &res, NULL), 0);
    }
    assert_int_equal(cs_commit(node->store, NULL), 0);
}

static bool up_dead(void *arg)
{
    const struct fixture *f = arg;
    return f->up.dead && !f->up.listener;
}

static bool in_state(void *arg)
{
    const struct fixture *f = arg;
    CM_AUTO_JSON part = client_part(f->client, f->direction);
    return strcmp(cm_json_str_or(part, "state", ""), f->wanted_state) == 0;
}

static void wait_state(struct fixture *f, const char *direction, const char *wanted)
{
    f->direction = direction;
    f->wanted_state = wanted;
    rig_wait(&f->rig, in_state, f);
}

static void test_pull_survives_server(void **state)
{
    struct fixture *f = *state;
    fill(&f->up, DOCS);
    f->up.die_after = 700; /* within the second batch */
    f->client = client_start_with(&f->edge, &f->up, true, false);
    rig_wait(&f->rig, up_dead, f);
    wait_state(f, "pull", "waiting");
    CM_AUTO_JSON part = client_part(f->client, "pull");
    CM_AUTO_JSON why = json_incref(cm_json_obj(part, "error"));
    assert_string_equal(cm_json_str(why, "retry"), "transient");
    assert_non_null(cm_json_str(why, "next_attempt_at"));
    assert_in_range(cs_doc_count(f->edge.store), RP_BATCH, 700); /* what came is kept */
    node_listen(&f->up);
    client_settle(&f->edge, f->client);
    assert_int_equal(cs_doc_count(f->edge.store), DOCS);
    assert_true(f->up.docs_sent <= DOCS + RP_BATCH);
    CM_AUTO_JSON after = client_part(f->client, "pull");
    assert_null(json_object_get(after, "error"));
    const json_t *last = cm_json_obj(after, "last_error"); /* over, and still told */
    assert_string_equal(cm_json_str_or(last, "what", ""), cm_json_str_or(why, "what", "?"));
    assert_non_null(cm_json_str(after, "last_error_at"));
}

static void test_push_survives_server(void **state)
{
    struct fixture *f = *state;
    fill(&f->edge, DOCS);
    f->up.die_after = 700;
    f->client = client_start_with(&f->edge, &f->up, false, true);
    rig_wait(&f->rig, up_dead, f);
    wait_state(f, "push", "waiting");
    node_listen(&f->up);
    client_settle(&f->edge, f->client);
    assert_int_equal(cs_doc_count(f->up.store), DOCS);
    assert_true(f->up.docs_sent <= DOCS + RP_BATCH);
}

/* A link so slow that a whole batch never arrives in time. */
static void test_push_in_halves(void **state)
{
    struct fixture *f = *state;
    char text[2048];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    for (int i = 0; i < 300; i++) {
        CM_AUTO_STR id = cm_asprintf("doc%04d", i);
        CM_AUTO_JSON doc = json_pack("{s:s,s:s}", "_id", id, "text", text);
        struct cs_result res;
        assert_int_equal(cs_put_edit(f->edge.store, doc, &res, NULL), 0);
    }
    assert_int_equal(cs_commit(f->edge.store, NULL), 0);
    f->up.body_max = 300000;
    f->client = client_start_with(&f->edge, &f->up, false, true);
    wait_state(f, "push", "waiting");
    client_settle(&f->edge, f->client);
    assert_int_equal(cs_doc_count(f->up.store), 300);
    assert_in_range(f->up.bulk_docs, 4, 6);
}

static bool checkpoint_saved(void *arg)
{
    const struct fixture *f = arg;
    return f->up.puts >= f->want;
}

static bool all_saved(void *arg)
{
    const struct fixture *f = arg;
    CM_AUTO_JSON pull = client_part(f->client, "pull");
    CM_AUTO_JSON push = client_part(f->client, "push");
    return cm_json_bool(pull, "saved", false) && cm_json_bool(push, "saved", false);
}

/* Our own process ends and starts again: the checkpoint is found, nothing is sent again. */
static void test_client_restarts(void **state)
{
    struct fixture *f = *state;
    unhurried = false;
    fill(&f->up, DOCS);
    f->client = client_start(&f->edge, &f->up);
    client_settle(&f->edge, f->client);
    f->want = 2; /* both directions: the first batch at once, the rest when the throttle allows */
    rig_wait(&f->rig, checkpoint_saved, f);
    rig_wait(&f->rig, all_saved, f);
    size_t sent = f->up.docs_sent;
    unsigned from_zero = f->up.from_zero;
    node_close_store(&f->edge);
    rp_client_free(f->client);
    node_restart(&f->edge);
    f->client = client_start(&f->edge, &f->up);
    client_settle(&f->edge, f->client);
    assert_int_equal(f->up.docs_sent, sent);
    assert_int_equal(f->up.from_zero, from_zero);
    put_doc(&f->up, json_pack("{s:s}", "_id", "later"), NULL);
    rig_sleep(&f->rig, 100);
    client_settle(&f->edge, f->client);
    assert_true(same_leaves(&f->up, &f->edge, "later"));
}

static int take_key(void *arg, const char *key, const json_t *value)
{
    (void)value;
    snprintf(arg, 64, "%s", key);
    return 0;
}

/* The peer lost our checkpoint: everything is compared again, nothing is sent again. */
static void test_checkpoint_lost(void **state)
{
    struct fixture *f = *state;
    fill(&f->up, 50);
    f->client = client_start_with(&f->edge, &f->up, true, false);
    client_settle(&f->edge, f->client);
    f->want = 1;
    rig_wait(&f->rig, checkpoint_saved, f);
    rig_sleep(&f->rig, 50);
    size_t sent = f->up.docs_sent;
    unsigned from_zero = f->up.from_zero;
    node_close_store(&f->edge);
    rp_client_free(f->client);
    node_restart(&f->edge);
    char id[64] = "";
    cs_kv_each(f->up.store, "local", "", take_key, id); /* the only one there */
    assert_int_equal(strlen(id), 32);
    assert_int_equal(cs_kv_del(f->up.store, "local", id, NULL), 0);
    assert_int_equal(cs_commit(f->up.store, NULL), 0);
    f->client = client_start_with(&f->edge, &f->up, true, false);
    client_settle(&f->edge, f->client);
    assert_int_equal(f->up.docs_sent, sent);
    assert_int_equal(f->up.from_zero, from_zero + 1);
}

static void end_client(struct fixture *f)
{
    node_close_store(&f->edge);
    rp_client_free(f->client);
    f->client = NULL;
    node_restart(&f->edge);
}

static bool is_saved(void *arg)
{
    const struct fixture *f = arg;
    CM_AUTO_JSON part = client_part(f->client, "pull");
    return cm_json_bool(part, "saved", false);
}

/* What came from the peer has been compared with it, too, and that is written down. */
static bool all_is_pushed(void *arg)
{
    const struct fixture *f = arg;
    CM_AUTO_JSON part = client_part(f->client, "push");
    return cm_json_bool(part, "saved", false) &&
           rp_seq_number(json_object_get(part, "last_seq")) == cs_seq(f->edge.store);
}

/* What lies before the checkpoint and is missing here: it comes although the peer is away at first,
 * and we end before it is back; then never again. */
static void test_from_the_beginning_is_not_forgotten(void **state)
{
    struct fixture *f = *state;
    fill(&f->up, 50);
    f->client = client_start_with(&f->edge, &f->up, true, false);
    client_settle(&f->edge, f->client);
    rig_wait(&f->rig, is_saved, f);
    node_purge(&f->edge, "doc0003");
    node_stop(&f->up);
    rp_client_again(f->client);
    assert_int_equal(cs_commit(f->edge.store, NULL), 0);
    end_client(f);
    f->client = client_start_with(&f->edge, &f->up, true, false);
    wait_state(f, "pull", "waiting");
    end_client(f);
    node_listen(&f->up);
    f->client = client_start_with(&f->edge, &f->up, true, false);
    client_settle(&f->edge, f->client);
    assert_int_equal(cs_doc_count(f->edge.store), 50);
    rig_wait(&f->rig, is_saved, f);
    unsigned from_zero = f->up.from_zero;
    end_client(f);
    f->client = client_start_with(&f->edge, &f->up, true, false);
    client_settle(&f->edge, f->client);
    assert_int_equal(f->up.from_zero, from_zero);
}

static void test_one_direction_fails(void **state)
{
    struct fixture *f = *state;
    fill(&f->up, 20);
    put_doc(&f->edge, json_pack("{s:s}", "_id", "mine"), NULL);
    f->up.fail_path = "/_revs_diff";
    f->client = client_start(&f->edge, &f->up);
    wait_state(f, "push", "waiting");
    wait_state(f, "pull", "live");
    assert_int_equal(cs_doc_count(f->edge.store), 21);
    assert_int_equal(cs_doc_count(f->up.store), 20);
    f->up.fail_path = NULL;
    client_settle(&f->edge, f->client);
    assert_int_equal(cs_doc_count(f->up.store), 21);
}

static void test_own_store_refused(void **state)
{
    struct fixture *f = *state;
    f->client = client_start(&f->edge, &f->edge);
    wait_state(f, "pull", "waiting");
    wait_state(f, "push", "waiting");
    CM_AUTO_JSON part = client_part(f->client, "pull");
    const json_t *why = cm_json_obj(part, "error");
    const char *cause = json_string_value(json_array_get(cm_json_arr(why, "causes"), 0));
    assert_non_null(cause);
    assert_non_null(strstr(cause, "own id"));
    assert_non_null(cm_json_str(why, "hint"));
}

static void test_missing_database(void **state)
{
    struct fixture *f = *state;
    snprintf(f->up.url, sizeof(f->up.url), "http://%s/other", f->up.address);
    f->client = client_start(&f->edge, &f->up);
    wait_state(f, "pull", "waiting");
    CM_AUTO_JSON part = client_part(f->client, "pull");
    CM_AUTO_STR text = cm_json_dump(part, NULL);
    assert_non_null(strstr(text, "Database does not exist."));
}

static void lag(struct fixture *f, const char *direction, int64_t documents, bool seconds)
{
    CM_AUTO_JSON part = client_part(f->client, direction);
    assert_int_equal(cm_json_int(part, "lag_documents", -1), documents);
    assert_int_equal(json_object_get(part, "lag_seconds") != NULL, seconds);
    assert_int_equal(cm_json_str(part, "last_success_at") != NULL, seconds);
}

static bool push_is_behind(void *arg)
{
    const struct fixture *f = arg;
    CM_AUTO_JSON part = client_part(f->client, "push");
    return cm_json_int(part, "lag_documents", 0) > 0;
}

/* Never met: nothing is known. Caught up: nothing is missing. Away: what it has now is not known,
 * what we have for it is, and the seconds run. */
static void test_lag(void **state)
{
    struct fixture *f = *state;
    fill(&f->up, 20);
    node_stop(&f->up);
    f->client = client_start(&f->edge, &f->up);
    wait_state(f, "pull", "waiting");
    lag(f, "pull", -1, false);
    assert_true(f->client->job[0]->backoff_ms > RP_BACKOFF_MIN_MS);
    node_listen(&f->up);
    client_settle(&f->edge, f->client);
    wait_state(f, "pull", "live");
    lag(f, "pull", 0, true);
    assert_int_equal(f->client->job[0]->backoff_ms, RP_BACKOFF_MIN_MS); /* patience is new, too */
    wait_state(f, "push", "live");
    put_doc(&f->edge, json_pack("{s:s}", "_id", "first"), NULL);
    lag(f, "push", 1, true); /* at once, before the push has looked */
    wait_state(f, "push", "live");
    rig_wait(&f->rig, all_is_pushed, f); /* else it will compare the others once more */
    node_stop(&f->up);
    wait_state(f, "pull", "waiting");
    lag(f, "pull", -1, true);
    wait_state(f, "push", "waiting"); /* it has nothing to send, and is not live all the same */
    lag(f, "push", 0, true);
    put_doc(&f->edge, json_pack("{s:s}", "_id", "mine"), NULL);
    rig_wait(&f->rig, push_is_behind, f);
    wait_state(f, "push", "waiting");
    lag(f, "push", 1, true);
    node_listen(&f->up);
    client_settle(&f->edge, f->client);
    wait_state(f, "push", "live");
    lag(f, "push", 0, true);
}

static void test_retarget(void **state)
{
    struct fixture *f = *state;
    struct node other;
    node_start(&f->rig, &other, "other", true);
    fill(&other, 10);
    f->client = client_start(&f->edge, &f->up);
    client_settle(&f->edge, f->client);
    unsigned requests = f->up.requests;
    rp_client_retarget(f->client, f->up.url, NULL); /* the same: nothing happens */
    rig_sleep(&f->rig, 50);
    assert_int_equal(f->up.requests, requests);
    rp_client_retarget(f->client, other.url, NULL);
    client_settle(&f->edge, f->client);
    assert_int_equal(cs_doc_count(f->edge.store), 10);
    CM_AUTO_JSON status = rp_client_status(f->client);
    assert_string_equal(cm_json_str(status, "url"), other.url);
    rp_client_retarget(f->client, NULL, NULL);
    wait_state(f, "pull", "stopped");
    node_close(&other);
}

static void test_bad_urls(void **state)
{
    static const char *const table[] = {"ftp://host/db", "http://host", "http://host/", "host/db",
                                        "http://host/db?x=1"};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct rp_client *client = NULL;
        const struct rp_client_opts opts = {.loop = f->rig.loop,
                                            .store = f->edge.store,
                                            .http = f->rig.http,
                                            .url = table[i],
                                            .allow_http = true};
        assert_true(rp_client_new(&opts, &client, NULL) < 0);
        assert_null(client);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pull_survives_server, setup, teardown),
        cmocka_unit_test_setup_teardown(test_push_survives_server, setup, teardown),
        cmocka_unit_test_setup_teardown(test_push_in_halves, setup, teardown),
        cmocka_unit_test_setup_teardown(test_client_restarts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_checkpoint_lost, setup, teardown),
        cmocka_unit_test_setup_teardown(test_from_the_beginning_is_not_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_direction_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(test_own_store_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_missing_database, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lag, setup, teardown),
        cmocka_unit_test_setup_teardown(test_retarget, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_urls, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
