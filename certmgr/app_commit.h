/*
 * When the front commits its store: once for everything written in a loop turn, and under load,
 * where turns are short, once for everything written in a pause.
 */
#pragma once

#include "base/net/loop.h"
#include "certstore/store.h"

struct app_commit;
/* lost: the store cannot be written any more (told already).  Lives as long as the process. */
struct app_commit *app_commit_new(struct cm_loop *loop, void (*lost)(void *arg), void *arg);
void app_commit_free(struct app_commit *commit); /* before its loop; NULL allowed */
/* The store exists, whose cs_opts have app_commit_arm() with the commit as arm_arg. */
void app_commit_store(struct app_commit *commit, struct cs_store *store);
void app_commit_arm(void *commit);
void app_commit_now(struct app_commit *commit);
/* The pause after a commit that took so long and was waited for by so many, in milliseconds. */
int64_t app_commit_pause(int64_t took_ms, size_t waiting);
