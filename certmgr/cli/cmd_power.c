/* manager promote, server role, trust …: who has power in the fleet. */
#include "base/core/file.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "base/core/num.h"
#include "base/net/url.h"
#include "certmgr/cli/cli_internal.h"

#include <stdio.h>
#include <string.h>

#define PROPOSAL_MAX (4u << 20)

/* done: what is said when the change is in force.  A proposal is no failure, but it is not done:
 * its own status tells scripts so. */
int cli_told(const struct cli *cli, int status, const json_t *reply, const char *done)
{
    const char *waiting = cm_json_str(reply, "waiting");
    if (status != CLI_OK)
        return status;
    if (waiting == NULL) {
        if (!cli->json)
            printf("%s\n", done);
        return CLI_OK;
    }
    if (cli->json)
        cli_print_json(reply);
    else
        printf("%s\n%s\n", waiting, cm_json_str_or(reply, "hint", ""));
    return CLI_WAITING;
}

static int cmd_server_role(struct cli *cli)
{
    struct cli_option options[] = {{.name = "--url"}, {.name = "--ui-url"}, {.name = NULL}};
    struct cm_buf path;
    CM_AUTO_JSON reply = NULL;
    if (cli_options(cli, options) != 0 || cli->argc != 2)
        return CLI_USAGE;
    CM_AUTO_JSON body = json_object();
    bool standby = strcmp(cli->argv[1], "standby") == 0;
    CM_AUTO_STR url = cm_asprintf("https://%.63s:%d", cli->argv[0], cli->config.replication_port);
    CM_AUTO_STR ui_url = cm_asprintf("https://%.63s:%d", cli->argv[0], cli->config.ui_port);
    cm_json_set_str(body, "role", cli->argv[1]);
    cm_json_set_str(body, "url", cli_value(&options[0], standby ? url : NULL));
    cm_json_set_str(body, "ui_url", cli_value(&options[1], standby ? ui_url : NULL));
    cm_buf_init(&path, 1024);
    cm_buf_puts(&path, "/servers/");
    url_encode(&path, cli->argv[0]);
    int status = cli_api(cli, "PATCH", cm_buf_str(&path), body, &reply);
    cm_buf_fini(&path);
    CM_AUTO_STR done = cm_asprintf("Server %.63s is a %.20s now.", cli->argv[0], cli->argv[1]);
    return cli_told(cli, status, reply, done);
}

/* As many signatures as signers: one that is lost would leave the fleet as it is for ever. */
static void warn_no_spare(struct cli *cli, const json_t *proposal, int64_t threshold)
{
    CM_AUTO_JSON reply = NULL;
    const json_t *all = cm_json_arr(cm_json_obj(proposal, "document"), "root_signers");
    if (threshold < 2 || cli->json)
        return;
    if (all == NULL && cli_api(cli, "GET", "/trust", NULL, &reply) == CLI_OK)
        all = cm_json_arr(reply, "signers");
    if (all != NULL && (int64_t)json_array_size(all) == threshold)
        fprintf(stderr,
                "certmgr: all %lld root signers have to sign then: if one is lost, nothing "
                "can change any more. Name one more: certmgr trust threshold %lld --signer NAME\n",
                (long long)threshold, (long long)threshold);
}

static int cmd_promote(struct cli *cli)
{
    struct cli_option options[] = {
        {.name = "--lost", .flag = true}, {.name = "--url"}, {.name = "--ui-url"}, {.name = NULL}};
    CM_AUTO_JSON reply = NULL;
    if (cli_options(cli, options) != 0 || cli->argc != 0)
        return CLI_USAGE;
    CM_AUTO_JSON body = json_object();
    cm_json_set_bool(body, "lost", options[0].count > 0);
    cm_json_set_str(body, "url", cli_value(&options[1], NULL));
    cm_json_set_str(body, "ui_url", cli_value(&options[2], NULL));
    int status = cli_api(cli, "POST", "/manager/promote", body, &reply);
    status = cli_told(cli, status, reply,
                      "This server is the manager now. The other servers follow by themselves.\n"
                      "People of the old manager are not known here: certmgr setup-link");
    const json_t *proposal = cm_json_obj(reply, "proposal");
    if (status == CLI_OK || status == CLI_WAITING)
        warn_no_spare(cli, proposal,
                      cm_json_int(cm_json_obj(proposal, "document"), "threshold", 0));
    return status;
}

