/* TLS of the HTTP server: OpenSSL clients in a thread against the server's loop, identities. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/net/http_conn.h"
#include "http_harness.h"

static char dir[64];
static char server_cert[96], server_key[96], peer_cert[96], peer_key[96], other_cert[96],
    other_key[96];
static char known_spki[65];

static bool peer_known(void *arg, const char *spki_hex)
{
    (*(int *)arg)++;
    return strcmp(spki_hex, known_spki) == 0;
}

static void name_file(char out[96], const char *name)
{
    snprintf(out, 96, "%s/%s", dir, name);
}

static int make_files(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/cm-tls-XXXXXX");
    assert_non_null(mkdtemp(dir));
    name_file(server_cert, "server.crt");
    name_file(server_key, "server.key");
    name_file(peer_cert, "peer.crt");
    name_file(peer_key, "peer.key");
    name_file(other_cert, "other.crt");
    name_file(other_key, "other.key");
    assert_int_equal(tls_identity_make("manager.example", server_cert, server_key, NULL), 0);
    assert_int_equal(tls_identity_make("peer", peer_cert, peer_key, NULL), 0);
    assert_int_equal(tls_identity_make("peer", other_cert, other_key, NULL), 0);
    return tls_spki_of_file(peer_cert, known_spki, NULL);
}

static int remove_files(void **state)
{
    (void)state;
    const char *const files[] = {server_cert, server_key, peer_cert,
                                 peer_key,    other_cert, other_key};
    for (size_t i = 0; i < 6; i++)
        unlink(files[i]);
    rmdir(dir);
    return 0;
}

/* ---- the client thread ---- */

struct tls_client {
    /* in */
    int port;
    const char *cert, *key;
    int max_version, rcvbuf;
    const char *ciphers;
    const char *alpn; /* wire format */
    const char *request;
    void (*then)(struct tls_client *c, SSL *ssl); /* instead of reading the reply */
    /* out */
    size_t total; /* bytes read */
    size_t updates;
    bool connected, verified_end;
    char reply[4096];
    char alpn_got[16];
    char version[16];
    char cipher[64];
    char server_spki[65];
    bool resumable;
    atomic_bool done;
};

static void client_talk(struct tls_client *c, SSL *ssl)
{
    const unsigned char *alpn;
    unsigned alpn_len;
    char piece[4096];
    size_t used = 0;
    int n;

    c->connected = SSL_connect(ssl) == 1;
    if (!c->connected)
        return;
    SSL_get0_alpn_selected(ssl, &alpn, &alpn_len);
    if (alpn_len > 0 && alpn_len < sizeof(c->alpn_got))
        memcpy(c->alpn_got, alpn, alpn_len);
    snprintf(c->version, sizeof(c->version), "%s", SSL_get_version(ssl));
    snprintf(c->cipher, sizeof(c->cipher), "%s", SSL_get_cipher_name(ssl));
    tls_spki_of_cert(SSL_get0_peer_certificate(ssl), c->server_spki);
    if (SSL_write(ssl, c->request, (int)strlen(c->request)) <= 0)
        return;
    if (c->then != NULL) {
        c->then(c, ssl);
        return;
    }
    while ((n = SSL_read(ssl, piece, sizeof(piece))) > 0) {
        size_t keep = sizeof(c->reply) - 1 - used;
        keep = (size_t)n < keep ? (size_t)n : keep;
        memcpy(c->reply + used, piece, keep);
        used += keep;
        c->total += (size_t)n;
    }
    c->verified_end = SSL_get_shutdown(ssl) & SSL_RECEIVED_SHUTDOWN;
    c->resumable = SSL_SESSION_is_resumable(SSL_get0_session(ssl));
}

static void *client_main(void *arg)
{
    struct tls_client *c = arg;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)c->port)};
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    SSL_CTX_set_security_level(ctx, 0);
    SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
    if (c->max_version != 0)
        SSL_CTX_set_max_proto_version(ctx, c->max_version);
    if (c->ciphers != NULL)
        SSL_CTX_set_cipher_list(ctx, c->ciphers);
    if (c->cert != NULL) {
        SSL_CTX_use_certificate_file(ctx, c->cert, SSL_FILETYPE_PEM);
        SSL_CTX_use_PrivateKey_file(ctx, c->key, SSL_FILETYPE_PEM);
    }
    if (c->alpn != NULL)
        SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)c->alpn, (unsigned)strlen(c->alpn));
    SSL *ssl = SSL_new(ctx);
    if (c->rcvbuf > 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &c->rcvbuf, sizeof(c->rcvbuf));
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0) {
        SSL_set_fd(ssl, fd);
        client_talk(c, ssl);
    }
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close(fd);
    OPENSSL_thread_stop();
    atomic_store(&c->done, true);
    return NULL;
}

