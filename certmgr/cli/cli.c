/* Dispatch by table, options, errors. */
#include "certmgr/cli/cli.h"

#include "base/core/json.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "base/core/utf8.h"
#include "certmgr/cli/cli_internal.h"

#include <stdio.h>
#include <string.h>

#define HELP_WIDTH 42 /* columns of a command and its arguments */

static const struct cli_command *const tables[] = {
    cli_fleet_commands,  cli_credential_commands, cli_life_commands,         cli_report_commands,
    cli_csr_commands,    cli_move_commands,       cli_account_view_commands, cli_account_commands,
    cli_admin_commands,  cli_status_commands,     cli_store_commands,        cli_backup_commands,
    cli_notify_commands, cli_dns_commands,        cli_replication_commands,  cli_power_commands,
    cli_recipe_commands};

/* A row of the help: aligned as it looks, not as it is encoded (… has three bytes); what is too
 * wide has its text in a line of its own. */
static void print_row(FILE *out, const char *name, const char *args, const char *help)
{
    int width = (int)strlen(name) + 1;
    for (const char *p = args; *p != '\0'; p++)
        width += (*p & 0xc0) != 0x80;
    fprintf(out, "  %s %s", name, args);
    if (width > HELP_WIDTH)
        fprintf(out, "\n%*s%s\n", HELP_WIDTH + 3, "", help);
    else
        fprintf(out, "%*s%s\n", HELP_WIDTH + 1 - width, "", help);
}

static void print_help(FILE *out)
{
    fputs("usage: certmgr [--root DIR] COMMAND [--json] …\n\n", out);
    print_row(out, "serve", "", "run this server (supervisor, front, key agent)");
    for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++)
        for (const struct cli_command *c = tables[t]; c->name != NULL; c++)
            print_row(out, c->name, c->args, c->help);
    fputs("\n\"certmgr help COMMAND\": one of them. Manual pages: certmgr(1), certmgr.conf(5).\n",
          out);
}

/* Matches one or two words; *ret_words tells how many. */
static const struct cli_command *find(int argc, char **argv, int *ret_words)
{
    for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++)
        for (const struct cli_command *c = tables[t]; c->name != NULL; c++) {
            const char *space = strchr(c->name, ' ');
            size_t n = space != NULL ? (size_t)(space - c->name) : strlen(c->name);
            if (argc < 1 || strlen(argv[0]) != n || strncmp(argv[0], c->name, n) != 0)
                continue;
            if (space == NULL) {
                *ret_words = 1;
                return c;
            }
            if (argc >= 2 && strcmp(argv[1], space + 1) == 0) {
                *ret_words = 2;
                return c;
            }
        }
    return NULL;
}

static bool is_help(const char *word)
{
    return strcmp(word, "help") == 0 || strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

/* The commands of two words that begin with this one; returns how many.  out may be NULL. */
static int print_relatives(FILE *out, const char *word)
{
    size_t n = strlen(word);
    int count = 0;
    for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++)
        for (const struct cli_command *c = tables[t]; c->name != NULL; c++) {
            if (n == 0 || strncmp(c->name, word, n) != 0 || c->name[n] != ' ')
                continue;
            count++;
            if (out != NULL)
                fprintf(out, "  certmgr %s %s\n", c->name, c->args);
        }
    return count;
}

/* An unknown command: the ones that begin with its word are what was probably meant. */
static int refuse_command(int argc, char **argv)
{
    if (print_relatives(NULL, argv[0]) == 0)
        fprintf(stderr, "certmgr: there is no command \"%s\"; \"certmgr help\" lists them\n",
                argv[0]);
    else if (argc < 2)
        fprintf(stderr, "certmgr: there is no command \"%s\" alone; one of these:\n", argv[0]);
    else
        fprintf(stderr, "certmgr: there is no command \"%s %s\"; one of these:\n", argv[0],
                argv[1]);
    print_relatives(stderr, argv[0]);
    return CLI_USAGE;
}

