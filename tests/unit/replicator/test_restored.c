/* An upstream that comes back from a backup: its servers give back what they hold newer, nothing is
 * lost and nothing comes back to life; an older incarnation is not believed.  So it is with an
 * older copy that nobody restored: it has forgotten what it had confirmed. */
#include "tests/unit/replicator/quick.h"
#include "tests/unit/replicator/rig.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/core/mem.h"
#include "replicator/job.h"

struct fixture {
    struct rig rig;
    struct node up, edge;
    struct rp_client *client;
    char *backup; /* copy of the upstream's store */
};

static int setup(void **state)
{
    struct fixture *f = test_calloc(1, sizeof(*f));
    rig_open(&f->rig);
    f->rig.peer = "edge";
    node_start(&f->rig, &f->up, "manager", false);
    node_start(&f->rig, &f->edge, "edge", false);
    f->backup = cm_asprintf("%s/../restored-test-%d", f->up.dir, (int)getpid());
    *state = f;
    return 0;
}

static void end_client(struct fixture *f)
{
    node_close_store(&f->edge);
    rp_client_free(f->client);
    f->client = NULL;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    node_close_store(&f->up);
    end_client(f);
    unlink(f->backup);
    cm_free(f->backup);
    node_close(&f->edge);
    node_close(&f->up);
    rig_close(&f->rig);
    test_free(f);
    return 0;
}

static json_t *tombstone(const char *name, int64_t serial)
{
    json_t *doc = doc_settings(name, serial, 0);
    json_object_del(doc, "renew_days");
    cm_json_set_bool(doc, "_deleted", true);
    return doc;
}

static json_t *trust_root(void)
{
    CM_AUTO_JSON signed_by_us = doc_settings("x", 1, 1);
    json_t *doc =
        json_pack("{s:s,s:s,s:i,s:i,s:s,s:[s],s:[]}", "_id", "trust:root", "type", "trust",
                  "serial", 2500, "version", 2, "expires_at", "2030-01-01T00:00:00.000Z",
                  "root_signers", "00112233445566778899aabbccddeeff", "servers");
    cm_json_set(doc, "signatures", json_pack("[O]", json_object_get(signed_by_us, "signature")));
    return doc;
}

static void synced(struct fixture *f)
{
    f->client = client_start(&f->edge, &f->up);
    client_settle(&f->edge, f->client);
}

/* The upstream begins anew, its store is that file, as it is (NULL = the one it has). */
static void put_back(struct fixture *f, const char *file)
{
    CM_AUTO_STR data = cm_asprintf("%s/data.mdb", f->up.dir);
    CM_AUTO_STR lock = cm_asprintf("%s/lock.mdb", f->up.dir);
    node_stop(&f->up);
    node_close_store(&f->up);
    unlink(lock);
    if (file)
        assert_int_equal(rename(file, data), 0);
    node_restart(&f->up);
}

/* The upstream's store becomes the backup, as a new incarnation. */
static void restore(struct fixture *f)
{
    f->up.restored = true;
    put_back(f, f->backup);
    assert_int_equal(cs_renew_epoch(f->up.store, NULL), 0);
}

static int64_t days(struct node *node, const char *id)
{
    CM_AUTO_JSON body = cs_get_body(node->store, id);
    return body ? cm_json_int(body, "renew_days", -2) : -1;
}

static bool given_back(void *arg)
{
    const struct fixture *f = arg;
    return f->up.gave_back > 0;
}

/* Before the backup: a, b, c.  After it: a changed, b deleted, d new; receipts too. */
static void live_on(struct fixture *f)
{
    put_doc(&f->up, doc_settings("a", 1000, 1), NULL);
    put_doc(&f->up, doc_settings("b", 1001, 2), NULL);
    put_doc(&f->up, doc_settings("c", 1002, 3), NULL);
    put_doc(&f->edge, doc_receipt("edge", ULID("AA"), 1003, "deployed"), NULL);
    synced(f);
    assert_int_equal(cs_copy(f->up.store, f->backup, NULL), 0);
    put_doc(&f->up, doc_settings("a", 2000, 11), NULL);
    put_doc(&f->up, tombstone("b", 2001), NULL);
    put_doc(&f->up, doc_settings("d", 2002, 4), NULL);
    put_doc(&f->edge, doc_receipt("edge", ULID("AA"), 2003, "served"), NULL);
    client_settle(&f->edge, f->client);
}

