/*
 * The Internet in small: a resolver and web servers on one loop, for the self-check.
 *
 * Names by their first letters: "none" does not exist; "two" is 127.0.0.1 and 127.0.0.2; "six" is
 * ::1 and 127.0.0.1; "cast" is ff0e::1 (no route for TCP anywhere) and 127.0.0.1; "onlycast" is
 * ff0e::1 alone; "tls" is 127.0.0.3, which speaks TLS; every other name is 127.0.0.1.
 */
#pragma once

#include "tests/unit/challenge/support.h"

#include "base/net/tls.h"

struct route {
    const char *at; /* "host/path" of a request, host without port */
    int status;
    const char *location; /* %d becomes the port */
    const char *body;
};

struct rig {
    struct cm_loop *loop;
    struct http_client *http;
    struct dns_client *dns;
    struct http_listener *first, *second, *v6, *tls_first; /* same port */
    struct tls_server *tls;
    char *dir;
    int dns_fd, port;
    struct cm_watch *dns_watch;
    /* what the listeners do */
    const struct route *routes; /* until one without `at`; else the challenge is answered */
    unsigned chain;             /* so many redirects before the answer */
    unsigned not_yet;           /* so many 404 first */
    unsigned requests;
    const char *wrong;  /* another body */
    const char *server; /* Server header */
    bool second_wrong;
    bool called;
    struct cm_err err;
};

static inline size_t put_u16(uint8_t *out, unsigned value)
{
    out[0] = (uint8_t)(value >> 8);
    out[1] = (uint8_t)value;
    return 2;
}

/* The addresses of a name (first label given) of type 1 (A) or 28 (AAAA). */
static inline unsigned zone(const char *label, unsigned type, uint8_t out[2][16])
{
    static const uint8_t cast[16] = {0xff, 0x0e, [15] = 1}, local[16] = {[15] = 1};
    bool six = strncmp(label, "six", 3) == 0, only = strncmp(label, "onlycast", 8) == 0;
    if (type == 28 && (six || only || strncmp(label, "cast", 4) == 0)) {
        memcpy(out[0], six ? local : cast, 16);
        return 1;
    }
    if (type != 1 || only || strncmp(label, "none", 4) == 0)
        return 0;
    memcpy(out[0], (const uint8_t[]){127, 0, 0, strncmp(label, "tls", 3) == 0 ? 3 : 1}, 4);
    memcpy(out[1], (const uint8_t[]){127, 0, 0, 2}, 4);
    return strncmp(label, "two", 3) == 0 ? 2 : 1;
}

static inline void on_dns(void *arg, int events)
{
    struct rig *rig = arg;
    (void)events;
    uint8_t q[512], r[1024], addresses[2][16];
    char label[64] = "";
    struct sockaddr_in from;
    socklen_t from_len = sizeof(from);
    ssize_t n = recvfrom(rig->dns_fd, q, sizeof(q), 0, (struct sockaddr *)&from, &from_len);
    if (n < 17)
        return;
    memcpy(label, q + 13, q[12] < sizeof(label) ? q[12] : 0);
    size_t end = 12;
    while (end < (size_t)n && q[end])
        end += 1u + q[end];
    end += 5; /* root label, type, class */
    unsigned type = q[end - 3], size = type == 28 ? 16 : 4;
    unsigned answers = zone(label, type, addresses);
    memcpy(r, q, end);
    r[2] = 0x81;
    r[3] = strncmp(label, "none", 4) == 0   ? 0x83 /* there is no such host */
           : strncmp(label, "sick", 4) == 0 ? 0x82 /* SERVFAIL */
                                            : 0x80;
    memset(r + 6, 0, 6);
    r[7] = (uint8_t)answers;
    size_t at = end;
    for (unsigned i = 0; i < answers; i++) {
        at += put_u16(r + at, 0xc00c);
        at += put_u16(r + at, type);
        at += put_u16(r + at, 1);
        at += put_u16(r + at, 0);
        at += put_u16(r + at, 0);
        at += put_u16(r + at, size);
        memcpy(r + at, addresses[i], size);
        at += size;
    }
    sendto(rig->dns_fd, r, at, 0, (struct sockaddr *)&from, from_len);
}

