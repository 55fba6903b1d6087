/* Local writes of whole documents. */
#include "support.h"

#define ID "settings:a"

static int setup(void **state)
{
    static struct rig rig;
    rig_open(&rig, true);
    *state = &rig;
    return 0;
}

static int teardown(void **state)
{
    rig_close(*state);
    return 0;
}

static void puts_and_reads_back(void **state)
{
    struct rig *rig = *state;
    struct cs_doc doc;
    struct cs_result result = put(rig, settings("a", 10, 30, false));
    assert_int_equal(result.code, 0);
    assert_true(result.changed);
    assert_int_equal(strncmp(result.rev, "1-", 2), 0);
    assert_int_equal(strlen(result.rev), 34);
    /* At once for ourselves, after the commit for everybody. */
    assert_int_equal(days_of(rig, ID), 30);
    assert_int_equal(cs_seq(rig->store), 0);
    assert_false(cs_has_rev(rig->store, ID, result.rev));
    commit(rig);
    assert_int_equal(cs_seq(rig->store), 1);
    assert_true(cs_has_rev(rig->store, ID, result.rev));
    assert_int_equal(cs_get(rig->store, ID, &doc, NULL), 0);
    assert_string_equal(doc.id, ID);
    assert_string_equal(doc.rev, result.rev);
    assert_int_equal(doc.seq, 1);
    assert_int_equal(doc.serial, 10);
    assert_string_equal(cm_json_str(doc.body, "_id"), ID);
    assert_null(json_object_get(doc.body, "_rev"));
    cs_doc_fini(&doc);
    assert_int_equal(cs_doc_count(rig->store), 1);
    assert_sound(rig, 1);
}

static void becomes_a_child_of_the_effective(void **state)
{
    struct rig *rig = *state;
    struct cs_result first = put(rig, settings("a", 10, 30, false));
    struct cs_result second = put(rig, settings("a", 11, 40, false));
    commit(rig);
    assert_int_equal(strncmp(second.rev, "2-", 2), 0);
    CM_AUTO_JSON doc = NULL;
    assert_int_equal(cs_read_rev(rig->store, ID, NULL, true, false, &doc, NULL), 0);
    assert_string_equal(cm_json_str(doc, "_rev"), second.rev);
    json_t *history = cm_json_obj(doc, "_revisions");
    assert_int_equal(cm_json_int(history, "start", 0), 2);
    assert_int_equal(json_array_size(cm_json_arr(history, "ids")), 2);
    assert_string_equal(json_string_value(json_array_get(cm_json_arr(history, "ids"), 1)),
                        first.rev + 2);
    /* The text of the older version is forgotten, its name is not. */
    CM_AUTO_JSON old = NULL;
    assert_int_equal(cs_read_rev(rig->store, ID, first.rev, false, false, &old, NULL), CM_ENOENT);
    assert_true(cs_has_rev(rig->store, ID, first.rev));
    assert_sound(rig, 1);
}

static void serial_must_rise(void **state)
{
    struct rig *rig = *state;
    struct cm_err err = CM_ERR_INIT;
    struct cs_result result;
    put(rig, settings("a", 10, 30, false));
    struct cs_result same = put(rig, settings("a", 10, 30, false));
    assert_int_equal(same.code, 0);
    assert_false(same.changed);
    assert_int_equal(strncmp(same.rev, "1-", 2), 0);
    assert_int_equal(put(rig, settings("a", 9, 31, false)).code, CM_ECONFLICT);
    CM_AUTO_JSON fork = settings("a", 10, 31, false);
    assert_int_equal(cs_put(rig->store, fork, &result, &err), CM_ECONFLICT);
    assert_int_equal(err.code, CM_ECONFLICT);
    assert_string_equal(err.object, ID);
    assert_int_equal(strncmp(result.reason, "fork:", 5), 0);
    cm_err_fini(&err);
    commit(rig);
    assert_int_equal(days_of(rig, ID), 30);
    assert_sound(rig, 1);
}

static void refused_put_leaves_the_batch_alone(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(put(rig, settings("a", 10, 30, false)).code, 0);
    json_t *unsigned_doc = settings("b", 10, 30, false);
    cm_json_set_int(unsigned_doc, "renew_days", 31);
    struct cs_result result = put(rig, unsigned_doc);
    assert_int_equal(result.code, CM_EDENIED);
    assert_string_equal(result.reason, "signature: wrong signature");
    json_t *unknown = settings("c", 10, 30, false);
    cm_json_set_str(unknown, "colour", "red");
    toy_sign(unknown, false);
    assert_int_equal(put(rig, unknown).code, CM_EMALF);
    assert_int_equal(put(rig, settings("d", 10, 30, false)).code, 0);
    commit(rig);
    assert_int_equal(days_of(rig, ID), 30);
    assert_int_equal(days_of(rig, "settings:b"), -1);
    assert_int_equal(days_of(rig, "settings:c"), -1);
    assert_int_equal(days_of(rig, "settings:d"), 30);
    assert_int_equal(cs_seq(rig->store), 2);
    assert_sound(rig, 2);
}

