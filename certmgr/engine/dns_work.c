/*
 * Wishes for TXT values: the journal first, then the queue of operations.
 *
 * An entry of the journal is durable before the first call that could write its value, and goes
 * when the provider said that the value is gone.  The sweep takes away what belongs to no order
 * under way (reference/acme.md D5, 6.3 rules 1 to 4).
 */
#include "certmgr/engine/dns_work.h"

#include <string.h>

#define START_MS 50 /* the first sweep: an order that goes on is known by its saved state */

/* Waits for a commit, which cannot be cancelled. */
struct dns_wish {
    struct engine *engine; /* a reference */
    struct dns_op *op;     /* NULL = ended */
};

void eng_dns_work_turn(struct engine *engine)
{
    if (engine->dns->turn)
        cm_timer_start(engine->dns->turn, 0);
}

/* ---- wishes ------------------------------------------------------------------------------- */

void dns_wish_end(struct dns_wish *wish)
{
    wish->op = NULL;
}

static void on_durable(void *arg, int code, const struct cm_err *err)
{
    struct dns_wish *wish = arg;
    struct engine *engine = wish->engine;
    struct dns_op *op = wish->op;
    cm_free(wish);
    if (op) {
        op->wish = NULL;
        op->journalled = code == 0;
        if (code != 0)
            dns_op_end(op, err);
        eng_dns_work_turn(engine);
    }
    eng_unref(engine);
}

/* The operation may begin when everything written so far is on the disk. */
static void when_durable(struct dns_op *op)
{
    struct dns_wish *wish = cm_calloc(1, sizeof(*wish));
    *wish = (struct dns_wish){.engine = op->engine, .op = op};
    op->wish = wish;
    op->engine->refs++;
    cs_after_commit(op->engine->env.store, on_durable, wish);
}

static json_t *entry_of(const struct eng_dns_value *value, const char *state)
{
    json_t *entry = json_object();
    cm_json_set_str(entry, "account", value->account);
    cm_json_set_str(entry, "zone", value->zone);
    cm_json_set_str(entry, "fqdn", value->fqdn);
    cm_json_set_str(entry, "value", value->value);
    cm_json_set_str(entry, "state", state);
    cm_json_set_time(entry, "at", cm_now_ms());
    return entry;
}

void eng_dns_add(struct engine *engine, const struct eng_dns_value *value, dnsp_trace_fn trace,
                 eng_done_fn done, void *arg)
{
    char key[DNS_KEY_MAX];
    dns_journal_key(value, key);
    CM_AUTO_JSON before = dns_journal_get(engine, key);
    CM_AUTO_JSON entry = entry_of(value, "adding");
    if (json_object_get(before, "record"))
        json_object_set(entry, "record", json_object_get(before, "record"));
    dns_journal_put(engine, key, entry);
    struct dns_op *op = dns_op_new(engine, key, entry, true);
    op->trace = trace;
    op->done = done;
    op->arg = arg;
    when_durable(op);
}

void dns_work_remove(struct engine *engine, const char *key, json_t *entry, dnsp_trace_fn trace,
                     eng_done_fn done, void *arg)
{
    if (!dns_journal_is(entry, "removing")) {
        CM_AUTO_JSON changed = json_copy(entry);
        if (dns_journal_is(entry, "adding")) /* nobody said that it was set */
            cm_json_set_bool(changed, "unsure", true);
        cm_json_set_str(changed, "state", "removing");
        json_object_del(changed, "attempts");
        json_object_del(changed, "next_at");
        dns_journal_put(engine, key, changed);
    }
    for (struct dns_op *at = engine->dns->ops; !done && at; at = at->next) {
        if (!at->adding && strcmp(at->key, key) == 0)
            return;
    }
    struct dns_op *op = dns_op_new(engine, key, entry, false);
    op->trace = trace;
    op->done = done;
    op->arg = arg;
    op->journalled = true; /* by the addition */
    eng_dns_work_turn(engine);
}

void eng_dns_remove(struct engine *engine, const struct eng_dns_value *value, dnsp_trace_fn trace,
                    eng_done_fn done, void *arg)
{
    char key[DNS_KEY_MAX];
    dns_journal_key(value, key);
    CM_AUTO_JSON entry = dns_journal_get(engine, key);
    if (!entry) {
        entry = entry_of(value, "set");
        dns_journal_put(engine, key, entry);
    }
    dns_work_remove(engine, key, entry, trace, done, arg);
}

static struct dns_op *waiting_addition(struct engine *engine, const char *owner)
{
    for (struct dns_op *op = engine->dns->ops; op; op = op->next)
        if (op->adding && !op->call && strcmp(op->owner, owner) == 0)
            return op;
    return NULL;
}

/* Additions that have not begun are not wanted any more.  Who is told may release others, or the
 * same once more. */
static void stop_additions(struct engine *engine, const char *owner)
{
    struct cm_err err = CM_ERR_INIT;
    struct dns_op *op;
    cm_fail(&err, CM_ECLOSED, "The TXT value is not wanted any more");
    while ((op = waiting_addition(engine, owner)))
        dns_op_end(op, &err);
    cm_err_fini(&err);
}

void eng_dns_release(struct engine *engine, const char *owner)
{
    CM_AUTO_JSON all = dns_journal(engine, owner);
    const char *key;
    json_t *entry;
    if (json_object_size(all) == 0)
        return;
    stop_additions(engine, owner);
    json_object_foreach(all, key, entry)
    {
        dns_work_remove(engine, key, entry, NULL, NULL, NULL);
    }
}

void eng_dns_release_others(struct engine *engine, const char *owner, const char *account,
                            const char *keep)
{
    CM_AUTO_JSON all = dns_journal(engine, owner);
    const char *key;
    json_t *entry;
    json_object_foreach(all, key, entry)
    {
        if (strcmp(cm_json_str_or(entry, "account", ""), account) == 0 &&
            strcmp(cm_json_str_or(entry, "value", ""), keep) != 0)
            dns_work_remove(engine, key, entry, NULL, NULL, NULL);
    }
}

/* ---- life --------------------------------------------------------------------------------- */

void eng_dns_work_start(struct engine *engine)
{
    if (!engine->env.manager)
        return;
    engine->dns->turn = cm_timer_new(engine->env.loop, dns_turn, engine);
    engine->dns->sweep = cm_timer_new(engine->env.loop, dns_sweep, engine);
    if (!engine->env.held) /* an old copy does not know what is left over */
        cm_timer_start(engine->dns->sweep, START_MS);
}

void eng_dns_work_stop(struct engine *engine)
{
    struct cm_err err = CM_ERR_INIT;
    cm_fail(&err, CM_ECLOSED, "The engine was stopped");
    cm_timer_free(engine->dns->turn);
    cm_timer_free(engine->dns->sweep);
    engine->dns->turn = engine->dns->sweep = NULL;
    while (engine->dns->ops) {
        struct dns_op *op = engine->dns->ops;
        if (op->call)
            dns_call_cancel(op->call);
        dns_op_end(op, &err);
    }
    cm_err_fini(&err);
}
