/* _bulk_docs and _revs_diff: several edits of one document in one request, and documents that are
 * JSON but hold a value which is not read here. */
#include "tests/unit/replicator/rig.h"

#include <stdio.h>
#include <string.h>

#include "base/core/mem.h"

#define BULK    "/db/_bulk_docs"
#define RECEIPT "receipt:edge:" ULID("01")

struct fixture {
    struct rig rig;
    struct node node;
    struct answer a;
};

static int start(void **state, bool lab)
{
    struct fixture *f = test_calloc(1, sizeof(*f));
    rig_open(&f->rig);
    node_start(&f->rig, &f->node, "a", lab);
    *state = f;
    return 0;
}

static int start_lab(void **state)
{
    return start(state, true);
}

static int start_fleet(void **state)
{
    return start(state, false);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    answer_fini(&f->a);
    node_close(&f->node);
    rig_close(&f->rig);
    test_free(f);
    return 0;
}

/* ---- edits of one document ---------------------------------------------------------------- */

/* Posts it; wanted: '+' or '!' (a conflict) for each row. */
static void edit(struct fixture *f, const char *docs, const char *wanted)
{
    CM_AUTO_STR body = cm_asprintf("{\"docs\":[%s]}", docs);
    ask(&f->node, &f->a, "POST", BULK, body);
    assert_int_equal(f->a.status, 201);
    assert_int_equal(json_array_size(f->a.body), strlen(wanted));
    for (size_t i = 0; wanted[i]; i++) {
        const json_t *row = json_array_get(f->a.body, i);
        bool ok = cm_json_bool(row, "ok", false);
        if (ok != (wanted[i] == '+'))
            fail_msg("%s: %s", docs, f->a.text);
        if (!ok)
            assert_string_equal(cm_json_str(row, "error"), "conflict");
    }
}

static char *rev_of_row(const struct fixture *f, size_t at)
{
    return cm_strdup(cm_json_str(json_array_get(f->a.body, at), "rev"));
}

static void the_first_of_several_edits_wins(void **state)
{
    struct fixture *f = *state;
    edit(f,
         "{\"_id\":\"a\",\"v\":1},{\"_id\":\"a\",\"v\":2},{\"_id\":\"b\"},{\"_id\":\"a\",\"v\":1}",
         "+!+!");
    CM_AUTO_STR one = rev_of_row(f, 0);
    CM_AUTO_STR twice = cm_asprintf("{\"_id\":\"a\",\"_rev\":\"%s\",\"v\":3},"
                                    "{\"_id\":\"a\",\"_rev\":\"%s\",\"v\":4},{\"_id\":\"a\"}",
                                    one, one);
    edit(f, twice, "+!!");
    ask(&f->node, &f->a, "GET", "/db/a", NULL);
    assert_int_equal(cm_json_int(f->a.body, "v", 0), 3);
}

/* Nobody can have seen what an edit of the same request makes: not even its author, who reckons. */
static void what_was_there_before_counts(void **state)
{
    struct fixture *f = *state;
    edit(f, "{\"_id\":\"a\",\"v\":1}", "+");
    CM_AUTO_STR one = rev_of_row(f, 0);
    /* Away and there again. */
    CM_AUTO_STR again =
        cm_asprintf("{\"_id\":\"a\",\"_rev\":\"%s\",\"_deleted\":true},{\"_id\":\"a\"}", one);
    edit(f, again, "+!");
    ask(&f->node, &f->a, "GET", "/db/a", NULL);
    assert_int_equal(f->a.status, 404);
    /* The names of revisions follow from what they hold: `two` is known beforehand. */
    edit(f, "{\"_id\":\"c\",\"v\":1}", "+");
    CM_AUTO_STR two = rev_of_row(f, 0);
    CM_AUTO_STR purge = cm_asprintf("{\"c\":[\"%s\"]}", two);
    ask(&f->node, &f->a, "POST", "/db/_purge", purge);
    assert_int_equal(f->a.status, 201);
    CM_AUTO_STR chain =
        cm_asprintf("{\"_id\":\"c\",\"v\":1},{\"_id\":\"c\",\"_rev\":\"%s\",\"v\":2},"
                    "{\"_id\":\"c\",\"_revisions\":{\"start\":1,\"ids\":[\"%s\"]}}",
                    two, two + 2);
    edit(f, chain, "+!!");
    assert_string_equal(cm_json_str(json_array_get(f->a.body, 0), "rev"), two);
    /* In a request of its own the same edit is taken. */
    CM_AUTO_STR later = cm_asprintf("{\"_id\":\"c\",\"_rev\":\"%s\",\"v\":2}", two);
    edit(f, later, "+");
}

