/* report. */
#include <stdio.h>
#include <string.h>

#include "base/core/json.h"
#include "base/core/mem.h"
#include "certmgr/cli/cli_internal.h"

static const json_t *part_of(const json_t *report, const char *name, long long *ret_count)
{
    const json_t *part = cm_json_obj(report, name);
    *ret_count = (long long)cm_json_int(part, "count", 0);
    return cm_json_arr(part, "rows");
}

static void print_names(const json_t *row)
{
    size_t i = 0;
    json_t *name = NULL;
    printf("  %s ", cm_json_str_or(row, "credential", ""));
    json_array_foreach(cm_json_arr(row, "names"), i, name)
    {
        printf(" %s", json_string_value(name));
    }
    printf("\n");
}

static void print_issued(const json_t *report)
{
    size_t i = 0, k = 0;
    json_t *row = NULL, *server = NULL;
    long long count = 0;
    const json_t *rows = part_of(report, "issued", &count);
    printf("issued: %lld\n", count);
    json_array_foreach(rows, i, row)
    {
        print_names(row);
        printf("    until %s, %s/%s on", cm_json_str_or(row, "not_after", "?"),
               cm_json_str_or(row, "target", ""), cm_json_str_or(row, "keyring_file", ""));
        json_array_foreach(cm_json_arr(row, "servers"), k, server)
        {
            printf(" %s", json_string_value(server));
        }
        printf("\n");
    }
}

/* Returns how many there are. */
static long long print_texts(const json_t *report, const char *name)
{
    size_t i = 0;
    json_t *row = NULL;
    long long count = 0;
    const json_t *rows = part_of(report, name, &count);
    printf("%s: %lld\n", name, count);
    json_array_foreach(rows, i, row)
    {
        print_names(row);
        printf("    %s\n", cm_json_str_or(row, "text", ""));
        if (cm_json_str(row, "fix") != NULL)
            printf("    -> %s\n", cm_json_str(row, "fix"));
        if (cm_json_str(row, "next_at") != NULL)
            printf("    next attempt at %s\n", cm_json_str(row, "next_at"));
    }
    return count;
}

static int cmd_report(struct cli *cli)
{
    struct cli_option options[] = {{.name = "--hours"}, {.name = NULL}};
    CM_AUTO_JSON report = NULL;
    if (cli_options(cli, options) != 0 || cli->argc != 0)
        return CLI_USAGE;
    const char *hours = cli_value(&options[0], "24");
    if (*hours == '\0' || strspn(hours, "0123456789") != strlen(hours))
        return cli_usage(cli, "--hours takes a number");
    CM_AUTO_STR path = cm_asprintf("/report?hours=%s", hours);
    int status = cli_api(cli, "GET", path, NULL, &report);
    if (status != CLI_OK)
        return status;
    long long skipped = 0, failed = 0, wrong = 0;
    (void)part_of(report, "skipped", &skipped);
    (void)part_of(report, "failed", &failed);
    (void)part_of(report, "misconfigured", &wrong);
    if (cli->json) {
        cli_print_json(report);
        return failed + wrong > 0 ? CLI_FAILED : CLI_OK;
    }
    printf("since %s\n", cm_json_str_or(report, "since", ""));
    print_issued(report);
    (void)print_texts(report, "failed");
    (void)print_texts(report, "misconfigured");
    printf("skipped: %lld, the next one is due at %s\n", skipped,
           cm_json_str_or(cm_json_obj(report, "skipped"), "next_at", "-"));
    return failed + wrong > 0 ? CLI_FAILED : CLI_OK;
}

const struct cli_command cli_report_commands[] = {
    {"report", "[--hours N]", "issued, failed, skipped, misconfigured lately", cmd_report},
    {0},
};
