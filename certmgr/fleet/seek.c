/* Asking other members for their trust root.  See seek.h. */
#include "certmgr/fleet/seek.h"

#include <string.h>

#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "base/core/step.h"
#include "certmgr/fleet/exchange.h"
#include "certmgr/fleet/fleet_internal.h"
#include "keyfile/trust_change.h"

#define TICK_MS        1000
#define FIRST_MS       3000 /* of the questions before a manager begins */
#define SECOND_MANAGER "second_manager"

struct seek {
    struct seek_opts opts;
    char *cert_file, *key_file;
    struct cm_timer *timer;
    size_t next; /* of the targets, while the upstream is silent */
    int64_t asked_ms, cosign_ms;
    size_t first_open; /* questions of seek_first() */
    cm_fn first_done;
    void *first_arg;
    bool first;
    size_t open;
};

struct question {
    struct seek *seek;
    char name[KF_NAME_MAX];
    bool first, shown; /* shown: we have posted our root already */
    bool any_key;      /* the key on record is not the present one: see on_reply() */
    bool copy;         /* its former keys are asked for: see show_copy() */
    json_t *reply;
};

/* ---- whom to ask ---- */

static size_t targets(const struct seek *seek, const struct kf_server *out[SEEK_TARGETS])
{
    const struct kf_trust *trust = fleet_trust(seek->opts.fleet);
    size_t count = 0;
    for (size_t i = 0; i < kf_trust_count(trust) && count < SEEK_TARGETS; i++) {
        const struct kf_server *server = kf_trust_at(trust, i);
        if (server->url != NULL && strcmp(server->name, seek->opts.self) != 0)
            out[count++] = server;
    }
    return count;
}

/* ---- one question ---- */

static void question_end(struct question *q)
{
    struct seek *seek = q->seek;
    seek->open--;
    bool first = q->first;
    json_decref(q->reply);
    cm_free(q);
    if (!first || --seek->first_open > 0)
        return;
    seek->first = false;
    seek->first_done(seek->first_arg);
}

/* Both say that they are the manager, and neither follows the other: a person has to stop one. */
static void alarm_second(struct question *q, const struct cm_err *err)
{
    CM_AUTO_JSON told = json_object();
    cm_json_set_str(told, "id", "trust:root");
    cm_json_set_str(told, "server", q->name);
    CM_AUTO_JSON before = cs_kv_get(q->seek->opts.store, "state", SECOND_MANAGER);
    if (strcmp(cm_json_str_or(before, "server", ""), q->name) == 0)
        return; /* told */
    cm_json_set_time(told, "at", cm_now_ms());
    (void)cs_kv_put(q->seek->opts.store, "state", SECOND_MANAGER, told, NULL);
    cm_log(CM_LOG_ERROR, "fleet", q->name,
           "two managers: server %s calls itself the manager and does not follow our trust root "
           "(%s); stop one of them",
           q->name, err ? err->what : "same version, other content");
}

/* It follows, or was removed: what was told of it is over. */
static void second_is_over(const struct seek *seek, const char *name)
{
    CM_AUTO_JSON told = cs_kv_get(seek->opts.store, "state", SECOND_MANAGER);
    if (strcmp(cm_json_str_or(told, "server", ""), name) != 0)
        return;
    (void)cs_kv_del(seek->opts.store, "state", SECOND_MANAGER, NULL); /* the next answer tries */
    cm_log(CM_LOG_INFO, "fleet", name, "there is one manager again");
}

static void ask(struct question *q, const json_t *post);

static void on_cosigned(void *arg, const struct cm_err *err)
{
    struct question *q = arg;
    const struct fleet *fleet = q->seek->opts.fleet;
    if (err != NULL && err->code != CM_EDENIED && err->retry != CM_RETRY_CONFIGURATION)
        cm_log_err(CM_LOG_WARN, "fleet", err);
    if (err != NULL) {
        question_end(q);
        return;
    }
    q->shown = true;
    CM_AUTO_JSON all = fleet_chain(fleet, kf_trust_version(fleet->trust) - 1);
    ask(q, all);
}

/* What answers does not know what we know, and its key is not the one on record: perhaps a manager
 * that was restored from a backup made before its keys were replaced.  By its former key it is
 * known for that, and is shown the present root; then it tells the people in front of it why nobody
 * comes. Returns false when there is nothing to show. */
