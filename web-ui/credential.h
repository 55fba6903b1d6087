/*
 * View models of one credential: the engine's view with its history, its steps with their numbers,
 * and the few members that tell whether something moved.
 */
#pragma once

#include "web-ui/ctx.h"

#define HISTORY_MAX   200 /* newest requests told per credential */
#define STEP_ID_WIDTH 16

/* eng_view() and history: [{request, action, who, via, server, at}], oldest first (owned); NULL =
 * neither credential nor request exists. */
json_t *web_credential(const struct web *web, const char *ulid);
/* {status, health, next, error, not_after, fingerprint, receipts: [{server, state, fingerprint,
 * at, error}]} of such a view (owned). */
json_t *web_state(const json_t *view);
/* One request: document as shown: without signature, with its id (owned); NULL = absent. */
json_t *web_request(struct cs_store *store, const char *ulid);

/* Number of a step from the key of table "log" ("<ulid>/<16 digits>"); 0 = not one of this
 * credential. */
int64_t web_step_number(const char *key, const char *ulid);
/* A stored line as shown: {id, at, level, text, server?} (owned). */
json_t *web_step(const char *key, const json_t *line);
/* fn(arg, number, step) for each step behind number `after`, oldest first; non-zero stops. */
typedef int (*web_step_fn)(void *arg, int64_t number, const json_t *step);
void web_steps_each(struct cs_store *store, const char *ulid, int64_t after, web_step_fn fn,
                    void *arg);
