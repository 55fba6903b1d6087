/* Following a dry run from the command line: its steps as they come, then its outcome. */
#include "certmgr/cli/cli_follow.h"

#include <stdio.h>
#include <string.h>

#include "base/core/json.h"
#include "base/core/mem.h"

#define LOOK_MS 1000

/* Steps that were not printed yet; ids grow. */
static void print_new(const json_t *steps, char last[CLI_EVENT_ID_SIZE], bool quiet)
{
    size_t i = 0;
    json_t *step = NULL;
    json_array_foreach(steps, i, step)
    {
        const char *id = cm_json_str_or(step, "id", "");
        if (strcmp(id, last) <= 0)
            continue;
        (void)cm_strcpy(last, CLI_EVENT_ID_SIZE, id);
        if (!quiet)
            printf("%s  %s\n", cm_json_str_or(step, "at", ""), cm_json_str_or(step, "text", ""));
    }
    fflush(stdout);
}

static int outcome(const struct cli *cli, const char *ulid, const json_t *view)
{
    const json_t *credential = cm_json_obj(view, "credential");
    const json_t *trial = cm_json_obj(credential, "trial");
    const json_t *error = cm_json_obj(trial, "error");
    bool passed = strcmp(cm_json_str_or(trial, "state", ""), "passed") == 0;
    if (error == NULL && !passed)
        error = cm_json_obj(credential, "error");
    if (cli->json) {
        cli_print_json(view);
    } else {
        printf("dry run: %s\n", passed ? "passed" : "failed");
        cli_tell_error(stdout, "  ", error);
        if (passed && strcmp(cm_json_str_or(credential, "status", ""), "draft") == 0)
            printf("Nothing was issued yet; submit it with: certmgr retry %s\n", ulid);
    }
    return passed ? CLI_OK : CLI_FAILED;
}

int cli_trial_mark(struct cli *cli, const char *ulid, struct cli_trial *mark)
{
    CM_AUTO_STR path = cm_asprintf("/credentials/%s", ulid);
    CM_AUTO_JSON view = NULL;
    int status = cli_api(cli, "GET", path, NULL, &view);
    *mark = (struct cli_trial){.last = ""};
    if (status == CLI_OK) {
        print_new(cm_json_arr(view, "steps"), mark->last, true);
        (void)cm_strcpy(mark->asked, sizeof(mark->asked),
                        cm_json_str_or(cm_json_obj(view, "credential"), "requested_at", ""));
    }
    return status;
}

int cli_trial_follow(struct cli *cli, const char *ulid, struct cli_trial *mark)
{
    CM_AUTO_STR path = cm_asprintf("/credentials/%s", ulid);
    for (;;) {
        CM_AUTO_JSON view = NULL;
        int status = cli_api(cli, "GET", path, NULL, &view);
        if (status != CLI_OK)
            return status;
        print_new(cm_json_arr(view, "steps"), mark->last, cli->json);
        const json_t *credential = cm_json_obj(view, "credential");
        const char *state = cm_json_str_or(cm_json_obj(credential, "trial"), "state", "");
        bool answered = cm_json_str(credential, "request") &&
                        strcmp(cm_json_str_or(credential, "requested_at", ""), mark->asked) != 0;
        if (answered && strcmp(state, "wanted") != 0)
            return outcome(cli, ulid, view);
        cli_nap(LOOK_MS);
    }
}
