/*
 * Errors that are kept for later.
 *
 * A struct cm_err is large (some four thousand bytes).  What lives long, exists in numbers and
 * seldom fails keeps a pointer to a copy instead of one inside.
 */
#pragma once

#include "base/core/err.h"

/* A deep copy on the heap; ended by cm_err_free().  NULL when src is NULL or has code 0. */
struct cm_err *cm_err_dup(const struct cm_err *src);

/* Ends a copy that cm_err_dup() made; NULL is allowed. */
void cm_err_free(struct cm_err *err);
