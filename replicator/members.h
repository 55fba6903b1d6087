/*
 * The members of a document whose names begin with "_": which of them a client may send, and of
 * what type (reference/replication.md 2.4).  Pure.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#define RP_REASON_MAX 200

/* Why a document is refused, as CouchDB says it. */
struct rp_wrong {
    int status;        /* 400, 403 */
    const char *error; /* lives for ever */
    char reason[RP_REASON_MAX];
};

/* Is something wrong with the members of a document that is to be written?  local: it is a _local
 * document, whose id stands in the URL. */
bool rp_members_wrong(const json_t *doc, bool local, struct rp_wrong *ret);
/* Is this no id of a document? */
bool rp_id_wrong(const char *id, struct rp_wrong *ret);
