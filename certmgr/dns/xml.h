/* A strict little XML reader for replies of one known service: no DOCTYPE, no entities but the five
 * and ASCII character references, no CDATA, attributes skipped; depth and size bounded. */
#pragma once

#include <jansson.h>
#include <stddef.h>

#include "base/core/err.h"

#define XML_DEPTH_MAX    16
#define XML_ELEMENTS_MAX 5000

/* *ret: {"tag","text","kids":[…]} of the root element (json_decref).  Returns 0, CM_EMALF or
 * CM_ELIMIT. */
int xml_parse(const char *text, size_t len, json_t **ret, struct cm_err *err);
/* The first child of each name of "A/B/C" below node; NULL when there is none.  Borrowed. */
const json_t *xml_at(const json_t *node, const char *path);
/* Its text without blanks at the ends, or NULL. */
const char *xml_text(const json_t *node, const char *path);
/* Appends text with & < > " escaped. */
struct cm_buf;
void xml_escape(struct cm_buf *out, const char *text);
