/* Revision trees against vectors made by CouchDB's rules. */
#include "support.h"

#include "base/core/file.h"
#include "certstore/revtree.h"

#define VECTORS       1333
#define VECTORS_BYTES (8u << 20)
#define PATH_MAX_LEN  64

static size_t read_path(const json_t *op, struct cs_rev *path)
{
    const json_t *ids = json_object_get(op, "ids");
    int64_t pos = cm_json_int(op, "pos", 0);
    size_t len = json_array_size(ids);
    assert_in_range(len, 1, PATH_MAX_LEN);
    for (size_t i = 0; i < len; i++)
        assert_int_equal(
            cs_rev_parse_id(json_string_value(json_array_get(ids, i)), pos - (int64_t)i, &path[i]),
            0);
    return len;
}

/* The tree after a trip through its encoding, so that both are judged. */
static void recode(struct cs_tree *tree)
{
    struct cm_buf bytes;
    cm_buf_init(&bytes, CS_TREE_BYTES_MAX);
    assert_int_equal(cs_tree_encode(tree, &bytes), 0);
    size_t count = tree->count;
    cs_tree_fini(tree);
    assert_int_equal(cs_tree_decode((const uint8_t *)bytes.data, bytes.len, tree), 0);
    assert_int_equal(tree->count, count);
    cm_buf_fini(&bytes);
}

static const json_t *history_of(const json_t *line, const char *rev)
{
    const json_t *all = json_object_get(line, "histories");
    for (size_t i = 0; i < json_array_size(all); i++)
        if (strcmp(cm_json_str_or(json_array_get(all, i), "rev", ""), rev) == 0)
            return json_array_get(all, i);
    return NULL;
}

static bool same_history(const struct cs_tree *tree, uint32_t leaf, size_t limit,
                         const json_t *expected)
{
    const json_t *ids = json_object_get(expected, "ids");
    char text[CS_REV_MAX + 1];
    size_t i = 0;
    for (uint32_t at = leaf; at != CS_NO_NODE && i < limit; at = tree->node[at].parent, i++) {
        cs_rev_format_id(&tree->node[at].rev, text);
        const char *id = json_string_value(json_array_get(ids, i));
        if (!id || strcmp(text, id) != 0)
            return false;
    }
    return i == json_array_size(ids) && cm_json_bool(expected, "deleted", false) ==
                                            ((tree->node[leaf].flags & CS_NODE_DELETED) != 0);
}

static bool check_line(const json_t *line, bool coded)
{
    struct cs_tree tree = CS_TREE_INIT;
    struct cs_rev path[PATH_MAX_LEN];
    size_t limit = (size_t)cm_json_int(line, "limit", 0);
    const json_t *ops = json_object_get(line, "ops"), *leaves = json_object_get(line, "leaves");
    for (size_t i = 0; i < json_array_size(ops); i++) {
        const json_t *op = json_array_get(ops, i);
        uint32_t node;
        size_t len = read_path(op, path);
        assert_true(cs_tree_merge(&tree, path, len, cm_json_bool(op, "deleted", false), &node) >=
                    0);
        assert_true(cs_rev_eq(&tree.node[node].rev, &path[0]));
        cs_tree_stem(&tree, limit);
        if (coded)
            recode(&tree);
    }
    uint32_t *leaf;
    size_t count = cs_tree_leaves(&tree, &leaf);
    bool same = count == json_array_size(leaves) &&
                count == json_array_size(json_object_get(line, "histories"));
    for (size_t i = 0; same && i < count; i++) {
        char rev[CS_REV_MAX + 1];
        cs_rev_format(&tree.node[leaf[i]].rev, rev);
        const json_t *history = history_of(line, rev);
        same = strcmp(rev, json_string_value(json_array_get(leaves, i))) == 0 && history &&
               same_history(&tree, leaf[i], limit, history);
    }
    cm_free(leaf);
    cs_tree_fini(&tree);
    return same;
}

