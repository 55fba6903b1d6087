/* The key agent's loop: one channel at a time, a control descriptor, and the worker. */
#include "keyfile/agent.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/core/frame.h"
#include "base/core/log.h"
#include "keyfile/agent_impl.h"
#include "keyfile/agent_work.h"
#include "keyfile/secret.h"

#define HEAD_SIZE    4
#define IN_MAX       (CM_FRAME_MAX + HEAD_SIZE + READ_CHUNK)
#define OUT_MAX      (64u << 20) /* replies that the front has not read yet */
#define OUT_PAUSE    (8u << 20)  /* above it no request is read */
#define READ_CHUNK   65536
#define CONTROL_DATA 16 /* bytes beside a descriptor; the supervisor sends one */

struct loop {
    struct kfa agent;
    int fd, control; /* -1 = none */
    struct cm_buf in, out;
    int result; /* of the last channel */
};

static void close_channel(struct loop *l, int result)
{
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
    l->result = result;
    l->agent.channel++;
    if (l->in.data)
        cm_wipe(l->in.data, l->in.len);
    cm_buf_reset(&l->in);
    cm_buf_reset(&l->out);
}

static void break_channel(struct loop *l, struct cm_err *err, int rc)
{
    cm_wrap(err, rc, "channel of the front is closed");
    cm_log_err(CM_LOG_ERROR, "agent", err);
    close_channel(l, rc);
}

static void queue_reply(struct loop *l, json_t *take_reply)
{
    struct cm_err err = CM_ERR_INIT;
    int rc = cm_frame_encode(take_reply, &l->out);
    json_decref(take_reply);
    if (rc < 0) {
        cm_fail(&err, rc, "the front does not read its replies");
        break_channel(l, &err, rc);
    }
    cm_err_fini(&err);
}

static void handle_frames(struct loop *l)
{
    struct cm_err err = CM_ERR_INIT;
    int rc = 1;
    while (rc > 0 && l->fd >= 0 && l->out.len < OUT_PAUSE) {
        CM_AUTO_JSON request = NULL;
        json_t *reply = NULL;
        rc = cm_frame_decode(&l->in, &request, &err);
        if (rc <= 0)
            break;
        rc = kfa_dispatch(&l->agent, request, &reply, &err);
        if (rc > 0)
            queue_reply(l, reply);
        else if (rc == 0)
            rc = 1; /* answered later; go on */
    }
    if (rc < 0)
        break_channel(l, &err, rc);
    cm_err_fini(&err);
}

static void read_channel(struct loop *l)
{
    CM_UNSET char chunk[READ_CHUNK];
    ssize_t n = recv(l->fd, chunk, sizeof(chunk), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        close_channel(l, n == 0 || errno == ECONNRESET ? 0 : CM_EIO);
        return;
    }
    int rc = cm_buf_add(&l->in, chunk, (size_t)n);
    cm_wipe(chunk, (size_t)n);
    if (rc < 0) {
        struct cm_err err = CM_ERR_INIT;
        cm_fail(&err, rc, "a request is longer than a frame");
        break_channel(l, &err, rc);
        cm_err_fini(&err);
        return;
    }
    handle_frames(l);
}

static void write_channel(struct loop *l)
{
    ssize_t n = send(l->fd, l->out.data, l->out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        close_channel(l, errno == EPIPE || errno == ECONNRESET ? 0 : CM_EIO);
        return;
    }
    if (n > 0) {
        cm_buf_consume(&l->out, (size_t)n);
        handle_frames(l); /* those that waited for the front to read */
    }
}

static void finish_jobs(struct loop *l)
{
    for (struct kfa_job *job = kfa_work_pop(l->agent.work); job;
         job = kfa_work_pop(l->agent.work)) {
        if (job->channel == l->agent.channel && l->fd >= 0) {
            json_t *members = job->reply;
            job->reply = NULL;
            queue_reply(l, kfa_reply(job->id, members, job->rc, &job->err));
        }
        kfa_job_free(job);
    }
}

/* The descriptor in a control message, or -1. */
static int descriptor_of(struct msghdr *msg)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS ||
            c->cmsg_len != CMSG_LEN(sizeof(int)))
            continue;
        int fd;
        memcpy(&fd, CMSG_DATA(c), sizeof(fd));
        return fd;
    }
    return -1;
}

/* A replacement channel, or the end (false). */
static bool read_control(struct loop *l)
{
    char data[CONTROL_DATA];
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = {.iov_base = data, .iov_len = sizeof(data)};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.space,
                         .msg_controllen = sizeof(control.space)};
    ssize_t n = recvmsg(l->control, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n <= 0)
        return false;
    int fd = descriptor_of(&msg);
    if (fd >= 0) {
        close_channel(l, 0);
        l->fd = fd;
    }
    return true;
}

/* One round; false when there is nothing left to serve. */
static bool turn(struct loop *l)
{
    if (l->fd < 0 && l->control < 0)
        return false;
    short events = (short)((l->out.len < OUT_PAUSE ? POLLIN : 0) | (l->out.len ? POLLOUT : 0));
    struct pollfd p[3] = {{.fd = l->fd, .events = events},
                          {.fd = l->control, .events = POLLIN},
                          {.fd = kfa_work_fd(l->agent.work), .events = POLLIN}};
    if (poll(p, 3, -1) < 0)
        return errno == EINTR;
    if (p[2].revents)
        finish_jobs(l);
    if (p[1].revents && !read_control(l))
        return false;
    if (p[0].fd != l->fd)
        return true; /* replaced or closed meanwhile */
    if (l->fd >= 0 && (p[0].revents & POLLOUT))
        write_channel(l);
    if (l->fd >= 0 && (p[0].revents & (POLLIN | POLLHUP | POLLERR)))
        read_channel(l);
    return true;
}

int kf_agent_serve(const struct kf_agent_config *config, int fd, int control_fd)
{
    struct loop *l = cm_calloc(1, sizeof(*l));
    struct cm_err err = CM_ERR_INIT;
    l->fd = fd;
    l->control = control_fd;
    cm_buf_init(&l->in, IN_MAX);
    cm_buf_init(&l->out, OUT_MAX);
    kf_secret_heap_init();
    kfa_init(&l->agent, config);
    int rc = kfa_work_new(&l->agent.work, &err);
    if (rc < 0)
        cm_log_err(CM_LOG_ERROR, "agent", &err);
    while (rc == 0 && turn(l))
        ;
    if (rc == 0)
        rc = l->result;
    close_channel(l, rc);
    kfa_work_free(l->agent.work);
    kfa_fini(&l->agent);
    cm_buf_fini(&l->in);
    cm_buf_fini(&l->out);
    cm_err_fini(&err);
    cm_free(l);
    return rc;
}
