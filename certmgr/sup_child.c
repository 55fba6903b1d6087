/* fork + exec of our own binary with a control channel at CHANNEL_FD. */
#include "certmgr/sup_child.h"

#include "base/core/clock.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "certmgr/channel.h"
#include "certmgr/supervisor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* glibc keeps 7 freed blocks of each small size at hand; a JSON document is some hundred blocks.  A
 * tenth of the CPU time for at most 1 MB; no other way to say it than this variable. */
#define MALLOC_TUNABLES "glibc.malloc.tcache_count=500:glibc.malloc.tcache_max=200"

void sup_child_init(struct sup_child *child, const char *name, const char *command,
                    const char *user)
{
    *child = (struct sup_child){.name = name,
                                .command = command,
                                .user = user,
                                .channel = -1,
                                .backoff_ms = SUP_RESTART_MIN_MS};
}

bool sup_child_due(const struct sup_child *child, int64_t now_ms)
{
    return child->pid == 0 && child->start_at <= now_ms;
}

static int drop_rights(const char *user)
{
    struct passwd *pw = getpwnam(user);
    if (pw == NULL)
        return -1;
    if (initgroups(user, pw->pw_gid) != 0 || setgid(pw->pw_gid) != 0 || setuid(pw->pw_uid) != 0)
        return -1;
    return setuid(0) == 0 ? -1 : 0; /* it must not work any more */
}

static void exec_child(const struct sup_child *child, const struct config *config, int channel)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpgid(0, 0); /* Ctrl-C reaches the supervisor alone, which stops us in order */
    if (channel == CHANNEL_FD) {
        (void)fcntl(channel, F_SETFD, 0); /* cannot fail on an open descriptor */
    } else {
        dup2(channel, CHANNEL_FD);
    }
    close_range(CHANNEL_FD + 1, ~0U, 0);
    if (geteuid() == 0 && child->user[0] != '\0' && drop_rights(child->user) != 0) {
        dprintf(2, "certmgr: cannot become user %s: %s\n", child->user, cm_errno_text(errno));
        _exit(1);
    }
    (void)setenv("GLIBC_TUNABLES", MALLOC_TUNABLES, 0); /* what is set already stays */
    if (config->root[0] != '\0')
        execl("/proc/self/exe", "certmgr", child->command, "--root", config->root, (char *)NULL);
    else
        execl("/proc/self/exe", "certmgr", child->command, (char *)NULL);
    dprintf(2, "certmgr: cannot start %s: %s\n", child->command, cm_errno_text(errno));
    _exit(1);
}

bool sup_child_start(struct sup_child *child, const struct config *config)
{
    int pair[2];
    int64_t now = cm_mono_ms();
    child->start_at = now + child->backoff_ms;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        cm_log(CM_LOG_ERROR, "supervisor", child->name, "no socket pair: %s", cm_errno_text(errno));
        return false;
    }
    pid_t pid = fork();
    int why = errno;
    if (pid == 0)
        exec_child(child, config, pair[1]);
    close(pair[1]);
    if (pid < 0) {
        close(pair[0]);
        cm_log(CM_LOG_ERROR, "supervisor", child->name, "cannot be started: %s",
               cm_errno_text(why));
        return false;
    }
    (void)fcntl(pair[0], F_SETFL, O_NONBLOCK); /* cannot fail on a socket */
    child->pid = pid;
    child->channel = pair[0];
    child->started_at = now;
    cm_log(CM_LOG_INFO, "supervisor", child->name, "started, pid %d", (int)pid);
    return true;
}

/* How long until it is started again. */
static int64_t plan_restart(struct sup_child *child, int64_t now, int status)
{
    /* A child that ran for a while starts again at once; one that dies at its start waits longer.
     */
    bool alike = child->alike > 0 && child->last_status == status;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        alike = false; /* somebody else ended it (a person, the kernel for want of memory) */
    if (now - child->started_at > SUP_RESTART_MAX_MS) {
        child->backoff_ms = SUP_RESTART_MIN_MS;
        alike = false;
    }
    child->alike = alike ? child->alike + 1 : 1;
    child->last_status = status;
    /* It wants to begin anew (another role, another TLS key): that is no failure. */
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && child->alike <= SUP_WISHES_MAX)
        return SUP_RESTART_MIN_MS;
    int64_t wait = child->alike > SUP_ALIKE_MAX ? SUP_ALIKE_MS : child->backoff_ms;
    child->backoff_ms *= 2;
    if (child->backoff_ms > SUP_RESTART_MAX_MS)
        child->backoff_ms = SUP_RESTART_MAX_MS;
    return wait;
}

