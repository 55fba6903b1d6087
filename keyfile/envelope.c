/* The strict reading of an envelope.  Each function takes one structure of RFC 5083/5652/5753. */
#include "keyfile/envelope.h"

#include <string.h>

#include "base/core/bytes.h"
#include "base/core/mem.h"
#include "keyfile/der.h"

#define NONCE_SIZE   12
#define TAG_SIZE     16
#define WRAPPED_SIZE 40 /* AES key wrap of 32 octets (RFC 3394) */
#define POINT_SIZE   66 /* unused-bits octet, 04, x, y */

static const uint8_t oid_auth_enveloped[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d,
                                             0x01, 0x09, 0x10, 0x01, 0x17};
static const uint8_t oid_data[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01};
static const uint8_t oid_aes256_gcm[] = {0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2e};
static const uint8_t oid_aes256_wrap[] = {0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2d};
static const uint8_t oid_ec_public_key[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01};
static const uint8_t oid_std_dh_sha256[] = {0x2b, 0x81, 0x04, 0x01, 0x0b, 0x01};

#define TAKES_OID(in, oid) kf_der_expect(in, KF_DER_OID, oid, sizeof(oid))

static bool takes_int(struct kf_der *in, uint8_t value)
{
    return kf_der_expect(in, KF_DER_INTEGER, &value, 1);
}

/* OriginatorIdentifierOrKey: an ephemeral P-256 key.  A long-term key named by certificate or key
 * identifier has another tag. */
static const char *check_originator(struct kf_der *kari)
{
    struct kf_der outer, key, algorithm;
    const uint8_t *point;
    if (!kf_der_take(kari, KF_DER_CONTEXT0_CONSTRUCTED, &outer) ||
        !kf_der_take(&outer, KF_DER_CONTEXT1_CONSTRUCTED, &key) || !kf_der_empty(&outer))
        return "the originator of a recipient entry is not an ephemeral key";
    if (!kf_der_take(&key, KF_DER_SEQUENCE, &algorithm) ||
        !TAKES_OID(&algorithm, oid_ec_public_key) || !kf_der_empty(&algorithm))
        return "the originator key is not a plain elliptic curve key";
    if (!kf_der_take_sized(&key, KF_DER_BIT_STRING, POINT_SIZE, &point) || point[0] != 0 ||
        point[1] != 4 || !kf_der_empty(&key))
        return "the originator key is not an uncompressed point of P-256";
    return NULL;
}

static const char *check_key_encryption(struct kf_der *kari)
{
    struct kf_der algorithm, wrap;
    if (!kf_der_take(kari, KF_DER_SEQUENCE, &algorithm) ||
        !TAKES_OID(&algorithm, oid_std_dh_sha256))
        return "the key derivation is not dhSinglePass-stdDH-sha256kdf-scheme";
    if (!kf_der_take(&algorithm, KF_DER_SEQUENCE, &wrap) || !TAKES_OID(&wrap, oid_aes256_wrap) ||
        !kf_der_empty(&wrap) || !kf_der_empty(&algorithm))
        return "the key wrap is not AES-256";
    return NULL;
}

/* RecipientEncryptedKeys: exactly one, named by subject key identifier without date. */
static const char *check_encrypted_key(struct kf_der *kari, const uint8_t **ski)
{
    struct kf_der list, entry, rid;
    const uint8_t *wrapped;
    if (!kf_der_take(kari, KF_DER_SEQUENCE, &list) ||
        !kf_der_take(&list, KF_DER_SEQUENCE, &entry) || !kf_der_empty(&list))
        return "a recipient entry does not hold exactly one encrypted key";
    if (!kf_der_take(&entry, KF_DER_CONTEXT0_CONSTRUCTED, &rid) ||
        !kf_der_take_sized(&rid, KF_DER_OCTET_STRING, KF_SKI_SIZE, ski) || !kf_der_empty(&rid))
        return "a recipient is not named by a key identifier of 20 octets";
    if (!kf_der_take_sized(&entry, KF_DER_OCTET_STRING, WRAPPED_SIZE, &wrapped) ||
        !kf_der_empty(&entry))
        return "the encrypted key of a recipient has not 40 octets";
    return NULL;
}

static const char *check_recipient(struct kf_der *kari, const uint8_t **ski)
{
    if (!takes_int(kari, 3))
        return "the version of a recipient entry is not 3";
    const char *why = check_originator(kari);
    if (!why)
        why = check_key_encryption(kari); /* user keying material ([1]) has no place before it */
    if (!why)
        why = check_encrypted_key(kari, ski);
    if (!why && !kf_der_empty(kari))
        why = "a recipient entry has trailing members";
    return why;
}

/* DER sorts the members of a SET OF by their octets (X.690 11.6), shorter first when one is the
 * beginning of the other. */
static bool in_order(const struct kf_der *a, const struct kf_der *b)
{
    size_t a_len = (size_t)(a->end - a->at), b_len = (size_t)(b->end - b->at);
    int order = memcmp(a->at, b->at, a_len < b_len ? a_len : b_len);
    return order < 0 || (order == 0 && a_len <= b_len);
}

