/* request, check, log, retry, renew, change; list and show are in cmd_credential_view.c. */
#include "certmgr/cli/cmd_credential.h"

#include <stdio.h>
#include <string.h>

#include "base/core/json.h"
#include "base/core/mem.h"
#include "base/core/num.h"
#include "certmgr/acme/presets.h"
#include "certmgr/cli/cli_follow.h"

#define FOLLOW_LOOK_MS 2000 /* between looks while the server gives no event stream */

static bool cli_ulid_ok(const char *ulid)
{
    return strspn(ulid, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") == strlen(ulid) && strlen(ulid) == 26;
}

static int credential_send(struct cli *cli, const char *method, const char *ulid, const char *tail,
                           const json_t *body, json_t **ret)
{
    if (!cli_ulid_ok(ulid))
        return cli_usage(cli, "a credential is named by its 26-character id; see certmgr list");
    CM_AUTO_STR path = cm_asprintf("/credentials/%s%s", ulid, tail);
    return cli_api(cli, method, path, body, ret);
}

int cli_credential(struct cli *cli, const char *method, const char *ulid, const char *tail,
                   json_t **ret)
{
    CM_AUTO_JSON body = strcmp(method, "POST") == 0 ? json_object() : NULL;
    return credential_send(cli, method, ulid, tail, body, ret);
}

static json_t *list_of(const struct cli_option *o)
{
    json_t *v = json_array();
    for (size_t i = 0; i < o->count; i++)
        json_array_append_new(v, json_string(o->value[i]));
    return v;
}

static bool in_motion(const char *status)
{
    return strcmp(status, "pending") == 0 || strcmp(status, "waiting") == 0 ||
           strcmp(status, "renew") == 0;
}

static void print_step(const json_t *step)
{
    printf("%s  %s\n", cm_json_str_or(step, "at", ""), cm_json_str_or(step, "text", ""));
    fflush(stdout);
}

static void print_steps(const json_t *view)
{
    size_t i = 0;
    json_t *step = NULL;
    json_array_foreach(cm_json_arr(view, "steps"), i, step)
    {
        print_step(step);
    }
}

const char *cli_credential_status(const json_t *view)
{
    return cm_json_str_or(cm_json_obj(view, "credential"), "status", "pending");
}

static int on_event(void *arg, const char *event, const json_t *data)
{
    const struct cli *cli = arg;
    if (strcmp(event, "step") == 0 && !cli->json)
        print_step(data);
    return strcmp(event, "state") == 0 && !in_motion(cm_json_str_or(data, "status", "pending"));
}

/* Follows a credential until nothing moves any more: its events, or (too many follow already) by
 * looking now and then. */
static int follow(struct cli *cli, const char *ulid)
{
    CM_AUTO_STR path = cm_asprintf("/credentials/%s/events", ulid);
    char last[CLI_EVENT_ID_SIZE] = "";
    bool streamed = false;
    for (;;) {
        CM_AUTO_JSON view = NULL;
        int status = cli_credential(cli, "GET", ulid, "", &view);
        if (status != CLI_OK)
            return status;
        if (in_motion(cli_credential_status(view))) {
            enum cli_follow_end end = cli_follow(cli, path, last, on_event, cli);
            streamed = streamed || end == CLI_FOLLOW_STOPPED;
            if (end != CLI_FOLLOW_STOPPED)
                cli_nap(FOLLOW_LOOK_MS);
            continue;
        }
        if (cli->json) {
            cli_print_json(view);
        } else {
            if (!streamed)
                print_steps(view);
            printf("status: %s\n", cli_credential_status(view));
        }
        return strcmp(cli_credential_status(view), "issued") == 0 ? CLI_OK : CLI_FAILED;
    }
}

/* The options of request and change that are fields, in the order of request_fields(). */
#define FIELD_OPTIONS                                                                              \
    {.name = "--domain", .short_name = "-d"}, {.name = "--server", .short_name = "-s"},            \
        {.name = "--account"}, {.name = "--key-type"}, {.name = "--keyring-file"},                 \
        {.name = "--target"}, {.name = "--renew-days"}, {.name = "--key-rollover"},                \
        {.name = "--alternate-chain"}, {.name = "--challenge"}, {.name = "--profile"},             \
        {.name = "--fallback-account"}, {.name = "--add-base", .flag = true},                      \
    {                                                                                              \
        .name = "--profile-required"                                                               \
    }
#define FIELD_COUNT 14

/* Any other word goes to the server as it is, which refuses it. */
static json_t *yes_or_no(const char *word)
{
    bool yes = strcmp(word, "yes") == 0, no = strcmp(word, "no") == 0;
    return yes || no ? json_boolean(yes) : json_string(word);
}

static json_t *request_fields(const struct cli_option *o)
{
    static const char *const member[FIELD_COUNT] = {
        "host_names", "servers",           "account",      "key_type",        "keyring_file",
        "target",     "renew_days",        "key_rollover", "alternate_chain", "challenge",
        "profile",    "fallback_accounts", "add_base",     "profile_required"};
    json_t *body = json_object();
    int64_t days = 0;
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        if (o[i].count == 0)
            continue;
        if (i < 2 || strcmp(member[i], "fallback_accounts") == 0)
            cm_json_set(body, member[i], list_of(&o[i]));
        else if (strcmp(member[i], "renew_days") == 0 &&
                 cm_num_i64(o[i].value[0], 0, INT32_MAX, &days) == 0)
            cm_json_set_int(body, member[i], days);
        else if (strcmp(member[i], "add_base") == 0)
            cm_json_set_bool(body, member[i], true);
        else if (strcmp(member[i], "profile_required") == 0)
            cm_json_set(body, member[i], yes_or_no(cli_value(&o[i], "")));
        else
            cm_json_set_str(body, member[i], cli_value(&o[i], ""));
    }
    return body;
}

