/*
 * The test of a DNS account: finds the place, writes a probe, waits until it is seen, takes it
 * away, and tells every step (secrets are masked by construction; reference/acme.md 6.3 rule 7).
 *
 * The report is kept in memory while it grows and in kv "state" afterwards, with the time until the
 * probe was seen everywhere.
 */
#include "certmgr/engine/dns.h"

#include <string.h>

#include "base/net/hostname.h"

#define STEPS_MAX 200

struct dns_test {
    struct dns_test *next;
    struct engine *engine; /* a reference */
    struct eng_dns_account *account;
    char *name, *owner; /* of the account, of the journal */
    char *fqdn, *zone, *value;
    struct dns_find *find;
    struct dns_wait *wait;
    json_t *report;
    int64_t begun_ms, set_ms;
    struct cm_err err;
};

static void tell(struct dns_test *test, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void add_step(struct dns_test *test, const char *text)
{
    json_t *steps = cm_json_arr(test->report, "steps"), *step = json_object();
    if (json_array_size(steps) >= STEPS_MAX) {
        json_decref(step);
        return;
    }
    cm_json_set_int(step, "ms", cm_mono_ms() - test->begun_ms);
    cm_json_set_str(step, "text", text);
    json_array_append_new(steps, step);
}

static void tell(struct dns_test *test, const char *fmt, ...)
{
    char text[CM_ERR_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    add_step(test, text);
}

static void on_line(void *arg, const char *line)
{
    add_step(arg, line);
}

/* ---- end ----------------------------------------------------------------------------------------
 */

static void test_end(struct dns_test *test)
{
    struct engine *engine = test->engine;
    struct cm_err err = CM_ERR_INIT;
    if (test->err.code != 0) {
        /* A step each: a page has the Japanese of sentences, not of several in one line. */
        add_step(test, test->err.what);
        for (unsigned i = 0; i < test->err.cause_count; i++)
            add_step(test, test->err.cause[i]);
        cm_json_set(test->report, "error", cm_err_to_json(&test->err));
    }
    cm_json_set_bool(test->report, "ok", test->err.code == 0);
    cm_json_set_bool(test->report, "running", false);
    if (!engine->dead) {
        CM_AUTO_STR key = cm_asprintf("dns_test/%s", test->name);
        if (cs_kv_put(engine->env.store, "state", key, test->report, &err) != 0)
            cm_log_err(CM_LOG_WARN, "engine", &err);
        json_object_del(engine->dns->tests, test->name);
    }
    cm_err_fini(&err);
    for (struct dns_test **at = &engine->dns->running; *at; at = &(*at)->next) {
        if (*at == test) {
            *at = test->next;
            break;
        }
    }
    json_decref(test->report);
    eng_dns_unref(test->account);
    cm_free(test->name);
    cm_free(test->owner);
    cm_free(test->fqdn);
    cm_free(test->zone);
    cm_free(test->value);
    cm_err_fini(&test->err);
    eng_unref(engine);
    cm_free(test);
}

static struct eng_dns_value value_of(const struct dns_test *test)
{
    return (struct eng_dns_value){.owner = test->owner,
                                  .account = test->name,
                                  .zone = test->zone,
                                  .fqdn = test->fqdn,
                                  .value = test->value};
}

static void on_removed(void *arg, const struct cm_err *err)
{
    struct dns_test *test = arg;
    if (err && test->err.code == 0)
        cm_err_copy(&test->err, err);
    else if (!err)
        tell(test, "The probe is removed");
    test_end(test);
}

static void take_away(struct dns_test *test)
{
    struct eng_dns_value value = value_of(test);
    if (test->engine->dead)
        test_end(test);
    else
        eng_dns_remove(test->engine, &value, on_line, on_removed, test);
}

/* ---- steps --------------------------------------------------------------------------------------
 */

static void on_seen(void *arg, const json_t *report, const struct cm_err *err)
{
    struct dns_test *test = arg;
    size_t i;
    json_t *look;
    test->wait = NULL;
    json_array_foreach(report, i, look)
    {
        tell(test, "%s: %s (%lld ms)", cm_json_str_or(look, "server", "?"),
             cm_json_bool(look, "seen", false) ? "seen" : "not seen",
             (long long)cm_json_int(look, "ms", 0));
    }
    if (err) {
        cm_err_copy(&test->err, err);
    } else {
        int64_t ms = cm_mono_ms() - test->set_ms;
        cm_json_set_int(test->report, "seen_ms", ms);
        if (!test->engine->dead)
            eng_dns_measured(test->engine, test->name, ms);
        tell(test, "The probe is seen everywhere, %lld ms after it was set", (long long)ms);
    }
    take_away(test);
}

static void on_set(void *arg, const struct cm_err *err)
{
    struct dns_test *test = arg;
    struct dns_wait_options options = eng_dns_wait_options(test->account);
    if (err) {
        cm_err_copy(&test->err, err);
        take_away(test); /* it may have been written all the same */
        return;
    }
    test->set_ms = cm_mono_ms();
    tell(test, "The probe is set; looking for it");
    options.fixed_s = 0;
    options.start_ms = 0; /* a test measures anew */
    CM_AUTO_JSON values = json_pack("[{s:s,s:s}]", "fqdn", test->fqdn, "value", test->value);
    if (!eng_dns_resolver(test->account) ||
        (!options.authoritative && !options.resolvers && !options.resolver)) {
        tell(test, "Nobody is asked whether it is seen: switched off in the account");
        take_away(test);
        return;
    }
    test->wait = dns_wait(test->engine->env.loop, eng_dns_resolver(test->account), values, &options,
                          on_seen, test);
}

static void write_probe(struct dns_test *test)
{
    struct eng_dns_value value = value_of(test);
    cm_json_set_str(test->report, "fqdn", test->fqdn);
    cm_json_set_str(test->report, "zone", test->zone);
    eng_dns_add(test->engine, &value, on_line, on_set, test);
}

static void on_place(void *arg, const struct dns_place *place, const struct cm_err *err)
{
    struct dns_test *test = arg;
    test->find = NULL;
    if (err) {
        tell(test, "The zone was not found by DNS (%s); the provider is asked all the same",
             err->what);
    } else {
        cm_free(test->fqdn);
        cm_free(test->zone);
        test->fqdn = cm_strdup(place->name);
        test->zone = cm_strdup(place->zone);
        if (place->hops > 0)
            tell(test, "A CNAME leads to %s", place->name);
        tell(test, "Zone %s, primary server %s, %zu servers", place->zone, place->primary,
             place->server_count);
    }
    write_probe(test);
}

/* ---- begin --------------------------------------------------------------------------------------
 */

static int owner_name(const struct eng_dns_account *account, const char *typed,
                      char out[DNS_OWNER_TEXT], struct cm_err *err)
{
    char ascii[HOSTNAME_MAX];
    enum hostname_kind kind = HOSTNAME_DNS;
    const char *first =
        json_string_value(json_array_get(cm_json_arr(account->body, "domains_ascii"), 0));
    if (typed && *typed) {
        int rc = hostname_to_ascii(typed, ascii, &kind, err);
        if (rc == 0 && kind == HOSTNAME_IP)
            rc = cm_fail(err, CM_EINVAL, "name: an address has no TXT records");
        if (rc != 0)
            return rc;
        first = ascii;
    }
    if (!first)
        return cm_fail(err, CM_EINVAL, "name: the account names no domain");
    eng_dns_owner(first, out);
    return 0;
}

int eng_dns_test(struct engine *engine, const char *name, const char *probe,
                 const struct eng_actor *actor, struct cm_err *err)
{
    char owner[DNS_OWNER_TEXT];
    uint8_t random[32];
    if (!engine->env.manager)
        return cm_fail(err, CM_EDENIED, "DNS accounts are kept on the manager");
    if (cm_json_bool(cm_json_obj(engine->dns->tests, name), "running", false))
        return cm_fail(err, CM_ECONFLICT, "DNS account %s is being tested already", name);
    struct eng_dns_account *account = eng_dns_account(engine, name);
    if (!account)
        return cm_fail(err, CM_ENOENT, "There is no enabled DNS account \"%.64s\"", name);
    int rc = strcmp(cm_json_str_or(account->body, "kind", ""), dnsp_manual.name) == 0
                 ? cm_fail(err, CM_EINVAL,
                           "kind: its records are written by people, so there is nothing to test")
                 : owner_name(account, probe, owner, err);
    if (rc != 0) {
        eng_dns_unref(account);
        return rc;
    }
    struct dns_test *test = cm_calloc(1, sizeof(*test));
    cm_random(random, sizeof(random));
    *test = (struct dns_test){.engine = engine,
                              .account = account,
                              .name = cm_strdup(name),
                              .owner = cm_asprintf("test-%.34s", name),
                              .fqdn = cm_strdup(owner),
                              .zone = cm_strdup(""),
                              .value = cm_b64url(random, sizeof(random)),
                              .report = json_object(),
                              .begun_ms = cm_mono_ms()};
    engine->refs++;
    test->next = engine->dns->running;
    engine->dns->running = test;
    cm_json_set(test->report, "steps", json_array());
    cm_json_set_bool(test->report, "running", true);
    cm_json_set_str(test->report, "by", actor->who);
    cm_json_set_time(test->report, "at", cm_now_ms());
    json_object_set(engine->dns->tests, name, test->report);
    if (eng_dns_resolver(account))
        test->find =
            dns_place_find(engine->env.loop, eng_dns_resolver(account), owner, on_place, test);
    else
        write_probe(test);
    return 0;
}

json_t *eng_dns_test_view(struct engine *engine, const char *name)
{
    json_t *running = json_object_get(engine->dns->tests, name);
    if (running)
        return json_deep_copy(running);
    CM_AUTO_STR key = cm_asprintf("dns_test/%.64s", name);
    return cs_kv_get(engine->env.store, "state", key);
}

void eng_dns_tests_stop(struct engine *engine)
{
    for (struct dns_test *test = engine->dns->running, *next; test; test = next) {
        next = test->next;
        if (test->find)
            dns_place_cancel(test->find);
        if (test->wait)
            dns_wait_cancel(test->wait);
        if (test->find || test->wait)
            test_end(test); /* the others are told that the work has stopped */
    }
}
