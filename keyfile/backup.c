/* The backup file.  See backup.h. */
#include "keyfile/backup.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/core/bytes.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "keyfile/ossl.h"
#include "keyfile/pkey.h"
#include "keyfile/seal.h"

#define MAGIC     "certmgr-backup 1\n"
#define MAGIC_LEN (sizeof(MAGIC) - 1)
#define KEY_SIZE  32
#define NONCE     12
#define TAG       16
#define LENGTH    4
#define LAST      0x80000000u /* in a frame's length: it is the last one */

/* What both directions share. */
struct stream {
    int fd;
    EVP_MD_CTX *digest; /* over every byte so far */
    EVP_CIPHER_CTX *cipher;
    uint8_t key[KEY_SIZE], bound[CM_SHA256_SIZE];
    uint64_t counter;
};

static void put_u32(uint8_t out[LENGTH], uint32_t value)
{
    for (int i = 0; i < LENGTH; i++)
        out[i] = (uint8_t)(value >> (8 * (LENGTH - 1 - i)));
}

static uint32_t get_u32(const uint8_t in[LENGTH])
{
    return (uint32_t)in[0] << 24 | (uint32_t)in[1] << 16 | (uint32_t)in[2] << 8 | in[3];
}

/* Counter, then a byte that only the last frame has: a stream that was cut has no such frame. */
static void make_nonce(const struct stream *s, bool last, uint8_t out[NONCE])
{
    memset(out, 0, NONCE);
    for (int i = 0; i < 8; i++)
        out[3 + i] = (uint8_t)(s->counter >> (8 * (7 - i)));
    out[NONCE - 1] = last;
}

