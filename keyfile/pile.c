/* Files with a private key and its certificates.  See pile.h. */
#include "keyfile/pile.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>

#include "base/core/mem.h"
#include "keyfile/ossl.h"
#include "keyfile/pile_impl.h"

KF_CLEANUP(PKCS8_PRIV_KEY_INFO, pkcs8, PKCS8_PRIV_KEY_INFO_free)
KF_CLEANUP(X509_SIG, x509_sig, X509_SIG_free)
KF_CLEANUP(PBE2PARAM, pbe2, PBE2PARAM_free)
KF_CLEANUP(PBKDF2PARAM, pbkdf2, PBKDF2PARAM_free)
KF_CLEANUP(PBEPARAM, pbe, PBEPARAM_free)

void kf_pile_fini(struct kf_pile *pile)
{
    EVP_PKEY_free(pile->key);
    sk_X509_pop_free(pile->certs, X509_free);
    *pile = (struct kf_pile){0};
}

/* ---- what is found ----------------------------------------------------------------------------
 */

int kf_pile_key(struct kf_pile_work *w, EVP_PKEY *take, struct cm_err *err)
{
    if (!w->pile->key) {
        w->pile->key = take;
        return 0;
    }
    bool same = EVP_PKEY_eq(w->pile->key, take) == 1;
    EVP_PKEY_free(take);
    ERR_clear_error();
    return same ? 0
                : cm_fail(err, CM_EINVAL,
                          "There is more than one private key in the file: take each with its "
                          "certificates into a file of its own");
}

int kf_pile_cert(struct kf_pile_work *w, X509 *take, struct cm_err *err)
{
    if (sk_X509_num(w->pile->certs) >= KF_PILE_CERTS) {
        X509_free(take);
        return cm_fail(err, CM_EINVAL, "There are more than %d certificates in the file",
                       KF_PILE_CERTS);
    }
    if (sk_X509_push(w->pile->certs, take) > 0)
        return 0;
    X509_free(take);
    return kf_ossl_fail(err, CM_ECRYPTO, "a certificate cannot be kept");
}

int kf_pile_spend_rounds(struct kf_pile_work *w, int64_t rounds, struct cm_err *err)
{
    if (rounds < 1 || rounds > KF_PILE_ROUNDS - w->rounds)
        return cm_fail(err, CM_EINVAL,
                       "The file asks for more than %d rounds to get at its key: write it with "
                       "fewer (openssl … -iter)",
                       KF_PILE_ROUNDS);
    w->rounds += rounds;
    return 0;
}

int kf_pile_spend(struct kf_pile_work *w, const X509_ALGOR *algorithm, struct cm_err *err)
{
    const ASN1_OBJECT *oid;
    const void *value;
    int type;
    long rounds = 0;
    X509_ALGOR_get0(&oid, &type, &value, algorithm);
    if (OBJ_obj2nid(oid) == NID_pbes2) {
        KF_AUTO(pbe2)
        PBE2PARAM *both =
            ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBE2PARAM), algorithm->parameter);
        const X509_ALGOR *derive = both ? both->keyfunc : NULL;
        bool pbkdf2 = derive && OBJ_obj2nid(derive->algorithm) == NID_id_pbkdf2;
        KF_AUTO(pbkdf2)
        PBKDF2PARAM *param =
            pbkdf2 ? ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBKDF2PARAM), derive->parameter)
                   : NULL;
        if (derive && !pbkdf2)
            return cm_fail(err, CM_EINVAL,
                           "The private key is encrypted in a way that is not read here (scrypt): "
                           "write it with PBKDF2");
        rounds = param ? ASN1_INTEGER_get(param->iter) : 0;
    } else {
        KF_AUTO(pbe)
        PBEPARAM *param = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBEPARAM), algorithm->parameter);
        rounds = param ? ASN1_INTEGER_get(param->iter) : 0;
    }
    if (rounds == 0)
        return kf_ossl_fail(err, CM_EINVAL,
                            "The file is damaged: its encryption has no parameters");
    return kf_pile_spend_rounds(w, rounds, err);
}

/* ---- PEM --------------------------------------------------------------------------------------
 */

struct block {
    char *label, *header;
    unsigned char *der;
    long len;
};

