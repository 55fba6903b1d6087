/*
 * The octets of an envelope.  Each recipient's entry has the same length, so it is a template with
 * three holes; only the outer lengths depend on content and number of recipients.
 */
#include "keyfile/envelope_write.h"

#include <openssl/err.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/bytes.h"
#include "base/core/mem.h"
#include "keyfile/ossl.h"
#include "keyfile/pkey.h"

#define CEK_SIZE     32u /* content key: AES-256 */
#define WRAPPED_SIZE 40u /* AES key wrap of it (RFC 3394) */
#define NONCE_SIZE   12u
#define TAG_SIZE     16u
#define SECRET_SIZE  32u /* x of the shared point (RFC 5753 7.1) */
#define HEAD_MAX     6u  /* DER tag and length up to 4 octets of it */

/* KeyAgreeRecipientInfo, holes zero: version 3, ephemeral key, dhSinglePass-stdDH-sha256kdf-scheme
 * with AES-256 wrap, one encrypted key named by subject key identifier. */
static const uint8_t kari[] = {
    0xa1, 0x81, 0xb3, 0x02, 0x01, 0x03,             /* [1], version */
    0xa0, 0x51, 0xa1, 0x4f,                         /* [0] originator, [1] originatorKey */
    0x30, 0x09, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, /* id-ecPublicKey */
    0x3d, 0x02, 0x01, 0x03, 0x42, 0x00,             /* BIT STRING: the point */
    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0, 0, 0,
    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0, 0, 0,
    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0, 0, 0,
    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0, 0, 0,
    0,    0x30, 0x15, 0x06, 0x06, 0x2b, 0x81, 0x04, 0x01, 0x0b, 0x01, /* the scheme … */
    0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2d, /* … its wrap */
    0x30, 0x44, 0x30, 0x42, 0xa0, 0x16, 0x04, 0x14,                               /* key id */
    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0, 0, 0,
    0,    0,    0,    0,    0x04, 0x28, /* encrypted key */
    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0, 0, 0,
    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0, 0, 0,
    0,    0,    0,    0,    0,    0,    0,    0,
};
#define POINT_AT   24u
#define KEY_ID_AT  (POINT_AT + KF_P256_POINT_SIZE + 31u)
#define WRAPPED_AT (KEY_ID_AT + KF_SKI_SIZE + 2u)
_Static_assert(WRAPPED_AT + WRAPPED_SIZE == sizeof(kari), "the holes are where they are filled");

/* ECC-CMS-SharedInfo (RFC 5753 7.2): AES-256 wrap, no user keying material, 256 bits. */
static const uint8_t shared_info[] = {0x30, 0x15, 0x30, 0x0b, 0x06, 0x09, 0x60, 0x86,
                                      0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2d, 0xa2,
                                      0x06, 0x04, 0x04, 0x00, 0x00, 0x01, 0x00};

/* AuthEnvelopedData's OID; id-data; aes256-GCM with its parameters up to the nonce. */
static const uint8_t type_oid[] = {0x06, 0x0b, 0x2a, 0x86, 0x48, 0x86, 0xf7,
                                   0x0d, 0x01, 0x09, 0x10, 0x01, 0x17};
static const uint8_t version[] = {0x02, 0x01, 0x00};
static const uint8_t content_head[] = {0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07,
                                       0x01, 0x30, 0x1e, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65,
                                       0x03, 0x04, 0x01, 0x2e, 0x30, 0x11, 0x04, 0x0c};
static const uint8_t tag_param[] = {0x02, 0x01, TAG_SIZE};

/* ---- DER lengths ---------------------------------------------------------------------------- */

static size_t head_size(size_t len)
{
    return len < 0x80 ? 2 : len < 0x100 ? 3 : len < 0x10000 ? 4 : 5;
}

