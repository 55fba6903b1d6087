/* The current trust root, the store's ports on it, and its daily renewal. */
#include "certmgr/fleet/fleet.h"

#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "base/core/step.h"
#include "certmgr/fleet/fleet_internal.h"
#include "keyfile/maker.h"

#include <stdio.h>
#include <string.h>

#define REQUEST        "request:"
#define RENEW_LOOK_MS  (3600 * 1000)
#define AGENT_AGAIN_MS (60 * 1000) /* an agent that could not be told is told again */
#define RENEW_AFTER_MS (24LL * 3600 * 1000)
/* Half of what JSON can tell; in ms 140,000 years. */
#define SERVERS_SERIAL_MAX (INT64_C(1) << 52)
#define TRUST_LIFE_MS      ((int64_t)KF_TRUST_DAYS * 24 * 3600 * 1000)

const struct kf_trust *fleet_trust(void *fleet)
{
    return ((struct fleet *)fleet)->trust;
}

bool fleet_is_manager(const struct fleet *fleet)
{
    const struct kf_server *self = kf_trust_server(fleet->trust, fleet->self);
    return self != NULL && self->manager && self->state == KF_ACTIVE;
}

/* ---- ports of the store ---- */

static int verify_trust(const struct fleet *fleet, const json_t *body, struct cm_err *err)
{
    struct kf_trust *next = NULL;
    int rv = kf_trust_parse(body, &next, err);
    if (rv != 0)
        return rv;
    /* The very document that is pinned already (it also arrives by replication) is fine. */
    if (kf_trust_version(next) == kf_trust_version(fleet->trust) &&
        json_equal(kf_trust_document(next), kf_trust_document(fleet->trust)))
        rv = 0;
    else
        rv = kf_trust_accept(fleet->trust, next, err);
    kf_trust_free(next);
    return rv;
}

/* Whose a request is: its number tells the server, else what is known of it does.
 * Owned; NULL: nobody's yet. */
static char *maker_of(const struct fleet *fleet, const char *id)
{
    const struct kf_server *named = kf_maker_of(fleet->trust, id + strlen(REQUEST));
    if (named != NULL)
        return cm_strdup(named->name);
    CM_AUTO_JSON present = fleet->store != NULL ? cs_peek_body(fleet->store, id) : NULL;
    const char *by = cm_json_str(cm_json_obj(present, "signature"), "by");
    return by != NULL ? cm_strdup(by) : NULL;
}

/* A request is its server's alone, though any other one may sign documents of this type, too.  Only
 * a manager may write it as well. */
static int check_maker(const struct fleet *fleet, const json_t *body, struct cm_err *err)
{
    const char *id = cm_json_str_or(body, "_id", "");
    if (strncmp(id, REQUEST, strlen(REQUEST)) != 0)
        return 0;
    CM_AUTO_STR maker = maker_of(fleet, id);
    const char *by = cm_json_str_or(cm_json_obj(body, "signature"), "by", "");
    const struct kf_server *signer = kf_trust_server(fleet->trust, by);
    if (maker == NULL || strcmp(maker, by) == 0 || (signer != NULL && signer->manager))
        return 0;
    return cm_fail(err, CM_EDENIED, "%.40s was made on server %.63s, not on %.63s", id, maker, by);
}

/* Of servers: so that a manager can still write above it, take it away for example. */
static int check_serial(const struct fleet *fleet, const json_t *body, struct cm_err *err)
{
    const char *by = cm_json_str_or(cm_json_obj(body, "signature"), "by", "");
    const struct kf_server *signer = kf_trust_server(fleet->trust, by);
    int64_t serial = cm_json_int(body, "serial", 0);
    if (serial <= SERVERS_SERIAL_MAX || (signer != NULL && signer->manager))
        return 0;
    return cm_fail(err, CM_EDENIED, "serial %lld leaves none for those who follow",
                   (long long)serial);
}

