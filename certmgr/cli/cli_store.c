/* The store as init and "store check" use it: local tables and reads only. */
#include "certmgr/cli/cli_internal.h"
#include "certstore/store.h"

#include <stdio.h>

/* No document is written from here: the running server alone verifies and puts. */
static void verify_none(void *arg, const json_t *body, bool deleted, struct cs_verdict *ret)
{
    (void)arg;
    (void)body;
    (void)deleted;
    *ret = (struct cs_verdict){.valid = false};
    snprintf(ret->reason, sizeof(ret->reason), "documents are put by the running server only");
}

int cli_open_store(const struct cli *cli, struct cs_store **ret, struct cm_err *err)
{
    char dir[CONFIG_PATH_MAX + 32];
    config_store_dir(&cli->config, dir, sizeof(dir));
    struct cs_opts opts = {.dir = dir, .policy = true, .verify = verify_none};
    return cs_open(&opts, ret, err);
}
