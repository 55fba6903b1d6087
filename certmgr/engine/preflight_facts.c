/* What a pre-flight check knows without asking anybody: names, duplicates, classes, limits, keys.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/core/utf8.h"
#include "base/net/hostname.h"
#include "certmgr/engine/advice.h"
#include "certmgr/engine/preflight_run.h"

#define WEEK_MS (INT64_C(7) * 86400000)

/* ---- rows ---------------------------------------------------------------------------------------
 */

static const struct {
    const char *id, *what, *fix;
} texts[] = {
    {"name_ok", "name", NULL},
    {"name_differs", "name", "Check the spelling: the certificate will be for the name read back."},
    {"name_beside", "name", NULL},
    {"name_registry", "name", "Check the spelling: a part in front of it seems to be missing."},
    {"name_scripts", "name", "Type the name again, in one script, if it was not meant so."},
    {"wildcard_base", "name", "Add the name without \"*.\" as well if it is to be served."},
    {"set_exact", "set", "Change or renew that certificate instead of a second one."},
    {"set_recent", "set",
     "Use \"Retry\" or \"Renew\" only when it is really needed: the CA counts."},
    {"billing_class", "billing", NULL},
    {"billing_changed", "billing", "Leave the name out, or agree to the other class."},
    {"key_type_wrong", "key_type",
     "Choose the other kind of key, or an account at the other "
     "directory of this CA."},
    {"by_hand", "renewal",
     "Give the domain to a DNS account with an interface to its provider, point _acme-challenge at "
     "such a zone by a CNAME, or pause the renewal."},
    {"fate_dropped", "lifetime",
     "Keep the name until the certificate has been replaced everywhere."},
    {"one_fate", "lifetime", "Put names that may go earlier into certificates of their own."},
    {"profile_unknown", "directory", "Choose one of the profiles that the CA offers, or none."},
    {"profile_limit", "directory", "Choose another profile of the CA, or other names."},
    {"budget_ok", "budget", NULL},
    {"budget_wait", "budget", "Wait: the request may be submitted and is held until then."},
    {"directory_unread", "directory",
     "Check the directory URL of the account and the way to the "
     "CA (proxy, firewall)."},
    {"challenge_ok", "challenge", NULL},
    {"challenge_none", "challenge",
     "Add a DNS account for this domain, or name the hosts one by "
     "one."},
    {"cname_ok", "cname", NULL},
    {"cname_broken", "cname", "Correct the CNAME records of _acme-challenge."},
    {"caa_ok", "caa", NULL},
    {"caa_denied", "caa", "Add a CAA record for the CA, or choose another CA."},
    {"caa_failed", "caa",
     "Correct the DNS servers of the domain: CAs refuse while CAA cannot be "
     "looked up."},
    {"caa_unknown", "caa",
     "The CA does not say which CAA names are its own: compare the records "
     "with its documentation."},
    {"address_ok", "address", NULL},
    {"address_later", "address", NULL},
    {"address_none", "address", "Make an A or AAAA record for the name."},
    {"address_bad", "address",
     "Let every address of the name lead to a server of the fleet on "
     "port 80."},
    {"address_no_route", "address", "Give this server IPv6, or look from another place."},
    {"dns_probe_ok", "dns_probe", NULL},
    {"dns_probe_bad", "dns_probe", "Look at the steps of the DNS account's test."},
    {"time", "time", "Check again; when it stays slow, look at the name servers of the domain."},
};

void pf_row(json_t *rows, const char *name, const char *id, enum pf_result result, const char *fix,
            const char *fmt, ...)
{
    static const char *const results[] = {"ok", "warn", "fail"};
    char text[CM_ERR_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    cm_utf8_trim(text);
    cm_utf8_fix(text);
    json_t *row = json_object();
    cm_json_set_str(row, "name", name);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (strcmp(texts[i].id, id) != 0)
            continue;
        cm_json_set_str(row, "what", texts[i].what);
        if (!fix || !*fix)
            fix = texts[i].fix;
    }
    cm_json_set_str(row, "id", id);
    cm_json_set_str(row, "result", results[result]);
    cm_json_set_str(row, "text", text);
    if (result != PF_OK)
        cm_json_set_str(row, "fix", fix);
    json_array_append_new(rows, row);
}

/* ---- names --------------------------------------------------------------------------------------
 */

static void name_row(struct preflight *pf, const char *typed, const char *ascii)
{
    char unicode[1024], back[HOSTNAME_MAX];
    enum hostname_kind kind;
    hostname_to_unicode(ascii, unicode, sizeof(unicode));
    bool same = hostname_to_ascii(unicode, back, &kind, NULL) == 0 && strcmp(back, ascii) == 0;
    bool plain = strcmp(unicode, ascii) == 0;
    if (!same)
        pf_row(pf->rows, ascii, "name_differs", PF_WARN, NULL,
               "\"%s\" becomes %s, which reads "
               "back as %s",
               typed, ascii, unicode);
    else if (plain)
        pf_row(pf->rows, ascii, "name_ok", PF_OK, NULL, "%s", ascii);
    else
        pf_row(pf->rows, ascii, "name_ok", PF_OK, NULL, "\"%s\" is %s, and reads back as %s", typed,
               ascii, unicode);
}

