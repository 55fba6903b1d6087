/* Checkpoint documents: comparison of both sides' copies, contents, names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "replicator/checkpoint.h"

/* "c3 b2 a1" = sessions newest first, each with its recorded sequence. */
static json_t *make(const char *sessions)
{
    if (!sessions)
        return NULL;
    json_t *doc = json_object(), *history = json_array();
    for (const char *at = sessions; at[0] && at[1]; at += at[2] ? 3 : 2) {
        char id[2] = {at[0], '\0'};
        json_array_append_new(
            history, json_pack("{s:s,s:i}", "session_id", id, "recorded_seq", at[1] - '0'));
    }
    if (sessions[0]) {
        char id[2] = {sessions[0], '\0'};
        cm_json_set_str(doc, "session_id", id);
        cm_json_set_int(doc, "source_last_seq", sessions[1] - '0');
    }
    cm_json_set(doc, "history", history);
    return doc;
}

static void test_compare(void **state)
{
    static const struct {
        const char *own, *peer;
        int seq;     /* 0 = from the beginning */
        size_t kept; /* older sessions that stay */
        int stored;  /* 0 = nothing */
    } table[] = {
        {NULL, NULL, 0, 0, 0},
        {"a1", NULL, 0, 0, 0},
        {NULL, "a1", 0, 0, 0},
        {"", "", 0, 0, 0},
        {"a1", "b1", 0, 0, 0},
        {"a1", "a1", 1, 1, 0},
        {"b5 a1", "b5 a1", 5, 2, 0},
        {"b4 a1", "b9 a1", 4, 2, 0}, /* whatever somebody wrote there: our word counts */
        {"b5 a1", "b4 a1", 4, 2, 4}, /* killed between the two writes */
        {"b5 a1", "b4 a1", 0, 0, 0}, /* the peer is a restored one */
        {"b5 a1", "b4 a1", 0, 0, 3},
        {"a1", "b5 a1", 1, 0, 0}, /* we missed the newest run */
        {"b5 a1", "a1", 1, 0, 0}, /* the peer did */
        {"c7 b5 a1", "b5 a1", 5, 1, 0},
        {"b5 a1", "c7 b5 a1", 5, 1, 0},
        {"b5 a1", "c7 b9 a1", 5, 1, 0},
        {"b5 a1", "c7 b4 a1", 0, 0, 0},
        {"c7 a1", "d9 a1", 1, 0, 0}, /* both lost one */
        {"c7 b3 a1", "d9 a1", 1, 0, 0},
        {"c7 a1", "d9 e3 a1", 1, 0, 0},
        {"c7 b3", "d9 a1", 0, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        CM_AUTO_JSON own = make(table[i].own);
        CM_AUTO_JSON peer = make(table[i].peer);
        const json_t *history = NULL;
        size_t from = 99;
        if (table[i].stored)
            cm_json_set_int(own, "stored_seq", table[i].stored);
        const json_t *seq = rp_checkpoint_compare(own, peer, &history, &from);
        if (json_integer_value(seq) != table[i].seq ||
            json_array_size(history) - from != table[i].kept)
            fail_msg("row %zu: sequence %d, %zu kept", i, (int)json_integer_value(seq),
                     json_array_size(history) - from);
    }
}

/* The number in front of a sequence leads nowhere: who writes the peer's copy shows us ours with
 * another end, and everything is compared. */
static void test_compare_tokens(void **state)
{
    static const struct {
        const char *own, *stored, *peer, *seq;
    } table[] = {
        {"5-abc", NULL, "5-abc", "5-abc"},  {"5-abc", NULL, "5-evil", "5-abc"},
        {"5-abc", NULL, "9-evil", "5-abc"}, {"5-abc", NULL, "4-evil", NULL},
        {"5-abc", "4-ab", "4-ab", "4-ab"},  {"5-abc", "4-ab", "4-evil", NULL},
        {"5-abc", NULL, "evil", NULL},      {"abc", NULL, "9-evil", NULL},
        {"abc", NULL, "abc", "abc"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        CM_AUTO_JSON own = make("a1");
        CM_AUTO_JSON peer = make("a1");
        const json_t *history = NULL;
        size_t from;
        cm_json_set_str(own, "source_last_seq", table[i].own);
        cm_json_set_str(peer, "source_last_seq", table[i].peer);
        cm_json_set_str(peer, "stored_seq",
                        table[i].peer); /* their word about it counts for nothing */
        if (table[i].stored)
            cm_json_set_str(own, "stored_seq", table[i].stored);
        const json_t *seq = rp_checkpoint_compare(own, peer, &history, &from);
        const char *found = seq ? json_string_value(seq) : "";
        if (strcmp(found, table[i].seq ? table[i].seq : "") != 0)
            fail_msg("row %zu: %s", i, found);
    }
}

/* Whatever a peer stores as our checkpoint, comparing it does no harm. */
static void test_compare_hostile(void **state)
{
    static const char *const table[] = {
        "[]",
        "{\"session_id\":1}",
        "{\"session_id\":\"a\"}",
        "{\"session_id\":\"a\",\"history\":{}}",
        "{\"session_id\":\"b\",\"history\":[1,null,{},{\"session_id\":2}]}",
        "{\"session_id\":\"b\",\"history\":[{\"session_id\":\"a\"}]}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        CM_AUTO_JSON theirs = NULL;
        CM_AUTO_JSON ours = make("a1");
        const json_t *history;
        size_t from;
        assert_int_equal(cm_json_parse(table[i], strlen(table[i]), &theirs, NULL), 0);
        assert_int_equal(json_integer_value(rp_checkpoint_compare(ours, theirs, &history, &from)),
                         0);
    }
}

static void test_make(void **state)
{
    struct rp_session session = {.id = "s", .started_ms = 1000, .docs_written = 7};
    CM_AUTO_JSON seq = json_string("9-0badcafe");
    CM_AUTO_JSON old = make("b5 a1");
    (void)state;
    CM_AUTO_JSON doc = rp_checkpoint_make(&session, seq, NULL, json_object_get(old, "history"), 1);
    const json_t *history = cm_json_arr(doc, "history");
    const json_t *head = json_array_get(history, 0);
    assert_string_equal(cm_json_str(doc, "session_id"), "s");
    assert_string_equal(cm_json_str(doc, "source_last_seq"), "9-0badcafe");
    assert_string_equal(cm_json_str(head, "session_id"), "s");
    assert_string_equal(cm_json_str(head, "recorded_seq"), "9-0badcafe");
    assert_int_equal(cm_json_int(head, "start_last_seq", -1), 0);
    assert_int_equal(cm_json_int(head, "docs_written", 0), 7);
    assert_int_equal(json_array_size(history), 2);
    assert_string_equal(cm_json_str(json_array_get(history, 1), "session_id"), "a");

    /* The same session again replaces its own entry. */
    CM_AUTO_JSON later = json_string("10-0badcafe");
    CM_AUTO_JSON again = rp_checkpoint_make(&session, later, seq, history, 0);
    assert_int_equal(json_array_size(cm_json_arr(again, "history")), 2);
    assert_string_equal(cm_json_str(again, "stored_seq"), "9-0badcafe");
    assert_null(json_object_get(doc, "stored_seq"));
    assert_string_equal(
        cm_json_str(json_array_get(cm_json_arr(again, "history"), 0), "recorded_seq"),
        "10-0badcafe");
}

static void test_history_is_bounded(void **state)
{
    json_t *history = json_array();
    (void)state;
    for (int i = 0; i < 2 * RP_HISTORY_MAX; i++) {
        char id[16];
        snprintf(id, sizeof(id), "old%d", i);
        json_array_append_new(history, json_pack("{s:s,s:i}", "session_id", id, "recorded_seq", i));
    }
    struct rp_session session = {.id = "new"};
    CM_AUTO_JSON doc = rp_checkpoint_make(&session, NULL, NULL, history, 0);
    assert_int_equal(json_array_size(cm_json_arr(doc, "history")), RP_HISTORY_MAX);
    assert_int_equal(cm_json_int(doc, "source_last_seq", -1), 0);
    json_decref(history);
}

static void test_job_id(void **state)
{
    char id[6][RP_JOB_ID];
    (void)state;
    rp_job_id("own", "e1", "peer", "db", false, id[0]);
    rp_job_id("own", "e1", "peer", "db", true, id[1]);
    rp_job_id("own", "e2", "peer", "db", false, id[2]);
    rp_job_id("own", "e1", "other", "db", false, id[3]);
    rp_job_id("own", "e1", "peer", "db2", false, id[4]);
    rp_job_id("own", "e1", "peer", "db", false, id[5]);
    assert_string_equal(id[0], id[5]);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(strlen(id[i]), RP_JOB_ID - 1);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(id[i], id[j]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compare),
        cmocka_unit_test(test_compare_tokens),
        cmocka_unit_test(test_compare_hostile),
        cmocka_unit_test(test_make),
        cmocka_unit_test(test_history_is_bounded),
        cmocka_unit_test(test_job_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
