/* account add and what is done with an account at its CA, root add, settings, status. */
#include "base/core/file.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "base/core/num.h"
#include "base/net/url.h"
#include "certmgr/cli/cli_internal.h"

#include <stdio.h>
#include <string.h>

#define PEM_FILE_MAX (256u << 10)
#define SECRET_MAX   4096

static int read_pem(struct cli *cli, const char *path, char **ret)
{
    struct cm_err err = CM_ERR_INIT;
    int status = CLI_OK;
    if (cm_file_read(path, PEM_FILE_MAX, ret, NULL, &err) != 0)
        status = cli_error(cli, &err);
    cm_err_fini(&err);
    return status;
}

static int put(struct cli *cli, const char *collection, const char *name, const json_t *body)
{
    struct cm_buf path;
    CM_AUTO_JSON reply = NULL;
    cm_buf_init(&path, 4096);
    cm_buf_puts(&path, collection);
    url_encode(&path, name);
    int status = cli_api(cli, "PUT", cm_buf_str(&path), body, &reply);
    cm_buf_fini(&path);
    if (status == CLI_OK && cli->json && reply != NULL)
        cli_print_json(reply);
    return status;
}

/* A secret comes from a file or from standard input ("-"), never from the command line, which
 * everybody on the machine can read. */
static int read_secret(struct cli *cli, const char *path, char **ret)
{
    char text[SECRET_MAX + 2];
    size_t len = 0;
    if (strcmp(path, "-") != 0)
        return read_pem(cli, path, ret);
    len = fread(text, 1, sizeof(text) - 1, stdin);
    text[len] = '\0';
    *ret = len <= SECRET_MAX && strlen(text) == len ? cm_strdup(text) : NULL;
    cm_wipe(text, sizeof(text));
    return *ret ? CLI_OK : cli_usage(cli, "standard input is too long or not text");
}

static int cmd_account_add(struct cli *cli)
{
    struct cli_option o[] = {{.name = "--directory"},
                             {.name = "--contact"},
                             {.name = "--agree-tos", .flag = true},
                             {.name = "--ca-bundle"},
                             {.name = "--no-self-check", .flag = true},
                             {.name = "--http-port"},
                             {.name = "--eab-kid"},
                             {.name = "--eab-hmac-file"},
                             {.name = "--challenge"},
                             {.name = "--tls-port"},
                             {.name = "--activation"},
                             {.name = "--activation-seconds"},
                             {.name = "--staging"},
                             {.name = "--eab-alg"},
                             {.name = NULL}};
    CM_AUTO_STR pem = NULL;
    char *hmac = NULL;
    int64_t port = 80, tls_port = 443, activation_s = 0;
    if (cli_options(cli, o) != 0 || cli->argc != 1)
        return CLI_USAGE;
    if (o[0].count == 0)
        return cli_usage(cli, "--directory URL is missing");
    if (cm_num_i64(cli_value(&o[5], "80"), 1, 65535, &port) != 0)
        return cli_usage(cli, "--http-port takes 1 to 65535");
    if (cm_num_i64(cli_value(&o[9], "443"), 1, 65535, &tls_port) != 0)
        return cli_usage(cli, "--tls-port takes 1 to 65535");
    if (cm_num_i64(cli_value(&o[11], "0"), 0, 86400, &activation_s) != 0)
        return cli_usage(cli, "--activation-seconds takes 0 to 86400");
    if (o[3].count > 0 && read_pem(cli, cli_value(&o[3], ""), &pem) != CLI_OK)
        return CLI_FAILED;
    if (o[7].count > 0 && read_secret(cli, cli_value(&o[7], ""), &hmac) != CLI_OK)
        return CLI_FAILED;
    CM_AUTO_JSON contacts = json_array();
    for (size_t i = 0; i < o[1].count; i++)
        json_array_append_new(contacts, json_string(o[1].value[i]));
    CM_AUTO_JSON body = json_pack("{s:s, s:O, s:b, s:b, s:I}", "directory", cli_value(&o[0], ""),
                                  "contacts", contacts, "terms_agreed", o[2].count > 0,
                                  "self_check", o[4].count == 0, "http_port", (json_int_t)port);
    if (o[9].count > 0)
        cm_json_set_int(body, "tls_port", tls_port);
    cm_json_set_str(body, "challenge", cli_value(&o[8], NULL));
    cm_json_set_str(body, "activation", cli_value(&o[10], NULL));
    if (o[11].count > 0)
        cm_json_set_int(body, "activation_s", activation_s);
    cm_json_set_str(body, "staging", cli_value(&o[12], NULL));
    cm_json_set_str(body, "ca_pem", pem);
    cm_json_set_str(body, "eab_kid", cli_value(&o[6], NULL));
    cm_json_set_str(body, "eab_hmac", hmac);
    cm_json_set_str(body, "eab_alg", cli_value(&o[13], NULL));
    if (hmac)
        cm_free_secret(hmac, strlen(hmac));
    int status = put(cli, "/accounts/", cli->argv[0], body);
    if (status == CLI_OK && !cli->json)
        printf("Account %s is ready; it is registered at the CA with the first order.\n",
               cli->argv[0]);
    return status;
}

