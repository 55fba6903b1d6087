/* The store's housekeeping: how full it is, dead readers, copies, and the hold after a restore. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/core/clock.h"
#include "base/core/file.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "certstore/crash.h"
#include "certstore/internal.h"

/* Below it the exact use does not matter, and counting it would only cost time. */
#define COUNT_FREE_FROM 50

static int percent_of(const struct cs_usage *usage)
{
    return usage->map_size > 0 ? (int)(usage->used * 100 / usage->map_size) : 0;
}

static int measure(struct cs_store *store, struct cs_usage *ret, struct cm_err *err)
{
    int rc = cs_env_usage(store->env, false, ret, err);
    if (rc == 0 && percent_of(ret) >= COUNT_FREE_FROM)
        rc = cs_env_usage(store->env, true, ret, err);
    if (rc < 0)
        return rc;
    int percent = percent_of(ret);
    if (percent >= CS_MAP_WARN && store->map_percent < CS_MAP_WARN)
        cm_log(
            CM_LOG_WARN, "certstore", NULL,
            "%d %% of the store's largest size are in use; at %d %% no new credentials are taken",
            percent, CS_MAP_REFUSE);
    store->map_percent = percent;
    store->measured_ms = cm_mono_ms();
    return 0;
}

static bool is_stuck(const struct cs_store *store)
{
    return store->reader_pid != 0 && cm_mono_ms() - store->reader_since_ms >= CS_READER_MAX_MS;
}

static void watch_readers(struct cs_store *store)
{
    int64_t pid = 0, txn = 0;
    cs_env_foreign(store->env, &pid, &txn);
    if (pid != store->reader_pid || txn != store->reader_txn) {
        if (store->reader_told)
            cm_log(CM_LOG_INFO, "certstore", NULL, "process %lld has let go of its old snapshot",
                   (long long)store->reader_pid);
        store->reader_pid = pid;
        store->reader_txn = txn;
        store->reader_since_ms = cm_mono_ms();
        store->reader_told = false;
    }
    if (!is_stuck(store) || store->reader_told)
        return;
    cm_log(CM_LOG_WARN, "certstore", NULL,
           "process %lld reads an old snapshot of the store for %d minutes: the file grows with "
           "every change until that process ends",
           (long long)pid, CS_READER_MAX_MS / 60000);
    store->reader_told = true;
}

void cs_care(struct cs_store *store)
{
    struct cm_err err = CM_ERR_INIT;
    struct cs_usage usage;
    int dead = 0;
    if (measure(store, &usage, &err) < 0 || cs_env_reap(store->env, &dead, &err) < 0)
        cm_log_err(CM_LOG_WARN, "certstore", &err);
    if (dead > 0)
        cm_log(CM_LOG_WARN, "certstore", NULL, "%d snapshots of readers that died are freed", dead);
    watch_readers(store);
    cm_err_fini(&err);
}

/* What keeps an existing fleet alive may still be new: a renewal asks, proves, deploys, reports;
 * and keys that have to be replaced do not wait for room. */
static bool keeps_alive(const json_t *body)
{
    static const char *const types[] = {"receipt", "challenge", "keyfile",  "archive",
                                        "trust",   "server",    "rotation", "reseal"};
    const char *type = cm_json_str_or(body, "type", "");
    const char *action = cm_json_str_or(body, "action", "");
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (strcmp(type, types[i]) == 0)
            return true;
    return strcmp(type, "request") == 0 && strcmp(action, "issue") != 0 &&
           strcmp(action, "import") != 0;
}

