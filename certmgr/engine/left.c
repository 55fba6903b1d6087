/*
 * What a failed order leaves open at the CA (RFC 8555 7.5.2): authorizations that are still pending
 * count against the CA's limits, so they are given up.
 *
 * After the failure is recorded, and only as a courtesy: one at a time, read first (a valid one is
 * of use to the next order), none that an order of this server works with, and the first refusal
 * ends it.  A restart forgets the rest.
 */
#include "certmgr/engine/ca_op.h"

#include "certmgr/acme/resource.h"
#include "certmgr/engine/job.h"

struct eng_left {
    struct eng_left *next;
    struct engine *engine;
    char *account;
    char ulid[CM_ULID_TEXT];
    json_t *urls;
    size_t index, given_up;
    struct eng_op *op;
    struct cm_timer *timer;
};

static void look(void *arg);

static void left_free(struct eng_left *left)
{
    struct eng_left **at = &left->engine->lefts;
    while (*at && *at != left)
        at = &(*at)->next;
    if (*at)
        *at = left->next;
    eng_op_free(left->op);
    cm_timer_free(left->timer);
    json_decref(left->urls);
    cm_free(left->account);
    cm_free(left);
}

void eng_lefts_stop(struct engine *engine)
{
    while (engine->lefts)
        left_free(engine->lefts);
}

static void left_end(struct eng_left *left)
{
    if (left->given_up > 0)
        eng_step(left->engine, left->ulid, CM_LOG_INFO,
                 "%zu authorization%s of the failed order that nobody waits for given up at the CA",
                 left->given_up, left->given_up == 1 ? "" : "s");
    left_free(left);
}

static const char *url_of(const struct eng_left *left)
{
    return json_string_value(json_array_get(left->urls, left->index));
}

static bool ask(struct eng_left *left, const char *payload, acme_op_fn done)
{
    struct cm_err err = CM_ERR_INIT;
    struct eng_op_spec spec = {.account = left->account,
                               .request = {.kind = ACME_OP_KID,
                                           .url = url_of(left),
                                           .payload = payload,
                                           .what = "an authorization left open",
                                           .about = ACME_ABOUT_ORDER}};
    left->op = eng_op_new(left->engine, &spec, done, left, &err);
    cm_err_fini(&err);
    return left->op != NULL;
}

static void next(struct eng_left *left)
{
    left->index++;
    cm_timer_start(left->timer, 0);
}

static void on_given_up(void *arg, const struct acme_op_reply *reply, const struct cm_err *err)
{
    struct eng_left *left = arg;
    (void)reply;
    left->op = NULL;
    if (err) {
        left_end(left);
        return;
    }
    left->given_up++;
    next(left);
}

/* The answer to a GET comes while its operation ends, so what follows begins on another turn. */
static void give_up(void *arg)
{
    struct eng_left *left = arg;
    cm_timer_free(left->timer);
    left->timer = cm_timer_new(left->engine->env.loop, look, left);
    if (acme_authz_in_use(url_of(left)))
        next(left);
    else if (!ask(left, "{\"status\":\"deactivated\"}", on_given_up))
        left_end(left);
}

static void on_read(void *arg, const struct acme_op_reply *reply, const struct cm_err *err)
{
    struct eng_left *left = arg;
    enum acme_status status;
    left->op = NULL;
    if (err && reply->status != 404) {
        left_end(left);
    } else if (err || acme_status_parse(reply->json, &status, NULL) < 0 || status != ACME_PENDING) {
        next(left);
    } else {
        cm_timer_free(left->timer);
        left->timer = cm_timer_new(left->engine->env.loop, give_up, left);
        cm_timer_start(left->timer, 0);
    }
}

static void look(void *arg)
{
    struct eng_left *left = arg;
    if (left->index >= json_array_size(left->urls))
        left_end(left);
    else if (!url_of(left) || acme_authz_in_use(url_of(left)))
        next(left);
    else if (!ask(left, "", on_read))
        left_end(left);
}

void eng_left(const struct job *job)
{
    struct engine *engine = job->engine;
    const json_t *urls = cm_json_arr(cm_json_obj(job->order, "acme"), "left");
    size_t running = 0;
    for (const struct eng_left *other = engine->lefts; other; other = other->next)
        running++;
    if (json_array_size(urls) == 0 || !job->account || running >= ENG_LEFTS_MAX || engine->dead)
        return;
    struct eng_left *left = cm_calloc(1, sizeof(*left));
    left->engine = engine;
    left->account = cm_strdup(job->account->name);
    (void)cm_strcpy(left->ulid, sizeof(left->ulid), job->ulid);
    left->urls = json_deep_copy(urls);
    left->next = engine->lefts;
    engine->lefts = left;
    left->timer = cm_timer_new(engine->env.loop, look, left);
    cm_timer_start(left->timer, 0);
}
