/*
 * A DNS in memory in place of certmgr/dns: one zone that holds TXT values, CNAMEs, failures on
 * demand.  The definitions here stand in for the library's in the executable that includes them.
 */
#pragma once

#include "tests/unit/engine/harness.h"

#include "certmgr/dns/recipe.h"
#include "certmgr/engine/dns.h"

static struct {
    json_t *zone;  /* {fqdn: {value: true}} */
    json_t *cname; /* {name: target} */
    json_t *calls; /* ["add fqdn", "delete fqdn", …] */
    unsigned fail_adds, fail_deletes;
    int delay_ms;
    bool one_value, blind; /* blind: nothing is ever seen */
    bool together;         /* takes several changes with one call */
    bool held;             /* calls stay under way */
    const char *refused;   /* a name that it does not take; NULL = none */
    int refusal;           /* what it says to fail_adds and fail_deletes; 0 = CM_EIO */
    unsigned active, most; /* calls at a time */
    unsigned messages;     /* calls so far */
    size_t largest;        /* changes of a call, at most */
    json_t *busy;          /* {fqdn: true}: two calls for one name at a time are a failure */
    unsigned crossed;
    size_t fullest;                              /* values at a time */
    int64_t start_ms;                            /* of the last wait */
    struct dns_client *finder, *waiter, *caller; /* through which the last ones looked */
    json_t *secrets;                             /* of the last call */
} fake;

static inline void fake_reset(void)
{
    json_decref(fake.zone);
    json_decref(fake.cname);
    json_decref(fake.calls);
    json_decref(fake.busy);
    json_decref(fake.secrets);
    memset(&fake, 0, sizeof(fake));
    fake.zone = json_object();
    fake.cname = json_object();
    fake.calls = json_array();
    fake.busy = json_object();
}

static inline void fake_fini(void)
{
    fake_reset();
    json_decref(fake.zone);
    json_decref(fake.cname);
    json_decref(fake.calls);
    json_decref(fake.busy);
    memset(&fake, 0, sizeof(fake));
}

static inline size_t fake_values(const char *fqdn)
{
    return json_object_size(json_object_get(fake.zone, fqdn));
}

static inline size_t fake_all(void)
{
    size_t count = 0;
    const char *key;
    json_t *values;
    json_object_foreach(fake.zone, key, values)
    {
        count += json_object_size(values);
    }
    return count;
}

/* ---- provider.h ---- */

const struct dnsp_kind dnsp_manual = {.name = "manual", .title = "By hand"};
static const struct dnsp_kind fake_kind = {.name = "webhook", .title = "Fake"};

const struct dnsp_kind *dnsp_kind_find(const char *name)
{
    return !name                          ? NULL
           : strcmp(name, "manual") == 0  ? &dnsp_manual
           : strcmp(name, "webhook") == 0 ? &fake_kind
                                          : NULL;
}

int dnsp_check(const struct dnsp_account *account, struct cm_err *err)
{
    if (strcmp(account->kind, "webhook") == 0 && !cm_json_str(account->secrets, "token"))
        return cm_fail(err, CM_EINVAL, "token: is missing");
    return 0;
}

bool dnsp_one_value(const struct dnsp_account *account)
{
    (void)account;
    return fake.one_value;
}

bool dnsp_unverified(const struct dnsp_account *account)
{
    (void)account;
    return true;
}

int dnsp_lint(const json_t *recipe, dnsp_trace_fn trace, void *arg, struct cm_err *err)
{
    (void)recipe;
    (void)trace;
    (void)arg;
    (void)err;
    return 0;
}

size_t dnsp_together(const struct dnsp_account *account)
{
    (void)account;
    return fake.together ? DNSP_TOGETHER_MAX : 1;
}

size_t dnsp_change_size(const char *fqdn, const char *value)
{
    return strlen(fqdn) + strlen(value);
}

struct fake_call {
    struct dnsp_call call;
    struct cm_timer *timer;
    struct dnsp_change changes[DNSP_TOGETHER_MAX];
};

