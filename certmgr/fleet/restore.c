/* Restoring a backup.  See backup.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/core/bytes.h"
#include "base/core/file.h"
#include "base/core/mem.h"
#include "base/core/num.h"
#include "base/core/step.h"
#include "certmgr/fleet/backup.h"
#include "certmgr/fleet/backup_entry.h"
#include "certmgr/fleet/bootstrap.h"
#include "certmgr/fleet/hold.h"
#include "keyfile/backup.h"

#define COPY_BYTES 65536
#define TEXT_MAX   (1u << 20) /* identity, certificate, configuration */
#define CONF_DIR   0755

struct restore {
    const struct config *config;
    struct kf_backup_in *in;
    struct evp_pkey_st *key;
    char *staged;      /* "<state>.restoring" */
    char *conf;        /* text of the configuration in the backup, or NULL */
    const char *place; /* where it is being written to */
    bool identity, store, tls_cert, tls_key;
};

/* ---- the place ---------------------------------------------------------------------------------
 */

static bool is_empty(const char *path)
{
    DIR *dir = opendir(path);
    bool empty = true;
    for (struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir))
        empty = empty && (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0);
    if (dir)
        closedir(dir);
    return empty;
}

static int refuse_place(const struct config *config, struct cm_err *err)
{
    cm_fail(err, CM_ECONFLICT, "%s is not empty: a backup is restored into an empty place",
            config->state_dir);
    cm_err_hint(err, "Stop certmgr and move the directory away; do not delete it yet.");
    return CM_ECONFLICT;
}

/* What an earlier restore that was killed has left; two levels deep. */
static void remove_staged(const char *path, int depth)
{
    DIR *dir = opendir(path);
    for (struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir)) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        CM_AUTO_STR inner = cm_asprintf("%s/%s", path, e->d_name);
        if (unlink(inner) != 0 && depth > 0)
            remove_staged(inner, depth - 1);
    }
    if (dir)
        closedir(dir);
    (void)rmdir(path);
}

static int make_staged(struct restore *r, struct cm_err *err)
{
    static const char *const parts[] = {"agent", "tls", "store"};
    remove_staged(r->staged, 2);
    int rc = cm_dir_make(r->staged, 0755, err);
    for (size_t i = 0; rc == 0 && i < sizeof(parts) / sizeof(parts[0]); i++) {
        CM_AUTO_STR path = cm_asprintf("%s/%s", r->staged, parts[i]);
        rc = cm_dir_make(path, 0700, err);
    }
    return rc;
}

/* ---- entries -----------------------------------------------------------------------------------
 */

static int read_text(struct restore *r, int64_t size, char **ret, struct cm_err *err)
{
    if (size < 0 || size > (int64_t)TEXT_MAX)
        return cm_fail(err, CM_ELIMIT, "an entry of the backup is too large");
    *ret = cm_malloc((size_t)size + 1);
    (*ret)[size] = '\0';
    return kf_backup_read(r->in, *ret, (size_t)size, err);
}

static int restore_small(struct restore *r, const char *name, int64_t size, mode_t mode,
                         struct cm_err *err)
{
    char *text = NULL;
    CM_AUTO_STR path = cm_asprintf("%s/%s", r->staged, name);
    int rc = read_text(r, size, &text, err);
    if (rc == 0)
        rc = cm_file_write(path, text, (size_t)size, mode, err);
    if (text)
        cm_free_secret(text, (size_t)size);
    return rc;
}

static int write_all(int fd, const char *bytes, size_t len, struct cm_err *err)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return cm_fail_errno(err, n < 0 ? errno : EIO, "cannot write the store");
        bytes += n;
        len -= (size_t)n;
    }
    return 0;
}

static int restore_store(struct restore *r, int64_t size, struct cm_err *err)
{
    CM_AUTO_STR path = cm_asprintf("%s/store/data.mdb", r->staged);
    CM_AUTO_STR bytes = cm_malloc(COPY_BYTES);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return cm_fail_errno(err, errno, "cannot make %s", path);
    int rc = 0;
    while (rc == 0 && size > 0) {
        size_t part = size < COPY_BYTES ? (size_t)size : COPY_BYTES;
        rc = kf_backup_read(r->in, bytes, part, err);
        if (rc == 0)
            rc = write_all(fd, bytes, part, err);
        size -= (int64_t)part;
    }
    if (rc == 0 && fsync(fd) != 0)
        rc = cm_fail_errno(err, errno, "cannot save %s", path);
    close(fd);
    return rc;
}

