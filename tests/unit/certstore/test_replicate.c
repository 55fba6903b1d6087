/* Replicated writes: merging, refusing, malformed histories. */
#include "support.h"

#include <sys/mman.h>
#include <unistd.h>

#include "base/core/clock.h"
#include "base/core/told.h"

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

static json_t *version(int64_t serial, const char *path)
{
    return at_rev(settings("a", serial, serial, false), path);
}

static size_t quarantined(struct rig *rig)
{
    CM_AUTO_JSON all = cs_quarantine(rig->store);
    return json_array_size(all);
}

static void merges_and_replays(void **state)
{
    struct rig *rig = *state;
    struct cs_result result = replicate(rig, version(5, "3-c,2-b,1-a"));
    assert_int_equal(result.code, 0);
    assert_true(result.changed);
    assert_string_equal(result.rev, "3-c");
    commit(rig);
    assert_int_equal(cs_seq(rig->store), 1);
    /* Known already, as leaf and as ancestor: success without a change, nothing verified. */
    unsigned verified = rig->verified;
    assert_false(replicate(rig, version(5, "3-c,2-b,1-a")).changed);
    result = replicate(rig, version(3, "2-b,1-a"));
    assert_int_equal(result.code, 0);
    assert_false(result.changed);
    assert_int_equal(rig->verified, verified);
    commit(rig);
    assert_int_equal(cs_seq(rig->store), 1);
    assert_true(replicate(rig, version(6, "4-d,3-c")).changed);
    commit(rig);
    assert_int_equal(cs_seq(rig->store), 2);
    assert_int_equal(days_of(rig, ID), 6);
    assert_int_equal(quarantined(rig), 0);
    assert_sound(rig, 1);
}

/* In two steps: the first needs no store, and a refused document is kept as it came. */
static void read_ahead(void **state)
{
    struct rig *rig = *state;
    struct cs_result result;
    struct cs_ready *good = cs_ready_new(version(5, "2-b,1-a"), true, CS_NO_PLACE);
    json_t *doc = version(6, "3-c,2-b,1-a");
    cm_json_set(doc, "surprise", json_array());
    struct cs_ready *bad = cs_ready_new(json_copy(doc), true, CS_NO_PLACE);
    assert_null(json_object_get(cs_ready_body(good), "_rev"));
    assert_false(cs_ready_deleted(good));
    assert_int_equal(cs_put_ready(rig->store, bad, "peer", &result, NULL), 0);
    assert_int_equal(result.code, CM_EMALF);
    assert_string_equal(result.rev, "3-c");
    assert_int_equal(quarantined(rig), 1);
    assert_true(cs_is_refused(rig->store, ID, "3-c"));
    assert_int_equal(cs_put_ready(rig->store, good, "peer", &result, NULL), 0);
    assert_int_equal(result.code, 0);
    assert_true(result.changed);
    cs_ready_free(good);
    cs_ready_free(bad);
    commit(rig);
    assert_int_equal(days_of(rig, ID), 5);
    assert_sound(rig, 1);
    json_decref(doc);
    struct cs_ready *none = cs_ready_new(json_integer(1), true, CS_NO_PLACE);
    assert_int_equal(cs_put_ready(rig->store, none, "peer", &result, NULL), 0);
    assert_int_equal(result.code, CM_EMALF);
    cs_ready_free(none);
}

/* The text that is stored takes the place that is offered when it fits, else memory of its own. */
static void text_takes_a_place(void **state)
{
    struct rig *rig = *state;
    struct cs_result result;
    char roomy[4096], tight[16];
    struct cs_ready *fits = cs_ready_new(version(5, "2-b,1-a"), true,
                                         (struct cs_place){.at = roomy, .size = sizeof(roomy)});
    struct cs_ready *longer = cs_ready_new(version(6, "3-c,2-b,1-a"), true,
                                           (struct cs_place){.at = tight, .size = sizeof(tight)});
    CM_AUTO_STR text = cm_json_dump(cs_ready_body(fits), NULL);
    assert_string_equal(roomy, text);
    assert_int_equal(cs_put_ready(rig->store, fits, "peer", &result, NULL), 0);
    assert_true(result.changed);
    commit(rig);
    assert_int_equal(days_of(rig, ID), 5);
    assert_int_equal(cs_put_ready(rig->store, longer, "peer", &result, NULL), 0);
    assert_true(result.changed);
    cs_ready_free(fits);
    cs_ready_free(longer);
    commit(rig);
    assert_int_equal(days_of(rig, ID), 6);
    assert_sound(rig, 1);
}

