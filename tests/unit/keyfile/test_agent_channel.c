/* The agent's loop: replacement channels over the control descriptor, late answers, big replies. */
#include "agent_support.h"

static void send_fd(int control, int fd)
{
    char byte = 'x';
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } u = {{0}};
    struct iovec iov = {.iov_base = &byte, .iov_len = 1};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = u.space,
                         .msg_controllen = sizeof(u.space)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    assert_int_equal(sendmsg(control, &msg, 0), 1);
}

/* Starts an agent with a control socket; returns our end of it. */
static int start_with_control(struct test_agent *a)
{
    int pair[2], control[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, control), 0);
    fflush(NULL);
    a->pid = fork();
    assert_true(a->pid >= 0);
    if (a->pid == 0) {
        close(pair[0]);
        close(control[0]);
        exit(kf_agent_serve(&a->config, pair[1], control[1]) == 0 ? 0 : 1);
    }
    close(pair[1]);
    close(control[1]);
    a->fd = pair[0];
    return control[0];
}

static void new_channel(struct test_agent *a, int control)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    send_fd(control, pair[1]);
    close(pair[1]);
    a->fd = pair[0];
}

static void serves_one_channel_after_the_other(void **state)
{
    (void)state;
    char *dir = temp_dir();
    struct test_agent a;
    agent_init(&a, dir, "manager");
    int control = start_with_control(&a);
    json_decref(agent_found(&a, "manager"));

    close(a.fd); /* the front died */
    new_channel(&a, control);
    CM_AUTO_JSON hello = call(&a, op("hello"));
    assert_string_equal(cm_json_str(hello, "name"), "manager");

    /* The front hangs: the supervisor gives the agent another one while the old is still open, and
     * a key asked for by the old one is not answered to the new. */
    int old = a.fd;
    agent_send(&a, json_pack("{s:s,s:s,s:i,s:s,s:[s],s:[s]}", "op", "key.create", "credential",
                             "01JDEXAMPE0000000000000000", "generation", 1, "key_type", "RSA-4096",
                             "names", "a.example", "servers", "manager"));
    json_decref(call(&a, op("hello"))); /* the key is in the making now */
    new_channel(&a, control);
    json_decref(call(&a, op("hello")));
    CM_AUTO_JSON key =
        call(&a, json_pack("{s:s,s:s,s:i,s:s,s:[s],s:[s]}", "op", "key.create", "credential",
                           "01JDEXAMPE0000000000000000", "generation", 1, "key_type", "P-256",
                           "names", "a.example", "servers", "manager"));
    assert_non_null(cm_json_str(key, "csr"));
    char byte;
    while (read(old, &byte, 1) > 0)
        ; /* on a busy machine the key may have come before the new channel did */
    assert_int_equal(read(old, &byte, 1), 0); /* closed */
    close(old);

    /* A broken channel ends that channel, not the agent. */
    assert_int_equal(write(a.fd, "\0\0\0\0", 4), 4);
    assert_int_equal(read(a.fd, &byte, 1), 0);
    close(a.fd);
    new_channel(&a, control);
    json_decref(call(&a, op("hello")));

    close(a.fd);
    new_channel(&a, control);
    int status;
    close(control); /* the supervisor went: so does the agent */
    assert_int_equal(waitpid(a.pid, &status, 0), a.pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    close(a.fd);
    cm_free(a.data);
    remove_dir(dir);
}

/* A front that asks much and reads late: answers wait, none is lost or out of order. */
static void waits_for_a_slow_reader(void **state)
{
    (void)state;
    char *dir = temp_dir();
    struct test_agent a;
    agent_init(&a, dir, "manager");
    agent_start(&a);
    json_decref(agent_found(&a, "manager"));
    enum { COUNT = 400 };
    CM_AUTO_STR big = cm_calloc(1, 100001);
    memset(big, 'x', 100000);
    const char *ca = "https://ca.example/directory";
    CM_AUTO_JSON account = call(
        &a, json_pack("{s:s,s:s,s:s}", "op", "account.create", "account", "main", "directory", ca));
    fflush(NULL);
    pid_t writer = fork();
    assert_true(writer >= 0);
    if (writer == 0) {
        for (int i = 0; i < COUNT; i++)
            agent_send(&a, json_pack("{s:s,s:s,s:s,s:O,s:s,s:s,s:s,s:n}", "op", "jws.sign",
                                     "account", "main", "directory", ca, "sealed_key",
                                     json_object_get(account, "sealed_key"), "url",
                                     "https://ca.example/x", "nonce", "bm9uY2U", "payload", big,
                                     "kid"));
        _exit(0);
    }
    int64_t base = a.next_id;
    a.next_id += COUNT;
    usleep(300000); /* 40 MB of answers find nobody */
    for (int i = 0; i < COUNT; i++) {
        CM_AUTO_JSON reply = agent_read(&a);
        assert_int_equal(cm_json_int(reply, "id", -1), base + i);
        assert_true(cm_json_bool(reply, "ok", false));
    }
    int status;
    assert_int_equal(waitpid(writer, &status, 0), writer);
    assert_int_equal(status, 0);
    agent_fini(&a);
    remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(serves_one_channel_after_the_other),
        cmocka_unit_test(waits_for_a_slow_reader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
