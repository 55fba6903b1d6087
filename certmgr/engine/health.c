/*
 * The health that people see of a credential: what the manager wrote, and what the servers with
 * access report.  A deployment that failed makes green yellow, and says where.
 */
#include <string.h>

#include "base/core/json.h"
#include "base/core/mem.h"
#include "certmgr/engine/engine.h"

#define CAUSES_MAX 50 /* as many as a document may have */

struct look {
    struct cs_store *store;
    const json_t *servers; /* with access */
    json_t *causes;
};

static int on_part(void *arg, const char *key, const char *id)
{
    struct look *look = arg;
    (void)key;
    if (strncmp(id, "receipt:", strlen("receipt:")) != 0)
        return 0;
    CM_AUTO_JSON receipt = cs_peek_body(look->store, id);
    const char *server = cm_json_str_or(receipt, "server", "");
    if (strcmp(cm_json_str_or(receipt, "state", ""), "failed") != 0 ||
        !cm_json_has_str(look->servers, server))
        return 0;
    const char *what = cm_json_str(cm_json_obj(receipt, "error"), "what");
    CM_AUTO_STR cause =
        cm_asprintf("the deployment on %s failed%s%s", server, what ? ": " : "", what ? what : "");
    json_array_append_new(look->causes, json_string(cause));
    return json_array_size(look->causes) >= CAUSES_MAX;
}

json_t *eng_health(struct cs_store *store, const char *ulid, const json_t *credential)
{
    const json_t *written = cm_json_obj(credential, "health");
    const char *color = cm_json_str(written, "color");
    if (!color)
        return NULL;
    json_t *health = json_object();
    json_t *causes = json_copy(cm_json_arr(written, "causes"));
    if (!causes)
        causes = json_array();
    size_t before = json_array_size(causes);
    struct look look = {
        .store = store, .servers = cm_json_arr(credential, "servers"), .causes = causes};
    cs_each(store, CS_BY_CREDENTIAL, ulid, NULL, NULL, on_part, &look);
    bool failed = json_array_size(causes) > before;
    cm_json_set_str(health, "color", failed && strcmp(color, "green") == 0 ? "yellow" : color);
    cm_json_set(health, "causes", causes);
    return health;
}
