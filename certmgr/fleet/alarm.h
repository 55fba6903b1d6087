/*
 * What people must hear of from the fleet: rows of the local table "state" under "alarm/…", which
 * become notices on the manager (certmgr/notify/rules_fleet.c).  The engine's own are in the same
 * form (certmgr/engine/former_alarm.h), with a path of their own, causes and the next attempt.
 */
#pragma once

#include "certstore/store.h"

#define FLEET_ALARMS "alarm/"

struct fleet_alarm {
    const char *key;  /* "alarm/…" */
    const char *kind; /* of docs/notices.md */
    int level;        /* 1 to 4 as in certmgr/notify/rules.h; 0 = 1 */
    const char *title, *where, *what, *hint;
};
/* Raises it, or tells anew what it says; the time of the first one stays. */
void fleet_alarm_raise(struct cs_store *store, const struct fleet_alarm *alarm);
void fleet_alarm_clear(struct cs_store *store, const char *key);
/* [{kind, level, title, where, what, hint, since}] (owned). */
json_t *fleet_alarms(struct cs_store *store);
