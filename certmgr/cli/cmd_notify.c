/* notify test. */
#include "base/core/json.h"
#include "certmgr/cli/cli_internal.h"

#include <stdio.h>

static void tell_channel(const json_t *row)
{
    const json_t *error = cm_json_obj(row, "error");
    size_t i = 0;
    json_t *cause = NULL;
    if (error == NULL) {
        printf("%s to %s: sent\n", cm_json_str_or(row, "channel", ""),
               cm_json_str_or(row, "to", ""));
        return;
    }
    fprintf(stderr, "certmgr: %s to %s: %s\n", cm_json_str_or(row, "channel", ""),
            cm_json_str_or(row, "to", ""), cm_json_str_or(error, "what", ""));
    json_array_foreach(cm_json_arr(error, "causes"), i, cause)
    {
        fprintf(stderr, "  because: %s\n", json_string_value(cause));
    }
    if (cm_json_str(error, "hint") != NULL)
        fprintf(stderr, "  %s\n", cm_json_str(error, "hint"));
}

static int cmd_notify_test(struct cli *cli)
{
    struct cli_option options[] = {{.name = NULL}};
    CM_AUTO_JSON reply = NULL;
    CM_AUTO_JSON body = json_object();
    if (cli_options(cli, options) != 0 || cli->argc != 0)
        return CLI_USAGE;
    int status = cli_api(cli, "POST", "/notify/test", body, &reply);
    if (status != CLI_OK)
        return status;
    size_t i = 0;
    json_t *row = NULL;
    if (cli->json)
        cli_print_json(reply);
    json_array_foreach(cm_json_arr(reply, "channels"), i, row)
    {
        if (!cli->json)
            tell_channel(row);
    }
    return cm_json_bool(reply, "ok", false) ? CLI_OK : CLI_FAILED;
}

const struct cli_command cli_notify_commands[] = {
    {"notify test", "", "send a test notice by mail and webhook", cmd_notify_test},
    {0},
};
