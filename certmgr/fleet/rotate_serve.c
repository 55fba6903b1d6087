/* What the manager does when a server replaces its keys.  See rotate.h. */
#include <string.h>

#include "base/core/bytes.h"
#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "base/core/step.h"
#include "certmgr/fleet/alarm.h"
#include "certmgr/fleet/rotate_internal.h"
#include "keyfile/rewrap.h"
#include "keyfile/trust_rotate.h"

#define LOOK_MS       30000 /* what was refused or interrupted is looked at again … */
#define SOON_MS       500   /* … and after what may have been the last that was waited for */
#define SERVE_MAX     1000  /* documents that wait; the others are found by the next look */
#define TURN_MAX      50    /* looked at in one turn */
#define COPY_SHOWN_MS (24 * 3600 * INT64_C(1000)) /* since it came first */
#define TABLE         "state"
#define REFUSED       "rotation_refused:" /* and the server's name */

struct rotate_serve {
    struct cm_loop *loop;
    struct cs_store *store;
    struct fleet *fleet;
    struct kf_agent agent;
    struct cm_timer *turn, *look, *again;
    json_t *waiting; /* ids, an object used as ordered set */
    struct rotate_wait *wait;
    bool looking;  /* through the store, before former keys go (rotate_wait.c) */
    bool soon;     /* `again` runs */
    bool changing; /* the trust root */
    char server[KF_NAME_MAX];
    const char *what;
};

static void wait(struct rotate_serve *serve, const char *id)
{
    if (json_object_size(serve->waiting) >= SERVE_MAX)
        return;
    json_object_set_new(serve->waiting, id, json_true());
    cm_timer_start(serve->turn, 0);
}

/* ---- keys ---- */

static void note_refused(struct rotate_serve *serve, const struct cm_err *err)
{
    CM_AUTO_STR key = cm_asprintf(REFUSED "%s", serve->server);
    CM_AUTO_JSON told = json_object();
    cm_log_err(CM_LOG_WARN, "rotate", err);
    cm_json_set_str(told, "server", serve->server);
    cm_json_set_str(told, "reason", err->what);
    cm_json_set_time(told, "at", cm_now_ms());
    (void)cs_kv_put(serve->store, TABLE, key, told, NULL);
}

static void note_done(struct rotate_serve *serve, const char *name)
{
    CM_AUTO_STR key = cm_asprintf(REFUSED "%s", name);
    (void)cs_kv_del(serve->store, TABLE, key, NULL);
}

static void on_stored(void *arg, const struct cm_err *err)
{
    struct rotate_serve *serve = arg;
    serve->changing = false;
    if (err != NULL)
        note_refused(serve, err);
    else
        note_done(serve, serve->server);
    cm_step("serve.stored");
    cm_timer_start(serve->turn, 0);
}

static void on_signed(void *arg, const json_t *reply, const struct cm_err *err)
{
    struct rotate_serve *serve = arg;
    struct cm_err open = CM_ERR_INIT;
    cm_step("serve.signed");
    if (err != NULL) {
        on_stored(serve, err);
    } else if (fleet_keep_proposal(serve->fleet, serve->what, reply, &open)) {
        serve->changing = false; /* waits for other signers; people see the proposal */
        note_done(serve, serve->server);
        cm_log_err(CM_LOG_INFO, "rotate", &open);
    } else {
        fleet_store_trust(serve->fleet, cm_json_obj(reply, "document"), on_stored, serve);
    }
    cm_err_fini(&open);
}

/* A change that waits for signatures is not made anew every half minute. */
static bool is_proposed(const struct rotate_serve *serve, const json_t *document, bool retire)
{
    CM_AUTO_JSON kept = fleet_proposal(serve->fleet);
    struct kf_trust *next = NULL;
    bool yes = false;
    if (kept != NULL && kf_trust_parse(cm_json_obj(kept, "document"), &next, NULL) == 0) {
        const struct kf_server *server =
            kf_trust_server(next, cm_json_str_or(document, "server", ""));
        yes = server != NULL && kf_trust_has_keys(next, document) &&
              (server->old_sign_b64 == NULL) == retire;
    }
    kf_trust_free(next);
    return yes;
}

