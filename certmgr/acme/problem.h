/*
 * Problem documents of a CA (RFC 8555 6.7, RFC 9457) in words for people: what it means, who acts,
 * how it is retried (reference/acme.md 1.8, the error table of JPRS's manual).
 */
#pragma once

#include "base/core/err.h"

/* A longer document is stored shortened (type, detail, status), so that no CA fills our store. */
#define ACME_PROBLEM_MAX 16384

/* What the refused request was about: "unauthorized" means different things in each. */
enum acme_about {
    ACME_ABOUT_ANY,
    ACME_ABOUT_ACCOUNT,
    ACME_ABOUT_ORDER,
    ACME_ABOUT_CHALLENGE,
    ACME_ABOUT_REVOCATION,
};

struct acme_problem_row {
    const char *type;      /* behind "urn:ietf:params:acme:error:"; NULL = by HTTP status only */
    enum acme_about about; /* ANY matches all */
    int status;            /* HTTP status, 0 = any; 500 stands for 5xx, 400 for other 4xx */
    int code;              /* enum cm_code */
    enum cm_retry retry;
    const char *who;     /* who must act */
    const char *meaning; /* for the user */
    const char *hint;    /* what to do */
};

/* The row for a type (NULL or unknown: by status); never NULL. */
const struct acme_problem_row *acme_problem_row(const char *type, enum acme_about about,
                                                int status);
/* Short type of a problem object ("badNonce"), or NULL when it is none of the ACME name space. */
const char *acme_problem_type(const json_t *problem);
bool acme_problem_is(const json_t *problem, const char *type);
/* Which of these names the subproblems (or, of a refused identifier, its detail) are about: noted
 * in err in our own spelling. */
void acme_problem_names(struct cm_err *err, const json_t *names);
/* Fills err from a refusal.  problem: the document or NULL (an HTML page, say); what: the thing
 * refused, "the new order".  headers (may be NULL) give Retry-After and help links.  Returns the
 * code. */
int acme_problem_fail(struct cm_err *err, const json_t *problem, int status, const char *headers,
                      enum acme_about about, const char *what);
