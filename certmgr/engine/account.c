/* ACME accounts as jobs use them: read and parsed once, shared, dropped when the document changes.
 */
#include "certmgr/engine/guard.h"

#include <stdio.h>
#include <string.h>

#include "base/net/url.h"
#include "certmgr/acme/presets.h"
#include "certmgr/acme/problem.h"

#define TERMS_URL_MAX 2000

/* Directory cache and nonces outlive a changed account document, for its URL stays the same. */
/* Another key is another account at the CA: it shares no account URL with the former one. */
static struct acme_ca *ca_for(struct engine *engine, const char *name, const json_t *body)
{
    const char *directory = cm_json_str(body, "directory");
    CM_AUTO_STR key = cm_asprintf("%s\n%s\n%s", name, directory, cm_json_str(body, "thumbprint"));
    for (struct eng_ca *ca = engine->cas; ca; ca = ca->next)
        if (strcmp(ca->key, key) == 0)
            return ca->ca;
    struct eng_ca *ca = cm_calloc(1, sizeof(*ca));
    *ca = (struct eng_ca){.next = engine->cas, .key = key, .ca = acme_ca_new(directory)};
    key = NULL;
    engine->cas = ca;
    eng_budget_floor(engine, name, directory, ca->ca);
    return ca->ca;
}

/* The CA's key for the binding has run out before the account was registered with it. */
static bool binding_is_late(const json_t *body)
{
    const json_t *eab = cm_json_obj(body, "eab");
    int64_t end = acme_binding_end(cm_json_str(body, "directory"), cm_json_time(eab, "at", 0));
    return !cm_json_str(body, "kid") && cm_json_obj(eab, "jws") && end != 0 && end <= cm_now_ms();
}

static int check_account(const char *name, const json_t *body, struct cm_err *err)
{
    int rc = 0;
    if (!body) {
        rc = cm_fail(err, CM_EHUMAN, "There is no ACME account \"%s\"", name);
        cm_err_hint(err, "Make the account in the settings");
    } else if (!cm_json_obj(body, "terms_agreed")) {
        rc = cm_fail(err, CM_EHUMAN,
                     "Nobody has agreed to the CA's terms of service for the account \"%s\"", name);
        cm_err_hint(err, "Agree to the terms in the account");
    } else if (cm_json_obj(body, "new_terms")) {
        rc = cm_fail(err, CM_EHUMAN,
                     "The CA has changed its terms of service, and nobody has agreed to them for "
                     "the account \"%s\"",
                     name);
        cm_err_hint(err, "Operator: open the page that the CA points to, agree to the new terms in "
                         "the account, then start again.");
    } else if (binding_is_late(body)) {
        rc = cm_fail(err, CM_EHUMAN,
                     "The binding (EAB) of the account \"%s\" was not used in time: it is of no "
                     "use any more",
                     name);
        cm_err_hint(err, "Operator: ask the reseller for a new key identifier and HMAC key, save "
                         "them in the account, then start again.");
    } else if (strcmp(cm_json_str_or(body, "status", ""), "deactivated") == 0) {
        rc = cm_fail(err, CM_EHUMAN, "The ACME account \"%s\" was deactivated at the CA", name);
        cm_err_hint(err, "Choose another account: a deactivated one is never of use again");
    } else if (!cm_json_str(body, "directory") || !cm_json_str(body, "sealed_key") ||
               !cm_json_str(body, "thumbprint")) {
        rc = cm_fail(err, CM_EHUMAN, "The ACME account \"%s\" has no key", name);
        cm_err_hint(err, "Save the account in the settings again");
    }
    if (rc != 0 && err) {
        cm_err_object(err, "account:%s", name);
        err->retry = CM_RETRY_CONFIGURATION;
    }
    return rc;
}

int eng_account_get(struct engine *engine, const char *name, struct eng_account **ret,
                    struct cm_err *err)
{
    struct eng_account *account = engine->accounts;
    while (account && strcmp(account->name, name) != 0)
        account = account->next;
    if (!account) {
        char id[CS_ID_MAX + 1];
        snprintf(id, sizeof(id), "account:%s", name);
        json_t *body = cs_get_body(engine->env.store, id);
        int rc = check_account(name, body, err);
        if (rc != 0) {
            json_decref(body);
            return rc;
        }
        account = cm_calloc(1, sizeof(*account));
        *account = (struct eng_account){.refs = 1,
                                        .next = engine->accounts,
                                        .name = cm_strdup(name),
                                        .body = body,
                                        .ca = ca_for(engine, name, body)};
        engine->accounts = account;
    }
    account->refs++;
    *ret = account;
    return 0;
}

struct eng_account *eng_account_of(struct engine *engine, const char *name, const json_t *body)
{
    struct eng_account *account = cm_calloc(1, sizeof(*account));
    *account = (struct eng_account){.refs = 1,
                                    .name = cm_strdup(name),
                                    .body = json_deep_copy(body),
                                    .ca = ca_for(engine, name, body)};
    return account;
}

