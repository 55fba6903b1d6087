/* Certificates that come with their private keys; keys that leave.  See import.h. */
#include "certmgr/engine/import.h"

#include <stdio.h>
#include <string.h>

#include "base/net/hostname.h"
#include "certmgr/engine/issued.h"
#include "certmgr/engine/manual.h"
#include "keyfile/handed.h"
#include "keyfile/maker.h"

bool eng_is_import(const json_t *credential)
{
    return strcmp(cm_json_str_or(credential, "provider", ""), "import") == 0;
}

bool eng_import_ours(const struct engine *engine, const json_t *request)
{
    return strcmp(cm_json_str_or(cm_json_obj(request, "signature"), "by", ""), engine->env.self) ==
           0;
}

const char *eng_import_status(const json_t *body)
{
    return cm_json_time(body, "not_after", 0) > cm_now_ms() ? "issued" : "expired";
}

/* ---- what the manager's intake does -----------------------------------------------------------
 */

static int check_chain(struct engine *engine, const char *text, const json_t *key,
                       const json_t *present, struct kf_chain *ret, json_t **ret_notes,
                       struct cm_err *err)
{
    struct kf_handed handed = {
        .text = text,
        .len = strlen(text),
        .spki = {cm_json_str(key, "public_key_sha256")},
        .known = {cm_json_str(present, "chain"), cm_json_str(present, "root")},
        .roots = eng_roots(engine),
        .now_ms = cm_now_ms()};
    int rc = kf_handed_check(&handed, ret, ret_notes, err);
    if (rc == CM_EMALF) /* a certificate of a kind that is not served */
        rc = err ? (err->code = CM_EINVAL) : CM_EINVAL;
    if (rc == 0 && strlen(ret->leaf) + strlen(ret->intermediates) > ENG_HANDED_MAX)
        rc = cm_fail(err, CM_EINVAL, "The chain is longer than %u bytes", ENG_HANDED_MAX);
    if (rc == 0)
        return 0;
    kf_chain_fini(ret);
    json_decref(*ret_notes);
    *ret_notes = NULL;
    return rc;
}

int eng_import_take(struct engine *engine, const json_t *request, const json_t *fields,
                    json_t *body, json_t *notes, struct cm_err *err)
{
    const json_t *key = cm_json_obj(request, "key");
    struct kf_chain chain = {0};
    json_t *said = NULL;
    int rc = check_chain(engine, cm_json_str_or(request, "certificate", ""), key, body, &chain,
                         &said, err);
    if (rc != 0)
        return rc;
    CM_AUTO_JSON members = eng_issued(key, &chain, NULL, cm_now_ms());
    static const char *const gone[] = {"issued_by", "csr", "trial"};
    eng_fields_take(body, fields);
    eng_issued_clear(body);
    for (size_t i = 0; i < sizeof(gone) / sizeof(gone[0]); i++)
        json_object_del(body, gone[i]);
    json_object_update(body, members);
    cm_json_set_time(body, "next_action_at", chain.info.not_after_ms);
    json_array_append_new(notes, json_sprintf("Certificate issued by %s, valid until %s",
                                              chain.info.issuer,
                                              cm_json_str_or(members, "not_after", "")));
    json_array_extend(notes, said);
    json_decref(said);
    kf_chain_fini(&chain);
    return 0;
}

const char *eng_import_change(json_t *body, const json_t *fields)
{
    bool servers =
        !json_equal(json_object_get(body, "servers"), json_object_get(fields, "servers"));
    CM_AUTO_JSON exportable = json_incref(json_object_get(body, "exportable"));
    CM_AUTO_JSON key_type = json_incref(json_object_get(body, "key_type"));
    eng_fields_take(body, fields);
    cm_json_set(body, "key_type", json_incref(key_type));
    if (exportable) /* what the key's own sealed text says, nothing changes */
        cm_json_set(body, "exportable", json_incref(exportable));
    else
        json_object_del(body, "exportable");
    json_object_del(body, "error");
    cm_json_set_str(body, "status", servers ? "update_servers" : eng_import_status(body));
    cm_json_set_time(body, "next_action_at",
                     servers ? cm_now_ms() : cm_json_time(body, "not_after", 0));
    return servers ? "The key is given to other servers"
                   : "The settings were changed; the certificate stays";
}