static void tell_end(const struct sup_child *child, int status, int64_t wait)
{
    bool signalled = WIFSIGNALED(status);
    int number = signalled ? WTERMSIG(status) : WEXITSTATUS(status);
    const char *how = signalled ? "by signal" : "with status";
    if (wait < SUP_ALIKE_MS)
        cm_log(CM_LOG_WARN, "supervisor", child->name, "ended %s %d; started again", how, number);
    else
        cm_log(CM_LOG_ERROR, "supervisor", child->name,
               "ended %s %d %u times in a row; tried again every %d s. Its own message above says "
               "why; put that right (who owns the files below the state directory, a full disk, "
               "certmgr.conf) or restart certmgr after it",
               how, number, child->alike, SUP_ALIKE_MS / 1000);
}

bool sup_child_ended(struct sup_child *child, pid_t pid, int status, bool stopping)
{
    if (child->pid != pid)
        return false;
    int64_t now = cm_mono_ms();
    child->pid = 0;
    sup_child_close(child);
    int64_t wait = plan_restart(child, now, status);
    child->start_at = now + wait;
    if (!stopping)
        tell_end(child, status, wait);
    return true;
}

void sup_child_kill(struct sup_child *child)
{
    if (child->pid != 0)
        kill(child->pid, SIGKILL);
}

void sup_child_close(struct sup_child *child)
{
    if (child->channel >= 0)
        close(child->channel);
    child->channel = -1;
}

/* One file of the directory.  Its user may have put links there to be given files of others: so
 * only a regular file with one name, looked at through the descriptor that is changed. */
static int give_file(int dir, const char *name, const struct passwd *pw)
{
    struct stat st;
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return errno == ELOOP || errno == ENXIO || errno == ENOENT ? 0 : -1;
    int rv = fstat(fd, &st);
    if (rv == 0 && st.st_uid != pw->pw_uid && S_ISREG(st.st_mode) && st.st_nlink == 1)
        rv = fchown(fd, pw->pw_uid, pw->pw_gid);
    close(fd);
    return rv;
}

/* Hands a flat directory and its files to a user; missing ones are made by the user later. */
static int give(const char *state_dir, const char *name, const struct passwd *pw)
{
    char path[CONFIG_PATH_MAX + 64];
    snprintf(path, sizeof(path), "%s/%s", state_dir, name);
    DIR *dir = opendir(path);
    if (dir == NULL)
        return errno == ENOENT ? 0 : -1;
    int fd = dirfd(dir);
    CM_BUG_ON(fd < 0);
    int rv = fchown(fd, pw->pw_uid, pw->pw_gid);
    for (struct dirent *e = readdir(dir); rv == 0 && e != NULL; e = readdir(dir))
        if (e->d_name[0] != '.')
            rv = give_file(fd, e->d_name, pw);
    closedir(dir);
    return rv;
}

static int give_to(const struct config *config, const char *user, const char *const *names)
{
    struct passwd *pw = getpwnam(user);
    if (pw == NULL) {
        cm_log(CM_LOG_ERROR, "supervisor", NULL, "[process]: there is no user \"%s\"", user);
        return -1;
    }
    for (size_t i = 0; names[i] != NULL; i++)
        if (give(config->state_dir, names[i], pw) != 0) {
            cm_log(CM_LOG_ERROR, "supervisor", NULL, "%s/%s cannot be given to %s: %s",
                   config->state_dir, names[i], user, cm_errno_text(errno));
            return -1;
        }
    return 0;
}

int sup_users_prepare(const struct config *config)
{
    static const char *const front_dirs[] = {"store", "tls", NULL};
    static const char *const agent_dirs[] = {"agent", NULL};
    if (geteuid() != 0) {
        cm_log(CM_LOG_WARN, "supervisor", NULL,
               "started without root: front and key agent run as one user, so the front's user "
               "can read the key files");
        return 0;
    }
    if (config->front_user[0] == '\0')
        cm_log(CM_LOG_WARN, "supervisor", "front",
               "[process] front_user is not set: it keeps running as root");
    if (config->agent_user[0] == '\0')
        cm_log(CM_LOG_WARN, "supervisor", "agent",
               "[process] agent_user is not set: it keeps running as root");
    if (config->front_user[0] != '\0' && give_to(config, config->front_user, front_dirs) != 0)
        return -1;
    if (config->agent_user[0] != '\0' && give_to(config, config->agent_user, agent_dirs) != 0)
        return -1;
    return 0;
}
