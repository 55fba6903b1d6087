/*
 * Dry runs (reference/acme.md N6, 2.2 item 6): which account stands for the staging of a CA, and
 * when an attempt goes there first.
 *
 * The credential keeps `trial` {reason: asked | failures, state: wanted | passed | failed, account,
 * by, at, ended_at, error}.
 */
#include <string.h>

#include "certmgr/acme/presets.h"
#include "certmgr/engine/internal.h"

void eng_trial_key(const char *ulid, char out[ENG_TRIAL_KEY])
{
    (void)cm_strcpy(out, ENG_TRIAL_KEY, ENG_TRIAL_PREFIX);
    (void)cm_strcpy(out + strlen(ENG_TRIAL_PREFIX), ENG_TRIAL_KEY - strlen(ENG_TRIAL_PREFIX), ulid);
}

/* ---- the account ------------------------------------------------------------------------------
 */

struct search {
    struct engine *engine;
    const char *directory;
    char *name; /* ENG_ACCOUNT_TEXT */
};

static int on_account(void *arg, const char *key, const char *id)
{
    struct search *search = arg;
    const char *name = eng_id_name(id, "account:");
    (void)key;
    CM_AUTO_JSON body = name ? cs_peek_body(search->engine->env.store, id) : NULL;
    if (strcmp(cm_json_str_or(body, "directory", ""), search->directory) != 0 ||
        strcmp(cm_json_str_or(body, "status", ""), "deactivated") == 0)
        return 0;
    return cm_strcpy(search->name, ENG_ACCOUNT_TEXT, name) == 0 ? 1 : 0;
}

static json_t *account_body(struct engine *engine, const char *name)
{
    CM_AUTO_STR id = cm_asprintf("account:%s", name);
    return cs_peek_body(engine->env.store, id);
}

/* Named by a person. */
static int take_named(struct engine *engine, const char *account, const char *named,
                      char name[ENG_ACCOUNT_TEXT], struct cm_err *err)
{
    CM_AUTO_JSON body = account_body(engine, named);
    if (body && cm_strcpy(name, ENG_ACCOUNT_TEXT, named) == 0)
        return 0;
    return cm_fail(err, CM_ECONFLICT,
                   "The account \"%s\" names \"%s\" for dry runs, and there is no such account",
                   account, named);
}

int eng_staging_find(struct engine *engine, const char *account, char name[ENG_ACCOUNT_TEXT],
                     const struct acme_preset **ret_make, struct cm_err *err)
{
    *ret_make = NULL;
    name[0] = '\0';
    CM_AUTO_JSON body = account_body(engine, account);
    if (!body)
        return cm_fail(err, CM_ECONFLICT, "There is no ACME account \"%s\"", account);
    if (cm_json_str(body, "staging"))
        return take_named(engine, account, cm_json_str(body, "staging"), name, err);
    const struct acme_preset *live = acme_preset_of(cm_json_str(body, "directory"));
    const struct acme_preset *staging = live ? acme_preset(live->staging) : NULL;
    if (!staging) {
        cm_fail(err, CM_ECONFLICT, "A dry run is not possible: %s has no staging environment%s",
                live ? live->title : "the CA", live ? "" : " that is known here");
        cm_err_hint(err,
                    "Operator: when the CA has one, make an account there and name it in the "
                    "account \"%s\" as the one for dry runs. \"Check\" looks at names, DNS "
                    "and port 80 without any CA.",
                    account);
        err->retry = CM_RETRY_CONFIGURATION;
        return CM_ECONFLICT;
    }
    struct search search = {.engine = engine, .directory = staging->directory, .name = name};
    cs_each(engine->env.store, CS_BY_TYPE, "account", NULL, NULL, on_account, &search);
    if (!name[0]) {
        *ret_make = staging;
        return cm_strcpy(name, ENG_ACCOUNT_TEXT, staging->name);
    }
    return 0;
}

void eng_staging_make(struct engine *engine, const char *account, const struct acme_preset *make,
                      eng_done_fn done, void *arg)
{
    static const char *const same[] = {"contacts",  "ca_pem",   "self_check",
                                       "http_port", "tls_port", "challenge"};
    CM_AUTO_JSON live = account_body(engine, account);
    CM_AUTO_JSON fields = json_object();
    const json_t *agreed = cm_json_obj(live, "terms_agreed");
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
        if (json_object_get(live, same[i]))
            json_object_set(fields, same[i], json_object_get(live, same[i]));
    cm_json_set_str(fields, "name", make->name);
    cm_json_set_str(fields, "directory", make->directory);
    cm_json_set_bool(fields, "terms_agreed", agreed != NULL);
    cm_json_set_str(fields, "terms_known", cm_json_str_or(agreed, "url", ""));
    struct eng_actor actor = {.who = cm_json_str_or(agreed, "by", "CertMgr"), .via = "task"};
    eng_account_put(engine, fields, &actor, done, arg);
}

/* ---- when ---------------------------------------------------------------------------------------
 */

static bool is_switched_on(struct engine *engine)
{
    CM_AUTO_JSON settings = cs_peek_body(engine->env.store, "settings:global");
    return cm_json_bool(settings, "staging_first", true);
}

/* What the CA has not refused (the network, an agent) is not found out there either. */
void eng_staging_first(struct engine *engine, json_t *credential, const struct cm_err *why)
{
    char name[ENG_ACCOUNT_TEXT];
    const struct acme_preset *make;
    struct cm_err err = CM_ERR_INIT;
    if (eng_trial_asked(credential))
        return;
    json_object_del(credential, "trial");
    bool wanted = why->attempts >= ENG_TRIAL_AFTER && why->problem && is_switched_on(engine) &&
                  eng_staging_find(engine, eng_turn_account(credential), name, &make, &err) == 0;
    cm_err_fini(&err);
    if (!wanted)
        return;
    json_t *trial = json_object();
    cm_json_set_str(trial, "reason", "failures");
    cm_json_set_str(trial, "state", "wanted");
    cm_json_set_str(trial, "account", name);
    cm_json_set_time(trial, "at", cm_now_ms());
    cm_json_set(credential, "trial", trial);
}

int eng_trial_want(struct engine *engine, const char *ulid, json_t *credential, const char *who,
                   struct cm_err *err)
{
    char key[ENG_TRIAL_KEY];
    eng_trial_key(ulid, key);
    CM_AUTO_JSON order = json_object();
    json_t *trial = json_object();
    cm_json_set_str(trial, "reason", "asked");
    cm_json_set_str(trial, "state", "wanted");
    cm_json_set_str(trial, "by", who);
    cm_json_set_time(trial, "at", cm_now_ms());
    cm_json_set(credential, "trial", trial);
    /* It is due at no time of the index: a restart finds it by this (sched.c). */
    return cs_kv_put(engine->env.store, "order", key, order, err);
}

void eng_trial_forget(struct engine *engine, const char *ulid)
{
    char key[ENG_TRIAL_KEY];
    struct cm_err err = CM_ERR_INIT;
    eng_trial_key(ulid, key);
    CM_AUTO_JSON order = cs_kv_get(engine->env.store, "order", key);
    if (order && cs_kv_del(engine->env.store, "order", key, &err) != 0)
        cm_log_err(CM_LOG_WARN, "engine", &err);
    cm_err_fini(&err);
}