static void fake_call_free(struct fake_call *fc)
{
    fake.active--;
    for (size_t i = 0; i < fc->call.count; i++) {
        json_object_del(fake.busy, fc->changes[i].fqdn);
        cm_free((void *)(uintptr_t)fc->changes[i].fqdn);
        cm_free((void *)(uintptr_t)fc->changes[i].value);
    }
    cm_timer_free(fc->timer);
    cm_free(fc);
}

/* What the provider says to all of it, before anything is changed. */
static void fake_judge(const struct fake_call *fc, struct cm_err *err)
{
    for (size_t i = 0; i < fc->call.count; i++) {
        const struct dnsp_change *change = &fc->changes[i];
        unsigned *fail = change->adding ? &fake.fail_adds : &fake.fail_deletes;
        json_array_append_new(
            fake.calls, json_sprintf("%s %s", change->adding ? "add" : "delete", change->fqdn));
        if (*fail > 0 && err->code == 0) {
            (*fail)--;
            cm_fail(err, fake.refusal ? fake.refusal : CM_EIO, "the provider is away");
        } else if (fake.refused && strcmp(change->fqdn, fake.refused) == 0 && err->code == 0) {
            cm_fail(err, CM_EDENIED, "the provider does not take %s", fake.refused);
        }
    }
}

static void fake_apply(const struct dnsp_change *change)
{
    json_t *values = json_object_get(fake.zone, change->fqdn);
    if (!change->adding) {
        json_object_del(values, change->value);
        return;
    }
    if (!values) {
        values = json_object();
        json_object_set_new(fake.zone, change->fqdn, values);
    }
    json_object_set_new(values, change->value, json_true());
    if (fake_all() > fake.fullest)
        fake.fullest = fake_all();
}

static void fake_turn(void *arg)
{
    struct fake_call *fc = arg;
    if (fake.held) {
        cm_timer_start(fc->timer, 1);
        return;
    }
    dnsp_done_fn done = fc->call.done;
    void *done_arg = fc->call.arg;
    struct cm_err err = CM_ERR_INIT;
    bool alone = fc->call.count == 1;
    fake_judge(fc, &err);
    for (size_t i = 0; i < fc->call.count && err.code == 0; i++)
        fake_apply(&fc->changes[i]);
    if (fc->call.trace)
        fc->call.trace(done_arg, "asked the provider");
    CM_AUTO_JSON record = json_pack("{s:i}", "id", 7);
    fake_call_free(fc);
    done(done_arg, err.code == 0 && alone ? record : NULL, err.code ? &err : NULL);
    cm_err_fini(&err);
}

struct dnsp_call *dnsp_change(const struct dnsp_env *env, const struct dnsp_account *account,
                              const struct dnsp_change *changes, size_t count, dnsp_trace_fn trace,
                              dnsp_done_fn done, void *arg)
{
    struct fake_call *fc = cm_calloc(1, sizeof(*fc));
    fc->call = (struct dnsp_call){.count = count, .trace = trace, .done = done, .arg = arg};
    assert_in_range(count, 1, dnsp_together(account));
    for (size_t i = 0; i < count; i++) {
        fc->changes[i] = (struct dnsp_change){.fqdn = cm_strdup(changes[i].fqdn),
                                              .value = cm_strdup(changes[i].value),
                                              .adding = changes[i].adding};
        fake.crossed += json_object_get(fake.busy, changes[i].fqdn) != NULL;
    }
    for (size_t i = 0; i < count; i++)
        json_object_set_new(fake.busy, changes[i].fqdn, json_true());
    json_decref(fake.secrets);
    fake.secrets = json_deep_copy(account->secrets);
    fake.caller = env->dns;
    fake.messages++;
    fake.largest = count > fake.largest ? count : fake.largest;
    if (++fake.active > fake.most)
        fake.most = fake.active;
    fc->timer = cm_timer_new(env->loop, fake_turn, fc);
    cm_timer_start(fc->timer, fake.delay_ms);
    return &fc->call;
}

