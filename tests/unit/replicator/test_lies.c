/* A peer that lies to our client: it gets nothing but what was offered, gives nothing but what was
 * asked for, and holds nobody up. */
#include "tests/unit/replicator/rig.h"

#include <stdio.h>
#include <string.h>

#include "base/core/mem.h"
#include "replicator/values.h"
#include "tests/unit/replicator/quick.h"

#define RECEIPT "receipt:edge:" ULID("01")

#define HALVINGS 10 /* of a page, until it is one row */

struct fixture {
    struct rig rig;
    struct node up, edge;
    struct rp_client *client;
    struct lie lie;
    const char *part, *wanted; /* of the status: what it is to say */
    const char *at;            /* a document that is to come */
};

static int setup(void **state)
{
    struct fixture *f = test_calloc(1, sizeof(*f));
    rig_open(&f->rig);
    f->rig.peer = "edge";
    node_start(&f->rig, &f->up, "up", false);
    node_start(&f->rig, &f->edge, "edge", false);
    f->lie.status = 200;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    rp_client_end(f->client);
    node_close(&f->edge);
    node_close(&f->up);
    rig_close(&f->rig);
    test_free(f);
    return 0;
}

static void tell(struct fixture *f, const char *path, const char *text)
{
    f->lie.path = path;
    f->lie.text = text;
    f->up.lie = &f->lie;
}

/* Does the status of the direction contain the text? */
static bool says(void *arg)
{
    struct fixture *f = arg;
    CM_AUTO_JSON part = client_part(f->client, f->part);
    CM_AUTO_STR text = cm_json_dump(part, NULL);
    return strstr(text, f->wanted) != NULL;
}

static void wait_until_it_says(struct fixture *f, const char *part, const char *wanted)
{
    f->part = part;
    f->wanted = wanted;
    rig_wait(&f->rig, says, f);
}

static bool holds(struct node *node, const char *id)
{
    CM_AUTO_JSON body = cs_get_body(node->store, id);
    return body != NULL;
}

static bool has_come(void *arg)
{
    struct fixture *f = arg;
    return holds(&f->edge, f->at);
}

static bool checkpoint_put(void *arg)
{
    return ((struct fixture *)arg)->up.puts > 0;
}

static bool told(void *arg)
{
    return ((struct fixture *)arg)->lie.told > 0;
}

/* It says that it lacks what was never offered: documents that are not pushed, other versions. */
static void gets_only_what_was_offered(void **state)
{
    struct fixture *f = *state;
    char rev[CS_REV_MAX + 1], text[512];
    put_doc(&f->edge, doc_settings("mine", 1000, 7), rev);
    put_doc(&f->edge, doc_receipt("edge", ULID("01"), 1, "opened"), NULL);
    snprintf(text, sizeof(text),
             "{\"settings:mine\":{\"missing\":[\"%s\"]},\"" RECEIPT "\":{\"missing\":[\"%s\",7]}}",
             rev, rev);
    tell(f, "/_revs_diff", text);
    f->client = client_start_with(&f->edge, &f->up, false, true);
    rig_wait(&f->rig, told, f);
    client_settle(&f->edge, f->client);
    assert_int_equal(f->up.docs_sent, 0);
    assert_int_equal(f->up.bulk_docs, 0);
}

/* Documents with values that are not read here: each stays behind alone and is listed, the job is
 * well and has moved on. */
static bool sends_unread(void *arg, const struct http_request *req, struct http_exchange *ex)
{
    static const char *const values[] = {"123456789012345678901234567890",
                                         "1e400",
                                         "\"\\udc00\"",
                                         "\"\\u0000\"",
                                         "1,\"v\":2",
                                         "\"\xff\""};
    (void)arg;
    for (size_t i = 0; strstr(req->head.path, "/_bulk_get") && i < 6; i++) {
        char name[32];
        snprintf(name, sizeof(name), "\"settings:bad%zu\"", i);
        if (!strstr(req->body, name))
            continue;
        CM_AUTO_STR text = cm_asprintf("{\"results\":[{\"id\":%s,\"docs\":[{\"ok\":{\"_id\":%s,"
                                       "\"_rev\":\"1-a\",\"v\":%s}}]}]}",
                                       name, name, values[i]);
        http_ex_reply(ex, 200, "application/json", text, strlen(text));
        return true;
    }
    return false;
}

