/* Frames between processes: split, joined, malformed; blocking helpers. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/core/frame.h"
#include "base/core/json.h"
#include "base/core/mem.h"

static void frames_survive_any_split(void **state)
{
    (void)state;
    struct cm_buf wire, in;
    cm_buf_init(&wire, 4096);
    cm_buf_init(&in, 4096);
    CM_AUTO_JSON a = json_pack("{s:s}", "op", "sign");
    CM_AUTO_JSON b = json_pack("[i,n]", 5);
    assert_int_equal(cm_frame_encode(a, &wire), 0);
    assert_memory_equal(wire.data, "\0\0\0\x0d{\"op\":\"sign\"}", 17);
    assert_int_equal(cm_frame_encode(b, &wire), 0);
    unsigned seen = 0;
    for (size_t i = 0; i < wire.len; i++) {
        CM_AUTO_JSON got = NULL;
        cm_buf_add(&in, wire.data + i, 1);
        int rc = cm_frame_decode(&in, &got, NULL);
        assert_true(rc == 0 || rc == 1);
        assert_int_equal(rc == 1, got != NULL);
        if (rc == 1)
            assert_true(json_equal(got, seen++ == 0 ? a : b));
    }
    assert_int_equal(seen, 2);
    assert_int_equal(in.len, 0);
    cm_buf_fini(&wire);
    cm_buf_fini(&in);
}

static void several_frames_at_once(void **state)
{
    (void)state;
    struct cm_buf wire;
    cm_buf_init(&wire, 4096);
    CM_AUTO_JSON one = json_integer(1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(cm_frame_encode(one, &wire), 0);
    for (int i = 0; i < 3; i++) {
        CM_AUTO_JSON got = NULL;
        assert_int_equal(cm_frame_decode(&wire, &got, NULL), 1);
        assert_int_equal(json_integer_value(got), 1);
    }
    CM_AUTO_JSON none = NULL;
    assert_int_equal(cm_frame_decode(&wire, &none, NULL), 0);
    cm_buf_fini(&wire);
}

static int decode(const char *bytes, size_t len)
{
    struct cm_buf in;
    json_t *got = NULL;
    cm_buf_init(&in, 100);
    cm_buf_add(&in, bytes, len);
    int rc = cm_frame_decode(&in, &got, NULL);
    assert_null(got);
    cm_buf_fini(&in);
    return rc;
}

static void malformed_frames_are_errors(void **state)
{
    (void)state;
    assert_int_equal(decode("\0\0\0\0", 4), CM_EMALF);
    assert_int_equal(decode("\0\0\0\2{x", 6), CM_EMALF);
    assert_int_equal(decode("\0\0\0\3"
                            "1.5",
                            7),
                     CM_EMALF);
    assert_int_equal(decode("\xff\xff\xff\xff", 4), CM_ELIMIT);
    assert_int_equal(decode("\0\x20\0\1", 4), CM_ELIMIT); /* CM_FRAME_MAX + 1, refused at once */
    assert_int_equal(decode("\0\x20\0\0", 4), 0);         /* CM_FRAME_MAX: waits for the rest */
    assert_int_equal(decode("GET ", 4), CM_ELIMIT);
}

static void encoding_respects_both_limits(void **state)
{
    (void)state;
    struct cm_buf out;
    CM_AUTO_STR text = cm_malloc(CM_FRAME_MAX + 1);
    memset(text, 'x', CM_FRAME_MAX);
    text[CM_FRAME_MAX] = '\0';
    CM_AUTO_JSON too_long = json_string(text);
    text[CM_FRAME_MAX - 2] = '\0';
    CM_AUTO_JSON fits = json_string(text);
    cm_buf_init(&out, 2 * CM_FRAME_MAX);
    assert_int_equal(cm_frame_encode(too_long, &out), CM_ELIMIT);
    assert_int_equal(out.len, 0);
    assert_int_equal(cm_frame_encode(fits, &out), 0);
    assert_int_equal(out.len, CM_FRAME_MAX + 4);
    cm_buf_fini(&out);
    cm_buf_init(&out, 10);
    assert_int_equal(cm_frame_encode(fits, &out), CM_ELIMIT);
    assert_int_equal(out.len, 0); /* never half a frame */
    cm_buf_fini(&out);
}

static void *write_big(void *arg)
{
    CM_AUTO_STR text = cm_malloc(1000001);
    memset(text, 'y', 1000000);
    text[1000000] = '\0';
    CM_AUTO_JSON msg = json_string(text);
    int rc = cm_frame_write_fd(*(int *)arg, msg, NULL);
    close(*(int *)arg);
    return (void *)(intptr_t)rc;
}

static void blocking_helpers_move_whole_frames(void **state)
{
    (void)state;
    int fd[2];
    pthread_t thread;
    void *rc;
    struct cm_err err = CM_ERR_INIT;
    json_t *got;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
    assert_int_equal(pthread_create(&thread, NULL, write_big, &fd[0]), 0);
    assert_int_equal(cm_frame_read_fd(fd[1], &got, &err), 0);
    assert_int_equal(json_string_length(got), 1000000);
    json_decref(got);
    pthread_join(thread, &rc);
    assert_int_equal((intptr_t)rc, 0);
    assert_int_equal(cm_frame_read_fd(fd[1], &got, &err), CM_ECLOSED);
    assert_null(got);
    CM_AUTO_JSON msg = json_null();
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(cm_frame_write_fd(fd[1], msg, &err), CM_ECLOSED);
    close(fd[1]);
    assert_int_equal(cm_frame_read_fd(-1, &got, &err), CM_EIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_survive_any_split),
        cmocka_unit_test(several_frames_at_once),
        cmocka_unit_test(malformed_frames_are_errors),
        cmocka_unit_test(encoding_respects_both_limits),
        cmocka_unit_test(blocking_helpers_move_whole_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
