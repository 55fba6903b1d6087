/* Two certificate stores of a fuzz target, without and with policy, in memory where there is a file
 * system for it; they live as long as the process. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/core/mem.h"
#include "certstore/store.h"

enum { SCRATCH_LAB, SCRATCH_POLICY, SCRATCH_COUNT };

static struct cs_store *scratch_store[SCRATCH_COUNT];
static char scratch_dir[SCRATCH_COUNT][64];

static void scratch_accept(void *arg, const json_t *body, bool deleted, struct cs_verdict *ret)
{
    (void)arg;
    (void)deleted;
    ret->valid = true;
    ret->serial = cm_json_int(body, "serial", 0);
}

static void scratch_close(void)
{
    static const char *const files[] = {"data.mdb", "lock.mdb", "store.lock"};
    for (int i = 0; i < SCRATCH_COUNT; i++) {
        cs_close(scratch_store[i]);
        for (size_t f = 0; f < sizeof(files) / sizeof(files[0]); f++) {
            char path[128];
            snprintf(path, sizeof(path), "%s/%s", scratch_dir[i], files[f]);
            unlink(path);
        }
        rmdir(scratch_dir[i]);
    }
}

/* Once, at the first input. */
static inline void scratch_open(void)
{
    const char *place = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    for (int i = 0; i < SCRATCH_COUNT; i++) {
        struct cs_opts opts = {.dir = scratch_dir[i],
                               .map_size = (size_t)1 << 30,
                               .create = true,
                               .policy = i == SCRATCH_POLICY,
                               .verify = scratch_accept};
        snprintf(scratch_dir[i], sizeof(scratch_dir[i]), "%s/certmgr-fuzz-XXXXXX", place);
        CM_BUG_ON(!mkdtemp(scratch_dir[i]));
        CM_BUG_ON(cs_open(&opts, &scratch_store[i], NULL) < 0);
    }
    atexit(scratch_close);
}
