/*
 * Power cuts in user space: every write and sync of the store's file is logged, and for a random
 * moment the file is built anew as a disk may have left it: what was synced is there; of the rest
 * each 512-byte sector may have been written or not, in any order.  Such a store must open, be
 * sound, and hold every acknowledged operation.
 *
 * Negative control: the same with the syncs ignored.  A harness that does not catch these would not
 * catch a store that forgets to sync.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/core/clock.h"
#include "base/core/mem.h"
#include "base/core/num.h"
#include "tests/fault/model.h"
#include "tests/fault/shim.h"

#define SECTOR    512
#define BATCHES   120
#define IMAGE_MAX (64u << 20)
#define CONTROLS  60
#define WINDOW    400 /* entries before the cut that a disk without syncs may still hold back */

struct image {
    uint8_t *data;
    size_t len, size;
};

static void image_write(struct image *image, size_t at, const uint8_t *data, size_t len)
{
    if (at + len > IMAGE_MAX)
        die("the image is too large", NULL);
    if (at + len > image->size) {
        image->size = 2 * (at + len);
        image->data = cm_realloc(image->data, image->size);
        memset(image->data + image->len, 0, image->size - image->len);
    }
    memcpy(image->data + at, data, len);
    if (at + len > image->len)
        image->len = at + len;
}

/* Some sectors of a write reach the disk. */
static void write_torn(struct image *image, const struct shim_entry *e, uint64_t *random)
{
    for (size_t i = 0; i < e->len; i += SECTOR - ((size_t)e->at + i) % SECTOR) {
        size_t room = SECTOR - ((size_t)e->at + i) % SECTOR;
        *random = mix(*random);
        if (*random % 2)
            image_write(image, (size_t)e->at + i, e->data + i,
                        e->len - i < room ? e->len - i : room);
    }
}

static void apply(struct image *image, const struct shim_entry *e)
{
    if (e->kind == SHIM_LOG_WRITE || e->kind == SHIM_LOG_DSYNC_WRITE)
        image_write(image, (size_t)e->at, e->data, e->len);
    else if (e->kind == SHIM_LOG_TRUNCATE && (size_t)e->at < image->len)
        image->len = (size_t)e->at;
}

/* The entries of [from, cut) that are not safe, torn and in a random order. */
static void apply_unsafe(struct image *image, const struct shim_entry *log, size_t from, size_t cut,
                         uint64_t *random)
{
    size_t count = 0;
    size_t *order = cm_calloc(cut - from + 1, sizeof(*order));
    for (size_t i = from; i < cut; i++)
        if (log[i].kind == SHIM_LOG_WRITE || log[i].kind == SHIM_LOG_DSYNC_WRITE)
            order[count++] = i;
    for (size_t i = count; i > 1; i--) {
        *random = mix(*random);
        size_t other = *random % i, swap = order[i - 1];
        order[i - 1] = order[other];
        order[other] = swap;
    }
    for (size_t i = 0; i < count; i++)
        write_torn(image, &log[order[i]], random);
    cm_free(order);
}

/* The disk after a cut before entry `cut`; the newest operation acknowledged by then. */
static int64_t build(struct image *image, size_t cut, bool syncs, uint64_t *random)
{
    size_t count, safe = 0;
    int64_t acknowledged = 0;
    const struct shim_entry *log = shim_entries(&count);
    image->len = 0;
    for (size_t i = 0; i < cut; i++) {
        if (log[i].kind == SHIM_LOG_SYNC && syncs)
            safe = i;
        if (log[i].kind == SHIM_LOG_MARK)
            acknowledged = log[i].at;
    }
    if (!syncs)
        safe = cut > WINDOW ? cut - WINDOW : 0;
    for (size_t i = 0; i < safe; i++)
        apply(image, &log[i]);
    /* A finished write to a file opened with O_DSYNC is its own sync. */
    for (size_t i = safe; i < cut && syncs; i++)
        if (log[i].kind == SHIM_LOG_DSYNC_WRITE && i + 1 < cut)
            apply(image, &log[i]);
    apply_unsafe(image, log, safe, cut, random);
    return acknowledged;
}

