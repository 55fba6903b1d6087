/* TLS-ALPN-01: certificate (vectors of reference/acme.md 5.2), listener, look. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/core/bytes.h"
#include "base/core/clock.h"
#include "base/core/mem.h"
#include "base/net/tls_alpn.h"

#define TOKEN "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"

static void digest_of(const char *thumbprint, uint8_t out[32])
{
    CM_AUTO_STR auth = cm_asprintf(TOKEN ".%s", thumbprint);
    cm_sha256(auth, strlen(auth), out);
}

static X509 *make(const char *name, const uint8_t digest[32])
{
    struct tls_alpn_cert *cert;
    uint8_t *der;
    size_t len;
    assert_int_equal(tls_alpn_cert_new(name, digest, &cert, NULL), 0);
    assert_int_equal(tls_alpn_cert_der(cert, &der, &len), 0);
    const unsigned char *at = der;
    X509 *x = d2i_X509(NULL, &at, (long)len);
    assert_non_null(x);
    cm_free(der);
    tls_alpn_cert_free(cert);
    return x;
}

/* RFC 8737 3: the extension is critical and its value an OCTET STRING of the digest. */
static void extension(void **state)
{
    (void)state;
    static const struct {
        const char *thumbprint, *value;
    } rows[] = {{"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
                 "0420653471d42925d7eb4cd39a39cda8b34d3034c94cb90067ab78c8123560ba2e5f"},
                {"oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U",
                 "042065a26016d215e16034b7633337b91b4a4d2c7d17761998dac51a9a49300aea52"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t digest[32], oid[] = {0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x1f};
        char hex[2 * 34 + 1], oid_hex[2 * 10 + 1];
        unsigned char *oid_der = NULL;
        digest_of(rows[i].thumbprint, digest);
        X509 *x = make("www.example.com", digest);
        ASN1_OBJECT *object = OBJ_txt2obj("1.3.6.1.5.5.7.1.31", 1);
        int at = X509_get_ext_by_OBJ(x, object, -1);
        assert_true(at >= 0);
        X509_EXTENSION *ext = X509_get_ext(x, at);
        assert_int_equal(X509_EXTENSION_get_critical(ext), 1);
        const ASN1_OCTET_STRING *value = X509_EXTENSION_get_data(ext);
        assert_int_equal(ASN1_STRING_length(value), 34);
        cm_hex(ASN1_STRING_get0_data(value), 34, hex);
        assert_string_equal(hex, rows[i].value);
        assert_int_equal(i2d_ASN1_OBJECT(X509_EXTENSION_get_object(ext), &oid_der), sizeof(oid));
        cm_hex(oid_der, sizeof(oid), oid_hex);
        assert_memory_equal(oid_der, oid, sizeof(oid));
        OPENSSL_free(oid_der);
        ASN1_OBJECT_free(object);
        X509_free(x);
    }
}

static void certificate(void **state)
{
    (void)state;
    static const char *const names[] = {"www.example.com", "192.0.2.1", "2001:db8::1",
                                        ("a-label-of-sixty-three-characters-which-is-what-a-label-"
                                         "can-hold.and-this-makes-it-longer-"
                                         "than-any-common-name.example.com")};
    uint8_t digest[32], other[32] = {0};
    digest_of("x", digest);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct cm_err err = CM_ERR_INIT;
        X509 *x = make(names[i], digest);
        EVP_PKEY *key = X509_get0_pubkey(x);
        assert_int_equal(X509_verify(x, key), 1); /* self-signed */
        assert_int_equal(EVP_PKEY_get_base_id(key), EVP_PKEY_EC);
        assert_int_equal(EVP_PKEY_get_bits(key), 256);
        GENERAL_NAMES *san = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
        assert_int_equal(sk_GENERAL_NAME_num(san), 1);
        assert_int_equal(sk_GENERAL_NAME_value(san, 0)->type,
                         i == 1 || i == 2 ? GEN_IPADD : GEN_DNS);
        GENERAL_NAMES_free(san);
        assert_true(X509_cmp_current_time(X509_get0_notBefore(x)) < 0);
        assert_true(X509_cmp_current_time(X509_get0_notAfter(x)) > 0);
        assert_int_equal(tls_alpn_judge(x, names[i], digest, NULL), 0);
        assert_int_equal(tls_alpn_judge(x, names[i], other, &err), CM_EPEER);
        assert_non_null(strstr(err.what, "another order or ACME account"));
        assert_int_equal(tls_alpn_judge(x, names[(i + 1) % 4], digest, &err), CM_EPEER);
        assert_non_null(strstr(err.what, "another name"));
        cm_err_fini(&err);
        X509_free(x);
    }
    struct tls_alpn_cert *none = NULL;
    assert_int_equal(tls_alpn_cert_new("*.example.com", digest, &none, NULL), CM_EINVAL);
    assert_int_equal(tls_alpn_cert_new("", digest, &none, NULL), CM_EINVAL);
    assert_null(none);
}

