/*
 * Judging the answer to a challenge (RFC 8555 8.3; reference/acme.md H4b): status 200, the key
 * authorization and nothing else but white space behind it, less than 128 bytes.  A wrong answer is
 * named by what it most likely is.
 */
#include "certmgr/challenge/answer.h"

#include <stdio.h>
#include <string.h>

#define SHOWN_MAX  61 /* of a wrong answer, with NUL */
#define SERVER_MAX 41 /* of the Server header, with NUL */
#define THUMB_LEN  43 /* base64url of SHA-256 (RFC 7638) */

void ch_show(const char *text, size_t len, char *out, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < len && n + 1 < size; i++) {
        unsigned char c = (unsigned char)text[i];
        out[n++] = (char)(c >= 0x20 && c < 0x7f ? c : '.');
    }
    out[n] = '\0';
}

/* " from the web server \"nginx\"", or "" when it does not say. */
static void show_server(const struct http_result *res, char *out, size_t size)
{
    char name[256], shown[SERVER_MAX];
    out[0] = '\0';
    if (!http_header_get(res->headers, "server", 0, name, sizeof(name)) || name[0] == '\0')
        return;
    ch_show(name, strlen(name), shown, sizeof(shown));
    snprintf(out, size, " from the web server \"%s\"", shown);
}

static int fail_status(const struct http_result *res, struct cm_err *err)
{
    char server[100], shown[SHOWN_MAX];
    show_server(res, server, sizeof(server));
    ch_show(res->body, res->body_len, shown, sizeof(shown));
    if (res->status == 404 && strcmp(res->body, CH_NO_TOKEN) == 0) {
        cm_fail(err, CM_EPEER,
                "status 404 from CertMgr: the server that answers there does not know the token");
        cm_err_hint(err, "check that the server there belongs to this fleet and is up to date "
                         "(certmgr status); every address of the host must lead to the fleet");
        return CM_EPEER;
    }
    cm_fail(err, CM_EPEER, "status %d instead of 200%s%s%s%s", res->status, server,
            shown[0] ? ": \"" : "", shown, shown[0] ? "\"" : "");
    cm_err_hint(err, "let what answers there pass /.well-known/acme-challenge/ on to CertMgr "
                     "(docs/beside-a-web-server.md); or switch the self-check off in the account");
    return CM_EPEER;
}

/* Characters of base64url from the start. */
static size_t base64url(const char *text)
{
    return strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");
}

static int fail_body(const struct http_result *res, size_t len, const char *token,
                     struct cm_err *err)
{
    char server[100], shown[SHOWN_MAX];
    show_server(res, server, sizeof(server));
    ch_show(res->body, len, shown, sizeof(shown));
    size_t first = base64url(res->body);
    bool is_auth = first > 0 && first < len && res->body[first] == '.' &&
                   base64url(res->body + first + 1) == len - first - 1;
    bool same_token = is_auth && first == strlen(token) && memcmp(res->body, token, first) == 0;
    if (same_token) {
        cm_fail(err, CM_EPEER, "the key authorization of this token, but of another ACME account%s",
                server);
        cm_err_hint(err, "another ACME client answers there with its own account key: let it leave "
                         "/.well-known/acme-challenge/ to CertMgr");
    } else if (is_auth && len - first - 1 == THUMB_LEN) {
        cm_fail(err, CM_EPEER, "the key authorization of another token%s: \"%s\"", server, shown);
        cm_err_hint(err, "something answers every challenge alike there (a file, a cache, another "
                         "ACME client): let it leave /.well-known/acme-challenge/ to CertMgr");
    } else {
        cm_fail(err, CM_EPEER, "%s%s%s%s%s%s",
                len == 0 ? "an empty answer" : "another answer than the key authorization", server,
                len == 0 ? "" : ": \"", shown, len == 0 ? "" : "\"", "");
        cm_err_hint(err, "let what answers there pass /.well-known/acme-challenge/ on to CertMgr, "
                         "and no page of its own (docs/beside-a-web-server.md)");
    }
    return CM_EPEER;
}

static int fail_long(const struct http_result *res, struct cm_err *err)
{
    char server[100], shown[SHOWN_MAX];
    show_server(res, server, sizeof(server));
    ch_show(res->body, res->body_len, shown, sizeof(shown));
    cm_fail(err, CM_EPEER, "an answer of %s%zu bytes%s; a CA refuses %d bytes and more: \"%s\"",
            res->err->code == CM_ELIMIT ? "more than " : "", res->body_len, server, CH_ANSWER_LIMIT,
            shown);
    cm_err_hint(err, "let what answers there pass /.well-known/acme-challenge/ on to CertMgr, and "
                     "add nothing to the answer (docs/beside-a-web-server.md)");
    return CM_EPEER;
}

int ch_answer(const struct http_result *res, const char *token, const char *answer,
              struct cm_err *err)
{
    if (res->status != 200)
        return fail_status(res, err);
    if (res->err->code == CM_ELIMIT || res->body_len >= CH_ANSWER_LIMIT)
        return fail_long(res, err);
    if (res->err->code != 0) {
        cm_fail(err, res->err->code, "%s", res->err->what);
        cm_err_hint(err, "%s", res->err->hint);
        return res->err->code;
    }
    size_t len = res->body_len; /* trailing white space is cut, as Boulder does */
    while (len > 0 && strchr(" \t\r\n", res->body[len - 1]))
        len--;
    if (len == strlen(answer) && memcmp(res->body, answer, len) == 0)
        return 0;
    return fail_body(res, len, token, err);
}
