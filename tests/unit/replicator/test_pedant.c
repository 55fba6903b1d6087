/* A pedantic client: parameters of a wrong type, members that do not belong there, encodings,
 * requests that only look alike.  Statuses and reasons are CouchDB 3's (lab mode). */
#include "tests/unit/replicator/rig.h"

#include <stdio.h>
#include <string.h>

#include "base/core/mem.h"
#include "replicator/serve.h"

#define HEX32(x) x x x x x x x x x x x x x x x x x x x x x x x x x x x x x x x x
#define REV_C    "2-" HEX32("c")
#define REV_D    "2-" HEX32("d")

struct fixture {
    struct rig rig;
    struct node node;
    struct answer a;
};

/* torn: 2-c and 2-d (winner) of 1-a; plain: one revision. */
static int setup(void **state)
{
    struct fixture *f = test_calloc(1, sizeof(*f));
    rig_open(&f->rig);
    node_start(&f->rig, &f->node, "a", true);
    ask(&f->node, &f->a, "POST", "/db/_bulk_docs",
        "{\"new_edits\":false,\"docs\":[{\"_id\":\"torn\",\"_rev\":\"" REV_C
        "\"},{\"_id\":\"torn\",\"_rev\":\"" REV_D "\"},{\"_id\":\"plain\",\"_rev\":\"" REV_A
        "\"}]}");
    assert_int_equal(f->a.status, 201);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    answer_fini(&f->a);
    node_close(&f->node);
    rig_close(&f->rig);
    test_free(f);
    return 0;
}

struct row {
    const char *method, *path, *body;
    int status;
    const char *error, *reason;
};

static void refused(struct fixture *f, const struct row *row)
{
    const char *error = cm_json_str_or(f->a.body, "error", "");
    const char *reason = cm_json_str_or(f->a.body, "reason", "");
    if (f->a.status != row->status || strcmp(error, row->error) != 0 ||
        (row->reason && strcmp(reason, row->reason) != 0))
        fail_msg("%s %s %s: %d %s", row->method, row->path, row->body ? row->body : "", f->a.status,
                 f->a.text);
}

static void run_table(struct fixture *f, const struct row *table, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        ask(&f->node, &f->a, table[i].method, table[i].path, table[i].body);
        refused(f, &table[i]);
    }
}

#define RUN(f, table) run_table(f, table, sizeof(table) / sizeof((table)[0]))

static size_t rows_of(struct fixture *f, const char *path, const char *member)
{
    ask(&f->node, &f->a, "GET", path, NULL);
    if (f->a.status != 200)
        fail_msg("%s: %d %s", path, f->a.status, f->a.text);
    return json_array_size(cm_json_arr(f->a.body, member));
}

/* ---- documents ---------------------------------------------------------------------------- */

#define NO_REV "When `new_edits: false`, the document needs `_rev` or `_revisions` specified"

static void members_of_one_document(void **state)
{
    static const struct row table[] = {
        {"PUT", "/db/x", "{\"_id\":5}", 400, "illegal_docid", "Document id must be a string"},
        {"PUT", "/db/x?new_edits=false", "{\"_id\":5,\"_rev\":\"1-a\"}", 400, "illegal_docid",
         "Document id must be a string"},
        {"PUT", "/db/x", "{\"_rev\":5}", 400, "bad_request", "Invalid rev format"},
        {"PUT", "/db/x?rev=zz", "{}", 400, "bad_request", "Invalid rev format"},
        {"PUT", "/db/x", "{\"_deleted\":\"yes\"}", 400, "doc_validation",
         "Bad special document member: _deleted"},
        {"PUT", "/db/x?new_edits=false", "{\"_rev\":\"1-a\",\"_odd\":1}", 400, "doc_validation",
         "Bad special document member: _odd"},
        {"PUT", "/db/x?new_edits=false", "{}", 400, "bad_request", NO_REV},
        {"PUT", "/db/_design/", "{}", 400, "illegal_docid", "Illegal document id `_design/`"},
        {"POST", "/db", "{\"_id\":\"\"}", 400, "illegal_docid", "Document id must not be empty"},
        {"POST", "/db", "{\"_id\":7}", 400, "illegal_docid", "Document id must be a string"},
        {"POST", "/db", "{\"_revisions\":5}", 400, "doc_validation",
         "Bad special document member: _revisions"},
        {"DELETE", "/db/plain?rev=zz", NULL, 400, "bad_request", "Invalid rev format"},
        {"DELETE", "/db/x?rev=zz", NULL, 404, "not_found", "missing"},
        {"PUT", "/db/x", "[]", 400, "bad_request", "Document must be a JSON object"},
        {"PUT", "/db/x", "", 400, "bad_request", RP_NO_JSON},
        {"PUT", "/db/x", "{\"a\":1,}", 400, "bad_request", RP_NO_JSON},
        {"PUT", "/db/x", "{\"_rev\":\"1" HEX32("0") "-a\"}", 409, "conflict", NULL},
        {"POST", "/db", "5", 400, "bad_request", "Document must be a JSON object"},
        {"POST", "/db/_bulk_docs", "{\"docs\":[{\"_id\":\"x\"},{\"_rev\":\"zz\"}]}", 400,
         "bad_request", "Invalid rev format"},
        {"GET", "/db/x", NULL, 404, "not_found", "missing"}, /* none of all this made it */
    };
    RUN(*state, table);
}

