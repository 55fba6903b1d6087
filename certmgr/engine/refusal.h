/* What a credential says of a request that the manager has refused (intake_answer.c). */
#pragma once

#include <jansson.h>

#include "base/core/err.h"

/* Of fields that have errors (eng_check()): each as a cause. */
void eng_refusal(const json_t *errors, struct cm_err *ret);
/* Somebody else changed the credential after the version that the request was made from. */
void eng_refusal_stale(const json_t *body, struct cm_err *ret);
/* The document that would hold the outcome is refused itself, for `cause`. */
void eng_refusal_unwritable(const struct cm_err *cause, struct cm_err *ret);
/* Only what is well-formed of `fields` goes into a refused credential, and the others are removed
 * from it: the request shows the rest. */
void eng_refusal_fields(json_t *body, json_t *fields, const json_t *errors);
