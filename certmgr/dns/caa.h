/*
 * May this CA issue for this name?  CAA of RFC 8659 with accounturi and validationmethods (8657).
 */
#pragma once

#include "certmgr/dns/caa_memory.h"
#include <jansson.h>

struct caa_question {
    const char *name;          /* ASCII; "*.x" asks issuewild */
    const json_t *identities;  /* the CA's CAA names: ["letsencrypt.org"]; empty = allow, unknown */
    const char *account_uri;   /* or NULL */
    const char *method;        /* "http-01" … or NULL */
    struct caa_memory *memory; /* what was seen a moment ago will do for a "yes" (a "no" is always
                                * looked up again); NULL = the DNS is asked */
};
/* err NULL = allowed.  found: {"at": name, "records": [text…]} or NULL when none anywhere. */
typedef void (*caa_fn)(void *arg, const json_t *found, const struct cm_err *err);
struct caa_check;
struct caa_check *caa_check(struct cm_loop *loop, struct dns_client *dns,
                            const struct caa_question *question, caa_fn done, void *arg);
void caa_cancel(struct caa_check *check);
