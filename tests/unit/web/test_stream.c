/* Live event streams: what they tell, resuming, limits, and their end. */
#include "tests/unit/web/rig.h"

#include <unistd.h>

#include "web-ui/ctx.h"
#include "web-ui/stream.h"

#define EVENTS "/api/v1/credentials/" ULID "/events"
#define N1     "0001700000000000"
#define N2     "0001700000000001"
#define N3     "0001700000000002"

struct tap {
    int fd;
    struct cm_buf in;
};

static void tap_open(struct rig *rig, struct tap *tap, bool unix_socket, const char *target,
                     const char *headers)
{
    CM_AUTO_STR lines = cm_asprintf("%s%s", unix_socket ? "" : rig->cookie, headers);

    tap->fd = rig_open(rig, unix_socket, "GET", target, lines, NULL);
    cm_buf_init(&tap->in, 1u << 20);
}

static void tap_close(struct tap *tap)
{
    close(tap->fd);
    cm_buf_fini(&tap->in);
}

static void expect(struct rig *rig, struct tap *tap, const char *wanted)
{
    if (!rig_read(rig, tap->fd, &tap->in, wanted))
        fail_msg("missing in the stream: %s\n%s", wanted, cm_buf_str(&tap->in));
}

static void until_open(struct rig *rig, size_t streams)
{
    for (int i = 0; i < 500 && web_streams_count(rig->web->streams) != streams; i++)
        rig_settle(rig);
    assert_int_equal(web_streams_count(rig->web->streams), streams);
}

static size_t count_of(const struct tap *tap, const char *needle)
{
    size_t count = 0;

    for (const char *p = strstr(cm_buf_str(&tap->in), needle); p; p = strstr(p + 1, needle))
        count++;
    return count;
}

static void set_status(const char *status)
{
    json_decref(doubles.view);
    doubles.view = json_pack("{s:{s:s}, s:[{s:s, s:s, s:s}]}", "credential", "status", status,
                             "receipts", "server", "bravo", "state", "opened", "_id", "hidden");
}

static int start(void **state)
{
    static struct rig rig;

    rig_start(&rig);
    rig_sign_in(&rig);
    set_status("pending");
    *state = &rig;
    return 0;
}

static int stop(void **state)
{
    rig_stop(*state);
    return 0;
}

static void steps_and_states_arrive(void **state)
{
    struct rig *rig = *state;
    struct tap tap;

    rig_step(rig, ULID, N1, "Key made <b>\nline");
    tap_open(rig, &tap, false, EVENTS, "");
    expect(rig, &tap, "event: state\ndata: {\"status\":\"pending\"");
    assert_non_null(strstr(cm_buf_str(&tap.in), "HTTP/1.1 200 OK"));
    assert_non_null(strstr(cm_buf_str(&tap.in), "Content-Type: text/event-stream"));
    assert_non_null(strstr(cm_buf_str(&tap.in), "retry: 2000\n\n"));
    assert_non_null(strstr(cm_buf_str(&tap.in), "id: " N1 "\nevent: step\ndata: {\"id\":\"" N1));
    assert_non_null(strstr(cm_buf_str(&tap.in), "Key made <b>\\nline")); /* JSON, one line */
    assert_null(strstr(cm_buf_str(&tap.in), "hidden"));
    /* Each commit arrives by itself; other credentials stay quiet. */
    rig_step(rig, "01J00000000000000000000009", N2, "not ours");
    rig_step(rig, ULID, N2, "Order made");
    expect(rig, &tap, "Order made");
    assert_int_equal(count_of(&tap, "Key made"), 1);
    assert_int_equal(count_of(&tap, "not ours"), 0);
    /* A change of the document tells the new state once; a change that shows nothing, nothing. */
    set_status("issued");
    rig_credential(rig, ULID, "www.example.com", "issued", NULL, "bravo.example.net");
    assert_int_equal(cs_commit(rig->store, NULL), 0);
    expect(rig, &tap, "\"status\":\"issued\"");
    rig_credential(rig, ULID, "www.example.com", "issued", NULL, "alpha.example.net");
    assert_int_equal(cs_commit(rig->store, NULL), 0);
    usleep((STREAM_GATHER_MS + 50) * 1000);
    rig_step(rig, ULID, N3, "Done");
    expect(rig, &tap, "Done");
    assert_int_equal(count_of(&tap, "event: state"), 2);
    tap_close(&tap);
    until_open(rig, 0); /* the client went */
}

static void resuming(void **state)
{
    static const char *const headers[] = {"Last-Event-ID: " N2 "\r\n", ""};
    static const char *const targets[] = {EVENTS "?after=" N1, EVENTS "?after=" N2};
    struct rig *rig = *state;

    rig_step(rig, ULID, N1, "first");
    rig_step(rig, ULID, N2, "second");
    rig_step(rig, ULID, N3, "third");
    for (size_t i = 0; i < 2; i++) { /* the header wins: the address is older */
        struct tap tap;

        tap_open(rig, &tap, false, targets[i], headers[i]);
        expect(rig, &tap, "event: state");
        assert_int_equal(count_of(&tap, "event: step"), 1);
        assert_int_equal(count_of(&tap, "third"), 1);
        tap_close(&tap);
    }
}

