/* What a credential says of a request that the manager has refused (intake.c). */
#pragma once

#include <jansson.h>

#include "base/core/err.h"

/* Of fields that have errors (eng_check()): each as a cause. */
void eng_refusal(const json_t *errors, struct cm_err *ret);
/* Somebody else changed the credential after the version that the request was made from. */
void eng_refusal_stale(const json_t *body, struct cm_err *ret);
