/*
 * DNS accounts: check the fields, open the present secrets when some of them stay, try the whole on
 * its kind, seal, publish.
 *
 * Secrets go in and never come out: a field that is given empty keeps what is there.  In the store
 * they lie sealed for the managers, bound to the account's name.
 */
#include "certmgr/engine/dns.h"

#include <string.h>

#include "base/core/num.h"
#include "base/net/hostname.h"

#define DOMAINS_MAX   100
#define PAIRS_MAX     32
#define PAIR_NAME_MAX 64
#define OPTION_MAX    1024

struct dns_put {
    struct engine *engine;
    char *name, *id;
    json_t *body;    /* the document as it will be */
    json_t *given;   /* secrets that were given, not empty */
    json_t *secrets; /* all of them, in the clear */
    json_t *recipe;
    struct cm_err err;
    eng_done_fn done;
    void *arg;
};

static void wipe(json_t *secrets)
{
    const char *key;
    json_t *value;
    json_object_foreach(secrets, key, value)
    {
        const char *text = json_string_value(value);
        if (text)
            cm_wipe((void *)(uintptr_t)text, strlen(text));
    }
    json_decref(secrets);
}

static void put_end(struct dns_put *put, const struct cm_err *err)
{
    if (put->done)
        put->done(put->arg, err && err->code != 0 ? err : NULL);
    eng_unref(put->engine);
    json_decref(put->body);
    json_decref(put->recipe);
    wipe(put->given);
    wipe(put->secrets);
    cm_free(put->name);
    cm_free(put->id);
    cm_err_fini(&put->err);
    cm_free(put);
}

static void on_refused(void *arg)
{
    struct dns_put *put = arg;
    put_end(put, &put->err);
}

/* ---- fields -------------------------------------------------------------------------------------
 */

/* Is this member asked to change? */
static const json_t *asked(const json_t *fields, const char *member)
{
    const json_t *value = json_object_get(fields, member);
    return json_is_null(value) ? NULL : value;
}

static bool pair_name_ok(const char *name)
{
    size_t len = strlen(name);
    return len > 0 && len <= PAIR_NAME_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") == len;
}

static int check_options(struct dns_put *put, const json_t *options)
{
    const char *name;
    json_t *value;
    json_t *out = json_object();
    cm_json_set(put->body, "options", out);
    if (!json_is_object(options) || json_object_size(options) > PAIRS_MAX)
        return cm_fail(&put->err, CM_EINVAL, "options: at most %d names with a value", PAIRS_MAX);
    json_object_foreach((json_t *)(uintptr_t)options, name, value)
    {
        const char *text = json_string_value(value);
        if (!pair_name_ok(name) || !(text || json_is_integer(value)) ||
            (text && strlen(text) > OPTION_MAX))
            return cm_fail(&put->err, CM_EINVAL,
                           "options: \"%.64s\" is not a name with a short text", name);
        if (!text || *text)
            json_object_set(out, name, value);
    }
    return 0;
}

static int check_secrets(struct dns_put *put, const json_t *secrets)
{
    const char *name;
    json_t *value;
    if (!json_is_object(secrets) || json_object_size(secrets) > PAIRS_MAX)
        return cm_fail(&put->err, CM_EINVAL, "secrets: at most %d names with a value", PAIRS_MAX);
    json_object_foreach((json_t *)(uintptr_t)secrets, name, value)
    {
        const char *text = json_string_value(value);
        if (!pair_name_ok(name) || !text)
            return cm_fail(&put->err, CM_EINVAL, "secrets: \"%.64s\" is not a name with a text",
                           name);
        if (*text)
            json_object_set_new(put->given, name, json_string(text));
    }
    return 0;
}

/* Another enabled account that names this domain, or NULL. */
static const char *claimed_by(const struct dns_put *put, const char *domain)
{
    for (struct eng_dns_account *at = put->engine->dns->accounts; at; at = at->next) {
        if (strcmp(at->name, put->name) != 0 &&
            cm_json_has_str(cm_json_arr(at->body, "domains_ascii"), domain))
            return at->name;
    }
    return NULL;
}

