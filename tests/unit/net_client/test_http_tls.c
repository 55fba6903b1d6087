/* The HTTP client's TLS rules: CA bundle, pinned key, host name, client certificate. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/net/http_client.h"
#include "tests/unit/net_client/raw_server.h"

static struct cm_loop *loop;
static struct http_client *client;
static struct raw_server server;
static char dir[] = "/tmp/cm-test-tls-XXXXXX";
static char cert_file[100], key_file[100], other_cert[100], other_key[100];
static char pin[CM_SHA256_HEX];

/* A self-signed P-256 certificate for 127.0.0.1. */
static void make_identity(const char *cert_path, const char *key_path, char spki[CM_SHA256_HEX],
                          long ends_s)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    X509_NAME *name = X509_get_subject_name(cert);
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -7200);
    X509_gmtime_adj(X509_getm_notAfter(cert), ends_s);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"127.0.0.1", -1, -1,
                               0);
    X509_set_issuer_name(cert, name);
    X509_set_pubkey(cert, key);
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    FILE *f = fopen(cert_path, "w");
    assert_int_equal(PEM_write_X509(f, cert), 1);
    fclose(f);
    f = fopen(key_path, "w");
    assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(f);
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(key, &der);
    assert_true(len > 0);
    if (spki)
        cm_sha256_hex(der, (size_t)len, spki);
    OPENSSL_free(der);
    X509_free(cert);
    EVP_PKEY_free(key);
}

static int accept_any_client(int ok, X509_STORE_CTX *store)
{
    (void)ok;
    (void)store;
    return 1;
}

static void start_server(bool demand_client_cert)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_certificate_file(tls, cert_file, SSL_FILETYPE_PEM), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(tls, key_file, SSL_FILETYPE_PEM), 1);
    if (demand_client_cert)
        SSL_CTX_set_verify(tls, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                           accept_any_client);
    raw_start(&server, tls);
}

static int group_setup(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(cert_file, sizeof(cert_file), "%s/cert.pem", dir);
    snprintf(key_file, sizeof(key_file), "%s/key.pem", dir);
    snprintf(other_cert, sizeof(other_cert), "%s/other-cert.pem", dir);
    snprintf(other_key, sizeof(other_key), "%s/other-key.pem", dir);
    make_identity(cert_file, key_file, pin, 3600);
    make_identity(other_cert, other_key, NULL, 3600);
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    unlink(cert_file);
    unlink(key_file);
    unlink(other_cert);
    unlink(other_key);
    return rmdir(dir);
}

static int setup(void **state)
{
    (void)state;
    loop = cm_loop_new();
    client = http_client_new(loop);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    http_client_free(client);
    cm_loop_free(loop);
    raw_stop(&server);
    return 0;
}

struct outcome {
    int status, code, retry;
    char what[CM_ERR_TEXT_MAX], hint[CM_ERR_TEXT_MAX];
};

static void on_done(void *arg, const struct http_result *res)
{
    struct outcome *o = arg;
    o->status = res->status;
    o->code = res->err->code;
    o->retry = (int)res->err->retry;
    cm_strcpy(o->what, sizeof(o->what), res->err->what);
    cm_strcpy(o->hint, sizeof(o->hint), res->err->hint);
    cm_loop_stop(loop);
}

static struct outcome call(struct http_call_opts opts)
{
    char url[100];
    struct outcome o = {0};
    snprintf(url, sizeof(url), "https://127.0.0.1:%d/echo", server.port);
    if (!opts.url)
        opts.url = url;
    opts.timeout_ms = 5000;
    assert_non_null(http_call(client, &opts, on_done, &o, NULL));
    cm_loop_run(loop);
    return o;
}

static void unknown_certificates_are_refused(void **state)
{
    (void)state;
    start_server(false);
    struct outcome o = call((struct http_call_opts){0});
    assert_int_equal(o.code, CM_EDENIED);
    assert_int_equal(o.retry, CM_RETRY_CONFIGURATION);
    assert_non_null(strstr(o.what, "not trusted"));
    assert_non_null(strstr(o.hint, "as the CA bundle of this connection"));
    assert_int_equal(o.status, 0);
    assert_int_equal(server.requests, 0);
    o = call((struct http_call_opts){.ca_bundle = other_cert});
    assert_int_equal(o.code, CM_EDENIED);
    o = call((struct http_call_opts){.ca_bundle = "/nonexistent.pem"});
    assert_int_equal(o.code, CM_EINVAL);
    assert_non_null(strstr(o.what, "CA bundle"));
}

