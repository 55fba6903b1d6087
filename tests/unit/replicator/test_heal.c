/* Healing a hub that fails in parts: see test_hub.c for what is healed. */
#include "tests/unit/replicator/rig.h"

#include <string.h>

#include "base/core/mem.h"

#define GOOD "settings:good"
#define BAD  "settings:worst"
#define EVIL "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"

/* The long pause after a failure is a short one here; time limits are what they are. */
void __real_cm_timer_start(struct cm_timer *timer, int64_t ms);
void __wrap_cm_timer_start(struct cm_timer *timer, int64_t ms);
void __wrap_cm_timer_start(struct cm_timer *timer, int64_t ms)
{
    __real_cm_timer_start(timer, ms == 15000 ? 300 : ms);
}

struct fixture {
    struct rig rig;
    struct node hub, manager;
    struct rp_client *client;
    unsigned asked;     /* for BAD's leaves */
    int days;           /* that GOOD is to have on the hub */
    const char *after;  /* what is posted to put GOOD right is answered so, and not stored … */
    const char *leaves; /* … and who asks for revisions so … */
    unsigned answered;  /* … so often */
};

/* One document of the hub cannot be read, today or ever.  (No hexadecimal digit spells its name:
 * the names of checkpoints are made of those.) */
static bool answer(void *arg, const struct http_request *req, struct http_exchange *ex)
{
    struct fixture *f = arg;
    static const char text[] = "{\"error\":\"internal_server_error\"}";
    if (f->after && strstr(req->head.path, "/_bulk_docs") && strstr(req->body, EVIL)) {
        http_ex_reply(ex, 201, "application/json", f->after, strlen(f->after));
        f->answered++;
        return true;
    }
    if (f->leaves && strstr(req->head.query, "open_revs=")) {
        f->answered++;
        http_ex_reply(ex, 200, "application/json", f->leaves, strlen(f->leaves));
        return true;
    }
    if (!strstr(req->head.path, "worst"))
        return false;
    f->asked++;
    http_ex_reply(ex, 500, "application/json", text, sizeof(text) - 1);
    return true;
}

static int setup(void **state)
{
    struct fixture *f = test_calloc(1, sizeof(*f));
    rig_open(&f->rig);
    node_start(&f->rig, &f->hub, "hub", true);
    node_start(&f->rig, &f->manager, "manager", false);
    f->hub.answer = answer;
    f->hub.answer_arg = f;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    rp_client_end(f->client);
    node_close(&f->manager);
    node_close(&f->hub);
    rig_close(&f->rig);
    test_free(f);
    return 0;
}

static void spoil_at(struct fixture *f, const char *id, const char *rev)
{
    struct cs_result res;
    CM_AUTO_JSON doc = json_pack("{s:s,s:s,s:i}", "_id", id, "_rev", rev, "renew_days", 1);
    assert_int_equal(cs_put_replicated(f->hub.store, doc, "hub", &res, NULL), 0);
    assert_int_equal(cs_commit(f->hub.store, NULL), 0);
}

static void spoil(struct fixture *f, const char *id)
{
    spoil_at(f, id, "5-" EVIL);
    f->days = 30;
}

static bool good_is_right(void *arg)
{
    struct fixture *f = arg;
    CM_AUTO_JSON doc = NULL;
    if (cs_read_rev(f->hub.store, GOOD, NULL, false, false, &doc, NULL) < 0)
        return false;
    return cm_json_int(doc, "renew_days", -1) == f->days;
}

static bool asked_again(void *arg)
{
    return ((struct fixture *)arg)->asked >= 2;
}

static void start(struct fixture *f)
{
    struct cm_err err = CM_ERR_INIT;
    const struct rp_client_opts opts = {.loop = f->rig.loop,
                                        .store = f->manager.store,
                                        .http = f->rig.http,
                                        .url = f->hub.url,
                                        .allow_http = true,
                                        .hub = true,
                                        .manager = true,
                                        .heal = true};
    if (rp_client_new(&opts, &f->client, &err) < 0)
        fail_msg("rp_client_new: %s", err.what);
}