/* ---- certmgr import ---------------------------------------------------------------------------
 */

struct import {
    struct engine *engine;
    char credential[CM_ULID_TEXT];
    int64_t base_serial; /* 0 = a new credential */
    int64_t generation;
    json_t *fields;  /* as they came; of an existing credential: its own */
    json_t *present; /* the credential as it is, or NULL */
    char *who, *via;
    json_t *errors, *notes;
    struct cm_err err;
    eng_submit_fn done;
    void *arg;
};

static void import_end(struct import *import)
{
    bool failed = import->err.code != 0;
    import->done(import->arg, failed ? NULL : import->credential, import->errors, import->notes,
                 failed ? &import->err : NULL);
    eng_unref(import->engine);
    json_decref(import->fields);
    json_decref(import->present);
    json_decref(import->errors);
    json_decref(import->notes);
    cm_err_fini(&import->err);
    cm_free(import->who);
    cm_free(import->via);
    cm_free(import);
}

static void on_refused(void *arg)
{
    import_end(arg);
}

static void on_published(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    struct import *import = arg;
    (void)doc;
    if (err)
        cm_err_copy(&import->err, err);
    import_end(import);
}

/* The names that people would have typed. */
static json_t *typed_names(const json_t *san)
{
    json_t *out = json_array(), *name;
    size_t i;
    json_array_foreach(san, i, name)
    {
        char text[1024];
        hostname_to_unicode(json_string_value(name), text, sizeof(text));
        json_array_append_new(out, json_string(text));
    }
    return out;
}

/* Names and key are those of the file; the rest is what was asked for, or the defaults. */
static json_t *make_fields(struct import *import, const json_t *reply, const struct kf_chain *chain)
{
    CM_AUTO_JSON wanted = json_deep_copy(import->fields);
    json_t *fields = NULL;
    cm_json_set(wanted, "host_names", typed_names(chain->info.san));
    cm_json_set_str(wanted, "provider", "import");
    json_object_set(wanted, "key_type", json_object_get(reply, "key_type"));
    json_object_set(wanted, "exportable", json_object_get(reply, "exportable"));
    json_object_del(wanted, "paused");
    eng_check_import(import->engine, import->credential, wanted, &fields, &import->errors,
                     &import->notes);
    json_object_del(fields, "host_names_ascii"); /* the manager converts them itself */
    const char *file = cm_json_str(import->fields, "keyring_file");
    if (!file || !*file)
        json_object_del(fields, "keyring_file");
    const json_t *first = json_array_get(import->errors, 0);
    if (first)
        cm_fail(&import->err, CM_EINVAL, "%s", cm_json_str_or(first, "message", "bad request"));
    return fields;
}

static json_t *make_request(const struct import *import, const json_t *reply, json_t *take_fields,
                            const struct kf_chain *chain)
{
    struct eng_actor actor = {.who = import->who, .via = import->via};
    static const char *const parts[] = {"sealed_key", "public_key_sha256", "csr"};
    json_t *request =
        eng_request_new(import->engine, "import", import->credential, import->base_serial, &actor);
    json_t *key = json_object();
    CM_AUTO_STR pem =
        cm_asprintf("%s%s%s", chain->leaf, chain->intermediates, chain->root ? chain->root : "");
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        if (json_object_get(reply, parts[i]))
            json_object_set(key, parts[i], json_object_get(reply, parts[i]));
    cm_json_set_int(key, "key_generation", import->generation);
    cm_json_set(request, "key", key);
    cm_json_set(request, "fields", take_fields);
    cm_json_set_str(request, "certificate", pem);
    return request;
}

static void file_error(struct import *import)
{
    if (import->err.code != CM_EINVAL || import->errors)
        return;
    import->errors = json_array();
    json_array_append_new(import->errors,
                          json_pack("{s:s,s:s}", "field", "file", "message", import->err.what));
}

