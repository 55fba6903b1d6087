/* Indexes over effective leaves: which entries a document has, keeping them, walking them. */
#include "certstore/index.h"

#include <stdlib.h>
#include <string.h>

#include "base/core/log.h"
#include "base/core/mem.h"
#include "certstore/internal.h"

/* How the keys are taken from a member. */
enum take {
    TAKE_TEXT,
    TAKE_EACH,   /* each text of an array */
    TAKE_HOSTS,  /* each name of an array, labels reversed */
    TAKE_TOKENS, /* `token` of each object of an array */
};

static const struct {
    enum cs_index index;
    const char *type;
    const char *member;
    enum take take;
} rules[] = {
    {CS_BY_HOST, "credential", "host_names_ascii", TAKE_HOSTS},
    {CS_BY_EXPIRY, "credential", "not_after", TAKE_TEXT},
    {CS_BY_STATUS, "credential", "status", TAKE_TEXT},
    {CS_BY_SERVER, "credential", "servers", TAKE_EACH},
    {CS_BY_DUE, "credential", "next_action_at", TAKE_TEXT},
    {CS_BY_TOKEN, "challenge", "tokens", TAKE_TOKENS},
    {CS_BY_CREDENTIAL, "request", "credential", TAKE_TEXT},
    {CS_BY_CREDENTIAL, "receipt", "credential", TAKE_TEXT},
};

char *cs_host_key(const char *name)
{
    size_t len = strlen(name);
    char *key = cm_malloc(len + 1);
    size_t to = 0;
    for (size_t end = len; end > 0;) {
        size_t start = end;
        while (start > 0 && name[start - 1] != '.')
            start--;
        for (size_t i = start; i < end; i++)
            key[to++] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] - 'A' + 'a') : name[i];
        if (start == 0)
            break;
        key[to++] = '.';
        end = start - 1;
    }
    key[to] = '\0';
    return key;
}

static void add(struct cs_index_set *set, enum cs_index index, char *take_text)
{
    if (set->count == set->size) {
        set->size = set->size ? set->size * 2 : 8;
        set->key = cm_realloc(set->key, set->size * sizeof(*set->key));
    }
    set->key[set->count++] = (struct cs_index_key){.index = index, .text = take_text};
}

static void add_member(struct cs_index_set *set, size_t rule, const json_t *value)
{
    if (rules[rule].take == TAKE_TEXT) {
        if (json_is_string(value))
            add(set, rules[rule].index, cm_strdup(json_string_value(value)));
        return;
    }
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *item = json_array_get(value, i);
        const char *text =
            rules[rule].take == TAKE_TOKENS ? cm_json_str(item, "token") : json_string_value(item);
        if (text && text[0] != '\0')
            add(set, rules[rule].index,
                rules[rule].take == TAKE_HOSTS ? cs_host_key(text) : cm_strdup(text));
    }
}

static int key_order(const void *a, const void *b)
{
    const struct cs_index_key *x = a, *y = b;
    return x->index != y->index ? (int)x->index - (int)y->index : strcmp(x->text, y->text);
}

/* All of it into one piece of memory: it is read and freed by other threads than this one. */
static void pack(struct cs_index_set *set)
{
    size_t size = set->count * sizeof(*set->key);
    for (size_t i = 0; i < set->count; i++)
        size += strlen(set->key[i].text) + 1;
    struct cs_index_key *key = cm_malloc(size);
    char *at = (char *)(key + set->count);
    for (size_t i = 0; i < set->count; i++) {
        char *text = set->key[i].text;
        size_t len = strlen(text) + 1;
        key[i] = (struct cs_index_key){.index = set->key[i].index, .text = memcpy(at, text, len)};
        at += len;
        cm_free(text);
    }
    cm_free(set->key);
    set->key = key;
}

void cs_index_of(bool policy, const char *id, const json_t *body, struct cs_index_set *ret)
{
    *ret = (struct cs_index_set){0};
    if (!body)
        return;
    const struct cs_type *type = policy ? cs_type_of(id) : NULL;
    add(ret, CS_BY_TYPE, cm_strdup(type ? type->name : ""));
    for (size_t i = 0; type && i < sizeof(rules) / sizeof(rules[0]); i++)
        if (strcmp(rules[i].type, type->name) == 0)
            add_member(ret, i, json_object_get(body, rules[i].member));
    qsort(ret->key, ret->count, sizeof(*ret->key), key_order);
    size_t kept = 0;
    for (size_t i = 0; i < ret->count; i++) {
        if (kept > 0 && key_order(&ret->key[kept - 1], &ret->key[i]) == 0)
            cm_free(ret->key[i].text);
        else
            ret->key[kept++] = ret->key[i];
    }
    ret->count = kept;
    pack(ret);
}

void cs_index_fini(struct cs_index_set *set)
{
    cm_free(set->key);
    *set = (struct cs_index_set){0};
}

static void entry_key(struct cs_key *key, const struct cs_index_key *entry, const char *id)
{
    cs_key_begin(key, CS_T_INDEX);
    cs_key_byte(key, (uint8_t)entry->index);
    cs_key_bytes(key, entry->text, strlen(entry->text) + 1);
    cs_key_text(key, id);
}

bool cs_index_fits(const struct cs_index_set *set, const char *id)
{
    struct cs_key key;
    for (size_t i = 0; i < set->count; i++) {
        entry_key(&key, &set->key[i], id);
        if (key.bad)
            return false;
    }
    return true;
}

