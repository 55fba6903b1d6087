/* Order objects: status, times, URLs, identifiers. */
#include "certmgr/acme/resource.h"

#include <string.h>

#include "base/core/json.h"
#include "certmgr/acme/ident.h"

static const char *const names_of_status[] = {
    [ACME_PENDING] = "pending", [ACME_READY] = "ready",     [ACME_PROCESSING] = "processing",
    [ACME_VALID] = "valid",     [ACME_INVALID] = "invalid", [ACME_DEACTIVATED] = "deactivated",
    [ACME_EXPIRED] = "expired", [ACME_REVOKED] = "revoked",
};

const char *acme_status_name(enum acme_status status)
{
    return names_of_status[status];
}

int acme_status_parse(const json_t *obj, enum acme_status *ret, struct cm_err *err)
{
    const char *text = cm_json_str(obj, "status");
    for (size_t i = 0; text && i < sizeof(names_of_status) / sizeof(names_of_status[0]); i++) {
        if (strcmp(names_of_status[i], text) == 0) {
            *ret = (enum acme_status)i;
            return 0;
        }
    }
    char shown[ACME_TEXT_MAX];
    acme_text(text ? text : "none", shown);
    return cm_fail(err, CM_EPEER, "The CA gave an unknown status (%s)", shown);
}

bool acme_order_names(const json_t *obj, const json_t *names)
{
    const json_t *ids = cm_json_arr(obj, "identifiers");
    size_t count = json_array_size(ids);
    if (count != json_array_size(names))
        return false;
    /* Both lists are short; each of our names must occur, so with equal counts they are equal sets
     * (our list has no duplicates). */
    for (size_t i = 0; i < count; i++) {
        bool found = false;
        for (size_t k = 0; k < count && !found; k++) {
            found =
                acme_ident_is(json_array_get(ids, k), json_string_value(json_array_get(names, i)));
        }
        if (!found)
            return false;
    }
    return true;
}

static int optional_url(const json_t *obj, const char *key, bool lab_http, const char **ret,
                        struct cm_err *err)
{
    *ret = cm_json_str(obj, key);
    if (*ret && acme_url_check(*ret, lab_http, err) < 0)
        return cm_wrap(err, CM_EMALF, "The order's member %s cannot be used", key);
    return 0;
}

int acme_order_parse(const json_t *obj, const json_t *names, bool lab_http,
                     struct acme_order_object *ret, struct cm_err *err)
{
    *ret = (struct acme_order_object){0};
    if (!json_is_object(obj))
        return cm_fail(err, CM_EPEER, "The CA did not send an order object");
    int rc = acme_status_parse(obj, &ret->status, err);
    if (rc == 0 && cm_json_arr(obj, "identifiers") && !acme_order_names(obj, names))
        rc = cm_fail(err, CM_EPEER, "The CA's order is for other names than the requested ones");
    if (rc == 0)
        rc = optional_url(obj, "finalize", lab_http, &ret->finalize, err);
    if (rc == 0)
        rc = optional_url(obj, "certificate", lab_http, &ret->certificate, err);
    if (rc < 0)
        return rc;
    ret->authorizations = cm_json_arr(obj, "authorizations");
    if (json_array_size(ret->authorizations) > ACME_AUTHZ_MAX)
        return cm_fail(err, CM_ELIMIT, "The CA's order has more than %d authorizations",
                       ACME_AUTHZ_MAX);
    for (size_t i = 0; i < json_array_size(ret->authorizations); i++) {
        const char *url = json_string_value(json_array_get(ret->authorizations, i));
        rc = acme_url_check(url, lab_http, err);
        if (rc < 0)
            return cm_wrap(err, rc, "An authorization URL of the order cannot be used");
    }
    if (ret->status == ACME_PENDING && json_array_size(ret->authorizations) == 0)
        return cm_fail(err, CM_EPEER, "The CA's pending order lists no authorizations");
    if ((ret->status == ACME_PENDING || ret->status == ACME_READY) && !ret->finalize)
        return cm_fail(err, CM_EPEER, "The CA's order has no finalize URL");
    if (ret->status == ACME_VALID && !ret->certificate)
        return cm_fail(err, CM_EPEER, "The CA's valid order has no certificate URL");
    ret->expires_ms = acme_time(cm_json_str(obj, "expires"));
    ret->error = cm_json_obj(obj, "error");
    return 0;
}
