/* upstream set|show|remove|test; replication status|refused|clear. */
#include "base/core/file.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "certmgr/cli/cli_internal.h"

#include <stdio.h>
#include <string.h>

#define PEM_FILE_MAX (48u << 10)

/* Puts the text of a file into the body under `member`; a password is its first line. */
static int add_file(struct cli *cli, json_t *body, const char *member, const char *path, bool line)
{
    char *text = NULL;
    struct cm_err err = CM_ERR_INIT;
    int status = CLI_OK;
    if (cm_file_read(path, PEM_FILE_MAX, &text, NULL, &err) != 0) {
        status = cli_error(cli, &err);
    } else {
        if (line)
            text[strcspn(text, "\r\n")] = '\0';
        cm_json_set_str(body, member, text);
        cm_free_secret(text, strlen(text));
    }
    cm_err_fini(&err);
    return status;
}

/* ---- upstream ---- */

static int test_upstream(struct cli *cli)
{
    CM_AUTO_JSON body = json_object();
    CM_AUTO_JSON reply = NULL;
    int status = cli_api(cli, "POST", "/upstream/test", body, &reply);
    if (status != CLI_OK)
        return status;
    bool ok = cm_json_bool(reply, "ok", false);
    const json_t *db = cm_json_obj(reply, "database");
    if (cli->json)
        cli_print_json(reply);
    else if (ok)
        printf("%s answers: %lld documents\n", cm_json_str_or(reply, "url", ""),
               (long long)cm_json_int(db, "doc_count", 0));
    else
        cli_tell_error(stdout, "", cm_json_obj(reply, "error"));
    return ok ? CLI_OK : CLI_FAILED;
}

static int cmd_upstream_test(struct cli *cli)
{
    struct cli_option o[] = {{.name = NULL}};
    if (cli_options(cli, o) != 0 || cli->argc != 0)
        return CLI_USAGE;
    return test_upstream(cli);
}

static int cmd_upstream_set(struct cli *cli)
{
    struct cli_option o[] = {{.name = "--user"}, {.name = "--password-file"}, {.name = "--cert"},
                             {.name = "--key"},  {.name = "--ca-file"},       {.name = NULL}};
    static const char *const member[] = {NULL, "password", "cert_pem", "key_pem", "ca_pem"};
    CM_AUTO_JSON body = json_object();
    CM_AUTO_JSON reply = NULL;
    if (cli_options(cli, o) != 0 || cli->argc != 1)
        return CLI_USAGE;
    cm_json_set_str(body, "url", cli->argv[0]);
    cm_json_set_str(body, "user", cli_value(&o[0], NULL));
    for (size_t i = 1; i < sizeof(member) / sizeof(member[0]); i++) {
        const char *path = cli_value(&o[i], NULL);
        if (path && add_file(cli, body, member[i], path, i == 1) != CLI_OK)
            return CLI_FAILED;
    }
    int status = cli_api(cli, "PUT", "/upstream", body, &reply);
    if (status != CLI_OK)
        return status;
    if (!cli->json)
        printf("The upstream of this server is %s.\n", cm_json_str_or(reply, "url", ""));
    return test_upstream(cli);
}

/* The end of the client certificate for the hub, loud when it is near. */
static void print_cert(const json_t *upstream, const char *lead)
{
    const char *health = cm_json_str_or(upstream, "cert_health", "green");
    const char *end = cm_json_str(upstream, "cert_not_after");
    if (end)
        printf("%s%s%s\n", lead, end,
               strcmp(health, "red") == 0      ? "  RED: set a new one (certmgr upstream set)"
               : strcmp(health, "yellow") == 0 ? "  YELLOW: set a new one (certmgr upstream set)"
                                               : "");
}

static int cmd_upstream_show(struct cli *cli)
{
    CM_AUTO_JSON reply = NULL;
    int status = cli_get(cli, "/upstream", &reply);
    if (!reply)
        return status;
    printf("upstream        %s\n", cm_json_str_or(reply, "kind", ""));
    if (cm_json_str(reply, "url"))
        printf("URL             %s\n", cm_json_str(reply, "url"));
    if (cm_json_str(reply, "authentication"))
        printf("authentication  %s %s\n", cm_json_str(reply, "authentication"),
               cm_json_str_or(reply, "user", ""));
    print_cert(reply, "certificate to  ");
    return CLI_OK;
}

static int cmd_upstream_remove(struct cli *cli)
{
    struct cli_option o[] = {{.name = NULL}};
    CM_AUTO_JSON body = json_object();
    if (cli_options(cli, o) != 0 || cli->argc != 0)
        return CLI_USAGE;
    int status = cli_api(cli, "DELETE", "/upstream", body, NULL);
    if (status == CLI_OK && !cli->json)
        printf("The hub is forgotten; the manager is the upstream again.\n");
    return status;
}

/* ---- replication ---- */

/* "12", or "?" when the number is not known. */
static const char *number(const json_t *row, const char *key, char out[24])
{
    const json_t *value = json_object_get(row, key);
    if (json_is_integer(value))
        snprintf(out, 24, "%lld", (long long)json_integer_value(value));
    else
        snprintf(out, 24, "?");
    return out;
}

/* "3 documents, 70 s" (owned): what of it is known. */
static char *lag_of(const json_t *row)
{
    char docs[24], seconds[24];
    bool both = json_object_get(row, "lag_seconds");
    CM_AUTO_STR documents = json_object_get(row, "lag_documents")
                                ? cm_asprintf("%s documents", number(row, "lag_documents", docs))
                                : cm_strdup("unknown number of documents");
    return both ? cm_asprintf("%s, %s s", documents, number(row, "lag_seconds", seconds))
                : cm_asprintf("%s, never caught up since this server started", documents);
}

