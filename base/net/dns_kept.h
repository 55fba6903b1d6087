/*
 * Answers to DNS questions that may serve again for some seconds: in memory, by name, type and
 * servers asked.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define DNS_KEPT_LISTS 64 /* by name … */
#define DNS_KEPT_EACH  16 /* … with so many answers each, the newest ones */
#define DNS_KEPT_MAX   (DNS_KEPT_LISTS * DNS_KEPT_EACH)
#define DNS_KEPT_BYTES 4096 /* a longer answer is not kept */

struct dns_kept;
/* All zero to begin with. */
struct dns_keeper {
    struct dns_kept *list[DNS_KEPT_LISTS];
};

/* What was asked; names are the same in any case of letters; servers NULL = the resolver. */
struct dns_asked {
    const char *name, *servers;
    unsigned type;
};

/* Keeps a copy for ttl_s seconds in place of an older one; does nothing when ttl_s is 0. */
void dns_keep(struct dns_keeper *keeper, const struct dns_asked *asked, unsigned ttl_s,
              const uint8_t *wire, size_t len);
/* The newest answer that is younger than age_s seconds, or NULL; borrowed until the next call. */
const uint8_t *dns_kept(struct dns_keeper *keeper, const struct dns_asked *asked, unsigned age_s,
                        size_t *ret_len);
void dns_keeper_clear(struct dns_keeper *keeper);