/* A DELETE is an edit, whatever the query says: as a replicated revision it would do nothing and
 * say that all is well. */
static void delete_is_an_edit(void **state)
{
    struct fixture *f = *state;
    ask(&f->node, &f->a, "DELETE", "/db/plain?new_edits=false&rev=" REV_A, NULL);
    assert_int_equal(f->a.status, 200);
    assert_int_equal(strncmp(cm_json_str(f->a.body, "rev"), "2-", 2), 0);
    ask(&f->node, &f->a, "GET", "/db/plain", NULL);
    assert_int_equal(f->a.status, 404);
}

static void batch_is_accepted(void **state)
{
    struct fixture *f = *state;
    ask(&f->node, &f->a, "PUT", "/db/x?batch=ok", "{}");
    assert_int_equal(f->a.status, 202);
    assert_string_equal(f->a.text, "{\"ok\":true,\"id\":\"x\"}\n");
    ask(&f->node, &f->a, "GET", "/db/x", NULL);
    assert_int_equal(f->a.status, 200);
    ask(&f->node, &f->a, "POST", "/db?batch=ok", "{\"_id\":\"y\"}");
    assert_int_equal(f->a.status, 202);
    ask(&f->node, &f->a, "POST", "/db?batch=no", "{\"_id\":\"z\"}");
    assert_int_equal(f->a.status, 201);
    assert_non_null(cm_json_str(f->a.body, "rev"));
    ask(&f->node, &f->a, "PUT", "/db/x?batch=ok", "{}");
    assert_int_equal(f->a.status, 409); /* sooner told than CouchDB does */
}

static void tags_go_with_the_revision(void **state)
{
    static const char *const tagged[] = {"/db/torn?_nonce=7",
                                         "/db/torn?rev=" REV_D,
                                         "/db/torn?latest=true",
                                         "/db/torn?revs=true",
                                         "/db/torn?deleted_conflicts=true",
                                         "/db/torn?attachments=true"};
    static const char *const untagged[] = {"/db/torn?revs_info=true", "/db/torn?conflicts=true",
                                           "/db/torn?local_seq=true", "/db/torn?meta=true"};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof(tagged) / sizeof(tagged[0]); i++) {
        ask_as(&f->node, &f->a, "GET", tagged[i], "If-None-Match: \"" REV_D "\"", NULL);
        if (f->a.status != 304 || !strstr(f->a.headers, "\"" REV_D "\""))
            fail_msg("%s: %d", tagged[i], f->a.status);
    }
    for (size_t i = 0; i < sizeof(untagged) / sizeof(untagged[0]); i++) {
        ask_as(&f->node, &f->a, "GET", untagged[i], "If-None-Match: \"" REV_D "\"", NULL);
        if (f->a.status != 200 || strstr(f->a.headers, "ETag"))
            fail_msg("%s: %d", untagged[i], f->a.status);
    }
    ask_as(&f->node, &f->a, "GET", "/db/torn?rev=" REV_C, "If-None-Match: \"" REV_D "\"", NULL);
    assert_int_equal(f->a.status, 200);
    assert_non_null(strstr(f->a.headers, "\"" REV_C "\""));
}

