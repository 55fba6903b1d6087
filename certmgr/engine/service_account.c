/*
 * ACME accounts: check the fields, read the CA's directory for the URL of its terms, have the key
 * made, publish.  Registration happens at first use (acme/account.c).
 *
 * An account keeps its key as long as its directory stays the same; another directory is another
 * account at another CA and gets a new key.
 */
#include "certmgr/engine/internal.h"

#include <stdio.h>
#include <string.h>

#include "base/core/num.h"
#include "base/net/hostname.h"
#include "base/net/url.h"

#define CONTACTS_MAX    6 /* the strictest CA known takes six (reference/acme.md 1.8) */
#define DIRECTORY_MS    10000
#define DIRECTORY_BYTES (64u << 10)
#define TERMS_MAX       1000

struct account_put {
    struct engine *engine;
    char *name;
    json_t *members; /* of the document, as given */
    json_t *key;     /* agent's answer, or NULL = the present key stays */
    char *who;
    bool agreed;
    char *terms; /* URL of the terms in the CA's directory, when it could be read */
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
    return 0;
}

static int check_port(struct account_put *put, const json_t *value)
{
    int64_t port = 80;
    const char *text = json_string_value(value);
    int rc = 0;
    if (json_is_integer(value))
        port = json_integer_value(value);
    else if (text && *text)
        rc = cm_num_i64(text, 1, 65535, &port);
    else if (value && !json_is_null(value) && !text)
        rc = CM_EMALF;
    if (rc != 0 || port < 1 || port > 65535)
        return cm_fail(&put->err, CM_EINVAL, "http_port: a port is a number from 1 to 65535");
    cm_json_set_int(put->members, "http_port", port);
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
    int rc = check_contacts(put, json_object_get(fields, "contacts"));
    return rc != 0 ? rc : check_port(put, json_object_get(fields, "http_port"));
}

/* ---- document -----------------------------------------------------------------------------------
 */

static void on_published(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    (void)doc;
    put_end(arg, err);
}

static int edit_account(void *arg, json_t *body, struct cm_err *err)
{
    struct account_put *put = arg;
    const char *directory = cm_json_str_or(put->members, "directory", "");
    bool moved = strcmp(cm_json_str_or(body, "directory", ""), directory) != 0;
    if (!put->key && (moved || !cm_json_str(body, "sealed_key")))
        return cm_fail(err, CM_ECONFLICT, "The account \"%s\" was changed at the same time",
                       put->name);
    if (put->key && (moved || !cm_json_str(body, "sealed_key"))) {
        static const char *const parts[] = {"sealed_key", "jwk", "thumbprint"};
        for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
            json_object_set(body, parts[i], json_object_get(put->key, parts[i]));
        json_object_del(body, "kid");
        json_object_del(body, "error");
        json_object_del(body, "terms_agreed");
        cm_json_set_str(body, "status", "new");
    }
    json_object_del(body, "ca_pem");
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

static void on_key(void *arg, const json_t *reply, const struct cm_err *err)
{
    struct account_put *put = arg;
    if (put->engine->dead || err) {
        if (err)
            cm_err_copy(&put->err, err);
        else
            cm_fail(&put->err, CM_ECLOSED, "The engine was stopped");
        cm_wrap(&put->err, CM_EIO, "The key of the account \"%s\" could not be made", put->name);
        put_end(put, &put->err);
        return;
    }
    put->key = json_deep_copy(reply);
    publish(put);
}

static void want_key(struct account_put *put)
{
    struct engine *engine = put->engine;
    char id[CS_ID_MAX + 1];
    snprintf(id, sizeof(id), "account:%s", put->name);
    CM_AUTO_JSON body = cs_get_body(engine->env.store, id);
    const char *directory = cm_json_str_or(put->members, "directory", "");
    if (body && cm_json_str(body, "sealed_key") &&
        strcmp(cm_json_str_or(body, "directory", ""), directory) == 0) {
        publish(put);
        return;
    }
    json_t *request = json_object();
    cm_json_set_str(request, "op", "account.create");
    cm_json_set_str(request, "account", put->name);
    cm_json_set_str(request, "directory", directory);
    engine->env.agent.call(engine->env.agent.arg, request, on_key, put);
}

/* ---- terms
 * ---------------------------------------------------------------------------------------- */

static void on_directory(void *arg, const struct http_result *res)
{
    struct account_put *put = arg;
    if (put->engine->dead) {
        cm_fail(&put->err, CM_ECLOSED, "The engine was stopped");
        put_end(put, &put->err);
        return;
    }
    CM_AUTO_JSON directory = NULL;
    struct url url;
    if (res->status == 200 && cm_json_parse_lax(res->body, res->body_len, &directory, NULL) == 0) {
        const char *terms = cm_json_str(cm_json_obj(directory, "meta"), "termsOfService");
        if (terms && strlen(terms) < TERMS_MAX && url_parse(terms, &url, NULL) == 0)
            put->terms = cm_strdup(terms);
    }
    want_key(put);
}

/* The agreement is kept with the URL of what was agreed to (reference/acme.md A7).  A CA that is
 * out of reach now does not stop the account from being made: its first order will tell. */
static void want_terms(struct account_put *put)
{
    struct engine *engine = put->engine;
    struct http_call_opts opts = {
        .url = cm_json_str(put->members, "directory"),
        .timeout_ms = DIRECTORY_MS,
        .reply_max = DIRECTORY_BYTES,
        .allow_http = engine->env.lab_http,
        .ca_pem = cm_json_str(put->members, "ca_pem"),
    };
    if (!put->agreed || !engine->env.http ||
        !http_call(engine->env.http, &opts, on_directory, put, NULL))
        want_key(put);
}

void eng_account_put(struct engine *engine, const json_t *fields, const struct eng_actor *actor,
                     eng_done_fn done, void *arg)
{
    struct account_put *put = cm_calloc(1, sizeof(*put));
    *put = (struct account_put){.engine = engine,
                                .name = cm_strdup(cm_json_str_or(fields, "name", "")),
                                .members = json_object(),
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
    want_terms(put);
}
