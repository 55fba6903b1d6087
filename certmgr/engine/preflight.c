/*
 * The run of a pre-flight check: facts, the CA's directory (for its CAA names and profiles; no
 * account of it is used), the names, wanted probes, the report.
 */
#include "certmgr/engine/preflight.h"
#include "certmgr/engine/manual.h"

#include <stdio.h>
#include <string.h>

#include "certmgr/acme/ca.h"
#include "certmgr/engine/advice.h"
#include "certmgr/engine/preflight_run.h"

#define TICK_MS       250
#define DIRECTORY_MS  8000
#define DIRECTORY_MAX (256u << 10)

/* ---- end ----------------------------------------------------------------------------------------
 */

static void stop_work(struct preflight *pf)
{
    if (pf->directory)
        http_call_cancel(pf->directory);
    pf->directory = NULL;
    for (size_t i = 0; i < pf->name_count; i++)
        pf_name_stop(&pf->names[i]);
}

static void pf_free(struct preflight *pf)
{
    struct engine *engine = pf->engine;
    stop_work(pf);
    for (struct preflight **at = &engine->preflights; *at; at = &(*at)->next) {
        if (*at == pf) {
            *at = pf->next;
            break;
        }
    }
    cm_timer_free(pf->deadline);
    cm_timer_free(pf->tick);
    json_decref(pf->fields);
    json_decref(pf->rows);
    for (size_t i = 0; i < pf->ca_count; i++) {
        json_decref(pf->cas[i].identities);
        eng_account_unref(pf->cas[i].account);
    }
    json_decref(pf->probes);
    json_decref(pf->errors);
    cm_free(pf->names);
    cm_err_fini(&pf->err);
    cm_free(pf);
    eng_unref(engine);
}

static const char *worst_of(const json_t *rows)
{
    const char *worst = "ok";
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        const char *result = cm_json_str_or(row, "result", "");
        if (strcmp(result, "fail") == 0)
            return "fail";
        if (strcmp(result, "warn") == 0)
            worst = "warn";
    }
    return worst;
}

static bool has_row(const struct preflight *pf, const char *id)
{
    size_t i;
    json_t *row;
    json_array_foreach(pf->rows, i, row)
    {
        if (strcmp(cm_json_str_or(row, "id", ""), id) == 0)
            return true;
    }
    return false;
}

/* Records by hand that only the look-up of CNAMEs has shown (advice.c counts the others). */
static void hand_row(struct preflight *pf)
{
    const char *by = "";
    size_t count = 0;
    if (cm_json_bool(pf->fields, "paused", false) || has_row(pf, "by_hand"))
        return;
    for (size_t i = 0; i < pf->name_count; i++) {
        struct eng_dns_account *account = eng_dns_account(pf->engine, pf->names[i].account);
        if (account && eng_dns_by_hand(account)) {
            by = pf->names[i].account;
            count++;
        }
        eng_dns_unref(account);
    }
    if (count > 0)
        eng_advice_by_hand(pf->rows, count, pf->name_count, by);
}

static void report(struct preflight *pf)
{
    CM_AUTO_JSON report = json_object();
    hand_row(pf);
    for (size_t i = 0; i < pf->name_count; i++)
        if (pf->names[i].rows)
            json_array_extend(pf->rows, pf->names[i].rows);
    cm_json_set_str(report, "result", worst_of(pf->rows));
    cm_json_set_int(report, "ms", cm_mono_ms() - pf->begun_ms);
    json_object_set(report, "checks", pf->rows);
    pf->done(pf->arg, report, NULL, NULL);
    pf_free(pf);
}

static void end_with(struct preflight *pf, const struct cm_err *err)
{
    stop_work(pf);
    pf->done(pf->arg, NULL, pf->errors, err && err->code ? err : NULL);
    pf_free(pf);
}

static void on_refused(void *arg)
{
    struct preflight *pf = arg;
    end_with(pf, &pf->err);
}

static void on_deadline(void *arg)
{
    struct preflight *pf = arg;
    for (size_t i = 0; i < pf->name_count; i++) {
        struct pf_name *name = &pf->names[i];
        if (!name->over)
            pf_row(name->rows, name->name, "time", PF_WARN, NULL,
                   "The checks of %s did not end within %d seconds", name->name,
                   PREFLIGHT_MS / 1000);
    }
    if (json_object_size(pf->probes) > 0)
        pf_row(pf->rows, "", "time", PF_WARN, NULL,
               "The test of the DNS account did not end within %d seconds", PREFLIGHT_MS / 1000);
    report(pf);
}

/* ---- probes -------------------------------------------------------------------------------------
 */

