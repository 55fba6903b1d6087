/*
 * TLS-ALPN-01 on the wire (RFC 8737): the certificate that proves a name, the listener that shows
 * it to who asks for ALPN acme-tls/1 and to nobody else, and a look at another's listener as the CA
 * will do it.  What is proved by which digest is the caller's matter.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/net/hostname.h"
#include "base/net/loop.h"

#define TLS_ALPN_DIGEST       32 /* SHA-256 of the key authorization */
#define TLS_ALPN_HANDSHAKE_MS 10000
#define TLS_ALPN_CONNS_MAX    1024
/* A CA looks from one address for thirty names of several orders at once, and behind a TLS proxy
 * everybody has the proxy's address. */
#define TLS_ALPN_CONNS_PER_ADDR 256
#define TLS_ALPN_SNI_MAX        HOSTNAME_MAX

/* The server name under which an identifier is asked for: the host name itself; for an address the
 * name of its reverse zone (RFC 8738 6). */
void tls_alpn_sni(const char *name, char out[TLS_ALPN_SNI_MAX]);

/* ---- certificate ---- */
struct tls_alpn_cert;
/* Self-signed, P-256, a week, one SAN (dNSName or iPAddress), critical acmeIdentifier.  name: ASCII
 * host name without wildcard, or an address in canonical text.  Returns 0, CM_EINVAL, CM_ECRYPTO.
 */
int tls_alpn_cert_new(const char *name, const uint8_t digest[TLS_ALPN_DIGEST],
                      struct tls_alpn_cert **ret, struct cm_err *err);
void tls_alpn_cert_free(struct tls_alpn_cert *cert); /* NULL allowed; connections keep theirs */
/* DER (cm_free). */
int tls_alpn_cert_der(const struct tls_alpn_cert *cert, uint8_t **ret, size_t *ret_len);

/* ---- listener ---- */
/* The certificate for a server name (lower case), borrowed until the loop's next turn; NULL = not
 * ours: the client gets the alert unrecognized_name. */
typedef const struct tls_alpn_cert *(*tls_alpn_find_fn)(void *arg, const char *sni);
struct tls_alpn;
/* Takes a bound stream socket over, also on failure. */
int tls_alpn_listen(struct cm_loop *loop, int take_fd, tls_alpn_find_fn find, void *arg,
                    struct tls_alpn **ret, struct cm_err *err);
void tls_alpn_close(struct tls_alpn *listener); /* and its connections; NULL allowed */
size_t tls_alpn_connections(const struct tls_alpn *listener);

/* ---- look ---- */
struct tls_alpn_seen {
    bool proved;
    int sys_errno;            /* why nothing was reached, or 0 */
    const struct cm_err *err; /* when not proved: goes on from "…: ", with a hint */
};
typedef void (*tls_alpn_look_fn)(void *arg, const struct tls_alpn_seen *seen);
struct tls_alpn_look;
/* Connects to address:port (numeric) and judges what is shown for name as a CA does.  Once, never
 * from inside. */
struct tls_alpn_look *tls_alpn_look(struct cm_loop *loop, const char *address, int port,
                                    const char *name, const uint8_t digest[TLS_ALPN_DIGEST],
                                    int timeout_ms, tls_alpn_look_fn fn, void *arg);
void tls_alpn_look_cancel(struct tls_alpn_look *look); /* fn is not called; NULL allowed */

/* For files of base/net only. */
struct x509_st;
struct ssl_st;
extern const unsigned char tls_alpn_protocol[11]; /* with its length in front */
/* Makes the connection use it. */
bool tls_alpn_cert_use(const struct tls_alpn_cert *cert, struct ssl_st *ssl);
/* Does this certificate prove name by digest (RFC 8737 3)?  Returns 0 or CM_EPEER. */
int tls_alpn_judge(struct x509_st *cert, const char *name, const uint8_t digest[TLS_ALPN_DIGEST],
                   struct cm_err *err);
