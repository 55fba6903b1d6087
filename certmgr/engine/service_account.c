/*
 * ACME accounts: check the fields (account_fields.c), read the CA's directory for the URL of its
 * terms, have the key made, publish.  Registration happens at first use (acme/account.c).
 *
 * An account keeps its key as long as its directory stays the same; another directory is another
 * account at another CA and gets a new key.
 *
 * External account binding (RFC 8555 7.3.4): the agent turns the CA's HMAC key into the signed
 * binding at once, so that the HMAC key itself is never stored.  The binding is of use for this
 * account key only; it is kept until the account is registered.
 */
#include "certmgr/engine/account_put.h"

#include <stdio.h>
#include <string.h>

#include "base/net/url.h"

#define DIRECTORY_MS    10000
#define DIRECTORY_BYTES (64u << 10)
#define URL_TEXT_MAX    1000
#define FORMER_MAX      3 /* keys kept of former accounts */

static void put_end(struct account_put *put, const struct cm_err *err)
{
    if (put->done)
        put->done(put->arg, err && err->code != 0 ? err : NULL);
    eng_unref(put->engine);
    json_decref(put->members);
    json_decref(put->key);
    cm_free(put->name);
    cm_free(put->who);
    cm_free(put->terms);
    cm_free(put->terms_known);
    cm_free(put->new_account);
    cm_free(put->eab_kid);
    cm_free(put->eab_alg);
    if (put->eab_hmac)
        cm_free_secret(put->eab_hmac, strlen(put->eab_hmac));
    json_decref(put->binding);
    cm_err_fini(&put->err);
    cm_free(put);
}

static void on_refused(void *arg)
{
    struct account_put *put = arg;
    put_end(put, &put->err);
}

/* ---- document -----------------------------------------------------------------------------------
 */

static void on_published(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    (void)doc;
    put_end(arg, err);
}

/* The newest come first; certificates of a former account may still have to be revoked by it. */
static void keep_former(const struct account_put *put, json_t *body)
{
    json_t *list = json_array(), *former = json_object();
    static const char *const parts[] = {"sealed_key", "thumbprint", "kid"};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        if (json_object_get(body, parts[i]))
            json_object_set(former, parts[i], json_object_get(body, parts[i]));
    cm_json_set_str(former, "eab_kid", cm_json_str(cm_json_obj(body, "eab"), "kid"));
    cm_json_set_str(former, "by", put->who);
    cm_json_set_time(former, "at", cm_now_ms());
    json_array_append_new(list, former);
    size_t i;
    json_t *older;
    json_array_foreach(cm_json_arr(body, "former"), i, older)
    {
        if (json_array_size(list) < FORMER_MAX)
            json_array_append(list, older);
    }
    cm_json_set(body, "former", list);
}

/* It was saved: the next run says whether what the CA had against it still stands. */
static void forget_error(json_t *body)
{
    json_object_del(body, "error");
    if (strcmp(cm_json_str_or(body, "status", ""), "error") == 0)
        cm_json_set_str(body, "status", "new");
}

/* Another key: what was said about the former one goes. */
static void take_key(const struct account_put *put, json_t *body)
{
    static const char *const parts[] = {"sealed_key", "jwk", "thumbprint"};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        json_object_set(body, parts[i], json_object_get(put->key, parts[i]));
    json_object_del(body, "kid");
    if (!put->rebind) { /* the terms are the CA's */
        json_object_del(body, "terms_agreed");
        json_object_del(body, "new_terms");
    }
    json_object_del(body, "eab");
    json_object_del(body, "rollover");
    cm_json_set_str(body, "status", cm_json_str(put->key, "kid") ? "valid" : "new");
    cm_json_set_str(body, "kid", cm_json_str(put->key, "kid"));
}

