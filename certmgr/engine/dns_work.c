/*
 * The hands that write to DNS providers.
 *
 * An entry of the journal is durable before the first call that could write its value, and goes
 * when the provider said that the value is gone.  The sweep takes away what belongs to no order
 * under way (reference/acme.md D5, 6.3 rules 1 to 4).
 *
 * Calls of one account for one owner name run one after the other, whoever wants them: a kind that
 * replaces whole sets reads, merges and writes.
 */
#include "certmgr/engine/dns.h"

#include <stdio.h>
#include <string.h>

#define UNSURE_TRIES 5  /* removals of a value whose addition failed */
#define START_MS     50 /* the first sweep: an order that goes on is known by its saved state */

/* Waits for a commit, which cannot be cancelled. */
struct dns_wish {
    struct engine *engine; /* a reference */
    struct dns_op *op;     /* NULL = ended */
};

struct dns_op {
    struct dns_op *next;
    struct dns_wish *wish;
    struct engine *engine;
    bool adding;
    bool journalled; /* may run */
    bool running;
    char key[DNS_KEY_MAX];
    char owner[CM_ULID_TEXT + 80];
    json_t *entry;
    struct eng_dns_account *account;
    struct dnsp_call *call;
    dnsp_trace_fn trace;
    eng_done_fn done;
    void *arg;
    int64_t since_ms;
};

static const char *text_of(const struct dns_op *op, const char *member)
{
    return cm_json_str_or(op->entry, member, "");
}

/* ---- operations ---------------------------------------------------------------------------------
 */

static void turn_soon(struct engine *engine)
{
    if (engine->dns->turn && !cm_timer_active(engine->dns->turn))
        cm_timer_start(engine->dns->turn, 0);
}

void eng_dns_work_turn(struct engine *engine)
{
    turn_soon(engine);
}

static void unlink_op(struct dns_op *op)
{
    struct eng_dns *dns = op->engine->dns;
    for (struct dns_op **at = &dns->ops; *at; at = &(*at)->next) {
        if (*at == op) {
            *at = op->next;
            break;
        }
    }
    dns->last = &dns->ops;
    while (*dns->last)
        dns->last = &(*dns->last)->next;
}

static void op_free(struct dns_op *op)
{
    json_decref(op->entry);
    eng_dns_unref(op->account);
    cm_free(op);
}

/* The operation is over: tells and frees. */
static void op_end(struct dns_op *op, const struct cm_err *err)
{
    struct engine *engine = op->engine;
    unlink_op(op);
    if (op->wish)
        op->wish->op = NULL;
    if (op->running)
        op->account->active--;
    if (op->done)
        op->done(op->arg, err);
    op_free(op);
    turn_soon(engine);
}

static struct dns_op *op_new(struct engine *engine, const char *key, json_t *entry, bool adding)
{
    struct dns_op *op = cm_calloc(1, sizeof(*op));
    *op = (struct dns_op){
        .engine = engine, .adding = adding, .entry = json_incref(entry), .since_ms = cm_mono_ms()};
    (void)cm_strcpy(op->key, sizeof(op->key), key);
    snprintf(op->owner, sizeof(op->owner), "%.*s", (int)strcspn(key, "/"), key);
    *engine->dns->last = op;
    engine->dns->last = &op->next;
    return op;
}

static void step(const struct dns_op *op, int level, const char *text)
{
    if (cm_ulid_ok(op->owner))
        eng_step(op->engine, op->owner, level, "%s", text);
    else
        cm_log(level, "engine", op->owner, "%s", text);
}

/* When a removal failed: later again, and people are told. */
static void remove_later(struct dns_op *op, const struct cm_err *err)
{
    struct engine *engine = op->engine;
    CM_AUTO_JSON entry = dns_journal_get(engine, op->key);
    if (!entry || !dns_journal_is(entry, "removing"))
        return;
    int64_t attempts = cm_json_int(entry, "attempts", 0) + 1;
    int64_t pause = DNS_RETRY_MS;
    for (int64_t i = 1; i < attempts && pause < DNS_RETRY_MAX_MS; i++)
        pause *= 2;
    pause = pause > DNS_RETRY_MAX_MS ? DNS_RETRY_MAX_MS : pause;
    if (cm_json_bool(entry, "unsure", false) && attempts >= UNSURE_TRIES) {
        dns_journal_forget(engine, op->key);
        CM_AUTO_STR end = cm_asprintf("A TXT value that DNS account %s could not set at %s is not "
                                      "looked for any more: %s",
                                      text_of(op, "account"), text_of(op, "fqdn"), err->what);
        step(op, CM_LOG_WARN, end);
        return;
    }
    cm_json_set_int(entry, "attempts", attempts);
    cm_json_set_time(entry, "next_at", cm_now_ms() + pause);
    dns_journal_put(engine, op->key, entry);
    CM_AUTO_STR text =
        cm_asprintf("The TXT value at %s could not be removed by DNS account %s (attempt %d; again "
                    "in %d min): %s",
                    text_of(op, "fqdn"), text_of(op, "account"), (int)attempts,
                    (int)(pause / 60000), err->what);
    step(op, CM_LOG_WARN, text);
    if (!cm_timer_active(engine->dns->sweep) || pause < DNS_SWEEP_MS)
        cm_timer_start(engine->dns->sweep, pause);
}