static void put_image(const char *dir, const struct image *image)
{
    char *path = cm_asprintf("%s/data.mdb", dir);
    char *lock = cm_asprintf("%s/lock.mdb", dir);
    unlink(lock);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, image->data, image->len) != (ssize_t)image->len)
        die("cannot write an image", NULL);
    close(fd);
    cm_free(path);
    cm_free(lock);
}

/* In a child of its own: a store that is really broken may end the process. */
static bool is_good(const char *dir, const struct model *start, int64_t acknowledged, bool quiet)
{
    int status;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        struct rlimit none = {0, 0};
        int64_t mark;
        setrlimit(RLIMIT_CORE, &none);
        if (quiet && !freopen("/dev/null", "w", stderr))
            _exit(2);
        signal(SIGBUS, SIG_DFL);
        signal(SIGSEGV, SIG_DFL);
        struct model m = *start;
        _exit(model_examine(dir, &m, 0, acknowledged, quiet, &mark) > 0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        die("fork", NULL);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void write_log(const char *dir, const struct model *start, uint64_t random)
{
    struct cm_err err = CM_ERR_INIT;
    struct cs_store *store;
    struct model m = *start;
    int64_t done = 0;
    shim_log("/data.mdb");
    if (model_open(dir, &store, &err) < 0)
        die("cannot open the store", &err);
    for (int i = 0; i < BATCHES; i++) {
        random = mix(random);
        int64_t end = done + 1 + (int64_t)(random % MODEL_BATCH_MAX);
        if (model_batch(store, &m, done, end, &err) < 0)
            die("a batch", &err);
        done = end;
        shim_mark(done);
    }
    cs_close(store);
}

/* The first commits make the file; before, there is no store to lose. */
static size_t first_mark(void)
{
    size_t count, i = 0;
    const struct shim_entry *log = shim_entries(&count);
    while (i < count && log[i].kind != SHIM_LOG_MARK)
        i++;
    return i;
}

int main(void)
{
    int64_t images = 300, seed = cm_now_ms(), bad = 0, caught = 0;
    const char *asked = getenv("CERTMGR_FAULT_IMAGES"), *given = getenv("CERTMGR_FAULT_SEED");
    if ((asked && cm_num_i64(asked, 1, 1000000, &images) < 0) ||
        (given && cm_num_i64(given, 1, INT64_MAX, &seed) < 0))
        die("CERTMGR_FAULT_IMAGES and CERTMGR_FAULT_SEED are numbers", NULL);
    const char *tmp = getenv("TMPDIR");
    char *dir = cm_asprintf("%s/crash-images-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(dir))
        die("mkdtemp", NULL);
    uint64_t random = mix((uint64_t)seed);
    struct model start = {.seed = mix((uint64_t)seed)};
    write_log(dir, &start, random);
    size_t count, from = first_mark();
    shim_entries(&count);
    printf("seed %" PRId64 ", %zu entries logged, %" PRId64 " images\n", seed, count, images);
    struct image image = {0};
    shim_log("/nothing");
    for (int64_t i = 0; i < images + CONTROLS; i++) {
        bool control = i >= images;
        random = mix(random);
        size_t cut = from + 1 + random % (count - from);
        int64_t acknowledged = build(&image, cut, !control, &random);
        put_image(dir, &image);
        bool good = is_good(dir, &start, acknowledged, control);
        if (!control && !good)
            fprintf(stderr, "  image %" PRId64 ", cut before entry %zu\n", i, cut);
        bad += !control && !good;
        caught += control && !good;
    }
    printf("%" PRId64 " bad images; %" PRId64 " of %d without syncs were caught\n", bad, caught,
           CONTROLS);
    remove_store(dir);
    cm_free(dir);
    cm_free(image.data);
    if (caught * 100 < CONTROLS * 95)
        die("the negative control was not caught: this proves nothing", NULL);
    return bad > 0;
}