/* A revision that is too long is none, not the beginning of one. */
static void a_match_beyond_all_revisions(void **state)
{
    struct fixture *f = *state;
    char header[200] = "If-Match: \"1-";
    size_t len = strlen(header);
    memset(header + len, 'x', 100);
    memcpy(header + len + 100, "\"", 2);
    ask_as(&f->node, &f->a, "PUT", "/db/plain", header, "{}");
    static const struct row row = {"PUT", "/db/plain",   "{}",
                                   400,   "bad_request", "Invalid rev format"};
    refused(f, &row);
}

/* A revision that is named comes alone, even when it is the winner's. */
static void a_named_revision_comes_alone(void **state)
{
    struct fixture *f = *state;
    ask(&f->node, &f->a, "GET", "/db/torn?meta=true&local_seq=true&rev=" REV_D, NULL);
    assert_int_equal(f->a.status, 200);
    assert_int_equal(json_object_size(f->a.body), 2);
    assert_non_null(strstr(f->a.headers, "\"" REV_D "\""));
    assert_int_equal(rows_of(f, "/db/torn?meta=true", "_conflicts"), 1);
}

static void open_revs_lists(void **state)
{
    static const struct row table[] = {
        {"GET", "/db/torn?open_revs=%7B%7D", NULL, 400, "bad_request", "Invalid list of revisions"},
        {"GET", "/db/torn?open_revs=%22all%22", NULL, 400, "bad_request",
         "Invalid list of revisions"},
        {"GET", "/db/torn?open_revs=", NULL, 400, "bad_request", RP_NO_JSON},
        {"GET", "/db/torn?open_revs=%5B1%5D", NULL, 400, "bad_request", "Invalid rev format"},
    };
    struct fixture *f = *state;
    RUN(f, table);
    ask(&f->node, &f->a, "GET", "/db/torn?open_revs=%5B%5D", NULL); /* no list: the document */
    assert_string_equal(cm_json_str(f->a.body, "_rev"), REV_D);
}

/* A history that contradicts what is known: every leaf can still be had. */
static void made_up_ancestors(void **state)
{
    struct fixture *f = *state;
    ask(&f->node, &f->a, "POST", "/db/_bulk_docs",
        "{\"new_edits\":false,\"docs\":[{\"_id\":\"x\",\"_revisions\":{\"start\":2,\"ids\":[\"b\","
        "\"a\"]}},{\"_id\":\"x\",\"_revisions\":{\"start\":3,\"ids\":[\"c\",\"b\",\"z\"]}}]}");
    assert_string_equal(f->a.text, "[]\n");
    ask(&f->node, &f->a, "GET", "/db/x?open_revs=all", NULL);
    assert_int_equal(f->a.status, 200);
    assert_int_equal(json_array_size(f->a.body), 1);
    ask(&f->node, &f->a, "POST", "/db/_bulk_get", "{\"docs\":[{\"id\":\"x\"}]}");
    assert_non_null(strstr(f->a.text, "\"3-c\""));
    assert_null(strstr(f->a.text, "\"error\""));
    ask(&f->node, &f->a, "GET", "/db/_changes?style=all_docs", NULL);
    assert_null(strstr(f->a.text, "1-z"));
}

/* ---- lists -------------------------------------------------------------------------------- */