static void added(struct dns_op *op, const json_t *record)
{
    CM_AUTO_JSON entry = dns_journal_get(op->engine, op->key);
    if (!entry)
        return;
    if (dns_journal_is(entry, "adding"))
        cm_json_set_str(entry, "state", "set");
    if (record)
        cm_json_set(entry, "record", json_deep_copy(record));
    dns_journal_put(op->engine, op->key, entry);
    CM_AUTO_STR text =
        cm_asprintf("TXT value set at %s by DNS account %s (%d ms)", text_of(op, "fqdn"),
                    text_of(op, "account"), (int)(cm_mono_ms() - op->since_ms));
    step(op, CM_LOG_INFO, text);
}

static void on_called(void *arg, const json_t *record, const struct cm_err *err)
{
    struct dns_op *op = arg;
    struct cm_err why = CM_ERR_INIT;
    op->call = NULL;
    if (err) {
        cm_err_copy(&why, err);
        cm_wrap(&why, err->code, "DNS account %s could not %s the TXT value at %s",
                text_of(op, "account"), op->adding ? "set" : "remove", text_of(op, "fqdn"));
    }
    if (!err && op->adding) {
        added(op, record);
    } else if (!err) {
        dns_journal_forget(op->engine, op->key);
        CM_AUTO_STR text = cm_asprintf("TXT value removed at %s", text_of(op, "fqdn"));
        step(op, CM_LOG_INFO, text);
    } else if (!op->adding) {
        remove_later(op, err);
    }
    op_end(op, err ? &why : NULL);
    cm_err_fini(&why);
}

static void on_line(void *arg, const char *line)
{
    struct dns_op *op = arg;
    if (op->trace)
        op->trace(op->arg, line);
}

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

static void call(struct dns_op *op)
{
    struct eng_dns_account *account = op->account;
    struct dnsp_account view = eng_dns_view(account);
    const char *fqdn = text_of(op, "fqdn"), *value = text_of(op, "value");
    account->provider = env_of(account);
    account->active++;
    op->running = true;
    op->since_ms = cm_mono_ms();
    cm_timer_start(account->timer, DNS_SECRETS_MS);
    op->call = op->adding
                   ? dnsp_add(&account->provider, &view, fqdn, value, on_line, on_called, op)
                   : dnsp_delete(&account->provider, &view, fqdn, value,
                                 json_object_get(op->entry, "record"), on_line, on_called, op);
}

/* ---- secrets ------------------------------------------------------------------------------------
 */

