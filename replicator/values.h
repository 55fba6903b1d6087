/*
 * How many JSON values a text may have, before it is parsed: a byte or two can become an object of
 * hundreds of bytes, so that a body within its limit would fill the memory.  Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* More than 8 MiB of revisions have; a document of 256 KiB has fewer by far. */
#define RP_VALUES_MAX 400000

/* Commas and opening brackets bound the number of values; those within strings count, too. */
bool rp_values_ok(const char *text, size_t len);