static void block_fini(struct block *block)
{
    /* They come from the secure heap (PEM_FLAG_SECURE). */
    OPENSSL_secure_free(block->label);
    OPENSSL_secure_free(block->header);
    OPENSSL_secure_clear_free(block->der, block->len > 0 ? (size_t)block->len : 0);
    *block = (struct block){0};
}

static int wrong_password(const struct kf_pile_work *w, struct cm_err *err)
{
    return kf_ossl_fail(err, CM_EINVAL,
                        *w->password
                            ? "The private key in the file cannot be opened: the password "
                              "is wrong, or its encryption is none that is read here"
                            : "The private key in the file is encrypted: give its password "
                              "with --password-file");
}

static int damaged_key(struct cm_err *err)
{
    return kf_ossl_fail(err, CM_EINVAL, "The private key in the file is damaged");
}

static int password_for_pem(char *out, int size, int writing, void *arg)
{
    const char *password = arg;
    size_t len = strlen(password);
    (void)writing;
    if (len == 0 || size < 0 || len > (size_t)size)
        return -1;
    memcpy(out, password, len);
    return (int)len;
}

/* RFC 1421 encryption, as OpenSSL wrote before PKCS #8: its derivation is a single round. */
static bool is_old(const struct block *block)
{
    return block->header && *block->header;
}

/* What a wrong password decrypts to ends as it should once in 256 times: it only is no key then. */
static int open_old(struct kf_pile_work *w, struct block *block, struct cm_err *err)
{
    EVP_CIPHER_INFO cipher;
    if (!is_old(block))
        return 0;
    if (PEM_get_EVP_CIPHER_INFO(block->header, &cipher) != 1 ||
        PEM_do_header(&cipher, block->der, &block->len, password_for_pem,
                      (void *)(uintptr_t)w->password) != 1)
        return wrong_password(w, err);
    return 0;
}

static int open_pkcs8(struct kf_pile_work *w, const struct block *block, EVP_PKEY **ret,
                      struct cm_err *err)
{
    const unsigned char *at = block->der;
    const X509_ALGOR *algorithm;
    KF_AUTO(x509_sig) X509_SIG *sealed = d2i_X509_SIG(NULL, &at, block->len);
    if (!sealed)
        return damaged_key(err);
    X509_SIG_get0(sealed, &algorithm, NULL);
    int rc = kf_pile_spend(w, algorithm, err);
    if (rc != 0)
        return rc;
    if (!*w->password)
        return wrong_password(w, err);
    KF_AUTO(pkcs8)
    PKCS8_PRIV_KEY_INFO *info = PKCS8_decrypt(sealed, w->password, (int)strlen(w->password));
    if (!info)
        return wrong_password(w, err);
    *ret = EVP_PKCS82PKEY(info);
    return *ret ? 0 : damaged_key(err);
}

static int take_key(struct kf_pile_work *w, struct block *block, struct cm_err *err)
{
    EVP_PKEY *key = NULL;
    int rc = open_old(w, block, err);
    const unsigned char *at = block->der;
    if (rc != 0)
        return rc;
    if (strcmp(block->label, PEM_STRING_PKCS8) == 0)
        rc = open_pkcs8(w, block, &key, err);
    else if (strcmp(block->label, PEM_STRING_PKCS8INF) == 0)
        key = d2i_AutoPrivateKey(NULL, &at, block->len);
    else if (strcmp(block->label, PEM_STRING_RSA) == 0)
        key = d2i_PrivateKey(EVP_PKEY_RSA, NULL, &at, block->len);
    else if (strcmp(block->label, PEM_STRING_ECPRIVATEKEY) == 0)
        key = d2i_PrivateKey(EVP_PKEY_EC, NULL, &at, block->len);
    else
        return cm_fail(err, CM_EINVAL,
                       "There is a %.40s in the file: only RSA and EC keys are taken",
                       block->label);
    if (rc != 0)
        return rc;
    if (!key)
        return is_old(block) ? wrong_password(w, err) : damaged_key(err);
    return kf_pile_key(w, key, err);
}

