/* What was refused is kept, bounded, and can be tried again. */
#include "support.h"

#include "certstore/internal.h"

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

static json_t *version(const char *name, int64_t serial)
{
    return at_rev(settings(name, serial, serial, false), "1-a");
}

static void tells_what_was_refused(void **state)
{
    struct rig *rig = *state;
    rig->reject_all = true;
    cm_clock_fake(1800000000000, 0);
    replicate(rig, version("a", 5));
    replicate(rig, version("b", 5));
    replicate(rig, version("a", 5));
    commit(rig);
    CM_AUTO_JSON all = cs_quarantine(rig->store);
    assert_int_equal(json_array_size(all), 2);
    json_t *first = json_array_get(all, 0); /* newest first */
    assert_string_equal(cm_json_str(first, "id"), "settings:a");
    assert_string_equal(cm_json_str(first, "rev"), "1-a");
    assert_string_equal(cm_json_str(first, "peer"), "peer.example");
    assert_string_equal(cm_json_str(first, "reason"), "signature: wrong signature");
    assert_string_equal(cm_json_str(first, "at"), "2027-01-15T08:00:00.000Z");
    assert_int_equal(cm_json_int(first, "count", 0), 2);
    assert_int_equal(json_object_size(first), 6);
    assert_string_equal(cm_json_str(json_array_get(all, 1), "id"), "settings:b");
    assert_int_equal(cs_seq(rig->store), 0);
    assert_sound(rig, 0);
}

static void retries(void **state)
{
    struct rig *rig = *state;
    rig->reject_all = true;
    replicate(rig, version("a", 5));
    replicate(rig, version("b", 5));
    json_t *forged = version("c", 5);
    cm_json_set_int(forged, "renew_days", 6);
    replicate(rig, forged);
    commit(rig);
    rig_reopen(rig);
    rig->reject_all = false; /* a new trust:root */
    assert_int_equal(cs_quarantine_retry(rig->store, NULL), 0);
    commit(rig);
    assert_int_equal(days_of(rig, "settings:a"), 5);
    assert_int_equal(days_of(rig, "settings:b"), 5);
    assert_int_equal(days_of(rig, "settings:c"), -1);
    CM_AUTO_JSON all = cs_quarantine(rig->store);
    assert_int_equal(json_array_size(all), 1);
    assert_string_equal(cm_json_str(json_array_get(all, 0), "id"), "settings:c");
    assert_sound(rig, 2);
}

static void accepted_ones_leave(void **state)
{
    struct rig *rig = *state;
    rig->reject_all = true;
    replicate(rig, version("a", 5));
    rig->reject_all = false;
    assert_int_equal(replicate(rig, version("a", 5)).code, 0);
    commit(rig);
    CM_AUTO_JSON all = cs_quarantine(rig->store);
    assert_int_equal(json_array_size(all), 0);
    assert_sound(rig, 1);
}

static void is_bounded_in_number(void **state)
{
    struct rig *rig = *state;
    char name[24];
    rig->reject_all = true;
    for (int i = 0; i < CS_QUARANTINE_MAX + 20; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        replicate(rig, version(name, 5));
    }
    commit(rig);
    CM_AUTO_JSON all = cs_quarantine(rig->store);
    assert_int_equal(json_array_size(all), CS_QUARANTINE_MAX);
    assert_string_equal(cm_json_str(json_array_get(all, 0), "id"), "settings:n1019");
    assert_string_equal(cm_json_str(json_array_get(all, CS_QUARANTINE_MAX - 1), "id"),
                        "settings:n20");
    assert_int_equal(rig->store->durable.quarantine_count, CS_QUARANTINE_MAX);
    assert_sound(rig, 0);
}

