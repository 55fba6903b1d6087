/* Direction of documents between peers. */
#include "replicator/policy.h"

#include <stddef.h>

#include "certstore/schema.h"

bool rp_may_read(bool manager, const char *id)
{
    const struct cs_type *type = cs_type_of(id);
    return type && (manager || type->down);
}

const char *rp_write_refusal(bool manager, const char *id)
{
    const struct cs_type *type = cs_type_of(id);
    if (!type)
        return "unknown document type";
    if (!manager && !type->up)
        return "documents of this type come from a manager only";
    return NULL;
}
