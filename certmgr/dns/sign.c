/* RS256 with a key that the account gave as PEM text; the only use of OpenSSL in this folder. */
#include "certmgr/dns/sign.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <string.h>

#include "base/core/bytes.h"
#include "base/core/mem.h"

#define PEM_MAX  16384
#define BITS_MIN 2048
#define BITS_MAX 8192

/* Key files in JSON hold line ends as \n; people paste them so. */
static char *real_lines(const char *pem, size_t *ret_size)
{
    size_t len = strlen(pem), n = 0;
    char *out = cm_malloc(len + 1);
    for (size_t i = 0; i < len; i++) {
        if (pem[i] == '\\' && pem[i + 1] == 'n') {
            out[n++] = '\n';
            i++;
        } else {
            out[n++] = pem[i];
        }
    }
    out[n] = '\0';
    *ret_size = len + 1;
    return out;
}

/* A key with a pass phrase is refused, not asked for on a terminal. */
static int no_phrase(char *buf, int size, int rwflag, void *arg)
{
    (void)buf;
    (void)size;
    (void)rwflag;
    (void)arg;
    return 0;
}

static EVP_PKEY *read_key(const char *key_pem, struct cm_err *err)
{
    size_t size;
    if (strlen(key_pem) > PEM_MAX) {
        cm_fail(err, CM_EINVAL, "the private key is longer than %d bytes", PEM_MAX);
        return NULL;
    }
    char *pem = real_lines(key_pem, &size);
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_phrase, NULL) : NULL;
    BIO_free(bio);
    cm_free_secret(pem, size);
    int bits = key ? EVP_PKEY_get_bits(key) : 0;
    if (key && EVP_PKEY_is_a(key, "RSA") && bits >= BITS_MIN && bits <= BITS_MAX)
        return key;
    EVP_PKEY_free(key);
    cm_fail(err, CM_EINVAL,
            "the private key is no RSA key in PEM form (%d to %d bits, no pass "
            "phrase)",
            BITS_MIN, BITS_MAX);
    return NULL;
}

int sign_rs256(const char *key_pem, const char *text, char **ret, struct cm_err *err)
{
    uint8_t signature[BITS_MAX / 8];
    size_t len = sizeof(signature);
    *ret = NULL;
    EVP_PKEY *key = read_key(key_pem, err);
    if (!key)
        return CM_EINVAL;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool fine =
        ctx && EVP_DigestSignInit_ex(ctx, NULL, "SHA256", NULL, NULL, key, NULL) == 1 &&
        EVP_DigestSign(ctx, signature, &len, (const unsigned char *)text, strlen(text)) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    if (!fine)
        return cm_fail(err, CM_ECRYPTO, "the token cannot be signed with this key");
    *ret = cm_b64url(signature, len);
    return 0;
}
