/* dns add|change|list|show|remove|test|manual. */
#include "base/core/file.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "base/core/num.h"
#include "base/net/url.h"
#include "certmgr/cli/cli_internal.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SECRET_MAX  (32u << 10)
#define SECONDS_MAX 7200
#define NUMBER_MAX  999999999 /* longer ones are names that look like numbers */
#define TEST_LOOKS  (2 * SECONDS_MAX)
#define LOOK_US     500000

static int call(struct cli *cli, const char *method, const char *name, const char *tail,
                const json_t *body, json_t **ret)
{
    struct cm_buf path;
    cm_buf_init(&path, 4096);
    cm_buf_puts(&path, "/dns-accounts/");
    url_encode(&path, name);
    cm_buf_puts(&path, tail);
    int status = cli_api(cli, method, cm_buf_str(&path), body, ret);
    cm_buf_fini(&path);
    return status;
}

static int read_file(struct cli *cli, const char *path, size_t max, char **ret)
{
    struct cm_err err = CM_ERR_INIT;
    int status = CLI_OK;
    if (cm_file_read(path, max, ret, NULL, &err) != 0)
        status = cli_error(cli, &err);
    cm_err_fini(&err);
    return status;
}

/* ---- add, change ---------------------------------------------------------------------------- */

enum {
    O_KIND,
    O_PROVIDER,
    O_OPTION,
    O_SECRET,
    O_DOMAIN,
    O_ENABLE,
    O_DISABLE,
    O_RESOLVERS,
    O_AUTHORITATIVE,
    O_NO_AUTHORITATIVE,
    O_ASK,
    O_WAIT,
    O_LIMIT,
    O_END
};

/* "name=value" of an option given twice and more, into an object. */
static int pairs(struct cli *cli, const struct cli_option *o, json_t *out)
{
    for (size_t i = 0; i < o->count; i++) {
        const char *equals = strchr(o->value[i], '=');
        if (equals == NULL || equals == o->value[i])
            return cli_usage(cli, "--option takes NAME=VALUE");
        CM_AUTO_STR name = cm_strndup(o->value[i], (size_t)(equals - o->value[i]));
        int64_t number = 0;
        if (cm_num_i64(equals + 1, 0, NUMBER_MAX, &number) == 0)
            cm_json_set_int(out, name, number);
        else
            cm_json_set_str(out, name, equals + 1);
    }
    return CLI_OK;
}

/* "name=FILE": secrets come from files, never from the command line, which everybody can read. */
static int secrets(struct cli *cli, const struct cli_option *o, json_t *out)
{
    for (size_t i = 0; i < o->count; i++) {
        const char *equals = strchr(o->value[i], '=');
        if (equals == NULL || equals == o->value[i])
            return cli_usage(cli, "--secret-file takes NAME=FILE");
        CM_AUTO_STR name = cm_strndup(o->value[i], (size_t)(equals - o->value[i]));
        char *text = NULL;
        int status = read_file(cli, equals + 1, SECRET_MAX, &text);
        if (status != CLI_OK)
            return status;
        size_t len = strlen(text);
        while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
            text[--len] = '\0';
        cm_json_set_str(out, name, text);
        cm_free_secret(text, strlen(text));
    }
    return CLI_OK;
}

static int seconds(struct cli *cli, const struct cli_option *o, const char *member, json_t *out)
{
    int64_t value = 0;
    if (o->count == 0)
        return CLI_OK;
    if (cm_num_i64(cli_value(o, ""), 0, SECONDS_MAX, &value) != 0)
        return cli_usage(cli, "--wait and --limit take 0 to 7200 seconds");
    cm_json_set_int(out, member, value);
    return CLI_OK;
}

/* current: what a changed account has; what is not given stays (--wait 0 looks again). */
static int propagation(struct cli *cli, const struct cli_option *o, const json_t *current,
                       json_t *body)
{
    size_t switches = o[O_NO_AUTHORITATIVE].count + o[O_AUTHORITATIVE].count;
    if (switches + o[O_ASK].count + o[O_WAIT].count + o[O_LIMIT].count == 0)
        return CLI_OK;
    json_t *out = current ? json_deep_copy(current) : json_object();
    cm_json_set(body, "propagation", out);
    if (switches > 0)
        cm_json_set_bool(out, "authoritative", o[O_NO_AUTHORITATIVE].count == 0);
    if (o[O_ASK].count > 0)
        cm_json_set_str(out, "resolvers", cli_value(&o[O_ASK], NULL));
    int status = seconds(cli, &o[O_WAIT], "fixed_s", out);
    return status == CLI_OK ? seconds(cli, &o[O_LIMIT], "limit_s", out) : status;
}

