/*
 * What the fault tests write and how they judge it: the operation's number decides what it does, so
 * a store can be compared with a model of any length.  A store that ends after operation n holds
 * exactly what operations 1 to n leave, and says so itself (local value "mark").
 */
#pragma once

#include "certstore/store.h"

#define MODEL_KEYS      60
#define MODEL_BATCH_MAX 12

struct slot {
    int64_t last; /* operation that wrote it last; 0 = never */
    bool gone;
    int64_t generation, parent; /* of replicated documents: parent = operation of the last one */
};
struct model {
    uint64_t seed;
    struct slot own[MODEL_KEYS], replicated[MODEL_KEYS], kv[MODEL_KEYS];
};

/* splitmix64 */
uint64_t mix(uint64_t x);
/* Ends the program. */
_Noreturn void die(const char *what, const struct cm_err *err);
/* 0 or the code of what failed; nothing is told. */
int model_open(const char *dir, struct cs_store **ret, struct cm_err *err);
/* Operation n in the open batch, and in the model. */
int model_perform(struct cs_store *store, struct model *m, int64_t n, struct cm_err *err);
/* Operations done+1 to end, the mark, one commit. */
int model_batch(struct cs_store *store, struct model *m, int64_t done, int64_t end,
                struct cm_err *err);
/* Brings the model from `before` to the stored mark and compares everything; the mark must not be
 * below `acknowledged`.  Returns how many differences there are (told unless quiet); *ret_mark. */
unsigned model_examine(const char *dir, struct model *m, int64_t before, int64_t acknowledged,
                       bool quiet, int64_t *ret_mark);
void remove_store(const char *dir);