static int edit_account(void *arg, json_t *body, struct cm_err *err)
{
    struct account_put *put = arg;
    const char *directory = cm_json_str_or(put->members, "directory", "");
    bool moved = strcmp(cm_json_str_or(body, "directory", ""), directory) != 0;
    if (!put->key && (moved || !cm_json_str(body, "sealed_key")))
        return cm_fail(err, CM_ECONFLICT, "The account \"%s\" was changed at the same time",
                       put->name);
    if (put->rebind && (moved || !cm_json_str(body, "sealed_key") || cm_json_obj(body, "rollover")))
        return cm_fail(err, CM_ECONFLICT, "The account \"%s\" was changed at the same time",
                       put->name);
    if (put->rebind)
        keep_former(put, body);
    if (put->key && (put->rebind || moved || !cm_json_str(body, "sealed_key")))
        take_key(put, body);
    if (put->binding) {
        static const char *const parts[] = {"jws", "jws_other", "key_bytes"};
        json_t *eab = json_object();
        cm_json_set_str(eab, "kid", put->eab_kid);
        cm_json_set_str(eab, "alg", put->eab_alg);
        cm_json_set_time(eab, "at", cm_now_ms());
        for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
            if (json_object_get(put->binding, parts[i]))
                json_object_set(eab, parts[i], json_object_get(put->binding, parts[i]));
        cm_json_set(body, "eab", eab);
    }
    json_object_del(body, "ca_pem");
    if (!put->rebind) {
        json_object_del(body, "activation");
        json_object_del(body, "activation_s");
        json_object_del(body, "staging");
    }
    forget_error(body);
    json_object_update(body, put->members);
    if (put->agreed && !cm_json_obj(body, "terms_agreed")) {
        json_t *agreed = json_object();
        cm_json_set_str(agreed, "by", put->who);
        cm_json_set_time(agreed, "at", cm_now_ms());
        cm_json_set_str(agreed, "url", put->terms ? put->terms : directory);
        cm_json_set(body, "terms_agreed", agreed);
    }
    return 0;
}

static void publish(struct account_put *put)
{
    char id[CS_ID_MAX + 1];
    snprintf(id, sizeof(id), "account:%s", put->name);
    eng_edit(put->engine, id, "account", edit_account, on_published, put);
}

/* ---- key
 * ------------------------------------------------------------------------------------------ */

/* False: the engine is gone or the agent refused; the put has ended. */
static bool is_made(struct account_put *put, const char *what, const struct cm_err *err)
{
    if (!put->engine->dead && !err)
        return true;
    if (err)
        cm_err_copy(&put->err, err);
    else
        cm_fail(&put->err, CM_ECLOSED, "The engine was stopped");
    if (put->err.code != CM_EINVAL) /* what names a field stays as it is */
        cm_wrap(&put->err, CM_EIO, "The %s of the account \"%s\" could not be made", what,
                put->name);
    put_end(put, &put->err);
    return false;
}

static void on_binding(void *arg, const json_t *reply, const struct cm_err *err)
{
    struct account_put *put = arg;
    if (!is_made(put, "binding", err))
        return;
    put->binding = json_copy((json_t *)(uintptr_t)reply);
    CM_AUTO_STR id = cm_asprintf("account:%s", put->name);
    cm_log(CM_LOG_INFO, "engine", id, "bound by an HMAC key of %d bytes",
           (int)cm_json_int(reply, "key_bytes", 0));
    publish(put);
}

static void want_binding(struct account_put *put, const json_t *jwk)
{
    if (!put->eab_kid) {
        publish(put);
        return;
    }
    json_t *request = json_object();
    cm_json_set_str(request, "op", "eab.sign");
    cm_json_set_str(request, "directory", cm_json_str(put->members, "directory"));
    cm_json_set_str(request, "url", put->new_account);
    cm_json_set_str(request, "kid", put->eab_kid);
    cm_json_set_str(request, "key", put->eab_hmac);
    cm_json_set_str(request, "alg", put->eab_alg);
    cm_json_set(request, "jwk", json_deep_copy(jwk));
    put->engine->env.agent.call(put->engine->env.agent.arg, request, on_binding, put);
}