#define ONCE(path) "GET " path " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

static void client_run(struct server *s, struct tls_client *c)
{
    pthread_t thread;

    c->port = server_port(s);
    if (c->request == NULL)
        c->request = ONCE("/");
    atomic_store(&c->done, false);
    assert_int_equal(pthread_create(&thread, NULL, client_main, c), 0);
    WAIT_FOR(s, atomic_load(&c->done));
    pthread_join(thread, NULL);
}

static struct tls_server *tls_start_with(struct server *s, bool ask, int *asked, int handshake_ms)
{
    struct tls_server_opts opts = {.cert_file = server_cert,
                                   .key_file = server_key,
                                   .ask_client_cert = ask,
                                   .peer_ok = peer_known,
                                   .arg = asked};
    struct tls_server *tls = NULL;
    struct cm_err err = CM_ERR_INIT;

    if (tls_server_new(&opts, &tls, &err) < 0)
        fail_msg("%s", err.what);
    struct http_listen_opts listen = {.fd = -1, .tls = tls, .handshake_ms = handshake_ms};
    server_start(s, &listen);
    return tls;
}

/* Clients are threads: a handshake has as long as a busy machine needs. */
static struct tls_server *tls_start(struct server *s, bool ask, int *asked)
{
    return tls_start_with(s, ask, asked, 2 * HARNESS_WAIT_MS);
}

static void tls_stop(struct server *s, struct tls_server *tls)
{
    server_stop(s);
    tls_server_free(tls);
}

/* ---- tests ---- */

static void test_round_trip(void **state)
{
    (void)state;
    struct server s;
    int asked = 0;
    char spki[65];
    struct tls_server *tls = tls_start(&s, false, &asked);
    struct tls_client c = {.alpn = "\x02h2\x08http/1.1"};

    client_run(&s, &c);
    assert_true(c.connected);
    assert_non_null(strstr(c.reply, "HTTP/1.1 200 OK\r\n"));
    assert_non_null(strstr(c.reply, "\r\n\r\nhello"));
    assert_true(c.verified_end); /* close_notify, so that nobody can cut the reply unseen */
    assert_string_equal(c.version, "TLSv1.3");
    assert_string_equal(c.alpn_got, "http/1.1");
    assert_false(c.resumable);
    assert_int_equal(tls_spki_of_file(server_cert, spki, NULL), 0);
    assert_string_equal(c.server_spki, spki);
    assert_string_equal(s.last_spki, "");
    assert_int_equal(asked, 0);
    tls_stop(&s, tls);
}

static void test_tls12(void **state)
{
    (void)state;
    struct server s;
    int asked = 0;
    struct tls_server *tls = tls_start(&s, true, &asked);
    struct tls_client c = {.max_version = TLS1_2_VERSION, .cert = peer_cert, .key = peer_key};

    client_run(&s, &c);
    assert_non_null(strstr(c.reply, "hello"));
    assert_string_equal(c.version, "TLSv1.2");
    assert_non_null(strstr(c.cipher, "ECDHE-ECDSA-"));
    assert_string_equal(s.last_spki, known_spki);
    assert_false(c.resumable);
    /* CBC is not AEAD. */
    c = (struct tls_client){.max_version = TLS1_2_VERSION,
                            .ciphers = "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA"};
    client_run(&s, &c);
    assert_false(c.connected);
    tls_stop(&s, tls);
}

static void test_old_tls_refused(void **state)
{
    (void)state;
    static const int versions[] = {TLS1_VERSION, TLS1_1_VERSION};
    struct server s;
    int asked = 0;
    struct tls_server *tls = tls_start(&s, false, &asked);

    for (size_t i = 0; i < 2; i++) {
        struct tls_client c = {.max_version = versions[i]};
        client_run(&s, &c);
        assert_false(c.connected);
    }
    assert_int_equal(s.handled, 0);
    tls_stop(&s, tls);
}

