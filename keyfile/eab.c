/* The MAC key as CAs hand it out, and the inner JWS. */
#include "keyfile/eab.h"

#include <string.h>

#include "base/core/bytes.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "keyfile/secret.h"

#define BASE64URL  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
#define BLANKS     " \t\r\n"
#define TWICE_FROM 24 /* bytes: a random key of that size that is all base64 does not happen */

/* Base64url without padding, from either alphabet, padded or not; blanks around it are left out. */
static int plain_text(const char *typed, struct kf_secret *ret, struct cm_err *err)
{
    size_t len;
    typed += strspn(typed, BLANKS);
    len = strnlen(typed, KF_EAB_KEY_MAX + 1);
    while (len > 0 && strchr(BLANKS, typed[len - 1]))
        len--;
    if (len == 0)
        return cm_fail(err, CM_EINVAL, "eab_hmac: the HMAC key of the CA is missing");
    if (len > KF_EAB_KEY_MAX)
        return cm_fail(err, CM_EINVAL, "eab_hmac: the HMAC key has more than %d characters",
                       KF_EAB_KEY_MAX);
    for (int pad = 0; pad < 2 && len > 0 && typed[len - 1] == '='; pad++)
        len--;
    int rc = kf_secret_new(len, ret, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < len; i++) {
        char c = typed[i];
        ret->data[i] = c == '+' ? '-' : c == '/' ? '_' : c;
    }
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

static int decode(const char *typed, uint8_t **ret, size_t *ret_len, struct cm_err *err)
{
    KF_AUTO_SECRET text = {0};
    int rc = plain_text(typed, &text, err);
    if (rc < 0)
        return rc;
    if (cm_b64url_decode(text.data, text.len, ret, ret_len) < 0 || *ret_len == 0)
        return cm_fail(err, CM_EINVAL, "eab_hmac: the HMAC key is cut off: %zu characters",
                       text.len);
    if (*ret_len >= TWICE_FROM && is_base64(*ret, *ret_len)) {
        cm_free_secret(*ret, *ret_len);
        *ret = NULL;
        cm_fail(err, CM_EINVAL,
                "eab_hmac: the HMAC key is encoded twice (it decodes to %zu "
                "characters of base64)",
                *ret_len);
        cm_err_hint(err, "Decode it once and save the result.");
        return CM_EINVAL;
    }
    return 0;
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

int kf_eab_sign(const char *kid, const char *key_text, const char *url, const json_t *jwk,
                json_t **ret, size_t *ret_key_len, struct cm_err *err)
{
    uint8_t *key = NULL, mac[CM_SHA256_SIZE];
    size_t head_len, body_len;
    int rc = check_kid(kid, err);
    if (rc == 0)
        rc = decode(key_text, &key, ret_key_len, err);
    if (rc < 0)
        return rc;
    CM_AUTO_JSON head = json_object();
    cm_json_set_str(head, "alg", "HS256");
    cm_json_set_str(head, "kid", kid);
    cm_json_set_str(head, "url", url);
    CM_AUTO_STR head_text = cm_json_dump(head, &head_len);
    CM_AUTO_STR body_text = cm_json_dump(jwk, &body_len);
    CM_AUTO_STR head64 = cm_b64url(head_text, head_len);
    CM_AUTO_STR body64 = cm_b64url(body_text, body_len);
    CM_AUTO_STR input = cm_asprintf("%s.%s", head64, body64);
    cm_hmac_sha256(key, *ret_key_len, input, strlen(input), mac);
    cm_free_secret(key, *ret_key_len);
    CM_AUTO_STR mac64 = cm_b64url(mac, sizeof(mac));
    *ret = json_object();
    cm_json_set_str(*ret, "protected", head64);
    cm_json_set_str(*ret, "payload", body64);
    cm_json_set_str(*ret, "signature", mac64);
    return 0;
}
