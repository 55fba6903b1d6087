/*
 * Accounts come from other programs and go to other places: import of a key with its look-up at the
 * CA, export under a passphrase or for the recovery key (reference/acme.md 2.2 item 9).
 *
 * Nothing is stored before the CA has said by that key that it knows the account
 * (onlyReturnExisting, RFC 8555 7.3.1): a mistaken key never becomes a new account.
 */
#include <string.h>

#include "certmgr/acme/header.h"
#include "certmgr/engine/ca_op.h"

#define FORMAT  "certmgr-acme-account"
#define VERSION 1

/* ---- import -------------------------------------------------------------------------------------
 */

struct eng_import {
    struct eng_import *next;
    struct engine *engine;
    char *name, *who;
    json_t *fields; /* of eng_account_put(), without the key */
    json_t *key;    /* sealed_key, jwk, thumbprint; later kid */
    struct eng_op *op;
    struct cm_err err;
    eng_done_fn done;
    void *arg;
};

static void import_end(struct eng_import *import, const struct cm_err *err)
{
    for (struct eng_import **at = &import->engine->imports; *at; at = &(*at)->next) {
        if (*at == import) {
            *at = import->next;
            break;
        }
    }
    import->done(import->arg, err && err->code != 0 ? err : NULL);
    eng_unref(import->engine);
    json_decref(import->fields);
    json_decref(import->key);
    cm_err_fini(&import->err);
    cm_free(import->name);
    cm_free(import->who);
    cm_free(import);
}

static void on_refused(void *arg)
{
    struct eng_import *import = arg;
    import_end(import, &import->err);
}

void eng_imports_stop(struct engine *engine)
{
    struct eng_import *next;
    for (struct eng_import *import = engine->imports; import; import = next) {
        next = import->next;
        if (!import->op)
            continue; /* agent and store answer by themselves */
        eng_op_free(import->op);
        cm_fail(&import->err, CM_ECLOSED, "The server was stopped");
        import_end(import, &import->err);
    }
}

static void on_stored(void *arg, const struct cm_err *err)
{
    import_end(arg, err);
}

static void store(struct eng_import *import)
{
    struct eng_actor actor = {.who = import->who, .via = "api"};
    eng_account_put_key(import->engine, import->fields, import->key, &actor, on_stored, import);
}

/* A CA that knows no such key says accountDoesNotExist. */
static void on_found(void *arg, const struct acme_op_reply *reply, const struct cm_err *err)
{
    struct eng_import *import = arg;
    char url[2048];
    const char *status = cm_json_str_or(reply->json, "status", "valid");
    import->op = NULL;
    if (err) {
        cm_err_copy(&import->err, err);
        cm_wrap(&import->err, err->code, "The CA does not know an account with this key");
    } else if (!acme_header_get(reply->headers, "Location", 0, url, sizeof(url))) {
        cm_fail(&import->err, CM_EPEER, "The CA does not say where the account is");
    } else if (strcmp(status, "valid") != 0) {
        cm_fail(&import->err, CM_ECONFLICT, "The account is %.60s at the CA", status);
    }
    if (import->err.code != 0) {
        import_end(import, &import->err);
        return;
    }
    cm_json_set_str(import->key, "kid", url);
    const json_t *contacts = cm_json_arr(reply->json, "contact");
    if (contacts && !json_object_get(import->fields, "contacts"))
        cm_json_set(import->fields, "contacts", json_deep_copy(contacts));
    store(import);
}

static void on_key(void *arg, const json_t *reply, const struct cm_err *err)
{
    struct eng_import *import = arg;
    if (err || import->engine->dead) {
        if (err)
            cm_err_copy(&import->err, err);
        else
            cm_fail(&import->err, CM_ECLOSED, "The server was stopped");
        import_end(import, &import->err);
        return;
    }
    import->key = json_deep_copy(reply);
    CM_AUTO_JSON body = json_copy(import->key);
    json_object_set(body, "directory", json_object_get(import->fields, "directory"));
    json_object_set(body, "ca_pem", json_object_get(import->fields, "ca_pem"));
    struct eng_op_spec spec = {.account = import->name,
                               .body = body,
                               .request = {.kind = ACME_OP_JWK,
                                           .member = "newAccount",
                                           .payload = "{\"onlyReturnExisting\":true}",
                                           .what = "the look-up of the account",
                                           .about = ACME_ABOUT_ACCOUNT}};
    import->op = eng_op_new(import->engine, &spec, on_found, import, &import->err);
    if (!import->op)
        import_end(import, &import->err);
}

