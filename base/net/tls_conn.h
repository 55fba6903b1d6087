/*
 * One server-side TLS connection over memory BIOs: bytes in, bytes out, no socket.
 *
 * The owner feeds what the socket gave and sends what tls_conn_take() hands out; nothing blocks and
 * nothing happens by itself, so a silent peer costs no CPU.  For files of base/net only.
 */
#pragma once

#include "base/core/buf.h"
#include "base/core/bytes.h"
#include "base/net/tls.h"

struct tls_conn;

/* The context in force now is used for the whole connection.  NULL when OpenSSL refuses. */
struct tls_conn *tls_conn_new(struct tls_server *tls);
void tls_conn_free(struct tls_conn *conn); /* NULL allowed */

/* Encrypted bytes from the socket. */
int tls_conn_feed(struct tls_conn *conn, const void *data, size_t len);
/* Encrypted bytes for the socket that are waiting. */
size_t tls_conn_pending(struct tls_conn *conn);
/* Moves at most max of them to out. */
int tls_conn_take(struct tls_conn *conn, struct cm_buf *out, size_t max);

/* Returns 1 when the handshake is complete, 0 when more bytes are needed, or CM_EPEER; an alert
 * may be waiting in both cases. */
int tls_conn_handshake(struct tls_conn *conn, struct cm_err *err);
/* Plain bytes: > 0 their count, 0 when more input is needed, CM_ECLOSED after close_notify,
 * CM_EPEER on a violation. */
int tls_conn_read(struct tls_conn *conn, void *out, size_t size);
/* Encrypts all of data (after the handshake).  Returns 0 or CM_EPEER. */
int tls_conn_write(struct tls_conn *conn, const void *data, size_t len);
/* Queues close_notify. */
void tls_conn_shutdown(struct tls_conn *conn);
/* Hex SHA-256 of the client certificate's SPKI; false when none was presented. */
bool tls_conn_peer_spki(struct tls_conn *conn, char out[CM_SHA256_HEX]);
