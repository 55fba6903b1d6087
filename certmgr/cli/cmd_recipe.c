/* dns lint, dns providers, dns recipe list|show|add|remove. */
#include "base/core/file.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "base/net/url.h"
#include "certmgr/cli/cli_internal.h"
#include "certmgr/dns/recipe.h"

#include <stdio.h>
#include <string.h>

/* confirmed: hosts behind "?confirm_hosts=", or NULL. */
static int call(struct cli *cli, const char *method, const char *name,
                const struct cli_option *confirmed, const json_t *body, json_t **ret)
{
    struct cm_buf path;
    cm_buf_init(&path, 8192);
    cm_buf_puts(&path, "/dns-providers/");
    url_encode(&path, name);
    for (size_t i = 0; confirmed && i < confirmed->count; i++) {
        cm_buf_puts(&path, i == 0 ? "?confirm_hosts=" : "&confirm_hosts=");
        url_encode(&path, confirmed->value[i]);
    }
    int status = cli_api(cli, method, cm_buf_str(&path), body, ret);
    cm_buf_fini(&path);
    return status;
}

static int read_recipe(struct cli *cli, const char *path, json_t **ret)
{
    char *text = NULL;
    size_t len = 0;
    struct cm_err err = CM_ERR_INIT;
    int status = CLI_OK;
    if (cm_file_read(path, RCP_BYTES_MAX, &text, &len, &err) != 0 ||
        cm_json_parse(text, len, ret, &err) != 0)
        status = cli_error(cli, &err);
    cm_free(text);
    cm_err_fini(&err);
    return status;
}

/* ---- lint --------------------------------------------------------------------------------------
 */

static void on_line(void *arg, const char *line)
{
    (void)arg;
    printf("%s\n", line);
}

static int cmd_lint(struct cli *cli)
{
    struct cli_option o[] = {{.name = NULL}};
    CM_AUTO_JSON recipe = NULL;
    struct cm_err err = CM_ERR_INIT;
    if (cli_options(cli, o) != 0 || cli->argc != 1)
        return CLI_USAGE;
    int status = read_recipe(cli, cli->argv[0], &recipe);
    if (status == CLI_OK && dnsp_lint(recipe, cli->json ? NULL : on_line, NULL, &err) != 0)
        status = cli_error(cli, &err);
    else if (status == CLI_OK && !cli->json)
        printf("%s: a good recipe%s\n", cli->argv[0],
               cm_json_bool(recipe, "unverified", false)
                   ? " (unverified: never run against the provider)"
                   : "");
    cm_err_fini(&err);
    return status;
}

/* ---- list --------------------------------------------------------------------------------------
 */

static void print_provider(const char *name, const json_t *one)
{
    printf("%-16s  %s%s\n", name, cm_json_str_or(one, "title", ""),
           cm_json_bool(one, "unverified", false) ? "  (unverified: never run live by us)" : "");
}

static int cmd_providers(struct cli *cli)
{
    CM_AUTO_JSON reply = NULL;
    size_t i = 0;
    json_t *one = NULL;
    int status = cli_get(cli, "/dns-providers", &reply);
    if (!reply)
        return status;
    cli_clean(reply);
    json_array_foreach(cm_json_arr(reply, "kinds"), i, one)
    {
        CM_AUTO_STR name = cm_asprintf("--kind %s", cm_json_str_or(one, "kind", ""));
        if (strcmp(name, "--kind recipe") != 0) /* these follow one by one */
            print_provider(name, one);
    }
    json_array_foreach(cm_json_arr(reply, "recipes"), i, one)
    {
        print_provider(cm_json_str_or(one, "name", ""), one);
    }
    return CLI_OK;
}

static void print_users(const json_t *recipe)
{
    const json_t *users = cm_json_arr(recipe, "used_by");
    for (size_t i = 0; i < json_array_size(users); i++)
        printf("%s%s", i > 0 ? ", " : "", cm_json_str_or(json_array_get(users, i), "name", ""));
    printf("%s\n", json_array_size(users) == 0 ? "-" : "");
}

static const char *state_of(const json_t *recipe)
{
    return cm_json_bool(recipe, "unverified", false) ? "unverified" : "verified";
}

static int list(struct cli *cli)
{
    CM_AUTO_JSON reply = NULL;
    size_t i = 0;
    json_t *recipe = NULL;
    int status = cli_get(cli, "/dns-providers", &reply);
    if (!reply)
        return status;
    cli_clean(reply);
    printf("%-20s %-8s %-10s %s\n", "NAME", "ORIGIN", "STATE", "USED BY");
    json_array_foreach(cm_json_arr(reply, "recipes"), i, recipe)
    {
        printf("%-20s %-8s %-10s ", cm_json_str_or(recipe, "name", ""),
               cm_json_bool(recipe, "stored", false) ? "stored" : "program", state_of(recipe));
        print_users(recipe);
    }
    return CLI_OK;
}

