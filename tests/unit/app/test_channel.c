/* Packets between supervisor and children: whole, bounded, with one descriptor, never leaking one.
 */
#include "tests/unit/app/support.h"

#include <fcntl.h>
#include <sys/uio.h>

#include "certmgr/channel.h"

struct fixture {
    int a, b;
    size_t fds; /* open before the test */
};

static int setup(void **state)
{
    static struct fixture f;
    int pair[2];
    f.fds = open_fds();
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
    f.a = pair[0];
    f.b = pair[1];
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    close(f->a);
    close(f->b);
    assert_int_equal(open_fds(), f->fds);
    return 0;
}

static void a_packet_arrives_with_its_descriptor(void **state)
{
    struct fixture *f = *state;
    int pipe_fd[2], fd = -1;
    assert_int_equal(pipe(pipe_fd), 0);
    CM_AUTO_JSON sent = json_pack("{s:s, s:i}", "op", "listener", "n", 7);
    assert_int_equal(channel_send(f->a, sent, pipe_fd[1]), 0);
    CM_AUTO_JSON got = NULL;
    assert_int_equal(channel_recv(f->b, &got, &fd), 1);
    assert_true(json_equal(got, sent));
    assert_true(fd >= 0 && fd != pipe_fd[1]);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    assert_int_equal(write(fd, "x", 1), 1);
    char c = 0;
    assert_int_equal(read(pipe_fd[0], &c, 1), 1);
    close(fd);
    close(pipe_fd[0]);
    close(pipe_fd[1]);
}

static void packets_keep_their_borders(void **state)
{
    struct fixture *f = *state;
    CM_AUTO_JSON one = json_pack("{s:i}", "n", 1);
    CM_AUTO_JSON two = json_pack("{s:i}", "n", 2);
    assert_int_equal(channel_send(f->a, one, -1), 0);
    assert_int_equal(channel_send(f->a, two, -1), 0);
    for (int i = 1; i <= 2; i++) {
        CM_AUTO_JSON got = NULL;
        int fd = 0;
        assert_int_equal(channel_recv(f->b, &got, &fd), 1);
        assert_int_equal(cm_json_int(got, "n", 0), i);
        assert_int_equal(fd, -1);
    }
    CM_AUTO_JSON none = NULL;
    int fd = 0;
    assert_int_equal(channel_recv(f->b, &none, &fd), 0);
    assert_null(none);
}

static void a_full_channel_is_busy_and_loses_nothing(void **state)
{
    struct fixture *f = *state;
    char text[4001];
    int sent = 0, got = 0, rv;
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    CM_AUTO_JSON packet = json_pack("{s:s}", "output", text);
    while ((rv = channel_send(f->a, packet, -1)) == 0)
        assert_true(++sent < 10000);
    assert_int_equal(rv, CM_EBUSY);
    for (;; got++) {
        CM_AUTO_JSON one = NULL;
        int fd = -1;
        if (channel_recv(f->b, &one, &fd) != 1)
            break;
        assert_true(json_equal(one, packet));
    }
    assert_int_equal(got, sent);
    assert_int_equal(channel_send(f->a, packet, -1), 0);
}

static void the_other_end_gone_is_closed(void **state)
{
    struct fixture *f = *state;
    CM_AUTO_JSON packet = json_pack("{s:s}", "op", "x");
    CM_AUTO_JSON got = NULL;
    int fd = -1;
    close(f->b);
    assert_int_equal(channel_send(f->a, packet, -1), CM_ECLOSED);
    assert_int_equal(channel_recv(f->a, &got, &fd), CM_ECLOSED);
    f->b = dup(f->a);
}

static void send_raw(int channel, const char *text, size_t len, const int *fds, size_t count)
{
    char space[CMSG_SPACE(8 * sizeof(int))] = {0};
    struct iovec iov = {.iov_base = (void *)(uintptr_t)text, .iov_len = len};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    if (count > 0) {
        msg.msg_control = space;
        msg.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(c), fds, count * sizeof(int));
    }
    assert_int_equal(sendmsg(channel, &msg, 0), (ssize_t)len);
}

/* The supervisor may run as root and must not be filled up by a front that was taken over: the
 * teardown counts the open descriptors. */
static void hostile_packets_leave_no_descriptor_behind(void **state)
{
    struct fixture *f = *state;
    const int mine[6] = {0, 1, 2, 0, 1, 2};
    static char large[CHANNEL_PACKET_MAX + 1];
    CM_AUTO_JSON got = NULL;
    int fd = -1;
    memset(large, ' ', sizeof(large));
    send_raw(f->a, "{}", 2, mine, 3); /* three: the first is ours, the rest is closed */
    assert_int_equal(channel_recv(f->b, &got, &fd), 1);
    assert_true(fd >= 0);
    close(fd);
    send_raw(f->a, "{}", 2, mine, 6); /* more than fit */
    json_decref(got);
    assert_true(channel_recv(f->b, &got, &fd) < 0);
    assert_int_equal(fd, -1);
    assert_null(got);
    send_raw(f->a, "[1]", 3, mine, 1); /* no object */
    assert_int_equal(channel_recv(f->b, &got, &fd), CM_EMALF);
    assert_int_equal(fd, -1);
    send_raw(f->a, "{\"a\":1,\"a\":2}", 13, mine, 1);
    assert_int_equal(channel_recv(f->b, &got, &fd), CM_EMALF);
    assert_int_equal(fd, -1);
    send_raw(f->a, large, sizeof(large), mine, 1);
    assert_true(channel_recv(f->b, &got, &fd) < 0);
    assert_int_equal(fd, -1);
    send_raw(f->a, "", 0, mine, 1);
    assert_true(channel_recv(f->b, &got, &fd) < 0);
    assert_int_equal(fd, -1);
    assert_null(got);
}

static void the_agent_takes_one_descriptor(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(channel_send_fd(f->a, 0), 0);
    int fd = channel_recv_fd(f->b);
    assert_true(fd > 2);
    close(fd);
    const int two[2] = {0, 1};
    send_raw(f->a, "cc", 2, two, 2); /* not what the supervisor sends */
    assert_int_equal(channel_recv_fd(f->b), CM_ECLOSED);
    send_raw(f->a, "c", 1, NULL, 0);
    assert_int_equal(channel_recv_fd(f->b), CM_ECLOSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_packet_arrives_with_its_descriptor, setup, teardown),
        cmocka_unit_test_setup_teardown(packets_keep_their_borders, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_channel_is_busy_and_loses_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(the_other_end_gone_is_closed, setup, teardown),
        cmocka_unit_test_setup_teardown(hostile_packets_leave_no_descriptor_behind, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_agent_takes_one_descriptor, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
