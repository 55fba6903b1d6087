/* The engine's check before a request, and its ledger, in the rig: always the same findings. */
#include <string.h>

#include "base/core/json.h"
#include "base/core/mem.h"
#include "certmgr/engine/preflight.h"
#include "certmgr/engine/report.h"

#include "tests/unit/web/doubles.h"

struct answer {
    eng_preflight_fn done;
    void *arg;
};

struct report_answer {
    eng_report_fn done;
    void *arg;
};

static void on_answer(void *arg)
{
    struct answer *answer = arg;
    CM_AUTO_JSON report = json_pack(
        "{s:s,s:i,s:[{s:s,s:s,s:s,s:s,s:s},{s:s,s:s,s:s,s:s,s:s,s:s},{s:s,s:s,s:s,s:s,s:s,s:s}]}",
        "result", "fail", "ms", 7, "checks", "name", "a.example", "what", "name", "id", "name_ok",
        "result", "ok", "text", "all is well with it", "name", "a.example", "what", "caa", "id",
        "caa_denied", "result", "fail", "text", "<script>no</script>", "fix", "add <b>this</b>",
        "name", "", "what", "set", "id", "set_exact", "result", "warn", "text", "again", "fix",
        "Change or renew that certificate instead of a second one.");
    bool errors = json_array_size(doubles.field_errors) > 0;
    struct cm_err err = CM_ERR_INIT;
    if (errors)
        cm_fail(&err, CM_EINVAL, "The request has errors");
    answer->done(answer->arg, errors ? NULL : report, errors ? doubles.field_errors : NULL,
                 errors ? &err : NULL);
    cm_err_fini(&err);
    cm_free(answer);
}

void eng_preflight(struct engine *engine, const json_t *fields,
                   const struct eng_preflight_opts *opts, eng_preflight_fn done, void *arg)
{
    struct answer *answer = cm_calloc(1, sizeof(*answer));
    (void)engine;
    json_decref(doubles.fields);
    doubles.fields = json_deep_copy(fields);
    cm_strcpy(doubles.name, sizeof(doubles.name), opts->credential ? opts->credential : "");
    *answer = (struct answer){.done = done, .arg = arg};
    cm_loop_defer(doubles.loop, on_answer, answer);
}

json_t *eng_advise(struct engine *engine, const char *credential, const json_t *fields)
{
    (void)engine;
    cm_strcpy(doubles.name, sizeof(doubles.name), credential ? credential : "");
    if (json_object_size(fields) == 0) /* nothing is to be changed */
        return doubles.advice_before ? json_deep_copy(doubles.advice_before) : json_array();
    return doubles.advice ? json_deep_copy(doubles.advice) : json_array();
}

static void on_report(void *arg)
{
    struct report_answer *answer = arg;
    answer->done(answer->arg, doubles.report);
    cm_free(answer);
}

void eng_report(struct engine *engine, int64_t since_ms, eng_report_fn done, void *arg)
{
    struct report_answer *answer = cm_calloc(1, sizeof(*answer));
    (void)engine;
    doubles.since_ms = since_ms;
    *answer = (struct report_answer){.done = done, .arg = arg};
    cm_loop_defer(doubles.loop, on_report, answer);
}

json_t *eng_budget_view(struct engine *engine, const char *account)
{
    (void)engine;
    if (strcmp(account, "le") != 0)
        return NULL;
    return json_pack("{s:b,s:s,s:[{s:s,s:s,s:i,s:i,s:i,s:s}]}", "known", 1, "ca", "A <b>CA</b>",
                     "limits", "limit", "domain", "subject", "<i>example.com</i>", "of", 50, "left",
                     0, "refill_s", 12096, "next_at", "2030-01-01T00:00:00.000Z");
}