static int print_command(const struct cli_command *command)
{
    static struct cli cli; /* large, see cli_main() */
    cli.help_of = command->name;
    printf("usage: certmgr %s %s\n%s\n", command->name, command->args, command->help);
    (void)command->run(&cli);
    printf("More: certmgr(1)\n");
    return CLI_OK;
}

/* "help", "help COMMAND": which needs neither configuration nor server. */
static int help(int argc, char **argv)
{
    int words = 0;
    const struct cli_command *command = argc > 0 ? find(argc, argv, &words) : NULL;
    if (command != NULL)
        return print_command(command);
    if (argc == 0)
        print_help(stdout);
    else if (print_relatives(stdout, argv[0]) == 0)
        return refuse_command(argc, argv);
    return CLI_OK;
}

static int run(struct cli *cli, int argc, char **argv)
{
    int words = 0;
    const struct cli_command *command = find(argc, argv, &words);
    if (command == NULL && argc > 1 && is_help(argv[argc - 1]))
        return help(argc - 1, argv);
    if (command == NULL)
        return refuse_command(argc, argv);
    if (is_help(argv[argc - 1]))
        return print_command(command);
    cli->argc = argc - words;
    cli->argv = argv + words;
    int status = command->run(cli);
    if (status == CLI_USAGE)
        fprintf(stderr, "usage: certmgr %s %s\n", command->name, command->args);
    return status;
}

/* Takes "--root DIR" out of argv, wherever it is; NULL in *ret when it is not given. */
static int take_root(int *argc, char **argv, const char **ret)
{
    int kept = 1, i = 1;
    *ret = NULL;
    for (; i < *argc && strcmp(argv[i], "--") != 0; i++) {
        if (strncmp(argv[i], "--root=", 7) == 0)
            *ret = argv[i] + 7;
        else if (strcmp(argv[i], "--root") != 0)
            argv[kept++] = argv[i];
        else if (i + 1 < *argc)
            *ret = argv[++i];
        else
            return CLI_USAGE;
    }
    while (i < *argc)
        argv[kept++] = argv[i++];
    *argc = kept;
    return 0;
}

int cli_main(int argc, char **argv)
{
    static struct cli cli; /* large: the configuration; zeroed */
    struct cm_err err = CM_ERR_INIT;
    const char *root = NULL;
    cm_log_init("certmgr", CM_LOG_WARN);
    for (int a = 1; a < argc; a++) {
        if (cm_utf8_ok(argv[a], strlen(argv[a])))
            continue;
        fprintf(stderr, "certmgr: argument %d is not UTF-8 text\n", a);
        return CLI_USAGE;
    }
    if (take_root(&argc, argv, &root) != 0)
        return cli_usage(&cli, "--root: a directory is missing");
    if (argc < 2) {
        print_help(stderr);
        return CLI_USAGE;
    }
    if (is_help(argv[1]))
        return help(argc - 2, argv + 2);
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        printf("certmgr " CM_VERSION "\n");
        return CLI_OK;
    }
    if (config_load(root, false, &cli.config, &err) != 0)
        return cli_error(&cli, &err);
    int status = run(&cli, argc - 1, argv + 1);
    config_fini(&cli.config);
    return status;
}

int cli_error(const struct cli *cli, const struct cm_err *err)
{
    if (cli->json) {
        CM_AUTO_JSON v = json_object();
        cm_json_set(v, "error", cm_err_to_json(err));
        cli_print_json(v);
    }
    fprintf(stderr, "certmgr: %s\n", err->what);
    for (unsigned i = 0; i < err->cause_count; i++)
        fprintf(stderr, "  because: %s\n", err->cause[i]);
    if (err->hint[0] != '\0')
        fprintf(stderr, "  %s\n", err->hint);
    switch (err->code) {
    case CM_ENOENT:
        return CLI_NOT_FOUND;
    case CM_ECONFLICT:
        return CLI_CONFLICT;
    case CM_EDENIED:
        return CLI_DENIED;
    case CM_ENET:
    case CM_ETIMEOUT:
    case CM_ECLOSED:
        return CLI_UNREACHABLE;
    default:
        return CLI_FAILED;
    }
}