/* ---- show --------------------------------------------------------------------------------------
 */

/* The texts of an array, or the `name` of its objects, in one line. */
static void print_texts(const char *label, const json_t *array)
{
    printf("%-14s ", label);
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *item = json_array_get(array, i);
        const char *text = json_string_value(item);
        printf("%s%s", i > 0 ? ", " : "", text ? text : cm_json_str_or(item, "name", ""));
    }
    printf("%s\n", json_array_size(array) == 0 ? "-" : "");
}

static int show(struct cli *cli)
{
    struct cli_option o[] = {{.name = NULL}};
    CM_AUTO_JSON reply = NULL;
    if (cli_options(cli, o) != 0 || cli->argc != 1)
        return CLI_USAGE;
    int status = call(cli, "GET", cli->argv[0], NULL, NULL, &reply);
    if (status != CLI_OK)
        return status;
    if (cli->json) {
        cli_print_json(reply);
        return CLI_OK;
    }
    cli_clean(reply);
    const json_t *lint = cm_json_obj(reply, "lint");
    printf("%-14s %s\n", "Name", cm_json_str_or(reply, "name", ""));
    printf("%-14s %s\n", "Provider", cm_json_str_or(reply, "title", ""));
    printf("%-14s %s, %s\n", "Origin", cm_json_bool(reply, "stored", false) ? "stored" : "program",
           state_of(reply));
    printf("%-14s %s\n", "Documentation", cm_json_str_or(reply, "docs", "-"));
    print_texts("Secrets go to", cm_json_arr(reply, "reach"));
    print_texts("Credentials", cm_json_arr(reply, "credentials"));
    print_texts("Options", cm_json_arr(reply, "options"));
    printf("%-14s ", "Used by");
    print_users(reply);
    printf("%-14s %s, %lld recorded tests\n", "Lint",
           cm_json_bool(lint, "ok", false) ? "passes" : "does not pass",
           (long long)cm_json_int(lint, "tests", 0));
    char *text = json_dumps(json_object_get(reply, "recipe"), JSON_INDENT(2));
    printf("%s\n", text ? text : "");
    cm_free(text);
    return CLI_OK;
}

/* ---- add, remove -------------------------------------------------------------------------------
 */

static int add(struct cli *cli)
{
    struct cli_option o[] = {{.name = "--confirm-host"}, {.name = NULL}};
    CM_AUTO_JSON recipe = NULL;
    CM_AUTO_JSON reply = NULL;
    if (cli_options(cli, o) != 0 || cli->argc != 2)
        return CLI_USAGE;
    int status = read_recipe(cli, cli->argv[1], &recipe);
    if (status == CLI_OK)
        status = call(cli, "PUT", cli->argv[0], &o[0], recipe, &reply);
    if (status == CLI_OK && cli->json)
        cli_print_json(reply);
    else if (status == CLI_OK)
        printf("The recipe %s is stored.\n", cli->argv[0]);
    return status;
}

static int take_away(struct cli *cli)
{
    struct cli_option o[] = {{.name = NULL}};
    CM_AUTO_JSON reply = NULL;
    if (cli_options(cli, o) != 0 || cli->argc != 1)
        return CLI_USAGE;
    int status = call(cli, "DELETE", cli->argv[0], NULL, NULL, &reply);
    if (status == CLI_OK && !cli->json)
        printf("The recipe %s is removed.\n", cli->argv[0]);
    return status;
}

static int cmd_recipe(struct cli *cli)
{
    static const struct {
        const char *word;
        int (*run)(struct cli *cli);
    } words[] = {{"list", list}, {"show", show}, {"add", add}, {"remove", take_away}};
    if (cli->help_of)
        return add(cli); /* the one with options */
    for (size_t i = 0; cli->argc > 0 && i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(cli->argv[0], words[i].word) != 0)
            continue;
        cli->argc--;
        cli->argv++;
        return words[i].run(cli);
    }
    return cli_usage(cli, "dns recipe takes list, show, add or remove");
}

const struct cli_command cli_recipe_commands[] = {
    {"dns lint", "FILE", "prove a provider recipe offline", cmd_lint},
    {"dns providers", "", "kinds of DNS accounts, and the recipes of kind recipe", cmd_providers},
    {"dns recipe", "list|show|add|remove [NAME] [FILE]", "recipes: stored and of the program",
     cmd_recipe},
    {0},
};