static void all_docs_parameters(void **state)
{
    static const struct row table[] = {
        {"GET", "/db/_all_docs?limit=x", NULL, 400, "query_parse_error",
         "Invalid value for integer: \"x\""},
        {"GET", "/db/_all_docs?skip=-1", NULL, 400, "query_parse_error",
         "Invalid value for positive integer: \"-1\""},
        {"GET", "/db/_all_docs?skip=1.5", NULL, 400, "query_parse_error",
         "Invalid value for integer: \"1.5\""},
        {"GET", "/db/_all_docs?descending=yes", NULL, 400, "query_parse_error",
         "Invalid boolean parameter: \"yes\""},
        {"GET", "/db/_all_docs?include_docs=%22a%0Ab", NULL, 400, "query_parse_error",
         "Invalid boolean parameter"}, /* nothing odd is repeated */
        {"GET", "/db/_all_docs?include_docs=" HEX32("t") "123456789", NULL, 400,
         "query_parse_error", "Invalid boolean parameter"},
        {"GET", "/db/_all_docs?key=torn", NULL, 400, "query_parse_error", NULL},
        {"GET", "/db/_all_docs?keys=%5B", NULL, 400, "query_parse_error", NULL},
        {"GET", "/db/_all_docs?keys=%5B%22torn%22%5D&startkey=%22a%22", NULL, 400,
         "query_parse_error", "`keys` is incompatible with `key`, `start_key` and `end_key`"},
        {"GET", "/db/_all_docs?keys=%5B%22torn%22%5D&end_key=null", NULL, 400, "query_parse_error",
         "`keys` is incompatible with `key`, `start_key` and `end_key`"},
        {"POST", "/db/_all_docs", "{\"keys\":[\"torn\"],\"key\":\"a\"}", 400, "query_parse_error",
         "`keys` is incompatible with `key`, `start_key` and `end_key`"},
        {"POST", "/db/_all_docs", "{\"keys\":null}", 400, "bad_request",
         "`keys` body member must be an array."},
        {"POST", "/db/_all_docs", "{\"limit\":-1}", 400, "query_parse_error", NULL},
        {"POST", "/db/_all_docs", "{\"limit\":null}", 400, "query_parse_error", NULL},
        {"POST", "/db/_all_docs", "{\"descending\":1}", 400, "query_parse_error", NULL},
    };
    struct fixture *f = *state;
    RUN(f, table);
    assert_int_equal(rows_of(f, "/db/_all_docs?keys=%5B%5D&startkey=%22a%22", "rows"), 0);
    assert_int_equal(
        rows_of(f, "/db/_all_docs?limit=99999999999999999999&descending=FALSE", "rows"), 2);
    assert_int_equal(rows_of(f, "/db/_all_docs?include_docs=True", "rows"), 2);
    const json_t *first = json_array_get(cm_json_arr(f->a.body, "rows"), 0);
    assert_non_null(cm_json_obj(first, "doc"));
    /* In a body text is as good as the value that it names. */
    ask(&f->node, &f->a, "POST", "/db/_all_docs", "{\"limit\":\"1\",\"descending\":\"true\"}");
    assert_int_equal(json_array_size(cm_json_arr(f->a.body, "rows")), 1);
    first = json_array_get(cm_json_arr(f->a.body, "rows"), 0);
    assert_string_equal(cm_json_str(first, "id"), "torn");
}

static void bulk_get_entries(void **state)
{
    static const struct {
        const char *id, *error, *reason;
    } rows[] = {
        {NULL, "bad_request", "document must be a JSON object"},
        {NULL, "bad_request", "document must be a JSON object"},
        {NULL, "bad_request", "document id missed"},
        {NULL, "illegal_docid", "Document id must be a string"},
        {"torn", "bad_request", "Invalid rev format"},
        {"torn", "bad_request", "Invalid rev format"},
        {"torn", "not_found", "missing"},
        {"", "illegal_docid", "Document id must not be empty"},
        {"_odd", "illegal_docid", "Only reserved document ids may start with underscore."},
        {"_local/x", "not_found", "missing"},
    };
    struct fixture *f = *state;
    ask(&f->node, &f->a, "POST", "/db/_bulk_get",
        "{\"docs\":[5,{},{\"rev\":\"1-a\"},{\"id\":5},{\"id\":\"torn\",\"rev\":5},"
        "{\"id\":\"torn\",\"rev\":\"\"},{\"id\":\"torn\",\"rev\":\"1" HEX32(
            "0") "-a\"},"
                 "{\"id\":\"\"},{\"id\":\"_odd\"},{\"id\":\"_local/x\"}]}");
    assert_int_equal(f->a.status, 200);
    const json_t *results = cm_json_arr(f->a.body, "results");
    assert_int_equal(json_array_size(results), sizeof(rows) / sizeof(rows[0]));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const json_t *result = json_array_get(results, i);
        assert_int_equal(json_is_null(json_object_get(result, "id")), rows[i].id == NULL);
        const json_t *why = cm_json_obj(json_array_get(cm_json_arr(result, "docs"), 0), "error");
        assert_int_equal(json_is_null(json_object_get(why, "id")), rows[i].id == NULL);
        assert_string_equal(cm_json_str(why, "error"), rows[i].error);
        assert_string_equal(cm_json_str(why, "reason"), rows[i].reason);
    }
    static const struct row table[] = {
        {"POST", "/db/_bulk_get?rev=1-a", "{\"docs\":[]}", 400, "bad_request",
         "\"rev\" query parameter is not acceptable"},
        {"POST", "/db/_bulk_get?open_revs=all", "{\"docs\":[]}", 400, "bad_request", NULL},
        {"POST", "/db/_bulk_get?new_edits=false", "{\"docs\":[]}", 400, "bad_request", NULL},
        {"POST", "/db/_bulk_get?atts_since=%5B%5D", "{\"docs\":[]}", 400, "bad_request", NULL},
        {"POST", "/db/_bulk_get", "{\"docs\":{}}", 400, "bad_request",
         "Missing JSON list of 'docs'."},
    };
    RUN(f, table);
}

