/*
 * A server that was removed and has joined again has new keys: what was sealed for the former ones
 * it cannot open, though it is in the lists of its credentials still.  Nobody but the other servers
 * with access could open such a key, so the manager orders the certificate again with a new one;
 * the key of an imported certificate it can open itself, and has it sealed anew.  What people bring
 * and what is paused waits for them; its deployment says what to do.
 *
 * A server whose keys were replaced is looked at again when its former ones are gone: what it did
 * not take up until then is sealed for those alone.
 *
 * For each active server the table "state" remembers the seal key for which this was seen to
 * ("sealed/<server>"); a server is forgotten there when it is removed.  A look costs a row for each
 * server, and for one that is new there its credentials, by the index.  What is to be done is asked
 * for once (a credential without a CSR has no key to keep) and looked at until it is there.
 */
#include <stdio.h>
#include <string.h>

#include "certmgr/engine/import.h"
#include "certmgr/engine/recipients.h"

#define LOOK_MS  200   /* the store is told of a trust root before the fleet goes by it */
#define SLICE    50    /* credentials looked at in one turn … */
#define PAUSE_MS 20    /* … and the pause before the next */
#define AGAIN_MS 30000 /* until every key is sealed for the server */

struct eng_rejoin {
    struct cm_timer *timer;
    size_t next;              /* place in the trust root */
    char server[KF_NAME_MAX]; /* whose credentials are looked at; "" = nobody's */
    struct eng_walk at;
    bool lacks; /* it cannot open one that it is to have */
    bool again; /* … or another server cannot */
};

static void state_key(const char *server, char *out, size_t size)
{
    snprintf(out, size, "sealed/%s", server);
}

static const struct kf_trust *trust_of(const struct engine *engine)
{
    return engine->env.trust(engine->env.trust_arg);
}

/* ---- one credential ---------------------------------------------------------------------------
 */

static bool status_is_one_of(const json_t *body, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(cm_json_str_or(body, "status", ""), *words) == 0)
            return true;
    return false;
}

/* Is a key on its way that the server will have, or may one be asked for? */
static bool is_helped(const json_t *body)
{
    static const char *const imported[] = {"issued", "expired", "update_servers", NULL};
    static const char *const ordered[] = {"issued",  "expired", "renew", "pending",
                                          "waiting", "error",   NULL};
    if (eng_is_import(body)) /* with an error, it was tried in vain */
        return status_is_one_of(body, imported) && !json_object_get(body, "error");
    return strcmp(cm_json_str_or(body, "provider", ""), "acme") == 0 && !eng_is_refused(body) &&
           !cm_json_bool(body, "paused", false) && status_is_one_of(body, ordered);
}

/* arg: the engine.  The key of an order under way is judged by its job (job_key.c). */
static int edit_again(void *arg, json_t *body, struct cm_err *err)
{
    const struct engine *engine = arg;
    (void)err;
    bool import = eng_is_import(body);
    if (engine->dead || !is_helped(body) ||
        (import ? eng_import_moves(body) : !cm_json_str(body, "csr")))
        return 1;
    if (import) {
        cm_json_set_str(body, "status", "update_servers");
    } else {
        json_object_del(body, "csr"); /* no CSR, no key to keep */
        json_object_del(body, "error");
        cm_json_set_str(body, "status", "renew");
        cm_json_set_int(body, "attempts", 0);
    }
    cm_json_set_time(body, "next_action_at", cm_now_ms());
    return 0;
}

static void look_at(struct engine *engine, const struct kf_server *server, const char *id)
{
    const char *ulid = eng_id_name(id, "credential:");
    CM_AUTO_JSON body = cs_peek_body(engine->env.store, id);
    CM_AUTO_STR keyfile_id = cm_asprintf("keyfile:%s", ulid ? ulid : "");
    CM_AUTO_JSON keyfile = cs_peek_body(engine->env.store, keyfile_id);
    CM_AUTO_JSON order = ulid ? cs_kv_get(engine->env.store, "order", ulid) : NULL;
    if (!ulid || !is_helped(body) ||
        !cm_json_has_str(cm_json_arr(keyfile, "servers"), server->name))
        return;
    if (!eng_recipient(server, cm_json_str_or(order, "sealed_key", "")))
        engine->rejoin->lacks = true; /* it may be finished with this key: looked at again then */
    if (eng_recipient(server, cm_json_str_or(keyfile, "sealed_key", "")))
        return;
    engine->rejoin->lacks = true;
    if (eng_is_import(body) ? eng_import_moves(body) : !cm_json_str(body, "csr"))
        return; /* it is asked for */
    eng_step(engine, ulid, CM_LOG_INFO,
             "Server %s has other keys than before: it gets what it can open", server->name);
    eng_edit(engine, id, "credential", edit_again, NULL, engine);
}

/* ---- one server -------------------------------------------------------------------------------
 */

struct slice {
    struct eng_rejoin *rejoin;
    json_t *ids;
    bool full;
};