static void fail_waiting(struct eng_dns_account *account, const struct cm_err *err)
{
    struct engine *engine = account->engine;
    for (;;) {
        struct dns_op *op = engine->dns->ops;
        while (op && (op->running || op->account != account))
            op = op->next;
        if (!op)
            return;
        if (!op->adding)
            remove_later(op, err);
        op_end(op, err);
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
        turn_soon(engine);
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

/* ---- whose turn it is ---------------------------------------------------------------------------
 */

/* Another call for the same account and name is under way, or waits in front of it.  A removal
 * passes additions of other values: they may wait for just this one to go. */
static bool is_blocked(const struct dns_op *op)
{
    for (const struct dns_op *at = op->engine->dns->ops; at != op; at = at->next) {
        if (!op->adding && at->adding && !at->running && strcmp(at->key, op->key) != 0)
            continue;
        if (strcmp(text_of(at, "fqdn"), text_of(op, "fqdn")) == 0 &&
            strcmp(text_of(at, "account"), text_of(op, "account")) == 0)
            return true;
    }
    for (const struct dns_op *at = op->next; at; at = at->next) {
        if (at->running && strcmp(text_of(at, "fqdn"), text_of(op, "fqdn")) == 0 &&
            strcmp(text_of(at, "account"), text_of(op, "account")) == 0)
            return true;
    }
    return false;
}

/* What became of it while it waited; false = the operation has ended. */
static bool still_wanted(struct dns_op *op)
{
    if (op->adding)
        return true;
    CM_AUTO_JSON entry = dns_journal_get(op->engine, op->key);
    if (!entry || !dns_journal_is(entry, "removing")) { /* gone, or wanted again */
        op_end(op, NULL);
        return false;
    }
    if (dns_journal_shared(op->engine, op->key)) {
        dns_journal_forget(op->engine, op->key);
        op_end(op, NULL);
        return false;
    }
    json_decref(op->entry);
    op->entry = json_incref(entry); /* with the record of an addition that ended meanwhile */
    return true;
}

static bool has_account(struct dns_op *op)
{
    if (op->account && !op->account->dropped)
        return true;
    eng_dns_unref(op->account);
    op->account = eng_dns_account(op->engine, text_of(op, "account"));
    if (op->account)
        return true;
    struct cm_err err = CM_ERR_INIT;
    cm_fail(&err, CM_ENOENT, "DNS account %s does not exist or is switched off",
            text_of(op, "account"));
    err.retry = CM_RETRY_CONFIGURATION;
    if (!op->adding)
        remove_later(op, &err);
    op_end(op, &err);
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

/* Starts or ends one operation; false = nothing can be done now. */
static bool one_turn(struct engine *engine)
{
    for (struct dns_op *op = engine->dns->ops; op; op = op->next) {
        if (op->running || !op->journalled || is_blocked(op))
            continue;
        if (!still_wanted(op) || !has_account(op))
            return true;
        if (op->account->active >= DNS_PARALLEL || is_occupied(op) || !open_secrets(op->account))
            continue;
        call(op);
        return true;
    }
    return false;
}

static void turn(void *arg)
{
    while (one_turn(arg))
        ;
}

/* ---- wishes -------------------------------------------------------------------------------------
 */

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
            op_end(op, err);
        turn_soon(engine);
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
    struct dns_op *op = op_new(engine, key, entry, true);
    op->trace = trace;
    op->done = done;
    op->arg = arg;
    when_durable(op);
}

/* The entry is to go: says so in the journal and queues the call, once. */
static void remove_entry(struct engine *engine, const char *key, json_t *entry, dnsp_trace_fn trace,
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
    struct dns_op *op = op_new(engine, key, entry, false);
    op->trace = trace;
    op->done = done;
    op->arg = arg;
    op->journalled = true; /* by the addition */
    turn_soon(engine);
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
    remove_entry(engine, key, entry, trace, done, arg);
}

/* Additions that have not begun are not wanted any more. */
static void stop_additions(struct engine *engine, const char *owner)
{
    struct cm_err err = CM_ERR_INIT;
    cm_fail(&err, CM_ECLOSED, "The TXT value is not wanted any more");
    for (struct dns_op *op = engine->dns->ops, *next; op; op = next) {
        next = op->next;
        if (op->adding && !op->running && strcmp(op->owner, owner) == 0)
            op_end(op, &err);
    }
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
        remove_entry(engine, key, entry, NULL, NULL, NULL);
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
            remove_entry(engine, key, entry, NULL, NULL, NULL);
    }
}

/* ---- sweep --------------------------------------------------------------------------------------
 */

/* Is an order under way, or soon again, that this value is for? */
static bool is_wanted(struct engine *engine, const char *owner, const json_t *entry)
{
    if (!cm_ulid_ok(owner))
        return cm_json_bool(cm_json_obj(engine->dns->tests, cm_json_str_or(entry, "account", "")),
                            "running", false);
    if (sched_job(engine, owner))
        return true;
    CM_AUTO_JSON order = cs_kv_get(engine->env.store, "order", owner);
    CM_AUTO_STR id = cm_asprintf("credential:%s", owner);
    CM_AUTO_JSON credential = cs_peek_body(engine->env.store, id);
    if (eng_trial_asked(credential))
        return true;
    if (!eng_order_open(order))
        return false;
    struct plan plan = eng_plan(credential, order, cm_now_ms());
    return credential && (plan.action == PLAN_ISSUE || plan.action == PLAN_RENEW) &&
           plan.when_ms <= cm_now_ms() + DNS_KEEP_MS;
}

static void sweep(void *arg)
{
    struct engine *engine = arg;
    CM_AUTO_JSON all = dns_journal(engine, NULL);
    int64_t now = cm_now_ms(), next = now + DNS_SWEEP_MS;
    const char *key;
    json_t *entry;
    json_object_foreach(all, key, entry)
    {
        char owner[DNS_KEY_MAX];
        snprintf(owner, sizeof(owner), "%.*s", (int)strcspn(key, "/"), key);
        if (!dns_journal_is(entry, "removing") && is_wanted(engine, owner, entry))
            continue;
        int64_t due = cm_json_time(entry, "next_at", 0);
        if (due > now)
            next = due < next ? due : next;
        else
            remove_entry(engine, key, entry, NULL, NULL, NULL);
    }
    cm_timer_start(engine->dns->sweep, next - now);
}

/* ---- life ---------------------------------------------------------------------------------------
 */

void eng_dns_work_start(struct engine *engine)
{
    if (!engine->env.manager)
        return;
    engine->dns->turn = cm_timer_new(engine->env.loop, turn, engine);
    engine->dns->sweep = cm_timer_new(engine->env.loop, sweep, engine);
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
            dnsp_cancel(op->call);
        op_end(op, &err);
    }
    cm_err_fini(&err);
}
