/* request, list, show, log, retry, renew, change. */
#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "base/core/num.h"
#include "certmgr/acme/presets.h"
#include "certmgr/cli/cli_follow.h"

#include <stdio.h>
#include <string.h>

#define FOLLOW_LOOK_MS 2000 /* between looks while the server gives no event stream */
#define LIST_MAX       100000

static bool cli_ulid_ok(const char *ulid)
{
    return strspn(ulid, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") == strlen(ulid) && strlen(ulid) == 26;
}

/* One path with a credential's ULID in it; the server refuses what is none. */
static int credential_send(struct cli *cli, const char *method, const char *ulid, const char *tail,
                           const json_t *body, json_t **ret)
{
    if (!cli_ulid_ok(ulid))
        return cli_usage(cli, "a credential is named by its 26-character id; see certmgr list");
    CM_AUTO_STR path = cm_asprintf("/credentials/%s%s", ulid, tail);
    return cli_api(cli, method, path, body, ret);
}

static int credential_call(struct cli *cli, const char *method, const char *ulid, const char *tail,
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

static const char *status_of(const json_t *view)
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
        int status = credential_call(cli, "GET", ulid, "", &view);
        if (status != CLI_OK)
            return status;
        if (in_motion(status_of(view))) {
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
            printf("status: %s\n", status_of(view));
        }
        return strcmp(status_of(view), "issued") == 0 ? CLI_OK : CLI_FAILED;
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

static void print_notes(const json_t *reply)
{
    size_t i = 0;
    json_t *note = NULL;
    json_array_foreach(cm_json_arr(reply, "notes"), i, note)
    {
        fprintf(stderr, "note: %s\n", json_is_string(note) ? json_string_value(note) : "");
    }
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
    print_notes(reply);
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

/* By host name there is a row for each name, by server one for each server: it stands in the row.
 */
static void print_row(const char *view, const json_t *c)
{
    const json_t *names = cm_json_arr(c, "host_names");
    const char *first = json_string_value(json_array_get(names, 0));
    const char *key = cm_json_str_or(c, "key", "");
    bool server = strcmp(view, "server") == 0;
    char more[32] = "";
    if (strcmp(view, "host") == 0 && *key)
        first = key;
    if (json_array_size(names) > 1)
        snprintf(more, sizeof(more), " (+%zu)", json_array_size(names) - 1);
    printf("%-26s  %-10s  %-6s  %-24s  %s%s%s%s\n", cm_json_str_or(c, "id", ""),
           cm_json_str_or(c, "status", ""), cm_json_str_or(cm_json_obj(c, "health"), "color", "-"),
           cm_json_str_or(c, "not_after", "-"), server ? key : "", server ? "  " : "",
           first != NULL ? first : "", more);
}

static int cmd_list(struct cli *cli)
{
    struct cli_option options[] = {{.name = "--view"}, {.name = NULL}};
    CM_AUTO_JSON all = json_array();
    char after[1024] = ""; /* base64 of an index key and an id */
    if (cli_options(cli, options) != 0 || cli->argc != 0)
        return CLI_USAGE;
    const char *view = cli_value(&options[0], "host");
    if (strspn(view, "abcdefghijklmnopqrstuvwxyz") != strlen(view))
        return cli_usage(cli, "--view takes host, expiry, status or server");
    for (size_t page = 0; page < LIST_MAX; page++) {
        CM_AUTO_JSON reply = NULL;
        CM_AUTO_STR path =
            cm_asprintf("/credentials?view=%s%s%s", view, after[0] != '\0' ? "&after=" : "", after);
        int status = cli_api(cli, "GET", path, NULL, &reply);
        if (status != CLI_OK)
            return status;
        json_array_extend(all, cm_json_arr(reply, "credentials"));
        if (cm_json_str(reply, "next") == NULL ||
            cm_strcpy(after, sizeof(after), cm_json_str(reply, "next")) != 0)
            break;
    }
    if (cli->json) {
        CM_AUTO_JSON out = json_pack("{s:O}", "credentials", all);
        cli_print_json(out);
        return CLI_OK;
    }
    size_t i = 0;
    json_t *row = NULL;
    printf("%-26s  %-10s  %-6s  %-24s  %s\n", "ID", "STATUS", "HEALTH", "EXPIRES",
           strcmp(view, "server") == 0 ? "SERVER, HOST NAMES" : "HOST NAMES");
    json_array_foreach(all, i, row)
    {
        print_row(view, row);
    }
    return CLI_OK;
}

/* From when on servers serve it. */
static void print_activation(const json_t *activation)
{
    static const struct {
        const char *by, *why;
    } words[] = {{"delay", "as the account says"},
                 {"ocsp", "at the latest; the CA's OCSP responder is being asked"},
                 {"not_before", "it begins then"},
                 {"good", "the CA's OCSP responder said good"},
                 {"limit", "the CA's OCSP responder had not said good by then"}};
    const char *by = cm_json_str_or(activation, "by", "");
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcmp(words[i].by, by) == 0)
            printf("%-22s %s (%s)\n", "in force from:", cm_json_str_or(activation, "from", "-"),
                   words[i].why);
}

static void print_revocation(const json_t *revocation)
{
    const char *at = cm_json_str(revocation, "revoked_at");
    if (revocation == NULL)
        return;
    cli_line(at ? "revoked at:" : "revocation asked:",
             at ? at : cm_json_str(revocation, "asked_at"));
    cli_line("  afterwards:", at ? NULL : cm_json_str(revocation, "after"));
    printf("%-22s %lld\n", "  reason:", (long long)cm_json_int(revocation, "reason", 0));
    cli_line("  signed by:", cm_json_str(revocation, "signer"));
    cli_lines("  published by:", cm_json_arr(revocation, "published"));
}

/* The command that asks for a certificate without the names that failed; nobody runs it but a
 * person. */
static void print_without(const char *id, const json_t *c)
{
    const json_t *refused = cm_json_arr(cm_json_obj(c, "error"), "names");
    const json_t *names = cm_json_arr(c, "host_names_ascii");
    size_t i = 0, left = 0;
    json_t *name = NULL;
    json_array_foreach(names, i, name)
    {
        left += cm_json_has_str(refused, json_string_value(name)) ? 0 : 1;
    }
    cli_lines("  it was about:", refused);
    if (left == 0 || left == json_array_size(names))
        return;
    printf("%-22s certmgr change %s", "  without them:", id);
    json_array_foreach(names, i, name)
    {
        if (!cm_json_has_str(refused, json_string_value(name)))
            printf(" -d '%s'", json_string_value(name));
    }
    printf("\n");
}

/* Settings that cannot go together: said for as long as they stand. */
static void print_contradictions(const json_t *rows)
{
    size_t i = 0;
    json_t *row = NULL;
    json_array_foreach(rows, i, row)
    {
        cli_line("contradiction:", cm_json_str(row, "text"));
        cli_line("  what to do:", cm_json_str(row, "fix"));
    }
}

static void print_view(const char *id, const json_t *view)
{
    const json_t *c = cm_json_obj(view, "credential");
    if (c == NULL)
        c = cm_json_obj(cm_json_obj(view, "request"), "fields");
    cli_line("status:", status_of(view));
    cli_line("health:", cm_json_str(cm_json_obj(c, "health"), "color"));
    cli_lines("  because:", cm_json_arr(cm_json_obj(c, "health"), "causes"));
    const char *next = cm_json_str(view, "next"); /* a sentence: "Next: renewal at …" */
    cli_line("next:", next != NULL && strncmp(next, "Next: ", 6) == 0 ? next + 6 : next);
    if (cm_json_obj(c, "csr_out") != NULL)
        cli_line("CSR:", "waits for its certificate: certmgr csr show, then csr upload");
    cli_lines("host names:", cm_json_arr(c, "host_names"));
    cli_lines("in the certificate:", cm_json_arr(c, "san"));
    cli_line("account:", cm_json_str(c, "account"));
    cli_line("key type:", cm_json_str(c, "key_type"));
    cli_lines("servers with access:", cm_json_arr(c, "servers"));
    cli_line("keyring file:", cm_json_str(c, "keyring_file"));
    cli_line("issuer:", cm_json_str(c, "issuer"));
    cli_line("not before:", cm_json_str(c, "not_before"));
    cli_line("not after:", cm_json_str(c, "not_after"));
    print_activation(cm_json_obj(c, "activation"));
    cli_line("SHA-256:", cm_json_str(c, "fingerprint"));
    print_contradictions(cm_json_arr(view, "contradictions"));
    print_revocation(cm_json_obj(c, "revocation"));
    cli_print_error(cm_json_obj(c, "error"));
    print_without(id, c);
    size_t i = 0;
    json_t *r = NULL;
    json_array_foreach(cm_json_arr(view, "receipts"), i, r)
    {
        printf("%-22s %s at %s\n", cm_json_str_or(r, "server", ""), cm_json_str_or(r, "state", ""),
               cm_json_str_or(r, "at", ""));
        cli_print_error(cm_json_obj(r, "error"));
    }
}

static int cmd_show(struct cli *cli)
{
    struct cli_option options[] = {{.name = NULL}};
    CM_AUTO_JSON view = NULL;
    if (cli_options(cli, options) != 0 || cli->argc != 1)
        return CLI_USAGE;
    int status = credential_call(cli, "GET", cli->argv[0], "", &view);
    if (status == CLI_OK && cli->json)
        cli_print_json(view);
    else if (status == CLI_OK)
        print_view(cli->argv[0], view);
    return status;
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
    int status = credential_call(cli, "GET", cli->argv[0], "", &view);
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
    int status = credential_call(cli, "POST", cli->argv[0], "/retry", NULL);
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
            status = credential_call(cli, "POST", cli->argv[i], "/dry-run", NULL);
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
    print_notes(reply);
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
    {"list", "[--view host|expiry|status|server]", "credentials", cmd_list},
    {"show", "ID", "one credential: status, certificate, receipts", cmd_show},
    {"log", "[--follow] ID", "its steps", cmd_log},
    {"retry", "ID", "attempt now", cmd_retry},
    {"change", "ID [-d NAME… …] [--pause|--resume]", "change its fields", cmd_change},
    {"renew", "[--new-key [--revoke R]] ID…", "renew now, the key kept or made anew", cmd_renew},
    {0},
};