static int fields(struct cli *cli, const struct cli_option *o, const json_t *current, json_t *body)
{
    json_t *options = json_object(), *hidden = json_object(), *domains = json_array();
    cm_json_set(body, "options", options);
    cm_json_set(body, "secrets", hidden);
    cm_json_set(body, "domains", domains);
    cm_json_set_str(body, "kind", cli_value(&o[O_KIND], NULL));
    cm_json_set_str(body, "provider", cli_value(&o[O_PROVIDER], NULL));
    cm_json_set_str(body, "resolvers", cli_value(&o[O_RESOLVERS], NULL));
    if (o[O_ENABLE].count + o[O_DISABLE].count > 0)
        cm_json_set_bool(body, "enabled", o[O_DISABLE].count == 0);
    for (size_t i = 0; i < o[O_DOMAIN].count; i++)
        json_array_append_new(domains, json_string(o[O_DOMAIN].value[i]));
    int status = pairs(cli, &o[O_OPTION], options);
    if (status == CLI_OK)
        status = secrets(cli, &o[O_SECRET], hidden);
    if (status == CLI_OK)
        status = propagation(cli, o, cm_json_obj(current, "propagation"), body);
    if (o[O_OPTION].count == 0)
        json_object_del(body, "options");
    if (o[O_DOMAIN].count == 0)
        json_object_del(body, "domains");
    return status;
}

static int put(struct cli *cli, const char *method_note)
{
    struct cli_option o[O_END + 1] = {
        [O_KIND] = {.name = "--kind"},
        [O_PROVIDER] = {.name = "--provider"},
        [O_OPTION] = {.name = "--option"},
        [O_SECRET] = {.name = "--secret-file"},
        [O_DOMAIN] = {.name = "--domain", .short_name = "-d"},
        [O_ENABLE] = {.name = "--enable", .flag = true},
        [O_DISABLE] = {.name = "--disable", .flag = true},
        [O_RESOLVERS] = {.name = "--resolvers"},
        [O_AUTHORITATIVE] = {.name = "--authoritative", .flag = true},
        [O_NO_AUTHORITATIVE] = {.name = "--no-authoritative", .flag = true},
        [O_ASK] = {.name = "--ask"},
        [O_WAIT] = {.name = "--wait"},
        [O_LIMIT] = {.name = "--limit"},
        [O_END] = {.name = NULL}};
    CM_AUTO_JSON body = json_object();
    CM_AUTO_JSON reply = NULL;
    if (cli_options(cli, o) != 0 || cli->argc != 1)
        return CLI_USAGE;
    bool adds = strcmp(method_note, "added") == 0;
    if (adds && o[O_KIND].count == 0)
        return cli_usage(cli, "--kind is missing");
    int status = CLI_OK;
    if (!adds) /* only one that is there */
        status = call(cli, "GET", cli->argv[0], "", NULL, &reply);
    if (status == CLI_OK)
        status = fields(cli, o, reply, body);
    json_decref(reply);
    reply = NULL;
    if (status == CLI_OK)
        status = call(cli, "PUT", cli->argv[0], "", body, &reply);
    if (status != CLI_OK)
        return status;
    if (cli->json)
        cli_print_json(reply);
    else
        printf("DNS account %s is %s; try it with: certmgr dns test %s\n", cli->argv[0],
               method_note, cli->argv[0]);
    return CLI_OK;
}

static int cmd_add(struct cli *cli)
{
    return put(cli, "added");
}

static int cmd_change(struct cli *cli)
{
    return put(cli, "changed");
}

/* ---- list, show, remove --------------------------------------------------------------------- */

static void print_domains(const json_t *account)
{
    size_t i;
    json_t *domain;
    json_array_foreach(cm_json_arr(account, "domains"), i, domain)
    {
        printf("%s%s", i > 0 ? ", " : "", json_string_value(domain));
    }
    printf("\n");
}

static int cmd_list(struct cli *cli)
{
    CM_AUTO_JSON reply = NULL;
    int status = cli_get(cli, "/dns-accounts", &reply);
    if (!reply)
        return status;
    cli_clean(reply);
    size_t i;
    json_t *a;
    printf("%-20s %-10s %-4s %s\n", "NAME", "KIND", "ON", "DOMAINS");
    json_array_foreach(cm_json_arr(reply, "dns_accounts"), i, a)
    {
        printf("%-20s %-10s %-4s ", cm_json_str_or(a, "name", ""),
               cm_json_str_or(a, "provider", cm_json_str_or(a, "kind", "")),
               cm_json_bool(a, "enabled", true) ? "yes" : "no");
        print_domains(a);
    }
    return CLI_OK;
}

static int cmd_show(struct cli *cli)
{
    struct cli_option o[] = {{.name = NULL}};
    CM_AUTO_JSON reply = NULL;
    if (cli_options(cli, o) != 0 || cli->argc != 1)
        return CLI_USAGE;
    int status = call(cli, "GET", cli->argv[0], "", NULL, &reply);
    if (status != CLI_OK)
        return status;
    if (cli->json) {
        cli_print_json(reply);
        return CLI_OK;
    }
    cli_clean(reply);
    cli_members(reply);
    if (cm_json_bool(reply, "unverified", false))
        printf("Unverified: written from the provider's documentation, never run against it.\n");
    return CLI_OK;
}