static int cmd_trust_show(struct cli *cli)
{
    CM_AUTO_JSON reply = NULL;
    int status = cli_get(cli, "/trust", &reply);
    if (!reply)
        return status;
    size_t i = 0;
    json_t *name = NULL;
    const json_t *proposal = cm_json_obj(reply, "proposal");
    printf("Trust root version %lld, valid until %s; %lld of its signers have to sign:\n",
           (long long)cm_json_int(reply, "version", 0), cm_json_str_or(reply, "expires_at", ""),
           (long long)cm_json_int(reply, "threshold", 1));
    json_array_foreach(cm_json_arr(reply, "signers"), i, name)
        printf("  %s\n", json_string_value(name));
    int64_t threshold = cm_json_int(reply, "threshold", 1);
    if (threshold > 1 && (int64_t)json_array_size(cm_json_arr(reply, "signers")) == threshold)
        printf("All of them have to sign: if one is lost, nothing can change any more. Name one "
               "more:\n  certmgr trust threshold %lld --signer NAME\n",
               (long long)threshold);
    if (proposal != NULL)
        printf("Proposed at %s: %s (%lld of %lld signatures)\n", cm_json_str_or(proposal, "at", ""),
               cm_json_str_or(proposal, "what", ""), (long long)cm_json_int(proposal, "have", 0),
               (long long)cm_json_int(proposal, "need", 0));
    return CLI_OK;
}

static int cmd_trust_threshold(struct cli *cli)
{
    struct cli_option options[] = {{.name = "--signer"}, {.name = NULL}};
    CM_AUTO_JSON reply = NULL;
    int64_t threshold;
    if (cli_options(cli, options) != 0 || cli->argc != 1)
        return CLI_USAGE;
    if (cm_num_i64(cli->argv[0], 1, 16, &threshold) < 0)
        return cli_usage(cli, "the threshold is 1 to 16");
    CM_AUTO_JSON body = json_object();
    json_t *signers = json_array();
    for (size_t i = 0; i < options[0].count; i++)
        json_array_append_new(signers, json_string(options[0].value[i]));
    cm_json_set_int(body, "threshold", threshold);
    cm_json_set(body, "signers", signers);
    int status = cli_api(cli, "PUT", "/trust/threshold", body, &reply);
    status = cli_told(cli, status, reply, "The rule for changes of the trust root is in force.");
    if (status == CLI_OK || status == CLI_WAITING)
        warn_no_spare(cli, cm_json_obj(reply, "proposal"), threshold);
    return status;
}

static int cmd_trust_propose(struct cli *cli)
{
    struct cli_option options[] = {{.name = NULL}};
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_JSON reply = NULL;
    if (cli_options(cli, options) != 0 || cli->argc > 1)
        return CLI_USAGE;
    int status = cli_api(cli, "GET", "/trust", NULL, &reply);
    if (status != CLI_OK)
        return status;
    const json_t *document = cm_json_obj(cm_json_obj(reply, "proposal"), "document");
    if (document == NULL) {
        cm_fail(&err, CM_ENOENT, "nothing is proposed: no change waits for signatures");
    } else {
        size_t len;
        CM_AUTO_STR text = cm_json_dump(document, &len);
        if (cli->argc == 0)
            printf("%s\n", text);
        else
            (void)cm_file_write(cli->argv[0], text, len, 0644, &err); /* told by err */
    }
    status = err.code == 0 ? CLI_OK : cli_error(cli, &err);
    cm_err_fini(&err);
    return status;
}

/* What was signed goes back into the file: so the same file can go to the next signer, and to a
 * standby that becomes the manager by it and hears of it no other way. */
static void keep_signed(struct cli *cli, const json_t *document, const char *path)
{
    struct cm_err err = CM_ERR_INIT;
    size_t len;
    if (document == NULL)
        return;
    CM_AUTO_STR text = cm_json_dump(document, &len);
    if (cm_file_write(path, text, len, 0644, &err) != 0)
        (void)cli_error(cli, &err); /* signed it is all the same */
    cm_err_fini(&err);
}

/* status: of the call.  Says what is to be done with the file now. */
static int told_signed(struct cli *cli, int status, json_t *reply, const char *path)
{
    const char *manager = cm_json_str_or(reply, "manager", cli->config.name);
    if (status != CLI_OK)
        return status;
    const json_t *whole = cm_json_obj(reply, "document");
    keep_signed(cli, whole ? whole : cm_json_obj(cm_json_obj(reply, "proposal"), "document"), path);
    CM_AUTO_STR hint = cm_asprintf("%s has this signature, too. Take it to another root signer and "
                                   "run there: certmgr trust sign FILE",
                                   path);
    CM_AUTO_STR there = cm_asprintf(
        "Signed; enough signatures are there, and the change is in force here.\n"
        "%s has them all. Server %s hears of it by itself if it is the manager already.\n"
        "If it becomes the manager by this, take the file there: certmgr trust sign FILE",
        path, manager);
    if (whole == NULL)
        cm_json_set_str(reply, "hint", hint);
    return cli_told(cli, status, reply,
                    strcmp(manager, cli->config.name) != 0
                        ? there
                        : "Signed; enough signatures are there, and the change is in force.");
}

