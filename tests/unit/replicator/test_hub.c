/* A fleet behind a hub that knows no signatures: the manager and the servers are its clients, a
 * hostile member spoils its documents, the servers do not care and the manager puts them right. */
#include "tests/unit/replicator/rig.h"

#include <stdio.h>
#include <string.h>

#include "base/core/bytes.h"
#include "base/core/mem.h"
#include "replicator/job.h"

#define DOC     "settings:default"
#define RECEIPT "receipt:edge:" ULID("01")
#define LITTER  "0123456789abcdef0123456789abcdef"
#define EVIL    "ffffffffffffffffffffffffffffffff"

struct fixture {
    struct rig rig;
    struct node hub, manager, edge, late;
    struct rp_client *of_manager, *of_edge, *of_late;
    char foreign[128]; /* last document that on_foreign named */
    struct node *at;   /* DOC is to arrive there */
    size_t refusals;   /* that the edge's list is to have */
};

static void on_foreign(void *arg, const char *id)
{
    struct fixture *f = arg;
    snprintf(f->foreign, sizeof(f->foreign), "%s", id);
}

static struct rp_client *join(struct fixture *f, struct node *node, bool manager, bool heal)
{
    struct cm_err err = CM_ERR_INIT;
    struct rp_client *client = NULL;
    const struct rp_client_opts opts = {.loop = f->rig.loop,
                                        .store = node->store,
                                        .http = f->rig.http,
                                        .url = f->hub.url,
                                        .allow_http = true,
                                        .hub = true,
                                        .manager = manager,
                                        .heal = heal,
                                        .authorization = "Basic eDp5",
                                        .on_foreign = on_foreign,
                                        .arg = f};
    if (rp_client_new(&opts, &client, &err) < 0)
        fail_msg("rp_client_new: %s", err.what);
    return client;
}

static int setup(void **state)
{
    struct fixture *f = test_calloc(1, sizeof(*f));
    rig_open(&f->rig);
    node_start(&f->rig, &f->hub, "hub", true);
    node_start(&f->rig, &f->manager, "manager", false);
    node_start(&f->rig, &f->edge, "edge", false);
    node_start(&f->rig, &f->late, "late", false);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    rp_client_end(f->of_manager);
    rp_client_end(f->of_edge);
    rp_client_end(f->of_late);
    node_close(&f->late);
    node_close(&f->edge);
    node_close(&f->manager);
    node_close(&f->hub);
    rig_close(&f->rig);
    test_free(f);
    return 0;
}

static void start(struct fixture *f)
{
    f->of_manager = join(f, &f->manager, true, true);
    f->of_edge = join(f, &f->edge, false, false);
}

static void settle(struct fixture *f)
{
    client_settle(&f->manager, f->of_manager);
    client_settle(&f->edge, f->of_edge);
}

static void settle_one(struct fixture *f)
{
    client_settle(&f->manager, f->of_manager);
}

/* renew_days of the effective version, -1 = none. */
static int64_t days(struct node *node)
{
    CM_AUTO_JSON body = cs_get_body(node->store, DOC);
    return cm_json_int(body, "renew_days", -1);
}

/* What a client that knows no signatures reads on the hub. */
static int64_t hub_days(struct fixture *f)
{
    CM_AUTO_JSON doc = NULL;
    if (cs_read_rev(f->hub.store, DOC, NULL, false, false, &doc, NULL) < 0 ||
        cm_json_bool(doc, "_deleted", false))
        return -1;
    return cm_json_int(doc, "renew_days", -1);
}

static void spoil(struct fixture *f, const char *text)
{
    struct answer answer = {0};
    ask(&f->hub, &answer, "POST", "/db/_bulk_docs", text);
    assert_int_equal(answer.status, 201);
    assert_int_equal(json_array_size(answer.body), 0);
    answer_fini(&answer);
}

static size_t refusals(struct node *node)
{
    CM_AUTO_JSON list = cs_quarantine(node->store);
    return json_array_size(list);
}

static int64_t healed(struct fixture *f)
{
    CM_AUTO_JSON status = rp_client_status(f->of_manager);
    return cm_json_int(status, "healed", -1);
}

static bool one_healed(void *arg)
{
    return healed(arg) >= 1;
}

static bool edge_refused(void *arg)
{
    return refusals(&((struct fixture *)arg)->edge) >= 1;
}

static bool manager_refused(void *arg)
{
    return refusals(&((struct fixture *)arg)->manager) >= 1;
}

