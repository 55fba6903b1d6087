/* The hold after a restore.  See hold.h. */
#include "certmgr/fleet/hold.h"

#include <string.h>

#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "base/core/step.h"
#include "certmgr/fleet/alarm.h"

#define TABLE "state"
#define KEY   "hold"

#define COPY_LEVEL 3 /* of its alarm: critical */

struct hold {
    struct hold_opts opts;
    json_t *doc; /* {since, backup_at | claimed | older_copy, answered: {name: true},
                    released_at?, released_by?} or NULL; claimed: nobody proved it yet */
};

static bool counts(const struct kf_server *server, const char *self)
{
    return server->state != KF_REMOVED && strcmp(server->name, self) != 0;
}

/* Servers of the trust root that have not answered (owned). */
static json_t *waiting(const json_t *doc, const struct kf_trust *trust, const char *self)
{
    json_t *list = json_array();
    const json_t *answered = cm_json_obj(doc, "answered");
    for (size_t i = 0; i < kf_trust_count(trust); i++) {
        const struct kf_server *server = kf_trust_at(trust, i);
        if (counts(server, self) && !cm_json_bool(answered, server->name, false))
            json_array_append_new(list, json_string(server->name));
    }
    return list;
}

static void tell_about(const json_t *doc, const struct kf_trust *trust, const char *self,
                       json_t *about)
{
    const struct kf_server *me = kf_trust_server(trust, self);
    cm_json_set_bool(about, "manager", me && me->manager);
    cm_json_set(about, "waiting", me && me->manager ? waiting(doc, trust, self) : json_array());
}

int hold_begin(struct cs_store *store, const char *self, const json_t *trust, json_t *about,
               struct cm_err *err)
{
    struct kf_trust *parsed = NULL;
    int rc = kf_trust_parse(trust, &parsed, err);
    if (rc < 0)
        return rc;
    CM_AUTO_JSON doc = json_object();
    cm_json_set_time(doc, "since", cm_now_ms());
    cm_json_set_str(doc, "backup_at", cm_json_str(about, "created_at"));
    cm_json_set(doc, "answered", json_object());
    tell_about(doc, parsed, self, about);
    kf_trust_free(parsed);
    return cs_kv_put(store, TABLE, KEY, doc, err);
}

bool hold_is_of(struct cs_store *store, const char *self, json_t *about)
{
    CM_AUTO_JSON doc = cs_kv_get(store, TABLE, KEY);
    CM_AUTO_JSON trust = cs_kv_get(store, "state", "trust");
    struct kf_trust *parsed = NULL;
    const char *at = cm_json_str(doc, "backup_at");
    if (at == NULL || strcmp(at, cm_json_str_or(about, "created_at", "")) != 0 ||
        json_object_get(doc, "released_at") != NULL || trust == NULL ||
        kf_trust_parse(trust, &parsed, NULL) < 0)
        return false;
    tell_about(doc, parsed, self, about);
    kf_trust_free(parsed);
    return true;
}

struct hold *hold_new(const struct hold_opts *opts)
{
    struct hold *hold = cm_calloc(1, sizeof(*hold));
    hold->opts = *opts;
    hold->doc = cs_kv_get(opts->store, TABLE, KEY);
    if (hold_active(hold))
        cm_log(CM_LOG_WARN, "hold", NULL,
               "this server was restored from a backup: no orders, no deployment, nothing new is "
               "published until the servers answered or \"certmgr hold release\"");
    return hold;
}

static const struct kf_trust *trust_of(const struct hold *hold)
{
    return hold->opts.trust(hold->opts.trust_arg);
}

static bool is_manager(const struct hold *hold)
{
    const struct kf_server *me = kf_trust_server(trust_of(hold), hold->opts.self);
    return me && me->manager && me->state == KF_ACTIVE;
}

bool hold_active(const struct hold *hold)
{
    return hold->doc && !json_object_get(hold->doc, "released_at");
}

bool hold_wants(const struct hold *hold, const char *server)
{
    const struct kf_server *peer = hold->doc ? kf_trust_server(trust_of(hold), server) : NULL;
    return peer && counts(peer, hold->opts.self) && is_manager(hold) &&
           !cm_json_bool(cm_json_obj(hold->doc, "answered"), server, false);
}

static void on_released(void *arg, int code, const struct cm_err *err)
{
    struct hold *hold = arg;
    cm_step("hold.released");
    (void)err; /* told by the commit itself; the hold is still written then */
    if (code == 0)
        hold->opts.released(hold->opts.arg);
}

/* Keeps what is known; all answered and released: the hold is history. */
static int save(struct hold *hold, bool over, struct cm_err *err)
{
    return over ? cs_kv_del(hold->opts.store, TABLE, KEY, err)
                : cs_kv_put(hold->opts.store, TABLE, KEY, hold->doc, err);
}

static int end_hold(struct hold *hold, const char *who, bool over, struct cm_err *err)
{
    cm_json_set_time(hold->doc, "released_at", cm_now_ms());
    cm_json_set_str(hold->doc, "released_by", who);
    int rc = save(hold, over, err);
    if (rc < 0)
        return rc;
    cm_log(CM_LOG_WARN, "hold", NULL, "the hold after the restore is released by %s", who);
    cs_after_commit(hold->opts.store, on_released, hold);
    return 0;
}

