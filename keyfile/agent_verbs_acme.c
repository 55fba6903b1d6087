/* ACME account keys: made here, used here, for configured CAs only. */
#include <string.h>

#include "base/core/log.h"
#include "keyfile/account_cache.h"
#include "keyfile/agent_impl.h"
#include "keyfile/agent_work.h"
#include "keyfile/eab.h"
#include "keyfile/jws.h"
#include "keyfile/key_text.h"
#include "keyfile/origin.h"
#include "keyfile/ossl.h"
#include "keyfile/seal.h"

#define NONCE_MAX   512
#define PAYLOAD_MAX (256u << 10)

/* The origin of a directory URL, if the configuration allows ACME requests to it. */
int kfa_check_ca(const struct kfa *a, const char *directory, char out[KFA_ORIGIN_TEXT],
                 struct cm_err *err)
{
    char allowed[KF_ORIGIN_TEXT];
    int rc = kf_origin(directory, out, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < a->config->origin_count; i++) {
        if (kf_origin(a->config->origin[i], allowed, NULL) == 0 && strcmp(out, allowed) == 0)
            return 0;
    }
    cm_fail(err, CM_EDENIED, "CA %s is not configured on this server", out);
    cm_err_hint(err, "Add %s to allowed_cas in section [acme] of certmgr.conf.", out);
    return CM_EDENIED;
}

/* On the worker. */
static void make(struct kfa_job *job)
{
    KF_AUTO(pkey) EVP_PKEY *key = NULL;
    json_t *jwk = NULL;
    char thumbprint[KF_THUMBPRINT_TEXT];
    job->rc = kfa_job_make_key(job, &key);
    if (job->rc == 0)
        job->rc = kf_jwk(key, &jwk, &job->err);
    if (job->rc == 0)
        job->rc = kf_jwk_thumbprint(jwk, thumbprint, &job->err);
    if (job->rc == 0) {
        cm_json_set(job->reply, "jwk", jwk);
        cm_json_set_str(job->reply, "thumbprint", thumbprint);
    } else {
        json_decref(jwk);
    }
}

/* Secrets of managers are sealed to every manager and standby, and to the recovery key. */
static int add_managers(struct kfa *a, struct kfa_job *job, struct cm_err *err)
{
    X509 *recipient[KF_RECIPIENTS_MAX];
    size_t count;
    int rc = kfa_manager_recipients(a, recipient, &count, err);
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = kfa_job_seal_for(job, recipient[i], err);
    return rc;
}

static int account_create(struct kfa *a, int64_t id, const json_t *request, json_t *reply,
                          struct cm_err *err)
{
    char origin[KF_ORIGIN_TEXT];
    (void)reply;
    int rc = kfa_check_ca(a, cm_json_str(request, "directory"), origin, err);
    if (rc < 0)
        return rc;
    struct kfa_job *job = kfa_job_new();
    rc = kf_bind_account(&job->binding, cm_json_str(request, "account"), origin, err);
    if (rc == 0)
        rc = add_managers(a, job, err);
    if (rc < 0) {
        kfa_job_free(job);
        return rc;
    }
    job->id = id;
    job->channel = a->channel;
    job->now_ms = cm_now_ms();
    job->type = KF_KEY_P256; /* ES256: what every ACME server must take (RFC 8555 6.2) */
    job->run = make;
    rc = kfa_work_push(a->work, job, err);
    return rc < 0 ? rc : KFA_LATER;
}

static void wipe_text(const json_t *request, const char *member)
{
    const char *text = cm_json_str(request, member);
    if (text) /* the request is freed soon, but not wiped */
        cm_wipe((void *)(uintptr_t)text, strlen(text));
}

