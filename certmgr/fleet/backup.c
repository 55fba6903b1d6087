/* Writing a backup.  See backup.h. */
#include "certmgr/fleet/backup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/core/bytes.h"
#include "base/core/clock.h"
#include "base/core/file.h"
#include "base/core/mem.h"
#include "base/core/step.h"
#include "certmgr/fleet/agent_sync.h"
#include "certmgr/fleet/backup_entry.h"
#include "keyfile/backup.h"

#define COPY_BYTES 65536

json_t *backup_about(const struct cs_store *store, const char *name)
{
    json_t *about = json_object();
    cm_json_set_str(about, "name", name);
    cm_json_set_str(about, "uuid", cs_uuid(store));
    cm_json_set_str(about, "epoch", cs_epoch(store));
    cm_json_set_int(about, "sequence", cs_seq(store));
    cm_json_set_int(about, "documents", cs_doc_count(store));
    cm_json_set_time(about, "created_at", cm_now_ms());
    return about;
}

char *backup_copy_path(const struct config *config)
{
    char dir[CONFIG_PATH_MAX + 32], id[CM_ULID_TEXT];
    config_store_dir(config, dir, sizeof(dir));
    cm_ulid(id);
    return cm_asprintf("%s/" BACKUP_COPY_PREFIX "%s.mdb", dir, id);
}

void backup_remove_copies(const struct config *config)
{
    char dir[CONFIG_PATH_MAX + 32];
    config_store_dir(config, dir, sizeof(dir));
    DIR *list = opendir(dir);
    for (struct dirent *e = list ? readdir(list) : NULL; e; e = readdir(list)) {
        if (strncmp(e->d_name, BACKUP_COPY_PREFIX, strlen(BACKUP_COPY_PREFIX)) != 0)
            continue;
        CM_AUTO_STR path = cm_asprintf("%s/%s", dir, e->d_name);
        (void)unlink(path); /* one that cannot be removed now is tried again next time */
    }
    if (list)
        closedir(list);
}

/* ---- entries -----------------------------------------------------------------------------------
 */

/* Length and JSON: name and size of what follows. */
static int write_entry(struct kf_backup_out *out, const char *name, int64_t size,
                       struct cm_err *err)
{
    uint8_t head[ENTRY_LENGTH];
    size_t len = 0;
    CM_AUTO_JSON entry = json_object();
    cm_json_set_str(entry, "name", name);
    cm_json_set_int(entry, "size", size);
    CM_AUTO_STR text = cm_json_dump(entry, &len);
    head[0] = (uint8_t)(len >> 8);
    head[1] = (uint8_t)len;
    int rc = kf_backup_write(out, head, sizeof(head), err);
    return rc < 0 ? rc : kf_backup_write(out, text, len, err);
}

static int write_text(struct kf_backup_out *out, const char *name, const char *text,
                      struct cm_err *err)
{
    int rc = write_entry(out, name, (int64_t)strlen(text), err);
    return rc < 0 ? rc : kf_backup_write(out, text, strlen(text), err);
}

static int pump(struct kf_backup_out *out, int fd, int64_t size, const char *path,
                struct cm_err *err)
{
    char bytes[COPY_BYTES];
    int rc = 0;
    while (rc == 0 && size > 0) {
        size_t want = size < COPY_BYTES ? (size_t)size : COPY_BYTES;
        ssize_t n = read(fd, bytes, want);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            rc = cm_fail(err, CM_EIO, "cannot read %s: %s", path,
                         n < 0 ? cm_errno_text(errno) : "it became shorter");
        else
            rc = kf_backup_write(out, bytes, (size_t)n, err);
        size -= n;
    }
    cm_wipe(bytes, sizeof(bytes)); /* one of the files is the TLS key */
    return rc;
}

static int write_file(struct kf_backup_out *out, const char *name, const char *path, bool optional,
                      struct cm_err *err)
{
    struct stat st;
    if (optional && !cm_path_exists(path))
        return 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return cm_fail_errno(err, errno, "cannot read %s", path);
    int rc = fstat(fd, &st) == 0 ? 0 : cm_fail_errno(err, errno, "cannot examine %s", path);
    if (rc == 0)
        rc = write_entry(out, name, st.st_size, err);
    if (rc == 0)
        rc = pump(out, fd, st.st_size, path, err);
    close(fd);
    return rc;
}

/* ---- the file ----------------------------------------------------------------------------------
 */

/* The TLS key that is to follow, while the keys are being replaced.  Either of the two may be there
 * alone: rotate_take_tls() goes on from each step. */
static int write_next_tls(struct kf_backup_out *out, const struct config *config,
                          struct cm_err *err)
{
    CM_AUTO_STR cert = cm_asprintf("%s/" ENTRY_TLS_NEXT_CERT, config->state_dir);
    CM_AUTO_STR key = cm_asprintf("%s/" ENTRY_TLS_NEXT_KEY, config->state_dir);
    int rc = write_file(out, ENTRY_TLS_NEXT_KEY, key, true, err);
    return rc < 0 ? rc : write_file(out, ENTRY_TLS_NEXT_CERT, cert, true, err);
}

