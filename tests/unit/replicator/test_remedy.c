/* What is posted to put a spoiled document right: see test_hub.c for a hub that gets it. */
#include "tests/unit/replicator/rig.h"

#include <stdio.h>
#include <string.h>

#include "base/core/mem.h"
#include "replicator/remedy.h"

#define ID   "settings:good"
#define EVIL "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"

struct fixture {
    struct rig rig;
    struct node node;
    char rev[CS_REV_MAX + 1]; /* of the good version in the store: 2-… */
};

static int setup(void **state)
{
    struct fixture *f = test_calloc(1, sizeof(*f));
    rig_open(&f->rig);
    node_start(&f->rig, &f->node, "manager", false);
    put_doc(&f->node, doc_settings("good", 1000, 30), NULL);
    put_doc(&f->node, doc_settings("good", 2000, 31), f->rev);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    node_close(&f->node);
    rig_close(&f->rig);
    test_free(f);
    return 0;
}

/* A leaf that nobody signed, of this generation; its history: names made of `tail`, or `below`. */
static json_t *evil_leaf(int64_t gen, char tail, size_t depth, const char *below)
{
    char name[] = EVIL;
    json_t *ids = json_array();
    name[31] = tail;
    CM_AUTO_STR rev = cm_asprintf("%lld-%s", (long long)gen, name);
    json_array_append_new(ids, json_string(name));
    if (below)
        json_array_append_new(ids, json_string(strchr(below, '-') + 1));
    for (size_t i = 1; i < depth; i++) {
        snprintf(name, sizeof(name), "%c%031zx", tail, i);
        json_array_append_new(ids, json_string(name));
    }
    return json_pack("{s:{s:s,s:s,s:i,s:{s:I,s:o}}}", "ok", "_id", ID, "_rev", rev, "renew_days", 1,
                     "_revisions", "start", (json_int_t)gen, "ids", ids);
}

/* What the hub says when it has our own version. */
static json_t *good_leaf(struct fixture *f)
{
    CM_AUTO_JSON leaves = NULL;
    assert_int_equal(cs_read_leaves(f->node.store, ID, true, &leaves, NULL), 0);
    return json_pack("{s:O}", "ok", json_array_get(leaves, 0));
}

static void nothing_wrong_needs_nothing(void **state)
{
    struct fixture *f = *state;
    CM_AUTO_JSON leaves = json_pack("[o]", good_leaf(f));
    CM_AUTO_JSON docs = rp_remedy_docs(f->node.store, ID, leaves);
    assert_int_equal(json_array_size(docs), 0);
}

static void a_leaf_that_does_not_count_gets_a_mark(void **state)
{
    struct fixture *f = *state;
    CM_AUTO_JSON leaves = json_pack("[o,o]", good_leaf(f), evil_leaf(5, 'a', 1, NULL));
    CM_AUTO_JSON docs = rp_remedy_docs(f->node.store, ID, leaves);
    CM_AUTO_JSON again = rp_remedy_docs(f->node.store, ID, leaves);
    assert_int_equal(json_array_size(docs), 1);
    assert_true(json_equal(docs, again)); /* servers must know it */
    json_t *mark = json_array_get(docs, 0);
    assert_true(rp_remedy_is_mark(mark));
    assert_int_equal(strncmp(cm_json_str(mark, "_rev"), "6-", 2), 0);
    json_array_append_new(leaves, json_pack("{s:O}", "ok", mark));
    json_array_remove(leaves, 1); /* what the hub has then: nothing is left to do */
    CM_AUTO_JSON after = rp_remedy_docs(f->node.store, ID, leaves);
    assert_int_equal(json_array_size(after), 0);
    cm_json_set_int(mark, "renew_days", 1); /* it says something */
    assert_false(rp_remedy_is_mark(mark));
    json_object_del(mark, "renew_days");
    json_array_set_new(cm_json_arr(cm_json_obj(mark, "_revisions"), "ids"), 0, json_string(EVIL));
    assert_false(rp_remedy_is_mark(mark)); /* nor has it the name */
}

static void our_version_is_posted_where_it_is_missing(void **state)
{
    struct fixture *f = *state;
    CM_AUTO_JSON leaves = json_pack("[o]", evil_leaf(5, 'a', 1, NULL));
    CM_AUTO_JSON docs = rp_remedy_docs(f->node.store, ID, leaves);
    assert_int_equal(json_array_size(docs), 2);
    assert_string_equal(cm_json_str(json_array_get(docs, 1), "_rev"), f->rev);
}

