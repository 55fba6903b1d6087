/* The new TLS key lies beside the present one until the trust root lists it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/core/file.h"
#include "base/core/json.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "base/core/step.h"
#include "base/net/tls.h"
#include "base/net/tls_key.h"
#include "certmgr/fleet/rotate_internal.h"
#include "keyfile/ossl.h"
#include "keyfile/pkey.h"
#include "keyfile/trust_rotate.h"

#define PATH_SIZE    (CONFIG_PATH_MAX + 32)
#define KEY_FILE_MAX 8192

struct places {
    char cert[PATH_SIZE], key[PATH_SIZE];
    char next_cert[PATH_SIZE], next_key[PATH_SIZE];
    char dir[PATH_SIZE];
};

static void find_places(const struct config *config, struct places *ret)
{
    config_tls_files(config, ret->cert, ret->key, PATH_SIZE);
    snprintf(ret->next_cert, PATH_SIZE, "%s/tls/next-cert.pem", config->state_dir);
    snprintf(ret->next_key, PATH_SIZE, "%s/tls/next-key.pem", config->state_dir);
    snprintf(ret->dir, PATH_SIZE, "%s/tls", config->state_dir);
}

bool rotate_tls_waits(const struct config *config)
{
    struct places at;
    find_places(config, &at);
    return cm_path_exists(at.next_cert);
}

/* The certificate is written after its key: where it is, both are. */
int rotate_make_tls(const struct config *config, char **ret_tls, struct cm_err *err)
{
    struct places at;
    find_places(config, &at);
    int rc = 0;
    if (!cm_path_exists(at.next_cert) || !cm_path_exists(at.next_key))
        rc = tls_identity_make(config->name, at.next_cert, at.next_key, err);
    return rc == 0 ? tls_public_key_of_file(at.next_cert, ret_tls, err) : rc;
}

int rotate_prove_tls(const struct config *config, const json_t *keys, char **ret,
                     struct cm_err *err)
{
    struct places at;
    KF_AUTO(pkey) EVP_PKEY *key = NULL;
    char *pem = NULL;
    size_t len = 0;
    struct kf_new_keys new_keys = {.name = config->name,
                                   .seal = cm_json_str_or(keys, "seal", ""),
                                   .sign = cm_json_str_or(keys, "sign", ""),
                                   .tls = cm_json_str_or(keys, "tls", "")};
    find_places(config, &at);
    int rc = cm_file_read(at.next_key, KEY_FILE_MAX, &pem, &len, err);
    if (rc < 0)
        return rc;
    rc = kf_pkey_from_pem(pem, len, &key, err);
    cm_free_secret(pem, len);
    return rc < 0 ? rc : kf_rotation_prove(key, &new_keys, ret, err);
}

static int move(const char *from, const char *to, struct cm_err *err)
{
    if (rename(from, to) == 0 || errno == ENOENT) /* done in an earlier life */
        return 0;
    return cm_fail_errno(err, errno, "cannot rename %s to %s", from, to);
}

/* Killed between the two, the certificate that is left shows that the key was moved. */
static int exchange(const struct places *at, struct cm_err *err)
{
    int rc = move(at->next_key, at->key, err);
    if (rc == 0)
        rc = cm_dir_sync(at->dir, err);
    cm_step("rotate.tls_half");
    if (rc == 0)
        rc = move(at->next_cert, at->cert, err);
    return rc == 0 ? cm_dir_sync(at->dir, err) : rc;
}

int rotate_take_tls(const struct config *config, const struct kf_trust *trust, struct cm_err *err)
{
    struct places at;
    char spki[KF_SPKI_HEX];
    const struct kf_server *self = kf_trust_server(trust, config->name);
    find_places(config, &at);
    if (self == NULL || !cm_path_exists(at.next_cert))
        return 0;
    int rc = tls_spki_of_file(at.next_cert, spki, err);
    if (rc < 0 || strcmp(spki, self->tls_spki) != 0)
        return rc;
    rc = exchange(&at, err);
    if (rc == 0)
        cm_log(CM_LOG_INFO, "fleet", NULL, "the new TLS key of server %s is in use", config->name);
    return rc;
}

bool rotate_is_copy(const struct config *config, const struct kf_trust *trust)
{
    struct places at;
    char spki[KF_SPKI_HEX];
    find_places(config, &at);
    return tls_spki_of_file(at.cert, spki, NULL) == 0 &&
           kf_trust_replaced_tls(trust, spki) == kf_trust_server(trust, config->name);
}

int rotate_drop_tls(const struct config *config, struct cm_err *err)
{
    struct places at;
    find_places(config, &at);
    const char *const paths[] = {at.next_cert, at.next_key};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        if (unlink(paths[i]) < 0 && errno != ENOENT)
            return cm_fail_errno(err, errno, "cannot remove %s", paths[i]);
    return 0;
}
