/*
 * PKCS #12 (RFC 7292) taken apart by hand around libcrypto's primitives: so its price is known
 * before it is paid, and each thing that is wrong has a name.
 *
 * Old files (RC2, as Windows and OpenSSL before 3.0 wrote them) need libcrypto's legacy provider.
 * It is loaded into a library context of its own, where nothing but this file sees it.
 */
#include <openssl/err.h>
#include <openssl/pkcs12.h>
#include <openssl/provider.h>
#include <string.h>

#include "keyfile/ossl.h"
#include "keyfile/pile_impl.h"

KF_CLEANUP(PKCS8_PRIV_KEY_INFO, pkcs8, PKCS8_PRIV_KEY_INFO_free)

struct p12 {
    struct kf_pile_work *w;
    OSSL_LIB_CTX *context;
    OSSL_PROVIDER *base, *legacy;
    const char *password; /* NULL = none, which some write in place of "" */
    int bags;
};

static int open_context(struct p12 *p, struct cm_err *err)
{
    p->context = OSSL_LIB_CTX_new();
    p->base = p->context ? OSSL_PROVIDER_load(p->context, "default") : NULL;
    p->legacy = p->base ? OSSL_PROVIDER_load(p->context, "legacy") : NULL;
    ERR_clear_error(); /* a platform without it reads what is not so old */
    return p->base ? 0 : kf_ossl_fail(err, CM_ECRYPTO, "no library context for the file");
}

static void close_context(struct p12 *p)
{
    if (p->legacy)
        OSSL_PROVIDER_unload(p->legacy);
    if (p->base)
        OSSL_PROVIDER_unload(p->base);
    OSSL_LIB_CTX_free(p->context);
}

static int password_len(const struct p12 *p)
{
    return p->password ? (int)strlen(p->password) : 0;
}

/* The integrity check has passed, so the password is right: the cipher is missing. */
static int cannot_open(const struct p12 *p, struct cm_err *err)
{
    kf_ossl_fail(err, CM_EINVAL,
                 p->legacy ? "The PKCS #12 file is encrypted in a way that is not read here"
                           : "The PKCS #12 file is encrypted in an old way (RC2) that OpenSSL on "
                             "this server does not read: its legacy provider is missing");
    cm_err_hint(err,
                "Write it anew: openssl pkcs12 -legacy -in OLD -nodes | openssl pkcs12 -export "
                "-out NEW");
    return CM_EINVAL;
}

static int damaged(struct cm_err *err)
{
    return kf_ossl_fail(err, CM_EINVAL, "The PKCS #12 file is damaged or cut off");
}

/* ---- bags -------------------------------------------------------------------------------------
 */

static int take_info(struct p12 *p, const PKCS8_PRIV_KEY_INFO *info, struct cm_err *err)
{
    EVP_PKEY *key = EVP_PKCS82PKEY(info);
    if (!key)
        return kf_ossl_fail(err, CM_EINVAL,
                            "The private key in the PKCS #12 file is of no kind that is read here");
    return kf_pile_key(p->w, key, err);
}

static int take_shrouded(struct p12 *p, const PKCS12_SAFEBAG *bag, struct cm_err *err)
{
    const X509_SIG *sealed = PKCS12_SAFEBAG_get0_pkcs8(bag);
    const X509_ALGOR *algorithm = NULL;
    if (!sealed)
        return damaged(err);
    X509_SIG_get0(sealed, &algorithm, NULL);
    int rc = kf_pile_spend(p->w, algorithm, err);
    if (rc != 0)
        return rc;
    KF_AUTO(pkcs8)
    PKCS8_PRIV_KEY_INFO *info =
        PKCS12_decrypt_skey_ex(bag, p->password, password_len(p), p->context, NULL);
    return info ? take_info(p, info, err) : cannot_open(p, err);
}

static int take_bag(struct p12 *p, const PKCS12_SAFEBAG *bag, struct cm_err *err)
{
    if (++p->bags > KF_PILE_BLOCKS)
        return cm_fail(err, CM_EINVAL, "There are more than %d bags in the PKCS #12 file",
                       KF_PILE_BLOCKS);
    int kind = PKCS12_SAFEBAG_get_nid(bag);
    if (kind == NID_keyBag) {
        const PKCS8_PRIV_KEY_INFO *info = PKCS12_SAFEBAG_get0_p8inf(bag);
        return info ? take_info(p, info, err) : damaged(err);
    }
    if (kind == NID_pkcs8ShroudedKeyBag)
        return take_shrouded(p, bag, err);
    if (kind != NID_certBag || PKCS12_SAFEBAG_get_bag_nid(bag) != NID_x509Certificate)
        return 0; /* CRLs, secrets, nested bags: nothing of ours */
    X509 *cert = PKCS12_SAFEBAG_get1_cert(bag);
    return cert ? kf_pile_cert(p->w, cert, err) : damaged(err);
}

