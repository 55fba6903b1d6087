/*
 * The leniency table: raw requests and the verdict that our server gives.
 *
 * Rows 1 to 72 are the probes that other servers were measured with; the rest came up while writing
 * the parser.  Shared by the parser test, the server test and the fuzz corpus.  Status 200 means
 * accepted; HTTP_ROW_MORE means that the bytes are not a complete head.
 */
#pragma once

#include <stddef.h>

#define HTTP_ROW_MORE 0

struct http_row {
    const char *name;
    int status;
    const char *raw;
    size_t len;
    const char *unit; /* repeated count times behind raw, then tail */
    unsigned count;
    const char *tail;
};

#define ROW(id, verdict, text)                                                                     \
    {                                                                                              \
        .name = id, .status = verdict, .raw = text, .len = sizeof(text) - 1, .unit = "",           \
        .tail = ""                                                                                 \
    }
#define LONG_ROW(id, verdict, text, piece, times, end)                                             \
    {                                                                                              \
        .name = id, .status = verdict, .raw = text, .len = sizeof(text) - 1, .unit = piece,        \
        .count = times, .tail = end                                                                \
    }
#define GET  "GET / HTTP/1.1\r\n"
#define POST "POST / HTTP/1.1\r\nHost: x\r\n"
#define H    "Host: x\r\n"
#define TE   POST "Transfer-Encoding: chunked\r\n\r\n"
#define NEXT "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"

