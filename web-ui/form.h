/* A decoded form or query string: names with values, wiped when freed (they may hold passwords). */
#pragma once

#include "base/core/err.h"
#include <stddef.h>

#define WEB_PAIRS_MAX 256 /* as HTTP_QUERY_MAX of base/net */

struct web_pair {
    char *name, *value;
};
struct web_form {
    struct web_pair pair[WEB_PAIRS_MAX];
    size_t count;
};

/* Decodes application/x-www-form-urlencoded text into an empty form.  CM_EMALF, CM_ELIMIT. */
int web_form_parse(struct web_form *form, const char *text, size_t len, struct cm_err *err);
/* The same for multipart/form-data (a form with a file); content_type: the header field.  A value
 * with a NUL byte is refused: it is no text. */
int web_form_parse_parts(struct web_form *form, const char *content_type, const char *text,
                         size_t len, struct cm_err *err);
void web_form_fini(struct web_form *form);
/* First value of a name; NULL when absent. */
const char *web_form_get(const struct web_form *form, const char *name);
/* Same, "" when absent. */
const char *web_form_text(const struct web_form *form, const char *name);
/* All values of a name, split at blanks, commas and line ends: array of strings (owned). */
json_t *web_form_words(const struct web_form *form, const char *name);
