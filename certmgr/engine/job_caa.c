/*
 * CAA (RFC 8659) around an order.
 *
 * Before every newOrder, at whichever CA: a record that forbids it is found here and not by a
 * refused order, says what to do, and the next CA of the credential's list has its turn.  What
 * cannot be looked up from here is the CA's to judge, and no order waits longer than ENG_CAA_MS to
 * see.  A CA that nobody knows the CAA names of (no caaIdentities in its directory, no record in
 * certmgr/acme/presets.c) is asked without a look: there is nothing to compare.
 *
 * After a CA has refused for CAA: the records that are seen from here and the CA's own names go
 * into the error, so that whoever reads it sees both sides.
 */
#include <string.h>

#include "base/net/hostname.h"
#include "certmgr/acme/ca.h"
#include "certmgr/acme/presets.h"
#include "certmgr/acme/problem.h"
#include "certmgr/dns/caa.h"
#include "certmgr/engine/job.h"

/* One look at all names of the order. */
struct job_caa {
    struct job *job;
    struct job_call *call; /* the order waits for it, or NULL */
    struct cm_timer *timer;
    size_t left, asked, unseen;
    struct cm_err denied; /* the first denial, or code 0 */
    json_t *seen;         /* {"at": [record…]} */
    void (*done)(struct job_caa *caa);
    size_t count;
    struct caa_look {
        struct job_caa *all;
        struct caa_check *check; /* under way, or NULL */
    } look[];
};

json_t *eng_caa_identities(const struct eng_account *account)
{
    const struct acme_directory *directory = acme_ca_directory(account->ca);
    const struct acme_preset *known = acme_preset_of(cm_json_str(account->body, "directory"));
    if (directory->loaded && directory->caa_identities)
        return json_deep_copy(directory->caa_identities);
    CM_AUTO_JSON text = json_string(known && known->caa ? known->caa : "");
    return eng_split(text);
}

void job_caa_drop(struct job *job)
{
    struct job_caa *caa = job->caa;
    if (!caa)
        return;
    job->caa = NULL;
    if (caa->call)
        job_call_free(caa->call);
    cm_timer_free(caa->timer);
    for (size_t i = 0; i < caa->count; i++)
        if (caa->look[i].check)
            caa_cancel(caa->look[i].check);
    cm_err_fini(&caa->denied);
    json_decref(caa->seen);
    cm_free(caa);
}

static void on_caa(void *arg, const json_t *found, const struct cm_err *err)
{
    struct caa_look *look = arg;
    struct job_caa *caa = look->all;
    const char *at = cm_json_str(found, "at");
    look->check = NULL;
    if (at)
        json_object_set(caa->seen, at, cm_json_arr(found, "records"));
    if (err && err->code != CM_EDENIED)
        caa->unseen++;
    else if (err && caa->denied.code == 0)
        cm_err_copy(&caa->denied, err);
    if (--caa->left == 0)
        caa->done(caa);
}

/* Slow servers, not a silent resolver (caa_memory.h): what was seen so far has to do. */
static void on_late(void *arg)
{
    struct job_caa *caa = arg;
    caa->unseen += caa->left;
    caa->done(caa);
}

/* memory NULL: the DNS is asked.  False: there is nothing to ask. */
static bool look_at_all(struct job *job, const char *kid, struct caa_memory *memory,
                        void (*done)(struct job_caa *caa))
{
    struct eng_env *env = &job->engine->env;
    const json_t *names = cm_json_arr(job->order, "names");
    size_t count = json_array_size(names);
    if (!env->dns || !job->account || job->caa)
        return false;
    CM_AUTO_JSON identities = eng_caa_identities(job->account);
    struct job_caa *caa = cm_calloc(1, sizeof(*caa) + count * sizeof(caa->look[0]));
    *caa = (struct job_caa){.job = job, .seen = json_object(), .done = done, .count = count};
    job->caa = caa;
    for (size_t i = 0; i < count; i++) {
        const char *name = json_string_value(json_array_get(names, i));
        struct caa_question question = {
            .name = name, .identities = identities, .account_uri = kid, .memory = memory};
        caa->look[i].all = caa;
        if (!name || hostname_is_ip(name))
            continue;
        question.method = eng_challenge_type(job, name);
        caa->asked++;
        caa->look[i].check = caa_check(env->loop, env->dns, &question, on_caa, &caa->look[i]);
    }
    caa->left = caa->asked;
    caa->timer = cm_timer_new(env->loop, on_late, caa);
    cm_timer_start(caa->timer, ENG_CAA_MS);
    if (caa->left == 0)
        job_caa_drop(job);
    return job->caa != NULL;
}

