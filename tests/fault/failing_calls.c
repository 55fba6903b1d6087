/*
 * The k-th call fails, for k = 1, 2, 3, … until a run meets no failure: writes, syncs, truncations,
 * opens and renames, each with every error a disk gives.  Whatever the process was told, what is on
 * the disk afterwards is the old or the new state, sound, with everything acknowledged in it; a
 * copy of the store is whole or not there; and a person reads which file it was, and why.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/core/clock.h"
#include "base/core/file.h"
#include "base/core/mem.h"
#include "base/core/num.h"
#include "tests/fault/model.h"
#include "tests/fault/shim.h"

#define BATCHES      12
#define BATCHES_LONG 60
#define TELLING      1500

static const struct {
    enum shim_call call;
    int error;
    const char *name;
    bool sticky;
} classes[] = {
    {SHIM_WRITE, EIO, "write EIO", false},
    {SHIM_WRITE, ENOSPC, "write ENOSPC", false},
    {SHIM_WRITE, ENOSPC, "write ENOSPC for good", true},
    {SHIM_WRITE, EDQUOT, "write EDQUOT", false},
    {SHIM_WRITE, EINTR, "write EINTR", false},
    {SHIM_WRITE, SHIM_SHORT, "short write", false},
    {SHIM_SYNC, EIO, "sync EIO", false},
    {SHIM_SYNC, ENOSPC, "sync ENOSPC", false},
    {SHIM_SYNC, EINTR, "sync EINTR", false},
    {SHIM_TRUNCATE, EIO, "ftruncate EIO", false},
    {SHIM_OPEN, EMFILE, "open EMFILE", false},
    {SHIM_OPEN, EACCES, "open EACCES", false},
};

static unsigned problems;
static int batches = BATCHES;

struct report {
    int64_t acknowledged;
    bool hit;
    char told[TELLING]; /* of the first failure */
};

static void note(struct report *report, const struct cm_err *err)
{
    if (report->told[0] == '\0')
        cm_err_line(err, report->told, sizeof(report->told));
}

/* One life under the failure; batches go on after one that failed, as a server does. */
static void live(const char *dir, struct model *m, int which, int64_t k, struct report *report)
{
    struct cm_err err = CM_ERR_INIT;
    struct cs_store *store = NULL;
    int64_t done = 0;
    shim_fail(classes[which].call, k, classes[which].error, classes[which].sticky);
    if (model_open(dir, &store, &err) < 0) {
        note(report, &err);
        report->hit = shim_hit();
        return;
    }
    for (int i = 0; i < batches; i++) {
        int64_t end = done + 1 + (int64_t)(mix((uint64_t)i) % MODEL_BATCH_MAX);
        struct model before = *m;
        cm_err_fini(&err);
        if (model_batch(store, m, done, end, &err) < 0) {
            note(report, &err);
            *m = before;
            if (err.code == CM_EIO)
                break; /* the server ends here and begins anew */
            continue;
        }
        done = end;
        report->acknowledged = done;
    }
    report->hit = shim_hit();
    shim_off();
    _exit(0); /* as a kill would: nothing is tidied up */
}

/* The report lies in shared memory, so that it survives whatever happens to the child. */
static void run(const char *dir, const struct model *start, int which, int64_t k,
                struct report *shared)
{
    int status;
    memset(shared, 0, sizeof(*shared));
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        struct model m = *start;
        if (!freopen("/dev/null", "w", stderr))
            _exit(3);
        live(dir, &m, which, k, shared);
        _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        die("fork", NULL);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        fprintf(stderr, "  %s, call %" PRId64 ": the process ended with %d\n", classes[which].name,
                k, status);
        problems++;
    }
}

