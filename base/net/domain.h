/* Registered domains by the Public Suffix List (libpsl). */
#pragma once

#include <stdbool.h>

/* The part of a name that somebody registered: "example.co.uk" of "a.b.example.co.uk" and of
 * "*.example.co.uk".  Borrowed from inside of ascii.  An address is its own; NULL for a public
 * suffix itself.  Input: A-labels, lower case, no dot at the end. */
const char *domain_registered(const char *ascii);
/* Is this name a registry's ("com", "co.uk")?  Private suffixes of the list ("duckdns.org") and top
 * level names the list does not know ("lan") are not: their owners may hold zones of their own. */
bool domain_is_registry(const char *ascii);
