/*
 * HTML by a small context-escaping writer: markup comes from string literals of ours, everything
 * else goes through html_text() or an attribute, so text from outside can never become markup.
 */
#pragma once

#include "base/core/buf.h"

#define HTML_PAGE_MAX (4u << 20)

/* Markup written by us, as a literal.  Never pass data. */
void html_raw(struct cm_buf *out, const char *markup);
/* Character data: & < > " ' escaped, CR LF made LF, control bytes and broken UTF-8 shown as U+FFFD.
 * NULL = "". */
void html_text(struct cm_buf *out, const char *text);
/* A whole number as text. */
void html_int(struct cm_buf *out, long long number);
/*
 * <tag name="value" …>.  Pairs of attribute name and value, closed by NULL; a NULL value leaves the
 * attribute out, "" writes a boolean one.  href, src and action take local paths ("/…", "?…", "#…")
 * and http(s) URLs only; anything else becomes "#".  Event handlers and style are a bug (CSP).
 */
void html_open(struct cm_buf *out, const char *tag, ...) __attribute__((sentinel));
void html_close(struct cm_buf *out, const char *tag);
/* <tag …>text</tag> */
void html_leaf(struct cm_buf *out, const char *tag, const char *text, ...)
    __attribute__((sentinel));
