/* The agent's own keys on disk. */
#include "keyfile/identity.h"

#include <errno.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/core/file.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "keyfile/ossl.h"
#include "keyfile/pkey.h"
#include "keyfile/seal.h"

#define KEY_FILE_MAX  4096
#define JSON_FILE_MAX 16384

static char *path_of(const char *dir, const char *file)
{
    return cm_asprintf("%s/%s", dir, file);
}

/* A private key that others could read is no longer private: refused instead of repaired, so that
 * somebody looks. */
static int check_private(const char *path, struct cm_err *err)
{
    struct stat st;
    if (lstat(path, &st) < 0)
        return cm_fail_errno(err, errno, "cannot examine %s", path);
    if (!S_ISREG(st.st_mode))
        return cm_fail(err, CM_EDENIED, "%s is not a regular file", path);
    if (st.st_uid != geteuid())
        return cm_fail(err, CM_EDENIED, "%s belongs to user %u, not to the key agent's user %u",
                       path, (unsigned)st.st_uid, (unsigned)geteuid());
    if (st.st_mode & 077) {
        cm_fail(err, CM_EDENIED, "%s has mode %04o; a private key has mode 0600", path,
                (unsigned)st.st_mode & 07777);
        cm_err_hint(err, "Find out who could read it; then chmod 0600, or make a new identity.");
        return CM_EDENIED;
    }
    return 0;
}

/* Who can write into the directory can put other keys there. */
static int check_directory(const char *dir, struct cm_err *err)
{
    struct stat st;
    if (stat(dir, &st) < 0)
        return cm_fail_errno(err, errno, "cannot examine directory %s", dir);
    if (st.st_uid != geteuid() || (st.st_mode & 022))
        return cm_fail(err, CM_EDENIED,
                       "directory %s does not belong to the key agent alone (owner %u, mode %04o)",
                       dir, (unsigned)st.st_uid, (unsigned)st.st_mode & 07777);
    return 0;
}

static int load_key(const char *dir, const char *file, EVP_PKEY **ret, struct cm_err *err)
{
    CM_AUTO_STR path = path_of(dir, file);
    int rc = check_private(path, err);
    if (rc < 0)
        return rc;
    char *pem;
    size_t len;
    rc = cm_file_read(path, KEY_FILE_MAX, &pem, &len, err);
    if (rc < 0)
        return rc;
    rc = kf_pkey_from_pem(pem, len, ret, err);
    cm_free_secret(pem, len);
    if (rc < 0)
        return cm_wrap(err, rc, "cannot load %s", path);
    char group[32] = "";
    if (!EVP_PKEY_get_group_name(*ret, group, sizeof(group), NULL) ||
        strcmp(group, "prime256v1") != 0)
        return kf_ossl_fail(err, CM_EMALF, "%s holds no P-256 key", path);
    return 0;
}

/* What follows from the two keys. */
static int complete(struct kf_identity *id, struct cm_err *err)
{
    uint8_t *spki;
    size_t len;
    int rc = kf_spki(id->sign, &spki, &len, err);
    if (rc < 0)
        return rc;
    kf_key_id(spki, len, id->key_id);
    cm_free(spki);
    rc = kf_spki_b64(id->sign, &id->sign_b64, err);
    if (rc == 0)
        rc = kf_spki_b64(id->seal, &id->seal_b64, err);
    if (rc == 0)
        rc = kf_seal_cert(id->name, id->seal, &id->seal_cert, err);
    return rc;
}

static int write_key(const char *dir, const char *file, const EVP_PKEY *key, struct cm_err *err)
{
    KF_AUTO_SECRET pem;
    int rc = kf_pkey_to_pem(key, &pem, err);
    if (rc < 0)
        return rc;
    CM_AUTO_STR path = path_of(dir, file);
    return cm_file_write(path, pem.data, pem.len, 0600, err);
}

static int write_cert(const char *dir, X509 *cert, struct cm_err *err)
{
    KF_AUTO(bio) BIO *bio = BIO_new(BIO_s_mem());
    if (!bio || !PEM_write_bio_X509(bio, cert))
        return kf_ossl_fail(err, CM_ECRYPTO, "cannot write the seal certificate");
    char *data;
    long len = BIO_get_mem_data(bio, &data);
    CM_AUTO_STR path = path_of(dir, "seal.crt");
    return cm_file_write(path, data, (size_t)len, 0644, err);
}

static int write_head(const char *dir, const struct kf_identity *id, struct cm_err *err)
{
    CM_AUTO_JSON head = json_object();
    cm_json_set_str(head, "name", id->name);
    cm_json_set_str(head, "seal", id->seal_b64);
    cm_json_set_str(head, "sign", id->sign_b64);
    size_t len;
    CM_AUTO_STR text = cm_json_dump(head, &len);
    CM_AUTO_STR path = path_of(dir, "identity.json");
    return cm_file_write(path, text, len, 0600, err);
}