static int account_act(struct cli *cli, const char *act)
{
    struct cli_option o[] = {{.name = NULL}};
    if (cli_options(cli, o) != 0 || cli->argc != 1)
        return CLI_USAGE;
    const char *name = cli->argv[0];
    if (cli_account_name(cli, name) != CLI_OK)
        return CLI_USAGE;
    CM_AUTO_STR path = cm_asprintf("/accounts/%s%s", name, act ? "/act" : "");
    CM_AUTO_JSON body = act ? json_pack("{s:s}", "act", act) : NULL;
    int status = cli_api(cli, act ? "POST" : "DELETE", path, body, NULL);
    if (status == CLI_OK && !cli->json)
        printf("%s: done\n", name);
    return status;
}

static int cmd_account_rebind(struct cli *cli)
{
    struct cli_option o[] = {
        {.name = "--eab-kid"}, {.name = "--eab-hmac-file"}, {.name = "--eab-alg"}, {.name = NULL}};
    char *hmac = NULL;
    if (cli_options(cli, o) != 0 || cli->argc != 1)
        return CLI_USAGE;
    const char *name = cli->argv[0];
    if (cli_account_name(cli, name) != CLI_OK)
        return CLI_USAGE;
    if (o[0].count == 0 || o[1].count == 0)
        return cli_usage(cli, "--eab-kid and --eab-hmac-file of the other CA account are missing");
    if (read_secret(cli, cli_value(&o[1], ""), &hmac) != CLI_OK)
        return CLI_FAILED;
    CM_AUTO_STR path = cm_asprintf("/accounts/%s/act", name);
    CM_AUTO_JSON body = json_pack("{s:s, s:s, s:s}", "act", "rebind", "eab_kid",
                                  cli_value(&o[0], ""), "eab_hmac", hmac);
    cm_json_set_str(body, "eab_alg", cli_value(&o[2], NULL));
    cm_free_secret(hmac, strlen(hmac));
    int status = cli_api(cli, "POST", path, body, NULL);
    if (status == CLI_OK && !cli->json)
        printf("%s: has another key; it is registered with the binding at the next order\n", name);
    return status;
}

static int cmd_account_agree(struct cli *cli)
{
    return account_act(cli, "agree");
}

static int cmd_account_update(struct cli *cli)
{
    return account_act(cli, "update");
}

static int cmd_account_find(struct cli *cli)
{
    return account_act(cli, "find");
}

static int cmd_account_roll_over(struct cli *cli)
{
    return account_act(cli, "roll-over");
}

static int cmd_account_deactivate(struct cli *cli)
{
    return account_act(cli, "deactivate");
}

