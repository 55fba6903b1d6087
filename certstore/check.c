/*
 * The store's own examination.  First every record's checksum, counted per table; then every
 * document: tree, bodies, sequence, head and index entries.  What a document demands must exist,
 * and as the totals per table must agree, nothing else can be there.
 */
#include <stdarg.h>
#include <string.h>

#include "base/core/mem.h"
#include "certstore/crash.h"
#include "certstore/internal.h"

#define PROBLEMS_MAX 100
#define TABLES       (sizeof(((struct cs_check *)0)->present) / sizeof(int64_t))

__attribute__((format(printf, 2, 3))) static void problem(struct cs_check *c, const char *fmt, ...)
{
    struct cm_buf text;
    va_list ap;
    if (json_array_size(c->problems) >= PROBLEMS_MAX) {
        c->more++;
        return;
    }
    cm_buf_init(&text, 1024);
    va_start(ap, fmt);
    cm_buf_vprintf(&text, fmt, ap);
    va_end(ap);
    json_array_append_new(c->problems, json_string(cm_buf_str(&text)));
    cm_buf_fini(&text);
}

static void problem_err(struct cs_check *c, struct cm_err *err)
{
    problem(c, "%s", err->what);
    cm_err_fini(err);
}

/* ---- one document ------------------------------------------------------------------------------
 */

static void check_seq(struct cs_check *c, const char *id, int64_t seq)
{
    struct cs_key key;
    struct cs_slice value;
    cs_key_seq(&key, seq);
    c->seqs++;
    if (seq > c->last_seq)
        c->last_seq = seq;
    if (cs_record_get(c->txn, &key, &value, NULL) < 0 || value.len != strlen(id) ||
        memcmp(value.data, id, value.len) != 0)
        problem(c, "document %s is not at its place %lld in the change feed", id, (long long)seq);
}

/* The body when it is good (owned), or NULL. */
static json_t *check_body(struct cs_check *c, const char *id, const struct cs_node *node, bool leaf)
{
    json_t *body = NULL;
    struct cm_err err = CM_ERR_INIT;
    char rev[CS_REV_MAX + 1];
    cs_rev_format(&node->rev, rev);
    if ((node->flags & CS_NODE_BODY) == 0) {
        if (leaf)
            problem(c, "document %s, revision %s: its text was never stored", id, rev);
        return NULL;
    }
    c->bodies++;
    size_t unused;
    int rc = cs_body_load(c->txn, id, &node->rev, &body, &unused, &err);
    if (rc == CM_ENOENT)
        problem(c, "document %s, revision %s: its text is missing", id, rev);
    else if (rc < 0)
        problem_err(c, &err);
    else if (strcmp(cm_json_str_or(body, "_id", ""), id) != 0)
        problem(c, "document %s, revision %s: the text is another document's", id, rev);
    else if (c->store->policy && cm_json_int(body, "serial", 0) != node->serial)
        problem(c, "document %s, revision %s: its serial is not the noted one", id, rev);
    return body;
}

static bool same_head(const struct cs_head *a, const struct cs_head *b)
{
    return a->winner_deleted == b->winner_deleted && a->has_effective == b->has_effective &&
           a->effective_deleted == b->effective_deleted &&
           (!a->has_effective ||
            (a->serial == b->serial && cs_rev_eq(&a->effective, &b->effective)));
}

/* body: of the effective revision; NULL when it is damaged, which was told already. */
static void check_index(struct cs_check *c, const char *id, const struct cs_head *head,
                        const json_t *body)
{
    struct cs_index_set set;
    if (!head->has_effective || head->effective_deleted) {
        c->deleted++;
        return;
    }
    c->docs++;
    if (!body)
        return;
    cs_index_of(c->store->policy, id, body, &set);
    c->indexed += (int64_t)set.count;
    for (size_t i = 0; i < set.count; i++)
        if (!cs_index_has(c->txn, id, &set.key[i]))
            problem(c, "document %s is missing from index %d", id, (int)set.key[i].index);
    cs_index_fini(&set);
}