static void change(struct rotate_serve *serve, const json_t *document, bool retire)
{
    struct cm_err held = CM_ERR_INIT;
    if (is_proposed(serve, document, retire) || fleet_refuses_held(serve->fleet, &held)) {
        cm_err_fini(&held);
        return;
    }
    cm_strcpy(serve->server, sizeof(serve->server), cm_json_str_or(document, "server", ""));
    serve->what = retire ? "former keys of a server go" : "a server replaces its keys";
    serve->changing = true;
    json_t *request = json_pack("{s:s}", "op", retire ? "trust.retire" : "trust.rotate");
    cm_json_set(request, "document", json_deep_copy(document));
    serve->agent.call(serve->agent.arg, request, on_signed, serve);
}

/* rotation:<server> is gone: it is through, or given up.  The order that led to it is, too. */
static void take_back_order(struct rotate_serve *serve, const char *name)
{
    CM_AUTO_STR id = cm_asprintf("server:%s", name);
    struct cs_doc doc;
    if (cs_get(serve->store, id, &doc, NULL) < 0)
        return;
    if (json_object_get(doc.body, "rotate_at") != NULL) {
        json_t *next = json_deep_copy(doc.body);
        static const char *const gone[] = {"rotate_at", "asked_by", "signature", "serial"};
        for (size_t i = 0; i < sizeof(gone) / sizeof(gone[0]); i++)
            json_object_del(next, gone[i]);
        cs_publish(serve->store, next, doc.serial, NULL, NULL);
    }
    cs_doc_fini(&doc);
}

/* Has this server said that it needs its former keys no more, and are they listed yet? */
static bool is_resealed(const struct kf_trust *trust, const struct kf_server *server,
                        const json_t *document)
{
    return server != NULL && server->state == KF_ACTIVE && server->old_sign_b64 != NULL &&
           kf_trust_has_keys(trust, document) &&
           strcmp(cm_json_str_or(document, "state", ""), "resealed") == 0;
}

/* The store was looked through: nothing is sealed for the former keys alone, or they stay. */
static void on_looked(void *arg, const char *name, const struct rotate_found *found)
{
    struct rotate_serve *serve = arg;
    const struct kf_trust *trust = fleet_trust(serve->fleet);
    const struct kf_server *server = kf_trust_server(trust, name);
    CM_AUTO_STR id = cm_asprintf("rotation:%s", name);
    CM_AUTO_JSON document = cs_get_body(serve->store, id);
    serve->looking = false;
    bool may = found != NULL && fleet_is_manager(serve->fleet) && !serve->fleet->held;
    if (may && is_resealed(trust, server, document) &&
        !rotate_wait_note(serve->store, server, found)) {
        cm_step("serve.retiring");
        if (serve->changing)
            wait(serve, id); /* looked at once more */
        else
            change(serve, document, true);
    }
    cm_timer_start(serve->turn, 0);
}

/* False: later, another change is being made, or another server looked at. */
static bool serve_rotation(struct rotate_serve *serve, const char *id)
{
    CM_AUTO_JSON document = cs_get_body(serve->store, id);
    const struct kf_trust *trust = fleet_trust(serve->fleet);
    const struct kf_server *server = kf_trust_server(trust, cm_json_str_or(document, "server", ""));
    const char *state = cm_json_str_or(document, "state", "");
    if (document == NULL) {
        take_back_order(serve, strchr(id, ':') + 1);
        note_done(serve, strchr(id, ':') + 1); /* the next one is not refused yet */
    }
    if (server == NULL || server->state != KF_ACTIVE)
        return true;
    if (is_resealed(trust, server, document)) {
        if (is_proposed(serve, document, true))
            return true;
        if (serve->changing || serve->looking)
            return false;
        serve->looking = rotate_wait_look(serve->wait, server); /* goes on in on_looked() */
        return true;
    }
    if (kf_trust_has_keys(trust, document) || strcmp(state, "keys") != 0)
        return true;
    if (serve->changing)
        return false;
    cm_step("serve.rotating");
    change(serve, document, false);
    return true;
}

/* ---- sealed keys ---- */

static void on_taken(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    struct rotate_serve *serve = arg;
    (void)doc;
    if (err != NULL && err->code != CM_ECONFLICT) /* then the server says it again */
        cm_log_err(CM_LOG_WARN, "rotate", err);
    cm_step("serve.resealed");
    if (!serve->soon) /* it may be the last that its rotation waits for */
        cm_timer_start(serve->again, SOON_MS);
    serve->soon = true;
}