/* Every recorded answer of CouchDB 3.5.0: order of the leaves and the history of each. */
static void agrees_with_couchdb(void **state)
{
    (void)state;
    char *text;
    size_t len, lines = 0;
    assert_int_equal(
        cm_file_read(CM_SOURCE_DIR "/tests/data/revtree.jsonl", VECTORS_BYTES, &text, &len, NULL),
        0);
    for (char *at = text; at < text + len;) {
        char *end = memchr(at, '\n', (size_t)(text + len - at));
        size_t line_len = end ? (size_t)(end - at) : (size_t)(text + len - at);
        json_t *line = NULL;
        assert_int_equal(cm_json_parse(at, line_len, &line, NULL), 0);
        lines++;
        if (!check_line(line, false))
            fail_msg("line %zu differs from CouchDB", lines);
        if (!check_line(line, true))
            fail_msg("line %zu differs after encoding", lines);
        json_decref(line);
        at += line_len + 1;
    }
    cm_free(text);
    assert_int_equal(lines, VECTORS);
}

/* "3-c,2-b,1-a" */
static int merge(struct cs_tree *tree, const char *path, bool deleted, uint32_t *ret)
{
    struct cs_rev revs[PATH_MAX_LEN];
    char text[CS_REV_MAX + 1];
    size_t len = 0;
    for (const char *at = path; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        snprintf(text, sizeof(text), "%.*s", (int)strcspn(at, ","), at);
        assert_int_equal(cs_rev_parse(text, &revs[len++]), 0);
    }
    return cs_tree_merge(tree, revs, len, deleted, ret);
}

/* Who makes up other ancestors for a known revision adds what he sends and nothing above it: those
 * would be leaves without a body, which no peer could be given. */
static void made_up_ancestors(void **state)
{
    struct cs_tree tree = CS_TREE_INIT;
    uint32_t node, *leaf;
    (void)state;
    merge(&tree, "3-c,2-b,1-a", false, &node);
    assert_int_equal(merge(&tree, "3-c,2-x,1-y", false, &node), 0);
    assert_int_equal(tree.count, 3);
    assert_int_equal(merge(&tree, "4-d,3-c,2-b,1-z", false, &node), CS_MERGE_NEW | CS_MERGE_LINKED);
    assert_int_equal(tree.count, 4);
    assert_int_equal(cs_tree_leaves(&tree, &leaf), 1);
    assert_int_equal(leaf[0], node);
    cm_free(leaf);
    /* A sibling whose ancestors are half made up. */
    merge(&tree, "4-e,3-c,2-q,1-a", false, &node);
    assert_int_equal(tree.count, 5);
    assert_int_equal(cs_tree_leaves(&tree, &leaf), 2);
    for (size_t i = 0; i < 2; i++)
        assert_true(tree.node[leaf[i]].flags & CS_NODE_BODY);
    cm_free(leaf);
    cs_tree_fini(&tree);
}

static void tells_what_a_merge_did(void **state)
{
    (void)state;
    struct cs_tree tree = CS_TREE_INIT;
    uint32_t node;
    assert_int_equal(merge(&tree, "3-c,2-b", false, &node), CS_MERGE_NEW | CS_MERGE_LINKED);
    assert_int_equal(merge(&tree, "3-c,2-b", false, &node), 0);
    assert_int_equal(merge(&tree, "3-c", true, &node), 0);
    assert_false(tree.node[node].flags & CS_NODE_DELETED);
    assert_int_equal(merge(&tree, "2-b", true, &node), CS_MERGE_FILLED);
    assert_int_equal(merge(&tree, "2-b,1-a", false, &node), CS_MERGE_LINKED);
    assert_int_equal(tree.count, 3);
    cs_tree_fini(&tree);
}

static void bounds_the_nodes(void **state)
{
    (void)state;
    struct cs_tree tree = CS_TREE_INIT;
    uint32_t node;
    struct cs_rev one;
    assert_int_equal(cs_rev_parse("1-a", &one), 0);
    tree.count = CS_TREE_NODES_MAX;
    assert_int_equal(cs_tree_merge(&tree, &one, 1, false, &node), CM_ELIMIT);
    tree.count = 0;
    cs_tree_fini(&tree);
}

