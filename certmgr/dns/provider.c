/*
 * The table of provider kinds and the life of one call.
 *
 * A kind may find out at once that it cannot begin; its end is told on a later turn of the loop all
 * the same, so that no caller is called back from inside.
 */
#include "certmgr/dns/provider.h"

#include <stdarg.h>
#include <string.h>

#include "base/core/json.h"
#include "base/core/mem.h"

#define TRACE_LINE_MAX 4096
#define NAME_MAX_BYTES 253 /* RFC 1035 2.3.4, as text */
#define VALUE_MAX      255 /* one character-string (RFC 1035 3.3.14) */
#define RECORD_SIZE    13  /* dots and ends of the name, type, class, TTL, two lengths */

/* The public part comes first: kinds see nothing else. */
struct call_box {
    struct dnsp_call call;
    struct cm_timer *end;
    json_t *result;
    struct cm_err err;
    bool failed;
};

static const struct dnsp_kind *const kinds[] = {
    &dnsp_recipe, &dnsp_route53, &dnsp_webhook, &dnsp_exec, &dnsp_manual, &dnsp_rfc2136,
};

const struct dnsp_kind *dnsp_kind_at(size_t index)
{
    return index < sizeof(kinds) / sizeof(kinds[0]) ? kinds[index] : NULL;
}

const struct dnsp_kind *dnsp_kind_find(const char *name)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (name && strcmp(kinds[i]->name, name) == 0)
            return kinds[i];
    return NULL;
}

int dnsp_check(const struct dnsp_account *account, struct cm_err *err)
{
    const struct dnsp_kind *kind = dnsp_kind_find(account->kind);
    if (!kind)
        return cm_fail(err, CM_EINVAL, "kind: \"%.40s\" is no kind of DNS provider",
                       account->kind ? account->kind : "");
    return kind->check ? kind->check(account, err) : 0;
}

bool dnsp_one_value(const struct dnsp_account *account)
{
    const struct dnsp_kind *kind = dnsp_kind_find(account->kind);
    if (account->recipe &&
        strcmp(cm_json_str_or(cm_json_obj(account->recipe, "txt"), "mode", ""), "single") == 0)
        return true;
    return kind && kind->one_value;
}

size_t dnsp_together(const struct dnsp_account *account)
{
    const struct dnsp_kind *kind = dnsp_kind_find(account->kind);
    return kind && kind->change ? DNSP_TOGETHER_MAX : 1;
}

size_t dnsp_change_size(const char *fqdn, const char *value)
{
    return strlen(fqdn) + strlen(value) + RECORD_SIZE;
}

bool dnsp_unverified(const struct dnsp_account *account)
{
    const struct dnsp_kind *kind = dnsp_kind_find(account->kind);
    if (account->recipe)
        return cm_json_bool(account->recipe, "unverified", false);
    return kind && kind->unverified;
}

/* ---- life of a call ------------------------------------------------------------------------ */

/* Documents are shared by counting; nothing of them is copied, so nothing has to be wiped. */
static json_t *hold(const json_t *v)
{
    return json_incref((json_t *)(uintptr_t)v);
}

static void call_free(struct call_box *box)
{
    struct dnsp_call *call = &box->call;
    cm_timer_free(box->end);
    json_decref(box->result);
    cm_err_fini(&box->err);
    json_decref((json_t *)(uintptr_t)call->account.options);
    json_decref((json_t *)(uintptr_t)call->account.secrets);
    json_decref((json_t *)(uintptr_t)call->account.recipe);
    cm_free((void *)(uintptr_t)call->account.name);
    cm_free((void *)(uintptr_t)call->account.kind);
    for (size_t i = 0; i < call->count; i++) {
        cm_free((void *)(uintptr_t)call->changes[i].fqdn);
        cm_free((void *)(uintptr_t)call->changes[i].value);
    }
    cm_free(call->changes);
    json_decref(call->record);
    cm_free(box);
}

static void on_end(void *arg)
{
    struct call_box *box = arg;
    box->call.done(box->call.arg, box->result, box->failed ? &box->err : NULL);
    call_free(box);
}

void dnsp_finish(struct dnsp_call *call, json_t *take_record, const struct cm_err *err)
{
    struct call_box *box = (struct call_box *)call;
    CM_BUG_ON(cm_timer_active(box->end));
    call->state = NULL;
    box->result = take_record;
    box->failed = err != NULL;
    if (err)
        cm_err_copy(&box->err, err);
    cm_timer_start(box->end, 0);
}

void dnsp_cancel(struct dnsp_call *call)
{
    if (call->state)
        call->kind->cancel(call->state);
    call_free((struct call_box *)call);
}