static void the_host_name_is_checked(void **state)
{
    (void)state;
    char url[100];
    struct outcome o;
    start_server(false);
    o = call((struct http_call_opts){.ca_bundle = cert_file});
    assert_string_equal(o.what, "");
    assert_int_equal(o.status, 200);
    int before = server.requests;
    snprintf(url, sizeof(url), "https://www.example.com:%d/echo", server.port);
    o = call((struct http_call_opts){.url = url, .ca_bundle = cert_file, .resolve = "127.0.0.1"});
    assert_int_equal(o.code, CM_EDENIED);
    assert_non_null(strstr(o.hint, "use the name that the certificate was made for"));
    assert_int_equal(server.requests, before);
}

static void an_expired_certificate_is_called_so(void **state)
{
    (void)state;
    char old_cert[120], old_key[120];
    snprintf(old_cert, sizeof(old_cert), "%s/old.pem", dir);
    snprintf(old_key, sizeof(old_key), "%s/old.key", dir);
    make_identity(old_cert, old_key, NULL, -3600);
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_certificate_file(tls, old_cert, SSL_FILETYPE_PEM), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(tls, old_key, SSL_FILETYPE_PEM), 1);
    raw_start(&server, tls);
    struct outcome o = call((struct http_call_opts){.ca_bundle = old_cert});
    unlink(old_cert);
    unlink(old_key);
    assert_int_equal(o.code, CM_EDENIED);
    assert_non_null(strstr(o.hint, "have the certificate of that server renewed"));
}

static void a_pinned_key_replaces_all_ca_checks(void **state)
{
    (void)state;
    start_server(false);
    struct outcome o = call((struct http_call_opts){.pin_spki = pin});
    assert_string_equal(o.what, "");
    assert_int_equal(o.status, 200);
    char wrong[CM_SHA256_HEX];
    cm_strcpy(wrong, sizeof(wrong), pin);
    wrong[0] = wrong[0] == '0' ? '1' : '0';
    int before = server.requests;
    o = call((struct http_call_opts){.pin_spki = wrong}); /* and no reuse of the connection */
    assert_int_equal(o.code, CM_EDENIED);
    assert_non_null(strstr(o.what, "another public key"));
    assert_int_equal(server.requests, before);
    o = call((struct http_call_opts){0}); /* nor without any pin */
    assert_int_equal(o.code, CM_EDENIED);
    assert_int_equal(server.requests, before);
}

static void insecure_takes_any_certificate_for_that_call_alone(void **state)
{
    (void)state;
    start_server(false);
    struct outcome o = call((struct http_call_opts){.insecure = true});
    assert_string_equal(o.what, "");
    assert_int_equal(o.status, 200);
    int before = server.requests;
    o = call((struct http_call_opts){0}); /* the connection is not used again */
    assert_int_equal(o.code, CM_EDENIED);
    assert_int_equal(server.requests, before);
    char wrong[CM_SHA256_HEX];
    cm_strcpy(wrong, sizeof(wrong), pin);
    wrong[0] = wrong[0] == '0' ? '1' : '0';
    o = call((struct http_call_opts){.insecure = true, .pin_spki = wrong}); /* a pin still counts */
    assert_int_equal(o.code, CM_EDENIED);
    assert_int_equal(server.requests, before);
}

static void client_certificates(void **state)
{
    (void)state;
    start_server(true);
    struct outcome o = call((struct http_call_opts){.pin_spki = pin});
    assert_int_equal(o.code, CM_ENET);
    o = call(
        (struct http_call_opts){.pin_spki = pin, .cert_file = other_cert, .key_file = other_key});
    assert_string_equal(o.what, "");
    assert_int_equal(o.status, 200);
    o = call(
        (struct http_call_opts){.pin_spki = pin, .cert_file = cert_file, .key_file = other_key});
    assert_int_equal(o.code, CM_EINVAL);
    assert_non_null(strstr(o.what, "client certificate"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(unknown_certificates_are_refused),
        TEST(the_host_name_is_checked),
        TEST(an_expired_certificate_is_called_so),
        TEST(a_pinned_key_replaces_all_ca_checks),
        TEST(insecure_takes_any_certificate_for_that_call_alone),
        TEST(client_certificates),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
