/* What a document of each type must look like; checked on every write of a store with policy. */
#pragma once

#include "base/core/err.h"
#include <jansson.h>

/* The type behind "type:name" of a document id, or NULL for an unknown type. */
struct cs_type {
    const char *name;
    bool down;       /* replicated from the manager to servers */
    bool up;         /* replicated from servers to the manager */
    bool by_manager; /* written by the manager; otherwise by the server that owns the name */
};
const struct cs_type *cs_type_of(const char *id);

/* Checks `_id` against `type`, member names (snake_case ASCII), members and their types, limits.
 * Tombstones need only _id, type and serial.  Returns 0 or CM_EMALF with the member's name. */
int cs_schema_check(const json_t *body, bool deleted, struct cm_err *err);