static void test_foreign_alpn_refused(void **state)
{
    (void)state;
    struct server s;
    int asked = 0;
    struct tls_server *tls = tls_start(&s, false, &asked);
    struct tls_client c = {.alpn = "\x02h2"};

    client_run(&s, &c);
    assert_false(c.connected);
    assert_int_equal(s.handled, 0);
    tls_stop(&s, tls);
}

static void test_client_certificates(void **state)
{
    (void)state;
    struct server s;
    int asked = 0;
    struct tls_server *tls = tls_start(&s, true, &asked);
    struct tls_client none = {.cert = NULL};
    struct tls_client known = {.cert = peer_cert, .key = peer_key};
    struct tls_client unknown = {.cert = other_cert, .key = other_key};

    client_run(&s, &none);
    assert_non_null(strstr(none.reply, "hello"));
    assert_string_equal(s.last_spki, "");
    assert_int_equal(asked, 0);

    client_run(&s, &known);
    assert_non_null(strstr(known.reply, "hello"));
    assert_string_equal(s.last_spki, known_spki);
    assert_int_equal(asked, 1);

    client_run(&s, &unknown);
    assert_int_equal(asked, 2);
    assert_null(strstr(unknown.reply, "HTTP/1.1"));
    assert_int_equal(s.handled, 2);
    WAIT_FOR(&s, http_listener_connections(s.listener) == 0);
    tls_stop(&s, tls);
}

/* A listed public key is worth nothing without its private key. */
static void test_stolen_certificate(void **state)
{
    (void)state;
    struct server s;
    int asked = 0;
    struct tls_server *tls = tls_start(&s, true, &asked);
    /* OpenSSL refuses the mismatched pair on the client: it then presents no certificate. */
    struct tls_client c = {.cert = peer_cert, .key = other_key};

    client_run(&s, &c);
    assert_string_equal(s.last_spki, "");
    tls_stop(&s, tls);
}

static void test_large_transfer(void **state)
{
    (void)state;
    struct server s;
    int asked = 0;
    struct tls_server *tls = tls_start(&s, false, &asked);
    size_t len = 300000;
    struct cm_buf request;
    struct tls_client c = {.cert = NULL};

    cm_buf_init(&request, 1u << 20);
    cm_buf_printf(&request, "POST /big HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n", len);
    for (size_t i = 0; i < len; i++)
        cm_buf_putc(&request, 'z');
    cm_buf_puts(&request, ONCE("/last"));
    c.request = request.data;
    client_run(&s, &c);
    assert_non_null(strstr(c.reply, "hello"));
    assert_non_null(strstr(c.reply, "bye"));
    assert_true(c.verified_end);
    cm_buf_fini(&request);
    tls_stop(&s, tls);
}

static void test_large_reply(void **state)
{
    (void)state;
    struct server s;
    int asked = 0;
    struct tls_server *tls = tls_start(&s, false, &asked);
    struct tls_client c = {.request = ONCE("/large")};

    client_run(&s, &c);
    assert_true(c.verified_end);
    assert_int_equal(c.total - (size_t)(strstr(c.reply, "\r\n\r\n") + 4 - c.reply), BIG_BODY);
    tls_stop(&s, tls);
}

static void vanish(struct tls_client *c, SSL *ssl)
{
    struct timespec pause = {.tv_nsec = 50000000};
    (void)c;
    (void)ssl;
    nanosleep(&pause, NULL); /* the caller closes the socket without close_notify */
}

static void say_goodbye(struct tls_client *c, SSL *ssl)
{
    char rest[64];
    (void)c;
    SSL_shutdown(ssl);
    SSL_read(ssl, rest, sizeof(rest)); /* returns when the server closes */
}

static void test_parked_vanish(void **state)
{
    (void)state;
    struct server s;
    int asked = 0;
    struct tls_server *tls = tls_start(&s, false, &asked);
    struct tls_client c = {.request = ONCE("/park"), .then = vanish};

    client_run(&s, &c);
    WAIT_FOR(&s, s.closed_count == 1);
    c.then = say_goodbye;
    client_run(&s, &c);
    WAIT_FOR(&s, s.closed_count == 2);
    assert_int_equal(s.parked_count, 2);
    tls_stop(&s, tls);
}

