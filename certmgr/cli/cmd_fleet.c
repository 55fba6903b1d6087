/* init, join, server add|list|remove, setup-link. */
#include "base/core/file.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "base/net/url.h"
#include "certmgr/cli/cli_internal.h"
#include "certmgr/fleet/bootstrap.h"
#include "certstore/store.h"
#include "keyfile/backup.h"
#include "web-ui/web.h"

#include <stdio.h>
#include <string.h>

/* Prints the one-time link of the first administrator; the store is not in use (no server runs).
 * pem: the recovery key that was just made and lies in no file, or NULL. */
static int first_link(struct cli *cli, const char *pem, struct cm_err *err)
{
    struct cs_store *store = NULL;
    CM_AUTO_STR token = NULL;
    int rv = cli_open_store(cli, &store, err);
    if (rv == 0)
        rv = web_setup_token(store, &token, err);
    if (rv == 0)
        rv = cs_commit(store, err);
    cs_close(store);
    if (rv != 0)
        return rv;
    CM_AUTO_STR link = cm_asprintf("https://%s:%d/setup?token=%s", cli->config.ui_host,
                                   cli->config.ui_port, token);
    if (cli->json) {
        CM_AUTO_JSON v = json_pack("{s:s, s:s}", "server", cli->config.name, "setup_link", link);
        cm_json_set_str(v, "recovery_key", pem);
        cli_print_json(v);
        return 0;
    }
    printf("Server %s is the manager of a new fleet; state in %s.\n"
           "Next:\n"
           "  1. certmgr serve\n"
           "  2. make the first administrator within 24 hours, at\n     %s\n"
           "  3. on this server: certmgr server add NAME; on the other: certmgr join TOKEN\n",
           cli->config.name, cli->config.state_dir, link);
    if (pem != NULL)
        printf("\nThe recovery key opens every backup of this fleet. It is shown once and kept\n"
               "nowhere: write it to a place outside of this machine.\n\n%s",
               pem);
    return 0;
}

/* The fleet's recovery key: of a file (made there when missing), or made to be shown once. */
static int recovery_key(const char *file, char **ret_spki, struct kf_secret *ret_pem,
                        struct cm_err *err)
{
    struct evp_pkey_st *key = NULL;
    int rv = 0;
    if (file == NULL || !cm_path_exists(file)) {
        rv = kf_recovery_make(ret_pem, ret_spki, err);
        if (rv == 0 && file != NULL)
            rv = cm_file_write(file, ret_pem->data, ret_pem->len, 0600, err);
        return rv;
    }
    rv = kf_recovery_load(file, &key, err);
    if (rv == 0)
        rv = kf_recovery_public(key, ret_spki, err);
    kf_recovery_free(key);
    return rv;
}

static int cmd_init(struct cli *cli)
{
    struct cli_option options[] = {{.name = "--recovery-key"}, {.name = NULL}};
    struct cm_err err = CM_ERR_INIT;
    struct kf_secret pem = {0};
    CM_AUTO_STR spki = NULL;
    if (cli_options(cli, options) != 0 || cli->argc != 0)
        return CLI_USAGE;
    const char *file = cli_value(&options[0], NULL);
    int rv = recovery_key(file, &spki, &pem, &err);
    if (rv == 0)
        rv = fleet_init(&cli->config, spki, &err);
    if (rv == 0)
        rv = first_link(cli, file == NULL ? pem.data : NULL, &err);
    int status = rv == 0 ? CLI_OK : cli_error(cli, &err);
    kf_secret_fini(&pem);
    cm_err_fini(&err);
    return status;
}

static int cmd_join(struct cli *cli)
{
    struct cli_option options[] = {{.name = "--again", .flag = true}, {.name = NULL}};
    bool back = false;
    struct cm_err err = CM_ERR_INIT;
    char line[8192] = "";
    if (cli_options(cli, options) != 0 || cli->argc > 1)
        return CLI_USAGE;
    /* "-" or nothing: from standard input, so that the secret stays out of the argument list */
    if (cli->argc == 0 || strcmp(cli->argv[0], "-") == 0) {
        if (fgets(line, sizeof(line), stdin) == NULL)
            return cli_usage(cli, "no token on standard input");
        line[strcspn(line, "\r\n")] = '\0';
    } else if (cm_strcpy(line, sizeof(line), cli->argv[0]) != 0) {
        return cli_usage(cli, "this is not a join token: too long");
    }
    int status = CLI_OK;
    if (fleet_join(&cli->config, line, options[0].count > 0, &back, &err) != 0)
        status = cli_error(cli, &err);
    else if (!cli->json)
        printf("Server %s %s. Next: certmgr serve\n", cli->config.name,
               back ? "is back in the fleet, with its keys" : "has joined the fleet");
    cm_wipe(line, sizeof(line));
    cm_err_fini(&err);
    return status;
}

