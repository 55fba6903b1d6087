/* Group commit: order of callbacks, durability, limits. */
#include "support.h"

#include <sys/resource.h>
#include <sys/wait.h>

static char journal[4096];

static void note(const char *what)
{
    strncat(journal, what, sizeof(journal) - strlen(journal) - 1);
}

static int setup(void **state)
{
    static struct rig rig;
    journal[0] = '\0';
    rig_open(&rig, true);
    *state = &rig;
    return 0;
}

static int teardown(void **state)
{
    rig_close(*state);
    return 0;
}

static void on_commit(void *arg, int code, const struct cm_err *err)
{
    assert_int_equal(code == 0, err == NULL);
    note(arg);
    note(code == 0 ? " ok," : " failed,");
}

static void on_change(void *arg, const char *id)
{
    (void)arg;
    note(id);
    note(",");
}

static void callbacks_in_order(void **state)
{
    struct rig *rig = *state;
    cs_listen(rig->store, on_change, NULL);
    /* Nothing open: everything is durable already. */
    cs_after_commit(rig->store, on_commit, (char[]){"0"});
    assert_string_equal(journal, "0 ok,");
    assert_int_equal(rig->armed, 0);
    journal[0] = '\0';
    put(rig, settings("b", 1, 1, false));
    cs_after_commit(rig->store, on_commit, (char[]){"1"});
    put(rig, settings("a", 1, 1, false));
    put(rig, settings("b", 2, 2, false));
    cs_after_commit(rig->store, on_commit, (char[]){"2"});
    assert_string_equal(journal, "");
    assert_int_equal(rig->armed, 1);
    commit(rig);
    /* Each changed document once, in the order of its first change. */
    assert_string_equal(journal, "1 ok,2 ok,settings:b,settings:a,");
    assert_int_equal(cs_commit(rig->store, NULL), 0);
    assert_string_equal(journal, "1 ok,2 ok,settings:b,settings:a,");
    put(rig, settings("a", 2, 1, false));
    assert_int_equal(rig->armed, 2);
}

static void put_local(struct rig *rig, const char *table, const char *key)
{
    CM_AUTO_JSON value = json_object();
    assert_int_equal(cs_kv_put(rig->store, table, key, value, NULL), 0);
}

static void on_line(void *arg, const char *key)
{
    note(arg);
    note(key);
    note(";");
}

static void local_tables_are_heard(void **state)
{
    struct rig *rig = *state;
    char mine[] = "mine:", other[] = "other:";
    cs_listen_local(rig->store, "log", on_line, mine);
    cs_listen_local(rig->store, "lo", on_line, other);
    cs_listen(rig->store, on_change, other);
    put_local(rig, "log", "a/1");
    put_local(rig, "order", "a");
    put_local(rig, "log", "b/2");
    put_local(rig, "log", "a/1");
    assert_string_equal(journal, ""); /* not before it is durable */
    put(rig, settings("x", 1, 1, false));
    commit(rig);
    assert_string_equal(journal, "settings:x,mine:a/1;mine:b/2;");
    journal[0] = '\0';
    cs_unlisten(rig->store, mine);
    put_local(rig, "log", "a/2");
    put(rig, settings("x", 2, 2, false));
    commit(rig);
    assert_string_equal(journal, "settings:x,"); /* the others hear on */
    cs_unlisten(rig->store, other);
    put(rig, settings("x", 3, 3, false));
    commit(rig);
    assert_string_equal(journal, "settings:x,");
    /* Places are given again. */
    for (int i = 0; i < 100; i++) {
        cs_listen(rig->store, on_change, other);
        cs_unlisten(rig->store, other);
    }
}

static void writing_listener(void *arg, const char *id)
{
    struct rig *rig = arg;
    on_change(NULL, id);
    if (strcmp(id, "settings:a") == 0)
        assert_int_equal(put(rig, settings("follow", 1, 1, false)).code, 0);
}

static void listeners_may_write(void **state)
{
    struct rig *rig = *state;
    cs_listen(rig->store, writing_listener, rig);
    put(rig, settings("a", 1, 1, false));
    commit(rig);
    assert_int_equal(rig->armed, 2);
    assert_int_equal(cs_seq(rig->store), 1);
    commit(rig);
    assert_int_equal(cs_seq(rig->store), 2);
    assert_string_equal(journal, "settings:a,settings:follow,");
}

