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
#include "base/core/mem.h"
#include "base/core/num.h"
#include "tests/fault/model.h"

#define ROUNDS_MAX 100000
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

int main(int argc, char **argv)
{
    int64_t rounds = 500, seed = cm_now_ms(), mark = 0, kills_after_ack = 0;
    for (int i = 1; i + 1 < argc; i += 2) {
        int64_t *value = strcmp(argv[i], "--rounds") == 0 ? &rounds
                         : strcmp(argv[i], "--seed") == 0 ? &seed
                                                          : NULL;
        if (!value || cm_num_i64(argv[i + 1], 1, INT64_MAX, value) < 0)
            die("usage: kill_store [--rounds N] [--seed N]", NULL);
    }
    const char *asked = getenv("CERTMGR_FAULT_KILLS");
    if (asked && cm_num_i64(asked, 1, ROUNDS_MAX, &rounds) < 0)
        die("CERTMGR_FAULT_KILLS is a number", NULL);
    if (rounds > ROUNDS_MAX)
        rounds = ROUNDS_MAX;
    /* The kernel keeps what a killed process wrote: memory is as good as a disk here, and faster.
     */
    const char *tmp = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : getenv("TMPDIR");
    char *dir = cm_asprintf("%s/kill-store-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(dir))
        die("mkdtemp", NULL);
    printf("seed %" PRId64 ", %" PRId64 " kills\n", seed, rounds);
    fflush(stdout);
    struct model model = {.seed = mix((uint64_t)seed)};
    int64_t round = 0;
    for (; round < rounds && problems == 0; round++) {
        int64_t acknowledged =
            run_and_kill(dir, &model, mark, mix((uint64_t)seed + (uint64_t)round));
        kills_after_ack += acknowledged > 0;
        problems += model_examine(dir, &model, mark, acknowledged, false, &mark);
    }
    printf("%" PRId64 " kills, %" PRId64 " of them after an acknowledgement, %" PRId64
           " operations, %u problems\n",
           round, kills_after_ack, mark, problems);
    /* A run whose children never wrote anything proves nothing. */
    if (kills_after_ack * 2 < rounds)
        die("most children died before their first commit", NULL);
    if (problems == 0)
        remove_store(dir);
    else
        fprintf(stderr, "the store is left in %s; repeat with --seed %" PRId64 "\n", dir, seed);
    cm_free(dir);
    return problems == 0 ? 0 : 1;
}
