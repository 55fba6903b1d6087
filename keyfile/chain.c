/* A downloaded chain, split and checked before anything stores it (RFC 8555 7.4.2). */
#include <openssl/x509v3.h>
#include <string.h>

#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "keyfile/certinfo.h"
#include "keyfile/leaf.h"
#include "keyfile/ossl.h"
#include "keyfile/pem.h"
#include "keyfile/roots_impl.h"

/* A certificate that begins later is served from then on; one that begins later than this says
 * that a clock is wrong. */
#define NOT_BEFORE_AHEAD (INT64_C(31) * 86400 * 1000)

void kf_chain_fini(struct kf_chain *chain)
{
    cm_free(chain->leaf);
    cm_free(chain->intermediates);
    cm_free(chain->root);
    kf_cert_info_fini(&chain->info);
    *chain = (struct kf_chain){0};
}

static bool self_signed(X509 *cert)
{
    return X509_NAME_cmp(X509_get_subject_name(cert), X509_get_issuer_name(cert)) == 0 &&
           kf_x509_signed_by(cert, cert);
}

static int check_links(STACK_OF(X509) * certs, struct cm_err *err)
{
    for (int i = 0; i + 1 < sk_X509_num(certs); i++) {
        X509 *issuer = sk_X509_value(certs, i + 1);
        if (!X509_check_ca(issuer))
            return kf_ossl_fail(err, CM_EMALF, "certificate %d of the chain is no CA certificate",
                                i + 2);
        if (!kf_x509_signed_by(sk_X509_value(certs, i), issuer))
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
    if (info->not_before_ms > now_ms + NOT_BEFORE_AHEAD) {
        cm_time_format(info->not_before_ms, when);
        return cm_fail(err, CM_EMALF, "certificate is not valid before %s; check the clock", when);
    }
    return check_names(leaf, info->san, names, err);
}

/* A self-signed end of the chain is the root: servers never send it. */
static int split(STACK_OF(X509) * certs, const struct kf_roots *roots, struct kf_chain *ret,
                 struct cm_err *err)
{
    int count = sk_X509_num(certs);
    X509 *top = sk_X509_value(certs, count - 1);
    KF_AUTO(x509) X509 *root = kf_roots_search(roots, top);
    int end = count > 1 && self_signed(top) ? count - 1 : count;
    int rc = kf_pem_write(certs, 1, end, &ret->intermediates, err);
    if (rc == 0 && root) {
        KF_AUTO(x509_stack) STACK_OF(X509) *one = sk_X509_new_null();
        if (!one || !sk_X509_push(one, root))
            return kf_ossl_fail(err, CM_ECRYPTO, "cannot keep a root certificate");
        root = NULL;
        rc = kf_pem_write(one, 0, 1, &ret->root, err);
    }
    return rc;
}

/* Everything behind the leaf, for the first time. */
static int check_tail(STACK_OF(X509) * certs, struct kf_roots *roots, const char *text, size_t len,
                      struct kf_chain *ret, struct cm_err *err)
{
    int rc = check_links(certs, err);
    if (rc == 0)
        rc = split(certs, roots, ret, err);
    /* Without a root it is looked for again: somebody may add it. */
    if (rc == 0 && ret->root && len > 0 && sk_X509_num(certs) > 1)
        kf_roots_keep(roots, text, len, sk_X509_value(certs, 1), ret->intermediates, ret->root);
    return rc;
}

static void take_tail(const struct kf_tail *tail, struct kf_chain *ret)
{
    ret->intermediates = cm_strdup(tail->intermediates);
    ret->root = cm_strdup(tail->root);
}

/* Length of the text to the end of its first certificate's armour, or of the whole. */
static size_t leaf_length(const char *pem, size_t len)
{
    static const char end[] = "-----END CERTIFICATE-----";
    const char *at = memmem(pem, len, end, sizeof(end) - 1);
    return at ? (size_t)(at - pem) + sizeof(end) - 1 : len;
}

/* A leaf above a chain end that was checked before.  Returns 1 when all of it was read the short
 * way, 0 when the long way has to tell. */
static int check_short(const char *pem, size_t first, const struct kf_tail *tail,
                       const json_t *names, const char *spki, int64_t now_ms, struct kf_chain *ret)
{
    KF_AUTO(x509) X509 *leaf = kf_leaf_read(pem, first);
    if (!leaf || !kf_leaf_signed_by(leaf, tail->issuer))
        return 0;
    KF_AUTO(x509_stack) STACK_OF(X509) *certs = sk_X509_new_null();
    int rc = kf_x509_info(leaf, &ret->info, NULL);
    if (rc == 0)
        rc = check_leaf(leaf, names, spki, now_ms, &ret->info, NULL);
    if (rc == 0 && certs && sk_X509_push(certs, leaf)) {
        leaf = NULL;
        rc = kf_pem_write(certs, 0, 1, &ret->leaf, NULL);
    }
    if (rc < 0 || !ret->leaf) {
        kf_chain_fini(ret);
        return 0;
    }
    take_tail(tail, ret);
    return 1;
}

int kf_chain_check(const char *pem, size_t len, const json_t *names_ascii, const char *spki,
                   struct kf_roots *roots, int64_t now_ms, struct kf_chain *ret, struct cm_err *err)
{
    *ret = (struct kf_chain){0};
    if (len > KF_PEM_MAX)
        return cm_fail(err, CM_ELIMIT, "PEM is longer than %u bytes", KF_PEM_MAX);
    size_t first = leaf_length(pem, len);
    const struct kf_tail *tail = kf_roots_tail(roots, pem + first, len - first);
    if (tail && check_short(pem, first, tail, names_ascii, spki, now_ms, ret))
        return 0;
    KF_AUTO(x509_stack) STACK_OF(X509) *certs = NULL;
    int rc = kf_pem_certs(pem, len, KF_CHAIN_MAX, &certs, err);
    if (rc < 0)
        return rc;
    X509 *leaf = sk_X509_value(certs, 0);
    rc = kf_x509_info(leaf, &ret->info, err);
    if (rc == 0)
        rc = check_leaf(leaf, names_ascii, spki, now_ms, &ret->info, err);
    if (rc == 0) /* one that is known is not kept again */
        rc = check_tail(certs, roots, pem + first, tail ? 0 : len - first, ret, err);
    if (rc == 0)
        rc = kf_pem_write(certs, 0, 1, &ret->leaf, err);
    if (rc < 0)
        kf_chain_fini(ret);
    return rc;
}

int kf_chain_top(const char *pem, size_t len, char out[256], struct cm_err *err)
{
    KF_AUTO(x509_stack) STACK_OF(X509) *certs = NULL;
    struct kf_cert_info info = {0};
    int rc = kf_pem_certs(pem, len, KF_CHAIN_MAX, &certs, err);
    if (rc == 0)
        rc = kf_x509_info(sk_X509_value(certs, sk_X509_num(certs) - 1), &info, err);
    if (rc == 0)
        rc = cm_strcpy(out, 256, info.issuer);
    kf_cert_info_fini(&info);
    return rc;
}

int kf_chain_root(const char *pem, size_t len, const struct kf_roots *roots, char out[65],
                  struct cm_err *err)
{
    KF_AUTO(x509_stack) STACK_OF(X509) *certs = NULL;
    struct kf_cert_info info = {0};
    int rc = kf_pem_certs(pem, len, KF_CHAIN_MAX, &certs, err);
    if (rc < 0)
        return rc;
    X509 *top = sk_X509_value(certs, sk_X509_num(certs) - 1);
    KF_AUTO(x509) X509 *root = kf_roots_search(roots, top);
    if (!root && !self_signed(top))
        return cm_fail(err, CM_ENOENT, "the root of the chain was not found");
    rc = kf_x509_info(root ? root : top, &info, err);
    if (rc == 0)
        rc = cm_strcpy(out, 65, info.fingerprint);
    kf_cert_info_fini(&info);
    return rc;
}
