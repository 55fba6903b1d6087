/* PKCS #12 (RFC 7292) of a key that leaves.  See p12.h. */
#include "keyfile/p12.h"

#include <openssl/pkcs12.h>
#include <stdbool.h>
#include <string.h>

#include "base/core/mem.h"
#include "keyfile/ossl.h"

#define SALT_BYTES 16

KF_CLEANUP(PKCS12, pkcs12, PKCS12_free)
KF_CLEANUP(PKCS8_PRIV_KEY_INFO, pkcs8, PKCS8_PRIV_KEY_INFO_free)
static void free_bags(STACK_OF(PKCS12_SAFEBAG) * bags)
{
    sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
}
static void free_safes(STACK_OF(PKCS7) * safes)
{
    sk_PKCS7_pop_free(safes, PKCS7_free);
}
KF_CLEANUP(STACK_OF(PKCS12_SAFEBAG), bags, free_bags)
KF_CLEANUP(STACK_OF(PKCS7), safes, free_safes)

int kf_p12_password_check(const char *password, struct cm_err *err)
{
    bool seen[256] = {false};
    size_t len = 0, kinds = 0;
    for (; password[len] != '\0'; len++) {
        unsigned char c = (unsigned char)password[len];
        kinds += !seen[c];
        seen[c] = true;
    }
    if (len >= KF_P12_PASSWORD_MIN && kinds >= KF_P12_PASSWORD_KIND)
        return 0;
    return cm_fail(err, CM_EINVAL,
                   "password: at least %d characters, of which %d are different: it is all that "
                   "protects the key from now on",
                   KF_P12_PASSWORD_MIN, KF_P12_PASSWORD_KIND);
}

/* Key and leaf carry the same id, by which readers find what belongs together. */
static bool mark(PKCS12_SAFEBAG *bag, X509 *leaf, const char *name)
{
    unsigned char id[EVP_MAX_MD_SIZE];
    unsigned int len = 0;
    return bag && X509_digest(leaf, EVP_sha1(), id, &len) == 1 &&
           PKCS12_add_localkeyid(bag, id, (int)len) == 1 &&
           PKCS12_add_friendlyname_utf8(bag, name, -1) == 1;
}

static bool add_key(STACK_OF(PKCS7) * safes, EVP_PKEY *key, X509 *leaf, const char *name,
                    const char *password)
{
    KF_AUTO(bags) STACK_OF(PKCS12_SAFEBAG) *bags = NULL;
    KF_AUTO(pkcs8) PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
    X509_ALGOR *algorithm = PKCS5_pbe2_set_iv(EVP_aes_256_cbc(), KF_P12_ROUNDS, NULL, SALT_BYTES,
                                              NULL, NID_hmacWithSHA256);
    X509_SIG *sealed =
        info && algorithm ? PKCS8_set0_pbe(password, (int)strlen(password), info, algorithm) : NULL;
    if (!sealed) {
        X509_ALGOR_free(algorithm);
        return false;
    }
    PKCS12_SAFEBAG *bag = PKCS12_SAFEBAG_create0_pkcs8(sealed);
    if (!bag) {
        X509_SIG_free(sealed);
        return false;
    }
    bags = sk_PKCS12_SAFEBAG_new_null();
    if (!mark(bag, leaf, name) || !bags || sk_PKCS12_SAFEBAG_push(bags, bag) <= 0) {
        PKCS12_SAFEBAG_free(bag);
        return false;
    }
    PKCS7 *safe = PKCS12_pack_p7data(bags);
    if (safe && sk_PKCS7_push(safes, safe) > 0)
        return true;
    PKCS7_free(safe);
    return false;
}

static bool add_certs(STACK_OF(PKCS7) * safes, STACK_OF(X509) * chain, const char *name)
{
    KF_AUTO(bags) STACK_OF(PKCS12_SAFEBAG) *bags = NULL;
    for (int i = 0; i < sk_X509_num(chain); i++) {
        PKCS12_SAFEBAG *bag = PKCS12_add_cert(&bags, sk_X509_value(chain, i));
        if (!bag || (i == 0 && !mark(bag, sk_X509_value(chain, 0), name)))
            return false;
    }
    PKCS7 *safe = PKCS12_pack_p7data(bags);
    if (safe && sk_PKCS7_push(safes, safe) > 0)
        return true;
    PKCS7_free(safe);
    return false;
}

int kf_p12_write(EVP_PKEY *key, STACK_OF(X509) * chain, const char *name, const char *password,
                 uint8_t **ret, size_t *ret_len, struct cm_err *err)
{
    KF_AUTO(safes) STACK_OF(PKCS7) *safes = sk_PKCS7_new_null();
    unsigned char *der = NULL;
    *ret = NULL;
    int rc = kf_p12_password_check(password, err);
    if (rc != 0)
        return rc;
    bool ok = safes && add_certs(safes, chain, name) &&
              add_key(safes, key, sk_X509_value(chain, 0), name, password);
    KF_AUTO(pkcs12) PKCS12 *file = ok ? PKCS12_add_safes(safes, 0) : NULL;
    ok = file && PKCS12_set_mac(file, password, (int)strlen(password), NULL, SALT_BYTES,
                                KF_P12_ROUNDS, EVP_sha256()) == 1;
    int len = ok ? i2d_PKCS12(file, &der) : -1;
    if (len < 0)
        return kf_ossl_fail(err, CM_ECRYPTO, "the key cannot be written as PKCS #12");
    *ret = cm_calloc(1, (size_t)len);
    memcpy(*ret, der, (size_t)len);
    *ret_len = (size_t)len;
    OPENSSL_free(der);
    return 0;
}
