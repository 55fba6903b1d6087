/* Parsing and age of a CA's directory. */
#include "certmgr/acme/directory.h"

#include <string.h>

#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "certmgr/acme/text.h"

static int take_url(const json_t *obj, const char *key, bool lab_http, struct cm_err *err)
{
    if (acme_url_check(cm_json_str(obj, key), lab_http, err) < 0)
        return cm_wrap(err, CM_EMALF, "The directory's member %s cannot be used", key);
    return 0;
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
    const json_t *meta = cm_json_obj(obj, "meta");
    const char *terms = cm_json_str(meta, "termsOfService");
    acme_directory_fini(ret);
    ret->new_nonce = cm_strdup(cm_json_str(obj, "newNonce"));
    ret->new_account = cm_strdup(cm_json_str(obj, "newAccount"));
    ret->new_order = cm_strdup(cm_json_str(obj, "newOrder"));
    ret->terms = terms && terms[0] ? cm_strndup(terms, ACME_URL_MAX - 1) : NULL;
    ret->eab_required = cm_json_bool(meta, "externalAccountRequired", false);
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
    return dir->loaded && (strcmp(dir->new_nonce, url) == 0 || strcmp(dir->new_account, url) == 0 ||
                           strcmp(dir->new_order, url) == 0);
}

void acme_directory_fini(struct acme_directory *dir)
{
    cm_free(dir->new_nonce);
    cm_free(dir->new_account);
    cm_free(dir->new_order);
    cm_free(dir->terms);
    *dir = (struct acme_directory){0};
}