int cli_usage(const struct cli *cli, const char *what)
{
    (void)cli;
    fprintf(stderr, "certmgr: %s\n", what);
    return CLI_USAGE;
}

void cli_tell_error(FILE *out, const char *indent, const json_t *error)
{
    const char *object = cm_json_str(error, "object"), *next;
    int64_t attempts = cm_json_int(error, "attempts", 0);
    size_t i = 0;
    json_t *cause = NULL;
    if (!error)
        return;
    fprintf(out, "%s%s\n", indent, cm_json_str_or(error, "what", ""));
    if (object)
        fprintf(out, "%s  on: %s\n", indent, object);
    json_array_foreach(cm_json_arr(error, "causes"), i, cause)
    {
        fprintf(out, "%s  because: %s\n", indent, json_string_value(cause));
    }
    if (cm_json_str(error, "hint"))
        fprintf(out, "%s  what to do: %s\n", indent, cm_json_str(error, "hint"));
    if (attempts > 0)
        fprintf(out, "%s  attempts: %lld\n", indent, (long long)attempts);
    if ((next = cm_json_str(error, "next_attempt_at")) != NULL)
        fprintf(out, "%s  next attempt: %s\n", indent, next);
}

void cli_print_json(const json_t *value)
{
    size_t len = 0;
    CM_AUTO_STR text = cm_json_dump(value, &len);
    printf("%s\n", text);
}

void cli_print_notes(const json_t *reply)
{
    size_t i;
    json_t *note;
    json_array_foreach(cm_json_arr(reply, "notes"), i, note)
    {
        fprintf(stderr, "note: %s\n", json_is_string(note) ? json_string_value(note) : "");
    }
}

/* joined: the "=" of "--name=value", or NULL. */
static struct cli_option *option_of(struct cli_option *options, const char *word,
                                    const char *joined)
{
    size_t n = joined != NULL ? (size_t)(joined - word) : strlen(word);
    for (struct cli_option *o = options; o->name != NULL; o++)
        if ((strlen(o->name) == n && strncmp(word, o->name, n) == 0) ||
            (o->short_name != NULL && strcmp(word, o->short_name) == 0))
            return o;
    return NULL;
}

static int refuse_option(const struct cli *cli, const char *word, const char *why)
{
    char text[200];
    snprintf(text, sizeof(text), "%.100s: %s", word, why);
    return cli_usage(cli, text);
}

int cli_options(struct cli *cli, struct cli_option *options)
{
    int kept = 0;
    bool words_only = false;
    if (cli->help_of != NULL) {
        cli_help_options(cli->help_of, options);
        return CLI_USAGE;
    }
    for (int i = 0; i < cli->argc; i++) {
        char *word = cli->argv[i];
        const char *joined = strncmp(word, "--", 2) == 0 ? strchr(word, '=') : NULL;
        struct cli_option *o = option_of(options, word, joined);
        if (words_only || word[0] != '-' || word[1] == '\0') {
            cli->argv[kept++] = word;
        } else if (strcmp(word, "--") == 0) {
            words_only = true;
        } else if (strcmp(word, "--json") == 0) {
            cli->json = true;
        } else if (o == NULL) {
            return refuse_option(cli, word, "unknown option");
        } else if (o->flag && joined != NULL) {
            return refuse_option(cli, word, "takes no value");
        } else if (o->flag) {
            o->count = 1;
        } else if (o->count == CLI_VALUES_MAX) {
            return refuse_option(cli, word, "given too often");
        } else if (joined == NULL && i + 1 >= cli->argc) {
            return refuse_option(cli, word, "a value is missing");
        } else {
            o->value[o->count++] = joined != NULL ? joined + 1 : cli->argv[++i];
        }
    }
    cli->argc = kept;
    return 0;
}

const char *cli_value(const struct cli_option *option, const char *fallback)
{
    return option->count > 0 ? option->value[option->count - 1] : fallback;
}
