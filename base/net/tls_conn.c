/* TLS over memory BIOs: see the header. */
#include "base/net/tls_conn.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/core/mem.h"

struct tls_conn {
    SSL *ssl;
    BIO *in;  /* owned by ssl */
    BIO *out; /* owned by ssl */
};

struct tls_conn *tls_conn_new(struct tls_server *tls)
{
    SSL *ssl = SSL_new(tls_server_ctx(tls));
    BIO *in = BIO_new(BIO_s_mem());
    BIO *out = BIO_new(BIO_s_mem());

    if (ssl == NULL || in == NULL || out == NULL) {
        SSL_free(ssl);
        BIO_free(in);
        BIO_free(out);
        ERR_clear_error();
        return NULL;
    }
    /* An empty BIO means "wait", never end of file: the socket's end is known elsewhere. */
    BIO_set_mem_eof_return(in, -1);
    BIO_set_mem_eof_return(out, -1);
    SSL_set_bio(ssl, in, out);
    SSL_set_accept_state(ssl);

    struct tls_conn *conn = cm_calloc(1, sizeof(*conn));
    *conn = (struct tls_conn){.ssl = ssl, .in = in, .out = out};
    return conn;
}

void tls_conn_free(struct tls_conn *conn)
{
    if (conn == NULL)
        return;
    SSL_free(conn->ssl);
    cm_free(conn);
}

int tls_conn_feed(struct tls_conn *conn, const void *data, size_t len)
{
    if (len > INT_MAX || BIO_write(conn->in, data, (int)len) != (int)len) {
        ERR_clear_error();
        return CM_ECRYPTO;
    }
    return 0;
}

size_t tls_conn_pending(struct tls_conn *conn)
{
    return BIO_ctrl_pending(conn->out);
}

int tls_conn_take(struct tls_conn *conn, struct cm_buf *out, size_t max)
{
    char piece[4096];

    while (max > 0) {
        size_t want = max < sizeof(piece) ? max : sizeof(piece);
        int n = BIO_read(conn->out, piece, (int)want);
        if (n <= 0)
            return 0;
        if (cm_buf_add(out, piece, (size_t)n) < 0)
            return CM_ELIMIT;
        max -= (size_t)n;
    }
    return 0;
}

int tls_conn_handshake(struct tls_conn *conn, struct cm_err *err)
{
    ERR_clear_error();
    int r = SSL_do_handshake(conn->ssl);
    if (r == 1)
        return 1;
    int why = SSL_get_error(conn->ssl, r);
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
        return 0;
    return tls_fail(err, CM_EPEER, "TLS handshake failed");
}

int tls_conn_read(struct tls_conn *conn, void *out, size_t size)
{
    ERR_clear_error();
    int n = SSL_read(conn->ssl, out, size < INT_MAX ? (int)size : INT_MAX);
    if (n > 0)
        return n;
    switch (SSL_get_error(conn->ssl, n)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return 0;
    case SSL_ERROR_ZERO_RETURN:
        return CM_ECLOSED;
    default:
        ERR_clear_error();
        return CM_EPEER;
    }
}

int tls_conn_write(struct tls_conn *conn, const void *data, size_t len)
{
    size_t done = 0;

    ERR_clear_error();
    if (len == 0)
        return 0;
    if (SSL_write_ex(conn->ssl, data, len, &done) != 1 || done != len) {
        ERR_clear_error();
        return CM_EPEER;
    }
    return 0;
}

void tls_conn_shutdown(struct tls_conn *conn)
{
    ERR_clear_error();
    if (SSL_is_init_finished(conn->ssl))
        SSL_shutdown(conn->ssl);
    ERR_clear_error();
}

bool tls_conn_peer_spki(struct tls_conn *conn, char out[CM_SHA256_HEX])
{
    X509 *cert = SSL_get1_peer_certificate(conn->ssl);
    bool ok = cert != NULL && tls_spki_of_cert(cert, out) == 0;

    X509_free(cert);
    ERR_clear_error();
    return ok;
}
