/*
 * Places a store cannot live in: a full disk (a tmpfs of 8 MiB in a mount namespace of its own), a
 * read-only file system, a map that is full at its commit.  Reads go on, people are told what is
 * wrong, and a store whose place heals goes on by itself.
 *
 * Mounting needs root; without it these parts are left out, and the program says so.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/core/json.h"
#include "base/core/mem.h"
#include "tests/fault/model.h"

#define EXPECT(what, condition)                                                                    \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "  %s: line %d: %s\n", what, __LINE__, #condition);                    \
            problems++;                                                                            \
        }                                                                                          \
    } while (0)

static unsigned problems;

static int put_text(struct cs_store *store, const char *key, size_t len, struct cm_err *err)
{
    char *text = cm_malloc(len + 1);
    memset(text, 'x', len);
    text[len] = '\0';
    json_t *value = json_string(text);
    cm_free(text);
    int rc = cs_kv_put(store, "log", key, value, err);
    json_decref(value);
    int committed = cs_commit(store, rc == 0 ? err : NULL);
    return rc < 0 ? rc : committed;
}

/* Values of 100 KiB until no more fit; the code and text of the refusal. */
static int fill(struct cs_store *store, const char *what, struct cm_err *err)
{
    int rc = 0;
    for (int i = 0; rc == 0 && i < 1000; i++) {
        char key[32];
        snprintf(key, sizeof(key), "%s-%d", what, i);
        rc = put_text(store, key, 100000, err);
    }
    return rc;
}

static void still_reads(struct cs_store *store, const char *what)
{
    json_t *value = cs_kv_get(store, "log", "first");
    EXPECT(what, json_is_string(value));
    json_decref(value);
    json_t *report = NULL;
    EXPECT(what, cs_check(store, &report, NULL) == 0);
    EXPECT(what, json_array_size(cm_json_arr(report, "problems")) == 0);
    json_decref(report);
}

static void full_map(const char *dir)
{
    struct cs_store *store = NULL;
    struct cm_err err = CM_ERR_INIT;
    struct cs_opts opts = {.dir = dir, .create = true, .map_size = 2u << 20};
    if (cs_open(&opts, &store, &err) < 0)
        die("full map", &err);
    EXPECT("full map", put_text(store, "first", 10, &err) == 0);
    EXPECT("full map", fill(store, "map", &err) == CM_EFULL);
    EXPECT("full map", strstr(err.what, "has reached its largest size"));
    EXPECT("full map", strstr(err.hint, "room for twice as much"));
    cm_err_fini(&err);
    still_reads(store, "full map");
    /* Room that is made is used at once. */
    for (int i = 0; i < 10; i++) {
        char key[32];
        snprintf(key, sizeof(key), "map-%d", i);
        EXPECT("full map", cs_kv_del(store, "log", key, &err) == 0);
    }
    EXPECT("full map", cs_commit(store, &err) == 0);
    EXPECT("full map", put_text(store, "again", 1000, &err) == 0);
    cs_close(store);
    cm_err_fini(&err);
    remove_store(dir);
}

static void full_disk(const char *mount_point)
{
    struct cs_store *store = NULL;
    struct cm_err err = CM_ERR_INIT;
    char *dir = cm_asprintf("%s/store", mount_point), *ballast = cm_asprintf("%s/b", mount_point);
    struct cs_opts opts = {.dir = dir, .create = true, .map_size = 64u << 20};
    int fd = open(ballast, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || posix_fallocate(fd, 0, 2 << 20) != 0 || cs_open(&opts, &store, &err) < 0)
        die("full disk", &err);
    close(fd);
    EXPECT("full disk", put_text(store, "first", 10, &err) == 0);
    EXPECT("full disk", fill(store, "disk", &err) == CM_EFULL);
    EXPECT("full disk", strstr(err.what, "the disk of the certificate store is full"));
    EXPECT("full disk", strstr(err.hint, "goes on by itself"));
    cm_err_fini(&err);
    still_reads(store, "full disk");
    char *copy = cm_asprintf("%s/copy", mount_point);
    EXPECT("full disk", cs_copy(store, copy, &err) == CM_EFULL);
    EXPECT("full disk", strstr(err.what, "no room for the copy"));
    EXPECT("full disk", access(copy, F_OK) != 0);
    cm_err_fini(&err);
    EXPECT("full disk", unlink(ballast) == 0);
    EXPECT("full disk", put_text(store, "again", 1000, &err) == 0);
    still_reads(store, "full disk");
    cs_close(store);
    cm_err_fini(&err);
    cm_free(dir);
    cm_free(ballast);
    cm_free(copy);
}

/* Not even room for LMDB's lock file, into which it writes through a map: no SIGBUS, but words. */
static void no_room_to_open(const char *mount_point)
{
    static const char nothing[4096];
    struct cs_store *store = NULL;
    struct cm_err err = CM_ERR_INIT;
    char *dir = cm_asprintf("%s/late", mount_point), *ballast = cm_asprintf("%s/b", mount_point);
    struct cs_opts opts = {.dir = dir, .create = true, .map_size = 64u << 20};
    int fd = open(ballast, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    while (fd >= 0 && write(fd, nothing, sizeof(nothing)) > 0)
        continue;
    EXPECT("no room to open", cs_open(&opts, &store, &err) == CM_EFULL);
    EXPECT("no room to open", strstr(err.hint, "Free space"));
    cm_err_fini(&err);
    if (fd < 0 || ftruncate(fd, 0) != 0)
        die("no room to open", NULL);
    close(fd);
    EXPECT("no room to open", cs_open(&opts, &store, &err) == 0);
    cs_close(store);
    EXPECT("no room to open", unlink(ballast) == 0);
    cm_err_fini(&err);
    cm_free(dir);
    cm_free(ballast);
}

static void read_only(const char *mount_point)
{
    struct cs_store *store = NULL;
    struct cm_err err = CM_ERR_INIT;
    char *dir = cm_asprintf("%s/store", mount_point);
    struct cs_opts opts = {.dir = dir};
    if (mount("none", mount_point, NULL, MS_REMOUNT | MS_RDONLY, NULL) != 0)
        die("cannot make the file system read-only", NULL);
    EXPECT("read-only", cs_open(&opts, &store, &err) == CM_EIO);
    EXPECT("read-only", strstr(err.what, "Read-only file system"));
    EXPECT("read-only", strstr(err.hint, "writable again"));
    cm_err_fini(&err);
    if (mount("none", mount_point, NULL, MS_REMOUNT, NULL) != 0)
        die("cannot make the file system writable", NULL);
    EXPECT("read-only", cs_open(&opts, &store, &err) == 0);
    still_reads(store, "read-only");
    cs_close(store);
    cm_err_fini(&err);
    cm_free(dir);
}

int main(void)
{
    const char *tmp = getenv("TMPDIR");
    char *dir = cm_asprintf("%s/bad-places-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(dir))
        die("mkdtemp", NULL);
    full_map(dir);
    (void)mkdir(dir, 0700);
    if (unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
        mount("none", dir, "tmpfs", 0, "size=8m") == 0) {
        full_disk(dir);
        no_room_to_open(dir);
        read_only(dir);
        (void)umount2(dir, MNT_DETACH);
    } else {
        printf("left out, because nothing can be mounted here: full disk, read-only (%d)\n", errno);
    }
    rmdir(dir);
    cm_free(dir);
    printf("%u problems\n", problems);
    return problems > 0;
}
