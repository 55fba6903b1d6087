/*
 * The supervisor's loop: children, listeners, hooks, signals.  Plain poll(), no library: this
 * process may run as root, so it does as little as possible.
 */
#include "certmgr/supervisor.h"

#include "base/core/clock.h"
#include "base/core/file.h"
#include "base/core/json.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "certmgr/channel.h"
#include "certmgr/sup_child.h"
#include "certmgr/sup_hooks.h"
#include "certmgr/sup_listen.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PACKETS_PER_TURN                                                                           \
    64 /* of a front that never stops sending: hooks and signals come first                        \
        */

struct supervisor {
    const struct config *config;
    struct sup_child front, agent;
    struct sup_listener listener[SUP_LISTENERS];
    struct sup_hooks hooks;
    int signals;
    bool stopping;
    bool front_full; /* its channel takes no more at present */
    int64_t stop_deadline, bind_at, bind_wait;
};

/* Gives front and agent a fresh channel to each other; the old one is closed by both. */
static void connect_children(struct supervisor *s)
{
    int pair[2];
    if (s->front.pid == 0 || s->agent.pid == 0)
        return;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        cm_log(CM_LOG_ERROR, "supervisor", NULL, "no socket pair: %s", cm_errno_text(errno));
        return;
    }
    CM_AUTO_JSON packet = json_pack("{s:s}", "op", "agent");
    /* One that cannot take it is dead or hangs: started again, both meet then. */
    if (channel_send_fd(s->agent.channel, pair[0]) != 0)
        sup_child_kill(&s->agent);
    else if (channel_send(s->front.channel, packet, pair[1]) != 0)
        sup_child_kill(&s->front);
    close(pair[0]);
    close(pair[1]);
}

/* False when the front's channel is full; then it goes on when that is writable.  A dead front is
 * no reason to keep anything: the next one is told afresh. */
static bool send_front(struct supervisor *s, const json_t *packet, int fd)
{
    s->front_full = channel_send(s->front.channel, packet, fd) == CM_EBUSY;
    return !s->front_full;
}

static bool send_listener(struct supervisor *s, const struct sup_listener *l)
{
    CM_AUTO_JSON packet = json_object();
    cm_json_set_str(packet, "op", l->fd >= 0 ? "listener" : "listener.failed");
    cm_json_set_str(packet, "name", l->name);
    cm_json_set_str(packet, "address", l->address);
    if (l->fd < 0)
        cm_json_set_str(packet, "error", l->error);
    return send_front(s, packet, l->fd);
}

/* Tells the front all it does not know yet: listeners, results of its hooks. */
static void tell_front(struct supervisor *s)
{
    bool there = s->front.pid != 0;
    s->front_full = false;
    for (size_t i = 0; there && i < SUP_LISTENERS; i++) {
        struct sup_listener *l = &s->listener[i];
        if (l->address[0] == '\0' || l->told)
            continue;
        l->told = send_listener(s, l);
        if (!l->told)
            return;
    }
    for (size_t i = 0; i < SUP_HOOKS_MAX; i++) {
        struct sup_hook *h = &s->hooks.hook[i];
        CM_AUTO_JSON packet = sup_hook_result(h);
        if (packet == NULL)
            continue;
        if (there && !h->orphan && !send_front(s, packet, -1))
            return;
        sup_hook_free(h);
    }
}

/* Binds what is not bound; a taken port never stops the server (design section 8). */
static void bind_listeners(struct supervisor *s)
{
    bool missing = false;
    for (size_t i = 0; i < SUP_LISTENERS; i++) {
        struct sup_listener *l = &s->listener[i];
        if (l->address[0] == '\0' || l->fd >= 0)
            continue;
        char before[sizeof(l->error)];
        memcpy(before, l->error, sizeof(before));
        if (sup_listener_bind(l) != 0) {
            missing = true;
            if (strcmp(before, l->error) != 0)
                cm_log(CM_LOG_WARN, "supervisor", NULL, "listener %s: %s; tried again", l->name,
                       l->error);
        } else if (before[0] != '\0') {
            cm_log(CM_LOG_INFO, "supervisor", NULL, "listener %s: bound now", l->name);
        }
        l->told = l->told && l->fd < 0 && strcmp(before, l->error) == 0;
    }
    /* Soon at first: the front of a killed supervisor may be about to end. */
    s->bind_wait = s->bind_wait * 2 < SUP_BIND_RETRY_MS ? s->bind_wait * 2 : SUP_BIND_RETRY_MS;
    s->bind_at = missing ? cm_mono_ms() + s->bind_wait : 0;
}