static void what_cannot_be_read_does_not_stop_the_others(void **state)
{
    struct fixture *f = *state;
    put_doc(&f->manager, doc_settings("good", 1000, 30), NULL);
    spoil(f, BAD); /* the first of the queue */
    spoil(f, GOOD);
    start(f);
    rig_wait(&f->rig, good_is_right, f);
    rig_wait(&f->rig, asked_again, f); /* nor is it forgotten */
    CM_AUTO_JSON waits = cs_kv_get(f->manager.store, "heal", BAD);
    assert_non_null(waits);
}

static bool was_answered(void *arg)
{
    return ((struct fixture *)arg)->answered > 0;
}

static bool is_healed(void *arg)
{
    struct fixture *f = arg;
    CM_AUTO_JSON waits = cs_kv_get(f->manager.store, "heal", GOOD);
    return waits == NULL;
}

/* Nobody knows what a hub has stored that breaks off as it says so, or says something else. */
static void what_is_no_answer_is_no_success(void **state)
{
    struct fixture *f = *state;
    static const char *const answers[] = {"[", "{\"ok\":true}", ""};
    start(f);
    for (int i = 0; i < 4; i++) {
        CM_AUTO_STR evil = cm_asprintf("%d-" EVIL, 50 + i);
        put_doc(&f->manager, doc_settings("good", 1000 + i, 30 + i), NULL);
        f->days = 30 + i;
        rig_wait(&f->rig, good_is_right, f); /* pushed: what follows is the healing's alone */
        client_settle(&f->manager, f->client);
        f->after = i < 3 ? answers[i] : NULL;
        f->leaves = i < 3 ? NULL : "[{\"ok\":{";
        f->answered = 0;
        spoil_at(f, GOOD, evil);
        rig_wait(&f->rig, was_answered, f);
        rig_sleep(&f->rig, 20);
        CM_AUTO_JSON waits = cs_kv_get(f->manager.store, "heal", GOOD);
        CM_AUTO_JSON status = rp_client_status(f->client);
        assert_non_null(waits);
        assert_int_equal(cm_json_int(status, "healed", -1), i);
        f->after = f->leaves = NULL;
        rig_wait(&f->rig, is_healed, f);
        assert_true(good_is_right(f));
    }
}

/* A leaf with a value that CouchDB keeps and nobody here reads is pruned by its name. */
static void a_leaf_that_is_not_read_is_pruned(void **state)
{
    struct fixture *f = *state;
    CM_AUTO_JSON winner = NULL;
    put_doc(&f->manager, doc_settings("good", 1000, 30), NULL);
    spoil(f, GOOD);
    f->leaves = "[{\"ok\":{\"_id\":\"" GOOD "\",\"_rev\":\"5-" EVIL "\","
                "\"renew_days\":123456789012345678901234567890,\"renew_days\":1,"
                "\"_revisions\":{\"start\":5,\"ids\":[\"" EVIL "\"]}}}]";
    start(f);
    rig_wait(&f->rig, good_is_right, f);
    rig_wait(&f->rig, is_healed, f);
    assert_true(f->answered > 0);
    assert_int_equal(cs_read_rev(f->hub.store, GOOD, NULL, false, false, &winner, NULL), 0);
    CM_AUTO_JSON leaves = NULL;
    assert_int_equal(cs_read_leaves(f->hub.store, GOOD, false, &leaves, NULL), 0);
    assert_int_equal(json_array_size(leaves), 2); /* the mark below it is the other one */
    assert_true(cm_json_bool(json_array_get(leaves, 1), "_deleted", false));
    assert_non_null(strstr(cm_json_str(json_array_get(leaves, 1), "_rev"), "6-"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_cannot_be_read_does_not_stop_the_others, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_is_no_answer_is_no_success, setup, teardown),
        cmocka_unit_test_setup_teardown(a_leaf_that_is_not_read_is_pruned, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