/* What is refused now and accepted later was kept whole. */
static void read_ahead_and_tried_again(void **state)
{
    struct rig *rig = *state;
    struct cs_result result;
    json_t *gone = at_rev(settings("a", 7, 7, true), "2-b,1-a");
    struct cs_ready *ready = cs_ready_new(gone, true, CS_NO_PLACE);
    assert_true(cs_ready_deleted(ready));
    rig->reject_all = true;
    assert_int_equal(cs_put_ready(rig->store, ready, "peer", &result, NULL), 0);
    assert_int_equal(result.code, CM_EDENIED);
    cs_ready_free(ready);
    rig->reject_all = false;
    assert_int_equal(cs_quarantine_retry(rig->store, NULL), 0);
    commit(rig);
    assert_int_equal(quarantined(rig), 0);
    assert_true(cs_has_rev(rig->store, ID, "2-b"));
    assert_true(cs_has_rev(rig->store, ID, "1-a"));
    assert_int_equal(cs_doc_count(rig->store), 0);
}

static void effective_is_not_the_winner(void **state)
{
    struct rig *rig = *state;
    struct cs_doc doc;
    replicate(rig, version(5, "9-x"));
    replicate(rig, version(7, "2-b,1-a"));
    commit(rig);
    assert_int_equal(days_of(rig, ID), 7);
    CM_AUTO_JSON winner = NULL;
    assert_int_equal(cs_read_rev(rig->store, ID, NULL, false, false, &winner, NULL), 0);
    assert_string_equal(cm_json_str(winner, "_rev"), "9-x");
    /* Our next version continues the effective one. */
    struct cs_result result = put(rig, settings("a", 8, 8, false));
    assert_int_equal(strncmp(result.rev, "3-", 2), 0);
    commit(rig);
    assert_int_equal(cs_get(rig->store, ID, &doc, NULL), 0);
    assert_string_equal(doc.rev, result.rev);
    cs_doc_fini(&doc);
    assert_sound(rig, 1);
}

static void refuses_without_failing(void **state)
{
    struct rig *rig = *state;
    replicate(rig, version(50, "1-a"));
    struct cs_result result = replicate(rig, version(49, "2-b,1-a"));
    assert_int_equal(result.code, CM_ECONFLICT);
    assert_int_equal(strncmp(result.reason, "older:", 6), 0);
    json_t *fork = at_rev(settings("a", 50, 99, false), "2-f,1-a");
    result = replicate(rig, fork);
    assert_int_equal(result.code, CM_ECONFLICT);
    assert_int_equal(strncmp(result.reason, "fork:", 5), 0);
    json_t *forged = version(51, "2-g,1-a");
    cm_json_set_int(forged, "renew_days", 1);
    assert_int_equal(replicate(rig, forged).code, CM_EDENIED);
    /* The hijack of reference 6: a generation nobody can follow. */
    assert_int_equal(replicate(rig, version(52, "999999999-ffffffffffffffffffffffffffffffff")).code,
                     CM_ELIMIT);
    assert_int_equal(replicate(rig, version(52, "10001-a")).code, 0); /* within the jump */
    assert_int_equal(replicate(rig, version(53, "1000000000000000-a")).code, CM_EMALF);
    json_t *no_rev = settings("a", 54, 1, false);
    assert_int_equal(replicate(rig, no_rev).code, CM_EMALF);
    json_t *design = json_pack("{s:s,s:s}", "_id", "_design/x", "_rev", "1-a");
    assert_int_equal(replicate(rig, design).code, CM_EMALF);
    commit(rig);
    assert_int_equal(quarantined(rig), 7);
    assert_int_equal(days_of(rig, ID), 52);
    assert_sound(rig, 1);
}

/* ---- generations -------------------------------------------------------------------------- */

#define SERIAL_NOW INT64_C(1795392000000) /* of November 2026 */

static json_t *at_serial(int64_t serial, const char *path)
{
    return at_rev(settings("a", serial, 30, false), path);
}

/* The newest revision of the document with its history, as it goes to a peer. */
static json_t *newest(struct rig *rig, const char *rev)
{
    json_t *doc = NULL;
    commit(rig);
    assert_int_equal(cs_read_rev(rig->store, ID, rev, true, false, &doc, NULL), 0);
    return doc;
}