static void start_due(struct supervisor *s, int64_t now)
{
    bool started = sup_child_due(&s->agent, now) && sup_child_start(&s->agent, s->config);
    if (sup_child_due(&s->front, now) && sup_child_start(&s->front, s->config)) {
        started = true;
        s->front_full = false;
        for (size_t i = 0; i < SUP_LISTENERS; i++)
            s->listener[i].told = false;
    }
    if (started)
        connect_children(s);
}

/* The front is the only one who knows that the agent owes an answer.  One that lies can have it
 * started anew, not more often than every few seconds: it could as well ask it nothing. */
static void on_agent_hung(struct supervisor *s, const json_t *packet)
{
    if (s->agent.pid == 0 || cm_mono_ms() - s->agent.started_at < SUP_AGENT_SPARED_MS)
        return;
    int64_t working_s = cm_json_int(packet, "working_s", 0);
    cm_log(CM_LOG_ERROR, "supervisor", s->agent.name,
           "pid %d %s %d s: it is ended; its requests go to the next one", (int)s->agent.pid,
           working_s > 0 ? "has been at one request for" : "has not answered for",
           (int)(working_s > 0 ? working_s : cm_json_int(packet, "silent_s", 0)));
    sup_child_kill(&s->agent);
}

static void on_front_packet(struct supervisor *s, const json_t *packet)
{
    const char *op = cm_json_str_or(packet, "op", "");
    struct cm_err err = CM_ERR_INIT;
    int64_t id = cm_json_int(packet, "id", -1);
    bool program = strcmp(op, "exec") == 0;
    if ((program || strcmp(op, "hook") == 0) && id >= 0) {
        int rc = program ? sup_program_start(&s->hooks, id, cm_json_str_or(packet, "name", ""),
                                             cm_json_arr(packet, "argv"),
                                             cm_json_obj(packet, "env"), &err)
                         : sup_hook_start(&s->hooks, id, cm_json_str_or(packet, "target", ""),
                                          cm_json_str_or(packet, "step", ""), &err);
        if (rc == 0)
            return;
        CM_AUTO_JSON reply = json_object();
        cm_json_set_str(reply, "op", "hook.done");
        cm_json_set_int(reply, "id", id);
        cm_json_set_str(reply, "error", err.what);
        /* A front that asks without reading its answers is not in order. */
        if (!send_front(s, reply, -1))
            sup_child_kill(&s->front);
    } else if (strcmp(op, "agent.hung") == 0) {
        on_agent_hung(s, packet);
    } else {
        cm_log(CM_LOG_WARN, "supervisor", NULL, "the front sent an unknown packet");
        sup_child_kill(&s->front); /* ours sends none: this one is not ours any more */
    }
    cm_err_fini(&err);
}

static void read_front(struct supervisor *s)
{
    for (size_t i = 0; i < PACKETS_PER_TURN; i++) {
        CM_AUTO_JSON packet = NULL;
        int fd = -1;
        int rv = channel_recv(s->front.channel, &packet, &fd);
        if (fd >= 0)
            close(fd); /* the front has none to give */
        if (rv < 0)
            sup_child_kill(&s->front); /* its end is gone: it is dying; be sure */
        if (rv <= 0)
            return;
        on_front_packet(s, packet);
    }
}

static void reap(struct supervisor *s)
{
    int status = 0;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (sup_hooks_reap(&s->hooks, pid, status))
            continue;
        if (sup_child_ended(&s->front, pid, status, s->stopping))
            sup_hooks_orphan(&s->hooks);
        else
            (void)sup_child_ended(&s->agent, pid, status, s->stopping);
    }
}

static void begin_stop(struct supervisor *s)
{
    if (s->stopping)
        return;
    cm_log(CM_LOG_INFO, "supervisor", NULL, "stopping");
    s->stopping = true;
    s->stop_deadline = cm_mono_ms() + SUP_STOP_MS;
    sup_hooks_kill_all(&s->hooks);
    if (s->front.pid != 0)
        kill(s->front.pid, SIGTERM);
    else
        sup_child_close(&s->agent);
}

static void on_signals(struct supervisor *s)
{
    struct signalfd_siginfo info;
    while (read(s->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGCHLD)
            reap(s);
        else
            begin_stop(s);
    }
}

