/*
 * What people hear of a former certificate that the CA does not revoke (former.h): a row of the
 * local table "state" under the key FORMER_ALARM and the credential's ULID, in the form of
 * certmgr/fleet/alarm.h, which becomes a notice.  It stays until nothing of the wish is left to do.
 */
#pragma once

#include "certmgr/engine/internal.h"

#define FORMER_ALARM "alarm/former/"

/* Of the archive: document and the error object that is in it (owned). */
json_t *eng_former_alarm_new(const json_t *row, const json_t *error, bool compromised);
/* Keeps it, told anew; the time of the first one stays.  NULL = takes it away. */
void eng_former_alarm_keep(struct engine *engine, const char *ulid, const json_t *alarm);
/* {ulid: alarm} of all that are kept (owned). */
json_t *eng_former_alarms(struct engine *engine);
