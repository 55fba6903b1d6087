/*
 * Who edits must know what they edit: entity tags, conditional requests (RFC 9110 13), and one
 * change of a document at a time.
 */
#pragma once

#include "web-ui/ctx.h"

#define ETAG_TEXT    35 /* quotes, 32 hex digits, NUL */
#define VERSION_TEXT 33 /* the same without quotes, for forms */

/* Strong tag of a representation: a part of its SHA-256. */
void web_etag(const void *body, size_t len, char out[ETAG_TEXT]);
/* Version of a document as a hidden form field; "" for NULL. */
void web_version(const json_t *document, char out[VERSION_TEXT]);

/*
 * May this PUT or DELETE of the document id go on?  current: as GET would show it, NULL = it does
 * not exist (taken).  An existing one needs If-Match (428), which must fit (412); the command line
 * (Unix socket) may leave it out.  Holds the document until the context ends, so that two changes
 * never cross (409).  False = replied.
 */
bool web_may_edit(struct web_ctx *ctx, const char *id, json_t *take_current);
/* The same for a form with the hidden field "version"; does not reply: 0, CM_ECONFLICT with err. */
int web_form_may_edit(struct web_ctx *ctx, const char *id, const json_t *current,
                      struct cm_err *err);
/* Holds any name, such as a document id; false = another request holds it. */
bool web_hold(struct web_ctx *ctx, const char *id);