static int take_block(struct kf_pile_work *w, struct block *block, struct cm_err *err)
{
    const unsigned char *at = block->der;
    if (strstr(block->label, "PRIVATE KEY"))
        return take_key(w, block, err);
    if (strcmp(block->label, PEM_STRING_X509) != 0 &&
        strcmp(block->label, PEM_STRING_X509_OLD) != 0)
        return 0; /* EC PARAMETERS, DH PARAMETERS, CSRs: nothing of ours */
    X509 *cert = d2i_X509(NULL, &at, block->len);
    if (!cert)
        return kf_ossl_fail(err, CM_EINVAL, "Certificate %d in the file is damaged",
                            sk_X509_num(w->pile->certs) + 1);
    return kf_pile_cert(w, cert, err);
}

static int read_pem(struct kf_pile_work *w, const void *data, size_t len, struct cm_err *err)
{
    KF_AUTO(bio) BIO *bio = BIO_new_mem_buf(data, (int)len);
    int rc = bio ? 0 : kf_ossl_fail(err, CM_ECRYPTO, "the file cannot be read");
    for (int blocks = 0; rc == 0; blocks++) {
        struct block block = {0};
        if (PEM_read_bio_ex(bio, &block.label, &block.header, &block.der, &block.len,
                            PEM_FLAG_SECURE | PEM_FLAG_EAY_COMPATIBLE) != 1) {
            bool end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
            if (!end)
                return kf_ossl_fail(err, CM_EINVAL, "Block %d in the file is damaged or cut off",
                                    blocks + 1);
            ERR_clear_error();
            return 0;
        }
        rc = blocks < KF_PILE_BLOCKS
                 ? take_block(w, &block, err)
                 : cm_fail(err, CM_EINVAL, "There are more than %d blocks in the file",
                           KF_PILE_BLOCKS);
        block_fini(&block);
    }
    return rc;
}

/* ---- what is in it fits -----------------------------------------------------------------------
 */

static int check_key(struct kf_pile *pile, struct cm_err *err)
{
    int rc = kf_pkey_type(pile->key, &pile->type, err);
    if (rc != 0)
        return rc;
    KF_AUTO(pkey_ctx) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pile->key, NULL);
    if (ctx && EVP_PKEY_pairwise_check(ctx) == 1)
        return 0;
    return kf_ossl_fail(err, CM_EINVAL,
                        "The halves of the private key in the file do not belong together");
}

static int find_leaf(struct kf_pile *pile, struct cm_err *err)
{
    int count = sk_X509_num(pile->certs);
    for (int i = 0; i < count; i++) {
        X509 *cert = sk_X509_value(pile->certs, i);
        if (!X509_get0_pubkey(cert) || EVP_PKEY_eq(X509_get0_pubkey(cert), pile->key) != 1)
            continue;
        if (!pile->leaf ||
            ASN1_TIME_compare(X509_get0_notBefore(cert), X509_get0_notBefore(pile->leaf)) > 0)
            pile->leaf = cert;
    }
    ERR_clear_error();
    if (pile->leaf)
        return 0;
    return cm_fail(err, CM_EINVAL,
                   count == 1
                       ? "The private key and the certificate in the file do not belong "
                         "together: the certificate was made for another key"
                       : "The private key in the file belongs to none of its %d certificates",
                   count);
}

int kf_pile_read(const void *data, size_t len, const char *password, struct kf_pile *ret,
                 struct cm_err *err)
{
    struct kf_pile_work w = {.password = password, .pile = ret};
    *ret = (struct kf_pile){.certs = sk_X509_new_null()};
    int rc = ret->certs ? 0 : kf_ossl_fail(err, CM_ECRYPTO, "the file cannot be read");
    if (rc == 0 && len == 0)
        rc = cm_fail(err, CM_EINVAL, "The file is empty");
    if (rc == 0)
        rc = ((const unsigned char *)data)[0] == 0x30 ? kf_pile_p12(&w, data, len, err)
                                                      : read_pem(&w, data, len, err);
    if (rc == 0 && !ret->key)
        rc = cm_fail(
            err, CM_EINVAL,
            "There is no private key in the file: certificates for a key that was made here "
            "are handed in with certmgr csr upload");
    if (rc == 0 && sk_X509_num(ret->certs) == 0)
        rc =
            cm_fail(err, CM_EINVAL,
                    "There is no certificate in the file: put the private key, its certificate and "
                    "the CA's certificates into one file");
    if (rc == 0)
        rc = check_key(ret, err);
    if (rc == 0)
        rc = find_leaf(ret, err);
    if (rc != 0)
        kf_pile_fini(ret);
    return rc;
}
