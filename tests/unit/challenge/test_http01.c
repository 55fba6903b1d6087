/* Answering HTTP-01: exact live tokens only. */
#include "tests/unit/challenge/support.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

#define A    "01HZZZZZZZZZZZZZZZZZZZZZZA"
#define B    "01HZZZZZZZZZZZZZZZZZZZZZZB"
#define NOW  INT64_C(1794794400000) /* 2026-11-16T02:00:00Z */
#define LIVE "2026-11-16T02:10:00Z"
#define DEAD "2026-11-16T01:59:59Z"
#define HOST "www.example.com"

struct fixture {
    char *dir;
    struct cs_store *store;
};

static int setup(void **state)
{
    struct fixture *f = cm_calloc(1, sizeof(*f));
    f->dir = temp_dir();
    f->store = open_store(f->dir);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    cs_close(f->store);
    remove_dir(f->dir);
    cm_free(f);
    return 0;
}

static void answers_live_tokens_only(void **state)
{
    struct fixture *f = *state;
    put_challenge(f->store, A,
                  make_tokens((const char *const[][4]){{HOST, "tokenA", "tokenA.thumb", LIVE},
                                                       {HOST, "-dash_", "-dash_.thumb", LIVE},
                                                       {HOST, "old", "old.thumb", DEAD},
                                                       {NULL}}));
    static const struct {
        const char *token, *answer;
    } rows[] = {
        {"tokenA", "tokenA.thumb"},
        {"-dash_", "-dash_.thumb"}, /* tokens may begin so (H2) */
        {"old", NULL},
        {"token", NULL},
        {"tokenAB", NULL},
        {"TOKENA", NULL},
        {"", NULL},
        {"../tokenA", NULL},
        {"tokenA%00", NULL},
        {"token A", NULL},
        {"tok\xc3\xa9n", NULL},
        {"tokenA.thumb", NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CM_AUTO_STR got = ch_http01_lookup(f->store, rows[i].token, NOW);
        if ((got != NULL) != (rows[i].answer != NULL) || (got && strcmp(got, rows[i].answer) != 0))
            fail_msg("\"%s\": %s", rows[i].token, got ? got : "(nothing)");
    }
    /* The moment it ends, it has ended. */
    CM_AUTO_STR before = ch_http01_lookup(f->store, "tokenA", NOW + 599999);
    CM_AUTO_STR after = ch_http01_lookup(f->store, "tokenA", NOW + 600000);
    assert_non_null(before);
    assert_null(after);
}

static void a_token_too_long_never_reaches_the_store(void **state)
{
    struct fixture *f = *state;
    char token[1000];
    memset(token, 'a', sizeof(token));
    token[999] = '\0';
    assert_null(ch_http01_lookup(f->store, token, NOW));
}

static void an_emptied_challenge_is_gone(void **state)
{
    struct fixture *f = *state;
    put_challenge(f->store, A,
                  make_tokens((const char *const[][4]){{HOST, "tokenA", "x.y", LIVE}, {NULL}}));
    put_challenge(f->store, A, json_array());
    assert_null(ch_http01_lookup(f->store, "tokenA", NOW));
}

static void of_two_documents_the_live_token_counts(void **state)
{
    struct fixture *f = *state;
    put_challenge(f->store, A,
                  make_tokens((const char *const[][4]){{HOST, "same", "dead.x", DEAD}, {NULL}}));
    put_challenge(f->store, B,
                  make_tokens((const char *const[][4]){{HOST, "same", "live.x", LIVE}, {NULL}}));
    CM_AUTO_STR got = ch_http01_lookup(f->store, "same", NOW);
    assert_string_equal(got, "live.x");
}

/* ---- over the wire
 * -------------------------------------------------------------------------------- */

struct reply {
    bool done;
    int status;
    char body[256], type[64];
};

static void on_reply(void *arg, const struct http_result *res)
{
    struct reply *reply = arg;
    reply->done = true;
    reply->status = res->status;
    snprintf(reply->body, sizeof(reply->body), "%s", res->body);
    if (!http_header_get(res->headers, "content-type", 0, reply->type, sizeof(reply->type)))
        reply->type[0] = '\0';
}

static struct reply get(struct cm_loop *loop, struct http_client *http, const char *base,
                        const char *method, const char *path)
{
    struct reply reply = {.done = false};
    CM_AUTO_STR url = cm_asprintf("http://%s%s", base, path);
    struct http_call_opts opts = {.method = method, .url = url, .allow_http = true};
    assert_non_null(http_call(http, &opts, on_reply, &reply, NULL));
    while (!reply.done)
        cm_loop_turn(loop, true);
    return reply;
}

static void the_listener_answers_and_refuses(void **state)
{
    struct fixture *f = *state;
    struct cm_err err = CM_ERR_INIT;
    struct cm_loop *loop = cm_loop_new();
    struct http_client *http = http_client_new(loop);
    struct http_listener *listener;
    struct http_listen_opts opts = {
        .address = "127.0.0.1:0", .fd = -1, .handler = ch_http01_handle, .arg = f->store};
    OK(http_listen(loop, &opts, &listener, &err), err);
    const char *base = http_listener_address(listener);
    cm_clock_fake(NOW, cm_mono_ms());
    put_challenge(
        f->store, A,
        make_tokens((const char *const[][4]){{HOST, "tokenA", "tokenA.t", LIVE}, {NULL}}));
    struct reply found = get(loop, http, base, "GET", CH_PATH "tokenA");
    assert_int_equal(found.status, 200);
    assert_string_equal(found.body, "tokenA.t");
    assert_string_equal(found.type, "application/octet-stream");
    assert_int_equal(get(loop, http, base, "HEAD", CH_PATH "tokenA").status, 200);
    assert_int_equal(get(loop, http, base, "GET", CH_PATH "tokenB").status, 404);
    assert_int_equal(get(loop, http, base, "GET", CH_PATH "tokenA/").status, 404);
    assert_int_equal(get(loop, http, base, "GET", CH_PATH).status, 404);
    assert_int_equal(get(loop, http, base, "GET", "/").status, 404);
    assert_int_equal(get(loop, http, base, "POST", CH_PATH "tokenA").status, 405);
    cm_clock_fake(-1, -1);
    http_listener_free(listener);
    http_client_free(http);
    cm_loop_free(loop);
}

/* Ten orders of thirty names, looked at by one CA at once: nobody is sent away. */
static void a_ca_comes_with_all_names_at_once(void **state)
{
    enum { COUNT = 300, AT_ONCE = 50 };
    static const char request[] = "GET " CH_PATH "tokenA HTTP/1.1\r\nHost: a\r\n\r\n";
    struct fixture *f = *state;
    struct cm_err err = CM_ERR_INIT;
    struct cm_loop *loop = cm_loop_new();
    struct http_listener *listener;
    struct http_listen_opts opts = {.address = "127.0.0.1:0", .fd = -1};
    int fds[COUNT];
    ch_http01_opts(&opts, f->store);
    OK(http_listen(loop, &opts, &listener, &err), err);
    cm_clock_fake(NOW, cm_mono_ms());
    put_challenge(
        f->store, A,
        make_tokens((const char *const[][4]){{HOST, "tokenA", "tokenA.t", LIVE}, {NULL}}));
    const char *port = strrchr(http_listener_address(listener), ':') + 1;
    struct sockaddr_in there = {.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)strtol(port, NULL, 10)),
                                .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    for (int i = 0; i < COUNT; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(fds[i], (struct sockaddr *)&there, sizeof(there)), 0);
        for (int turn = 0; i % AT_ONCE == AT_ONCE - 1 && turn < AT_ONCE; turn++)
            cm_loop_turn(loop, false); /* the kernel keeps few that nobody has accepted */
    }
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(send(fds[i], request, sizeof(request) - 1, MSG_NOSIGNAL),
                         sizeof(request) - 1);
    for (int i = 0; i < COUNT; i++) {
        char reply[64] = {0};
        ssize_t n;
        while ((n = recv(fds[i], reply, sizeof(reply) - 1, MSG_DONTWAIT)) < 0 && errno == EAGAIN)
            cm_loop_turn(loop, true);
        assert_true(n > 12);
        assert_memory_equal(reply, "HTTP/1.1 200", 12);
        close(fds[i]);
    }
    cm_clock_fake(-1, -1);
    http_listener_free(listener);
    cm_loop_free(loop);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(answers_live_tokens_only),         TEST(a_token_too_long_never_reaches_the_store),
        TEST(an_emptied_challenge_is_gone),     TEST(of_two_documents_the_live_token_counts),
        TEST(the_listener_answers_and_refuses), TEST(a_ca_comes_with_all_names_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
