/*
 * Sentences for people, twice: in English, and as a code with arguments, so that pages can say them
 * in another language.  {code, text, at?, count?, unit?, server?, what?}; code "other" = only text.
 */
#pragma once

#include "certmgr/engine/plan.h"

/* What a cause of health or a plan's reason says (owned; never NULL). */
json_t *eng_told(const char *text);

enum eng_next {
    ENG_NEXT_MANAGER, /* has not seen the request yet */
    ENG_NEXT_WORKING, /* why: the step */
    ENG_NEXT_LIMIT,   /* of the CA, until at */
    ENG_NEXT_HELD,    /* why: the guard's words */
    ENG_NEXT_REFUSED, /* until people correct it */
    ENG_NEXT_ORDER,   /* as soon as there is a place */
    ENG_NEXT_ATTEMPT, /* at */
    ENG_NEXT_RENEWAL, /* at */
    ENG_NEXT_TRIAL,
    ENG_NEXT_REVOKING,   /* now */
    ENG_NEXT_REVOCATION, /* at */
    ENG_NEXT_END,        /* of the certificate, at */
    ENG_NEXT_NOTHING,    /* why */
    ENG_NEXT_COUNT
};
/* {code, text, at?, why?: as eng_told()} (owned).  at_ms 0 = no time, why NULL = no reason. */
json_t *eng_next_told(enum eng_next next, int64_t at_ms, const char *why);
