/*
 * A fleet of two for the benchmark of replication, kept in one directory: the manager "source" with
 * its sign key, the server "target", TLS identities, trust:root, and signed documents of about
 * 4 KB.
 */
#pragma once

#include <jansson.h>

#include "base/core/bytes.h"
#include "keyfile/identity.h"

struct bench_fleet {
    const char *dir;
    json_t *trust;
    struct kf_identity source;
};

/* Makes the fleet in dir when there is none, and loads it. */
int bench_fleet_open(const char *dir, struct bench_fleet *ret, struct cm_err *err);
void bench_fleet_close(struct bench_fleet *fleet);
/* "DIR/source-tls.crt" and so on (cm_free). */
char *bench_path(const struct bench_fleet *fleet, const char *name);

/* An issued credential of about 4,050 bytes with a fresh id, signed by "source"; number makes its
 * names and dates differ.  ulid NULL = a fresh one. */
int bench_document(const struct bench_fleet *fleet, int64_t number, int64_t serial,
                   const char *ulid, json_t **ret, struct cm_err *err);