static void nothing_lost_nothing_resurrected(void **state)
{
    struct fixture *f = *state;
    live_on(f);
    put_doc(&f->edge, trust_root(), NULL); /* newer than what the backup knows */
    restore(f);
    f->up.first_diff[0] = '\0';
    assert_int_equal(days(&f->up, "settings:a"), 1);
    assert_int_equal(days(&f->up, "settings:b"), 2);
    assert_int_equal(days(&f->up, "settings:d"), -1);
    rp_client_retarget(f->client, f->up.url, NULL);
    rig_wait(&f->rig, given_back, f);
    client_settle(&f->edge, f->client);
    struct node *const both[] = {&f->up, &f->edge};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(days(both[i], "settings:a"), 11);
        assert_int_equal(days(both[i], "settings:b"), -1);
        assert_int_equal(days(both[i], "settings:c"), 3);
        assert_int_equal(days(both[i], "settings:d"), 4);
    }
    CM_AUTO_JSON receipt = cs_get_body(f->up.store, "receipt:edge:" ULID("AA"));
    assert_string_equal(cm_json_str(receipt, "state"), "served");
    static const char *const ids[] = {"settings:a", "settings:b", "settings:c", "settings:d"};
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
        assert_true(same_leaves(&f->up, &f->edge, ids[i]));
    assert_int_equal(f->up.gave_back, 1);
    /* The signers of the rest may be known from it only. */
    assert_memory_equal(f->up.first_diff, "{\"trust:root\":", 14);
    /* Afterwards the direction is kept again. */
    put_doc(&f->up, doc_settings("a", 3000, 12), NULL);
    client_settle(&f->edge, f->client);
    assert_int_equal(days(&f->edge, "settings:a"), 12);
    CM_AUTO_JSON quarantine = cs_quarantine(f->up.store);
    assert_int_equal(json_array_size(quarantine), 0);
}

/* Only who is asked may give back; what is not signed is refused from everybody. */
static void only_who_is_asked(void **state)
{
    struct fixture *f = *state;
    struct answer a = {0};
    CM_AUTO_JSON doc = doc_settings("x", 10, 1);
    cm_json_set_str(doc, "_rev", REV_A);
    CM_AUTO_JSON body = json_pack("{s:b,s:[O]}", "new_edits", 0, "docs", doc);
    CM_AUTO_STR text = cm_json_dump(body, NULL);
    ask(&f->up, &a, "GET", "/db/", NULL);
    assert_null(json_object_get(a.body, "give_back"));
    ask(&f->up, &a, "POST", "/db/_bulk_docs", text);
    assert_string_equal(cm_json_str(json_array_get(a.body, 0), "error"), "forbidden");
    f->up.restored = true;
    f->rig.peer = "other";
    ask(&f->up, &a, "POST", "/db/_bulk_docs", text);
    assert_string_equal(cm_json_str(json_array_get(a.body, 0), "error"), "forbidden");
    ask(&f->up, &a, "POST", "/db/_gave_back", "");
    assert_int_equal(f->up.gave_back, 0);
    f->rig.peer = "edge";
    ask(&f->up, &a, "GET", "/db/", NULL);
    assert_true(cm_json_bool(a.body, "give_back", false));
    ask(&f->up, &a, "POST", "/db/_bulk_docs", text);
    assert_int_equal(json_array_size(a.body), 0);
    doc_forge(doc);
    cm_json_set_int(doc, "serial", 11);
    cm_json_set_str(doc, "_rev", "2-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb");
    CM_AUTO_STR forged = cm_json_dump(body, NULL);
    ask(&f->up, &a, "POST", "/db/_bulk_docs", forged);
    assert_int_equal(json_array_size(a.body), 1);
    assert_int_equal(days(&f->up, "settings:x"), 1);
    answer_fini(&a);
}

static bool took_back_twice(void *arg)
{
    const struct fixture *f = arg;
    return f->up.take_back == 2 && f->up.gave_back == 2;
}

/* Who says so without a reason brings what is known, or old, or made up: nothing of that counts. */
static void what_is_known_proves_nothing(void **state)
{
    struct fixture *f = *state;
    struct answer a = {0};
    live_on(f);
    ask(&f->up, &a, "POST", "/db/_take_back", "");
    assert_true(f->up.restored);
    CM_AUTO_JSON old = doc_settings("a", 1000, 1);
    CM_AUTO_JSON known = doc_settings("a", 2000, 11);
    CM_AUTO_JSON forged = doc_settings("a", 3000, 9);
    json_t *docs[] = {old, known, forged};
    doc_forge(forged);
    for (size_t i = 0; i < 3; i++) {
        CM_AUTO_STR rev = cm_asprintf("%zu-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", i + 1);
        cm_json_set_str(docs[i], "_rev", rev);
        CM_AUTO_JSON body = json_pack("{s:b,s:[O]}", "new_edits", 0, "docs", docs[i]);
        CM_AUTO_STR text = cm_json_dump(body, NULL);
        ask(&f->up, &a, "POST", "/db/_bulk_docs", text);
    }
    assert_int_equal(f->up.brought, 0);
    CM_AUTO_JSON fresh = doc_settings("a", 3000, 9);
    cm_json_set_str(fresh, "_rev", "4-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb");
    CM_AUTO_JSON body = json_pack("{s:b,s:[O]}", "new_edits", 0, "docs", fresh);
    CM_AUTO_STR text = cm_json_dump(body, NULL);
    ask(&f->up, &a, "POST", "/db/_bulk_docs", text);
    assert_int_equal(f->up.brought, 1);
    answer_fini(&a);
}

