/*
 * SIGKILL at random moments.  A child writes signed documents, replicated documents, tombstones and
 * local values in batches and acknowledges each commit through a pipe; the parent kills it, opens
 * the store and compares everything with a model.  What was written is a function of the
 * operation's number, so the parent knows exactly what must be there: all batches up to the stored
 * mark, the mark not below the last acknowledgement, and nothing of a batch that did not commit.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/core/clock.h"
#include "base/core/file.h"
#include "base/core/mem.h"
#include "base/core/num.h"
#include "tests/fault/model.h"

#define ROUNDS_MAX 100000
#define TELL_EVERY 500
#define KILL_MS    12 /* after the first acknowledgement, at most */

/* ---- child ---- */

static void child_main(const char *dir, struct model *m, int64_t done, uint64_t random, int out)
{
    struct cm_err err = CM_ERR_INIT;
    struct cs_store *store;
    if (model_open(dir, &store, &err) < 0)
        die("cannot open the store", &err);
    for (;;) {
        random = mix(random);
        int64_t end = done + 1 + (int64_t)(random % MODEL_BATCH_MAX);
        if (model_batch(store, m, done, end, &err) < 0)
            die("a batch", &err);
        done = end;
        if (write(out, &done, sizeof(done)) != sizeof(done))
            _exit(0);
    }
}

/* ---- parent ---- */

static unsigned problems;

static void sleep_us(uint64_t us)
{
    struct timespec t = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000};
    nanosleep(&t, NULL);
}

/* One life of a child.  Returns the last acknowledged operation. */
static int64_t run_and_kill(const char *dir, const struct model *m, int64_t done, uint64_t random)
{
    int ends[2], status;
    int64_t acknowledged = 0, n;
    if (pipe(ends) != 0)
        die("pipe", NULL);
    pid_t child = fork();
    if (child < 0)
        die("fork", NULL);
    if (child == 0) {
        struct model copy = *m;
        close(ends[0]);
        child_main(dir, &copy, done, random, ends[1]);
        _exit(0);
    }
    close(ends[1]);
    /* Every fourth dies while opening; the others some time after their first commit. */
    if (random % 4 != 0 && read(ends[0], &n, sizeof(n)) == sizeof(n))
        acknowledged = n;
    sleep_us(mix(random) % (KILL_MS * 1000));
    kill(child, SIGKILL);
    if (waitpid(child, &status, 0) != child)
        die("waitpid", NULL);
    if (!WIFSIGNALED(status)) {
        fprintf(stderr, "  the child ended by itself (status %d)\n", status);
        problems++;
    }
    while (read(ends[0], &n, sizeof(n)) == sizeof(n))
        acknowledged = n;
    close(ends[0]);
    return acknowledged;
}

/* ---- the run: kept beside the store, so that one of hours may be ended and gone on with ---- */

struct run {
    int64_t seed, rounds, round, mark, after_ack;
    const char *kept;     /* directory of --keep, or NULL */
    char *dir, *progress; /* of the store; file of --keep */
};

static void read_progress(struct run *run)
{
    int64_t *const value[] = {&run->seed, &run->round, &run->mark, &run->after_ack};
    FILE *file = fopen(run->progress, "r");
    char line[64];
    for (size_t i = 0; file && i < sizeof(value) / sizeof(value[0]); i++) {
        if (!fgets(line, sizeof(line), file))
            die("the progress file is damaged", NULL);
        line[strcspn(line, "\n")] = '\0';
        if (cm_num_i64(line, 0, INT64_MAX, value[i]) < 0)
            die("the progress file is damaged", NULL);
    }
    if (file)
        fclose(file);
}

static void write_progress(const struct run *run)
{
    CM_AUTO_STR text = cm_asprintf("%" PRId64 "\n%" PRId64 "\n%" PRId64 "\n%" PRId64 "\n",
                                   run->seed, run->round, run->mark, run->after_ack);
    if (run->kept && cm_file_write(run->progress, text, strlen(text), 0600, NULL) < 0)
        die("the progress file cannot be written", NULL);
}

/* The kernel keeps what a killed process wrote: memory is as good as a disk here, and faster. */
static void open_run(struct run *run)
{
    const char *tmp = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : getenv("TMPDIR");
    if (!run->kept) {
        run->dir = cm_asprintf("%s/kill-store-XXXXXX", tmp ? tmp : "/tmp");
        if (!mkdtemp(run->dir))
            die("mkdtemp", NULL);
        return;
    }
    run->dir = cm_asprintf("%s/store", run->kept);
    run->progress = cm_asprintf("%s/progress", run->kept);
    if (cm_dir_make(run->kept, 0700, NULL) < 0 || cm_dir_make(run->dir, 0700, NULL) < 0)
        die("the directory of --keep cannot be made", NULL);
    read_progress(run);
}

static void arguments(int argc, char **argv, struct run *run)
{
    for (int i = 1; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--keep") == 0 && *value)
            run->kept = value;
        else if ((strcmp(argv[i], "--rounds") != 0 ||
                  cm_num_i64(value, 1, ROUNDS_MAX, &run->rounds) < 0) &&
                 (strcmp(argv[i], "--seed") != 0 ||
                  cm_num_i64(value, 1, INT64_MAX, &run->seed) < 0))
            die("usage: kill_store [--rounds N] [--seed N] [--keep DIR]", NULL);
    }
    const char *asked = getenv("CERTMGR_FAULT_KILLS");
    if (asked && cm_num_i64(asked, 1, ROUNDS_MAX, &run->rounds) < 0)
        die("CERTMGR_FAULT_KILLS is a number", NULL);
}

static void tell(const struct run *run)
{
    printf("%" PRId64 " kills, %" PRId64 " of them after an acknowledgement, %" PRId64
           " operations, %u problems\n",
           run->round, run->after_ack, run->mark, problems);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct run run = {.rounds = 500, .seed = cm_now_ms()};
    arguments(argc, argv, &run);
    open_run(&run);
    printf("seed %" PRId64 ", %" PRId64 " kills%s\n", run.seed, run.rounds,
           run.round > 0 ? ", gone on with" : "");
    fflush(stdout);
    struct model model = {.seed = mix((uint64_t)run.seed)};
    if (run.round > 0) /* the model again from the first operation */
        problems += model_examine(run.dir, &model, 0, run.mark, false, &run.mark);
    while (run.round < run.rounds && problems == 0) {
        int64_t acknowledged =
            run_and_kill(run.dir, &model, run.mark, mix((uint64_t)run.seed + (uint64_t)run.round));
        run.after_ack += acknowledged > 0;
        problems += model_examine(run.dir, &model, run.mark, acknowledged, false, &run.mark);
        run.round++;
        write_progress(&run);
        if (run.round % TELL_EVERY == 0)
            tell(&run);
    }
    tell(&run);
    /* A run whose children never wrote anything proves nothing. */
    if (run.after_ack * 2 < run.round)
        die("most children died before their first commit", NULL);
    if (problems == 0 && !run.kept)
        remove_store(run.dir);
    else if (problems > 0)
        fprintf(stderr, "the store is left in %s; repeat with --seed %" PRId64 "\n", run.dir,
                run.seed);
    cm_free(run.dir);
    cm_free(run.progress);
    return problems == 0 ? 0 : 1;
}
