/* backup, backup check, restore, hold, hold release, recovery-key new. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/core/file.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "certmgr/cli/cli_internal.h"
#include "certmgr/fleet/backup.h"
#include "keyfile/backup.h"

static int backup_of_running(struct cli *cli, const char *path)
{
    CM_AUTO_JSON body = json_pack("{s:b}", "identity", 1);
    CM_AUTO_JSON reply = NULL;
    struct cm_err err = CM_ERR_INIT;
    int status = cli_api(cli, "POST", "/store/copies", body, &reply);
    if (status != CLI_OK)
        return status;
    struct backup_parts parts = {.config = &cli->config,
                                 .store_copy = cm_json_str_or(reply, "copy", ""),
                                 .sealed_identity = cm_json_str_or(reply, "sealed", ""),
                                 .recovery = cm_json_str_or(reply, "recovery", ""),
                                 .about = cm_json_obj(reply, "about")};
    if (backup_write(&parts, path, &err) != 0)
        status = cli_error(cli, &err);
    (void)unlink(parts.store_copy);
    cm_err_fini(&err);
    return status;
}

/* A server that runs has the store's lock; the lock says whom to ask. */
static bool is_running(const struct cli *cli)
{
    struct cs_store *store = NULL;
    int rv = cli_open_store(cli, &store, NULL);
    cs_close(store);
    return rv == CM_EBUSY;
}

static int cmd_backup(struct cli *cli)
{
    struct cli_option o[] = {{.name = NULL}};
    struct cm_err err = CM_ERR_INIT;
    if (cli_options(cli, o) != 0 || cli->argc != 1)
        return CLI_USAGE;
    const char *path = cli->argv[0];
    int status = CLI_OK;
    if (cm_path_exists(path)) {
        cm_fail(&err, CM_ECONFLICT, "%s exists already", path);
        cm_err_hint(&err, "A backup that was interrupted leaves no such file: this one is whole if "
                          "\"certmgr backup check\" says so. Otherwise give another name.");
        status = cli_error(cli, &err);
    } else if (is_running(cli)) {
        status = backup_of_running(cli, path);
    } else if (backup_offline(&cli->config, path, &err) != 0) {
        status = cli_error(cli, &err);
    }
    cm_err_fini(&err);
    if (status == CLI_OK && !cli->json)
        printf("%s holds store, identity and TLS key of server %s; the recovery key opens it.\n",
               path, cli->config.name);
    return status;
}

/* Does this key open it?  Found out before it is needed. */
static int try_key(int fd, const char *path, struct cm_err *err)
{
    struct evp_pkey_st *key = NULL;
    struct kf_backup_in *in = NULL;
    int rv = kf_recovery_load(path, &key, err);
    if (rv == 0 && lseek(fd, 0, SEEK_SET) != 0)
        rv = cm_fail_errno(err, errno, "cannot read the backup again");
    if (rv == 0)
        rv = kf_backup_open(fd, key, &in, err);
    kf_backup_in_free(in);
    kf_recovery_free(key);
    return rv;
}

static int cmd_backup_check(struct cli *cli)
{
    struct cli_option o[] = {{.name = "--recovery-key"}, {.name = NULL}};
    struct cm_err err = CM_ERR_INIT;
    json_t *header = NULL;
    if (cli_options(cli, o) != 0 || cli->argc != 1)
        return CLI_USAGE;
    int fd = open(cli->argv[0], O_RDONLY | O_CLOEXEC);
    int rv = fd >= 0 ? kf_backup_verify(fd, &header, &err)
                     : cm_fail_errno(&err, errno, "cannot read %s", cli->argv[0]);
    const char *key = cli_value(&o[0], NULL);
    if (rv == 0 && key)
        rv = try_key(fd, key, &err);
    if (fd >= 0)
        close(fd);
    int status = rv == 0 ? CLI_OK : cli_error(cli, &err);
    cm_err_fini(&err);
    CM_AUTO_JSON shown = header;
    json_object_del(shown, "sealed_key");
    if (status == CLI_OK && cli->json)
        cli_print_json(shown);
    else if (status == CLI_OK)
        printf("%s is whole: server %s, %lld documents, made at %s.%s\n", cli->argv[0],
               cm_json_str_or(shown, "name", "?"), (long long)cm_json_int(shown, "documents", 0),
               cm_json_str_or(shown, "created_at", "?"), key ? " The key opens it." : "");
    return status;
}