static inline void redirect(struct rig *rig, struct http_exchange *ex, int status,
                            const char *location)
{
    const char *mark = strstr(location, "%d");
    CM_AUTO_STR with_port =
        mark ? cm_asprintf("%.*s%d%s", (int)(mark - location), location, rig->port, mark + 2)
             : cm_strdup(location);
    http_ex_header(ex, "Location", with_port);
    http_ex_reply(ex, status, NULL, NULL, 0);
}

static inline bool routed(struct rig *rig, struct http_exchange *ex)
{
    const struct http_head *head = &http_ex_request(ex)->head;
    CM_AUTO_STR at = cm_asprintf("%.*s%s", (int)strcspn(head->host, ":"), head->host, head->path);
    for (const struct route *route = rig->routes; route && route->at; route++) {
        if (strcmp(route->at, at) != 0)
            continue;
        if (route->location)
            redirect(rig, ex, route->status, route->location);
        else
            http_ex_reply(ex, route->status, "text/plain", route->body ? route->body : "",
                          route->body ? strlen(route->body) : 0);
        return true;
    }
    return false;
}

static inline void answer(struct rig *rig, struct http_exchange *ex, bool second)
{
    const char *path = http_ex_request(ex)->head.path;
    rig->requests++;
    if (rig->server)
        http_ex_header(ex, "Server", rig->server);
    if (routed(rig, ex))
        return;
    unsigned long at = strncmp(path, "/hop", 4) == 0 ? strtoul(path + 4, NULL, 10) : 0;
    if (at < rig->chain) {
        CM_AUTO_STR next = cm_asprintf("/hop%lu", at + 1);
        redirect(rig, ex, 302, next);
        return;
    }
    if (rig->not_yet > 0) {
        rig->not_yet--;
        http_ex_reply(ex, 404, "text/plain", "no", 2);
        return;
    }
    bool asked = strncmp(path, CH_PATH, strlen(CH_PATH)) == 0;
    CM_AUTO_STR body = cm_asprintf("%s.thumb \r\n", asked ? path + strlen(CH_PATH) : "tok");
    const char *text = rig->wrong ? rig->wrong : second && rig->second_wrong ? "hello" : body;
    http_ex_reply(ex, 200, "text/plain", text, strlen(text)); /* blanks behind it are cut */
}

static inline void on_first(void *arg, struct http_exchange *ex)
{
    answer(arg, ex, false);
}

static inline void on_second(void *arg, struct http_exchange *ex)
{
    answer(arg, ex, true);
}

static inline struct http_listener *listen_at(struct rig *rig, const char *host,
                                              struct tls_server *tls, http_handler_fn handler)
{
    struct cm_err err = CM_ERR_INIT;
    struct http_listener *listener = NULL;
    CM_AUTO_STR address = cm_asprintf("%s:%d", host, rig->port);
    struct http_listen_opts opts = {
        .address = address, .fd = -1, .tls = tls, .handler = handler, .arg = rig};
    OK(http_listen(rig->loop, &opts, &listener, &err), err);
    return listener;
}

/* TLS with a certificate nobody would trust. */
static inline void make_tls(struct rig *rig)
{
    struct cm_err err = CM_ERR_INIT;
    rig->dir = temp_dir();
    CM_AUTO_STR cert = cm_asprintf("%s/cert.pem", rig->dir);
    CM_AUTO_STR key = cm_asprintf("%s/key.pem", rig->dir);
    OK(tls_identity_make("nobody", cert, key, &err), err);
    struct tls_server_opts opts = {.cert_file = cert, .key_file = key};
    OK(tls_server_new(&opts, &rig->tls, &err), err);
}