static int write_raw(struct stream *s, const void *data, size_t len, struct cm_err *err)
{
    const char *at = data;
    if (!EVP_DigestUpdate(s->digest, data, len))
        return kf_ossl_fail(err, CM_ECRYPTO, "cannot make the backup's checksum");
    while (len > 0) {
        ssize_t n = write(s->fd, at, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == ENOSPC || errno == EDQUOT))
            return cm_fail(err, CM_EFULL, "no room for the backup: %s", cm_errno_text(errno));
        if (n <= 0)
            return cm_fail_errno(err, n < 0 ? errno : EIO, "cannot write the backup");
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

/* Exactly len bytes; CM_EMALF at the end of the file. */
static int read_raw(int fd, void *data, size_t len, struct cm_err *err)
{
    char *at = data;
    while (len > 0) {
        ssize_t n = read(fd, at, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return cm_fail_errno(err, errno, "cannot read the backup");
        if (n == 0)
            return cm_fail(err, CM_EMALF, "the backup is cut off");
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

static int stream_init(struct stream *s, int fd, struct cm_err *err)
{
    *s = (struct stream){.fd = fd, .digest = EVP_MD_CTX_new(), .cipher = EVP_CIPHER_CTX_new()};
    if (!s->digest || !s->cipher || !EVP_DigestInit_ex(s->digest, EVP_sha256(), NULL))
        return kf_ossl_fail(err, CM_ECRYPTO, "cannot begin a backup");
    return 0;
}

static void stream_fini(struct stream *s)
{
    EVP_MD_CTX_free(s->digest);
    EVP_CIPHER_CTX_free(s->cipher);
    cm_wipe(s->key, sizeof(s->key));
}

/* ---- the recovery key --------------------------------------------------------------------------
 */

static int make_recovery_recipient(const char *spki_b64, X509 **ret, struct cm_err *err)
{
    uint8_t spki[KF_P256_SPKI_SIZE];
    int rc = kf_p256_spki_b64(spki_b64, spki, err);
    return rc < 0 ? rc : kf_recipient(spki, sizeof(spki), ret, err);
}

int kf_recovery_open(EVP_PKEY *key, const uint8_t *der, size_t len, struct kf_secret *ret,
                     struct cm_err *err)
{
    KF_AUTO(x509) X509 *cert = NULL;
    int rc = kf_seal_cert("recovery", key, &cert, err);
    if (rc == 0)
        rc = kf_open(der, len, key, cert, ret, err);
    if (rc == CM_EDENIED) {
        cm_wrap(err, rc, "this is not the recovery key that the backup was sealed to");
        cm_err_hint(err, "It takes the key that was the fleet's when the backup was made. To try "
                         "another: certmgr backup check FILE --recovery-key KEYFILE");
    }
    return rc;
}

/* ---- writing -----------------------------------------------------------------------------------
 */

struct kf_backup_out {
    struct stream s;
    size_t filled;
    uint8_t plain[KF_BACKUP_FRAME], sealed[LENGTH + KF_BACKUP_FRAME + TAG];
};

static int write_header(struct kf_backup_out *out, const json_t *about, const char *recovery_b64,
                        struct cm_err *err)
{
    KF_AUTO(x509) X509 *recipient = NULL;
    uint8_t *der = NULL, length[LENGTH];
    size_t der_len = 0, len = 0;
    char hex[2 * KEY_SIZE + 1];
    int rc = make_recovery_recipient(recovery_b64, &recipient, err);
    if (rc < 0)
        return cm_wrap(err, rc, "the fleet's recovery key cannot be used");
    cm_random(out->s.key, sizeof(out->s.key));
    cm_hex(out->s.key, sizeof(out->s.key), hex);
    rc = kf_seal(hex, strlen(hex), &recipient, 1, &der, &der_len, err);
    cm_wipe(hex, sizeof(hex));
    if (rc < 0)
        return rc;
    CM_AUTO_JSON header = json_deep_copy(about);
    CM_AUTO_STR sealed = cm_b64(der, der_len);
    cm_free(der);
    cm_json_set_int(header, "version", KF_BACKUP_VERSION);
    cm_json_set_str(header, "recovery", recovery_b64);
    cm_json_set_str(header, "sealed_key", sealed);
    CM_AUTO_STR text = cm_json_dump(header, &len);
    if (len > KF_BACKUP_HEADER_MAX)
        return cm_fail(err, CM_ELIMIT, "the backup's header is too long");
    put_u32(length, (uint32_t)len);
    rc = write_raw(&out->s, MAGIC, MAGIC_LEN, err);
    if (rc == 0)
        rc = write_raw(&out->s, length, sizeof(length), err);
    if (rc == 0)
        rc = write_raw(&out->s, text, len, err);
    cm_sha256(text, len, out->s.bound);
    return rc;
}

int kf_backup_create(int fd, const char *recovery_b64, const json_t *about,
                     struct kf_backup_out **ret, struct cm_err *err)
{
    struct kf_backup_out *out = cm_calloc(1, sizeof(*out));
    *ret = NULL;
    int rc = stream_init(&out->s, fd, err);
    if (rc == 0)
        rc = write_header(out, about, recovery_b64, err);
    if (rc < 0) {
        kf_backup_out_free(out);
        return rc;
    }
    *ret = out;
    return 0;
}

static int write_frame(struct kf_backup_out *out, bool last, struct cm_err *err)
{
    uint8_t nonce[NONCE];
    int len = 0, more = 0, aad = 0;
    uint8_t *sealed = out->sealed + LENGTH;
    put_u32(out->sealed, (uint32_t)out->filled | (last ? LAST : 0));
    make_nonce(&out->s, last, nonce);
    EVP_CIPHER_CTX *c = out->s.cipher;
    if (!EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, out->s.key, nonce) ||
        !EVP_EncryptUpdate(c, NULL, &aad, out->s.bound, sizeof(out->s.bound)) ||
        !EVP_EncryptUpdate(c, sealed, &len, out->plain, (int)out->filled) ||
        !EVP_EncryptFinal_ex(c, sealed + len, &more) ||
        !EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, TAG, sealed + len + more))
        return kf_ossl_fail(err, CM_ECRYPTO, "cannot seal the backup");
    out->s.counter++;
    out->filled = 0;
    return write_raw(&out->s, out->sealed, LENGTH + (size_t)(len + more) + TAG, err);
}

int kf_backup_write(struct kf_backup_out *out, const void *data, size_t len, struct cm_err *err)
{
    const uint8_t *at = data;
    int rc = 0;
    while (rc == 0 && len > 0) {
        /* A full frame waits for more: only the end knows which one is the last. */
        if (out->filled == sizeof(out->plain))
            rc = write_frame(out, false, err);
        size_t room = sizeof(out->plain) - out->filled, part = len < room ? len : room;
        if (rc == 0)
            memcpy(out->plain + out->filled, at, part);
        out->filled += part;
        at += part;
        len -= part;
    }
    return rc;
}

int kf_backup_end(struct kf_backup_out *out, struct cm_err *err)
{
    uint8_t sum[CM_SHA256_SIZE];
    unsigned len = 0;
    int rc = write_frame(out, true, err);
    if (rc < 0)
        return rc;
    if (!EVP_DigestFinal_ex(out->s.digest, sum, &len) ||
        !EVP_DigestInit_ex(out->s.digest, EVP_sha256(), NULL))
        return kf_ossl_fail(err, CM_ECRYPTO, "cannot make the backup's checksum");
    return write_raw(&out->s, sum, sizeof(sum), err);
}

void kf_backup_out_free(struct kf_backup_out *out)
{
    if (!out)
        return;
    stream_fini(&out->s);
    cm_free_secret(out, sizeof(*out));
}

/* ---- reading -----------------------------------------------------------------------------------
 */

struct kf_backup_in {
    struct stream s;
    json_t *about;
    size_t filled, used;
    bool last;
    uint8_t plain[KF_BACKUP_FRAME], sealed[KF_BACKUP_FRAME + TAG];
};

static int read_counted(struct kf_backup_in *in, void *data, size_t len, struct cm_err *err)
{
    int rc = read_raw(in->s.fd, data, len, err);
    if (rc == 0 && !EVP_DigestUpdate(in->s.digest, data, len))
        rc = kf_ossl_fail(err, CM_ECRYPTO, "cannot check the backup's checksum");
    return rc;
}

static int read_header(struct kf_backup_in *in, struct cm_err *err)
{
    char magic[MAGIC_LEN];
    uint8_t length[LENGTH];
    int rc = read_counted(in, magic, sizeof(magic), err);
    if (rc < 0 || memcmp(magic, MAGIC, strlen("certmgr-backup ")) != 0)
        return cm_fail(err, CM_EMALF, "this file is no backup of certmgr");
    if (memcmp(magic, MAGIC, MAGIC_LEN) != 0)
        return cm_fail(err, CM_EINVAL, "this backup was made by a newer version of certmgr");
    rc = read_counted(in, length, sizeof(length), err);
    uint32_t len = rc == 0 ? get_u32(length) : 0;
    if (rc == 0 && (len == 0 || len > KF_BACKUP_HEADER_MAX))
        rc = cm_fail(err, CM_EMALF, "the backup's header is damaged");
    if (rc < 0)
        return rc;
    CM_AUTO_STR text = cm_malloc(len + 1);
    rc = read_counted(in, text, len, err);
    if (rc < 0)
        return rc;
    text[len] = '\0';
    cm_sha256(text, len, in->s.bound);
    rc = cm_json_parse(text, len, &in->about, err);
    return rc < 0 ? cm_wrap(err, rc, "the backup's header is damaged") : 0;
}

static int open_key(struct kf_backup_in *in, EVP_PKEY *key, struct cm_err *err)
{
    const char *sealed = cm_json_str(in->about, "sealed_key");
    KF_AUTO_SECRET hex = {0};
    uint8_t *der = NULL;
    size_t len = 0;
    if (!sealed || cm_b64_decode(sealed, strlen(sealed), &der, &len) < 0)
        return cm_fail(err, CM_EMALF, "the backup's header is damaged");
    int rc = kf_recovery_open(key, der, len, &hex, err);
    cm_free(der);
    if (rc == 0 && (hex.len != 2 * KEY_SIZE || cm_hex_decode(hex.data, in->s.key, KEY_SIZE) < 0))
        rc = cm_fail(err, CM_EMALF, "the backup's key is damaged");
    return rc;
}

int kf_backup_open(int fd, EVP_PKEY *key, struct kf_backup_in **ret, struct cm_err *err)
{
    struct kf_backup_in *in = cm_calloc(1, sizeof(*in));
    *ret = NULL;
    int rc = stream_init(&in->s, fd, err);
    if (rc == 0)
        rc = read_header(in, err);
    if (rc == 0 && key)
        rc = open_key(in, key, err);
    if (rc < 0) {
        kf_backup_in_free(in);
        return rc;
    }
    *ret = in;
    return 0;
}

const json_t *kf_backup_about(const struct kf_backup_in *in)
{
    return in->about;
}

/* Length and sealed bytes of the next frame. */
static int next_frame(struct kf_backup_in *in, size_t *ret_len, struct cm_err *err)
{
    uint8_t length[LENGTH];
    int rc = read_counted(in, length, sizeof(length), err);
    if (rc < 0)
        return rc;
    uint32_t value = get_u32(length);
    in->last = (value & LAST) != 0;
    *ret_len = value & ~LAST;
    if (*ret_len > KF_BACKUP_FRAME)
        return cm_fail(err, CM_EMALF, "the backup is damaged");
    return read_counted(in, in->sealed, *ret_len + TAG, err);
}

static int read_frame(struct kf_backup_in *in, struct cm_err *err)
{
    uint8_t nonce[NONCE];
    size_t len = 0;
    int got = 0, more = 0, aad = 0;
    int rc = next_frame(in, &len, err);
    if (rc < 0)
        return rc;
    make_nonce(&in->s, in->last, nonce);
    EVP_CIPHER_CTX *c = in->s.cipher;
    if (!EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, in->s.key, nonce) ||
        !EVP_DecryptUpdate(c, NULL, &aad, in->s.bound, sizeof(in->s.bound)) ||
        !EVP_DecryptUpdate(c, in->plain, &got, in->sealed, (int)len) ||
        !EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, TAG, in->sealed + len) ||
        !EVP_DecryptFinal_ex(c, in->plain + got, &more))
        return kf_ossl_fail(err, CM_EMALF, "the backup is damaged or was changed");
    in->s.counter++;
    in->filled = (size_t)(got + more);
    in->used = 0;
    return 0;
}

