/* Listening sockets: TCP by literal address, Unix by path. */
#include "base/net/http_server.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#include "base/core/mem.h"
#include "base/core/num.h"

#define UNIX_PREFIX   "unix:"
#define LISTEN_QUEUE  511
#define UNIX_MODE     0660
#define HOST_TEXT_MAX 64

static int fail_errno(struct cm_err *err, const char *address, const char *what)
{
    int e = errno;
    int code = e == EADDRINUSE ? CM_ECONFLICT : e == EACCES || e == EPERM ? CM_EDENIED : CM_EIO;

    cm_fail(err, code, "cannot %s %s", what, address);
    if (err == NULL)
        return code;
    cm_err_cause(err, "%s", uv_strerror(uv_translate_sys_error(e)));
    cm_err_object(err, "listener %s", address);
    if (code == CM_ECONFLICT)
        cm_err_hint(err, "another program uses this address: stop it or configure another port");
    else if (code == CM_EDENIED && address[0] == 'u')
        cm_err_hint(err, "the folder of the socket must be writable for this user");
    else if (code == CM_EDENIED)
        cm_err_hint(err, "ports below 1024 need root or CAP_NET_BIND_SERVICE");
    else if (e == EADDRNOTAVAIL)
        cm_err_hint(err, "this machine has no such address");
    return code;
}

/* Is somebody accepting at this path?  A full queue counts. */
static bool unix_is_live(const struct sockaddr_un *sun)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return true;
    int r = connect(fd, (const struct sockaddr *)sun, sizeof(*sun));
    bool live = r == 0 || errno == EAGAIN;
    close(fd);
    return live;
}

static int unix_clear(const struct sockaddr_un *sun, const char *address, struct cm_err *err)
{
    struct stat st;

    if (lstat(sun->sun_path, &st) < 0)
        return errno == ENOENT ? 0 : fail_errno(err, address, "look at");
    if (!S_ISSOCK(st.st_mode))
        return cm_fail(err, CM_ECONFLICT, "%s is not a socket: move it away", sun->sun_path);
    if (unix_is_live(sun))
        return cm_fail(err, CM_ECONFLICT, "another process is listening on %s", address);
    return unlink(sun->sun_path) < 0 ? fail_errno(err, address, "replace the stale socket") : 0;
}

static int bind_unix(const char *address, int *ret_fd, struct cm_err *err)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    const char *path = address + strlen(UNIX_PREFIX);

    if (*path != '/' || cm_strcpy(sun.sun_path, sizeof(sun.sun_path), path) < 0)
        return cm_fail(err, CM_EINVAL, "%s: a socket path is absolute and has at most %zu bytes",
                       address, sizeof(sun.sun_path) - 1);
    int r = unix_clear(&sun, address, err);
    if (r < 0)
        return r;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return fail_errno(err, address, "make a socket for");
    /* Nobody can connect before listen(), so the mode is in force in time. */
    if (bind(fd, (const struct sockaddr *)&sun, sizeof(sun)) < 0)
        r = fail_errno(err, address, "bind");
    else if (chmod(path, UNIX_MODE) < 0)
        r = fail_errno(err, address, "set the mode of");
    if (r < 0) {
        close(fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}

/* "127.0.0.1:80" or "[::1]:80". */
static int parse_tcp(const char *address, struct sockaddr_storage *ret, struct cm_err *err)
{
    const char *colon = strrchr(address, ':');
    char host[HOST_TEXT_MAX];
    int64_t port;

    memset(ret, 0, sizeof(*ret));
    if (colon == NULL || cm_num_i64(colon + 1, 0, 65535, &port) < 0 ||
        (size_t)(colon - address) >= sizeof(host))
        return cm_fail(err, CM_EINVAL, "\"%s\" is not address:port", address);
    size_t len = (size_t)(colon - address);
    memcpy(host, address, len);
    host[len] = '\0';
    if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
        host[len - 1] = '\0';
        if (uv_ip6_addr(host + 1, (int)port, (struct sockaddr_in6 *)ret) == 0)
            return 0;
    } else if (uv_ip4_addr(host, (int)port, (struct sockaddr_in *)ret) == 0) {
        return 0;
    }
    return cm_fail(err, CM_EINVAL, "\"%s\": write an IPv4 address or an IPv6 address in brackets",
                   address);
}

static int bind_tcp(const char *address, int *ret_fd, struct cm_err *err)
{
    struct sockaddr_storage ss;
    int on = 1, r = parse_tcp(address, &ss, err);

    if (r < 0)
        return r;
    bool v6 = ss.ss_family == AF_INET6;
    socklen_t size = v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return fail_errno(err, address, "make a socket for");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (v6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    if (bind(fd, (const struct sockaddr *)&ss, size) < 0)
        r = fail_errno(err, address, "bind");
    if (r < 0) {
        close(fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}

int http_bind_closed(const char *address, int *ret_fd, struct cm_err *err)
{
    if (strncmp(address, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0)
        return bind_unix(address, ret_fd, err);
    return bind_tcp(address, ret_fd, err);
}

int http_bind(const char *address, int *ret_fd, struct cm_err *err)
{
    int fd = -1, r = http_bind_closed(address, &fd, err);

    if (fd < 0)
        return r;
    if (listen(fd, LISTEN_QUEUE) < 0) {
        r = fail_errno(err, address, "listen on");
        close(fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}
