/* What a person's command gives to the agent.  See handover.h. */
#include "keyfile/handover.h"

#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#include "base/core/bytes.h"
#include "base/core/clock.h"
#include "base/core/mem.h"
#include "keyfile/ossl.h"
#include "keyfile/pkey.h"
#include "keyfile/seal.h"

#define HEAD_MAX 512 /* bytes of the lines before the password's value */

static const char *const documents[] = {"handover:import", "handover:export"};

/* A control character would make a second line out of one value. */
static bool one_line(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return false;
    return true;
}

static int check(const struct kf_handover *handover, struct cm_err *err)
{
    if (strlen(handover->password) > KF_HANDOVER_PASSWORD_MAX)
        return cm_fail(err, CM_ELIMIT, "password: at most %d bytes", KF_HANDOVER_PASSWORD_MAX);
    if (!one_line(handover->password))
        return cm_fail(err, CM_EINVAL, "password: there are control characters in it");
    if (handover->len > KF_HANDOVER_DATA_MAX)
        return cm_fail(err, CM_ELIMIT, "the file is longer than %u bytes", KF_HANDOVER_DATA_MAX);
    if (!*handover->credential || strlen(handover->credential) > KF_HANDOVER_WORD_MAX ||
        !one_line(handover->credential))
        return cm_fail(err, CM_EINVAL, "that is not the number of a credential");
    return 0;
}

static int write_text(const struct kf_handover *handover, int64_t now_ms, struct kf_secret *ret,
                      struct cm_err *err)
{
    char head[HEAD_MAX], when[CM_TIME_TEXT];
    size_t password = strlen(handover->password);
    cm_time_format(now_ms, when);
    int len = snprintf(
        head, sizeof(head), "document: %s\ncredential: %s\nexportable: %s\ncreated: %s\npassword: ",
        documents[handover->kind], handover->credential, handover->exportable ? "yes" : "no", when);
    CM_BUG_ON(len < 0 || len >= HEAD_MAX);
    int rc = kf_secret_new((size_t)len + password + 2 + handover->len, ret, err);
    if (rc < 0)
        return rc;
    char *at = ret->data;
    memcpy(at, head, (size_t)len);
    memcpy(at + len, handover->password, password);
    at += (size_t)len + password;
    memcpy(at, "\n\n", 2);
    if (handover->len > 0)
        memcpy(at + 2, handover->data, handover->len);
    return 0;
}

int kf_handover_seal(const struct kf_handover *handover, const char *seal_spki_b64, int64_t now_ms,
                     char **ret, struct cm_err *err)
{
    uint8_t spki[KF_P256_SPKI_SIZE], *der = NULL;
    size_t len = 0;
    KF_AUTO(x509) X509 *recipient = NULL;
    KF_AUTO_SECRET text = {0};
    *ret = NULL;
    int rc = check(handover, err);
    if (rc == 0)
        rc = kf_p256_spki_b64(seal_spki_b64, spki, err);
    if (rc == 0)
        rc = kf_recipient(spki, sizeof(spki), &recipient, err);
    if (rc == 0)
        rc = write_text(handover, now_ms, &text, err);
    if (rc == 0)
        rc = kf_seal(text.data, text.len, &recipient, 1, &der, &len, err);
    if (rc == 0)
        *ret = cm_b64(der, len);
    cm_free(der);
    return rc;
}

/* ---- reading ----------------------------------------------------------------------------------
 */

/* Takes "key: value\n": the line's end becomes the value's. */
static char *take_line(char **at, const char *end, const char *key)
{
    size_t key_len = strlen(key);
    char *line = *at, *stop = memchr(line, '\n', (size_t)(end - line));
    if (!stop || (size_t)(stop - line) < key_len + 2 || memcmp(line, key, key_len) != 0 ||
        memcmp(line + key_len, ": ", 2) != 0)
        return NULL;
    *stop = '\0';
    *at = stop + 1;
    return line + key_len + 2;
}

static int malformed(struct cm_err *err)
{
    return cm_fail(err, CM_EMALF, "what was handed over has malformed head lines");
}

int kf_handover_read(struct kf_secret *text, enum kf_handover_kind kind, const char *credential,
                     int64_t now_ms, struct kf_handover *ret, struct cm_err *err)
{
    char *at = text->data;
    const char *end = text->data + text->len;
    int64_t created;
    *ret = (struct kf_handover){.kind = kind};
    const char *document = take_line(&at, end, "document");
    if (!document || strcmp(document, documents[kind]) != 0)
        return cm_fail(err, CM_EDENIED, "the envelope holds something else than was asked for");
    ret->credential = take_line(&at, end, "credential");
    const char *exportable = ret->credential ? take_line(&at, end, "exportable") : NULL;
    const char *when = exportable ? take_line(&at, end, "created") : NULL;
    ret->password = when ? take_line(&at, end, "password") : NULL;
    if (!ret->password || at >= end || *at != '\n' || cm_time_parse(when, &created) < 0)
        return malformed(err);
    ret->exportable = strcmp(exportable, "yes") == 0;
    if (!ret->exportable && strcmp(exportable, "no") != 0)
        return malformed(err);
    if (strcmp(ret->credential, credential) != 0)
        return cm_fail(err, CM_EDENIED, "this was handed over for the credential %.30s, not %.30s",
                       ret->credential, credential);
    if (created < now_ms - KF_HANDOVER_AGE_MS || created > now_ms + KF_HANDOVER_AGE_MS)
        return cm_fail(err, CM_EDENIED,
                       "this was handed over at %s: more than %lld minutes away; give the command "
                       "again",
                       when, KF_HANDOVER_AGE_MS / 60000);
    ret->data = at + 1;
    ret->len = (size_t)(end - at - 1);
    return 0;
}