static void server_names(void **state)
{
    (void)state;
    char out[TLS_ALPN_SNI_MAX];
    tls_alpn_sni("www.example.com", out);
    assert_string_equal(out, "www.example.com");
    tls_alpn_sni("192.0.2.1", out);
    assert_string_equal(out, "1.2.0.192.in-addr.arpa");
    tls_alpn_sni("2001:db8::1", out);
    assert_string_equal(out,
                        "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
}

/* ---- listener and look ---------------------------------------------------------------------- */

struct rig {
    struct cm_loop *loop;
    struct tls_alpn *listener;
    struct tls_alpn_cert *cert;
    int port;
    unsigned asked;
    char sni[TLS_ALPN_SNI_MAX];
    uint8_t digest[32];
    /* of a look */
    bool called, proved;
    int sys_errno;
    char what[512], hint[512];
};

static const struct tls_alpn_cert *find(void *arg, const char *sni)
{
    struct rig *rig = arg;
    rig->asked++;
    cm_strcpy(rig->sni, sizeof(rig->sni), sni);
    return strcmp(sni, "www.example.com") == 0 || strcmp(sni, "1.0.0.127.in-addr.arpa") == 0
               ? rig->cert
               : NULL;
}

static int bound(int *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

static int setup(void **state)
{
    struct rig *rig = cm_calloc(1, sizeof(*rig));
    rig->loop = cm_loop_new();
    digest_of("x", rig->digest);
    assert_int_equal(tls_alpn_cert_new("www.example.com", rig->digest, &rig->cert, NULL), 0);
    int fd = bound(&rig->port);
    assert_int_equal(tls_alpn_listen(rig->loop, fd, find, rig, &rig->listener, NULL), 0);
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;
    tls_alpn_close(rig->listener);
    tls_alpn_cert_free(rig->cert);
    cm_loop_turn(rig->loop, false);
    cm_loop_free(rig->loop);
    cm_free(rig);
    return 0;
}

static void on_seen(void *arg, const struct tls_alpn_seen *seen)
{
    struct rig *rig = arg;
    assert_false(rig->called);
    rig->called = true;
    rig->proved = seen->proved;
    rig->sys_errno = seen->sys_errno;
    if (seen->err) {
        cm_strcpy(rig->what, sizeof(rig->what), seen->err->what);
        cm_strcpy(rig->hint, sizeof(rig->hint), seen->err->hint);
    }
}

/* Until the listener has so many connections. */
static void until_open(struct rig *rig, unsigned wanted)
{
    struct timespec pause = {.tv_nsec = 1000000};
    for (int i = 0; i < 10000 && tls_alpn_connections(rig->listener) != wanted; i++) {
        cm_loop_turn(rig->loop, false);
        nanosleep(&pause, NULL);
    }
    assert_int_equal(tls_alpn_connections(rig->listener), wanted);
}

static void look(struct rig *rig, int port, const char *name, const uint8_t digest[32])
{
    rig->called = false;
    rig->what[0] = rig->hint[0] = '\0';
    assert_non_null(tls_alpn_look(rig->loop, "127.0.0.1", port, name, digest, 5000, on_seen, rig));
    assert_false(rig->called);
    while (!rig->called)
        cm_loop_turn(rig->loop, true);
}

static void proved(void **state)
{
    struct rig *rig = *state;
    uint8_t other[32] = {0};
    look(rig, rig->port, "www.example.com", rig->digest);
    if (!rig->proved)
        fail_msg("%s", rig->what);
    look(rig, rig->port, "WWW.Example.com", rig->digest);
    assert_true(rig->proved);
    assert_string_equal(rig->sni, "www.example.com");
    look(rig, rig->port, "www.example.com", other);
    assert_false(rig->proved);
    assert_non_null(strstr(rig->what, "another order or ACME account"));
    look(rig, rig->port, "127.0.0.1", rig->digest);
    assert_string_equal(rig->sni, "1.0.0.127.in-addr.arpa");
    assert_non_null(strstr(rig->what, "another name"));
    look(rig, rig->port, "foreign.example.com", rig->digest);
    assert_non_null(strstr(rig->what, "does not know this challenge"));
    until_open(rig, 0); /* all connections end */
}

static void nobody_there(void **state)
{
    struct rig *rig = *state;
    int port, fd = bound(&port); /* bound but not listening: refused for sure */
    look(rig, port, "www.example.com", rig->digest);
    close(fd);
    assert_false(rig->proved);
    assert_int_equal(rig->sys_errno, ECONNREFUSED);
    assert_non_null(strstr(rig->what, "nothing listens there"));
    assert_non_null(strstr(rig->hint, "tls_challenge_port"));
}

/* A client with its own ALPN list and server name; returns the alert it got, 0 = the handshake was
 * completed. */
static int client(struct rig *rig, const char *sni, const unsigned char *alpn, unsigned alpn_len,
                  SSL **ret)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)rig->port),
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(ctx);
    SSL_CTX_free(ctx);
    SSL_set_fd(ssl, fd);
    if (alpn)
        SSL_set_alpn_protos(ssl, alpn, alpn_len);
    if (sni)
        SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                 (void *)(uintptr_t)sni);
    int rc = -1, alert = 0;
    ERR_clear_error();
    for (int64_t end = cm_mono_ms() + 10000; cm_mono_ms() < end;) {
        rc = SSL_connect(ssl);
        if (rc == 1 || SSL_get_error(ssl, rc) != SSL_ERROR_WANT_READ)
            break;
        cm_loop_turn(rig->loop, false);
    }
    if (rc != 1)
        alert = ERR_GET_REASON(ERR_peek_error()) - SSL_AD_REASON_OFFSET;
    ERR_clear_error();
    if (ret) {
        *ret = ssl;
        return alert;
    }
    SSL_free(ssl);
    close(fd);
    return alert;
}