static bool is_replaced(const struct kf_server *server, const char *was, const char *is,
                        struct cm_err *err)
{
    uint8_t from[KF_SKI_SIZE], to[KF_SKI_SIZE];
    uint8_t *a = NULL, *b = NULL;
    struct kf_octets before = {0}, after = {0};
    bool good = kf_seal_ski(server->old_seal_b64, from, err) == 0 &&
                kf_seal_ski(server->seal_b64, to, err) == 0 &&
                cm_b64_decode(was, strlen(was), &a, &before.len) == 0 &&
                cm_b64_decode(is, strlen(is), &b, &after.len) == 0;
    before.data = a;
    after.data = b;
    good = good && kf_rewrap_check(before, after, from, to, err) == 0;
    cm_free(a);
    cm_free(b);
    return good;
}

/* 1: it takes the place of what is there; 0: it is there already; negative: it is something else.
 */
static int compare(const struct kf_server *server, const json_t *holder, const char *is,
                   struct cm_err *err)
{
    const char *was = cm_json_str_or(holder, "sealed_key", "");
    if (strcmp(was, is) == 0)
        return 0;
    return is_replaced(server, was, is, err) ? 1 : -1;
}

/* The key of a credential stands in two documents, sealed alike or (a new one is under way) not;
 * in one of them a third time, when a CSR is out. */
static bool take_over(struct rotate_serve *serve, const struct kf_server *server, const char *type,
                      const json_t *said, struct cm_err *err)
{
    CM_AUTO_STR id = cm_asprintf("%s:%s", type, cm_json_str_or(said, "credential", ""));
    const char *is = cm_json_str_or(said, "sealed_key", "");
    struct cs_doc doc;
    if (cs_get(serve->store, id, &doc, NULL) < 0)
        return true; /* gone: nothing to seal */
    CM_AUTO_JSON next = json_deep_copy(doc.body);
    json_t *const holders[] = {next, cm_json_obj(next, "csr_out")};
    bool good = false, changed = false;
    for (size_t i = 0; i < 2 && holders[i] != NULL; i++) {
        int rc = compare(server, holders[i], is, err->code == 0 ? err : NULL);
        if (rc > 0)
            cm_json_set_str(holders[i], "sealed_key", is);
        good = good || rc >= 0;
        changed = changed || rc > 0;
    }
    if (changed) {
        json_object_del(next, "signature");
        json_object_del(next, "serial");
        cs_publish(serve->store, json_incref(next), doc.serial, on_taken, serve);
    }
    cs_doc_fini(&doc);
    return good;
}

static void serve_reseal(struct rotate_serve *serve, const char *id)
{
    CM_AUTO_JSON said = cs_get_body(serve->store, id);
    const struct kf_server *server =
        kf_trust_server(fleet_trust(serve->fleet), cm_json_str_or(said, "server", ""));
    struct cm_err err = CM_ERR_INIT;
    if (server == NULL || server->state != KF_ACTIVE || server->old_seal_b64 == NULL)
        return;
    bool one = take_over(serve, server, "keyfile", said, &err);
    bool other = take_over(serve, server, "credential", said, &err);
    if (!one && !other)
        cm_log(CM_LOG_WARN, "rotate", id, "is not taken over: %s", err.what);
    cm_err_fini(&err);
}

/* ---- when ---- */

static void turn(void *arg)
{
    struct rotate_serve *serve = arg;
    CM_AUTO_JSON ids = json_array();
    const char *id;
    json_t *unused, *one;
    size_t i, served = 0;
    if (!fleet_is_manager(serve->fleet) || serve->fleet->held)
        return;
    json_object_foreach(serve->waiting, id, unused)
    {
        if (json_array_size(ids) == TURN_MAX)
            break;
        json_array_append_new(ids, json_string(id));
    }
    json_array_foreach(ids, i, one)
    {
        id = json_string_value(one);
        if (strncmp(id, "reseal:", 7) == 0)
            serve_reseal(serve, id);
        else if (!serve_rotation(serve, id))
            continue; /* on_stored(), on_looked() come back */
        json_object_del(serve->waiting, id);
        served++;
    }
    if (json_object_size(serve->waiting) > 0 && served > 0)
        cm_timer_start(serve->turn, 0);
}

