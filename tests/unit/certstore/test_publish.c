/* Signed local writes: serials, queue behind the signer, refusals. */
#include "support.h"

/* A sign port in memory: at once, or kept until the test lets it answer. */
#define PENDING_MAX 8
static struct {
    json_t *body;
    bool deleted;
    cs_signed_fn done;
    void *arg;
} pending[PENDING_MAX];
static size_t pending_count;
static bool wait_for_test, refuse;

static char journal[4096];
static struct cs_doc last;

static void answer(json_t *body, bool deleted, cs_signed_fn done, void *arg)
{
    struct cm_err err = CM_ERR_INIT;
    if (refuse) {
        cm_fail(&err, CM_EBUSY, "the key agent is away");
        done(arg, NULL, &err);
    } else {
        toy_sign(body, deleted);
        done(arg, body, NULL);
    }
    cm_err_fini(&err);
    json_decref(body);
}

static void sign_port(void *arg, json_t *take_body, bool deleted, cs_signed_fn done, void *done_arg)
{
    (void)arg;
    assert_null(json_object_get(take_body, "signature"));
    assert_null(json_object_get(take_body, "_deleted"));
    if (!wait_for_test) {
        answer(take_body, deleted, done, done_arg);
        return;
    }
    assert_in_range(pending_count, 0, PENDING_MAX - 1);
    pending[pending_count].body = take_body;
    pending[pending_count].deleted = deleted;
    pending[pending_count].done = done;
    pending[pending_count++].arg = done_arg;
}

static void answer_all(void)
{
    for (size_t i = 0; i < pending_count; i++)
        answer(pending[i].body, pending[i].deleted, pending[i].done, pending[i].arg);
    pending_count = 0;
}

static int setup(void **state)
{
    static struct rig rig;
    rig_open(&rig, true);
    cs_close(rig.store);
    rig_open_with(&rig, sign_port);
    journal[0] = '\0';
    pending_count = 0;
    wait_for_test = refuse = false;
    cm_clock_fake(5000, 0);
    *state = &rig;
    return 0;
}

static int teardown(void **state)
{
    cm_clock_fake(-1, -1);
    cs_doc_fini(&last);
    rig_close(*state);
    return 0;
}

static void on_done(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    char line[700];
    cs_doc_fini(&last);
    if (err) {
        assert_null(doc);
        snprintf(line, sizeof(line), "%s: %s;", (const char *)arg, cm_code_name(err->code));
    } else {
        snprintf(line, sizeof(line), "%s: %s %lld%s;", (const char *)arg, doc->id,
                 (long long)doc->serial, doc->deleted ? " deleted" : "");
        last = *doc;
        last.body = json_incref(doc->body);
    }
    strncat(journal, line, sizeof(journal) - strlen(journal) - 1);
}

static json_t *draft(int64_t days)
{
    return json_pack("{s:s,s:s,s:I}", "_id", "settings:a", "type", "settings", "renew_days",
                     (json_int_t)days);
}

static json_t *removal(void)
{
    return json_pack("{s:s,s:s,s:b}", "_id", "settings:a", "type", "settings", "_deleted", 1);
}

static void publish(struct rig *rig, json_t *take_doc, int64_t base_serial, const char *name)
{
    cs_publish(rig->store, take_doc, base_serial, on_done, (void *)(uintptr_t)name);
}

static void says_done_when_durable(void **state)
{
    struct rig *rig = *state;
    publish(rig, draft(30), 0, "one");
    assert_string_equal(journal, "");
    commit(rig);
    assert_string_equal(journal, "one: settings:a 5000;");
    assert_int_equal(last.seq, 1);
    assert_int_equal(cm_json_int(last.body, "serial", 0), 5000);
    assert_non_null(json_object_get(last.body, "signature"));
    assert_int_equal(strncmp(last.rev, "1-", 2), 0);
    assert_int_equal(days_of(rig, "settings:a"), 30);
    assert_sound(rig, 1);
}

static void serials_rise_and_never_repeat(void **state)
{
    struct rig *rig = *state;
    publish(rig, draft(1), -1, "1");
    publish(rig, draft(2), -1, "2");
    cm_clock_fake(4000, 0); /* the clock goes back */
    publish(rig, draft(3), -1, "3");
    commit(rig);
    cm_clock_fake(9000, 0);
    publish(rig, draft(4), -1, "4");
    commit(rig);
    assert_string_equal(journal, "1: settings:a 5000;2: settings:a 5001;3: settings:a 5002;"
                                 "4: settings:a 9000;");
    /* Also not after a restart. */
    cs_close(rig->store);
    rig_open_with(rig, sign_port);
    journal[0] = '\0';
    cm_clock_fake(1, 0);
    json_t *other = json_pack("{s:s,s:s}", "_id", "settings:b", "type", "settings");
    publish(rig, other, 0, "5");
    commit(rig);
    assert_string_equal(journal, "5: settings:b 9001;");
}

