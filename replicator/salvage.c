/* Requests that hold a value which is not read here.  See salvage.h. */
#include "replicator/salvage.h"

#include <stdint.h>
#include <string.h>

#include "base/core/mem.h"

static const char docs_name[] = "\"docs\"";

/* One member of an object as an object of its own (owned), or NULL. */
static json_t *member(const struct cm_json_span *span)
{
    json_t *object = NULL;
    CM_AUTO_STR text = cm_asprintf("{%.*s}", (int)span->len, span->at);
    return cm_json_parse_lax(text, span->len + 2, &object, NULL) == 0 ? object : NULL;
}

/* Is its name the one that is given in quotes? */
static bool is_named(const struct cm_json_span *span, const char *quoted)
{
    size_t len = strlen(quoted);
    return span->len > len && memcmp(span->at, quoted, len) == 0;
}

/* Adds the one member of take_from; false when it is there already. */
static bool merge(json_t *object, json_t *take_from)
{
    CM_AUTO_JSON from = take_from;
    size_t before = json_object_size(object);
    json_object_update(object, from);
    return json_object_size(object) == before + 1;
}

json_t *rp_salvage_row(const char *text, size_t len)
{
    struct cm_json_span *span = NULL;
    size_t count = 0;
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_JSON whole = NULL;
    CM_AUTO_JSON names = json_object();
    if (len == 0 || text[0] != '{' || !cm_json_parts(text, len, SIZE_MAX, &span, &count))
        return NULL;
    for (size_t i = 0; i < count; i++) {
        if (!is_named(&span[i], "\"_id\"") && !is_named(&span[i], "\"_rev\""))
            continue;
        CM_AUTO_JSON one = member(&span[i]);
        json_object_update(names, one);
    }
    cm_free(span);
    cm_json_parse_lax(text, len, &whole, &err);
    CM_AUTO_STR why = cm_asprintf("the document cannot be kept: %s", err.what);
    cm_err_fini(&err);
    return json_pack("{s:s,s:s*,s:s,s:s}", "id", cm_json_str_or(names, "_id", ""), "rev",
                     cm_json_str(names, "_rev"), "error", "forbidden", "reason", why);
}

/* The value of a member that is_named(). */
static void value_of(const struct cm_json_span *span, struct cm_json_span *ret)
{
    const char *at = (const char *)memchr(span->at, ':', span->len) + 1;
    at += strspn(at, " \t\r\n");
    *ret = (struct cm_json_span){.at = at, .len = (size_t)(span->at + span->len - at)};
}

static bool add_docs(const struct cm_json_span *list, json_t *body, json_t *rows)
{
    struct cm_json_span *span = NULL;
    size_t count = 0;
    if (json_object_get(body, "docs") || list->at[0] != '[' ||
        !cm_json_parts(list->at, list->len, SIZE_MAX, &span, &count))
        return false;
    json_t *docs = json_array();
    bool good = true;
    for (size_t i = 0; i < count; i++) {
        json_t *doc = NULL;
        bool read = cm_json_parse_lax(span[i].at, span[i].len, &doc, NULL) == 0;
        json_t *row = read ? json_null() : rp_salvage_row(span[i].at, span[i].len);
        good = good && row;
        json_array_append_new(docs, read ? doc : json_null());
        json_array_append_new(rows, row);
    }
    cm_free(span);
    json_object_set_new(body, "docs", docs);
    return good;
}

json_t *rp_salvage_docs(const char *text, size_t len, json_t **ret_rows)
{
    struct cm_json_span *span = NULL, list;
    size_t count = 0;
    CM_AUTO_JSON body = json_object();
    CM_AUTO_JSON rows = json_array();
    bool good = len > 0 && cm_json_parts(text, len, SIZE_MAX, &span, &count) &&
                text[strspn(text, " \t\r\n")] == '{';
    for (size_t i = 0; i < count && good; i++) {
        if (is_named(&span[i], docs_name)) {
            value_of(&span[i], &list);
            good = add_docs(&list, body, rows);
        } else {
            good = merge(body, member(&span[i]));
        }
    }
    cm_free(span);
    *ret_rows = good ? json_incref(rows) : NULL;
    return good ? json_incref(body) : NULL;
}

json_t *rp_salvage_members(const char *text, size_t len, json_t **ret_none)
{
    *ret_none = NULL;
    struct cm_json_span *span = NULL;
    size_t count = 0;
    if (len == 0 || !cm_json_parts(text, len, SIZE_MAX, &span, &count) ||
        text[strspn(text, " \t\r\n")] != '{') {
        cm_free(span);
        return NULL;
    }
    json_t *body = json_object();
    for (size_t i = 0; i < count; i++) {
        CM_AUTO_JSON one = member(&span[i]);
        json_object_update(body, one);
    }
    cm_free(span);
    return body;
}

/* What is left of a leaf: the members that name it, when they can be read. */
static json_t *nameplate(const struct cm_json_span *doc)
{
    static const char *const names[] = {"\"_id\"", "\"_rev\"", "\"_revisions\"", "\"_deleted\""};
    struct cm_json_span *span = NULL;
    size_t count = 0;
    json_t *left = json_object();
    if (doc->at[0] != '{' || !cm_json_parts(doc->at, doc->len, SIZE_MAX, &span, &count))
        return left;
    for (size_t i = 0; i < count; i++) {
        bool wanted = false;
        for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++)
            wanted = wanted || is_named(&span[i], names[n]);
        CM_AUTO_JSON one = wanted ? member(&span[i]) : NULL;
        json_object_update(left, one);
    }
    cm_free(span);
    return left;
}

static json_t *leaf_of(const struct cm_json_span *entry)
{
    struct cm_json_span *span = NULL, doc;
    size_t count = 0;
    json_t *leaf = NULL;
    if (cm_json_parse_lax(entry->at, entry->len, &leaf, NULL) == 0)
        return leaf;
    leaf = json_object();
    if (entry->at[0] == '{' && cm_json_parts(entry->at, entry->len, 1, &span, &count) &&
        count == 1 && is_named(&span[0], "\"ok\"")) {
        value_of(&span[0], &doc);
        json_object_set_new(leaf, "ok", nameplate(&doc));
    }
    cm_free(span);
    return leaf;
}

json_t *rp_salvage_leaves(const char *text, size_t len)
{
    struct cm_json_span *span = NULL;
    size_t count = 0;
    if (len == 0 || !cm_json_parts(text, len, SIZE_MAX, &span, &count) ||
        text[strspn(text, " \t\r\n")] != '[') {
        cm_free(span);
        return NULL;
    }
    json_t *leaves = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(leaves, leaf_of(&span[i]));
    cm_free(span);
    return leaves;
}