static int try_commit(void *arg, const char *key, const char *id)
{
    (void)key;
    (void)id;
    assert_int_equal(cs_commit(((struct rig *)arg)->store, NULL), CM_EBUSY);
    return 0;
}

static void no_commit_under_a_reader(void **state)
{
    struct rig *rig = *state;
    put(rig, settings("a", 1, 1, false));
    assert_int_equal(cs_each(rig->store, CS_BY_TYPE, NULL, NULL, NULL, try_commit, rig), 0);
    commit(rig);
    assert_int_equal(cs_seq(rig->store), 1);
}

/* The map is full: the whole batch fails as one, the store goes on with what it had. */
static void full_map_fails_the_batch(void **state)
{
    struct rig *rig = *state;
    struct cm_err err = CM_ERR_INIT;
    cs_close(rig->store);
    struct cs_opts opts = {.dir = rig->dir,
                           .map_size = 1 << 20,
                           .policy = true,
                           .verify = toy_verify,
                           .port_arg = rig};
    assert_int_equal(cs_open(&opts, &rig->store, &err), 0);
    cs_listen(rig->store, on_change, NULL);
    put(rig, settings("a", 1, 1, false));
    commit(rig);
    journal[0] = '\0';
    put(rig, settings("b", 1, 1, false));
    cs_after_commit(rig->store, on_commit, (char[]){"batch"});
    char *big = cm_calloc(CS_DOC_MAX / 2, 1);
    memset(big, 'x', CS_DOC_MAX / 2 - 1);
    CM_AUTO_JSON value = json_string(big);
    cm_free(big);
    int rc = 0;
    for (int i = 0; i < 100 && rc == 0; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%d", i);
        rc = cs_kv_put(rig->store, "log", key, value, &err);
    }
    assert_int_equal(rc, CM_EFULL);
    assert_non_null(strstr(err.what, "largest size"));
    assert_true(err.hint[0] != '\0');
    cm_err_fini(&err);
    /* Nothing of the batch is left to see, and no more goes in. */
    assert_int_equal(days_of(rig, "settings:b"), -1);
    assert_int_equal(put(rig, settings("c", 1, 1, false)).code, CM_EFULL);
    assert_int_equal(cs_commit(rig->store, &err), CM_EFULL);
    assert_string_equal(journal, "batch failed,");
    cm_err_fini(&err);
    assert_int_equal(put(rig, settings("c", 1, 1, false)).code, 0);
    commit(rig);
    assert_int_equal(days_of(rig, "settings:a"), 1);
    assert_int_equal(days_of(rig, "settings:c"), 1);
    assert_int_equal(cs_seq(rig->store), 2);
    assert_sound(rig, 2);
}

/* The operating system refuses the write of a commit: no more writes until a restart. */
static void disk_error_stops_writing(void **state)
{
    struct rig *rig = *state;
    put(rig, settings("a", 1, 1, false));
    commit(rig);
    cs_close(rig->store);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct cm_err err = CM_ERR_INIT;
        rig_open_with(rig, NULL);
        signal(SIGXFSZ, SIG_IGN);
        struct rlimit small = {.rlim_cur = 4096, .rlim_max = 4096};
        setrlimit(RLIMIT_FSIZE, &small); /* every page behind the first fails with EFBIG */
        put(rig, settings("b", 1, 1, false));
        int ok = cs_commit(rig->store, &err) == CM_EIO && err.hint[0] != '\0';
        ok = ok && days_of(rig, "settings:a") == 1 && days_of(rig, "settings:b") == -1;
        ok = ok && put(rig, settings("c", 1, 1, false)).code == CM_EIO;
        ok = ok && cs_seq(rig->store) == 1;
        _exit(ok ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    rig_open_with(rig, NULL);
    assert_int_equal(days_of(rig, "settings:a"), 1);
    assert_sound(rig, 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(callbacks_in_order),       T(local_tables_are_heard),   T(listeners_may_write),
        T(no_commit_under_a_reader), T(full_map_fails_the_batch), T(disk_error_stops_writing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