static int cmd_trust_sign(struct cli *cli)
{
    struct cli_option options[] = {{.name = NULL}};
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_JSON reply = NULL;
    CM_AUTO_JSON body = json_object();
    json_t *document = NULL;
    char *text = NULL;
    size_t len;
    if (cli_options(cli, options) != 0 || cli->argc != 1)
        return CLI_USAGE;
    int rv = cm_file_read(cli->argv[0], PROPOSAL_MAX, &text, &len, &err);
    if (rv == 0)
        rv = cm_json_parse(text, len, &document, &err);
    cm_free(text);
    int status = CLI_OK;
    if (rv == 0) {
        cm_json_set(body, "document", document);
        status = cli_api(cli, "POST", "/trust/signatures", body, &reply);
        status = told_signed(cli, status, reply, cli->argv[0]);
    } else {
        status = cli_error(cli, &err);
    }
    cm_err_fini(&err);
    return status;
}

/* The manager keeps the former keys of a server for what is sealed for them alone. */
static void print_waiting(const json_t *waiting)
{
    if (waiting == NULL)
        return;
    printf("Waiting:  for the server to have %lld documents sealed anew that are sealed for its\n"
           "          former key alone since %s, the first is %s\n"
           "Then:     its former keys go; at the latest on %s, whatever is left.\n"
           "          Certificates from an ACME CA are then renewed with new keys\n",
           (long long)cm_json_int(waiting, "documents", 0), cm_json_str_or(waiting, "since", "?"),
           cm_json_str_or(waiting, "first", "?"), cm_json_str_or(waiting, "until", "?"));
}

static void print_rotation(const json_t *v)
{
    printf("State:    %s\n", cm_json_str_or(v, "state", "none"));
    if (cm_json_str(v, "started_at") != NULL)
        printf("Begun:    %s by %s\n", cm_json_str(v, "started_at"), cm_json_str_or(v, "by", "?"));
    if (cm_json_int(v, "left", -1) >= 0)
        printf("Left:     %lld documents\n", (long long)cm_json_int(v, "left", 0));
    print_waiting(cm_json_obj(v, "waiting"));
    if (cm_json_str(v, "finished_at") != NULL)
        printf("Finished: %s\n", cm_json_str(v, "finished_at"));
    if (strcmp(cm_json_str_or(v, "state", ""), "done") == 0)
        printf("Backup:   one from before cannot come back as this server; make another now\n");
    if (cm_json_bool(v, "stuck", false))
        printf("No progress since %s\n",
               cm_json_str_or(v, "progress_at", cm_json_str_or(v, "at", "long")));
    if (cm_json_str(v, "error") != NULL)
        printf("Error:    %s\n", cm_json_str(v, "error"));
    if (cm_json_str(v, "refused") != NULL)
        printf("Refused:  %s\n", cm_json_str(v, "refused"));
}

static int cmd_server_rotate(struct cli *cli)
{
    struct cli_option options[] = {
        {.name = "--status", .flag = true}, {.name = "--cancel", .flag = true}, {.name = NULL}};
    CM_AUTO_JSON reply = NULL;
    CM_AUTO_JSON body = json_object();
    struct cm_buf path;
    if (cli_options(cli, options) != 0 || cli->argc > 1)
        return CLI_USAGE;
    const char *name = cli->argc == 1 ? cli->argv[0] : cli->config.name;
    bool look = options[0].count > 0, cancel = options[1].count > 0;
    cm_buf_init(&path, 1024);
    cm_buf_puts(&path, "/servers/");
    url_encode(&path, name);
    cm_buf_puts(&path, "/rotation");
    int status = cli_api(cli,
                         look     ? "GET"
                         : cancel ? "DELETE"
                                  : "POST",
                         cm_buf_str(&path), look ? NULL : body, &reply);
    cm_buf_fini(&path);
    if (status != CLI_OK)
        return status;
    if (cli->json)
        cli_print_json(reply);
    else if (look)
        print_rotation(reply);
    else
        printf("The keys of server %s %s.\n", name,
               cancel ? "stay as they are" : "are being replaced; look with --status");
    return CLI_OK;
}

const struct cli_command cli_power_commands[] = {
    {"server role", "NAME standby|server [--url URL]", "who can take the manager's place",
     cmd_server_role},
    {"server rotate", "[NAME] [--status|--cancel]", "replace a server's three keys",
     cmd_server_rotate},
    {"manager promote", "[--lost] [--url URL]", "this standby becomes the manager", cmd_promote},
    {"trust show", "", "root signers, threshold, what is proposed", cmd_trust_show},
    {"trust threshold", "N [--signer NAME]…", "how many have to sign changes of the fleet",
     cmd_trust_threshold},
    {"trust propose", "[FILE]", "save the change that waits for signatures", cmd_trust_propose},
    {"trust sign", "FILE", "sign a proposed change on a second root signer", cmd_trust_sign},
    {0},
};
