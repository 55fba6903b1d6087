/*
 * ACME accounts: check the fields, read the CA's directory for the URL of its terms, have the key
 * made, publish.  Registration happens at first use (acme/account.c).
 *
 * An account keeps its key as long as its directory stays the same; another directory is another
 * account at another CA and gets a new key.
 *
 * External account binding (RFC 8555 7.3.4): the agent turns the CA's HMAC key into the signed
 * binding at once, so that the HMAC key itself is never stored.  The binding is of use for this
 * account key only; it is kept until the account is registered.
 */
#include "certmgr/engine/internal.h"

#include <stdio.h>
#include <string.h>

#include "base/core/num.h"
#include "base/net/hostname.h"
#include "base/net/url.h"
#include "certmgr/acme/presets.h"
#include "certmgr/acme/proof.h"
#include "certmgr/engine/activation.h"

#define CONTACTS_MAX    6 /* the strictest CA known takes six (reference/acme.md 1.8) */
#define DIRECTORY_MS    10000
#define DIRECTORY_BYTES (64u << 10)
#define URL_TEXT_MAX    1000
#define FORMER_MAX      3 /* keys kept of former accounts */

struct account_put {
    struct engine *engine;
    char *name;
    json_t *members; /* of the document, as given */
    json_t *key;     /* agent's answer, or NULL = the present key stays */
    char *who;
    bool agreed;
    char *terms_known; /* URL of what a person agreed to elsewhere, or NULL */
    char *terms;       /* URL of the terms in the CA's directory, when it could be read */
    char *new_account;
    bool registered; /* the CA knows the present key */
    bool bound;      /* a binding for it is stored */
    bool rebind;     /* another key takes the place of the present one */
    char *eab_kid, *eab_hmac;
    json_t *binding; /* signed */
    struct cm_err err;
    eng_done_fn done;
    void *arg;
};

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

/* ---- fields -----------------------------------------------------------------------------------
 */

/* "mailto:" + an address that a CA can take: one @, a real domain, none of the characters that RFC
 * 8555 7.3 forbids in a contact (more addresses, header fields). */
static int check_contact(const char *typed, json_t *out, struct cm_err *err)
{
    if (strncmp(typed, "mailto:", 7) == 0)
        typed += 7;
    const char *at = strchr(typed, '@');
    char domain[HOSTNAME_MAX];
    enum hostname_kind kind = HOSTNAME_DNS;
    size_t len = strnlen(typed, 255);
    if (!at || at == typed || len > 254 || strpbrk(typed, " \t\r\n,;?%&<>\"\\()[]") ||
        hostname_to_ascii(at + 1, domain, &kind, NULL) != 0 || kind != HOSTNAME_DNS)
        return cm_fail(err, CM_EINVAL, "contacts: \"%.100s\" is no mail address", typed);
    CM_AUTO_STR uri = cm_asprintf("mailto:%.*s@%s", (int)(at - typed), typed, domain);
    for (const char *c = uri; *c; c++)
        if ((unsigned char)*c > 0x7e || (unsigned char)*c < 0x21)
            return cm_fail(err, CM_EINVAL,
                           "contacts: CAs take only ASCII letters in \"%.100s\" before the @",
                           typed);
    if (cm_json_has_str(out, uri))
        return cm_fail(err, CM_EINVAL, "contacts: %.100s is given twice", typed);
    json_array_append_new(out, json_string(uri));
    return 0;
}

