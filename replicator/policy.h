/*
 * Who may read and write what over the replication routes (reference/replication.md 6, layer 2).
 *
 * Signatures decide what a document is worth; this table only keeps a peer to its direction, so
 * that a compromised server can neither fill the upstream with foreign types nor read more than
 * any server needs.
 */
#pragma once

#include <stdbool.h>

/* May a peer see this document in feeds and reads? */
bool rp_may_read(bool manager, const char *id);
/* NULL when a peer may push this document, else why not (shown to it). */
const char *rp_write_refusal(bool manager, const char *id);