/* As make() and kfa_job_make_key(), with a key that is there. */
static int seal_key(struct kfa_job *job, EVP_PKEY *key, json_t *reply, struct cm_err *err)
{
    KF_AUTO_SECRET text = {0};
    uint8_t *der = NULL;
    size_t len = 0;
    char thumbprint[KF_THUMBPRINT_TEXT];
    json_t *jwk = NULL;
    int rc = kf_bound_write(&job->binding, key, cm_now_ms(), &text, err);
    if (rc == 0)
        rc = kf_seal(text.data, text.len, job->recipient, job->recipient_count, &der, &len, err);
    if (rc == 0)
        rc = kf_jwk(key, &jwk, err);
    if (rc == 0)
        rc = kf_jwk_thumbprint(jwk, thumbprint, err);
    if (rc == 0) {
        CM_AUTO_STR sealed = cm_b64(der, len);
        cm_json_set_str(reply, "sealed_key", sealed);
        cm_json_set_str(reply, "thumbprint", thumbprint);
        json_object_set(reply, "jwk", jwk);
    }
    json_decref(jwk);
    cm_free(der);
    return rc;
}

/* A key that another program has made: from now on it is the agent's. */
static int account_import(struct kfa *a, int64_t id, const json_t *request, json_t *reply,
                          struct cm_err *err)
{
    char origin[KF_ORIGIN_TEXT];
    KF_AUTO(pkey) EVP_PKEY *key = NULL;
    struct kfa_job *job = kfa_job_new();
    (void)id;
    int rc = kfa_check_ca(a, cm_json_str(request, "directory"), origin, err);
    if (rc == 0)
        rc = kf_bind_account(&job->binding, cm_json_str(request, "account"), origin, err);
    if (rc == 0)
        rc = add_managers(a, job, err);
    if (rc == 0)
        rc = kf_key_from_text(cm_json_str(request, "key"), cm_json_str(request, "passphrase"), &key,
                              err);
    if (rc == 0)
        rc = seal_key(job, key, reply, err);
    wipe_text(request, "key");
    wipe_text(request, "passphrase");
    kfa_job_free(job);
    return rc;
}

static int same_origin(const char *what, const char *url, const char *origin, struct cm_err *err)
{
    char own[KF_ORIGIN_TEXT];
    int rc = kf_origin(url, own, err);
    if (rc == 0 && strcmp(own, origin) != 0)
        rc = cm_fail(err, CM_EDENIED, "%s %s is not at the account's CA %s", what, own, origin);
    return rc;
}