struct acme_account eng_account_acme(const struct eng_account *account)
{
    const json_t *body = account->body;
    return (struct acme_account){
        .directory = cm_json_str(body, "directory"),
        .kid = cm_json_str(body, "kid"),
        .thumbprint = cm_json_str(body, "thumbprint"),
        .contacts = cm_json_arr(body, "contacts"),
        .terms_agreed = cm_json_obj(body, "terms_agreed") != NULL,
        .eab = cm_json_obj(cm_json_obj(body, "eab"), "jws"),
        .eab_other = cm_json_obj(cm_json_obj(body, "eab"), "jws_other"),
    };
}

void eng_account_unref(struct eng_account *account)
{
    if (!account || --account->refs > 0)
        return;
    json_decref(account->body);
    cm_free(account->name);
    cm_free(account);
}

void eng_account_changed(struct engine *engine, const char *name)
{
    for (struct eng_account **at = &engine->accounts; *at; at = &(*at)->next) {
        struct eng_account *account = *at;
        if (strcmp(account->name, name) == 0) {
            *at = account->next;
            eng_account_unref(account);
            return;
        }
    }
}

void eng_accounts_free(struct engine *engine)
{
    while (engine->accounts)
        eng_account_changed(engine, engine->accounts->name);
    while (engine->cas) {
        struct eng_ca *ca = engine->cas;
        engine->cas = ca->next;
        acme_ca_free(ca->ca);
        cm_free(ca->key);
        cm_free(ca);
    }
}

/* ---- new terms (RFC 8555 7.3.3) ------------------------------------------------------------ */

static int edit_terms(void *arg, json_t *body, struct cm_err *err)
{
    const json_t *terms = arg;
    (void)err;
    if (!json_object_get(body, "serial") || cm_json_obj(body, "new_terms"))
        return 1; /* gone, or another order was refused first */
    json_object_set(body, "new_terms", (json_t *)(uintptr_t)terms);
    return 0;
}

static void on_terms(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    (void)doc;
    if (err)
        cm_log_err(CM_LOG_WARN, "engine", err); /* the next refusal says it again */
    json_decref(arg);
}

/* Links for people: a CA's text becomes one only when it is a URL. */
static void take_url(json_t *out, const char *member, const char *text)
{
    struct url url;
    if (text && strlen(text) < TERMS_URL_MAX && url_parse(text, &url, NULL) == 0)
        cm_json_set_str(out, member, text);
}

void eng_account_new_terms(struct engine *engine, const char *name, const json_t *problem)
{
    char id[CS_ID_MAX + 1];
    json_t *terms = json_object();
    snprintf(id, sizeof(id), "account:%s", name);
    cm_json_set_time(terms, "at", cm_now_ms());
    take_url(terms, "page", cm_json_str(problem, "instance"));
    take_url(terms, "url", cm_json_str(problem, "terms"));
    eng_edit(engine, id, "account", edit_terms, on_terms, terms);
}

/* ---- what the CA refuses of an account -------------------------------------------------------
 */

struct refusal {
    json_t *error;
    char *thumbprint;
};

static int edit_refused(void *arg, json_t *body, struct cm_err *err)
{
    const struct refusal *refusal = arg;
    const char *said = cm_json_str_or(cm_json_obj(body, "error"), "what", "");
    (void)err;
    if (strcmp(cm_json_str_or(body, "thumbprint", ""), refusal->thumbprint) != 0 ||
        strcmp(said, cm_json_str_or(refusal->error, "what", "")) == 0)
        return 1; /* gone, bound anew, or said before */
    json_object_set(body, "error", refusal->error);
    if (!cm_json_str(body, "kid"))
        cm_json_set_str(body, "status", "error");
    return 0;
}

static void on_refused(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    struct refusal *refusal = arg;
    on_terms(refusal->error, doc, err);
    cm_free(refusal->thumbprint);
    cm_free(refusal);
}

void eng_account_refused(struct engine *engine, const struct eng_account *account,
                         const struct cm_err *why)
{
    static const char *const types[] = {"invalidContact", "unsupportedContact",
                                        "externalAccountRequired", "agreementRequired",
                                        "badSignatureAlgorithm"};
    bool about = false;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        about = about || acme_problem_is(why->problem, types[i]);
    if (!about)
        return;
    struct refusal *refusal = cm_calloc(1, sizeof(*refusal));
    CM_AUTO_STR id = cm_asprintf("account:%s", account->name);
    refusal->error = cm_err_to_json(why);
    refusal->thumbprint = cm_strdup(cm_json_str_or(account->body, "thumbprint", ""));
    eng_edit(engine, id, "account", edit_refused, on_refused, refusal);
}