static void refused_before_a_certificate(void **state)
{
    struct rig *rig = *state;
    static const unsigned char acme[] = "\x0a"
                                        "acme-tls/1",
                               http[] = "\x08http/1.1";
    static const unsigned char both[] = "\x08http/1.1\x0a"
                                        "acme-tls/1";
    assert_int_equal(client(rig, "www.example.com", acme, 11, NULL), 0);
    assert_int_equal(client(rig, "www.example.com", NULL, 0, NULL), SSL_AD_NO_APPLICATION_PROTOCOL);
    assert_int_equal(client(rig, "www.example.com", http, 9, NULL), SSL_AD_NO_APPLICATION_PROTOCOL);
    assert_int_equal(rig->asked, 1); /* the name is not even looked up */
    assert_int_equal(client(rig, "foreign.example", acme, 11, NULL), SSL_AD_UNRECOGNIZED_NAME);
    assert_int_equal(client(rig, NULL, acme, 11, NULL), SSL_AD_UNRECOGNIZED_NAME);
    assert_int_equal(client(rig, "www.example.com", both, 20, NULL), 0);
}

/* No application data: whatever a client sends afterwards ends the connection. */
static void no_data(void **state)
{
    struct rig *rig = *state;
    static const unsigned char acme[] = "\x0a"
                                        "acme-tls/1";
    SSL *ssl = NULL;
    char byte;
    assert_int_equal(client(rig, "www.example.com", acme, 11, &ssl), 0);
    const unsigned char *chosen = NULL;
    unsigned len = 0;
    SSL_get0_alpn_selected(ssl, &chosen, &len);
    assert_int_equal(len, 10);
    SSL_write(ssl, "GET / HTTP/1.1\r\n\r\n", 18);
    until_open(rig, 0);
    assert_true(SSL_read(ssl, &byte, 1) <= 0);
    int fd = SSL_get_fd(ssl);
    SSL_free(ssl);
    close(fd);
}

/* Silent clients: only so many of one address. */
static void capped(void **state)
{
    struct rig *rig = *state;
    int fds[TLS_ALPN_CONNS_PER_ADDR + 4];
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)rig->port),
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(fds[i], (struct sockaddr *)&address, sizeof(address)), 0);
        cm_loop_turn(rig->loop, false); /* the kernel's queue is shorter than the cap */
    }
    until_open(rig, TLS_ALPN_CONNS_PER_ADDR);
    for (int i = 0; i < 50; i++)
        cm_loop_turn(rig->loop, false);
    assert_int_equal(tls_alpn_connections(rig->listener), TLS_ALPN_CONNS_PER_ADDR);
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
        close(fds[i]);
    until_open(rig, 0);
}

static void cancelled(void **state)
{
    struct rig *rig = *state;
    for (int turns = 0; turns < 6; turns++) {
        struct tls_alpn_look *one = tls_alpn_look(
            rig->loop, "127.0.0.1", rig->port, "www.example.com", rig->digest, 5000, on_seen, rig);
        for (int i = 0; i < turns && !rig->called; i++)
            cm_loop_turn(rig->loop, false);
        if (!rig->called)
            tls_alpn_look_cancel(one);
        rig->called = false;
    }
    for (int i = 0; i < 20; i++)
        cm_loop_turn(rig->loop, false);
    assert_false(rig->called);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(extension),
        cmocka_unit_test(certificate),
        cmocka_unit_test(server_names),
        cmocka_unit_test_setup_teardown(proved, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_there, setup, teardown),
        cmocka_unit_test_setup_teardown(refused_before_a_certificate, setup, teardown),
        cmocka_unit_test_setup_teardown(no_data, setup, teardown),
        cmocka_unit_test_setup_teardown(capped, setup, teardown),
        cmocka_unit_test_setup_teardown(cancelled, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
