/* Merging, stemming and ordering of revision trees. */
#include "certstore/revtree.h"

#include <stdlib.h>
#include <string.h>

#include "base/core/mem.h"

void cs_tree_fini(struct cs_tree *tree)
{
    cm_free(tree->node);
    cm_free(tree->dropped);
    *tree = CS_TREE_INIT;
}

uint32_t cs_tree_find(const struct cs_tree *tree, const struct cs_rev *rev)
{
    for (size_t i = 0; i < tree->count; i++)
        if (cs_rev_eq(&tree->node[i].rev, rev))
            return (uint32_t)i;
    return CS_NO_NODE;
}

static uint32_t add_node(struct cs_tree *tree, const struct cs_rev *rev)
{
    if (tree->count == tree->size) {
        tree->size = tree->size ? tree->size * 2 : 8;
        tree->node = cm_realloc(tree->node, tree->size * sizeof(*tree->node));
    }
    tree->node[tree->count] = (struct cs_node){.rev = *rev, .parent = CS_NO_NODE};
    return (uint32_t)tree->count++;
}

/* Among the nodes that were there before the path: within it no revision occurs twice. */
static uint32_t find_known(const struct cs_tree *tree, size_t before, const struct cs_rev *rev)
{
    for (size_t i = 0; i < before; i++)
        if (cs_rev_eq(&tree->node[i].rev, rev))
            return (uint32_t)i;
    return CS_NO_NODE;
}

int cs_tree_merge(struct cs_tree *tree, const struct cs_rev *path, size_t len, bool deleted,
                  uint32_t *ret_node)
{
    size_t before = tree->count;
    uint32_t younger = CS_NO_NODE;
    int did = 0;
    if (len > CS_TREE_NODES_MAX || before + len > CS_TREE_NODES_MAX)
        return CM_ELIMIT;
    /* The whole path: a root that stemming left further up may get its ancestors only now. */
    for (size_t i = 0; i < len; i++) {
        uint32_t parent = younger == CS_NO_NODE ? CS_NO_NODE : tree->node[younger].parent;
        /* Another parent than the one that is known: who made that up does not leave us ancestors
         * that nobody descends from, leaves without a body. */
        if (parent != CS_NO_NODE && !cs_rev_eq(&tree->node[parent].rev, &path[i]))
            break;
        uint32_t at = parent != CS_NO_NODE ? parent : find_known(tree, before, &path[i]);
        if (at == CS_NO_NODE) {
            at = add_node(tree, &path[i]);
            did |= i == 0 ? CS_MERGE_NEW : CS_MERGE_LINKED;
        }
        struct cs_node *node = &tree->node[at];
        if (i == 0) {
            *ret_node = at;
            if ((node->flags & CS_NODE_BODY) == 0) {
                if ((did & CS_MERGE_NEW) == 0)
                    did |= CS_MERGE_FILLED;
                node->flags = (uint8_t)(CS_NODE_BODY | (deleted ? CS_NODE_DELETED : 0));
            }
        } else if (parent == CS_NO_NODE) {
            tree->node[younger].parent = at;
            did |= CS_MERGE_LINKED;
        }
        younger = at;
    }
    return did;
}

/* One byte per node: does it have a child? */
static uint8_t *child_map(const struct cs_tree *tree)
{
    uint8_t *has_child = cm_calloc(tree->count + 1, 1);
    for (size_t i = 0; i < tree->count; i++)
        if (tree->node[i].parent != CS_NO_NODE)
            has_child[tree->node[i].parent] = 1;
    return has_child;
}

static void drop_body(struct cs_tree *tree, const struct cs_node *node)
{
    if ((node->flags & CS_NODE_BODY) == 0)
        return;
    if (tree->dropped_count == tree->dropped_size) {
        tree->dropped_size = tree->dropped_size ? tree->dropped_size * 2 : 4;
        tree->dropped = cm_realloc(tree->dropped, tree->dropped_size * sizeof(*tree->dropped));
    }
    tree->dropped[tree->dropped_count++] = node->rev;
}