/* Each on its own branch: both were there before. */
static void branches_are_edited_side_by_side(void **state)
{
    struct fixture *f = *state;
    ask(&f->node, &f->a, "POST", BULK,
        "{\"new_edits\":false,\"docs\":[{\"_id\":\"t\",\"_rev\":\"1-a\"},"
        "{\"_id\":\"t\",\"_rev\":\"1-b\"}]}");
    assert_int_equal(f->a.status, 201);
    edit(f,
         "{\"_id\":\"t\",\"_rev\":\"1-a\",\"_deleted\":true},{\"_id\":\"t\",\"_rev\":\"1-b\"},"
         "{\"_id\":\"t\",\"_rev\":\"1-a\"}",
         "++!");
}

/* ---- documents that are not read ---------------------------------------------------------- */

static const char *const unread[] = {
    "9223372036854775808", "1e400",
    "\"\\ud83d\"",         "\"\\u0000\"",
    "{\"n\":1,\"n\":2}",   "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
};
#define UNREAD (sizeof(unread) / sizeof(unread[0]))

static void an_unread_document_is_refused_alone(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < UNREAD; i++) {
        CM_AUTO_STR body = cm_asprintf("{\"new_edits\":false,\"docs\":["
                                       "{\"_id\":\"first%zu\",\"_rev\":\"1-a\"},"
                                       "{\"_id\":\"bad\",\"_rev\":\"1-b\",\"v\":%s},"
                                       "{\"_id\":\"last%zu\",\"_rev\":\"1-a\"}]}",
                                       i, unread[i], i);
        ask(&f->node, &f->a, "POST", BULK, body);
        assert_int_equal(f->a.status, 201);
        assert_int_equal(json_array_size(f->a.body), 1);
        const json_t *row = json_array_get(f->a.body, 0);
        assert_string_equal(cm_json_str(row, "id"), "bad");
        assert_string_equal(cm_json_str(row, "rev"), "1-b");
        assert_string_equal(cm_json_str(row, "error"), "forbidden");
    }
    assert_int_equal(cs_doc_count(f->node.store), 2 * UNREAD);
}

static void an_unread_edit_is_refused_alone(void **state)
{
    struct fixture *f = *state;
    ask(&f->node, &f->a, "POST", BULK,
        "{\"docs\":[{\"_id\":\"a\"},{\"_id\":\"bad\",\"v\":1e400},{\"v\":12345678901234567890},"
        "{\"_id\":\"b\"}]}");
    assert_int_equal(f->a.status, 201);
    assert_int_equal(json_array_size(f->a.body), 4); /* in the order of the documents */
    assert_string_equal(cm_json_str(json_array_get(f->a.body, 0), "id"), "a");
    assert_string_equal(cm_json_str(json_array_get(f->a.body, 1), "error"), "forbidden");
    assert_non_null(strstr(cm_json_str(json_array_get(f->a.body, 2), "reason"), "integer"));
    assert_true(cm_json_bool(json_array_get(f->a.body, 3), "ok", false));
    /* The same of the others as ever: a wrong member refuses all. */
    ask(&f->node, &f->a, "POST", BULK,
        "{\"docs\":[{\"_id\":\"c\"},{\"_id\":\"bad\",\"v\":1e400},{\"_odd\":1}]}");
    assert_int_equal(f->a.status, 400);
    /* What is no JSON is no request. */
    ask(&f->node, &f->a, "POST", BULK, "{\"docs\":[{\"_id\":\"c\"},{\"_id\":\"bad\",}]}");
    assert_int_equal(f->a.status, 400);
    ask(&f->node, &f->a, "POST", BULK, "{\"docs\":[{\"_id\":\"c\"},{\"_id\":\"\xff\"}]}");
    assert_int_equal(f->a.status, 400);
    assert_int_equal(cs_doc_count(f->node.store), 2);
}

