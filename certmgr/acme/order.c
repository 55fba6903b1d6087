/*
 * The public face of an order job: step table, saved state, life.
 *
 *  1 directory        read (cached in the CA object)
 *  2 account          registered, or found by its key when the CA has forgotten the URL
 *  3 choose           saved state: order known -> read it; newOrder was being sent -> look it up at
 *                     the CA; else -> may it be made (CAA)? -> newOrder, whose intent is saved
 *                     before it is sent
 *  4 authorizations   each read; valid ones are skipped; tokens saved
 *  5 publish          key authorizations live on the challenge listeners, self-checked by the port
 *  6 answer           each challenge told to the CA; the list of answered ones saved
 *  7 poll             the order alone (one request for all names) until ready
 *  8 finalize         CSR saved, then sent
 *  9 poll             until valid
 * 10 download         the chain
 *
 * Saved state: {"directory","names","kid","step","ordering_at","order_url","authorizations",
 * "finalize","certificate","expires_at","poll_at","tokens","answered","csr","replaces_refused",
 * "left"}; poll_at: the CA's Retry-After; left: authorizations of the order dropped last that may
 * be pending still, until the next one.  After a crash the CA's order object decides where to go
 * on; the state only says which order it is.
 */
#include "certmgr/acme/order.h"

#include <string.h>

#include "base/core/mem.h"
#include "certmgr/acme/job.h"

const struct acme_step_row acme_steps[STEP_COUNT] = {
    [STEP_START] = {"start", "start", acme_start_enter, NULL},
    [STEP_DIRECTORY] = {"directory", "read directory", acme_directory_enter, acme_directory_react},
    [STEP_ACCOUNT_NEW] = {"account_new", "register account", acme_account_new_enter,
                          acme_account_new_react},
    [STEP_ACCOUNT_FIND] = {"account_find", "look up account", acme_account_find_enter,
                           acme_account_find_react},
    [STEP_ACCOUNT_SAVE] = {"account_save", "save account", acme_account_save_enter,
                           acme_account_save_react},
    [STEP_CHOOSE] = {"choose", "choose order", acme_choose_enter, NULL},
    [STEP_READ_ORDER] = {"read_order", "read order", acme_read_order_enter, acme_read_order_react},
    [STEP_LOOKUP_ACCOUNT] = {"lookup_account", "look for lost order", acme_lookup_account_enter,
                             acme_lookup_account_react},
    [STEP_LOOKUP_LIST] = {"lookup_list", "look for lost order", acme_lookup_list_enter,
                          acme_lookup_list_react},
    [STEP_LOOKUP_ORDER] = {"lookup_order", "look for lost order", acme_lookup_order_enter,
                           acme_lookup_order_react},
    [STEP_ALLOW] = {"allow", "look at CAA", acme_allow_enter, acme_allow_react},
    [STEP_NEW_ORDER] = {"new_order", "newOrder", acme_new_order_enter, acme_new_order_react},
    [STEP_AUTHZ] = {"authorizations", "read authorizations", acme_authz_enter, acme_authz_react},
    [STEP_PUBLISH] = {"publish", "publish challenges", acme_publish_enter, acme_publish_react},
    [STEP_ANSWER] = {"answer", "answer challenges", acme_answer_enter, acme_answer_react},
    [STEP_POLL_READY] = {"poll_ready", "wait for validation", acme_poll_enter, acme_poll_react},
    [STEP_DIAGNOSE] = {"diagnose", "read what failed", acme_diagnose_enter, acme_diagnose_react},
    [STEP_CSR] = {"csr", "make signing request", acme_csr_enter, acme_csr_react},
    [STEP_FINALIZE] = {"finalize", "finalize", acme_finalize_enter, acme_finalize_react},
    [STEP_POLL_VALID] = {"poll_valid", "wait for certificate", acme_poll_enter, acme_poll_react},
    [STEP_DOWNLOAD] = {"download", "download chain", acme_download_enter, acme_download_react},
    [STEP_OP] = {"op", "ask the CA", acme_op_enter, acme_op_react},
};

/* ---- the saved state ------------------------------------------------------------------------ */

const char *acme_state_str(const struct acme_order *o, const char *key)
{
    return cm_json_str(o->state, key);
}

void acme_state_set(struct acme_order *o, const char *key, json_t *take)
{
    if (take && json_equal(json_object_get(o->state, key), take)) {
        json_decref(take); /* nothing new: no write */
        return;
    }
    if (!take && !json_object_get(o->state, key))
        return;
    cm_json_set(o->state, key, take);
    o->dirty = true;
}

void acme_state_drop_order(struct acme_order *o)
{
    static const char *const keys[] = {"ordering_at", "order_url",  "authorizations", "finalize",
                                       "certificate", "expires_at", "poll_at",        "tokens",
                                       "answered",    "csr"};
    json_t *urls = cm_json_arr(o->state, "authorizations");
    acme_state_set(o, "left", urls ? json_incref(urls) : NULL);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        acme_state_set(o, keys[i], NULL);
}

static bool same_names(const json_t *a, const json_t *b)
{
    size_t i;
    json_t *name;
    json_array_foreach(a, i, name)
    {
        if (!json_is_string(name) || !cm_json_has_str(b, json_string_value(name)))
            return false;
    }
    return json_array_size(a) == json_array_size(b);
}

