/*
 * DNS provider recipes: declarative JSON documents (docs/dns-providers.md) that describe how one
 * provider's HTTP API adds and removes TXT values.  No code, no expressions: pointers (RFC 6901),
 * equality and templates.
 */
#pragma once

#include "certmgr/dns/provider.h"

#define RCP_BYTES_MAX (128u << 10) /* of one recipe's text */

/* Proves a recipe offline: its schema, that every placeholder is known in its step, that the mode's
 * steps are there, and every recorded exchange of tests[] (requests compared, replies played back).
 * trace: a line per test; may be NULL.  Returns 0, or CM_EINVAL naming the place (JSON pointer). */
int dnsp_lint(const json_t *recipe, dnsp_trace_fn trace, void *arg, struct cm_err *err);