static bool is_saved(void *arg)
{
    const struct fixture *f = arg;
    CM_AUTO_JSON pull = client_part(f->client, "pull");
    return cm_json_bool(pull, "saved", false);
}

static void settle_and_save(struct fixture *f)
{
    client_settle(&f->edge, f->client);
    rig_wait(&f->rig, is_saved, f);
}

/* Connects anew after the upstream began anew. */
static void again(struct fixture *f)
{
    rp_client_retarget(f->client, f->up.url, NULL);
    settle_and_save(f);
}

/* A snapshot of the upstream's machine is put back, and later the machine itself: same incarnation,
 * no hold, and whatever one of the two has confirmed is in the other one in the end. */
static void older_copy_gets_back_what_it_lacks(void **state)
{
    struct fixture *f = *state;
    CM_AUTO_STR itself = cm_asprintf("%s.itself", f->backup);
    live_on(f);
    rig_wait(&f->rig, is_saved, f);
    put_back(f, NULL);
    again(f);
    assert_int_equal(f->up.take_back, 0); /* a restart is nothing */
    assert_int_equal(cs_copy(f->up.store, itself, NULL), 0);
    put_back(f, f->backup);
    put_doc(&f->up, doc_settings("e", 2500, 5), NULL); /* at a sequence that the other one had */
    rp_client_retarget(f->client, f->up.url, NULL);
    rig_wait(&f->rig, given_back, f);
    settle_and_save(f);
    assert_int_equal(f->up.take_back, 1);
    assert_int_equal(f->up.brought, 4); /* a, b, d and the receipt: the proof that it forgot */
    CM_AUTO_JSON pull = client_part(f->client, "pull");
    CM_AUTO_STR told = cm_json_dump(cm_json_obj(pull, "last_error"), NULL);
    assert_non_null(strstr(told, "older copy of its store"));
    assert_null(json_object_get(pull, "error")); /* it goes on */
    assert_int_equal(days(&f->up, "settings:a"), 11);
    assert_int_equal(days(&f->up, "settings:b"), -1);
    assert_int_equal(days(&f->up, "settings:d"), 4);
    assert_int_equal(days(&f->edge, "settings:e"), 5);
    again(f);
    assert_int_equal(f->up.take_back, 1); /* told once */
    put_back(f, itself);
    assert_int_equal(days(&f->up, "settings:e"), -1);
    rp_client_retarget(f->client, f->up.url, NULL);
    rig_wait(&f->rig, took_back_twice, f);
    client_settle(&f->edge, f->client);
    static const char *const ids[] = {"settings:a", "settings:b", "settings:c", "settings:d",
                                      "settings:e"};
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
        assert_true(same_leaves(&f->up, &f->edge, ids[i]));
    CM_AUTO_JSON quarantine = cs_quarantine(f->up.store);
    assert_int_equal(json_array_size(quarantine), 0);
}

