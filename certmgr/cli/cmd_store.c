/* store check|stat|scrub|backup. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/core/json.h"
#include "base/core/mem.h"
#include "base/core/step.h"
#include "certmgr/cli/cli_internal.h"
#include "certstore/store.h"

#define COPY_BYTES 65536

static int check(struct cli *cli)
{
    struct cm_err err = CM_ERR_INIT;
    struct cs_store *store = NULL;
    CM_AUTO_JSON report = NULL;
    int status = CLI_OK;
    cm_step("check.begins");
    if (cli_open_store(cli, &store, &err) != 0 || cs_check(store, &report, &err) != 0)
        status = cli_error(cli, &err);
    cs_close(store);
    cm_err_fini(&err);
    if (status != CLI_OK)
        return status;
    cli_print_json(report);
    return json_array_size(cm_json_arr(report, "problems")) == 0 ? CLI_OK : CLI_FAILED;
}

static int tell_unreadable(struct cli *cli, int sig)
{
    struct cm_err err = CM_ERR_INIT;
    char dir[CONFIG_PATH_MAX + 32];
    config_store_dir(&cli->config, dir, sizeof(dir));
    cm_fail(&err, CM_EIO,
            "the certificate store in %s is so damaged that reading it ended with "
            "signal %d",
            dir, sig);
    cm_err_hint(&err,
                "Restore the newest backup (man certmgr, WHEN A SERVER IS LOST); a server that "
                "is not the manager can join again instead");
    int status = cli_error(cli, &err);
    cm_err_fini(&err);
    return status;
}

/* Works on the files: the server must not run.  In a process of its own: LMDB believes its pages,
 * and what a broken disk made of them may end whoever reads them. */
static int cmd_store_check(struct cli *cli)
{
    struct cli_option o[] = {{.name = NULL}};
    int how = 0;
    if (cli_options(cli, o) != 0 || cli->argc != 0)
        return CLI_USAGE;
    fflush(stdout);
    pid_t pid = fork();
    if (pid < 0)
        return check(cli);
    if (pid == 0) {
        int status = check(cli);
        fflush(stdout);
        _exit(status);
    }
    while (waitpid(pid, &how, 0) < 0 && errno == EINTR) {
    }
    return WIFSIGNALED(how) ? tell_unreadable(cli, WTERMSIG(how)) : WEXITSTATUS(how);
}

/* The pass that decides anew whom to believe, after the trust root changed; nothing without one. */
static void print_verdicts(const json_t *verdicts)
{
    long long looked = cm_json_int(verdicts, "documents", 0);
    if (!verdicts)
        return;
    if (strcmp(cm_json_str_or(verdicts, "state", ""), "running") == 0)
        printf("verdicts      judged anew since %s: %lld of at most %lld documents",
               cm_json_str_or(verdicts, "started_at", "?"), looked,
               (long long)cm_json_int(verdicts, "at_most", 0));
    else
        printf("verdicts      judged anew at %s: %lld documents",
               cm_json_str_or(verdicts, "finished_at", "?"), looked);
    printf(", %lld no longer count, %lld count again\n",
           (long long)cm_json_int(verdicts, "lost", 0),
           (long long)cm_json_int(verdicts, "regained", 0));
}

static void print_stat(const json_t *stat)
{
    const json_t *scrub = cm_json_obj(stat, "scrub");
    printf("documents     %lld (and %lld deleted, %lld refused)\n"
           "records       %lld\n"
           "file          %.1f MiB\n"
           "map           %lld %% of %.1f GiB in use\n"
           "disk          %.1f MiB free\n"
           "sequence      %lld, incarnation %s\n"
           "last scrub    %s, %zu problems\n",
           (long long)cm_json_int(stat, "documents", 0), (long long)cm_json_int(stat, "deleted", 0),
           (long long)cm_json_int(stat, "refused", 0), (long long)cm_json_int(stat, "records", 0),
           (double)cm_json_int(stat, "file_size", 0) / (1 << 20),
           (long long)cm_json_int(stat, "map_percent", 0),
           (double)cm_json_int(stat, "map_size", 0) / (1 << 30),
           (double)cm_json_int(stat, "disk_free", 0) / (1 << 20),
           (long long)cm_json_int(stat, "sequence", 0), cm_json_str_or(stat, "epoch", "?"),
           strcmp(cm_json_str_or(scrub, "state", ""), "running") == 0
               ? "running"
               : cm_json_str_or(scrub, "finished_at", "never"),
           json_array_size(cm_json_arr(scrub, "problems")));
    print_verdicts(cm_json_obj(stat, "verdicts"));
}

