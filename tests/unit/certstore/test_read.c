/* Reading documents and revisions. */
#include "support.h"

/* Reading for replication, and the interactive edits of a store without policy. */

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

static json_t *plain(const char *id, int64_t value)
{
    return json_pack("{s:s,s:I}", "_id", id, "v", (json_int_t)value);
}

static struct cs_result edit(struct rig *rig, json_t *take_doc, const char *rev)
{
    struct cs_result result;
    if (rev)
        cm_json_set_str(take_doc, "_rev", rev);
    cs_put_edit(rig->store, take_doc, &result, NULL);
    json_decref(take_doc);
    return result;
}

static void assert_rev(struct rig *rig, const char *id, const char *rev, bool latest,
                       const char *expected)
{
    CM_AUTO_JSON doc = NULL;
    int rc = cs_read_rev(rig->store, id, rev, false, latest, &doc, NULL);
    if (!expected) {
        assert_int_equal(rc, CM_ENOENT);
        return;
    }
    assert_int_equal(rc, 0);
    assert_string_equal(cm_json_str(doc, "_rev"), expected);
}

static void reads_revisions(void **state)
{
    struct rig *rig = *state;
    replicate(rig, at_rev(plain("x", 1), "1-a"));
    replicate(rig, at_rev(plain("x", 2), "2-b,1-a"));
    replicate(rig, at_rev(plain("x", 3), "3-c,2-b,1-a"));
    replicate(rig, at_rev(plain("x", 4), "3-d,2-b,1-a"));
    json_t *tombstone = at_rev(plain("x", 5), "9-e,8-n");
    cm_json_set_bool(tombstone, "_deleted", true);
    replicate(rig, tombstone);
    commit(rig);
    assert_rev(rig, "x", NULL, false, "3-d");
    assert_rev(rig, "x", "2-b", false, "2-b"); /* without policy old texts are kept */
    assert_rev(rig, "x", "2-b", true, "3-d");
    assert_rev(rig, "x", "3-c", true, "3-c");
    assert_rev(rig, "x", "8-n", false, NULL); /* known by name only */
    assert_rev(rig, "x", "8-n", true, "9-e");
    assert_rev(rig, "x", "7-q", false, NULL);
    assert_rev(rig, "x", "rubbish", false, NULL);
    assert_rev(rig, "y", NULL, false, NULL);
    assert_true(cs_has_rev(rig->store, "x", "8-n"));
    assert_false(cs_has_rev(rig->store, "x", "7-q"));
    assert_false(cs_has_rev(rig->store, "x", "rubbish"));

    CM_AUTO_JSON leaves = NULL;
    assert_int_equal(cs_read_leaves(rig->store, "x", true, &leaves, NULL), 0);
    assert_int_equal(json_array_size(leaves), 3);
    static const char *const order[] = {"3-d", "3-c", "9-e"};
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(cm_json_str(json_array_get(leaves, i), "_rev"), order[i]);
    json_t *last = json_array_get(leaves, 2);
    assert_true(cm_json_bool(last, "_deleted", false));
    assert_int_equal(cm_json_int(last, "v", 0), 5);
    CM_AUTO_JSON history = NULL;
    assert_int_equal(cm_json_parse("{\"start\":9,\"ids\":[\"e\",\"n\"]}", 27, &history, NULL), 0);
    assert_true(json_equal(cm_json_obj(last, "_revisions"), history));
    json_t *none = NULL;
    assert_int_equal(cs_read_leaves(rig->store, "y", true, &none, NULL), CM_ENOENT);
    assert_sound(rig, 1);
}

static void what_is_left_of_the_ancestors(void **state)
{
    struct rig *rig = *state;
    static const char *const rows[][2] = {
        {"4-d", "available"}, {"3-c", "missing"}, {"2-b", "deleted"}, {"1-a", "available"}};
    replicate(rig, at_rev(plain("x", 1), "1-a"));
    json_t *tombstone = at_rev(plain("x", 2), "2-b,1-a");
    cm_json_set_bool(tombstone, "_deleted", true);
    replicate(rig, tombstone);
    replicate(rig, at_rev(plain("x", 4), "4-d,3-c,2-b,1-a"));
    replicate(rig, at_rev(plain("x", 5), "3-e,2-z")); /* of the winner alone */
    commit(rig);
    CM_AUTO_JSON info = NULL;
    json_t *none = NULL;
    assert_int_equal(cs_revs_info(rig->store, "x", &info, NULL), 0);
    assert_int_equal(json_array_size(info), 4);
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(cm_json_str(json_array_get(info, i), "rev"), rows[i][0]);
        assert_string_equal(cm_json_str(json_array_get(info, i), "status"), rows[i][1]);
    }
    assert_int_equal(cs_revs_info(rig->store, "y", &none, NULL), CM_ENOENT);
    assert_null(none);
}