static void name_rows(struct preflight *pf)
{
    const json_t *typed = cm_json_arr(pf->fields, "host_names");
    const json_t *ascii = cm_json_arr(pf->fields, "host_names_ascii");
    for (size_t i = 0; i < json_array_size(ascii); i++) {
        const char *name = json_string_value(json_array_get(ascii, i));
        const char *given = json_string_value(json_array_get(typed, i));
        name_row(pf, given ? given : name, name);
    }
}

/* ---- the same set -------------------------------------------------------------------------------
 */

struct same {
    struct preflight *pf;
    const char *wanted; /* eng_names_sorted() */
    size_t seen;
};

/* www.example.com -> com.example.www, as CS_BY_HOST has it. */
static void reversed(const char *name, char out[HOSTNAME_MAX + 1])
{
    size_t len = 0;
    const char *end = name + strlen(name);
    while (end > name) {
        const char *label = end;
        while (label > name && label[-1] != '.')
            label--;
        len += (size_t)snprintf(out + len, HOSTNAME_MAX + 1 - len, "%s%.*s", len ? "." : "",
                                (int)(end - label), label);
        end = label > name ? label - 1 : name;
    }
}

static int on_same(void *arg, const char *key, const char *id)
{
    struct same *same = arg;
    struct preflight *pf = same->pf;
    const char *ulid = eng_id_name(id, "credential:");
    (void)key;
    if (++same->seen > PREFLIGHT_SCAN)
        return 1;
    if (!ulid || strcmp(ulid, pf->credential) == 0)
        return 0;
    CM_AUTO_JSON body = cs_peek_body(pf->engine->env.store, id);
    CM_AUTO_STR set = eng_names_sorted(cm_json_arr(body, "host_names_ascii"));
    const char *status = cm_json_str_or(body, "status", "");
    if (strcmp(set, same->wanted) != 0 || eng_is_refused(body) || strcmp(status, "revoked") == 0 ||
        strcmp(status, "archived") == 0)
        return 0;
    pf_row(pf->rows, "", "set_exact", PF_WARN, NULL,
           "The credential %s has exactly these names already (%s)", ulid, status);
    int64_t age = cm_now_ms() - cm_json_time(body, "issued_at", 0);
    if (age >= 0 && age < WEEK_MS)
        pf_row(pf->rows, "", "set_recent", PF_WARN, NULL,
               "A certificate of exactly these names was issued %" PRId64 " hours ago",
               age / 3600000);
    return 1;
}

static void set_rows(struct preflight *pf)
{
    const json_t *names = cm_json_arr(pf->fields, "host_names_ascii");
    const char *first = json_string_value(json_array_get(names, 0));
    char key[HOSTNAME_MAX + 1] = "";
    CM_AUTO_STR wanted = eng_names_sorted(names);
    struct same same = {.pf = pf, .wanted = wanted};
    if (!first)
        return;
    reversed(first, key);
    cs_each(pf->engine->env.store, CS_BY_HOST, key, NULL, NULL, on_same, &same);
}

/* ---- the CA -------------------------------------------------------------------------------------
 */

static void budget_row(struct preflight *pf, const char *directory)
{
    char text[BUDGET_TEXT_MAX], when[CM_TIME_TEXT];
    const struct acme_preset *preset = acme_preset_of(directory);
    struct eng_wish wish = {.account = pf->account->name,
                            .directory = directory,
                            .names = cm_json_arr(pf->fields, "host_names_ascii")};
    int64_t until = eng_budget_ask(pf->engine, &wish, text);
    cm_time_format(until, when);
    if (until > cm_now_ms())
        pf_row(pf->rows, "", "budget_wait", PF_WARN, NULL,
               "The order would wait for the CA's limit until %s: %s", when, text);
    else if (preset && preset->rate[ACME_LIMIT_ORDERS].count > 0)
        pf_row(pf->rows, "", "budget_ok", PF_OK, NULL, "The CA's limits leave room for the order");
}

void pf_facts(struct preflight *pf)
{
    const char *directory = cm_json_str_or(pf->account->body, "directory", "");
    CM_AUTO_JSON advice =
        eng_advice(pf->engine, pf->credential[0] ? pf->credential : NULL, pf->fields);
    name_rows(pf);
    json_array_extend(pf->rows, advice);
    set_rows(pf);
    budget_row(pf, directory);
}

void pf_directory_facts(struct preflight *pf, const struct acme_directory *directory)
{
    const char *profile = cm_json_str(pf->fields, "profile");
    if (directory && directory->caa_identities) {
        json_decref(pf->cas[0].identities);
        pf->cas[0].identities = json_deep_copy(directory->caa_identities);
    }
    if (!directory || !profile || json_object_get(directory->profiles, profile))
        return;
    bool required = cm_json_bool(pf->fields, "profile_required", false);
    pf_row(pf->rows, "", "profile_unknown", required ? PF_FAIL : PF_WARN, NULL,
           "The CA does not offer the profile \"%.64s\"%s", profile,
           required ? ", which is required" : "; it would be left out");
}
