/*
 * TLS by OpenSSL: server contexts and the pinned-key rule between peers.
 *
 * Peers accept exactly the public keys (SPKI SHA-256) that trust:root lists; certificates are
 * self-signed and their dates are not consulted (docs/adr/0005-trust-root.md).
 */
#pragma once

#include "base/core/err.h"
#include <stddef.h>

struct tls_server;
typedef struct ssl_st SSL;
typedef struct ssl_ctx_st SSL_CTX;
typedef struct x509_st X509;

/* Decides whether a presented client certificate may connect (hex SHA-256 of its SPKI). */
typedef bool (*tls_peer_fn)(void *arg, const char *spki_hex);

struct tls_server_opts {
    const char *cert_file, *key_file; /* PEM */
    bool ask_client_cert; /* request one; none is allowed, an unknown one fails the handshake */
    tls_peer_fn peer_ok;  /* with ask_client_cert */
    void *arg;
};

/* TLS >= 1.2, AEAD + ECDHE only, no renegotiation, no tickets across restarts, ALPN http/1.1. */
int tls_server_new(const struct tls_server_opts *opts, struct tls_server **ret, struct cm_err *err);
void tls_server_free(struct tls_server *tls);
SSL_CTX *tls_server_ctx(struct tls_server *tls);

/* Hex SHA-256 of a certificate's SPKI.  Returns 0 or CM_ECRYPTO. */
int tls_spki_of_cert(X509 *cert, char out[65]);
/* Hex SHA-256 of the SPKI of a PEM certificate file. */
int tls_spki_of_file(const char *cert_file, char out[65], struct cm_err *err);
/* Makes a P-256 key and a self-signed certificate (CN = name, 100 years) as PEM files, key mode
 * 0600.  Used once by `certmgr init` and `certmgr join`. */
int tls_identity_make(const char *name, const char *cert_file, const char *key_file,
                      struct cm_err *err);
/* Drains OpenSSL's error queue into err (component text + library text). */
int tls_fail(struct cm_err *err, int code, const char *what);
