/* Local key-value records. */
#include "support.h"

static char seen[4096];

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

static int on_value(void *arg, const char *key, const json_t *value)
{
    char line[300];
    int *stop_after = arg;
    snprintf(line, sizeof(line), "%s=%lld;", key, (long long)json_integer_value(value));
    strncat(seen, line, sizeof(seen) - strlen(seen) - 1);
    return stop_after && --*stop_after == 0 ? 7 : 0;
}

static void store_int(struct rig *rig, const char *table, const char *key, int64_t n)
{
    CM_AUTO_JSON value = json_integer(n);
    assert_int_equal(cs_kv_put(rig->store, table, key, value, NULL), 0);
}

static int64_t load_int(struct rig *rig, const char *table, const char *key)
{
    CM_AUTO_JSON value = cs_kv_get(rig->store, table, key);
    return value ? (int64_t)json_integer_value(value) : -1;
}

static void puts_gets_deletes(void **state)
{
    struct rig *rig = *state;
    store_int(rig, "order", "a", 1);
    assert_int_equal(load_int(rig, "order", "a"), 1);
    store_int(rig, "order", "a", 2);
    store_int(rig, "order2", "a", 3);
    commit(rig);
    rig_reopen(rig);
    assert_int_equal(load_int(rig, "order", "a"), 2);
    assert_int_equal(load_int(rig, "order", "b"), -1);
    assert_int_equal(load_int(rig, "orde", "ra"), -1);
    assert_int_equal(cs_kv_del(rig->store, "order", "a", NULL), 0);
    assert_int_equal(cs_kv_del(rig->store, "order", "b", NULL), 0); /* was not there */
    assert_int_equal(load_int(rig, "order", "a"), -1);
    commit(rig);
    assert_int_equal(load_int(rig, "order", "a"), -1);
    assert_int_equal(load_int(rig, "order2", "a"), 3);
    assert_int_equal(cs_seq(rig->store), 0);
    assert_sound(rig, 0);
}

static void walks_a_prefix(void **state)
{
    struct rig *rig = *state;
    store_int(rig, "log", "x/2", 2);
    store_int(rig, "log", "x/1", 1);
    store_int(rig, "log", "y/1", 3);
    store_int(rig, "logs", "x/9", 4);
    assert_int_equal(cs_kv_each(rig->store, "log", "x/", on_value, NULL), 0);
    assert_string_equal(seen, "x/1=1;x/2=2;");
    commit(rig);
    seen[0] = '\0';
    int stop_after = 2;
    assert_int_equal(cs_kv_each(rig->store, "log", NULL, on_value, &stop_after), 7);
    assert_string_equal(seen, "x/1=1;x/2=2;");
}

static void limits(void **state)
{
    struct rig *rig = *state;
    char key[CS_KV_KEY_MAX + 2];
    memset(key, 'k', sizeof(key));
    key[CS_KV_KEY_MAX + 1] = '\0';
    CM_AUTO_JSON value = json_integer(1);
    assert_int_equal(cs_kv_put(rig->store, "log", key, value, NULL), CM_ELIMIT);
    assert_int_equal(cs_kv_put(rig->store, "log", "", value, NULL), CM_ELIMIT);
    assert_int_equal(cs_kv_put(rig->store, "", "a", value, NULL), CM_EINVAL);
    assert_null(cs_kv_get(rig->store, "log", key));
    key[CS_KV_KEY_MAX] = '\0';
    assert_int_equal(cs_kv_put(rig->store, "log", key, value, NULL), 0);
    char *big = cm_calloc(CS_DOC_MAX + 1, 1);
    memset(big, 'x', CS_DOC_MAX);
    CM_AUTO_JSON text = json_string(big);
    cm_free(big);
    assert_int_equal(cs_kv_put(rig->store, "log", "a", text, NULL), CM_ELIMIT);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {T(puts_gets_deletes), T(walks_a_prefix), T(limits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
