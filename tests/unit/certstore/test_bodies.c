/* Bodies in memory: certstore/bodies.c. */
#include "support.h"

static int setup(void **state)
{
    static struct rig rig;
    rig_open(&rig, false);
    *state = &rig;
    return 0;
}

static int teardown(void **state)
{
    rig_close(*state);
    return 0;
}

static json_t *with_list(const char *id, int value)
{
    return json_pack("{s:s,s:[i]}", "_id", id, "list", value);
}

static int first(const json_t *body)
{
    return (int)json_integer_value(json_array_get(cm_json_arr(body, "list"), 0));
}

static void all_share_one(void **state)
{
    struct rig *rig = *state;
    replicate(rig, at_rev(with_list("x", 1), "1-a"));
    CM_AUTO_JSON one = cs_peek_body(rig->store, "x");
    CM_AUTO_JSON two = cs_peek_body(rig->store, "x");
    assert_ptr_equal(one, two);
    assert_int_equal(first(one), 1);
    assert_null(cs_peek_body(rig->store, "y"));
}

/* Whoever may change a body has one of his own. */
static void copies_are_independent(void **state)
{
    struct rig *rig = *state;
    replicate(rig, at_rev(with_list("x", 1), "1-a"));
    CM_AUTO_JSON mine = cs_get_body(rig->store, "x");
    json_array_clear(cm_json_arr(mine, "list"));
    CM_AUTO_JSON other = cs_get_body(rig->store, "x");
    assert_int_equal(first(other), 1);
    commit(rig);
    CM_AUTO_JSON doc = NULL;
    assert_int_equal(cs_read_rev(rig->store, "x", NULL, true, false, &doc, NULL), 0);
    assert_non_null(cm_json_str(doc, "_rev"));
    json_object_del(doc, "list");
    CM_AUTO_JSON shared = cs_peek_body(rig->store, "x");
    assert_null(json_object_get(shared, "_rev"));
    assert_int_equal(first(shared), 1);
}

static void a_newer_revision_is_read(void **state)
{
    struct rig *rig = *state;
    replicate(rig, at_rev(with_list("x", 1), "1-a"));
    CM_AUTO_JSON before = cs_peek_body(rig->store, "x");
    replicate(rig, at_rev(with_list("x", 2), "2-b,1-a"));
    CM_AUTO_JSON after = cs_peek_body(rig->store, "x");
    assert_int_equal(first(before), 1); /* still what it was */
    assert_int_equal(first(after), 2);
}

/* The name of a revision tells nothing of its text without signatures: 1-a was known by name only,
 * then with a text. */
static void a_text_written_later_is_read(void **state)
{
    struct rig *rig = *state;
    replicate(rig, at_rev(with_list("x", 2), "2-b,1-a"));
    commit(rig);
    CM_AUTO_JSON doc = NULL;
    assert_int_equal(cs_read_rev(rig->store, "x", "1-a", false, false, &doc, NULL), CM_ENOENT);
    CM_AUTO_JSON kept = cs_peek_body(rig->store, "x");
    assert_int_equal(first(kept), 2);
    replicate(rig, at_rev(with_list("x", 1), "1-a"));
    commit(rig);
    CM_AUTO_JSON old = NULL;
    assert_int_equal(cs_read_rev(rig->store, "x", "1-a", false, false, &old, NULL), 0);
    assert_int_equal(first(old), 1);
    CM_AUTO_JSON again = cs_peek_body(rig->store, "x");
    assert_int_equal(first(again), 2);
}

static void more_documents_than_room(void **state)
{
    struct rig *rig = *state;
    enum { MANY = 1000 };
    for (int i = 0; i < MANY; i++) {
        CM_AUTO_STR id = cm_asprintf("doc%d", i);
        replicate(rig, at_rev(with_list(id, i), "1-a"));
    }
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < MANY; i++) {
            CM_AUTO_STR id = cm_asprintf("doc%d", i);
            CM_AUTO_JSON body = cs_peek_body(rig->store, id);
            assert_int_equal(first(body), i);
        }
}

static void large_ones_are_not_kept(void **state)
{
    struct rig *rig = *state;
    CM_AUTO_STR text = cm_calloc(1, 20001);
    memset(text, 'x', 20000);
    replicate(rig, at_rev(json_pack("{s:s,s:s}", "_id", "x", "text", text), "1-a"));
    CM_AUTO_JSON one = cs_peek_body(rig->store, "x");
    CM_AUTO_JSON two = cs_peek_body(rig->store, "x");
    assert_ptr_not_equal(one, two);
    assert_string_equal(cm_json_str(two, "text"), text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_share_one),
        TEST(copies_are_independent),
        TEST(a_newer_revision_is_read),
        TEST(a_text_written_later_is_read),
        TEST(more_documents_than_room),
        TEST(large_ones_are_not_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