/* What cs_write_revs() appends is what cs_read_rev() and cs_read_leaves() say, as text. */
static void assert_written(struct rig *rig, const char *id, const char *rev, bool latest,
                           const char *expected)
{
    struct cm_buf out;
    size_t count = 0;
    cm_buf_init(&out, 1 << 20);
    cm_buf_puts(&out, "[");
    int rc = cs_write_revs(rig->store, id, rev, true, latest, &out, &count, NULL);
    if (!expected) {
        assert_int_equal(rc, CM_ENOENT);
        assert_string_equal(cm_buf_str(&out), "[");
        cm_buf_fini(&out);
        return;
    }
    assert_int_equal(rc, 0);
    cm_buf_puts(&out, "]");
    CM_AUTO_JSON list = NULL;
    assert_int_equal(cm_json_parse(cm_buf_str(&out), out.len, &list, NULL), 0);
    cm_buf_fini(&out);
    assert_int_equal(json_array_size(list), count);
    char revs[200] = "";
    for (size_t i = 0; i < count; i++) {
        const json_t *doc = cm_json_obj(json_array_get(list, i), "ok");
        const char *name = cm_json_str(doc, "_rev");
        CM_AUTO_JSON read = NULL;
        assert_int_equal(cs_read_rev(rig->store, id, name, true, false, &read, NULL), 0);
        assert_true(json_equal(doc, read));
        size_t at = strlen(revs);
        snprintf(revs + at, sizeof(revs) - at, "%s%s", i > 0 ? " " : "", name);
    }
    assert_string_equal(revs, expected);
}

static void writes_revisions_as_text(void **state)
{
    struct rig *rig = *state;
    static const char odd[] = "2-a\"\\\xc3\xa4";
    replicate(rig, at_rev(json_pack("{s:s}", "_id", "only"), "1-a"));
    replicate(rig, at_rev(plain("\"odd\\", 1), odd));
    replicate(rig, at_rev(plain("x", 1), "1-a"));
    replicate(rig, at_rev(plain("x", 2), "2-b,1-a"));
    replicate(rig, at_rev(plain("x", 3), "3-c,2-b,1-a"));
    replicate(rig, at_rev(plain("x", 4), "3-d,2-b,1-a"));
    json_t *tombstone = at_rev(plain("x", 5), "9-e,8-n");
    cm_json_set_bool(tombstone, "_deleted", true);
    replicate(rig, tombstone);
    commit(rig);
    assert_written(rig, "only", NULL, false, "1-a");
    assert_written(rig, "\"odd\\", NULL, false, odd);
    assert_written(rig, "x", NULL, false, "3-d 3-c 9-e");
    assert_written(rig, "x", "2-b", false, "2-b");
    assert_written(rig, "x", "2-b", true, "3-d 3-c");
    assert_written(rig, "x", "3-c", true, "3-c");
    assert_written(rig, "x", "8-n", true, "9-e");
    assert_written(rig, "x", "8-n", false, NULL); /* known by name only */
    assert_written(rig, "x", "7-q", true, NULL);
    assert_written(rig, "x", "rubbish", true, NULL);
    assert_written(rig, "y", NULL, false, NULL);
}

static void reads_only_what_is_durable(void **state)
{
    struct rig *rig = *state;
    replicate(rig, at_rev(plain("x", 1), "1-a"));
    assert_rev(rig, "x", NULL, false, NULL);
    commit(rig);
    replicate(rig, at_rev(plain("x", 2), "2-b,1-a"));
    assert_rev(rig, "x", NULL, false, "1-a");
    CM_AUTO_JSON own = cs_get_body(rig->store, "x");
    assert_int_equal(cm_json_int(own, "v", 0), 2);
    commit(rig);
    assert_rev(rig, "x", NULL, false, "2-b");
}

