/* A store and its ports, as certmgr/app.c joins them. */
#include "tests/bench/repl_node.h"

#include "base/core/clock.h"
#include "base/core/log.h"

/* As the product has them (certmgr/app.c). */
#define GAP_FACTOR 3
#define GAP_MIN_MS 2
#define GAP_MAX_MS 12

static void verify(void *arg, const json_t *body, bool deleted, struct cs_verdict *ret)
{
    const struct bench_node *node = arg;
    fleet_verify(node->fleet, body, deleted, ret);
}

static void commit(void *arg)
{
    struct bench_node *node = arg;
    struct cm_err err = CM_ERR_INIT;
    int64_t begun = cm_mono_ms();
    node->committed_ms = begun;
    if (node->store && cs_commit(node->store, &err) < 0)
        cm_log_err(CM_LOG_ERROR, "bench", &err);
    node->committed_ms = cm_mono_ms();
    node->gap_ms = (node->committed_ms - begun) * GAP_FACTOR;
    cm_err_fini(&err);
}

static void arm(void *arg)
{
    struct bench_node *node = arg;
    int64_t gap = node->gap_ms < GAP_MIN_MS ? GAP_MIN_MS : node->gap_ms;
    gap = (gap > GAP_MAX_MS ? GAP_MAX_MS : gap) + node->committed_ms - cm_mono_ms();
    if (gap <= 0)
        cm_loop_defer(node->loop, commit, node);
    else
        cm_timer_start(node->timer, gap);
}

/* Nothing in the benchmark needs the agent. */
static void no_agent(void *arg, json_t *take_request, kf_reply_fn done, void *done_arg)
{
    (void)arg;
    (void)done;
    (void)done_arg;
    json_decref(take_request);
}

int bench_node_open(const struct bench_fleet *fleet, const char *self, const char *dir,
                    struct bench_node *ret, struct cm_err *err)
{
    *ret = (struct bench_node){.loop = cm_loop_new()};
    ret->timer = cm_timer_new(ret->loop, commit, ret);
    const struct fleet_opts fo = {
        .loop = ret->loop, .agent = {.call = no_agent}, .self = self, .trust = fleet->trust};
    int rc = fleet_new(&fo, &ret->fleet, err);
    if (rc < 0)
        return rc;
    const struct cs_opts opts = {.dir = dir,
                                 .create = true,
                                 .policy = true,
                                 .verify = verify,
                                 .port_arg = ret,
                                 .arm = arm,
                                 .arm_arg = ret};
    return cs_open(&opts, &ret->store, err);
}

void bench_node_close_store(struct bench_node *node)
{
    cs_close(node->store);
    node->store = NULL;
}

void bench_node_close(struct bench_node *node)
{
    bench_node_close_store(node);
    fleet_free(node->fleet);
    cm_timer_free(node->timer);
    cm_loop_free(node->loop);
}
