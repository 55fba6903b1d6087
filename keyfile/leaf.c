/*
 * The short way for the leaf of each order.
 *
 * libcrypto 3.0 makes the public key of every certificate that it reads into a key at once, through
 * decoders whose set-up costs more than all other checks of a chain.  A library context without
 * algorithms has no decoders; but it cannot verify either, so the signature of such a certificate
 * is checked here.  Nothing is refused here: whoever does not get a plain yes goes the long way.
 */
#include "keyfile/leaf.h"

#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/x509v3.h>

#include "keyfile/ossl.h"
#include "keyfile/pem.h"

/* Made once, by the thread of the loop; stays for the life of the process. */
static OSSL_LIB_CTX *no_algorithms(void)
{
    static OSSL_LIB_CTX *context;
    if (!context && (context = OSSL_LIB_CTX_new()) && !OSSL_PROVIDER_load(context, "null")) {
        OSSL_LIB_CTX_free(context);
        context = NULL;
    }
    return context;
}

X509 *kf_leaf_read(const char *pem, size_t len)
{
    OSSL_LIB_CTX *context = no_algorithms();
    KF_AUTO(x509_stack) STACK_OF(X509) *certs = NULL;
    int rc = context ? kf_pem_certs_in(context, pem, len, 1, &certs, NULL) : CM_ECRYPTO;
    ERR_clear_error();
    return rc == 0 ? sk_X509_pop(certs) : NULL;
}

/* Name, key identifier (RFC 5280 4.2.1.1) and key usage (4.2.1.3), as X509_check_issued() does. */
static bool may_be_issued_by(X509 *leaf, X509 *issuer)
{
    int critical = 0;
    if ((X509_get_extension_flags(leaf) & (EXFLAG_INVALID | EXFLAG_PROXY)) != 0 ||
        X509_NAME_cmp(X509_get_subject_name(issuer), X509_get_issuer_name(leaf)) != 0 ||
        (X509_get_key_usage(issuer) & KU_KEY_CERT_SIGN) == 0)
        return false;
    AUTHORITY_KEYID *akid = X509_get_ext_d2i(leaf, NID_authority_key_identifier, &critical, NULL);
    bool ok = akid ? X509_check_akid(issuer, akid) == X509_V_OK : critical == -1;
    AUTHORITY_KEYID_free(akid);
    return ok;
}

/* Name of the digest, if the algorithm is a plain one for this kind of key. */
static const char *digest_of(const X509_ALGOR *alg, const EVP_PKEY *key)
{
    int digest = NID_undef, kind = NID_undef;
    if (!OBJ_find_sigid_algs(OBJ_obj2nid(alg->algorithm), &digest, &kind) ||
        (digest != NID_sha256 && digest != NID_sha384 && digest != NID_sha512))
        return NULL;
    bool fits = (kind == NID_X9_62_id_ecPublicKey && EVP_PKEY_is_a(key, "EC")) ||
                (kind == NID_rsaEncryption && EVP_PKEY_is_a(key, "RSA"));
    return fits ? OBJ_nid2sn(digest) : NULL;
}

/* The signed part in a certificate's DER: the first element of the outer sequence, as it came. */
static bool signed_part(const unsigned char *der, long len, const unsigned char **ret,
                        size_t *ret_len)
{
    const unsigned char *at = der;
    long inner;
    int tag, class;
    if (ASN1_get_object(&at, &inner, &tag, &class, len) != V_ASN1_CONSTRUCTED ||
        tag != V_ASN1_SEQUENCE || class != V_ASN1_UNIVERSAL)
        return false;
    *ret = at;
    if (ASN1_get_object(&at, &inner, &tag, &class, inner) != V_ASN1_CONSTRUCTED ||
        tag != V_ASN1_SEQUENCE || class != V_ASN1_UNIVERSAL)
        return false;
    *ret_len = (size_t)(at - *ret) + (size_t)inner;
    return true;
}

static bool verifies(X509 *leaf, EVP_PKEY *key)
{
    const ASN1_BIT_STRING *sig;
    const X509_ALGOR *alg;
    X509_get0_signature(&sig, &alg, leaf);
    const char *digest = key ? digest_of(alg, key) : NULL;
    /* RFC 5280 4.1.1.2: both places name the same; whole octets, as ASN1_item_verify() wants. */
    if (!digest || X509_ALGOR_cmp(alg, X509_get0_tbs_sigalg(leaf)) != 0 || (sig->flags & 7) != 0)
        return false;
    unsigned char *der = NULL;
    const unsigned char *text;
    size_t text_len;
    int len = i2d_X509(leaf, &der);
    KF_AUTO(md_ctx) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = len > 0 && ctx && signed_part(der, len, &text, &text_len) &&
              EVP_DigestVerifyInit_ex(ctx, NULL, digest, NULL, NULL, key, NULL) > 0 &&
              EVP_DigestVerify(ctx, ASN1_STRING_get0_data(sig), (size_t)ASN1_STRING_length(sig),
                               text, text_len) == 1;
    OPENSSL_free(der);
    return ok;
}

bool kf_leaf_signed_by(X509 *leaf, X509 *issuer)
{
    bool ok = may_be_issued_by(leaf, issuer) && verifies(leaf, X509_get0_pubkey(issuer));
    ERR_clear_error();
    return ok;
}