void fleet_verify(void *arg, const json_t *body, bool deleted, struct cs_verdict *ret)
{
    struct fleet *fleet = arg;
    struct cm_err err = CM_ERR_INIT;
    int rv = 0;
    *ret = (struct cs_verdict){.serial = cm_json_int(body, "serial", 0)};
    if (strcmp(cm_json_str_or(body, "_id", ""), "trust:root") == 0)
        rv = deleted ? cm_fail(&err, CM_EDENIED, "the trust root cannot be deleted")
                     : verify_trust(fleet, body, &err);
    else if (fleet->again) {
        /* A stored version: its signature was checked when it came, against the very key that it
         * names.  Who may sign today is the question; an expired root keeps out only what is new.
         */
        rv = kf_doc_signer(fleet->trust, body, &err);
    } else if (kf_trust_expires_ms(fleet->trust) <= cm_now_ms() && !fleet->held) {
        fleet->starved = true;
        rv = cm_fail(&err, CM_EDENIED, FLEET_EXPIRED "; new documents wait for a fresh one");
    } else if (fleet->fresh != NULL && json_object_get(body, "signature") == fleet->fresh)
        rv = kf_doc_signer(fleet->trust, body, &err); /* our own agent made it a moment ago */
    else if (fleet_is_proven(fleet, body, deleted))
        rv = fleet_proof_is_old(fleet) ? kf_doc_signer(fleet->trust, body, &err) : 0;
    else
        rv = kf_doc_verify(fleet->trust, body, deleted, &err);
    if (rv == 0 && !fleet->again)
        rv = check_maker(fleet, body, &err);
    if (rv == 0 && !fleet->again && json_object_get(body, "signature") != NULL)
        rv = check_serial(fleet, body, &err);
    ret->valid = rv == 0;
    if (rv != 0)
        snprintf(ret->reason, sizeof(ret->reason), "%.150s", err.what);
    cm_err_fini(&err);
}

struct signing {
    struct fleet *fleet;
    json_t *body;
    cs_signed_fn done;
    void *done_arg;
};

static void on_signed(void *arg, const json_t *reply, const struct cm_err *err)
{
    struct signing *s = arg;
    struct cm_err why = CM_ERR_INIT;
    json_t *signature = cm_json_obj(reply, "signature");
    if (err == NULL && signature == NULL) {
        cm_fail(&why, CM_EPEER, "the key agent returned no signature");
        err = &why;
    }
    if (err == NULL)
        json_object_set(s->body, "signature", signature);
    s->fleet->fresh = err == NULL ? signature : NULL;
    s->done(s->done_arg, err == NULL ? s->body : NULL, err);
    s->fleet->fresh = NULL;
    cm_err_fini(&why);
    json_decref(s->body);
    cm_free(s);
}

void fleet_sign(void *arg, json_t *take_body, bool deleted, cs_signed_fn done, void *done_arg)
{
    struct fleet *fleet = arg;
    struct signing *s = cm_calloc(1, sizeof(*s));
    *s = (struct signing){
        .fleet = fleet, .body = json_incref(take_body), .done = done, .done_arg = done_arg};
    json_t *request = json_object();
    cm_json_set_str(request, "op", "doc.sign");
    cm_json_set(request, "body", take_body);
    cm_json_set_bool(request, "deleted", deleted);
    fleet->agent.call(fleet->agent.arg, request, on_signed, s);
}

/* ---- following the trust root ---- */

static void on_agent_told(void *arg, const struct cm_err *err)
{
    struct fleet *fleet = arg;
    if (err == NULL)
        return;
    cm_log_err(CM_LOG_WARN, "fleet", err); /* deployments say so too: the agent verifies itself */
    cm_timer_start(fleet->renewal, AGENT_AGAIN_MS);
}

static void on_agent_trust(void *arg, const json_t *reply, const struct cm_err *err);

/* It missed a root before this one, whose signers it does not know: which has it? */
static void on_agent_updated(void *arg, const json_t *reply, const struct cm_err *err)
{
    struct fleet *fleet = arg;
    (void)reply;
    if (err != NULL && err->code == CM_EDENIED)
        fleet->agent.call(fleet->agent.arg, json_pack("{s:s}", "op", "trust.get"), on_agent_trust,
                          fleet);
    else
        on_agent_told(fleet, err);
}

