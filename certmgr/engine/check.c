/*
 * The form's fields: defaults, the list of checks, and the small ones.  The same function serves
 * the form (at once, at the field) and the intake on the manager (which trusts no request).
 */
#include "certmgr/engine/import.h"
#include "certmgr/engine/internal.h"
#include "certmgr/engine/manual.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/core/num.h"
#include "base/core/utf8.h"
#include "certmgr/acme/proof.h"

#define CHAIN_NAME_MAX   255
#define PROFILE_NAME_MAX 64

/* ---- tools ---------------------------------------------------------------------------------- */

void eng_check_error(struct eng_check *check, const char *field, const char *value, const char *fmt,
                     ...)
{
    if (json_array_size(check->errors) >= ENG_CHECK_ERRORS)
        return;
    char text[CM_ERR_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    int len = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (len < 0)
        return;
    cm_utf8_trim(text);
    cm_utf8_fix(text);
    json_t *error = json_object();
    cm_json_set_str(error, "field", field);
    cm_json_set_str(error, "value", value);
    cm_json_set_str(error, "message", text);
    json_array_append_new(check->errors, error);
}

/* Bytes of the separator at text, 0 = none: ASCII blanks, comma, semicolon; ideographic blank and
 * comma, full-width comma, no-break blank, as input methods make them. */
static size_t separator(const char *text)
{
    static const char *const wide[] = {"\xe3\x80\x80", "\xe3\x80\x81", "\xef\xbc\x8c", "\xc2\xa0"};
    if (strchr(" \t\r\n,;", *text))
        return 1;
    for (size_t i = 0; i < sizeof(wide) / sizeof(wide[0]); i++)
        if (strncmp(text, wide[i], strlen(wide[i])) == 0)
            return strlen(wide[i]);
    return 0;
}

static void split_text(const char *text, json_t *out)
{
    const char *word = text;
    for (const char *at = text;; at++) {
        size_t gap = *at ? separator(at) : 0;
        if (*at && gap == 0)
            continue;
        if (at > word && json_array_size(out) <= ENG_NAMES_TYPED_MAX)
            json_array_append_new(out, json_stringn(word, (size_t)(at - word)));
        if (!*at)
            return;
        at += gap - 1;
        word = at + 1;
    }
}

json_t *eng_split(const json_t *value)
{
    json_t *out = json_array();
    if (json_is_string(value)) {
        split_text(json_string_value(value), out);
        return out;
    }
    size_t i;
    json_t *item;
    if (value && !json_is_array(value)) {
        json_decref(out);
        return NULL;
    }
    json_array_foreach(value, i, item)
    {
        if (!json_is_string(item)) {
            json_decref(out);
            return NULL;
        }
        split_text(json_string_value(item), out);
    }
    return out;
}

const char *eng_check_text(const struct eng_check *check, const char *field, bool *ret_given)
{
    const char *text = cm_json_str(check->in, field);
    if (ret_given)
        *ret_given = text && *text;
    if (text && *text)
        return text;
    return cm_json_str_or(check->defaults, field, "");
}

bool eng_short_name_ok(const char *name)
{
    size_t len = strnlen(name, 64);
    return len > 0 && len < 64 && name[0] != '.' && name[0] != '-' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == len;
}

/* ---- the small checks -------------------------------------------------------------------------
 */

/* Only an import makes such a credential, and its key and names stay those of the file. */
static void check_import(struct eng_check *check)
{
    CM_AUTO_STR id = cm_asprintf("credential:%.30s", check->credential ? check->credential : "");
    CM_AUTO_JSON present = check->credential ? cs_peek_body(check->engine->env.store, id) : NULL;
    if (check->importing)
        return;
    if (!eng_is_import(present)) {
        eng_check_error(
            check, "provider", "import",
            "a key and its certificate are imported by the command certmgr import on the manager");
        return;
    }
    if (!json_equal(json_object_get(check->out, "host_names_ascii"),
                    json_object_get(present, "host_names_ascii")))
        eng_check_error(check, "host_names", NULL,
                        "the names of an imported certificate are those in it: import another one, "
                        "or choose another certificate provider");
}

static void check_bool(struct eng_check *check, const char *field)
{
    const json_t *value = json_object_get(check->in, field);
    if (json_is_true(value))
        cm_json_set_bool(check->out, field, true);
    else if (value && !json_is_false(value) && !json_is_null(value))
        eng_check_error(check, field, NULL, "%s is true or false", field);
}

static void check_provider(struct eng_check *check)
{
    const char *provider = eng_check_text(check, "provider", NULL);
    cm_json_set_str(check->out, "provider", provider);
    if (eng_is_import(check->out))
        check_import(check);
    else if (strcmp(provider, "acme") != 0 && !eng_is_manual(check->out))
        eng_check_error(
            check, "provider", provider,
            "the certificate provider \"%.40s\" is not known here: choose acme or manual",
            provider);
}

static void check_account(struct eng_check *check)
{
    const char *name = eng_check_text(check, "account", NULL);
    cm_json_set_str(check->out, "account", name);
    if (!*name) {
        eng_check_error(check, "account", NULL,
                        "choose an ACME account, or make one in the settings first");
        return;
    }
    char id[80];
    CM_AUTO_JSON account = NULL;
    if (eng_short_name_ok(name)) {
        snprintf(id, sizeof(id), "account:%s", name);
        account = cs_peek_body(check->engine->env.store, id);
    }
    if (!account)
        eng_check_error(check, "account", name, "there is no ACME account \"%.63s\"", name);
    else if (!cm_json_obj(account, "terms_agreed"))
        eng_check_error(check, "account", name,
                        "nobody has agreed to the CA's terms of service for the account "
                        "\"%.63s\" yet: agree to them in the account",
                        name);
}

static void check_choice(struct eng_check *check, const char *field, const char *const *allowed,
                         const char *message)
{
    const char *value = eng_check_text(check, field, NULL);
    cm_json_set_str(check->out, field, value);
    for (size_t i = 0; allowed[i]; i++)
        if (strcmp(allowed[i], value) == 0)
            return;
    eng_check_error(check, field, value, "%s", message);
}

static void check_renew_days(struct eng_check *check)
{
    const json_t *value = json_object_get(check->in, "renew_days");
    const char *text = json_string_value(value);
    if (!value || json_is_null(value) || (text && !*text))
        value = json_object_get(check->defaults, "renew_days");
    text = json_string_value(value);
    int64_t days = 0;
    int rc = json_is_integer(value) ? (days = json_integer_value(value), 0)
             : text                 ? cm_num_i64(text, 0, 1000000, &days)
                                    : CM_EMALF;
    if (rc != 0 || days < 1 || days > ENG_RENEW_DAYS_MAX)
        eng_check_error(check, "renew_days", text,
                        "renew days before expiry must be a whole number from 1 to %d",
                        ENG_RENEW_DAYS_MAX);
    else
        cm_json_set_int(check->out, "renew_days", days);
}

static void check_target(struct eng_check *check)
{
    const char *target = eng_check_text(check, "target", NULL);
    cm_json_set_str(check->out, "target", target);
    if (!eng_short_name_ok(target))
        eng_check_error(check, "target", target,
                        "a target has 1 to 63 letters, digits, dots, hyphens or underscores, and "
                        "begins with a letter or digit");
}

/* "sha256:" and 64 digits, as tools print them (colons, capitals), to the small form. */
static bool fingerprint_form(const char *typed, char out[CM_SHA256_HEX])
{
    uint8_t raw[32];
    size_t len = 0;
    for (const char *at = typed; *at; at++) {
        if (*at == ':' || *at == ' ')
            continue;
        if (len + 1 >= CM_SHA256_HEX)
            return false;
        out[len++] = *at;
    }
    out[len] = '\0';
    if (len + 1 != CM_SHA256_HEX || cm_hex_decode(out, raw, sizeof(raw)) != 0)
        return false;
    cm_hex(raw, sizeof(raw), out);
    return true;
}

static bool printable(const char *text, size_t len)
{
    bool good = len > 0 && len <= CHAIN_NAME_MAX;
    for (size_t i = 0; good && i < len; i++)
        good = (unsigned char)text[i] >= ' ' && text[i] != 0x7f;
    return good;
}

/* The name of a root as people know it ("ISRG Root X2"), its fingerprint ("sha256:…") or the place
 * of the chain ("#1"); optional. */
static void check_chain(struct eng_check *check)
{
    static const char sha256[] = ENG_CHAIN_SHA256;
    const json_t *value = json_object_get(check->in, "alternate_chain");
    const char *name = json_string_value(value);
    char fingerprint[CM_SHA256_HEX];
    int64_t number;
    if (!value || json_is_null(value) || (name && !name[strspn(name, " ")]))
        return;
    name = name ? name + strspn(name, " ") : "";
    size_t len = strlen(name);
    if (!printable(name, len)) {
        eng_check_error(check, "alternate_chain", NULL,
                        "the root of a chain is named by its common name, at most %d bytes",
                        CHAIN_NAME_MAX);
        return;
    }
    while (name[len - 1] == ' ')
        len--;
    CM_AUTO_STR text = cm_strndup(name, len);
    if (strncasecmp(text, sha256, strlen(sha256)) == 0) {
        if (fingerprint_form(text + strlen(sha256), fingerprint))
            json_object_set_new(check->out, "alternate_chain",
                                json_sprintf("%s%s", sha256, fingerprint));
        else
            eng_check_error(check, "alternate_chain", text,
                            "after sha256: come the 64 hexadecimal digits of the root's "
                            "fingerprint");
    } else if (text[0] == '#' && cm_num_i64(text + 1, 0, ENG_CHAIN_LAST, &number) != 0) {
        eng_check_error(check, "alternate_chain", text,
                        "a chain is numbered from #0 (the CA's default) to #%d", ENG_CHAIN_LAST);
    } else {
        cm_json_set_str(check->out, "alternate_chain", text);
    }
}

/* How names are proved that no DNS account covers; optional, else the account's choice. */
static void check_challenge(struct eng_check *check)
{
    const json_t *value = json_object_get(check->in, "challenge");
    const char *type = json_string_value(value);
    if (!value || json_is_null(value) || (type && !*type))
        return;
    if (type && (strcmp(type, ACME_HTTP01) == 0 || strcmp(type, ACME_TLSALPN) == 0))
        cm_json_set_str(check->out, "challenge", type);
    else
        eng_check_error(check, "challenge", type, "the challenge is http-01 or tls-alpn-01");
}

/* A name the CA's directory lists ("shortlived"), and whether it may be left out when the CA does
 * not list it; both optional. */
static void check_profile(struct eng_check *check)
{
    const json_t *required = json_object_get(check->in, "profile_required");
    if (required && !json_is_boolean(required) && !json_is_null(required))
        eng_check_error(check, "profile_required", NULL, "profile_required is true or false");
    const json_t *value = json_object_get(check->in, "profile");
    const char *name = json_string_value(value);
    if (!value || json_is_null(value) || (name && !*name))
        return;
    size_t len = name ? strnlen(name, PROFILE_NAME_MAX + 1) : 0;
    bool good = len > 0 && len <= PROFILE_NAME_MAX;
    for (size_t i = 0; good && i < len; i++)
        good = name[i] > ' ' && name[i] < 0x7f;
    if (good)
        cm_json_set_str(check->out, "profile", name);
    if (good && json_is_true(json_object_get(check->in, "profile_required")))
        cm_json_set_bool(check->out, "profile_required", true);
    if (!good)
        eng_check_error(check, "profile", NULL,
                        "a profile is named as in the CA's directory: at most %d ASCII characters "
                        "without blanks",
                        PROFILE_NAME_MAX);
}

/* Whose CAs are asked when the first one fails; optional, in this order. */
static void check_fallback(struct eng_check *check)
{
    const json_t *value = json_object_get(check->in, "fallback_accounts");
    if (!value || json_is_null(value))
        return;
    CM_AUTO_JSON typed = eng_split(value);
    if (!typed || json_array_size(typed) > ENG_FALLBACK_MAX) {
        eng_check_error(check, "fallback_accounts", NULL, "give up to %d names of ACME accounts",
                        ENG_FALLBACK_MAX);
        return;
    }
    CM_AUTO_JSON out = json_array();
    size_t i;
    json_t *item;
    json_array_foreach(typed, i, item)
    {
        const char *name = json_string_value(item);
        CM_AUTO_STR id = cm_asprintf("account:%.64s", name);
        CM_AUTO_JSON account =
            eng_short_name_ok(name) ? cs_peek_body(check->engine->env.store, id) : NULL;
        if (!account)
            eng_check_error(check, "fallback_accounts", name, "there is no ACME account \"%.63s\"",
                            name);
        else if (cm_json_has_str(out, name) ||
                 strcmp(name, cm_json_str_or(check->out, "account", "")) == 0)
            eng_check_error(check, "fallback_accounts", name,
                            "the account \"%.63s\" is named twice", name);
        else
            json_array_append(out, item);
    }
    if (json_array_size(out) > 0)
        json_object_set(check->out, "fallback_accounts", out);
}

static void check_acme(struct eng_check *check)
{
    check_account(check);
    check_chain(check);
    check_challenge(check);
    check_profile(check);
    check_fallback(check);
}

/* ---- all of it ----------------------------------------------------------------------------------
 */

static void check_all(struct engine *engine, const char *credential, const json_t *fields,
                      bool importing, json_t **ret_fields, json_t **ret_errors, json_t **ret_notes)
{
    static const char *const key_types[] = {"P-256",    "P-384",    "RSA-2048",
                                            "RSA-3072", "RSA-4096", NULL};
    static const char *const rollovers[] = {"keep", "every_renewal", NULL};
    struct eng_check check = {.engine = engine,
                              .credential = credential,
                              .in = fields,
                              .defaults = eng_defaults(engine),
                              .out = json_object(),
                              .errors = json_array(),
                              .notes = json_array(),
                              .importing = importing};
    eng_check_names(&check);
    check_provider(&check);
    if (!eng_is_brought(check.out)) /* else: no account, no choices at one */
        check_acme(&check);
    check_choice(&check, "key_type", key_types,
                 "the key type is P-256, P-384, RSA-2048, RSA-3072 or RSA-4096");
    check_choice(&check, "key_rollover", rollovers,
                 "key rollover is \"keep\" or \"every_renewal\"");
    eng_check_servers(&check);
    check_target(&check);
    check_renew_days(&check);
    check_bool(&check, "paused");
    check_bool(&check, "exportable");
    eng_check_file(&check); /* last: it needs names, servers and target */
    json_decref(check.defaults);
    *ret_fields = check.out;
    *ret_errors = check.errors;
    *ret_notes = check.notes;
}

void eng_check_for(struct engine *engine, const char *credential, const json_t *fields,
                   json_t **ret_fields, json_t **ret_errors, json_t **ret_notes)
{
    check_all(engine, credential, fields, false, ret_fields, ret_errors, ret_notes);
}

void eng_check_import(struct engine *engine, const char *credential, const json_t *fields,
                      json_t **ret_fields, json_t **ret_errors, json_t **ret_notes)
{
    check_all(engine, credential, fields, true, ret_fields, ret_errors, ret_notes);
}

void eng_check(struct engine *engine, const json_t *fields, json_t **ret_fields,
               json_t **ret_errors, json_t **ret_notes)
{
    eng_check_for(engine, NULL, fields, ret_fields, ret_errors, ret_notes);
}

/* ---- defaults
 * ------------------------------------------------------------------------------------ */

struct only {
    char name[CS_ID_MAX + 1];
    size_t count;
};

static int on_account(void *arg, const char *key, const char *id)
{
    struct only *only = arg;
    (void)key;
    const char *name = eng_id_name(id, "account:");
    if (name && only->count++ == 0)
        (void)cm_strcpy(only->name, sizeof(only->name), name);
    return only->count > 1;
}

json_t *eng_defaults(struct engine *engine)
{
    json_t *defaults = json_object();
    cm_json_set_str(defaults, "provider", "acme");
    cm_json_set_str(defaults, "key_type", "P-256");
    cm_json_set_str(defaults, "key_rollover", "keep");
    cm_json_set_int(defaults, "renew_days", 30);
    cm_json_set_str(defaults, "keyring_file", "keyfile.kyr");
    cm_json_set_str(defaults, "target", "default");
    cm_json_set(defaults, "servers", json_array());
    CM_AUTO_JSON settings = cs_peek_body(engine->env.store, "settings:global");
    cm_json_set_bool(defaults, "staging_first", cm_json_bool(settings, "staging_first", true));
    static const char *const members[] = {"provider", "account",      "key_type",
                                          "servers",  "keyring_file", "renew_days"};
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        const json_t *value = json_object_get(settings, members[i]);
        if (value)
            cm_json_set(defaults, members[i], json_deep_copy(value));
    }
    if (!cm_json_str(defaults, "account")) {
        /* The only account there is need not be named. */
        struct only only = {.count = 0};
        cs_each(engine->env.store, CS_BY_TYPE, "account", NULL, NULL, on_account, &only);
        if (only.count == 1)
            cm_json_set_str(defaults, "account", only.name);
    }
    return defaults;
}
