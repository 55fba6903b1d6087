/* AWS Signature Version 4: the Authorization line of one request (header form, whole body). */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define SIGV4_DATE 17 /* "20150830T123600Z" + NUL */

struct sigv4_key {
    const char *id, *secret;
    const char *token; /* of temporary credentials, or NULL */
    const char *region, *service;
};
struct sigv4_request {
    const char *method, *host;
    const char *path;  /* percent-encoded, begins with '/' */
    const char *query; /* percent-encoded pairs in the order of their names, or "" */
    const void *body;
    size_t body_len;
};
/* Writes X-Amz-Date's value to date; returns "Authorization: …" (cm_free).  Signed: host,
 * x-amz-date and, with a token, x-amz-security-token. */
char *sigv4_sign(const struct sigv4_request *request, const struct sigv4_key *key, int64_t now_ms,
                 char date[SIGV4_DATE]);
