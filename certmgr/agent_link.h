/*
 * The front's end of the key agent's channel: implements kf_agent (keyfile/port.h).
 *
 * Requests made while the agent is away wait; those it had when it died are sent again (every verb
 * is idempotent), at most AGENT_LINK_RESENDS times, so that a poisonous request cannot keep killing
 * it.
 */
#pragma once

#include "base/net/loop.h"
#include "keyfile/port.h"

#define AGENT_LINK_PENDING_MAX 8192
#define AGENT_LINK_RESENDS     2
#define AGENT_LINK_TIMEOUT_MS  60000

struct agent_link;
struct agent_link *agent_link_new(struct cm_loop *loop);
void agent_link_free(struct agent_link *link); /* pending calls get CM_ECLOSED */
/* A new channel (takes fd); the old one is closed. */
void agent_link_connect(struct agent_link *link, int take_fd);
bool agent_link_connected(const struct agent_link *link);
struct kf_agent agent_link_port(struct agent_link *link);