static bool show_copy(struct question *q, int64_t theirs)
{
    const struct fleet *fleet = q->seek->opts.fleet;
    const struct kf_server *server = kf_trust_server(fleet->trust, q->name);
    char pins[KF_PINS_TEXT] = "";
    if (server != NULL)
        kf_trust_replaced_pins(fleet->trust, server, pins);
    if (q->shown || pins[0] == '\0' || theirs >= kf_trust_version(fleet->trust))
        return false;
    CM_AUTO_JSON all = fleet_chain(fleet, theirs);
    q->shown = q->copy = true;
    ask(q, all);
    return true;
}

static void on_followed(void *arg, const struct cm_err *err)
{
    struct question *q = arg;
    struct fleet *fleet = q->seek->opts.fleet;
    int64_t theirs = cm_json_int(q->reply, "version", 0);
    const json_t *proposal = cm_json_obj(q->reply, "proposal");
    if (err != NULL)
        cm_log_err(CM_LOG_WARN, "fleet", err);
    if (q->any_key) { /* nothing else of what such a one says counts */
        if (!show_copy(q, theirs))
            question_end(q);
        return;
    }
    if (fleet_is_manager(fleet) && cm_json_bool(q->reply, "manager", false) &&
        (q->shown || err != NULL || theirs == kf_trust_version(fleet->trust)))
        alarm_second(q, err);
    else if (err == NULL && !cm_json_bool(q->reply, "manager", false))
        second_is_over(q->seek, q->name);
    if (!q->shown && theirs < kf_trust_version(fleet->trust)) {
        CM_AUTO_JSON all = fleet_chain(fleet, theirs);
        q->shown = true;
        ask(q, all);
    } else if (!q->shown && proposal != NULL && !fleet_is_manager(fleet) &&
               kf_trust_only_renews(fleet->trust, proposal)) {
        fleet_cosign(fleet, proposal, true, on_cosigned, q);
    } else {
        question_end(q);
    }
}

static void on_reply(void *arg, const struct http_result *res)
{
    struct question *q = arg;
    CM_AUTO_JSON body = NULL;
    /* Its keys may have been replaced while we were away.  A trust root counts by its signatures,
     * whoever hands it over: so it is fetched once more from whatever key answers there. */
    if (res->err->code == CM_EDENIED && !q->any_key && !q->shown) {
        q->any_key = true;
        ask(q, NULL);
        return;
    }
    if (res->err->code != 0 || res->status != 200 ||
        cm_json_parse(res->body, res->body_len, &body, NULL) != 0) {
        question_end(q);
        return;
    }
    json_decref(q->reply);
    q->reply = json_incref(body);
    cm_step("trust.told");
    fleet_follow_chain(q->seek->opts.fleet, cm_json_arr(body, "documents"), on_followed, q);
}

static void ask(struct question *q, const json_t *post)
{
    struct seek *seek = q->seek;
    const struct kf_trust *trust = fleet_trust(seek->opts.fleet);
    const struct kf_server *server = kf_trust_server(trust, q->name);
    struct cm_err err = CM_ERR_INIT;
    size_t len = 0;
    char pins[KF_PINS_TEXT];
    if (server == NULL || server->url == NULL) {
        question_end(q);
        return;
    }
    if (q->copy)
        kf_trust_replaced_pins(trust, server, pins);
    else
        kf_server_pins(server, pins);
    cm_step(post ? "trust.show" : "trust.ask");
    static const char *const headers[] = {"Content-Type: application/json", NULL};
    CM_AUTO_STR url =
        cm_asprintf("%s/trust?from=%lld", server->url, (long long)kf_trust_version(trust));
    CM_AUTO_STR body = post ? cm_json_dump(post, &len) : NULL;
    struct http_call_opts opts = {.method = post ? "POST" : "GET",
                                  .url = url,
                                  .headers = post ? headers : NULL,
                                  .body = body,
                                  .body_len = len,
                                  .timeout_ms = q->first ? FIRST_MS : SEEK_CALL_MS,
                                  .reply_max = FLEET_TRUST_BODY,
                                  .pin_spki = q->any_key && !q->copy ? NULL : pins,
                                  .insecure = q->any_key && !q->copy,
                                  .cert_file = seek->cert_file,
                                  .key_file = seek->key_file,
                                  .no_keep = true};
    if (http_call(seek->opts.http, &opts, on_reply, q, &err) == NULL) {
        cm_log_err(CM_LOG_WARN, "fleet", &err);
        question_end(q);
    }
    cm_err_fini(&err);
}