static void purge_lists(void **state)
{
    struct fixture *f = *state;
    struct cm_buf text;
    cm_buf_init(&text, 1u << 20);
    cm_buf_puts(&text, "{\"torn\":[\"9-x\"");
    for (int i = 0; i < 9999; i++)
        cm_buf_puts(&text, ",\"9-x\"");
    cm_buf_puts(&text, "],\"plain\":[\"9-x\"");
    for (int i = 0; i < 9999; i++)
        cm_buf_puts(&text, ",\"9-x\"");
    CM_AUTO_STR most = cm_asprintf("%s]}", cm_buf_str(&text));
    ask(&f->node, &f->a, "POST", "/db/_purge", most);
    assert_int_equal(f->a.status, 201);
    cm_buf_puts(&text, ",\"" REV_A "\"]}");
    ask(&f->node, &f->a, "POST", "/db/_purge", cm_buf_str(&text));
    cm_buf_fini(&text);
    static const struct row over = {"POST", "/db/_purge",  "…",
                                    400,    "bad_request", "Exceeded maximum number of revisions."};
    refused(f, &over);
    static const struct row table[] = {
        {"POST", "/db/_purge", "{\"plain\":\"1-a\"}", 400, "bad_request",
         "Invalid list of revisions"},
        {"POST", "/db/_purge", "{\"plain\":[1]}", 400, "bad_request", "Invalid rev format"},
        {"POST", "/db/_purge", "[]", 400, "bad_request", "Request body must be a JSON object"},
    };
    RUN(f, table);
    ask(&f->node, &f->a, "GET", "/db/plain", NULL);
    assert_int_equal(f->a.status, 200);
}

/* ---- feeds -------------------------------------------------------------------------------- */

static void feed_parameters(void **state)
{
    static const struct row table[] = {
        {"GET", "/db/_changes?feed=odd", NULL, 400, "bad_request",
         "Supported `feed` types: normal, continuous, live, longpoll"},
        {"GET", "/db/_changes?heartbeat=x", NULL, 400, "bad_request",
         "Invalid heartbeat value. Expecting a positive integer value (in milliseconds)."},
        {"GET", "/db/_changes?heartbeat=-1", NULL, 400, "bad_request",
         "The heartbeat value should be a positive integer (in milliseconds)."},
        {"GET", "/db/_changes?heartbeat=0", NULL, 400, "bad_request",
         "The heartbeat value should be a positive integer (in milliseconds)."},
        {"GET", "/db/_changes?heartbeat=-99999999999999999999", NULL, 400, "bad_request",
         "The heartbeat value should be a positive integer (in milliseconds)."},
        {"GET", "/db/_changes?timeout=-1", NULL, 400, "bad_request", NULL},
        {"GET", "/db/_changes?limit=-1", NULL, 400, "bad_request", NULL},
        {"GET", "/db/_changes?filter=_selector", NULL, 400, "bad_request",
         "unknown builtin filter name"},
        {"GET", "/db/_changes?filter=odd", NULL, 400, "bad_request",
         "`filter` must be of the form `designname/filtername`"},
        {"GET", "/db/_changes?filter=a/b/c", NULL, 400, "bad_request",
         "`filter` must be of the form `designname/filtername`"},
        {"GET", "/db/_changes?filter=a/", NULL, 400, "bad_request",
         "`filter` must be of the form `designname/filtername`"},
        {"GET", "/db/_changes?filter=a/b", NULL, 404, "not_found", "missing"},
        {"GET", "/db/_changes?since=-1", NULL, 400, "bad_request",
         "Malformed sequence supplied in 'since' parameter."},
    };
    struct fixture *f = *state;
    RUN(f, table);
    assert_int_equal(rows_of(f, "/db/_changes?filter=", "results"), 2);
    assert_int_equal(rows_of(f, "/db/_changes?limit=99999999999999999999", "results"), 2);
    /* A number that was never given out: all of it, rather than nothing for ever. */
    assert_int_equal(rows_of(f, "/db/_changes?since=999999&feed=longpoll", "results"), 2);
    assert_int_equal(
        rows_of(f, "/db/_changes?since=999999&heartbeat=99999999999999999999", "results"), 2);
    assert_int_equal(rows_of(f, "/db/_changes?since=now", "results"), 0);
}

