/* DNS accounts as jobs use them: read once, dropped when a document changes; which of them covers a
 * name.  See dns.h. */
#include "certmgr/engine/dns.h"

#include <stdio.h>
#include <string.h>

#define OWNER_LABEL "_acme-challenge"

void eng_dns_owner(const char *name, char out[DNS_OWNER_TEXT])
{
    if (strncmp(name, "*.", 2) == 0)
        name += 2;
    snprintf(out, DNS_OWNER_TEXT, OWNER_LABEL ".%s", name);
}

/* ---- life of an account -----------------------------------------------------------------------
 */

static void forget_secrets(void *arg)
{
    struct eng_dns_account *account = arg;
    const char *name;
    json_t *value;
    if (account->active > 0) {
        cm_timer_start(account->timer, DNS_SECRETS_MS);
        return;
    }
    json_object_foreach(account->secrets, name, value)
    {
        const char *text = json_string_value(value);
        if (text)
            cm_wipe((void *)(uintptr_t)text, strlen(text));
    }
    json_decref(account->secrets);
    account->secrets = NULL;
}

void eng_dns_unref(struct eng_dns_account *account)
{
    if (!account || --account->refs > 0)
        return;
    account->active = 0;
    forget_secrets(account);
    cm_timer_free(account->timer);
    if (account->dns)
        dns_client_free(account->dns);
    json_decref(account->body);
    json_decref(account->recipe);
    cm_free(account->name);
    cm_free(account);
}

static struct eng_dns_account *account_new(struct engine *engine, const char *name, json_t *body)
{
    struct eng_dns_account *account = cm_calloc(1, sizeof(*account));
    *account = (struct eng_dns_account){
        .refs = 1, .engine = engine, .name = cm_strdup(name), .body = json_incref(body)};
    const char *resolvers = cm_json_str(body, "resolvers");
    struct cm_err err = CM_ERR_INIT;
    account->recipe = eng_dns_recipe(engine, cm_json_str(body, "provider"));
    if (resolvers && dns_client_new(engine->env.loop, resolvers, &account->dns, &err) != 0)
        cm_log_err(CM_LOG_WARN, "engine", &err); /* checked when the account was written */
    cm_err_fini(&err);
    account->timer = cm_timer_new(engine->env.loop, forget_secrets, account);
    return account;
}

static void drop_all(struct engine *engine)
{
    struct eng_dns *dns = engine->dns;
    while (dns->accounts) {
        struct eng_dns_account *account = dns->accounts;
        dns->accounts = account->next;
        account->next = NULL;
        account->dropped = true;
        eng_dns_unref(account);
    }
    dns->read = false;
}

static int collect(void *arg, const char *key, const char *id)
{
    if (strcmp(key, "dns-account") == 0)
        json_array_append_new(arg, json_string(id));
    return json_array_size(arg) >= DNS_ACCOUNTS_MAX;
}

static void read_all(struct engine *engine)
{
    struct eng_dns *dns = engine->dns;
    CM_AUTO_JSON ids = json_array();
    if (dns->read)
        return;
    dns->read = true;
    cs_each(engine->env.store, CS_BY_TYPE, "dns-account", NULL, NULL, collect, ids);
    for (size_t i = json_array_size(ids); i-- > 0;) {
        const char *id = json_string_value(json_array_get(ids, i));
        CM_AUTO_JSON body = cs_get_body(engine->env.store, id);
        if (!body || !cm_json_bool(body, "enabled", true))
            continue;
        struct eng_dns_account *account =
            account_new(engine, eng_id_name(id, "dns-account:"), body);
        account->next = dns->accounts;
        dns->accounts = account;
    }
}

void eng_dns_changed(struct engine *engine)
{
    drop_all(engine);
    eng_dns_work_turn(engine);
}

/* ---- choice -------------------------------------------------------------------------------------
 */

bool eng_dns_any(struct engine *engine)
{
    read_all(engine);
    return engine->dns->accounts != NULL;
}

struct eng_dns_account *eng_dns_account(struct engine *engine, const char *name)
{
    read_all(engine);
    for (struct eng_dns_account *at = engine->dns->accounts; at; at = at->next) {
        if (strcmp(at->name, name) == 0) {
            at->refs++;
            return at;
        }
    }
    return NULL;
}

/* Length of the longest of these domains at or above fqdn, 0 = none. */
static size_t covers(const json_t *domains, const char *fqdn)
{
    size_t best = 0, i, len = strlen(fqdn);
    json_t *item;
    json_array_foreach(domains, i, item)
    {
        const char *domain = json_string_value(item);
        size_t n = domain ? strlen(domain) : 0;
        if (n > best && n <= len && strcmp(fqdn + len - n, domain) == 0 &&
            (n == len || fqdn[len - n - 1] == '.'))
            best = n;
    }
    return best;
}