static bool has(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

/* In the system's words; LMDB makes an input/output error of a short write. */
static const char *reason(int error)
{
    return strerrordesc_np(error == SHIM_SHORT ? EIO : error);
}

/* A person reads that the disk is full, or what failed (the store, or which file of it) and why. */
static bool told_well(int which, const char *dir, const char *told)
{
    int error = classes[which].error;
    bool full = has(told, "full") || has(told, "No space left");
    if (error == ENOSPC || error == EDQUOT)
        return full;
    if (!has(told, "certificate store") && !has(told, dir))
        return false;
    return has(told, reason(error)) || (full && error == SHIM_SHORT);
}

/* All k of one class; returns how many failures were met. */
static int64_t sweep(const char *dir, const struct model *start, int which, int64_t k_max,
                     struct report *shared)
{
    int64_t k = 1;
    for (; k <= k_max; k++) {
        struct model m = *start;
        int64_t mark = 0;
        run(dir, start, which, k, shared);
        unsigned wrong = model_examine(dir, &m, 0, shared->acknowledged, false, &mark);
        if (wrong > 0)
            fprintf(stderr, "  %s, call %" PRId64 ": %u problems\n", classes[which].name, k, wrong);
        problems += wrong;
        if (shared->told[0] != '\0' && !told_well(which, dir, shared->told)) {
            fprintf(stderr, "  %s, call %" PRId64 " was told as: %s\n", classes[which].name, k,
                    shared->told);
            problems++;
        }
        remove_store(dir);
        if (mkdir(dir, 0700) != 0)
            die("mkdir", NULL);
        if (!shared->hit)
            break; /* a clean run: there are no more calls of this kind */
    }
    return k - 1;
}

/* ---- one file written anew --------------------------------------------------------------------
 */

/* Names the file or its directory, and the reason as the system words it. */
static bool file_told_well(const struct cm_err *err, const char *dir, int error)
{
    char line[TELLING];
    cm_err_line(err, line, sizeof(line));
    return has(line, dir) && has(line, reason(error));
}

/* cm_file_write() under every failure: the file is the old or the new one, success means new. */
static int64_t sweep_file(const char *dir, enum shim_call call, int error)
{
    char *path = cm_asprintf("%s/file", dir);
    int64_t k = 1;
    for (; k <= 50; k++) {
        char *text = NULL;
        if (cm_file_write(path, "old", 3, 0600, NULL) < 0)
            die("cannot write the old file", NULL);
        shim_fail(call, k, error, false);
        struct cm_err err = CM_ERR_INIT;
        int rc = cm_file_write(path, "new text", 8, 0600, &err);
        bool hit = shim_hit();
        shim_off();
        if (rc < 0 && !file_told_well(&err, dir, error)) {
            fprintf(stderr, "  file, call %d number %" PRId64 " was told as: %s\n", (int)call, k,
                    err.what);
            problems++;
        }
        cm_err_fini(&err);
        bool read_back = cm_file_read(path, 100, &text, NULL, NULL) == 0;
        bool is_new = read_back && strcmp(text, "new text") == 0;
        if (!is_new && (rc == 0 || !read_back || strcmp(text, "old") != 0)) {
            fprintf(stderr, "  file, call %d number %" PRId64 ": neither old nor new\n", (int)call,
                    k);
            problems++;
        }
        cm_free(text);
        if (!hit)
            break;
    }
    unlink(path);
    cm_free(path);
    return k - 1;
}

/* ---- a copy of the store ----------------------------------------------------------------------
 */

/* What is wrong with a copy that was called good; 0 = it holds everything. */
static unsigned examine_copy(const char *copy, const struct model *start, int64_t acknowledged)
{
    char *dir = cm_asprintf("%s-opened", copy), *data = cm_asprintf("%s/data.mdb", dir);
    struct model m = *start;
    int64_t mark = 0;
    if (mkdir(dir, 0700) != 0 || rename(copy, data) != 0)
        die("the copy cannot be opened", NULL);
    unsigned wrong = model_examine(dir, &m, 0, acknowledged, false, &mark);
    remove_store(dir);
    cm_free(dir);
    cm_free(data);
    return wrong;
}

/* cs_copy() under every failure: a whole copy, or none and a word about it; the store goes on. */
static int64_t sweep_copy(struct cs_store *store, const char *copy, const struct model *start,
                          int64_t acknowledged, int which)
{
    int64_t k = 1;
    for (; k <= 50; k++) {
        struct cm_err err = CM_ERR_INIT;
        char line[TELLING];
        shim_fail(classes[which].call, k, classes[which].error, classes[which].sticky);
        int rc = cs_copy(store, copy, &err);
        bool hit = shim_hit();
        shim_off();
        cm_err_line(&err, line, sizeof(line));
        bool there = access(copy, F_OK) == 0;
        bool told = rc == 0 || has(line, "certificate store") || has(line, copy) ||
                    has(line, reason(classes[which].error));
        if ((rc == 0) != there || !told) {
            fprintf(stderr, "  copy, %s, call %" PRId64 ": %d, a file: %d, told as: %s\n",
                    classes[which].name, k, rc, there, line);
            problems++;
        }
        if (there)
            problems += examine_copy(copy, start, acknowledged);
        cm_err_fini(&err);
        if (!hit)
            break;
    }
    return k - 1;
}

static int64_t sweep_copies(const char *dir, const struct model *start)
{
    struct cs_store *store = NULL;
    struct model m = *start;
    struct cm_err err = CM_ERR_INIT;
    char *copy = cm_asprintf("%s-copy", dir);
    int64_t met = 0;
    if (model_open(dir, &store, &err) < 0 || model_batch(store, &m, 0, MODEL_BATCH_MAX, &err) < 0)
        die("no store to copy", &err);
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
        met += sweep_copy(store, copy, start, MODEL_BATCH_MAX, (int)i);
    if (model_batch(store, &m, MODEL_BATCH_MAX, MODEL_BATCH_MAX + 1, &err) < 0)
        die("the store does not go on after failed copies", &err);
    cs_close(store);
    cm_free(copy);
    return met;
}

int main(void)
{
    int64_t k_max = 200, met = 0, seed = cm_now_ms();
    const char *asked = getenv("CERTMGR_FAULT_CALLS"), *tmp = getenv("TMPDIR");
    if (asked && cm_num_i64(asked, 1, 100000, &k_max) < 0)
        die("CERTMGR_FAULT_CALLS is a number", NULL);
    if (asked)
        batches = BATCHES_LONG;
    /* No disk is needed: what fails is decided here. */
    if (access("/dev/shm", W_OK) == 0)
        tmp = "/dev/shm";
    struct report *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char *dir = cm_asprintf("%s/failing-calls-XXXXXX", tmp ? tmp : "/tmp");
    if (shared == MAP_FAILED || !mkdtemp(dir))
        die("mkdtemp", NULL);
    struct model start = {.seed = mix((uint64_t)seed)};
    printf("seed %" PRId64 "\n", seed);
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
        int64_t n = sweep(dir, &start, (int)i, k_max, shared);
        printf("%-24s %3" PRId64 " failures\n", classes[i].name, n);
        met += n;
    }
    static const enum shim_call calls[] = {SHIM_WRITE, SHIM_SYNC, SHIM_OPEN, SHIM_RENAME};
    static const int errors[] = {EIO, ENOSPC, EINTR};
    for (size_t c = 0; c < sizeof(calls) / sizeof(calls[0]); c++)
        for (size_t e = 0; e < sizeof(errors) / sizeof(errors[0]); e++)
            met += sweep_file(dir, calls[c], errors[e]);
    int64_t copies = sweep_copies(dir, &start);
    printf("%-24s %3" PRId64 " failures\n", "copies", copies);
    if (copies < 10)
        die("hardly a copy met a failure", NULL);
    met += copies;
    printf("%" PRId64 " failures met, %u problems\n", met, problems);
    remove_store(dir);
    cm_free(dir);
    if (met < 100)
        die("hardly a failure was met: the shim is not in the way", NULL);
    return problems > 0;
}