/* ---- restore ---- */

static void tell_restored(const struct cli *cli, const json_t *about)
{
    const json_t *waiting = cm_json_arr(about, "waiting");
    printf("Server %s is restored to its state of %s.\nNext: certmgr serve\n", cli->config.name,
           cm_json_str_or(about, "created_at", "?"));
    if (!cm_json_bool(about, "manager", false)) {
        printf("It is on hold until it has caught up with its manager.\n");
        return;
    }
    printf("It is on hold: no orders, no deployment, no changes, until these servers gave back\n"
           "what they know newer, or you say so (certmgr hold release):");
    for (size_t i = 0; i < json_array_size(waiting); i++)
        printf(" %s", json_string_value(json_array_get(waiting, i)));
    printf("%s\n", json_array_size(waiting) == 0 ? " none is known" : "");
}

static int cmd_restore(struct cli *cli)
{
    struct cli_option o[] = {{.name = "--recovery-key"}, {.name = NULL}};
    struct cm_err err = CM_ERR_INIT;
    json_t *about = NULL;
    if (cli_options(cli, o) != 0 || cli->argc != 1)
        return CLI_USAGE;
    if (o[0].count == 0)
        return cli_usage(cli, "--recovery-key FILE is missing");
    int status = CLI_OK;
    if (backup_restore(&cli->config, cli->argv[0], cli_value(&o[0], ""), &about, &err) != 0)
        status = cli_error(cli, &err);
    cm_err_fini(&err);
    CM_AUTO_JSON shown = about;
    if (status == CLI_OK && cli->json)
        cli_print_json(shown);
    else if (status == CLI_OK)
        tell_restored(cli, shown);
    return status;
}

/* ---- hold ---- */

/* What ends an active hold.  Who is not the manager waits for it (waiting is NULL then). */
static void tell_end_of_hold(const char *state, bool active, const json_t *waiting)
{
    if (!active)
        return;
    if (waiting != NULL)
        printf("One that is gone for good never answers: certmgr hold release\n");
    else if (strcmp(state, "removed") == 0)
        printf(
            "This server was taken out of the fleet meanwhile. The hold ends by itself when it "
            "is back\n(certmgr server add on the manager, then stop it and certmgr join --again) "
            "and has\ncaught up.\n");
    else
        printf("It ends by itself when this server has caught up with its manager (certmgr "
               "replication status).\n");
}

static int cmd_hold(struct cli *cli)
{
    struct cli_option o[] = {{.name = NULL}};
    CM_AUTO_JSON reply = NULL;
    if (cli_options(cli, o) != 0 || cli->argc != 0)
        return CLI_USAGE;
    int status = cli_api(cli, "GET", "/status", NULL, &reply);
    if (status != CLI_OK)
        return status;
    CM_AUTO_JSON none = json_pack("{s:b}", "active", 0);
    const json_t *hold = cm_json_obj(reply, "hold");
    const json_t *waiting = cm_json_arr(hold, "waiting");
    if (cli->json) {
        cli_print_json(hold != NULL ? hold : none);
        return CLI_OK;
    }
    printf("%s\n", cm_json_bool(hold, "active", false)
                       ? "On hold since a restore: no orders, no deployment, no changes."
                       : "Nothing is on hold.");
    bool active = cm_json_bool(hold, "active", false);
    if (cm_json_bool(hold, "keys_replaced", false)) {
        printf(
            "The keys of this server were replaced after this backup was made: no server accepts "
            "it.\nRestore a backup made since then, or promote a standby (certmgr manager promote "
            "--lost).\n");
        return CLI_OK;
    }
    bool copy = cm_json_bool(hold, "older_copy", false);
    if (copy && !active)
        printf(
            "This manager runs from an older copy of its store: a snapshot that was put back, "
            "or a\nmachine that runs twice. Servers give back what it lacks; of two, stop one.\n");
    for (size_t i = 0; i < json_array_size(waiting); i++)
        printf(active ? "  has not answered: %s\n"
               : copy ? "  still gives back: %s\n"
                      : "  released before %s answered; it still gives back when it comes\n",
               json_string_value(json_array_get(waiting, i)));
    tell_end_of_hold(cm_json_str_or(cm_json_obj(reply, "trust"), "state", ""), active, waiting);
    return CLI_OK;
}