/* A report of `certmgr dns test`. */
static void probe_row(struct preflight *pf, const char *account, const json_t *test)
{
    const json_t *error = cm_json_obj(test, "error");
    if (cm_json_bool(test, "ok", false))
        pf_row(pf->rows, "", "dns_probe_ok", PF_OK, NULL,
               "DNS account %s wrote a TXT value, saw it and took it away", account);
    else
        pf_row(pf->rows, "", "dns_probe_bad", PF_FAIL, cm_json_str(error, "hint"),
               "DNS account %s: %s", account, cm_json_str_or(error, "what", "the test failed"));
}

static void look_at_probes(struct preflight *pf)
{
    CM_AUTO_JSON over = json_array();
    const char *account;
    json_t *value;
    size_t i;
    json_object_foreach(pf->probes, account, value)
    {
        CM_AUTO_JSON test = eng_dns_test_view(pf->engine, account);
        if (cm_json_bool(test, "running", false))
            continue;
        probe_row(pf, account, test);
        json_array_append_new(over, json_string(account));
    }
    json_array_foreach(over, i, value)
    {
        json_object_del(pf->probes, json_string_value(value));
    }
}

static void start_probes(struct preflight *pf)
{
    struct eng_actor actor = {.who = pf->who, .via = "api"};
    pf->probes = json_object();
    for (size_t i = 0; pf->probe_dns && i < pf->name_count; i++) {
        struct pf_name *name = &pf->names[i];
        struct cm_err err = CM_ERR_INIT;
        if (!name->account[0] || json_object_get(pf->probes, name->account))
            continue;
        if (eng_dns_test(pf->engine, name->account, name->host, &actor, &err) == 0 ||
            err.code == CM_ECONFLICT)
            json_object_set_new(pf->probes, name->account, json_true());
        else
            pf_row(pf->rows, "", "dns_probe_bad", PF_WARN, err.hint, "DNS account %s: %s",
                   name->account, err.what);
        cm_err_fini(&err);
    }
}

/* ---- names --------------------------------------------------------------------------------------
 */

/* The names go on from the loop, so that none of them is on the stack of another. */
void pf_name_over(struct pf_name *name)
{
    name->over = true;
    cm_timer_start(name->pf->tick, 0);
}

/* Fills the free places; true when all names are over. */
static bool names_over(struct preflight *pf)
{
    size_t running = 0;
    bool all = true;
    for (size_t i = 0; i < pf->name_count; i++)
        running += pf->names[i].started && !pf->names[i].over;
    for (size_t i = 0; i < pf->name_count; i++) {
        struct pf_name *name = &pf->names[i];
        if (!name->started && running < PREFLIGHT_NAMES) {
            running++;
            pf_name_start(name);
        }
        all = all && name->over;
    }
    return all;
}

/* ---- directory ----------------------------------------------------------------------------------
 */

static void take_directory(struct preflight *pf, const struct acme_directory *directory)
{
    pf_directory_facts(pf, directory);
    pf->step = PF_NAMES;
    cm_timer_start(pf->tick, 0);
}

static void on_directory(void *arg, const struct http_result *res)
{
    struct preflight *pf = arg;
    struct acme_directory directory = {0};
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_JSON body = NULL;
    pf->directory = NULL;
    if (res->err->code != 0)
        cm_err_copy(&err, res->err);
    else if (res->status != 200)
        cm_fail(&err, CM_EPEER, "status %d instead of 200", res->status);
    else if (cm_json_parse_lax(res->body, res->body_len, &body, &err) == 0)
        (void)acme_directory_parse(body, pf->engine->env.lab_http, &directory, &err);
    if (err.code != 0)
        pf_row(pf->rows, "", "directory_unread", PF_FAIL, NULL,
               "The CA's directory cannot be read: %s", err.what);
    take_directory(pf, directory.loaded ? &directory : NULL);
    acme_directory_fini(&directory);
    cm_err_fini(&err);
}

static void read_directory(struct preflight *pf)
{
    const struct acme_directory *known = acme_ca_directory(pf->account->ca);
    struct cm_err err = CM_ERR_INIT;
    if (acme_directory_fresh(known)) {
        take_directory(pf, known);
        return;
    }
    struct http_call_opts opts = {
        .url = cm_json_str(pf->account->body, "directory"),
        .timeout_ms = DIRECTORY_MS,
        .reply_max = DIRECTORY_MAX,
        .allow_http = pf->engine->env.lab_http,
        .ca_pem = cm_json_str(pf->account->body, "ca_pem"),
    };
    pf->directory = http_call(pf->engine->env.http, &opts, on_directory, pf, &err);
    if (!pf->directory) {
        pf_row(pf->rows, "", "directory_unread", PF_FAIL, NULL,
               "The CA's directory cannot be read: %s", err.what);
        take_directory(pf, NULL);
    }
    cm_err_fini(&err);
}

/* ---- begin --------------------------------------------------------------------------------------
 */