static int check_domains(struct dns_put *put, const json_t *value)
{
    CM_AUTO_JSON typed = eng_split(value);
    json_t *names = json_array(), *ascii_names = json_array();
    size_t i;
    json_t *item;
    cm_json_set(put->body, "domains", names);
    cm_json_set(put->body, "domains_ascii", ascii_names);
    if (!typed || json_array_size(typed) > DOMAINS_MAX)
        return cm_fail(&put->err, CM_EINVAL, "domains: at most %d domains as text", DOMAINS_MAX);
    (void)eng_dns_any(put->engine); /* reads them */
    json_array_foreach(typed, i, item)
    {
        const char *text = json_string_value(item);
        char ascii[HOSTNAME_MAX];
        enum hostname_kind kind = HOSTNAME_DNS;
        struct cm_err why = CM_ERR_INIT;
        if (hostname_is_ip(text) || hostname_to_ascii(text, ascii, &kind, &why) != 0 ||
            kind != HOSTNAME_DNS) {
            cm_fail(&put->err, CM_EINVAL, "domains: \"%.100s\" is not a domain such as example.com",
                    text);
            cm_err_fini(&why);
            return CM_EINVAL;
        }
        const char *other = claimed_by(put, ascii);
        if (other && cm_json_bool(put->body, "enabled", true))
            return cm_fail(&put->err, CM_EINVAL, "domains: %s belongs to DNS account %s already",
                           text, other);
        if (cm_json_has_str(ascii_names, ascii))
            continue;
        json_array_append(names, item);
        json_array_append_new(ascii_names, json_string(ascii));
    }
    if (json_array_size(names) == 0)
        return cm_fail(&put->err, CM_EINVAL, "domains: name at least one domain that it covers");
    return 0;
}

static int check_resolvers(struct dns_put *put, const char *field, const char *text)
{
    struct dns_client *client = NULL;
    struct cm_err why = CM_ERR_INIT;
    if (dns_client_new(put->engine->env.loop, text, &client, &why) != 0) {
        cm_fail(&put->err, CM_EINVAL,
                "%s: give addresses with ports: \"192.0.2.1:53,[2001:db8::1]:53\"", field);
        cm_err_fini(&why);
        return CM_EINVAL;
    }
    dns_client_free(client);
    return 0;
}

static int check_seconds(struct dns_put *put, json_t *out, const json_t *given, const char *member)
{
    const json_t *value = json_object_get(given, member);
    const char *text = json_string_value(value);
    int64_t seconds = json_integer_value(value);
    if (!value || json_is_null(value) || (text && !*text))
        return 0;
    if (!(json_is_integer(value) ||
          (text && cm_num_i64(text, 0, DNS_SECONDS_MAX, &seconds) == 0)) ||
        seconds < 0 || seconds > DNS_SECONDS_MAX)
        return cm_fail(&put->err, CM_EINVAL, "%s: 0 to %d seconds", member, DNS_SECONDS_MAX);
    if (seconds > 0)
        cm_json_set_int(out, member, seconds);
    return 0;
}

static int check_propagation(struct dns_put *put, const json_t *given)
{
    json_t *out = json_object();
    const char *resolvers = cm_json_str_or(given, "resolvers", "");
    cm_json_set(put->body, "propagation", out);
    if (!json_is_object(given))
        return cm_fail(&put->err, CM_EINVAL, "propagation: an object is wanted");
    cm_json_set_bool(out, "authoritative", cm_json_bool(given, "authoritative", true));
    int rc = check_seconds(put, out, given, "fixed_s");
    if (rc == 0)
        rc = check_seconds(put, out, given, "limit_s");
    if (rc == 0 && *resolvers)
        rc = check_resolvers(put, "propagation_resolvers", resolvers);
    if (rc == 0 && *resolvers)
        cm_json_set_str(out, "resolvers", resolvers);
    return rc;
}

/* Secrets belong to the provider that they were given for: another one gets none of them unasked.
 */
static void forget_foreign(struct dns_put *put, const char *kind, const char *provider)
{
    const char *is = cm_json_str_or(put->body, "kind", kind ? kind : "");
    const char *at = cm_json_str_or(put->body, "provider", "");
    if ((!kind || strcmp(kind, is) == 0) && (!provider || strcmp(provider, at) == 0))
        return;
    json_object_del(put->body, "sealed");
    json_object_del(put->body, "secret_names");
}

static int check_kind(struct dns_put *put, const json_t *fields)
{
    const char *kind = cm_json_str(fields, "kind"), *provider = cm_json_str(fields, "provider");
    forget_foreign(put, kind, provider);
    if (kind)
        cm_json_set_str(put->body, "kind", kind);
    if (provider)
        cm_json_set_str(put->body, "provider", *provider ? provider : NULL);
    kind = cm_json_str_or(put->body, "kind", "");
    provider = cm_json_str(put->body, "provider");
    if (!dnsp_kind_find(kind))
        return cm_fail(&put->err, CM_EINVAL, "kind: \"%.40s\" is no kind of DNS provider", kind);
    if (strcmp(kind, "recipe") != 0) {
        json_object_del(put->body, "provider");
        return 0;
    }
    put->recipe = eng_dns_recipe(put->engine, provider);
    if (!put->recipe)
        return cm_fail(&put->err, CM_EINVAL,
                       "provider: there is no recipe \"%.64s\"; see certmgr dns recipe list",
                       provider ? provider : "");
    return 0;
}