/* Keys lie in "agent" itself, and in the middle of a rotation in "next" or "old" below. */
static bool is_identity_file(const char *name)
{
    static const char *const dirs[] = {"next/", "old/"};
    static const char *const known[] = {"identity.json", "seal.key", "sign.key", "seal.crt"};
    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
        if (strncmp(name, dirs[i], strlen(dirs[i])) == 0) {
            name += strlen(dirs[i]);
            break;
        }
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strcmp(name, known[i]) == 0)
            return true;
    return false;
}

static int write_identity_file(struct restore *r, const char *name, const char *text, size_t len,
                               struct cm_err *err)
{
    CM_AUTO_STR path = cm_asprintf("%s/agent/%s", r->staged, name);
    CM_AUTO_STR dir = cm_strndup(path, (size_t)(strrchr(path, '/') - path));
    int rc = cm_dir_make(dir, 0700, err);
    return rc < 0 ? rc : cm_file_write(path, text, len, 0600, err);
}

/* One "file: NAME SIZE\n" and its bytes from the opened identity. */
static int identity_file(struct restore *r, const char **at, const char *end, struct cm_err *err)
{
    char name[32];
    int64_t size = -1;
    const char *line_end = memchr(*at, '\n', (size_t)(end - *at));
    bool file = line_end && line_end - *at > 6 && memcmp(*at, "file: ", 6) == 0;
    const char *space = file ? memchr(*at + 6, ' ', (size_t)(line_end - *at - 6)) : NULL;
    if (!space || space - *at - 6 >= (ptrdiff_t)sizeof(name))
        return cm_fail(err, CM_EMALF, "the identity in the backup is damaged");
    CM_AUTO_STR digits = cm_strndup(space + 1, (size_t)(line_end - space - 1));
    memcpy(name, *at + 6, (size_t)(space - *at - 6));
    name[space - *at - 6] = '\0';
    if (!is_identity_file(name) || cm_num_i64(digits, 0, end - line_end - 1, &size) < 0)
        return cm_fail(err, CM_EMALF, "the identity in the backup is damaged");
    *at = line_end + 1 + size;
    return write_identity_file(r, name, line_end + 1, (size_t)size, err);
}

static int restore_identity(struct restore *r, int64_t size, struct cm_err *err)
{
    CM_AUTO_STR text = NULL;
    uint8_t *der = NULL;
    size_t len = 0;
    struct kf_secret plain = {0};
    int rc = read_text(r, size, &text, err);
    if (rc == 0 && cm_b64_decode(text, strlen(text), &der, &len) < 0)
        rc = cm_fail(err, CM_EMALF, "the identity in the backup is damaged");
    if (rc == 0)
        rc = kf_recovery_open(r->key, der, len, &plain, err);
    cm_free(der);
    if (rc < 0)
        return rc;
    const char *end = plain.data + plain.len, *at = strchr(plain.data, '\n');
    at = at ? at + 1 : end;
    while (rc == 0 && at < end)
        rc = identity_file(r, &at, end, err);
    kf_secret_fini(&plain);
    return rc;
}

static int read_entry(struct restore *r, char name[ENTRY_HEAD_MAX], int64_t *ret_size,
                      struct cm_err *err)
{
    uint8_t head[ENTRY_LENGTH];
    char text[ENTRY_HEAD_MAX];
    CM_AUTO_JSON entry = NULL;
    int rc = kf_backup_read(r->in, head, sizeof(head), err);
    size_t len = (size_t)head[0] << 8 | head[1];
    if (rc == 0 && len >= sizeof(text))
        rc = cm_fail(err, CM_EMALF, "an entry of the backup is damaged");
    if (rc == 0)
        rc = kf_backup_read(r->in, text, len, err);
    if (rc == 0)
        rc = cm_json_parse(text, len, &entry, err);
    *ret_size = cm_json_int(entry, "size", -1);
    if (rc == 0 &&
        (*ret_size < 0 || cm_strcpy(name, ENTRY_HEAD_MAX, cm_json_str_or(entry, "name", "")) < 0))
        rc = cm_fail(err, CM_EMALF, "an entry of the backup is damaged");
    return rc;
}