/* A few hundred documents of the largest size; the newest stay. */
static void is_bounded_in_bytes(void **state)
{
    struct rig *rig = *state;
    char rev[24];
    CM_AUTO_STR big = cm_malloc(CS_TRUST_MAX - 4096u + 1);
    memset(big, 'x', CS_TRUST_MAX - 4096u);
    big[CS_TRUST_MAX - 4096u] = '\0';
    CM_AUTO_JSON doc = json_object();
    cm_json_set_str(doc, "_id", "trust:root");
    cm_json_set_str(doc, "surprise", big);
    int64_t each = (int64_t)json_dumpb(doc, NULL, 0, JSON_COMPACT);
    int64_t room = CS_QUARANTINE_BYTES / each;
    for (int64_t i = 0; i < room + 3; i++) {
        snprintf(rev, sizeof(rev), "1-r%lld", (long long)i);
        cm_json_set_str(doc, "_rev", rev);
        assert_int_equal(cs_quarantine_add(rig->store, doc, "peer.example", "too much of it", NULL),
                         0);
        commit(rig);
    }
    assert_in_range(rig->store->durable.quarantine_bytes, each * (room - 1), CS_QUARANTINE_BYTES);
    assert_true(cs_is_refused(rig->store, "trust:root", rev));
    assert_false(cs_is_refused(rig->store, "trust:root", "1-r0"));
    assert_sound(rig, 0);
}

/* Several versions of a document that arrived while its signer was unknown. */
static void retries_in_the_order_of_arrival(void **state)
{
    struct rig *rig = *state;
    rig->reject_all = true;
    replicate(rig, version("a", 5));
    replicate(rig, at_rev(settings("a", 6, 6, false), "2-b,1-a"));
    commit(rig);
    rig->reject_all = false;
    assert_int_equal(cs_quarantine_retry(rig->store, NULL), 0);
    commit(rig);
    assert_int_equal(days_of(rig, "settings:a"), 6);
    assert_int_equal(cs_seq(rig->store), 2); /* the first was taken, too, not refused as older */
    CM_AUTO_JSON all = cs_quarantine(rig->store);
    assert_int_equal(json_array_size(all), 0);
}

/* Two root signers who sign at the same time make two documents with one content. */
static void signatures_are_no_content(void **state)
{
    (void)state;
    CM_AUTO_JSON one =
        json_pack("{s:s,s:i,s:[s]}", "_id", "trust:root", "serial", 5, "signatures", "a");
    CM_AUTO_JSON two =
        json_pack("{s:s,s:i,s:[s,s]}", "_id", "trust:root", "serial", 5, "signatures", "b", "c");
    CM_AUTO_JSON other = json_pack("{s:s,s:i,s:b,s:[s]}", "_id", "trust:root", "serial", 5,
                                   "threshold", 1, "signatures", "a");
    CM_AUTO_JSON plain =
        json_pack("{s:s,s:i,s:s}", "_id", "trust:root", "serial", 5, "signature", "d");
    assert_true(cs_same_content(one, two));
    assert_true(cs_same_content(one, plain));
    assert_false(cs_same_content(one, other));
    assert_int_equal(json_array_size(json_object_get(one, "signatures")), 1);
}

/* Text of any size and form is refused; only what could be retried is kept. */
static void keeps_no_giants(void **state)
{
    struct rig *rig = *state;
    char *big = cm_calloc(CS_DOC_MAX + 1, 1);
    memset(big, 'x', CS_DOC_MAX);
    json_t *doc = version("a", 5);
    cm_json_set_str(doc, "provider", big);
    assert_int_equal(replicate(rig, doc).code, CM_ELIMIT);
    doc = version("a", 5);
    cm_json_set_str(doc, "_id", big);
    assert_int_equal(replicate(rig, doc).code, CM_ELIMIT);
    doc = version("a", 5);
    cm_json_set_str(doc, "_rev", big);
    assert_int_equal(replicate(rig, doc).code, CM_EMALF);
    commit(rig);
    assert_int_equal(rig->store->durable.quarantine_bytes, 0);
    CM_AUTO_JSON all = cs_quarantine(rig->store);
    assert_int_equal(json_array_size(all), 3);
    assert_in_range(strlen(cm_json_str(json_array_get(all, 1), "id")), 1, CS_ID_MAX);
    assert_int_equal(cs_quarantine_retry(rig->store, NULL), 0);
    cm_free(big);
    commit(rig);
    assert_sound(rig, 0);
}

