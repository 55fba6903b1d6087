/*
 * The sentences of the interface in English and Japanese: one catalogue (messages.def), one key per
 * sentence, the language chosen by Accept-Language.
 */
#pragma once

#include "base/core/buf.h"

enum web_lang { WEB_EN, WEB_JA, WEB_LANG_COUNT };

enum web_msg {
    MSG_NONE, /* no text */
#define MSG(key, en, ja) MSG_##key,
#include "web-ui/messages.def"
#undef MSG
    MSG_COUNT
};

/* Never NULL. */
const char *web_text(enum web_lang lang, enum web_msg msg);
/* "en", "ja" for the lang attribute. */
const char *web_lang_tag(enum web_lang lang);
/* The best supported language of an Accept-Language value (RFC 9110 12.5.4); NULL = English. */
enum web_lang web_lang_pick(const char *accept);
/* The sentence as escaped HTML, with {1} and {2} replaced by the escaped arguments (NULL = ""). */
void web_sentence(struct cm_buf *out, enum web_lang lang, enum web_msg msg, const char *arg1,
                  const char *arg2);
