/*
 * The beginning of a run: the CA's floor, its directory, our account (RFC 8555 7.1.1, 7.3).
 *
 * newAccount with a known key gives the existing account, so repeating it is harmless.
 */
#include "certmgr/acme/job.h"

#include <string.h>

#include "base/core/clock.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "certmgr/acme/header.h"

void acme_start_enter(struct acme_order *o)
{
    int64_t left = o->ca->floor_ms - cm_now_ms();
    if (left > ACME_WAIT_SHORT_MS) {
        char until[CM_TIME_TEXT];
        cm_time_format(o->ca->floor_ms, until);
        cm_fail(&o->err, CM_EBUSY, "The CA asked not to be called before %s", until);
        cm_err_hint(&o->err, "CertMgr goes on at that time by itself.");
        o->err.next_attempt_ms = o->ca->floor_ms;
        acme_give_up(o);
        return;
    }
    o->pause_ms = left > 0 ? left : 0;
    acme_go(o, STEP_DIRECTORY);
}

/* One order reads the directory or registers; the others of the account look again shortly. */
static bool other_is_at_it(struct acme_order *o)
{
    if (o->ca->owner && o->ca->owner != o) {
        o->pause_ms = ACME_WAIT_OTHER_MS;
        return true;
    }
    o->ca->owner = o;
    return false;
}

static void release(struct acme_order *o)
{
    if (o->ca->owner == o)
        o->ca->owner = NULL;
}

/* ---- directory ------------------------------------------------------------------------------ */

static void have_directory(struct acme_order *o)
{
    release(o);
    if (o->stale_url) {
        /* The directory was read again because this URL failed: if it still stands there, the
         * refusal (kept in o->err) was meant. */
        bool same = acme_directory_has(&o->ca->directory, o->stale_url);
        cm_free(o->stale_url);
        o->stale_url = NULL;
        if (same) {
            acme_give_up(o);
            return;
        }
        cm_err_fini(&o->err);
    }
    bool ordered = acme_state_str(o, "order_url") || acme_state_str(o, "ordering_at");
    if (o->op)
        acme_op_begin(o);
    else if (o->kid)
        acme_go(o, STEP_CHOOSE);
    else /* no account is made for an order that may not be */
        acme_go(o, o->ports.may_order && !ordered ? STEP_ALLOW : STEP_ACCOUNT_NEW);
}

void acme_directory_enter(struct acme_order *o)
{
    if (acme_directory_fresh(&o->ca->directory))
        have_directory(o);
    else if (!other_is_at_it(o))
        acme_request(o, o->ca->url, NULL);
}

void acme_directory_react(struct acme_order *o)
{
    struct cm_err refusal = o->err; /* of the request that made us read it again */
    o->err = CM_ERR_INIT;
    if (acme_reply_object(o, ACME_ABOUT_ANY, "its directory")) {
        if (acme_directory_parse(o->reply.json, o->lab_http, &o->ca->directory, &o->err) < 0) {
            cm_wrap(&o->err, CM_EMALF, "The directory %s cannot be used", o->ca->url);
            acme_give_up(o);
        } else {
            o->err = refusal;
            refusal = CM_ERR_INIT;
            have_directory(o);
        }
    }
    release(o);
    cm_err_fini(&refusal);
}

/* ---- account -------------------------------------------------------------------------------- */

static bool terms_in_the_way(struct acme_order *o)
{
    const char *terms = o->ca->directory.terms;
    if (!terms || o->terms_agreed)
        return false;
    char url[ACME_TEXT_MAX];
    acme_text(terms, url);
    cm_fail(&o->err, CM_EHUMAN, "Nobody has agreed to the CA's terms of service yet");
    o->err.retry = CM_RETRY_CONFIGURATION;
    cm_err_object(&o->err, "account at %.100s", o->ca->url);
    cm_err_cause(&o->err, "The terms are at %s", url);
    cm_err_hint(&o->err, "Operator: read %s and agree to it in the account, then start again.",
                url);
    acme_give_up(o);
    return true;
}

/* Registering without it would only be refused (RFC 8555 7.3.4). */
static bool binding_in_the_way(struct acme_order *o)
{
    if (!o->ca->directory.eab_required || o->eab)
        return false;
    cm_fail(&o->err, CM_EHUMAN,
            "The CA registers only accounts that are bound to an account there (EAB)");
    o->err.retry = CM_RETRY_CONFIGURATION;
    cm_err_object(&o->err, "account at %.100s", o->ca->url);
    cm_err_hint(&o->err, "Operator: get a key identifier and an HMAC key from the CA, save them in "
                         "the account, then start again.");
    acme_give_up(o);
    return true;
}

static void use_kid(struct acme_order *o, const char *kid)
{
    char *copy = cm_strdup(kid);
    cm_free(o->kid);
    o->kid = copy;
}

