/*
 * Certificates that come with their private keys (provider "import"), and keys that leave.
 *
 * The file goes sealed from a person's command to the agent (keyfile/handover.h), which seals the
 * key for the servers with access and for managers (retained).  The certificates are judged here
 * like ones that are handed in.  Nothing renews them: people import the next one, or choose another
 * provider, which goes on with the key.
 */
#pragma once

#include "certmgr/engine/internal.h"
#include "certmgr/engine/plan.h"

bool eng_is_import(const json_t *credential);
/* Made on this manager?  Elsewhere nobody can make an import of what others are to serve. */
bool eng_import_ours(const struct engine *engine, const json_t *request);
/* A request with action "import" into the credential's body.  Notes are added to notes.  CM_EINVAL:
 * what is wrong with the certificates. */
int eng_import_take(struct engine *engine, const json_t *request, const json_t *fields,
                    json_t *body, json_t *notes, struct cm_err *err);
/* Other fields for an imported certificate, which stays; returns what became of it, for the step
 * log.  Other servers: status update_servers, then job_rewrap(). */
const char *eng_import_change(json_t *body, const json_t *fields);
/* "issued", or "expired" when its time has passed. */
const char *eng_import_status(const json_t *body);