void eng_account_import(struct engine *engine, const json_t *fields, const char *key,
                        const char *passphrase, const struct eng_actor *actor, eng_done_fn done,
                        void *arg)
{
    struct eng_import *import = cm_calloc(1, sizeof(*import));
    const char *name = cm_json_str_or(fields, "name", "");
    *import = (struct eng_import){.next = engine->imports,
                                  .engine = engine,
                                  .name = cm_strdup(name),
                                  .who = cm_strdup(actor->who),
                                  .fields = json_deep_copy(fields),
                                  .done = done,
                                  .arg = arg};
    engine->refs++;
    engine->imports = import;
    CM_AUTO_STR id = cm_asprintf("account:%.64s", name);
    CM_AUTO_JSON present = eng_short_name_ok(name) ? cs_peek_body(engine->env.store, id) : NULL;
    if (!engine->env.manager)
        cm_fail(&import->err, CM_EDENIED, "ACME accounts are kept on the manager");
    else if (!eng_short_name_ok(name))
        cm_fail(&import->err, CM_EINVAL,
                "name: an account name has 1 to 63 letters, digits, dots, "
                "hyphens or underscores");
    else if (present)
        cm_fail(&import->err, CM_ECONFLICT,
                "There is an account \"%s\" already: import under another name", name);
    if (import->err.code != 0) {
        cm_loop_defer(engine->env.loop, on_refused, import);
        return;
    }
    json_t *request = json_object();
    cm_json_set_str(request, "op", "account.import");
    cm_json_set_str(request, "account", name);
    cm_json_set_str(request, "directory", cm_json_str_or(fields, "directory", ""));
    cm_json_set_str(request, "key", key);
    cm_json_set_str(request, "passphrase", passphrase ? passphrase : "");
    engine->env.agent.call(engine->env.agent.arg, request, on_key, import);
}

/* ---- export -------------------------------------------------------------------------------------
 */

struct eng_export {
    struct engine *engine;
    json_t *out;
    struct cm_err err;
    eng_json_fn done;
    void *arg;
};

static void export_end(struct eng_export *move)
{
    bool failed = move->err.code != 0;
    move->done(move->arg, failed ? NULL : move->out, failed ? &move->err : NULL);
    eng_unref(move->engine);
    json_decref(move->out);
    cm_err_fini(&move->err);
    cm_free(move);
}

static void on_ready(void *arg)
{
    export_end(arg);
}

static void on_pem(void *arg, const json_t *reply, const struct cm_err *err)
{
    struct eng_export *move = arg;
    if (err)
        cm_err_copy(&move->err, err);
    else
        json_object_set(move->out, "key_pem", json_object_get(reply, "key_pem"));
    export_end(move);
}

/* What another CertMgr, or a person with OpenSSL, needs. */
static json_t *describe(const char *name, const json_t *body)
{
    static const char *const members[] = {"directory", "contacts", "kid",       "terms_agreed",
                                          "ca_pem",    "jwk",      "thumbprint"};
    json_t *out = json_object();
    cm_json_set_str(out, "format", FORMAT);
    cm_json_set_int(out, "version", VERSION);
    cm_json_set_str(out, "name", name);
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
        if (json_object_get(body, members[i]))
            json_object_set(out, members[i], json_object_get(body, members[i]));
    cm_json_set_str(out, "eab_kid", cm_json_str(cm_json_obj(body, "eab"), "kid"));
    cm_json_set_time(out, "exported_at", cm_now_ms());
    return out;
}

void eng_account_export(struct engine *engine, const char *name, const char *passphrase,
                        const struct eng_actor *actor, eng_json_fn done, void *arg)
{
    struct eng_export *move = cm_calloc(1, sizeof(*move));
    CM_AUTO_STR id = cm_asprintf("account:%.64s", name);
    CM_AUTO_JSON body = eng_short_name_ok(name) ? cs_get_body(engine->env.store, id) : NULL;
    *move = (struct eng_export){.engine = engine, .done = done, .arg = arg};
    engine->refs++;
    if (!engine->env.manager)
        cm_fail(&move->err, CM_EDENIED, "ACME accounts are kept on the manager");
    else if (!body)
        cm_fail(&move->err, CM_ENOENT, "There is no ACME account \"%.64s\"", name);
    else if (!cm_json_str(body, "sealed_key") || cm_json_obj(body, "rollover"))
        cm_fail(&move->err, CM_ECONFLICT,
                "The account \"%s\" is being given another key: let that end first", name);
    if (move->err.code == 0) {
        move->out = describe(name, body);
        cm_log(CM_LOG_WARN, "engine", id, "exported by %s, %s", actor->who,
               passphrase ? "under a passphrase" : "for the recovery key");
    }
    if (move->err.code != 0 || !passphrase) {
        /* It is sealed to the recovery key as it stands. */
        if (move->out)
            json_object_set(move->out, "sealed_key", json_object_get(body, "sealed_key"));
        cm_loop_defer(engine->env.loop, on_ready, move);
        return;
    }
    json_t *request = json_object();
    cm_json_set_str(request, "op", "account.export");
    cm_json_set_str(request, "account", name);
    json_object_set(request, "directory", json_object_get(body, "directory"));
    json_object_set(request, "sealed_key", json_object_get(body, "sealed_key"));
    cm_json_set_str(request, "passphrase", passphrase);
    engine->env.agent.call(engine->env.agent.arg, request, on_pem, move);
}
