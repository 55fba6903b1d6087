/* Digests of what a replica holds: equal exactly when what counts is equal. */
#include "support.h"

#include "certstore/state.h"

static int setup(void **state)
{
    static struct rig rig[2];
    rig_open(&rig[0], true);
    rig_open(&rig[1], true);
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;
    rig_close(&rig[0]);
    rig_close(&rig[1]);
    return 0;
}

static json_t *rows(struct rig *rig)
{
    json_t *list = NULL;
    struct cm_err err = CM_ERR_INIT;
    if (cs_state(rig->store, &list, &err) < 0)
        fail_msg("cs_state: %s", err.what);
    return list;
}

/* The row of a type (and signer); borrowed. */
static const json_t *row(const json_t *list, const char *type, const char *by)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *r = json_array_get(list, i);
        if (strcmp(cm_json_str_or(r, "type", ""), type) == 0 &&
            strcmp(cm_json_str_or(r, "by", ""), by) == 0)
            return r;
    }
    return NULL;
}

static bool equal(struct rig *a, struct rig *b)
{
    CM_AUTO_JSON one = rows(a);
    CM_AUTO_JSON other = rows(b);
    return json_equal(one, other);
}

static json_t *receipt(const char *server)
{
    char id[CS_ID_MAX + 1];
    snprintf(id, sizeof(id), "receipt:%s:%s", server, ULID_A);
    json_t *doc =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:i}", "_id", id, "type", "receipt", "server",
                  server, "credential", ULID_A, "state", "served", "at", TIME_A, "serial", 3);
    toy_sign(doc, false);
    json_object_set_new(json_object_get(doc, "signature"), "by", json_string(server));
    return at_rev(doc, "1-a");
}

static void order_of_arrival_does_not_count(void **state)
{
    struct rig *rig = *state;
    assert_true(equal(&rig[0], &rig[1]));
    replicate(&rig[0], at_rev(settings("a", 5, 5, false), "1-a"));
    commit(&rig[0]);
    assert_false(equal(&rig[0], &rig[1]));
    replicate(&rig[0], at_rev(settings("b", 5, 5, false), "1-b"));
    commit(&rig[0]);
    replicate(&rig[1], at_rev(settings("b", 5, 5, false), "1-b"));
    replicate(&rig[1], at_rev(settings("a", 5, 5, false), "1-a"));
    commit(&rig[1]);
    assert_true(equal(&rig[0], &rig[1]));
    CM_AUTO_JSON list = rows(&rig[0]);
    assert_int_equal(json_array_size(list), 1);
    assert_int_equal(cm_json_int(row(list, "settings", ""), "documents", 0), 2);
    assert_int_equal(strlen(cm_json_str(row(list, "settings", ""), "hash")), 64);
}

static void only_the_effective_leaf_counts(void **state)
{
    struct rig *rig = *state;
    for (int i = 0; i < 2; i++)
        replicate(&rig[i], at_rev(settings("a", 5, 5, false), "1-a"));
    replicate(&rig[1], at_rev(settings("a", 4, 4, false), "1-b")); /* an older one beside it */
    commit(&rig[0]);
    commit(&rig[1]);
    assert_true(equal(&rig[0], &rig[1]));
    replicate(&rig[1], at_rev(settings("a", 6, 6, false), "1-c"));
    commit(&rig[1]);
    assert_false(equal(&rig[0], &rig[1]));
}

static void deletions_count(void **state)
{
    struct rig *rig = *state;
    for (int i = 0; i < 2; i++) {
        replicate(&rig[i], at_rev(settings("a", 5, 5, false), "1-a"));
        commit(&rig[i]);
    }
    replicate(&rig[1], at_rev(settings("a", 6, 6, true), "1-d"));
    commit(&rig[1]);
    assert_false(equal(&rig[0], &rig[1]));
    CM_AUTO_JSON list = rows(&rig[1]);
    assert_int_equal(cm_json_int(row(list, "settings", ""), "documents", -1), 0);
    assert_int_equal(cm_json_int(row(list, "settings", ""), "deleted", -1), 1);
}

static void what_servers_write_is_told_apart(void **state)
{
    struct rig *rig = *state;
    replicate(&rig[0], receipt("bravo"));
    replicate(&rig[0], receipt("charlie"));
    commit(&rig[0]);
    replicate(&rig[1], receipt("bravo"));
    commit(&rig[1]);
    CM_AUTO_JSON all = rows(&rig[0]);
    CM_AUTO_JSON one = rows(&rig[1]);
    assert_int_equal(json_array_size(all), 2);
    assert_int_equal(json_array_size(one), 1);
    assert_true(json_equal(row(all, "receipt", "bravo"), row(one, "receipt", "bravo")));
    assert_non_null(row(all, "receipt", "charlie"));
    assert_null(row(one, "receipt", "charlie"));
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(order_of_arrival_does_not_count),
        T(only_the_effective_leaf_counts),
        T(deletions_count),
        T(what_servers_write_is_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
