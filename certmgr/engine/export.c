/*
 * certmgr export: a key leaves as PKCS #12 under a password that the agent alone sees, on a server
 * that can open it, and only when the key's own sealed text says that it may.
 */
#include <string.h>

#include "certmgr/engine/internal.h"

struct outgoing {
    struct engine *engine;
    char *who, *credential;
    json_t *servers; /* with access */
    struct cm_err err;
    eng_json_fn done;
    void *arg;
};

static void export_end(struct outgoing *out, const json_t *value)
{
    bool failed = out->err.code != 0;
    out->done(out->arg, failed ? NULL : value, failed ? &out->err : NULL);
    eng_unref(out->engine);
    cm_err_fini(&out->err);
    cm_free(out->who);
    cm_free(out->credential);
    json_decref(out->servers);
    cm_free(out);
}

static void on_refused(void *arg)
{
    export_end(arg, NULL);
}

/* The agent knows envelopes; a person knows servers. */
static void no_access(struct outgoing *out)
{
    struct cm_buf list;
    size_t i;
    json_t *server;
    cm_buf_init(&list, CM_ERR_TEXT_MAX);
    json_array_foreach(out->servers, i, server)
    {
        cm_buf_printf(&list, "%s%s", i ? ", " : "", json_string_value(server));
    }
    cm_wrap(&out->err, CM_EDENIED, "Server %s has no access to the key of this credential",
            out->engine->env.self);
    cm_err_hint(&out->err, "Run certmgr export on a server that has it: %s", cm_buf_str(&list));
    cm_buf_fini(&list);
}

static void on_key(void *arg, const json_t *reply, const struct cm_err *err)
{
    struct outgoing *out = arg;
    struct engine *engine = out->engine;
    if (err)
        cm_err_copy(&out->err, err);
    if (err && err->code == CM_EDENIED && strstr(err->what, "not a recipient"))
        no_access(out);
    if (engine->dead) {
        if (!err)
            cm_fail(&out->err, CM_ECLOSED, "The server was stopped");
        export_end(out, NULL);
        return;
    }
    cm_log(CM_LOG_WARN, "engine", out->credential,
           err ? "%s asked for the key: refused (%s)" : "%s exported the key as PKCS #12%s",
           out->who, err ? err->what : "");
    eng_step(engine, out->credential, CM_LOG_WARN,
             err ? "The key was not exported (asked by %s)"
                 : "The key was exported as PKCS #12 (by %s)",
             out->who);
    export_end(out, reply);
}

void eng_export(struct engine *engine, const char *credential, const char *sealed,
                const struct eng_actor *actor, eng_json_fn done, void *arg)
{
    struct outgoing *out = cm_calloc(1, sizeof(*out));
    *out = (struct outgoing){.engine = engine,
                             .who = cm_strdup(actor->who),
                             .credential = cm_strdup(credential),
                             .done = done,
                             .arg = arg};
    engine->refs++;
    CM_AUTO_STR id = cm_asprintf("credential:%.30s", credential);
    CM_AUTO_JSON body = cm_ulid_ok(credential) ? cs_get_body(engine->env.store, id) : NULL;
    if (!body)
        cm_fail(&out->err, CM_ENOENT, "there is no credential %.30s", credential);
    else if (!cm_json_str(body, "chain"))
        cm_fail(&out->err, CM_ECONFLICT, "there is no certificate yet");
    else if (!cm_json_bool(body, "exportable", false)) {
        cm_fail(&out->err, CM_EDENIED, "The key of this credential is not exportable");
        cm_err_hint(&out->err,
                    "Only a key that was marked exportable when it was made or imported leaves");
    }
    if (out->err.code != 0) {
        cm_loop_defer(engine->env.loop, on_refused, out);
        return;
    }
    json_t *request = json_object();
    cm_json_set_str(request, "op", "key.export");
    out->servers = json_incref(cm_json_arr(body, "servers"));
    json_object_set(request, "document", body);
    cm_json_set_str(request, "sealed", sealed);
    engine->env.agent.call(engine->env.agent.arg, request, on_key, out);
}