static int cmd_server_add(struct cli *cli)
{
    struct cli_option options[] = {
        {.name = "--role"}, {.name = "--url"}, {.name = "--ui-url"}, {.name = NULL}};
    CM_AUTO_JSON reply = NULL;
    if (cli_options(cli, options) != 0 || cli->argc != 1)
        return CLI_USAGE;
    CM_AUTO_JSON body = json_pack("{s:s}", "name", cli->argv[0]);
    const char *role = cli_value(&options[0], "server");
    if (body != NULL && strcmp(role, "server") != 0) {
        CM_AUTO_STR url =
            cm_asprintf("https://%.63s:%d", cli->argv[0], cli->config.replication_port);
        CM_AUTO_STR ui_url = cm_asprintf("https://%.63s:%d", cli->argv[0], cli->config.ui_port);
        cm_json_set_str(body, "role", role);
        cm_json_set_str(body, "url", cli_value(&options[1], url));
        cm_json_set_str(body, "ui_url", cli_value(&options[2], ui_url));
    }
    int status = body != NULL ? cli_api(cli, "POST", "/servers", body, &reply)
                              : cli_usage(cli, "the name is not UTF-8");
    if (status != CLI_OK)
        return status;
    if (cli->json) {
        cli_print_json(reply);
        return CLI_OK;
    }
    fprintf(stderr, "On server %s, before %s, run: certmgr join TOKEN\n", cli->argv[0],
            cm_json_str_or(reply, "expires_at", "it expires"));
    printf("%s\n", cm_json_str_or(reply, "token", ""));
    return CLI_OK;
}

static int cmd_server_list(struct cli *cli)
{
    CM_AUTO_JSON reply = NULL;
    int status = cli_get(cli, "/servers", &reply);
    if (!reply)
        return status;
    size_t i = 0;
    json_t *server = NULL;
    printf("%-24s %-10s %-20s %s\n", "NAME", "STATE", "ROLES", "URL");
    json_array_foreach(cm_json_arr(reply, "servers"), i, server)
    {
        const json_t *roles = cm_json_arr(server, "roles");
        char text[64] = "";
        size_t used = 0;
        for (size_t r = 0; r < json_array_size(roles) && used < sizeof(text); r++)
            used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s", r > 0 ? "," : "",
                                     json_string_value(json_array_get(roles, r)));
        printf("%-24s %-10s %-20s %s\n", cm_json_str_or(server, "name", ""),
               cm_json_str_or(server, "state", ""), text, cm_json_str_or(server, "url", ""));
    }
    return CLI_OK;
}

static int cmd_server_remove(struct cli *cli)
{
    struct cli_option options[] = {{.name = NULL}};
    struct cm_buf path;
    if (cli_options(cli, options) != 0 || cli->argc != 1)
        return CLI_USAGE;
    cm_buf_init(&path, 1024);
    cm_buf_puts(&path, "/servers/");
    url_encode(&path, cli->argv[0]);
    CM_AUTO_JSON reply = NULL;
    int status = cli_api(cli, "DELETE", cm_buf_str(&path), NULL, &reply);
    cm_buf_fini(&path);
    CM_AUTO_STR done =
        cm_asprintf("Server %s is removed. What it could open gets another key at its "
                    "next renewal; at once: certmgr renew --new-key ID "
                    "(certmgr list --view server)",
                    cli->argv[0]);
    return cli_told(cli, status, reply, done);
}

static int cmd_setup_link(struct cli *cli)
{
    struct cli_option options[] = {{.name = NULL}};
    CM_AUTO_JSON reply = NULL;
    if (cli_options(cli, options) != 0 || cli->argc != 0)
        return CLI_USAGE;
    CM_AUTO_JSON body = json_object();
    int status = cli_api(cli, "POST", "/setup-links", body, &reply);
    if (status == CLI_OK && cli->json)
        cli_print_json(reply);
    else if (status == CLI_OK)
        printf("%s\n", cm_json_str_or(reply, "url", ""));
    return status;
}

const struct cli_command cli_fleet_commands[] = {
    {"init", "[--recovery-key FILE]", "make this server the manager of a new fleet", cmd_init},
    {"join", "[--again] [TOKEN|-]", "join a fleet (token from \"server add\"; - = stdin)",
     cmd_join},
    {"server add", "NAME [--role standby]", "invite a server: prints its join token",
     cmd_server_add},
    {"server list", "", "the fleet", cmd_server_list},
    {"server remove", "NAME", "take a server out of the fleet", cmd_server_remove},
    {"setup-link", "", "new one-time link for an administrator", cmd_setup_link},
    {0},
};
