/* cs_check() on whole and on damaged stores. */
#include "support.h"

#include <fcntl.h>

#include "base/core/file.h"
#include "certstore/internal.h"

static int setup(void **state)
{
    static struct rig rig;
    rig_open(&rig, true);
    put(&rig, settings("a", 1, 111, false));
    put(&rig, settings("a", 2, 1112, false));
    put(&rig, settings("b", 3, 1113, false));
    put(&rig, settings("c", 4, 0, true));
    commit(&rig);
    *state = &rig;
    return 0;
}

static int teardown(void **state)
{
    rig_close(*state);
    return 0;
}

/* Changes one record behind the store's back. */
static void tamper(struct rig *rig, const struct cs_key *key, const char *payload)
{
    struct cs_txn txn;
    assert_int_equal(cs_txn_begin(rig->store->env, true, &txn, NULL), 0);
    if (payload)
        assert_int_equal(cs_record_put(&txn, key, payload, strlen(payload), NULL), 0);
    else
        assert_int_equal(cs_txn_del(&txn, key, NULL), 0);
    assert_int_equal(cs_txn_commit(&txn, NULL), 0);
}

/* Is there a problem that mentions the text? */
static bool finds(struct rig *rig, const char *text)
{
    CM_AUTO_JSON report = NULL;
    assert_int_equal(cs_check(rig->store, &report, NULL), 0);
    json_t *problems = cm_json_arr(report, "problems");
    for (size_t i = 0; i < json_array_size(problems); i++)
        if (strstr(json_string_value(json_array_get(problems, i)), text))
            return true;
    char *all = cm_json_dump(problems, NULL);
    print_error("problems: %s\n", all);
    cm_free(all);
    return false;
}

static void counts(void **state)
{
    struct rig *rig = *state;
    CM_AUTO_JSON report = NULL;
    assert_int_equal(cs_check(rig->store, &report, NULL), 0);
    assert_int_equal(cm_json_int(report, "documents", 0), 3);
    assert_int_equal(cm_json_int(report, "revisions", 0), 4);
    assert_int_equal(json_array_size(cm_json_arr(report, "problems")), 0);
}

static void body_key_of(struct rig *rig, const char *id, struct cs_key *key)
{
    struct cs_doc doc;
    struct cs_rev rev;
    assert_int_equal(cs_get(rig->store, id, &doc, NULL), 0);
    assert_int_equal(cs_rev_parse(doc.rev, &rev), 0);
    cs_key_body(key, id, &rev);
    cs_doc_fini(&doc);
}

/* Bytes flipped on disk are noticed at the read, named by the check, and healed by a new version.
 */
static void flipped_bytes_on_disk(void **state)
{
    struct rig *rig = *state;
    struct cm_err err = CM_ERR_INIT;
    struct cs_doc doc;
    char path[300], *data;
    size_t len;
    cs_close(rig->store);
    snprintf(path, sizeof(path), "%s/data.mdb", rig->dir);
    assert_int_equal(cm_file_read(path, 64 << 20, &data, &len, NULL), 0);
    unsigned flipped = 0;
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    for (size_t i = 0; i + 19 < len; i++)
        if (memcmp(data + i, "\"renew_days\":1112", 17) == 0) {
            assert_int_equal(pwrite(fd, "9", 1, (off_t)i + 13), 1);
            flipped++;
        }
    close(fd);
    cm_free(data);
    assert_true(flipped > 0);
    rig_open_with(rig, NULL);
    assert_int_equal(cs_get(rig->store, "settings:a", &doc, &err), CM_EIO);
    assert_non_null(strstr(err.what, "settings:a"));
    cm_err_fini(&err);
    assert_int_equal(days_of(rig, "settings:b"), 1113);
    assert_true(finds(rig, "wrong checksum"));
    assert_int_equal(put(rig, settings("a", 10, 1114, false)).code, 0);
    commit(rig);
    assert_int_equal(days_of(rig, "settings:a"), 1114);
    assert_sound(rig, 3);
}

