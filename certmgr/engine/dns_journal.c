/*
 * The journal of TXT values: kv "dns_journal", key "<owner>/<hash of account, name and value>",
 * value {account, zone, fqdn, value, record, state: adding|set|removing, unsure (its addition
 * failed), at, attempts, next_at}.
 */
#include "certmgr/engine/dns.h"

#include <stdio.h>
#include <string.h>

#define TABLE      "dns_journal"
#define HASH_CHARS 32

void dns_journal_key(const struct eng_dns_value *value, char out[DNS_KEY_MAX])
{
    char hex[CM_SHA256_HEX];
    CM_AUTO_STR text = cm_asprintf("%s\n%s\n%s", value->account, value->fqdn, value->value);
    cm_sha256_hex(text, strlen(text), hex);
    snprintf(out, DNS_KEY_MAX, "%.40s/%.*s", value->owner, HASH_CHARS, hex);
}

static int collect(void *arg, const char *key, const json_t *value)
{
    json_object_set_new(arg, key, json_deep_copy(value));
    return 0;
}

/* Read once, kept in memory: one process writes it. */
static json_t *all(struct engine *engine)
{
    struct eng_dns *dns = engine->dns;
    if (!dns->journal) {
        dns->journal = json_object();
        cs_kv_each(engine->env.store, TABLE, "", collect, dns->journal);
    }
    return dns->journal;
}

bool dns_journal_is(const json_t *entry, const char *state)
{
    return strcmp(cm_json_str_or(entry, "state", ""), state) == 0;
}

json_t *dns_journal_get(struct engine *engine, const char *key)
{
    return json_copy(json_object_get(all(engine), key));
}

void dns_journal_put(struct engine *engine, const char *key, const json_t *entry)
{
    struct cm_err err = CM_ERR_INIT;
    json_object_set_new(all(engine), key, json_copy((json_t *)(uintptr_t)entry));
    if (cs_kv_put(engine->env.store, TABLE, key, entry, &err) != 0)
        cm_log_err(CM_LOG_ERROR, "engine", &err);
    cm_err_fini(&err);
}

void dns_journal_forget(struct engine *engine, const char *key)
{
    struct cm_err err = CM_ERR_INIT;
    json_object_del(all(engine), key);
    if (cs_kv_del(engine->env.store, TABLE, key, &err) != 0)
        cm_log_err(CM_LOG_WARN, "engine", &err); /* removed once more later, which does no harm */
    cm_err_fini(&err);
}

json_t *dns_journal(struct engine *engine, const char *owner)
{
    json_t *out = json_object();
    size_t len = owner ? strlen(owner) : 0;
    const char *key;
    json_t *entry;
    json_object_foreach(all(engine), key, entry)
    {
        if (!owner || (strncmp(key, owner, len) == 0 && key[len] == '/'))
            json_object_set(out, key, entry);
    }
    return out;
}

static bool is_of(const json_t *entry, const char *account)
{
    return strcmp(cm_json_str_or(entry, "account", ""), account) == 0;
}

size_t eng_dns_journal_count(struct engine *engine, const char *account)
{
    size_t count = 0;
    const char *key;
    json_t *entry;
    json_object_foreach(all(engine), key, entry)
    {
        count += is_of(entry, account) && !cm_json_bool(entry, "unsure", false);
    }
    return count;
}

json_t *eng_dns_journal_drop(struct engine *engine, const char *account)
{
    CM_AUTO_JSON copy = dns_journal(engine, NULL);
    json_t *names = json_array();
    const char *key;
    json_t *entry;
    json_object_foreach(copy, key, entry)
    {
        if (!is_of(entry, account))
            continue;
        json_array_append(names, json_object_get(entry, "fqdn"));
        dns_journal_forget(engine, key);
    }
    return names;
}

bool dns_journal_shared(struct engine *engine, const char *own_key)
{
    const char *hash = strchr(own_key, '/');
    const char *key;
    json_t *entry;
    json_object_foreach(all(engine), key, entry)
    {
        const char *other = strchr(key, '/');
        if (hash && other && strcmp(hash, other) == 0 && strcmp(key, own_key) != 0 &&
            !dns_journal_is(entry, "removing"))
            return true;
    }
    return false;
}

bool dns_journal_occupied(struct engine *engine, const char *own_key, const char *account)
{
    const char *key;
    json_t *entry;
    json_object_foreach(all(engine), key, entry)
    {
        if (strcmp(key, own_key) != 0 && !dns_journal_is(entry, "adding") && is_of(entry, account))
            return true;
    }
    return false;
}
