/*
 * Descriptors over Unix sockets (SCM_RIGHTS): bytes with at most one descriptor.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/* Sends len bytes in one piece.  fd -1 = none; it is not closed.  Returns 0, CM_EBUSY (a
 * non-blocking socket is full) or CM_ECLOSED. */
int cm_fd_send(int socket, const void *data, size_t len, int fd);
/* One piece.  *ret_fd: the descriptor that came along (close-on-exec), or -1; more than one are
 * closed, and all of a piece that did not fit.  Returns the number of bytes, 0 = end of file, -1 =
 * nothing there (non-blocking), -2 = broken or too large. */
ssize_t cm_fd_recv(int socket, void *data, size_t len, int *ret_fd);