static void on_key(void *arg, const json_t *reply, const struct cm_err *err)
{
    struct account_put *put = arg;
    if (!is_made(put, "key", err))
        return;
    put->key = json_deep_copy(reply);
    want_binding(put, cm_json_obj(put->key, "jwk"));
}

static void want_key(struct account_put *put)
{
    if (put->key) { /* imported */
        publish(put);
        return;
    }
    struct engine *engine = put->engine;
    char id[CS_ID_MAX + 1];
    snprintf(id, sizeof(id), "account:%s", put->name);
    CM_AUTO_JSON body = cs_get_body(engine->env.store, id);
    const char *directory = cm_json_str_or(put->members, "directory", "");
    if (!put->rebind && body && cm_json_str(body, "sealed_key") &&
        strcmp(cm_json_str_or(body, "directory", ""), directory) == 0) {
        want_binding(put, cm_json_obj(body, "jwk"));
        return;
    }
    json_t *request = json_object();
    cm_json_set_str(request, "op", "account.create");
    cm_json_set_str(request, "account", put->name);
    cm_json_set_str(request, "directory", directory);
    engine->env.agent.call(engine->env.agent.arg, request, on_key, put);
}

/* ---- the CA's directory
 * --------------------------------------------------------------------------- */

/* *ret: the text when it is a URL, else NULL (owned). */
static char *url_of(const json_t *object, const char *member)
{
    const char *text = cm_json_str(object, member);
    struct url url;
    return text && strlen(text) < URL_TEXT_MAX && url_parse(text, &url, NULL) == 0 ? cm_strdup(text)
                                                                                   : NULL;
}

static int read_directory(struct account_put *put, const json_t *directory)
{
    const json_t *meta = cm_json_obj(directory, "meta");
    put->terms = url_of(meta, "termsOfService");
    put->new_account = url_of(directory, "newAccount");
    /* An agreement that was given for the live CA counts for the same terms only. */
    if (put->terms_known && !put->new_account)
        return cm_fail(&put->err, CM_EPEER, "no ACME directory could be read at %s",
                       cm_json_str_or(put->members, "directory", ""));
    if (put->terms_known && put->terms && strcmp(put->terms, put->terms_known) != 0)
        return cm_fail(&put->err, CM_EHUMAN,
                       "the staging has terms of service of its own, which nobody has agreed to "
                       "(%.500s)",
                       put->terms);
    if (put->eab_kid && !put->new_account)
        return cm_fail(&put->err, CM_EINVAL,
                       "directory: no ACME directory could be read there, and the binding needs "
                       "its newAccount");
    if (cm_json_bool(meta, "externalAccountRequired", false) && !put->eab_kid && !put->registered &&
        !put->bound)
        return cm_fail(&put->err, CM_EINVAL,
                       "eab_kid: this CA registers only accounts that are bound to an account "
                       "there: give the key identifier and the HMAC key that it shows you");
    return 0;
}

static void on_directory(void *arg, const struct http_result *res)
{
    struct account_put *put = arg;
    CM_AUTO_JSON directory = NULL;
    if (put->engine->dead)
        cm_fail(&put->err, CM_ECLOSED, "The engine was stopped");
    else if (res->status == 200)
        (void)cm_json_parse_lax(res->body, res->body_len, &directory, NULL);
    if (put->err.code == 0 && read_directory(put, directory) == 0) {
        want_key(put);
        return;
    }
    if (res->err && res->err->code != 0)
        cm_err_cause(&put->err, "%s", res->err->what);
    put_end(put, &put->err);
}

/* The agreement is kept with the URL of what was agreed to (reference/acme.md A7).  A CA that is
 * out of reach now does not stop the account from being made: its first order will tell. */