static STACK_OF(PKCS12_SAFEBAG) * open_safe(struct p12 *p, PKCS7 *safe, struct cm_err *err)
{
    STACK_OF(PKCS12_SAFEBAG) *bags = NULL;
    if (PKCS7_type_is_data(safe)) {
        bags = PKCS12_unpack_p7data(safe);
        if (!bags)
            damaged(err);
        return bags;
    }
    if (!PKCS7_type_is_encrypted(safe) || !safe->d.encrypted || !safe->d.encrypted->enc_data) {
        cm_fail(err, CM_EINVAL,
                "The PKCS #12 file is sealed by public keys: write it with a password");
        return NULL;
    }
    if (kf_pile_spend(p->w, safe->d.encrypted->enc_data->algorithm, err) != 0)
        return NULL;
    bags = PKCS12_unpack_p7encdata(safe, p->password, password_len(p));
    if (!bags)
        cannot_open(p, err);
    return bags;
}

static int read_safes(struct p12 *p, const PKCS12 *file, struct cm_err *err)
{
    STACK_OF(PKCS7) *safes = PKCS12_unpack_authsafes(file);
    int rc = safes ? 0 : damaged(err);
    for (int i = 0; rc == 0 && i < sk_PKCS7_num(safes); i++) {
        struct cm_err why = CM_ERR_INIT;
        STACK_OF(PKCS12_SAFEBAG) *bags = open_safe(p, sk_PKCS7_value(safes, i), &why);
        rc = bags ? 0 : why.code;
        for (int k = 0; rc == 0 && k < sk_PKCS12_SAFEBAG_num(bags); k++)
            rc = take_bag(p, sk_PKCS12_SAFEBAG_value(bags, k), &why);
        sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
        if (rc != 0)
            cm_err_copy(err, &why);
        cm_err_fini(&why);
    }
    sk_PKCS7_pop_free(safes, PKCS7_free);
    return rc;
}

/* ---- the file ---------------------------------------------------------------------------------
 */

/* The integrity check says whether the password is right. */
static int check_mac(struct p12 *p, PKCS12 *file, struct cm_err *err)
{
    const ASN1_INTEGER *rounds = NULL;
    if (!PKCS12_mac_present(file))
        return cm_fail(err, CM_EINVAL,
                       "The PKCS #12 file has no integrity check (MAC): write it with a password");
    PKCS12_get0_mac(NULL, NULL, NULL, &rounds, file);
    int rc = kf_pile_spend_rounds(p->w, rounds ? ASN1_INTEGER_get(rounds) : 1, err);
    if (rc != 0)
        return rc;
    p->password = p->w->password;
    bool right = PKCS12_verify_mac(file, p->password, password_len(p)) == 1;
    if (!right && !*p->w->password) {
        p->password = NULL;
        right = PKCS12_verify_mac(file, NULL, 0) == 1;
    }
    if (right)
        return 0;
    return kf_ossl_fail(err, CM_EINVAL,
                        *p->w->password
                            ? "The PKCS #12 file cannot be opened: the password is wrong, or the "
                              "file was changed"
                            : "The PKCS #12 file is encrypted: give its password with "
                              "--password-file");
}

int kf_pile_p12(struct kf_pile_work *w, const void *data, size_t len, struct cm_err *err)
{
    struct p12 p = {.w = w};
    const unsigned char *at = data;
    int rc = open_context(&p, err);
    if (rc == 0) {
        /* The structure carries the context to whatever opens a part of it. */
        PKCS12 *empty = PKCS12_init_ex(NID_pkcs7_data, p.context, NULL);
        PKCS12 *file = empty ? d2i_PKCS12(&empty, &at, (long)len) : NULL;
        if (!file || at != (const unsigned char *)data + len)
            rc = kf_ossl_fail(err, CM_EINVAL,
                              "The file is neither PEM text nor a whole PKCS #12 file");
        if (rc == 0)
            rc = check_mac(&p, file, err);
        if (rc == 0)
            rc = read_safes(&p, file, err);
        PKCS12_free(file);
    }
    close_context(&p);
    return rc;
}
