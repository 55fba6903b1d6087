/* Conditions of the fleet and of the manager itself, a function per kind.  See rules.h. */
#include <stdio.h>
#include <string.h>

#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "certmgr/notify/condition.h"
#include "certmgr/notify/rules.h"
#include "certstore/store.h"

#define DAY_MS INT64_C(86400000)

/* ---- the fleet ------------------------------------------------------------------------------- */

void notice_rules_server(const struct notice_rules *rules, const char *name, int64_t last_seen_ms,
                         bool watched, json_t *open)
{
    char key[NOTICE_KEY_MAX];
    if (rules->now_ms - last_seen_ms <= rules->silent_after_ms)
        return;
    snprintf(key, sizeof(key), "silent:%.63s", name);
    json_t *c = condition_open(open, key, "server_silent", CONDITION_OPEN);
    if (!c)
        return;
    condition_text(c, "title", cm_asprintf("Server %s is silent", name));
    condition_text(c, "where", cm_asprintf("server %s", name));
    cm_json_set_str(c, "what", "It does not replicate: new certificates do not reach it");
    condition_text(
        c, "hint",
        cm_asprintf("Look whether certmgr runs on %s and reaches the manager's replication "
                    "port; if the server is gone for good: certmgr server remove %s",
                    name, name));
    cm_json_set_str(c, "path", "/servers");
    cm_json_set_time(c, "since", last_seen_ms);
    if (!watched)
        cm_json_set_bool(c, "hold", true);
}

void notice_rules_trust(const struct notice_rules *rules, int64_t expires_ms, json_t *open)
{
    int64_t life = KF_TRUST_DAYS * DAY_MS, left = expires_ms - rules->now_ms;
    int level = left <= 0          ? CONDITION_OVER
                : left < life / 10 ? CONDITION_TENTH
                : left < life / 5  ? CONDITION_FIFTH
                : left < life / 3  ? CONDITION_OPEN
                                   : 0;
    char date[CM_TIME_TEXT];
    json_t *c = level > 0 ? condition_open(open, "trust:root", "trust_root", level) : NULL;
    if (!c)
        return;
    cm_time_format(expires_ms, date);
    cm_json_set_str(c, "title",
                    left <= 0 ? "The trust root has expired" : "The trust root is about to expire");
    cm_json_set_str(c, "where", "the fleet's trust root (trust:root)");
    condition_text(
        c, "what",
        cm_asprintf("It ends at %.19sZ and has not been renewed; after that, servers believe "
                    "no new document",
                    date));
    cm_json_set_str(c, "hint",
                    "The manager renews it daily: look at the log of certmgr on the "
                    "manager for the key agent's errors");
    cm_json_set_str(c, "path", "/status");
    cm_json_set_time(c, "since", expires_ms - life / 3);
}

/* ---- the manager's own state ----------------------------------------------------------------- */

static void map_rule(int percent, json_t *open)
{
    bool refuses = percent >= CS_MAP_REFUSE;
    json_t *c = percent >= CS_MAP_WARN
                    ? condition_open(open, "store:map", "store_full",
                                     refuses ? CONDITION_CRITICAL : CONDITION_OPEN)
                    : NULL;
    if (!c)
        return;
    condition_text(c, "title", cm_asprintf("The certificate store is %d %% full", percent));
    cm_json_set_str(c, "where", "the manager's certificate store");
    cm_json_set_str(c, "what",
                    refuses ? "New credentials are refused; existing ones are still renewed"
                            : "At 90 % new credentials are refused");
    cm_json_set_str(c, "hint",
                    "Restart certmgr there: it opens the store with room for twice as much");
    cm_json_set_str(c, "path", "/status");
}

/* In time: of a disk that is full nobody can be told by what has to be saved first. */
static void disk_rule(bool low, int64_t bytes, json_t *open)
{
    json_t *c = low ? condition_open(open, "store:disk", "disk_full",
                                     bytes < CS_DISK_WARN / 8 ? CONDITION_CRITICAL : CONDITION_OPEN)
                    : NULL;
    if (!c)
        return;
    cm_json_set_str(c, "title", "The disk of the certificate store is nearly full");
    cm_json_set_str(c, "where", "the manager's certificate store");
    cm_json_set_str(c, "what",
                    bytes < CS_DISK_WARN / 8
                        ? "Less than 8 MiB are free; when it is full nothing can be saved"
                        : "Less than 64 MiB are free; when it is full nothing can be saved");
    cm_json_set_str(c, "hint", "Free space on that file system; the store goes on by itself");
    cm_json_set_str(c, "path", "/status");
}

static void scrub_rule(size_t problems, json_t *open)
{
    json_t *c = problems > 0
                    ? condition_open(open, "store:scrub", "store_damaged", CONDITION_CRITICAL)
                    : NULL;
    if (!c)
        return;
    cm_json_set_str(c, "title", "The certificate store is damaged");
    cm_json_set_str(c, "where", "the manager's certificate store");
    condition_text(c, "what", cm_asprintf("The weekly reading found %zu problems", problems));
    cm_json_set_str(c, "hint",
                    "Look at certmgr store stat --json, check the disk, and restore a "
                    "backup when documents are lost");
    cm_json_set_str(c, "path", "/status");
}

