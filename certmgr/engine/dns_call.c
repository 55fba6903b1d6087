/*
 * One call to a provider.  Where the kind sends several changes together, everything that waits
 * for the same account and zone goes with the first of them: nobody waits for company, what gathers
 * while one call is under way goes with the next one (dns_turn.c).
 *
 * Such a call is made as a whole or not at all.  What the provider refuses is tried once more value
 * by value, so that one name that it does not take is no harm to the others.
 */
#include "certmgr/engine/dns_work.h"

#include <string.h>

/* ---- company ------------------------------------------------------------------------------ */

static size_t size_of(const struct dns_op *op)
{
    return dnsp_change_size(op->fqdn, op->value);
}

/* A traced one is a person's test: its lines are its own. */
bool dns_call_takes(const struct dns_op *op)
{
    struct dnsp_account view = eng_dns_view(op->account);
    return !op->alone && !op->trace && op->zone[0] != '\0' && dnsp_together(&view) > 1;
}

static void join(struct dns_call *call, struct dns_op *op)
{
    if (op->account != call->account) { /* not looked up yet, or read again */
        eng_dns_unref(op->account);
        op->account = call->account;
        op->account->refs++;
    }
    op->call = call;
    op->since_ms = cm_mono_ms();
    call->ops[call->count++] = op;
}

static void gather(struct dns_call *call)
{
    struct dns_op *first = call->ops[0];
    size_t bytes = size_of(first);
    for (struct dns_op *op = first->next; op && call->count < DNSP_TOGETHER_MAX; op = op->next) {
        if (op->call || !op->journalled || op->alone || op->trace ||
            strcmp(op->name, first->name) != 0 || strcmp(op->zone, first->zone) != 0 ||
            bytes + size_of(op) > DNSP_TOGETHER_BYTES || dns_turn_blocked(op, call) ||
            !dns_turn_wanted(op))
            continue;
        bytes += size_of(op);
        join(call, op);
    }
}

/* ---- answer ------------------------------------------------------------------------------- */

static void call_free(struct dns_call *call)
{
    eng_dns_unref(call->account);
    cm_free(call);
}

/* Silence is no answer: asking again for each value would only take longer. */
static bool is_refusal(const struct cm_err *err)
{
    return err->code != CM_ENET && err->code != CM_ETIMEOUT && err->code != CM_ECLOSED;
}

static void on_called(void *arg, const json_t *record, const struct cm_err *err)
{
    struct dns_call *call = arg;
    bool again = err && call->count > 1 && is_refusal(err);
    call->dnsp = NULL;
    call->account->active--;
    if (again)
        cm_log(CM_LOG_INFO, "engine", call->account->name,
               "%zu TXT values were refused together, each is tried by itself: %s", call->count,
               err->what);
    /* Those that come later still have their call while the ones before them are told. */
    for (size_t i = 0; i < call->count; i++) {
        struct dns_op *op = call->ops[i];
        op->call = NULL;
        op->alone = again;
        if (!again)
            dns_op_answer(op, record, err);
    }
    eng_dns_work_turn(call->engine);
    call_free(call);
}

static void on_line(void *arg, const char *line)
{
    const struct dns_call *call = arg;
    const struct dns_op *op = call->ops[0];
    if (op->trace)
        op->trace(op->arg, line);
}

/* ---- life --------------------------------------------------------------------------------- */

static struct dnsp_env env_of(const struct eng_dns_account *account)
{
    const struct eng_env *env = &account->engine->env;
    return (struct dnsp_env){.loop = env->loop,
                             .http = env->http,
                             .dns = eng_dns_resolver(account),
                             .lab_http = env->lab_http,
                             .exec = env->dns_exec,
                             .exec_arg = env->dns_exec_arg};
}

static struct dnsp_call *send_one(struct dns_call *call, const struct dnsp_account *view)
{
    const struct dns_op *op = call->ops[0];
    const char *fqdn = op->fqdn, *value = op->value;
    if (op->adding)
        return dnsp_add(&call->account->provider, view, fqdn, value, on_line, on_called, call);
    return dnsp_delete(&call->account->provider, view, fqdn, value,
                       json_object_get(op->entry, "record"), on_line, on_called, call);
}

static struct dnsp_call *send_all(struct dns_call *call, const struct dnsp_account *view)
{
    struct dnsp_change changes[DNSP_TOGETHER_MAX];
    for (size_t i = 0; i < call->count; i++)
        changes[i] = (struct dnsp_change){.fqdn = call->ops[i]->fqdn,
                                          .value = call->ops[i]->value,
                                          .adding = call->ops[i]->adding};
    return dnsp_change(&call->account->provider, view, changes, call->count, on_line, on_called,
                       call);
}

void dns_call_start(struct dns_op *op)
{
    struct eng_dns_account *account = op->account;
    struct dnsp_account view = eng_dns_view(account);
    struct dns_call *call = cm_calloc(1, sizeof(*call));
    *call = (struct dns_call){.engine = op->engine, .account = account};
    account->refs++;
    account->provider = env_of(account);
    account->active++;
    cm_timer_start(account->timer, DNS_SECRETS_MS);
    join(call, op);
    if (dns_call_takes(op))
        gather(call);
    call->dnsp = call->count > 1 ? send_all(call, &view) : send_one(call, &view);
}

void dns_call_cancel(struct dns_call *call)
{
    dnsp_cancel(call->dnsp);
    call->account->active--;
    for (size_t i = 0; i < call->count; i++)
        call->ops[i]->call = NULL;
    call_free(call);
}
