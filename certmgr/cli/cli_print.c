/* Lines "label: value" for people, the same in every command that shows one thing. */
#include "base/core/json.h"
#include "certmgr/cli/cli_internal.h"

#include <stdio.h>

void cli_line(const char *label, const char *value)
{
    if (value != NULL)
        printf("%-22s %s\n", label, value);
}

void cli_lines(const char *label, const json_t *values)
{
    size_t i = 0;
    json_t *v = NULL;
    json_array_foreach(values, i, v)
    {
        printf("%-22s %s\n", i == 0 ? label : "", json_is_string(v) ? json_string_value(v) : "");
    }
}

void cli_print_error(const json_t *error)
{
    if (error == NULL)
        return;
    cli_line("error:", cm_json_str(error, "what"));
    cli_lines("  because:", cm_json_arr(error, "causes"));
    cli_line("  what to do:", cm_json_str(error, "hint"));
    cli_line("  next attempt:", cm_json_str(error, "next_attempt_at"));
}