static void on_key(void *arg, const json_t *reply, const struct cm_err *err)
{
    struct import *import = arg;
    struct engine *engine = import->engine;
    struct kf_chain chain = {0};
    json_t *said = NULL, *fields = NULL;
    if (err)
        cm_err_copy(&import->err, err);
    else if (engine->dead)
        cm_fail(&import->err, CM_ECLOSED, "The server was stopped");
    else
        (void)check_chain(engine, cm_json_str_or(reply, "chain", ""), reply, import->present,
                          &chain, &said, &import->err);
    if (import->err.code == 0 &&
        strcmp(chain.info.fingerprint, cm_json_str_or(import->present, "fingerprint", "")) == 0)
        cm_fail(&import->err, CM_EINVAL, "This is the certificate that the credential has already");
    if (import->err.code == 0)
        fields = make_fields(import, reply, &chain);
    if (import->err.code != 0) {
        file_error(import);
        json_decref(fields);
        json_decref(said);
        kf_chain_fini(&chain);
        import_end(import);
        return;
    }
    json_array_extend(import->notes, said);
    json_decref(said);
    json_t *request = make_request(import, reply, fields, &chain);
    kf_chain_fini(&chain);
    cs_publish(engine->env.store, request, 0, on_published, import);
}

static int read_present(struct import *import, const char *credential, struct cm_err *err)
{
    struct cs_doc doc = {0};
    CM_AUTO_STR id = cm_asprintf("credential:%.30s", credential);
    const char *status;
    if (!cm_ulid_ok(credential))
        return cm_fail(err, CM_EINVAL, "that is not the number of a credential");
    int rc = cs_get(import->engine->env.store, id, &doc, err);
    if (rc != 0)
        return rc == CM_ENOENT ? cm_fail(err, rc, "there is no credential %s", credential) : rc;
    import->base_serial = doc.serial;
    import->present = json_deep_copy(doc.body);
    cs_doc_fini(&doc);
    (void)cm_strcpy(import->credential, sizeof(import->credential), credential);
    import->generation = cm_json_int(import->present, "key_generation", 0) + 1;
    status = cm_json_str_or(import->present, "status", "");
    if (!eng_is_import(import->present) || import->generation < 2)
        return cm_fail(
            err, CM_ECONFLICT,
            "The credential was not made by an import: leave --credential away to make a "
            "new one");
    if (strcmp(status, "archived") == 0 || strcmp(status, "update_servers") == 0)
        return cm_fail(err, CM_ECONFLICT, "The credential takes no certificate now (%s)", status);
    CM_AUTO_JSON fields = json_object();
    eng_fields_take(fields, import->present);
    json_object_update(fields, import->fields);
    json_decref(import->fields);
    import->fields = json_incref(fields);
    return 0;
}

void eng_import(struct engine *engine, const char *credential, const json_t *fields,
                const char *sealed, const struct eng_actor *actor, eng_submit_fn done, void *arg)
{
    struct import *import = cm_calloc(1, sizeof(*import));
    *import = (struct import){.engine = engine,
                              .generation = 1,
                              .fields = json_deep_copy(fields),
                              .who = cm_strdup(actor->who),
                              .via = cm_strdup(actor->via),
                              .done = done,
                              .arg = arg};
    engine->refs++;
    if (!engine->env.manager)
        cm_fail(&import->err, CM_EDENIED,
                "Keys are imported on the manager: give the command there");
    else if (credential)
        (void)read_present(import, credential, &import->err);
    else
        kf_maker_ulid(engine->env.self, import->credential);
    CM_AUTO_JSON defaults = eng_defaults(engine);
    CM_AUTO_JSON servers = eng_split(json_object_get(import->fields, "servers"));
    if (json_array_size(servers) == 0)
        json_object_set(import->fields, "servers", json_object_get(defaults, "servers"));
    if (import->err.code == 0 && json_array_size(cm_json_arr(import->fields, "servers")) == 0)
        cm_fail(&import->err, CM_EINVAL,
                "choose at least one server that may read the private key");
    if (import->err.code != 0) {
        cm_loop_defer(engine->env.loop, on_refused, import);
        return;
    }
    json_t *request = json_object();
    cm_json_set_str(request, "op", "key.import");
    cm_json_set_str(request, "credential", import->credential);
    cm_json_set_int(request, "generation", import->generation);
    json_object_set(request, "servers", json_object_get(import->fields, "servers"));
    cm_json_set_str(request, "sealed", sealed);
    engine->env.agent.call(engine->env.agent.arg, request, on_key, import);
}
