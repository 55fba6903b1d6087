/*
 * Fields of a raw reply head that ACME uses: Replay-Nonce, Location, Retry-After, Link.
 *
 * Pure functions over text; this folder sees no HTTP library.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ACME_LINKS_MAX       32                   /* links read in one reply */
#define ACME_RETRY_AFTER_MAX INT64_C(31536000000) /* ms; a longer demand is cut to one year */

/* Copies the trimmed value of the nth field `name` (any case).  False: absent, or longer than
 * size - 1.  headers may be NULL. */
bool acme_header_get(const char *headers, const char *name, unsigned nth, char *out, size_t size);
/* Retry-After in both forms (RFC 9110 10.2.3; all three date formats) as wall-clock ms, never
 * before now_ms; 0 = absent or malformed. */
int64_t acme_retry_after(const char *headers, int64_t now_ms);
/* Calls fn with the target of each link of that relation (RFC 8288), as written. */
typedef void (*acme_link_fn)(void *arg, const char *target);
void acme_link_each(const char *headers, const char *rel, acme_link_fn fn, void *arg);
