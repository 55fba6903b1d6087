/* What a web server answered to a challenge, judged as a CA does.  No input or output. */
#pragma once

#include "base/net/http_client.h"

#define CH_ANSWER_LIMIT 128 /* an answer of so many bytes fails (reference/acme.md H4b) */
#define CH_NO_TOKEN     "no such challenge\n" /* body of our own 404 */

/* The reply to the last hop against the key authorization `answer` of `token`.  Returns 0, or a
 * negative code: err->what goes on from "…: " and tells what was seen, err->hint what to do. */
int ch_answer(const struct http_result *res, const char *token, const char *answer,
              struct cm_err *err);
/* Text from anywhere as one printable ASCII line, cut to `size`. */
void ch_show(const char *text, size_t len, char *out, size_t size);