/* Twenty years of work: a new server knows nothing of it, and an old one comes back. */
static void a_document_that_was_written_often_reaches_everybody(void **state)
{
    struct rig *rig = *state, fresh;
    struct cs_result result;
    int64_t serial = SERIAL_NOW;
    assert_int_equal(replicate(rig, at_serial(serial, "9990-a")).code, 0);
    rig_open(&fresh, true);
    assert_int_equal(replicate(&fresh, at_serial(7, "3-b")).code, 0); /* away since then */
    for (int i = 0; i < 40; i++)
        result = put(rig, settings("a", ++serial, i, false));
    assert_int_equal(strncmp(result.rev, "10030-", 6), 0);
    json_t *doc = newest(rig, result.rev);
    assert_int_equal(cm_json_int(cm_json_obj(doc, "_revisions"), "start", 0), 10030);
    assert_int_equal(replicate(&fresh, json_deep_copy(doc)).code, 0);
    assert_int_equal(days_of(&fresh, ID), 39);
    assert_int_equal(quarantined(&fresh), 0);
    rig_close(&fresh);
    rig_open(&fresh, true);
    result = replicate(&fresh, doc);
    assert_int_equal(result.code, 0);
    assert_true(result.changed);
    commit(&fresh);
    assert_int_equal(days_of(&fresh, ID), 39);
    assert_sound(&fresh, 1);
    rig_close(&fresh);
}

/* Nobody signs generations.  As high as a peer can rename a version, the writer still has a next
 * one, and that one reaches a server which has never heard of the document. */
static void no_generation_is_a_dead_end(void **state)
{
    struct rig *rig = *state, fresh;
    char rev[CS_REV_MAX];
    const long long highest =
        CS_GENERATION_JUMP + (SERIAL_NOW - CS_GENERATION_FROM) / CS_GENERATION_MS;
    assert_true(highest < 999999999);
    snprintf(rev, sizeof(rev), "%lld-e", highest + 1);
    assert_int_equal(replicate(rig, at_serial(SERIAL_NOW, rev)).code, CM_ELIMIT);
    assert_int_equal(replicate(rig, at_serial(SERIAL_NOW, "999999999-e")).code, CM_ELIMIT);
    snprintf(rev, sizeof(rev), "%lld-e", highest);
    assert_int_equal(replicate(rig, at_serial(SERIAL_NOW, rev)).code, 0);
    struct cs_result result = put(rig, settings("a", SERIAL_NOW + CS_GENERATION_MS, 31, false));
    assert_int_equal(result.code, 0);
    assert_int_equal(strtoll(result.rev, NULL, 10), highest + 1);
    rig_open(&fresh, true);
    assert_int_equal(replicate(&fresh, newest(rig, result.rev)).code, 0);
    assert_int_equal(days_of(&fresh, ID), 31);
    rig_close(&fresh);
}

/* The serial opens the way, so it must be the signer's; and without one it is no way. */
static void a_claimed_serial_opens_nothing(void **state)
{
    struct rig *rig = *state;
    json_t *forged = at_serial(5, "20000-a");
    cm_json_set_int(forged, "serial", SERIAL_NOW);
    assert_int_equal(replicate(rig, forged).code, CM_EDENIED);
    assert_int_equal(replicate(rig, at_serial(5, "20000-a")).code, CM_ELIMIT);
    assert_int_equal(replicate(rig, at_serial(CS_GENERATION_FROM - 1, "10001-a")).code, CM_ELIMIT);
    json_t *none = at_serial(SERIAL_NOW, "10001-a");
    json_object_del(none, "serial");
    assert_int_equal(replicate(rig, none).code, CM_ELIMIT);
    assert_false(cs_has_rev(rig->store, ID, "20000-a"));
    assert_int_equal(days_of(rig, ID), -1);
}

