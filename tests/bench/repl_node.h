/*
 * One server of the benchmark's fleet: loop, store with policy and signatures, fleet; commits at
 * the end of a loop turn, or gathered when it is busy, as the product does.
 */
#pragma once

#include "base/net/loop.h"
#include "certmgr/fleet/fleet.h"
#include "certstore/store.h"
#include "tests/bench/repl_fleet.h"

struct bench_node {
    struct cm_loop *loop;
    struct cs_store *store;
    struct fleet *fleet;
    struct cm_timer *timer; /* of the commit */
    int64_t gap_ms, committed_ms;
};

/* Opens (or makes) the store in dir for the server `self`. */
int bench_node_open(const struct bench_fleet *fleet, const char *self, const char *dir,
                    struct bench_node *ret, struct cm_err *err);
/* What the store keeps as listeners must be freed after the store and before the rest. */
void bench_node_close_store(struct bench_node *node);
void bench_node_close(struct bench_node *node);