void hold_answered(struct hold *hold, const char *server)
{
    struct cm_err err = CM_ERR_INIT;
    if (!hold_wants(hold, server))
        return;
    cm_step("hold.answered");
    cm_json_set_bool(cm_json_obj(hold->doc, "answered"), server, true);
    CM_AUTO_JSON rest = waiting(hold->doc, trust_of(hold), hold->opts.self);
    bool all = json_array_size(rest) == 0;
    cm_log(CM_LOG_INFO, "hold", server, "has given back what it holds; %zu servers are left",
           json_array_size(rest));
    int rc = all && hold_active(hold) ? end_hold(hold, "the servers", true, &err)
                                      : save(hold, all, &err);
    if (rc < 0)
        cm_log_err(CM_LOG_ERROR, "hold", &err);
    cm_err_fini(&err);
}

/* What the others hold, they gave already: only who remembers more is waited for. */
static json_t *copy_doc(const struct hold *hold)
{
    json_t *doc = json_object(), *answered = json_object();
    for (size_t i = 0; i < kf_trust_count(trust_of(hold)); i++)
        cm_json_set_bool(answered, kf_trust_at(trust_of(hold), i)->name, true);
    cm_json_set_time(doc, "since", cm_now_ms());
    cm_json_set_bool(doc, "claimed", true);
    cm_json_set(doc, "answered", answered);
    cm_json_set_time(doc, "released_at", cm_now_ms()); /* nothing is stopped */
    return doc;
}

static void tell_copy(const struct hold *hold, const char *server)
{
    CM_AUTO_STR key = cm_asprintf(FLEET_ALARMS "copy/%s", hold->opts.self);
    CM_AUTO_STR where = cm_asprintf("server %s", hold->opts.self);
    CM_AUTO_STR what = cm_asprintf("Server %s remembers changes of this manager that its store "
                                   "has forgotten",
                                   server);
    fleet_alarm_raise(hold->opts.store,
                      &(struct fleet_alarm){
                          .key = key,
                          .kind = "old_copy",
                          .level = COPY_LEVEL,
                          .title = "The manager runs from an older copy of its store",
                          .where = where,
                          .what = what,
                          .hint = "Was a snapshot of the machine put back, or does it run twice? "
                                  "Of two, stop one. The servers give back what they hold; what "
                                  "no server had is lost"});
}

void hold_take_back(struct hold *hold, const char *server)
{
    struct cm_err err = CM_ERR_INIT;
    const struct kf_server *peer = kf_trust_server(trust_of(hold), server);
    if (peer == NULL || !counts(peer, hold->opts.self) || !is_manager(hold) ||
        hold_wants(hold, server))
        return;
    cm_log(CM_LOG_INFO, "hold", server,
           "says that this manager has forgotten what it had confirmed: it is to give back what it "
           "holds");
    if (hold->doc == NULL)
        hold->doc = copy_doc(hold);
    json_object_del(cm_json_obj(hold->doc, "answered"), server);
    if (save(hold, false, &err) < 0)
        cm_log_err(CM_LOG_ERROR, "hold", &err);
    cm_err_fini(&err);
}

void hold_brought(struct hold *hold, const char *server, const json_t *body)
{
    struct cm_err err = CM_ERR_INIT;
    const char *by = cm_json_str_or(cm_json_obj(body, "signature"), "by", "");
    if (!hold_wants(hold, server) || !cm_json_bool(hold->doc, "claimed", false) ||
        strcmp(by, hold->opts.self) != 0)
        return;
    tell_copy(hold, server);
    cm_log(CM_LOG_WARN, "hold", cm_json_str(body, "_id"),
           "server %s has a version of it that this manager signed and does not know", server);
    json_object_del(hold->doc, "claimed");
    cm_json_set_bool(hold->doc, "older_copy", true);
    if (save(hold, false, &err) < 0)
        cm_log_err(CM_LOG_ERROR, "hold", &err);
    cm_err_fini(&err);
}

void hold_caught_up(struct hold *hold)
{
    struct cm_err err = CM_ERR_INIT;
    if (hold_active(hold) && !is_manager(hold) && end_hold(hold, "the upstream", true, &err) < 0)
        cm_log_err(CM_LOG_ERROR, "hold", &err);
    cm_err_fini(&err);
}

int hold_release(struct hold *hold, const char *who, struct cm_err *err)
{
    if (!hold_active(hold))
        return cm_fail(err, CM_ENOENT, "nothing is on hold here");
    CM_AUTO_JSON rest = waiting(hold->doc, trust_of(hold), hold->opts.self);
    return end_hold(hold, who, json_array_size(rest) == 0, err);
}

json_t *hold_status(const struct hold *hold)
{
    if (!hold->doc || json_object_get(hold->doc, "claimed"))
        return NULL;
    json_t *view = json_object();
    json_t *answered = json_array();
    const char *name;
    json_t *unused;
    cm_json_set_bool(view, "active", hold_active(hold));
    cm_json_set_str(view, "since", cm_json_str(hold->doc, "since"));
    cm_json_set_str(view, "backup_at", cm_json_str(hold->doc, "backup_at"));
    if (json_object_get(hold->doc, "older_copy"))
        cm_json_set_bool(view, "older_copy", true);
    if (is_manager(hold))
        cm_json_set(view, "waiting", waiting(hold->doc, trust_of(hold), hold->opts.self));
    json_object_foreach(cm_json_obj(hold->doc, "answered"), name, unused)
        json_array_append_new(answered, json_string(name));
    (void)unused;
    cm_json_set(view, "answered", answered);
    cm_json_set_str(view, "released_by", cm_json_str(hold->doc, "released_by"));
    return view;
}