static void begin(struct seek *seek, const struct kf_server *server, bool first)
{
    if (seek->open >= 2 * SEEK_TARGETS)
        return;
    struct question *q = cm_calloc(1, sizeof(*q));
    *q = (struct question){.seek = seek, .first = first};
    cm_strcpy(q->name, sizeof(q->name), server->name);
    seek->open++;
    ask(q, NULL);
}

/* ---- when ---- */

static void ask_all(struct seek *seek, bool first)
{
    const struct kf_server *all[SEEK_TARGETS];
    size_t count = targets(seek, all);
    seek->asked_ms = cm_mono_ms();
    for (size_t i = 0; i < count; i++) {
        if (all[i]->state == KF_REMOVED)
            second_is_over(seek, all[i]->name);
        begin(seek, all[i], first);
    }
}

/* One of them, in turn: the fleet's servers do not all ask everybody at once. */
static void ask_next(struct seek *seek)
{
    const struct kf_server *all[SEEK_TARGETS];
    size_t count = targets(seek, all);
    seek->asked_ms = cm_mono_ms();
    if (count > 0)
        begin(seek, all[seek->next++ % count], false);
}

static void ask_manager(struct seek *seek)
{
    const struct kf_server *manager = kf_trust_manager(fleet_trust(seek->opts.fleet));
    seek->cosign_ms = cm_mono_ms();
    if (manager != NULL && manager->url != NULL)
        begin(seek, manager, false);
}

static bool may_cosign(const struct seek *seek)
{
    const struct kf_trust *trust = fleet_trust(seek->opts.fleet);
    const struct kf_server *self = kf_trust_server(trust, seek->opts.self);
    return self != NULL && kf_trust_threshold(trust) > 1 &&
           kf_trust_is_root_signer(trust, self->sign_id);
}

static void tick(void *arg)
{
    struct seek *seek = arg;
    int64_t now = cm_mono_ms();
    cm_timer_start(seek->timer, TICK_MS);
    if (fleet_is_manager(seek->opts.fleet)) {
        if (now - seek->asked_ms >= SEEK_MANAGER_MS)
            ask_all(seek, false);
        return;
    }
    if (now - seek->asked_ms >= SEEK_SILENT_MS && !seek->opts.upstream_ok(seek->opts.arg))
        ask_next(seek);
    if (now - seek->cosign_ms >= SEEK_COSIGN_MS && may_cosign(seek))
        ask_manager(seek);
}

void seek_now(struct seek *seek)
{
    const struct kf_trust *trust = fleet_trust(seek->opts.fleet);
    const struct kf_server *self = kf_trust_server(trust, seek->opts.self);
    if (seek->first || self == NULL)
        return;
    if (fleet_is_manager(seek->opts.fleet))
        ask_all(seek, false);
    else if (kf_trust_is_root_signer(trust, self->sign_id))
        ask_manager(seek); /* it may have been completed by our signature */
}

void seek_first(struct seek *seek, cm_fn done, void *arg)
{
    const struct kf_server *all[SEEK_TARGETS];
    seek->first_done = done;
    seek->first_arg = arg;
    seek->first_open = fleet_is_manager(seek->opts.fleet) ? targets(seek, all) : 0;
    if (seek->first_open == 0) {
        done(arg);
        return;
    }
    seek->first = true;
    seek->first_open++; /* questions that end at once must not end it before all were asked */
    size_t asked = seek->first_open - 1;
    for (size_t i = 0; i < asked; i++)
        begin(seek, all[i], true);
    if (--seek->first_open == 0) {
        seek->first = false;
        done(arg);
    }
}

void seek_start(struct seek *seek)
{
    seek->asked_ms = cm_mono_ms();
    cm_timer_start(seek->timer, TICK_MS);
}

struct seek *seek_new(const struct seek_opts *opts)
{
    struct seek *seek = cm_calloc(1, sizeof(*seek));
    seek->opts = *opts;
    seek->cert_file = cm_strdup(opts->cert_file);
    seek->key_file = cm_strdup(opts->key_file);
    seek->timer = cm_timer_new(opts->loop, tick, seek);
    return seek;
}
