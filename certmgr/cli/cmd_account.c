/* account import, account export. */
#include "base/core/file.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "base/core/num.h"
#include "certmgr/cli/cli_internal.h"

#include <stdio.h>
#include <string.h>

#define FILE_MAX_BYTES (256u << 10)
#define NAME_CHARS     "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

int cli_account_name(const struct cli *cli, const char *name)
{
    if (*name != '\0' && name[strspn(name, NAME_CHARS)] == '\0')
        return CLI_OK;
    return cli_usage(cli, "an account name has letters, digits, dots, hyphens, underscores");
}

static int read_text(struct cli *cli, const char *path, char **ret)
{
    struct cm_err err = CM_ERR_INIT;
    char *text = NULL;
    size_t len = 0;
    int status = CLI_OK;
    if (cm_file_read(path, FILE_MAX_BYTES, &text, &len, &err) != 0)
        status = cli_error(cli, &err);
    else if (strlen(text) != len)
        status = cli_usage(cli, "the file is not text");
    else
        *ret = cm_strdup(text);
    if (text)
        cm_free_secret(text, len);
    cm_err_fini(&err);
    return status;
}

/* Without the end of its last line. */
static int read_passphrase(struct cli *cli, const struct cli_option *o, char **ret)
{
    if (o->count == 0)
        return CLI_OK;
    int status = read_text(cli, o->value[0], ret);
    if (status == CLI_OK)
        (*ret)[strcspn(*ret, "\r\n")] = '\0';
    return status;
}

static void wipe(char *text)
{
    if (text)
        cm_free_secret(text, strlen(text));
}

/* Our own file brings what else belongs to the account; all else is the key itself. */
static json_t *body_of(const char *text)
{
    static const char *const members[] = {"directory", "ca_pem"};
    json_t *body = json_object(), *file = NULL;
    (void)cm_json_parse_lax(text, strlen(text), &file, NULL);
    const char *key = cm_json_str(file, "key_pem");
    for (size_t i = 0; key && i < sizeof(members) / sizeof(members[0]); i++)
        cm_json_set_str(body, members[i], cm_json_str(file, members[i]));
    cm_json_set_str(body, "key", key ? key : text);
    json_decref(file);
    return body;
}

static int cmd_import(struct cli *cli)
{
    struct cli_option o[] = {{.name = "--directory"}, {.name = "--passphrase-file"},
                             {.name = "--ca-bundle"}, {.name = "--agree-tos", .flag = true},
                             {.name = "--http-port"}, {.name = "--contact"},
                             {.name = NULL}};
    char *text = NULL, *passphrase = NULL, *bundle = NULL;
    int64_t port = 80;
    if (cli_options(cli, o) != 0 || cli->argc != 2)
        return CLI_USAGE;
    const char *name = cli->argv[0];
    if (cli_account_name(cli, name) != CLI_OK)
        return CLI_USAGE;
    if (o[4].count > 0 && cm_num_i64(o[4].value[0], 1, 65535, &port) != 0)
        return cli_usage(cli, "--http-port takes 1 to 65535");
    int status = read_text(cli, cli->argv[1], &text);
    if (status == CLI_OK)
        status = read_passphrase(cli, &o[1], &passphrase);
    if (status == CLI_OK && o[2].count > 0)
        status = read_text(cli, o[2].value[0], &bundle);
    if (status == CLI_OK) {
        CM_AUTO_JSON body = body_of(text);
        CM_AUTO_STR path = cm_asprintf("/accounts/%s/import", name);
        if (o[0].count > 0)
            cm_json_set_str(body, "directory", o[0].value[0]);
        if (bundle)
            cm_json_set_str(body, "ca_pem", bundle);
        cm_json_set_str(body, "passphrase", passphrase);
        cm_json_set_bool(body, "terms_agreed", o[3].count > 0);
        cm_json_set_int(body, "http_port", port);
        for (size_t i = 0; i < o[5].count; i++) {
            if (i == 0)
                cm_json_set(body, "contacts", json_array());
            json_array_append_new(cm_json_arr(body, "contacts"), json_string(o[5].value[i]));
        }
        status = cm_json_str(body, "directory")
                     ? cli_api(cli, "POST", path, body, NULL)
                     : cli_usage(cli, "--directory URL of the CA is missing");
    }
    if (status == CLI_OK && !cli->json)
        printf("Account %s is imported; the CA knows it by this key.\n", name);
    wipe(text);
    wipe(passphrase);
    wipe(bundle);
    return status;
}

static int cmd_export(struct cli *cli)
{
    struct cli_option o[] = {
        {.name = "--passphrase-file"}, {.name = "--recovery", .flag = true}, {.name = NULL}};
    char *passphrase = NULL;
    CM_AUTO_JSON reply = NULL;
    if (cli_options(cli, o) != 0 || cli->argc != 1)
        return CLI_USAGE;
    const char *name = cli->argv[0];
    if (cli_account_name(cli, name) != CLI_OK)
        return CLI_USAGE;
    if ((o[0].count > 0) == (o[1].count > 0))
        return cli_usage(cli, "say --passphrase-file FILE, or --recovery");
    int status = read_passphrase(cli, &o[0], &passphrase);
    if (status == CLI_OK) {
        CM_AUTO_JSON body = json_object();
        CM_AUTO_STR path = cm_asprintf("/accounts/%s/export", name);
        cm_json_set_str(body, "passphrase", passphrase);
        status = cli_api(cli, "POST", path, body, &reply);
    }
    wipe(passphrase);
    if (status == CLI_OK) {
        CM_AUTO_STR text = cm_json_dump(reply, NULL);
        printf("%s\n", text);
    }
    return status;
}

const struct cli_command cli_account_commands[] = {
    {"account import", "NAME FILE --directory URL [--passphrase-file F]",
     "an account that another program has registered (PEM, JWK, or an export)", cmd_import},
    {"account export", "NAME --passphrase-file F | --recovery", "take an account elsewhere",
     cmd_export},
    {0},
};