/* What shows that a peer has forgotten something, and what does not. */
static void what_was_forgotten(void **state)
{
    static const struct {
        const char *acked, *newest, *remote;
        bool hub, push, forgot;
    } table[] = {
        {"9-0badcafe", "s", "{'session_id':'s','source_last_seq':'9-0badcafe'}", 0, 0, false},
        {"9-0badcafe", "s", "{'session_id':'s','source_last_seq':'8-0badcafe'}", 0, 0, true},
        {"9-0badcafe", "s", NULL, 0, 0, true},
        {"9-0badcafe", "s", NULL, true, 0, false}, /* nodes of a cluster may be late */
        {"9-0badcafe", "s", NULL, 0, true, false},
        {NULL, "s", NULL, 0, 0, false},         /* nothing was confirmed yet */
        {"9-00000000", "s", NULL, 0, 0, false}, /* another incarnation: a restore tells itself */
        {"junk", "s", NULL, 0, 0, false},
        {"9-0badcafe", "s", "{'session_id':'x','source_last_seq':'99-0badcafe'}", 0, 0, true},
        {"9-0badcafe", "s", "{'session_id':'x','history':[{'session_id':'s','recorded_seq':9}]}", 0,
         0, false},
        /* The answer to our newest one was lost with us; the peer has it. */
        {"9-0badcafe", "t", "{'session_id':'t','source_last_seq':'3-0badcafe'}", 0, 0, false},
        {"9-0badcafe", "s", "[]", 0, 0, true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct cm_err err = CM_ERR_INIT;
        CM_AUTO_JSON remote = NULL;
        CM_AUTO_JSON acked = json_pack("{s:s,s:s*}", "session_id", "s", "seq", table[i].acked);
        CM_AUTO_JSON local = json_pack("{s:s}", "session_id", table[i].newest);
        struct rp_client client = {.url = (char *)(uintptr_t) "https://up", .hub = table[i].hub};
        struct rp_job job = {.client = &client, .push = table[i].push, .epoch = "0badcafe"};
        job.save = (struct rp_save){.acked = acked, .local = local};
        CM_AUTO_STR text = table[i].remote ? cm_strdup(table[i].remote) : NULL;
        for (char *at = text; at && *at; at++)
            *at = *at == '\'' ? '"' : *at;
        if (text)
            assert_int_equal(cm_json_parse(text, strlen(text), &remote, NULL), 0);
        if (rp_upstream_forgot(&job, remote, &err) != table[i].forgot)
            fail_msg("row %zu", i);
        assert_int_equal(err.code != 0, table[i].forgot);
        cm_err_fini(&err);
    }
}

static bool pull_failed(void *arg)
{
    const struct fixture *f = arg;
    CM_AUTO_JSON pull = client_part(f->client, "pull");
    const json_t *error = cm_json_obj(pull, "error");
    char *text = error ? cm_json_dump(error, NULL) : NULL;
    bool found = text && strstr(text, "copy from before a restore");
    cm_free(text);
    return found;
}

/* The restored one lives; then the old machine is switched on again. */
static void old_incarnation_is_not_believed(void **state)
{
    struct fixture *f = *state;
    CM_AUTO_STR old = cm_asprintf("%s.old", f->backup);
    live_on(f);
    assert_int_equal(cs_copy(f->up.store, old, NULL), 0);
    restore(f);
    rp_client_retarget(f->client, f->up.url, NULL);
    rig_wait(&f->rig, given_back, f);
    client_settle(&f->edge, f->client);
    put_back(f, old);
    put_doc(&f->up, doc_settings("evil", 9000, 9), NULL);
    rp_client_retarget(f->client, f->up.url, NULL);
    rig_wait(&f->rig, pull_failed, f);
    assert_int_equal(days(&f->edge, "settings:evil"), -1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* A hub can show any incarnation it likes: what is remembered of them stays small. */
static void what_is_remembered_is_bounded(void **state)
{
    struct fixture *f = *state;
    struct rp_client client = {.store = f->edge.store, .url = f->up.url};
    struct rp_job job = {.client = &client};
    char text[32];
    for (int i = 0; i < 100; i++) {
        snprintf(text, sizeof(text), "7-%08x", i);
        CM_AUTO_JSON db = json_pack("{s:s}", "update_seq", text);
        cm_strcpy(job.peer_uuid, sizeof(job.peer_uuid), "one");
        assert_int_equal(rp_upstream_check(&job, db, NULL), i > 0);
    }
    CM_AUTO_JSON all = cs_kv_get(f->edge.store, "state", "upstreams");
    assert_int_equal(json_array_size(cm_json_arr(cm_json_obj(all, "one"), "past")), 16);
    CM_AUTO_JSON last = json_pack("{s:s}", "update_seq", "7-00000062");
    assert_int_equal(rp_upstream_check(&job, last, NULL), CM_ECONFLICT);
    for (int i = 0; i < 100; i++) {
        snprintf(job.peer_uuid, sizeof(job.peer_uuid), "%032x", i);
        CM_AUTO_JSON db = json_pack("{s:s}", "update_seq", "7-00000001");
        assert_int_equal(rp_upstream_check(&job, db, NULL), 0);
    }
    CM_AUTO_JSON peers = cs_kv_get(f->edge.store, "state", "upstreams");
    assert_in_range(json_object_size(peers), 1, 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(nothing_lost_nothing_resurrected), T(only_who_is_asked),
        T(old_incarnation_is_not_believed),  T(older_copy_gets_back_what_it_lacks),
        T(what_is_known_proves_nothing),     T(what_was_forgotten),
        T(what_is_remembered_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