static int take_entry(struct restore *r, const char *name, int64_t size, struct cm_err *err)
{
    if (strcmp(name, ENTRY_IDENTITY) == 0) {
        r->identity = true;
        return restore_identity(r, size, err);
    }
    if (strcmp(name, ENTRY_STORE) == 0) {
        r->store = true;
        return restore_store(r, size, err);
    }
    if (strcmp(name, ENTRY_CONFIG) == 0) {
        cm_free(r->conf);
        r->conf = NULL;
        return read_text(r, size, &r->conf, err);
    }
    if (strcmp(name, ENTRY_TLS_NEXT_CERT) == 0)
        return restore_small(r, name, size, 0644, err);
    if (strcmp(name, ENTRY_TLS_NEXT_KEY) == 0)
        return restore_small(r, name, size, 0600, err);
    bool key = strcmp(name, ENTRY_TLS_KEY) == 0;
    if (!key && strcmp(name, ENTRY_TLS_CERT) != 0)
        return cm_fail(err, CM_EMALF, "the backup holds an unknown entry \"%.60s\"", name);
    if (key)
        r->tls_key = true;
    else
        r->tls_cert = true;
    return restore_small(r, name, size, key ? 0600 : 0644, err);
}

static int take_entries(struct restore *r, struct cm_err *err)
{
    char name[ENTRY_HEAD_MAX];
    int64_t size = 0;
    int rc = 0;
    for (;;) {
        rc = read_entry(r, name, &size, err);
        if (rc < 0 || strcmp(name, ENTRY_END) == 0)
            break;
        rc = take_entry(r, name, size, err);
        if (rc < 0)
            return rc;
    }
    if (rc == 0)
        rc = kf_backup_done(r->in, err);
    if (rc == 0 && !(r->identity && r->store && r->tls_cert && r->tls_key))
        rc = cm_fail(err, CM_EMALF, "the backup is incomplete");
    return rc;
}

/* ---- the store's new life ----------------------------------------------------------------------
 */

static void verify_none(void *arg, const json_t *body, bool deleted, struct cs_verdict *ret)
{
    (void)arg;
    (void)body;
    (void)deleted;
    *ret = (struct cs_verdict){.valid = false};
    snprintf(ret->reason, sizeof(ret->reason), "no document is put during a restore");
}

static int collect_key(void *arg, const char *key, const json_t *value)
{
    (void)value;
    json_array_append_new(arg, json_string(key));
    return 0;
}

/* Orders of the past would be taken up again, sessions and invitations be valid again. */
static int forget_past(struct cs_store *store, struct cm_err *err)
{
    static const char *const tables[] = {"order", "session", "setup", "invite", "local"};
    int rc = 0;
    for (size_t t = 0; rc == 0 && t < sizeof(tables) / sizeof(tables[0]); t++) {
        CM_AUTO_JSON keys = json_array();
        cs_kv_each(store, tables[t], "", collect_key, keys);
        for (size_t i = 0; rc == 0 && i < json_array_size(keys); i++)
            rc = cs_kv_del(store, tables[t], json_string_value(json_array_get(keys, i)), err);
    }
    return rc;
}

static int examine(struct cs_store *store, struct cm_err *err)
{
    CM_AUTO_JSON report = NULL;
    int rc = cs_check(store, &report, err);
    const json_t *problems = cm_json_arr(report, "problems");
    if (rc == 0 && json_array_size(problems) > 0)
        rc = cm_fail(err, CM_EIO, "the store in the backup is damaged: %s",
                     json_string_value(json_array_get(problems, 0)));
    return rc;
}

/* The agent's pinned trust root is the one the store knew. */
static int pin_trust(struct restore *r, const json_t *trust, struct cm_err *err)
{
    size_t len = 0;
    CM_AUTO_STR path = cm_asprintf("%s/agent/trust.json", r->staged);
    CM_AUTO_STR text = cm_json_dump(trust, &len);
    return cm_file_write(path, text, len, 0600, err);
}

static int renew_store(struct restore *r, json_t *about, struct cm_err *err)
{
    CM_AUTO_STR dir = cm_asprintf("%s/store", r->staged);
    struct cs_store *store = NULL;
    struct cs_opts opts = {.dir = dir, .policy = true, .verify = verify_none};
    cm_step("restore.taken");
    int rc = cs_open(&opts, &store, err);
    if (rc == 0)
        rc = examine(store, err);
    CM_AUTO_JSON trust = rc == 0 ? cs_kv_get(store, "state", "trust") : NULL;
    if (rc == 0 && !trust)
        rc = cm_fail(err, CM_EMALF, "the store in the backup belongs to no fleet");
    if (rc == 0)
        rc = pin_trust(r, trust, err);
    if (rc == 0)
        rc = forget_past(store, err);
    if (rc == 0)
        rc = hold_begin(store, r->config->name, trust, about, err);
    if (rc == 0)
        rc = cs_commit(store, err);
    cm_step("restore.held");
    if (rc == 0)
        rc = cs_renew_epoch(store, err);
    cs_close(store);
    cm_step("restore.epoch");
    return rc;
}

/* ---- the whole ---------------------------------------------------------------------------------
 */