static void print_direction(const json_t *row)
{
    char count[24], refused[24], rate[24];
    CM_AUTO_STR lag = lag_of(row);
    printf("%s %s\n", cm_json_str_or(row, "direction", ""), cm_json_str_or(row, "peer", ""));
    printf("  state         %s\n", cm_json_str_or(row, "state", ""));
    printf("  lag           %s\n", lag);
    printf("  last success  %s\n", cm_json_str_or(row, "last_success_at", "never"));
    printf("  documents     %s (%s in the last minute), %s refused\n",
           number(row, "documents", count), number(row, "rate", rate),
           number(row, "refused", refused));
    if (cm_json_obj(row, "last_error")) {
        printf("  last error    %s%s\n", cm_json_str_or(row, "last_error_at", ""),
               cm_json_obj(row, "error") ? "" : " (over)");
        cli_tell_error(stdout, "    ", cm_json_obj(row, "last_error"));
    }
}

static void print_peer(const json_t *row)
{
    char docs[24], seconds[24];
    const char *through = cm_json_str(row, "through");
    printf(
        "%-32s %-10s lag %s documents, %s s; %s %s\n", cm_json_str_or(row, "peer", ""),
        cm_json_bool(row, "feed", false) ? "connected"
        : through                        ? "behind hub"
                                         : "away",
        number(row, "lag_documents", docs), number(row, "lag_seconds", seconds),
        through ? "newest document" : "last seen",
        cm_json_str_or(row, "last_seen_at", through ? "never" : "never since this server started"));
}

static int cmd_replication_status(struct cli *cli)
{
    CM_AUTO_JSON reply = NULL;
    size_t i = 0;
    json_t *row = NULL;
    int status = cli_get(cli, "/replication", &reply);
    if (!reply)
        return status;
    const json_t *upstream = cm_json_obj(reply, "upstream");
    int64_t refused = cm_json_int(cm_json_obj(reply, "refused"), "count", 0);
    printf("upstream: %s %s\n", cm_json_str_or(upstream, "kind", ""),
           cm_json_str_or(upstream, "url",
                          strcmp(cm_json_str_or(upstream, "kind", ""), "none") == 0
                              ? "(this server is the manager: the others come to it)"
                              : ""));
    print_cert(upstream, "  client certificate to ");
    cli_tell_error(stdout, "  ", cm_json_obj(upstream, "error"));
    json_array_foreach(cm_json_arr(reply, "directions"), i, row)
    {
        print_direction(row);
    }
    json_array_foreach(cm_json_arr(reply, "peers"), i, row)
    {
        print_peer(row);
    }
    if (cm_json_obj(reply, "second_manager"))
        printf("ALARM: another manager wrote %s at %s\n",
               cm_json_str_or(cm_json_obj(reply, "second_manager"), "id", ""),
               cm_json_str_or(cm_json_obj(reply, "second_manager"), "at", ""));
    printf("refused documents: %lld%s\n", (long long)refused,
           refused > 0 ? " (certmgr replication refused)" : "");
    return CLI_OK;
}

static int cmd_replication_refused(struct cli *cli)
{
    CM_AUTO_JSON reply = NULL;
    size_t i = 0;
    json_t *row = NULL;
    int status = cli_get(cli, "/quarantine", &reply);
    if (!reply)
        return status;
    if (json_array_size(cm_json_arr(reply, "quarantine")) == 0)
        printf("No document was refused.\n");
    json_array_foreach(cm_json_arr(reply, "quarantine"), i, row)
    {
        printf("%s %s\n  from %s, %s, %lld times: %s\n", cm_json_str_or(row, "id", ""),
               cm_json_str_or(row, "rev", ""), cm_json_str_or(row, "peer", ""),
               cm_json_str_or(row, "at", ""), (long long)cm_json_int(row, "count", 1),
               cm_json_str_or(row, "reason", ""));
    }
    return CLI_OK;
}

static int cmd_replication_clear(struct cli *cli)
{
    struct cli_option o[] = {{.name = "--all", .flag = true}, {.name = NULL}};
    CM_AUTO_JSON body = json_object();
    if (cli_options(cli, o) != 0 || (o[0].count > 0 ? cli->argc != 0 : cli->argc != 2))
        return CLI_USAGE;
    if (o[0].count > 0) {
        cm_json_set_bool(body, "all", true);
    } else {
        cm_json_set_str(body, "id", cli->argv[0]);
        cm_json_set_str(body, "rev", cli->argv[1]);
    }
    return cli_api(cli, "POST", "/quarantine/clear", body, NULL);
}

const struct cli_command cli_replication_commands[] = {
    {"upstream set", "URL [--user U --password-file F] [--cert F --key F] [--ca-file F]",
     "take a CouchDB hub in place of the manager as upstream", cmd_upstream_set},
    {"upstream show", "", "where this server replicates to", cmd_upstream_show},
    {"upstream remove", "", "forget the hub; the manager is the upstream again",
     cmd_upstream_remove},
    {"upstream test", "", "ask the upstream who it is", cmd_upstream_test},
    {"replication status", "", "how far replication is, per peer and direction",
     cmd_replication_status},
    {"replication refused", "", "documents that were refused, with reasons",
     cmd_replication_refused},
    {"replication clear", "ID REV | --all", "take what you have seen off that list",
     cmd_replication_clear},
    {0},
};
