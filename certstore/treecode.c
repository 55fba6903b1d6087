/*
 * Revision trees as bytes.  Nodes are written leaf by leaf in winner order, each followed by its
 * ancestors, so that a plain history costs one flag byte and the id per revision: generation and
 * parent follow from the node before.  Layout: docs/store-format.md.
 */
#include <string.h>

#include "base/core/mem.h"
#include "certstore/revtree.h"
#include "certstore/varint.h"

enum {
    CODE_PARENT = 0x03, /* 0 = root, 1 = the next node, 2 = its number follows */
    CODE_DELETED = 0x04,
    CODE_BODY = 0x08,
    CODE_VALID = 0x10,
    CODE_TEXT = 0x20, /* the id is text with a length byte; otherwise 16 bytes */
    CODE_META = 0x40, /* serial and sequence follow */
};
enum { PARENT_NONE, PARENT_NEXT, PARENT_NUMBER };

static void encode_node(const struct cs_node *node, bool with_gen, uint8_t parent_kind,
                        uint32_t parent, struct cm_buf *out)
{
    bool text = node->rev.len != 16;
    bool meta = node->serial != 0 || node->seq != 0;
    uint8_t code = parent_kind;
    if (node->flags & CS_NODE_DELETED)
        code |= CODE_DELETED;
    if (node->flags & CS_NODE_BODY)
        code |= CODE_BODY;
    if (node->flags & CS_NODE_VALID)
        code |= CODE_VALID;
    if (text)
        code |= CODE_TEXT;
    if (meta)
        code |= CODE_META;
    cm_buf_add(out, &code, 1);
    if (with_gen)
        cs_varint_put(out, (uint64_t)node->rev.gen);
    if (text)
        cm_buf_add(out, &node->rev.len, 1);
    cm_buf_add(out, node->rev.id, node->rev.len);
    if (meta) {
        cs_varint_put(out, (uint64_t)node->serial);
        cs_varint_put(out, (uint64_t)node->seq);
    }
    if (parent_kind == PARENT_NUMBER)
        cs_varint_put(out, parent);
}

int cs_tree_encode(const struct cs_tree *tree, struct cm_buf *out)
{
    uint32_t *leaf;
    size_t leaves = cs_tree_leaves(tree, &leaf);
    uint32_t *number = cm_malloc((tree->count + 1) * sizeof(*number));
    memset(number, 0xff, (tree->count + 1) * sizeof(*number));
    uint32_t next = 0;
    cs_varint_put(out, tree->count);
    for (size_t i = 0; i < leaves; i++) {
        bool with_gen = true;
        for (uint32_t at = leaf[i]; at != CS_NO_NODE && number[at] == CS_NO_NODE;) {
            const struct cs_node *node = &tree->node[at];
            uint32_t parent = node->parent;
            uint8_t kind = PARENT_NONE;
            if (parent != CS_NO_NODE)
                kind = number[parent] == CS_NO_NODE ? PARENT_NEXT : PARENT_NUMBER;
            encode_node(node, with_gen, kind, kind == PARENT_NUMBER ? number[parent] : 0, out);
            number[at] = next++;
            with_gen = false;
            at = parent;
        }
    }
    cm_free(number);
    cm_free(leaf);
    return out->failed ? CM_ELIMIT : 0;
}

static void decode_id(struct cs_reader *in, uint8_t code, struct cs_rev *rev)
{
    size_t len = code & CODE_TEXT ? cs_read_byte(in) : 16;
    if (len == 0 || len > CS_REVID_MAX) {
        in->bad = true;
        return;
    }
    const uint8_t *id = cs_read_bytes(in, len);
    if (!id)
        return;
    rev->len = (uint8_t)len;
    memcpy(rev->id, id, len);
}

/* gen: in: what the node before says, or 0; out: the parent's when it comes next, or 0. */
static void decode_node(struct cs_reader *in, uint32_t self, int64_t *gen, struct cs_tree *tree)
{
    struct cs_node *node = &tree->node[self];
    *node = (struct cs_node){.parent = CS_NO_NODE};
    uint8_t code = cs_read_byte(in);
    uint64_t number = *gen > 0 ? (uint64_t)*gen : cs_read_varint(in);
    if (number < 1 || number > CS_GENERATION_MAX || code & 0x80) {
        in->bad = true;
        return;
    }
    node->rev.gen = (int64_t)number;
    decode_id(in, code, &node->rev);
    node->flags =
        (uint8_t)((code & CODE_DELETED ? CS_NODE_DELETED : 0) |
                  (code & CODE_BODY ? CS_NODE_BODY : 0) | (code & CODE_VALID ? CS_NODE_VALID : 0));
    if (code & CODE_META) {
        node->serial = (int64_t)(cs_read_varint(in) & INT64_MAX);
        node->seq = (int64_t)(cs_read_varint(in) & INT64_MAX);
    }
    *gen = 0;
    switch (code & CODE_PARENT) {
    case PARENT_NONE:
        return;
    case PARENT_NEXT:
        node->parent = self + 1;
        *gen = node->rev.gen - 1;
        if (*gen < 1 || self + 1 >= tree->count)
            in->bad = true;
        return;
    case PARENT_NUMBER: {
        uint64_t parent = cs_read_varint(in);
        if (parent >= self || tree->node[parent].rev.gen != node->rev.gen - 1)
            in->bad = true;
        else
            node->parent = (uint32_t)parent;
        return;
    }
    default:
        in->bad = true;
    }
}

int cs_tree_decode(const uint8_t *data, size_t len, struct cs_tree *ret)
{
    struct cs_reader in = {.at = data, .end = data + len};
    *ret = CS_TREE_INIT;
    uint64_t count = cs_read_varint(&in);
    /* A node takes at least three bytes: a small record cannot ask for a large table. */
    if (in.bad || count == 0 || count > CS_TREE_NODES_MAX || count > len / 3 + 1)
        return CM_EMALF;
    ret->node = cm_malloc((size_t)count * sizeof(*ret->node));
    ret->count = ret->size = (size_t)count;
    int64_t gen = 0;
    for (uint32_t i = 0; i < count && !in.bad; i++)
        decode_node(&in, i, &gen, ret);
    if (in.bad || in.at != in.end) {
        cs_tree_fini(ret);
        return CM_EMALF;
    }
    return 0;
}