static void want_directory(struct account_put *put)
{
    struct engine *engine = put->engine;
    static const char *const who[] = {"User-Agent: certmgr/" CM_VERSION, "Accept-Language: en",
                                      NULL};
    struct http_call_opts opts = {
        .url = cm_json_str(put->members, "directory"),
        .headers = who,
        .timeout_ms = DIRECTORY_MS,
        .reply_max = DIRECTORY_BYTES,
        .allow_http = engine->env.lab_http,
        .ca_pem = cm_json_str(put->members, "ca_pem"),
    };
    bool wanted = put->agreed || put->eab_kid;
    if (wanted && engine->env.http && http_call(engine->env.http, &opts, on_directory, put, NULL))
        return;
    if (put->eab_kid) {
        cm_fail(&put->err, CM_EINVAL, "directory: it could not be read");
        cm_loop_defer(engine->env.loop, on_refused, put);
        return;
    }
    want_key(put);
}

void eng_account_put(struct engine *engine, const json_t *fields, const struct eng_actor *actor,
                     eng_done_fn done, void *arg)
{
    eng_account_put_key(engine, fields, NULL, actor, done, arg);
}

void eng_account_put_key(struct engine *engine, const json_t *fields, const json_t *key,
                         const struct eng_actor *actor, eng_done_fn done, void *arg)
{
    struct account_put *put = cm_calloc(1, sizeof(*put));
    *put = (struct account_put){.engine = engine,
                                .name = cm_strdup(cm_json_str_or(fields, "name", "")),
                                .members = json_object(),
                                .key = key ? json_deep_copy(key) : NULL,
                                .registered = key != NULL,
                                .who = cm_strdup(actor->who),
                                .done = done,
                                .arg = arg};
    engine->refs++;
    int rc = engine->env.manager
                 ? eng_account_check(put, fields)
                 : cm_fail(&put->err, CM_EDENIED, "ACME accounts are kept on the manager");
    if (rc != 0) {
        cm_loop_defer(engine->env.loop, on_refused, put);
        return;
    }
    want_directory(put);
}

/* ---- another account at the CA (reference/acme.md A5) ------------------------------------------
 */

static int check_rebind(struct account_put *put, const json_t *body)
{
    if (!put->engine->env.manager)
        return cm_fail(&put->err, CM_EDENIED, "ACME accounts are kept on the manager");
    if (!body)
        return cm_fail(&put->err, CM_ENOENT, "There is no ACME account \"%s\"", put->name);
    if (!*put->eab_kid || !*put->eab_hmac)
        return cm_fail(&put->err, CM_EINVAL,
                       "%s: give the key identifier and the HMAC key of the other CA account",
                       *put->eab_kid ? "eab_hmac" : "eab_kid");
    if (!cm_json_str(body, "sealed_key") || cm_json_obj(body, "rollover"))
        return cm_fail(&put->err, CM_ECONFLICT,
                       "The account \"%s\" is being given another key: let that end first",
                       put->name);
    return 0;
}

void eng_account_rebind(struct engine *engine, const char *name, const struct eng_binding *binding,
                        const struct eng_actor *actor, eng_done_fn done, void *arg)
{
    struct account_put *put = cm_calloc(1, sizeof(*put));
    *put = (struct account_put){.engine = engine,
                                .name = cm_strdup(name),
                                .members = json_object(),
                                .who = cm_strdup(actor->who),
                                .rebind = true,
                                .done = done,
                                .arg = arg};
    engine->refs++;
    CM_AUTO_STR id = cm_asprintf("account:%s", name);
    CM_AUTO_JSON body = eng_short_name_ok(name) ? cs_get_body(engine->env.store, id) : NULL;
    int rc = eng_account_take_binding(put, binding->kid ? binding->kid : "",
                                      binding->hmac ? binding->hmac : "",
                                      binding->alg ? binding->alg : "");
    if (rc != 0 || check_rebind(put, body) != 0) {
        cm_loop_defer(engine->env.loop, on_refused, put);
        return;
    }
    cm_json_set_str(put->members, "directory", cm_json_str(body, "directory"));
    cm_json_set_str(put->members, "ca_pem", cm_json_str(body, "ca_pem"));
    want_directory(put);
}
