/*
 * Changes of the trust root: the agent signs them, here they reach the store; where several servers
 * have to sign, the proposal is kept until the others did (docs/backup.md).
 */
#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "base/core/step.h"
#include "certmgr/fleet/fleet_internal.h"

#include <string.h>

#define PROPOSAL_KEY "trust_proposal"

/* ---- a signed trust root into the store ---- */

struct storing {
    struct fleet *fleet;
    json_t *document;
    fleet_done_fn done;
    void *arg;
};

static void on_committed(void *arg, int code, const struct cm_err *err)
{
    struct storing *s = arg;
    struct cm_err why = CM_ERR_INIT;
    cm_step("trust.committed");
    if (code == 0 && fleet_adopt(s->fleet, s->document, &why) != 0)
        err = &why;
    cm_step("trust.adopted");
    s->done(s->arg, code == 0 && why.code == 0 ? NULL : err);
    cm_err_fini(&why);
    json_decref(s->document);
    cm_free(s);
}

void fleet_store_trust(struct fleet *fleet, const json_t *document, fleet_done_fn done, void *arg)
{
    struct cm_err err = CM_ERR_INIT;
    struct cs_result result;
    CM_AUTO_JSON stored = cs_get_body(fleet->store, "trust:root");
    cm_step("trust.put");
    int rv = document == NULL ? cm_fail(&err, CM_EPEER, "the key agent returned no trust root") : 0;
    if (rv == 0 && (stored == NULL || !json_equal(stored, document)))
        rv = cs_put(fleet->store, document, &result, &err);
    if (rv != 0) {
        cm_wrap(&err, rv, "the new trust root cannot be stored");
        done(arg, &err);
        cm_err_fini(&err);
        return;
    }
    struct storing *s = cm_calloc(1, sizeof(*s));
    *s = (struct storing){
        .fleet = fleet, .done = done, .arg = arg, .document = json_deep_copy(document)};
    cs_after_commit(fleet->store, on_committed, s);
}

/* A version of the trust root made from an old one would fork it. */
bool fleet_refuses_held(const struct fleet *fleet, struct cm_err *err)
{
    if (!fleet->held)
        return false;
    cm_fail(err, CM_EBUSY, "this manager was restored and is on hold: the fleet does not change");
    cm_err_hint(err, "Wait until the servers answered, or run \"certmgr hold release\".");
    return true;
}

/* ---- proposals ---- */

json_t *fleet_proposal(const struct fleet *fleet)
{
    json_t *kept = cs_kv_get(fleet->store, "state", PROPOSAL_KEY);
    const json_t *document = cm_json_obj(kept, "document");
    if (kept != NULL && cm_json_int(document, "version", 0) <= kf_trust_version(fleet->trust))
        cm_json_free(&kept); /* applied, or overtaken */
    return kept;
}

bool fleet_keep_proposal(struct fleet *fleet, const char *what, const json_t *reply,
                         struct cm_err *err)
{
    json_t *proposal = cm_json_obj(reply, "proposal");
    if (proposal == NULL)
        return false;
    CM_AUTO_JSON kept = json_object();
    cm_json_set_str(kept, "what", what);
    cm_json_set_time(kept, "at", cm_now_ms());
    cm_json_set_int(kept, "have", cm_json_int(reply, "have", 0));
    cm_json_set_int(kept, "need", cm_json_int(reply, "need", 0));
    cm_json_set(kept, "document", json_deep_copy(proposal));
    if (cs_kv_put(fleet->store, "state", PROPOSAL_KEY, kept, err) < 0)
        return true;
    cm_fail(err, CM_EBUSY, "%lld of %lld root signers have signed (%s): the change is proposed",
            (long long)cm_json_int(kept, "have", 0), (long long)cm_json_int(kept, "need", 0), what);
    cm_err_hint(err, "Save it with \"certmgr trust propose FILE\", take the file to another root "
                     "signer and run there: certmgr trust sign FILE");
    err->retry = CM_RETRY_CONFIGURATION;
    return true;
}

struct proposed {
    struct cm_err err;
    fleet_done_fn done;
    void *arg;
};

static void on_proposed(void *arg, int code, const struct cm_err *err)
{
    struct proposed *p = arg;
    cm_step("proposal.kept");
    p->done(p->arg, code == 0 ? &p->err : err);
    cm_err_fini(&p->err);
    cm_free(p);
}

void fleet_say_proposed(struct fleet *fleet, const struct cm_err *open, fleet_done_fn done,
                        void *arg)
{
    struct proposed *p = cm_calloc(1, sizeof(*p));
    *p = (struct proposed){.done = done, .arg = arg};
    cm_err_copy(&p->err, open);
    cs_after_commit(fleet->store, on_proposed, p);
}

/* ---- changes ---- */

struct changing {
    struct fleet *fleet;
    const char *what;
    fleet_done_fn done;
    void *arg;
};

static void on_changed(void *arg, const json_t *reply, const struct cm_err *err)
{
    struct changing *c = arg;
    struct cm_err open = CM_ERR_INIT;
    if (err == NULL && fleet_keep_proposal(c->fleet, c->what, reply, &open))
        fleet_say_proposed(c->fleet, &open, c->done, c->arg);
    else if (err != NULL)
        c->done(c->arg, err);
    else
        fleet_store_trust(c->fleet, cm_json_obj(reply, "document"), c->done, c->arg);
    cm_err_fini(&open);
    cm_free(c);
}

static void change_trust(struct fleet *fleet, const char *what, json_t *take_request,
                         fleet_done_fn done, void *arg)
{
    struct cm_err held = CM_ERR_INIT;
    if (fleet_refuses_held(fleet, &held)) {
        done(arg, &held);
        cm_err_fini(&held);
        json_decref(take_request);
        return;
    }
    struct changing *c = cm_calloc(1, sizeof(*c));
    *c = (struct changing){.fleet = fleet, .what = what, .done = done, .arg = arg};
    fleet->agent.call(fleet->agent.arg, take_request, on_changed, c);
}

