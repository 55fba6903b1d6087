/* Requests to the key agent: framed JSON into the table of verbs of an agent that has an identity
 * and a trust root.  No input may crash it, and none may make it answer without "ok". */
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/core/frame.h"
#include "keyfile/agent_impl.h"
#include "keyfile/agent_work.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct kf_agent_config config;
static struct kfa agent;

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static void clean_up(void)
{
    kfa_work_free(agent.work);
    kfa_fini(&agent);
    nftw(config.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void must(json_t *take_request)
{
    CM_AUTO_JSON request = take_request;
    json_t *reply = NULL;
    if (kfa_dispatch(&agent, request, &reply, NULL) != 1 || !cm_json_bool(reply, "ok", false))
        abort();
    json_decref(reply);
}

static void set_up(void)
{
    char name[] = "/tmp/fuzz-agent-XXXXXX";
    if (!mkdtemp(name))
        abort();
    cm_strcpy(config.dir, sizeof(config.dir), name);
    config.target_count = 1;
    cm_strcpy(config.target[0].name, sizeof(config.target[0].name), "web");
    cm_strcpy(config.target[0].directory, sizeof(config.target[0].directory), name);
    config.target[0].kyr = config.target[0].pem = true;
    config.origin_count = 1;
    cm_strcpy(config.origin[0], sizeof(config.origin[0]), "https://ca.example");
    kfa_init(&agent, &config);
    if (kfa_work_new(&agent.work, NULL) != 0)
        abort();
    must(json_pack("{s:i,s:s,s:s}", "id", 0, "op", "identity.create", "name", "m"));
    must(json_pack("{s:i,s:s,s:s,s:s}", "id", 1, "op", "trust.found", "tls", "AAAA", "url",
                   "https://m.example"));
    atexit(clean_up); /* last, so that it runs before libcrypto's own, with the worker at rest */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;
    if (!ready)
        set_up();
    ready = true;
    const uint8_t head[4] = {(uint8_t)(size >> 24), (uint8_t)(size >> 16), (uint8_t)(size >> 8),
                             (uint8_t)size};
    struct cm_buf in;
    CM_AUTO_JSON request = NULL;
    json_t *reply = NULL;
    cm_buf_init(&in, CM_FRAME_MAX);
    cm_buf_add(&in, head, sizeof(head));
    cm_buf_add(&in, data, size);
    if (cm_frame_decode(&in, &request, NULL) == 1 &&
        kfa_dispatch(&agent, request, &reply, NULL) == 1 &&
        (!json_is_boolean(json_object_get(reply, "ok")) ||
         !json_is_integer(json_object_get(reply, "id"))))
        abort();
    json_decref(reply);
    for (struct kfa_job *job = kfa_work_pop(agent.work); job; job = kfa_work_pop(agent.work))
        kfa_job_free(job);
    cm_buf_fini(&in);
    return 0;
}