static int setup(void **state)
{
    struct rig *rig = cm_calloc(1, sizeof(*rig));
    struct cm_err err = CM_ERR_INIT;
    rig->loop = cm_loop_new();
    rig->http = http_client_new(rig->loop);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(address);
    rig->dns_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(rig->dns_fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(getsockname(rig->dns_fd, (struct sockaddr *)&address, &len), 0);
    rig->dns_watch = cm_watch_new(rig->loop, rig->dns_fd, on_dns, rig);
    cm_watch_set(rig->dns_watch, CM_WATCH_READ);
    CM_AUTO_STR resolver = cm_asprintf("127.0.0.1:%d", ntohs(address.sin_port));
    OK(dns_client_new(rig->loop, resolver, &rig->dns, &err), err);
    make_tls(rig);
    rig->first = listen_at(rig, "127.0.0.1", NULL, on_first);
    rig->port = (int)strtol(strrchr(http_listener_address(rig->first), ':') + 1, NULL, 10);
    rig->second = listen_at(rig, "127.0.0.2", NULL, on_second);
    rig->tls_first = listen_at(rig, "127.0.0.3", rig->tls, on_first);
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;
    http_listener_free(rig->first);
    http_listener_free(rig->second);
    http_listener_free(rig->v6);
    http_listener_free(rig->tls_first);
    tls_server_free(rig->tls);
    dns_client_free(rig->dns);
    http_client_free(rig->http);
    cm_watch_free(rig->dns_watch);
    cm_loop_turn(rig->loop, false);
    cm_loop_free(rig->loop);
    close(rig->dns_fd);
    cm_err_fini(&rig->err);
    remove_dir(rig->dir);
    cm_free(rig);
    return 0;
}

static inline void on_checked(void *arg, const struct cm_err *err)
{
    struct rig *rig = arg;
    assert_false(rig->called);
    rig->called = true;
    if (err)
        cm_err_copy(&rig->err, err);
}

/* Put before the loop's by the linker: a check's deadline counts from the end of its first round,
 * however long a busy machine took for that one. */
#define ROUND_MS 20000
static bool catching;
static struct cm_timer *caught_pause, *caught_deadline;
static int64_t caught_ms;
void __real_cm_timer_start(struct cm_timer *timer, int64_t ms);
void __wrap_cm_timer_start(struct cm_timer *timer, int64_t ms);
void __wrap_cm_timer_start(struct cm_timer *timer, int64_t ms)
{
    if (catching && ms == 0) {
        caught_pause = timer;
    } else if (catching) {
        caught_deadline = timer;
        caught_ms = ms;
        ms = ROUND_MS;
    } else if (timer == caught_pause && caught_deadline) {
        __real_cm_timer_start(caught_deadline, caught_ms);
        caught_deadline = NULL;
    }
    __real_cm_timer_start(timer, ms);
}

static inline struct ch_check *check_begin(struct rig *rig, json_t *tokens, int deadline_ms)
{
    catching = true;
    struct ch_check *check = ch_self_check(rig->loop, rig->http, rig->dns, tokens, rig->port,
                                           deadline_ms, on_checked, rig);
    catching = false;
    assert_true(caught_pause && caught_deadline);
    return check;
}

static inline int check_end(struct rig *rig)
{
    while (!rig->called)
        cm_loop_turn(rig->loop, true);
    caught_pause = caught_deadline = NULL;
    return rig->err.code;
}

static inline int run(struct rig *rig, json_t *take_tokens, int deadline_ms)
{
    check_begin(rig, take_tokens, deadline_ms);
    json_decref(take_tokens); /* the check has its own copy */
    assert_false(rig->called);
    return check_end(rig);
}

#define ONE(host)                                                                                  \
    make_tokens(                                                                                   \
        (const char *const[][4]){{host, "tok", "tok.thumb", "2030-01-01T00:00:00Z"}, {NULL}})

static inline const char *told(const struct rig *rig)
{
    static char line[8192];
    cm_err_line(&rig->err, line, sizeof(line));
    return line;
}

static inline void has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("\"%s\" lacks \"%s\"", text, part);
}