static int on_id(void *arg, const char *key, const char *id)
{
    struct slice *slice = arg;
    struct eng_walk *at = &slice->rejoin->at;
    if (strcmp(key, slice->rejoin->server) != 0) /* "beta2" begins with "beta", and follows it */
        return 1;
    slice->full = json_array_size(slice->ids) == SLICE;
    if (slice->full)
        return 1;
    (void)cm_strcpy(at->key, sizeof(at->key), key);
    (void)cm_strcpy(at->id, sizeof(at->id), id);
    json_array_append_new(slice->ids, json_string(id));
    return 0;
}

/* True: there are more. */
static bool look_at_some(struct engine *engine, const struct kf_server *server)
{
    struct eng_rejoin *rejoin = engine->rejoin;
    struct slice slice = {.rejoin = rejoin, .ids = json_array()};
    bool begun = rejoin->at.id[0] != '\0';
    cs_each(engine->env.store, CS_BY_SERVER, rejoin->server, begun ? rejoin->at.key : NULL,
            begun ? rejoin->at.id : NULL, on_id, &slice);
    size_t i;
    json_t *id;
    json_array_foreach(slice.ids, i, id)
    {
        look_at(engine, server, json_string_value(id));
    }
    json_decref(slice.ids);
    return slice.full;
}

static void remember(struct engine *engine, const struct kf_server *server)
{
    char key[CS_KV_KEY_MAX + 1];
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_JSON value = json_object();
    state_key(server->name, key, sizeof(key));
    cm_json_set_str(value, "seal", server->seal_b64);
    if (server->old_seal_b64) /* which counted, too */
        cm_json_set_bool(value, "former", true);
    if (cs_kv_put(engine->env.store, "state", key, value, &err) != 0)
        cm_log_err(CM_LOG_WARN, "engine", &err); /* the next look does it once more */
    cm_err_fini(&err);
}

/* Is this server's seal key one that was not seen to yet, or not without the former one? */
static bool is_due(struct engine *engine, const struct kf_server *server)
{
    char key[CS_KV_KEY_MAX + 1];
    state_key(server->name, key, sizeof(key));
    CM_AUTO_JSON value = cs_kv_get(engine->env.store, "state", key);
    if (server->state == KF_ACTIVE)
        return strcmp(cm_json_str_or(value, "seal", ""), server->seal_b64) != 0 ||
               (cm_json_bool(value, "former", false) && !server->old_seal_b64);
    if (value && server->state == KF_REMOVED) /* it may come back with the same key */
        (void)cs_kv_del(engine->env.store, "state", key, NULL);
    return false;
}

/* ---- all servers ------------------------------------------------------------------------------
 */

static void end_of_server(struct engine *engine, const struct kf_server *server)
{
    struct eng_rejoin *rejoin = engine->rejoin;
    if (server && !rejoin->lacks)
        remember(engine, server);
    rejoin->again = rejoin->again || rejoin->lacks;
    rejoin->server[0] = '\0';
}

/* The next one that is due, from the place in the trust root on; false: none is left. */
static bool find_next(struct engine *engine)
{
    struct eng_rejoin *rejoin = engine->rejoin;
    const struct kf_trust *trust = trust_of(engine);
    while (rejoin->next < kf_trust_count(trust)) {
        const struct kf_server *server = kf_trust_at(trust, rejoin->next++);
        if (!is_due(engine, server))
            continue;
        (void)cm_strcpy(rejoin->server, sizeof(rejoin->server), server->name);
        rejoin->at = (struct eng_walk){.key = ""};
        rejoin->lacks = false;
        return true;
    }
    return false;
}

static void turn(void *arg)
{
    struct engine *engine = arg;
    struct eng_rejoin *rejoin = engine->rejoin;
    if (rejoin->server[0] == '\0' && !find_next(engine)) {
        rejoin->next = 0;
        if (rejoin->again)
            cm_timer_start(rejoin->timer, AGAIN_MS);
        rejoin->again = false;
        return;
    }
    const struct kf_server *server = kf_trust_server(trust_of(engine), rejoin->server);
    bool active = server && server->state == KF_ACTIVE;
    if (!active || !look_at_some(engine, server))
        end_of_server(engine, active ? server : NULL);
    cm_timer_start(rejoin->timer, PAUSE_MS);
}

void eng_rejoin_look(struct engine *engine)
{
    struct eng_rejoin *rejoin = engine->rejoin;
    if (!rejoin)
        return;
    rejoin->server[0] = '\0';
    rejoin->next = 0;
    cm_timer_start(rejoin->timer, LOOK_MS);
}

void eng_rejoin_start(struct engine *engine)
{
    engine->rejoin = cm_calloc(1, sizeof(*engine->rejoin));
    engine->rejoin->timer = cm_timer_new(engine->env.loop, turn, engine);
    eng_rejoin_look(engine);
}

void eng_rejoin_stop(struct engine *engine)
{
    if (!engine->rejoin)
        return;
    cm_timer_free(engine->rejoin->timer);
    cm_free(engine->rejoin);
    engine->rejoin = NULL;
}
