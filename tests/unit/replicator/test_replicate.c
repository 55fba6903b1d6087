/* Pulling and pushing between two stores: convergence, direction, refusals, fall-backs. */
#include "tests/unit/replicator/rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/core/clock.h"
#include "base/core/mem.h"
#include "base/core/told.h"

#define DOCS 2000

struct fixture {
    struct rig rig;
    struct node up, edge;
    struct rp_client *client;
    const char *id; /* that a wait looks for */
};

static int setup_nodes(void **state, bool up_lab, bool edge_lab)
{
    struct fixture *f = test_calloc(1, sizeof(*f));
    rig_open(&f->rig);
    node_start(&f->rig, &f->up, "up", up_lab);
    node_start(&f->rig, &f->edge, "edge", edge_lab);
    *state = f;
    return 0;
}

static int setup_lab(void **state)
{
    return setup_nodes(state, true, true);
}

static int setup_fleet(void **state)
{
    return setup_nodes(state, false, false);
}

/* The upstream takes everything (a compromised manager, or a hub), the edge checks. */
static int setup_hostile(void **state)
{
    return setup_nodes(state, true, false);
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

static bool edge_has(void *arg)
{
    const struct fixture *f = arg;
    json_t *doc = NULL;
    bool found = cs_read_rev(f->edge.store, f->id, NULL, false, false, &doc, NULL) == 0;
    json_decref(doc);
    return found;
}

static void wait_for(struct fixture *f, const char *id)
{
    f->id = id;
    rig_wait(&f->rig, edge_has, f);
}

/* A document with history, sometimes a conflict, sometimes deleted. */
static void add_tree(struct node *node, const char *id, int i)
{
    const char *last[] = {"1-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                          "2-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
                          "2-cccccccccccccccccccccccccccccccc"};
    int count = i % 5 == 0 ? 3 : i % 3 == 0 ? 2 : 1;
    for (int k = 0; k < count; k++) {
        CM_AUTO_JSON doc = json_pack("{s:s,s:s,s:i}", "_id", id, "_rev", last[k], "v", k);
        struct cs_result res;
        if (k > 0)
            cm_json_set(doc, "_revisions",
                        json_pack("{s:i,s:[s,s]}", "start", 2, "ids", last[k] + 2, last[0] + 2));
        if (i % 7 == 0 && k == count - 1)
            cm_json_set_bool(doc, "_deleted", true);
        assert_int_equal(cs_put_replicated(node->store, doc, "test", &res, NULL), 0);
        assert_int_equal(res.code, 0);
    }
}

static void test_convergence(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < DOCS; i++) {
        CM_AUTO_STR id = cm_asprintf("%s%04d", i % 2 ? "up" : "edge", i);
        add_tree(i % 2 ? &f->up : &f->edge, id, i);
    }
    assert_int_equal(cs_commit(f->up.store, NULL), 0);
    assert_int_equal(cs_commit(f->edge.store, NULL), 0);
    f->client = client_start(&f->edge, &f->up);
    client_settle(&f->edge, f->client);
    for (int i = 0; i < DOCS; i++) {
        CM_AUTO_STR id = cm_asprintf("%s%04d", i % 2 ? "up" : "edge", i);
        if (!same_leaves(&f->up, &f->edge, id))
            fail_msg("%s differs", id);
    }
    assert_int_equal(cs_doc_count(f->up.store), cs_doc_count(f->edge.store));
    assert_int_equal(cs_deleted_count(f->up.store), cs_deleted_count(f->edge.store));
    assert_true(cs_deleted_count(f->up.store) > 100);
    assert_true(f->up.largest_request <= RP_BATCH);
    CM_AUTO_JSON pull = client_part(f->client, "pull");
    assert_true(cm_json_int(pull, "documents", 0) >= DOCS / 2);
    assert_int_equal(cm_json_int(pull, "refused", -1), 0);
    assert_null(json_object_get(pull, "error"));
    assert_true(cm_json_time(pull, "last_success_at", 0) > 0);
}

static int by_value(const void *a, const void *b)
{
    return (int)(*(const int64_t *)a - *(const int64_t *)b);
}

