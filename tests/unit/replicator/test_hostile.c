/* What a hostile peer sends to our own routes: refused one by one, or as a request, in bounded
 * memory; the server answers the next request as if nothing had been. */
#include "tests/unit/replicator/rig.h"

#include <stdio.h>
#include <string.h>

#include "base/core/mem.h"
#include "replicator/values.h"

#define DOC "receipt:edge:" ULID("01")

struct fixture {
    struct rig rig;
    struct node node;
    struct answer a;
    struct cm_buf text;
};

static int setup(void **state)
{
    struct fixture *f = test_calloc(1, sizeof(*f));
    rig_open(&f->rig);
    node_start(&f->rig, &f->node, "manager", false);
    f->node.unread = true;
    cm_buf_init(&f->text, 64u << 20);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    cm_buf_fini(&f->text);
    answer_fini(&f->a);
    node_close(&f->node);
    rig_close(&f->rig);
    test_free(f);
    return 0;
}

static void repeat(struct fixture *f, const char *head, const char *item, size_t count,
                   const char *tail)
{
    cm_buf_fini(&f->text);
    cm_buf_init(&f->text, 64u << 20);
    cm_buf_puts(&f->text, head);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            cm_buf_putc(&f->text, ',');
        cm_buf_puts(&f->text, item);
    }
    cm_buf_puts(&f->text, tail);
}

static void send(struct fixture *f, const char *path, int status)
{
    ask(&f->node, &f->a, "POST", path, cm_buf_str(&f->text));
    assert_int_equal(f->a.status, status);
}

static void assert_alive(struct fixture *f)
{
    ask(&f->node, &f->a, "GET", "/db/", NULL);
    assert_int_equal(f->a.status, 200);
}

static void test_arrays_of_a_million(void **state)
{
    struct fixture *f = *state;
    repeat(f, "{\"" DOC "\":[", "\"1-a\"", 1000000, "]}");
    send(f, "/db/_revs_diff", 413);
    assert_string_equal(cm_json_str(f->a.body, "error"), "too_large");
    send(f, "/db/_missing_revs", 413);
    repeat(f, "{\"" DOC "\":[", "\"1-a\"", 20001, "]}");
    send(f, "/db/_revs_diff", 413);
    repeat(f, "{\"docs\":[", "{\"id\":\"\"}", 700000, "]}");
    send(f, "/db/_bulk_get", 413);
    repeat(f, "{\"docs\":[", "[]", 2500000, "]}");
    send(f, "/db/_bulk_docs", 413);
    repeat(f, "{\"new_edits\":false,\"docs\":[", "{\"_id\":\"x\",\"_rev\":\"1-a\"}", 1001, "]}");
    send(f, "/db/_bulk_docs", 413);
    repeat(f, "{\"docs\":[", "{\"id\":\"" DOC "\"}", 100000, "]}");
    send(f, "/db/_bulk_get", 200); /* read as it is made, never as a whole */
    assert_true(f->a.len > 100000 * strlen(DOC));
    assert_alive(f);
}

static void test_histories_without_end(void **state)
{
    struct fixture *f = *state;
    CM_AUTO_JSON good = doc_receipt("edge", ULID("01"), 5, "opened");
    CM_AUTO_STR plain = cm_json_dump(good, NULL);
    /* Far below the one that is sent, a history is cut off at the limit, however long it is. */
    CM_AUTO_STR head = cm_asprintf("{\"new_edits\":false,\"docs\":[%.*s,\"_revisions\":{\"start\":"
                                   "300000,\"ids\":[",
                                   (int)strlen(plain) - 1, plain);
    repeat(f, head, "\"a\"", 300000, "]}}]}");
    send(f, "/db/_bulk_docs", 201);
    const json_t *row = json_array_get(f->a.body, 0);
    assert_string_equal(cm_json_str(row, "error"), "forbidden");
    assert_non_null(strstr(cm_json_str(row, "reason"), "generation 300000"));
    repeat(f, head, "\"a\"", 1000000, "]}}]}");
    send(f, "/db/_bulk_docs", 413);
    assert_alive(f);
}

static json_t *at(json_t *take, const char *rev)
{
    cm_json_set_str(take, "_rev", rev);
    return take;
}