static const char *check_recipients(struct kf_der *body, struct kf_envelope *ret)
{
    struct kf_der set, kari, whole, before = {0};
    if (!kf_der_take(body, KF_DER_SET, &set))
        return "there is no set of recipients (or originator information stands before it)";
    while (!kf_der_empty(&set)) {
        if (ret->recipient_count == KF_RECIPIENTS_MAX)
            return "there are more than 200 recipients";
        if (!kf_der_take_whole(&set, KF_DER_CONTEXT1_CONSTRUCTED, &kari, &whole))
            return "a recipient is not of the key agreement kind";
        const char *why = check_recipient(&kari, &ret->ski[ret->recipient_count]);
        if (why)
            return why;
        if (before.at && !in_order(&before, &whole))
            return "the recipients are not in DER order";
        before = whole;
        ret->recipient_count++;
    }
    return ret->recipient_count > 0 ? NULL : "there is no recipient";
}

static const char *check_content(struct kf_der *body, struct kf_envelope *ret)
{
    struct kf_der info, algorithm, params, content;
    const uint8_t *nonce;
    if (!kf_der_take(body, KF_DER_SEQUENCE, &info) || !TAKES_OID(&info, oid_data))
        return "the content is not of type data";
    if (!kf_der_take(&info, KF_DER_SEQUENCE, &algorithm) || !TAKES_OID(&algorithm, oid_aes256_gcm))
        return "the content is not encrypted with AES-256-GCM";
    if (!kf_der_take(&algorithm, KF_DER_SEQUENCE, &params) || !kf_der_empty(&algorithm) ||
        !kf_der_take_sized(&params, KF_DER_OCTET_STRING, NONCE_SIZE, &nonce))
        return "the nonce has not 12 octets";
    if (!takes_int(&params, TAG_SIZE) || !kf_der_empty(&params))
        return "the tag length parameter is not 16";
    if (!kf_der_take(&info, KF_DER_CONTEXT0, &content) || !kf_der_empty(&info))
        return "there is no encrypted content inside";
    ret->content_len = (size_t)(content.end - content.at);
    return ret->content_len > 0 ? NULL : "the encrypted content is empty";
}

static const char *check_envelope(struct kf_der *in, struct kf_envelope *ret)
{
    struct kf_der info, explicit, body;
    const uint8_t *mac;
    if (!kf_der_take(in, KF_DER_SEQUENCE, &info))
        return "it is not one DER sequence";
    if (!kf_der_empty(in))
        return "there are octets behind it";
    if (!TAKES_OID(&info, oid_auth_enveloped))
        return "it is not AuthEnvelopedData";
    if (!kf_der_take(&info, KF_DER_CONTEXT0_CONSTRUCTED, &explicit) || !kf_der_empty(&info) ||
        !kf_der_take(&explicit, KF_DER_SEQUENCE, &body) || !kf_der_empty(&explicit))
        return "its content is not one DER sequence";
    if (!takes_int(&body, 0))
        return "its version is not 0";
    const char *why = check_recipients(&body, ret);
    if (!why)
        why = check_content(&body, ret);
    if (why)
        return why;
    if (!kf_der_take_sized(&body, KF_DER_OCTET_STRING, TAG_SIZE, &mac))
        return "its tag has not 16 octets (or authenticated attributes stand before it)";
    return kf_der_empty(&body) ? NULL : "it has attributes or other members behind the tag";
}

int kf_envelope_check(const uint8_t *der, size_t len, struct kf_envelope *ret, struct cm_err *err)
{
    ret->recipient_count = 0;
    ret->content_len = 0;
    if (len > KF_ENVELOPE_MAX)
        return cm_fail(err, CM_ELIMIT, "envelope is longer than %u bytes", KF_ENVELOPE_MAX);
    struct kf_der in = {der, der + len};
    const char *why = len == 0 ? "it is empty" : check_envelope(&in, ret);
    return why ? cm_fail(err, CM_EMALF, "envelope refused: %s", why) : 0;
}

int kf_envelope_read(const char *text, uint8_t **ret_der, struct kf_envelope *ret,
                     struct cm_err *err)
{
    size_t len = 0, text_len = strlen(text);
    *ret_der = NULL;
    if (text_len > 2 * KF_ENVELOPE_MAX)
        return cm_fail(err, CM_ELIMIT, "envelope is longer than %u bytes", KF_ENVELOPE_MAX);
    if (text_len == 0 || cm_b64_decode(text, text_len, ret_der, &len) < 0)
        return cm_fail(err, CM_EMALF, "envelope refused: it is no base64");
    int rc = kf_envelope_check(*ret_der, len, ret, err);
    if (rc < 0) {
        cm_free(*ret_der);
        *ret_der = NULL;
    }
    return rc;
}

bool kf_envelope_lists(const struct kf_envelope *envelope, const uint8_t ski[KF_SKI_SIZE])
{
    for (size_t i = 0; i < envelope->recipient_count; i++) {
        if (cm_memcmp_ct(envelope->ski[i], ski, KF_SKI_SIZE) == 0)
            return true;
    }
    return false;
}
