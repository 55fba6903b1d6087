/* Why an outgoing call failed, in words for people.  Internal to http_client.c. */
#pragma once

#include "base/core/err.h"

struct http_failure {
    int curl;  /* libcurl's code */
    int fault; /* our own reason (CM_ELIMIT, CM_ETIMEOUT, CM_ECLOSED); 0 = none */
    const char *host;
    int port;
    int timeout_ms, silence_ms;
    int connect_ms;   /* no connection stood within so long; 0: one did */
    bool client_cert; /* a client certificate was offered */
    const char *why;  /* libcurl's message, or "" */
};

/* Fills err: which host, what happened, why, what to check, how it is retried. */
void http_failure_explain(const struct http_failure *failure, struct cm_err *err);
