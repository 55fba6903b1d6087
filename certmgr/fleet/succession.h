/*
 * What a manager has to do after the trust root changed hands: the managers' secrets are sealed for
 * who is manager or standby now, and documents that another manager (or an older key) signed are
 * signed again, so that servers which learn of them later can verify them.  Imported certificates
 * whose key somebody of them cannot open become *update_servers*: the manager's task seals it
 * again.
 *
 * One pass over the store, a slice at a time; done once for each set of recipients and sign key
 * (table "state"), begun again when it was interrupted.
 */
#pragma once

#include "certmgr/fleet/fleet.h"

#define SUCCESSION_SLICE   200   /* documents looked at in one turn */
#define SUCCESSION_OPEN    64    /* being sealed or signed at a time */
#define SUCCESSION_MS      10    /* between two slices */
#define SUCCESSION_LATE_MS 60000 /* a pass with failures is repeated */
#define SUCCESSION_SOON_MS 1000  /* so is one that the agent signed with its former key */

struct succession;
struct succession *succession_new(struct cm_loop *loop, struct cs_store *store, struct fleet *fleet,
                                  struct kf_agent agent);
/* Nothing may be open any more (tests; a front ends with its process). */
void succession_free(struct succession *succession);
/* At the start and after each new trust root; nothing happens on others than the manager. */
void succession_look(struct succession *succession);