static void malformed_histories(void **state)
{
    struct rig *rig = *state;
    static const char *const bad[] = {
        "{\"start\":1,\"ids\":[\"a\",\"b\"]}",
        "{\"start\":2,\"ids\":[]}",
        "{\"start\":2}",
        "{\"ids\":[\"a\"]}",
        "{\"start\":0,\"ids\":[\"a\"]}",
        "{\"start\":2,\"ids\":[\"a\",7]}",
        "{\"start\":2,\"ids\":[\"z\",\"a\"]}",
        "{\"start\":2,\"ids\":[\"a\",\"\"]}",
        "[]",
        "{\"start\":2,\"ids\":[\"a\",\"0011223344556677889900aabbccddgg\"]}"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        json_t *history = NULL, *doc = settings("a", 10, 30, false);
        assert_int_equal(cm_json_parse(bad[i], strlen(bad[i]), &history, NULL), 0);
        cm_json_set_str(doc, "_rev", "2-a");
        cm_json_set(doc, "_revisions", history);
        if (replicate(rig, doc).code != CM_EMALF)
            fail_msg("accepted: %s", bad[i]);
    }
    assert_int_equal(cs_seq(rig->store), 0);
}

/* Histories are not signed.  A peer that names the newest version as ancestor of an older one must
 * not bring the older one back. */
static void history_cannot_roll_back(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(replicate(rig, version(4, "6-old")).code, 0);
    assert_int_equal(replicate(rig, version(5, "5-new")).code, 0);
    commit(rig);
    assert_int_equal(days_of(rig, ID), 5);
    struct cs_result result = replicate(rig, version(4, "6-old,5-new"));
    assert_int_equal(result.code, CM_EDENIED);
    commit(rig);
    assert_int_equal(days_of(rig, ID), 5);
    assert_sound(rig, 1);
}

/* The same signed content under another name is not a new revision. */
static void names_cannot_be_made_up(void **state)
{
    struct rig *rig = *state;
    replicate(rig, version(5, "1-a"));
    struct cs_result result = replicate(rig, version(5, "2-b,1-a"));
    assert_int_equal(result.code, 0);
    assert_false(result.changed);
    commit(rig);
    assert_int_equal(cs_seq(rig->store), 1);
    assert_false(cs_has_rev(rig->store, ID, "2-b"));
    assert_int_equal(quarantined(rig), 0);
}

/* A server that signs one serial twice, as a version and as the end of it. */
static void one_serial_is_not_both_live_and_deleted(void **state)
{
    struct rig *rig = *state;
    json_t *live = json_pack("{s:s,s:s,s:i}", "_id", ID, "type", "settings", "serial", 5);
    json_t *gone = json_copy(live);
    toy_sign(live, false);
    toy_sign(gone, true);
    cm_json_set_bool(gone, "_deleted", true);
    assert_int_equal(replicate(rig, at_rev(live, "1-a")).code, 0);
    struct cs_result result = replicate(rig, at_rev(gone, "2-b,1-a"));
    assert_int_equal(result.code, CM_ECONFLICT);
    assert_int_equal(strncmp(result.reason, "fork:", 5), 0);
    commit(rig);
    assert_int_equal(cs_doc_count(rig->store), 1);
    assert_int_equal(quarantined(rig), 1);
    assert_sound(rig, 1);
}

/* What comes with the name of a known revision is not looked at, so nothing of it may be kept. */
/* Who can sign can make forks without end: the log tells ten of a minute, the list all. */
static void forks_do_not_fill_the_log(void **state)
{
    struct rig *rig = *state;
    char lines[16384];
    size_t count = 0;
    int log = memfd_create("log", MFD_CLOEXEC), before = dup(STDERR_FILENO);
    assert_true(log >= 0 && dup2(log, STDERR_FILENO) >= 0);
    cm_clock_fake(-1, 1000);
    replicate(rig, version(50, "1-a"));
    for (int i = 0; i < 40; i++) {
        CM_AUTO_STR path = cm_asprintf("2-f%d,1-a", i);
        struct cs_result result = replicate(rig, at_rev(settings("a", 50, 99 + i, false), path));
        assert_int_equal(result.code, CM_ECONFLICT);
    }
    cm_clock_fake(-1, 1000 + CM_TOLD_MS);
    replicate(rig, at_rev(settings("a", 50, 999, false), "2-ff,1-a"));
    cm_clock_fake(-1, -1);
    dup2(before, STDERR_FILENO);
    close(before);
    ssize_t len = pread(log, lines, sizeof(lines) - 1, 0);
    close(log);
    assert_true(len > 0);
    lines[len] = '\0';
    for (const char *at = lines; (at = strstr(at, "two signed versions")) != NULL; at++)
        count++;
    assert_int_equal(count, CM_TOLD_MAX + 1);
    assert_non_null(strstr(lines, " 30 more signed versions "));
    commit(rig);
    assert_int_equal(quarantined(rig), 41);
}