static int check_fields(struct dns_put *put, const json_t *fields)
{
    const json_t *value;
    const char *resolvers = cm_json_str(fields, "resolvers");
    bool is_new = !json_object_get(put->body, "kind");
    if (!eng_short_name_ok(put->name))
        return cm_fail(&put->err, CM_EINVAL,
                       "name: a DNS account's name has 1 to 63 letters, digits, dots, hyphens or "
                       "underscores");
    if (is_new || asked(fields, "enabled"))
        cm_json_set_bool(put->body, "enabled", cm_json_bool(fields, "enabled", true));
    int rc = check_kind(put, fields);
    if (rc == 0 && (value = asked(fields, "options")))
        rc = check_options(put, value);
    if (rc == 0 && (value = asked(fields, "secrets")))
        rc = check_secrets(put, value);
    value = asked(fields, "domains");
    if (rc == 0)
        rc = check_domains(put, value ? value : json_object_get(put->body, "domains"));
    if (rc == 0 && (value = asked(fields, "propagation")))
        rc = check_propagation(put, value);
    if (rc == 0 && resolvers && *resolvers)
        rc = check_resolvers(put, "resolvers", resolvers);
    if (rc == 0 && resolvers)
        cm_json_set_str(put->body, "resolvers", *resolvers ? resolvers : NULL);
    return rc;
}

/* ---- document -----------------------------------------------------------------------------------
 */

static int edit_account(void *arg, json_t *body, struct cm_err *err)
{
    const struct dns_put *put = arg;
    static const char *const members[] = {"kind",        "provider",      "options",      "sealed",
                                          "domains",     "domains_ascii", "secret_names", "enabled",
                                          "propagation", "resolvers"};
    (void)err;
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        json_t *value = json_object_get(put->body, members[i]);
        if (value)
            json_object_set(body, members[i], value);
        else
            json_object_del(body, members[i]);
    }
    return 0;
}

static void on_published(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    (void)doc;
    put_end(arg, err);
}

static void publish(struct dns_put *put)
{
    eng_edit(put->engine, put->id, "dns-account", edit_account, on_published, put);
}

/* ---- secrets ------------------------------------------------------------------------------------
 */

/* False: the engine is gone or the agent refused; the put has ended. */
static bool went_well(struct dns_put *put, const char *what, const struct cm_err *err)
{
    if (!put->engine->dead && !err)
        return true;
    if (err)
        cm_err_copy(&put->err, err);
    else
        cm_fail(&put->err, CM_ECLOSED, "The engine was stopped");
    cm_wrap(&put->err, CM_EIO, "The secrets of DNS account %s could not be %s", put->name, what);
    put_end(put, &put->err);
    return false;
}

static void on_sealed(void *arg, const json_t *reply, const struct cm_err *err)
{
    struct dns_put *put = arg;
    if (!went_well(put, "sealed", err))
        return;
    json_object_set(put->body, "sealed", json_object_get(reply, "sealed"));
    publish(put);
}

static void seal(struct dns_put *put)
{
    json_t *request = json_object(), *names = json_array();
    const char *key;
    json_t *value;
    CM_AUTO_STR text = cm_json_dump(put->secrets, NULL);
    json_object_foreach(put->secrets, key, value)
    {
        json_array_append_new(names, json_string(key));
    }
    cm_json_set(put->body, "secret_names", names);
    cm_json_set_str(request, "op", "secret.seal");
    cm_json_set_str(request, "purpose", "dns");
    cm_json_set_str(request, "name", put->name);
    cm_json_set_str(request, "value", text);
    cm_json_set_str(request, "for", "managers");
    cm_wipe(text, strlen(text));
    put->engine->env.agent.call(put->engine->env.agent.arg, request, on_sealed, put);
}