static void what_is_not_read_is_listed(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 30; i++) {
        char name[16];
        snprintf(name, sizeof(name), i % 5 ? "good%d" : "bad%d", i % 5 ? i : i / 5);
        put_doc(&f->up, doc_settings(name, 1000, 7), NULL);
    }
    f->up.answer = sends_unread;
    f->client = client_start_with(&f->edge, &f->up, true, false);
    client_settle(&f->edge, f->client);
    wait_until_it_says(f, "pull", "\"refused\":6");
    rig_wait(&f->rig, checkpoint_put, f);
    assert_int_equal(cs_doc_count(f->edge.store), 24);
    CM_AUTO_JSON list = cs_quarantine(f->edge.store);
    assert_int_equal(json_array_size(list), 6);
    assert_non_null(strstr(cm_json_str(json_array_get(list, 0), "reason"), "left out"));
    unsigned asked = f->up.bulk_gets;
    put_doc(&f->up, doc_settings("last", 1000, 7), NULL);
    client_settle(&f->edge, f->client);
    assert_true(holds(&f->edge, "settings:last"));
    assert_int_equal(f->up.bulk_gets, asked + 1); /* what stayed behind is not asked for again */
}

/* Asked for one document it sends another one, validly signed, that is not ours to take. */
static void gives_only_what_was_asked_for(void **state)
{
    struct fixture *f = *state;
    char text[2048];
    CM_AUTO_JSON receipt = doc_receipt("other", ULID("02"), 5, "served");
    cm_json_set_str(receipt, "_rev", REV_A);
    CM_AUTO_STR doc = cm_json_dump(receipt, NULL);
    put_doc(&f->up, doc_settings("a", 1000, 7), NULL);
    snprintf(text, sizeof(text), "{\"results\":[{\"id\":\"settings:a\",\"docs\":[{\"ok\":%s}]}]}",
             doc);
    tell(f, "/_bulk_get", text);
    f->client = client_start_with(&f->edge, &f->up, true, false);
    rig_wait(&f->rig, told, f);
    rig_sleep(&f->rig, 50);
    assert_false(holds(&f->edge, "receipt:other:" ULID("02")));
    f->up.lie = NULL;
    put_doc(&f->up, doc_settings("b", 1001, 7), NULL);
    client_settle(&f->edge, f->client);
    assert_true(holds(&f->edge, "settings:b"));
}

/* Rows, and the place where we asked from: without an end, if it were believed. */
static void a_feed_moves_on(void **state)
{
    struct fixture *f = *state;
    put_doc(&f->up, doc_settings("a", 1000, 7), NULL);
    f->client = client_start_with(&f->edge, &f->up, true, false);
    client_settle(&f->edge, f->client);
    CM_AUTO_STR seq = cm_asprintf("%lld-%s", (long long)cs_seq(f->up.store), cs_epoch(f->up.store));
    CM_AUTO_STR text =
        cm_asprintf("{\"results\":[{\"seq\":\"%s\",\"id\":\"settings:a\",\"changes\":"
                    "[{\"rev\":\"" REV_A "\"}]}],\"last_seq\":\"%s\"}",
                    seq, seq);
    tell(f, "/_changes", text);
    put_doc(&f->up, doc_settings("b", 1001, 7), NULL); /* ends the longpoll */
    wait_until_it_says(f, "pull", "does not move on");
    f->up.lie = NULL;
}

/* A login page, or a proxy that answers everything: no hub, and nobody is up to date with it. */
static void a_page_is_no_database(void **state)
{
    struct fixture *f = *state;
    f->up.lie = &f->lie;
    f->lie.path = "/"; /* whatever is asked */
    f->lie.text = "<html><body>Please log in</body></html>";
    f->client = client_start_with(&f->edge, &f->up, true, true);
    wait_until_it_says(f, "push", "it does not answer as a CouchDB does (HTTP 200)");
    wait_until_it_says(f, "pull", "opening the database of the peer: it does not answer as");
    CM_AUTO_JSON push = client_part(f->client, "push");
    assert_string_equal(cm_json_str(push, "state"), "waiting");
    assert_null(json_object_get(push, "last_success_at"));
    assert_null(
        json_object_get(push, "lag_seconds")); /* not known: 0 would say that all is there */
    f->up.lie = NULL;
    client_settle(&f->edge, f->client);
}