/* The protected header of RFC 8555 6.2: nonce, url, and exactly one of jwk and kid. */
int kfa_jws_head(const char *nonce, const char *url, const char *kid, const EVP_PKEY *key,
                 json_t **ret, struct cm_err *err)
{
    size_t len = strlen(nonce);
    if (len == 0 || len > NONCE_MAX ||
        strspn(nonce, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != len)
        return cm_fail(err, CM_EMALF, "nonce is not base64url of 1 to %d characters", NONCE_MAX);
    json_t *jwk = NULL;
    int rc = kid ? 0 : kf_jwk(key, &jwk, err);
    if (rc < 0)
        return rc;
    *ret = json_object();
    cm_json_set_str(*ret, "nonce", nonce);
    cm_json_set_str(*ret, "url", url);
    if (kid)
        cm_json_set_str(*ret, "kid", kid);
    else
        cm_json_set(*ret, "jwk", jwk);
    return 0;
}

/* A header for the account's own CA only. */
static int protected_header(const json_t *request, const EVP_PKEY *key, const char *origin,
                            json_t **ret, struct cm_err *err)
{
    const char *url = cm_json_str(request, "url");
    const char *kid = cm_json_str(request, "kid");
    int rc = same_origin("URL", url, origin, err);
    if (rc == 0 && kid)
        rc = same_origin("account URL", kid, origin, err);
    return rc < 0 ? rc : kfa_jws_head(cm_json_str(request, "nonce"), url, kid, key, ret, err);
}

static int jws_sign(struct kfa *a, int64_t id, const json_t *request, json_t *reply,
                    struct cm_err *err)
{
    char origin[KF_ORIGIN_TEXT];
    struct kf_binding binding;
    EVP_PKEY *key;
    json_t *jws;
    CM_AUTO_JSON head = NULL;
    const char *payload = cm_json_str(request, "payload");
    (void)id;
    if (strlen(payload) > PAYLOAD_MAX)
        return cm_fail(err, CM_ELIMIT, "payload is longer than %u bytes", PAYLOAD_MAX);
    int rc = kfa_check_ca(a, cm_json_str(request, "directory"), origin, err);
    if (rc == 0)
        rc = kf_bind_account(&binding, cm_json_str(request, "account"), origin, err);
    if (rc == 0)
        rc = kfa_account_key(a->accounts, &a->identity, &binding,
                             cm_json_str(request, "sealed_key"), &key, err);
    if (rc == 0)
        rc = protected_header(request, key, origin, &head, err);
    if (rc == 0)
        rc = kf_jws_sign(key, head, payload, strlen(payload), &jws, err);
    if (rc == 0)
        cm_json_set(reply, "jws", jws);
    return rc;
}

static int open_account(struct kfa *a, const struct kf_binding *binding, const char *sealed,
                        EVP_PKEY **ret, struct cm_err *err)
{
    int rc = kfa_account_key(a->accounts, &a->identity, binding, sealed, ret, err);
    if (rc == 0 && !EVP_PKEY_up_ref(*ret)) /* the cache may drop it at the next look */
        rc = kf_ossl_fail(err, CM_ECRYPTO, "the key cannot be held");
    return rc;
}

/* The only way an account key leaves: under a passphrase. */
static int account_export(struct kfa *a, int64_t id, const json_t *request, json_t *reply,
                          struct cm_err *err)
{
    char origin[KF_ORIGIN_TEXT];
    struct kf_binding binding;
    KF_AUTO(pkey) EVP_PKEY *key = NULL;
    CM_AUTO_STR pem = NULL;
    (void)id;
    int rc = kfa_check_ca(a, cm_json_str(request, "directory"), origin, err);
    if (rc == 0)
        rc = kf_bind_account(&binding, cm_json_str(request, "account"), origin, err);
    if (rc == 0)
        rc = open_account(a, &binding, cm_json_str(request, "sealed_key"), &key, err);
    if (rc == 0)
        rc = kf_key_to_encrypted_pem(key, cm_json_str(request, "passphrase"), &pem, err);
    if (rc == 0) {
        cm_json_set_str(reply, "key_pem", pem);
        /* A front that asks without an administrator cannot leave this line out. */
        cm_log(CM_LOG_WARN, "agent", binding.document, "the key left under a passphrase, for %s",
               origin);
    }
    wipe_text(request, "passphrase");
    return rc;
}

/* {"account", "oldKey"} signed by the new key, without a nonce (RFC 8555 7.3.5). */
static int inner_jws(const json_t *request, EVP_PKEY *old_key, EVP_PKEY *new_key, char **ret,
                     struct cm_err *err)
{
    CM_AUTO_JSON head = json_object();
    CM_AUTO_JSON payload = json_object();
    json_t *jwk = NULL, *old_jwk = NULL, *jws = NULL;
    int rc = kf_jwk(new_key, &jwk, err);
    if (rc == 0) {
        cm_json_set(head, "jwk", jwk);
        cm_json_set_str(head, "url", cm_json_str(request, "url"));
        rc = kf_jwk(old_key, &old_jwk, err);
    }
    if (rc < 0)
        return rc;
    cm_json_set_str(payload, "account", cm_json_str(request, "kid"));
    cm_json_set(payload, "oldKey", old_jwk);
    CM_AUTO_STR text = cm_json_dump(payload, NULL);
    rc = kf_jws_sign(new_key, head, text, strlen(text), &jws, err);
    if (rc == 0)
        *ret = cm_json_dump(jws, NULL);
    json_decref(jws);
    return rc;
}

static int rollover_sign(struct kfa *a, int64_t id, const json_t *request, json_t *reply,
                         struct cm_err *err)
{
    char origin[KF_ORIGIN_TEXT];
    struct kf_binding binding;
    KF_AUTO(pkey) EVP_PKEY *old_key = NULL;
    KF_AUTO(pkey) EVP_PKEY *new_key = NULL;
    CM_AUTO_JSON head = NULL;
    CM_AUTO_STR inner = NULL;
    json_t *jws;
    (void)id;
    int rc = kfa_check_ca(a, cm_json_str(request, "directory"), origin, err);
    if (rc == 0)
        rc = kf_bind_account(&binding, cm_json_str(request, "account"), origin, err);
    if (rc == 0)
        rc = open_account(a, &binding, cm_json_str(request, "sealed_key"), &old_key, err);
    if (rc == 0)
        rc = open_account(a, &binding, cm_json_str(request, "new_sealed_key"), &new_key, err);
    if (rc == 0 && EVP_PKEY_eq(old_key, new_key) == 1)
        rc = cm_fail(err, CM_EDENIED, "the new key is the old one");
    if (rc == 0)
        rc = protected_header(request, old_key, origin, &head, err);
    if (rc == 0)
        rc = inner_jws(request, old_key, new_key, &inner, err);
    if (rc == 0)
        rc = kf_jws_sign(old_key, head, inner, strlen(inner), &jws, err);
    if (rc == 0)
        cm_json_set(reply, "jws", jws);
    return rc;
}

/* Exactly the members of a public P-256 key as account.create answers it: the agent puts nothing
 * else under a MAC. */
static int check_jwk(const json_t *jwk, struct cm_err *err)
{
    const char *x = cm_json_str(jwk, "x"), *y = cm_json_str(jwk, "y");
    if (json_object_size(jwk) != 4 || !x || !y || strlen(x) != 43 || strlen(y) != 43 ||
        strcmp(cm_json_str_or(jwk, "kty", ""), "EC") != 0 ||
        strcmp(cm_json_str_or(jwk, "crv", ""), "P-256") != 0)
        return cm_fail(err, CM_EMALF, "jwk is not the public key of an account");
    return 0;
}

static int eab_sign(struct kfa *a, int64_t id, const json_t *request, json_t *reply,
                    struct cm_err *err)
{
    char origin[KF_ORIGIN_TEXT];
    const char *url = cm_json_str(request, "url");
    const char *key = cm_json_str(request, "key");
    const json_t *jwk = cm_json_obj(request, "jwk");
    struct kf_eab eab;
    (void)id;
    int rc = kfa_check_ca(a, cm_json_str(request, "directory"), origin, err);
    if (rc == 0)
        rc = same_origin("URL", url, origin, err);
    if (rc == 0)
        rc = check_jwk(jwk, err);
    if (rc == 0)
        rc = kf_eab_sign(cm_json_str(request, "kid"), key, cm_json_str(request, "alg"), url, jwk,
                         &eab, err);
    if (rc == 0) {
        cm_json_set(reply, "jws", eab.jws);
        cm_json_set(reply, "jws_other", eab.other);
        cm_json_set_int(reply, "key_bytes", (int64_t)eab.key_len);
    }
    cm_wipe((void *)(uintptr_t)key, strlen(key)); /* the request is freed soon, but not wiped */
    return rc;
}

const struct kfa_verb kfa_verbs_acme[] = {
    {"account.create", KFA_MANAGER, {"s:account", "s:directory"}, account_create},
    {"account.import",
     KFA_MANAGER,
     {"s:account", "s:directory", "s:key", "s:passphrase"},
     account_import},
    {"account.export",
     KFA_MANAGER,
     {"s:account", "s:directory", "s:sealed_key", "s:passphrase"},
     account_export},
    {"jws.sign",
     KFA_MANAGER,
     {"s:account", "s:directory", "s:sealed_key", "s:url", "s:nonce", "s:payload", "S:kid"},
     jws_sign},
    {"rollover.sign",
     KFA_MANAGER,
     {"s:account", "s:directory", "s:sealed_key", "s:new_sealed_key", "s:url", "s:nonce", "s:kid"},
     rollover_sign},
    {"eab.sign",
     KFA_MANAGER,
     {"s:directory", "s:url", "s:kid", "s:key", "s:alg", "o:jwk"},
     eab_sign},
    {0},
};
