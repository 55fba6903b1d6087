/* fork + execve of configured commands. */
#include "certmgr/sup_hooks.h"

#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "base/core/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct config_target *find_target(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->target_count; i++)
        if (strcmp(config->target[i].files.name, name) == 0)
            return &config->target[i];
    return NULL;
}

/* In the child: nothing of ours is inherited but the three standard descriptors. */
static void exec_hook(char *const *argv, char *const *env, int out)
{
    sigset_t none;
    sigemptyset(&none);
    /* What systemd or a shell had us ignore (SIGPIPE) would be inherited through exec. */
    for (int sig = 1; sig < NSIG; sig++)
        (void)signal(sig, SIG_DFL); /* two cannot be set, and need not be */
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpgid(0, 0);
    if (chdir("/") != 0)
        _exit(127);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    dup2(null, 0);
    dup2(out, 1);
    dup2(out, 2);
    close_range(3, ~0U, 0);
    execve(argv[0], argv, env);
    dprintf(2, "%s cannot be started: %s\n", argv[0], cm_errno_text(errno));
    _exit(127);
}

static int start(struct sup_hooks *hooks, int64_t id, char *const *argv, char *const *env,
                 int timeout_s, struct cm_err *err)
{
    struct sup_hook *h = NULL;
    for (size_t i = 0; i < SUP_HOOKS_MAX && h == NULL; i++)
        if (!hooks->hook[i].used)
            h = &hooks->hook[i];
    if (h == NULL)
        return cm_fail(err, CM_EBUSY, "%d hooks run already", SUP_HOOKS_MAX);
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0)
        return cm_fail_errno(err, errno, "no pipe for the hook");
    /* Our end only: a program that prints much must be able to wait. */
    (void)fcntl(fds[0], F_SETFL, O_NONBLOCK); /* cannot fail on a pipe */
    pid_t pid = fork();
    int why = errno;
    if (pid == 0)
        exec_hook(argv, env, fds[1]);
    close(fds[1]);
    if (pid < 0) {
        close(fds[0]);
        return cm_fail_errno(err, why, "the hook cannot be started");
    }
    (void)setpgid(pid, pid); /* also done by the child; whoever comes first */
    *h = (struct sup_hook){.used = true,
                           .id = id,
                           .pid = pid,
                           .pipe = fds[0],
                           .deadline_ms = cm_mono_ms() + 1000 * (int64_t)timeout_s};
    return 0;
}

/* Of every hook. */
static char env_path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
static char env_lang[] = "LC_ALL=C.UTF-8";

/* [orders]: around the manager's work, of no target. */
static int start_orders(struct sup_hooks *hooks, int64_t id, const char *step, struct cm_err *err)
{
    const struct config_orders *orders = &hooks->config->orders;
    const struct config_argv *argv = strcmp(step, "before") == 0  ? &orders->before
                                     : strcmp(step, "after") == 0 ? &orders->after
                                                                  : NULL;
    if (argv == NULL || argv->argv[0] == NULL)
        return cm_fail(err, CM_ENOENT, "[orders] has no %.16s command", step);
    char what[32];
    snprintf(what, sizeof(what), "CERTMGR_STEP=%s", step);
    char *env[] = {env_path, env_lang, what, NULL};
    return start(hooks, id, argv->argv, env, orders->hook_timeout_s, err);
}

int sup_hook_start(struct sup_hooks *hooks, int64_t id, const char *target_name, const char *step,
                   struct cm_err *err)
{
    if (target_name[0] == '\0')
        return start_orders(hooks, id, step, err);
    const struct config_target *target = find_target(hooks->config, target_name);
    if (target == NULL)
        return cm_fail(err, CM_ENOENT, "no [target %.63s] in the configuration", target_name);
    const struct config_argv *argv = strcmp(step, "test") == 0     ? &target->test
                                     : strcmp(step, "reload") == 0 ? &target->reload
                                                                   : NULL;
    if (argv == NULL || argv->argv[0] == NULL)
        return cm_fail(err, CM_ENOENT, "[target %.63s] has no %.16s command", target_name, step);
    char name[96], what[32];
    snprintf(name, sizeof(name), "CERTMGR_TARGET=%s", target->files.name);
    snprintf(what, sizeof(what), "CERTMGR_STEP=%s", step);
    char *env[] = {env_path, env_lang, name, what, NULL};
    return start(hooks, id, argv->argv, env, target->hook_timeout_s, err);
}

/* ---- programs of DNS accounts ---- */

#define WORDS_MAX     8
#define VARIABLES_MAX 32
#define VARIABLE      "CERTMGR_CRED_"

