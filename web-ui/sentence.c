/*
 * Sentences of the engine in Japanese.  See sentence.h, sentences.def.
 *
 * A hole of a template takes the fewest bytes with which the rest fits; of several templates that
 * fit the one with the most text of its own is taken.  Every comparison is counted, so that no text
 * from outside costs more than SENTENCE_TRIES of them.
 */
#include "web-ui/sentence.h"

#include <string.h>

#include "base/core/clock.h"
#include "base/core/mem.h"
#include "web-ui/html.h"
#include "web-ui/widget.h"

static const struct sentence {
    const char *english, *japanese;
} sentences[] = {
#define SAY(en, ja) {en, ja},
#include "web-ui/sentences.def"
#undef SAY
};

#define SENTENCE_COUNT (sizeof(sentences) / sizeof(sentences[0]))

struct hole {
    const char *text;
    size_t len;
    char kind;
};

struct found {
    const struct sentence *sentence;
    struct hole holes[SENTENCE_HOLES];
};

static bool find(const char *text, unsigned depth, int *tries, struct found *ret);

/* ---- templates ----------------------------------------------------------------------------------
 */

/* "{3t}…" gives 2 and 't'; ret_rest: behind the brace. */
static size_t hole_at(const char *brace, char *ret_kind, const char **ret_rest)
{
    size_t number = (size_t)(brace[1] - '1');
    *ret_kind = brace[2] == '}' ? ' ' : brace[2];
    *ret_rest = brace + (brace[2] == '}' ? 3 : 4);
    return number;
}

static size_t own_text(const char *pattern)
{
    size_t len = 0;
    while (*pattern) {
        char kind;
        if (*pattern == '{') {
            (void)hole_at(pattern, &kind, &pattern);
        } else {
            len++;
            pattern++;
        }
    }
    return len;
}

static bool is_time(const char *text, size_t len)
{
    int64_t ms;
    if (len == 0 || len >= CM_TIME_TEXT)
        return false;
    CM_AUTO_STR copy = cm_strndup(text, len);
    return cm_time_parse(copy, &ms) == 0;
}

static bool is_known(const char *text, size_t len, unsigned depth, int *tries)
{
    struct found found;
    CM_AUTO_STR copy = cm_strndup(text, len);
    return find(copy, depth + 1, tries, &found);
}

static bool fits(const struct hole *hole, unsigned depth, int *tries)
{
    const char *text = hole->text;
    switch (hole->kind) {
    case 'n':
        return hole->len > 0 && strspn(text, "0123456789") >= hole->len;
    case 'w':
        return hole->len > 0 && strcspn(text, " ") >= hole->len;
    case 't':
        return is_time(text, hole->len);
    case 'k':
        return is_known(text, hole->len, depth, tries);
    default:
        return true;
    }
}

/* Fills found->holes. */
static bool match(const char *pattern, const char *text, unsigned depth, int *tries,
                  struct found *found)
{
    if (--*tries < 0)
        return false;
    for (; *pattern != '{'; pattern++, text++) {
        if (*pattern != *text)
            return false;
        if (*pattern == '\0')
            return true;
    }
    const char *rest, *end = text;
    struct hole hole = {.text = text};
    size_t number = hole_at(pattern, &hole.kind, &rest);
    CM_BUG_ON(number >= SENTENCE_HOLES);
    size_t len = strcspn(rest, "{");
    if (len == 0)
        end += strlen(end); /* the last one: all that is left */
    while (*tries >= 0 && (end = memmem(end, strlen(end), rest, len)) != NULL) {
        hole.len = (size_t)(end - text);
        --*tries;
        if (fits(&hole, depth, tries) && match(rest, end, depth, tries, found)) {
            found->holes[number] = hole;
            return true;
        }
        if (*end++ == '\0')
            break;
    }
    return false;
}