/* HEAD has nothing to wait for: a parked one would hold its connection for ever. */
static void head_never_waits(void **state)
{
    static const char *const rows[] = {
        "/db/_changes?feed=continuous&since=now&heartbeat=60000",
        "/db/_changes?feed=longpoll&since=now",
        "/db/_changes",
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ask(&f->node, &f->a, "HEAD", rows[i], NULL);
        assert_int_equal(f->a.status, 200);
        assert_int_equal(rows_of(f, "/db/_changes", "results"), 2);
        ask(&f->node, &f->a, "GET", "/db/", NULL);
        assert_null(f->node.server->streams);
    }
}

/* ---- places and encodings ----------------------------------------------------------------- */

static void places_that_look_alike(void **state)
{
    static const struct row table[] = {
        {"GET", "/db/_local", NULL, 400, "bad_request", "Invalid _local document id."},
        {"PUT", "/db/_local", "{}", 400, "bad_request", "Invalid _local document id."},
        {"PUT", "/db/_local/", "{}", 400, "bad_request", "Invalid _local document id."},
        {"GET", "/db/_local/a/b", NULL, 400, "bad_request",
         "_local documents do not accept attachments."},
        {"PUT", "/db/_local/a/b", "{}", 400, "bad_request",
         "_local documents do not accept attachments."},
        {"GET", "/db/_changes/x", NULL, 404, "not_found", "missing"},
        {"POST", "/db/_compact/x", "{}", 404, "not_found", "missing"},
        {"GET", "/db/_design/x/_view/y", NULL, 404, "not_found", "missing"},
        {"GET", "/db/plain/file", NULL, 404, "not_found", "Document is missing attachment"},
        {"PUT", "/db/_design/x/file", "x", 415, "bad_content_type", NULL},
        {"GET", "/_uuids?count=99999999999999999999", NULL, 400, "bad_request",
         "count parameter too large"},
        {"GET", "/_uuids/x", NULL, 404, "not_found", NULL},
        {"POST", "/_all_dbs", "{}", 405, "method_not_allowed", "Only GET,HEAD allowed"},
    };
    RUN(*state, table);
}