int cs_care_new(struct cs_store *store, const json_t *body, struct cs_result *result,
                struct cm_err *err)
{
    struct cs_usage usage;
    /* Measured in its time (cs_care); near the limit more often, as batches of documents count. */
    bool stale = store->measured_ms == 0 ||
                 (store->map_percent >= CS_MAP_WARN && cm_mono_ms() - store->measured_ms > 1000);
    if (stale && measure(store, &usage, NULL) < 0)
        return 0; /* the write itself will tell */
    if (store->map_percent < CS_MAP_REFUSE || keeps_alive(body))
        return 0;
    cm_fail(err, CM_EFULL, "the certificate store is %d %% full: nothing new is taken",
            store->map_percent);
    cm_err_hint(err, "Existing certificates are still renewed. Restart certmgr: it opens the store "
                     "with room for twice as much.");
    return cs_refuse(result, CM_EFULL, "the certificate store is %d %% full: nothing new is taken",
                     store->map_percent);
}

static int64_t disk_free(const struct cs_store *store)
{
    struct statvfs fs;
    if (statvfs(store->dir, &fs) != 0 || fs.f_frsize == 0 ||
        (uint64_t)fs.f_bavail > (uint64_t)INT64_MAX / fs.f_frsize)
        return INT64_MAX;
    return (int64_t)((uint64_t)fs.f_bavail * fs.f_frsize);
}

int cs_stat(struct cs_store *store, struct cs_stat *ret, struct cm_err *err)
{
    struct cs_usage usage;
    struct cs_view view;
    *ret = (struct cs_stat){0};
    int rc = measure(store, &usage, err);
    if (rc == 0)
        rc = cs_view_begin(store, true, &view, err);
    if (rc < 0)
        return rc;
    rc = cs_txn_count(view.txn, &ret->records, err);
    cs_view_end(store, &view);
    ret->documents = store->durable.docs;
    ret->deleted = store->durable.deleted;
    ret->refused = store->durable.quarantine_count;
    ret->map_size = (int64_t)usage.map_size;
    ret->map_used = (int64_t)usage.used;
    ret->file_size = (int64_t)usage.file;
    ret->map_percent = store->map_percent;
    ret->disk_free = disk_free(store);
    ret->readers = usage.readers;
    ret->slow_views = store->slow_views;
    ret->stuck_reader = is_stuck(store) ? store->reader_pid : 0;
    return rc;
}

json_t *cs_stat_json(struct cs_store *store)
{
    struct cs_stat s;
    if (cs_stat(store, &s, NULL) < 0)
        return NULL;
    json_t *v = json_object();
    cm_json_set_int(v, "documents", s.documents);
    cm_json_set_int(v, "deleted", s.deleted);
    cm_json_set_int(v, "refused", s.refused);
    cm_json_set_int(v, "records", s.records);
    cm_json_set_int(v, "file_size", s.file_size);
    cm_json_set_int(v, "map_size", s.map_size);
    cm_json_set_int(v, "map_used", s.map_used);
    cm_json_set_int(v, "map_percent", s.map_percent);
    if (s.disk_free < INT64_MAX)
        cm_json_set_int(v, "disk_free", s.disk_free);
    cm_json_set_int(v, "readers", s.readers);
    cm_json_set_int(v, "slow_snapshots", s.slow_views);
    cm_json_set_int(v, "stuck_reader", s.stuck_reader);
    return v;
}

int cs_copy(struct cs_store *store, const char *path, struct cm_err *err)
{
    if (store->damaged)
        return cs_crash_refuse(err);
    const char *slash = strrchr(path, '/');
    CM_AUTO_STR dir = slash ? cm_strndup(path, (size_t)(slash - path) + 1) : cm_strdup(".");
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return cm_fail_errno(err, errno, "cannot make %s", path);
    int rc = cs_env_copy(store->env, fd, err);
    if (close(fd) != 0 && rc == 0)
        rc = cm_fail_errno(err, errno, "cannot write %s", path);
    if (rc == 0)
        rc = cm_dir_sync(dir, err);
    if (rc < 0)
        (void)unlink(path); /* half a copy is none */
    return rc;
}

void cs_set_hold(struct cs_store *store, const char *why)
{
    store->hold = why;
}