static bool all_refused(void *arg)
{
    struct fixture *f = arg;
    return refusals(&f->edge) == f->refusals;
}

static int64_t refused_by_edge(struct fixture *f)
{
    CM_AUTO_JSON pull = client_part(f->of_edge, "pull");
    return cm_json_int(pull, "refused", 0);
}

static bool is_fresh(void *arg)
{
    struct fixture *f = arg;
    return days(f->at) == 40;
}

/* The next version still goes everywhere, and a server that is new finds it. */
static void assert_goes_on(struct fixture *f)
{
    put_doc(&f->manager, doc_settings("default", 2000, 40), NULL);
    f->at = &f->edge;
    rig_wait(&f->rig, is_fresh, f);
    settle(f);
    f->of_late = join(f, &f->late, false, false);
    f->at = &f->late;
    rig_wait(&f->rig, is_fresh, f);
}

static void test_both_directions_go_through_the_hub(void **state)
{
    struct fixture *f = *state;
    put_doc(&f->manager, doc_settings("default", 1000, 30), NULL);
    put_doc(&f->edge, doc_receipt("edge", ULID("01"), 1, "opened"), NULL);
    start(f);
    settle(f);
    settle(f);
    assert_int_equal(days(&f->edge), 30);
    CM_AUTO_JSON receipt = cs_get_body(f->manager.store, RECEIPT);
    assert_non_null(receipt);
    /* A server does not take what others write, although the hub shows it to everybody. */
    put_doc(&f->hub, doc_receipt("other", ULID("02"), 1, "opened"), NULL);
    rig_sleep(&f->rig, 100);
    settle(f);
    CM_AUTO_JSON others = cs_get_body(f->edge.store, "receipt:other:" ULID("02"));
    assert_null(others);
    assert_int_equal(refusals(&f->edge), 0);
    assert_string_equal(f->foreign, "");
    CM_AUTO_JSON pull = client_part(f->of_edge, "pull");
    assert_int_equal(cm_json_int(pull, "lag_documents", -1), 0);
    assert_int_equal(cm_json_int(pull, "lag_seconds", -1), 0);
    assert_int_equal(cm_json_int(pull, "rate", -1), 1);
    assert_null(json_object_get(pull, "last_error"));
}

static void test_a_high_generation_changes_nothing_and_is_pruned(void **state)
{
    struct fixture *f = *state;
    put_doc(&f->manager, doc_settings("default", 1000, 30), NULL);
    start(f);
    settle(f);
    spoil(f, "{\"new_edits\":false,\"docs\":[{\"_id\":\"" DOC "\",\"_rev\":\"999999999-" EVIL
             "\",\"type\":\"settings\",\"serial\":9000,\"renew_days\":1}]}");
    assert_int_equal(hub_days(f), 1);
    rp_heal_note(f->of_manager, "settings:gone"); /* purged there since: it holds up nobody */
    rig_wait(&f->rig, edge_refused, f);
    assert_int_equal(days(&f->edge), 30);
    rig_wait(&f->rig, one_healed, f);
    assert_int_equal(hub_days(f), 30);
    settle(f);
    /* What the manager pruned with is no news for anybody, and when it is right it is left. */
    rig_sleep(&f->rig, 500);
    settle(f);
    unsigned asked = f->hub.requests;
    rig_sleep(&f->rig, 200);
    assert_in_range(f->hub.requests, asked, asked + 4);
    assert_int_equal(refusals(&f->edge), 1);
    assert_int_equal(refusals(&f->manager), 1);
    assert_int_equal(healed(f), 1);
    CM_AUTO_JSON list = cs_quarantine(f->edge.store);
    const json_t *row = json_array_get(list, 0);
    assert_string_equal(cm_json_str(row, "id"), DOC);
    assert_string_equal(cm_json_str(row, "rev"), "999999999-" EVIL);
    assert_non_null(strstr(cm_json_str(row, "reason"), "generation"));
    assert_goes_on(f);
}

