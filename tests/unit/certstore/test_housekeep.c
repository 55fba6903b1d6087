/* Limit of revisions, purge, compaction, documents by id, missing revisions. */
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

static void add(struct rig *rig, const char *id, const char *path, bool deleted)
{
    json_t *doc = json_pack("{s:s,s:s}", "_id", id, "at", path);
    if (deleted)
        cm_json_set_bool(doc, "_deleted", true);
    assert_int_equal(replicate(rig, at_rev(doc, path)).code, 0);
    commit(rig);
}

static size_t depth(struct rig *rig, const char *id)
{
    CM_AUTO_JSON doc = NULL;
    assert_int_equal(cs_read_rev(rig->store, id, NULL, true, false, &doc, NULL), 0);
    return json_array_size(cm_json_arr(cm_json_obj(doc, "_revisions"), "ids"));
}

static void limit_stems_and_stays(void **state)
{
    struct rig *rig = *state;
    struct cm_err err = CM_ERR_INIT;
    assert_int_equal(cs_revs_limit(rig->store), CS_REVS_LIMIT);
    add(rig, "a", "5-e,4-d,3-c,2-b,1-a", false);
    assert_int_equal(depth(rig, "a"), 5);
    assert_int_equal(cs_set_revs_limit(rig->store, 0, NULL), CM_EINVAL);
    assert_int_equal(cs_set_revs_limit(rig->store, CS_REVS_LIMIT + 1, NULL), CM_EINVAL);
    assert_int_equal(cs_set_revs_limit(rig->store, 3, &err), 0);
    commit(rig);
    add(rig, "a", "6-f,5-e", false);
    assert_int_equal(depth(rig, "a"), 3);
    assert_false(cs_has_rev(rig->store, "a", "3-c"));
    rig_reopen(rig);
    assert_int_equal(cs_revs_limit(rig->store), 3);
    add(rig, "a", "7-g,6-f", false);
    assert_int_equal(depth(rig, "a"), 3);
    assert_sound(rig, 1);
}

static json_t *purge(struct rig *rig, const char *id, const char *rev)
{
    CM_AUTO_JSON revs = json_pack("[s]", rev);
    json_t *purged = NULL;
    struct cm_err err = CM_ERR_INIT;
    if (cs_purge(rig->store, id, revs, &purged, &err) < 0)
        fail_msg("cs_purge: %s", err.what);
    commit(rig);
    return purged;
}

static void purge_takes_leaves_only(void **state)
{
    struct rig *rig = *state;
    add(rig, "a", "2-b,1-a", false);
    add(rig, "a", "3-d,2-c,1-a", true);
    add(rig, "b", "1-x", false);
    int64_t seq = cs_seq(rig->store);
    CM_AUTO_JSON none = purge(rig, "a", "1-a");
    assert_int_equal(json_array_size(none), 0);
    assert_int_equal(cs_seq(rig->store), seq);
    CM_AUTO_JSON live = purge(rig, "a", "2-b");
    assert_true(cm_json_has_str(live, "2-b"));
    assert_true(cs_seq(rig->store) > seq);
    assert_false(cs_has_rev(rig->store, "a", "2-b"));
    assert_true(cs_has_rev(rig->store, "a", "1-a")); /* of the other leaf, too */
    assert_int_equal(cs_doc_count(rig->store), 1);
    assert_int_equal(cs_deleted_count(rig->store), 1);
    assert_sound(rig, 2);
    CM_AUTO_JSON rest = purge(rig, "a", "3-d");
    assert_int_equal(json_array_size(rest), 1);
    assert_false(cs_has_rev(rig->store, "a", "1-a"));
    assert_int_equal(cs_deleted_count(rig->store), 0);
    assert_sound(rig, 1);
    /* A peer brings it back. */
    add(rig, "a", "2-b,1-a", false);
    assert_int_equal(cs_doc_count(rig->store), 2);
    assert_sound(rig, 2);
    CM_AUTO_JSON bad = json_pack("[s]", "zz");
    json_t *purged = NULL;
    assert_int_equal(cs_purge(rig->store, "a", bad, &purged, NULL), CM_EMALF);
    assert_null(purged);
}

