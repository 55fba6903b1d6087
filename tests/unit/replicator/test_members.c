/* Members of documents that CouchDB keeps for itself: who may be there, and of what type. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/core/json.h"
#include "base/core/mem.h"
#include "replicator/members.h"

struct row {
    const char *doc; /* JSON */
    const char *error, *reason;
};

static void refused(const struct row *row, bool local)
{
    CM_AUTO_JSON doc = NULL;
    struct rp_wrong wrong = {0};
    assert_int_equal(cm_json_parse(row->doc, strlen(row->doc), &doc, NULL), 0);
    if (!rp_members_wrong(doc, local, &wrong))
        fail_msg("taken: %s", row->doc);
    if (strcmp(wrong.error, row->error) != 0 || strcmp(wrong.reason, row->reason) != 0)
        fail_msg("%s: %s %s", row->doc, wrong.error, wrong.reason);
    assert_int_equal(wrong.status, strcmp(row->error, "forbidden") == 0 ? 403 : 400);
}

static void taken(const char *text, bool local)
{
    CM_AUTO_JSON doc = NULL;
    struct rp_wrong wrong = {0};
    assert_int_equal(cm_json_parse(text, strlen(text), &doc, NULL), 0);
    if (rp_members_wrong(doc, local, &wrong))
        fail_msg("%s: %s", text, wrong.reason);
}

static void what_couchdb_refuses(void **state)
{
    static const struct row rows[] = {
        {"{\"_id\":5}", "illegal_docid", "Document id must be a string"},
        {"{\"_id\":null}", "illegal_docid", "Document id must be a string"},
        {"{\"_id\":\"\"}", "illegal_docid", "Document id must not be empty"},
        {"{\"_id\":\"_design/\"}", "illegal_docid", "Illegal document id `_design/`"},
        {"{\"_id\":\"_local/x\"}", "illegal_docid",
         "Only reserved document ids may start with underscore."},
        {"{\"_id\":\"_designs/x\"}", "illegal_docid",
         "Only reserved document ids may start with underscore."},
        {"{\"_rev\":5}", "bad_request", "Invalid rev format"},
        {"{\"_rev\":\"\"}", "bad_request", "Invalid rev format"},
        {"{\"_rev\":\"1\"}", "bad_request", "Invalid rev format"},
        {"{\"_deleted\":\"yes\"}", "doc_validation", "Bad special document member: _deleted"},
        {"{\"_deleted\":null}", "doc_validation", "Bad special document member: _deleted"},
        {"{\"_revisions\":[1]}", "doc_validation", "Bad special document member: _revisions"},
        {"{\"_revisions\":{\"start\":\"1\",\"ids\":[]}}", "doc_validation",
         "_revisions.start isn't an integer."},
        {"{\"_revisions\":{\"ids\":[]}}", "doc_validation", "_revisions.start isn't an integer."},
        {"{\"_revisions\":{\"start\":1,\"ids\":\"a\"}}", "doc_validation",
         "_revisions.ids isn't a array."},
        {"{\"_revisions\":{\"start\":2,\"ids\":[\"a\",5]}}", "doc_validation",
         "RevId isn't a string"},
        {"{\"_revisions\":{\"start\":1,\"ids\":[\"0011223344556677889900aabbccddgg\"]}}",
         "doc_validation", "RevId isn't a valid hexadecimal"},
        {"{\"_odd\":1}", "doc_validation", "Bad special document member: _odd"},
        {"{\"v\":1,\"_\":1}", "doc_validation", "Bad special document member: _"},
        {"{\"_replication\":1}", "doc_validation", "Bad special document member: _replication"},
        {"{\"_attachments\":{}}", "forbidden", "Attachments are not supported"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        refused(&rows[i], false);
}

static void what_it_takes(void **state)
{
    (void)state;
    taken("{}", false);
    taken("{\"_id\":\"a_b\",\"_rev\":\"1-a\",\"_deleted\":false,\"v\":{\"_odd\":1}}", false);
    taken("{\"_rev\":\"100000000000000000000000000-a\"}", false); /* a conflict later on */
    taken("{\"_id\":\"_design/x\",\"_revisions\":{\"start\":2,\"ids\":[\"b\",\"a\"]}}", false);
    /* What a server added, sent back as it was. */
    taken("{\"_revs_info\":[],\"_conflicts\":[],\"_deleted_conflicts\":[],\"_local_seq\":3,"
          "\"_replication_state\":\"triggered\"}",
          false);
}

/* The bound of an id, and a member's name however long it is. */
static void bounds(void **state)
{
    struct rp_wrong wrong;
    char text[1002];
    (void)state;
    memset(text, 'x', 1001);
    text[401] = '\0';
    assert_true(rp_id_wrong(text, &wrong));
    assert_string_equal(wrong.reason, "Document id is too long");
    text[400] = '\0';
    assert_false(rp_id_wrong(text, &wrong));
    text[0] = '_';
    text[400] = 'x';
    text[1001] = '\0';
    CM_AUTO_JSON doc = json_object();
    cm_json_set_int(doc, text, 1);
    assert_true(rp_members_wrong(doc, false, &wrong));
    assert_string_equal(wrong.error, "doc_validation");
}

/* Of a _local document the id stands in the URL. */
static void local_documents(void **state)
{
    static const struct row rows[] = {
        {"{\"_id\":5}", "illegal_docid", "Document id must be a string"},
        {"{\"_deleted\":\"y\"}", "doc_validation", "Bad special document member: _deleted"},
        {"{\"_odd\":1}", "doc_validation", "Bad special document member: _odd"},
        {"{\"_attachments\":{}}", "forbidden", "Attachments are not supported"},
        {"{\"_rev\":5}", "bad_request", "Invalid rev format"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        refused(&rows[i], true);
    taken("{\"_id\":\"_local/x\",\"_rev\":\"0-7\"}", true);
    taken("{\"_rev\":\"0-\",\"_deleted\":true}", true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_couchdb_refuses),
        cmocka_unit_test(what_it_takes),
        cmocka_unit_test(bounds),
        cmocka_unit_test(local_documents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
