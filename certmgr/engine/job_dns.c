/*
 * The TXT values of a job: all are set first, then waited for once, then the CA is told.
 *
 * Values that people write themselves (kind "manual") are shown together; when somebody says that
 * they are there, they are looked up before the CA is told (reference/acme.md D4, D7).
 */
#include "certmgr/engine/job.h"

#include <string.h>

#include "certmgr/acme/proof.h"
#include "certmgr/engine/dns.h"

#define PEOPLE_LIMIT_S 60 /* a look-up after "go on" */

/* One addition or wait under way; freed by its answer when the job went first. */
struct part {
    struct part *next;
    struct job_dns *owner; /* NULL = the job went */
    struct dns_wait *wait;
    struct eng_dns_account *account;
    int64_t asked_ms; /* servers are asked since then, monotonic; 0 = a fixed time is waited */
};

enum phase { SETTING, SEEING, PEOPLE, LOOKING };

struct job_dns {
    struct job *job;
    enum phase phase;
    struct job_call *call;
    json_t *values; /* [{account, zone, fqdn, value}] written by accounts */
    json_t *people; /* [{fqdn, value, account}] written by people */
    struct part *parts;
    bool asking;    /* people are waited for */
    bool confirmed; /* they said it is there */
    int64_t since_ms;
    struct cm_err err, problem;
};

static void go_on(struct job_dns *dns);

static struct part *part_new(struct job_dns *dns)
{
    struct part *part = cm_calloc(1, sizeof(*part));
    *part = (struct part){.next = dns->parts, .owner = dns};
    dns->parts = part;
    return part;
}

/* False: nobody waits for it any more. */
static bool part_end(struct part *part)
{
    struct job_dns *dns = part->owner;
    for (struct part **at = dns ? &dns->parts : NULL; at && *at; at = &(*at)->next) {
        if (*at == part) {
            *at = part->next;
            break;
        }
    }
    eng_dns_unref(part->account);
    cm_free(part);
    return dns != NULL;
}

void job_dns_drop(struct job *job)
{
    struct job_dns *dns = job->dns;
    if (!dns)
        return;
    job->dns = NULL;
    if (dns->asking)
        job->engine->asking--;
    while (dns->parts) {
        struct part *part = dns->parts;
        if (part->wait) {
            dns_wait_cancel(part->wait);
            part_end(part);
        } else {
            dns->parts = part->next;
            part->owner = NULL;
        }
    }
    if (dns->call)
        job_call_free(dns->call); /* nobody answers it any more */
    json_decref(dns->values);
    json_decref(dns->people);
    cm_err_fini(&dns->err);
    cm_err_fini(&dns->problem);
    cm_free(dns);
}

static void finish(struct job_dns *dns, const struct cm_err *err)
{
    struct cm_err copy;
    struct job_call *call = dns->call;
    cm_err_copy(&copy, err ? err : &CM_ERR_INIT);
    dns->call = NULL;
    job_dns_drop(dns->job);
    job_call_answer(call, copy.code ? &copy : NULL);
    cm_err_fini(&copy);
}

/* ---- people -------------------------------------------------------------------------------------
 */

static void ask_people(struct job_dns *dns)
{
    dns->asking = true;
    dns->confirmed = false;
    dns->job->engine->asking++;
    sched_room(dns->job->engine);
    eng_step(dns->job->engine, dns->job->ulid, CM_LOG_WARN,
             "Waiting for people: %zu TXT record%s to be written by hand, then \"go on\"",
             json_array_size(dns->people), json_array_size(dns->people) == 1 ? " has" : "s have");
}

const json_t *job_dns_people(const struct job *job, const char **ret_problem)
{
    const struct job_dns *dns = job->dns;
    *ret_problem = dns && dns->problem.code ? dns->problem.what : NULL;
    return dns && dns->asking ? dns->people : NULL;
}

int job_dns_go_on(struct job *job, const char *who, struct cm_err *err)
{
    struct job_dns *dns = job->dns;
    if (!dns || !dns->asking)
        return cm_fail(err, CM_ECONFLICT, "This credential waits for nobody to write a TXT record");
    eng_step(job->engine, job->ulid, CM_LOG_INFO,
             "%s says that the TXT records are written; looking them up", who);
    dns->asking = false;
    dns->confirmed = true;
    job->engine->asking--;
    go_on(dns);
    return 0;
}

