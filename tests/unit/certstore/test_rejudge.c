/* Verdicts are decided anew when a signer is gone, or back: in slices, and over a restart. */
#include "support.h"

#include "certstore/internal.h"
#include "certstore/state.h"

#define MANY 450 /* documents: three slices */

static int setup(void **state)
{
    static struct rig rig;
    rig_open(&rig, true);
    *state = &rig;
    return 0;
}

static int teardown(void **state)
{
    cm_clock_fake(-1, -1);
    rig_close(*state);
    return 0;
}

static json_t *signed_by(json_t *doc, const char *by)
{
    toy_sign(doc, false);
    cm_json_set_str(cm_json_obj(doc, "signature"), "by", by);
    return doc;
}

static json_t *receipt_number(const char *server, int number, int64_t serial)
{
    CM_AUTO_STR ulid = cm_asprintf("01J000000000000000000%05d", number);
    CM_AUTO_STR id = cm_asprintf("receipt:%s:%s", server, ulid);
    return signed_by(json_pack("{s:s,s:s,s:I,s:s,s:s,s:s,s:s}", "_id", id, "type", "receipt",
                               "serial", (json_int_t)serial, "server", server, "credential", ulid,
                               "state", "served", "at", TIME_A),
                     server);
}

static json_t *request(const char *by, const char *credential, int64_t serial)
{
    return signed_by(json_pack("{s:s,s:s,s:I,s:s,s:s,s:s}", "_id", "request:" ULID_A, "type",
                               "request", "serial", (json_int_t)serial, "action", "renew",
                               "credential", credential, "at", TIME_A),
                     by);
}

static void accept(struct rig *rig, json_t *take_doc)
{
    struct cs_result r = replicate(rig, take_doc);
    if (r.code != 0)
        fail_msg("refused: %s", r.reason);
}

/* The whole pass; how many slices it took. */
static int judge_all(struct rig *rig)
{
    int slices = 0, rc;
    do {
        unsigned before = rig->verified;
        rc = cs_rejudge(rig->store, NULL);
        assert_true(rc >= 0);
        assert_in_range(rig->verified - before, 0, CS_REJUDGE_SLICE);
        commit(rig);
        slices++;
    } while (rc == 1);
    return slices;
}

static int begin_and_judge(struct rig *rig)
{
    assert_int_equal(cs_rejudge_begin(rig->store, NULL), 0);
    commit(rig);
    return judge_all(rig);
}

static int64_t of_last(struct rig *rig, const char *member)
{
    CM_AUTO_JSON status = cs_rejudge_status(rig->store);
    assert_non_null(status);
    return cm_json_int(status, member, -1);
}

static size_t refused(struct rig *rig)
{
    CM_AUTO_JSON all = cs_quarantine(rig->store);
    return json_array_size(all);
}

static int count_one(void *arg, const char *key, const char *id)
{
    (void)key;
    (void)id;
    ++*(int *)arg;
    return 0;
}

static int indexed(struct rig *rig, const char *credential)
{
    int count = 0;
    cs_each(rig->store, CS_BY_CREDENTIAL, credential, NULL, NULL, count_one, &count);
    return count;
}

static bool effective(struct rig *rig, const char *id)
{
    CM_AUTO_JSON body = cs_get_body(rig->store, id);
    return body != NULL;
}

static char *state_text(struct rig *rig)
{
    json_t *rows = NULL;
    assert_int_equal(cs_state(rig->store, &rows, NULL), 0);
    char *text = cm_json_dump(rows, NULL);
    json_decref(rows);
    return text;
}

static void note_change(void *arg, const char *id)
{
    json_array_append_new(arg, json_string(id));
}

/* "s1" and "s2" have a receipt each, "s1" also a request; the settings are of a manager "s1". */
static void fill(struct rig *rig)
{
    accept(rig, at_rev(receipt_number("s1.example", 1, 5), "1-a"));
    accept(rig, at_rev(receipt_number("s2.example", 1, 5), "1-b"));
    accept(rig, at_rev(request("s1.example", ULID_B, 5), "1-c"));
    json_t *doc = settings("a", 5, 30, false);
    cm_json_set_str(cm_json_obj(doc, "signature"), "by", "s1.example");
    accept(rig, at_rev(doc, "1-d"));
    commit(rig);
}

#define RECEIPT_1 "receipt:s1.example:01J00000000000000000000001"
#define RECEIPT_2 "receipt:s2.example:01J00000000000000000000001"

