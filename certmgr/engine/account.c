/* ACME accounts as jobs use them: read and parsed once, shared, dropped when the document changes.
 */
#include "certmgr/engine/guard.h"

#include <stdio.h>
#include <string.h>

/* Directory cache and nonces outlive a changed account document, for its URL stays the same. */
static struct acme_ca *ca_for(struct engine *engine, const char *name, const char *directory)
{
    CM_AUTO_STR key = cm_asprintf("%s\n%s", name, directory);
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
                                        .ca = ca_for(engine, name, cm_json_str(body, "directory"))};
        engine->accounts = account;
    }
    account->refs++;
    *ret = account;
    return 0;
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