static void edits_like_couchdb(void **state)
{
    struct rig *rig = *state;
    char first[CS_REV_MAX + 1];
    assert_int_equal(edit(rig, plain("x", 1), "1-a").code, CM_ECONFLICT);
    struct cs_result result = edit(rig, plain("x", 1), NULL);
    assert_int_equal(result.code, 0);
    snprintf(first, sizeof(first), "%s", result.rev);
    assert_int_equal(edit(rig, plain("x", 1), NULL).code, CM_ECONFLICT);
    result = edit(rig, plain("x", 2), first);
    assert_int_equal(result.code, 0);
    struct cs_result stale = edit(rig, plain("x", 3), first);
    assert_int_equal(stale.code, CM_ECONFLICT);
    assert_string_equal(stale.reason, "Document update conflict.");
    json_t *gone = plain("x", 0);
    cm_json_set_bool(gone, "_deleted", true);
    result = edit(rig, gone, result.rev);
    assert_int_equal(result.code, 0);
    /* Who names the tombstone, or deletes once more, has not seen the end. */
    assert_int_equal(edit(rig, plain("x", 4), result.rev).code, CM_ECONFLICT);
    gone = plain("x", 0);
    cm_json_set_bool(gone, "_deleted", true);
    assert_int_equal(edit(rig, gone, NULL).code, CM_ECONFLICT);
    /* Without a revision it goes on from the tombstone. */
    result = edit(rig, plain("x", 5), NULL);
    assert_int_equal(result.code, 0);
    assert_int_equal(strncmp(result.rev, "4-", 2), 0);
    commit(rig);
    assert_int_equal(cs_doc_count(rig->store), 1);
    assert_sound(rig, 1);
}

static void same_edit_same_revision(void **state)
{
    struct rig *rig = *state;
    struct cs_result one =
        edit(rig, json_pack("{s:s,s:f,s:i}", "_id", "x", "a", 0.5, "b", 1), NULL);
    struct cs_result two =
        edit(rig, json_pack("{s:i,s:f,s:s}", "b", 1, "a", 0.5, "_id", "x"), NULL);
    assert_int_equal(one.code, 0);
    assert_int_equal(two.code, CM_ECONFLICT);
    struct cs_result y1 = edit(rig, plain("y", 1), NULL);
    struct rig other;
    rig_open(&other, false);
    struct cs_result y2 = edit(&other, plain("y", 1), NULL);
    struct cs_result three =
        edit(&other, json_pack("{s:i,s:f,s:s}", "b", 1, "a", 0.5, "_id", "x"), NULL);
    assert_string_equal(y1.rev, y2.rev);
    assert_string_equal(one.rev, three.rev);
    rig_close(&other);
}

static void members_of_couchdb(void **state)
{
    struct rig *rig = *state;
    json_t *doc = plain("x", 1);
    cm_json_set_str(doc, "_replication_state", "completed");
    cm_json_set(doc, "_conflicts", json_array());
    cm_json_set(doc, "_attachments", json_object());
    assert_int_equal(edit(rig, doc, NULL).code, 0);
    CM_AUTO_JSON body = cs_get_body(rig->store, "x");
    assert_string_equal(cm_json_str(body, "_replication_state"), "completed");
    assert_int_equal(json_object_size(body), 3);
    doc = plain("y", 1);
    cm_json_set_str(doc, "_other", "");
    assert_int_equal(edit(rig, doc, NULL).code, CM_EMALF);
    assert_int_equal(edit(rig, plain("_x", 1), NULL).code, CM_EMALF);
    assert_int_equal(edit(rig, plain("_design/x", 1), NULL).code, 0);
    assert_int_equal(edit(rig, plain("", 1), NULL).code, CM_EMALF);
    doc = plain("z", 1);
    cm_json_set_str(doc, "_deleted", "yes");
    assert_int_equal(edit(rig, doc, NULL).code, CM_EMALF);
}

/* Without policy: a forgotten ancestor gets its text when it is sent later, as in CouchDB. */
static void ancestors_are_filled(void **state)
{
    struct rig *rig = *state;
    replicate(rig, at_rev(plain("x", 2), "2-b,1-a"));
    commit(rig);
    assert_rev(rig, "x", "1-a", false, NULL);
    assert_false(replicate(rig, at_rev(plain("x", 1), "1-a")).changed);
    commit(rig);
    assert_rev(rig, "x", "1-a", false, "1-a");
    assert_int_equal(cs_seq(rig->store), 1);
    assert_sound(rig, 1);
}

static void edits_need_no_policy(void **state)
{
    (void)state;
    struct rig signed_rig;
    rig_open(&signed_rig, true);
    struct cs_result result = edit(&signed_rig, settings("a", 1, 1, false), NULL);
    assert_int_equal(result.code, CM_EDENIED);
    rig_close(&signed_rig);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(reads_revisions),      T(writes_revisions_as_text), T(reads_only_what_is_durable),
        T(edits_like_couchdb),   T(same_edit_same_revision),  T(members_of_couchdb),
        T(ancestors_are_filled), T(edits_need_no_policy),     T(what_is_left_of_the_ancestors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