struct eng_dns_account *eng_dns_cover(struct engine *engine, const char *fqdn)
{
    struct eng_dns_account *found = NULL;
    size_t best = 0;
    read_all(engine);
    for (struct eng_dns_account *at = engine->dns->accounts; at; at = at->next) {
        size_t n = covers(cm_json_arr(at->body, "domains_ascii"), fqdn);
        if (n > best) {
            best = n;
            found = at;
        }
    }
    return found;
}

/* ---- views --------------------------------------------------------------------------------------
 */

bool eng_dns_by_hand(const struct eng_dns_account *account)
{
    return strcmp(cm_json_str_or(account->body, "kind", ""), dnsp_manual.name) == 0;
}

struct dnsp_account eng_dns_view(const struct eng_dns_account *account)
{
    return (struct dnsp_account){.name = account->name,
                                 .kind = cm_json_str_or(account->body, "kind", ""),
                                 .options = cm_json_obj(account->body, "options"),
                                 .secrets = account->secrets,
                                 .recipe = account->recipe};
}

struct dns_client *eng_dns_resolver(const struct eng_dns_account *account)
{
    return account->dns ? account->dns : account->engine->env.dns;
}

void eng_dns_measured(struct engine *engine, const char *account, int64_t ms)
{
    struct cm_err err = CM_ERR_INIT;
    int64_t before = eng_dns_measure(engine, account);
    if (before > 0 && before < DNS_START_MIN_MS && ms < DNS_START_MIN_MS)
        return; /* near by: not worth a write for each order */
    CM_AUTO_STR key = cm_asprintf("dns_seen/%.64s", account);
    CM_AUTO_JSON row = json_object();
    cm_json_set_int(row, "ms", ms);
    cm_json_set_time(row, "at", cm_now_ms());
    if (cs_kv_put(engine->env.store, "state", key, row, &err) != 0)
        cm_log_err(CM_LOG_WARN, "engine", &err);
    cm_err_fini(&err);
}

int64_t eng_dns_measure(struct engine *engine, const char *account)
{
    CM_AUTO_STR key = cm_asprintf("dns_seen/%.64s", account);
    CM_AUTO_JSON row = cs_kv_get(engine->env.store, "state", key);
    return cm_json_int(row, "ms", 0);
}

static int64_t start_of(const struct eng_dns_account *account)
{
    int64_t start = eng_dns_measure(account->engine, account->name) / 5 * 4;
    if (start < DNS_START_MIN_MS)
        return 0;
    return start < DNS_START_MAX_MS ? start : DNS_START_MAX_MS;
}

static int seconds_of(const json_t *propagation, const char *member)
{
    int64_t seconds = cm_json_int(propagation, member, 0);
    return (int)(seconds < DNS_SECONDS_MAX ? seconds : DNS_SECONDS_MAX);
}

/* The recipe's way counts while the account has chosen none of its own. */
static void take_method(const struct eng_dns_account *account, const json_t *usual,
                        struct dns_wait_options *options)
{
    const char *method = cm_json_str_or(usual, "method", "");
    if (!options->authoritative || options->resolvers || options->fixed_s > 0)
        return;
    if (strcmp(method, "fixed") == 0)
        options->fixed_s = seconds_of(usual, "wait_s");
    if (strcmp(method, "recursive") != 0 || !eng_dns_resolver(account))
        return;
    options->authoritative = false;
    options->resolver = true;
}

struct dns_wait_options eng_dns_wait_options(const struct eng_dns_account *account)
{
    const json_t *given = cm_json_obj(account->body, "propagation");
    const json_t *usual = cm_json_obj(account->recipe, "propagation");
    int limit_s = seconds_of(given, "limit_s");
    struct dns_wait_options options = {
        .authoritative = cm_json_bool(given, "authoritative", true),
        .resolvers = cm_json_str(given, "resolvers"),
        .fixed_s = seconds_of(given, "fixed_s"),
        .interval_s = seconds_of(usual, "interval_s"),
        .start_ms = start_of(account),
        .limit_s = limit_s > 0 ? limit_s : seconds_of(usual, "limit_s"),
    };
    take_method(account, usual, &options);
    return options;
}

/* ---- life ---------------------------------------------------------------------------------------
 */

void eng_dns_start(struct engine *engine)
{
    engine->dns = cm_calloc(1, sizeof(*engine->dns));
    engine->dns->last = &engine->dns->ops;
    engine->dns->tests = json_object();
    eng_dns_work_start(engine);
}

void eng_dns_stop(struct engine *engine)
{
    eng_dns_tests_stop(engine);
    eng_dns_work_stop(engine);
    drop_all(engine);
    json_decref(engine->dns->tests);
    json_decref(engine->dns->journal);
    engine->dns->tests = engine->dns->journal = NULL;
}