static uint8_t *put_head(uint8_t *at, uint8_t tag, size_t len)
{
    size_t octets = head_size(len) - 2;
    *at++ = tag;
    if (octets == 0) {
        *at++ = (uint8_t)len;
        return at;
    }
    *at++ = (uint8_t)(0x80 | octets);
    for (size_t i = octets; i-- > 0;)
        *at++ = (uint8_t)(len >> (8 * i));
    return at;
}

static uint8_t *put(uint8_t *at, const void *data, size_t len)
{
    memcpy(at, data, len);
    return at + len;
}

/* ---- one recipient ----------------------------------------------------------------------------
 */

/* What is the same for all recipients of one envelope. */
struct sealing {
    uint8_t cek[CEK_SIZE];
    EVP_PKEY_CTX *maker; /* of ephemeral keys */
    EVP_CIPHER_CTX *wrap;
};

/* The key that wraps: X9.63 derivation of one block of SHA-256 over the shared x (RFC 5753 7.1). */
static bool derive(EVP_PKEY *ephemeral, EVP_PKEY *recipient, uint8_t kek[CM_SHA256_SIZE])
{
    uint8_t input[SECRET_SIZE + 4 + sizeof(shared_info)] = {0};
    size_t len = SECRET_SIZE;
    KF_AUTO(pkey_ctx) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(ephemeral, NULL);
    bool ok = ctx && EVP_PKEY_derive_init(ctx) > 0 &&
              EVP_PKEY_derive_set_peer_ex(ctx, recipient, 0) > 0 &&
              EVP_PKEY_derive(ctx, input, &len) > 0 && len == SECRET_SIZE;
    if (ok) {
        input[SECRET_SIZE + 3] = 1; /* the block's number */
        memcpy(input + SECRET_SIZE + 4, shared_info, sizeof(shared_info));
        cm_sha256(input, sizeof(input), kek);
    }
    cm_wipe(input, sizeof(input));
    return ok;
}

static bool write_recipient(struct sealing *s, EVP_PKEY *recipient, uint8_t *at)
{
    uint8_t spki[KF_P256_SPKI_SIZE], hash[CM_SHA256_SIZE], kek[CM_SHA256_SIZE];
    EVP_PKEY *made = NULL;
    int len = 0;
    memcpy(at, kari, sizeof(kari));
    if (!recipient || !kf_p256_spki(recipient, spki))
        return false; /* not of P-256 */
    cm_sha256(spki, sizeof(spki), hash);
    memcpy(at + KEY_ID_AT, hash, KF_SKI_SIZE);
    if (EVP_PKEY_generate(s->maker, &made) <= 0)
        return false;
    KF_AUTO(pkey) EVP_PKEY *ephemeral = made;
    bool ok = kf_p256_point(ephemeral, at + POINT_AT) && derive(ephemeral, recipient, kek) &&
              EVP_EncryptInit_ex(s->wrap, NULL, NULL, kek, NULL) > 0 &&
              EVP_EncryptUpdate(s->wrap, at + WRAPPED_AT, &len, s->cek, CEK_SIZE) > 0 &&
              len == (int)WRAPPED_SIZE;
    cm_wipe(kek, sizeof(kek));
    return ok;
}

/* SET OF is sorted by octets (X.690 11.6); all entries are of one length. */
static int by_octets(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(kari));
}