static void on_tick(void *arg)
{
    struct preflight *pf = arg;
    if (pf->gone && pf->gone(pf->arg)) {
        cm_fail(&pf->err, CM_ECLOSED, "the person who asked has gone");
        end_with(pf, &pf->err);
        return;
    }
    cm_timer_start(pf->tick, TICK_MS);
    switch (pf->step) {
    case PF_BEGIN:
        pf->step = PF_DIRECTORY;
        pf_facts(pf);
        read_directory(pf);
        return;
    case PF_DIRECTORY:
        return;
    case PF_NAMES:
        if (!names_over(pf))
            return;
        pf->step = PF_PROBES;
        start_probes(pf);
        break;
    case PF_PROBES:
        look_at_probes(pf);
        break;
    }
    if (json_object_size(pf->probes) == 0)
        report(pf);
}

static size_t running(const struct engine *engine)
{
    size_t count = 0;
    for (const struct preflight *pf = engine->preflights; pf; pf = pf->next)
        count++;
    return count;
}

static void take_ca(struct preflight *pf, const char *name)
{
    struct pf_ca *ca = &pf->cas[pf->ca_count];
    struct cm_err *err = pf->ca_count ? NULL : &pf->err;
    if (pf->ca_count == sizeof(pf->cas) / sizeof(pf->cas[0]) ||
        eng_account_get(pf->engine, name, &ca->account, err) != 0)
        return;
    ca->identities = eng_caa_identities(ca->account);
    pf->ca_count++;
}

static void take_cas(struct preflight *pf)
{
    size_t i;
    json_t *item;
    take_ca(pf, cm_json_str_or(pf->fields, "account", ""));
    pf->account = pf->cas[0].account;
    json_array_foreach(cm_json_arr(pf->fields, "fallback_accounts"), i, item)
    {
        if (pf->account)
            take_ca(pf, json_string_value(item));
    }
}

static void take_names(struct preflight *pf)
{
    const json_t *ascii = cm_json_arr(pf->fields, "host_names_ascii");
    pf->name_count = json_array_size(ascii);
    pf->names = cm_calloc(pf->name_count ? pf->name_count : 1, sizeof(*pf->names));
    for (size_t i = 0; i < pf->name_count; i++) {
        const char *name = json_string_value(json_array_get(ascii, i));
        pf->names[i] = (struct pf_name){.pf = pf, .name = name, .rows = json_array()};
        pf->names[i].host = strncmp(name, "*.", 2) == 0 ? name + 2 : name;
    }
}

/* Fields, account, and whether there is room. */
static void prepare(struct preflight *pf, const json_t *fields)
{
    struct engine *engine = pf->engine;
    CM_AUTO_JSON notes = NULL;
    if (!engine->env.manager)
        cm_fail(&pf->err, CM_EDENIED, "Requests are checked on the manager");
    else if (running(engine) >= PREFLIGHT_AT_ONCE)
        cm_fail(&pf->err, CM_EBUSY, "%d checks are running already: try again in a moment",
                PREFLIGHT_AT_ONCE);
    if (pf->err.code != 0)
        return;
    eng_check_for(engine, pf->credential[0] ? pf->credential : NULL, fields, &pf->fields,
                  &pf->errors, &notes);
    if (json_array_size(pf->errors) > 0)
        cm_fail(&pf->err, CM_EINVAL, "The request has errors");
    else if (eng_is_brought(pf->fields))
        cm_fail(&pf->err, CM_ECONFLICT,
                "The fields are fine; for a certificate that people bring no CA is asked, so there "
                "is nothing more to check");
    else
        take_cas(pf);
}

void eng_preflight(struct engine *engine, const json_t *fields,
                   const struct eng_preflight_opts *opts, eng_preflight_fn done, void *arg)
{
    struct preflight *pf = cm_calloc(1, sizeof(*pf));
    *pf = (struct preflight){.engine = engine,
                             .rows = json_array(),
                             .probe_dns = opts->probe_dns,
                             .begun_ms = cm_mono_ms(),
                             .gone = opts->gone,
                             .done = done,
                             .arg = arg};
    if (opts->credential)
        (void)cm_strcpy(pf->credential, sizeof(pf->credential), opts->credential);
    (void)cm_strcpy(pf->who, sizeof(pf->who), opts->actor.who ? opts->actor.who : "unknown");
    prepare(pf, fields);
    engine->refs++;
    pf->next = engine->preflights;
    engine->preflights = pf;
    bool refused = pf->err.code != 0;
    pf->tick = cm_timer_new(engine->env.loop, on_tick, pf);
    pf->deadline = cm_timer_new(engine->env.loop, refused ? on_refused : on_deadline, pf);
    cm_timer_start(pf->deadline, refused ? 0 : PREFLIGHT_MS);
    if (refused)
        return;
    take_names(pf);
    cm_timer_start(pf->tick, 0);
}

void eng_preflights_stop(struct engine *engine)
{
    while (engine->preflights) {
        struct preflight *pf = engine->preflights;
        cm_err_fini(&pf->err);
        cm_fail(&pf->err, CM_ECLOSED, "CertMgr is ending");
        end_with(pf, &pf->err);
    }
}
