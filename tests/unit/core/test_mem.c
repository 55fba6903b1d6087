/* Allocation helpers, bounded copies, constant-time comparison. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/core/err.h"
#include "base/core/mem.h"

static void copies_are_bounded(void **state)
{
    (void)state;
    char out[4];
    assert_int_equal(cm_strcpy(out, sizeof(out), "abc"), 0);
    assert_string_equal(out, "abc");
    assert_int_equal(cm_strcpy(out, sizeof(out), "abcd"), CM_ELIMIT);
    assert_string_equal(out, "abc");
    assert_int_equal(cm_strcpy(out, 1, ""), 0);
    assert_string_equal(out, "");
}

static void duplicates_own_their_memory(void **state)
{
    (void)state;
    CM_AUTO_STR whole = cm_strdup("credential");
    CM_AUTO_STR part = cm_strndup("credential", 4);
    CM_AUTO_STR longer = cm_strndup("cred", 100);
    CM_AUTO_STR text = cm_asprintf("%s:%d", "port", 8443);
    assert_string_equal(whole, "credential");
    assert_string_equal(part, "cred");
    assert_string_equal(longer, "cred");
    assert_string_equal(text, "port:8443");
}

static void calloc_clears(void **state)
{
    (void)state;
    static const unsigned char zero[24];
    unsigned char *data = cm_calloc(3, 8);
    assert_memory_equal(data, zero, 24);
    cm_free(data);
    cm_free(NULL);
    cm_free_secret(NULL, 10);
}

static void wipe_and_compare(void **state)
{
    (void)state;
    char a[] = "secret", b[] = "secret";
    assert_int_equal(cm_memcmp_ct(a, b, 6), 0);
    cm_wipe(a, 6);
    assert_int_not_equal(cm_memcmp_ct(a, b, 6), 0);
    assert_memory_equal(a, "\0\0\0\0\0\0", 6);
}

static void a_bug_ends_the_process(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        fclose(stderr);
        signal(SIGABRT, SIG_DFL);
        CM_BUG_ON(1 + 1 == 2);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_are_bounded),     cmocka_unit_test(duplicates_own_their_memory),
        cmocka_unit_test(calloc_clears),          cmocka_unit_test(wipe_and_compare),
        cmocka_unit_test(a_bug_ends_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