/* ---- before an order ---------------------------------------------------------------------------
 */

static void judged(struct job_caa *caa)
{
    struct job *job = caa->job;
    struct job_call *call = caa->call;
    struct cm_err err = CM_ERR_INIT;
    cm_err_copy(&err, &caa->denied);
    err.retry = CM_RETRY_CONFIGURATION;
    if (err.code == 0 && caa->unseen > 0)
        eng_step(job->engine, job->ulid, CM_LOG_INFO,
                 "CAA could not be looked up for %zu of %zu names: the CA judges", caa->unseen,
                 caa->asked);
    caa->call = NULL;
    job_caa_drop(job);
    job_call_answer(call, err.code != 0 ? &err : NULL);
    cm_err_fini(&err);
}

bool job_caa_first(struct job *job, const char *kid, struct job_call *call)
{
    struct engine *engine = job->engine;
    CM_AUTO_JSON identities = eng_caa_identities(job->account);
    if (json_array_size(identities) == 0 || !engine->env.dns)
        return false;
    if (!engine->caa)
        engine->caa = caa_memory_new(engine->env.loop, engine->env.dns);
    if (!look_at_all(job, kid, engine->caa, judged))
        return false;
    job->caa->call = call;
    return true;
}

/* ---- after a refusal ---------------------------------------------------------------------------
 */

static bool is_about_caa(const json_t *problem)
{
    size_t i;
    json_t *sub;
    json_array_foreach(cm_json_arr(problem, "subproblems"), i, sub)
    {
        if (acme_problem_is(sub, "caa"))
            return true;
    }
    return acme_problem_is(problem, "caa");
}

/* The CA's own words stand before: they are never pushed out. */
static void add_cause(struct cm_err *err, const char *text)
{
    if (err->cause_count < CM_ERR_CAUSES_MAX)
        cm_err_cause(err, "%s", text);
}

static void say_identities(const struct job *job, struct cm_err *err)
{
    CM_AUTO_JSON identities = eng_caa_identities(job->account);
    struct cm_buf text;
    size_t i;
    json_t *item;
    cm_buf_init(&text, CM_ERR_TEXT_MAX);
    if (json_array_size(identities) == 0)
        cm_buf_printf(&text, "The CA does not say which names in CAA records are its own");
    json_array_foreach(identities, i, item)
    {
        cm_buf_printf(&text, "%s%.60s",
                      i ? ", " : "The CA's names in CAA records: ", json_string_value(item));
    }
    add_cause(err, cm_buf_str(&text));
    cm_buf_fini(&text);
}

static void explained(struct job_caa *caa)
{
    struct job *job = caa->job;
    const char *at;
    json_t *records, *record;
    size_t i;
    say_identities(job, &job->err);
    json_object_foreach(caa->seen, at, records)
    {
        json_array_foreach(records, i, record)
        {
            CM_AUTO_STR line = cm_asprintf("%s CAA %s", at, json_string_value(record));
            add_cause(&job->err, line);
        }
    }
    if (json_object_size(caa->seen) == 0)
        add_cause(&job->err, "From here no CAA record is seen: the CA may be answered otherwise");
    job_caa_drop(job);
    job_fail_write(job);
}

bool job_caa_explain(struct job *job)
{
    return is_about_caa(job->err.problem) &&
           look_at_all(job, cm_json_str(job->account->body, "kid"), NULL, explained);
}