static void test_live(void **state)
{
    struct fixture *f = *state;
    int64_t took[21];
    f->client = client_start(&f->edge, &f->up);
    client_settle(&f->edge, f->client);
    for (int i = 0; i < 21; i++) {
        CM_AUTO_STR id = cm_asprintf("down%d", i);
        int64_t before = cm_mono_ms();
        put_doc(&f->up, json_pack("{s:s}", "_id", id), NULL);
        wait_for(f, id);
        took[i] = cm_mono_ms() - before;
        rig_sleep(&f->rig, 5);
    }
    qsort(took, 21, sizeof(took[0]), by_value);
    if (took[10] > 50)
        fail_msg("a document took %d ms (median) to a peer that is caught up", (int)took[10]);
    /* And the other way, woken by the store. */
    put_doc(&f->edge, json_pack("{s:s}", "_id", "back"), NULL);
    struct fixture mirror = {.edge = f->up, .id = "back"};
    rig_wait(&f->rig, edge_has, &mirror);
    assert_true(same_leaves(&f->up, &f->edge, "back"));
}

/* Puts a document into the hostile upstream as it is, under a revision of its own. */
static void plant(struct fixture *f, json_t *take_doc, const char *rev)
{
    CM_AUTO_JSON doc = take_doc;
    struct cs_result res;
    cm_json_set_str(doc, "_rev", rev);
    assert_int_equal(cs_put_replicated(f->up.store, doc, "evil", &res, NULL), 0);
    assert_int_equal(res.code, 0);
    assert_int_equal(cs_commit(f->up.store, NULL), 0);
}

static void test_direction(void **state)
{
    struct fixture *f = *state;
    put_doc(&f->up, doc_settings("global", 10, 30), NULL);
    put_doc(&f->up, doc_receipt("other", ULID("AA"), 10, "served"), NULL);
    put_doc(&f->edge, doc_receipt("edge", ULID("AA"), 10, "served"), NULL);
    put_doc(&f->edge, doc_settings("mine", 10, 30), NULL);
    f->client = client_start(&f->edge, &f->up);
    client_settle(&f->edge, f->client);
    assert_true(same_leaves(&f->up, &f->edge, "settings:global"));
    assert_true(same_leaves(&f->up, &f->edge, "receipt:edge:" ULID("AA")));
    CM_AUTO_JSON sideways = cs_get_body(f->edge.store, "receipt:other:" ULID("AA"));
    CM_AUTO_JSON upwards = cs_get_body(f->up.store, "settings:mine");
    assert_null(sideways);
    assert_null(upwards);
}

/* An upstream that hands out everything (a hub) is not asked for what only servers write, however
 * well it is signed: this server would keep what concerns others alone. */
static void test_only_what_comes_down(void **state)
{
    struct fixture *f = *state;
    plant(f, doc_receipt("other", ULID("AA"), 10, "served"), REV_A);
    plant(f, doc_settings("first", 10, 30), REV_A);
    f->client = client_start(&f->edge, &f->up);
    client_settle(&f->edge, f->client);
    wait_for(f, "settings:first");
    CM_AUTO_JSON sideways = cs_get_body(f->edge.store, "receipt:other:" ULID("AA"));
    assert_null(sideways);
    assert_int_equal(f->up.docs_sent, 1);
}

/* A new version replaces the old one at the edge, in both directions. */
static void test_updates(void **state)
{
    struct fixture *f = *state;
    put_doc(&f->up, doc_settings("global", 10, 30), NULL);
    f->client = client_start(&f->edge, &f->up);
    client_settle(&f->edge, f->client);
    put_doc(&f->up, doc_settings("global", 11, 60), NULL);
    put_doc(&f->edge, doc_receipt("edge", ULID("AA"), 10, "opened"), NULL);
    rig_sleep(&f->rig, 50);
    client_settle(&f->edge, f->client);
    CM_AUTO_JSON settings = cs_get_body(f->edge.store, "settings:global");
    CM_AUTO_JSON receipt = cs_get_body(f->up.store, "receipt:edge:" ULID("AA"));
    assert_int_equal(cm_json_int(settings, "renew_days", 0), 60);
    assert_string_equal(cm_json_str(receipt, "state"), "opened");
}