static int cmd_remove(struct cli *cli)
{
    struct cli_option o[] = {{.name = "--force", .flag = true}, {.name = NULL}};
    CM_AUTO_JSON reply = NULL;
    CM_AUTO_JSON body = json_object();
    if (cli_options(cli, o) != 0 || cli->argc != 1)
        return CLI_USAGE;
    cm_json_set_bool(body, "force", o[0].count > 0);
    int status = call(cli, "DELETE", cli->argv[0], "", body, &reply);
    if (status == CLI_OK && !cli->json)
        printf("DNS account %s is removed.\n", cli->argv[0]);
    return status;
}

/* ---- test ----------------------------------------------------------------------------------- */

/* Prints the steps from *shown on. */
static void print_steps(const json_t *report, size_t *shown)
{
    const json_t *steps = cm_json_arr(report, "steps");
    for (; *shown < json_array_size(steps); (*shown)++) {
        const json_t *step = json_array_get(steps, *shown);
        printf("%6lld ms  %s\n", (long long)cm_json_int(step, "ms", 0),
               cm_json_str_or(step, "text", ""));
    }
    fflush(stdout);
}

static int cmd_test(struct cli *cli)
{
    struct cli_option o[] = {{.name = "--name"}, {.name = NULL}};
    CM_AUTO_JSON body = json_object();
    json_t *reply = NULL;
    size_t shown = 0;
    if (cli_options(cli, o) != 0 || cli->argc != 1)
        return CLI_USAGE;
    cm_json_set_str(body, "name", cli_value(&o[0], NULL));
    int status = call(cli, "POST", cli->argv[0], "/test", body, &reply);
    for (int i = 0; status == CLI_OK && i < TEST_LOOKS; i++) {
        cli_clean(reply);
        if (!cli->json)
            print_steps(reply, &shown);
        if (!cm_json_bool(reply, "running", false))
            break;
        usleep(LOOK_US);
        json_decref(reply);
        reply = NULL;
        status = call(cli, "GET", cli->argv[0], "/test", NULL, &reply);
    }
    if (status == CLI_OK && cli->json)
        cli_print_json(reply);
    if (status == CLI_OK && !cm_json_bool(reply, "ok", false))
        status = CLI_FAILED;
    json_decref(reply);
    return status;
}

/* ---- manual --------------------------------------------------------------------------------- */

static int cmd_manual(struct cli *cli)
{
    struct cli_option o[] = {{.name = "--go-on", .flag = true}, {.name = NULL}};
    CM_AUTO_JSON reply = NULL;
    if (cli_options(cli, o) != 0 || cli->argc != 1)
        return CLI_USAGE;
    const char *ulid = cli->argv[0];
    if (strspn(ulid, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") != strlen(ulid) || strlen(ulid) != 26)
        return cli_usage(cli, "a credential is named by its 26-character id; see certmgr list");
    bool goes = o[0].count > 0;
    CM_AUTO_STR path = cm_asprintf("/credentials/%s%s", ulid, goes ? "/go-on" : "");
    CM_AUTO_JSON body = goes ? json_object() : NULL;
    int status = cli_api(cli, goes ? "POST" : "GET", path, body, &reply);
    if (status != CLI_OK || goes) {
        if (status == CLI_OK && !cli->json)
            printf("The records are being looked up; follow with: certmgr log %s\n", ulid);
        return status;
    }
    const json_t *manual = cm_json_arr(reply, "manual");
    if (cli->json) {
        CM_AUTO_JSON none = json_array();
        cli_print_json(manual ? manual : none);
        return CLI_OK;
    }
    cli_clean(reply);
    size_t i;
    json_t *record;
    json_array_foreach(manual, i, record)
    {
        printf("%s. IN TXT \"%s\"\n", cm_json_str_or(record, "fqdn", ""),
               cm_json_str_or(record, "value", ""));
    }
    if (json_array_size(manual) == 0)
        printf("No TXT record has to be written by hand now.\n");
    else
        printf("When all of them are there: certmgr dns manual %s --go-on\n", ulid);
    if (cm_json_str(reply, "manual_problem"))
        printf("Last look: %s\n", cm_json_str(reply, "manual_problem"));
    return CLI_OK;
}

const struct cli_command cli_dns_commands[] = {
    {"dns add", "NAME --kind KIND -d DOMAIN …", "account that writes TXT records", cmd_add},
    {"dns change", "NAME [--option NAME=VALUE …]", "what is given replaces what is there",
     cmd_change},
    {"dns list", "", "DNS accounts", cmd_list},
    {"dns show", "NAME", "one of them, without its secrets", cmd_show},
    {"dns remove", "NAME [--force]", "takes a DNS account away", cmd_remove},
    {"dns test", "NAME [--name HOST]", "write, see and remove a probe record", cmd_test},
    {"dns manual", "CREDENTIAL [--go-on]", "TXT records to be written by hand", cmd_manual},
    {0},
};