/* A feed that makes no sense, tried again and again: each time it came, and was no success. */
static void what_makes_no_sense_is_no_success(void **state)
{
    struct fixture *f = *state;
    static const char *const feeds[] = {"{\"results\":[{\"seq\":", "{\"ok\":true}"};
    f->client = client_start_with(&f->edge, &f->up, true, false);
    client_settle(&f->edge, f->client);
    tell(f, "/_changes", feeds[0]);
    put_doc(&f->up, doc_settings("a", 1000, 7), NULL); /* the last true answer of the longpoll */
    wait_until_it_says(f, "pull", "\"attempts\":1");
    CM_AUTO_JSON before = client_part(f->client, "pull");
    wait_until_it_says(f, "pull", "\"attempts\":3");
    tell(f, "/_changes", feeds[1]);
    wait_until_it_says(f, "pull", "does not parse");
    CM_AUTO_JSON after = client_part(f->client, "pull");
    assert_string_equal(cm_json_str(after, "last_success_at"),
                        cm_json_str(before, "last_success_at"));
    f->up.lie = NULL;
    client_settle(&f->edge, f->client);
    assert_true(holds(&f->edge, "settings:a"));
}

/* Whoever takes the feed for a page and the question for a page says what was asked. */
static void pages_in_the_middle(void **state)
{
    struct fixture *f = *state;
    put_doc(&f->edge, doc_receipt("edge", ULID("01"), 1, "opened"), NULL);
    tell(f, "/_revs_diff", "<html>Please log in</html>");
    f->client = client_start_with(&f->edge, &f->up, true, true);
    wait_until_it_says(f, "push", "comparing revisions with the peer: it does not answer as");
    f->up.lie = NULL;
    client_settle(&f->edge, f->client);
    tell(f, "/_changes", "<html>Please log in</html>");
    put_doc(&f->up, doc_settings("a", 1000, 7), NULL);
    wait_until_it_says(f, "pull", "reading the changes of the peer: it does not answer as");
    CM_AUTO_JSON before = client_part(f->client, "pull");
    wait_until_it_says(f, "pull", "\"attempts\":3");
    CM_AUTO_JSON after = client_part(f->client, "pull");
    assert_string_equal(cm_json_str(after, "last_success_at"),
                        cm_json_str(before, "last_success_at"));
    assert_in_range(f->lie.told, 3, 4); /* not asked for in halves */
    f->up.lie = NULL;
    client_settle(&f->edge, f->client);
    assert_true(holds(&f->edge, "settings:a"));
}

/* Its tokens become those of another store while the job runs. */
static void an_incarnation_does_not_change_silently(void **state)
{
    struct fixture *f = *state;
    f->client = client_start_with(&f->edge, &f->up, true, false);
    client_settle(&f->edge, f->client);
    tell(f, "/_changes", "{\"results\":[],\"last_seq\":\"7-0badcafe\"}");
    put_doc(&f->up, doc_settings("a", 1000, 7), NULL);
    wait_until_it_says(f, "pull", "another incarnation");
    f->up.lie = NULL;
}

static bool one_refused(void *arg)
{
    struct fixture *f = arg;
    CM_AUTO_JSON push = client_part(f->client, "push");
    return cm_json_int(push, "refused", 0) == 1;
}

/* A peer that finds everything too large gets each document offered once. */
static void too_large_is_said_once(void **state)
{
    struct fixture *f = *state;
    put_doc(&f->edge, doc_receipt("edge", ULID("01"), 1, "opened"), NULL);
    f->lie.status = 413;
    tell(f, "/_bulk_docs", "{}");
    f->client = client_start_with(&f->edge, &f->up, false, true);
    rig_wait(&f->rig, one_refused, f);
    client_settle(&f->edge, f->client);
    assert_int_equal(f->lie.told, 1);
}

/* Two together are too large: each of them is not. */
static void too_large_together_is_sent_in_halves(void **state)
{
    struct fixture *f = *state;
    put_doc(&f->edge, doc_receipt("edge", ULID("01"), 1, "opened"), NULL);
    put_doc(&f->edge, doc_receipt("edge", ULID("02"), 1, "opened"), NULL);
    f->lie.status = 413;
    f->lie.times = 1;
    tell(f, "/_bulk_docs", "{}");
    f->client = client_start_with(&f->edge, &f->up, false, true);
    rig_wait(&f->rig, told, f);
    client_settle(&f->edge, f->client);
    assert_true(holds(&f->up, RECEIPT));
    assert_true(holds(&f->up, "receipt:edge:" ULID("02")));
    CM_AUTO_JSON push = client_part(f->client, "push");
    assert_int_equal(cm_json_int(push, "refused", -1), 0);
}