static void test_forged(void **state)
{
    struct fixture *f = *state;
    put_doc(&f->edge, doc_settings("kept", 100, 30), NULL);
    json_t *forged = doc_settings("forged", 10, 1), *older = doc_settings("kept", 99, 1);
    json_t *huge = doc_settings("kept", 200, 1);
    doc_forge(forged);
    plant(f, doc_settings("first", 10, 30), REV_A);
    plant(f, forged, REV_A);
    plant(f, older, REV_A);
    plant(f, huge, "999999999-ffffffffffffffffffffffffffffffff");
    plant(f, json_pack("{s:s}", "_id", "not-a-type"), REV_A);
    plant(f, doc_settings("last", 10, 30), REV_A);
    f->client = client_start(&f->edge, &f->up);
    client_settle(&f->edge, f->client);
    struct cs_doc doc;
    assert_int_equal(cs_get(f->edge.store, "settings:first", &doc, NULL), 0);
    cs_doc_fini(&doc);
    assert_int_equal(cs_get(f->edge.store, "settings:last", &doc, NULL), 0);
    cs_doc_fini(&doc);
    assert_int_equal(cs_get(f->edge.store, "settings:forged", &doc, NULL), CM_ENOENT);
    assert_int_equal(cs_get(f->edge.store, "settings:kept", &doc, NULL), 0);
    assert_int_equal(doc.serial, 100);
    cs_doc_fini(&doc);
    CM_AUTO_JSON quarantine = cs_quarantine(f->edge.store);
    assert_int_equal(json_array_size(quarantine), 3);
    assert_non_null(strstr(cm_json_str(json_array_get(quarantine, 0), "peer"), "127.0.0.1:"));

    /* The checkpoint has moved on: nothing of it is fetched again. */
    CM_AUTO_JSON pull = client_part(f->client, "pull");
    assert_int_equal(cm_json_int(pull, "refused", 0), 3);
    size_t sent = f->up.docs_sent;
    plant(f, doc_settings("later", 10, 30), REV_A);
    wait_for(f, "settings:later");
    assert_int_equal(f->up.docs_sent, sent + 1);
}

/* The upstream refuses one receipt (it has a newer one): the others go through, and it is not
 * tried for ever. */
static void test_push_refused(void **state)
{
    struct fixture *f = *state;
    put_doc(&f->up, doc_receipt("edge", ULID("BB"), 50, "served"), NULL);
    put_doc(&f->edge, doc_receipt("edge", ULID("AA"), 10, "served"), NULL);
    put_doc(&f->edge, doc_receipt("edge", ULID("BB"), 20, "failed"), NULL);
    put_doc(&f->edge, doc_receipt("edge", ULID("CC"), 10, "served"), NULL);
    f->client = client_start(&f->edge, &f->up);
    client_settle(&f->edge, f->client);
    assert_true(same_leaves(&f->up, &f->edge, "receipt:edge:" ULID("AA")));
    assert_true(same_leaves(&f->up, &f->edge, "receipt:edge:" ULID("CC")));
    struct cs_doc doc;
    assert_int_equal(cs_get(f->up.store, "receipt:edge:" ULID("BB"), &doc, NULL), 0);
    assert_int_equal(doc.serial, 50);
    cs_doc_fini(&doc);
    CM_AUTO_JSON push = client_part(f->client, "push");
    assert_int_equal(cm_json_int(push, "documents", 0), 2);
    assert_int_equal(cm_json_int(push, "refused", 0), 1);
    unsigned requests = f->up.bulk_docs;
    rig_sleep(&f->rig, 200);
    assert_int_equal(f->up.bulk_docs, requests);
}

static void test_without_bulk_get(void **state)
{
    struct fixture *f = *state;
    f->up.no_bulk_get = true;
    for (int i = 0; i < 40; i++) {
        CM_AUTO_STR id = cm_asprintf("a/b %d", i);
        add_tree(&f->up, id, i);
    }
    assert_int_equal(cs_commit(f->up.store, NULL), 0);
    f->client = client_start(&f->edge, &f->up);
    client_settle(&f->edge, f->client);
    for (int i = 0; i < 40; i++) {
        CM_AUTO_STR id = cm_asprintf("a/b %d", i);
        assert_true(same_leaves(&f->up, &f->edge, id));
    }
    assert_int_equal(f->up.bulk_gets, 1); /* asked once, then never again */
}

/* A reply that does not parse costs one document, not the job. */
static void test_poisoned(void **state)
{
    struct fixture *f = *state;
    f->up.poison = "\"doc33\"";
    for (int i = 0; i < 100; i++) {
        CM_AUTO_STR id = cm_asprintf("doc%d", i);
        put_doc(&f->up, json_pack("{s:s}", "_id", id), NULL);
    }
    f->client = client_start(&f->edge, &f->up);
    client_settle(&f->edge, f->client);
    assert_int_equal(cs_doc_count(f->edge.store), 99);
    CM_AUTO_JSON missing = cs_get_body(f->edge.store, "doc33");
    assert_null(missing);
    CM_AUTO_JSON pull = client_part(f->client, "pull");
    assert_int_equal(cm_json_int(pull, "refused", 0), 1);
}