static int cmd_hold_release(struct cli *cli)
{
    struct cli_option o[] = {{.name = NULL}};
    CM_AUTO_JSON body = json_object();
    if (cli_options(cli, o) != 0 || cli->argc != 0)
        return CLI_USAGE;
    int status = cli_api(cli, "POST", "/hold/release", body, NULL);
    if (status == CLI_OK && !cli->json)
        printf("The hold is released; work goes on.\n");
    return status;
}

/* ---- recovery key ---- */

/* Makes the file; one that holds a recovery key already (the command was interrupted) is taken. */
static int recovery_file(const char *path, char **ret_spki, struct cm_err *err)
{
    struct kf_secret pem = {0};
    struct evp_pkey_st *key = NULL;
    int rv = 0;
    if (cm_path_exists(path)) {
        if (kf_recovery_load(path, &key, NULL) != 0)
            return cm_fail(err, CM_ECONFLICT, "%s exists already, and is no recovery key", path);
        rv = kf_recovery_public(key, ret_spki, err);
        kf_recovery_free(key);
        return rv;
    }
    rv = kf_recovery_make(&pem, ret_spki, err);
    if (rv == 0)
        rv = cm_file_write(path, pem.data, pem.len, 0600, err);
    kf_secret_fini(&pem);
    return rv;
}

static int cmd_recovery_key_new(struct cli *cli)
{
    struct cli_option o[] = {{.name = NULL}};
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_STR spki = NULL;
    CM_AUTO_JSON reply = NULL;
    if (cli_options(cli, o) != 0 || cli->argc != 1)
        return CLI_USAGE;
    int status = recovery_file(cli->argv[0], &spki, &err) == 0 ? CLI_OK : cli_error(cli, &err);
    cm_err_fini(&err);
    if (status != CLI_OK)
        return status;
    CM_AUTO_JSON body = json_pack("{s:s}", "spki", spki);
    status = cli_api(cli, "PUT", "/recovery-key", body, &reply);
    CM_AUTO_STR done =
        cm_asprintf("%s is the fleet's recovery key from now on: keep it outside of this machine.\n"
                    "Backups made before still need the old one; make a new backup.",
                    cli->argv[0]);
    status = cli_told(cli, status, reply, done);
    if (status == CLI_WAITING || status == CLI_UNREACHABLE)
        fprintf(stderr, "certmgr: keep %s: it may become the fleet's recovery key\n", cli->argv[0]);
    else if (status != CLI_OK)
        fprintf(stderr, "certmgr: %s is not in use; remove it\n", cli->argv[0]);
    return status;
}

const struct cli_command cli_backup_commands[] = {
    {"backup check", "FILE [--recovery-key KEYFILE]",
     "is a backup whole, and does the key open it?", cmd_backup_check},
    {"backup", "FILE", "save store, identity and TLS key, sealed to the recovery key", cmd_backup},
    {"restore", "FILE --recovery-key KEYFILE", "make this server from a backup", cmd_restore},
    {"hold release", "", "end the hold after a restore by hand", cmd_hold_release},
    {"hold", "", "what a restored server waits for", cmd_hold},
    {"recovery-key new", "FILE", "another recovery key for the fleet", cmd_recovery_key_new},
    {0},
};