static void reports_dropped_bodies(void **state)
{
    (void)state;
    struct cs_tree tree = CS_TREE_INIT;
    uint32_t node;
    char rev[CS_REV_MAX + 1];
    merge(&tree, "1-a", false, &node);
    merge(&tree, "2-b,1-a", false, &node);
    merge(&tree, "2-x,1-a", false, &node);
    cs_tree_forget(&tree);
    assert_int_equal(tree.dropped_count, 1);
    cs_rev_format(&tree.dropped[0], rev);
    assert_string_equal(rev, "1-a");
    cs_tree_cut(&tree, node);
    assert_int_equal(tree.count, 2); /* the ancestor stays: another leaf has it */
    assert_int_equal(tree.dropped_count, 2);
    cs_rev_format(&tree.dropped[1], rev);
    assert_string_equal(rev, "2-x");
    merge(&tree, "3-c,2-b", false, &node);
    cs_tree_stem(&tree, 2);
    assert_int_equal(tree.count, 2);
    assert_int_equal(tree.dropped_count, 2); /* 1-a had none any more */
    cs_tree_stem(&tree, 1);
    assert_int_equal(tree.dropped_count, 3);
    cs_tree_fini(&tree);
}

static void effective_is_valid_and_highest(void **state)
{
    (void)state;
    struct cs_tree tree = CS_TREE_INIT;
    uint32_t a, b, c, *leaf;
    merge(&tree, "1-a", false, &a);
    merge(&tree, "9-b", false, &b);
    merge(&tree, "5-c", true, &c);
    size_t count = cs_tree_leaves(&tree, &leaf);
    assert_int_equal(count, 3);
    assert_int_equal(leaf[0], b);
    assert_int_equal(leaf[2], c); /* a tombstone comes last whatever its generation */
    assert_int_equal(cs_tree_effective(&tree, leaf, count), CS_NO_NODE);
    tree.node[a].flags |= CS_NODE_VALID;
    tree.node[a].serial = 7;
    tree.node[b].serial = 9;
    assert_int_equal(cs_tree_effective(&tree, leaf, count), a);
    tree.node[c].flags |= CS_NODE_VALID;
    tree.node[c].serial = 8;
    assert_int_equal(cs_tree_effective(&tree, leaf, count), c);
    cm_free(leaf);
    cs_tree_fini(&tree);
}

static void decoder_trusts_nothing(void **state)
{
    (void)state;
    struct cs_tree tree = CS_TREE_INIT, out;
    struct cm_buf bytes;
    uint32_t node;
    merge(&tree, "3-00112233445566778899aabbccddeeff,2-b,1-a", false, &node);
    tree.node[node].serial = 1700000000000;
    tree.node[node].seq = 12;
    merge(&tree, "3-x,2-b", true, &node);
    cm_buf_init(&bytes, 4096);
    assert_int_equal(cs_tree_encode(&tree, &bytes), 0);
    for (size_t len = 0; len < bytes.len; len++)
        assert_int_equal(cs_tree_decode((const uint8_t *)bytes.data, len, &out), CM_EMALF);
    cm_buf_putc(&bytes, 0);
    assert_int_equal(cs_tree_decode((const uint8_t *)bytes.data, bytes.len, &out), CM_EMALF);
    /* Any single changed byte either fails or gives a tree whose parents are one generation up. */
    for (size_t i = 0; i < bytes.len - 1; i++) {
        for (int bit = 0; bit < 8; bit++) {
            bytes.data[i] = (char)(bytes.data[i] ^ (1 << bit));
            if (cs_tree_decode((const uint8_t *)bytes.data, bytes.len - 1, &out) == 0) {
                for (size_t n = 0; n < out.count; n++) {
                    uint32_t parent = out.node[n].parent;
                    assert_true(parent == CS_NO_NODE ||
                                (parent < out.count &&
                                 out.node[parent].rev.gen == out.node[n].rev.gen - 1));
                }
                cs_tree_fini(&out);
            }
            bytes.data[i] = (char)(bytes.data[i] ^ (1 << bit));
        }
    }
    cm_buf_fini(&bytes);
    cs_tree_fini(&tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_couchdb),    cmocka_unit_test(tells_what_a_merge_did),
        cmocka_unit_test(made_up_ancestors),      cmocka_unit_test(bounds_the_nodes),
        cmocka_unit_test(reports_dropped_bodies), cmocka_unit_test(effective_is_valid_and_highest),
        cmocka_unit_test(decoder_trusts_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
