/* What an outgoing call asks for, where and how, as libcurl's options.  Internal to http_client.c.
 */
#pragma once

#include "base/net/http_client.h"

struct http_setup {
    void *easy; /* CURL */
    struct curl_slist *headers, *connect_to;
    char *body; /* of the request */
    size_t body_len;
};

/* Allocation inside libcurl is all that can fail for the options set by this. */
#define HTTP_SET(setup, option, value)                                                             \
    CM_BUG_ON(curl_easy_setopt((setup)->easy, CURLOPT_##option, value) != CURLE_OK)

/* Target, method, headers and TLS of a call for setup->easy; what libcurl does not copy is kept in
 * *setup.  CM_EINVAL or CM_EMALF for options that contradict each other or have a wrong form. */
int http_setup(struct http_setup *setup, const struct http_call_opts *opts, struct cm_err *err);
/* Frees all of it, the easy handle too; the body is wiped. */
void http_setup_fini(struct http_setup *setup);