static void test_a_version_that_was_buried_is_posted_again(void **state)
{
    struct fixture *f = *state;
    char rev[CS_REV_MAX + 1], text[1024];
    put_doc(&f->manager, doc_settings("default", 1000, 30), rev);
    start(f);
    settle(f);
    /* The signed body once more as a tombstone, below the good version, which is a leaf no more. */
    CM_AUTO_JSON good = doc_settings("default", 1000, 30);
    json_object_set_new(good, "_deleted", json_true());
    cm_json_set_str(good, "_rev", "2-" EVIL);
    cm_json_set(good, "_revisions", json_pack("{s:i,s:[s,s]}", "start", 2, "ids", EVIL, rev + 2));
    CM_AUTO_STR doc = cm_json_dump(good, NULL);
    snprintf(text, sizeof(text), "{\"new_edits\":false,\"docs\":[%s]}", doc);
    /* The toy signature does not cover `deleted`: what the real one refuses is broken by hand. */
    char *value = strstr(text, "Z29vZA");
    assert_non_null(value);
    memcpy(value, "YmFkYQ", 6);
    spoil(f, text);
    assert_int_equal(hub_days(f), -1);
    rig_wait(&f->rig, one_healed, f);
    assert_int_equal(hub_days(f), 30);
    assert_int_equal(days(&f->edge), 30);
    assert_goes_on(f);
    assert_string_equal(f->foreign, "");
}

/* What a manager prunes with below a revision: anybody can make one. */
static void mark_name(const char *rev, char out[33])
{
    char hex[CM_SHA256_HEX], text[CS_REV_MAX + 32];
    int len = snprintf(text, sizeof(text), "certmgr-prune\n%s", rev);
    cm_sha256_hex(text, (size_t)len, hex);
    memcpy(out, hex, 32);
    out[32] = '\0';
}

static void test_a_mark_hides_no_version_that_counts(void **state)
{
    struct fixture *f = *state;
    char rev[CS_REV_MAX + 1], second[CS_REV_MAX + 1], name[33], below[33], text[512];
    put_doc(&f->manager, doc_settings("default", 1000, 30), rev);
    start(f);
    settle(f);
    mark_name(rev, name);
    snprintf(second, sizeof(second), "2-%s", name);
    mark_name(second, below);
    snprintf(text, sizeof(text),
             "{\"new_edits\":false,\"docs\":[{\"_id\":\"" DOC "\",\"_rev\":\"3-%s\","
             "\"_deleted\":true,\"_revisions\":{\"start\":3,\"ids\":[\"%s\",\"%s\",\"%s\"]}}]}",
             below, below, name, rev + 2);
    spoil(f, text);
    assert_int_equal(hub_days(f), -1);
    rig_wait(&f->rig, one_healed, f);
    assert_int_equal(hub_days(f), 30);
    assert_int_equal(refusals(&f->manager), 0);
    assert_goes_on(f);
}

static bool receipt_came(void *arg)
{
    struct fixture *f = arg;
    CM_AUTO_JSON receipt = cs_get_body(f->manager.store, RECEIPT);
    return receipt != NULL;
}

/* While the manager was away a member wrote below what a server had just posted. */
static void test_what_was_buried_before_it_was_read_is_dug_out(void **state)
{
    struct fixture *f = *state;
    char rev[CS_REV_MAX + 1], text[1024];
    put_doc(&f->edge, doc_receipt("edge", ULID("01"), 1, "opened"), rev);
    f->of_edge = join(f, &f->edge, false, false);
    client_settle(&f->edge, f->of_edge);
    static const char *const paths[] = {
        "\"_rev\":\"2-" LITTER "\",\"_revisions\":{\"start\":2,\"ids\":[\"" LITTER "\",\"%s\"]}",
        "\"_rev\":\"3-" EVIL "\",\"_deleted\":true,\"_revisions\":{\"start\":3,\"ids\":[\"" EVIL
        "\",\"" LITTER "\",\"%s\"]}"};
    for (size_t i = 0; i < 2; i++) {
        CM_AUTO_STR path = cm_strdup(paths[i]);
        char *hole = strstr(path, "%s");
        *hole = '\0';
        snprintf(text, sizeof(text),
                 "{\"new_edits\":false,\"docs\":[{\"_id\":\"" RECEIPT "\",%s%s%s}]}", path, rev + 2,
                 hole + 2);
        spoil(f, text);
    }
    f->of_manager = join(f, &f->manager, true, true);
    rig_wait(&f->rig, receipt_came, f);
    rig_wait(&f->rig, one_healed, f);
    /* Only what the member wrote is listed as refused, and the hub shows the receipt again. */
    assert_int_equal(refusals(&f->manager), 1);
    CM_AUTO_JSON shown = NULL;
    assert_int_equal(cs_read_rev(f->hub.store, RECEIPT, NULL, false, false, &shown, NULL), 0);
    assert_false(cm_json_bool(shown, "_deleted", false));
    assert_string_equal(cm_json_str(shown, "state"), "opened");
}

