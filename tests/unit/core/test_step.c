/* Named steps: a process dies where a test asked for it, once, and nowhere else. */
#include "base/core/step.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/core/file.h"
#include "base/core/mem.h"

static char dir[] = "/tmp/certmgr-step-XXXXXX";

/* How a child ends that passes the step: 0, or the signal that killed it. */
static int pass(const char *name)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        (void)name; /* a build without steps does not read it */
        cm_step(name);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

static void ask(const char *name)
{
    CM_AUTO_STR path = cm_asprintf("%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static bool was_hit(const char *name)
{
    CM_AUTO_STR path = cm_asprintf("%s/%s.hit", dir, name);
    return cm_path_exists(path);
}

static void test_kills_once(void **state)
{
    (void)state;
#ifdef CM_CRASH_POINTS
    const int killed = SIGKILL;
#else
    const int killed = 0; /* nothing of it is in this build */
#endif
    ask("here");
    assert_int_equal(pass("elsewhere"), 0);
    assert_int_equal(pass("here"), killed);
    assert_int_equal(was_hit("here"), killed != 0);
    assert_int_equal(pass("here"), 0);
}

static void test_not_asked(void **state)
{
    (void)state;
    ask("there");
    assert_int_equal(unsetenv("CERTMGR_STEPS"), 0);
    assert_int_equal(pass("there"), 0);
    assert_false(was_hit("there"));
    assert_int_equal(setenv("CERTMGR_STEPS", dir, 1), 0);
}

#ifdef CM_CRASH_POINTS
static void write_file(const char *name, const char *text)
{
    CM_AUTO_STR path = cm_asprintf("%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600); /* passes no steps */
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

/* A process with a second one in its session passes steps; nobody of them is left afterwards. */
static int end_of_session(void)
{
    int status = 0, alive[2];
    char byte;
    assert_int_equal(pipe(alive), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(alive[0]);
        prctl(PR_SET_NAME, "certmgr-test");
        setsid();
        if (fork() == 0) {
            pause();
            _exit(0);
        }
        cm_step("one");
        cm_step_file("/some/where/two", "after");
        cm_step("one");
        kill(0, SIGTERM); /* not killed: the other one ends, too */
        _exit(0);
    }
    close(alive[1]);
    assert_int_equal(read(alive[0], &byte, 1), 0);
    close(alive[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void expect_trace(const char *wanted)
{
    char *text;
    size_t len;
    CM_AUTO_STR path = cm_asprintf("%s/trace", dir);
    assert_int_equal(cm_file_read(path, 4096, &text, &len, NULL), 0);
    assert_string_equal(text, wanted);
    cm_free(text);
    write_file("trace", "");
}

static void test_session(void **state)
{
    (void)state;
    write_file("trace", "");
    write_file("two.after", "session");
    assert_int_equal(end_of_session(), SIGKILL);
    expect_trace("one\ntwo.after\n");
    assert_true(was_hit("two.after"));
    write_file("one", "session 2");
    assert_int_equal(end_of_session(), SIGKILL);
    expect_trace("one\ntwo.after\none\n");
    assert_int_equal(end_of_session(), SIGTERM);
    expect_trace("one\ntwo.after\none\n");
}
#endif

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) != NULL ? setenv("CERTMGR_STEPS", dir, 1) : -1;
}

static int remove_dir(void **state)
{
    static const char *const names[] = {"here",  "here.hit", "there",
                                        "trace", "one.hit",  "two.after.hit"};
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        CM_AUTO_STR path = cm_asprintf("%s/%s", dir, names[i]);
        (void)unlink(path); /* some are gone as they should */
    }
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kills_once),
        cmocka_unit_test(test_not_asked),
#ifdef CM_CRASH_POINTS
        cmocka_unit_test(test_session),
#endif
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
