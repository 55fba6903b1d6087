/* Which class of certificate a list of names is at CAs that sell by class (reference/acme.md B7).
 */
#pragma once

#include <jansson.h>

enum billing_class { BILLING_BASIC, BILLING_WILDCARD, BILLING_PREMIUM, BILLING_MULTI };

/* names: ASCII, lower case.  Pure. */
enum billing_class billing_of(const json_t *names);
const char *billing_text(enum billing_class billing); /* "Basic", … */