/* One rename makes the restored server; before it, nothing was there. */
static int put_in_place(struct restore *r, struct cm_err *err)
{
    const struct config *config = r->config;
    CM_AUTO_STR conf_dir = cm_strdup(config->conf_file);
    CM_AUTO_STR parent = cm_strdup(config->state_dir);
    char *slash = strrchr(conf_dir, '/');
    int rc = 0;
    if (slash && r->conf && !cm_path_exists(config->conf_file)) {
        *slash = '\0';
        r->place = config->conf_file;
        rc = cm_dir_make(conf_dir, CONF_DIR, err);
        if (rc == 0)
            rc = cm_file_write(config->conf_file, r->conf, strlen(r->conf), 0644, err);
    }
    cm_step("restore.config");
    if (rc == 0)
        r->place = config->state_dir;
    if (rc == 0 && rmdir(config->state_dir) != 0 && errno != ENOENT)
        rc = cm_fail_errno(err, errno, "cannot replace the empty directory %s", config->state_dir);
    cm_step("restore.rename");
    if (rc == 0 && rename(r->staged, config->state_dir) != 0)
        rc = cm_fail_errno(err, errno, "cannot rename %s to %s", r->staged, config->state_dir);
    cm_step("restore.renamed");
    slash = strrchr(parent, '/');
    if (slash)
        *slash = '\0';
    return rc < 0 ? rc : cm_dir_sync(parent[0] ? parent : "/", err);
}

static int check_name(const struct restore *r, struct cm_err *err)
{
    const char *name = cm_json_str_or(kf_backup_about(r->in), "name", "");
    if (strcmp(name, r->config->name) == 0)
        return 0;
    cm_fail(err, CM_EINVAL, "the backup is of server \"%.63s\", but [server] name here is \"%s\"",
            name, r->config->name);
    cm_err_hint(err, "Set [server] name = %.63s in %s.", name, r->config->conf_file);
    return CM_EINVAL;
}

static int run(struct restore *r, int fd, json_t **ret_about, struct cm_err *err)
{
    int rc = kf_backup_open(fd, r->key, &r->in, err);
    if (rc == 0)
        rc = check_name(r, err);
    if (rc == 0)
        rc = make_staged(r, err);
    if (rc < 0)
        return rc;
    *ret_about = json_deep_copy(kf_backup_about(r->in));
    json_object_del(*ret_about, "sealed_key");
    cm_step("restore.staged");
    rc = take_entries(r, err);
    if (rc == 0)
        rc = renew_store(r, *ret_about, err);
    return rc < 0 ? rc : put_in_place(r, err);
}

/* Killed behind the last rename, and asked again: the place holds what this backup makes. */
static bool is_done(struct restore *r, int fd, json_t **ret_about)
{
    char dir[CONFIG_PATH_MAX + 32];
    struct cs_store *store = NULL;
    config_store_dir(r->config, dir, sizeof(dir));
    struct cs_opts opts = {.dir = dir, .policy = true, .verify = verify_none};
    if (kf_backup_open(fd, r->key, &r->in, NULL) != 0 || check_name(r, NULL) != 0 ||
        cs_open(&opts, &store, NULL) != 0)
        return false;
    json_t *about = json_deep_copy(kf_backup_about(r->in));
    json_object_del(about, "sealed_key");
    bool done = hold_is_of(store, r->config->name, about);
    cs_close(store);
    if (done)
        *ret_about = about;
    else
        json_decref(about);
    return done;
}

int backup_restore(const struct config *config, const char *path, const char *recovery_key_file,
                   json_t **ret_about, struct cm_err *err)
{
    struct restore r = {.config = config,
                        .staged = cm_asprintf("%s.restoring", config->state_dir),
                        .place = config->state_dir};
    *ret_about = NULL;
    int fd = -1;
    int rc = kf_recovery_load(recovery_key_file, &r.key, err);
    if (rc == 0) {
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            rc = cm_fail_errno(err, errno, "cannot read %s", path);
    }
    bool empty = is_empty(config->state_dir);
    if (rc == 0 && empty)
        rc = run(&r, fd, ret_about, err);
    else if (rc == 0 && !is_done(&r, fd, ret_about))
        rc = refuse_place(config, err);
    if (rc < 0) {
        bootstrap_full_hint(r.place, err);
        remove_staged(r.staged, 2);
    }
    if (fd >= 0)
        close(fd);
    kf_backup_in_free(r.in);
    kf_recovery_free(r.key);
    cm_free(r.conf);
    cm_free(r.staged);
    return rc < 0 ? cm_wrap(err, rc, "%s was not restored", path) : 0;
}
