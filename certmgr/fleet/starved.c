/*
 * What an expired trust root kept out comes in again; so does what a full list of refused documents
 * may have dropped before a new root made it count.
 *
 * A server without a fresh root (away for a month, or with a clock that stands wrong) refuses every
 * document, but its checkpoint goes on: the quarantine keeps a thousand of them, the rest would be
 * missing until it changes again.  So the refusals are remembered, over a restart too; once the
 * root counts again the quarantine is tried and everything is compared with the upstream anew.
 */
#include <string.h>

#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/log.h"
#include "certmgr/fleet/fleet_internal.h"

#define LOOK_MS 5000
#define TABLE   "state"
#define KEY     "starved"

static void note(struct fleet *fleet)
{
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_JSON value = json_object();
    cm_json_set_time(value, "at", cm_now_ms());
    if (fleet->starved_noted)
        return;
    if (cs_kv_put(fleet->store, TABLE, KEY, value, &err) == 0)
        fleet->starved_noted = true;
    else
        cm_log_err(CM_LOG_WARN, "fleet", &err);
    cm_err_fini(&err);
}

/* A hub shows what a new manager has signed before its trust root is here, and anybody can fill the
 * list meanwhile: what was pushed out of it has to be fetched once more. */
void fleet_starved_root(struct fleet *fleet)
{
    struct cs_stat stat;
    if (cs_stat(fleet->store, &stat, NULL) != 0 || stat.refused < CS_QUARANTINE_MAX)
        return;
    fleet->starved = true;
    note(fleet);
}

static void feed(struct fleet *fleet)
{
    struct cm_err err = CM_ERR_INIT;
    cm_log(CM_LOG_INFO, "fleet", "trust:root",
           "counts again; what was refused meanwhile is looked at once more");
    if (cs_quarantine_retry(fleet->store, &err) != 0 ||
        cs_kv_del(fleet->store, TABLE, KEY, &err) != 0) {
        cm_log_err(CM_LOG_ERROR, "fleet", &err); /* the next look tries again */
    } else {
        fleet->starved = fleet->starved_noted = false;
        if (fleet->on_fed != NULL)
            fleet->on_fed(fleet->fed_arg);
    }
    cm_err_fini(&err);
}

void fleet_starved_look(void *arg)
{
    struct fleet *fleet = arg;
    bool expired = kf_trust_expires_ms(fleet->trust) <= cm_now_ms();
    cm_timer_start(fleet->hunger, LOOK_MS);
    if (expired && !fleet->expired) {
        cm_log(CM_LOG_WARN, "fleet", "trust:root",
               "has expired: new documents are refused until a fresh one comes; look at the clock");
        cm_timer_start(fleet->renewal, 0); /* a manager makes a fresh one */
    }
    fleet->expired = expired;
    if (fleet->starved && expired)
        note(fleet);
    else if (fleet->starved && !fleet->held)
        feed(fleet);
}

/* We may have been killed before the first look: the refusals themselves are on the disk. */
static bool refused_before(const struct fleet *fleet)
{
    CM_AUTO_JSON refused = cs_quarantine(fleet->store);
    for (size_t i = 0; i < json_array_size(refused); i++)
        if (strstr(cm_json_str_or(json_array_get(refused, i), "reason", ""), FLEET_EXPIRED))
            return true;
    return false;
}

void fleet_starved_open(struct fleet *fleet)
{
    CM_AUTO_JSON noted = cs_kv_get(fleet->store, TABLE, KEY);
    fleet->starved_noted = noted != NULL;
    fleet->starved = fleet->starved_noted || refused_before(fleet);
    fleet->hunger = cm_timer_new(fleet->loop, fleet_starved_look, fleet);
    cm_timer_start(fleet->hunger, LOOK_MS);
}

void fleet_on_fed(struct fleet *fleet, cm_fn on_fed, void *arg)
{
    fleet->on_fed = on_fed;
    fleet->fed_arg = arg;
}
