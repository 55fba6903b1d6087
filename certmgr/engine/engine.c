/* The engine's life, and what it does when a document changes. */
#include "certmgr/dns/caa_memory.h"
#include "certmgr/engine/activation.h"
#include "certmgr/engine/ari.h"
#include "certmgr/engine/ca_op.h"
#include "certmgr/engine/dns.h"
#include "certmgr/engine/former.h"
#include "certmgr/engine/life.h"
#include "certmgr/engine/preflight.h"
#include "certmgr/engine/term.h"

#include <string.h>

/* ---- ears ----------------------------------------------------------------------------------- */

struct eng_ear {
    struct eng_ear *next;
    cs_listener_fn fn; /* NULL = off */
    void *arg;
};

/* Kept for ever: the store may call an ear until it is closed.  One or two per process. */
static struct eng_ear *ears;

static void on_heard(void *arg, const char *id)
{
    struct eng_ear *ear = arg;
    if (ear->fn)
        ear->fn(ear->arg, id);
}

struct eng_ear *eng_ear_new(struct cs_store *store, cs_listener_fn fn, void *arg)
{
    struct eng_ear *ear = cm_calloc(1, sizeof(*ear));
    *ear = (struct eng_ear){.next = ears, .fn = fn, .arg = arg};
    ears = ear;
    cs_listen(store, on_heard, ear);
    return ear;
}

void eng_ear_off(struct eng_ear *ear)
{
    ear->fn = NULL;
}

/* ---- changes ----------------------------------------------------------------------------------
 */

const char *eng_id_name(const char *id, const char *type)
{
    size_t len = strlen(type);
    return strncmp(id, type, len) == 0 ? id + len : NULL;
}

/* The manager's log tells what every server reports. */
static void receipt_changed(struct engine *engine, const char *id)
{
    CM_AUTO_JSON body = cs_peek_body(engine->env.store, id);
    const char *credential = cm_json_str(body, "credential");
    const char *server = cm_json_str(body, "server");
    const char *state = cm_json_str(body, "state");
    if (!credential || !server || !state || !cm_ulid_ok(credential))
        return;
    bool failed = strcmp(state, "failed") == 0;
    struct cm_err err = CM_ERR_INIT;
    char what[CM_ERR_TEXT_MAX] = "no reason given";
    if (failed && cm_err_from_json(&err, json_object_get(body, "error")) == 0)
        cm_err_line(&err, what, sizeof(what));
    cm_err_fini(&err);
    CM_AUTO_STR text = failed ? cm_asprintf("Deployment failed: %s", what)
                       : strcmp(state, "served") == 0
                           ? cm_strdup("The new certificate is served on the wire")
                           : cm_asprintf("Deployment: %s", state);
    eng_former_touch(engine, credential);
    eng_step_from(engine, credential, server, failed ? CM_LOG_ERROR : CM_LOG_INFO, text);
}

/* On hold after a restore the manager's task rests; changes are still told. */
static bool at_work(const struct engine *engine)
{
    return engine->env.manager && !engine->env.held;
}

static void on_change(void *arg, const char *id)
{
    struct engine *engine = arg;
    const char *name;
    if ((name = eng_id_name(id, "credential:"))) {
        eng_files_note(engine, name);
        if (at_work(engine)) {
            sched_touch(engine, name);
            eng_archive_look(engine, name);
            eng_ari_look(engine, name);
            eng_activation_look(engine, name);
            eng_former_touch(engine, name);
        } else if (!engine->env.manager && !engine->env.held) {
            eng_holder_look(engine, name);
        }
    } else if ((name = eng_id_name(id, "account:"))) {
        eng_account_changed(engine, name);
    } else if (eng_id_name(id, "dns-account:") || eng_id_name(id, "dns-provider:")) {
        eng_dns_changed(engine);
    } else if (eng_id_name(id, "root:")) {
        kf_roots_free(engine->roots);
        engine->roots = NULL;
    } else if (at_work(engine) && eng_id_name(id, "archive:")) {
        CM_AUTO_JSON row = cs_peek_body(engine->env.store, id);
        if (cm_json_obj(row, "revoke"))
            eng_former_look(engine, cm_json_str_or(row, "credential", ""));
    } else if (eng_id_name(id, "trust:")) {
        eng_rejoin_look(engine);
    } else if (at_work(engine) && (name = eng_id_name(id, "request:"))) {
        intake_request(engine, name);
    } else if (at_work(engine) && eng_id_name(id, "receipt:")) {
        receipt_changed(engine, id);
    }
}

/* ---- life ---------------------------------------------------------------------------------------
 */

struct engine *eng_new(const struct eng_env *env)
{
    struct engine *engine = cm_calloc(1, sizeof(*engine));
    engine->refs = 1;
    engine->env = *env;
    engine->ear = eng_ear_new(env->store, on_change, engine);
    eng_dns_start(engine);
    if (!engine->env.manager)
        eng_term_end(engine);
    if (at_work(engine)) {
        eng_term_start(engine);
        sched_start(engine);
        intake_start(engine);
        eng_former_start(engine);
        eng_archive_start(engine);
        eng_ari_start(engine);
        eng_resume_start(engine);
        eng_activation_start(engine);
        eng_rejoin_start(engine);
    } else if (!engine->env.manager && !engine->env.held) {
        eng_holder_start(engine);
    }
    if (!engine->env.held)
        eng_over_start(engine);
    return engine;
}

void eng_unref(struct engine *engine)
{
    if (--engine->refs == 0) {
        cm_free(engine->dns);
        cm_free(engine);
    }
}

void eng_free(struct engine *engine)
{
    if (!engine)
        return;
    engine->dead = true;
    eng_ear_off(engine->ear);
    eng_holder_stop(engine);
    eng_archive_stop(engine);
    eng_former_stop(engine);
    eng_ari_stop(engine);
    eng_resume_stop(engine);
    eng_activation_stop(engine);
    eng_rejoin_stop(engine);
    eng_acts_stop(engine);
    eng_imports_stop(engine);
    eng_preflights_stop(engine);
    eng_lefts_stop(engine);
    intake_stop(engine);
    sched_stop(engine);
    eng_over_stop(engine);
    caa_memory_free(engine->caa);
    engine->caa = NULL;
    eng_dns_stop(engine);
    eng_accounts_free(engine);
    eng_files_free(engine);
    kf_roots_free(engine->roots);
    engine->roots = NULL;
    eng_unref(engine);
}

uint64_t eng_seed(const char *text)
{
    uint8_t digest[CM_SHA256_SIZE];
    cm_sha256(text, strlen(text), digest);
    uint64_t seed = 0;
    for (size_t i = 0; i < sizeof(seed); i++)
        seed = seed << 8 | digest[i];
    return seed;
}
