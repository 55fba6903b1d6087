/* Log lines: shape, levels, escaping. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/core/clock.h"
#include "base/core/log.h"

static char captured[32768];
static int pipe_fd[2], real_stderr;

static void capture_begin(void)
{
    assert_int_equal(pipe2(pipe_fd, O_CLOEXEC | O_NONBLOCK), 0);
    real_stderr = dup(STDERR_FILENO);
    assert_true(dup2(pipe_fd[1], STDERR_FILENO) >= 0);
}

static const char *capture_end(void)
{
    dup2(real_stderr, STDERR_FILENO);
    close(real_stderr);
    close(pipe_fd[1]);
    ssize_t n = read(pipe_fd[0], captured, sizeof(captured) - 1);
    close(pipe_fd[0]);
    captured[n > 0 ? n : 0] = '\0';
    return captured;
}

static int setup(void **state)
{
    (void)state;
    cm_clock_fake(1763777802123, 0);
    cm_log_init("front", CM_LOG_INFO);
    return 0;
}

static void a_line_has_six_fields(void **state)
{
    (void)state;
    capture_begin();
    cm_log(CM_LOG_INFO, "acme", "credential:01J", "order %d is ready", 7);
    cm_log(CM_LOG_ERROR, "store", NULL, "disk is full");
    assert_string_equal(capture_end(),
                        "2025-11-22T02:16:42.123Z info front acme credential:01J order 7 is ready\n"
                        "2025-11-22T02:16:42.123Z error front store - disk is full\n");
}

/* Every write meets a full disk: once a minute is enough, with a count; other errors are told. */
static void a_full_disk_does_not_flood(void **state)
{
    (void)state;
    struct cm_err full = CM_ERR_INIT, other = CM_ERR_INIT;
    cm_fail(&full, CM_EFULL, "no space");
    cm_fail(&other, CM_EIO, "broken");
    capture_begin();
    for (int i = 0; i < 500; i++)
        cm_log_err(CM_LOG_WARN, "store", &full);
    cm_log_err(CM_LOG_WARN, "store", &other);
    cm_clock_fake(1763777802123, 59999);
    cm_log_err(CM_LOG_WARN, "store", &full);
    assert_string_equal(capture_end(),
                        "2025-11-22T02:16:42.123Z warn front store - no space (full)\n"
                        "2025-11-22T02:16:42.123Z warn front store - broken (io)\n");
    capture_begin();
    cm_clock_fake(1763777802123, 60000);
    cm_log_err(CM_LOG_WARN, "store", &full);
    cm_clock_fake(1763777802123, 120000);
    cm_log_err(CM_LOG_WARN, "store", &full);
    assert_string_equal(
        capture_end(),
        "2025-11-22T02:16:42.123Z warn front store - 500 more messages about a full disk were left "
        "out\n"
        "2025-11-22T02:16:42.123Z warn front store - no space (full)\n"
        "2025-11-22T02:16:42.123Z warn front store - no space (full)\n");
    cm_err_fini(&full);
    cm_err_fini(&other);
}

static void lower_levels_are_dropped(void **state)
{
    (void)state;
    capture_begin();
    cm_log(CM_LOG_DEBUG, "acme", NULL, "detail");
    assert_string_equal(capture_end(), "");
    cm_log_init("front", CM_LOG_DEBUG);
    capture_begin();
    cm_log(CM_LOG_DEBUG, "acme", NULL, "detail");
    assert_string_equal(capture_end(), "2025-11-22T02:16:42.123Z debug front acme - detail\n");
    cm_log_init("front", CM_LOG_INFO);
}

static void text_from_outside_cannot_forge_lines(void **state)
{
    (void)state;
    capture_begin();
    cm_log(CM_LOG_WARN, "acme", "a b\nc", "%s",
           "x\n2025 info\r\x1b[31m\x7f \xc2\x9b ok 日本 \xff %s");
    assert_string_equal(capture_end(),
                        "2025-11-22T02:16:42.123Z warn front acme a\\x20b\\nc x\\n2025 "
                        "info\\x0d\\x1b[31m\\x7f \\xc2\\x9b ok 日本 \\xff %s\n");
}

static void long_messages_are_cut_in_one_line(void **state)
{
    (void)state;
    static char text[20001];
    memset(text, 'x', sizeof(text) - 1);
    capture_begin();
    cm_log(CM_LOG_INFO, "acme", NULL, "%s", text);
    const char *line = capture_end();
    assert_true(strlen(line) < 4096);
    assert_string_equal(line + strlen(line) - 5, "x…\n");
    memset(text, '\n', sizeof(text) - 1);
    capture_begin();
    cm_log(CM_LOG_INFO, "acme", NULL, "%s", text);
    line = capture_end();
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
}

static void errors_become_one_line(void **state)
{
    (void)state;
    struct cm_err err = CM_ERR_INIT;
    cm_fail(&err, CM_ENET, "host x is away");
    cm_err_cause(&err, "refused");
    cm_err_object(&err, "host x");
    cm_err_hint(&err, "start it");
    capture_begin();
    cm_log_err(CM_LOG_ERROR, "pull", &err);
    assert_string_equal(capture_end(),
                        "2025-11-22T02:16:42.123Z error front pull host\\x20x host x "
                        "is away: refused (network); start it\n");
}

static void levels_are_parsed(void **state)
{
    (void)state;
    enum cm_level level = CM_LOG_INFO;
    assert_int_equal(cm_level_parse("warn", &level), 0);
    assert_int_equal(level, CM_LOG_WARN);
    assert_int_equal(cm_level_parse("Warn", &level), CM_EINVAL);
    assert_int_equal(cm_level_parse("", &level), CM_EINVAL);
    assert_int_equal(cm_level_parse(NULL, &level), CM_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_six_fields),
        cmocka_unit_test(a_full_disk_does_not_flood),
        cmocka_unit_test(lower_levels_are_dropped),
        cmocka_unit_test(text_from_outside_cannot_forge_lines),
        cmocka_unit_test(long_messages_are_cut_in_one_line),
        cmocka_unit_test(errors_become_one_line),
        cmocka_unit_test(levels_are_parsed),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
