/* Names that people expect in a certificate beside those they asked for. */
#pragma once

#include <jansson.h>

/* [{name, of}] (owned): the base of a wildcard, a name without its "www.", a registered domain with
 * it; only what is not among the names (ASCII, lower case) already, each once.  Pure. */
json_t *eng_companions(const json_t *names);
