/* A downloaded chain, split and checked before anything stores it (RFC 8555 7.4.2). */
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "base/core/clock.h"
#include "base/core/file.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "keyfile/certinfo.h"
#include "keyfile/ossl.h"
#include "keyfile/pem.h"

#define SYSTEM_ROOTS      "/etc/ssl/certs" /* ca-certificates, files named by subject hash */
#define SYSTEM_HASH_MAX   8                /* certificates of one subject hash that are tried */
#define TRUSTED_ROOTS_MAX 512
#define NOT_BEFORE_SKEW   (3600 * 1000) /* our clock may be that much behind the CA's */

void kf_chain_fini(struct kf_chain *chain)
{
    cm_free(chain->leaf);
    cm_free(chain->intermediates);
    cm_free(chain->root);
    kf_cert_info_fini(&chain->info);
    *chain = (struct kf_chain){0};
}

static bool signed_by(X509 *cert, X509 *issuer)
{
    EVP_PKEY *key = X509_get0_pubkey(issuer);
    bool ok = key && X509_check_issued(issuer, cert) == X509_V_OK && X509_verify(cert, key) == 1;
    ERR_clear_error();
    return ok;
}

static bool self_signed(X509 *cert)
{
    return X509_NAME_cmp(X509_get_subject_name(cert), X509_get_issuer_name(cert)) == 0 &&
           signed_by(cert, cert);
}

/* Is `root` the trusted issuer of `top` (or top itself)? */
static bool is_root_of(X509 *root, X509 *top)
{
    if (X509_cmp(root, top) == 0)
        return true;
    return X509_check_ca(root) != 0 && signed_by(top, root);
}

static X509 *search_bundle(const char *pem, X509 *top)
{
    KF_AUTO(x509_stack) STACK_OF(X509) *roots = NULL;
    if (kf_pem_certs(pem, strlen(pem), TRUSTED_ROOTS_MAX, &roots, NULL) < 0)
        return NULL;
    for (int i = 0; i < sk_X509_num(roots); i++) {
        X509 *root = sk_X509_value(roots, i);
        if (is_root_of(root, top)) {
            X509_up_ref(root);
            return root;
        }
    }
    return NULL;
}

/* The system's store has one link per root, named by the hash of its subject: nothing to cache. */
static X509 *search_system(X509 *top)
{
    unsigned long hash = X509_NAME_hash_ex(X509_get_issuer_name(top), NULL, NULL, NULL);
    for (int n = 0; n < SYSTEM_HASH_MAX; n++) {
        char path[64];
        snprintf(path, sizeof(path), SYSTEM_ROOTS "/%08lx.%d", hash, n);
        char *pem;
        size_t len;
        if (cm_file_read(path, KF_PEM_MAX, &pem, &len, NULL) < 0)
            return NULL;
        X509 *root = search_bundle(pem, top);
        cm_free(pem);
        if (root)
            return root;
    }
    return NULL;
}

static int check_links(STACK_OF(X509) * certs, struct cm_err *err)
{
    for (int i = 0; i + 1 < sk_X509_num(certs); i++) {
        X509 *issuer = sk_X509_value(certs, i + 1);
        if (!X509_check_ca(issuer))
            return kf_ossl_fail(err, CM_EMALF, "certificate %d of the chain is no CA certificate",
                                i + 2);
        if (!signed_by(sk_X509_value(certs, i), issuer))
            return cm_fail(err, CM_EMALF, "certificate %d of the chain is not signed by the next",
                           i + 1);
    }
    return 0;
}

/* Exactly the names asked for: each one is there, and there are no others. */
static int check_names(X509 *leaf, const json_t *san, const json_t *names, struct cm_err *err)
{
    for (size_t i = 0; i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));
        if (!name || !cm_json_has_str(san, name))
            return cm_fail(err, CM_EMALF, "certificate does not name %.255s", name ? name : "?");
    }
    for (size_t i = 0; i < json_array_size(san); i++) {
        const char *name = json_string_value(json_array_get(san, i));
        if (!cm_json_has_str(names, name))
            return cm_fail(err, CM_EMALF, "certificate names %.255s, which nobody asked for", name);
    }
    if (kf_x509_other_names(leaf))
        return cm_fail(err, CM_EMALF, "certificate names something that is no DNS name");
    return 0;
}

static int check_leaf(X509 *leaf, const json_t *names, const char *spki, int64_t now_ms,
                      const struct kf_cert_info *info, struct cm_err *err)
{
    if (strcmp(info->public_key_sha256, spki) != 0)
        return cm_fail(err, CM_EMALF, "certificate is for another key (%.16s…, ours is %.16s…)",
                       info->public_key_sha256, spki);
    char when[CM_TIME_TEXT];
    if (info->not_after_ms <= now_ms) {
        cm_time_format(info->not_after_ms, when);
        return cm_fail(err, CM_EMALF, "certificate expired at %s", when);
    }
    if (info->not_before_ms > now_ms + NOT_BEFORE_SKEW) {
        cm_time_format(info->not_before_ms, when);
        return cm_fail(err, CM_EMALF, "certificate is not valid before %s; check the clock", when);
    }
    return check_names(leaf, info->san, names, err);
}

/* A self-signed end of the chain is the root: servers never send it. */
static int split(STACK_OF(X509) * certs, const char *roots_pem, struct kf_chain *ret,
                 struct cm_err *err)
{
    int count = sk_X509_num(certs);
    X509 *top = sk_X509_value(certs, count - 1);
    KF_AUTO(x509) X509 *root = roots_pem ? search_bundle(roots_pem, top) : NULL;
    if (!root)
        root = search_system(top);
    int end = count > 1 && self_signed(top) ? count - 1 : count;
    int rc = kf_pem_write(certs, 0, 1, &ret->leaf, err);
    if (rc == 0)
        rc = kf_pem_write(certs, 1, end, &ret->intermediates, err);
    if (rc == 0 && root) {
        KF_AUTO(x509_stack) STACK_OF(X509) *one = sk_X509_new_null();
        if (!one || !sk_X509_push(one, root))
            return kf_ossl_fail(err, CM_ECRYPTO, "cannot keep a root certificate");
        root = NULL;
        rc = kf_pem_write(one, 0, 1, &ret->root, err);
    }
    return rc;
}

int kf_chain_check(const char *pem, size_t len, const json_t *names_ascii, const char *spki,
                   const char *roots_pem, int64_t now_ms, struct kf_chain *ret, struct cm_err *err)
{
    *ret = (struct kf_chain){0};
    KF_AUTO(x509_stack) STACK_OF(X509) *certs = NULL;
    int rc = kf_pem_certs(pem, len, KF_CHAIN_MAX, &certs, err);
    if (rc == 0)
        rc = kf_x509_info(sk_X509_value(certs, 0), &ret->info, err);
    if (rc == 0)
        rc = check_leaf(sk_X509_value(certs, 0), names_ascii, spki, now_ms, &ret->info, err);
    if (rc == 0)
        rc = check_links(certs, err);
    if (rc == 0)
        rc = split(certs, roots_pem, ret, err);
    if (rc < 0)
        kf_chain_fini(ret);
    return rc;
}