static void test_spoiling_survives_a_restart_of_the_manager(void **state)
{
    struct fixture *f = *state;
    put_doc(&f->manager, doc_settings("default", 1000, 30), NULL);
    start(f);
    settle(f);
    f->hub.fail_path = "/db/settings"; /* healing must wait */
    spoil(f, "{\"new_edits\":false,\"docs\":[{\"_id\":\"" DOC "\",\"_rev\":\"5-" EVIL
             "\",\"renew_days\":1}]}");
    rig_wait(&f->rig, edge_refused, f);
    settle(f);
    rig_sleep(&f->rig, 300);
    assert_int_equal(hub_days(f), 1);
    CM_AUTO_JSON kept = cs_kv_get(f->manager.store, "heal", DOC);
    assert_non_null(kept);
    f->hub.fail_path = NULL;
}

static bool was_told(void *arg)
{
    return ((struct fixture *)arg)->hub.lie->told > 0;
}

/* A node of the hub was down as the manager put it right: it is not done, and not forgotten. */
static void test_what_the_hub_could_not_store_waits(void **state)
{
    struct fixture *f = *state;
    struct lie lie = {.path = "/_bulk_docs",
                      .status = 201,
                      .text = "[{\"id\":\"" DOC "\",\"error\":\"internal_server_error\"}]"};
    put_doc(&f->manager, doc_settings("default", 1000, 30), NULL);
    start(f);
    settle(f);
    spoil(f, "{\"new_edits\":false,\"docs\":[{\"_id\":\"" DOC "\",\"_rev\":\"999999999-" EVIL
             "\",\"type\":\"settings\",\"serial\":9000,\"renew_days\":1}]}");
    f->hub.lie = &lie;
    rig_wait(&f->rig, was_told, f);
    rig_sleep(&f->rig, 100);
    assert_int_equal(healed(f), 0);
    CM_AUTO_JSON waits = cs_kv_get(f->manager.store, "heal", DOC);
    assert_non_null(waits);
    f->hub.lie = NULL;
}

static void test_not_while_held(void **state)
{
    struct fixture *f = *state;
    put_doc(&f->manager, doc_settings("default", 1000, 30), NULL);
    f->of_manager = join(f, &f->manager, true, false);
    f->of_edge = join(f, &f->edge, false, false);
    settle(f);
    spoil(f, "{\"new_edits\":false,\"docs\":[{\"_id\":\"" DOC "\",\"_rev\":\"5-" EVIL
             "\",\"renew_days\":1}]}");
    rig_wait(&f->rig, edge_refused, f);
    rig_sleep(&f->rig, 400);
    assert_int_equal(hub_days(f), 1);
    assert_int_equal(days(&f->edge), 30);
}

static void test_a_second_manager_is_told_and_loses_nothing(void **state)
{
    struct fixture *f = *state;
    put_doc(&f->manager, doc_settings("default", 1000, 30), NULL);
    start(f);
    settle(f);
    put_doc(&f->late, doc_settings("default", 2000, 40), NULL);
    f->of_late = join(f, &f->late, true, true);
    f->at = &f->manager;
    rig_wait(&f->rig, is_fresh, f);
    assert_string_equal(f->foreign, DOC);
    f->at = &f->edge;
    rig_wait(&f->rig, is_fresh, f);
    /* The older one does not come back from the first. */
    rig_sleep(&f->rig, 300);
    assert_int_equal(days(&f->late), 40);
    assert_int_equal(days(&f->edge), 40);
}

static void test_leaves_without_end_do_not_stop_the_others(void **state)
{
    struct fixture *f = *state;
    struct cm_buf text;
    /* Nobody heals: what is pruned before it was read is not refused. */
    f->of_manager = join(f, &f->manager, true, false);
    f->of_edge = join(f, &f->edge, false, false);
    settle(f);
    cm_buf_init(&text, 1u << 20);
    for (int round = 0; round < 2; round++) {
        cm_buf_puts(&text, "{\"new_edits\":false,\"docs\":[");
        for (int i = 0; i < 300; i++)
            cm_buf_printf(&text, "%s{\"_id\":\"" DOC "\",\"_rev\":\"3-%032x\"}", i ? "," : "",
                          round * 300 + i);
        cm_buf_puts(&text, "]}");
        spoil(f, cm_buf_str(&text));
        cm_buf_fini(&text);
        cm_buf_init(&text, 1u << 20);
    }
    cm_buf_fini(&text);
    put_doc(&f->manager, doc_settings("other", 1000, 30), NULL);
    settle(f);
    rig_sleep(&f->rig, 100);
    settle(f);
    CM_AUTO_JSON other = cs_get_body(f->edge.store, "settings:other");
    assert_non_null(other);
    assert_int_equal(days(&f->edge), -1);
    f->refusals = 600;
    rig_wait(&f->rig, all_refused, f);
    rig_sleep(&f->rig, 300);
    settle(f);
    /* One more is one more: what was refused is not fetched at each change. */
    int64_t before = refused_by_edge(f);
    spoil(f, "{\"new_edits\":false,\"docs\":[{\"_id\":\"" DOC "\",\"_rev\":\"3-" EVIL "\"}]}");
    f->refusals = 601;
    rig_wait(&f->rig, all_refused, f);
    assert_in_range(refused_by_edge(f), before + 1, before + 50);
}

