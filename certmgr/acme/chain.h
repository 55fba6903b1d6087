/*
 * The downloaded chain as text (RFC 8555 9.1): PEM CERTIFICATE blocks and nothing else.
 *
 * Only the shape is checked here; that the leaf carries our key and names is checked where the key
 * is known.
 */
#pragma once

#include "base/core/err.h"
#include <stddef.h>

#define ACME_CHAIN_MAX       (256u << 10) /* bytes */
#define ACME_CHAIN_CERTS_MAX 32

/* Refuses explanatory text, other kinds of blocks, empty or unfinished blocks, bytes outside
 * base64, and more than the limits.  Returns 0, CM_EPEER or CM_ELIMIT. */
int acme_chain_check(const char *text, size_t len, struct cm_err *err);