static int create(const char *dir, struct kf_identity *id, struct cm_err *err)
{
    int rc = cm_dir_make(dir, 0700, err);
    if (rc == 0)
        rc = kf_pkey_generate(KF_KEY_P256, &id->seal, err);
    if (rc == 0)
        rc = kf_pkey_generate(KF_KEY_P256, &id->sign, err);
    if (rc == 0)
        rc = complete(id, err);
    if (rc == 0)
        rc = write_key(dir, "seal.key", id->seal, err);
    if (rc == 0)
        rc = write_key(dir, "sign.key", id->sign, err);
    if (rc == 0)
        rc = write_cert(dir, id->seal_cert, err);
    if (rc == 0)
        rc = write_head(dir, id, err);
    return rc;
}

int kf_identity_create(const char *dir, const char *name, struct kf_identity *ret,
                       struct cm_err *err)
{
    *ret = (struct kf_identity){0};
    if (!kf_name_ok(name))
        return cm_fail(err, CM_EINVAL, "server name is 1 to %d characters of a-z 0-9 . -",
                       KF_NAME_MAX - 1);
    CM_AUTO_STR head = path_of(dir, "identity.json");
    if (cm_path_exists(head))
        return cm_fail(err, CM_ECONFLICT, "an identity exists in %s", dir);
    cm_strcpy(ret->name, sizeof(ret->name), name);
    int rc = create(dir, ret, err);
    if (rc < 0) {
        kf_identity_fini(ret);
        return cm_wrap(err, rc, "cannot make the identity of server %s", name);
    }
    return 0;
}

/* The head names the keys: a key file swapped for another one is noticed. */
static int check_head(const json_t *head, struct kf_identity *id, struct cm_err *err)
{
    int rc = complete(id, err);
    if (rc < 0)
        return rc;
    if (strcmp(cm_json_str_or(head, "seal", ""), id->seal_b64) != 0 ||
        strcmp(cm_json_str_or(head, "sign", ""), id->sign_b64) != 0)
        return cm_fail(err, CM_EDENIED, "seal.key or sign.key is not the key of identity.json");
    return 0;
}

int kf_identity_load(const char *dir, struct kf_identity *ret, struct cm_err *err)
{
    *ret = (struct kf_identity){0};
    CM_AUTO_STR path = path_of(dir, "identity.json");
    char *text;
    size_t len;
    int rc = cm_file_read(path, JSON_FILE_MAX, &text, &len, err);
    if (rc < 0)
        return rc;
    CM_AUTO_JSON head = NULL;
    rc = cm_json_parse(text, len, &head, err);
    cm_free(text);
    const char *name = cm_json_str(head, "name");
    if (rc == 0 && (!name || !kf_name_ok(name)))
        rc = cm_fail(err, CM_EMALF, "%s names no server", path);
    if (rc == 0)
        cm_strcpy(ret->name, sizeof(ret->name), name);
    if (rc == 0)
        rc = check_directory(dir, err);
    if (rc == 0)
        rc = load_key(dir, "seal.key", &ret->seal, err);
    if (rc == 0)
        rc = load_key(dir, "sign.key", &ret->sign, err);
    if (rc == 0)
        rc = check_head(head, ret, err);
    if (rc < 0) {
        kf_identity_fini(ret);
        /* identity.json exists: "not found" would read as "no identity yet". */
        cm_wrap(err, rc, "cannot load the identity in %s", dir);
        if (rc == CM_ENOENT && err)
            err->code = CM_EIO;
        return rc == CM_ENOENT ? CM_EIO : rc;
    }
    return 0;
}

static void free_identity(struct kf_identity **identity)
{
    if (*identity)
        kf_identity_fini(*identity);
    cm_free(*identity);
    *identity = NULL;
}

void kf_identity_fini(struct kf_identity *identity)
{
    EVP_PKEY_free(identity->seal);
    EVP_PKEY_free(identity->sign);
    X509_free(identity->seal_cert);
    cm_free(identity->seal_b64);
    cm_free(identity->sign_b64);
    free_identity(&identity->pending);
    free_identity(&identity->former);
    *identity = (struct kf_identity){0};
}

static bool names(const struct kf_envelope *envelope, const struct kf_identity *identity)
{
    const ASN1_OCTET_STRING *ski = X509_get0_subject_key_id(identity->seal_cert);
    return ski && ASN1_STRING_length(ski) == KF_SKI_SIZE &&
           kf_envelope_lists(envelope, ASN1_STRING_get0_data(ski));
}

int kf_identity_open(const struct kf_identity *identity, const uint8_t *der, size_t len,
                     struct kf_secret *ret, struct cm_err *err)
{
    struct kf_envelope envelope;
    const struct kf_identity *key = identity, *former = identity->former;
    *ret = (struct kf_secret){0};
    int rc = kf_envelope_check(der, len, &envelope, err);
    if (rc < 0)
        return rc;
    if (former && !names(&envelope, identity) && names(&envelope, former))
        key = former;
    return kf_open(der, len, key->seal, key->seal_cert, ret, err);
}
