/* Advice on a request.  See advice.h. */
#include "certmgr/engine/advice.h"

#include <string.h>

#include "base/net/domain.h"
#include "base/net/hostname.h"
#include "base/net/script.h"
#include "certmgr/acme/presets.h"
#include "certmgr/engine/billing.h"
#include "certmgr/engine/companions.h"
#include "certmgr/engine/preflight_run.h"

struct advice {
    struct engine *engine;
    const json_t *fields, *names; /* names: ASCII */
    const json_t *before;         /* the names of the present certificate, or NULL */
    json_t *rows;
};

static const char *name_at(const json_t *names, size_t i)
{
    const char *name = json_string_value(json_array_get(names, i));
    return name ? name : "";
}

static void set_add(const struct advice *advice, const char *name)
{
    json_t *row = json_array_get(advice->rows, json_array_size(advice->rows) - 1);
    cm_json_set(row, "add", json_pack("[s]", name));
}

/* ---- names that are missing ---------------------------------------------------------------------
 */

static void companion_rows(const struct advice *advice)
{
    CM_AUTO_JSON more = eng_companions(advice->names);
    size_t i;
    json_t *one;
    json_array_foreach(more, i, one)
    {
        const char *name = cm_json_str_or(one, "name", ""), *of = cm_json_str_or(one, "of", "");
        if (strncmp(of, "*.", 2) == 0)
            pf_row(advice->rows, of, "wildcard_base", PF_WARN, NULL, "%s does not contain %s", of,
                   name);
        else
            pf_row(advice->rows, of, "name_beside", PF_OK, NULL,
                   "The certificate is not for %s; it can be added", name);
        set_add(advice, name);
    }
}

/* ---- names that nobody has ----------------------------------------------------------------------
 */

/* A slip such as "co.uk": CAs issue neither it nor "*.co.uk" (Baseline Requirements 3.2.2.6). */
static void registry_rows(const struct advice *advice)
{
    for (size_t i = 0; i < json_array_size(advice->names); i++) {
        const char *name = name_at(advice->names, i);
        const char *base = strncmp(name, "*.", 2) == 0 ? name + 2 : name;
        if (domain_is_registry(base))
            pf_row(advice->rows, name, "name_registry", PF_WARN, NULL,
                   "Names are registered below %s, and it belongs to its registry: CAs refuse %s",
                   base, name);
    }
}

/* ---- names that look like others ----------------------------------------------------------------
 */

static void script_rows(const struct advice *advice)
{
    for (size_t i = 0; i < json_array_size(advice->names); i++) {
        char unicode[HOSTNAME_MAX] = "";
        struct script_mix mix;
        hostname_to_unicode(name_at(advice->names, i), unicode, sizeof(unicode));
        if (script_mixed(unicode, &mix))
            pf_row(advice->rows, name_at(advice->names, i), "name_scripts", PF_WARN, NULL,
                   "In \"%.*s\", %s and %s letters are mixed: the name looks like another one",
                   (int)mix.len, mix.label, mix.one, mix.other);
    }
}

/* ---- the kind of key ----------------------------------------------------------------------------
 */

struct seek {
    struct engine *engine;
    const char *directory;
    char name[CS_ID_MAX + 1];
};

static int on_account(void *arg, const char *key, const char *id)
{
    struct seek *seek = arg;
    (void)key;
    CM_AUTO_JSON body = cs_peek_body(seek->engine->env.store, id);
    if (strcmp(cm_json_str_or(body, "directory", ""), seek->directory) == 0)
        (void)cm_strcpy(seek->name, sizeof(seek->name), id + strlen("account:"));
    return seek->name[0] != '\0';
}

static json_t *account_body(const struct advice *advice, const char *name)
{
    CM_AUTO_STR id = cm_asprintf("account:%s", name);
    return cs_peek_body(advice->engine->env.store, id);
}

