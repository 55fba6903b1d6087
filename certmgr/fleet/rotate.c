/* The steps of a rotation.  See rotate.h. */
#include "certmgr/fleet/rotate.h"

#include <string.h>

#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "base/core/step.h"
#include "certmgr/fleet/rotate_internal.h"
#include "keyfile/rewrap.h"
#include "keyfile/trust_rotate.h"

#define TABLE "state"
#define KEY   "rotation"

#define COPY_TEXT                                                                                  \
    "the keys of server %s were replaced: this is a copy of it from before, and nobody accepts "   \
    "it. "                                                                                         \
    "Stop it; or remove the server and let it join again"

const struct kf_server *rotate_self(const struct rotate *rotate)
{
    return kf_trust_server(fleet_trust(rotate->opts.fleet), rotate->opts.config->name);
}

/* ---- journal ---- */

static bool keep(struct rotate *rotate)
{
    struct cm_err err = CM_ERR_INIT;
    int rc = cs_kv_put(rotate->opts.store, TABLE, KEY, rotate->journal, &err);
    if (rc < 0)
        cm_log_err(CM_LOG_ERROR, "rotate", &err);
    cm_err_fini(&err);
    return rc == 0;
}

static const char *state_of(const struct rotate *rotate)
{
    return cm_json_str_or(rotate->journal, "state", "done");
}

static bool enter(struct rotate *rotate, const char *state)
{
    if (strcmp(state_of(rotate), state) == 0)
        return true;
    cm_json_set_str(rotate->journal, "state", state);
    cm_json_set_time(rotate->journal, "progress_at", cm_now_ms());
    json_object_del(rotate->journal, "error");
    json_object_del(rotate->journal, "left");
    cm_log(CM_LOG_INFO, "rotate", NULL, "rotation of this server's keys: %s", state);
    return keep(rotate);
}

void rotate_error(struct rotate *rotate, const struct cm_err *err)
{
    const char *before = cm_json_str_or(rotate->journal, "error", "");
    if (strcmp(before, err->what) == 0)
        return;
    cm_log_err(CM_LOG_WARN, "rotate", err);
    cm_json_set_str(rotate->journal, "error", err->what);
    (void)keep(rotate);
}

static bool is_active(const struct rotate *rotate)
{
    return rotate->journal && strcmp(state_of(rotate), "done") != 0 &&
           strcmp(state_of(rotate), "cancelled") != 0;
}

/* ---- keys ---- */

static void keep_keys(struct rotate *rotate, const json_t *reply, struct cm_err *err)
{
    static const char *const names[] = {"seal", "sign", "proof_seal", "proof_sign"};
    CM_AUTO_STR proof = NULL;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        cm_json_set_str(rotate->journal, names[i], cm_json_str(reply, names[i]));
    if (rotate_prove_tls(rotate->opts.config, rotate->journal, &proof, err) < 0)
        return;
    cm_json_set_str(rotate->journal, "proof_tls", proof);
    (void)keep(rotate);
}

/* ---- keys of a rotation that was given up ---- */