static int write_parts(const struct backup_parts *parts, int fd, struct cm_err *err)
{
    char cert[CONFIG_PATH_MAX + 32], key[CONFIG_PATH_MAX + 32];
    struct kf_backup_out *out = NULL;
    config_tls_files(parts->config, cert, key, sizeof(cert));
    cm_step("backup.open");
    int rc = kf_backup_create(fd, parts->recovery, parts->about, &out, err);
    if (rc == 0)
        rc = write_text(out, ENTRY_IDENTITY, parts->sealed_identity, err);
    if (rc == 0)
        rc = write_file(out, ENTRY_TLS_CERT, cert, false, err);
    if (rc == 0)
        rc = write_file(out, ENTRY_TLS_KEY, key, false, err);
    if (rc == 0)
        rc = write_next_tls(out, parts->config, err);
    if (rc == 0)
        rc = write_file(out, ENTRY_CONFIG, parts->config->conf_file, true, err);
    if (rc == 0)
        rc = write_file(out, ENTRY_STORE, parts->store_copy, false, err);
    if (rc == 0)
        rc = write_entry(out, ENTRY_END, 0, err);
    if (rc == 0)
        rc = kf_backup_end(out, err);
    kf_backup_out_free(out);
    if (rc == 0 && fsync(fd) != 0)
        rc = cm_fail_errno(err, errno, "cannot save the backup");
    return rc;
}

int backup_write(const struct backup_parts *parts, const char *path, struct cm_err *err)
{
    CM_AUTO_STR temporary = cm_asprintf("%s.part", path);
    const char *slash = strrchr(path, '/');
    CM_AUTO_STR dir = slash ? cm_strndup(path, (size_t)(slash - path) + 1) : cm_strdup(".");
    if (cm_path_exists(path))
        return cm_fail(err, CM_ECONFLICT, "%s exists already", path);
    (void)unlink(temporary); /* of a backup that was killed */
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return cm_fail_errno(err, errno, "cannot make %s", temporary);
    int rc = write_parts(parts, fd, err);
    if (close(fd) != 0 && rc == 0)
        rc = cm_fail_errno(err, errno, "cannot save %s", temporary);
    cm_step("backup.written");
    if (rc == 0 && rename(temporary, path) != 0)
        rc = cm_fail_errno(err, errno, "cannot rename %s", temporary);
    if (rc < 0) {
        (void)unlink(temporary);
        return rc;
    }
    cm_step("backup.renamed");
    return cm_dir_sync(dir, err);
}

/* ---- without a server --------------------------------------------------------------------------
 */

static void verify_none(void *arg, const json_t *body, bool deleted, struct cs_verdict *ret)
{
    (void)arg;
    (void)body;
    (void)deleted;
    *ret = (struct cs_verdict){.valid = false};
    snprintf(ret->reason, sizeof(ret->reason), "no document is put during a backup");
}

static int copy_store(const struct config *config, const char *copy, json_t **ret_about,
                      struct cm_err *err)
{
    char dir[CONFIG_PATH_MAX + 32];
    struct cs_store *store = NULL;
    config_store_dir(config, dir, sizeof(dir));
    struct cs_opts opts = {.dir = dir, .policy = true, .verify = verify_none};
    int rc = cs_open(&opts, &store, err);
    if (rc == 0)
        rc = cs_copy(store, copy, err);
    cm_step("backup.copied");
    if (rc == 0)
        *ret_about = backup_about(store, config->name);
    cs_close(store);
    return rc;
}

static int seal_identity(const struct config *config, json_t **ret, struct cm_err *err)
{
    struct agent_sync agent;
    int rc = agent_sync_start(config, &agent, err);
    if (rc < 0)
        return rc;
    rc = agent_sync_call(&agent, json_pack("{s:s}", "op", "backup.seal"), ret, err);
    agent_sync_stop(&agent);
    return rc;
}

int backup_offline(const struct config *config, const char *path, struct cm_err *err)
{
    backup_remove_copies(config); /* of a backup that was killed */
    CM_AUTO_STR copy = backup_copy_path(config);
    CM_AUTO_JSON about = NULL;
    CM_AUTO_JSON sealed = NULL;
    int rc = copy_store(config, copy, &about, err);
    if (rc == 0)
        rc = seal_identity(config, &sealed, err);
    struct backup_parts parts = {.config = config,
                                 .store_copy = copy,
                                 .sealed_identity = cm_json_str_or(sealed, "sealed", ""),
                                 .recovery = cm_json_str_or(sealed, "recovery", ""),
                                 .about = about};
    if (rc == 0)
        rc = backup_write(&parts, path, err);
    (void)unlink(copy);
    return rc;
}