static void a_gone_signer_takes_the_verdict_along(void **state)
{
    struct rig *rig = *state;
    fill(rig);
    assert_int_equal(indexed(rig, ULID_B), 3);
    int64_t seq = cs_seq(rig->store);
    CM_AUTO_JSON heard = json_array();
    cs_listen(rig->store, note_change, heard);
    rig->gone = "s1.example";
    assert_int_equal(begin_and_judge(rig), 1);
    assert_false(effective(rig, RECEIPT_1));
    assert_false(effective(rig, "request:" ULID_A));
    assert_true(effective(rig, RECEIPT_2));
    assert_int_equal(indexed(rig, ULID_B), 1);
    assert_int_equal(cs_doc_count(rig->store), 2);
    assert_int_equal(json_array_size(heard), 2); /* here; peers hear of new revisions only */
    assert_int_equal(cs_seq(rig->store), seq);
    CM_AUTO_STR rows = state_text(rig);
    assert_null(strstr(rows, "s1.example"));
    assert_non_null(strstr(rows, "s2.example"));
    assert_int_equal(of_last(rig, "lost"), 2);
    assert_sound(rig, 4); /* they are stored as before */
    cs_unlisten(rig->store, heard);
}

static void people_see_why(void **state)
{
    struct rig *rig = *state;
    fill(rig);
    rig->gone = "s1.example";
    begin_and_judge(rig);
    CM_AUTO_JSON all = cs_quarantine(rig->store);
    assert_int_equal(json_array_size(all), 2);
    const json_t *row = json_array_get(all, 1);
    assert_string_equal(cm_json_str(row, "id"), RECEIPT_1);
    assert_string_equal(cm_json_str(row, "rev"), "1-a");
    assert_string_equal(cm_json_str(row, "peer"), "s1.example");
    assert_string_equal(cm_json_str(row, "reason"),
                        "its signer is no longer in the trust root: signer s1.example was removed");
    /* A second pass changes nothing. */
    begin_and_judge(rig);
    assert_int_equal(of_last(rig, "lost"), 0);
    CM_AUTO_JSON again = cs_quarantine(rig->store);
    assert_true(json_equal(all, again));
}

static void a_managers_documents_hold(void **state)
{
    struct rig *rig = *state;
    fill(rig);
    rig->gone = "s1.example";
    unsigned before = rig->verified;
    begin_and_judge(rig);
    assert_int_equal(rig->verified - before, 3); /* it is not even asked about them */
    assert_int_equal(days_of(rig, "settings:a"), 30);
    /* From a peer nothing of the kind is accepted: not as news, not under another name. */
    json_t *next = settings("a", 6, 60, false);
    cm_json_set_str(cm_json_obj(next, "signature"), "by", "s1.example");
    assert_int_equal(replicate(rig, at_rev(next, "2-e,1-d")).code, CM_EDENIED);
    json_t *same = settings("a", 5, 30, false);
    cm_json_set_str(cm_json_obj(same, "signature"), "by", "s1.example");
    assert_int_equal(replicate(rig, at_rev(same, "1-f")).code, CM_EDENIED);
    /* The present manager signs it anew. */
    accept(rig, at_rev(settings("a", 7, 31, false), "2-g,1-d"));
    assert_int_equal(days_of(rig, "settings:a"), 31);
    commit(rig);
    assert_sound(rig, 4);
}

static void what_was_deleted_stays_deleted(void **state)
{
    struct rig *rig = *state;
    json_t *gone =
        json_pack("{s:s,s:s,s:i}", "_id", "request:" ULID_A, "type", "request", "serial", 9);
    toy_sign(gone, true);
    cm_json_set_str(cm_json_obj(gone, "signature"), "by", "s1.example");
    cm_json_set_bool(gone, "_deleted", true);
    accept(rig, at_rev(gone, "2-b,1-a"));
    commit(rig);
    rig->gone = "s1.example";
    begin_and_judge(rig);
    assert_int_equal(refused(rig), 0);
    replicate(rig, at_rev(request("s2.example", ULID_B, 5), "1-x")); /* replayed by somebody */
    assert_false(effective(rig, "request:" ULID_A));
    commit(rig);
    assert_sound(rig, 1);
}

static void who_is_back_counts_again(void **state)
{
    struct rig *rig = *state;
    fill(rig);
    CM_AUTO_STR before = state_text(rig);
    rig->gone = "s1.example";
    begin_and_judge(rig);
    rig_reopen(rig);
    rig->gone = NULL;
    begin_and_judge(rig);
    assert_int_equal(of_last(rig, "regained"), 2);
    assert_true(effective(rig, RECEIPT_1));
    assert_true(effective(rig, "request:" ULID_A));
    assert_int_equal(indexed(rig, ULID_B), 3);
    assert_int_equal(refused(rig), 0);
    CM_AUTO_STR after = state_text(rig);
    assert_string_equal(after, before);
    assert_sound(rig, 4);
}