static int cmd_request(struct cli *cli)
{
    struct cli_option options[] = {FIELD_OPTIONS,
                                   {.name = "--provider"},
                                   {.name = "--wait", .flag = true},
                                   {.name = "--dry-run", .flag = true},
                                   {.name = "--exportable", .flag = true},
                                   {.name = NULL}};
    CM_AUTO_JSON reply = NULL;
    if (cli_options(cli, options) != 0 || cli->argc != 0)
        return CLI_USAGE;
    if (options[0].count == 0)
        return cli_usage(cli, "name at least one host with -d");
    CM_AUTO_JSON body = request_fields(options);
    cm_json_set_str(body, "provider", cli_value(&options[FIELD_COUNT], NULL));
    bool dry_run = options[FIELD_COUNT + 2].count > 0;
    if (dry_run)
        cm_json_set_bool(body, "dry_run", true);
    if (options[FIELD_COUNT + 3].count > 0)
        cm_json_set_bool(body, "exportable", true);
    int status = cli_api(cli, "POST", "/requests", body, &reply);
    if (status != CLI_OK)
        return status;
    const char *ulid = cm_json_str_or(reply, "credential", "");
    cli_print_notes(reply);
    struct cli_trial mark = {.last = ""};
    if (dry_run)
        return cli_trial_follow(cli, ulid, &mark);
    if (options[FIELD_COUNT + 1].count > 0)
        return follow(cli, ulid);
    if (cli->json)
        cli_print_json(reply);
    else
        printf("%s\n", ulid);
    return CLI_OK;
}

/* One finding, and its fix on the line below. */
static void print_check(const json_t *row)
{
    const char *name = cm_json_str_or(row, "name", ""), *fix = cm_json_str(row, "fix");
    printf("%-4s  %-9s  %s%s%s\n", cm_json_str_or(row, "result", ""),
           cm_json_str_or(row, "what", ""), name, name[0] ? ": " : "",
           cm_json_str_or(row, "text", ""));
    if (fix)
        printf("                 -> %s\n", fix);
    size_t i = 0;
    json_t *more = NULL;
    json_array_foreach(cm_json_arr(row, "add"), i, more)
    {
        printf("                 -> -d %s (or --add-base) adds it\n", json_string_value(more));
    }
}

static int cmd_check(struct cli *cli)
{
    struct cli_option options[] = {FIELD_OPTIONS,
                                   {.name = "--credential"},
                                   {.name = "--probe-dns", .flag = true},
                                   {.name = NULL}};
    CM_AUTO_JSON reply = NULL;
    if (cli_options(cli, options) != 0 || cli->argc != 0)
        return CLI_USAGE;
    if (options[0].count == 0)
        return cli_usage(cli, "name at least one host with -d");
    CM_AUTO_JSON body = request_fields(options);
    cm_json_set_str(body, "credential", cli_value(&options[FIELD_COUNT], NULL));
    if (options[FIELD_COUNT + 1].count > 0)
        cm_json_set_bool(body, "probe_dns", true);
    int status = cli_api(cli, "POST", "/checks", body, &reply);
    if (status != CLI_OK)
        return status;
    size_t i = 0;
    json_t *row = NULL;
    const char *result = cm_json_str_or(reply, "result", "");
    if (cli->json)
        cli_print_json(reply);
    else
        json_array_foreach(cm_json_arr(reply, "checks"), i, row) print_check(row);
    return strcmp(result, "fail") == 0 ? CLI_FAILED : CLI_OK;
}

static int cmd_log(struct cli *cli)
{
    struct cli_option options[] = {{.name = "--follow", .short_name = "-f", .flag = true},
                                   {.name = NULL}};
    CM_AUTO_JSON view = NULL;
    if (cli_options(cli, options) != 0 || cli->argc != 1)
        return CLI_USAGE;
    if (options[0].count > 0)
        return follow(cli, cli->argv[0]);
    int status = cli_credential(cli, "GET", cli->argv[0], "", &view);
    if (status == CLI_OK && cli->json)
        cli_print_json(json_object_get(view, "steps"));
    else if (status == CLI_OK)
        print_steps(view);
    return status;
}