/* Each of these is refused alone, and the good one in their midst is taken. */
static void test_one_by_one(void **state)
{
    static const char *const reasons[] = {
        "generation",
        "Invalid rev",
        "signature",
        "older",
        "fork",
        "256 KiB",
        "signature",
        "from a manager only",
        "unknown document type",
    };
    struct fixture *f = *state;
    put_doc(&f->node, doc_receipt("edge", ULID("01"), 100, "opened"), NULL);
    CM_AUTO_STR large = cm_malloc(300000);
    memset(large, 'x', 299999);
    large[299999] = '\0';
    json_t *docs = json_array();
    json_array_append_new(docs, at(doc_receipt("edge", ULID("01"), 200, "served"),
                                   "999999999-ffffffffffffffffffffffffffffffff"));
    json_array_append_new(
        docs, at(doc_receipt("edge", ULID("01"), 200, "served"), "100000000000000000000000000-ff"));
    json_t *forged = at(doc_receipt("edge", ULID("01"), 200, "served"), "2-b");
    doc_forge(forged);
    json_array_append_new(docs, forged);
    json_array_append_new(docs, at(doc_receipt("edge", ULID("01"), 50, "served"), "2-c"));
    json_array_append_new(docs, at(doc_receipt("edge", ULID("01"), 100, "served"), "2-d"));
    json_t *giant = at(doc_receipt("edge", ULID("01"), 200, "served"), "2-e");
    cm_json_set_str(giant, "x", large);
    json_array_append_new(docs, giant);
    json_t *stripped = at(doc_receipt("edge", ULID("01"), 200, "served"), "2-f");
    cm_json_set_str(cm_json_obj(stripped, "signature"), "value", "YmFk");
    json_array_append_new(docs, stripped);
    json_array_append_new(docs, at(doc_settings("default", 1, 1), "1-a"));
    json_array_append_new(docs, json_pack("{s:s,s:s}", "_id", "evil:one", "_rev", "1-a"));
    json_array_append_new(docs, at(doc_receipt("edge", ULID("02"), 7, "opened"), "1-a"));
    CM_AUTO_JSON body = json_pack("{s:b,s:o}", "new_edits", 0, "docs", docs);
    CM_AUTO_STR text = cm_json_dump(body, NULL);
    ask(&f->node, &f->a, "POST", "/db/_bulk_docs", text);
    assert_int_equal(f->a.status, 201);
    size_t count = sizeof(reasons) / sizeof(reasons[0]);
    assert_int_equal(json_array_size(f->a.body), count);
    for (size_t i = 0; i < count; i++) {
        const json_t *row = json_array_get(f->a.body, i);
        assert_string_equal(cm_json_str(row, "error"), "forbidden");
        if (!strstr(cm_json_str_or(row, "reason", ""), reasons[i]))
            fail_msg("%zu: %s", i, cm_json_str_or(row, "reason", ""));
    }
    CM_AUTO_JSON kept = cs_get_body(f->node.store, DOC);
    assert_int_equal(cm_json_int(kept, "serial", 0), 100);
    CM_AUTO_JSON taken = cs_get_body(f->node.store, "receipt:edge:" ULID("02"));
    assert_non_null(taken);
    /* What the peer may not even send is not kept; the rest is listed. */
    CM_AUTO_JSON list = cs_quarantine(f->node.store);
    assert_int_equal(json_array_size(list), 7);
    assert_string_equal(cm_json_str(json_array_get(list, 0), "peer"), "edge");
}

static void test_json_without_bottom(void **state)
{
    struct fixture *f = *state;
    cm_buf_puts(&f->text, "{\"new_edits\":false,\"docs\":[{\"_id\":\"" DOC "\",\"x\":");
    for (int i = 0; i < 100000; i++)
        cm_buf_putc(&f->text, '[');
    send(f, "/db/_bulk_docs", 400);
    assert_alive(f);
}

static void test_the_bound(void **state)
{
    struct fixture *f = *state;
    repeat(f, "[", "1", RP_VALUES_MAX, "");
    assert_true(rp_values_ok(cm_buf_str(&f->text), f->text.len));
    repeat(f, "[", "1", RP_VALUES_MAX + 1, "");
    assert_false(rp_values_ok(cm_buf_str(&f->text), f->text.len));
    assert_true(rp_values_ok("", 0));
}

/* Each of the three counts wherever it stands, and no other byte does. */
static void test_what_counts(void **state)
{
    struct fixture *f = *state;
    CM_AUTO_STR many = cm_calloc(1, RP_VALUES_MAX + 1);
    cm_buf_add(&f->text, many, RP_VALUES_MAX + 1);
    for (int c = 0; c < 256; c++) {
        memset(f->text.data, c, f->text.len);
        bool counts = c == ',' || c == '[' || c == '{';
        assert_int_equal(rp_values_ok(f->text.data, f->text.len), !counts);
        assert_true(rp_values_ok(f->text.data, f->text.len - 1));
        f->text.data[f->text.len / 2] = 'x';
        assert_true(rp_values_ok(f->text.data, f->text.len));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_arrays_of_a_million, setup, teardown),
        cmocka_unit_test_setup_teardown(test_histories_without_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_by_one, setup, teardown),
        cmocka_unit_test_setup_teardown(test_json_without_bottom, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_bound, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_counts, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