/* All secrets are at hand: the kind judges the whole. */
static void judge(struct dns_put *put)
{
    struct dnsp_account account = {.name = put->name,
                                   .kind = cm_json_str(put->body, "kind"),
                                   .options = cm_json_obj(put->body, "options"),
                                   .secrets = put->secrets,
                                   .recipe = put->recipe};
    if (dnsp_check(&account, &put->err) != 0) {
        put_end(put, &put->err);
        return;
    }
    if (json_object_size(put->given) > 0)
        seal(put);
    else
        publish(put);
}

static void on_opened(void *arg, const json_t *reply, const struct cm_err *err)
{
    struct dns_put *put = arg;
    const char *value = cm_json_str_or(reply, "value", "");
    if (!went_well(put, "opened", err))
        return;
    json_decref(put->secrets);
    if (cm_json_parse(value, strlen(value), &put->secrets, &put->err) != 0) {
        put->secrets = NULL;
        put_end(put, &put->err);
        return;
    }
    json_object_update(put->secrets, put->given);
    judge(put);
}

static void judge_now(void *arg)
{
    judge(arg);
}

static void open_present(struct dns_put *put)
{
    const char *sealed = cm_json_str(put->body, "sealed");
    if (!sealed) {
        json_object_update(put->secrets, put->given);
        cm_loop_defer(put->engine->env.loop, judge_now, put);
        return;
    }
    json_t *request = json_object();
    cm_json_set_str(request, "op", "secret.open");
    cm_json_set_str(request, "purpose", "dns");
    cm_json_set_str(request, "name", put->name);
    cm_json_set_str(request, "sealed", sealed);
    put->engine->env.agent.call(put->engine->env.agent.arg, request, on_opened, put);
}

static struct dns_put *put_new(struct engine *engine, const char *name, eng_done_fn done, void *arg)
{
    struct dns_put *put = cm_calloc(1, sizeof(*put));
    *put = (struct dns_put){.engine = engine,
                            .name = cm_strdup(name),
                            .id = cm_asprintf("dns-account:%.64s", name),
                            .given = json_object(),
                            .secrets = json_object(),
                            .done = done,
                            .arg = arg};
    engine->refs++;
    json_t *present = cs_get_body(engine->env.store, put->id);
    put->body = present ? present : json_object();
    return put;
}

void eng_dns_account_put(struct engine *engine, const json_t *fields, const struct eng_actor *actor,
                         eng_done_fn done, void *arg)
{
    struct dns_put *put = put_new(engine, cm_json_str_or(fields, "name", ""), done, arg);
    (void)actor;
    int rc = engine->env.manager
                 ? check_fields(put, fields)
                 : cm_fail(&put->err, CM_EDENIED, "DNS accounts are kept on the manager");
    if (rc != 0)
        cm_loop_defer(engine->env.loop, on_refused, put);
    else
        open_present(put);
}

/* ---- removal ------------------------------------------------------------------------------------
 */

static int edit_away(void *arg, json_t *body, struct cm_err *err)
{
    const struct dns_put *put = arg;
    if (!json_object_get(body, "serial"))
        return cm_fail(err, CM_ENOENT, "There is no DNS account \"%s\"", put->name);
    CM_AUTO_JSON id = json_incref(json_object_get(body, "_id"));
    CM_AUTO_JSON type = json_incref(json_object_get(body, "type"));
    json_object_clear(body);
    json_object_set(body, "_id", id);
    json_object_set(body, "type", type);
    cm_json_set_bool(body, "_deleted", true);
    return 0;
}

void eng_dns_account_delete(struct engine *engine, const char *name, bool force,
                            const struct eng_actor *actor, eng_done_fn done, void *arg)
{
    struct dns_put *put = put_new(engine, name, done, arg);
    size_t left = engine->env.manager ? eng_dns_journal_count(engine, name) : 0;
    if (!engine->env.manager)
        cm_fail(&put->err, CM_EDENIED, "DNS accounts are kept on the manager");
    else if (left > 0 && !force)
        cm_fail(&put->err, CM_ECONFLICT,
                "DNS account %s still has %zu TXT value%s in the DNS to take away: wait, or force "
                "the removal and take them away by hand",
                name, left, left == 1 ? "" : "s");
    if (put->err.code != 0) {
        cm_loop_defer(engine->env.loop, on_refused, put);
        return;
    }
    CM_AUTO_JSON names = eng_dns_journal_drop(engine, name);
    for (size_t i = 0; i < json_array_size(names); i++)
        cm_log(CM_LOG_WARN, "engine", put->id, "removed by %s; its TXT value stays at %s",
               actor->who, json_string_value(json_array_get(names, i)));
    eng_edit(engine, put->id, "dns-account", edit_away, on_published, put);
}
