/*
 * Packets between supervisor and its children: one JSON object per packet on a SOCK_SEQPACKET pair,
 * with at most one descriptor (SCM_RIGHTS).
 *
 * supervisor -> front: {"op":"agent"}+fd, {"op":"listener","name"}+fd,
 * {"op":"listener.failed","name", "error"}, {"op":"hook.done","id","status","output","error"}.
 * front -> supervisor: {"op":"hook","id","target","step"}, {"op":"exec","id","name","argv","env"},
 * {"op":"agent.hung","silent_s" or "working_s"}.
 * supervisor -> agent: one byte + fd of its new channel.
 */
#pragma once

#include "base/core/err.h"
#include <jansson.h>

#define CHANNEL_PACKET_MAX 16384
#define CHANNEL_FD         3 /* where a child finds its end */

/* Sends one packet.  fd -1 = none; the descriptor is not closed.  Returns 0, CM_EBUSY (a
 * non-blocking channel is full: send it again when it is writable) or CM_ECLOSED. */
int channel_send(int channel, const json_t *packet, int fd);
/* Takes one packet: 1 = *ret (owned) and *ret_fd (-1 = none) set, 0 = nothing there (non-blocking
 * channel), negative = closed or malformed
 * (then nothing is handed out).  More descriptors than one are closed. */
int channel_recv(int channel, json_t **ret, int *ret_fd);
/* Hands the agent a new channel: one byte + descriptor. */
int channel_send_fd(int channel, int fd);
/* Waits for one descriptor (the agent's first channel).  Returns it or a negative code. */
int channel_recv_fd(int channel);
