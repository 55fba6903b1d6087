/* status: how this server is, in lines for people; everything of it with --json. */
#include "base/core/json.h"
#include "base/core/mem.h"
#include "certmgr/cli/cli_internal.h"
#include "certstore/store.h"

#include <stdio.h>
#include <string.h>

#include "base/core/clock.h"

#define LOST_S 60 /* a manager that is started anew is back sooner */

/* Members of an object as "3 issued, 1 error". */
static void print_counts(const char *label, const json_t *counts)
{
    struct cm_buf text;
    const char *key;
    json_t *value;
    cm_buf_init(&text, 4096);
    json_object_foreach((json_t *)(uintptr_t)counts, key, value)
    {
        if (json_is_integer(value))
            cm_buf_printf(&text, "%s%lld %s", text.len > 0 ? ", " : "",
                          (long long)json_integer_value(value), key);
    }
    cli_line(label, text.len > 0 ? cm_buf_str(&text) : "none");
    cm_buf_fini(&text);
}

/* ", standby beta, gamma" (owned), or "" where there is none. */
static char *standbys_of(const json_t *trust, const char *before)
{
    struct cm_buf text;
    size_t i;
    json_t *name;
    cm_buf_init(&text, 8192);
    json_array_foreach(cm_json_arr(trust, "standbys"), i, name)
    {
        cm_buf_printf(&text, "%s%s", i == 0 ? before : ", ", json_string_value(name));
    }
    char *all = cm_strdup(cm_buf_str(&text));
    cm_buf_fini(&text);
    return all;
}

static void print_trust(const json_t *trust)
{
    if (trust == NULL)
        return;
    CM_AUTO_STR standbys = standbys_of(trust, ", standby ");
    int64_t end = cm_json_time(trust, "expires_at", INT64_MAX);
    CM_AUTO_STR text = cm_asprintf(
        "%lld servers, manager %s%s; trust root version %lld, %s %s",
        (long long)cm_json_int(trust, "servers", 0), cm_json_str_or(trust, "manager", "?"),
        standbys, (long long)cm_json_int(trust, "version", 0),
        end > cm_now_ms() ? "valid until" : "EXPIRED at", cm_json_str_or(trust, "expires_at", "?"));
    cli_line("fleet:", text);
    if (strcmp(cm_json_str_or(trust, "state", ""), "removed") == 0)
        cli_line("REMOVED:", "this server was taken out of the fleet; to bring it back, certmgr "
                             "server add on the manager, then stop it and certmgr join --again");
}

static void print_task(const json_t *status)
{
    const json_t *task = cm_json_obj(status, "task");
    size_t i;
    json_t *alarm;
    CM_AUTO_STR text = cm_asprintf(
        "%lld orders under way, %lld waiting; next due %s", (long long)cm_json_int(task, "jobs", 0),
        (long long)cm_json_int(task, "waiting", 0), cm_json_str_or(task, "next_due_at", "never"));
    if (cm_json_bool(status, "manager", false))
        cli_line("task:", text);
    json_array_foreach(cm_json_arr(task, "alarms"), i, alarm)
    {
        cli_line("ALARM:", cm_json_str(alarm, "what"));
        cli_line("  what to do:", cm_json_str(alarm, "hint"));
    }
    if (cm_json_bool(cm_json_obj(status, "hold"), "active", false))
        cli_line("HOLD:", "this server was restored and waits for the others (certmgr hold)");
}

/* What is to be said of so many free bytes (owned), or NULL. */
static char *disk_of(int64_t bytes)
{
    if (bytes >= CS_DISK_WARN)
        return NULL;
    return cm_asprintf("%lld MiB are free%s", (long long)(bytes >> 20),
                       bytes >> 20 == 0
                           ? ": nothing can be saved; free some, and all goes on by itself"
                           : "; when the disk is full nothing can be saved");
}

static void print_store(const json_t *store, int64_t refused)
{
    CM_AUTO_STR text = cm_asprintf("%lld documents, %lld of %lld MiB (%lld %%)",
                                   (long long)cm_json_int(store, "documents", 0),
                                   (long long)cm_json_int(store, "map_used", 0) >> 20,
                                   (long long)cm_json_int(store, "map_size", 0) >> 20,
                                   (long long)cm_json_int(store, "map_percent", 0));
    size_t problems = json_array_size(cm_json_arr(cm_json_obj(store, "scrub"), "problems"));
    cli_line("store:", text);
    CM_AUTO_STR disk = disk_of(cm_json_int(store, "disk_free", INT64_MAX));
    if (disk)
        cli_line("  DISK:", disk);
    if (problems > 0)
        cli_line("  DAMAGED:", "the weekly check found problems (certmgr store stat)");
    if (refused > 0)
        cli_line("  refused:", "documents were refused (certmgr replication refused)");
}

/* How far behind (owned); a peer that does not answer may have anything. */
static char *lag_of(const json_t *row)
{
    return json_object_get(row, "lag_documents")
               ? cm_asprintf("%lld changes behind", (long long)cm_json_int(row, "lag_documents", 0))
               : cm_strdup("not known how far behind");
}