static void check_doc(struct cs_check *c, const char *id, const struct cs_slice *payload)
{
    struct cs_entry entry = CS_ENTRY_INIT;
    struct cm_err err = CM_ERR_INIT;
    uint32_t *leaf;
    if (cs_entry_parse(payload, &entry, &err) < 0) {
        problem(c, "document %s: %s", id, err.what);
        cm_err_fini(&err);
        return;
    }
    size_t leaves = cs_tree_leaves(&entry.tree, &leaf);
    CM_AUTO_JSON effective = NULL;
    c->revisions += (int64_t)entry.tree.count;
    for (uint32_t i = 0; i < entry.tree.count; i++) {
        bool is_leaf = false;
        for (size_t k = 0; k < leaves; k++)
            is_leaf |= leaf[k] == i;
        json_t *body = check_body(c, id, &entry.tree.node[i], is_leaf);
        if (entry.head.has_effective && cs_rev_eq(&entry.tree.node[i].rev, &entry.head.effective))
            effective = json_incref(body);
        json_decref(body);
    }
    cm_free(leaf);
    check_seq(c, id, entry.head.seq);
    struct cs_head stored = entry.head;
    cs_entry_settle(c->store, &entry);
    if (!same_head(&stored, &entry.head))
        problem(c, "document %s: its effective version is not the one its tree gives", id);
    check_index(c, id, &stored, effective);
    cs_entry_fini(&entry);
}

/* ---- the whole
 * ------------------------------------------------------------------------------------ */

void cs_check_record(struct cs_check *c, const struct cs_slice *key, const struct cs_slice *value)
{
    struct cs_slice payload;
    struct cm_err err = CM_ERR_INIT;
    char id[CS_ID_MAX + 1];
    const uint8_t *data = key->data;
    uint8_t table = data[0] < TABLES ? data[0] : 0;
    c->present[table]++;
    if (cs_record_open(key, value, &payload, &err) < 0) {
        problem_err(c, &err);
        return;
    }
    switch (table) {
    case CS_T_DOC:
        if (key->len - 1 > CS_ID_MAX) {
            problem(c, "a document has an id over %d bytes", CS_ID_MAX);
            break;
        }
        memcpy(id, data + 1, key->len - 1);
        id[key->len - 1] = '\0';
        check_doc(c, id, &payload);
        break;
    case CS_T_KV: {
        CM_AUTO_JSON v = json_loadb(payload.data, payload.len, JSON_DECODE_ANY, NULL);
        if (!v)
            problem(c, "a value of the local tables is not JSON");
        break;
    }
    case CS_T_QUARANTINE:
        if (key->len > 1 && data[1] == 'm')
            c->quarantined++;
        break;
    case CS_T_META:
    case CS_T_BODY:
    case CS_T_SEQ:
    case CS_T_INDEX:
        break;
    default:
        problem(c, "a record belongs to no known table");
    }
}

static void compare(struct cs_check *c, const char *what, int64_t found, int64_t expected)
{
    if (found != expected)
        problem(c, "%s: %lld found, %lld expected", what, (long long)found, (long long)expected);
}

static void check_totals(struct cs_check *c)
{
    const struct cs_state *s = &c->store->durable;
    compare(c, "document texts", c->present[CS_T_BODY], c->bodies);
    compare(c, "entries of the change feed", c->present[CS_T_SEQ], c->seqs);
    compare(c, "index entries", c->present[CS_T_INDEX], c->indexed);
    compare(c, "live documents", c->docs, s->docs);
    compare(c, "deleted documents", c->deleted, s->deleted);
    compare(c, "refused documents", c->quarantined, s->quarantine_count);
    if (c->last_seq > s->seq)
        problem(c, "the change feed is ahead of the store's sequence");
}

int cs_check(struct cs_store *store, json_t **ret_report, struct cm_err *err)
{
    struct cs_view view;
    struct cs_cursor cursor = {0};
    struct cs_key start;
    struct cs_slice key, value;
    struct cs_check c = {.store = store, .problems = json_array()};
    *ret_report = NULL;
    int rc = cs_view_begin(store, true, &view, err);
    if (rc < 0) {
        json_decref(c.problems);
        return rc;
    }
    c.txn = view.txn;
    cs_key_begin(&start, CS_T_BEGIN);
    rc = cs_cursor_open(view.txn, &cursor, err);
    if (rc == 0)
        rc = cs_cursor_seek(&cursor, &start, &key, &value, err);
    while (rc == 0) {
        cs_check_record(&c, &key, &value);
        rc = cs_cursor_next(&cursor, &key, &value, err);
    }
    cs_cursor_close(&cursor);
    if (rc == CM_ENOENT) {
        rc = 0;
        check_totals(&c);
        if (c.more > 0)
            json_array_append_new(c.problems, json_sprintf("… and %lld more", (long long)c.more));
        *ret_report = json_object();
        cm_json_set_int(*ret_report, "documents", c.docs + c.deleted);
        cm_json_set_int(*ret_report, "revisions", c.revisions);
        cm_json_set(*ret_report, "problems", json_incref(c.problems));
        if (store->damaged && json_array_size(c.problems) == 0) {
            cs_crash_forget(store->dir);
            store->damaged = false;
        }
    }
    cs_view_end(store, &view);
    json_decref(c.problems);
    return rc;
}