static const struct http_row http_rows[] = {
    /* Host (RFC 9112 3.2) */
    ROW("no-host", 400, GET "\r\n"),
    ROW("two-hosts", 400, GET H "Host: y\r\n\r\n"),
    ROW("two-equal-hosts", 400, GET H H "\r\n"),
    ROW("empty-host", 400, GET "Host:\r\n\r\n"),
    /* Content-Length (RFC 9112 6.3) */
    ROW("length-3-and-5", 400, POST "Content-Length: 3\r\nContent-Length: 5\r\n\r\nabcde"),
    ROW("length-3-and-3", 400, POST "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"),
    ROW("length-plus", 400, POST "Content-Length: +3\r\n\r\nabc"),
    ROW("length-minus", 400, POST "Content-Length: -1\r\n\r\nabc"),
    ROW("length-hex", 400, POST "Content-Length: 0x3\r\n\r\nabc"),
    ROW("length-trailing", 400, POST "Content-Length: 3x\r\n\r\nabc"),
    ROW("length-list", 400, POST "Content-Length: 3, 3\r\n\r\nabc"),
    ROW("length-empty", 400, POST "Content-Length:\r\n\r\nabc"),
    ROW("length-huge", 413, POST "Content-Length: 99999999999999999999\r\n\r\nabc"),
    ROW("length-wraps-64-bit", 413, POST "Content-Length: 18446744073709551619\r\n\r\nabc"),
    ROW("length-inner-space", 400, POST "Content-Length: 3 3\r\n\r\nabc"),
    ROW("length-space-before-colon", 400, POST "Content-Length : 3\r\n\r\n" NEXT),
    /* field lines (RFC 9112 5) */
    ROW("field-space-before-colon", 400, GET H "X-A : b\r\n\r\n"),
    ROW("field-tab-before-colon", 400, GET H "X-A\t: b\r\n\r\n"),
    ROW("leading-space-first-header", 400, "GET / HTTP/1.1\r\n Host: x\r\n\r\n"),
    /* Transfer-Encoding (RFC 9112 6.1) */
    ROW("length-and-chunked", 501,
        POST "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" NEXT),
    ROW("chunked-and-length", 501,
        POST "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" NEXT),
    ROW("chunked", 501, TE "3\r\nabc\r\n0\r\n\r\n"),
    ROW("te-gzip", 501, POST "Transfer-Encoding: gzip\r\n\r\n" NEXT),
    ROW("te-xchunked", 501, POST "Transfer-Encoding: xchunked\r\n\r\n" NEXT),
    ROW("te-gzip-chunked", 501, POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    ROW("te-leading-tab", 501, POST "Transfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n"),
    ROW("te-trailing-space", 501, POST "Transfer-Encoding: chunked \r\n\r\n0\r\n\r\n"),
    ROW("te-trailing-tab", 501, POST "Transfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n"),
    ROW("te-chunked-then-identity", 501,
        POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n"),
    ROW("te-upper-case", 501, POST "TRANSFER-ENCODING: CHUNKED\r\n\r\n0\r\n\r\n"),
    ROW("te-empty", 501, POST "Transfer-Encoding:\r\n\r\n"),
    ROW("te-http10", 501, "POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"),
    ROW("te-space-before-colon", 400, POST "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
    ROW("chunk-size-hex-prefix", 501, TE "0x3\r\nabc\r\n0\r\n\r\n"),
    ROW("chunk-size-plus", 501, TE "+3\r\nabc\r\n0\r\n\r\n"),
    ROW("chunk-size-leading-space", 501, TE " 3\r\nabc\r\n0\r\n\r\n"),
    ROW("chunk-size-trailing-space", 501, TE "3 \r\nabc\r\n0\r\n\r\n"),
    ROW("chunk-size-huge", 501, TE "fffffffffffffffff\r\nabc\r\n0\r\n\r\n"),
    ROW("chunk-no-crlf-after-data", 501, TE "3\r\nabc0\r\n\r\n"),
    ROW("chunk-bare-lf", 501, TE "3\nabc\n0\n\n"),
    ROW("chunk-extension-lf", 501, TE "3;a\nb\r\nabc\r\n0\r\n\r\n"),
    /* bytes that readers disagree about (RFC 9112 2.2, 5.2) */
    ROW("nul-in-value", 400, GET H "X-A: a\0b\r\n\r\n"),
    ROW("nul-in-length", 400, POST "Content-Length: 3\0\r\n\r\nabc"),
    ROW("nul-in-target", 400, "GET /a\0b HTTP/1.1\r\nHost: x\r\n\r\n"),
    ROW("nul-in-name", 400, GET H "X-\0A: b\r\n\r\n"),
    ROW("escaped-nul", 400, "GET /a%00b HTTP/1.1\r\nHost: x\r\n\r\n"),
    ROW("obs-fold-space", 400, GET H "X-A: a\r\n b\r\n\r\n"),
    ROW("obs-fold-tab", 400, GET H "X-A: a\r\n\tb\r\n\r\n"),
    ROW("bare-lf-everywhere", 400, "GET / HTTP/1.1\nHost: x\n\n"),
    ROW("bare-lf-in-one-line", 400, GET "Host: x\nX-A: b\r\n\r\n"),
    ROW("bare-lf-at-the-end", 400, GET "Host: x\r\n\n"),
    ROW("bare-cr-in-value", 400, GET H "X-A: a\rb\r\n\r\n"),
    ROW("bare-cr-line-end", 400, "GET / HTTP/1.1\rHost: x\r\r"),
    ROW("cr-cr-lf", 400, GET "Host: x\r\r\n\r\n"),
    ROW("control-byte", 400,
        GET H "X-A: a\x01"
              "b\r\n\r\n"),
    /* targets (RFC 9112 3.2) */
    ROW("absolute-form", 400, "GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n"),
    ROW("connect", 405, "CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n"),
    ROW("asterisk-form", 400, "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"),
    /* versions (RFC 9112 2.3) */
    ROW("version-1.99", 505, "GET / HTTP/1.99\r\nHost: x\r\n\r\n"),
    ROW("version-2.0", 505, "GET / HTTP/2.0\r\nHost: x\r\n\r\n"),
    ROW("version-0.9", 505, "GET / HTTP/0.9\r\nHost: x\r\n\r\n"),
    ROW("version-missing", 400, "GET /\r\n\r\n"),
    ROW("version-trailing", 400, "GET / HTTP/1.1x\r\nHost: x\r\n\r\n"),
    ROW("version-foreign", 400, "GET / FOO/1.1\r\nHost: x\r\n\r\n"),
    /* tokens (RFC 9110 5.6.2) */
    ROW("odd-method", 400, "G@T( / HTTP/1.1\r\nHost: x\r\n\r\n"),
    ROW("odd-field-name", 400, GET H "X(A): b\r\n\r\n"),
    ROW("empty-field-name", 400, GET H ": b\r\n\r\n"),
    /* sizes */
    LONG_ROW("header-40k", 431, GET H "X-A: ", "aaaaaaaaaa", 4000, "\r\n\r\n"),
    LONG_ROW("fields-1000", 431, GET H, "a: b\r\n", 1000, "\r\n"),
    LONG_ROW("target-40k", 414, "GET /", "aaaaaaaaaa", 4000, " HTTP/1.1\r\nHost: x\r\n\r\n"),
    /* what must work */
    ROW("pipelined", 200, GET H "\r\n" GET H "\r\n"),
    ROW("body-then-request", 200, POST "Content-Length: 3\r\n\r\nabc" GET H "\r\n"),

    /* ---- beyond the 72 ---- */
    LONG_ROW("fields-65", 431, GET, "a: b\r\n", 64, "Host: x\r\n\r\n"),
    LONG_ROW("fields-64", 200, GET, "a: b\r\n", 63, "Host: x\r\n\r\n"),
    LONG_ROW("target-8193", 414, "GET /", "a", 8192, " HTTP/1.1\r\nHost: x\r\n\r\n"),
    LONG_ROW("target-8192", 200, "GET /", "a", 8191, " HTTP/1.1\r\nHost: x\r\n\r\n"),
    ROW("half-head", HTTP_ROW_MORE, GET H),
    ROW("leading-empty-line", 400, "\r\n" GET H "\r\n"),
    ROW("only-empty-lines", 400, "\r\n\r\n"),
    ROW("two-spaces", 400, "GET  / HTTP/1.1\r\nHost: x\r\n\r\n"),
    ROW("tab-as-space", 400, "GET\t/\tHTTP/1.1\r\nHost: x\r\n\r\n"),
    ROW("trailing-space", 400, "GET / HTTP/1.1 \r\nHost: x\r\n\r\n"),
    ROW("leading-space", 400, " GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    ROW("lower-case-method", 405, "get / HTTP/1.1\r\nHost: x\r\n\r\n"),
    ROW("unknown-method", 405, "TRACE / HTTP/1.1\r\nHost: x\r\n\r\n"),
    ROW("h2-preface", 505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ROW("lower-case-version", 400, "GET / http/1.1\r\nHost: x\r\n\r\n"),
    ROW("no-colon", 400, GET H "nonsense\r\n\r\n"),
    ROW("field-name-utf8", 400, GET H "X-\xc3\xa4: b\r\n\r\n"),
    ROW("delete-byte", 400, GET H "X-A: \x7f\r\n\r\n"),
    ROW("value-not-utf8", 400, GET H "X-A: \xff\r\n\r\n"),
    ROW("value-utf8", 200, GET H "X-A: \xc3\xa4\r\n\r\n"),
    ROW("value-empty", 200, GET H "X-A:\r\n\r\n"),
    ROW("network-path", 400, "GET //evil.example/ HTTP/1.1\r\nHost: x\r\n\r\n"),
    ROW("relative-target", 400, "GET a HTTP/1.1\r\nHost: x\r\n\r\n"),
    ROW("fragment", 400, "GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n"),
    ROW("fragment-in-query", 400, "GET /a?b#c HTTP/1.1\r\nHost: x\r\n\r\n"),
    ROW("backslash", 400, "GET /a\\b HTTP/1.1\r\nHost: x\r\n\r\n"),
    ROW("raw-utf8-target", 400, "GET /\xc3\xa4 HTTP/1.1\r\nHost: x\r\n\r\n"),
    ROW("escape-cut", 400, "GET /a%4 HTTP/1.1\r\nHost: x\r\n\r\n"),
    ROW("escape-not-hex", 400, "GET /a%zz HTTP/1.1\r\nHost: x\r\n\r\n"),
    ROW("escape-line-feed", 400, "GET /a%0ab HTTP/1.1\r\nHost: x\r\n\r\n"),
    ROW("escape-not-utf8", 400, "GET /%ff HTTP/1.1\r\nHost: x\r\n\r\n"),
    ROW("escape-overlong-slash", 400, "GET /%c0%af HTTP/1.1\r\nHost: x\r\n\r\n"),
    ROW("query-escaped-nul", 400, "GET /?a=%00 HTTP/1.1\r\nHost: x\r\n\r\n"),
    ROW("query-escape-cut", 400, "GET /?a=% HTTP/1.1\r\nHost: x\r\n\r\n"),
    ROW("dot-segment", 400, "GET /a/../b HTTP/1.1\r\nHost: x\r\n\r\n"),
    ROW("dot-segment-one", 400, "GET /a/./b HTTP/1.1\r\nHost: x\r\n\r\n"),
    ROW("dot-segment-end", 400, "GET /a/.. HTTP/1.1\r\nHost: x\r\n\r\n"),
    ROW("dot-segment-escaped", 400, "GET /a/%2e%2E/b HTTP/1.1\r\nHost: x\r\n\r\n"),
    ROW("dot-segment-escaped-slash", 400, "GET /a%2f..%2Fb HTTP/1.1\r\nHost: x\r\n\r\n"),
    ROW("dot-segment-backslash", 400, "GET /a%5c..%5cb HTTP/1.1\r\nHost: x\r\n\r\n"),
    ROW("dots-in-names", 200, "GET /..a/b..c/.well-known/... HTTP/1.1\r\nHost: x\r\n\r\n"),
    ROW("host-user-info", 400, GET "Host: a@b\r\n\r\n"),
    ROW("host-path", 400, GET "Host: a/b\r\n\r\n"),
    ROW("host-list", 400, GET "Host: a, b\r\n\r\n"),
    ROW("host-port-not-number", 400, GET "Host: a:b\r\n\r\n"),
    ROW("host-port", 200, GET "Host: a.example:8443\r\n\r\n"),
    ROW("host-ipv6", 200, GET "Host: [::1]:8443\r\n\r\n"),
    ROW("host-ipv6-open", 400, GET "Host: [::1\r\n\r\n"),
    ROW("expect-unknown", 417, POST "Expect: 200-ok\r\n\r\n"),
    ROW("expect-twice", 400, POST "Expect: 100-continue\r\nExpect: 100-continue\r\n\r\n"),
    ROW("two-authorizations", 400, GET H "Authorization: a\r\nAuthorization: b\r\n\r\n"),
    ROW("two-origins", 400, GET H "Origin: https://a\r\nOrigin: https://b\r\n\r\n"),
    ROW("http10-no-host", 400, "GET / HTTP/1.0\r\n\r\n"),
    ROW("http10", 200, "GET / HTTP/1.0\r\nHost: x\r\n\r\n"),
    ROW("tls-client-hello", 400, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    ROW("length-zero", 200, POST "Content-Length: 0\r\n\r\n"),
    ROW("length-leading-zeros", 200, POST "Content-Length: 003\r\n\r\nabc"),
};

#define HTTP_ROWS_PROBED 72
#define HTTP_ROWS_COUNT  (sizeof(http_rows) / sizeof(http_rows[0]))

#undef GET
#undef POST
#undef H
#undef TE
#undef NEXT
