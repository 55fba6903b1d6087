/*
 * The alarm about a key agent that hung and was replaced (certmgr/agent_link.h): people hear of it
 * by a notice (docs/notices.md).  A replaced agent answers at once, so the alarm outlives the
 * trouble: it goes when no agent has hung for AGENT_ALARM_SHOWN_MS, longer than the longest pause
 * between two looks for notices.
 */
#pragma once

#include "base/net/loop.h"
#include "certstore/store.h"

#define AGENT_ALARM          "alarm/agent" /* docs/notices.md */
#define AGENT_ALARM_SHOWN_MS 7200000

struct agent_alarm;
/* self: this server's name; outlives it, as loop and store do.  An alarm of an earlier life of the
 * front stays as long as one that is raised now. */
struct agent_alarm *agent_alarm_new(struct cm_loop *loop, struct cs_store *store, const char *self);
void agent_alarm_free(struct agent_alarm *alarm);
/* Silent, or at one request (working), for so long.  alarm NULL: nothing happens. */
void agent_alarm_raise(struct agent_alarm *alarm, int64_t ms, bool working);