/* What the peer took must be on its disk before either side remembers it. */
static void the_peer_saves_before_it_is_remembered(void **state)
{
    struct fixture *f = *state;
    put_doc(&f->edge, doc_receipt("edge", ULID("01"), 1, "opened"), NULL);
    f->up.puts = 0;
    tell(f, "/_ensure_full_commit", "{\"ok\":true}");
    f->client = client_start_with(&f->edge, &f->up, false, true);
    rig_wait(&f->rig, checkpoint_put, f);
    assert_true(f->lie.told >= 1);
}

/* Once an expired trust root counts again everything is compared anew, whatever was noted. */
static void is_compared_again(void **state)
{
    struct fixture *f = *state;
    put_doc(&f->up, doc_settings("a", 1000, 7), NULL);
    f->client = client_start_with(&f->edge, &f->up, true, false);
    client_settle(&f->edge, f->client);
    rig_wait(&f->rig, checkpoint_put, f);
    unsigned before = f->up.from_zero;
    rp_client_retarget(f->client, f->up.url, NULL);
    client_settle(&f->edge, f->client);
    assert_int_equal(f->up.from_zero, before); /* from the checkpoint */
    rp_client_again(f->client);
    client_settle(&f->edge, f->client);
    assert_int_equal(f->up.from_zero, before + 1);
}

/* A document with more leaves than can be read is looked at without them; the feed goes on. */
static void one_endless_row_stops_nothing(void **state)
{
    struct fixture *f = *state;
    struct cm_buf text;
    cm_buf_init(&text, 4u << 20);
    cm_buf_puts(&text, "{\"results\":[{\"id\":\"settings:a\",\"changes\":[");
    for (int i = 0; i < RP_VALUES_MAX; i++)
        cm_buf_puts(&text, "0,");
    cm_buf_puts(&text, "0]}],\"last_seq\":1}");
    f->lie.query = "style=all_docs"; /* the reply to every question for all leaves */
    tell(f, "/_changes", cm_buf_str(&text));
    put_doc(&f->up, doc_settings("a", 1000, 7), NULL);
    f->client = client_start_with(&f->edge, &f->up, true, false);
    f->at = "settings:a";
    rig_wait(&f->rig, has_come, f);
    f->up.lie = NULL;
    cm_buf_fini(&text);
    CM_AUTO_JSON list = cs_quarantine(f->edge.store);
    assert_int_equal(json_array_size(list), 1);
    assert_non_null(strstr(cm_json_str(json_array_get(list, 0), "reason"), "more versions than"));
}

/* A member of a hub wrote an id that is no text for us: the rows beside it are read. */
static void an_unreadable_name_stops_nothing(void **state)
{
    struct fixture *f = *state;
    char rev[CS_REV_MAX + 1];
    put_doc(&f->up, doc_settings("a", 1000, 7), rev);
    CM_AUTO_STR text = cm_asprintf(
        "{\"results\":[{\"seq\":1,\"id\":\"x\\u0000\",\"changes\":[{\"rev\":\"1-\\ud800\"}]},"
        "{\"seq\":2,\"id\":\"settings:a\",\"changes\":[{\"rev\":\"1-\\u0000\"},{\"rev\":\"%s\"}]}],"
        "\"last_seq\":\"1-%s\"}",
        rev, cs_epoch(f->up.store));
    f->lie.query = "since=0";
    tell(f, "/_changes", text);
    f->client = client_start_with(&f->edge, &f->up, true, false);
    f->at = "settings:a";
    rig_wait(&f->rig, has_come, f);
    client_settle(&f->edge, f->client);
    assert_int_equal(f->lie.told, 1);
}

/* A row that cannot be read at all: the feed goes on behind it, and people are told. */
static void an_unreadable_row_is_passed_over(void **state)
{
    struct fixture *f = *state;
    put_doc(&f->up, doc_settings("a", 1000, 7), NULL);
    put_doc(&f->up, doc_settings("b", 1001, 7), NULL);
    CM_AUTO_STR text = cm_asprintf("{\"results\":[\n{\"seq\":\"1-%s\",\"id\":\"x\",\"changes\":"
                                   "[99999999999999999999999]}],\"last_seq\":1}",
                                   cs_epoch(f->up.store));
    f->lie.query = "since=0";
    tell(f, "/_changes", text);
    f->client = client_start_with(&f->edge, &f->up, true, false);
    f->at = "settings:b";
    rig_wait(&f->rig, has_come, f);
    client_settle(&f->edge, f->client);
    assert_false(holds(&f->edge, "settings:a")); /* it was in that row */
    CM_AUTO_JSON list = cs_quarantine(f->edge.store);
    assert_int_equal(json_array_size(list), 1);
    assert_string_equal(cm_json_str(json_array_get(list, 0), "id"), "_changes");
    assert_non_null(strstr(cm_json_str(json_array_get(list, 0), "reason"), "passed over"));
}

