/* Digests of what a replica holds.  See state.h. */
#include "certstore/state.h"

#include <stdio.h>
#include <string.h>

#include "base/core/bytes.h"
#include "base/core/mem.h"
#include "certstore/internal.h"

struct group {
    char *type, *by; /* by NULL: the whole type */
    int64_t documents, deleted;
    uint8_t hash[CM_SHA256_SIZE]; /* of the documents so far, chained in the order of their ids */
};

struct state {
    struct group *group;
    size_t count;
};

static bool same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* The ids are in order, so the group sought is the last one or near it. */
static struct group *group_of(struct state *state, const char *type, const char *by)
{
    for (size_t i = state->count; i > 0; i--)
        if (strcmp(state->group[i - 1].type, type) == 0 && same(state->group[i - 1].by, by))
            return &state->group[i - 1];
    if (state->count == CS_STATE_GROUPS)
        return NULL;
    state->group = cm_realloc(state->group, (state->count + 1) * sizeof(*state->group));
    struct group *group = &state->group[state->count++];
    *group = (struct group){.type = cm_strdup(type), .by = by ? cm_strdup(by) : NULL};
    return group;
}

static void add(struct group *group, const char *id, const struct cs_head *head)
{
    uint8_t text[CM_SHA256_SIZE + CS_ID_MAX + CS_REV_MAX + 4];
    char rev[CS_REV_MAX + 1];
    cs_rev_format(&head->effective, rev);
    memcpy(text, group->hash, CM_SHA256_SIZE);
    int len = snprintf((char *)text + CM_SHA256_SIZE, sizeof(text) - CM_SHA256_SIZE, "%s %s %c", id,
                       rev, head->effective_deleted ? 'd' : '-');
    cm_sha256(text, CM_SHA256_SIZE + (size_t)len, group->hash);
    if (head->effective_deleted)
        group->deleted++;
    else
        group->documents++;
}

static int take(struct state *state, struct cs_txn *txn, const struct cs_slice *key,
                const struct cs_slice *value, struct cm_err *err)
{
    char id[CS_ID_MAX + 1];
    struct cs_slice payload;
    struct cs_entry entry = CS_ENTRY_INIT;
    size_t len = 0;
    json_t *loaded = NULL;
    if (key->len - 1 > CS_ID_MAX)
        return cm_fail(err, CM_EIO, "a document of the store is damaged");
    memcpy(id, (const char *)key->data + 1, key->len - 1);
    id[key->len - 1] = '\0';
    int rc = cs_record_open(key, value, &payload, err);
    if (rc == 0)
        rc = cs_entry_parse(&payload, &entry, err);
    const struct cs_head head = entry.head;
    const struct cs_type *type = cs_type_of(id);
    cs_entry_fini(&entry);
    if (rc < 0 || !type || !head.has_effective)
        return rc;
    if (type->up)
        rc = cs_body_load(txn, id, &head.effective, &loaded, &len, err);
    CM_AUTO_JSON body = loaded;
    if (rc < 0)
        return rc;
    const char *by = cm_json_str_or(cm_json_obj(body, "signature"), "by", "");
    struct group *group = group_of(state, type->name, type->up ? by : NULL);
    if (!group)
        return cm_fail(err, CM_ELIMIT, "the store has documents of more than %d signers",
                       CS_STATE_GROUPS);
    add(group, id, &head);
    return 0;
}

static json_t *rows_of(const struct state *state)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < state->count; i++) {
        const struct group *group = &state->group[i];
        char hex[CM_SHA256_HEX];
        json_t *row = json_object();
        cm_hex(group->hash, CM_SHA256_SIZE, hex);
        cm_json_set_str(row, "type", group->type);
        cm_json_set_str(row, "by", group->by);
        cm_json_set_int(row, "documents", group->documents);
        cm_json_set_int(row, "deleted", group->deleted);
        cm_json_set_str(row, "hash", hex);
        json_array_append_new(rows, row);
    }
    return rows;
}

int cs_state(struct cs_store *store, json_t **ret, struct cm_err *err)
{
    struct state state = {0};
    struct cs_view view;
    struct cs_cursor cursor = {0};
    struct cs_key prefix;
    struct cs_slice key, value;
    cs_key_begin(&prefix, CS_T_DOC);
    int rc = cs_view_begin(store, true, &view, err);
    if (rc < 0)
        return rc;
    rc = cs_cursor_open(view.txn, &cursor, err);
    if (rc == 0)
        rc = cs_cursor_seek(&cursor, &prefix, &key, &value, err);
    while (rc == 0 && cs_key_has_prefix(&key, &prefix)) {
        rc = take(&state, view.txn, &key, &value, err);
        if (rc == 0)
            rc = cs_cursor_next(&cursor, &key, &value, err);
    }
    cs_cursor_close(&cursor);
    cs_view_end(store, &view);
    rc = rc == CM_ENOENT ? 0 : rc;
    if (rc == 0)
        *ret = rows_of(&state);
    for (size_t i = 0; i < state.count; i++) {
        cm_free(state.group[i].type);
        cm_free(state.group[i].by);
    }
    cm_free(state.group);
    return rc;
}
