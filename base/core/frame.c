/* Length-prefixed JSON between our own processes. */
#include "base/core/frame.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/core/json.h"
#include "base/core/mem.h"

#define HEAD_SIZE 4

static size_t head_get(const char *data)
{
    const unsigned char *b = (const unsigned char *)data;
    return (size_t)b[0] << 24 | (size_t)b[1] << 16 | (size_t)b[2] << 8 | b[3];
}

int cm_frame_encode(const json_t *msg, struct cm_buf *out)
{
    size_t len;
    char *text = cm_json_dump(msg, &len);
    int rc = CM_ELIMIT;
    if (len <= CM_FRAME_MAX && !out->failed && len + HEAD_SIZE <= out->max - out->len) {
        const unsigned char head[HEAD_SIZE] = {(unsigned char)(len >> 24),
                                               (unsigned char)(len >> 16),
                                               (unsigned char)(len >> 8), (unsigned char)len};
        cm_buf_add(out, head, sizeof(head));
        rc = cm_buf_add(out, text, len);
    }
    cm_free_secret(text, len);
    return rc;
}

static int check_len(size_t len, struct cm_err *err)
{
    if (len == 0)
        return cm_fail(err, CM_EMALF, "frame of our own channel is empty");
    if (len > CM_FRAME_MAX)
        return cm_fail(err, CM_ELIMIT, "frame of our own channel announces %zu bytes, limit is %u",
                       len, CM_FRAME_MAX);
    return 0;
}

int cm_frame_decode(struct cm_buf *in, json_t **ret, struct cm_err *err)
{
    *ret = NULL;
    if (in->len < HEAD_SIZE)
        return 0;
    size_t len = head_get(in->data);
    int rc = check_len(len, err);
    if (rc < 0)
        return rc;
    if (in->len - HEAD_SIZE < len)
        return 0;
    rc = cm_json_parse(in->data + HEAD_SIZE, len, ret, err);
    if (rc < 0)
        return cm_wrap(err, rc, "frame of our own channel is malformed");
    cm_buf_consume(in, HEAD_SIZE + len);
    return 1;
}

/* These helpers block even on a non-blocking descriptor. */
static int wait_fd(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};
    while (poll(&p, 1, -1) < 0) {
        if (errno != EINTR)
            return -1;
    }
    return 0;
}

int cm_frame_write_fd(int fd, const json_t *msg, struct cm_err *err)
{
    struct cm_buf out;
    cm_buf_init(&out, CM_FRAME_MAX + HEAD_SIZE);
    int rc = cm_frame_encode(msg, &out);
    if (rc < 0)
        rc = cm_fail(err, rc, "message is longer than a frame may be (%u bytes)", CM_FRAME_MAX);
    for (size_t at = 0; rc == 0 && at < out.len;) {
        ssize_t n = write(fd, out.data + at, out.len - at);
        if (n >= 0)
            at += (size_t)n;
        else if (errno == EPIPE)
            rc = cm_fail(err, CM_ECLOSED, "the other process closed the channel");
        else if (errno != EINTR && (errno != EAGAIN || wait_fd(fd, POLLOUT) < 0))
            rc = cm_fail_errno(err, errno, "cannot write to the channel");
    }
    cm_wipe(out.data, out.len);
    cm_buf_fini(&out);
    return rc;
}

static int read_exactly(int fd, char *out, size_t len, struct cm_err *err)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = read(fd, out + at, len - at);
        if (n > 0)
            at += (size_t)n;
        else if (n == 0)
            return cm_fail(err, CM_ECLOSED, "the other process closed the channel");
        else if (errno != EINTR && (errno != EAGAIN || wait_fd(fd, POLLIN) < 0))
            return cm_fail_errno(err, errno, "cannot read from the channel");
    }
    return 0;
}

int cm_frame_read_fd(int fd, json_t **ret, struct cm_err *err)
{
    *ret = NULL;
    char head[HEAD_SIZE];
    int rc = read_exactly(fd, head, sizeof(head), err);
    if (rc == 0)
        rc = check_len(head_get(head), err);
    if (rc < 0)
        return rc;
    size_t len = head_get(head);
    char *body = cm_malloc(len);
    rc = read_exactly(fd, body, len, err);
    if (rc == 0 && (rc = cm_json_parse(body, len, ret, err)) < 0)
        rc = cm_wrap(err, rc, "frame of our own channel is malformed");
    cm_free_secret(body, len);
    return rc;
}