static void hold_rule(int64_t since_ms, json_t *open)
{
    json_t *c =
        since_ms > 0 ? condition_open(open, "store:hold", "on_hold", CONDITION_CRITICAL) : NULL;
    if (!c)
        return;
    cm_json_set_str(c, "title", "The manager is on hold after a restore");
    cm_json_set_str(c, "where", "the manager");
    cm_json_set_str(c, "what", "No orders, no deployment, no changes until its servers answered");
    cm_json_set_str(c, "hint",
                    "certmgr hold tells whom it waits for; certmgr hold release ends it");
    cm_json_set_str(c, "path", "/status");
    cm_json_set_time(c, "since", since_ms);
}

static void reader_rule(int64_t pid, json_t *open)
{
    json_t *c =
        pid > 0 ? condition_open(open, "store:reader", "stuck_reader", CONDITION_OPEN) : NULL;
    if (!c)
        return;
    cm_json_set_str(c, "title", "The certificate store grows because of a stuck reader");
    cm_json_set_str(c, "where", "the manager's certificate store");
    condition_text(
        c, "what",
        cm_asprintf("Process %lld reads an old snapshot for more than %d minutes; what is "
                    "replaced meanwhile cannot be used again",
                    (long long)pid, CS_READER_MAX_MS / 60000));
    cm_json_set_str(c, "hint", "Look what the process is (ps) and end it");
    cm_json_set_str(c, "path", "/status");
}

static void refused_rule(const json_t *newest, size_t count, json_t *open)
{
    json_t *c =
        newest ? condition_open(open, "store:refused", "documents_refused", CONDITION_OPEN) : NULL;
    if (!c)
        return;
    condition_text(c, "title",
                   count == 1 ? cm_strdup("A peer's document was refused")
                              : cm_asprintf("%zu documents of peers were refused", count));
    condition_text(c, "where",
                   cm_asprintf("%.200s, brought by %.100s", cm_json_str_or(newest, "id", "?"),
                               cm_json_str_or(newest, "peer", "?")));
    condition_text(c, "what", cm_asprintf("%.300s", cm_json_str_or(newest, "reason", "?")));
    cm_json_set_str(c, "hint",
                    "Nothing of them counts. Find out who wrote them (certmgr replication refused) "
                    "and take that access away; certmgr replication clear empties the list");
    cm_json_set_str(c, "path", "/status");
    cm_json_set_time(c, "since", cm_json_time(newest, "at", 0));
}

void notice_rules_store(const struct notice_store *store, json_t *open)
{
    map_rule(store->map_percent, open);
    disk_rule(store->disk_low, store->disk_free, open);
    scrub_rule(store->scrub_problems, open);
    hold_rule(store->held_since_ms, open);
    reader_rule(store->stuck_reader, open);
    refused_rule(store->refused, store->refused_count, open);
}

static void fleet_rule(const char *key, const json_t *alarm, json_t *open)
{
    static const char *const taken[] = {"title", "where", "what", "hint"};
    int64_t level = cm_json_int(alarm, "level", CONDITION_OPEN);
    json_t *c = condition_open(open, key, cm_json_str_or(alarm, "kind", "fleet"),
                               level >= CONDITION_OPEN && level <= CONDITION_OVER ? (int)level
                                                                                  : CONDITION_OPEN);
    for (size_t i = 0; c && i < sizeof(taken) / sizeof(taken[0]); i++)
        cm_json_set_str(c, taken[i], cm_json_str(alarm, taken[i]));
    if (!c)
        return;
    cm_json_set_str(c, "path", cm_json_str_or(alarm, "path", "/servers"));
    json_object_set(c, "because", cm_json_arr(alarm, "because"));
    cm_json_set_time(c, "next_at", cm_json_time(alarm, "next_at", 0));
    cm_json_set_time(c, "since", cm_json_time(alarm, "since", 0));
}

void notice_rules_alarm(const char *key, const json_t *alarm, json_t *open)
{
    bool clock = strcmp(cm_json_str_or(alarm, "kind", ""), "clock") == 0;
    if (cm_json_str(alarm, "title")) {
        fleet_rule(key, alarm, open);
        return;
    }
    json_t *c = condition_open(open, key, clock ? "clock" : "ca_failing", CONDITION_CRITICAL);
    if (!c)
        return;
    cm_json_set_str(c, "title",
                    clock ? "The clock cannot be believed" : "Many renewals at one CA fail");
    cm_json_set_str(c, "where", clock ? "the manager" : cm_json_str(alarm, "directory"));
    cm_json_set_str(c, "what", cm_json_str(alarm, "what"));
    cm_json_set_str(c, "hint", cm_json_str(alarm, "hint"));
    cm_json_set_str(c, "path", "/status");
    cm_json_set_time(c, "since", cm_json_time(alarm, "since", 0));
}

void notice_rules_second(const json_t *told, json_t *open)
{
    const char *server = cm_json_str(told, "server"), *id = cm_json_str_or(told, "id", "?");
    json_t *c =
        told ? condition_open(open, "fleet:second_manager", "second_manager", CONDITION_CRITICAL)
             : NULL;
    if (!c)
        return;
    cm_json_set_str(c, "title", "Two managers are at work");
    cm_json_set_str(c, "where", server ? server : id);
    if (server)
        condition_text(
            c, "what",
            cm_asprintf("Server %.63s calls itself the manager and does not follow our trust "
                        "root",
                        server));
    else
        condition_text(c, "what",
                       cm_asprintf("Somebody else writes %.100s, which only the manager does", id));
    cm_json_set_str(c, "hint",
                    "Nothing was overwritten. Decide which one stays, stop the other, remove it "
                    "from the fleet (certmgr server remove), and let it join again");
    cm_json_set_str(c, "path", "/status");
    cm_json_set_time(c, "since", cm_json_time(told, "at", 0));
}