static void test_a_hub_is_not_asked_to_give_back(void **state)
{
    struct fixture *f = *state;
    /* A hub that says it was restored would get every document of a server that believed it. */
    f->hub.restored = true;
    put_doc(&f->edge, doc_settings("mine", 1000, 30), NULL);
    f->of_edge = join(f, &f->edge, false, false);
    client_settle(&f->edge, f->of_edge);
    CM_AUTO_JSON body = cs_get_body(f->hub.store, "settings:mine");
    assert_null(body);
}

static bool hub_is_right(void *arg)
{
    return hub_days(arg) == 30;
}

static bool nothing_waits(void *arg)
{
    struct fixture *f = arg;
    CM_AUTO_JSON more = cs_kv_get(f->manager.store, "heal", "more");
    return more == NULL;
}

static bool checkpoint_put(void *arg)
{
    return ((struct fixture *)arg)->hub.puts > 0;
}

static void leave(struct fixture *f)
{
    rp_client_end(f->of_manager);
    f->of_manager = NULL;
}

/* More documents were spoiled at once than are remembered: the rest is found by reading again. */
static void test_what_found_no_room_is_found_again(void **state)
{
    struct fixture *f = *state;
    CM_AUTO_JSON yes = json_true();
    char id[32];
    put_doc(&f->manager, doc_settings("default", 1000, 30), NULL);
    f->of_manager = join(f, &f->manager, true, false); /* passes over it: nobody heals */
    settle_one(f);
    leave(f);
    spoil(f, "{\"new_edits\":false,\"docs\":[{\"_id\":\"" DOC "\",\"_rev\":\"5-" EVIL
             "\",\"renew_days\":1}]}");
    f->hub.puts = 0;
    f->of_manager = join(f, &f->manager, true, false);
    rig_wait(&f->rig, manager_refused, f);
    rig_wait(&f->rig, checkpoint_put, f);
    settle_one(f);
    leave(f);
    assert_int_equal(hub_days(f), 1);
    for (int i = 0; i < 10001; i++) {
        snprintf(id, sizeof(id), "settings:n%d", i);
        if (i == 0)
            f->of_manager = join(f, &f->manager, true, true);
        rp_heal_note(f->of_manager, id);
    }
    rig_sleep(&f->rig, 20);
    CM_AUTO_JSON last = cs_kv_get(f->manager.store, "heal", "settings:n9999");
    CM_AUTO_JSON beyond = cs_kv_get(f->manager.store, "heal", "settings:n10000");
    CM_AUTO_JSON more = cs_kv_get(f->manager.store, "heal", "more");
    assert_non_null(last);
    assert_null(beyond);
    assert_non_null(more);
    leave(f);
    for (int i = 0; i < 10000; i++) { /* as if they had been looked at */
        snprintf(id, sizeof(id), "settings:n%d", i);
        (void)cs_kv_del(f->manager.store, "heal", id, NULL);
    }
    assert_int_equal(cs_kv_put(f->manager.store, "heal", "more", yes, NULL), 0);
    f->of_manager = join(f, &f->manager, true, true);
    rig_wait(&f->rig, hub_is_right, f);
    rig_wait(&f->rig, nothing_waits, f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_both_directions_go_through_the_hub, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_high_generation_changes_nothing_and_is_pruned, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_version_that_was_buried_is_posted_again, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_mark_hides_no_version_that_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_was_buried_before_it_was_read_is_dug_out, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_spoiling_survives_a_restart_of_the_manager, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_what_found_no_room_is_found_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_the_hub_could_not_store_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_while_held, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_second_manager_is_told_and_loses_nothing, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_leaves_without_end_do_not_stop_the_others, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_hub_is_not_asked_to_give_back, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