static int check_contacts(struct account_put *put, const json_t *value)
{
    json_t *out = json_array();
    cm_json_set(put->members, "contacts", out);
    CM_AUTO_JSON typed = eng_split(value);
    if (!typed)
        return cm_fail(&put->err, CM_EINVAL, "contacts: give mail addresses as text");
    if (json_array_size(typed) > CONTACTS_MAX)
        return cm_fail(&put->err, CM_EINVAL, "contacts: at most %d addresses", CONTACTS_MAX);
    size_t i;
    json_t *item;
    json_array_foreach(typed, i, item)
    {
        int rc = check_contact(json_string_value(item), out, &put->err);
        if (rc != 0)
            return rc;
    }
    const struct acme_preset *preset = acme_preset_of(cm_json_str(put->members, "directory"));
    if (preset && preset->contact_max > 0 &&
        (json_array_size(out) < preset->contact_min || json_array_size(out) > preset->contact_max))
        return cm_fail(&put->err, CM_EINVAL,
                       "contacts: the CA \"%s\" takes accounts with %u to %u mail addresses only",
                       preset->title, preset->contact_min, preset->contact_max);
    return 0;
}

static int check_port(struct account_put *put, const json_t *fields, const char *key,
                      int64_t standard)
{
    const json_t *value = json_object_get(fields, key);
    int64_t port = standard;
    const char *text = json_string_value(value);
    int rc = 0;
    if (json_is_integer(value))
        port = json_integer_value(value);
    else if (text && *text)
        rc = cm_num_i64(text, 1, 65535, &port);
    else if (value && !json_is_null(value) && !text)
        rc = CM_EMALF;
    if (rc != 0 || port < 1 || port > 65535)
        return cm_fail(&put->err, CM_EINVAL, "%s: a port is a number from 1 to 65535", key);
    cm_json_set_int(put->members, key, port);
    return 0;
}

/* How names are proved that no DNS account covers. */
static int check_challenge(struct account_put *put, const json_t *value)
{
    const char *type = json_string_value(value);
    if (!value || json_is_null(value) || (type && !*type))
        type = ACME_HTTP01;
    if (!type || (strcmp(type, ACME_HTTP01) != 0 && strcmp(type, ACME_TLSALPN) != 0))
        return cm_fail(&put->err, CM_EINVAL, "challenge: choose http-01 or tls-alpn-01");
    cm_json_set_str(put->members, "challenge", type);
    return 0;
}

/* The binding of a registered account stays as it is (reference/acme.md A5). */
static int check_eab(struct account_put *put, const json_t *fields)
{
    const char *kid = cm_json_str_or(fields, "eab_kid", "");
    const char *hmac = cm_json_str_or(fields, "eab_hmac", "");
    char id[CS_ID_MAX + 1];
    snprintf(id, sizeof(id), "account:%s", put->name);
    CM_AUTO_JSON body = cs_get_body(put->engine->env.store, id);
    const json_t *eab = cm_json_obj(body, "eab");
    bool same_ca = strcmp(cm_json_str_or(body, "directory", ""),
                          cm_json_str_or(put->members, "directory", "")) == 0;
    put->registered = put->key || (same_ca && cm_json_str(body, "kid"));
    put->bound = same_ca && cm_json_obj(eab, "jws");
    if (!*kid && !*hmac)
        return 0;
    if (!*kid || !*hmac)
        return cm_fail(&put->err, CM_EINVAL, "%s: key identifier and HMAC key belong together",
                       *kid ? "eab_hmac" : "eab_kid");
    if (put->registered && strcmp(cm_json_str_or(eab, "kid", ""), kid) == 0)
        return 0;
    if (put->registered)
        return cm_fail(&put->err, CM_EINVAL,
                       "eab_kid: the account is registered at the CA already: the stored account "
                       "is in use, and another binding is not sent; bind it to another CA account "
                       "(account rebind), or make an account under another name");
    put->eab_kid = cm_strdup(kid);
    put->eab_hmac = cm_strdup(hmac);
    return 0;
}

/* Which account stands for the staging of the same CA (staging.c). */
static int check_staging(struct account_put *put, const char *name)
{
    CM_AUTO_STR id = cm_asprintf("account:%.64s", name);
    if (!*name)
        return 0;
    CM_AUTO_JSON body = eng_short_name_ok(name) ? cs_peek_body(put->engine->env.store, id) : NULL;
    if (!body || strcmp(name, put->name) == 0)
        return cm_fail(&put->err, CM_EINVAL, "staging: there is no other account \"%.64s\"", name);
    cm_json_set_str(put->members, "staging", name);
    return 0;
}

