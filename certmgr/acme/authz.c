/* Authorization objects: which name, which challenge, what went wrong. */
#include "certmgr/acme/resource.h"

#include <string.h>

#include "base/core/buf.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "certmgr/acme/ident.h"

#define CHALLENGES_MAX 32 /* looked at in one authorization */

/* The name as it stands in the order: a wildcard's authorization shows the base (7.1.4). */
static int take_name(const json_t *obj, const json_t *names, char *out, size_t size,
                     struct cm_err *err)
{
    const json_t *id = cm_json_obj(obj, "identifier");
    const char *value = cm_json_str_or(id, "value", "");
    bool wildcard = cm_json_bool(obj, "wildcard", false) && strncmp(value, "*.", 2) != 0;
    size_t i;
    json_t *item;
    json_array_foreach(names, i, item)
    {
        const char *name = json_string_value(item);
        bool same = wildcard ? strncmp(name, "*.", 2) == 0 && acme_ident_is(id, name + 2)
                             : acme_ident_is(id, name);
        if (same && cm_strcpy(out, size, name) == 0) /* our own spelling, not the CA's */
            return 0;
    }
    char shown[ACME_TEXT_MAX];
    acme_text(value, shown);
    return cm_fail(err, CM_EPEER, "The CA wants proof for %s, which was not requested",
                   shown[0] ? shown : "a nameless thing");
}

static int take_challenge(const json_t *challenge, bool lab_http, struct acme_authz *ret,
                          struct cm_err *err)
{
    const char *token = cm_json_str(challenge, "token");
    if (!acme_token_ok(token)) {
        /* CVE-2026-40611 and its kin: a token is never used as a name before this check */
        cm_fail(err, CM_EPEER, "The CA's challenge for %s has a malformed token", ret->name);
        cm_err_hint(err, "A token is 1 to 255 base64url characters (RFC 8555 8.1). The order was "
                         "stopped; tell the CA.");
        return CM_EPEER;
    }
    int rc = acme_status_parse(challenge, &ret->challenge_status, err);
    if (rc == 0)
        rc = acme_url_check(cm_json_str(challenge, "url"), lab_http, err);
    if (rc < 0)
        return cm_wrap(err, rc, "The challenge for %s cannot be used", ret->name);
    ret->token = token;
    ret->url = cm_json_str(challenge, "url");
    return 0;
}

/* "http-01, dns-01", as the CA wrote it. */
static void list_offers(const json_t *challenges, char out[ACME_TEXT_MAX])
{
    struct cm_buf list;
    cm_buf_init(&list, ACME_TEXT_MAX * 2);
    for (size_t i = 0; i < json_array_size(challenges) && i < CHALLENGES_MAX; i++) {
        const char *type = cm_json_str(json_array_get(challenges, i), "type");
        if (type)
            cm_buf_printf(&list, "%s%.32s", list.len > 0 ? ", " : "", type);
    }
    acme_text(list.len > 0 ? cm_buf_str(&list) : "none", out);
    cm_buf_fini(&list);
}

static const char *what_to_do(const char *name, const char *type)
{
    if (strncmp(name, "*.", 2) == 0)
        return "Wildcard names can only be proved by DNS-01: request the names without the "
               "wildcard, or add a DNS account for the domain.";
    if (strcmp(acme_ident_type(name), "ip") == 0)
        return "Addresses are proved by http-01 or tls-alpn-01 (RFC 8738): choose the other one of "
               "these in the account, or a CA that issues for addresses.";
    if (strcmp(type, ACME_DNS01) == 0)
        return "Choose a CA that checks names by dns-01, or switch the DNS account of this domain "
               "off.";
    return "Choose one of the offered challenges in the account, or another CA.";
}

static int not_offered(const struct acme_authz *authz, const json_t *challenges, struct cm_err *err)
{
    char offers[ACME_TEXT_MAX];
    list_offers(challenges, offers);
    cm_fail(err, CM_EHUMAN, "The CA offers no %s challenge for %s (it offers: %s)", authz->type,
            authz->name, offers);
    if (err)
        err->retry = CM_RETRY_CONFIGURATION;
    cm_err_object(err, "host %s", authz->name);
    cm_err_hint(err, "%s", what_to_do(authz->name, authz->type));
    return CM_EHUMAN;
}

int acme_authz_parse(const json_t *obj, const json_t *names, bool lab_http,
                     acme_challenge_fn choose, void *choose_arg, struct acme_authz *ret,
                     struct cm_err *err)
{
    *ret = (struct acme_authz){0};
    if (!json_is_object(obj))
        return cm_fail(err, CM_EPEER, "The CA did not send an authorization object");
    int rc = acme_status_parse(obj, &ret->status, err);
    if (rc == 0)
        rc = take_name(obj, names, ret->name, sizeof(ret->name), err);
    if (rc < 0)
        return rc;
    ret->expires_ms = acme_time(cm_json_str(obj, "expires"));
    ret->type = choose ? choose(choose_arg, ret->name) : NULL;
    if (!ret->type)
        ret->type = ACME_HTTP01;
    const json_t *challenges = cm_json_arr(obj, "challenges");
    for (size_t i = 0; i < json_array_size(challenges) && i < CHALLENGES_MAX; i++) {
        const json_t *challenge = json_array_get(challenges, i);
        if (!ret->error)
            ret->error = cm_json_obj(challenge, "error");
        /* Other kinds are none of our business: not even their URLs are looked at. */
        if (ret->status != ACME_PENDING || ret->url ||
            strcmp(cm_json_str_or(challenge, "type", ""), ret->type) != 0)
            continue;
        rc = take_challenge(challenge, lab_http, ret, err);
        if (rc < 0)
            return rc;
    }
    if (ret->status == ACME_PENDING && !ret->url)
        return not_offered(ret, challenges, err);
    return 0;
}
