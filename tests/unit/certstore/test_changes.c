/* The change feed: newest change of each document. */
#include "support.h"

static char rows[4096];

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

static int on_row(void *arg, const struct cs_change *change)
{
    char row[512];
    int *stop_after = arg;
    snprintf(row, sizeof(row), "%lld %s%s", (long long)change->seq, change->id,
             change->deleted ? " deleted" : "");
    strncat(rows, row, sizeof(rows) - strlen(rows) - 1);
    for (size_t i = 0; i < change->leaf_count; i++) {
        snprintf(row, sizeof(row), " %s", change->leaf_rev[i]);
        strncat(rows, row, sizeof(rows) - strlen(rows) - 1);
    }
    strncat(rows, ";", sizeof(rows) - strlen(rows) - 1);
    return stop_after && --*stop_after == 0 ? 42 : 0;
}

static int feed(struct rig *rig, int64_t since, size_t limit, int *stop_after)
{
    rows[0] = '\0';
    return cs_changes(rig->store, since, limit, on_row, stop_after, NULL);
}

static void write_doc(struct rig *rig, const char *id, const char *path, bool deleted)
{
    json_t *doc = json_pack("{s:s}", "_id", id);
    if (deleted)
        cm_json_set_bool(doc, "_deleted", true);
    assert_int_equal(replicate(rig, at_rev(doc, path)).code, 0);
}

static void newest_change_of_each(void **state)
{
    struct rig *rig = *state;
    write_doc(rig, "a", "1-a", false);
    write_doc(rig, "b", "1-b", false);
    write_doc(rig, "c", "1-c", false);
    assert_int_equal(feed(rig, 0, 100, NULL), 0);
    assert_string_equal(rows, ""); /* not durable yet */
    commit(rig);
    write_doc(rig, "a", "2-z,1-a", false);
    write_doc(rig, "a", "2-y,1-a", true);
    write_doc(rig, "c", "2-d,1-c", true);
    commit(rig);
    assert_int_equal(feed(rig, 0, 100, NULL), 0);
    assert_string_equal(rows, "2 b 1-b;5 a 2-z 2-y;6 c deleted 2-d;");
    assert_int_equal(feed(rig, 2, 1, NULL), 0);
    assert_string_equal(rows, "5 a 2-z 2-y;");
    assert_int_equal(feed(rig, 6, 100, NULL), 0);
    assert_string_equal(rows, "");
    assert_int_equal(feed(rig, 0, 0, NULL), 0);
    assert_string_equal(rows, "");
    assert_int_equal(feed(rig, INT64_MAX, 5, NULL), 0);
    assert_int_equal(feed(rig, -7, 1, NULL), 0);
    assert_string_equal(rows, "2 b 1-b;");
    int stop_after = 2;
    assert_int_equal(feed(rig, 0, 100, &stop_after), 42);
    assert_string_equal(rows, "2 b 1-b;5 a 2-z 2-y;");
    assert_sound(rig, 3);
}

static void replay_is_no_change(void **state)
{
    struct rig *rig = *state;
    write_doc(rig, "a", "2-b,1-a", false);
    commit(rig);
    write_doc(rig, "a", "2-b,1-a", false);
    write_doc(rig, "a", "1-a", false);
    commit(rig);
    assert_int_equal(cs_seq(rig->store), 1);
    feed(rig, 0, 100, NULL);
    assert_string_equal(rows, "1 a 2-b;");
}

static const char *walk(struct rig *rig, const char *from, bool descending)
{
    rows[0] = '\0';
    assert_int_equal(cs_docs(rig->store, from, descending, 100, on_row, NULL, NULL), 0);
    return rows;
}

/* From an id on it is this id, not one that begins with it, in both directions. */
static void ids_in_both_directions(void **state)
{
    struct rig *rig = *state;
    write_doc(rig, "a", "1-a", false);
    write_doc(rig, "b", "1-b", false);
    write_doc(rig, "bc", "1-c", false);
    write_doc(rig, "\xf4\x8f\xbf\xbf", "1-d", false); /* the highest of all characters */
    commit(rig);
    assert_string_equal(walk(rig, NULL, false), "1 a 1-a;2 b 1-b;3 bc 1-c;4 \xf4\x8f\xbf\xbf 1-d;");
    assert_string_equal(walk(rig, "b", false), "2 b 1-b;3 bc 1-c;4 \xf4\x8f\xbf\xbf 1-d;");
    assert_string_equal(walk(rig, "b", true), "2 b 1-b;1 a 1-a;");
    assert_string_equal(walk(rig, "ba", true), "2 b 1-b;1 a 1-a;");
    assert_string_equal(walk(rig, NULL, true), "4 \xf4\x8f\xbf\xbf 1-d;3 bc 1-c;2 b 1-b;1 a 1-a;");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {T(newest_change_of_each), T(replay_is_no_change),
                                       T(ids_in_both_directions)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