#define KEY_UPDATES 50000

/* Asks for key updates without ever reading the answers: the server's memory must not pay. */
static void flood_key_updates(struct tls_client *c, SSL *ssl)
{
    while (c->updates < KEY_UPDATES && SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED) == 1 &&
           SSL_do_handshake(ssl) == 1)
        c->updates++;
}

static void test_key_update_flood(void **state)
{
    (void)state;
    struct server s;
    int asked = 0;
    struct tls_server *tls = tls_start(&s, false, &asked);
    struct tls_client c = {.request = ONCE("/park"), .then = flood_key_updates, .rcvbuf = 4096};
    uv_os_fd_t fd;
    int small = 4096;

    /* Accepted sockets inherit it: the kernel takes less before our own limit counts. */
    assert_int_equal(uv_fileno(&s.listener->u.handle, &fd), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);

    client_run(&s, &c);
    assert_true(c.updates < KEY_UPDATES);
    WAIT_FOR(&s, s.closed_count == 1);
    tls_stop(&s, tls);
}

static int64_t cpu_us(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 + u.ru_utime.tv_usec +
           u.ru_stime.tv_usec;
}

static void stop_loop(void *arg)
{
    cm_loop_stop(arg);
}

/* The three bytes that made another library burn a core (reference: finding 2). */
static void test_half_client_hello(void **state)
{
    (void)state;
    struct server s;
    int asked = 0;
    struct tls_server *tls = tls_start_with(&s, false, &asked, 500);
    struct client c[16];

    for (int i = 0; i < 16; i++) {
        c[i] = client_open(&s);
        client_send_bytes(&c[i], "\x16\x03\x01", 3);
    }
    WAIT_FOR(&s, http_listener_connections(s.listener) == 16);
    struct cm_timer *end = cm_timer_new(s.loop, stop_loop, s.loop);
    cm_timer_start(end, 1000);
    int64_t before = cpu_us();
    cm_loop_run(s.loop);
    assert_true(cpu_us() - before < 100000);
    cm_timer_free(end);
    assert_int_equal(http_listener_connections(s.listener), 0); /* handshake_ms is 500 */
    for (int i = 0; i < 16; i++) {
        assert_true(client_wait_end(&c[i], 1000));
        client_close(&c[i]);
    }
    tls_stop(&s, tls);
}

static void test_garbage(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "\x16\x03\x01\x40\x01garbage garbage garbage garbage",
        "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        "\x17\x03\x03\x00\x05hello",
    };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct server s;
        int asked = 0;
        bool at_once = i == 0 || i == 2; /* the others by deadline */
        struct tls_server *tls =
            tls_start_with(&s, false, &asked, at_once ? 2 * HARNESS_WAIT_MS : 300);
        struct client c = client_open(&s);
        client_send_bytes(&c, texts[i], strlen(texts[i]) + (i == 3));
        assert_true(client_wait_end(&c, HARNESS_WAIT_MS));
        assert_null(strstr(cm_buf_str(&c.in), "HTTP"));
        client_close(&c);
        assert_int_equal(s.handled, 0);
        WAIT_FOR(&s, http_listener_connections(s.listener) == 0);
        tls_stop(&s, tls);
    }
}

static void test_bad_file(void **state)
{
    (void)state;
    struct cm_err err = CM_ERR_INIT;
    struct tls_server *tls = NULL;
    const struct tls_server_opts opts = {.cert_file = "/dev/null", .key_file = server_key};

    assert_int_equal(tls_server_new(&opts, &tls, &err), CM_ECRYPTO);
    assert_null(tls);
    assert_true(err.cause_count > 0);
    cm_err_fini(&err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_tls12),
        cmocka_unit_test(test_old_tls_refused),
        cmocka_unit_test(test_foreign_alpn_refused),
        cmocka_unit_test(test_client_certificates),
        cmocka_unit_test(test_stolen_certificate),
        cmocka_unit_test(test_large_transfer),
        cmocka_unit_test(test_large_reply),
        cmocka_unit_test(test_parked_vanish),
        cmocka_unit_test(test_key_update_flood),
        cmocka_unit_test(test_half_client_hello),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_bad_file),
    };

    return cmocka_run_group_tests(tests, make_files, remove_files);
}
