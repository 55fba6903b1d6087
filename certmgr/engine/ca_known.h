/*
 * Limits and CAA identities of known CAs by directory URL; an unknown CA has no row and so no
 * limits.  What a CA can do else: certmgr/acme/presets.h.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum eng_limit {
    LIMIT_ORDERS, /* new orders of an account */
    LIMIT_DOMAIN, /* certificates for a registered domain */
    LIMIT_SET,    /* certificates for exactly the same names */
    LIMIT_FAILED, /* failed validations of a name by an account */
    LIMIT_COUNT
};

/* A bucket of `count`, refilled by one every refill_ms; count 0 = no limit. */
struct eng_rate {
    unsigned count;
    int64_t refill_ms;
};

struct ca_known {
    const char *directory;
    const char *identities; /* of CAA records, separated by blanks; or NULL */
    bool one_fate;          /* taking away one name revokes the whole certificate */
    struct eng_rate rate[LIMIT_COUNT];
};

/* NULL = nothing is known of it. */
const struct ca_known *ca_known(const char *directory);
/* Tests: one more row, found first; NULL takes it away. */
void ca_known_test(const struct ca_known *row);
