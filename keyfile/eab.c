/* The MAC key as CAs hand it out, and the inner JWS. */
#include "keyfile/eab.h"

#include <string.h>

#include "base/core/bytes.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "keyfile/secret.h"

#define BASE64URL  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
#define AROUND     " \t\r\n\"'"
#define TWICE_FROM 24 /* bytes: a random key of that size that is all base64 does not happen */

/* Base64url without padding, from either alphabet, padded or not; what mails and portals put around
 * a key or between its lines is left out. */
static int plain_text(const char *typed, struct kf_secret *ret, struct cm_err *err)
{
    size_t len = 0, at = 0;
    for (const char *c = typed; *c; c++) {
        len += !strchr(AROUND, *c);
        if (len > KF_EAB_KEY_MAX)
            return cm_fail(err, CM_EINVAL, "eab_hmac: the HMAC key has more than %d characters",
                           KF_EAB_KEY_MAX);
    }
    if (len == 0)
        return cm_fail(err, CM_EINVAL, "eab_hmac: the HMAC key of the CA is missing");
    int rc = kf_secret_new(len, ret, err);
    if (rc < 0)
        return rc;
    for (const char *c = typed; *c; c++)
        if (!strchr(AROUND, *c))
            ret->data[at++] = *c == '+' ? '-' : *c == '/' ? '_' : *c;
    for (int pad = 0; pad < 2 && len > 0 && ret->data[len - 1] == '='; pad++)
        ret->data[--len] = '\0';
    if (len == 0 || strspn(ret->data, BASE64URL) != len)
        return cm_fail(err, CM_EINVAL,
                       "eab_hmac: the HMAC key is not base64url; copy it as the CA shows it");
    return 0;
}

static bool is_base64(const uint8_t *bytes, size_t len)
{
    while (len > 0 && bytes[len - 1] == '=')
        len--;
    for (size_t i = 0; i < len; i++)
        if (bytes[i] == '\0' || !strchr(BASE64URL "+/", bytes[i]))
            return false;
    return true;
}

static int decode(const char *typed, struct kf_secret *ret, struct cm_err *err)
{
    KF_AUTO_SECRET text = {0};
    uint8_t *bytes = NULL;
    size_t len = 0, chars;
    int rc = plain_text(typed, &text, err);
    if (rc < 0)
        return rc;
    chars = strlen(text.data);
    if (cm_b64url_decode(text.data, chars, &bytes, &len) < 0 || len == 0) {
        cm_free(bytes);
        return cm_fail(err, CM_EINVAL, "eab_hmac: the HMAC key is cut off: %zu characters", chars);
    }
    rc = kf_secret_new(len, ret, err);
    if (rc == 0)
        memcpy(ret->data, bytes, len);
    cm_free_secret(bytes, len);
    return rc;
}

static int check_kid(const char *kid, struct cm_err *err)
{
    size_t len = strnlen(kid, KF_EAB_KID_MAX + 1);
    if (len == 0)
        return cm_fail(err, CM_EINVAL, "eab_kid: the key identifier of the CA is missing");
    if (len > KF_EAB_KID_MAX)
        return cm_fail(err, CM_EINVAL, "eab_kid: the key identifier has more than %d characters",
                       KF_EAB_KID_MAX);
    for (size_t i = 0; i < len; i++)
        if (kid[i] <= ' ' || kid[i] > '~')
            return cm_fail(err, CM_EINVAL,
                           "eab_kid: the key identifier has a blank or a character beyond ASCII");
    return 0;
}

static json_t *sign(const struct kf_secret *key, unsigned bits, const json_t *head,
                    const json_t *jwk)
{
    uint8_t mac[CM_HMAC_MAX];
    size_t head_len, body_len;
    CM_AUTO_STR head_text = cm_json_dump(head, &head_len);
    CM_AUTO_STR body_text = cm_json_dump(jwk, &body_len);
    CM_AUTO_STR head64 = cm_b64url(head_text, head_len);
    CM_AUTO_STR body64 = cm_b64url(body_text, body_len);
    CM_AUTO_STR input = cm_asprintf("%s.%s", head64, body64);
    size_t mac_len = cm_hmac_sha2(bits, key->data, key->len, input, strlen(input), mac);
    CM_AUTO_STR mac64 = cm_b64url(mac, mac_len);
    json_t *jws = json_object();
    cm_json_set_str(jws, "protected", head64);
    cm_json_set_str(jws, "payload", body64);
    cm_json_set_str(jws, "signature", mac64);
    return jws;
}

/* RFC 7518 3.2; 0 = none of them. */
static unsigned bits_of(const char *alg)
{
    return strcmp(alg, "HS256") == 0   ? 256
           : strcmp(alg, "HS384") == 0 ? 384
           : strcmp(alg, "HS512") == 0 ? 512
                                       : 0;
}

int kf_eab_sign(const char *kid, const char *key_text, const char *alg, const char *url,
                const json_t *jwk, struct kf_eab *ret, struct cm_err *err)
{
    KF_AUTO_SECRET key = {0};
    KF_AUTO_SECRET inner = {0};
    unsigned bits = bits_of(alg);
    *ret = (struct kf_eab){0};
    if (bits == 0)
        return cm_fail(err, CM_EINVAL, "eab_alg: choose HS256, HS384 or HS512");
    int rc = check_kid(kid, err);
    if (rc == 0)
        rc = decode(key_text, &key, err);
    if (rc < 0)
        return rc;
    CM_AUTO_JSON head = json_object();
    cm_json_set_str(head, "alg", alg);
    cm_json_set_str(head, "kid", kid);
    cm_json_set_str(head, "url", url);
    ret->jws = sign(&key, bits, head, jwk);
    ret->key_len = key.len;
    if (key.len >= TWICE_FROM && is_base64((const uint8_t *)key.data, key.len) &&
        decode(key.data, &inner, NULL) == 0)
        ret->other = sign(&inner, bits, head, jwk);
    return 0;
}
