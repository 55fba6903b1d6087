/* A store and its ports, as certmgr/app.c joins them. */
#include "tests/bench/repl_node.h"

#include "base/core/log.h"

static void verify(void *arg, const json_t *body, bool deleted, struct cs_verdict *ret)
{
    const struct bench_node *node = arg;
    fleet_verify(node->fleet, body, deleted, ret);
}

static void commit(void *arg)
{
    const struct bench_node *node = arg;
    struct cm_err err = CM_ERR_INIT;
    if (node->store && cs_commit(node->store, &err) < 0)
        cm_log_err(CM_LOG_ERROR, "bench", &err);
    cm_err_fini(&err);
}

static void arm(void *arg)
{
    struct bench_node *node = arg;
    cm_loop_defer(node->loop, commit, node);
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
    cm_loop_free(node->loop);
}
