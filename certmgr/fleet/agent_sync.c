/* fork + exec of the agent, blocking frames. */
#include "certmgr/fleet/agent_sync.h"

#include "base/core/fdpass.h"
#include "base/core/frame.h"
#include "base/core/json.h"
#include "base/core/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define AGENT_CONTROL_FD 3     /* where the agent process finds its control channel */
#define AGENT_WAIT_MS    60000 /* a hung agent must not hang the command too */
#define AGENT_STOP_LOOKS 500   /* 10 ms apart, until it is killed */

static void exec_agent(const struct config *config, int control)
{
    if (control == AGENT_CONTROL_FD)
        (void)fcntl(control, F_SETFD, 0); /* cannot fail on an open descriptor */
    else
        dup2(control, AGENT_CONTROL_FD);
    close_range(AGENT_CONTROL_FD + 1, ~0U, 0);
    if (config->root[0] != '\0')
        execl("/proc/self/exe", "certmgr", "agent-process", "--root", config->root, (char *)NULL);
    else
        execl("/proc/self/exe", "certmgr", "agent-process", (char *)NULL);
    _exit(127);
}

/* The agent takes its channel from the control channel: one byte + descriptor. */
static int hand_over(int control, int fd)
{
    return cm_fd_send(control, "c", 1, fd) == 0 ? 0 : CM_EIO;
}

int agent_sync_start(const struct config *config, struct agent_sync *ret, struct cm_err *err)
{
    int control[2], channel[2];
    *ret = (struct agent_sync){.control = -1, .fd = -1};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) != 0)
        return cm_fail_errno(err, errno, "no socket pair for the key agent");
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel) != 0) {
        close(control[0]);
        close(control[1]);
        return cm_fail_errno(err, errno, "no socket pair for the key agent");
    }
    (void)signal(SIGPIPE, SIG_IGN); /* an agent that ended is an error told, not our end */
    ret->pid = fork();
    int why = errno;
    if (ret->pid == 0)
        exec_agent(config, control[1]);
    ret->control = control[0];
    ret->fd = channel[0];
    int rv = ret->pid > 0 ? hand_over(control[0], channel[1]) : CM_EIO;
    close(control[1]);
    close(channel[1]);
    if (rv == 0)
        return 0;
    agent_sync_stop(ret);
    return cm_fail_errno(err, why, "the key agent cannot be started");
}

static int wait_reply(int fd, struct cm_err *err)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int n;
    do {
        n = poll(&p, 1, AGENT_WAIT_MS);
    } while (n < 0 && errno == EINTR);
    return n > 0 ? 0 : cm_fail(err, CM_ETIMEOUT, "no answer within %d s", AGENT_WAIT_MS / 1000);
}

int agent_sync_call(struct agent_sync *agent, json_t *take_request, json_t **ret_reply,
                    struct cm_err *err)
{
    CM_AUTO_JSON request = take_request;
    CM_AUTO_JSON reply = NULL;
    cm_json_set_int(request, "id", ++agent->last_id);
    int rv = cm_frame_write_fd(agent->fd, request, err);
    if (rv == 0)
        rv = wait_reply(agent->fd, err);
    if (rv == 0)
        rv = cm_frame_read_fd(agent->fd, &reply, err);
    if (rv != 0)
        return cm_wrap(err, rv, "the key agent does not answer; see its messages above");
    if (!cm_json_bool(reply, "ok", false)) {
        if (cm_err_from_json(err, json_object_get(reply, "error")) != 0)
            cm_fail(err, CM_EPEER, "the key agent refused without a reason");
        return err != NULL && err->code != 0 ? err->code : CM_EPEER;
    }
    *ret_reply = json_incref(reply);
    return 0;
}

void agent_sync_stop(struct agent_sync *agent)
{
    if (agent->fd >= 0)
        close(agent->fd);
    if (agent->control >= 0)
        close(agent->control);
    /* It ends when its channels close; one that hangs is killed, which is safe at any moment. */
    struct timespec ts = {.tv_nsec = 10 * 1000000L};
    for (int i = 0; agent->pid > 0 && waitpid(agent->pid, NULL, WNOHANG) == 0; i++) {
        if (i == AGENT_STOP_LOOKS)
            kill(agent->pid, SIGKILL);
        (void)nanosleep(&ts, NULL); /* an interrupted nap is a shorter one */
    }
    *agent = (struct agent_sync){.control = -1, .fd = -1};
}