static void what_was_buried_comes_back_beside_it(void **state)
{
    struct fixture *f = *state;
    CM_AUTO_JSON leaves = json_pack("[o]", evil_leaf(3, 'a', 1, f->rev));
    CM_AUTO_JSON docs = rp_remedy_docs(f->node.store, ID, leaves);
    CM_AUTO_JSON again = rp_remedy_docs(f->node.store, ID, leaves);
    const json_t *ours = json_array_get(docs, 1);
    const char *rev = cm_json_str(ours, "_rev");
    assert_int_equal(json_array_size(docs), 2);
    assert_int_equal(cm_json_int(ours, "renew_days", 0), 31);
    assert_int_equal(strncmp(rev, "3-", 2), 0);
    const json_t *ids = cm_json_arr(cm_json_obj(ours, "_revisions"), "ids");
    assert_string_equal(json_string_value(json_array_get(ids, 0)), rev + 2);
    assert_string_equal(json_string_value(json_array_get(ids, 1)), strchr(f->rev, '-') + 1);
    /* Nobody can foretell the name. */
    assert_string_not_equal(rev, cm_json_str(json_array_get(again, 1), "_rev"));
}

static void a_newer_version_is_left_alone(void **state)
{
    struct fixture *f = *state;
    json_t *newer = doc_settings("good", 3000, 32);
    cm_json_set_str(newer, "_rev", "3-" EVIL);
    cm_json_set(newer, "_revisions", json_pack("{s:i,s:[s]}", "start", 3, "ids", EVIL));
    CM_AUTO_JSON leaves = json_pack("[{s:o}]", "ok", newer);
    CM_AUTO_JSON docs = rp_remedy_docs(f->node.store, ID, leaves);
    assert_int_equal(json_array_size(docs), 0);
}

static void marks_have_a_limit_and_the_last_generation_none(void **state)
{
    struct fixture *f = *state;
    CM_AUTO_JSON leaves =
        json_pack("[o,o]", good_leaf(f), evil_leaf(CS_GENERATION_MAX, 'a', 1, NULL));
    CM_AUTO_JSON none = rp_remedy_docs(f->node.store, ID, leaves);
    assert_int_equal(json_array_size(none), 0); /* there is no generation above it */
    for (int i = 0; i < RP_REMEDY_MARKS_MAX + 1; i++)
        json_array_append_new(leaves, evil_leaf(5 + i, 'a', 1, NULL));
    CM_AUTO_JSON docs = rp_remedy_docs(f->node.store, ID, leaves);
    assert_int_equal(json_array_size(docs), RP_REMEDY_MARKS_MAX);
}

static void digging_ends_at_what_is_known(void **state)
{
    struct fixture *f = *state;
    CM_AUTO_JSON leaves = json_pack("[o,o]", good_leaf(f), evil_leaf(3, 'a', 1, f->rev));
    CM_AUTO_JSON known = rp_remedy_buried(f->node.store, ID, leaves);
    assert_int_equal(json_array_size(known), 0);
    json_array_append_new(leaves, evil_leaf(4, 'b', 3, NULL));
    json_array_append_new(leaves, evil_leaf(4, 'b', 3, NULL)); /* each is asked for once */
    CM_AUTO_JSON revs = rp_remedy_buried(f->node.store, ID, leaves);
    CM_AUTO_JSON wanted = json_pack("[s,s]", "3-b0000000000000000000000000000001",
                                    "2-b0000000000000000000000000000002");
    assert_true(json_equal(revs, wanted));
}

static void digging_has_limits(void **state)
{
    struct fixture *f = *state;
    CM_AUTO_JSON leaves = json_pack("[o]", evil_leaf(100, 'a', 50, NULL));
    CM_AUTO_JSON one = rp_remedy_buried(f->node.store, ID, leaves);
    assert_int_equal(json_array_size(one), RP_REMEDY_DIG_DEPTH);
    for (char tail = '0'; tail <= '9'; tail++)
        json_array_append_new(leaves, evil_leaf(100, tail, 50, NULL));
    CM_AUTO_JSON revs = rp_remedy_buried(f->node.store, ID, leaves);
    assert_int_equal(json_array_size(revs), RP_REMEDY_DIG_MAX);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_wrong_needs_nothing),
        TEST(a_leaf_that_does_not_count_gets_a_mark),
        TEST(our_version_is_posted_where_it_is_missing),
        TEST(what_was_buried_comes_back_beside_it),
        TEST(a_newer_version_is_left_alone),
        TEST(marks_have_a_limit_and_the_last_generation_none),
        TEST(digging_ends_at_what_is_known),
        TEST(digging_has_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
