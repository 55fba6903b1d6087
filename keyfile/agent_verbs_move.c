/*
 * Keys of credentials that come from elsewhere, are given to other servers, or leave.
 *
 * A key comes in sealed by a person's command (handover.h), so that no other process sees it, and
 * is sealed at once for the servers with access and, as for all secrets that a manager keeps, for
 * managers, standbys and the recovery key (retained mode).  It leaves only as PKCS #12 under a
 * password that came the same way, and only when its own sealed text says that it may.
 */
#include <string.h>

#include "base/core/bytes.h"
#include "base/core/log.h"
#include "keyfile/agent_impl.h"
#include "keyfile/agent_work.h"
#include "keyfile/certinfo.h"
#include "keyfile/csr.h"
#include "keyfile/handover.h"
#include "keyfile/ossl.h"
#include "keyfile/p12.h"
#include "keyfile/pem.h"
#include "keyfile/pile.h"

/* ---- a credential's own key ------------------------------------------------------------------ */

int kfa_credential_check(const struct kfa *a, const json_t *document, struct cm_err *err)
{
    const char *id = cm_json_str_or(document, "_id", "");
    int rc = kf_doc_verify(a->trust, document, false, err);
    if (rc < 0)
        return rc;
    if (strncmp(id, "credential:", 11) != 0 || !cm_ulid_ok(id + 11))
        return cm_fail(err, CM_EDENIED, "%.160s is not a credential", id);
    if (kf_trust_expires_ms(a->trust) <= cm_now_ms())
        return cm_fail(err, CM_EDENIED, "the trust root has expired; no order counts");
    return 0;
}

static int open_envelope(const struct kfa *a, const char *sealed, struct kf_secret *ret,
                         struct cm_err *err)
{
    uint8_t *der = NULL;
    size_t len = 0;
    if (strlen(sealed) > 2 * KF_ENVELOPE_MAX ||
        cm_b64_decode(sealed, strlen(sealed), &der, &len) < 0)
        return cm_fail(err, CM_EMALF, "what was sealed is not base64");
    int rc = kf_identity_open(&a->identity, der, len, ret, err);
    cm_free(der);
    return rc;
}

int kfa_credential_key(const struct kfa *a, const json_t *document, EVP_PKEY **ret,
                       bool *ret_exportable, struct cm_err *err)
{
    struct kf_binding binding;
    char spki[KF_SPKI_HEX];
    KF_AUTO_SECRET text = {0};
    *ret = NULL;
    int rc = kf_bind_credential(&binding, cm_json_str_or(document, "_id", "") + 11,
                                cm_json_int(document, "key_generation", 0), err);
    if (rc == 0)
        rc = open_envelope(a, cm_json_str_or(document, "sealed_key", ""), &text, err);
    if (rc == 0)
        rc = kf_bound_read(&text, &binding, ret, spki, err);
    if (rc == 0 && strcmp(spki, cm_json_str_or(document, "public_key_sha256", "")) != 0)
        rc = cm_fail(err, CM_EDENIED, "the sealed key is not the one of the document");
    if (rc == 0 && ret_exportable)
        *ret_exportable = kf_bound_exportable(&text);
    return rc;
}

/* ---- who may open a key that is retained ----------------------------------------------------- */

static int add_recipients(struct kfa *a, const json_t *servers, struct kfa_job *job,
                          struct cm_err *err)
{
    X509 *manager[KF_RECIPIENTS_MAX];
    size_t count = 0;
    int rc = kfa_job_servers(a, servers, job, err);
    if (rc == 0)
        rc = kfa_manager_recipients(a, manager, &count, err);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        bool listed = false;
        for (size_t k = 0; k < job->recipient_count; k++)
            listed = listed || job->recipient[k] == manager[i];
        if (!listed)
            rc = kfa_job_seal_for(job, manager[i], err);
    }
    return rc;
}

static void set_up(struct kfa_job *job, const struct kfa *a, int64_t id)
{
    job->id = id;
    job->channel = a->channel;
    job->now_ms = cm_now_ms();
    job->type = KF_KEY_RSA2048; /* among the slow ones */
}

/* ---- key.import ------------------------------------------------------------------------------ */

struct import {
    struct kf_secret text;
    struct kf_handover handed; /* points into text */
};

static void import_free(void *own)
{
    struct import *import = own;
    kf_secret_fini(&import->text);
    cm_free(import);
}

/* For the day when a CA is asked for the next certificate with this key.  Names that fit into no
 * request are refused by the front, in its own words. */
