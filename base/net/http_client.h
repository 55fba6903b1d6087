/*
 * Outgoing HTTP: libcurl on the loop (curl_loop.h).
 *
 * https only unless the caller allows http; redirects are never followed here; every call has a
 * deadline and a cap on the reply; text from outside goes nowhere but into the result.
 */
#pragma once

#include "base/core/buf.h"
#include "base/net/loop.h"

#define HTTP_CALL_REPLY_MAX   (1u << 20) /* default cap (reference/acme.md 3.1) */
#define HTTP_CALL_HEADERS_MAX (64u << 10)
#define HTTP_CALL_TIMEOUT_MS  30000
#define HTTP_UNHEARD_MS       12000 /* what was sent and not acknowledged ends the connection */
#define HTTP_ANY_HOST_S       1L    /* any_host: idle for no longer */

struct http_client;
struct http_call;

struct http_result {
    int status;          /* 0 when no status line came; valid also when the body broke off */
    const char *headers; /* raw header block, lines end in CRLF */
    const char *body;    /* NUL-terminated; empty when on_data took it */
    size_t body_len;
    const char *remote_ip; /* address connected to, or "" */
    int sys_errno; /* why no connection came about (ECONNREFUSED, ENETUNREACH …); 0 = other */
    struct cm_err *err; /* code != 0: no reply (CM_ENET, CM_ETIMEOUT, CM_ELIMIT, CM_EDENIED) */
};
/* Called exactly once, never from inside http_call().  The result is borrowed for the call.  It may
 * start and cancel calls, but not free the client. */
typedef void (*http_done_fn)(void *arg, const struct http_result *res);
/* Streaming bodies of 2xx replies (all others are collected in `body`); the total is not capped.
 * Return 0, or negative to abort the call (done follows with CM_ECLOSED).  May start and cancel
 * calls. */
typedef int (*http_data_fn)(void *arg, const void *data, size_t len);

struct http_call_opts {
    const char *method; /* "GET", "POST", "HEAD", "PUT"; NULL = GET */
    const char *url;
    const char *const *headers; /* "Name: value" lines, NULL-terminated; may be NULL */
    const void *body;           /* copied; NULL = none */
    size_t body_len;
    int timeout_ms;        /* whole call; 0 = default, -1 = none (long feeds) */
    int connect_ms;        /* until the TLS session stands; 0 = default */
    int silence_ms;        /* abort when no byte came for so long; 0 = off */
    size_t reply_max;      /* cap of `body`; 0 = default */
    bool allow_http;       /* plain http:// allowed */
    const char *ca_bundle; /* PEM file; NULL = system */
    const char *ca_pem;    /* PEM text of the accepted CAs (in memory); wins over ca_bundle */
    const char *pin_spki;  /* hex SHA-256 of the only accepted SPKI, or of two ("hex,hex"): replaces
                            * CA checks */
    bool insecure;         /* any certificate: for redirects of the challenge self-check, which a
                            * CA follows the same way, and for trust roots, which count by their
                            * signatures; the connection is not used again */
    const char *cert_file, *key_file; /* client certificate */
    const char *cert_pem, *key_pem;   /* the same as PEM text: a key that lies in no file */
    const char *resolve;              /* "address" to connect to instead of resolving the host */
    bool any_host; /* with `resolve`, for http://: over a connection to that address which another
                    * host's call has just used (HTTP_ANY_HOST_S); the host is in Host alone */
    const char *unix_socket;
    bool once;            /* never sent again unasked: libcurl repeats a request, POST too, when a
                           * kept connection ends without an answer */
    bool no_keep;         /* nothing more will be asked there: the connection is not kept */
    http_data_fn on_data; /* optional */
};

#define HTTP_HOST_CONNS_USUAL 16
#define HTTP_HOST_CONNS_MAX   128

struct http_client *http_client_new(struct cm_loop *loop);
/* Connections to one host at a time, at most HTTP_HOST_CONNS_MAX; calls beyond wait for one. */
void http_client_set_conns(struct http_client *client, size_t per_host);
void http_client_free(struct http_client *client); /* cancels what runs (done is called) */
/* Starts a call.  NULL + err only for a refused URL or option.  done(arg) follows. */
struct http_call *http_call(struct http_client *client, const struct http_call_opts *opts,
                            http_done_fn done, void *arg, struct cm_err *err);
/* Ends a call; done is NOT called any more. */
void http_call_cancel(struct http_call *call);

/* Finds header `name` (any case) in a raw block: copies the trimmed value of the nth occurrence
 * (0 = first) into out; returns false when absent or too long. */
bool http_header_get(const char *headers, const char *name, unsigned nth, char *out, size_t size);
/* Retry-After of a reply in both forms (RFC 9110 10.2.3) as wall-clock ms, 0 = absent; capped to
 * one year. */
int64_t http_retry_after(const char *headers, int64_t now_ms);
/* Date of a reply as wall-clock ms, 0 = absent or malformed. */
int64_t http_date(const char *headers, int64_t now_ms);
