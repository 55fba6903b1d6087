/*
 * When a signer leaves the trust root or comes back, what is stored is judged anew: cs_rejudge(),
 * a slice per turn of the loop, until the pass is at its end.  It was begun in the transaction that
 * made the trust root current, so a restart finds it.
 */
#include "base/core/json.h"
#include "base/core/log.h"
#include "base/core/step.h"
#include "certmgr/fleet/fleet_internal.h"

#include <string.h>

#define NEXT_MS  1     /* between two slices, so that others have their turns */
#define AGAIN_MS 60000 /* the store failed: it says so itself */

/* ---- who may sign ---- */

static bool counts(const struct kf_server *server)
{
    return server != NULL && server->state != KF_REMOVED;
}

static bool signs_with(const struct kf_server *server, const char *key)
{
    return counts(server) && kf_server_signs_with(server, key);
}

/* A manager that is one no more is no reason: its documents hold, the present one signs them. */
static bool differs(const struct kf_server *before, const struct kf_server *next)
{
    if (counts(before))
        return !signs_with(next, before->sign_id) ||
               (before->old_sign_b64 != NULL && !signs_with(next, before->old_sign_id));
    return counts(next); /* it was removed, and is back */
}

bool fleet_signers_changed(const struct kf_trust *before, const struct kf_trust *next)
{
    for (size_t i = 0; i < kf_trust_count(before); i++) {
        const struct kf_server *server = kf_trust_at(before, i);
        if (differs(server, kf_trust_server(next, server->name)))
            return true;
    }
    return false;
}

/* ---- the pass ---- */

static void step(void *arg)
{
    struct fleet *fleet = arg;
    struct cm_err err = CM_ERR_INIT;
    fleet->again = true;
    int rc = cs_rejudge(fleet->store, &err);
    fleet->again = false;
    cm_step("rejudge.slice");
    if (rc < 0)
        cm_log_err(CM_LOG_ERROR, "fleet", &err);
    if (rc != 0)
        cm_timer_start(fleet->rejudging, rc > 0 ? NEXT_MS : AGAIN_MS);
    cm_err_fini(&err);
}

void fleet_rejudge_go(struct fleet *fleet)
{
    cm_timer_start(fleet->rejudging, 0);
}

/* A store from before passes were made has decided by older roots only: one pass over it. */
void fleet_rejudge_open(struct fleet *fleet)
{
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_JSON status = cs_rejudge_status(fleet->store);
    fleet->rejudging = cm_timer_new(fleet->loop, step, fleet);
    if (status == NULL && cs_rejudge_begin(fleet->store, &err) < 0)
        cm_log_err(CM_LOG_ERROR, "fleet", &err);
    cm_timer_start(fleet->rejudging, 0);
    cm_err_fini(&err);
}