/* A rotation that does not go on: people look at that server. */
static void watch(struct cs_store *store, const struct kf_trust *trust,
                  const struct kf_server *server)
{
    CM_AUTO_STR key = cm_asprintf(FLEET_ALARMS "rotation/%s", server->name);
    CM_AUTO_JSON view = rotate_of(store, trust, server->name);
    if (!cm_json_bool(view, "stuck", false)) {
        fleet_alarm_clear(store, key);
        return;
    }
    CM_AUTO_STR title = cm_asprintf("The keys of server %s are not replaced", server->name);
    CM_AUTO_STR where = cm_asprintf("server %s", server->name);
    const char *why = cm_json_str_or(view, "refused", "no answer");
    if (cm_json_obj(view, "waiting") != NULL)
        why = "documents are sealed for its former key alone, and it has not sealed them anew";
    CM_AUTO_STR what = cm_asprintf("Its rotation stays in state \"%s\" (%s)",
                                   cm_json_str_or(view, "state", ""), why);
    CM_AUTO_STR hint = cm_asprintf("Look there with certmgr server rotate --status, and here with "
                                   "certmgr server rotate %s --status and certmgr trust show",
                                   server->name);
    fleet_alarm_raise(store, &(struct fleet_alarm){.key = key,
                                                   .kind = "rotation_stuck",
                                                   .title = title,
                                                   .where = where,
                                                   .what = what,
                                                   .hint = hint});
}

/* A notice of this kind is shown for so long. */
static void drop_old(struct cs_store *store, const json_t *alarm, const char *kind,
                     const char *path, int64_t shown_ms)
{
    const char *where = cm_json_str_or(alarm, "where", "");
    CM_AUTO_STR key = cm_asprintf(FLEET_ALARMS "%s%s", path,
                                  strncmp(where, "server ", 7) == 0 ? where + 7 : where);
    if (strcmp(cm_json_str_or(alarm, "kind", ""), kind) == 0 &&
        cm_json_time(alarm, "since", 0) + shown_ms <= cm_now_ms())
        fleet_alarm_clear(store, key);
}

void rotate_watch(struct cs_store *store, const struct kf_trust *trust)
{
    CM_AUTO_JSON alarms = fleet_alarms(store);
    size_t i;
    json_t *alarm;
    for (i = 0; i < kf_trust_count(trust); i++) {
        watch(store, trust, kf_trust_at(trust, i));
        rotate_wait_watch(store, kf_trust_at(trust, i));
    }
    json_array_foreach(alarms, i, alarm)
    {
        drop_old(store, alarm, "old_copy", "copy/", COPY_SHOWN_MS);
        drop_old(store, alarm, "rotation_left", "rotation_left/", ROTATE_LEFT_MS);
    }
}

static int note_id(void *arg, const char *key, const char *id)
{
    struct rotate_serve *serve = arg;
    (void)key;
    wait(serve, id);
    return json_object_size(serve->waiting) >= SERVE_MAX;
}

static void look_again(void *arg)
{
    struct rotate_serve *serve = arg;
    serve->soon = false;
    if (fleet_is_manager(serve->fleet) && !serve->fleet->held)
        cs_each(serve->store, CS_BY_TYPE, "rotation", NULL, NULL, note_id, serve);
}

static void look(void *arg)
{
    struct rotate_serve *serve = arg;
    cm_timer_start(serve->look, LOOK_MS);
    if (!fleet_is_manager(serve->fleet) || serve->fleet->held)
        return;
    cs_each(serve->store, CS_BY_TYPE, "rotation", NULL, NULL, note_id, serve);
    cs_each(serve->store, CS_BY_TYPE, "reseal", NULL, NULL, note_id, serve);
    rotate_watch(serve->store, fleet_trust(serve->fleet));
}

static void on_document(void *arg, const char *id)
{
    if (strncmp(id, "rotation:", 9) == 0 || strncmp(id, "reseal:", 7) == 0)
        wait(arg, id);
}