/* ---- waiting until they are seen ----------------------------------------------------------------
 */

static bool is_by_people(const struct eng_dns_account *account)
{
    return eng_dns_by_hand(account);
}

static void on_seen(void *arg, const json_t *report, const struct cm_err *err)
{
    struct part *part = arg;
    struct job_dns *dns = part->owner;
    bool by_people = is_by_people(part->account);
    (void)report; /* the error says who did not see what */
    part->wait = NULL;
    if (!err && !by_people && part->asked_ms > 0)
        eng_dns_measured(dns->job->engine, part->account->name, cm_mono_ms() - part->asked_ms);
    if (err && by_people && dns->problem.code == 0) {
        cm_err_copy(&dns->problem, err);
        eng_step(dns->job->engine, dns->job->ulid, CM_LOG_WARN, "Not seen yet: %s", err->what);
    } else if (err && !by_people && dns->err.code == 0) {
        cm_err_copy(&dns->err, err);
        cm_wrap(&dns->err, err->code, "The TXT values are not seen everywhere");
    }
    part_end(part);
    go_on(dns);
}

/* Values of one account: [{"fqdn","value"}] (owned). */
static json_t *values_of(const json_t *values, const char *account)
{
    json_t *out = json_array();
    size_t i;
    json_t *value;
    json_array_foreach(values, i, value)
    {
        if (strcmp(cm_json_str_or(value, "account", ""), account) == 0)
            json_array_append(out, value);
    }
    return out;
}

static void wait_for_account(struct job_dns *dns, struct eng_dns_account *take,
                             const json_t *values)
{
    struct dns_wait_options options = eng_dns_wait_options(take);
    if (is_by_people(take)) {
        options.fixed_s = 0;
        options.start_ms = 0;
        options.limit_s = PEOPLE_LIMIT_S;
    }
    if ((!options.authoritative && !options.resolvers && !options.resolver &&
         options.fixed_s == 0) ||
        !eng_dns_resolver(take)) {
        eng_dns_unref(take); /* switched off by hand */
        return;
    }
    struct part *part = part_new(dns);
    part->account = take;
    part->asked_ms = options.fixed_s > 0 ? 0 : cm_mono_ms();
    part->wait = dns_wait(dns->job->engine->env.loop, eng_dns_resolver(take), values, &options,
                          on_seen, part);
}

/* One wait per account: each has its own resolvers and ways. */
static void wait_for_all(struct job_dns *dns, json_t *values)
{
    CM_AUTO_JSON done = json_object();
    size_t i;
    json_t *value;
    json_array_foreach(values, i, value)
    {
        const char *name = cm_json_str_or(value, "account", "");
        if (json_object_get(done, name))
            continue;
        json_object_set_new(done, name, json_true());
        struct eng_dns_account *account = eng_dns_account(dns->job->engine, name);
        CM_AUTO_JSON own = values_of(values, name);
        if (account)
            wait_for_account(dns, account, own);
        else if (dns->err.code == 0)
            cm_fail(&dns->err, CM_ENOENT, "DNS account %s was removed or switched off", name);
    }
}

/* ---- the order of things ------------------------------------------------------------------------
 */

static void all_done(struct job_dns *dns)
{
    struct job *job = dns->job;
    eng_step(job->engine, job->ulid, CM_LOG_INFO, "All TXT values are seen (%d ms)",
             (int)(cm_mono_ms() - dns->since_ms));
    if (json_array_size(dns->people) > 0)
        eng_step(job->engine, job->ulid, CM_LOG_INFO,
                 "The TXT records written by hand can be removed when the certificate is issued");
    finish(dns, NULL);
}

/* Every part of the present phase has ended. */
static void go_on(struct job_dns *dns)
{
    while (!dns->parts) {
        if (dns->err.code != 0) {
            finish(dns, &dns->err);
            return;
        }
        switch (dns->phase) {
        case SETTING:
            dns->phase = SEEING;
            wait_for_all(dns, dns->values);
            break;
        case SEEING:
        case PEOPLE:
            if (json_array_size(dns->people) > 0 && !dns->confirmed) {
                dns->phase = PEOPLE;
                ask_people(dns);
                return;
            }
            dns->phase = LOOKING;
            cm_err_fini(&dns->problem);
            wait_for_all(dns, dns->people);
            break;
        case LOOKING:
            if (dns->problem.code == 0) {
                all_done(dns);
                return;
            }
            dns->confirmed = false;
            dns->phase = PEOPLE;
            break;
        }
    }
}