static void local_documents(void **state)
{
    static const struct row table[] = {
        {"PUT", "/db/_local/x", "{\"_odd\":1}", 400, "doc_validation",
         "Bad special document member: _odd"},
        {"PUT", "/db/_local/x", "{\"_deleted\":\"y\"}", 400, "doc_validation",
         "Bad special document member: _deleted"},
        {"PUT", "/db/_local/x", "{\"_attachments\":{}}", 403, "forbidden", NULL},
        {"PUT", "/db/_local/x", "[]", 400, "bad_request", "Document must be a JSON object"},
        {"PUT", "/db/_local/x", "{\"_rev\":\"zz\"}", 400, "bad_request", "Invalid rev format"},
        {"PUT", "/db/_local/x?rev=0-1", "{\"_rev\":\"0-2\"}", 400, "bad_request", NULL},
        {"GET", "/db/_local/x", NULL, 404, "not_found", "missing"},
    };
    struct fixture *f = *state;
    RUN(f, table);
    CM_AUTO_STR text = cm_malloc(300001);
    memset(text, 'x', 300000);
    text[300000] = '\0';
    CM_AUTO_STR giant = cm_asprintf("{\"v\":\"%s\"}", text);
    ask(&f->node, &f->a, "PUT", "/db/_local/giant", giant);
    static const struct row large = {"PUT", "/db/_local/giant",   "…",
                                     413,   "document_too_large", "giant"};
    refused(f, &large); /* a 500 would be tried again for ever */
    ask_as(&f->node, &f->a, "PUT", "/db/_local/x",
           "Content-Type: multipart/related; boundary=\"x\"", "--x--");
    assert_int_equal(f->a.status, 415);
    text[201] = '\0';
    CM_AUTO_STR path = cm_asprintf("/db/_local/%s", text);
    ask(&f->node, &f->a, "PUT", path, "{}");
    static const struct row id = {"PUT", "/db/_local/xxx…", "{}", 400, "bad_request", RP_NO_LOCAL};
    refused(f, &id);
    path[strlen(path) - 1] = '\0';
    ask(&f->node, &f->a, "PUT", path, "{}");
    assert_int_equal(f->a.status, 201);
    ask(&f->node, &f->a, "PUT", "/db/_local/x", "{\"_rev\":\"0-7\",\"_id\":\"_local/x\"}");
    assert_string_equal(cm_json_str(f->a.body, "rev"), "0-8");
    ask(&f->node, &f->a, "PUT", "/db/_local/x?rev=0-41", "{}");
    assert_string_equal(cm_json_str(f->a.body, "rev"), "0-42");
    ask(&f->node, &f->a, "PUT", "/db/_local/x", "{}");
    assert_string_equal(cm_json_str(f->a.body, "rev"), "0-1");
    for (int i = 0; i < 2; i++) { /* there is one; there is none */
        ask(&f->node, &f->a, "PUT", "/db/_local/x", "{\"_deleted\":true}");
        assert_int_equal(f->a.status, 200);
        assert_string_equal(cm_json_str(f->a.body, "rev"), "0-0");
    }
}

static void types_and_encodings(void **state)
{
    static const struct {
        const char *header;
        int status;
    } rows[] = {
        {"Content-Type: application/json; charset=utf-8", 201},
        {"Content-Type: Application/JSON", 201},
        {"Content-Type: application/json ;x=y", 201},
        {"Content-Type: application/jsonx", 415},
        {"Content-Type: application/json-patch+json", 415},
        {"Content-Type: text/json", 415},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ask_as(&f->node, &f->a, "POST", "/db/_bulk_docs", rows[i].header, "{\"docs\":[]}");
        if (f->a.status != rows[i].status)
            fail_msg("%s: %d", rows[i].header, f->a.status);
    }
    ask_as(&f->node, &f->a, "PUT", "/db/x", "Content-Encoding: gzip", "{}");
    assert_int_equal(f->a.status, 415);
    assert_string_equal(cm_json_str(f->a.body, "error"), "bad_content_type");
    ask_as(&f->node, &f->a, "PUT", "/db/x", "Content-Encoding: Identity", "{}");
    assert_int_equal(f->a.status, 201);
    ask_as(&f->node, &f->a, "GET", "/db/x", "Content-Encoding: gzip", NULL);
    assert_int_equal(f->a.status, 200); /* of no body */
}

/* The body is not read; who reads errors as JSON still can. */
static void a_body_beyond_all(void **state)
{
    struct fixture *f = *state;
    CM_AUTO_STR body = cm_malloc(RP_BODY_MAX + 2);
    memset(body, ' ', RP_BODY_MAX + 1);
    body[RP_BODY_MAX + 1] = '\0';
    ask_as(&f->node, &f->a, "POST", "/db/_bulk_docs", "Expect: 100-continue", body);
    static const struct row row = {"POST", "/db/_bulk_docs", "…",
                                   413,    "too_large",      "the request entity is too large"};
    refused(f, &row);
    memcpy(body, "{\"docs\":[]}", 11);
    body[RP_BODY_MAX] = '\0';
    ask(&f->node, &f->a, "POST", "/db/_bulk_docs", body);
    assert_int_equal(f->a.status, 201);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(members_of_one_document),
        T(delete_is_an_edit),
        T(batch_is_accepted),
        T(a_match_beyond_all_revisions),
        T(tags_go_with_the_revision),
        T(a_named_revision_comes_alone),
        T(open_revs_lists),
        T(made_up_ancestors),
        T(all_docs_parameters),
        T(bulk_get_entries),
        T(purge_lists),
        T(feed_parameters),
        T(head_never_waits),
        T(places_that_look_alike),
        T(local_documents),
        T(types_and_encodings),
        T(a_body_beyond_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
