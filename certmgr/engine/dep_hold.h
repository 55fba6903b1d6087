/*
 * Certificates that are not in force yet: a keyfile: document says from when on it is served
 * (`serve_from`, activation.h), and until then this server keeps what it has.
 *
 * The time is the manager's.  A server whose clock is behind waits no longer than the manager
 * wanted to when it signed the document, counted from when it was first seen here; one whose clock
 * is ahead serves it sooner by as much.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

/* 0 = deploy it now, else the wall clock to look again at.  holds: {ulid: …}, kept by the caller
 * for as long as it runs; mono_ms: a clock that nobody sets. */
int64_t dep_hold(json_t *holds, const char *ulid, const json_t *keyfile, int64_t now_ms,
                 int64_t mono_ms);
