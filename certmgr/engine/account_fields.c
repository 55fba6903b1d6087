/*
 * What is typed for an ACME account, checked field by field.  See account_put.h.
 */
#include "certmgr/engine/account_put.h"

#include <stdio.h>
#include <string.h>

#include "base/core/num.h"
#include "base/net/hostname.h"
#include "base/net/url.h"
#include "certmgr/acme/presets.h"
#include "certmgr/acme/proof.h"
#include "certmgr/engine/activation.h"

#define BLANKS       " \t\r\n"
#define CONTACTS_MAX 6 /* the strictest CA known takes six (reference/acme.md 1.8) */

/* "mailto:" + an address that a CA can take: one @, a real domain, none of the characters that RFC
 * 8555 7.3 forbids in a contact (more addresses, header fields). */
static int check_contact(const char *typed, json_t *out, struct cm_err *err)
{
    if (strncmp(typed, "mailto:", 7) == 0)
        typed += 7;
    const char *at = strchr(typed, '@');
    char domain[HOSTNAME_MAX];
    enum hostname_kind kind = HOSTNAME_DNS;
    size_t len = strnlen(typed, 255);
    if (!at || at == typed || len > 254 || strpbrk(typed, " \t\r\n,;?%&<>\"\\()[]") ||
        hostname_to_ascii(at + 1, domain, &kind, NULL) != 0 || kind != HOSTNAME_DNS)
        return cm_fail(err, CM_EINVAL, "contacts: \"%.100s\" is no mail address", typed);
    CM_AUTO_STR uri = cm_asprintf("mailto:%.*s@%s", (int)(at - typed), typed, domain);
    for (const char *c = uri; *c; c++)
        if ((unsigned char)*c > 0x7e || (unsigned char)*c < 0x21)
            return cm_fail(err, CM_EINVAL,
                           "contacts: CAs take only ASCII letters in \"%.100s\" before the @",
                           typed);
    if (cm_json_has_str(out, uri))
        return cm_fail(err, CM_EINVAL, "contacts: %.100s is given twice", typed);
    json_array_append_new(out, json_string(uri));
    return 0;
}

static int check_contacts(struct account_put *put, const json_t *value)
{
    json_t *out = json_array();
    cm_json_set(put->members, "contacts", out);
    CM_AUTO_JSON typed = eng_split(value);
    if (!typed)
        return cm_fail(&put->err, CM_EINVAL, "contacts: give mail addresses as text");
    if (json_array_size(typed) > CONTACTS_MAX)
        return cm_fail(&put->err, CM_EINVAL, "contacts: at most %d addresses", CONTACTS_MAX);
    size_t i;
    json_t *item;
    json_array_foreach(typed, i, item)
    {
        int rc = check_contact(json_string_value(item), out, &put->err);
        if (rc != 0)
            return rc;
    }
    const struct acme_preset *preset = acme_preset_of(cm_json_str(put->members, "directory"));
    if (preset && preset->contact_max > 0 &&
        (json_array_size(out) < preset->contact_min || json_array_size(out) > preset->contact_max))
        return cm_fail(&put->err, CM_EINVAL,
                       "contacts: the CA \"%s\" takes accounts with %u to %u mail addresses only",
                       preset->title, preset->contact_min, preset->contact_max);
    return 0;
}

static int check_port(struct account_put *put, const json_t *fields, const char *key,
                      int64_t standard)
{
    const json_t *value = json_object_get(fields, key);
    int64_t port = standard;
    const char *text = json_string_value(value);
    int rc = 0;
    if (json_is_integer(value))
        port = json_integer_value(value);
    else if (text && *text)
        rc = cm_num_i64(text, 1, 65535, &port);
    else if (value && !json_is_null(value) && !text)
        rc = CM_EMALF;
    if (rc != 0 || port < 1 || port > 65535)
        return cm_fail(&put->err, CM_EINVAL, "%s: a port is a number from 1 to 65535", key);
    cm_json_set_int(put->members, key, port);
    return 0;
}

/* How names are proved that no DNS account covers. */
static int check_challenge(struct account_put *put, const json_t *value)
{
    const char *type = json_string_value(value);
    if (!value || json_is_null(value) || (type && !*type))
        type = ACME_HTTP01;
    if (!type || (strcmp(type, ACME_HTTP01) != 0 && strcmp(type, ACME_TLSALPN) != 0))
        return cm_fail(&put->err, CM_EINVAL, "challenge: choose http-01 or tls-alpn-01");
    cm_json_set_str(put->members, "challenge", type);
    return 0;
}