/* The agent pins the same version (on the manager, where it made it, it has it already), and takes
 * the keys into use that it lists as ours. */
static void tell_agent(struct fleet *fleet)
{
    json_t *request = json_object();
    cm_json_set_str(request, "op", "trust.update");
    cm_json_set(request, "document", json_deep_copy(kf_trust_document(fleet->trust)));
    fleet->agent.call(fleet->agent.arg, request, on_agent_updated, fleet);
}

/* What a new trust root leads to, wherever it came from. */
static void changed(struct fleet *fleet)
{
    struct cm_err err = CM_ERR_INIT;
    cm_log(CM_LOG_INFO, "fleet", "trust:root", "version %lld, %zu servers",
           (long long)kf_trust_version(fleet->trust), kf_trust_count(fleet->trust));
    tell_agent(fleet);
    fleet_starved_root(fleet);
    if (cs_quarantine_retry(fleet->store, &err) != 0)
        cm_log_err(CM_LOG_ERROR, "fleet", &err);
    if (fleet->on_change != NULL)
        fleet->on_change(fleet->change_arg);
    cm_err_fini(&err);
}

int fleet_adopt(struct fleet *fleet, const json_t *document, struct cm_err *err)
{
    struct kf_trust *next = NULL;
    int rv = kf_trust_parse(document, &next, err);
    if (rv != 0)
        return rv;
    if (kf_trust_version(next) <= kf_trust_version(fleet->trust)) {
        kf_trust_free(next);
        return 0;
    }
    rv = kf_trust_accept(fleet->trust, next, err);
    if (rv == 0)
        rv = fleet_chain_note(fleet, next, err);
    if (rv == 0)
        rv = cs_kv_put(fleet->store, "state", "trust", document, err);
    bool rejudge = rv == 0 && fleet_signers_changed(fleet->trust, next);
    if (rejudge)
        rv = cs_rejudge_begin(fleet->store, err);
    if (rv != 0) {
        kf_trust_free(next);
        return rv;
    }
    kf_trust_free(fleet->trust);
    fleet->trust = next;
    cm_step("trust.adopt");
    if (rejudge)
        fleet_rejudge_go(fleet);
    changed(fleet);
    return 0;
}

static void follow(struct fleet *fleet)
{
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_JSON body = cs_get_body(fleet->store, "trust:root");
    if (body != NULL && fleet_adopt(fleet, body, &err) != 0)
        cm_log_err(CM_LOG_ERROR, "fleet", &err);
    cm_err_fini(&err);
}

static void on_document(void *arg, const char *id)
{
    if (strcmp(id, "trust:root") == 0)
        follow(arg);
}

/* ---- the hourly look: the agent's version, and on the manager the renewal ---- */

static void on_stored(void *arg, const struct cm_err *err)
{
    (void)arg;
    if (err != NULL)
        cm_log_err(CM_LOG_ERROR, "fleet", err);
}

static void on_renewed(void *arg, const json_t *reply, const struct cm_err *err)
{
    struct fleet *fleet = arg;
    struct cm_err open = CM_ERR_INIT;
    if (err != NULL)
        cm_log_err(CM_LOG_ERROR, "fleet", err);
    else if (!fleet_keep_proposal(fleet, "renewal", reply, &open)) /* others fetch and sign it */
        fleet_store_trust(fleet, cm_json_obj(reply, "document"), on_stored, NULL);
    cm_err_fini(&open);
}

/* Where several sign, a person's proposal is not overtaken by the renewal for a day. */
static bool person_waits(const struct fleet *fleet)
{
    CM_AUTO_JSON kept = fleet_proposal(fleet);
    return kept != NULL && strcmp(cm_json_str_or(kept, "what", ""), "renewal") != 0 &&
           cm_json_time(kept, "at", 0) + RENEW_AFTER_MS > cm_now_ms();
}

static int64_t stored_version(const struct fleet *fleet)
{
    CM_AUTO_JSON body = cs_get_body(fleet->store, "trust:root");
    return cm_json_int(body, "version", 0);
}

