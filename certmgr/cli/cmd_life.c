/* revoke, archive, delete. */
#include "base/core/json.h"
#include "base/core/mem.h"
#include "certmgr/acme/presets.h"
#include "certmgr/cli/cli_internal.h"

#include <stdio.h>
#include <string.h>

static int send(struct cli *cli, const char *method, const char *ulid, const char *tail,
                const json_t *body)
{
    if (strspn(ulid, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") != strlen(ulid) || strlen(ulid) != 26)
        return cli_usage(cli, "a credential is named by its 26-character id; see certmgr list");
    CM_AUTO_STR path = cm_asprintf("/credentials/%s%s", ulid, tail);
    return cli_api(cli, method, path, body, NULL);
}

static int cmd_revoke(struct cli *cli)
{
    struct cli_option options[] = {
        {.name = "--reason"}, {.name = "--key", .flag = true}, {.name = "--after"}, {.name = NULL}};
    if (cli_options(cli, options) != 0 || cli->argc != 1)
        return CLI_USAGE;
    int reason = acme_reason_parse(cli_value(&options[0], "0"));
    if (reason < 0)
        return cli_usage(cli, "--reason takes a number or a name of RFC 5280, such as "
                              "keyCompromise, superseded or cessationOfOperation");
    CM_AUTO_JSON body = json_object();
    cm_json_set_int(body, "reason", reason);
    cm_json_set_bool(body, "key", options[1].count > 0);
    cm_json_set_str(body, "after", cli_value(&options[2], "keep"));
    int status = send(cli, "POST", cli->argv[0], "/revoke", body);
    if (status == CLI_OK && !cli->json)
        printf("%s: revocation asked for; see certmgr log %s\n", cli->argv[0], cli->argv[0]);
    return status;
}

/* One by one, as certmgr renew: the first failure does not stop the others. */
static int each(struct cli *cli, const char *method, const char *tail, const char *told)
{
    struct cli_option options[] = {{.name = NULL}};
    int worst = CLI_OK;
    if (cli_options(cli, options) != 0 || cli->argc < 1)
        return CLI_USAGE;
    CM_AUTO_JSON body = strcmp(method, "POST") == 0 ? json_object() : NULL;
    for (int i = 0; i < cli->argc; i++) {
        int status = send(cli, method, cli->argv[i], tail, body);
        if (status == CLI_OK && !cli->json)
            printf("%s: %s\n", cli->argv[i], told);
        worst = status == CLI_OK ? worst : status;
    }
    return worst;
}

static int cmd_archive(struct cli *cli)
{
    return each(cli, "POST", "/archive", "archive asked for");
}

static int cmd_delete(struct cli *cli)
{
    return each(cli, "DELETE", "", "removal asked for; servers keep the files that they have");
}

const struct cli_command cli_life_commands[] = {
    {"revoke", "ID [--reason R] [--key] [--after A]", "have the CA revoke its certificate",
     cmd_revoke},
    {"archive", "ID…", "no more renewals; shown until 30 days after its end", cmd_archive},
    {"delete", "ID…", "remove credentials; servers keep their files", cmd_delete},
    {0},
};
