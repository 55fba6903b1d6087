/*
 * Frames between our own processes: 4 bytes big-endian length, then that many bytes of JSON.
 * Limit CM_FRAME_MAX; a longer or malformed frame closes the channel.
 */
#pragma once

#include "base/core/buf.h"
#include "base/core/err.h"

#define CM_FRAME_MAX (2u << 20) /* a document (256 KiB) with its envelope, twice, and room */

/* Appends the frame of msg to out.  Returns 0 or CM_ELIMIT. */
int cm_frame_encode(const json_t *msg, struct cm_buf *out);
/* Takes one complete frame from the front of `in`: 1 = *ret set (owned) and bytes consumed,
 * 0 = incomplete, negative = malformed (close the channel). */
int cm_frame_decode(struct cm_buf *in, json_t **ret, struct cm_err *err);
/* Blocking helpers for the agent and command-line tools: whole frame or error.
 * CM_ECLOSED on end of file. */
int cm_frame_write_fd(int fd, const json_t *msg, struct cm_err *err);
int cm_frame_read_fd(int fd, json_t **ret, struct cm_err *err);
