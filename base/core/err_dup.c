/* Copies of errors on the heap.  See err_dup.h. */
#include "base/core/err_dup.h"

#include "base/core/mem.h"

struct cm_err *cm_err_dup(const struct cm_err *src)
{
    if (!src || src->code == 0)
        return NULL;
    struct cm_err *copy = cm_malloc(sizeof(*copy));
    cm_err_copy(copy, src);
    return copy;
}

void cm_err_free(struct cm_err *err)
{
    cm_err_fini(err);
    cm_free(err);
}
