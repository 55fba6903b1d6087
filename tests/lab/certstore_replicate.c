/*
 * certstore-replicate: our replication client against any peer that speaks CouchDB's protocol, one
 * direction, over plain HTTP, without policy and signatures.
 *
 *   certstore-replicate --from URL --to DIR [--live]
 *   certstore-replicate --from DIR --to URL [--live]
 *
 * Ends when everything is over and the checkpoint is saved on both sides (--live: on SIGTERM), and
 * prints the client's status.  Exit code 0; 1 when it failed too often in a row; 2 for wrong
 * arguments.
 */
#include <stdio.h>
#include <string.h>

#include "base/core/json.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "replicator/replicator.h"

#define MAP_SIZE ((size_t)1 << 30)
#define LOOK_MS  20
#define TRIES    8 /* failures in a row after which it gives up; --live never does */

struct driver {
    struct cm_loop *loop;
    struct cs_store *store;
    struct rp_client *client;
    struct cm_timer *commit, *look;
    bool pull, live, failed;
};

static void on_commit(void *arg)
{
    struct driver *driver = arg;
    struct cm_err err = CM_ERR_INIT;
    if (cs_commit(driver->store, &err) < 0)
        cm_log_err(CM_LOG_ERROR, "replicate", &err);
    cm_err_fini(&err);
}

static void arm(void *arg)
{
    struct driver *driver = arg;
    cm_timer_start(driver->commit, 0);
}

static void on_term(void *arg)
{
    cm_loop_stop(arg);
}

static void on_look(void *arg)
{
    struct driver *driver = arg;
    CM_AUTO_JSON status = rp_client_status(driver->client);
    const json_t *part = cm_json_obj(status, driver->pull ? "pull" : "push");
    bool over = strcmp(cm_json_str_or(part, "state", ""), "live") == 0 &&
                cm_json_bool(part, "saved", false);
    driver->failed = cm_json_int(cm_json_obj(part, "error"), "attempts", 0) >= TRIES;
    if (over || driver->failed)
        cm_loop_stop(driver->loop);
    else
        cm_timer_start(driver->look, LOOK_MS);
}

static int run(struct driver *driver, const char *dir, const char *url, struct cm_err *err)
{
    struct http_client *http = http_client_new(driver->loop);
    driver->commit = cm_timer_new(driver->loop, on_commit, driver);
    driver->look = cm_timer_new(driver->loop, on_look, driver);
    const struct cs_opts opts = {
        .dir = dir, .map_size = MAP_SIZE, .create = true, .arm = arm, .arm_arg = driver};
    int rc = cs_open(&opts, &driver->store, err);
    const struct rp_client_opts client = {.loop = driver->loop,
                                          .store = driver->store,
                                          .http = http,
                                          .url = url,
                                          .allow_http = true,
                                          .lab = true,
                                          .pull_only = driver->pull,
                                          .push_only = !driver->pull};
    if (rc == 0)
        rc = rp_client_new(&client, &driver->client, err);
    if (rc == 0) {
        if (!driver->live)
            cm_timer_start(driver->look, LOOK_MS);
        cm_loop_on_term(driver->loop, on_term, driver->loop);
        cm_loop_run(driver->loop);
        CM_AUTO_JSON status = rp_client_status(driver->client);
        CM_AUTO_STR text = cm_json_dump(status, NULL);
        printf("%s\n", text);
    }
    cs_close(driver->store);
    rp_client_free(driver->client);
    cm_timer_free(driver->commit);
    cm_timer_free(driver->look);
    http_client_free(http);
    return rc;
}

static bool is_url(const char *text)
{
    return strncmp(text, "http://", 7) == 0;
}

int main(int argc, char **argv)
{
    const char *from = NULL, *to = NULL;
    struct driver driver = {0};
    struct cm_err err = CM_ERR_INIT;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--live") == 0)
            driver.live = true;
        else if (strcmp(argv[i], "--from") == 0 && i + 1 < argc)
            from = argv[++i];
        else if (strcmp(argv[i], "--to") == 0 && i + 1 < argc)
            to = argv[++i];
    }
    if (!from || !to || is_url(from) == is_url(to)) {
        fprintf(stderr, "usage: certstore-replicate --from URL|DIR --to DIR|URL [--live]\n");
        return 2;
    }
    cm_log_init("replicate", CM_LOG_INFO);
    driver.pull = is_url(from);
    driver.loop = cm_loop_new();
    int rc = run(&driver, driver.pull ? to : from, driver.pull ? from : to, &err);
    if (rc < 0)
        cm_log_err(CM_LOG_ERROR, "replicate", &err);
    cm_err_fini(&err);
    cm_loop_free(driver.loop);
    return rc < 0 || driver.failed ? 1 : 0;
}
