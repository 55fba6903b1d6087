/* The locked-down process: what is taken away, and that the agent still does its work. */
#include "agent_support.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static void takes_away(void **state)
{
    (void)state;
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        static char *const none[] = {NULL};
        struct rlimit limit;
        if (kf_agent_lockdown(NULL) != 0)
            _exit(1);
        errno = 0;
        if (socket(AF_INET, SOCK_STREAM, 0) >= 0 || errno != EPERM)
            _exit(2);
        if (socket(AF_UNIX, SOCK_STREAM, 0) >= 0 || errno != EPERM)
            _exit(3);
        if (execve("/bin/true", none, none) == 0 || errno != EPERM)
            _exit(4);
        if (getrlimit(RLIMIT_CORE, &limit) != 0 || limit.rlim_max != 0)
            _exit(5);
        if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
            _exit(6);
        if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
            _exit(7);
        if (listen(0, 1) == 0 || errno != EPERM)
            _exit(8);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* Keys, worker thread, files, clean end (leak check included) under the filter. */
static void the_agent_works_under_it(void **state)
{
    (void)state;
    char *dir = temp_dir();
    struct test_agent a;
    agent_init(&a, dir, "manager");
    a.lockdown = true;
    agent_start(&a);
    json_decref(agent_found(&a, "manager"));
    json_decref(
        call(&a, json_pack("{s:s,s:s,s:i,s:s,s:[s],s:[s]}", "op", "key.create", "credential",
                           "01JDEXAMPE0000000000000000", "generation", 1, "key_type", "RSA-2048",
                           "names", "a.example", "servers", "manager")));
    json_decref(call(&a, json_pack("{s:s,s:s,s:s}", "op", "account.create", "account", "x",
                                   "directory", "https://ca.example/dir")));
    agent_fini(&a);
    remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_away),
        cmocka_unit_test(the_agent_works_under_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
