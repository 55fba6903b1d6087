/* UTF-8 well-formedness (RFC 3629): jansson and people get nothing else. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Length 1..4 of the well-formed sequence at text[0..len), or 0 when there is none. */
size_t cm_utf8_seq(const char *text, size_t len);
bool cm_utf8_ok(const char *text, size_t len);
/* Replaces every byte that is not part of a well-formed sequence by '?', in place. */
void cm_utf8_fix(char *text);
/* Shortens a text that was cut at a byte limit to whole characters, in place. */
void cm_utf8_trim(char *text);
