/* Building a condition that people are told of (rules.h says what it consists of). */
#pragma once

#include <jansson.h>

/* How bad it is; a higher one is worse, and told again. */
enum condition_level {
    CONDITION_NONE,
    CONDITION_OPEN,
    CONDITION_FIFTH, /* less than 1/5 of the life is left */
    CONDITION_TENTH, /* less than 1/10: critical from here on */
    CONDITION_CRITICAL = CONDITION_TENTH,
    CONDITION_OVER,
};

/* Adds a condition to `open` ({key: condition}), and returns it (borrowed) to be filled in; NULL
 * when NOTICE_OPEN_MAX are open or the key is longer than NOTICE_KEY_MAX. */
json_t *condition_open(json_t *open, const char *key, const char *kind, int level);

/* Sets a member to a text on the heap, which it takes. */
void condition_text(json_t *condition, const char *member, char *take);

/* What failed, why, what to do and when it is tried again, from an error object (err.h). */
void condition_error(json_t *condition, const json_t *error);
