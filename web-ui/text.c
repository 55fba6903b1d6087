/* Message catalogue and language choice.  See text.h. */
#include "web-ui/text.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/core/mem.h"
#include "web-ui/html.h"

#define RANGES_MAX 16 /* language ranges looked at */

static const char *const catalogue[MSG_COUNT][WEB_LANG_COUNT] = {
    [MSG_NONE] = {"", ""},
#define MSG(key, en, ja) [MSG_##key] = {en, ja},
#include "web-ui/messages.def"
#undef MSG
};

const char *web_text(enum web_lang lang, enum web_msg msg)
{
    CM_BUG_ON((unsigned)lang >= WEB_LANG_COUNT || (unsigned)msg >= MSG_COUNT);
    return catalogue[msg][lang];
}

const char *web_lang_tag(enum web_lang lang)
{
    return lang == WEB_JA ? "ja" : "en";
}

/* Weight of one range in thousandths: "ja;q=0.8" is 800. */
static int weight_of(const char *range, size_t len)
{
    const char *q = memmem(range, len, "q=", 2);
    int weight = 0, scale = 1000;

    if (!q)
        return 1000;
    for (const char *p = q + 2; p < range + len && scale > 0; p++) {
        if (*p == '.')
            continue;
        if (*p < '0' || *p > '9')
            break;
        weight += (*p - '0') * scale;
        scale /= 10;
    }
    return weight > 1000 ? 1000 : weight;
}

enum web_lang web_lang_pick(const char *accept)
{
    int best[WEB_LANG_COUNT] = {0};

    for (int i = 0; accept && *accept && i < RANGES_MAX; i++) {
        size_t len;

        accept += strspn(accept, " \t,");
        len = strcspn(accept, ",");
        for (int lang = 0; len >= 2 && lang < WEB_LANG_COUNT; lang++) {
            if (strncasecmp(accept, web_lang_tag((enum web_lang)lang), 2) == 0 &&
                (len == 2 || strchr("-; \t", accept[2])) && weight_of(accept, len) > best[lang])
                best[lang] = weight_of(accept, len);
        }
        accept += len;
    }
    return best[WEB_JA] > best[WEB_EN] ? WEB_JA : WEB_EN;
}

void web_sentence(struct cm_buf *out, enum web_lang lang, enum web_msg msg, const char *arg1,
                  const char *arg2)
{
    const char *text = web_text(lang, msg);

    while (*text) {
        const char *brace = strchr(text, '{');
        CM_AUTO_STR plain = NULL;

        if (!brace || (brace[1] != '1' && brace[1] != '2') || brace[2] != '}') {
            html_text(out, text);
            return;
        }
        plain = cm_strndup(text, (size_t)(brace - text));
        html_text(out, plain);
        html_text(out, brace[1] == '1' ? arg1 : arg2);
        text = brace + 3;
    }
}
