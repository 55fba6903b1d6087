/* Since when this manager answers requests; see term.h. */
#include "certmgr/engine/term.h"

#include <string.h>

#define TABLE "state"
#define KEY   "term"

/* A predecessor has left documents. */
static int on_credential(void *arg, const char *key, const char *id)
{
    (void)key;
    (void)id;
    *(bool *)arg = true;
    return 1;
}

static bool has_predecessor(const struct engine *engine, const json_t *last)
{
    bool found = last != NULL; /* of a store that was restored since, or of an earlier term */
    if (!found)
        cs_each(engine->env.store, CS_BY_TYPE, "credential", NULL, NULL, on_credential, &found);
    return found;
}

void eng_term_start(struct engine *engine)
{
    const char *epoch = cs_epoch(engine->env.store);
    CM_AUTO_JSON last = cs_kv_get(engine->env.store, TABLE, KEY);
    if (last && strcmp(cm_json_str_or(last, "epoch", ""), epoch) == 0) {
        engine->term_ms = cm_json_time(last, "since", 0);
        return;
    }
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_JSON term = json_pack("{s:s}", "epoch", epoch);
    engine->term_ms = has_predecessor(engine, last) ? cm_now_ms() : 0;
    if (engine->term_ms)
        cm_json_set_time(term, "since", engine->term_ms);
    if (cs_kv_put(engine->env.store, TABLE, KEY, term, &err) != 0)
        cm_log_err(CM_LOG_WARN, "engine", &err); /* then the next start begins it */
    cm_err_fini(&err);
}

void eng_term_end(struct engine *engine)
{
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_JSON last = cs_kv_get(engine->env.store, TABLE, KEY);
    CM_AUTO_JSON none = json_pack("{s:s}", "epoch", "");
    if (last && cs_kv_put(engine->env.store, TABLE, KEY, none, &err) != 0)
        cm_log_err(CM_LOG_WARN, "engine", &err);
    cm_err_fini(&err);
}

bool eng_term_before(const struct engine *engine, const json_t *request)
{
    return cm_json_time(request, "at", 0) < engine->term_ms;
}
