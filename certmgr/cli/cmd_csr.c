/* csr show, csr new, csr upload: certificates that people bring. */
#include "base/core/file.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "certmgr/cli/cli_internal.h"

#include <stdio.h>
#include <string.h>

#define TEXT_MAX (128u << 10) /* bytes of a certificate with its chain */

/* The path of a credential's part; NULL = no credential's name (told). */
static char *path_of(struct cli *cli, const char *ulid, const char *tail)
{
    if (strspn(ulid, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") != strlen(ulid) || strlen(ulid) != 26) {
        cli_usage(cli, "a credential is named by its 26-character id; see certmgr list");
        return NULL;
    }
    return cm_asprintf("/credentials/%s/%s", ulid, tail);
}

static int cmd_csr_show(struct cli *cli)
{
    struct cli_option options[] = {{.name = NULL}};
    CM_AUTO_JSON reply = NULL;
    if (cli_options(cli, options) != 0 || cli->argc != 1)
        return CLI_USAGE;
    CM_AUTO_STR path = path_of(cli, cli->argv[0], "csr");
    int status = path ? cli_api(cli, "GET", path, NULL, &reply) : CLI_USAGE;
    if (status == CLI_OK && cli->json)
        cli_print_json(reply);
    else if (status == CLI_OK)
        fputs(cm_json_str_or(reply, "csr", ""), stdout);
    return status;
}

static int cmd_csr_new(struct cli *cli)
{
    struct cli_option options[] = {{.name = "--new-key", .flag = true}, {.name = NULL}};
    if (cli_options(cli, options) != 0 || cli->argc != 1)
        return CLI_USAGE;
    CM_AUTO_STR path = path_of(cli, cli->argv[0], "renew");
    CM_AUTO_JSON body = json_pack("{s:b}", "new_key", options[0].count > 0);
    int status = path ? cli_api(cli, "POST", path, body, NULL) : CLI_USAGE;
    if (status == CLI_OK && !cli->json)
        printf("%s: a new CSR was asked for; see certmgr csr show %s\n", cli->argv[0],
               cli->argv[0]);
    return status;
}

/* The certificate with its chain, from a file or from standard input ("-"). */
static int read_text(struct cli *cli, const char *path, char **ret)
{
    struct cm_err err = CM_ERR_INIT;
    size_t len = 0;
    if (strcmp(path, "-") == 0) {
        *ret = cm_calloc(1, TEXT_MAX + 2);
        len = fread(*ret, 1, TEXT_MAX + 1, stdin);
    } else if (cm_file_read(path, TEXT_MAX, ret, &len, &err) != 0) {
        int status = cli_error(cli, &err);
        cm_err_fini(&err);
        return status;
    }
    if (len <= TEXT_MAX && strlen(*ret) == len)
        return CLI_OK;
    return cli_usage(cli, "the certificate is too long or not text (PEM)");
}

static int cmd_csr_upload(struct cli *cli)
{
    struct cli_option options[] = {{.name = NULL}};
    CM_AUTO_JSON reply = NULL;
    CM_AUTO_STR text = NULL;
    if (cli_options(cli, options) != 0 || cli->argc != 2)
        return CLI_USAGE;
    CM_AUTO_STR path = path_of(cli, cli->argv[0], "certificate");
    int status = path ? read_text(cli, cli->argv[1], &text) : CLI_USAGE;
    if (status != CLI_OK)
        return status;
    CM_AUTO_JSON body = json_pack("{s:s}", "certificate", text);
    if (!body)
        return cli_usage(cli, "the certificate is not text (PEM)");
    status = cli_api(cli, "POST", path, body, &reply);
    if (status == CLI_OK && cli->json)
        cli_print_json(reply);
    if (status != CLI_OK || cli->json)
        return status;
    cli_print_notes(reply);
    printf("%s: the certificate was handed in; see certmgr show %s\n", cli->argv[0], cli->argv[0]);
    return CLI_OK;
}

const struct cli_command cli_csr_commands[] = {
    {"csr show", "ID", "the CSR that waits for its certificate, as PEM", cmd_csr_show},
    {"csr new", "ID [--new-key]", "make another CSR; what serves stays", cmd_csr_new},
    {"csr upload", "ID FILE", "hand in the certificate with its chain (PEM; \"-\" = stdin)",
     cmd_csr_upload},
    {0},
};