static void key_row(const struct advice *advice, const char *account, bool first)
{
    CM_AUTO_JSON body = account_body(advice, account);
    const struct acme_preset *preset = acme_preset_of(cm_json_str(body, "directory"));
    const char *key = cm_json_str_or(advice->fields, "key_type", "");
    bool rsa = strncmp(key, "RSA", 3) == 0;
    if (!preset || !preset->key_type || rsa == (strcmp(preset->key_type, "RSA") == 0))
        return;
    const struct acme_preset *other = acme_preset(preset->other_key);
    struct seek seek = {.engine = advice->engine, .directory = other ? other->directory : ""};
    if (other)
        cs_each(advice->engine->env.store, CS_BY_TYPE, "account", NULL, NULL, on_account, &seek);
    CM_AUTO_STR fix = seek.name[0]
                          ? cm_asprintf("Choose the account \"%s\", which takes %s keys, or "
                                        "another kind of key.",
                                        seek.name, rsa ? "RSA" : "EC")
                          : NULL;
    pf_row(advice->rows, "", "key_type_wrong", first ? PF_FAIL : PF_WARN, fix,
           "%s takes %s keys only at this directory (account %s), and %s was chosen", preset->title,
           preset->key_type, account, key);
}

/* ---- what is paid -------------------------------------------------------------------------------
 */

/* The class as names are added one by one; the last one that changed it. */
static const char *class_changer(const json_t *names)
{
    CM_AUTO_JSON so_far = json_array();
    const char *changer = NULL;
    for (size_t i = 0; i < json_array_size(names); i++) {
        enum billing_class last = billing_of(so_far);
        json_array_append(so_far, json_array_get(names, i));
        if (i > 0 && billing_of(so_far) != last)
            changer = name_at(names, i);
    }
    return changer;
}

static void billing_rows(const struct advice *advice)
{
    enum billing_class now = billing_of(advice->names);
    const char *changer = class_changer(advice->names);
    pf_row(advice->rows, "", "billing_class", PF_OK, NULL, "The CA bills this as \"%s\"",
           billing_text(now));
    if (advice->before && billing_of(advice->before) != now)
        pf_row(advice->rows, "", "billing_changed", PF_WARN, NULL,
               "The change takes the certificate from the class \"%s\" to \"%s\"",
               billing_text(billing_of(advice->before)), billing_text(now));
    else if (!advice->before && changer)
        pf_row(advice->rows, changer, "billing_changed", PF_WARN, NULL,
               "Adding %s changes the class of the certificate to \"%s\"", changer,
               billing_text(now));
}

/* ---- names of one fate --------------------------------------------------------------------------
 */

static void fate_rows(const struct advice *advice)
{
    if (!advice->before && json_array_size(advice->names) > 1)
        pf_row(advice->rows, "", "one_fate", PF_WARN, NULL,
               "At this CA, taking one of the names away later revokes the whole certificate");
    for (size_t i = 0; i < json_array_size(advice->before); i++)
        if (!cm_json_has_str(advice->names, name_at(advice->before, i)))
            pf_row(advice->rows, name_at(advice->before, i), "fate_dropped", PF_WARN, NULL,
                   "Taking %s away makes this CA revoke the present certificate",
                   name_at(advice->before, i));
}

/* ---- profiles -----------------------------------------------------------------------------------
 */

/* What the chosen profile (or the usual one) would be refused for. */
static void profile_rows(const struct advice *advice, const struct acme_preset *preset)
{
    const char *profile = cm_json_str_or(advice->fields, "profile", "");
    const struct acme_profile_rule *rule = acme_profile_rule(preset, profile);
    size_t count = json_array_size(advice->names);
    if (!rule)
        return;
    if (count > rule->names_max)
        pf_row(advice->rows, "", "profile_limit", PF_FAIL, NULL,
               "The profile \"%s\" of this CA takes %u names at most, and %zu are asked for",
               rule->name, rule->names_max, count);
    for (size_t i = 0; !rule->ip && i < count; i++)
        if (hostname_is_ip(name_at(advice->names, i)))
            pf_row(advice->rows, name_at(advice->names, i), "profile_limit", PF_FAIL, NULL,
                   "The profile \"%s\" of this CA takes no IP addresses", rule->name);
}

static void ca_rows(const struct advice *advice)
{
    const char *account = cm_json_str_or(advice->fields, "account", "");
    CM_AUTO_JSON body = account_body(advice, account);
    const struct acme_preset *preset = acme_preset_of(cm_json_str(body, "directory"));
    size_t i;
    json_t *item;
    key_row(advice, account, true);
    json_array_foreach(cm_json_arr(advice->fields, "fallback_accounts"), i, item)
    {
        key_row(advice, json_string_value(item), false);
    }
    profile_rows(advice, preset);
    if (preset && preset->billing)
        billing_rows(advice);
    if (preset && preset->one_fate)
        fate_rows(advice);
}

