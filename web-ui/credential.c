/* View models of one credential.  See credential.h. */
#include "web-ui/credential.h"

#include <string.h>

#include "base/core/mem.h"
#include "base/core/num.h"
#include "certmgr/engine/engine.h"

/* ---- requests and history ---- */

json_t *web_request(struct cs_store *store, const char *ulid)
{
    CM_AUTO_STR id = cm_asprintf("request:%s", ulid);
    json_t *body = cm_ulid_ok(ulid) ? cs_get_body(store, id) : NULL;
    json_t *view;

    if (!body)
        return NULL;
    view = json_object();
    cm_json_set_str(view, "id", ulid);
    json_object_update(view, body);
    json_object_del(view, "_id");
    json_object_del(view, "type");
    json_object_del(view, "signature");
    json_object_del(view, "key"); /* sealed, of an import */
    json_decref(body);
    return view;
}

static int collect_request(void *arg, const char *key, const char *id)
{
    json_t *ids = arg;

    (void)key;
    if (strncmp(id, "request:", 8) != 0)
        return 0;
    if (json_array_size(ids) == HISTORY_MAX)
        json_array_remove(ids, 0);
    json_array_append_new(ids, json_string(id + 8));
    return 0;
}

static json_t *history_line(const json_t *request)
{
    const json_t *by = cm_json_obj(request, "by");
    json_t *line = json_object();

    cm_json_set_str(line, "request", cm_json_str(request, "id"));
    cm_json_set_str(line, "action", cm_json_str(request, "action"));
    cm_json_set_str(line, "who", cm_json_str(by, "who"));
    cm_json_set_str(line, "via", cm_json_str(by, "via"));
    cm_json_set_str(line, "server", cm_json_str(by, "server"));
    cm_json_set_str(line, "at", cm_json_str(request, "at"));
    return line;
}

/* Requests are named by ULIDs: the index gives them by time. */
static json_t *history_of(struct cs_store *store, const char *ulid)
{
    CM_AUTO_JSON ids = json_array();
    json_t *history = json_array();
    size_t i;
    json_t *id;

    cs_each(store, CS_BY_CREDENTIAL, ulid, NULL, NULL, collect_request, ids);
    json_array_foreach(ids, i, id)
    {
        CM_AUTO_JSON request = web_request(store, json_string_value(id));

        if (request)
            json_array_append_new(history, history_line(request));
    }
    return history;
}

/* ---- the whole and its state ---- */

json_t *web_credential(const struct web *web, const char *ulid)
{
    json_t *view = cm_ulid_ok(ulid) ? eng_view(web->env.engine, ulid) : NULL;

    if (view)
        cm_json_set(view, "history", history_of(web->env.store, ulid));
    return view;
}

static void copy_members(json_t *to, const json_t *from, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        json_t *member = json_object_get(from, names[i]);

        if (member)
            cm_json_set(to, names[i], json_incref(member));
    }
}

json_t *web_state(const json_t *view)
{
    static const char *const members[] = {"status",      "health",     "error",  "not_after",
                                          "fingerprint", "activation", "csr_out"};
    static const char *const of_receipt[] = {"server", "state", "fingerprint", "at", "error"};
    json_t *state = json_object();
    json_t *receipts = json_array();
    size_t i;
    json_t *receipt;

    copy_members(state, cm_json_obj(view, "credential"), members, 5);
    cm_json_set_str(state, "next", cm_json_str(view, "next"));
    json_array_foreach(cm_json_arr(view, "receipts"), i, receipt)
    {
        json_t *shown = json_object();

        copy_members(shown, receipt, of_receipt, 5);
        json_array_append_new(receipts, shown);
    }
    cm_json_set(state, "receipts", receipts);
    return state;
}

/* ---- steps ---- */

int64_t web_step_number(const char *key, const char *ulid)
{
    size_t len = strlen(ulid);
    int64_t number = 0;

    if (strncmp(key, ulid, len) != 0 || key[len] != '/' ||
        cm_num_i64(key + len + 1 + strspn(key + len + 1, "0"), 1, INT64_MAX, &number) < 0)
        return 0;
    return number;
}

json_t *web_step(const char *key, const json_t *line)
{
    static const char *const members[] = {"at", "level", "text", "server"};
    const char *slash = strchr(key, '/');
    json_t *step = json_object();

    cm_json_set_str(step, "id", slash ? slash + 1 : key);
    copy_members(step, line, members, 4);
    return step;
}

struct walk {
    const char *ulid;
    int64_t after;
    web_step_fn fn;
    void *arg;
};

static int walk_line(void *arg, const char *key, const json_t *value)
{
    const struct walk *walk = arg;
    int64_t number = web_step_number(key, walk->ulid);
    CM_AUTO_JSON step = NULL;

    if (number <= walk->after)
        return 0;
    step = web_step(key, value);
    return walk->fn(walk->arg, number, step);
}

void web_steps_each(struct cs_store *store, const char *ulid, int64_t after, web_step_fn fn,
                    void *arg)
{
    struct walk walk = {.ulid = ulid, .after = after, .fn = fn, .arg = arg};
    CM_AUTO_STR prefix = cm_asprintf("%s/", ulid);

    cs_kv_each(store, "log", prefix, walk_line, &walk);
}