/* One way of the replication with the upstream. */
static void print_way(const char *label, const json_t *way)
{
    const json_t *error = cm_json_obj(way, "error");
    if (way == NULL)
        return;
    CM_AUTO_STR lag = lag_of(way);
    CM_AUTO_STR text = cm_asprintf("%s, %s, last success %s", cm_json_str_or(way, "state", "?"),
                                   lag, cm_json_str_or(way, "last_success_at", "never"));
    cli_line(label, text);
    cli_tell_error(stdout, "    ", error);
}

/* The manager has been silent for a while: perhaps it is lost, and then this is what helps. */
static void print_lost(const json_t *status)
{
    const json_t *trust = cm_json_obj(status, "trust");
    const json_t *upstream = cm_json_obj(status, "upstream");
    const json_t *pull = cm_json_obj(upstream, "pull");
    if (strcmp(cm_json_str_or(trust, "state", ""), "active") != 0 ||
        strcmp(cm_json_str_or(upstream, "kind", ""), "manager") != 0 ||
        !cm_json_obj(pull, "error") || cm_json_int(pull, "lag_seconds", LOST_S) < LOST_S)
        return;
    CM_AUTO_STR all = standbys_of(trust, "");
    CM_AUTO_STR text = cm_asprintf(
        all[0] ? "on its standby (%s): certmgr manager promote --lost"
               : "there is no standby: restore its backup (man certmgr, WHEN A SERVER IS LOST)%s",
        all);
    cli_line("  manager lost?", text);
}

static void print_replication(const json_t *status)
{
    const json_t *upstream = cm_json_obj(status, "upstream");
    size_t i;
    json_t *peer;
    cli_line("upstream:", cm_json_str(upstream, "url"));
    print_way("  pull:", cm_json_obj(upstream, "pull"));
    print_way("  push:", cm_json_obj(upstream, "push"));
    print_lost(status);
    json_array_foreach(cm_json_arr(status, "peers"), i, peer)
    {
        CM_AUTO_STR lag = lag_of(peer);
        CM_AUTO_STR text = cm_asprintf(
            "%s, %s, last seen %s",
            cm_json_bool(peer, "feed", false) ? "connected"
            : cm_json_str(peer, "through")    ? "behind the hub"
                                              : "away",
            lag, cm_json_str_or(peer, "last_seen_at", "never since this server started"));
        CM_AUTO_STR label = cm_asprintf("server %.60s:", cm_json_str_or(peer, "peer", "?"));
        cli_line(label, text);
    }
}

static void print_services(const json_t *status)
{
    size_t i;
    json_t *listener;
    cli_line("key agent:", cm_json_bool(status, "agent_connected", false)
                               ? "connected"
                               : "AWAY: keys cannot be made or opened until it is back");
    json_array_foreach(cm_json_arr(status, "listeners"), i, listener)
    {
        CM_AUTO_STR label = cm_asprintf("%.20s:", cm_json_str_or(listener, "name", "?"));
        CM_AUTO_STR text = cm_asprintf("%s %s", cm_json_str_or(listener, "state", "?"),
                                       cm_json_str_or(listener, "address", ""));
        cli_line(label, text);
        cli_line("  because:", cm_json_str(listener, "error"));
    }
}

static void print_alarms(const json_t *notices)
{
    size_t i;
    json_t *alarm;
    json_array_foreach(cm_json_arr(notices, "alarms"), i, alarm)
    {
        CM_AUTO_STR text = cm_asprintf("%s: %s", cm_json_str_or(alarm, "title", "?"),
                                       cm_json_str_or(alarm, "what", ""));
        cli_line("ALARM:", text);
        cli_line("  what to do:", cm_json_str(alarm, "hint"));
    }
}

static int cmd_status(struct cli *cli)
{
    CM_AUTO_JSON reply = NULL;
    int status = cli_get(cli, "/status", &reply);
    if (!reply)
        return status;
    CM_AUTO_STR server = cm_asprintf("%s%s, CertMgr %s", cm_json_str_or(reply, "server", "?"),
                                     cm_json_bool(reply, "manager", false) ? " (manager)" : "",
                                     cm_json_str_or(reply, "version", "?"));
    cli_line("server:", server);
    print_trust(cm_json_obj(reply, "trust"));
    print_services(reply);
    print_counts("credentials:", cm_json_obj(reply, "credentials"));
    print_task(reply);
    print_replication(reply);
    print_store(cm_json_obj(reply, "store"), cm_json_int(reply, "quarantined", 0));
    if (cm_json_bool(cm_json_obj(reply, "notices"), "off", false))
        cli_line("notices:", "off: nobody is told of alarms (certmgr.conf(5), [notify])");
    else if (cm_json_obj(reply, "notices"))
        print_counts("notices:", cm_json_obj(reply, "notices"));
    print_alarms(cm_json_obj(reply, "notices"));
    return CLI_OK;
}

const struct cli_command cli_status_commands[] = {
    {"status", "", "this server: fleet, listeners, task, replication, store", cmd_status},
    {0},
};