int eng_account_take_binding(struct account_put *put, const char *kid, const char *hmac,
                             const char *alg)
{
    static const char *const algs[] = {"HS256", "HS384", "HS512"}; /* RFC 7518 3.2 */
    const char *end;
    bool known = false;
    kid += strspn(kid, BLANKS);
    end = kid + strlen(kid);
    while (end > kid && strchr(BLANKS, end[-1]))
        end--;
    if (!*alg)
        alg = algs[0];
    for (size_t i = 0; i < sizeof(algs) / sizeof(algs[0]); i++)
        known = known || strcmp(alg, algs[i]) == 0;
    if (!known)
        return cm_fail(&put->err, CM_EINVAL, "eab_alg: choose HS256, HS384 or HS512");
    put->eab_kid = cm_strndup(kid, (size_t)(end - kid));
    put->eab_hmac = cm_strdup(hmac);
    put->eab_alg = cm_strdup(alg);
    return 0;
}

/* The binding of a registered account stays as it is (reference/acme.md A5). */
static int check_eab(struct account_put *put, const json_t *fields)
{
    const char *kid = cm_json_str_or(fields, "eab_kid", "");
    const char *hmac = cm_json_str_or(fields, "eab_hmac", "");
    char id[CS_ID_MAX + 1];
    snprintf(id, sizeof(id), "account:%s", put->name);
    CM_AUTO_JSON body = cs_get_body(put->engine->env.store, id);
    const json_t *eab = cm_json_obj(body, "eab");
    bool same_ca = strcmp(cm_json_str_or(body, "directory", ""),
                          cm_json_str_or(put->members, "directory", "")) == 0;
    put->registered = put->key || (same_ca && cm_json_str(body, "kid"));
    put->bound = same_ca && cm_json_obj(eab, "jws");
    if (!*kid && !*hmac)
        return 0;
    if (!*kid || !*hmac)
        return cm_fail(&put->err, CM_EINVAL, "%s: key identifier and HMAC key belong together",
                       *kid ? "eab_hmac" : "eab_kid");
    if (put->registered && strcmp(cm_json_str_or(eab, "kid", ""), kid) == 0)
        return 0;
    if (put->registered)
        return cm_fail(&put->err, CM_EINVAL,
                       "eab_kid: the account is registered at the CA already: the stored account "
                       "is in use, and another binding is not sent; bind it to another CA account "
                       "(account rebind), or make an account under another name");
    return eng_account_take_binding(put, kid, hmac, cm_json_str_or(fields, "eab_alg", ""));
}

/* Which account stands for the staging of the same CA (staging.c). */
static int check_staging(struct account_put *put, const char *name)
{
    CM_AUTO_STR id = cm_asprintf("account:%.64s", name);
    if (!*name)
        return 0;
    CM_AUTO_JSON body = eng_short_name_ok(name) ? cs_peek_body(put->engine->env.store, id) : NULL;
    if (!body || strcmp(name, put->name) == 0)
        return cm_fail(&put->err, CM_EINVAL, "staging: there is no other account \"%.64s\"", name);
    cm_json_set_str(put->members, "staging", name);
    return 0;
}

int eng_account_check(struct account_put *put, const json_t *fields)
{
    struct cm_err *err = &put->err;
    const char *directory = cm_json_str_or(fields, "directory", "");
    const char *ca_pem = cm_json_str(fields, "ca_pem");
    struct url url;
    if (!eng_short_name_ok(put->name))
        return cm_fail(err, CM_EINVAL,
                       "name: an account name has 1 to 63 letters, digits, dots, "
                       "hyphens or underscores");
    if (url_parse(directory, &url, NULL) != 0)
        return cm_fail(err, CM_EINVAL,
                       "directory: \"%.200s\" is not the https:// URL of an ACME directory",
                       directory);
    if (!url.https && !put->engine->env.lab_http)
        return cm_fail(err, CM_EINVAL, "directory: a CA is reached by https:// only");
    if (ca_pem && *ca_pem && !strstr(ca_pem, "-----BEGIN CERTIFICATE-----"))
        return cm_fail(err, CM_EINVAL, "ca_pem: no PEM certificate found in it");
    cm_json_set_str(put->members, "directory", directory);
    cm_json_set_str(put->members, "ca_pem", ca_pem && *ca_pem ? ca_pem : NULL);
    cm_json_set_bool(put->members, "self_check", cm_json_bool(fields, "self_check", true));
    put->agreed = cm_json_bool(fields, "terms_agreed", false);
    if (cm_json_str(fields, "terms_known"))
        put->terms_known = cm_strdup(cm_json_str(fields, "terms_known"));
    if (check_staging(put, cm_json_str_or(fields, "staging", "")) != 0)
        return put->err.code;
    int rc = check_contacts(put, json_object_get(fields, "contacts"));
    if (rc == 0)
        rc = check_port(put, fields, "http_port", 80);
    if (rc == 0)
        rc = check_port(put, fields, "tls_port", 443);
    if (rc == 0)
        rc = check_challenge(put, json_object_get(fields, "challenge"));
    if (rc == 0)
        rc = eng_activation_check(fields, put->members, err);
    return rc != 0 ? rc : check_eab(put, fields);
}
