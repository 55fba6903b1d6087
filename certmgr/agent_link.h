/*
 * The front's end of the key agent's channel: implements kf_agent (keyfile/port.h).
 *
 * Requests made while the agent is away wait; those it had when it died are sent again (every verb
 * is idempotent), at most AGENT_LINK_RESENDS times, so that a poisonous request cannot keep killing
 * it.
 *
 * An agent that takes requests and says nothing is told from a busy one by a greeting that any
 * living agent answers at once, whatever keys its worker makes: each byte it says counts.  Calls
 * that waited as long as it has been silent fail with CM_EBUSY, transient, as if it were away;
 * whoever made them asks again, and what it answers later is dropped.  Silent for much longer, it
 * is reported as hung.
 *
 * Keys are made by the agent's worker while its loop goes on talking: the greeting's answer says
 * for how long the worker has been at one request, and a worker that never comes back is reported,
 * too.
 */
#pragma once

#include "base/net/loop.h"
#include "keyfile/port.h"

#define AGENT_LINK_PENDING_MAX 8192
#define AGENT_LINK_RESENDS     2
#define AGENT_LINK_PING_MS     5000  /* of silence, then it is greeted */
#define AGENT_LINK_SILENT_MS   15000 /* of silence, then calls fail */
#define AGENT_LINK_HUNG_MS     60000 /* of silence, then it is reported, each time so long */
#define AGENT_LINK_GREET_MS    90000 /* instead of _SILENT_MS until it said its first word */
#define AGENT_LINK_ASK_MS      30000 /* that calls wait, and between two questions for the worker */
#define AGENT_LINK_WORK_MS     300000 /* at one request, then it is reported; before _TIMEOUT_MS */
#define AGENT_LINK_TIMEOUT_MS  600000 /* of one call, while the agent answers others */
/* Time that passes between two looks counts only so far: it was we who did not run. */
#define AGENT_LINK_GAP_MAX_MS 5000

struct agent_link;
struct agent_link *agent_link_new(struct cm_loop *loop);
void agent_link_free(struct agent_link *link); /* pending calls get CM_ECLOSED */
/* A new channel (takes fd); the old one is closed. */
void agent_link_connect(struct agent_link *link, int take_fd);
bool agent_link_connected(const struct agent_link *link);
/* Connected, and not silent for AGENT_LINK_SILENT_MS while something waits for it. */
bool agent_link_answers(const struct agent_link *link);
/* Called when a connected agent was silent for AGENT_LINK_HUNG_MS (and again after as long), or its
 * worker has been at one request for AGENT_LINK_WORK_MS (working): it should be ended; its calls
 * wait for the next one. */
typedef void (*agent_hung_fn)(void *arg, int64_t ms, bool working);
void agent_link_on_hung(struct agent_link *link, agent_hung_fn hung, void *arg);
struct kf_agent agent_link_port(struct agent_link *link);