/* ---- records by hand ----------------------------------------------------------------------------
 */

void eng_advice_by_hand(json_t *rows, size_t count, size_t all, const char *account)
{
    if (count == 1 && all == 1)
        pf_row(rows, "", "by_hand", PF_WARN, NULL,
               "The name is proved by a TXT record that people write (DNS account %s), and the "
               "certificate is to be renewed by itself: every renewal waits for somebody",
               account);
    else if (count == 1)
        pf_row(rows, "", "by_hand", PF_WARN, NULL,
               "1 of %zu names is proved by a TXT record that people write (DNS account %s), and "
               "the certificate is to be renewed by itself: every renewal waits for somebody",
               all, account);
    else
        pf_row(rows, "", "by_hand", PF_WARN, NULL,
               "%zu of %zu names are proved by TXT records that people write (DNS account %s), and "
               "the "
               "certificate is to be renewed by itself: every renewal waits for somebody",
               count, all, account);
}

static void hand_row(const struct advice *advice)
{
    size_t count = 0, all = json_array_size(advice->names);
    const char *by = "";
    if (cm_json_bool(advice->fields, "paused", false) ||
        strcmp(cm_json_str_or(advice->fields, "provider", ""), "acme") != 0)
        return; /* nothing is renewed by itself, or nothing is proved to a CA from here */
    for (size_t i = 0; i < all; i++) {
        CM_AUTO_JSON choice = eng_choose_dns(advice->engine, name_at(advice->names, i), NULL);
        const char *name = cm_json_str_or(choice, "account", "");
        struct eng_dns_account *account = eng_dns_account(advice->engine, name);
        if (account && eng_dns_by_hand(account)) {
            by = account->name;
            count++;
        }
        eng_dns_unref(account);
    }
    if (count > 0)
        eng_advice_by_hand(advice->rows, count, all, by);
}

/* ---- all of it ----------------------------------------------------------------------------------
 */

json_t *eng_advice(struct engine *engine, const char *credential, const json_t *checked)
{
    CM_AUTO_STR id = cm_asprintf("credential:%s", credential ? credential : "");
    CM_AUTO_JSON present = credential ? cs_peek_body(engine->env.store, id) : NULL;
    bool issued = cm_json_str(present, "chain") != NULL;
    struct advice advice = {.engine = engine,
                            .fields = checked,
                            .names = cm_json_arr(checked, "host_names_ascii"),
                            .before = issued ? cm_json_arr(present, "host_names_ascii") : NULL,
                            .rows = json_array()};
    companion_rows(&advice);
    registry_rows(&advice);
    script_rows(&advice);
    ca_rows(&advice);
    hand_row(&advice);
    return advice.rows;
}

json_t *eng_advise(struct engine *engine, const char *credential, const json_t *fields)
{
    CM_AUTO_JSON checked = NULL;
    CM_AUTO_JSON errors = NULL;
    CM_AUTO_JSON notes = NULL;
    CM_AUTO_JSON wanted = json_object();
    if (credential) {
        CM_AUTO_STR id = cm_asprintf("credential:%s", credential);
        CM_AUTO_JSON present = cs_peek_body(engine->env.store, id);
        eng_fields_take(wanted, present);
    }
    json_object_update(wanted, (json_t *)(uintptr_t)fields);
    eng_check_for(engine, credential, wanted, &checked, &errors, &notes);
    return json_array_size(errors) > 0 ? NULL : eng_advice(engine, credential, checked);
}

json_t *eng_contradictions(struct engine *engine, const char *ulid, const json_t *credential)
{
    static const char *const ids[] = {"key_type_wrong", "by_hand"};
    CM_AUTO_JSON rows = eng_advice(engine, ulid, credential);
    json_t *out = json_array();
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        for (size_t k = 0; k < sizeof(ids) / sizeof(ids[0]); k++)
            if (strcmp(cm_json_str_or(row, "id", ""), ids[k]) == 0)
                json_array_append(out, row);
    }
    return out;
}
