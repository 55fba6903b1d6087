/* Entity tags in conditional requests (RFC 9110 8.8.3, 13.1). */
#pragma once

#include <stdbool.h>

/* Is the tag (with its quotes) in a list such as `"a", W/"b"` or `*`?  weak: W/ makes no
 * difference.  What stands behind something that is no tag is not believed. */
bool http_etag_listed(const char *list, const char *etag, bool weak);
