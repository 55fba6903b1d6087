/* Stored revision trees: whatever decodes is well-formed and survives another trip. */
#include "base/core/mem.h"
#include "certstore/revtree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cs_tree tree, again;
    struct cm_buf bytes;
    uint32_t *leaf;
    if (cs_tree_decode(data, size, &tree) < 0)
        return 0;
    cm_buf_init(&bytes, CS_TREE_BYTES_MAX);
    CM_BUG_ON(cs_tree_encode(&tree, &bytes) < 0);
    CM_BUG_ON(cs_tree_decode((const uint8_t *)bytes.data, bytes.len, &again) < 0);
    CM_BUG_ON(again.count != tree.count);
    size_t leaves = cs_tree_leaves(&tree, &leaf);
    CM_BUG_ON(leaves == 0); /* a parent is one generation older: no cycles */
    for (size_t i = 0; i < leaves; i++)
        CM_BUG_ON(!cs_tree_descends(&tree, leaf[i], leaf[i]));
    cm_free(leaf);
    cs_tree_stem(&tree, 3);
    cs_tree_forget(&tree);
    cs_tree_fini(&tree);
    cs_tree_fini(&again);
    cm_buf_fini(&bytes);
    return 0;
}
