/*
 * multipart/form-data (RFC 7578) as browsers send it when a form has a file: the only way in which
 * a page without scripts can hand a file over.
 */
#pragma once

#include <stddef.h>

#include "base/core/err.h"

#define MULTIPART_BOUNDARY_MAX 70   /* RFC 2046 5.1.1 */
#define MULTIPART_HEAD_MAX     4096 /* bytes of one part's header fields */
#define MULTIPART_NAME_MAX     64   /* bytes of a field's name */
#define MULTIPART_PARTS_MAX    64

/* One part: its name ([A-Za-z0-9_.-]) and its bytes (borrowed, not terminated, any value).  A
 * non-zero return stops and is returned. */
typedef int (*multipart_fn)(void *arg, const char *name, const char *data, size_t len);

/* Takes a whole body apart, the parts in order; content_type: the header field with its boundary.
 * CM_EMALF when it is no multipart/form-data, is cut off, or a part has no name; CM_ELIMIT. */
int multipart_each(const char *content_type, const char *body, size_t len, multipart_fn fn,
                   void *arg, struct cm_err *err);
