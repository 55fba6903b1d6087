/* Packets: one JSON object and at most one descriptor each. */
#include "certmgr/channel.h"

#include "base/core/fdpass.h"
#include "base/core/json.h"
#include "base/core/mem.h"

#include <unistd.h>

static void drop(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

int channel_send(int channel, const json_t *packet, int fd)
{
    size_t len = 0;
    CM_AUTO_STR text = cm_json_dump(packet, &len);
    CM_BUG_ON(len > CHANNEL_PACKET_MAX);
    return cm_fd_send(channel, text, len, fd);
}

int channel_recv(int channel, json_t **ret, int *ret_fd)
{
    char data[CHANNEL_PACKET_MAX];
    *ret = NULL;
    ssize_t n = cm_fd_recv(channel, data, sizeof(data), ret_fd);
    if (n == -1)
        return 0;
    if (n <= 0)
        return CM_ECLOSED;
    int rv = cm_json_parse(data, (size_t)n, ret, NULL);
    if (rv == 0 && json_is_object(*ret))
        return 1;
    if (rv == 0)
        json_decref(*ret);
    *ret = NULL;
    drop(ret_fd);
    return CM_EMALF;
}

int channel_send_fd(int channel, int fd)
{
    char byte = 'c';
    return cm_fd_send(channel, &byte, 1, fd);
}

int channel_recv_fd(int channel)
{
    char byte = 0;
    int fd = -1;
    ssize_t n = cm_fd_recv(channel, &byte, 1, &fd);
    if (n == 1 && fd >= 0)
        return fd;
    drop(&fd);
    return CM_ECLOSED;
}