void acme_account_new_enter(struct acme_order *o)
{
    if (o->ca->kid) { /* another order has just registered it */
        use_kid(o, o->ca->kid);
        release(o);
        acme_go(o, STEP_CHOOSE);
        return;
    }
    if (terms_in_the_way(o) || binding_in_the_way(o) || other_is_at_it(o))
        return;
    CM_AUTO_JSON payload = json_object();
    if (o->terms_agreed)
        cm_json_set_bool(payload, "termsOfServiceAgreed", true);
    if (json_array_size(o->contacts) > 0)
        cm_json_set(payload, "contact", json_deep_copy(o->contacts));
    if (o->eab)
        cm_json_set(payload, "externalAccountBinding", json_deep_copy(o->eab));
    CM_AUTO_STR text = cm_json_dump(payload, NULL);
    acme_request_jwk(o, o->ca->directory.new_account, text);
}

/* The account URL and whether the account may be used. */
static bool take_account(struct acme_order *o, const char *what)
{
    char location[ACME_URL_MAX];
    char kid[ACME_URL_MAX];
    if (!acme_reply_object(o, ACME_ABOUT_ACCOUNT, what))
        return false;
    const char *status = cm_json_str_or(o->reply.json, "status", "valid");
    if (strcmp(status, "valid") != 0) {
        char shown[ACME_TEXT_MAX];
        acme_text(status, shown);
        cm_fail(&o->err, CM_EDENIED, "The account of this key is %.40s at the CA", shown);
        cm_err_hint(&o->err,
                    "Operator: register a new account; the CA does not take this key back.");
    } else if (!acme_header_get(o->reply.headers, "location", 0, location, sizeof(location))) {
        cm_fail(&o->err, CM_EPEER, "The CA did not tell the URL of the account");
    } else if (acme_url_resolve(o->request.url, location, o->lab_http, kid, &o->err) == 0) {
        use_kid(o, kid);
        return true;
    }
    cm_err_object(&o->err, "account at %.100s", o->ca->url);
    acme_give_up(o);
    return false;
}

/* The CA refuses the binding, and its HMAC key can be read in another way (keyfile/eab.h). */
static bool binds_otherwise(struct acme_order *o)
{
    static const char *const types[] = {"malformed", "unauthorized", "externalAccountRequired"};
    bool refused = false;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        refused = refused || acme_problem_is(o->reply.json, types[i]);
    if (o->reply.err.code != 0 || o->reply.status < 400 || !refused || !o->eab_other)
        return false;
    json_decref(o->eab);
    o->eab = o->eab_other;
    o->eab_other = NULL;
    acme_log(o, CM_LOG_WARN,
             "The CA does not take the binding (EAB); trying its HMAC key decoded once more");
    acme_go(o, STEP_ACCOUNT_NEW);
    return true;
}

void acme_account_new_react(struct acme_order *o)
{
    if (binds_otherwise(o))
        return;
    if (take_account(o, "the registration of the account")) {
        acme_log(o, CM_LOG_INFO, "The account is registered at the CA");
        acme_go(o, STEP_ACCOUNT_SAVE);
    } else {
        release(o);
    }
}

/* Repair of accountDoesNotExist: an account is never taken for lost because of one refusal. */
void acme_account_find_enter(struct acme_order *o)
{
    if (o->ca->kid && o->kid && strcmp(o->ca->kid, o->kid) != 0) {
        use_kid(o, o->ca->kid); /* another order has repaired it */
        acme_go(o, STEP_CHOOSE);
        return;
    }
    acme_request_jwk(o, o->ca->directory.new_account, "{\"onlyReturnExisting\":true}");
}

void acme_account_find_react(struct acme_order *o)
{
    if (o->reply.err.code == 0 && acme_problem_is(o->reply.json, "accountDoesNotExist")) {
        acme_log(o, CM_LOG_WARN, "The account is gone at the CA; registering the key again");
        if (o->ca->kid && o->kid && strcmp(o->ca->kid, o->kid) == 0) {
            cm_free(o->ca->kid);
            o->ca->kid = NULL;
        }
        cm_free(o->kid);
        o->kid = NULL;
        acme_state_drop_order(o); /* orders die with their account */
        if (o->op)
            acme_op_begin(o);
        else
            acme_go(o, STEP_ACCOUNT_NEW);
        return;
    }
    if (take_account(o, "the look-up of the account"))
        acme_go(o, STEP_ACCOUNT_SAVE);
}

void acme_account_save_enter(struct acme_order *o)
{
    acme_call_save_account(o);
}

void acme_account_save_react(struct acme_order *o)
{
    release(o);
    if (o->err.code != 0) {
        cm_wrap(&o->err, CM_EIO, "The account URL could not be saved");
        acme_give_up(o);
        return;
    }
    char *kid = cm_strdup(o->kid);
    cm_free(o->ca->kid);
    o->ca->kid = kid;
    acme_go(o, STEP_CHOOSE);
}
