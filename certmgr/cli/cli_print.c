/* Lines "label: value" for people, the same in every command that shows one thing. */
#include "base/core/json.h"
#include "base/core/mem.h"
#include "certmgr/cli/cli_internal.h"

#include <stdio.h>
#include <string.h>

#define MEMBERS_DEPTH 4 /* objects within objects */

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

/* "renew_days" -> "renew days:", two columns further in at each level. */
static char *member_label(const char *key, int level)
{
    char *label = cm_asprintf("%*s%.40s:", 2 * level, "", key);
    for (char *p = label; (p = strchr(p, '_')) != NULL;)
        *p = ' ';
    return label;
}

static void print_members(const json_t *object, int level)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        CM_AUTO_STR label = member_label(key, level);
        if (json_is_object(value)) {
            printf("%s\n", label);
            if (level < MEMBERS_DEPTH)
                print_members(value, level + 1);
        } else if (json_array_size(value) > 0) {
            cli_lines(label, value);
        } else if (json_is_string(value)) {
            cli_line(label, json_string_value(value));
        } else if (json_is_integer(value)) {
            printf("%-22s %lld\n", label, (long long)json_integer_value(value));
        } else {
            cli_line(label, json_is_true(value) ? "yes" : json_is_false(value) ? "no" : "-");
        }
    }
}

void cli_members(const json_t *object)
{
    print_members(object, 0);
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
