/*
 * Whose turn it is.
 *
 * Calls of one account for one owner name run one after the other, whoever wants them: a kind that
 * replaces whole sets reads, merges and writes.  Only what goes in one message may share a name.
 */
#include "certmgr/engine/dns_work.h"

#include <string.h>

/* ---- secrets ------------------------------------------------------------------------------ */

static void fail_waiting(struct eng_dns_account *account, const struct cm_err *err)
{
    struct engine *engine = account->engine;
    for (;;) {
        struct dns_op *op = engine->dns->ops;
        while (op && (op->call || op->account != account))
            op = op->next;
        if (!op)
            return;
        dns_op_fail(op, err);
    }
}

static void on_opened(void *arg, const json_t *reply, const struct cm_err *err)
{
    struct eng_dns_account *account = arg;
    struct engine *engine = account->engine;
    struct cm_err why = CM_ERR_INIT;
    const char *value = cm_json_str_or(reply, "value", "");
    account->opening = false;
    if (!engine->dead && !err &&
        cm_json_parse(value, strlen(value), &account->secrets, &why) == 0) {
        cm_timer_start(account->timer, DNS_SECRETS_MS);
        eng_dns_work_turn(engine);
    } else if (!engine->dead) {
        if (err)
            cm_err_copy(&why, err);
        cm_wrap(&why, why.code, "The secrets of DNS account %s could not be opened", account->name);
        fail_waiting(account, &why);
    }
    cm_err_fini(&why);
    eng_dns_unref(account);
    eng_unref(engine);
}

/* True when the secrets are at hand. */
static bool open_secrets(struct eng_dns_account *account)
{
    const char *sealed = cm_json_str(account->body, "sealed");
    struct engine *engine = account->engine;
    if (!account->secrets && !sealed)
        account->secrets = json_object();
    if (account->secrets)
        return true;
    if (account->opening)
        return false;
    account->opening = true;
    account->refs++;
    engine->refs++;
    json_t *request = json_object();
    cm_json_set_str(request, "op", "secret.open");
    cm_json_set_str(request, "purpose", "dns");
    cm_json_set_str(request, "name", account->name);
    cm_json_set_str(request, "sealed", sealed);
    engine->env.agent.call(engine->env.agent.arg, request, on_opened, account);
    return false;
}

/* ---- may it run? -------------------------------------------------------------------------- */

static bool same_place(const struct dns_op *a, const struct dns_op *b)
{
    return strcmp(a->fqdn, b->fqdn) == 0 && strcmp(a->name, b->name) == 0;
}

/* Goes in front of it in the same message.  A value set and taken away never does: what came of it
 * would hang on how a server reads the order. */
static bool goes_with(const struct dns_op *at, const struct dns_op *op, const struct dns_call *call)
{
    return call && at->call == call && at->adding == op->adding && strcmp(at->key, op->key) != 0;
}

/* Another call for the same account and name is under way, or waits in front of it.  A removal
 * passes additions of other values: they may wait for just this one to go. */
bool dns_turn_blocked(const struct dns_op *op, const struct dns_call *call)
{
    for (const struct dns_op *at = op->engine->dns->ops; at != op; at = at->next) {
        if (!op->adding && at->adding && !at->call && strcmp(at->key, op->key) != 0)
            continue;
        if (same_place(at, op) && !goes_with(at, op, call))
            return true;
    }
    for (const struct dns_op *at = op->next; at; at = at->next) {
        if (at->call && same_place(at, op))
            return true;
    }
    return false;
}

bool dns_turn_wanted(struct dns_op *op)
{
    if (op->adding)
        return true;
    CM_AUTO_JSON entry = dns_journal_get(op->engine, op->key);
    if (!entry || !dns_journal_is(entry, "removing") || /* gone, or wanted again */
        dns_journal_shared(op->engine, op->key))
        return false;
    dns_op_take(op, entry); /* with the record of an addition that ended meanwhile */
    return true;
}

/* What became of it while it waited; false = the operation has ended. */
static bool still_wanted(struct dns_op *op)
{
    if (dns_turn_wanted(op))
        return true;
    CM_AUTO_JSON entry = dns_journal_get(op->engine, op->key);
    if (entry && dns_journal_is(entry, "removing")) /* another order has the same value */
        dns_journal_forget(op->engine, op->key);
    dns_op_end(op, NULL);
    return false;
}

static bool has_account(struct dns_op *op)
{
    if (op->account && !op->account->dropped)
        return true;
    eng_dns_unref(op->account);
    op->account = eng_dns_account(op->engine, op->name);
    if (op->account)
        return true;
    struct cm_err err = CM_ERR_INIT;
    cm_fail(&err, CM_ENOENT, "DNS account %s does not exist or is switched off", op->name);
    err.retry = CM_RETRY_CONFIGURATION;
    dns_op_fail(op, &err);
    cm_err_fini(&err);
    return false;
}

/* Where an account holds one value only, the next one waits until the present one is gone. */
static bool is_occupied(const struct dns_op *op)
{
    struct dnsp_account view = eng_dns_view(op->account);
    if (!dnsp_one_value(&view))
        return false;
    return op->account->active > 0 ||
           (op->adding && dns_journal_occupied(op->engine, op->key, op->account->name));
}

/* What can go together waits while a call for the same zone is under way, and gathers; but a server
 * that is silent does not hold up all others.  For how long yet, in ms; 0 = not at all. */
static int64_t gathers_for(const struct dns_op *op)
{
    int64_t left = 0, now = cm_mono_ms();
    if (!op->account || !dns_call_takes(op))
        return 0;
    for (const struct dns_op *at = op->engine->dns->ops; at; at = at->next) {
        if (at->call && at->account == op->account && strcmp(at->zone, op->zone) == 0 &&
            at->since_ms + DNS_GATHER_MS - now > left)
            left = at->since_ms + DNS_GATHER_MS - now;
    }
    return left;
}

/* Has its account enough to do? */
static bool is_busy(const struct dns_op *op)
{
    return op->account && (op->account->active >= DNS_PARALLEL || gathers_for(op) > 0);
}

/* Starts or ends one operation; false = nothing can be done now. */
static bool one_turn(struct engine *engine)
{
    for (struct dns_op *op = engine->dns->ops; op; op = op->next) {
        if (op->call || !op->journalled || is_busy(op) || dns_turn_blocked(op, NULL))
            continue;
        if (!still_wanted(op) || !has_account(op))
            return true;
        if (is_busy(op) || is_occupied(op) || !open_secrets(op->account))
            continue;
        dns_call_start(op);
        return true;
    }
    return false;
}

/* The next turn, should no call end before: when one under way has been gathered for long enough.
 */
static void turn_later(struct engine *engine)
{
    int64_t next = 0, now = cm_mono_ms();
    bool waiting = false;
    for (const struct dns_op *op = engine->dns->ops; op; op = op->next) {
        int64_t left = op->call ? op->since_ms + DNS_GATHER_MS - now : 0;
        waiting = waiting || !op->call;
        if (left > 0 && (next == 0 || left < next))
            next = left;
    }
    if (waiting && next > 0 && !cm_timer_active(engine->dns->turn))
        cm_timer_start(engine->dns->turn, next);
}

void dns_turn(void *arg)
{
    while (one_turn(arg))
        ;
    turn_later(arg);
}