static int check_fields(struct account_put *put, const json_t *fields)
{
    struct cm_err *err = &put->err;
    const char *directory = cm_json_str_or(fields, "directory", "");
    const char *ca_pem = cm_json_str(fields, "ca_pem");
    struct url url;
    if (!eng_short_name_ok(put->name))
        return cm_fail(err, CM_EINVAL,
                       "name: an account name has 1 to 63 letters, digits, dots, "
                       "hyphens or underscores");
    if (url_parse(directory, &url, NULL) != 0)
        return cm_fail(err, CM_EINVAL,
                       "directory: \"%.200s\" is not the https:// URL of an ACME directory",
                       directory);
    if (!url.https && !put->engine->env.lab_http)
        return cm_fail(err, CM_EINVAL, "directory: a CA is reached by https:// only");
    if (ca_pem && *ca_pem && !strstr(ca_pem, "-----BEGIN CERTIFICATE-----"))
        return cm_fail(err, CM_EINVAL, "ca_pem: no PEM certificate found in it");
    cm_json_set_str(put->members, "directory", directory);
    cm_json_set_str(put->members, "ca_pem", ca_pem && *ca_pem ? ca_pem : NULL);
    cm_json_set_bool(put->members, "self_check", cm_json_bool(fields, "self_check", true));
    put->agreed = cm_json_bool(fields, "terms_agreed", false);
    if (cm_json_str(fields, "terms_known"))
        put->terms_known = cm_strdup(cm_json_str(fields, "terms_known"));
    if (check_staging(put, cm_json_str_or(fields, "staging", "")) != 0)
        return put->err.code;
    int rc = check_contacts(put, json_object_get(fields, "contacts"));
    if (rc == 0)
        rc = check_port(put, fields, "http_port", 80);
    if (rc == 0)
        rc = check_port(put, fields, "tls_port", 443);
    if (rc == 0)
        rc = check_challenge(put, json_object_get(fields, "challenge"));
    if (rc == 0)
        rc = eng_activation_check(fields, put->members, err);
    return rc != 0 ? rc : check_eab(put, fields);
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
        json_t *eab = json_object();
        cm_json_set_str(eab, "kid", put->eab_kid);
        cm_json_set_time(eab, "at", cm_now_ms());
        json_object_set(eab, "jws", put->binding);
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
    put->binding = json_incref(cm_json_obj(reply, "jws"));
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
                 ? check_fields(put, fields)
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

void eng_account_rebind(struct engine *engine, const char *name, const char *eab_kid,
                        const char *eab_hmac, const struct eng_actor *actor, eng_done_fn done,
                        void *arg)
{
    struct account_put *put = cm_calloc(1, sizeof(*put));
    *put = (struct account_put){.engine = engine,
                                .name = cm_strdup(name),
                                .members = json_object(),
                                .who = cm_strdup(actor->who),
                                .eab_kid = cm_strdup(eab_kid ? eab_kid : ""),
                                .eab_hmac = cm_strdup(eab_hmac ? eab_hmac : ""),
                                .rebind = true,
                                .done = done,
                                .arg = arg};
    engine->refs++;
    CM_AUTO_STR id = cm_asprintf("account:%s", name);
    CM_AUTO_JSON body = eng_short_name_ok(name) ? cs_get_body(engine->env.store, id) : NULL;
    if (check_rebind(put, body) != 0) {
        cm_loop_defer(engine->env.loop, on_refused, put);
        return;
    }
    cm_json_set_str(put->members, "directory", cm_json_str(body, "directory"));
    cm_json_set_str(put->members, "ca_pem", cm_json_str(body, "ca_pem"));
    want_directory(put);
}
