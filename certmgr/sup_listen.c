/* bind() for TCP and Unix addresses. */
#include "certmgr/sup_listen.h"

#include "base/core/file.h"
#include "base/core/mem.h"
#include "base/core/num.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static void set_tcp(struct sup_listener *l, const char *name, const struct config *c, int port)
{
    l->name = name;
    l->fd = -1;
    bool v6 = strchr(c->listen_address, ':') != NULL;
    if (port != 0)
        snprintf(l->address, sizeof(l->address), v6 ? "[%s]:%d" : "%s:%d", c->listen_address, port);
}

void sup_listeners_init(const struct config *config, struct sup_listener out[SUP_LISTENERS])
{
    memset(out, 0, SUP_LISTENERS * sizeof(*out));
    set_tcp(&out[0], "ui", config, config->ui_port);
    set_tcp(&out[1], "replication", config, config->replication_port);
    set_tcp(&out[2], "challenge", config, config->challenge_port);
    out[3].name = "api";
    out[3].fd = -1;
    snprintf(out[3].address, sizeof(out[3].address), "unix:%.120s", config->socket);
}

static int fail(struct sup_listener *l, int fd, const char *what)
{
    char reason[96];
    snprintf(l->error, sizeof(l->error), "%s %s: %s", what, l->address,
             strerror_r(errno, reason, sizeof(reason)));
    if (fd >= 0)
        close(fd);
    return CM_EIO;
}

static int bind_unix(struct sup_listener *l, const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    if (cm_strcpy(sa.sun_path, sizeof(sa.sun_path), path) != 0) {
        snprintf(l->error, sizeof(l->error), "the path of the socket is longer than %zu bytes: %s",
                 sizeof(sa.sun_path) - 1, path);
        return CM_ELIMIT;
    }
    CM_AUTO_STR dir = cm_strdup(path);
    *strrchr(dir, '/') = '\0';
    if (cm_dir_make(dir, 0755, NULL) != 0)
        return fail(l, -1, "the directory cannot be made for");
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return fail(l, fd, "no socket for");
    (void)unlink(path); /* a stale one; a missing one is fine */
    if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0 || chmod(path, 0660) != 0)
        return fail(l, fd, "cannot bind");
    l->fd = fd;
    return 0;
}

static int bind_tcp(struct sup_listener *l)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    char host[64];
    const char *colon = strrchr(l->address, ':');
    int64_t port = 0;
    size_t n = (size_t)(colon - l->address);
    if (n >= sizeof(host) || cm_num_i64(colon + 1, 1, 65535, &port) != 0)
        return fail(l, -1, "not an address:");
    bool is6 = l->address[0] == '[';
    snprintf(host, sizeof(host), "%.*s", (int)(is6 ? n - 2 : n), l->address + (is6 ? 1 : 0));
    v4.sin_port = v6.sin6_port = htons((uint16_t)port);
    if (inet_pton(is6 ? AF_INET6 : AF_INET, host,
                  is6 ? (void *)&v6.sin6_addr : (void *)&v4.sin_addr) != 1) {
        errno = EINVAL;
        return fail(l, -1, "not an address:");
    }
    int fd = socket(is6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int one = 1;
    if (fd < 0)
        return fail(l, fd, "no socket for");
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)); /* only a convenience */
    if (bind(fd, is6 ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4,
             is6 ? sizeof(v6) : sizeof(v4)) != 0)
        return fail(l, fd, "cannot bind");
    l->fd = fd;
    return 0;
}

int sup_listener_bind(struct sup_listener *listener)
{
    listener->error[0] = '\0';
    if (strncmp(listener->address, "unix:", 5) == 0)
        return bind_unix(listener, listener->address + 5);
    return bind_tcp(listener);
}
