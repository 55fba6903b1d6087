/*
 * Requests that are over: 30 days after their completion their documents go, and the manager's
 * memory of the answer with them.
 */
#pragma once

#include "certmgr/engine/internal.h"

#define OVER_DAYS        30 /* after completion, on the server where it was made */
#define OVER_OTHERS_DAYS 60 /* on the manager: that server is gone, or it would have done it */
#define OVER_SWEEP_MS    INT64_C(86400000)
#define OVER_SLICE       100 /* requests looked at in one turn … */
#define OVER_PAUSE_MS    50  /* … and the pause before the next */
