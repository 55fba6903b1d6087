/*
 * The revision tree of one document: a flat table of nodes, each with its parent's index.
 *
 * Pure: no store, no JSON.  A document is a forest (several roots after stemming or unrelated
 * inserts); a parent is always one generation older, so there are no cycles.  Judged by the
 * answers of a real CouchDB in tests/data/revtree.jsonl.
 */
#pragma once

#include "base/core/buf.h"
#include "certstore/rev.h"

#define CS_NO_NODE        UINT32_MAX
#define CS_TREE_NODES_MAX 65536u     /* beyond, a merge is refused */
#define CS_TREE_BYTES_MAX (8u << 20) /* encoded */

enum cs_node_flag {
    CS_NODE_DELETED = 1, /* a tombstone */
    CS_NODE_BODY = 2,    /* its body is stored */
    CS_NODE_VALID = 4,   /* the verify port accepted it */
};

struct cs_node {
    struct cs_rev rev;
    uint32_t parent; /* index or CS_NO_NODE */
    uint8_t flags;
    int64_t serial; /* of the body; 0 for nodes known only by name */
    int64_t seq;    /* update sequence at which it arrived; 0 for nodes known only by name */
};

struct cs_tree {
    struct cs_node *node;
    size_t count, size;
    struct cs_rev *dropped; /* bodies to remove: revisions taken out by stem, cut or forget */
    size_t dropped_count, dropped_size;
};

#define CS_TREE_INIT ((struct cs_tree){0})
void cs_tree_fini(struct cs_tree *tree);

/* What a merge did (bits). */
enum cs_merge {
    CS_MERGE_NEW = 1,    /* the newest revision was not known */
    CS_MERGE_FILLED = 2, /* it was known by name only, and now has its flags */
    CS_MERGE_LINKED = 4, /* an older revision or a parent link was learnt */
};

/* Merges the path (newest first, generations falling by one) of a revision that arrives with its
 * body.  *ret_node: its index.  Returns enum cs_merge bits, or CM_ELIMIT. */
int cs_tree_merge(struct cs_tree *tree, const struct cs_rev *path, size_t len, bool deleted,
                  uint32_t *ret_node);
/* Forgets nodes that are limit or more steps above every leaf.  Indexes change. */
void cs_tree_stem(struct cs_tree *tree, size_t limit);
/* Takes a leaf out, with its ancestors that no other leaf has.  Indexes change. */
void cs_tree_cut(struct cs_tree *tree, uint32_t leaf);
/* Clears CS_NODE_BODY of every node that is not a leaf. */
void cs_tree_forget(struct cs_tree *tree);

/* Indexes of the leaves, winner first: live before deleted, then higher revision.  The array is
 * owned by the caller (cm_free).  Returns how many. */
size_t cs_tree_leaves(const struct cs_tree *tree, uint32_t **ret);
/* CS_NO_NODE when unknown. */
uint32_t cs_tree_find(const struct cs_tree *tree, const struct cs_rev *rev);
/* The valid leaf with the highest serial (among equals the first in winner order), or
 * CS_NO_NODE. */
uint32_t cs_tree_effective(const struct cs_tree *tree, const uint32_t *leaf, size_t leaf_count);
/* Is `node` the same as, or below, `above`? */
bool cs_tree_descends(const struct cs_tree *tree, uint32_t node, uint32_t above);

/* Compact bytes (docs/store-format.md) and back; the decoder trusts nothing. */
int cs_tree_encode(const struct cs_tree *tree, struct cm_buf *out);
int cs_tree_decode(const uint8_t *data, size_t len, struct cs_tree *ret);