struct dnsp_call *dnsp_add(const struct dnsp_env *env, const struct dnsp_account *account,
                           const char *fqdn, const char *value, dnsp_trace_fn trace,
                           dnsp_done_fn done, void *arg)
{
    const struct dnsp_change change = {.fqdn = fqdn, .value = value, .adding = true};
    return dnsp_change(env, account, &change, 1, trace, done, arg);
}

struct dnsp_call *dnsp_delete(const struct dnsp_env *env, const struct dnsp_account *account,
                              const char *fqdn, const char *value, const json_t *record,
                              dnsp_trace_fn trace, dnsp_done_fn done, void *arg)
{
    const struct dnsp_change change = {.fqdn = fqdn, .value = value};
    (void)record;
    return dnsp_change(env, account, &change, 1, trace, done, arg);
}

void dnsp_cancel(struct dnsp_call *call)
{
    fake_call_free((struct fake_call *)call);
}

/* ---- zone.h, propagate.h ---- */

struct dns_find {
    struct cm_timer *timer;
    char *name;
    dns_place_fn done;
    void *arg;
};

static void fake_find_turn(void *arg)
{
    struct dns_find find = *(struct dns_find *)arg;
    cm_free(arg);
    const char *target = cm_json_str(fake.cname, find.name);
    struct dns_place place = {.name = target ? target : find.name,
                              .zone = "example.com",
                              .primary = "ns.example.com",
                              .hops = target ? 1 : 0};
    find.done(find.arg, &place, NULL);
    cm_timer_free(find.timer);
    cm_free(find.name);
}

struct dns_find *dns_place_find(struct cm_loop *loop, struct dns_client *dns, const char *name,
                                dns_place_fn done, void *arg)
{
    struct dns_find *find = cm_calloc(1, sizeof(*find));
    fake.finder = dns;
    *find = (struct dns_find){.name = cm_strdup(name), .done = done, .arg = arg};
    find->timer = cm_timer_new(loop, fake_find_turn, find);
    cm_timer_start(find->timer, 0);
    return find;
}

void dns_place_cancel(struct dns_find *find)
{
    cm_timer_free(find->timer);
    cm_free(find->name);
    cm_free(find);
}

struct dns_wait {
    struct cm_timer *timer;
    json_t *values;
    dns_wait_fn done;
    void *arg;
};

static void fake_wait_turn(void *arg)
{
    struct dns_wait wait = *(struct dns_wait *)arg;
    struct cm_err err = CM_ERR_INIT;
    size_t i;
    json_t *value;
    json_t *report = json_array();
    bool all = !fake.blind;
    cm_free(arg);
    json_array_foreach(wait.values, i, value)
    {
        const json_t *have = json_object_get(fake.zone, cm_json_str(value, "fqdn"));
        bool seen = all && json_object_get(have, cm_json_str(value, "value"));
        json_array_append_new(report,
                              json_pack("{s:s,s:s,s:b,s:i}", "name", cm_json_str(value, "fqdn"),
                                        "server", "ns", "seen", seen, "ms", 1));
        all = all && seen;
    }
    if (!all)
        cm_fail(&err, CM_ETIMEOUT, "ns does not show the value");
    wait.done(wait.arg, report, all ? NULL : &err);
    cm_err_fini(&err);
    json_decref(report);
    json_decref(wait.values);
    cm_timer_free(wait.timer);
}

struct dns_wait *dns_wait(struct cm_loop *loop, struct dns_client *dns, const json_t *values,
                          const struct dns_wait_options *options, dns_wait_fn done, void *arg)
{
    struct dns_wait *wait = cm_calloc(1, sizeof(*wait));
    fake.waiter = dns;
    fake.start_ms = options->start_ms;
    *wait = (struct dns_wait){.values = json_deep_copy(values), .done = done, .arg = arg};
    wait->timer = cm_timer_new(loop, fake_wait_turn, wait);
    cm_timer_start(wait->timer, fake.delay_ms);
    return wait;
}

void dns_wait_cancel(struct dns_wait *wait)
{
    cm_timer_free(wait->timer);
    json_decref(wait->values);
    cm_free(wait);
}
