/* certmgr log --follow: events as they come, over broken connections, without printing twice. */
#include "tests/unit/cli/support.h"

#define API  "/api/v1"
#define ULID "01ARZ3NDEKTSV4RRFFQ69G5FAV"

static struct place place;

/* The stream breaks off behind step 1 and goes on for who names it; the document moves until then.
 */
static void answer(void *arg, struct http_exchange *ex)
{
    const struct http_request *req = http_ex_request(ex);
    const char *last = http_head_field(&req->head, "last-event-id");
    static bool ended;
    (void)arg;
    if (strcmp(req->head.path, API "/credentials/" ULID) == 0) {
        const char *body = ended ? "{\"credential\":{\"status\":\"issued\"},\"steps\":[]}"
                                 : "{\"credential\":{\"status\":\"waiting\"},\"steps\":[]}";
        http_ex_reply(ex, 200, "application/json", body, strlen(body));
        return;
    }
    const char *first = "retry: 1\n\n: alive\n\nid: 0001\nevent: step\n"
                        "data: {\"at\":\"T1\",\"text\":\"one \\u001b[31m\"}\n\n"
                        "event: state\ndata: {\"status\":\"waiting\"}\n\n"
                        "id: 0002\nevent: step\ndata: {\"at\":\"T2\",\"te";
    const char *rest = "id: 0002\nevent: step\ndata: {\"at\":\"T2\",\"text\":\"two\"}\n\n"
                       "event: state\ndata: {\"status\":\"issued\"}\n\n";
    ended = last != NULL && strcmp(last, "0001") == 0;
    const char *body = ended ? rest : first;
    http_ex_reply(ex, 200, "text/event-stream", body, strlen(body));
}

/* No room for another stream: the document is asked for instead. */
static void refuse(void *arg, struct http_exchange *ex)
{
    static unsigned looks;
    (void)arg;
    if (strcmp(http_ex_request(ex)->head.path, API "/credentials/" ULID) != 0) {
        http_ex_reply(ex, 503, "application/json", "{}", 2);
        return;
    }
    const char *body = ++looks == 1
                           ? "{\"credential\":{\"status\":\"waiting\"},\"steps\":[]}"
                           : "{\"credential\":{\"status\":\"error\"},\"steps\":[{\"at\":\"T\","
                             "\"text\":\"the CA said no\"}]}";
    http_ex_reply(ex, 200, "application/json", body, strlen(body));
}

static int setup(void **state)
{
    (void)state;
    place_init(&place);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    place_fini(&place);
    return 0;
}

static void a_broken_stream_goes_on_behind_what_was_heard(void **state)
{
    (void)state;
    place_serve_fn(&place, answer);
    struct said *said = RUN(&place, "log", "--follow", ULID);
    assert_string_equal(said->out, "T1  one ?[31m\nT2  two\nstatus: issued\n");
    assert_int_equal(said->status, CLI_OK);
}

static void with_json_the_end_alone_is_printed(void **state)
{
    (void)state;
    place_serve_fn(&place, answer);
    struct said *said = RUN(&place, "log", "--follow", ULID, "--json");
    CM_AUTO_JSON v = NULL;
    assert_int_equal(cm_json_parse(said->out, strlen(said->out), &v, NULL), 0);
    assert_string_equal(cm_json_str(cm_json_obj(v, "credential"), "status"), "issued");
}

static void without_a_stream_the_document_is_looked_at(void **state)
{
    (void)state;
    place_serve_fn(&place, refuse);
    struct said *said = RUN(&place, "log", "--follow", ULID);
    assert_string_equal(said->out, "T  the CA said no\nstatus: error\n");
    assert_int_equal(said->status, CLI_FAILED);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_broken_stream_goes_on_behind_what_was_heard),
        T(with_json_the_end_alone_is_printed),
        T(without_a_stream_the_document_is_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
