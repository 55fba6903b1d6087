/*
 * Which challenge proves a name (design.md 8): dns-01 when a DNS account covers the name to write
 * to, CNAMEs followed; else what the credential says, else its account, else http-01.
 *
 * Decided before ordering and saved with the order, so that a job that goes on later writes and
 * removes at the same places.
 */
#include "certmgr/engine/ari.h"
#include "certmgr/engine/job.h"

#include <string.h>

#include "base/net/hostname.h"
#include "certmgr/acme/proof.h"
#include "certmgr/engine/dns.h"

/* The member `challenge` of a document as static text, or NULL. */
static const char *choice_of(const json_t *body)
{
    const char *text = cm_json_str(body, "challenge");
    if (text && strcmp(text, ACME_TLSALPN) == 0)
        return ACME_TLSALPN;
    return text && strcmp(text, ACME_HTTP01) == 0 ? ACME_HTTP01 : NULL;
}

const char *eng_challenge_type(struct job *job, const char *name)
{
    if (cm_json_obj(cm_json_obj(job->order, "challenges"), name))
        return ACME_DNS01;
    const char *type = choice_of(job->credential);
    if (!type)
        type = choice_of(job->account->body);
    return type ? type : ACME_HTTP01;
}

/* ---- one name -----------------------------------------------------------------------------------
 */

json_t *eng_choose_dns(struct engine *engine, const char *name, const struct dns_place *place)
{
    char owner[DNS_OWNER_TEXT];
    if (hostname_is_ip(name))
        return NULL;
    eng_dns_owner(name, owner);
    const char *target = place ? place->name : owner;
    /* The target's zone decides; an account may also claim names whose challenges lie elsewhere. */
    const struct eng_dns_account *account = eng_dns_cover(engine, target);
    if (!account)
        account = eng_dns_cover(engine, owner);
    if (!account)
        return NULL;
    json_t *choice = json_object();
    cm_json_set_str(choice, "account", account->name);
    cm_json_set_str(choice, "fqdn", target);
    cm_json_set_str(choice, "zone", place && place->zone ? place->zone : "");
    return choice;
}

/* ---- all names ----------------------------------------------------------------------------------
 */

static bool is_wildcard(const char *name)
{
    return strncmp(name, "*.", 2) == 0;
}

static int refuse_wildcard(const char *name, const json_t *place, struct cm_err *err)
{
    const char *target = cm_json_str(place, "cname");
    cm_fail(err, CM_EHUMAN,
            "The wildcard %s can be proved by DNS-01 only, and no DNS account covers %s", name,
            target ? target : name + 2);
    if (target)
        cm_err_cause(err, "_acme-challenge.%s is a CNAME to %s", name + 2, target);
    cm_err_hint(err,
                "Add a DNS account whose domains name %s, or name the hosts one by one without the "
                "wildcard.",
                target ? target : name + 2);
    err->retry = CM_RETRY_CONFIGURATION;
    return CM_EHUMAN;
}

/* places: {name: {choice?, cname?}}. */
static int decide(struct job *job, const json_t *places, struct cm_err *err)
{
    json_t *challenges = json_object();
    size_t i;
    json_t *item;
    int rc = 0;
    json_array_foreach(cm_json_arr(job->order, "names"), i, item)
    {
        const char *name = json_string_value(item);
        const json_t *place = json_object_get(places, name);
        json_t *choice = cm_json_obj(place, "choice");
        if (choice)
            json_object_set(challenges, name, choice);
        else if (is_wildcard(name) && rc == 0)
            rc = refuse_wildcard(name, place, err);
    }
    if (rc == 0 && json_object_size(challenges) > 0)
        json_object_set(job->order, "challenges", challenges);
    json_decref(challenges);
    return rc;
}

static void decided(struct job *job, const struct cm_err *unused)
{
    struct cm_err err = CM_ERR_INIT;
    (void)unused;
    int rc = decide(job, job->places, &err);
    json_decref(job->places);
    job->places = NULL;
    if (rc != 0)
        job_fail(job, &err);
    else
        job_order_start(job);
    cm_err_fini(&err);
}

static void keep(struct job *job, const char *name, const struct dns_place *place)
{
    json_t *one = json_object();
    cm_json_set(one, "choice", eng_choose_dns(job->engine, name, place));
    if (place && place->hops > 0)
        cm_json_set_str(one, "cname", place->name);
    json_object_set_new(job->places, name, one);
}

static void on_place(void *arg, const struct dns_place *place, const struct cm_err *err)
{
    struct job_call *call = arg;
    struct job *job = call->job;
    const char *name = json_string_value(call->value);
    call->find = NULL;
    if (err) {
        /* The provider may know its zone all the same; a name that no account covers goes the way
         * it always went. */
        cm_log_err(CM_LOG_DEBUG, "engine", err);
        place = NULL;
    }
    keep(job, name, place);
    job_call_free(call);
    if (json_object_size(job->places) == json_array_size(cm_json_arr(job->order, "names")))
        decided(job, NULL);
}

static void choose_names(struct job *job)
{
    struct engine *engine = job->engine;
    const json_t *names = cm_json_arr(job->order, "names");
    size_t i;
    json_t *item;
    json_object_del(job->order, "challenges");
    json_decref(job->places);
    job->places = json_object();
    bool lookups = eng_dns_any(engine) && engine->env.dns;
    json_array_foreach(names, i, item)
    {
        const char *name = json_string_value(item);
        if (!lookups || hostname_is_ip(name)) {
            keep(job, name, NULL);
            continue;
        }
        char owner[DNS_OWNER_TEXT];
        eng_dns_owner(name, owner);
        struct eng_dns_account *account = eng_dns_cover(engine, owner);
        struct job_call *call = job_call_new(job);
        call->value = json_string(name);
        call->find =
            dns_place_find(engine->env.loop, account ? eng_dns_resolver(account) : engine->env.dns,
                           owner, on_place, call);
    }
    if (json_object_size(job->places) == json_array_size(names))
        decided(job, NULL);
}

void job_choose(struct job *job)
{
    const json_t *acme = cm_json_obj(job->order, "acme");
    bool begun = cm_json_str(acme, "order_url") || cm_json_str(acme, "ordering_at");
    if (!begun && !job->trial)
        eng_ari_order(job->credential, job->account, job->order);
    if (!job_budget(job))
        return;
    if (begun) {
        job_order_start(job); /* decided when it was made */
        return;
    }
    choose_names(job);
}
