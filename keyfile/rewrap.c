/* Replacing a recipient.  See rewrap.h; the structures are those of envelope.c (RFC 5083, 5652). */
#include "keyfile/rewrap.h"

#include <string.h>

#include "base/core/buf.h"
#include "base/core/bytes.h"
#include "base/core/mem.h"
#include "keyfile/der.h"
#include "keyfile/ossl.h"
#include "keyfile/pkey.h"

#define HEAD_MAX 8 /* identifier and length octets */

/* An envelope that kf_envelope_check() accepts, in pieces. */
struct parts {
    struct kf_envelope envelope;
    struct kf_der before; /* content type */
    struct kf_der version;
    struct kf_der recipient[KF_RECIPIENTS_MAX];
    struct kf_der after; /* content, tag */
};

static int split(struct kf_octets in, struct parts *ret, struct cm_err *err)
{
    int rc = kf_envelope_check(in.data, in.len, &ret->envelope, err);
    if (rc < 0)
        return rc;
    struct kf_der all = {in.data, in.data + in.len}, info, oid, explicit, body, number, set, one;
    bool ok = kf_der_take(&all, KF_DER_SEQUENCE, &info) &&
              kf_der_take_whole(&info, KF_DER_OID, &oid, &ret->before) &&
              kf_der_take(&info, KF_DER_CONTEXT0_CONSTRUCTED, &explicit) &&
              kf_der_take(&explicit, KF_DER_SEQUENCE, &body) &&
              kf_der_take_whole(&body, KF_DER_INTEGER, &number, &ret->version) &&
              kf_der_take(&body, KF_DER_SET, &set);
    for (size_t i = 0; ok && i < ret->envelope.recipient_count; i++)
        ok = kf_der_take_whole(&set, KF_DER_CONTEXT1_CONSTRUCTED, &one, &ret->recipient[i]);
    ret->after = body;
    return ok ? 0 : cm_fail(err, CM_EMALF, "envelope refused: it changed while it was read");
}

static size_t length(const struct kf_der *part)
{
    return (size_t)(part->end - part->at);
}

static bool same(const struct kf_der *a, const struct kf_der *b)
{
    return length(a) == length(b) && memcmp(a->at, b->at, length(a)) == 0;
}

/* Its place among the recipients, or KF_RECIPIENTS_MAX. */
static size_t place_of(const struct parts *parts, const uint8_t *ski)
{
    for (size_t i = 0; i < parts->envelope.recipient_count; i++)
        if (memcmp(parts->envelope.ski[i], ski, KF_SKI_SIZE) == 0)
            return i;
    return KF_RECIPIENTS_MAX;
}

/* X.690 8.1.3: the short form below 128, else as few octets as it takes. */
static void put_head(struct cm_buf *out, uint8_t tag, size_t len)
{
    uint8_t head[HEAD_MAX];
    size_t at = HEAD_MAX, rest = len;
    if (len < 0x80) {
        head[--at] = (uint8_t)len;
    } else {
        for (; rest > 0; rest >>= 8)
            head[--at] = (uint8_t)rest;
        size_t count = HEAD_MAX - at;
        head[--at] = (uint8_t)(0x80 | count);
    }
    head[--at] = tag;
    cm_buf_add(out, head + at, HEAD_MAX - at);
}

static void wrap(struct cm_buf *buf, uint8_t tag)
{
    struct cm_buf out;
    cm_buf_init(&out, KF_ENVELOPE_MAX + 64);
    put_head(&out, tag, buf->len);
    cm_buf_add(&out, buf->data, buf->len);
    cm_buf_fini(buf);
    *buf = out;
}

/* The whole envelope again, without one recipient. */
static void join_without(const struct parts *parts, size_t left_out, struct cm_buf *ret)
{
    struct cm_buf set;
    cm_buf_init(&set, KF_ENVELOPE_MAX);
    for (size_t i = 0; i < parts->envelope.recipient_count; i++)
        if (i != left_out)
            cm_buf_add(&set, parts->recipient[i].at, length(&parts->recipient[i]));
    wrap(&set, KF_DER_SET);
    struct cm_buf body;
    cm_buf_init(&body, KF_ENVELOPE_MAX);
    cm_buf_add(&body, parts->version.at, length(&parts->version));
    cm_buf_add(&body, set.data, set.len);
    cm_buf_add(&body, parts->after.at, length(&parts->after));
    cm_buf_fini(&set);
    wrap(&body, KF_DER_SEQUENCE);
    wrap(&body, KF_DER_CONTEXT0_CONSTRUCTED);
    cm_buf_init(ret, KF_ENVELOPE_MAX + 64);
    cm_buf_add(ret, parts->before.at, length(&parts->before));
    cm_buf_add(ret, body.data, body.len);
    cm_buf_fini(&body);
    wrap(ret, KF_DER_SEQUENCE);
}

/* Ephemeral key agreement, SHA-256 KDF, AES-256 key wrap, named by key identifier.  Both algorithms
 * are set by hand: libcrypto's defaults are SHA-1 and a wrap chosen by key length. */