/* ---- one value at a time ------------------------------------------------------------------------
 */

static bool is_single(struct engine *engine, const char *name)
{
    struct eng_dns_account *account = eng_dns_account(engine, name);
    struct dnsp_account view = account ? eng_dns_view(account) : (struct dnsp_account){0};
    bool single = account && dnsp_one_value(&view);
    eng_dns_unref(account);
    return single;
}

static bool needs_slot(const struct job *job, const json_t *token)
{
    const json_t *choice =
        cm_json_obj(cm_json_obj(job->order, "challenges"), cm_json_str_or(token, "host", ""));
    return choice && strcmp(cm_json_str_or(token, "type", ""), ACME_DNS01) == 0 &&
           is_single(job->engine, cm_json_str_or(choice, "account", ""));
}

bool job_dns_at_once(void *arg, const json_t *chosen, const json_t *token)
{
    const struct job *job = arg;
    size_t i;
    json_t *other;
    if (!needs_slot(job, token))
        return true;
    json_array_foreach(chosen, i, other)
    {
        if (needs_slot(job, other))
            return false;
    }
    return true;
}

/* ---- setting ------------------------------------------------------------------------------------
 */

static void on_set(void *arg, const struct cm_err *err)
{
    struct part *part = arg;
    struct job_dns *dns = part->owner;
    if (dns && err && dns->err.code == 0)
        cm_err_copy(&dns->err, err);
    if (part_end(part))
        go_on(dns);
}

static void set_values(struct job_dns *dns)
{
    size_t i;
    json_t *item;
    json_array_foreach(dns->values, i, item)
    {
        struct eng_dns_value value = {.owner = dns->job->ulid,
                                      .account = cm_json_str(item, "account"),
                                      .zone = cm_json_str(item, "zone"),
                                      .fqdn = cm_json_str(item, "fqdn"),
                                      .value = cm_json_str(item, "value")};
        eng_dns_add(dns->job->engine, &value, NULL, on_set, part_new(dns));
    }
}

/* Values of an earlier round at accounts that hold one value only make room (order.h). */
static void make_room(struct job_dns *dns)
{
    size_t i;
    json_t *value;
    json_array_foreach(dns->values, i, value)
    {
        const char *name = cm_json_str_or(value, "account", "");
        if (is_single(dns->job->engine, name))
            eng_dns_release_others(dns->job->engine, dns->job->ulid, name,
                                   cm_json_str_or(value, "value", ""));
    }
}

/* What a token wants written, where and by whom. */
static void take_token(struct job_dns *dns, const json_t *token)
{
    const char *host = cm_json_str_or(token, "host", "");
    const json_t *choice = cm_json_obj(cm_json_obj(dns->job->order, "challenges"), host);
    const char *name = cm_json_str_or(choice, "account", "");
    struct eng_dns_account *account = eng_dns_account(dns->job->engine, name);
    char text[ACME_TXT_SIZE];
    if (!account) {
        cm_fail(&dns->err, CM_ENOENT,
                "DNS account %s, which proves %s, was removed or switched off", name, host);
        dns->err.retry = CM_RETRY_CONFIGURATION;
        return;
    }
    acme_dns01_value(cm_json_str_or(token, "key_authorization", ""), text);
    json_t *value = json_copy((json_t *)(uintptr_t)choice);
    cm_json_set_str(value, "value", text);
    json_array_append_new(is_by_people(account) ? dns->people : dns->values, value);
    eng_dns_unref(account);
}

static void begin(struct job *job, const struct cm_err *unused)
{
    (void)unused;
    if (job->dns)
        go_on(job->dns);
}

void job_dns_publish(struct job *job, const json_t *tokens, struct job_call *call)
{
    struct job_dns *dns = cm_calloc(1, sizeof(*dns));
    size_t i;
    json_t *token;
    job_dns_drop(job);
    *dns = (struct job_dns){.job = job,
                            .call = call,
                            .values = json_array(),
                            .people = json_array(),
                            .since_ms = cm_mono_ms()};
    job->dns = dns;
    json_array_foreach(tokens, i, token)
    {
        take_token(dns, token);
    }
    if (dns->err.code == 0) {
        make_room(dns);
        set_values(dns);
    }
    if (!dns->parts)
        job_later(job, 0, begin); /* never from inside */
}