static void refusals(void **state)
{
    static const struct {
        const char *target, *headers;
        int status;
    } rows[] = {
        {EVENTS "?after=x", "", 422},
        {EVENTS "?after=12345678901234567", "", 422},
        {EVENTS, "Last-Event-ID: -1\r\n", 422},
        {"/api/v1/credentials/nope/events", "", 404},
    };
    struct rig *rig = *state;
    struct reply reply;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CM_AUTO_STR headers = cm_asprintf("%s%s", rig->cookie, rows[i].headers);

        rig_send(rig, false, "GET", rows[i].target, headers, NULL, &reply);
        assert_status(&reply, rows[i].status);
        reply_fini(&reply);
    }
    rig_send(rig, false, "GET", EVENTS, NULL, NULL, &reply);
    assert_status(&reply, 401);
    reply_fini(&reply);
    rig_send(rig, false, "HEAD", EVENTS, rig->cookie, NULL, &reply); /* has an end */
    assert_status(&reply, 200);
    reply_fini(&reply);
    json_decref(doubles.view);
    doubles.view = NULL;
    rig_get(rig, EVENTS, &reply);
    assert_status(&reply, 404);
    reply_fini(&reply);
    assert_int_equal(web_streams_count(rig->web->streams), 0);
}

static void bounded(void **state)
{
    struct rig *rig = *state;
    struct tap taps[WEB_STREAMS_SESSION_MAX], local;
    struct reply reply;

    for (size_t i = 0; i < WEB_STREAMS_SESSION_MAX; i++) {
        tap_open(rig, &taps[i], false, EVENTS, "");
        expect(rig, &taps[i], "event: state");
    }
    rig_get(rig, EVENTS, &reply);
    assert_status(&reply, 503);
    assert_non_null(reply_header(&reply, "Retry-After"));
    reply_fini(&reply);
    tap_open(rig, &local, true, EVENTS, ""); /* another session has its own share */
    expect(rig, &local, "event: state");
    tap_close(&taps[0]);
    until_open(rig, WEB_STREAMS_SESSION_MAX);
    tap_open(rig, &taps[0], false, EVENTS, "");
    expect(rig, &taps[0], "event: state");
    for (size_t i = 0; i < WEB_STREAMS_SESSION_MAX; i++)
        tap_close(&taps[i]);
    tap_close(&local);
}

/* A stream shows life, and does not outlive the session it was opened with. */
static void heartbeat_and_signing_out(void **state)
{
    struct rig *rig = *state;
    struct tap tap, local;

    tap_open(rig, &tap, false, EVENTS, "");
    tap_open(rig, &local, true, EVENTS, "");
    expect(rig, &tap, "event: state");
    expect(rig, &local, "event: state");
    web_streams_beat(rig->web->streams);
    expect(rig, &tap, ": alive\n\n");
    web_session_end_all(rig->store, USER);
    assert_int_equal(cs_commit(rig->store, NULL), 0);
    web_streams_beat(rig->web->streams);
    expect(rig, &tap, "\r\n0\r\n\r\n"); /* the end of a chunked reply */
    web_streams_beat(rig->web->streams);
    expect(rig, &local, ": alive\n\n");
    assert_int_equal(web_streams_count(rig->web->streams), 1);
    tap_close(&tap);
    tap_close(&local);
}

static void signing_out_ends_streams_at_once(void **state)
{
    struct rig *rig = *state;
    struct tap tap;
    struct reply reply;

    tap_open(rig, &tap, false, EVENTS, "");
    expect(rig, &tap, "event: state");
    rig_post(rig, "/logout", "", &reply);
    assert_status(&reply, 303);
    reply_fini(&reply);
    assert_int_equal(web_streams_count(rig->web->streams), 0);
    expect(rig, &tap, "\r\n0\r\n\r\n");
    tap_close(&tap);
}

/* A client that does not read gets everything in the end, and holds little meanwhile. */
static void slow_clients(void **state)
{
    struct rig *rig = *state;
    struct tap tap;
    CM_AUTO_STR text = cm_malloc(60001);

    memset(text, 'x', 60000);
    text[60000] = '\0';
    tap_open(rig, &tap, false, EVENTS, "");
    expect(rig, &tap, "event: state");
    for (int i = 0; i < 200; i++) { /* 12 MB: more than any socket buffer */
        CM_AUTO_STR number = cm_asprintf("%016d", i + 1);

        rig_step(rig, ULID, number, text);
        cm_loop_turn(rig->loop, false);
    }
    cm_buf_fini(&tap.in);
    cm_buf_init(&tap.in, 32u << 20);
    expect(rig, &tap, "id: 0000000000000200");
    assert_int_equal(count_of(&tap, "event: step"), 200);
    tap_close(&tap);
}

static void streams_end_with_the_interface(void **state)
{
    struct rig *rig = *state;
    struct tap tap;

    tap_open(rig, &tap, false, EVENTS, "");
    expect(rig, &tap, "event: state");
    web_streams_free(rig->web->streams);
    rig->web->streams = web_streams_new(rig->web);
    assert_true(rig_read(rig, tap.fd, &tap.in, NULL));
    rig_step(rig, ULID, N1, "nobody listens");
    tap_close(&tap);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        T(steps_and_states_arrive),
        T(resuming),
        T(refusals),
        T(bounded),
        T(slow_clients),
        T(heartbeat_and_signing_out),
        T(signing_out_ends_streams_at_once),
        T(streams_end_with_the_interface),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
