/*
 * Bodies that were parsed a moment ago, kept under id and revision: a newer revision needs no care.
 * A text that is being written comes from its writer, who has it parsed: it will be read soon.
 *
 * One document is read many times around its writing (index, scheduler, each peer); parsing costs
 * ten times what LMDB does.
 */
#include <string.h>

#include "base/core/mem.h"
#include "certstore/internal.h"

#define KEPT_MAX 16384 /* bytes of text of a body that is kept */

static struct cs_kept *slot_of(struct cs_store *store, const char *id)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (const char *at = id; *at; at++)
        hash = (hash ^ (uint8_t)*at) * 16777619u;
    return &store->kept[hash % CS_BODIES_KEPT];
}

static void slot_fini(struct cs_kept *slot)
{
    json_decref(slot->body);
    cm_free(slot->id);
    *slot = (struct cs_kept){0};
}

int cs_body_shared(struct cs_store *store, struct cs_txn *txn, const char *id,
                   const struct cs_rev *rev, json_t **ret, struct cm_err *err)
{
    struct cs_kept *slot = slot_of(store, id);
    if (slot->body && cs_rev_eq(&slot->rev, rev) && strcmp(slot->id, id) == 0) {
        *ret = json_incref(slot->body);
        return 0;
    }
    size_t len;
    int rc = cs_body_load(txn, id, rev, ret, &len, err);
    if (rc < 0 || len > KEPT_MAX)
        return rc;
    slot_fini(slot);
    *slot = (struct cs_kept){.id = cm_strdup(id), .rev = *rev, .body = json_incref(*ret)};
    return 0;
}

void cs_body_keep(struct cs_store *store, const struct cs_indoc *in, const struct cs_rev *rev)
{
    struct cs_kept *slot = slot_of(store, in->id);
    slot_fini(slot);
    if (in->text_len <= KEPT_MAX)
        *slot =
            (struct cs_kept){.id = cm_strdup(in->id), .rev = *rev, .body = json_incref(in->body)};
}

void cs_bodies_fini(struct cs_store *store)
{
    for (size_t i = 0; i < CS_BODIES_KEPT; i++)
        slot_fini(&store->kept[i]);
}