static bool find(const char *text, unsigned depth, int *tries, struct found *ret)
{
    size_t best = 0;
    if (depth > SENTENCE_DEPTH || strlen(text) > SENTENCE_MAX)
        return false;
    for (size_t i = 0; i < SENTENCE_COUNT; i++) {
        struct found found = {.sentence = &sentences[i]};
        char first = sentences[i].english[0];
        if (first != '{' && first != text[0]) /* most of a thousand: not even counted */
            continue;
        size_t own = own_text(sentences[i].english);
        if (own <= best || !match(sentences[i].english, text, depth, tries, &found))
            continue;
        best = own;
        *ret = found;
    }
    return best > 0;
}

/* ---- out ----------------------------------------------------------------------------------------
 */

/* A sentence on its way out; `lang` is never counted, so it is no part of struct found. */
struct say {
    enum web_lang lang;
    int tries;
    bool plain; /* text, not HTML */
};

static void put(struct cm_buf *out, const struct found *found, unsigned depth, struct say *say);

static void put_text(struct cm_buf *out, const char *text, const struct say *say)
{
    if (say->plain)
        cm_buf_puts(out, text);
    else
        html_text(out, text);
}

static void put_time(struct cm_buf *out, const char *text, const struct say *say)
{
    if (say->plain)
        cm_buf_printf(out, "%.10s %.8s UTC", text, text + strlen("2026-11-22T"));
    else
        web_time_exact(out, text);
}

static void put_sentence(struct cm_buf *out, const char *text, unsigned depth, struct say *say)
{
    struct found found;
    if (find(text, depth, &say->tries, &found))
        put(out, &found, depth, say);
    else if (say->lang == WEB_EN || say->plain)
        put_text(out, text, say);
    else if (*text)
        html_leaf(out, "span", text, "lang", "en", NULL);
}

static void put_hole(struct cm_buf *out, const struct hole *hole, unsigned depth, struct say *say)
{
    CM_AUTO_STR text = cm_strndup(hole->text ? hole->text : "", hole->len);
    if (hole->kind == 't')
        put_time(out, text, say);
    else if (hole->kind == 's' || hole->kind == 'k')
        put_sentence(out, text, depth + 1, say);
    else
        put_text(out, text, say);
}

static void put(struct cm_buf *out, const struct found *found, unsigned depth, struct say *say)
{
    const char *text = say->lang == WEB_JA ? found->sentence->japanese : found->sentence->english;
    while (*text) {
        const char *brace = strchr(text, '{');
        if (!brace) {
            put_text(out, text, say);
            return;
        }
        char kind;
        CM_AUTO_STR plain = cm_strndup(text, (size_t)(brace - text));
        put_text(out, plain, say);
        put_hole(out, &found->holes[hole_at(brace, &kind, &text)], depth, say);
    }
}

static bool say_it(struct cm_buf *out, enum web_lang lang, bool plain, const char *english)
{
    struct found found;
    struct say say = {.lang = lang, .tries = SENTENCE_TRIES, .plain = plain};
    if (!english || !find(english, 0, &say.tries, &found))
        return false;
    put(out, &found, 0, &say);
    return true;
}

bool web_say(struct cm_buf *out, enum web_lang lang, const char *english)
{
    return lang == WEB_JA && say_it(out, lang, false, english);
}

char *web_say_plain(enum web_lang lang, const char *english)
{
    struct cm_buf said;
    cm_buf_init(&said, HTML_PAGE_MAX);
    bool known = lang == WEB_JA && say_it(&said, lang, true, english) && !said.failed;
    char *text = known ? cm_buf_take(&said, NULL) : NULL;
    cm_buf_fini(&said);
    return text;
}

void web_said(struct cm_buf *out, enum web_lang lang, const char *tag, const char *css,
              const char *english)
{
    struct cm_buf said;
    cm_buf_init(&said, HTML_PAGE_MAX);
    bool known = say_it(&said, lang, false, english);
    html_open(out, tag, "class", css, "lang", known && lang == WEB_JA ? NULL : "en", NULL);
    if (known)
        (void)cm_buf_add(out, said.data, said.len);
    else
        html_text(out, english);
    html_close(out, tag);
    cm_buf_fini(&said);
}

const char *web_sentence_at(size_t i, const char **ret_japanese)
{
    if (i >= SENTENCE_COUNT)
        return NULL;
    *ret_japanese = sentences[i].japanese;
    return sentences[i].english;
}