/* The retry of the quarantine comes first after a new trust root: it knows these entries, too. */
static void the_retry_judges_what_is_stored(void **state)
{
    struct rig *rig = *state;
    fill(rig);
    rig->gone = "s1.example";
    begin_and_judge(rig);
    assert_int_equal(cs_quarantine_retry(rig->store, NULL), 0);
    assert_int_equal(refused(rig), 2);
    assert_false(effective(rig, RECEIPT_1));
    rig->gone = NULL;
    assert_int_equal(cs_quarantine_retry(rig->store, NULL), 0);
    commit(rig);
    assert_int_equal(refused(rig), 0);
    assert_true(effective(rig, RECEIPT_1));
    begin_and_judge(rig);
    assert_int_equal(of_last(rig, "regained"), 0);
    assert_sound(rig, 4);
}

/* A peer that sends the revision again gets the verdict of today, whatever else the tree has. */
static void a_peer_cannot_bring_it_back(void **state)
{
    struct rig *rig = *state;
    accept(rig, at_rev(request("s2.example", ULID_A, 4), "1-x"));
    fill(rig);
    rig->gone = "s1.example";
    begin_and_judge(rig);
    rig->reject_all = true; /* as under an expired trust root */
    struct cs_result r = replicate(rig, at_rev(request("s1.example", ULID_B, 5), "1-c"));
    assert_int_equal(r.code, CM_EDENIED);
    assert_non_null(strstr(r.reason, "no longer in the trust root"));
    CM_AUTO_JSON present = cs_get_body(rig->store, "request:" ULID_A);
    assert_string_equal(cm_json_str(present, "credential"), ULID_A);
    rig->reject_all = false;
    rig->gone = NULL;
    accept(rig, at_rev(request("s1.example", ULID_B, 5), "1-c"));
    commit(rig);
    CM_AUTO_JSON later = cs_get_body(rig->store, "request:" ULID_A);
    assert_string_equal(cm_json_str(later, "credential"), ULID_B);
    assert_sound(rig, 4);
}

/* Of several leaves the best one that is left is effective. */
static void the_next_best_leaf_takes_over(void **state)
{
    struct rig *rig = *state;
    accept(rig, at_rev(request("s1.example", ULID_A, 5), "1-a"));
    accept(rig, at_rev(request("s2.example", ULID_B, 9), "1-b"));
    commit(rig);
    assert_int_equal(indexed(rig, ULID_B), 1);
    rig->gone = "s2.example";
    begin_and_judge(rig);
    assert_int_equal(indexed(rig, ULID_B), 0);
    assert_int_equal(indexed(rig, ULID_A), 1);
    assert_sound(rig, 1);
}

/* A server that joined again with other keys writes anew: nobody needs to look any more. */
static void a_newer_version_ends_the_notice(void **state)
{
    struct rig *rig = *state;
    fill(rig);
    rig->gone = "s1.example";
    begin_and_judge(rig);
    assert_int_equal(refused(rig), 2);
    json_t *anew = receipt_number("s1.example", 1, 8); /* beside the former one */
    cm_json_set_str(cm_json_obj(anew, "signature"), "by", "s3.example");
    accept(rig, at_rev(anew, "1-n"));
    commit(rig);
    assert_true(effective(rig, RECEIPT_1));
    assert_int_equal(refused(rig), 1);
    json_t *below = request("s3.example", ULID_B, 9); /* … and as its child */
    accept(rig, at_rev(below, "2-n,1-c"));
    commit(rig);
    assert_int_equal(refused(rig), 0);
    assert_sound(rig, 4);
}

static void fill_many(struct rig *rig)
{
    for (int i = 0; i < MANY; i++)
        accept(rig, at_rev(receipt_number("s1.example", i, 5), "1-a"));
    for (int i = 0; i < 20; i++) { /* on either side of them in the order of ids */
        CM_AUTO_STR name = cm_asprintf("n%d", i);
        accept(rig, at_rev(settings(name, 5, 30, false), "1-a"));
    }
    commit(rig);
}

