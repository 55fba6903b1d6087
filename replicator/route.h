/*
 * Where a replication request goes: database, document or verb, query parameters.  Pure.
 *
 * Read from the raw target, because in "/db/a%2Fb" the escaped slash belongs to the document id,
 * while "_design/x" and "_local/x" keep their first slash (reference/replication.md 2).
 */
#pragma once

#include "base/core/err.h"
#include "base/net/http_parse.h"

enum rp_place {
    RP_AT_ROOT,        /* "/" */
    RP_AT_DB,          /* "/db" or "/db/" */
    RP_AT_VERB,        /* "/db/_changes": name = "_changes" */
    RP_AT_DOC,         /* "/db/ID", "/db/_design/x": name = the id */
    RP_AT_LOCAL,       /* "/db/_local/x": name = "x" */
    RP_AT_ATTACHMENT,  /* "/db/ID/NAME" and whatever else lies below a document */
    RP_AT_BELOW_LOCAL, /* "/db/_local/x/y": name = "x" */
};

struct rp_pair {
    char *name, *value;
};

struct rp_route {
    enum rp_place place;
    char *db, *name; /* decoded; "" when absent */
    struct rp_pair query[HTTP_QUERY_MAX];
    size_t query_count;
};

/* Splits and decodes a request target.  Returns 0 or CM_EMALF/CM_ELIMIT; rp_route_fini() in any
 * case. */
int rp_route_parse(const char *target, struct rp_route *ret, struct cm_err *err);
void rp_route_fini(struct rp_route *route);

/* Value of a query parameter, NULL when absent; the last one wins. */
const char *rp_query(const struct rp_route *route, const char *name);
bool rp_query_true(const struct rp_route *route, const char *name);
/* Reads how many of something a client wants: decimal, not negative, as large as it likes (beyond
 * INT64_MAX it is that). */
bool rp_count(const char *text, int64_t *ret);
