/*
 * Kind "manual": a person writes the record.
 *
 * Nothing is sent.  The call ends well at once with the record {"manual": true}; the engine shows
 * what is to be written and looks at the DNS before it goes on, so a forgotten record is found
 * there.
 */
#include "certmgr/dns/provider.h"

static void *manual_add(struct dnsp_call *call)
{
    dnsp_trace(call, "by hand: add TXT %s \"%s\"", call->fqdn, call->value);
    dnsp_finish(call, json_pack("{s:b}", "manual", 1), NULL);
    return NULL;
}

static void *manual_delete(struct dnsp_call *call)
{
    dnsp_trace(call, "by hand: remove TXT %s \"%s\"", call->fqdn, call->value);
    dnsp_finish(call, NULL, NULL);
    return NULL;
}

const struct dnsp_kind dnsp_manual = {
    .name = "manual",
    .title = "By hand",
    .add = manual_add,
    .del = manual_delete,
};
