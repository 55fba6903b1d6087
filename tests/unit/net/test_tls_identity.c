/* Making TLS identities, and files that are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/core/mem.h"
#include "base/net/tls.h"

static char dir[64];
static char server_cert[96], server_key[96], other_cert[96], other_key[96];

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
    name_file(other_cert, "other.crt");
    name_file(other_key, "other.key");
    assert_int_equal(tls_identity_make("manager.example", server_cert, server_key, NULL), 0);
    return tls_identity_make("peer", other_cert, other_key, NULL);
}

static int remove_files(void **state)
{
    (void)state;
    const char *const files[] = {server_cert, server_key, other_cert, other_key};
    for (size_t i = 0; i < 4; i++)
        unlink(files[i]);
    rmdir(dir);
    return 0;
}

static void test_identity(void **state)
{
    (void)state;
    struct stat st;
    struct cm_err err = CM_ERR_INIT;
    FILE *f = fopen(server_cert, "r");
    X509 *cert = PEM_read_X509(f, NULL, NULL, NULL);
    fclose(f);

    assert_non_null(cert);
    assert_int_equal(
        X509_check_host(cert, "manager.example", 0, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL), 1);
    assert_int_equal(X509_check_host(cert, "other.example", 0, 0, NULL), 0);
    assert_true(X509_get_extended_key_usage(cert) == (XKU_SSL_SERVER | XKU_SSL_CLIENT));
    assert_true(X509_get_extension_flags(cert) & EXFLAG_SS);
    assert_false(X509_check_ca(cert));
    assert_int_equal(X509_verify(cert, X509_get0_pubkey(cert)), 1);
    assert_int_equal(EVP_PKEY_get_bits(X509_get0_pubkey(cert)), 256);
    int days = 0, seconds = 0;
    ASN1_TIME_diff(&days, &seconds, X509_get0_notBefore(cert), X509_get0_notAfter(cert));
    assert_int_equal(days, 36500);
    X509_free(cert);
    assert_int_equal(stat(server_key, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);

    /* A comma makes no second name. */
    CM_AUTO_STR long_name = cm_malloc(254);
    memset(long_name, 'a', 253);
    long_name[253] = '\0';
    assert_int_equal(tls_identity_make("", other_cert, other_key, &err), CM_EINVAL);
    cm_err_fini(&err);
    assert_int_equal(tls_identity_make("a b", other_cert, other_key, &err), CM_EINVAL);
    cm_err_fini(&err);
    assert_int_equal(tls_identity_make(long_name, other_cert, other_key, &err), 0);
    assert_int_equal(tls_identity_make("a,DNS:evil.example", other_cert, other_key, &err), 0);
    f = fopen(other_cert, "r");
    cert = PEM_read_X509(f, NULL, NULL, NULL);
    fclose(f);
    assert_int_equal(X509_check_host(cert, "evil.example", 0, 0, NULL), 0);
    X509_free(cert);
    assert_int_equal(tls_identity_make("x", "/nonexistent/a", "/nonexistent/b", &err), CM_ENOENT);
    cm_err_fini(&err);
}

static void test_bad_files(void **state)
{
    (void)state;
    struct cm_err err = CM_ERR_INIT;
    struct tls_server *tls = NULL;
    char spki[65];
    struct tls_server_opts missing = {.cert_file = "/nonexistent", .key_file = server_key};
    struct tls_server_opts mixed = {.cert_file = server_cert, .key_file = other_key};

    assert_int_equal(tls_server_new(&missing, &tls, &err), CM_ECRYPTO);
    assert_non_null(strstr(err.what, "/nonexistent"));
    cm_err_fini(&err);
    assert_int_equal(tls_server_new(&mixed, &tls, &err), CM_ECRYPTO);
    cm_err_fini(&err);
    assert_int_equal(tls_spki_of_file(server_key, spki, &err), CM_ECRYPTO);
    cm_err_fini(&err);
    assert_null(tls);
    assert_int_equal(ERR_peek_error(), 0); /* the queue is left clean */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_bad_files),
    };

    return cmocka_run_group_tests(tests, make_files, remove_files);
}
