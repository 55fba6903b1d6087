/* The alarm about a key agent that hung.  See agent_alarm.h. */
#include "certmgr/agent_alarm.h"

#include "base/core/json.h"
#include "base/core/mem.h"
#include "certmgr/fleet/alarm.h"

struct agent_alarm {
    struct cs_store *store;
    struct cm_timer *timer;
    const char *self;
};

static void on_over(void *arg)
{
    struct agent_alarm *alarm = arg;
    fleet_alarm_clear(alarm->store, AGENT_ALARM);
}

struct agent_alarm *agent_alarm_new(struct cm_loop *loop, struct cs_store *store, const char *self)
{
    struct agent_alarm *alarm = cm_calloc(1, sizeof(*alarm));
    CM_AUTO_JSON before = cs_kv_get(store, "state", AGENT_ALARM);
    *alarm = (struct agent_alarm){.store = store, .self = self};
    alarm->timer = cm_timer_new(loop, on_over, alarm);
    if (before)
        cm_timer_start(alarm->timer, AGENT_ALARM_SHOWN_MS);
    return alarm;
}

void agent_alarm_free(struct agent_alarm *alarm)
{
    if (!alarm)
        return;
    cm_timer_free(alarm->timer);
    cm_free(alarm);
}

void agent_alarm_raise(struct agent_alarm *alarm, int64_t ms, bool working)
{
    if (!alarm)
        return;
    CM_AUTO_STR where = cm_asprintf("server %s", alarm->self);
    CM_AUTO_STR what =
        working ? cm_asprintf("It was at one request for %d s and was ended", (int)(ms / 1000))
                : cm_asprintf("It did not answer for %d s and was ended", (int)(ms / 1000));
    fleet_alarm_raise(
        alarm->store,
        &(struct fleet_alarm){.key = AGENT_ALARM,
                              .kind = "agent_hung",
                              .title = "The key agent hung and was replaced",
                              .where = where,
                              .what = what,
                              .hint = "Its requests went to the next one: nothing is lost. If it "
                                      "hangs again, look at the log of certmgr and at the load and "
                                      "the disks of this machine"});
    cm_timer_start(alarm->timer, AGENT_ALARM_SHOWN_MS);
}
