/* Parsing and age of a CA's directory. */
#include "certmgr/acme/directory.h"

#include <string.h>

#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "certmgr/acme/text.h"

#define META_ITEMS_MAX 100 /* profiles, CAA identities; more are not taken */

static int take_url(const json_t *obj, const char *key, bool lab_http, struct cm_err *err)
{
    if (acme_url_check(cm_json_str(obj, key), lab_http, err) < 0)
        return cm_wrap(err, CM_EMALF, "The directory's member %s cannot be used", key);
    return 0;
}

/* A URL that may be absent; one that must not be used counts as absent. */
static char *optional_url(const json_t *obj, const char *key, bool lab_http)
{
    const char *url = cm_json_str(obj, key);
    return acme_url_check(url, lab_http, NULL) == 0 ? cm_strdup(url) : NULL;
}

static void take_meta(const json_t *meta, struct acme_directory *ret)
{
    const char *terms = cm_json_str(meta, "termsOfService");
    const char *website = cm_json_str(meta, "website");
    const json_t *profiles = cm_json_obj(meta, "profiles");
    const json_t *identities = cm_json_arr(meta, "caaIdentities");
    ret->terms = terms && terms[0] ? cm_strndup(terms, ACME_URL_MAX - 1) : NULL;
    ret->website = website && website[0] ? cm_strndup(website, ACME_URL_MAX - 1) : NULL;
    ret->eab_required = cm_json_bool(meta, "externalAccountRequired", false);
    if (json_object_size(profiles) > 0 && json_object_size(profiles) <= META_ITEMS_MAX)
        ret->profiles = json_deep_copy(profiles);
    if (json_array_size(identities) > 0 && json_array_size(identities) <= META_ITEMS_MAX)
        ret->caa_identities = json_deep_copy(identities);
}

int acme_directory_parse(const json_t *obj, bool lab_http, struct acme_directory *ret,
                         struct cm_err *err)
{
    static const char *const keys[] = {"newNonce", "newAccount", "newOrder"};
    if (!json_is_object(obj))
        return cm_fail(err, CM_EMALF, "The directory is not a JSON object");
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        int rc = take_url(obj, keys[i], lab_http, err);
        if (rc < 0)
            return rc;
    }
    acme_directory_fini(ret);
    ret->new_nonce = cm_strdup(cm_json_str(obj, "newNonce"));
    ret->new_account = cm_strdup(cm_json_str(obj, "newAccount"));
    ret->new_order = cm_strdup(cm_json_str(obj, "newOrder"));
    ret->revoke_cert = optional_url(obj, "revokeCert", lab_http);
    ret->key_change = optional_url(obj, "keyChange", lab_http);
    ret->renewal_info = optional_url(obj, "renewalInfo", lab_http);
    take_meta(cm_json_obj(obj, "meta"), ret);
    ret->loaded = true;
    ret->at_ms = cm_mono_ms();
    return 0;
}

bool acme_directory_fresh(const struct acme_directory *dir)
{
    return dir->loaded && cm_mono_ms() - dir->at_ms <= ACME_DIRECTORY_AGE_MS;
}

bool acme_directory_has(const struct acme_directory *dir, const char *url)
{
    const char *const all[] = {dir->new_nonce, dir->new_account, dir->new_order, dir->revoke_cert,
                               dir->key_change};
    if (!dir->loaded)
        return false;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (all[i] && strcmp(all[i], url) == 0)
            return true;
    }
    return dir->renewal_info && strncmp(dir->renewal_info, url, strlen(dir->renewal_info)) == 0;
}

const char *acme_directory_url(const struct acme_directory *dir, const char *member)
{
    const struct {
        const char *member, *url;
    } rows[] = {{"newNonce", dir->new_nonce},   {"newAccount", dir->new_account},
                {"newOrder", dir->new_order},   {"revokeCert", dir->revoke_cert},
                {"keyChange", dir->key_change}, {"renewalInfo", dir->renewal_info}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strcmp(rows[i].member, member) == 0)
            return rows[i].url;
    }
    return NULL;
}

void acme_directory_fini(struct acme_directory *dir)
{
    cm_free(dir->new_nonce);
    cm_free(dir->new_account);
    cm_free(dir->new_order);
    cm_free(dir->revoke_cert);
    cm_free(dir->key_change);
    cm_free(dir->renewal_info);
    cm_free(dir->terms);
    cm_free(dir->website);
    json_decref(dir->profiles);
    json_decref(dir->caa_identities);
    *dir = (struct acme_directory){0};
}
