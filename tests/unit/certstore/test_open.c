/* Opening: one process, private directories, format versions. */
#include "support.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/core/file.h"
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
    rig_close(*state);
    return 0;
}

static int try_open(const char *dir, bool create, bool policy, struct cm_err *err)
{
    struct cs_store *store;
    struct cs_opts opts = {
        .dir = dir, .create = create, .policy = policy, .verify = policy ? toy_verify : NULL};
    int rc = cs_open(&opts, &store, err);
    cs_close(store);
    return rc;
}

static void one_process_one_store(void **state)
{
    struct rig *rig = *state;
    struct cm_err err = CM_ERR_INIT;
    assert_int_equal(try_open(rig->dir, false, true, &err), CM_EBUSY);
    assert_true(err.hint[0] != '\0');
    cm_err_fini(&err);
    put(rig, settings("a", 1, 1, false));
    commit(rig);
    assert_sound(rig, 1);
}

static void says_what_is_wrong(void **state)
{
    struct rig *rig = *state;
    struct cm_err err = CM_ERR_INIT;
    char dir[300];
    snprintf(dir, sizeof(dir), "%s/none", rig->dir);
    assert_int_equal(try_open(dir, false, true, &err), CM_ENOENT);
    assert_non_null(strstr(err.what, dir));
    assert_false(cm_path_exists(dir));
    cm_err_fini(&err);
    struct cs_store *store;
    struct cs_opts no_port = {.dir = dir, .create = true, .policy = true};
    assert_int_equal(cs_open(&no_port, &store, NULL), CM_EINVAL);
    assert_null(store);
    cs_close(rig->store);
    assert_int_equal(try_open(rig->dir, false, false, &err), CM_EINVAL);
    assert_non_null(strstr(err.what, "with signatures"));
    cm_err_fini(&err);
    rig_open_with(rig, NULL);
}

static void makes_private_directories(void **state)
{
    struct rig *rig = *state;
    struct rig inner = {.policy = true};
    struct stat st;
    snprintf(inner.dir, sizeof(inner.dir), "%.200s/store", rig->dir);
    rig_open_with(&inner, NULL);
    assert_int_equal(stat(inner.dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    char path[300];
    snprintf(path, sizeof(path), "%s/data.mdb", inner.dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_string_not_equal(cs_uuid(inner.store), cs_uuid(rig->store));
    rig_close(&inner);
}

/* A store of a later version is left alone. */
static void refuses_newer_formats(void **state)
{
    struct rig *rig = *state;
    struct cm_err err = CM_ERR_INIT;
    struct cs_txn txn;
    struct cs_key key;
    cs_key_begin(&key, CS_T_META);
    assert_int_equal(cs_txn_begin(rig->store->env, true, &txn, NULL), 0);
    assert_int_equal(cs_record_put(&txn, &key, "\x02rest", 5, NULL), 0);
    assert_int_equal(cs_txn_commit(&txn, NULL), 0);
    cs_close(rig->store);
    rig->store = NULL;
    assert_int_equal(try_open(rig->dir, true, true, &err), CM_EINVAL);
    assert_non_null(strstr(err.what, "newer version"));
    cm_err_fini(&err);
}

static void other_data_is_not_taken_for_a_store(void **state)
{
    struct rig *rig = *state;
    struct cm_err err = CM_ERR_INIT;
    struct cs_txn txn;
    struct cs_key key;
    put(rig, settings("a", 1, 1, false));
    commit(rig);
    cs_key_begin(&key, CS_T_META);
    assert_int_equal(cs_txn_begin(rig->store->env, true, &txn, NULL), 0);
    assert_int_equal(cs_txn_del(&txn, &key, NULL), 0);
    assert_int_equal(cs_txn_commit(&txn, NULL), 0);
    cs_close(rig->store);
    rig->store = NULL;
    assert_int_equal(try_open(rig->dir, true, true, &err), CM_EIO);
    assert_non_null(strstr(err.what, "no head record"));
    cm_err_fini(&err);
}

/* The file as it is on disk right after a commit is a whole store. */
static void image_after_commit_is_whole(void **state)
{
    struct rig *rig = *state;
    struct rig image = {.policy = true};
    char from[300], to[300];
    for (int i = 1; i <= 50; i++)
        put(rig, settings("a", i, i, false));
    put(rig, settings("b", 99, 7, false));
    commit(rig);
    put(rig, settings("b", 100, 8, false)); /* still open */
    snprintf(image.dir, sizeof(image.dir), "%.200s/image", rig->dir);
    assert_int_equal(mkdir(image.dir, 0700), 0);
    snprintf(from, sizeof(from), "%.200s/data.mdb", rig->dir);
    snprintf(to, sizeof(to), "%.200s/data.mdb", image.dir);
    char *data;
    size_t len;
    assert_int_equal(cm_file_read(from, 64 << 20, &data, &len, NULL), 0);
    assert_int_equal(cm_file_write(to, data, len, 0600, NULL), 0);
    cm_free(data);
    rig_open_with(&image, NULL);
    assert_int_equal(days_of(&image, "settings:a"), 50);
    assert_int_equal(days_of(&image, "settings:b"), 7);
    assert_int_equal(cs_seq(image.store), 51);
    assert_sound(&image, 2);
    rig_close(&image);
}

/* Reading what is not there ends the process, but not without a word. */
static void a_file_that_was_cut_off_is_told(void **state)
{
    struct rig *rig = *state;
    char dir[256], path[300], said[600] = "";
    int status = 0, out[2];
    put(rig, settings("a", 1, 7, false));
    commit(rig);
    snprintf(path, sizeof(path), "%.200s/data.mdb", rig->dir);
    char *data;
    size_t len;
    assert_int_equal(cm_file_read(path, 64 << 20, &data, &len, NULL), 0);
    snprintf(dir, sizeof(dir), "%.200s/cut", rig->dir);
    assert_int_equal(mkdir(dir, 0700), 0);
    snprintf(path, sizeof(path), "%s/data.mdb", dir);
    assert_true(len > 3 * 4096);
    assert_int_equal(cm_file_write(path, data, 2 * 4096, 0600, NULL), 0); /* the head alone */
    cm_free(data);
    assert_int_equal(pipe(out), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(out[1], STDERR_FILENO);
        (void)try_open(dir, false, true, NULL);
        _exit(0);
    }
    close(out[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(read(out[0], said, sizeof(said) - 1) > 0);
    close(out[0]);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
    assert_non_null(strstr(said, "data.mdb"));
    assert_non_null(strstr(said, "restore the newest backup"));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(one_process_one_store),
        T(says_what_is_wrong),
        T(makes_private_directories),
        T(refuses_newer_formats),
        T(other_data_is_not_taken_for_a_store),
        T(image_after_commit_is_whole),
        T(a_file_that_was_cut_off_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
