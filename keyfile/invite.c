/* Open invitations of a manager. */
#include "keyfile/invite.h"

#include <string.h>

#include "base/core/bytes.h"
#include "base/core/file.h"
#include "base/core/json.h"
#include "base/core/mem.h"

#define FILE_MAX (64u << 10)

/* All invitations that have not expired: {name: {secret, expires_at}}. */
static int load(const char *dir, int64_t now_ms, json_t **ret, struct cm_err *err)
{
    CM_AUTO_STR path = cm_asprintf("%s/invitations.json", dir);
    char *text;
    size_t len;
    *ret = NULL;
    if (!cm_path_exists(path)) {
        *ret = json_object();
        return 0;
    }
    int rc = cm_file_read(path, FILE_MAX, &text, &len, err);
    if (rc < 0)
        return rc;
    rc = cm_json_parse(text, len, ret, err);
    cm_free_secret(text, len);
    if (rc == 0 && !json_is_object(*ret))
        rc = cm_fail(err, CM_EMALF, "%s is not a JSON object; remove it", path);
    if (rc < 0) {
        cm_json_free(ret);
        return rc;
    }
    const char *name;
    json_t *one;
    void *next;
    json_object_foreach_safe(*ret, next, name, one)
    {
        if (cm_json_time(one, "expires_at", 0) <= now_ms)
            json_object_del(*ret, name);
    }
    return 0;
}

static int save(const char *dir, const json_t *all, struct cm_err *err)
{
    CM_AUTO_STR path = cm_asprintf("%s/invitations.json", dir);
    size_t len;
    char *text = cm_json_dump(all, &len);
    int rc = cm_file_write(path, text, len, 0600, err);
    cm_free_secret(text, len);
    return rc;
}

int kf_invite_make(const char *dir, const char *name, const struct kf_invite_role *role,
                   int64_t ttl_s, int64_t now_ms, char **ret_secret, int64_t *ret_expires_ms,
                   struct cm_err *err)
{
    CM_AUTO_JSON all = NULL;
    uint8_t secret[KF_INVITE_SECRET_LEN];
    *ret_secret = NULL;
    if (ttl_s < 1 || ttl_s > KF_INVITE_TTL_MAX_S)
        return cm_fail(err, CM_EINVAL, "an invitation is valid for 1 to %d seconds",
                       KF_INVITE_TTL_MAX_S);
    int rc = load(dir, now_ms, &all, err);
    if (rc < 0)
        return rc;
    if (!json_object_get(all, name) && json_object_size(all) >= KF_INVITES_MAX)
        return cm_fail(err, CM_ELIMIT, "%d invitations are open; wait until one expires",
                       KF_INVITES_MAX);
    cm_random(secret, sizeof(secret));
    char *text = cm_b64url(secret, sizeof(secret));
    cm_wipe(secret, sizeof(secret));
    json_t *one = json_object();
    cm_json_set_str(one, "secret", text);
    cm_json_set_time(one, "expires_at", now_ms + ttl_s * 1000);
    if (role->standby)
        cm_json_set_bool(one, "standby", true);
    cm_json_set_str(one, "url", role->url);
    cm_json_set_str(one, "ui_url", role->ui_url);
    cm_json_set(all, name, one);
    rc = save(dir, all, err);
    if (rc < 0) {
        cm_free_secret(text, strlen(text));
        return rc;
    }
    *ret_secret = text;
    *ret_expires_ms = now_ms + ttl_s * 1000;
    return 0;
}

static bool proof_fits(const char *secret64, const struct kf_join *join)
{
    uint8_t *secret = NULL, *proof = NULL;
    size_t secret_len = 0, proof_len = 0;
    uint8_t mac[CM_SHA256_SIZE];
    bool fits = false;
    if (cm_b64url_decode(secret64, strlen(secret64), &secret, &secret_len) == 0 &&
        secret_len == KF_INVITE_SECRET_LEN && strlen(join->proof) <= 2 * sizeof(mac) &&
        cm_b64url_decode(join->proof, strlen(join->proof), &proof, &proof_len) == 0 &&
        proof_len == sizeof(mac)) {
        CM_AUTO_STR text = cm_asprintf("certmgr-join-v1\n%s\n%s\n%s\n%s", join->name, join->seal,
                                       join->sign, join->tls);
        cm_hmac_sha256(secret, secret_len, text, strlen(text), mac);
        fits = cm_memcmp_ct(mac, proof, sizeof(mac)) == 0;
    }
    cm_free_secret(secret, secret_len);
    cm_free(proof);
    return fits;
}

int kf_invite_check(const char *dir, const struct kf_join *join, int64_t now_ms, json_t **ret,
                    struct cm_err *err)
{
    CM_AUTO_JSON all = NULL;
    int rc = load(dir, now_ms, &all, err);
    if (rc < 0)
        return rc;
    const char *secret = cm_json_str(json_object_get(all, join->name), "secret");
    if (!secret) {
        cm_fail(err, CM_EDENIED, "no open invitation for server %s (expired or used)", join->name);
        cm_err_hint(err, "Make a new one on the manager: certmgr server add %s", join->name);
        return CM_EDENIED;
    }
    if (!proof_fits(secret, join))
        return cm_fail(err, CM_EDENIED, "server %s does not prove the secret of its invitation",
                       join->name);
    *ret = json_deep_copy(json_object_get(all, join->name));
    json_object_del(*ret, "secret");
    return 0;
}

int kf_invite_drop(const char *dir, const char *name, int64_t now_ms, struct cm_err *err)
{
    CM_AUTO_JSON all = NULL;
    int rc = load(dir, now_ms, &all, err);
    if (rc < 0)
        return rc;
    return json_object_del(all, name) == 0 ? save(dir, all, err) : 0;
}