static void missing_and_stray_records(void **state)
{
    struct rig *rig = *state;
    struct cs_key key;
    body_key_of(rig, "settings:b", &key);
    tamper(rig, &key, NULL);
    assert_true(finds(rig, "settings:b"));
    assert_true(finds(rig, "its text is missing"));
    tamper(rig, &key, "{\"_id\":\"settings:a\",\"serial\":3}");
    assert_true(finds(rig, "another document's"));
    tamper(rig, &key, "{\"_id\":\"settings:b\",\"serial\":4}");
    assert_true(finds(rig, "serial"));
    tamper(rig, &key, "no JSON");
    assert_true(finds(rig, "is not JSON"));
}

static void feed_and_index(void **state)
{
    struct rig *rig = *state;
    struct cs_key key;
    cs_key_seq(&key, 3);
    tamper(rig, &key, "settings:x");
    assert_true(finds(rig, "document settings:b is not at its place 3"));
    tamper(rig, &key, "settings:b");
    cs_key_seq(&key, 1); /* settings:a moved on to 2 */
    tamper(rig, &key, "settings:a");
    assert_true(finds(rig, "entries of the change feed: 4 found, 3 expected"));
    tamper(rig, &key, NULL);
    cs_key_begin(&key, CS_T_INDEX);
    cs_key_byte(&key, CS_BY_TYPE);
    cs_key_bytes(&key, "settings", 9);
    cs_key_text(&key, "settings:b");
    tamper(rig, &key, NULL);
    assert_true(finds(rig, "document settings:b is missing from index 1"));
    tamper(rig, &key, "");
    cs_key_text(&key, "b");
    tamper(rig, &key, "");
    assert_true(finds(rig, "index entries: 3 found, 2 expected"));
}

/* A head that names another version than its tree gives: what is served is not what counts. */
static void head_and_tree(void **state)
{
    struct rig *rig = *state;
    struct cs_entry entry;
    assert_int_equal(cs_batch(rig->store, NULL), 0);
    assert_int_equal(cs_entry_load(&rig->store->txn, "settings:a", &entry, NULL), 0);
    entry.head.serial = 77;
    assert_int_equal(cs_entry_save(rig->store, "settings:a", &entry, NULL), 0);
    cs_entry_fini(&entry);
    commit(rig);
    assert_true(finds(rig, "document settings:a: its effective version is not the one"));
}

static void trees_and_totals(void **state)
{
    struct rig *rig = *state;
    struct cs_key key;
    cs_key_doc(&key, "settings:zz");
    tamper(rig, &key, "rubbish");
    assert_true(finds(rig, "settings:zz"));
    tamper(rig, &key, NULL);
    rig->store->durable.docs++;
    assert_true(finds(rig, "live documents: 2 found, 3 expected"));
    rig->store->durable.docs--;
    cs_key_begin(&key, 'z');
    tamper(rig, &key, "?");
    assert_true(finds(rig, "no known table"));
    tamper(rig, &key, NULL);
    assert_sound(rig, 3);
}

static void many_problems_are_cut(void **state)
{
    struct rig *rig = *state;
    struct cs_key key;
    for (int i = 0; i < 150; i++) {
        cs_key_begin(&key, 'z');
        cs_key_byte(&key, (uint8_t)i);
        tamper(rig, &key, "?");
    }
    CM_AUTO_JSON report = NULL;
    assert_int_equal(cs_check(rig->store, &report, NULL), 0);
    json_t *problems = cm_json_arr(report, "problems");
    assert_int_equal(json_array_size(problems), 101);
    assert_non_null(strstr(json_string_value(json_array_get(problems, 100)), "50 more"));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(counts),
        T(flipped_bytes_on_disk),
        T(missing_and_stray_records),
        T(feed_and_index),
        T(trees_and_totals),
        T(head_and_tree),
        T(many_problems_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
