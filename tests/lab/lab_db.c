/* Databases of certstore-lab: directories on disk, opening, closing, removing. */
#include "tests/lab/lab_db.h"

#include <dirent.h>
#include <string.h>
#include <unistd.h>

#include "base/core/buf.h"
#include "base/core/file.h"
#include "base/core/log.h"
#include "base/core/mem.h"

#define SLASH "%2F" /* of a name, in the name of its directory */

bool lab_name_ok(const char *name)
{
    size_t len = strlen(name);
    return len > 0 && len <= LAB_NAME_MAX && name[0] >= 'a' && name[0] <= 'z' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_$()+/-") == len;
}

static char *dir_of(const struct lab_dbs *dbs, const char *name)
{
    struct cm_buf path;
    cm_buf_init(&path, strlen(dbs->dir) + 4 * LAB_NAME_MAX);
    cm_buf_printf(&path, "%s/", dbs->dir);
    for (; *name; name++) {
        if (*name == '/')
            cm_buf_puts(&path, SLASH);
        else
            cm_buf_putc(&path, *name);
    }
    return cm_buf_take(&path, NULL);
}

static void on_commit(void *arg)
{
    struct lab_db *db = arg;
    struct cm_err err = CM_ERR_INIT;
    if (cs_commit(db->store, &err) < 0)
        cm_log_err(CM_LOG_ERROR, "lab", &err);
    cm_err_fini(&err);
}

static void arm(void *arg)
{
    struct lab_db *db = arg;
    cm_timer_start(db->commit, 0);
}

void lab_db_close_store(struct lab_db *db)
{
    cs_close(db->store);
    db->store = NULL;
}

static void close_db(struct lab_db *db)
{
    lab_db_close_store(db);
    rp_server_free(db->server);
    cm_timer_free(db->commit);
    cm_free(db->name);
    cm_free(db->dir);
    cm_free(db);
}

struct lab_db *lab_db_find(struct lab_dbs *dbs, const char *name)
{
    struct lab_db *db = dbs->first;
    while (db && strcmp(db->name, name) != 0)
        db = db->next;
    return db;
}

int lab_db_create(struct lab_dbs *dbs, const char *name, struct cm_err *err)
{
    struct lab_db *db = cm_calloc(1, sizeof(*db));
    db->dbs = dbs;
    db->name = cm_strdup(name);
    db->dir = dir_of(dbs, name);
    db->commit = cm_timer_new(dbs->loop, on_commit, db);
    const struct cs_opts opts = {
        .dir = db->dir, .map_size = LAB_MAP_SIZE, .create = true, .arm = arm, .arm_arg = db};
    int rc = cs_open(&opts, &db->store, err);
    if (rc < 0) {
        close_db(db);
        return rc;
    }
    db->server = rp_server_new(&(struct rp_server_opts){
        .loop = dbs->loop, .store = db->store, .db = db->name, .lab = true});
    db->next = dbs->first;
    dbs->first = db;
    return 0;
}

static void remove_dir(const char *path)
{
    DIR *dir = opendir(path);
    if (!dir)
        return;
    for (const struct dirent *item; (item = readdir(dir)) != NULL;) {
        if (strcmp(item->d_name, ".") != 0 && strcmp(item->d_name, "..") != 0)
            unlinkat(dirfd(dir), item->d_name, 0);
    }
    closedir(dir);
    rmdir(path);
}

void lab_db_delete(struct lab_dbs *dbs, struct lab_db *db)
{
    struct lab_db **at = &dbs->first;
    while (*at != db)
        at = &(*at)->next;
    *at = db->next;
    CM_AUTO_STR dir = cm_strdup(db->dir);
    close_db(db);
    remove_dir(dir);
}

static char *name_of(const char *dir_name)
{
    struct cm_buf name;
    cm_buf_init(&name, LAB_NAME_MAX + 1);
    while (*dir_name) {
        bool slash = strncmp(dir_name, SLASH, strlen(SLASH)) == 0;
        cm_buf_putc(&name, slash ? '/' : *dir_name);
        dir_name += slash ? strlen(SLASH) : 1;
    }
    return cm_buf_take(&name, NULL);
}

int lab_dbs_open(struct lab_dbs *dbs, struct cm_loop *loop, const char *path, struct cm_err *err)
{
    *dbs = (struct lab_dbs){.loop = loop, .dir = path};
    int rc = cm_dir_make(path, 0700, err);
    DIR *dir = rc == 0 ? opendir(path) : NULL;
    if (!dir)
        return rc < 0 ? rc : cm_fail(err, CM_EIO, "directory %s cannot be read", path);
    for (const struct dirent *item; rc == 0 && (item = readdir(dir)) != NULL;) {
        CM_AUTO_STR name = name_of(item->d_name);
        CM_AUTO_STR inner = dir_of(dbs, name);
        if (lab_name_ok(name) && access(inner, X_OK) == 0 && strcmp(name, "uuid") != 0)
            rc = lab_db_create(dbs, name, err);
    }
    closedir(dir);
    return rc;
}

void lab_dbs_close(struct lab_dbs *dbs)
{
    while (dbs->first) {
        struct lab_db *db = dbs->first;
        dbs->first = db->next;
        close_db(db);
    }
}
