/* Reading a damaged store may end the process: once, with a word, and not again at each start. */
#include "tests/unit/certstore/support.h"

#include <sys/resource.h>
#include <sys/wait.h>

#include "certstore/crash.h"

static int setup(void **state)
{
    static struct rig rig;
    rig_open(&rig, true);
    put(&rig, settings("a", 1, 1, false));
    commit(&rig);
    *state = &rig;
    return 0;
}

static int teardown(void **state)
{
    rig_close(*state);
    return 0;
}

/* A process that ends inside the store, or outside; what it wrote to standard error (owned). */
static char *crash(struct rig *rig, bool inside)
{
    struct rlimit none = {0};
    char text[4096];
    int ends[2], status = 0;
    cs_close(rig->store);
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)setrlimit(RLIMIT_CORE, &none);
        (void)dup2(ends[1], STDERR_FILENO);
        rig_open_with(rig, NULL);
        (void)CS_READING((inside ? abort() : (void)0, 0));
        abort();
    }
    close(ends[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    ssize_t got = read(ends[0], text, sizeof(text) - 1);
    close(ends[0]);
    rig_open_with(rig, NULL);
    return cm_strndup(text, got > 0 ? (size_t)got : 0);
}

static size_t problems_of(struct rig *rig)
{
    CM_AUTO_JSON status = cs_scrub_status(rig->store);
    return json_array_size(cm_json_arr(status, "problems"));
}

static void the_next_start_reads_only_what_it_must(void **state)
{
    struct rig *rig = *state;
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_STR said = crash(rig, true);
    assert_non_null(strstr(said, "certmgr store check"));
    assert_int_equal(days_of(rig, "settings:a"), 1); /* it goes on */
    put(rig, settings("b", 1, 1, false));
    commit(rig);
    assert_int_equal(problems_of(rig), 1); /* people are told */
    assert_int_equal(cs_scrub(rig->store, false, &err), 0);
    assert_int_equal(cs_scrub(rig->store, true, &err), CM_EIO);
    assert_non_null(strstr(err.hint, "certmgr store check"));
    CM_AUTO_STR copy = cm_asprintf("%s/copy", rig->dir);
    cm_err_fini(&err);
    assert_int_equal(cs_copy(rig->store, copy, &err), CM_EIO);
    assert_non_null(strstr(err.hint, "certmgr store check"));
    cm_err_fini(&err);

    CM_AUTO_JSON report = NULL;
    assert_int_equal(cs_check(rig->store, &report, &err), 0);
    assert_int_equal(problems_of(rig), 0);
    assert_int_equal(cs_copy(rig->store, copy, &err), 0);
    cs_close(rig->store);
    rig_open_with(rig, NULL);
    assert_int_equal(problems_of(rig), 0);
}

static void an_end_outside_the_store_says_nothing_of_it(void **state)
{
    struct rig *rig = *state;
    CM_AUTO_STR said = crash(rig, false);
    assert_null(strstr(said, "certificate store"));
    assert_int_equal(problems_of(rig), 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(the_next_start_reads_only_what_it_must),
        T(an_end_outside_the_store_says_nothing_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