static json_t *verb(const char *op)
{
    json_t *request = json_object();
    cm_json_set_str(request, "op", op);
    return request;
}

void fleet_remove(struct fleet *fleet, const char *name, fleet_done_fn done, void *arg)
{
    json_t *request = verb("trust.remove");
    cm_json_set_str(request, "name", name);
    change_trust(fleet, "a server is removed", request, done, arg);
}

void fleet_recovery(struct fleet *fleet, const char *spki, fleet_done_fn done, void *arg)
{
    json_t *request = verb("trust.recovery");
    cm_json_set_str(request, "recovery", spki);
    change_trust(fleet, "another recovery key", request, done, arg);
}

void fleet_set_role(struct fleet *fleet, const struct fleet_role *role, fleet_done_fn done,
                    void *arg)
{
    json_t *request = verb("trust.role");
    cm_json_set_str(request, "name", role->name);
    cm_json_set_str(request, "role", role->standby ? "standby" : "server");
    cm_json_set_str(request, "url", role->url);
    cm_json_set_str(request, "ui_url", role->ui_url);
    change_trust(fleet, "another role", request, done, arg);
}

void fleet_promote(struct fleet *fleet, bool lost, const char *url, const char *ui_url,
                   fleet_done_fn done, void *arg)
{
    json_t *request = verb("trust.promote");
    cm_json_set_bool(request, "lost", lost);
    cm_json_set_str(request, "url", url);
    cm_json_set_str(request, "ui_url", ui_url);
    change_trust(fleet, "another manager", request, done, arg);
}

void fleet_threshold(struct fleet *fleet, int64_t threshold, const json_t *signers,
                     fleet_done_fn done, void *arg)
{
    json_t *request = verb("trust.threshold");
    cm_json_set_int(request, "threshold", threshold);
    cm_json_set(request, "signers", signers ? json_deep_copy(signers) : json_array());
    change_trust(fleet, "other root signers", request, done, arg);
}

/* ---- what others signed ---- */

struct taking {
    struct fleet *fleet;
    json_t *document;
    fleet_done_fn done;
    void *arg;
};

static void taken(struct taking *t, const struct cm_err *err)
{
    t->done(t->arg, err);
    json_decref(t->document);
    cm_free(t);
}

bool fleet_leads(const struct fleet *fleet, const json_t *document)
{
    struct kf_trust *trust = NULL;
    const struct kf_server *self = NULL;
    if (kf_trust_parse(document, &trust, NULL) == 0)
        self = kf_trust_server(trust, fleet->self);
    bool leads = self != NULL && self->manager && self->state == KF_ACTIVE;
    kf_trust_free(trust);
    return leads;
}

/* The manager's store is where the others get it from; elsewhere the store waits for its upstream
 * (with the manager's revision), and this process follows at once. */
static void on_pinned(void *arg, const json_t *reply, const struct cm_err *err)
{
    struct taking *t = arg;
    struct fleet *fleet = t->fleet;
    struct cm_err why = CM_ERR_INIT;
    (void)reply;
    cm_step("trust.taken");
    if (err == NULL && fleet_leads(fleet, t->document)) {
        fleet_store_trust(fleet, t->document, t->done, t->arg);
        json_decref(t->document);
        cm_free(t);
        return;
    }
    if (err == NULL)
        (void)fleet_adopt(fleet, t->document, &why); /* told by why */
    if (err == NULL && why.code != 0)
        err = &why;
    taken(t, err);
    cm_err_fini(&why);
}

void fleet_take(struct fleet *fleet, const json_t *document, fleet_done_fn done, void *arg)
{
    struct taking *t = cm_calloc(1, sizeof(*t));
    *t = (struct taking){.fleet = fleet, .done = done, .arg = arg};
    t->document = json_deep_copy(document);
    json_object_del(t->document, "_rev");
    if (cm_json_int(t->document, "version", 0) <= kf_trust_version(fleet->trust)) {
        taken(t, NULL);
        return;
    }
    json_t *request = verb("trust.update");
    cm_json_set(request, "document", json_deep_copy(t->document));
    fleet->agent.call(fleet->agent.arg, request, on_pinned, t);
}

static void on_cosigned(void *arg, const json_t *reply, const struct cm_err *err)
{
    struct taking *t = arg;
    struct cm_err open = CM_ERR_INIT;
    if (err == NULL && fleet_keep_proposal(t->fleet, "signed here", reply, &open)) {
        fleet_say_proposed(t->fleet, &open, t->done, t->arg);
        json_decref(t->document);
        cm_free(t);
    } else if (err != NULL) {
        taken(t, err);
    } else {
        json_decref(t->document);
        t->document = json_deep_copy(cm_json_obj(reply, "document"));
        on_pinned(t, reply, NULL);
    }
    cm_err_fini(&open);
}

void fleet_cosign(struct fleet *fleet, const json_t *document, bool renewal, fleet_done_fn done,
                  void *arg)
{
    struct cm_err held = CM_ERR_INIT;
    if (fleet_refuses_held(fleet, &held)) {
        done(arg, &held);
        cm_err_fini(&held);
        return;
    }
    struct taking *t = cm_calloc(1, sizeof(*t));
    *t = (struct taking){.fleet = fleet, .done = done, .arg = arg};
    json_t *request = verb("trust.sign");
    cm_json_set(request, "document", json_deep_copy(document));
    if (renewal)
        cm_json_set_bool(request, "renewal", true);
    fleet->agent.call(fleet->agent.arg, request, on_cosigned, t);
}
