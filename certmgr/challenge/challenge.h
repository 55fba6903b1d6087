/*
 * HTTP-01 (RFC 8555 8.3): answering from `challenge:` documents, and the self-check that fetches
 * the answer as the CA would before the CA is told (reference/acme.md H1-H6); it looks at answers
 * of TLS-ALPN-01 as well (tlsalpn.h).
 */
#pragma once

#include "base/net/dns.h"
#include "base/net/http_client.h"
#include "base/net/http_server.h"
#include "certstore/store.h"

#define CH_PATH "/.well-known/acme-challenge/"

/* A CA checks all names of all open orders at once, from each of its places by one address; behind
 * a proxy all of them come from one. */
#define CH_CONNS_PER_ADDR 1024

/* What a challenge listener is: its handler and limits; the rest of *opts is the caller's. */
void ch_http01_opts(struct http_listen_opts *opts, struct cs_store *store);
/* Handler of the challenge listeners: exact live tokens only, body = key authorization, else 404;
 * an expired token is never served. arg = struct cs_store *. */
void ch_http01_handle(void *arg, struct http_exchange *ex);
/* Looks a token up (also for tests): cm_free the result; NULL when unknown or expired. */
char *ch_http01_lookup(struct cs_store *store, const char *token, int64_t now_ms);

struct ch_check;
/* err NULL = every token of `tokens` ([{host,type,token,key_authorization}]) was served on every
 * address of its host on `port`.  err names host, address and what was seen.  Repeats until ok or
 * deadline_ms from now (documents replicate meanwhile). */
typedef void (*ch_check_fn)(void *arg, const struct cm_err *err);
struct ch_check *ch_self_check(struct cm_loop *loop, struct http_client *http,
                               struct dns_client *dns, const json_t *tokens, int port,
                               int deadline_ms, ch_check_fn done, void *arg);
/* Port for tokens of type tls-alpn-01, when it is not 443; called right after ch_self_check(). */
void ch_check_tls_port(struct ch_check *check, int port);
void ch_check_cancel(struct ch_check *check); /* done is not called */
