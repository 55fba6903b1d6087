/* The table of listeners; binding itself is base/net/http_bind.c. */
#include "certmgr/sup_listen.h"

#include "base/core/file.h"
#include "base/core/mem.h"
#include "base/core/utf8.h"
#include "base/net/http_server.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void set_tcp(struct sup_listener *l, const char *name, const char *address, int port)
{
    l->name = name;
    l->fd = -1;
    bool v6 = strchr(address, ':') != NULL;
    if (port != 0)
        snprintf(l->address, sizeof(l->address), v6 ? "[%s]:%d" : "%s:%d", address, port);
}

void sup_listeners_init(const struct config *config, struct sup_listener out[SUP_LISTENERS])
{
    memset(out, 0, SUP_LISTENERS * sizeof(*out));
    set_tcp(&out[0], "ui", config->listen_address, config->ui_port);
    set_tcp(&out[1], "replication", config->listen_address, config->replication_port);
    set_tcp(&out[2], "challenge", config->challenge_address, config->challenge_port);
    set_tcp(&out[4], "tls_challenge", config->tls_challenge_address, config->tls_challenge_port);
    out[3].name = "api";
    out[3].fd = -1;
    out[3].group = config->socket_group;
    /* A path too long to be bound is refused by the binding, whole, never shortened. */
    snprintf(out[3].address, sizeof(out[3].address), "unix:%s", config->socket);
}

/* The folder of the API's socket may be made here; the state directory is made by init or join. */
static int make_folder(const char *path, struct cm_err *err)
{
    CM_AUTO_STR dir = cm_strdup(path);
    char *slash = strrchr(dir, '/');
    if (slash == NULL || slash == dir)
        return 0;
    *slash = '\0';
    return cm_dir_make(dir, 0755, err);
}

/* Nobody can connect yet: it is not listening. */
static int give_to_group(const char *path, const char *group, struct cm_err *err)
{
    if (group == NULL || group[0] == '\0')
        return 0;
    errno = 0;
    const struct group *gr = getgrnam(group);
    if (gr == NULL)
        return cm_fail(err, CM_EINVAL, "[process] socket_group: there is no group \"%.63s\"",
                       group);
    if (chown(path, (uid_t)-1, gr->gr_gid) != 0)
        return cm_fail_errno(err, errno, "%.200s cannot be given to group %.63s", path, group);
    return 0;
}

int sup_listener_bind(struct sup_listener *listener)
{
    struct cm_err err = CM_ERR_INIT;
    char line[sizeof(listener->error)];
    int rv = 0;
    bool is_unix = strncmp(listener->address, "unix:", 5) == 0;
    listener->error[0] = '\0';
    if (is_unix)
        rv = make_folder(listener->address + 5, &err);
    if (rv == 0)
        rv = http_bind_closed(listener->address, &listener->fd, &err);
    if (rv == 0 && is_unix)
        rv = give_to_group(listener->address + 5, listener->group, &err);
    if (rv != 0) {
        sup_listener_close(listener);
        cm_err_line(&err, line, sizeof(line));
        snprintf(listener->error, sizeof(listener->error), "%.240s%s%.150s", line,
                 err.hint[0] != '\0' ? "; " : "", err.hint);
        cm_utf8_trim(listener->error);
    }
    cm_err_fini(&err);
    return rv;
}

void sup_listener_close(struct sup_listener *listener)
{
    if (listener->fd < 0)
        return;
    if (strncmp(listener->address, "unix:", 5) == 0)
        (void)unlink(listener->address + 5); /* gone already is fine */
    close(listener->fd);
    listener->fd = -1;
}