static void on_dropped(void *arg, const json_t *reply, const struct cm_err *err)
{
    static const char *const names[] = {"drop",       "seal",       "sign",     "tls",
                                        "proof_seal", "proof_sign", "proof_tls"};
    struct rotate *rotate = arg;
    (void)reply;
    rotate->asking = false;
    if (!is_active(rotate))
        return;
    if (err != NULL) {
        rotate_error(rotate, err);
        return;
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        json_object_del(rotate->journal, names[i]);
    if (keep(rotate))
        cm_timer_start(rotate->timer, 0);
}

/* They lay about since; new ones are made. */
static void drop_keys(struct rotate *rotate)
{
    struct cm_err err = CM_ERR_INIT;
    if (rotate_drop_tls(rotate->opts.config, &err) < 0) {
        rotate_error(rotate, &err);
        cm_err_fini(&err);
        return;
    }
    rotate->asking = true;
    rotate->opts.agent.call(rotate->opts.agent.arg, json_pack("{s:s}", "op", "rotate.cancel"),
                            on_dropped, rotate);
}

static void on_keys(void *arg, const json_t *reply, const struct cm_err *err)
{
    struct rotate *rotate = arg;
    struct cm_err why = CM_ERR_INIT;
    rotate->asking = false;
    if (!is_active(rotate))
        return; /* given up meanwhile */
    if (err == NULL)
        keep_keys(rotate, reply, &why);
    if (err != NULL || why.code != 0)
        rotate_error(rotate, err != NULL ? err : &why);
    else
        cm_timer_start(rotate->timer, 0);
    cm_err_fini(&why);
}

static void make_keys(struct rotate *rotate)
{
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_STR tls = NULL;
    if (rotate_make_tls(rotate->opts.config, &tls, &err) < 0) {
        rotate_error(rotate, &err);
        cm_err_fini(&err);
        return;
    }
    cm_step("rotate.tls_made");
    cm_json_set_str(rotate->journal, "tls", tls);
    json_t *request = json_pack("{s:s, s:s}", "op", "rotate.begin", "tls", tls);
    rotate->asking = true;
    rotate->opts.agent.call(rotate->opts.agent.arg, request, on_keys, rotate);
}

/* ---- our word to the manager ---- */

static void on_said(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    struct rotate *rotate = arg;
    (void)doc;
    rotate->asking = false;
    if (err != NULL && is_active(rotate))
        rotate_error(rotate, err);
    cm_step(strcmp(state_of(rotate), "resealed") == 0 ? "rotate.said_resealed"
                                                      : "rotate.said_keys");
}

/* Publishes rotation:<server> unless it says so already. */
static void say(struct rotate *rotate, const char *state)
{
    static const char *const names[] = {"seal",       "sign",       "tls",
                                        "proof_seal", "proof_sign", "proof_tls"};
    const char *self = rotate->opts.config->name;
    CM_AUTO_STR id = cm_asprintf("rotation:%s", self);
    CM_AUTO_JSON present = cs_get_body(rotate->opts.store, id);
    const struct kf_server *server = rotate_self(rotate);
    const char *key = cm_json_str_or(cm_json_obj(present, "signature"), "key", "");
    if (strcmp(cm_json_str_or(present, "state", ""), state) == 0 &&
        strcmp(cm_json_str_or(present, "sign", ""), cm_json_str(rotate->journal, "sign")) == 0 &&
        strcmp(key, server->sign_id) == 0)
        return;
    json_t *doc = json_object();
    cm_json_set_str(doc, "_id", id);
    cm_json_set_str(doc, "type", "rotation");
    cm_json_set_str(doc, "server", self);
    cm_json_set_str(doc, "state", state);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        cm_json_set_str(doc, names[i], cm_json_str(rotate->journal, names[i]));
    cm_json_set_time(doc, "at", cm_now_ms());
    rotate->asking = true;
    cs_publish(rotate->opts.store, doc, -1, on_said, rotate);
}

/* ---- the end ---- */

static void remove_doc(struct rotate *rotate, const char *id, const char *type)
{
    json_t *gone = json_object();
    cm_json_set_str(gone, "_id", id);
    cm_json_set_str(gone, "type", type);
    cm_json_set_bool(gone, "_deleted", true);
    cs_publish(rotate->opts.store, gone, -1, NULL, NULL);
}

struct sweep {
    char prefix[KF_NAME_MAX + 16];
    json_t *ids;
};

static int note_reseal(void *arg, const char *key, const char *id)
{
    struct sweep *sweep = arg;
    (void)key;
    if (strncmp(id, sweep->prefix, strlen(sweep->prefix)) == 0)
        json_array_append_new(sweep->ids, json_string(id));
    return json_array_size(sweep->ids) >= ROTATE_SLICE;
}

/* What we said is not needed any more.  True when nothing is left. */
static bool tidy(struct rotate *rotate)
{
    struct sweep sweep = {.ids = json_array()};
    size_t i;
    json_t *one;
    const char *self = rotate->opts.config->name;
    cm_strcpy(sweep.prefix, sizeof(sweep.prefix), "reseal:");
    cm_strcpy(sweep.prefix + 7, sizeof(sweep.prefix) - 7, self);
    cm_strcpy(sweep.prefix + 7 + strlen(self), 2, ":");
    cs_each(rotate->opts.store, CS_BY_TYPE, "reseal", NULL, NULL, note_reseal, &sweep);
    json_array_foreach(sweep.ids, i, one) remove_doc(rotate, json_string_value(one), "reseal");
    size_t found = json_array_size(sweep.ids);
    json_decref(sweep.ids);
    if (found > 0)
        return false;
    CM_AUTO_STR id = cm_asprintf("rotation:%s", self);
    CM_AUTO_JSON said = cs_get_body(rotate->opts.store, id);
    if (said == NULL)
        return true;
    remove_doc(rotate, id, "rotation");
    return false;
}

static void finish(struct rotate *rotate)
{
    cm_step("rotate.retired");
    if (!tidy(rotate))
        return;
    json_t *done = json_object();
    static const char *const kept[] = {"started_at", "by", "ordered_at"};
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        cm_json_set_str(done, kept[i], cm_json_str(rotate->journal, kept[i]));
    cm_json_set_str(done, "state", "done");
    cm_json_set_time(done, "finished_at", cm_now_ms());
    cm_json_set_int(done, "trust_version", kf_trust_version(fleet_trust(rotate->opts.fleet)));
    json_decref(rotate->journal);
    rotate->journal = done;
    if (keep(rotate))
        cm_log(CM_LOG_INFO, "rotate", NULL, "the keys of this server are replaced");
}

/* ---- one look ---- */

void rotate_passed(struct rotate *rotate, size_t left)
{
    if (cm_json_int(rotate->journal, "left", -1) != (int64_t)left) {
        cm_json_set_int(rotate->journal, "left", (int64_t)left);
        if (left == 0)
            json_object_del(rotate->journal, "error");
        cm_json_set_time(rotate->journal, "progress_at", cm_now_ms());
        (void)keep(rotate);
    }
    if (left == 0 && strcmp(state_of(rotate), "resealed") != 0 && enter(rotate, "resealed"))
        cm_timer_start(rotate->timer, 0);
}

static void begin_anew(struct rotate *rotate)
{
    rotate->ended = true;
    rotate->opts.restart(rotate->opts.arg);
}

static void go_on(struct rotate *rotate)
{
    const struct kf_server *self = rotate_self(rotate);
    if (cm_json_bool(rotate->journal, "drop", false)) {
        drop_keys(rotate);
    } else if (cm_json_str(rotate->journal, "proof_tls") == NULL) {
        make_keys(rotate);
    } else if (strcmp(self->sign_b64, cm_json_str(rotate->journal, "sign")) != 0) {
        if (enter(rotate, "proposed"))
            say(rotate, "keys");
    } else if (rotate_tls_waits(rotate->opts.config)) {
        cm_step("rotate.listed");
        begin_anew(rotate); /* the next life takes it into use */
    } else if (self->old_sign_b64 == NULL) {
        finish(rotate);
    } else if (kf_seal_ski(self->old_seal_b64, rotate->old_ski, NULL) < 0) {
        return; /* never: the trust root was checked */
    } else if (strcmp(state_of(rotate), "resealed") == 0) {
        say(rotate, "resealed");
        rotate_pass_late(rotate);
    } else if (enter(rotate, "resealing")) {
        rotate->passed = 0; /* from the first document on */
        rotate_pass(rotate);
    }
}

static int begin_for(struct rotate *rotate, const char *who, int64_t ordered_at,
                     struct cm_err *err);

/* The manager's order: newer than what we did last. */
static void obey(struct rotate *rotate)
{
    CM_AUTO_STR id = cm_asprintf("server:%s", rotate->opts.config->name);
    CM_AUTO_JSON order = cs_get_body(rotate->opts.store, id);
    int64_t at = cm_json_time(order, "rotate_at", 0);
    struct cm_err err = CM_ERR_INIT;
    /* Compared with the order before, never with our clock: it may differ from the manager's. */
    if (at == 0 || cm_json_time(rotate->journal, "ordered_at", 0) >= at)
        return;
    if (is_active(rotate)) { /* it is being done */
        cm_json_set_time(rotate->journal, "ordered_at", at);
        (void)keep(rotate);
        return;
    }
    if (begin_for(rotate, cm_json_str_or(order, "asked_by", "the manager"), at, &err) < 0)
        cm_log_err(CM_LOG_WARN, "rotate", &err);
    cm_err_fini(&err);
}

/* Given up, but the trust root lists the new keys: the manager, or people who sign, were faster.
 * They count, so it goes on. */
static void go_back(struct rotate *rotate)
{
    const char *sign = cm_json_str_or(rotate->journal, "sign", "");
    if (strcmp(state_of(rotate), "cancelled") != 0 ||
        strcmp(rotate_self(rotate)->sign_b64, sign) != 0)
        return;
    json_object_del(rotate->journal, "finished_at");
    cm_log(CM_LOG_WARN, "rotate", NULL,
           "the rotation was given up too late: the trust root lists the new keys");
    (void)enter(rotate, "proposed");
}

/* A restored backup, or a cloned machine, with keys that nobody accepts any more. */
static void look_for_copy(struct rotate *rotate)
{
    int64_t version = kf_trust_version(fleet_trust(rotate->opts.fleet));
    if (version == rotate->looked_at)
        return;
    rotate->looked_at = version;
    bool copy = rotate_is_copy(rotate->opts.config, fleet_trust(rotate->opts.fleet));
    if (copy && !rotate->copy)
        cm_log(CM_LOG_ERROR, "rotate", NULL, COPY_TEXT, rotate->opts.config->name);
    rotate->copy = copy;
}

static void tick(void *arg)
{
    struct rotate *rotate = arg;
    cm_timer_start(rotate->timer, ROTATE_LOOK_MS);
    look_for_copy(rotate);
    if (rotate->opts.fleet->held || rotate->ended || rotate->copy)
        return;
    go_back(rotate);
    obey(rotate);
    if (!is_active(rotate))
        return;
    if (rotate->passing)
        rotate_pass(rotate);
    else if (!rotate->asking)
        go_on(rotate);
}

void rotate_look(struct rotate *rotate)
{
    cm_timer_start(rotate->timer, 0);
}

/* ---- what people ask for ---- */

static json_t *journal_for(const struct rotate *rotate, const char *who, int64_t ordered_at)
{
    json_t *journal = json_object();
    int64_t before = cm_json_time(rotate->journal, "ordered_at", 0);
    cm_json_set_str(journal, "state", "keys");
    cm_json_set_str(journal, "by", who);
    cm_json_set_time(journal, "started_at", cm_now_ms());
    cm_json_set_time(journal, "progress_at", cm_now_ms());
    if (ordered_at > 0 || before > 0)
        cm_json_set_time(journal, "ordered_at", ordered_at > 0 ? ordered_at : before);
    if (strcmp(state_of(rotate), "cancelled") == 0)
        cm_json_set_bool(journal, "drop", true);
    return journal;
}

static int begin_for(struct rotate *rotate, const char *who, int64_t ordered_at, struct cm_err *err)
{
    const struct kf_server *self = rotate_self(rotate);
    if (fleet_refuses_held(rotate->opts.fleet, err))
        return CM_EBUSY;
    if (self->state != KF_ACTIVE)
        return cm_fail(err, CM_EDENIED, "server %s is not active in the trust root", self->name);
    if (rotate->copy)
        return cm_fail(err, CM_EDENIED, COPY_TEXT, self->name);
    go_back(rotate);
    if (is_active(rotate))
        return 0;
    json_t *journal = journal_for(rotate, who, ordered_at);
    int rc = cs_kv_put(rotate->opts.store, TABLE, KEY, journal, err);
    if (rc < 0) {
        json_decref(journal);
        return rc;
    }
    json_decref(rotate->journal);
    rotate->journal = journal;
    cm_log(CM_LOG_WARN, "rotate", NULL, "%s has this server's keys replaced", who);
    cm_step("rotate.begun");
    cm_timer_start(rotate->timer, 0);
    return 0;
}

int rotate_begin(struct rotate *rotate, const char *who, struct cm_err *err)
{
    return begin_for(rotate, who, 0, err);
}

int rotate_cancel(struct rotate *rotate, struct cm_err *err)
{
    go_back(rotate);
    if (!is_active(rotate))
        return cm_fail(err, CM_ENOENT, "the keys of this server are not being replaced");
    if (rotate_self(rotate)->old_sign_b64 != NULL)
        return cm_fail(err, CM_ECONFLICT,
                       "the trust root lists the new keys already: the rotation goes on");
    /* The new keys stay, unused, until the next rotation: the manager may be listing them, or
     * people be signing what lists them, at this moment. */
    json_t *journal = json_deep_copy(rotate->journal);
    cm_json_set_str(journal, "state", "cancelled");
    cm_json_set_time(journal, "finished_at", cm_now_ms());
    json_object_del(journal, "error");
    int rc = cs_kv_put(rotate->opts.store, TABLE, KEY, journal, err);
    if (rc < 0) {
        json_decref(journal);
        return rc;
    }
    json_decref(rotate->journal);
    rotate->journal = journal;
    CM_AUTO_STR id = cm_asprintf("rotation:%s", rotate->opts.config->name);
    remove_doc(rotate, id, "rotation");
    cm_log(CM_LOG_WARN, "rotate", NULL, "the rotation of this server's keys is given up");
    return 0;
}

json_t *rotate_status(const struct rotate *rotate)
{
    static const char *const shown[] = {"state", "by",    "started_at", "finished_at",
                                        "left",  "error", "progress_at"};
    if (rotate->copy) {
        CM_AUTO_STR error = cm_asprintf(COPY_TEXT, rotate->opts.config->name);
        return json_pack("{s:s, s:s, s:b}", "state", "replaced", "error", error, "stuck", 0);
    }
    if (rotate->journal == NULL)
        return NULL;
    json_t *view = json_object();
    for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++) {
        json_t *value = json_object_get(rotate->journal, shown[i]);
        if (value != NULL)
            json_object_set(view, shown[i], value);
    }
    int64_t progress = cm_json_time(rotate->journal, "progress_at", 0);
    cm_json_set_bool(view, "stuck", is_active(rotate) && progress + ROTATE_STUCK_MS <= cm_now_ms());
    return view;
}

/* ---- life ---- */

static void on_document(void *arg, const char *id)
{
    struct rotate *rotate = arg;
    if (strncmp(id, "server:", 7) == 0 && strcmp(id + 7, rotate->opts.config->name) == 0)
        rotate_look(rotate);
}

struct rotate *rotate_new(const struct rotate_opts *opts)
{
    struct rotate *rotate = cm_calloc(1, sizeof(*rotate));
    rotate->opts = *opts;
    rotate->secret_table = opts->secret_table ? cm_strdup(opts->secret_table) : NULL;
    rotate->secret_key = opts->secret_key ? cm_strdup(opts->secret_key) : NULL;
    rotate->journal = cs_kv_get(opts->store, TABLE, KEY);
    rotate->timer = cm_timer_new(opts->loop, tick, rotate);
    cs_listen(opts->store, on_document, rotate);
    cm_timer_start(rotate->timer, 0);
    return rotate;
}