int kf_backup_read(struct kf_backup_in *in, void *data, size_t len, struct cm_err *err)
{
    uint8_t *at = data;
    int rc = 0;
    while (rc == 0 && len > 0) {
        if (in->used == in->filled) {
            rc =
                in->last ? cm_fail(err, CM_EMALF, "the backup is incomplete") : read_frame(in, err);
            continue;
        }
        size_t room = in->filled - in->used, part = len < room ? len : room;
        memcpy(at, in->plain + in->used, part);
        in->used += part;
        at += part;
        len -= part;
    }
    return rc;
}

static int check_sum(struct kf_backup_in *in, struct cm_err *err)
{
    uint8_t want[CM_SHA256_SIZE], found[CM_SHA256_SIZE], more;
    unsigned len = 0;
    if (!EVP_DigestFinal_ex(in->s.digest, want, &len))
        return kf_ossl_fail(err, CM_ECRYPTO, "cannot check the backup's checksum");
    int rc = read_raw(in->s.fd, found, sizeof(found), err);
    if (rc == 0 && memcmp(want, found, sizeof(want)) != 0)
        rc = cm_fail(err, CM_EMALF, "the backup is damaged: its checksum does not fit");
    if (rc == 0 && read(in->s.fd, &more, 1) != 0)
        rc = cm_fail(err, CM_EMALF, "something stands behind the end of the backup");
    return rc;
}

int kf_backup_done(struct kf_backup_in *in, struct cm_err *err)
{
    if (!in->last && in->used == in->filled) {
        int rc = read_frame(in, err); /* an empty last frame is still to be seen */
        if (rc < 0)
            return rc;
    }
    if (!in->last || in->used != in->filled)
        return cm_fail(err, CM_EMALF, "the backup holds more than it should");
    return check_sum(in, err);
}

int kf_backup_verify(int fd, json_t **ret_header, struct cm_err *err)
{
    struct kf_backup_in *in = NULL;
    size_t len = 0;
    *ret_header = NULL;
    int rc = kf_backup_open(fd, NULL, &in, err);
    while (rc == 0 && !in->last)
        rc = next_frame(in, &len, err);
    if (rc == 0)
        rc = check_sum(in, err);
    if (rc == 0)
        *ret_header = json_incref(in->about);
    kf_backup_in_free(in);
    return rc;
}

void kf_backup_in_free(struct kf_backup_in *in)
{
    if (!in)
        return;
    stream_fini(&in->s);
    json_decref(in->about);
    cm_free_secret(in, sizeof(*in));
}