static CMS_RecipientInfo *add_recipient(CMS_ContentInfo *cms, X509 *cert)
{
    CMS_RecipientInfo *ri = CMS_add1_recipient_cert(cms, cert, CMS_USE_KEYID);
    EVP_PKEY_CTX *pctx = ri ? CMS_RecipientInfo_get0_pkey_ctx(ri) : NULL;
    EVP_CIPHER_CTX *kek = ri ? CMS_RecipientInfo_kari_get0_ctx(ri) : NULL;
    /* The KDF's type stays unset: libcrypto refuses to encrypt when its only choice was made. */
    bool ok = pctx && kek && EVP_PKEY_CTX_set_ecdh_kdf_md(pctx, EVP_sha256()) > 0 &&
              EVP_EncryptInit_ex(kek, EVP_aes_256_wrap(), NULL, NULL, NULL) > 0;
    return ok ? ri : NULL;
}

/* The same content key for one recipient more (needs no look at the content). */
static int add(const uint8_t *der, size_t len, EVP_PKEY *seal, X509 *from, X509 *to,
               unsigned char **ret, struct cm_err *err)
{
    const unsigned char *at = der;
    KF_AUTO(cms) CMS_ContentInfo *cms = d2i_CMS_ContentInfo(NULL, &at, (long)len);
    if (!cms || !CMS_decrypt_set1_pkey(cms, seal, from))
        return kf_ossl_fail(err, CM_ECRYPTO, "cannot open the envelope with the former key");
    CMS_RecipientInfo *ri = add_recipient(cms, to);
    int out = ri && CMS_RecipientInfo_encrypt(cms, ri) ? i2d_CMS_ContentInfo(cms, ret) : 0;
    return out > 0 ? out : kf_ossl_fail(err, CM_ECRYPTO, "cannot add a recipient to the envelope");
}

static const uint8_t *ski_of(X509 *cert)
{
    const ASN1_OCTET_STRING *ski = X509_get0_subject_key_id(cert);
    return ski && ASN1_STRING_length(ski) == KF_SKI_SIZE ? ASN1_STRING_get0_data(ski) : NULL;
}

int kf_rewrap(const uint8_t *der, size_t len, EVP_PKEY *seal, X509 *from, X509 *to, uint8_t **ret,
              size_t *ret_len, struct cm_err *err)
{
    struct kf_octets before = {der, len};
    const uint8_t *from_ski = ski_of(from), *to_ski = ski_of(to);
    unsigned char *grown = NULL;
    struct cm_buf made;
    *ret = NULL;
    CM_BUG_ON(!from_ski || !to_ski);
    struct parts *parts = cm_calloc(1, sizeof(*parts));
    int rc = split(before, parts, err);
    if (rc == 0 && place_of(parts, from_ski) == KF_RECIPIENTS_MAX)
        rc = cm_fail(err, CM_EDENIED, "cannot open: not a recipient");
    int size = rc == 0 ? add(der, len, seal, from, to, &grown, err) : rc;
    rc = size < 0 ? size : split((struct kf_octets){grown, (size_t)size}, parts, err);
    if (rc == 0) {
        join_without(parts, place_of(parts, from_ski), &made);
        /* What goes out is judged as the manager will judge it. */
        rc = kf_rewrap_check(before, (struct kf_octets){(uint8_t *)made.data, made.len}, from_ski,
                             to_ski, err);
        if (rc == 0)
            *ret = (uint8_t *)cm_buf_take(&made, ret_len);
        cm_buf_fini(&made);
    }
    OPENSSL_free(grown);
    cm_free(parts);
    return rc;
}

static const char *difference(const struct parts *a, const struct parts *b, const uint8_t *from,
                              const uint8_t *to)
{
    size_t out = place_of(a, from), in = place_of(b, to), count = a->envelope.recipient_count;
    if (!same(&a->before, &b->before) || !same(&a->version, &b->version) ||
        !same(&a->after, &b->after))
        return "the sealed content is another one";
    if (out == KF_RECIPIENTS_MAX)
        return "the former key was no recipient";
    if (in == KF_RECIPIENTS_MAX)
        return "the new key is no recipient";
    if (b->envelope.recipient_count != count)
        return "there are more or fewer recipients";
    /* Both sets are in DER order: without the two, the others stand one beside the other. */
    for (size_t i = 0, k = 0; i < count && k < count; i++, k++) {
        i += i == out;
        k += k == in;
        if (i < count && k < count && !same(&a->recipient[i], &b->recipient[k]))
            return "another recipient was changed";
    }
    return NULL;
}

int kf_rewrap_check(struct kf_octets before, struct kf_octets after, const uint8_t *from,
                    const uint8_t *to, struct cm_err *err)
{
    struct parts *a = cm_calloc(1, sizeof(*a)), *b = cm_calloc(1, sizeof(*b));
    const char *why = NULL;
    int rc = split(before, a, err);
    if (rc == 0)
        rc = split(after, b, err);
    if (rc == 0)
        why = difference(a, b, from, to);
    cm_free(a);
    cm_free(b);
    return why ? cm_fail(err, CM_EDENIED, "the envelope was not sealed anew as it should: %s", why)
               : rc;
}

int kf_seal_ski(const char *spki_b64, uint8_t out[KF_SKI_SIZE], struct cm_err *err)
{
    uint8_t spki[KF_P256_SPKI_SIZE], hash[CM_SHA256_SIZE];
    int rc = kf_p256_spki_b64(spki_b64, spki, err);
    if (rc < 0)
        return rc;
    cm_sha256(spki, sizeof(spki), hash);
    memcpy(out, hash, KF_SKI_SIZE);
    return 0;
}
