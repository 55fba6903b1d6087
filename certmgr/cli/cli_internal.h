/* Shared by the subcommands: context, API calls, output. */
#pragma once

#include <stdio.h>

#include "base/core/err.h"
#include "certmgr/cli/cli.h"

#define CLI_VALUES_MAX 64

struct cli {
    struct config config;
    bool json;           /* --json */
    const char *help_of; /* a command that only tells its options */
    int argc;            /* arguments behind the subcommand's words */
    char **argv;
};

struct cli_command {
    const char *name; /* "request", or two words: "server add" */
    const char *args; /* for the usage line */
    const char *help;
    int (*run)(struct cli *cli);
};

/* Commands of each file, ended by a row without name. */
extern const struct cli_command cli_fleet_commands[];
extern const struct cli_command cli_credential_commands[];
extern const struct cli_command cli_life_commands[];
extern const struct cli_command cli_report_commands[];
extern const struct cli_command cli_csr_commands[];
extern const struct cli_command cli_move_commands[];
extern const struct cli_command cli_admin_commands[];
extern const struct cli_command cli_status_commands[];
extern const struct cli_command cli_account_commands[];
extern const struct cli_command cli_account_view_commands[];
extern const struct cli_command cli_store_commands[];
extern const struct cli_command cli_backup_commands[];
extern const struct cli_command cli_notify_commands[];
extern const struct cli_command cli_dns_commands[];
extern const struct cli_command cli_replication_commands[];
extern const struct cli_command cli_power_commands[];
extern const struct cli_command cli_recipe_commands[];

/* Calls the running server's API.  Returns an exit status; on CLI_OK *ret is the reply (owned; may
 * be NULL for 204).  Failures were told on stderr (or as JSON on stdout with --json). */
int cli_api(struct cli *cli, const char *method, const char *path, const json_t *body,
            json_t **ret);
/* A command without options or operands that shows what GET of the path says: on CLI_OK with *ret
 * (owned) the caller prints it for people; *ret NULL: told already (as JSON with --json, a
 * failure), and the exit status is returned. */
int cli_get(struct cli *cli, const char *path, json_t **ret);
/* Replaces control bytes in every text of a reply by '?', for printing. */
void cli_clean(json_t *value);
/* Tells an error and returns the matching exit status. */
int cli_error(const struct cli *cli, const struct cm_err *err);
/* An error object of a reply (base/core/err.h) for people, whole: what and on which object, why,
 * what to do, which attempt it was and when the next one is.  NULL: nothing is printed. */
void cli_tell_error(FILE *out, const char *indent, const json_t *error);
int cli_usage(const struct cli *cli, const char *what);
/* Prints a JSON value, one object per call, for --json. */
void cli_print_json(const json_t *value);
/* The "notes" of a reply, a line each, on stderr. */
void cli_print_notes(const json_t *reply);
/* "label: value" on stdout, values in one column; NULL and lists without items print nothing. */
void cli_line(const char *label, const char *value);
void cli_lines(const char *label, const json_t *values);
/* Every member of an object under its own name; the caller has cleaned it (cli_clean()). */
void cli_members(const json_t *object);
/* What an error object (docs/documents.md) says to people: what, why, what to do, when again. */
void cli_print_error(const json_t *error);

/* Says `done`, or of a reply "202" what the change waits for; returns the exit status. */
int cli_told(const struct cli *cli, int status, const json_t *reply, const char *done);

/* May this be the name of an account?  Returns 0 or CLI_USAGE (told). */
int cli_account_name(const struct cli *cli, const char *name);

struct cs_store;
/* Opens this server's store for work on local tables (no server may run); documents cannot be put.
 */
int cli_open_store(const struct cli *cli, struct cs_store **ret, struct cm_err *err);

/* One option: "-d NAME", "--domain NAME", "--domain=NAME"; repeated ones collect; words only behind
 * a lone "--". */
struct cli_option {
    const char *name;       /* "--domain" */
    const char *short_name; /* "-d" or NULL */
    bool flag;              /* takes no value */
    const char *value[CLI_VALUES_MAX];
    size_t count;
};
/* Takes known options (ended by a row without name) out of argv; what is left are words.  Returns 0
 * or CLI_USAGE (told).  Every command calls it before anything else: with help_of it prints them
 * and returns CLI_USAGE, too. */
int cli_options(struct cli *cli, struct cli_option *options);
const char *cli_value(const struct cli_option *option, const char *fallback);
/* A line for each option of a command. */
void cli_help_options(const char *command, const struct cli_option *options);
