/* The recovery key: made once, kept offline, read from a file that nobody else can read. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/core/file.h"
#include "base/core/mem.h"
#include "keyfile/backup.h"
#include "keyfile/ossl.h"
#include "keyfile/pkey.h"

#define KEY_FILE_MAX 16384

void kf_recovery_free(EVP_PKEY *key)
{
    EVP_PKEY_free(key);
}

int kf_recovery_public(const EVP_PKEY *key, char **ret_spki_b64, struct cm_err *err)
{
    return kf_spki_b64(key, ret_spki_b64, err);
}

int kf_recovery_make(struct kf_secret *ret_pem, char **ret_spki_b64, struct cm_err *err)
{
    KF_AUTO(pkey) EVP_PKEY *key = NULL;
    *ret_spki_b64 = NULL;
    *ret_pem = (struct kf_secret){0};
    int rc = kf_pkey_generate(KF_KEY_P256, &key, err);
    if (rc == 0)
        rc = kf_spki_b64(key, ret_spki_b64, err);
    if (rc == 0)
        rc = kf_pkey_to_pem(key, ret_pem, err);
    return rc < 0 ? cm_wrap(err, rc, "cannot make a recovery key") : 0;
}

/* Who could read it could open every backup: refused instead of repaired, so that somebody looks.
 */
static int check_mode(const char *path, struct cm_err *err)
{
    struct stat st;
    if (lstat(path, &st) < 0)
        return cm_fail_errno(err, errno, "cannot examine %s", path);
    if (!S_ISREG(st.st_mode))
        return cm_fail(err, CM_EDENIED, "%s is not a regular file", path);
    if (st.st_uid != geteuid() || (st.st_mode & 077) != 0) {
        cm_fail(err, CM_EDENIED, "%s can be read by others (owner %u, mode %04o)", path,
                (unsigned)st.st_uid, (unsigned)st.st_mode & 07777);
        cm_err_hint(err, "The recovery key opens every backup: chmod 0600, and ask who read it.");
        return CM_EDENIED;
    }
    return 0;
}

int kf_recovery_load(const char *path, EVP_PKEY **ret, struct cm_err *err)
{
    char *pem = NULL;
    size_t len = 0;
    uint8_t point[KF_P256_POINT_SIZE];
    *ret = NULL;
    int rc = check_mode(path, err);
    if (rc == 0)
        rc = cm_file_read(path, KEY_FILE_MAX, &pem, &len, err);
    if (rc < 0)
        return rc;
    rc = kf_pkey_from_pem(pem, len, ret, err);
    cm_free_secret(pem, len);
    if (rc < 0)
        return cm_wrap(err, rc, "%s holds no recovery key", path);
    if (!kf_p256_point(*ret, point)) {
        EVP_PKEY_free(*ret);
        *ret = NULL;
        return cm_fail(err, CM_EMALF, "%s holds no P-256 key", path);
    }
    return 0;
}