static int cmd_account_delete(struct cli *cli)
{
    return account_act(cli, NULL);
}

static int cmd_root_add(struct cli *cli)
{
    struct cli_option o[] = {{.name = NULL}};
    CM_AUTO_STR pem = NULL;
    CM_AUTO_JSON reply = NULL;
    if (cli_options(cli, o) != 0 || cli->argc != 1)
        return CLI_USAGE;
    if (read_pem(cli, cli->argv[0], &pem) != CLI_OK)
        return CLI_FAILED;
    CM_AUTO_JSON body = json_pack("{s:s}", "pem", pem);
    int status = body != NULL ? cli_api(cli, "POST", "/roots", body, &reply)
                              : cli_usage(cli, "the file is not PEM text");
    if (status == CLI_OK && cli->json && reply != NULL)
        cli_print_json(reply);
    else if (status == CLI_OK)
        printf("Trusted root added.\n");
    return status;
}

static int cmd_settings(struct cli *cli)
{
    struct cli_option o[] = {{.name = "--account"},
                             {.name = "--key-type"},
                             {.name = "--renew-days"},
                             {.name = "--server", .short_name = "-s"},
                             {.name = "--keyring-file"},
                             {.name = "--staging-first"},
                             {.name = NULL}};
    CM_AUTO_JSON reply = NULL;
    CM_AUTO_JSON body = json_object();
    int64_t days = 0;
    if (cli_options(cli, o) != 0 || cli->argc != 0)
        return CLI_USAGE;
    if (o[2].count > 0 && cm_num_i64(cli_value(&o[2], ""), 1, 365, &days) != 0)
        return cli_usage(cli, "--renew-days takes 1 to 365");
    if (o[5].count > 0 && strcmp(cli_value(&o[5], ""), "yes") != 0 &&
        strcmp(cli_value(&o[5], ""), "no") != 0)
        return cli_usage(cli, "--staging-first takes yes or no");
    cm_json_set_str(body, "account", cli_value(&o[0], NULL));
    cm_json_set_str(body, "key_type", cli_value(&o[1], NULL));
    cm_json_set_str(body, "keyring_file", cli_value(&o[4], NULL));
    if (days > 0)
        cm_json_set_int(body, "renew_days", days);
    if (o[5].count > 0)
        cm_json_set_bool(body, "staging_first", strcmp(cli_value(&o[5], ""), "yes") == 0);
    if (o[3].count > 0) {
        json_t *servers = json_array();
        for (size_t i = 0; i < o[3].count; i++)
            json_array_append_new(servers, json_string(o[3].value[i]));
        cm_json_set(body, "servers", servers);
    }
    bool change = json_object_size(body) > 0;
    int status = cli_api(cli, change ? "PUT" : "GET", "/settings", change ? body : NULL, &reply);
    if (status != CLI_OK || reply == NULL)
        return status;
    if (cli->json) {
        cli_print_json(reply);
        return CLI_OK;
    }
    cli_clean(reply);
    cli_members(reply);
    return CLI_OK;
}

const struct cli_command cli_admin_commands[] = {
    {"account add", "NAME --directory URL …", "ACME account", cmd_account_add},
    {"account update", "NAME", "tell the CA its contacts", cmd_account_update},
    {"account find", "NAME", "look it up at the CA by its key", cmd_account_find},
    {"account roll-over", "NAME", "give it another key", cmd_account_roll_over},
    {"account rebind", "NAME --eab-kid KID …", "bind it to another CA account", cmd_account_rebind},
    {"account agree", "NAME", "to the CA's new terms", cmd_account_agree},
    {"account deactivate", "NAME", "for good, at the CA", cmd_account_deactivate},
    {"account delete", "NAME", "remove it here", cmd_account_delete},
    {"root add", "FILE", "trusted root certificate (PEM)", cmd_root_add},
    {"settings", "[--account NAME …]", "show or change the form's defaults", cmd_settings},
    {0},
};