static void print_state(const json_t *rows)
{
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        printf("%s  %s%s%s: %lld (and %lld deleted)\n", cm_json_str_or(row, "hash", ""),
               cm_json_str_or(row, "type", ""), json_object_get(row, "by") ? " by " : "",
               cm_json_str_or(row, "by", ""), (long long)cm_json_int(row, "documents", 0),
               (long long)cm_json_int(row, "deleted", 0));
    }
}

static int cmd_store_stat(struct cli *cli)
{
    struct cli_option o[] = {{.name = "--hash", .flag = true}, {.name = NULL}};
    CM_AUTO_JSON reply = NULL;
    if (cli_options(cli, o) != 0 || cli->argc != 0)
        return CLI_USAGE;
    bool hash = o[0].count > 0;
    int status = cli_api(cli, "GET", hash ? "/store?state=true" : "/store", NULL, &reply);
    if (status == CLI_OK && cli->json)
        cli_print_json(reply);
    else if (status == CLI_OK)
        hash ? print_state(cm_json_arr(reply, "state")) : print_stat(reply);
    return status;
}

static int cmd_store_scrub(struct cli *cli)
{
    struct cli_option o[] = {{.name = NULL}};
    CM_AUTO_JSON body = json_object();
    if (cli_options(cli, o) != 0 || cli->argc != 0)
        return CLI_USAGE;
    int status = cli_api(cli, "POST", "/store/scrub", body, NULL);
    if (status == CLI_OK && !cli->json)
        printf("The store is being read again; \"certmgr store stat\" tells what was found.\n");
    return status;
}

/* ---- backup ---- */

static int copy_bytes(int from, int to, struct cm_err *err)
{
    CM_AUTO_STR bytes = cm_malloc(COPY_BYTES);
    for (;;) {
        ssize_t n = read(from, bytes, COPY_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return cm_fail_errno(err, errno, "cannot read the copy of the store");
        if (n == 0)
            return fsync(to) == 0 ? 0 : cm_fail_errno(err, errno, "cannot save the copy");
        for (ssize_t at = 0; at < n;) {
            ssize_t put = write(to, bytes + at, (size_t)(n - at));
            if (put < 0 && errno == EINTR)
                continue;
            if (put <= 0)
                return cm_fail_errno(err, put < 0 ? errno : EIO, "cannot write the copy");
            at += put;
        }
    }
}

/* From the server's own directory to where it is wanted, maybe on another file system. */
static int move_copy(const char *copy, const char *path, struct cm_err *err)
{
    int from = open(copy, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (from < 0)
        return cm_fail_errno(err, errno, "cannot read %s", copy);
    int to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    int rv =
        to >= 0 ? copy_bytes(from, to, err) : cm_fail_errno(err, errno, "cannot make %s", path);
    close(from);
    if (to >= 0 && close(to) != 0 && rv == 0)
        rv = cm_fail_errno(err, errno, "cannot save %s", path);
    if (rv != 0 && to >= 0)
        (void)unlink(path); /* half a copy is none */
    return rv;
}

static int copy_of_running(struct cli *cli, const char *path)
{
    CM_AUTO_JSON body = json_object();
    CM_AUTO_JSON reply = NULL;
    struct cm_err err = CM_ERR_INIT;
    int status = cli_api(cli, "POST", "/store/copies", body, &reply);
    if (status != CLI_OK)
        return status;
    const char *copy = cm_json_str_or(reply, "copy", "");
    if (move_copy(copy, path, &err) != 0)
        status = cli_error(cli, &err);
    (void)unlink(copy);
    cm_err_fini(&err);
    return status;
}

/* Running or not: a plain copy of the data file, not sealed. */
static int cmd_store_backup(struct cli *cli)
{
    struct cli_option o[] = {{.name = NULL}};
    struct cm_err err = CM_ERR_INIT;
    struct cs_store *store = NULL;
    if (cli_options(cli, o) != 0 || cli->argc != 1)
        return CLI_USAGE;
    int status = CLI_OK;
    int rv = cli_open_store(cli, &store, &err);
    if (rv == CM_EBUSY)
        status = copy_of_running(cli, cli->argv[0]);
    else if (rv != 0 || cs_copy(store, cli->argv[0], &err) != 0)
        status = cli_error(cli, &err);
    cs_close(store);
    cm_err_fini(&err);
    if (status == CLI_OK && !cli->json)
        printf("%s is a copy of the store (data.mdb), without keys of the server.\n", cli->argv[0]);
    return status;
}

const struct cli_command cli_store_commands[] = {
    {"store check", "", "examine the whole store (while no server runs)", cmd_store_check},
    {"store stat", "[--hash]", "size, counts and state of the store", cmd_store_stat},
    {"store scrub", "", "read the whole store again in the background", cmd_store_scrub},
    {"store backup", "FILE", "copy the store alone, also while it is in use", cmd_store_backup},
    {0},
};