void rotate_serve(struct cm_loop *loop, struct cs_store *store, struct fleet *fleet,
                  struct kf_agent agent)
{
    struct rotate_serve *serve = cm_calloc(1, sizeof(*serve));
    *serve = (struct rotate_serve){
        .loop = loop, .store = store, .fleet = fleet, .agent = agent, .waiting = json_object()};
    serve->wait = rotate_wait_new(loop, store, on_looked, serve);
    serve->turn = cm_timer_new(loop, turn, serve);
    serve->look = cm_timer_new(loop, look, serve);
    serve->again = cm_timer_new(loop, look_again, serve);
    cs_listen(store, on_document, serve);
    cm_timer_start(serve->look, 0);
}

/* ---- orders, and what is known ---- */

struct ordering {
    fleet_done_fn done;
    void *arg;
};

static void on_ordered(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    struct ordering *o = arg;
    (void)doc;
    o->done(o->arg, err);
    cm_free(o);
}

void rotate_order(struct fleet *fleet, const char *name, const char *who, fleet_done_fn done,
                  void *arg)
{
    const struct kf_server *server = kf_trust_server(fleet->trust, name);
    struct cm_err err = CM_ERR_INIT;
    if (server == NULL || server->state != KF_ACTIVE)
        cm_fail(&err, CM_ENOENT, "server \"%.63s\" is not active in the trust root", name);
    else if (!fleet_is_manager(fleet))
        cm_fail(&err, CM_EDENIED, "only the manager orders other servers to replace their keys");
    if (err.code != 0) {
        done(arg, &err);
        cm_err_fini(&err);
        return;
    }
    CM_AUTO_STR id = cm_asprintf("server:%s", name);
    CM_AUTO_JSON present = cs_get_body(fleet->store, id);
    json_t *doc = present != NULL ? json_deep_copy(present) : json_object();
    struct ordering *o = cm_calloc(1, sizeof(*o));
    *o = (struct ordering){.done = done, .arg = arg};
    cm_json_set_str(doc, "_id", id);
    cm_json_set_str(doc, "type", "server");
    cm_json_set_time(doc, "rotate_at", cm_now_ms());
    cm_json_set_str(doc, "asked_by", who);
    cs_publish(fleet->store, doc, -1, on_ordered, o);
}

/* Told to that server, which has not said anything yet. */
static json_t *ordered(struct cs_store *store, const struct kf_server *server)
{
    if (server == NULL || server->state != KF_ACTIVE)
        return NULL;
    CM_AUTO_STR id = cm_asprintf("server:%s", server->name);
    CM_AUTO_JSON order = cs_get_body(store, id);
    int64_t at = cm_json_time(order, "rotate_at", 0);
    if (at == 0)
        return NULL;
    json_t *view = json_object();
    cm_json_set_str(view, "state", "ordered");
    cm_json_set_str(view, "by", cm_json_str(order, "asked_by"));
    cm_json_set_time(view, "at", at);
    cm_json_set_bool(view, "stuck", at + ROTATE_STUCK_MS <= cm_now_ms());
    return view;
}

json_t *rotate_of(struct cs_store *store, const struct kf_trust *trust, const char *name)
{
    const struct kf_server *server = kf_trust_server(trust, name);
    CM_AUTO_STR id = cm_asprintf("rotation:%s", name);
    CM_AUTO_STR key = cm_asprintf(REFUSED "%s", name);
    CM_AUTO_JSON said = cs_get_body(store, id);
    CM_AUTO_JSON refused = cs_kv_get(store, TABLE, key);
    bool old = server != NULL && server->state != KF_REMOVED && server->old_sign_b64 != NULL;
    if (said == NULL && !old)
        return ordered(store, server);
    const char *state = cm_json_str_or(said, "state", "");
    if (!old && strcmp(state, "resealed") == 0)
        return NULL; /* through: the server is about to remove what it said */
    json_t *view = json_object();
    cm_json_set_str(view, "state",
                    !old                             ? "proposed"
                    : strcmp(state, "resealed") == 0 ? "resealed"
                                                     : "resealing");
    cm_json_set_bool(view, "old_keys", old);
    int64_t at = cm_json_time(said, "at", 0);
    if (at > 0)
        cm_json_set_time(view, "at", at);
    cm_json_set_bool(view, "stuck", at > 0 && at + ROTATE_STUCK_MS <= cm_now_ms());
    cm_json_set_str(view, "refused", cm_json_str(refused, "reason"));
    if (old)
        cm_json_set(view, "waiting", rotate_wait_of(store, server));
    return view;
}