static int64_t earliest(int64_t a, int64_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

/* Handles what is due and returns the poll time-out in ms (-1 = none). */
static int tick(struct supervisor *s)
{
    int64_t now = cm_mono_ms();
    int64_t next = sup_hooks_tick(&s->hooks, now);
    if (s->stopping) {
        if (s->front.pid == 0)
            sup_child_close(&s->agent); /* the agent ends when its control channel closes */
        if (now >= s->stop_deadline) {
            sup_child_kill(&s->front);
            sup_child_kill(&s->agent);
        }
        next = earliest(next, s->stop_deadline);
    } else {
        if (s->bind_at != 0 && s->bind_at <= now)
            bind_listeners(s);
        start_due(s, now);
        next = earliest(next, s->bind_at);
        next = earliest(next, s->front.pid == 0 ? s->front.start_at : 0);
        next = earliest(next, s->agent.pid == 0 ? s->agent.start_at : 0);
    }
    if (next == 0)
        return -1;
    return next <= now ? 1 : (int)(next - now > 60000 ? 60000 : next - now);
}

static void turn(struct supervisor *s)
{
    struct pollfd fds[2 + SUP_HOOKS_MAX];
    struct sup_hook *hook[SUP_HOOKS_MAX];
    nfds_t n = 0;
    size_t hooks = 0;
    int timeout = tick(s);
    tell_front(s);
    fds[n++] = (struct pollfd){.fd = s->signals, .events = POLLIN};
    fds[n++] = (struct pollfd){.fd = s->front.pid != 0 ? s->front.channel : -1,
                               .events = (short)(POLLIN | (s->front_full ? POLLOUT : 0))};
    for (size_t i = 0; i < SUP_HOOKS_MAX; i++) {
        if (!s->hooks.hook[i].used || s->hooks.hook[i].pipe < 0)
            continue;
        hook[hooks++] = &s->hooks.hook[i];
        fds[n++] = (struct pollfd){.fd = s->hooks.hook[i].pipe, .events = POLLIN};
    }
    if (poll(fds, n, timeout) < 0)
        return;
    for (size_t i = 0; i < hooks; i++)
        if (fds[2 + i].revents != 0)
            sup_hook_read(hook[i]);
    if ((fds[1].revents & ~POLLOUT) != 0)
        read_front(s);
    if (fds[0].revents != 0)
        on_signals(s);
}

static int open_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* One supervisor per state directory: two would take each other's API socket and keys.  Returns the
 * descriptor that holds the lock. */
static int lock_state(const struct config *config)
{
    char store[CONFIG_PATH_MAX + 64], pinned[CONFIG_PATH_MAX + 64];
    snprintf(store, sizeof(store), "%s/store/data.mdb", config->state_dir);
    if (access(store, F_OK) != 0 && errno == EACCES) {
        cm_log(CM_LOG_ERROR, "supervisor", NULL,
               "%s belongs to another user: start certmgr as the user that ran \"certmgr init\" or "
               "\"certmgr join\", or as root",
               config->state_dir);
        return -1;
    }
    snprintf(pinned, sizeof(pinned), "%s/agent/trust.json", config->state_dir);
    if (!cm_path_exists(store) && cm_path_exists(pinned)) {
        cm_log(CM_LOG_ERROR, "supervisor", NULL,
               "the certificate store is missing (%s), but the keys of a fleet are there: move %s "
               "away and restore the newest backup; if \"certmgr init\" or \"certmgr join\" was "
               "interrupted, give that command again",
               store, config->state_dir);
        return -1;
    }
    if (!cm_path_exists(store)) {
        cm_log(CM_LOG_ERROR, "supervisor", NULL,
               "this server belongs to no fleet yet: run \"certmgr init\" or \"certmgr join\", or "
               "bring it back with \"certmgr restore\"");
        return -1;
    }
    int fd = open(config->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    if (errno == EWOULDBLOCK)
        cm_log(CM_LOG_ERROR, "supervisor", NULL, "\"certmgr serve\" runs already on %s",
               config->state_dir);
    else
        cm_log(CM_LOG_ERROR, "supervisor", NULL, "%s cannot be locked: %s", config->state_dir,
               cm_errno_text(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

int supervisor_run(const struct config *config)
{
    struct supervisor s = {
        .config = config, .hooks = {.config = config}, .bind_wait = SUP_BIND_RETRY_MIN_MS};
    enum cm_level level = CM_LOG_INFO;
    (void)cm_level_parse(config->log_level, &level); /* checked by main */
    cm_log_init("supervisor", level);
    sup_child_init(&s.agent, "agent", "agent-process", config->agent_user);
    sup_child_init(&s.front, "front", "front-process", config->front_user);
    for (size_t i = 0; i < SUP_HOOKS_MAX; i++)
        s.hooks.hook[i].pipe = -1;
    s.signals = open_signals();
    if (s.signals < 0) {
        cm_log(CM_LOG_ERROR, "supervisor", NULL, "no signal descriptor: %s", cm_errno_text(errno));
        return 1;
    }
    int lock = lock_state(config);
    if (lock < 0 || sup_users_prepare(config) != 0)
        return 1;
    sup_listeners_init(config, s.listener);
    bind_listeners(&s);
    while (!s.stopping || s.front.pid != 0 || s.agent.pid != 0)
        turn(&s);
    for (size_t i = 0; i < SUP_LISTENERS; i++)
        sup_listener_close(&s.listener[i]);
    close(s.signals);
    close(lock);
    return 0;
}
