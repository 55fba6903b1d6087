/*
 * Which challenge proves a name (design.md 8): what the credential says, else its account, else
 * http-01.
 */
#include "certmgr/engine/job.h"

#include <string.h>

#include "certmgr/acme/proof.h"

/* The member `challenge` of a document as static text, or NULL. */
static const char *choice_of(const json_t *body)
{
    const char *text = cm_json_str(body, "challenge");
    if (text && strcmp(text, ACME_TLSALPN) == 0)
        return ACME_TLSALPN;
    return text && strcmp(text, ACME_HTTP01) == 0 ? ACME_HTTP01 : NULL;
}

const char *eng_challenge_type(struct job *job, const char *name)
{
    (void)name; /* the same for all names that no DNS account covers */
    const char *type = choice_of(job->credential);
    if (!type)
        type = choice_of(job->account->body);
    return type ? type : ACME_HTTP01;
}
