/* Named steps: a process dies where a test asked for it, once, and nowhere else. */
#include "base/core/step.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
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

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) != NULL ? setenv("CERTMGR_STEPS", dir, 1) : -1;
}

static int remove_dir(void **state)
{
    static const char *const names[] = {"here", "here.hit", "there"};
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
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