/* In a fleet it is on the list of what was refused, unless its sender may not write it anyway. */
static void an_unread_document_is_listed(void **state)
{
    struct fixture *f = *state;
    CM_AUTO_JSON good = doc_receipt("edge", ULID("02"), 7, "opened");
    cm_json_set_str(good, "_rev", "1-a");
    CM_AUTO_STR text = cm_json_dump(good, NULL);
    CM_AUTO_STR body = cm_asprintf("{\"new_edits\":false,\"docs\":["
                                   "{\"_id\":\"" RECEIPT "\",\"_rev\":\"1-b\",\"v\":1e400},%s,"
                                   "{\"_id\":\"settings:default\",\"_rev\":\"1-c\",\"v\":1e400}]}",
                                   text);
    ask(&f->node, &f->a, "POST", BULK, body);
    assert_int_equal(f->a.status, 201);
    assert_int_equal(json_array_size(f->a.body), 2);
    CM_AUTO_JSON list = cs_quarantine(f->node.store);
    assert_int_equal(json_array_size(list), 1);
    const json_t *entry = json_array_get(list, 0);
    assert_string_equal(cm_json_str(entry, "id"), RECEIPT);
    assert_string_equal(cm_json_str(entry, "peer"), "edge");
    CM_AUTO_JSON taken = cs_get_body(f->node.store, "receipt:edge:" ULID("02"));
    assert_non_null(taken);
}

/* [[[…1…]]], as a member of a document so many levels deep. */
static char *nested(int levels)
{
    char *text = cm_calloc(1, (size_t)(2 * levels));
    memset(text, '[', (size_t)levels - 1);
    text[levels - 1] = '1';
    memset(text + levels, ']', (size_t)levels - 1);
    return text;
}

/* What is taken can be read by the others, with all that an answer puts around it. */
static void a_document_is_as_deep_as_an_answer_can_be(void **state)
{
    struct fixture *f = *state;
    struct node other = {0};
    CM_AUTO_STR deepest = nested(CS_DOC_LEVELS);
    CM_AUTO_STR deeper = nested(CS_DOC_LEVELS + 1);
    CM_AUTO_STR body = cm_asprintf("{\"new_edits\":false,\"docs\":["
                                   "{\"_id\":\"deepest\",\"_rev\":\"1-a\",\"v\":%s},"
                                   "{\"_id\":\"deeper\",\"_rev\":\"1-a\",\"v\":%s}]}",
                                   deepest, deeper);
    ask(&f->node, &f->a, "POST", BULK, body);
    assert_int_equal(f->a.status, 201);
    assert_int_equal(json_array_size(f->a.body), 1);
    assert_string_equal(cm_json_str(json_array_get(f->a.body, 0), "id"), "deeper");
    assert_non_null(strstr(cm_json_str(json_array_get(f->a.body, 0), "reason"), "27 levels"));
    CM_AUTO_STR single = cm_asprintf("{\"v\":%s}", deeper);
    ask(&f->node, &f->a, "PUT", "/db/single", single);
    assert_int_equal(f->a.status, 413);
    node_start(&f->rig, &other, "b", true);
    struct rp_client *client = client_start_with(&other, &f->node, true, false);
    client_settle(&other, client);
    assert_true(same_leaves(&f->node, &other, "deepest"));
    assert_int_equal(cs_doc_count(other.store), 1);
    rp_client_end(client);
    node_close(&other);
}

/* A hub has ids that we cannot have: it never hears that one of them is missing. */
static void an_unread_id_is_not_missing(void **state)
{
    struct fixture *f = *state;
    static const char asked[] = "{\"a\":[\"1-a\"],\"b\\u0000\":[\"1-b\"],\"\\ud800\":[\"1-c\"]}";
    ask(&f->node, &f->a, "POST", "/db/_revs_diff", asked);
    assert_int_equal(f->a.status, 200);
    assert_string_equal(f->a.text, "{\"a\":{\"missing\":[\"1-a\"]}}\n");
    ask(&f->node, &f->a, "POST", "/db/_missing_revs", asked);
    assert_string_equal(f->a.text, "{\"missing_revs\":{\"a\":[\"1-a\"]}}\n");
    ask(&f->node, &f->a, "POST", "/db/_revs_diff", "{\"a\":[\"1-a\"],}");
    assert_int_equal(f->a.status, 400);
}

int main(void)
{
#define LAB(test) cmocka_unit_test_setup_teardown(test, start_lab, teardown)
    const struct CMUnitTest tests[] = {
        LAB(the_first_of_several_edits_wins),
        LAB(what_was_there_before_counts),
        LAB(branches_are_edited_side_by_side),
        LAB(an_unread_document_is_refused_alone),
        LAB(an_unread_edit_is_refused_alone),
        cmocka_unit_test_setup_teardown(an_unread_document_is_listed, start_fleet, teardown),
        LAB(a_document_is_as_deep_as_an_answer_can_be),
        LAB(an_unread_id_is_not_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