/* The beginning of a row, as of a hub whose node fails while it answers and ends the answer there,
 * as if that were its end. */
static char *half_row(const struct fixture *f)
{
    return cm_asprintf("{\"results\":[\n{\"seq\":\"1-%s\",\"id\":\"settings:a\",\"changes\":"
                       "[{\"rev\":\"1-",
                       cs_epoch(f->up.store));
}

static void comes_whole(struct fixture *f)
{
    f->at = "settings:a";
    rig_wait(&f->rig, has_come, f);
    client_settle(&f->edge, f->client);
    CM_AUTO_JSON list = cs_quarantine(f->edge.store);
    assert_int_equal(json_array_size(list), 0);
}

/* Half of a row is none with too many versions, so it is asked for with all of them again. */
static void half_of_a_row_is_asked_for_again(void **state)
{
    struct fixture *f = *state;
    put_doc(&f->up, doc_settings("a", 1000, 7), NULL);
    CM_AUTO_STR text = half_row(f);
    f->lie.query = "style=all_docs";
    f->lie.times = 2 * HALVINGS;
    tell(f, "/_changes", text);
    f->client = client_start_with(&f->edge, &f->up, true, false);
    wait_until_it_says(f, "pull", "ended in the middle");
    comes_whole(f);
    assert_int_equal(f->lie.told, f->lie.times);
}

/* … and none that cannot be read, even where it was once found too large. */
static bool large_then_half(void *arg, const struct http_request *req, struct http_exchange *ex)
{
    struct fixture *f = arg;
    if (f->lie.told >= f->lie.times || !strstr(req->head.path, "/_changes"))
        return false;
    CM_AUTO_STR half = half_row(f);
    bool all = strstr(req->head.query, "style=all_docs") != NULL;
    const char *text = all ? f->lie.text : half;
    f->lie.told += !all;
    http_ex_reply(ex, 200, "application/json", text, strlen(text));
    return true;
}

static void half_of_a_large_row_is_asked_for_again(void **state)
{
    struct fixture *f = *state;
    struct cm_buf large;
    cm_buf_init(&large, 4u << 20);
    cm_buf_puts(&large, "{\"results\":[");
    for (int i = 0; i <= RP_VALUES_MAX; i++)
        cm_buf_puts(&large, "0,");
    put_doc(&f->up, doc_settings("a", 1000, 7), NULL);
    f->lie.text = cm_buf_str(&large);
    f->lie.times = 2;
    f->up.answer = large_then_half;
    f->up.answer_arg = f;
    f->client = client_start_with(&f->edge, &f->up, true, false);
    wait_until_it_says(f, "pull", "ended in the middle");
    comes_whole(f);
    assert_int_equal(f->lie.told, f->lie.times);
    cm_buf_fini(&large);
}

/* The same row for ever is not passed over for ever. */
static void a_row_that_stays_is_an_error(void **state)
{
    struct fixture *f = *state;
    CM_AUTO_STR text = cm_asprintf("{\"results\":[\n{\"seq\":\"1-%s\",\"id\":\"x\",\"changes\":"
                                   "[99999999999999999999999]}],\"last_seq\":1}",
                                   cs_epoch(f->up.store));
    tell(f, "/_changes", text);
    f->client = client_start_with(&f->edge, &f->up, true, false);
    wait_until_it_says(f, "pull", "does not parse");
    f->up.lie = NULL;
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(what_is_not_read_is_listed),
        T(gets_only_what_was_offered),
        T(gives_only_what_was_asked_for),
        T(a_feed_moves_on),
        T(a_page_is_no_database),
        T(what_makes_no_sense_is_no_success),
        T(pages_in_the_middle),
        T(an_incarnation_does_not_change_silently),
        T(too_large_is_said_once),
        T(too_large_together_is_sent_in_halves),
        T(the_peer_saves_before_it_is_remembered),
        T(is_compared_again),
        T(one_endless_row_stops_nothing),
        T(an_unreadable_name_stops_nothing),
        T(an_unreadable_row_is_passed_over),
        T(half_of_a_row_is_asked_for_again),
        T(half_of_a_large_row_is_asked_for_again),
        T(a_row_that_stays_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