static int check_change(const struct dnsp_change *change, struct cm_err *err)
{
    size_t name = strlen(change->fqdn), value = strlen(change->value);
    if (name == 0 || name > NAME_MAX_BYTES || change->fqdn[name - 1] == '.')
        return cm_fail(err, CM_EINVAL, "\"%.60s\" is no name to write a TXT record at",
                       change->fqdn);
    if (value == 0 || value > VALUE_MAX)
        return cm_fail(err, CM_EINVAL, "a TXT value of %zu bytes cannot be written (1 to %d)",
                       value, VALUE_MAX);
    return 0;
}

static int check_call(const struct dnsp_call *call, struct cm_err *err)
{
    for (size_t i = 0; i < call->count; i++)
        if (check_change(&call->changes[i], err) < 0)
            return err->code;
    return dnsp_check(&call->account, err);
}

static void *begin(struct dnsp_call *call)
{
    if (call->kind->change)
        return call->kind->change(call);
    return call->changes[0].adding ? call->kind->add(call) : call->kind->del(call);
}

static struct dnsp_call *start(struct call_box *box)
{
    struct dnsp_call *call = &box->call;
    struct cm_err err = CM_ERR_INIT;
    box->end = cm_timer_new(call->env->loop, on_end, box);
    if (check_call(call, &err) < 0) {
        dnsp_finish(call, NULL, &err);
    } else {
        void *state = begin(call);
        if (!cm_timer_active(box->end))
            call->state = state;
    }
    cm_err_fini(&err);
    return call;
}

static struct call_box *call_new(const struct dnsp_env *env, const struct dnsp_account *account,
                                 const struct dnsp_change *changes, size_t count)
{
    struct call_box *box = cm_calloc(1, sizeof(*box));
    struct dnsp_call *call = &box->call;
    CM_BUG_ON(count == 0 || count > dnsp_together(account));
    call->env = env;
    call->kind = dnsp_kind_find(account->kind);
    call->account = (struct dnsp_account){
        .name = cm_strdup(account->name ? account->name : ""),
        .kind = cm_strdup(account->kind ? account->kind : ""),
        .options = hold(account->options),
        .secrets = hold(account->secrets),
        .recipe = hold(account->recipe),
    };
    call->changes = cm_calloc(count, sizeof(*changes));
    call->count = count;
    for (size_t i = 0; i < count; i++)
        call->changes[i] = (struct dnsp_change){.fqdn = cm_strdup(changes[i].fqdn),
                                                .value = cm_strdup(changes[i].value),
                                                .adding = changes[i].adding};
    call->fqdn = call->changes[0].fqdn;
    call->value = call->changes[0].value;
    return box;
}

static struct dnsp_call *run(struct call_box *box, dnsp_trace_fn trace, dnsp_done_fn done,
                             void *arg)
{
    box->call.trace = trace;
    box->call.done = done;
    box->call.arg = arg;
    return start(box);
}

struct dnsp_call *dnsp_add(const struct dnsp_env *env, const struct dnsp_account *account,
                           const char *fqdn, const char *value, dnsp_trace_fn trace,
                           dnsp_done_fn done, void *arg)
{
    const struct dnsp_change change = {.fqdn = fqdn, .value = value, .adding = true};
    return run(call_new(env, account, &change, 1), trace, done, arg);
}

struct dnsp_call *dnsp_delete(const struct dnsp_env *env, const struct dnsp_account *account,
                              const char *fqdn, const char *value, const json_t *record,
                              dnsp_trace_fn trace, dnsp_done_fn done, void *arg)
{
    const struct dnsp_change change = {.fqdn = fqdn, .value = value};
    struct call_box *box = call_new(env, account, &change, 1);
    box->call.record = hold(record);
    return run(box, trace, done, arg);
}

struct dnsp_call *dnsp_change(const struct dnsp_env *env, const struct dnsp_account *account,
                              const struct dnsp_change *changes, size_t count, dnsp_trace_fn trace,
                              dnsp_done_fn done, void *arg)
{
    return run(call_new(env, account, changes, count), trace, done, arg);
}

void dnsp_trace(struct dnsp_call *call, const char *fmt, ...)
{
    struct cm_buf line;
    va_list ap;
    if (!call->trace)
        return;
    cm_buf_init(&line, TRACE_LINE_MAX);
    va_start(ap, fmt);
    if (cm_buf_vprintf(&line, fmt, ap) < 0) /* cut, not lost */
        cm_buf_puts(&line, "(a line too long to show)");
    va_end(ap);
    call->trace(call->arg, line.len > 0 ? cm_buf_str(&line) : "(a line too long to show)");
    cm_buf_fini(&line);
}