/* Many large documents: a reply over the limit is asked for in smaller pieces. */
static void test_large_documents(void **state)
{
    struct fixture *f = *state;
    CM_AUTO_STR pad = cm_calloc(1, 150001);
    memset(pad, 'x', 150000);
    for (int i = 0; i < 120; i++) { /* 18 MB */
        CM_AUTO_STR id = cm_asprintf("doc%d", i);
        CM_AUTO_JSON doc = json_pack("{s:s,s:s}", "_id", id, "pad", pad);
        struct cs_result res;
        assert_int_equal(cs_put_edit(i % 2 ? f->up.store : f->edge.store, doc, &res, NULL), 0);
    }
    assert_int_equal(cs_commit(f->up.store, NULL), 0);
    assert_int_equal(cs_commit(f->edge.store, NULL), 0);
    f->client = client_start(&f->edge, &f->up);
    client_settle(&f->edge, f->client);
    assert_int_equal(cs_doc_count(f->edge.store), 120);
    assert_int_equal(cs_doc_count(f->up.store), 120);
}

/* How often text stands in what was logged since. */
static size_t logged(int fd, const char *text)
{
    static char lines[1 << 20];
    size_t count = 0;
    ssize_t len = pread(fd, lines, sizeof(lines) - 1, 0);
    assert_true(len >= 0);
    lines[len] = '\0';
    for (const char *at = lines; (at = strstr(at, text)) != NULL; at += strlen(text))
        count++;
    return count;
}

/* A hub full of rubbish does not fill the log of every server: 19 lines and a hint in a minute (of
 * which two may be met). */
static void test_rubbish_is_told_in_few_lines(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 100; i++) {
        CM_AUTO_STR name = cm_asprintf("forged%02d", i);
        json_t *forged = doc_settings(name, 10, 1);
        doc_forge(forged);
        plant(f, forged, REV_A);
    }
    int log = memfd_create("log", MFD_CLOEXEC);
    int before = dup(STDERR_FILENO);
    assert_true(log >= 0 && dup2(log, STDERR_FILENO) >= 0);
    f->client = client_start(&f->edge, &f->up);
    client_settle(&f->edge, f->client);
    dup2(before, STDERR_FILENO);
    close(before);
    size_t lines = logged(log, " refused: "), hints = logged(log, "certmgr replication refused");
    close(log);
    assert_true(lines >= 19 && lines <= 2 * 19);
    assert_true(hints >= 1 && hints <= 2);
    CM_AUTO_JSON pull = client_part(f->client, "pull");
    assert_int_equal(cm_json_int(pull, "refused", 0), 100); /* all are counted, and listed */
    CM_AUTO_JSON quarantine = cs_quarantine(f->edge.store);
    assert_int_equal(json_array_size(quarantine), 100);
}

/* Nor does a peer that takes nothing. */
static void test_refusals_of_a_peer_are_told_in_few_lines(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 60; i++) {
        CM_AUTO_STR ulid = cm_asprintf("01ARZ3NDEKTSV4RRFFQ69G5F%02d", i);
        put_doc(&f->up, doc_receipt("edge", ulid, 50, "served"), NULL);
        put_doc(&f->edge, doc_receipt("edge", ulid, 20, "failed"), NULL);
    }
    int log = memfd_create("log", MFD_CLOEXEC);
    int before = dup(STDERR_FILENO);
    assert_true(log >= 0 && dup2(log, STDERR_FILENO) >= 0);
    f->client = client_start(&f->edge, &f->up);
    client_settle(&f->edge, f->client);
    dup2(before, STDERR_FILENO);
    close(before);
    size_t lines = logged(log, " the peer refused it: ");
    close(log);
    assert_true(lines >= CM_TOLD_MAX && lines <= 2 * CM_TOLD_MAX);
    CM_AUTO_JSON push = client_part(f->client, "push");
    assert_int_equal(cm_json_int(push, "refused", 0), 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_convergence, setup_lab, teardown),
        cmocka_unit_test_setup_teardown(test_live, setup_lab, teardown),
        cmocka_unit_test_setup_teardown(test_direction, setup_fleet, teardown),
        cmocka_unit_test_setup_teardown(test_updates, setup_fleet, teardown),
        cmocka_unit_test_setup_teardown(test_only_what_comes_down, setup_hostile, teardown),
        cmocka_unit_test_setup_teardown(test_forged, setup_hostile, teardown),
        cmocka_unit_test_setup_teardown(test_rubbish_is_told_in_few_lines, setup_hostile, teardown),
        cmocka_unit_test_setup_teardown(test_push_refused, setup_fleet, teardown),
        cmocka_unit_test_setup_teardown(test_refusals_of_a_peer_are_told_in_few_lines, setup_fleet,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_without_bulk_get, setup_lab, teardown),
        cmocka_unit_test_setup_teardown(test_poisoned, setup_lab, teardown),
        cmocka_unit_test_setup_teardown(test_large_documents, setup_lab, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