static void tombstones(void **state)
{
    struct rig *rig = *state;
    struct cs_doc doc;
    put(rig, settings("a", 10, 30, false));
    /* A tombstone that is not signed as one does not delete. */
    json_t *forged = settings("a", 11, 30, false);
    cm_json_set_bool(forged, "_deleted", true);
    assert_int_equal(put(rig, forged).code, CM_EDENIED);
    assert_int_equal(days_of(rig, ID), 30);
    assert_int_equal(put(rig, settings("a", 12, 0, true)).code, 0);
    assert_int_equal(cs_get(rig->store, ID, &doc, NULL), CM_ENOENT);
    commit(rig);
    assert_int_equal(cs_doc_count(rig->store), 0);
    assert_int_equal(cs_deleted_count(rig->store), 1);
    assert_sound(rig, 1);
    /* Older than the tombstone: stays dead.  Newer: lives again, as its child. */
    assert_int_equal(put(rig, settings("a", 11, 31, false)).code, CM_ECONFLICT);
    struct cs_result again = put(rig, settings("a", 13, 32, false));
    assert_int_equal(again.code, 0);
    assert_int_equal(strncmp(again.rev, "3-", 2), 0);
    commit(rig);
    assert_int_equal(days_of(rig, ID), 32);
    assert_int_equal(cs_doc_count(rig->store), 1);
    assert_int_equal(cs_deleted_count(rig->store), 0);
    assert_sound(rig, 1);
}

static void limits(void **state)
{
    struct rig *rig = *state;
    char *big = cm_calloc(CS_DOC_MAX + 1, 1);
    memset(big, 'x', CS_DOC_MAX);
    json_t *doc = settings("a", 10, 30, false);
    cm_json_set_str(doc, "provider", big);
    assert_int_equal(put(rig, doc).code, CM_ELIMIT);
    doc = settings("a", 10, 30, false);
    memset(big, 'x', CS_ID_MAX + 1);
    big[CS_ID_MAX + 1] = '\0';
    cm_json_set_str(doc, "_id", big);
    assert_int_equal(put(rig, doc).code, CM_ELIMIT);
    assert_int_equal(cs_get(rig->store, big, &(struct cs_doc){0}, NULL), CM_ENOENT);
    doc = settings("a", 10, 30, false);
    cm_json_set(doc, "_id", json_integer(1));
    assert_int_equal(put(rig, doc).code, CM_EMALF);
    doc = settings("a", 10, 30, false);
    cm_json_set_str(doc, "_secret", "x");
    assert_int_equal(put(rig, doc).code, CM_EMALF);
    doc = settings("a", 10, 30, false);
    cm_json_set(doc, "_attachments", json_pack("{s:{}}", "file"));
    assert_int_equal(put(rig, doc).code, CM_EINVAL);
    assert_int_equal(put(rig, json_array()).code, CM_EMALF);
    cm_free(big);
    commit(rig);
    assert_sound(rig, 0);
}

static void long_histories_are_stemmed(void **state)
{
    struct rig *rig = *state;
    for (int64_t serial = 1; serial <= CS_REVS_LIMIT + 5; serial++)
        assert_int_equal(put(rig, settings("a", serial, serial, false)).code, 0);
    commit(rig);
    CM_AUTO_JSON doc = NULL;
    assert_int_equal(cs_read_rev(rig->store, ID, NULL, true, false, &doc, NULL), 0);
    json_t *history = cm_json_obj(doc, "_revisions");
    assert_int_equal(cm_json_int(history, "start", 0), CS_REVS_LIMIT + 5);
    assert_int_equal(json_array_size(cm_json_arr(history, "ids")), CS_REVS_LIMIT);
    assert_sound(rig, 1);
}

/* The edit of a lab's CouchDB client carries no signature: with policy it is refused, as a new
 * document and as a child of what is there, valid signature or not. */
static void an_edit_is_refused_with_policy(void **state)
{
    struct rig *rig = *state;
    struct cs_result result;
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_JSON fresh = settings("new", 10, 30, false);
    assert_int_equal(cs_put_edit(rig->store, fresh, &result, &err), CM_EDENIED);
    assert_int_equal(result.code, CM_EDENIED);
    assert_non_null(strstr(result.reason, "only signed documents"));
    cm_err_fini(&err);
    struct cs_result first = put(rig, settings("a", 10, 30, false));
    commit(rig);
    CM_AUTO_JSON child = settings("a", 20, 31, false);
    cm_json_set_str(child, "_rev", first.rev);
    assert_int_equal(cs_put_edit(rig->store, child, &result, &err), CM_EDENIED);
    cm_err_fini(&err);
    commit(rig);
    assert_int_equal(cs_doc_count(rig->store), 1);
    assert_int_equal(days_of(rig, ID), 30);
    assert_sound(rig, 1);
}

static void survives_reopening(void **state)
{
    struct rig *rig = *state;
    char uuid[40], epoch[20];
    put(rig, settings("a", 10, 30, false));
    commit(rig);
    put(rig, settings("b", 20, 31, false)); /* closing commits */
    snprintf(uuid, sizeof(uuid), "%s", cs_uuid(rig->store));
    snprintf(epoch, sizeof(epoch), "%s", cs_epoch(rig->store));
    assert_int_equal(strlen(uuid), 32);
    assert_int_equal(strlen(epoch), 8);
    rig_reopen(rig);
    assert_string_equal(cs_uuid(rig->store), uuid);
    assert_string_equal(cs_epoch(rig->store), epoch);
    assert_int_equal(cs_seq(rig->store), 2);
    assert_int_equal(cs_doc_count(rig->store), 2);
    assert_int_equal(days_of(rig, ID), 30);
    assert_int_equal(days_of(rig, "settings:b"), 31);
    assert_sound(rig, 2);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(puts_and_reads_back),
        T(becomes_a_child_of_the_effective),
        T(serial_must_rise),
        T(refused_put_leaves_the_batch_alone),
        T(tombstones),
        T(limits),
        T(long_histories_are_stemmed),
        T(an_edit_is_refused_with_policy),
        T(survives_reopening),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