static int cmd_retry(struct cli *cli)
{
    struct cli_option options[] = {{.name = NULL}};
    if (cli_options(cli, options) != 0 || cli->argc != 1)
        return CLI_USAGE;
    int status = cli_credential(cli, "POST", cli->argv[0], "/retry", NULL);
    if (status == CLI_OK && !cli->json)
        printf("Asked for another attempt; follow it with: certmgr log --follow %s\n",
               cli->argv[0]);
    return status;
}

static int dry_runs(struct cli *cli)
{
    int worst = CLI_OK;
    for (int i = 0; i < cli->argc; i++) {
        struct cli_trial mark;
        int status = cli_ulid_ok(cli->argv[i])
                         ? cli_trial_mark(cli, cli->argv[i], &mark)
                         : cli_usage(cli, "a credential is named by its 26-character id");
        if (status == CLI_OK)
            status = cli_credential(cli, "POST", cli->argv[i], "/dry-run", NULL);
        if (status == CLI_OK)
            status = cli_trial_follow(cli, cli->argv[i], &mark);
        if (status != CLI_OK)
            worst = status;
    }
    return worst;
}

/* One by one: each is answered for itself, and the first failure does not stop the others. */
static int cmd_renew(struct cli *cli)
{
    struct cli_option options[] = {{.name = "--new-key", .flag = true},
                                   {.name = "--dry-run", .flag = true},
                                   {.name = "--revoke"},
                                   {.name = NULL}};
    int worst = CLI_OK;
    if (cli_options(cli, options) != 0 || cli->argc < 1)
        return CLI_USAGE;
    if (options[1].count > 0)
        return dry_runs(cli);
    CM_AUTO_JSON body = json_pack("{s:b}", "new_key", options[0].count > 0);
    int reason = acme_reason_parse(cli_value(&options[2], NULL));
    if (options[2].count > 0 && (options[0].count == 0 || (reason != 1 && reason != 4)))
        return cli_usage(cli, "--revoke goes with --new-key and takes superseded or keyCompromise");
    if (options[2].count > 0)
        cm_json_set_int(body, "revoke", reason);
    for (int i = 0; i < cli->argc; i++) {
        int status = credential_send(cli, "POST", cli->argv[i], "/renew", body, NULL);
        if (status == CLI_OK && !cli->json)
            printf("%s: renewal asked for\n", cli->argv[i]);
        if (status != CLI_OK)
            worst = status;
    }
    if (cli->argc > 1)
        fprintf(stderr, "note: CAs limit how many certificates they issue: many at a time may "
                        "have to wait\n");
    return worst;
}

static int cmd_change(struct cli *cli)
{
    struct cli_option options[] = {FIELD_OPTIONS,
                                   {.name = "--pause", .flag = true},
                                   {.name = "--resume", .flag = true},
                                   {.name = "--provider"},
                                   {.name = NULL}};
    CM_AUTO_JSON reply = NULL;
    if (cli_options(cli, options) != 0 || cli->argc != 1)
        return CLI_USAGE;
    CM_AUTO_JSON body = request_fields(options);
    bool pause = options[FIELD_COUNT].count > 0, resume = options[FIELD_COUNT + 1].count > 0;
    cm_json_set_str(body, "provider", cli_value(&options[FIELD_COUNT + 2], NULL));
    if (pause != resume)
        cm_json_set_bool(body, "paused", pause);
    if (json_object_size(body) == 0 || (pause && resume))
        return cli_usage(cli, "say what to change");
    int status = credential_send(cli, "PATCH", cli->argv[0], "", body, &reply);
    if (status != CLI_OK)
        return status;
    cli_print_notes(reply);
    if (cli->json)
        cli_print_json(reply);
    else
        printf("%s: change asked for\n", cli->argv[0]);
    return CLI_OK;
}

const struct cli_command cli_credential_commands[] = {
    {"request", "-d NAME… -s SERVER… [--wait]", "submit a request", cmd_request},
    {"check", "-d NAME… -s SERVER… [--probe-dns]", "what would a request meet? no CA is asked",
     cmd_check},
    {"list", "[--view host|expiry|status|server]", "credentials", cli_credential_list},
    {"show", "ID", "one credential: status, certificate, receipts", cli_credential_show},
    {"log", "[--follow] ID", "its steps", cmd_log},
    {"retry", "ID", "attempt now", cmd_retry},
    {"change", "ID [-d NAME… …] [--pause|--resume]", "change its fields", cmd_change},
    {"renew", "[--new-key [--revoke R]] ID…", "renew now, the key kept or made anew", cmd_renew},
    {0},
};
