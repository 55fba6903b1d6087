/*
 * Sentences that the engine writes in English, in the reader's language: the step log, findings of
 * a check, errors and what to do about them.  sentences.def has a template for each; what is not
 * recognised is shown as it is, marked as English.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "web-ui/text.h"

#define SENTENCE_MAX   4096  /* bytes; longer text is shown as it is */
#define SENTENCE_HOLES 8     /* of one template */
#define SENTENCE_DEPTH 4     /* sentences within sentences */
#define SENTENCE_TRIES 20000 /* comparisons for one text */

/* Writes the sentence in this language as escaped HTML.  False, and nothing written, when the text
 * is to be shown as it is (English wanted, NULL, not recognised, beyond a limit). */
bool web_say(struct cm_buf *out, enum web_lang lang, const char *english);
/* The same as plain text for a mail, times as "2026-11-22 02:16:42 UTC"; owned (cm_free), NULL when
 * it is to be shown as it is. */
char *web_say_plain(enum web_lang lang, const char *english);
/* <tag class="…">the sentence</tag>, with lang="en" when it stays English; css NULL = no class.
 * Times within a sentence are shown as everywhere, in English, too. */
void web_said(struct cm_buf *out, enum web_lang lang, const char *tag, const char *css,
              const char *english);

/* The table, for tests: the i-th template and its Japanese; NULL behind the last one. */
const char *web_sentence_at(size_t i, const char **ret_japanese);