/* The agent may be ahead of the store (killed between signing and storing) or behind it (killed
 * between storing and pinning).  Only the manager, whose document it is, puts it into the store;
 * elsewhere the store gets it from upstream, with the manager's revision.  Who the manager is says
 * the agent's version: a former one that was killed here still holds the one that made it that. */
static void on_agent_trust(void *arg, const json_t *reply, const struct cm_err *err)
{
    struct fleet *fleet = arg;
    struct cm_err why = CM_ERR_INIT;
    const json_t *document = cm_json_obj(reply, "document");
    int64_t version = cm_json_int(document, "version", 0);
    if (err != NULL)
        cm_log_err(CM_LOG_WARN, "fleet", err);
    else if (version > kf_trust_version(fleet->trust) && fleet_leads(fleet, document))
        fleet_store_trust(fleet, document, on_stored, NULL);
    else if (version > kf_trust_version(fleet->trust) && fleet_adopt(fleet, document, &why) != 0)
        cm_log_err(CM_LOG_WARN, "fleet", &why);
    else if (version < kf_trust_version(fleet->trust))
        fleet_tell_agent(fleet, version, on_agent_told);
    else if (fleet_is_manager(fleet) && stored_version(fleet) < version)
        fleet_store_trust(fleet, document, on_stored, NULL); /* promoted, and killed before this */
    else if (cm_json_bool(reply, "keys_wait", false))
        fleet_tell_agent(fleet, version - 1, on_agent_told); /* killed before it used new keys */
    cm_err_fini(&why);
}

static void look(void *arg)
{
    struct fleet *fleet = arg;
    int64_t made = kf_trust_expires_ms(fleet->trust) - TRUST_LIFE_MS;
    cm_timer_start(fleet->renewal, RENEW_LOOK_MS);
    fleet->agent.call(fleet->agent.arg, json_pack("{s:s}", "op", "trust.get"), on_agent_trust,
                      fleet);
    if (fleet_is_manager(fleet) && !fleet->held && made + RENEW_AFTER_MS <= cm_now_ms() &&
        !person_waits(fleet))
        fleet->agent.call(fleet->agent.arg, json_pack("{s:s}", "op", "trust.renew"), on_renewed,
                          fleet);
}

/* ---- life ---- */

void fleet_set_hold(struct fleet *fleet, bool held)
{
    fleet->held = held;
}

int fleet_new(const struct fleet_opts *opts, struct fleet **ret, struct cm_err *err)
{
    struct fleet *fleet = cm_calloc(1, sizeof(*fleet));
    fleet->loop = opts->loop;
    fleet->agent = opts->agent;
    int rv = cm_strcpy(fleet->self, sizeof(fleet->self), opts->self);
    if (rv == 0)
        rv = kf_trust_parse(opts->trust, &fleet->trust, err);
    if (rv == 0 && kf_trust_server(fleet->trust, fleet->self) == NULL)
        rv = cm_fail(err, CM_EDENIED, "the trust root does not know a server named \"%s\"",
                     fleet->self);
    if (rv != 0) {
        fleet_free(fleet);
        return cm_wrap(err, rv, "this server's place in the fleet cannot be read");
    }
    *ret = fleet;
    return 0;
}

void fleet_free(struct fleet *fleet)
{
    if (fleet == NULL)
        return;
    fleet_proofs_close(fleet);
    cm_timer_free(fleet->renewal);
    cm_timer_free(fleet->hunger);
    cm_timer_free(fleet->rejudging);
    kf_trust_free(fleet->trust);
    cm_free(fleet);
}

void fleet_attach(struct fleet *fleet, struct cs_store *store, cm_fn on_change, void *arg)
{
    fleet->store = store;
    fleet->on_change = on_change;
    fleet->change_arg = arg;
    fleet->renewal = cm_timer_new(fleet->loop, look, fleet);
    cm_timer_start(fleet->renewal, 0);
    fleet_rejudge_open(fleet);
    cs_listen(store, on_document, fleet);
    follow(fleet);
    fleet_starved_open(fleet);
}