static void a_pass_goes_on_after_a_restart(void **state)
{
    struct rig *rig = *state;
    fill_many(rig);
    rig->gone = "s1.example";
    assert_int_equal(cs_rejudge_begin(rig->store, NULL), 0);
    commit(rig);
    rig->verified = 0;
    for (int slice = 1; slice <= 2; slice++) {
        assert_int_equal(cs_rejudge(rig->store, NULL), 1);
        assert_int_equal(rig->verified, slice * CS_REJUDGE_SLICE);
        commit(rig);
        CM_AUTO_JSON status = cs_rejudge_status(rig->store);
        assert_string_equal(cm_json_str(status, "state"), "running");
        assert_int_equal(cm_json_int(status, "documents", 0), slice * CS_REJUDGE_SLICE);
        assert_true(cm_json_int(status, "at_most", 0) >= MANY);
        assert_null(json_object_get(status, "place"));
        rig_reopen(rig);
        assert_int_equal(cs_doc_count(rig->store), 20 + MANY - slice * CS_REJUDGE_SLICE);
    }
    assert_int_equal(cs_rejudge(rig->store, NULL), 0);
    commit(rig);
    assert_int_equal(rig->verified, MANY); /* each once */
    assert_int_equal(of_last(rig, "lost"), MANY);
    assert_int_equal(cs_doc_count(rig->store), 20);
    assert_int_equal(cs_rejudge(rig->store, NULL), 0); /* nothing more to do */
    assert_int_equal(rig->verified, MANY);
    assert_sound(rig, 20 + MANY);
}

/* What a batch that failed had moved is not skipped: place and changes are one transaction. */
static void a_lost_batch_loses_its_place_with_it(void **state)
{
    struct rig *rig = *state;
    fill_many(rig);
    rig->gone = "s1.example";
    assert_int_equal(cs_rejudge_begin(rig->store, NULL), 0);
    commit(rig);
    assert_int_equal(cs_rejudge(rig->store, NULL), 1);
    cs_txn_abort(&rig->store->txn); /* as after a write that failed */
    rig->store->failed = true;
    cm_fail(&rig->store->why, CM_EFULL, "the disk is full");
    assert_int_equal(cs_commit(rig->store, NULL), CM_EFULL);
    assert_int_equal(cs_doc_count(rig->store), 20 + MANY);
    assert_int_equal(of_last(rig, "documents"), 0);
    assert_int_equal(of_last(rig, "lost"), 0);
    assert_int_equal(judge_all(rig), 3);
    assert_int_equal(of_last(rig, "lost"), MANY);
    assert_int_equal(cs_doc_count(rig->store), 20);
    assert_sound(rig, 20 + MANY);
}

static void another_change_begins_the_pass_again(void **state)
{
    struct rig *rig = *state;
    fill_many(rig);
    rig->gone = "s1.example";
    assert_int_equal(cs_rejudge_begin(rig->store, NULL), 0);
    assert_int_equal(cs_rejudge(rig->store, NULL), 1);
    rig->gone = NULL; /* back before the pass was at its end */
    assert_int_equal(begin_and_judge(rig), 3);
    assert_int_equal(of_last(rig, "regained"), CS_REJUDGE_SLICE);
    assert_int_equal(refused(rig), 0);
    assert_sound(rig, 20 + MANY);
}

/* What peers were refused is not pushed out by what lost its verdict. */
static void the_list_stays_bounded(void **state)
{
    struct rig *rig = *state;
    rig->reject_all = true;
    for (int i = 0; i < 100; i++) {
        CM_AUTO_STR name = cm_asprintf("refused%d", i);
        replicate(rig, at_rev(settings(name, 5, 30, false), "1-a"));
    }
    rig->reject_all = false;
    fill_many(rig);
    rig->gone = "s1.example";
    begin_and_judge(rig);
    assert_int_equal(of_last(rig, "lost"), MANY);
    CM_AUTO_JSON all = cs_quarantine(rig->store);
    assert_int_equal(json_array_size(all), CS_REJUDGE_NOTES);
    assert_string_equal(cm_json_str(json_array_get(all, CS_REJUDGE_NOTES - 1), "id"),
                        "settings:refused0");
    /* Those beyond the list come back all the same. */
    rig->gone = NULL;
    begin_and_judge(rig);
    assert_int_equal(of_last(rig, "regained"), MANY);
    assert_int_equal(refused(rig), 100);
    assert_sound(rig, 20 + MANY);
}

static void nothing_is_done_unasked(void **state)
{
    struct rig *rig = *state;
    fill(rig);
    rig->gone = "s1.example";
    unsigned before = rig->verified;
    assert_int_equal(cs_rejudge(rig->store, NULL), 0);
    assert_int_equal(rig->verified, before);
    assert_null(cs_rejudge_status(rig->store));
    assert_true(effective(rig, RECEIPT_1));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_gone_signer_takes_the_verdict_along),
        T(people_see_why),
        T(a_managers_documents_hold),
        T(who_is_back_counts_again),
        T(what_was_deleted_stays_deleted),
        T(the_retry_judges_what_is_stored),
        T(a_peer_cannot_bring_it_back),
        T(the_next_best_leaf_takes_over),
        T(a_newer_version_ends_the_notice),
        T(a_pass_goes_on_after_a_restart),
        T(a_lost_batch_loses_its_place_with_it),
        T(another_change_begins_the_pass_again),
        T(the_list_stays_bounded),
        T(nothing_is_done_unasked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
