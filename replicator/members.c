/* Members of documents that CouchDB keeps for itself.  See members.h. */
#include "replicator/members.h"

#include <stdio.h>
#include <string.h>

#include "base/core/json.h"
#include "certstore/rev.h"
#include "certstore/store.h"

#define HEX_ID 32 /* characters of an id that CouchDB reads as hex */

static bool wrong(struct rp_wrong *ret, int status, const char *error, const char *reason)
{
    ret->status = status;
    ret->error = error;
    snprintf(ret->reason, sizeof(ret->reason), "%s", reason);
    return true;
}

static bool bad_member(struct rp_wrong *ret, const char *name)
{
    wrong(ret, 400, "doc_validation", "");
    snprintf(ret->reason, sizeof(ret->reason), "Bad special document member: %.100s", name);
    return true;
}

bool rp_id_wrong(const char *id, struct rp_wrong *ret)
{
    const char *why = NULL;
    if (id[0] == '\0')
        why = "Document id must not be empty";
    else if (strcmp(id, "_design/") == 0)
        why = "Illegal document id `_design/`";
    else if (strlen(id) > CS_ID_MAX)
        why = "Document id is too long";
    else if (id[0] == '_' && strncmp(id, "_design/", 8) != 0)
        why = "Only reserved document ids may start with underscore.";
    return why && wrong(ret, 400, "illegal_docid", why);
}

static bool id_member_wrong(const json_t *id, bool local, struct rp_wrong *ret)
{
    if (!json_is_string(id))
        return wrong(ret, 400, "illegal_docid", "Document id must be a string");
    return !local && rp_id_wrong(json_string_value(id), ret);
}

static bool rev_wrong(const json_t *rev, struct rp_wrong *ret)
{
    if (json_is_string(rev) && cs_rev_named(json_string_value(rev)))
        return false;
    return wrong(ret, 400, "bad_request", "Invalid rev format");
}

static bool revisions_wrong(const json_t *path, struct rp_wrong *ret)
{
    const json_t *ids = json_object_get(path, "ids");
    if (!json_is_object(path))
        return bad_member(ret, "_revisions");
    if (!json_is_integer(json_object_get(path, "start")))
        return wrong(ret, 400, "doc_validation", "_revisions.start isn't an integer.");
    if (!json_is_array(ids))
        return wrong(ret, 400, "doc_validation", "_revisions.ids isn't a array.");
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const char *id = json_string_value(json_array_get(ids, i));
        if (!id)
            return wrong(ret, 400, "doc_validation", "RevId isn't a string");
        if (strlen(id) == HEX_ID && strspn(id, "0123456789abcdefABCDEF") != HEX_ID)
            return wrong(ret, 400, "doc_validation", "RevId isn't a valid hexadecimal");
    }
    return false;
}

/* What a server adds when it is asked, and clients send back as they got it. */
static bool is_ignored(const char *name)
{
    static const char *const known[] = {"_revs_info", "_conflicts", "_local_seq",
                                        "_deleted_conflicts"};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strcmp(name, known[i]) == 0)
            return true;
    return strncmp(name, "_replication_", 13) == 0;
}

static bool member_wrong(const char *name, const json_t *value, bool local, struct rp_wrong *ret)
{
    if (strcmp(name, "_id") == 0)
        return id_member_wrong(value, local, ret);
    if (strcmp(name, "_rev") == 0)
        return rev_wrong(value, ret);
    if (strcmp(name, "_revisions") == 0)
        return revisions_wrong(value, ret);
    if (strcmp(name, "_attachments") == 0)
        return wrong(ret, 403, "forbidden", "Attachments are not supported");
    if (strcmp(name, "_deleted") == 0)
        return !json_is_boolean(value) && bad_member(ret, name);
    return !is_ignored(name) && bad_member(ret, name);
}

bool rp_members_wrong(const json_t *doc, bool local, struct rp_wrong *ret)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)doc, name, value)
    {
        if (name[0] == '_' && member_wrong(name, value, local, ret))
            return true;
    }
    return false;
}
