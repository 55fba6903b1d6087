/* Users and set-up links.  See user.h. */
#include "web-ui/user.h"

#include <string.h>

#include "base/core/bytes.h"
#include "base/core/clock.h"
#include "base/core/mem.h"
#include "web-ui/session.h"
#include "web-ui/web.h"

#define TOKEN_BYTES    32
#define TOKEN_TEXT_LEN 43

bool web_user_name_ok(const char *name)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-@";
    size_t len = strlen(name);

    return len > 0 && len < WEB_USER_MAX && strspn(name, allowed) == len;
}

char *web_user_hash(struct cs_store *store, const char *name)
{
    CM_AUTO_JSON user = web_user_name_ok(name) ? cs_kv_get(store, "user", name) : NULL;
    const char *hash = cm_json_str(user, "argon2");

    return hash ? cm_strdup(hash) : NULL;
}

int web_user_put(struct cs_store *store, const char *name, const char *encoded, struct cm_err *err)
{
    CM_AUTO_JSON user = cs_kv_get(store, "user", name);

    if (!user) {
        user = json_object();
        cm_json_set_str(user, "role", "administrator");
        cm_json_set_time(user, "created_at", cm_now_ms());
    }
    cm_json_set_str(user, "argon2", encoded);
    return cs_kv_put(store, "user", name, user, err);
}

/* Table key of a token; false when it has not the shape of one. */
static bool token_key(const char *token, char key[CM_SHA256_HEX])
{
    size_t len = token ? strlen(token) : 0;

    if (len != TOKEN_TEXT_LEN)
        return false;
    cm_sha256_hex(token, len, key);
    return true;
}

bool web_setup_ok(struct cs_store *store, const char *token)
{
    char key[CM_SHA256_HEX];
    CM_AUTO_JSON record = token_key(token, key) ? cs_kv_get(store, "setup", key) : NULL;

    return record && cm_json_time(record, "expires_at", 0) > cm_now_ms();
}

int web_setup_use(struct cs_store *store, const char *token, struct cm_err *err)
{
    char key[CM_SHA256_HEX];

    if (!web_setup_ok(store, token) || !token_key(token, key))
        return cm_fail(err, CM_ENOENT, "this set-up link was used already or has expired");
    return cs_kv_del(store, "setup", key, err);
}

struct links {
    json_t *expired; /* keys */
    size_t live;
};

static int count_link(void *arg, const char *key, const json_t *value)
{
    struct links *links = arg;

    if (cm_json_time(value, "expires_at", 0) > cm_now_ms())
        links->live++;
    else
        json_array_append_new(links->expired, json_string(key));
    return 0;
}

/* Live links; expired ones are removed. */
static size_t tidy_links(struct cs_store *store)
{
    struct links links = {.expired = json_array()};
    size_t i;
    json_t *key;

    cs_kv_each(store, "setup", "", count_link, &links);
    json_array_foreach(links.expired, i, key)(void)
        cs_kv_del(store, "setup", json_string_value(key), NULL);
    json_decref(links.expired);
    return links.live;
}

int web_setup_token(struct cs_store *store, char **ret, struct cm_err *err)
{
    uint8_t random[TOKEN_BYTES];
    char key[CM_SHA256_HEX];
    CM_AUTO_JSON record = json_object();
    char *token;
    int rc;

    *ret = NULL;
    if (tidy_links(store) >= SETUP_LINKS_MAX)
        return cm_fail(err, CM_ELIMIT, "%d set-up links are open; wait until one expires",
                       SETUP_LINKS_MAX);
    cm_random(random, sizeof(random));
    token = cm_b64url(random, sizeof(random));
    cm_wipe(random, sizeof(random));
    CM_BUG_ON(!token_key(token, key));
    cm_json_set_time(record, "expires_at", cm_now_ms() + SETUP_TOKEN_S * INT64_C(1000));
    rc = cs_kv_put(store, "setup", key, record, err);
    if (rc < 0) {
        cm_free_secret(token, strlen(token));
        return rc;
    }
    *ret = token;
    return 0;
}
