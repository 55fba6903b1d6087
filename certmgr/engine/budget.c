/*
 * The ledger of the CAs' limits: what was taken from each bucket, kept in kv "budget" under
 * "b/<limit>/<hash>": {limit, scope, subject, full_at}.
 *
 * An order takes its own token when it begins; what its certificate will take is held meanwhile, so
 * that many orders at once cannot ask for more than there is, and taken when the CA has issued it.
 */
#include "certmgr/engine/guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/num.h"
#include "base/net/domain.h"
#include "certmgr/acme/presets.h"

#define SWEEP_WRITES 1000
#define SWEEP_MAX    10000 /* buckets looked at in one sweep's deletion */
#define BUCKET_KEY   64

static const char *const limit_names[ACME_LIMIT_COUNT] = {"orders", "domain", "set", "failed"};

/* ---- buckets of a wish --------------------------------------------------------------------------
 */

struct bucket {
    enum acme_limit limit;
    const struct acme_rate *rate;
    const char *scope;   /* account, or directory */
    const char *subject; /* for people */
    char key[BUCKET_KEY];
};

typedef void (*bucket_fn)(void *arg, const struct bucket *bucket);

static void give(const struct acme_preset *ca, enum acme_limit limit, const struct eng_wish *wish,
                 const char *subject, const char *exact, bucket_fn fn, void *arg)
{
    bool of_account = limit == ACME_LIMIT_ORDERS || limit == ACME_LIMIT_FAILED;
    struct bucket bucket = {.limit = limit,
                            .rate = &ca->rate[limit],
                            .scope = of_account ? wish->account : wish->directory,
                            .subject = subject};
    char hex[CM_SHA256_HEX];
    if (bucket.rate->count == 0)
        return;
    CM_AUTO_STR text = cm_asprintf("%s\n%s", bucket.scope, exact ? exact : subject);
    cm_sha256_hex(text, strlen(text), hex);
    snprintf(bucket.key, sizeof(bucket.key), "b/%s/%.40s", limit_names[limit], hex);
    fn(arg, &bucket);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

char *eng_names_sorted(const json_t *names)
{
    const char *sorted[ENG_NAMES_MAX];
    size_t count = 0;
    struct cm_buf text;
    cm_buf_init(&text, ENG_NAMES_MAX * 256);
    for (size_t i = 0; i < json_array_size(names) && count < ENG_NAMES_MAX; i++)
        if (json_is_string(json_array_get(names, i)))
            sorted[count++] = json_string_value(json_array_get(names, i));
    qsort(sorted, count, sizeof(sorted[0]), by_name);
    for (size_t i = 0; i < count; i++)
        cm_buf_printf(&text, "%s\n", sorted[i]);
    char *out = cm_strdup(cm_buf_str(&text));
    cm_buf_fini(&text);
    return out;
}

static void give_domains(const struct acme_preset *ca, const struct eng_wish *wish, bucket_fn fn,
                         void *arg)
{
    CM_AUTO_JSON seen = json_object();
    size_t i;
    json_t *item;
    json_array_foreach(wish->names, i, item)
    {
        const char *name = json_string_value(item);
        const char *domain = name ? domain_registered(name) : NULL;
        if (!domain)
            domain = name; /* a public suffix itself */
        if (!domain || json_object_get(seen, domain))
            continue;
        json_object_set_new(seen, domain, json_true());
        give(ca, ACME_LIMIT_DOMAIN, wish, domain, NULL, fn, arg);
    }
}

/* What a certificate takes (and an order, with orders). */
static void each_bucket(const struct acme_preset *ca, const struct eng_wish *wish, bool orders,
                        bucket_fn fn, void *arg)
{
    if (!ca || wish->ari)
        return;
    if (!wish->same_set) {
        if (orders)
            give(ca, ACME_LIMIT_ORDERS, wish, wish->account, NULL, fn, arg);
        give_domains(ca, wish, fn, arg);
    }
    const char *first = json_string_value(json_array_get(wish->names, 0));
    size_t more = json_array_size(wish->names) > 0 ? json_array_size(wish->names) - 1 : 0;
    CM_AUTO_STR set = eng_names_sorted(wish->names);
    CM_AUTO_STR shown = more > 0 ? cm_asprintf("%s and %zu more", first ? first : "", more)
                                 : cm_strdup(first ? first : "");
    give(ca, ACME_LIMIT_SET, wish, shown, set, fn, arg);
}

/* ---- the table ----------------------------------------------------------------------------------
 */

static int64_t full_at(struct engine *engine, const char *key)
{
    CM_AUTO_JSON row = cs_kv_get(engine->env.store, "budget", key);
    return cm_json_time(row, "full_at", 0);
}

static void take(struct engine *engine, const struct bucket *bucket)
{
    struct cm_err err = CM_ERR_INIT;
    int64_t full = eng_bucket_take(bucket->rate, full_at(engine, bucket->key), cm_now_ms(), 1);
    CM_AUTO_JSON row = json_object();
    cm_json_set_str(row, "limit", limit_names[bucket->limit]);
    cm_json_set_str(row, "scope", bucket->scope);
    cm_json_set_str(row, "subject", bucket->subject);
    cm_json_set_time(row, "full_at", full);
    if (cs_kv_put(engine->env.store, "budget", bucket->key, row, &err) != 0)
        cm_log_err(CM_LOG_WARN, "engine", &err); /* then the CA itself has to refuse */
    cm_err_fini(&err);
    if (engine->guard && ++engine->guard->writes % SWEEP_WRITES == 0)
        eng_budget_sweep(engine);
}

static int on_row(void *arg, const char *key, const json_t *value)
{
    if (cm_json_time(value, "full_at", 0) <= cm_now_ms())
        json_array_append_new(arg, json_string(key));
    return json_array_size(arg) >= SWEEP_MAX;
}

void eng_budget_sweep(struct engine *engine)
{
    CM_AUTO_JSON full = json_array();
    size_t i;
    json_t *key;
    cs_kv_each(engine->env.store, "budget", "b/", on_row, full);
    json_array_foreach(full, i, key)
    {
        cs_kv_del(engine->env.store, "budget", json_string_value(key), NULL);
    }
}

/* ---- asking -------------------------------------------------------------------------------------
 */

struct asking {
    struct engine *engine;
    int64_t now_ms, until_ms;
    bool promise;
    char *text;
};

static void tell(const struct bucket *bucket, char text[BUDGET_TEXT_MAX])
{
    static const struct {
        const char *before, *behind;
    } parts[ACME_LIMIT_COUNT] = {
        {"new orders of the account", "are taken by the CA at a time"},
        {"certificates for the domain", "are issued by the CA at a time"},
        {"certificates for exactly the names", "are issued by the CA at a time"},
        {"failed checks of", "are allowed by the CA at a time"},
    };
    snprintf(text, BUDGET_TEXT_MAX, "%u %s %.253s %s", bucket->rate->count,
             parts[bucket->limit].before, bucket->subject, parts[bucket->limit].behind);
}

static void ask_one(void *arg, const struct bucket *bucket)
{
    struct asking *asking = arg;
    const struct eng_guard *guard = asking->engine->guard;
    int64_t held = guard ? cm_json_int(guard->holds, bucket->key, 0) : 0;
    int64_t when = eng_bucket_when(bucket->rate, full_at(asking->engine, bucket->key),
                                   asking->now_ms, (unsigned)(held < 0 ? 0 : held) + 1);
    if (when <= asking->now_ms)
        return;
    if (guard && asking->promise) {
        int64_t last = cm_json_int(guard->promised, bucket->key, 0);
        if (last >= when)
            when = cm_add_sat(last, bucket->rate->refill_ms);
        while (json_object_size(guard->promised) >= SWEEP_MAX)
            json_object_clear(guard->promised);
        cm_json_set_int(guard->promised, bucket->key, when);
    }
    if (when > asking->until_ms) {
        asking->until_ms = when;
        tell(bucket, asking->text);
    }
}

static int64_t ask(struct engine *engine, const struct eng_wish *wish, bool promise, char *text)
{
    const struct acme_preset *ca = acme_preset_of(wish->directory);
    struct asking asking = {.engine = engine,
                            .now_ms = cm_now_ms(),
                            .until_ms = cm_now_ms(),
                            .promise = promise,
                            .text = text};
    text[0] = '\0';
    each_bucket(ca, wish, true, ask_one, &asking);
    for (size_t i = 0; ca && !wish->ari && i < json_array_size(wish->names); i++) {
        const char *name = json_string_value(json_array_get(wish->names, i));
        if (name)
            give(ca, ACME_LIMIT_FAILED, wish, name, NULL, ask_one, &asking);
    }
    return asking.until_ms;
}

int64_t eng_budget_ask(struct engine *engine, const struct eng_wish *wish,
                       char text[BUDGET_TEXT_MAX])
{
    return ask(engine, wish, false, text);
}

int64_t eng_budget_promise(struct engine *engine, const struct eng_wish *wish,
                           char text[BUDGET_TEXT_MAX])
{
    return ask(engine, wish, true, text);
}

/* ---- taking -------------------------------------------------------------------------------------
 */

struct holding {
    struct engine *engine;
    json_t *held; /* [{key, limit, scope, subject, directory}] */
    const char *directory;
};

static void hold_one(void *arg, const struct bucket *bucket)
{
    struct holding *holding = arg;
    struct eng_guard *guard = holding->engine->guard;
    json_t *row = json_object();
    cm_json_set_str(row, "key", bucket->key);
    cm_json_set_int(row, "limit", bucket->limit);
    cm_json_set_str(row, "scope", bucket->scope);
    cm_json_set_str(row, "subject", bucket->subject);
    cm_json_set_str(row, "directory", holding->directory);
    json_array_append_new(holding->held, row);
    if (guard)
        cm_json_set_int(guard->holds, bucket->key, cm_json_int(guard->holds, bucket->key, 0) + 1);
}

static void take_one(void *arg, const struct bucket *bucket)
{
    take(arg, bucket);
}

json_t *eng_budget_begin(struct engine *engine, const struct eng_wish *wish, bool fresh)
{
    const struct acme_preset *ca = acme_preset_of(wish->directory);
    struct holding holding = {.engine = engine, .held = json_array(), .directory = wish->directory};
    if (ca && fresh && !wish->ari && !wish->same_set)
        give(ca, ACME_LIMIT_ORDERS, wish, wish->account, NULL, take_one, engine);
    each_bucket(ca, wish, false, hold_one, &holding);
    return holding.held;
}

void eng_budget_end(struct engine *engine, json_t *take_held, bool issued)
{
    size_t i;
    json_t *row;
    json_array_foreach(take_held, i, row)
    {
        struct eng_guard *guard = engine->guard;
        const struct acme_preset *ca = acme_preset_of(cm_json_str(row, "directory"));
        struct bucket bucket = {.limit = (enum acme_limit)cm_json_int(row, "limit", 0),
                                .scope = cm_json_str(row, "scope"),
                                .subject = cm_json_str(row, "subject")};
        (void)cm_strcpy(bucket.key, sizeof(bucket.key), cm_json_str_or(row, "key", ""));
        int64_t left = guard ? cm_json_int(guard->holds, bucket.key, 0) - 1 : 0;
        if (guard && left > 0)
            cm_json_set_int(guard->holds, bucket.key, left);
        else if (guard)
            json_object_del(guard->holds, bucket.key);
        if (issued && ca) {
            bucket.rate = &ca->rate[bucket.limit];
            take(engine, &bucket);
        }
    }
    json_decref(take_held);
}

void eng_budget_failed(struct engine *engine, const char *account, const char *directory,
                       const char *name)
{
    const struct acme_preset *ca = acme_preset_of(directory);
    struct eng_wish wish = {.account = account, .directory = directory};
    if (ca)
        give(ca, ACME_LIMIT_FAILED, &wish, name, NULL, take_one, engine);
}

/* ---- showing ------------------------------------------------------------------------------------
 */

struct showing {
    const struct acme_preset *ca;
    const char *account;
    json_t *limits;
    int64_t now_ms;
    bool orders; /* the account's own row was there */
};

static void show(struct showing *showing, enum acme_limit limit, const char *subject, int64_t full)
{
    const struct acme_rate *rate = &showing->ca->rate[limit];
    json_t *row = json_object();
    if (rate->count == 0) {
        json_decref(row);
        return;
    }
    int64_t now = showing->now_ms, next = eng_bucket_when(rate, full, now, 1);
    cm_json_set_str(row, "limit", limit_names[limit]);
    cm_json_set_str(row, "subject", subject);
    cm_json_set_int(row, "of", rate->count);
    cm_json_set_int(row, "left", eng_bucket_left(rate, full, now));
    cm_json_set_int(row, "refill_s", rate->refill_ms / 1000);
    if (next > now)
        cm_json_set_time(row, "next_at", next);
    if (full > now)
        cm_json_set_time(row, "full_at", full);
    json_array_append_new(showing->limits, row);
}

static int on_shown(void *arg, const char *key, const json_t *value)
{
    struct showing *showing = arg;
    const char *name = cm_json_str_or(value, "limit", ""), *scope = cm_json_str(value, "scope");
    int64_t full = cm_json_time(value, "full_at", 0);
    (void)key;
    for (int i = 0; i < ACME_LIMIT_COUNT; i++) {
        bool of_account = i == ACME_LIMIT_ORDERS || i == ACME_LIMIT_FAILED;
        if (strcmp(name, limit_names[i]) != 0 || full <= showing->now_ms || !scope ||
            strcmp(scope, of_account ? showing->account : showing->ca->directory) != 0)
            continue;
        showing->orders = showing->orders || i == ACME_LIMIT_ORDERS;
        show(showing, (enum acme_limit)i, cm_json_str(value, "subject"), full);
    }
    return json_array_size(showing->limits) >= BUDGET_ROWS_MAX;
}

json_t *eng_budget_view(struct engine *engine, const char *account)
{
    CM_AUTO_STR id = cm_asprintf("account:%s", account);
    CM_AUTO_JSON body = eng_short_name_ok(account) ? cs_get_body(engine->env.store, id) : NULL;
    if (!body)
        return NULL;
    const struct acme_preset *ca = acme_preset_of(cm_json_str(body, "directory"));
    json_t *view = json_object();
    struct showing showing = {
        .ca = ca, .account = account, .limits = json_array(), .now_ms = cm_now_ms()};
    cm_json_set_bool(view, "known", ca != NULL && ca->rate[ACME_LIMIT_ORDERS].count > 0);
    cm_json_set_str(view, "ca", ca ? ca->title : NULL);
    if (ca)
        cs_kv_each(engine->env.store, "budget", "b/", on_shown, &showing);
    if (ca && !showing.orders)
        show(&showing, ACME_LIMIT_ORDERS, account, 0);
    cm_json_set(view, "limits", showing.limits);
    return view;
}
