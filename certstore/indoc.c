/* Documents as they come in: CouchDB's "_" members apart, limits, schema and signature. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/core/mem.h"
#include "certstore/internal.h"

int cs_refuse(struct cs_result *result, int code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(result->reason, sizeof(result->reason), fmt, ap);
    va_end(ap);
    result->code = code;
    result->changed = false;
    return code;
}

void cs_indoc_fini(struct cs_indoc *in)
{
    json_decref(in->body);
    json_decref(in->aside);
    if (!in->placed)
        cm_free(in->text);
    cm_free(in->path);
    cs_index_fini(&in->keys);
    *in = (struct cs_indoc){0};
}

/* Members a client may send back as it read them; they say nothing that is stored. */
static bool is_read_only(const char *name)
{
    static const char *const names[] = {"_revs_info", "_conflicts", "_deleted_conflicts",
                                        "_local_seq", "_rev",       "_revisions",
                                        "_deleted"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

/* 0, 1 = it stays in the body, or why no document may have this member that begins with "_". */
static int check_special(const char *name, const json_t *value, bool policy,
                         struct cs_result *result)
{
    if (is_read_only(name))
        return 0;
    if (strcmp(name, "_attachments") == 0)
        return json_object_size(value) == 0
                   ? 0
                   : cs_refuse(result, CM_EINVAL, "attachments are not supported");
    /* CouchDB keeps the marks of its own replicator in the document. */
    if (policy || strncmp(name, "_replication_", 13) != 0)
        return cs_refuse(result, CM_EMALF, "Bad special document member: %.60s", name);
    return 1;
}

/* Moves CouchDB's members from the body aside: nothing is copied but them. */
static int take_members(bool policy, struct cs_indoc *in, struct cs_result *result)
{
    const char *name;
    json_t *value;
    void *next;
    json_object_foreach_safe(in->body, next, name, value)
    {
        if (name[0] != '_' || strcmp(name, "_id") == 0)
            continue;
        int rc = check_special(name, value, policy, result);
        if (rc < 0)
            return rc;
        if (rc > 0)
            continue;
        if (!in->aside)
            in->aside = json_object();
        json_object_set(in->aside, name, value);
        json_object_del(in->body, name);
    }
    return 0;
}

static int check_id(const json_t *doc, bool policy, struct cs_result *result)
{
    const json_t *id = json_object_get(doc, "_id");
    size_t len = json_string_length(id);
    if (!json_is_string(id) || len == 0 || strlen(json_string_value(id)) != len)
        return cs_refuse(result, CM_EMALF, "Document id must be a non-empty string");
    if (len > CS_ID_MAX)
        return cs_refuse(result, CM_ELIMIT, "Document id is over %d bytes", CS_ID_MAX);
    const char *text = json_string_value(id);
    if (text[0] == '_' && (policy || strncmp(text, "_design/", 8) != 0 || len == 8))
        return cs_refuse(result, CM_EMALF, "Only reserved document ids may start with underscore.");
    return 0;
}

/* `_revisions: {start, ids}`, newest first; must agree with `_rev`. */
static int read_history(const json_t *history, const char *rev, struct cs_indoc *in,
                        struct cs_result *result)
{
    const json_t *ids = json_object_get(history, "ids");
    int64_t start = cm_json_int(history, "start", 0);
    size_t count = json_array_size(ids);
    if (start < 1 || start > CS_GENERATION_MAX || count == 0 || count > (uint64_t)start)
        return cs_refuse(result, CM_EMALF, "Bad special document member: _revisions");
    /* What is further away than the limit would be stemmed at once. */
    if (count > CS_REVS_LIMIT)
        count = CS_REVS_LIMIT;
    in->path = cm_calloc(count, sizeof(*in->path));
    for (size_t i = 0; i < count; i++) {
        const char *id = json_string_value(json_array_get(ids, i));
        if (!id || cs_rev_parse_id(id, start - (int64_t)i, &in->path[i]) < 0)
            return cs_refuse(result, CM_EMALF, "Invalid rev format");
    }
    in->path_len = count;
    struct cs_rev named;
    if (rev && (cs_rev_parse(rev, &named) < 0 || !cs_rev_eq(&named, &in->path[0])))
        return cs_refuse(result, CM_EMALF, "_rev and _revisions do not agree");
    return 0;
}

static int read_revision(struct cs_indoc *in, struct cs_result *result)
{
    const json_t *rev = json_object_get(in->aside, "_rev");
    const json_t *history = json_object_get(in->aside, "_revisions");
    if (rev && !json_is_string(rev))
        return cs_refuse(result, CM_EMALF, "Invalid rev format");
    if (history)
        return read_history(history, json_string_value(rev), in, result);
    if (!rev)
        return 0;
    in->path = cm_calloc(1, sizeof(*in->path));
    in->path_len = 1;
    if (cs_rev_parse(json_string_value(rev), in->path) < 0)
        return cs_refuse(result, CM_EMALF, "Invalid rev format");
    return 0;
}

size_t cs_doc_max(const char *id)
{
    return strcmp(id, "trust:root") == 0 ? CS_TRUST_MAX : CS_DOC_MAX;
}

/* The body's text: in the place that is offered, or in memory of its own. */
static void write_text(struct cs_place place, struct cs_indoc *in)
{
    struct cm_buf out = {.len = place.len};
    if (place.len == 0 && place.size > 0) {
        cm_buf_place(&out, place.at, place.size);
        cm_json_put(in->body, &out);
    }
    in->placed = place.size > 0 && !out.failed;
    if (in->placed) {
        in->text = place.at;
        in->text_len = out.len;
        return;
    }
    in->text = cm_json_dump(in->body, &in->text_len);
    in->text = cm_realloc(in->text, in->text_len + 1); /* hundreds may wait for their verdicts */
}

/* Levels of arrays and objects: no more than the reader of JSON lets through. */
static int levels(const json_t *v)
{
    int most = 0;
    const char *name;
    json_t *member;
    for (size_t i = 0; i < json_array_size(v); i++) {
        int below = levels(json_array_get(v, i));
        most = below > most ? below : most;
    }
    json_object_foreach((json_t *)(uintptr_t)v, name, member)
    {
        int below = levels(member);
        most = below > most ? below : most;
    }
    return most + (json_is_array(v) || json_is_object(v));
}

int cs_indoc_take(json_t *take_doc, bool policy, struct cs_place place, struct cs_indoc *ret,
                  struct cs_result *result)
{
    *ret = (struct cs_indoc){.body = take_doc};
    *result = (struct cs_result){0};
    if (!json_is_object(take_doc))
        return cs_refuse(result, CM_EMALF, "Document must be a JSON object");
    const json_t *deleted = json_object_get(take_doc, "_deleted");
    if (deleted && !json_is_boolean(deleted))
        return cs_refuse(result, CM_EMALF, "_deleted must be true or false");
    ret->deleted = json_is_true(deleted);
    int rc = check_id(take_doc, policy, result);
    if (rc == 0)
        rc = take_members(policy, ret, result);
    if (rc == 0)
        rc = read_revision(ret, result);
    if (rc < 0)
        return rc;
    ret->id = cm_json_str(ret->body, "_id");
    if (ret->path_len > 0)
        cs_rev_format(&ret->path[0], result->rev);
    write_text(place, ret);
    size_t max = cs_doc_max(ret->id);
    if (ret->text_len > max)
        return cs_refuse(result, CM_ELIMIT, "document is over %zu KiB", max >> 10);
    if (levels(ret->body) > CS_DOC_LEVELS)
        return cs_refuse(result, CM_ELIMIT, "document is nested deeper than %d levels",
                         CS_DOC_LEVELS);
    return 0;
}

int cs_indoc_read(const json_t *doc, bool policy, struct cs_indoc *ret, struct cs_result *result)
{
    int rc = cs_indoc_take(json_copy((json_t *)(uintptr_t)doc), policy, CS_NO_PLACE, ret, result);
    ret->keep = true;
    return rc;
}

json_t *cs_indoc_body(const struct cs_indoc *in)
{
    json_t *body = NULL;
    if (!in->slim)
        return json_incref(in->body);
    /* The text was written from a value: it parses. */
    CM_BUG_ON(cm_json_parse_lax(in->text, in->text_len, &body, NULL) < 0);
    return body;
}

json_t *cs_indoc_whole(const struct cs_indoc *in)
{
    CM_AUTO_JSON body = cs_indoc_body(in);
    json_t *doc = in->aside ? json_copy(body) : json_incref(body);
    if (in->aside)
        json_object_update(doc, in->aside);
    return doc;
}

void cs_indoc_slim(struct cs_indoc *in)
{
    static const char *const names[] = {"_id", "type", "serial", "by", "signature"};
    json_t *slim = json_object();
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        json_t *value = json_object_get(in->body, names[i]);
        if (value)
            json_object_set(slim, names[i], value);
    }
    json_decref(in->body);
    in->body = slim;
    in->slim = true;
}

void cs_indoc_examine(struct cs_indoc *in)
{
    struct cm_err err = CM_ERR_INIT;
    in->examined = true;
    int rc = cs_schema_check(in->body, in->deleted, &err);
    if (rc < 0) {
        cs_refuse(&in->finding, rc, "schema: %s", err.what);
        cm_err_fini(&err);
        return;
    }
    cs_index_of(true, in->id, in->body, &in->keys);
    if (!cs_index_fits(&in->keys, in->id))
        cs_refuse(&in->finding, CM_ELIMIT, "a name in the document is too long for its index");
}

int cs_indoc_judge(struct cs_store *store, struct cs_indoc *in, int64_t *ret_serial,
                   struct cs_result *result)
{
    struct cs_verdict verdict = {0};
    *ret_serial = 0;
    if (!store->policy)
        return 0;
    if (!in->examined)
        cs_indoc_examine(in);
    if (in->finding.code < 0)
        return cs_refuse(result, in->finding.code, "%s", in->finding.reason);
    store->verify(store->port_arg, in->body, in->deleted, &verdict);
    if (!verdict.valid)
        return cs_refuse(result, CM_EDENIED, "signature: %.140s", verdict.reason);
    *ret_serial = verdict.serial;
    return 0;
}

bool cs_same_content(const json_t *a, const json_t *b)
{
    json_t *x = json_copy((json_t *)(uintptr_t)a);
    json_t *y = json_copy((json_t *)(uintptr_t)b);
    static const char *const names[] = {"signature", "signatures"};
    for (size_t i = 0; i < 2; i++) {
        json_object_del(x, names[i]);
        json_object_del(y, names[i]);
    }
    bool same = json_equal(x, y) == 1;
    json_decref(x);
    json_decref(y);
    return same;
}