static bool write_recipients(struct sealing *s, EVP_PKEY *const *recipients, size_t count,
                             uint8_t *at)
{
    s->maker = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    s->wrap = EVP_CIPHER_CTX_new();
    bool ok = s->maker && s->wrap && EVP_PKEY_keygen_init(s->maker) > 0 &&
              EVP_PKEY_CTX_set_ec_paramgen_curve_nid(s->maker, NID_X9_62_prime256v1) > 0;
    if (ok) {
        EVP_CIPHER_CTX_set_flags(s->wrap, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
        ok = EVP_EncryptInit_ex(s->wrap, EVP_aes_256_wrap(), NULL, NULL, NULL) > 0;
    }
    for (size_t i = 0; ok && i < count; i++)
        ok = write_recipient(s, recipients[i], at + i * sizeof(kari));
    EVP_PKEY_CTX_free(s->maker);
    EVP_CIPHER_CTX_free(s->wrap);
    if (ok)
        qsort(at, count, sizeof(kari), by_octets);
    return ok;
}

/* ---- content ----------------------------------------------------------------------------------
 */

static bool encrypt(const uint8_t cek[CEK_SIZE], const uint8_t nonce[NONCE_SIZE], const void *plain,
                    size_t len, uint8_t *out, uint8_t tag[TAG_SIZE])
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int done = 0, rest = 0;
    bool ok = ctx && EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, cek, nonce) > 0 &&
              EVP_EncryptUpdate(ctx, out, &done, plain, (int)len) > 0 &&
              EVP_EncryptFinal_ex(ctx, out + done, &rest) > 0 && (size_t)(done + rest) == len &&
              EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_SIZE, tag) > 0;
    EVP_CIPHER_CTX_free(ctx);
    return ok;
}

/* ---- the whole --------------------------------------------------------------------------------
 */

struct sizes {
    size_t set, info, body, inside, all; /* contents of the nested structures */
};

static struct sizes measure(size_t len, size_t count)
{
    struct sizes s = {.set = count * sizeof(kari)};
    s.info = sizeof(content_head) + NONCE_SIZE + sizeof(tag_param) + head_size(len) + len;
    s.body = sizeof(version) + head_size(s.set) + s.set + head_size(s.info) + s.info + 2 + TAG_SIZE;
    s.inside = head_size(s.body) + s.body;
    s.all = sizeof(type_oid) + head_size(s.inside) + s.inside;
    return s;
}

static bool write_all(const void *plain, size_t len, EVP_PKEY *const *recipients, size_t count,
                      const struct sizes *sizes, uint8_t *at)
{
    struct sealing s = {0};
    uint8_t nonce[NONCE_SIZE];
    bool ok = RAND_priv_bytes(s.cek, CEK_SIZE) > 0 && RAND_bytes(nonce, NONCE_SIZE) > 0;
    at = put_head(at, 0x30, sizes->all);
    at = put(at, type_oid, sizeof(type_oid));
    at = put_head(at, 0xa0, sizes->inside);
    at = put_head(at, 0x30, sizes->body);
    at = put(at, version, sizeof(version));
    at = put_head(at, 0x31, sizes->set);
    ok = ok && write_recipients(&s, recipients, count, at);
    at += sizes->set;
    at = put_head(at, 0x30, sizes->info);
    at = put(at, content_head, sizeof(content_head));
    at = put(at, nonce, NONCE_SIZE);
    at = put(at, tag_param, sizeof(tag_param));
    at = put_head(at, 0x80, len);
    uint8_t *tag = put_head(at + len, 0x04, TAG_SIZE);
    ok = ok && encrypt(s.cek, nonce, plain, len, at, tag);
    cm_wipe(s.cek, sizeof(s.cek));
    return ok;
}

int kf_envelope_write(const void *plain, size_t len, EVP_PKEY *const *recipients, size_t count,
                      uint8_t **ret, size_t *ret_len, struct cm_err *err)
{
    *ret = NULL;
    *ret_len = 0;
    if (count < 1 || count > KF_RECIPIENTS_MAX || len < 1 || len > KF_ENVELOPE_MAX)
        return cm_fail(err, CM_ELIMIT, "an envelope has 1 to %d recipients and 1 to %u bytes",
                       KF_RECIPIENTS_MAX, KF_ENVELOPE_MAX);
    struct sizes sizes = measure(len, count);
    size_t total = head_size(sizes.all) + sizes.all;
    uint8_t *der = cm_malloc(total);
    if (!write_all(plain, len, recipients, count, &sizes, der)) {
        cm_free(der); /* ciphertext at most: the content key is wiped */
        return kf_ossl_fail(err, CM_ECRYPTO, "cannot seal");
    }
    *ret = der;
    *ret_len = total;
    return 0;
}