static void compaction_forgets_old_bodies(void **state)
{
    struct rig *rig = *state;
    struct cm_err err = CM_ERR_INIT;
    char next[CS_ID_MAX + 2], again[CS_ID_MAX + 2];
    json_t *doc = NULL;
    for (int i = 0; i < 3; i++) {
        char id[2] = {(char)('a' + i), '\0'};
        add(rig, id, "1-a", false);
        add(rig, id, "2-b,1-a", false);
    }
    assert_int_equal(cs_compact(rig->store, "", 2, next, &err), 0);
    commit(rig);
    assert_string_equal(next, "b\001");
    assert_int_equal(cs_read_rev(rig->store, "b", "1-a", false, false, &doc, NULL), CM_ENOENT);
    assert_int_equal(cs_read_rev(rig->store, "c", "1-a", false, false, &doc, NULL), 0);
    json_decref(doc);
    assert_int_equal(cs_compact(rig->store, next, 2, again, &err), 0);
    commit(rig);
    assert_string_equal(again, "");
    assert_int_equal(cs_read_rev(rig->store, "c", "1-a", false, false, &doc, NULL), CM_ENOENT);
    assert_int_equal(cs_read_rev(rig->store, "c", "2-b", false, false, &doc, NULL), 0);
    json_decref(doc);
    assert_int_equal(depth(rig, "c"), 2);
    assert_sound(rig, 3);
}

static int join_ids(void *arg, const struct cs_change *change)
{
    json_array_append_new(arg, json_string(change->id));
    return strcmp(change->id, "stop") == 0;
}

static void check_docs(struct rig *rig, const char *from, bool descending, size_t limit,
                       const char *expected)
{
    CM_AUTO_JSON ids = json_array();
    assert_true(cs_docs(rig->store, from, descending, limit, join_ids, ids, NULL) >= 0);
    char text[100] = "";
    for (size_t i = 0; i < json_array_size(ids); i++) {
        size_t len = strlen(text);
        snprintf(text + len, sizeof(text) - len, "%s ", json_string_value(json_array_get(ids, i)));
    }
    assert_string_equal(text, expected);
}

static void documents_by_id(void **state)
{
    struct rig *rig = *state;
    check_docs(rig, NULL, true, 9, "");
    add(rig, "b", "1-a", false);
    add(rig, "aa", "1-a", true);
    add(rig, "a", "1-a", false);
    add(rig, "stop", "1-a", false);
    add(rig, "z", "1-a", false);
    check_docs(rig, NULL, false, 2, "a aa ");
    check_docs(rig, "a\001", false, 9, "aa b stop ");
    check_docs(rig, "aa", false, 2, "aa b ");
    check_docs(rig, NULL, true, 9, "z stop ");
    check_docs(rig, "b", true, 9, "b aa a ");
    check_docs(rig, "ab", true, 1, "aa ");
    check_docs(rig, "0", true, 9, "");
}

static void missing_and_ancestors(void **state)
{
    struct rig *rig = *state;
    add(rig, "a", "2-b,1-a", false);
    add(rig, "a", "4-e,3-d", true);
    CM_AUTO_JSON revs = json_pack("[s,s,s]", "3-x", "2-b", "1-z");
    CM_AUTO_JSON missing = NULL;
    CM_AUTO_JSON ancestors = NULL;
    assert_int_equal(cs_missing_revs(rig->store, "a", revs, &missing, &ancestors, NULL), 0);
    assert_int_equal(json_array_size(missing), 2);
    assert_string_equal(json_string_value(json_array_get(missing, 0)), "3-x");
    assert_string_equal(json_string_value(json_array_get(missing, 1)), "1-z");
    assert_int_equal(json_array_size(ancestors), 1);
    assert_true(cm_json_has_str(ancestors, "2-b"));
    CM_AUTO_JSON unknown = NULL;
    assert_int_equal(cs_missing_revs(rig->store, "none", revs, &unknown, NULL, NULL), 0);
    assert_int_equal(json_array_size(unknown), 3);
    CM_AUTO_JSON bad = json_pack("[i]", 1);
    json_t *nothing = NULL;
    assert_int_equal(cs_missing_revs(rig->store, "a", bad, &nothing, NULL, NULL), CM_EMALF);
    assert_null(nothing);
}

static void not_with_policy(void **state)
{
    (void)state;
    struct rig rig;
    char next[CS_ID_MAX + 2];
    json_t *purged = NULL;
    CM_AUTO_JSON revs = json_pack("[s]", "1-a");
    rig_open(&rig, true);
    assert_int_equal(cs_set_revs_limit(rig.store, 20, NULL), CM_EDENIED);
    assert_int_equal(cs_purge(rig.store, "settings:a", revs, &purged, NULL), CM_EDENIED);
    assert_int_equal(cs_compact(rig.store, "", 9, next, NULL), CM_EDENIED);
    assert_int_equal(cs_revs_limit(rig.store), CS_REVS_LIMIT);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(limit_stems_and_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(purge_takes_leaves_only, setup, teardown),
        cmocka_unit_test_setup_teardown(compaction_forgets_old_bodies, setup, teardown),
        cmocka_unit_test_setup_teardown(documents_by_id, setup, teardown),
        cmocka_unit_test_setup_teardown(missing_and_ancestors, setup, teardown),
        cmocka_unit_test(not_with_policy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