static void a_known_name_brings_no_text(void **state)
{
    struct rig *rig = *state;
    CM_AUTO_JSON read = NULL;
    replicate(rig, version(5, "2-b,1-a"));
    json_t *forged = version(4, "1-a");
    cm_json_set_int(forged, "renew_days", 1);
    assert_int_equal(replicate(rig, forged).code, 0);
    forged = version(5, "2-b,1-a");
    cm_json_set_int(forged, "renew_days", 1);
    assert_int_equal(replicate(rig, forged).code, 0);
    commit(rig);
    assert_int_equal(days_of(rig, ID), 5);
    assert_true(cs_has_rev(rig->store, ID, "1-a"));
    assert_int_equal(cs_read_rev(rig->store, ID, "1-a", false, false, &read, NULL), CM_ENOENT);
    assert_int_equal(cs_seq(rig->store), 1);
    assert_sound(rig, 1);
}

static void an_id_ends_where_it_seems_to(void **state)
{
    struct rig *rig = *state;
    json_t *doc = version(5, "1-a");
    json_object_set_new(doc, "_id", json_stringn("settings:a\0b", 12));
    assert_int_equal(replicate(rig, doc).code, CM_EMALF);
    commit(rig);
    assert_int_equal(cs_doc_count(rig->store), 0);
}

static void leaves_are_bounded(void **state)
{
    struct rig *rig = *state;
    char path[24];
    for (int i = 1; i <= CS_LEAVES_MAX + 3; i++) {
        snprintf(path, sizeof(path), "1-l%02d", i);
        assert_int_equal(replicate(rig, version(i, path)).code, 0);
    }
    commit(rig);
    CM_AUTO_JSON leaves = NULL;
    assert_int_equal(cs_read_leaves(rig->store, ID, true, &leaves, NULL), 0);
    assert_int_equal(json_array_size(leaves), CS_LEAVES_MAX);
    assert_false(cs_has_rev(rig->store, ID, "1-l03"));
    assert_true(cs_has_rev(rig->store, ID, "1-l04"));
    assert_int_equal(days_of(rig, ID), CS_LEAVES_MAX + 3);
    assert_sound(rig, 1);
}

static void tombstone_counts_by_serial(void **state)
{
    struct rig *rig = *state;
    replicate(rig, version(5, "2-b,1-a"));
    json_t *unsigned_tombstone =
        json_pack("{s:s,s:s,s:b}", "_id", ID, "_rev", "3-c", "_deleted", 1);
    assert_int_equal(replicate(rig, unsigned_tombstone).code, CM_EMALF);
    assert_int_equal(days_of(rig, ID), 5);
    assert_int_equal(replicate(rig, at_rev(settings("a", 4, 0, true), "9-z")).code, CM_ECONFLICT);
    assert_int_equal(days_of(rig, ID), 5);
    assert_int_equal(replicate(rig, at_rev(settings("a", 6, 0, true), "1-t")).code, 0);
    assert_int_equal(days_of(rig, ID), -1);
    commit(rig);
    /* CouchDB's winner is still the live leaf; for us the document is gone. */
    CM_AUTO_JSON winner = NULL;
    assert_int_equal(cs_read_rev(rig->store, ID, NULL, false, false, &winner, NULL), 0);
    assert_string_equal(cm_json_str(winner, "_rev"), "2-b");
    assert_int_equal(cs_doc_count(rig->store), 0);
    assert_sound(rig, 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(merges_and_replays),
        T(read_ahead),
        T(text_takes_a_place),
        T(read_ahead_and_tried_again),
        T(effective_is_not_the_winner),
        T(refuses_without_failing),
        T(a_document_that_was_written_often_reaches_everybody),
        T(no_generation_is_a_dead_end),
        T(a_claimed_serial_opens_nothing),
        T(malformed_histories),
        T(history_cannot_roll_back),
        T(names_cannot_be_made_up),
        T(leaves_are_bounded),
        T(tombstone_counts_by_serial),
        T(one_serial_is_not_both_live_and_deleted),
        T(forks_do_not_fill_the_log),
        T(a_known_name_brings_no_text),
        T(an_id_ends_where_it_seems_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
