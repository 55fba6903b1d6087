/*
 * The health that people see of a credential: what the manager wrote, and what the servers with
 * access report.  A deployment that failed makes green yellow, and says where.
 */
#include <string.h>

#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "certmgr/engine/engine.h"
#include "certmgr/engine/told.h"

#define ENDED      "the certificate has expired" /* told.c knows it */
#define CAUSES_MAX 50                            /* as many as a document may have */

struct look {
    struct cs_store *store;
    const json_t *servers; /* with access */
    json_t *causes, *told;
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
    json_t *told = eng_told(cause);
    cm_json_set_str(told, "code", what ? "deployment_failed" : "deployment_failed_somehow");
    cm_json_set_str(told, "server", server);
    cm_json_set_str(told, "what", what);
    json_array_append_new(look->causes, json_string(cause));
    json_array_append_new(look->told, told);
    return json_array_size(look->causes) >= CAUSES_MAX;
}

/* The end passed while an order was under way (a person's DNS records, a slow CA): its own end will
 * write what people must see now. */
static bool ended_unwritten(const json_t *credential, const char *color)
{
    int64_t end = cm_json_time(credential, "not_after", 0);
    return cm_json_str(credential, "chain") && end != 0 && end <= cm_now_ms() &&
           strcmp(color, "red") != 0;
}

json_t *eng_health(struct cs_store *store, const char *ulid, const json_t *credential)
{
    const json_t *written = cm_json_obj(credential, "health");
    const char *color = cm_json_str(written, "color");
    if (!color)
        return NULL;
    json_t *health = json_object(), *causes = json_array(), *told = json_array();
    size_t i;
    json_t *cause;
    json_array_foreach(cm_json_arr(written, "causes"), i, cause)
    {
        if (!json_is_string(cause))
            continue;
        json_array_append(causes, cause);
        json_array_append_new(told, eng_told(json_string_value(cause)));
    }
    size_t before = json_array_size(causes);
    struct look look = {.store = store,
                        .servers = cm_json_arr(credential, "servers"),
                        .causes = causes,
                        .told = told};
    cs_each(store, CS_BY_CREDENTIAL, ulid, NULL, NULL, on_part, &look);
    bool failed = json_array_size(causes) > before;
    if (ended_unwritten(credential, color)) {
        json_array_insert_new(causes, 0, json_string(ENDED));
        json_array_insert_new(told, 0, eng_told(ENDED));
        color = "red";
    }
    cm_json_set_str(health, "color", failed && strcmp(color, "green") == 0 ? "yellow" : color);
    cm_json_set(health, "causes", causes);
    cm_json_set(health, "told", told);
    return health;
}