static int add_csr(struct kfa_job *job, const struct kf_pile *pile)
{
    struct kf_cert_info info = {0};
    uint8_t *der = NULL;
    size_t len = 0;
    int rc = kf_x509_info(pile->leaf, &info, &job->err);
    if (rc == 0 && kf_csr_names_check(info.san, NULL) == 0)
        rc = kf_csr(pile->key, info.san, &der, &len, &job->err);
    if (rc == 0 && der) {
        CM_AUTO_STR text = cm_b64url(der, len);
        cm_json_set_str(job->reply, "csr", text);
    }
    if (rc == 0)
        cm_json_set_str(job->reply, "public_key_sha256", info.public_key_sha256);
    cm_free(der);
    kf_cert_info_fini(&info);
    return rc;
}

/* On the worker. */
static void import_run(struct kfa_job *job)
{
    struct import *import = job->own;
    struct kf_pile pile = {0};
    char *chain = NULL;
    job->rc = kf_pile_read(import->handed.data, import->handed.len, import->handed.password, &pile,
                           &job->err);
    if (job->rc == 0)
        job->rc = kfa_job_seal(job, pile.key);
    if (job->rc == 0)
        job->rc = add_csr(job, &pile);
    if (job->rc == 0)
        job->rc = kf_pem_write(pile.certs, 0, sk_X509_num(pile.certs), &chain, &job->err);
    if (job->rc == 0) {
        cm_json_set_str(job->reply, "chain", chain);
        cm_json_set_str(job->reply, "key_type", kf_key_type_name(pile.type));
        cm_json_set_bool(job->reply, "exportable", import->handed.exportable);
    }
    cm_free(chain);
    kf_pile_fini(&pile);
}

static int key_import(struct kfa *a, int64_t id, const json_t *request, json_t *reply,
                      struct cm_err *err)
{
    struct kfa_job *job = kfa_job_new();
    struct import *import = cm_calloc(1, sizeof(*import));
    int64_t generation = cm_json_int(request, "generation", 0);
    const char *credential = cm_json_str(request, "credential");
    (void)reply;
    set_up(job, a, id);
    job->own = import;
    job->own_free = import_free;
    job->run = import_run;
    int rc = kf_bind_credential(&job->binding, credential, generation, err);
    if (rc == 0)
        rc = add_recipients(a, cm_json_arr(request, "servers"), job, err);
    if (rc == 0)
        rc = open_envelope(a, cm_json_str(request, "sealed"), &import->text, err);
    if (rc == 0)
        rc = kf_handover_read(&import->text, KF_HANDOVER_IMPORT, generation == 1 ? "-" : credential,
                              job->now_ms, &import->handed, err);
    if (rc < 0) {
        kfa_job_free(job);
        return rc;
    }
    job->binding.exportable = import->handed.exportable;
    rc = kfa_work_push(a->work, job, err);
    return rc < 0 ? rc : KFA_LATER;
}

/* ---- key.rewrap ------------------------------------------------------------------------------ */

/* The listed servers that were not removed since (owned): they get it, whoever else is listed. */
static json_t *present_of(const struct kfa *a, const json_t *servers)
{
    json_t *present = json_array();
    for (size_t i = 0; i < json_array_size(servers); i++) {
        json_t *name = json_array_get(servers, i);
        const struct kf_server *server =
            json_is_string(name) ? kf_trust_server(a->trust, json_string_value(name)) : NULL;
        if (!server || server->state != KF_REMOVED)
            json_array_append(present, name);
    }
    return present;
}

/* The same key for the servers that the signed document lists now. */
static int key_rewrap(struct kfa *a, int64_t id, const json_t *request, json_t *reply,
                      struct cm_err *err)
{
    const json_t *document = cm_json_obj(request, "document");
    KF_AUTO(pkey) EVP_PKEY *key = NULL;
    bool exportable = false;
    struct kfa_job *job = kfa_job_new();
    int rc = kfa_credential_check(a, document, err);
    set_up(job, a, id);
    if (rc == 0 && strcmp(cm_json_str_or(document, "status", ""), "update_servers") != 0)
        rc = cm_fail(err, CM_EDENIED, "the servers of %.160s are not to be changed",
                     cm_json_str(document, "_id"));
    if (rc == 0)
        rc = kfa_credential_key(a, document, &key, &exportable, err);
    CM_AUTO_JSON present = present_of(a, cm_json_arr(document, "servers"));
    if (rc == 0)
        rc = add_recipients(a, present, job, err);
    if (rc == 0)
        rc = kf_bind_credential(&job->binding, cm_json_str(document, "_id") + 11,
                                cm_json_int(document, "key_generation", 0), err);
    job->binding.exportable = exportable;
    if (rc == 0 && (rc = kfa_job_seal(job, key)) == 0)
        json_object_update(reply, job->reply);
    else if (rc != 0 && job->err.code != 0 && err)
        cm_err_copy(err, &job->err);
    kfa_job_free(job);
    return rc;
}