/* What another server wrote with a clock that is ten years ahead can still be changed. */
static void serials_rise_above_those_of_others(void **state)
{
    struct rig *rig = *state;
    replicate(rig, at_rev(settings("a", 800000, 1, false), "1-a"));
    commit(rig);
    publish(rig, draft(2), 800000, "mine");
    commit(rig);
    assert_string_equal(journal, "mine: settings:a 800001;");
    assert_int_equal(days_of(rig, "settings:a"), 2);
    /* … and changed twice at a time; what it wrote raises no other document's serial. */
    journal[0] = '\0';
    publish(rig, draft(3), -1, "3");
    publish(rig, draft(4), -1, "4");
    json_t *other = json_pack("{s:s,s:s}", "_id", "settings:b", "type", "settings");
    publish(rig, other, 0, "other");
    commit(rig);
    assert_string_equal(journal,
                        "3: settings:a 800002;4: settings:a 800003;other: settings:b 5003;");
    assert_int_equal(days_of(rig, "settings:a"), 4);
}

static void stale_base_is_a_conflict(void **state)
{
    struct rig *rig = *state;
    publish(rig, draft(30), 4, "no such version");
    publish(rig, draft(30), 0, "new");
    publish(rig, draft(31), 0, "not new");
    publish(rig, draft(31), 5000, "edit");
    publish(rig, draft(32), 5000, "stale");
    commit(rig);
    /* Refusals come at once, successes with the commit. */
    assert_string_equal(journal, "no such version: conflict;not new: conflict;stale: conflict;"
                                 "new: settings:a 5000;edit: settings:a 5001;");
    assert_int_equal(days_of(rig, "settings:a"), 31);
}

static void base_is_checked_again_at_the_put(void **state)
{
    struct rig *rig = *state;
    publish(rig, draft(30), 0, "new");
    commit(rig);
    journal[0] = '\0';
    wait_for_test = true;
    publish(rig, draft(31), 5000, "first");
    publish(rig, draft(32), 5000, "second");
    assert_string_equal(journal, "");
    answer_all();
    assert_string_equal(journal, "second: conflict;");
    commit(rig);
    assert_string_equal(journal, "second: conflict;first: settings:a 5001;");
    assert_int_equal(days_of(rig, "settings:a"), 31);
}

static void publishes_tombstones(void **state)
{
    struct rig *rig = *state;
    publish(rig, draft(30), 0, "new");
    publish(rig, removal(), 5000, "gone");
    commit(rig);
    assert_string_equal(journal, "new: settings:a 5000;gone: settings:a 5001 deleted;");
    assert_int_equal(days_of(rig, "settings:a"), -1);
    /* A deleted document "must not exist" once more; its serial still rises. */
    publish(rig, draft(33), 0, "again");
    commit(rig);
    assert_int_equal(days_of(rig, "settings:a"), 33);
    assert_int_equal(last.serial, 5002);
    assert_sound(rig, 1);
}

static void failures_reach_the_caller(void **state)
{
    struct rig *rig = *state;
    refuse = true;
    publish(rig, draft(30), 0, "agent");
    refuse = false;
    json_t *wrong = draft(30);
    cm_json_set_str(wrong, "colour", "red");
    publish(rig, wrong, 0, "schema");
    publish(rig, json_object(), 0, "id");
    cs_publish(rig->store, draft(-1), 0, NULL, NULL); /* logged, nobody asked */
    assert_string_equal(journal, "agent: busy;schema: malformed;id: invalid;");
    commit(rig);
    assert_int_equal(cs_seq(rig->store), 0);
    cs_close(rig->store);
    rig_open_with(rig, NULL);
    journal[0] = '\0';
    publish(rig, draft(30), 0, "port");
    assert_string_equal(journal, "port: invalid;");
}

static void closing_answers_everybody(void **state)
{
    struct rig *rig = *state;
    publish(rig, draft(30), 0, "put");
    wait_for_test = true;
    publish(rig, draft(31), -1, "waiting");
    cs_close(rig->store);
    assert_string_equal(journal, "put: settings:a 5000;waiting: closed;");
    answer_all(); /* the late signature finds nobody */
    assert_string_equal(journal, "put: settings:a 5000;waiting: closed;");
    rig_open_with(rig, sign_port);
    assert_int_equal(days_of(rig, "settings:a"), 30);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(says_done_when_durable),    T(serials_rise_and_never_repeat),
        T(stale_base_is_a_conflict),  T(base_is_checked_again_at_the_put),
        T(publishes_tombstones),      T(failures_reach_the_caller),
        T(closing_answers_everybody), T(serials_rise_above_those_of_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