/* Keeps the marked nodes only; a node whose parent goes becomes a root. */
static void retain(struct cs_tree *tree, const uint8_t *keep)
{
    uint32_t *moved = cm_malloc((tree->count + 1) * sizeof(*moved));
    uint32_t count = 0;
    for (size_t i = 0; i < tree->count; i++) {
        moved[i] = keep[i] ? count++ : CS_NO_NODE;
        if (!keep[i])
            drop_body(tree, &tree->node[i]);
    }
    for (size_t i = 0; i < tree->count; i++) {
        if (!keep[i])
            continue;
        struct cs_node node = tree->node[i];
        if (node.parent != CS_NO_NODE)
            node.parent = moved[node.parent];
        tree->node[moved[i]] = node;
    }
    tree->count = count;
    cm_free(moved);
}

void cs_tree_stem(struct cs_tree *tree, size_t limit)
{
    if (tree->count <= limit)
        return; /* no path can be longer */
    uint8_t *has_child = child_map(tree);
    uint8_t *keep = cm_calloc(tree->count, 1);
    bool all = true;
    for (size_t i = 0; i < tree->count; i++) {
        if (has_child[i])
            continue;
        uint32_t at = (uint32_t)i;
        for (size_t depth = 0; at != CS_NO_NODE && depth < limit; depth++) {
            keep[at] = 1;
            at = tree->node[at].parent;
        }
    }
    for (size_t i = 0; i < tree->count && all; i++)
        all = keep[i];
    if (!all)
        retain(tree, keep);
    cm_free(keep);
    cm_free(has_child);
}

void cs_tree_cut(struct cs_tree *tree, uint32_t leaf)
{
    uint8_t *has_child = child_map(tree);
    uint8_t *keep = cm_calloc(tree->count, 1);
    for (size_t i = 0; i < tree->count; i++) {
        if (has_child[i] || i == leaf)
            continue;
        for (uint32_t at = (uint32_t)i; at != CS_NO_NODE && !keep[at]; at = tree->node[at].parent)
            keep[at] = 1;
    }
    retain(tree, keep);
    cm_free(keep);
    cm_free(has_child);
}

void cs_tree_forget(struct cs_tree *tree)
{
    uint8_t *has_child = child_map(tree);
    for (size_t i = 0; i < tree->count; i++) {
        if (!has_child[i])
            continue;
        drop_body(tree, &tree->node[i]);
        tree->node[i].flags &= (uint8_t)~CS_NODE_BODY;
    }
    cm_free(has_child);
}

/* Live before deleted, then the higher revision first. */
static int winner_order(const void *a, const void *b, void *arg)
{
    const struct cs_tree *tree = arg;
    const struct cs_node *x = &tree->node[*(const uint32_t *)a];
    const struct cs_node *y = &tree->node[*(const uint32_t *)b];
    int dead = (x->flags & CS_NODE_DELETED) - (y->flags & CS_NODE_DELETED);
    return dead != 0 ? dead : cs_rev_cmp(&y->rev, &x->rev);
}

size_t cs_tree_leaves(const struct cs_tree *tree, uint32_t **ret)
{
    uint8_t *has_child = child_map(tree);
    uint32_t *leaf = cm_malloc((tree->count + 1) * sizeof(*leaf));
    size_t count = 0;
    for (size_t i = 0; i < tree->count; i++)
        if (!has_child[i])
            leaf[count++] = (uint32_t)i;
    cm_free(has_child);
    if (count > 1)
        qsort_r(leaf, count, sizeof(*leaf), winner_order, (void *)(uintptr_t)tree);
    *ret = leaf;
    return count;
}

uint32_t cs_tree_effective(const struct cs_tree *tree, const uint32_t *leaf, size_t leaf_count)
{
    uint32_t best = CS_NO_NODE;
    for (size_t i = 0; i < leaf_count; i++) {
        const struct cs_node *node = &tree->node[leaf[i]];
        if ((node->flags & CS_NODE_VALID) == 0)
            continue;
        if (best == CS_NO_NODE || node->serial > tree->node[best].serial)
            best = leaf[i];
    }
    return best;
}

bool cs_tree_descends(const struct cs_tree *tree, uint32_t node, uint32_t above)
{
    for (uint32_t at = node; at != CS_NO_NODE; at = tree->node[at].parent)
        if (at == above)
            return true;
    return false;
}