/* ---- key.export ------------------------------------------------------------------------------ */

struct outgoing {
    struct kf_secret text;
    struct kf_handover handed; /* points into text */
    EVP_PKEY *key;
    STACK_OF(X509) * chain;
    char name[256];
};

static void export_free(void *own)
{
    struct outgoing *out = own;
    kf_secret_fini(&out->text);
    EVP_PKEY_free(out->key);
    sk_X509_pop_free(out->chain, X509_free);
    cm_free(out);
}

/* On the worker. */
static void export_run(struct kfa_job *job)
{
    struct outgoing *out = job->own;
    uint8_t *der = NULL;
    size_t len = 0;
    job->rc =
        kf_p12_write(out->key, out->chain, out->name, out->handed.password, &der, &len, &job->err);
    if (job->rc == 0) {
        CM_AUTO_STR text = cm_b64(der, len);
        job->reply = json_object();
        cm_json_set_str(job->reply, "pkcs12", text);
    }
    cm_free(der);
}

/* The chain as the document has it; its leaf must be this key's. */
static int take_chain(struct outgoing *out, const json_t *document, struct cm_err *err)
{
    const char *pem = cm_json_str_or(document, "chain", "");
    int rc = kf_pem_certs(pem, strlen(pem), KF_CHAIN_MAX, &out->chain, err);
    if (rc < 0)
        return cm_wrap(err, rc, "the credential has no certificate");
    if (EVP_PKEY_eq(X509_get0_pubkey(sk_X509_value(out->chain, 0)), out->key) == 1)
        return 0;
    return kf_ossl_fail(err, CM_EDENIED, "the certificate is for another key");
}

static int take_export(const struct kfa *a, const json_t *request, struct outgoing *out,
                       struct cm_err *err)
{
    const json_t *document = cm_json_obj(request, "document");
    bool exportable = false;
    int rc = kfa_credential_check(a, document, err);
    if (rc < 0)
        return rc;
    const char *id = cm_json_str(document, "_id");
    const json_t *name = json_array_get(cm_json_arr(document, "host_names_ascii"), 0);
    (void)cm_strcpy(out->name, sizeof(out->name),
                    json_is_string(name) ? json_string_value(name) : id);
    rc = kfa_credential_key(a, document, &out->key, &exportable, err);
    if (rc == 0 && !exportable) {
        cm_fail(err, CM_EDENIED, "the key of %.160s is not exportable", id);
        cm_err_hint(err,
                    "Only a key that was marked exportable when it was made or imported leaves "
                    "its servers; ask for a new one that is, or use the keyring files there");
        return CM_EDENIED;
    }
    if (rc == 0)
        rc = take_chain(out, document, err);
    if (rc == 0)
        rc = open_envelope(a, cm_json_str(request, "sealed"), &out->text, err);
    if (rc == 0)
        rc = kf_handover_read(&out->text, KF_HANDOVER_EXPORT, id + 11, cm_now_ms(), &out->handed,
                              err);
    if (rc == 0)
        rc = kf_p12_password_check(out->handed.password, err);
    return rc;
}

static int key_export(struct kfa *a, int64_t id, const json_t *request, json_t *reply,
                      struct cm_err *err)
{
    struct kfa_job *job = kfa_job_new();
    struct outgoing *out = cm_calloc(1, sizeof(*out));
    (void)reply;
    set_up(job, a, id);
    job->own = out;
    job->own_free = export_free;
    job->run = export_run;
    int rc = take_export(a, request, out, err);
    if (rc < 0) {
        kfa_job_free(job);
        return rc;
    }
    /* A front that asks without an administrator cannot leave this line out. */
    cm_log(CM_LOG_WARN, "agent", cm_json_str(cm_json_obj(request, "document"), "_id"),
           "the key leaves as PKCS #12 under a password");
    rc = kfa_work_push(a->work, job, err);
    return rc < 0 ? rc : KFA_LATER;
}

const struct kfa_verb kfa_verbs_move[] = {
    {"key.import",
     KFA_MANAGER,
     {"s:credential", "i:generation", "a:servers", "s:sealed"},
     key_import},
    {"key.rewrap", KFA_MANAGER, {"o:document"}, key_rewrap},
    {"key.export", KFA_MEMBER, {"o:document", "s:sealed"}, key_export},
    {0},
};