/* A state of another CA or of other names is of no use: its order would not give this certificate.
 */
static json_t *take_state(const struct acme_order *o, const json_t *saved)
{
    if (json_is_object(saved) && strcmp(cm_json_str_or(saved, "directory", ""), o->ca->url) == 0 &&
        same_names(cm_json_arr(saved, "names"), o->names))
        return json_deep_copy(saved);
    json_t *state = json_object();
    cm_json_set_str(state, "directory", o->ca->url);
    cm_json_set(state, "names", json_deep_copy(o->names));
    return state;
}

/* ---- life ----------------------------------------------------------------------------------- */

static int check_names(const json_t *names, struct cm_err *err)
{
    size_t count = json_array_size(names);
    if (count == 0 || count > ACME_NAMES_MAX)
        return cm_fail(err, CM_EINVAL, "An order has 1 to %d names, not %zu", ACME_NAMES_MAX,
                       count);
    for (size_t i = 0; i < count; i++) {
        const char *name = json_string_value(json_array_get(names, i));
        if (!name || name[0] == '\0' || strlen(name) > 253)
            return cm_fail(err, CM_EINVAL, "Name %zu of the order is not a host name", i + 1);
        for (size_t k = 0; k < i; k++) {
            if (acme_same_name(json_string_value(json_array_get(names, k)), name))
                return cm_fail(err, CM_EINVAL, "The order names %s twice", name);
        }
    }
    return 0;
}

struct acme_order *acme_job_new(struct acme_ca *ca, const struct acme_account *account,
                                bool lab_http, const struct acme_ports *ports, acme_order_fn done,
                                void *arg, struct cm_err *err)
{
    if (!account->thumbprint || account->thumbprint[0] == '\0') {
        cm_fail(err, CM_EINVAL, "The ACME account has no key thumbprint");
        return NULL;
    }
    if (account->directory && strcmp(account->directory, ca->url) != 0) {
        cm_fail(err, CM_EINVAL, "The ACME account is not one of the CA %s", ca->url);
        return NULL;
    }
    if (acme_url_check(ca->url, lab_http, err) < 0) {
        cm_wrap(err, CM_EINVAL, "The directory URL of the account cannot be used");
        return NULL;
    }
    struct acme_order *o = cm_calloc(1, sizeof(*o));
    o->ca = ca;
    o->ports = *ports;
    o->done = done;
    o->done_arg = arg;
    o->thumbprint = cm_strdup(account->thumbprint);
    /* What this process registered or found is newer than what the caller read. */
    const char *kid = ca->kid ? ca->kid : account->kid;
    o->kid = kid && kid[0] ? cm_strdup(kid) : NULL;
    o->contacts = json_is_array(account->contacts) ? json_deep_copy(account->contacts) : NULL;
    o->eab = json_is_object(account->eab) ? json_deep_copy(account->eab) : NULL;
    o->eab_other = json_is_object(account->eab_other) ? json_deep_copy(account->eab_other) : NULL;
    o->terms_agreed = account->terms_agreed;
    o->lab_http = lab_http;
    acme_job_link(o);
    acme_call_wait(o, 0); /* the first step runs from the loop, never from here */
    return o;
}

struct acme_order *acme_order_new(struct acme_ca *ca, const struct acme_account *account,
                                  const json_t *names_ascii, const json_t *state, bool lab_http,
                                  const struct acme_ports *ports, acme_order_fn done, void *arg,
                                  struct cm_err *err)
{
    if (check_names(names_ascii, err) < 0)
        return NULL;
    struct acme_order *o = acme_job_new(ca, account, lab_http, ports, done, arg, err);
    if (!o)
        return NULL;
    o->names = json_deep_copy(names_ascii);
    o->state = take_state(o, state);
    return o;
}

static void take_text(char **place, const char *text)
{
    cm_free(*place);
    *place = text && text[0] ? cm_strdup(text) : NULL;
}

void acme_order_wish(struct acme_order *o, const struct acme_order_wish *wish)
{
    take_text(&o->profile, wish->profile);
    o->profile_required = wish->profile_required;
    take_text(&o->replaces, wish->replaces);
}

void acme_order_free(struct acme_order *o)
{
    if (!o)
        return;
    acme_job_unlink(o);
    if (o->ca->owner == o)
        o->ca->owner = NULL;
    acme_request_fini(&o->request);
    acme_reply_fini(&o->reply);
    cm_err_fini(&o->err);
    cm_free(o->thumbprint);
    cm_free(o->profile);
    cm_free(o->replaces);
    cm_free(o->kid);
    cm_free(o->stale_url);
    cm_free(o->lookup_url);
    json_decref(o->contacts);
    json_decref(o->eab);
    json_decref(o->eab_other);
    json_decref(o->names);
    json_decref(o->state);
    json_decref(o->value);
    json_decref(o->chain);
    json_decref(o->tokens);
    json_decref(o->to_answer);
    json_decref(o->urls);
    json_decref(o->order_error);
    json_decref(o->open);
    json_decref(o->lookup);
    cm_free(o);
}

const char *acme_order_step(const struct acme_order *o)
{
    return acme_steps[o->step].name;
}