bool cs_index_has(struct cs_txn *txn, const char *id, const struct cs_index_key *entry)
{
    struct cs_key key;
    struct cs_slice value;
    entry_key(&key, entry, id);
    return cs_record_get(txn, &key, &value, NULL) == 0;
}

int cs_index_update(struct cs_store *store, const char *id, const struct cs_index_set *before,
                    const struct cs_index_set *after, struct cm_err *err)
{
    struct cs_key key;
    size_t b = 0, a = 0;
    int rc = 0;
    while (rc == 0 && (b < before->count || a < after->count)) {
        int order = b == before->count  ? 1
                    : a == after->count ? -1
                                        : key_order(&before->key[b], &after->key[a]);
        if (order < 0) {
            entry_key(&key, &before->key[b++], id);
            rc = cs_batch_del(store, &key, err);
        } else if (order > 0) {
            entry_key(&key, &after->key[a++], id);
            rc = cs_batch_put(store, &key, NULL, 0, err);
        } else {
            a++;
            b++;
        }
    }
    return rc;
}

/* Splits an index key into its text and the document id; both are copied out. */
struct index_entry {
    char text[CS_KEY_MAX];
    char id[CS_KEY_MAX];
};

static bool entry_parse(const struct cs_slice *key, struct index_entry *ret)
{
    const char *data = key->data;
    const char *nul = key->len > 2 ? memchr(data + 2, '\0', key->len - 2) : NULL;
    if (!nul || key->len > CS_KEY_MAX)
        return false;
    size_t text_len = (size_t)(nul - data - 2), id_len = key->len - text_len - 3;
    memcpy(ret->text, data + 2, text_len + 1);
    memcpy(ret->id, nul + 1, id_len);
    ret->id[id_len] = '\0';
    return true;
}

int cs_index_purge(struct cs_store *store, const char *id, struct cm_err *err)
{
    struct cs_cursor cursor;
    struct cs_key prefix, found;
    struct cs_slice key, value;
    struct index_entry entry;
    cs_key_begin(&prefix, CS_T_INDEX);
    found = prefix;
    for (;;) {
        /* The cursor is opened anew after each deletion: there are only a few. */
        int rc = cs_cursor_open(&store->txn, &cursor, err);
        if (rc < 0)
            return rc;
        rc = cs_cursor_seek(&cursor, &found, &key, &value, err);
        while (rc == 0 && cs_key_has_prefix(&key, &prefix)) {
            if (entry_parse(&key, &entry) && strcmp(entry.id, id) == 0)
                break;
            rc = cs_cursor_next(&cursor, &key, &value, err);
        }
        bool more = rc == 0 && cs_key_has_prefix(&key, &prefix);
        if (more) {
            found.len = 0;
            cs_key_bytes(&found, key.data, key.len);
        }
        cs_cursor_close(&cursor);
        if (!more)
            return rc == CM_ENOENT ? 0 : rc;
        rc = cs_batch_del(store, &found, err);
        if (rc < 0)
            return rc;
    }
}

static int each(struct cs_txn *txn, const struct cs_key *prefix, const struct cs_key *start,
                bool skip_equal, cs_index_fn fn, void *arg)
{
    struct cs_cursor cursor;
    struct cs_slice key, value, payload;
    struct index_entry entry;
    struct cm_err err = CM_ERR_INIT;
    int stopped = 0;
    int rc = cs_cursor_open(txn, &cursor, &err);
    if (rc == 0)
        rc = cs_cursor_seek(&cursor, start, &key, &value, &err);
    if (rc == 0 && skip_equal && key.len == start->len &&
        memcmp(key.data, start->data, key.len) == 0)
        rc = cs_cursor_next(&cursor, &key, &value, &err);
    while (rc == 0 && cs_key_has_prefix(&key, prefix)) {
        rc = cs_record_open(&key, &value, &payload, &err);
        if (rc == 0 && !entry_parse(&key, &entry))
            rc = CM_EIO;
        if (rc == 0)
            stopped = fn(arg, entry.text, entry.id);
        if (stopped != 0)
            break;
        if (rc == 0)
            rc = cs_cursor_next(&cursor, &key, &value, &err);
    }
    cs_cursor_close(&cursor);
    if (rc < 0 && rc != CM_ENOENT)
        cm_log_err(CM_LOG_ERROR, "certstore", &err);
    cm_err_fini(&err);
    return stopped != 0 || rc == CM_ENOENT ? stopped : rc;
}

int cs_each(struct cs_store *store, enum cs_index index, const char *prefix, const char *after_key,
            const char *after_id, cs_index_fn fn, void *arg)
{
    struct cs_view view;
    struct cs_key low, start;
    cs_key_begin(&low, CS_T_INDEX);
    cs_key_byte(&low, (uint8_t)index);
    start = low;
    cs_key_text(&low, prefix ? prefix : "");
    if (after_key) {
        cs_key_bytes(&start, after_key, strlen(after_key) + 1);
        cs_key_text(&start, after_id ? after_id : "");
    }
    /* A cursor from before the prefix does not matter. */
    size_t min = start.len < low.len ? start.len : low.len;
    int order = memcmp(start.data, low.data, min);
    bool from_cursor =
        after_key && !start.bad && (order > 0 || (order == 0 && start.len >= low.len));
    if (low.bad)
        return 0; /* longer than any key */
    int rc = cs_view_begin(store, false, &view, NULL);
    if (rc < 0)
        return rc;
    rc = each(view.txn, &low, from_cursor ? &start : &low, from_cursor, fn, arg);
    cs_view_end(store, &view);
    return rc;
}
