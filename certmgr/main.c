/*
 * certmgr: one binary.  `serve` is the supervisor; `front-process` and `agent-process` are its
 * children (never started by hand); everything else is a command-line client (certmgr/cli).
 */
#include "base/core/log.h"
#include "base/core/mem.h"
#include "certmgr/app.h"
#include "certmgr/channel.h"
#include "certmgr/cli/cli.h"
#include "certmgr/config/config.h"
#include "certmgr/supervisor.h"
#include "keyfile/agent.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* CMS fixes this product relies on (CVE-2026-34182, CVE-2026-63072; trust-and-tests A2). */
#define OPENSSL_OLDEST        "3.0.22"
#define OPENSSL_OLDEST_NUMBER 0x30000160L

/* Which process this is to be: "serve" or one of its children, with --root DIR before or behind.
 * NULL = a command of the command-line client. */
static const char *process_of(int argc, char **argv, const char **ret_root)
{
    static const char *const processes[] = {"serve", "front-process", "agent-process"};
    int at = argc >= 4 && strcmp(argv[1], "--root") == 0 ? 3 : 1;
    for (size_t i = 0; at < argc && i < sizeof(processes) / sizeof(processes[0]); i++) {
        if (strcmp(argv[at], processes[i]) != 0)
            continue;
        if (at == 3 && argc == 4)
            *ret_root = argv[2];
        else if (at == 1 && argc == 4 && strcmp(argv[2], "--root") == 0)
            *ret_root = argv[3];
        else if (argc != 2)
            *ret_root = ""; /* no such usage */
        return processes[i];
    }
    return NULL;
}

static int load_config(const char *process, const char *root, struct config *config)
{
    struct cm_err err = CM_ERR_INIT;
    enum cm_level level = CM_LOG_INFO;
    int rv = root == NULL || root[0] != '\0'
                 ? config_load(root, false, config, &err)
                 : cm_fail(&err, CM_EINVAL, "usage: certmgr %s [--root DIR]", process);
    if (rv == 0 && cm_level_parse(config->log_level, &level) != 0)
        rv = cm_fail(&err, CM_EINVAL, "log_level: write debug, info, warn or error");
    if (rv != 0)
        cm_log_err(CM_LOG_ERROR, "config", &err);
    cm_err_fini(&err);
    return rv;
}

static int serve(const struct config *config)
{
    if (OpenSSL_version_num() < OPENSSL_OLDEST_NUMBER)
        fprintf(stderr,
                "certmgr: warning: %s has known CMS faults; install libssl3 >= " OPENSSL_OLDEST
                "\n",
                OpenSSL_version(OPENSSL_VERSION));
    return supervisor_run(config);
}

static int agent_process(const struct config *config)
{
    struct kf_agent_config *agent = cm_calloc(1, sizeof(*agent));
    struct cm_err err = CM_ERR_INIT;
    enum cm_level level = CM_LOG_INFO;
    (void)cm_level_parse(config->log_level, &level); /* checked by load_config */
    cm_log_init("agent", level);
    (void)signal(SIGPIPE, SIG_IGN);
    config_agent(config, agent);
    int fd = channel_recv_fd(CHANNEL_FD);
    if (fd >= 0 && kf_agent_lockdown(&err) != 0) {
        cm_log_err(CM_LOG_ERROR, "agent", &err);
        fd = -1;
    }
    int rv = fd >= 0 ? kf_agent_serve(agent, fd, CHANNEL_FD) : CM_ECLOSED;
    cm_err_fini(&err);
    cm_free(agent);
    return rv == 0 ? 0 : 1;
}

/* Whoever starts us without the three standard files would have our sockets take their numbers. */
static void open_standard_files(void)
{
    /* NOLINTBEGIN(android-cloexec-*): our children have them, too */
    int fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= 2)
        fd = dup(fd);
    /* NOLINTEND(android-cloexec-*) */
    if (fd > 2)
        close(fd);
}

/* Does the supervisor's channel lie where a child finds it? */
static bool has_channel(void)
{
    struct stat st;
    return fstat(CHANNEL_FD, &st) == 0 && S_ISSOCK(st.st_mode);
}

int main(int argc, char **argv)
{
    static struct config config; /* large: zeroed */
    const char *root = NULL;
    umask(077);
    open_standard_files();
    if (argc == 3 && strcmp(argv[1], "serve") == 0 &&
        (strcmp(argv[2], "--help") == 0 || strcmp(argv[2], "-h") == 0))
        return cli_main(2, (char *[]){argv[0], argv[2], NULL});
    const char *process = process_of(argc, argv, &root);
    if (process == NULL)
        return cli_main(argc, argv);
    if (strcmp(process, "serve") != 0 && !has_channel()) {
        fprintf(stderr, "certmgr: %s is started by \"certmgr serve\", not by hand\n", process);
        return 2;
    }
    if (load_config(process, root, &config) != 0)
        return 2;
    /* In ps and top, where "exe" would say nothing. */
    (void)prctl(PR_SET_NAME, strcmp(process, "front-process") == 0   ? "certmgr-front"
                             : strcmp(process, "agent-process") == 0 ? "certmgr-agent"
                                                                     : "certmgr");
    int status = strcmp(process, "serve") == 0           ? serve(&config)
                 : strcmp(process, "front-process") == 0 ? app_run(&config, CHANNEL_FD)
                                                         : agent_process(&config);
    config_fini(&config);
    return status;
}