static void is_taken_off_the_list(void **state)
{
    struct rig *rig = *state;
    size_t count;
    rig->reject_all = true;
    replicate(rig, version("a", 5));
    replicate(rig, version("b", 5));
    assert_int_equal(
        cs_quarantine_note(rig->store, "settings:c", "1e27-x", "hub", "no revision", NULL), 0);
    commit(rig);
    assert_true(cs_is_refused(rig->store, "settings:a", "1-a"));
    assert_false(cs_is_refused(rig->store, "settings:a", "1-b"));
    assert_int_equal(cs_quarantine_forget(rig->store, "settings:a", "1-b", &count, NULL), 0);
    assert_int_equal(count, 0);
    assert_int_equal(cs_quarantine_forget(rig->store, "settings:a", "1-a", &count, NULL), 0);
    assert_int_equal(count, 1);
    assert_int_equal(cs_quarantine_forget(rig->store, "settings:c", "1e27-x", &count, NULL), 0);
    assert_int_equal(count, 1);
    assert_false(cs_is_refused(rig->store, "settings:a", "1-a"));
    replicate(rig, version("a", 5)); /* once more refused, once more listed */
    assert_true(cs_is_refused(rig->store, "settings:a", "1-a"));
    assert_int_equal(cs_quarantine_forget(rig->store, NULL, NULL, &count, NULL), 0);
    assert_int_equal(count, 2);
    commit(rig);
    CM_AUTO_JSON all = cs_quarantine(rig->store);
    assert_int_equal(json_array_size(all), 0);
    assert_sound(rig, 0);
}

static enum cs_weight weigh(struct rig *rig, json_t *take)
{
    CM_AUTO_JSON doc = take;
    return cs_weigh(rig->store, doc);
}

static void weighs_without_putting(void **state)
{
    struct rig *rig = *state;
    replicate(rig, version("a", 5));
    replicate(rig, at_rev(settings("a", 7, 7, false), "2-b"));
    commit(rig);
    int64_t seq = cs_seq(rig->store);
    assert_int_equal(weigh(rig, at_rev(settings("a", 7, 7, false), "2-b")), CS_WEIGHT_SAME);
    assert_int_equal(weigh(rig, at_rev(settings("a", 7, 7, false), "3-c")), CS_WEIGHT_SAME);
    assert_int_equal(weigh(rig, version("a", 5)), CS_WEIGHT_KNOWN);
    assert_int_equal(weigh(rig, at_rev(settings("a", 8, 8, false), "3-c")), CS_WEIGHT_NEWER);
    assert_int_equal(weigh(rig, at_rev(settings("a", 6, 6, false), "3-c")), CS_WEIGHT_NONE);
    assert_int_equal(weigh(rig, at_rev(settings("a", 7, 9, false), "3-c")), CS_WEIGHT_NONE);
    assert_int_equal(weigh(rig, at_rev(settings("a", 9, 9, false), "999999-c")), CS_WEIGHT_NONE);
    /* A known name does not vouch for what comes with it. */
    assert_int_equal(weigh(rig, at_rev(settings("a", 7, 8, false), "2-b")), CS_WEIGHT_NONE);
    assert_int_equal(weigh(rig, at_rev(settings("a", 7, 7, true), "2-b")), CS_WEIGHT_NONE);
    assert_int_equal(weigh(rig, version("a", 6)), CS_WEIGHT_KNOWN); /* signed, old */
    json_t *forged = at_rev(settings("a", 7, 7, false), "2-b");
    cm_json_set_str(cm_json_obj(forged, "signature"), "value", "made-up");
    assert_int_equal(weigh(rig, forged), CS_WEIGHT_NONE);
    forged = version("a", 5);
    cm_json_set_int(forged, "renew_days", 99);
    assert_int_equal(weigh(rig, forged), CS_WEIGHT_NONE);
    rig->reject_all = true;
    assert_int_equal(weigh(rig, at_rev(settings("a", 9, 9, false), "3-c")), CS_WEIGHT_NONE);
    commit(rig);
    assert_int_equal(cs_seq(rig->store), seq);
    CM_AUTO_JSON all = cs_quarantine(rig->store);
    assert_int_equal(json_array_size(all), 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(tells_what_was_refused),
        T(retries),
        T(accepted_ones_leave),
        T(is_bounded_in_number),
        T(keeps_no_giants),
        T(is_taken_off_the_list),
        T(weighs_without_putting),
        T(is_bounded_in_bytes),
        T(retries_in_the_order_of_arrival),
        T(signatures_are_no_content),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