/* Only names that cannot change how a program is loaded or runs. */
static bool is_variable(const char *name, const json_t *value)
{
    const char *rest = name + strlen(VARIABLE);
    return strncmp(name, VARIABLE, strlen(VARIABLE)) == 0 && *rest &&
           rest[strspn(rest, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")] == '\0' &&
           json_is_string(value);
}

int sup_program_start(struct sup_hooks *hooks, int64_t id, const char *name, const json_t *words,
                      const json_t *variables, struct cm_err *err)
{
    const struct config_program *program = NULL;
    for (size_t i = 0; i < hooks->config->program_count && program == NULL; i++)
        if (strcmp(hooks->config->program[i].name, name) == 0)
            program = &hooks->config->program[i];
    if (program == NULL)
        return cm_fail(err, CM_ENOENT, "no [dns_exec %.63s] in certmgr.conf of this server", name);
    char *argv[CONFIG_ARGV_MAX + WORDS_MAX + 1], *env[VARIABLES_MAX + 3];
    size_t argc = 0, envc = 0, i;
    const char *key;
    json_t *value;
    while (program->command.argv[argc] != NULL) {
        argv[argc] = program->command.argv[argc];
        argc++;
    }
    if (json_array_size(words) > WORDS_MAX || json_object_size(variables) > VARIABLES_MAX)
        return cm_fail(err, CM_ELIMIT, "too many words or variables for a program");
    json_array_foreach(words, i, value)
    {
        if (!json_is_string(value))
            return cm_fail(err, CM_EMALF, "a program's words are texts");
        argv[argc++] = (char *)(uintptr_t)json_string_value(value);
    }
    argv[argc] = NULL;
    json_object_foreach((json_t *)(uintptr_t)variables, key, value)
    {
        if (!is_variable(key, value))
            return cm_fail(err, CM_EDENIED, "a program gets no variable %.40s", key);
    }
    env[envc++] = env_path;
    env[envc++] = env_lang;
    json_object_foreach((json_t *)(uintptr_t)variables, key, value)
    {
        env[envc++] = cm_asprintf("%s=%s", key, json_string_value(value));
    }
    env[envc] = NULL;
    int rc = start(hooks, id, argv, env, program->timeout_s, err);
    while (envc > 2) {
        envc--;
        cm_free_secret(env[envc], strlen(env[envc]));
    }
    return rc;
}

static void keep_tail(struct sup_hook *h, const char *data, size_t n)
{
    if (n >= SUP_HOOK_OUTPUT) {
        memcpy(h->output, data + n - SUP_HOOK_OUTPUT, SUP_HOOK_OUTPUT);
        h->output_len = SUP_HOOK_OUTPUT;
        return;
    }
    size_t over = h->output_len + n > SUP_HOOK_OUTPUT ? h->output_len + n - SUP_HOOK_OUTPUT : 0;
    memmove(h->output, h->output + over, h->output_len - over);
    memcpy(h->output + h->output_len - over, data, n);
    h->output_len = h->output_len - over + n;
}

void sup_hook_read(struct sup_hook *hook)
{
    char data[4096];
    for (size_t i = 0; hook->pipe >= 0 && i < SUP_HOOK_READ / sizeof(data); i++) {
        ssize_t n = read(hook->pipe, data, sizeof(data));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            close(hook->pipe);
            hook->pipe = -1;
            return;
        }
        keep_tail(hook, data, (size_t)n);
    }
}

int64_t sup_hooks_tick(struct sup_hooks *hooks, int64_t now_ms)
{
    int64_t next = 0;
    for (size_t i = 0; i < SUP_HOOKS_MAX; i++) {
        struct sup_hook *h = &hooks->hook[i];
        if (!h->used || h->timed_out || h->exited)
            continue;
        if (h->deadline_ms <= now_ms) {
            h->timed_out = true;
            kill(-h->pid, SIGKILL);
        } else if (next == 0 || h->deadline_ms < next) {
            next = h->deadline_ms;
        }
    }
    return next;
}

bool sup_hooks_reap(struct sup_hooks *hooks, pid_t pid, int status)
{
    for (size_t i = 0; i < SUP_HOOKS_MAX; i++) {
        struct sup_hook *h = &hooks->hook[i];
        if (!h->used || h->pid != pid)
            continue;
        h->exited = true;
        h->status = status;
        /* What a hook that ended by itself leaves behind is meant to stay: a service it started may
         * not have left the group yet, and killing it here would be a race it loses. */
        if (h->timed_out)
            kill(-pid, SIGKILL);
        sup_hook_read(h);
        return true;
    }
    return false;
}

/* The output as text: control bytes and what is not UTF-8 become '?', so it always fits a packet.
 */
static void output_text(const struct sup_hook *h, char text[SUP_HOOK_OUTPUT + 1])
{
    memcpy(text, h->output, h->output_len);
    text[h->output_len] = '\0';
    for (size_t i = 0; i < h->output_len; i++)
        if (((unsigned char)text[i] < 0x20 && text[i] != '\n' && text[i] != '\t') ||
            text[i] == 0x7f)
            text[i] = '?';
    cm_utf8_fix(text);
}

json_t *sup_hook_result(const struct sup_hook *hook)
{
    if (!hook->used || !hook->exited)
        return NULL;
    char text[SUP_HOOK_OUTPUT + 1];
    json_t *packet = json_object();
    output_text(hook, text);
    cm_json_set_str(packet, "op", "hook.done");
    cm_json_set_int(packet, "id", hook->id);
    cm_json_set_str(packet, "output", text);
    if (WIFEXITED(hook->status) && !hook->timed_out)
        cm_json_set_int(packet, "status", WEXITSTATUS(hook->status));
    char why[64] = "";
    if (hook->timed_out)
        snprintf(why, sizeof(why), "ran longer than its time limit and was killed");
    else if (WIFSIGNALED(hook->status))
        snprintf(why, sizeof(why), "was ended by signal %d", WTERMSIG(hook->status));
    else if (WEXITSTATUS(hook->status) != 0)
        snprintf(why, sizeof(why), "ended with status %d", WEXITSTATUS(hook->status));
    if (why[0] != '\0')
        cm_json_set_str(packet, "error", why);
    return packet;
}

void sup_hook_free(struct sup_hook *hook)
{
    if (hook->pipe >= 0)
        close(hook->pipe);
    *hook = (struct sup_hook){.pipe = -1};
}

void sup_hooks_orphan(struct sup_hooks *hooks)
{
    for (size_t i = 0; i < SUP_HOOKS_MAX; i++)
        hooks->hook[i].orphan = hooks->hook[i].used;
}

void sup_hooks_kill_all(struct sup_hooks *hooks)
{
    for (size_t i = 0; i < SUP_HOOKS_MAX; i++)
        if (hooks->hook[i].used && !hooks->hook[i].exited)
            kill(-hooks->hook[i].pid, SIGKILL);
}
