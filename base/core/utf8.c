/* UTF-8 well-formedness after RFC 3629 section 4: no overlong forms, no surrogates. */
#include "base/core/utf8.h"

#include <stdint.h>
#include <string.h>

size_t cm_utf8_seq(const char *text, size_t len)
{
    const unsigned char *s = (const unsigned char *)text;
    if (len == 0)
        return 0;
    if (s[0] < 0x80)
        return 1;
    size_t need = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4 || len < need)
        return 0;
    for (size_t i = 1; i < need; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    }
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
        return 0;
    return need;
}

/* Eight bytes at a time, none of them above 0x7f: nearly all text here is ASCII. */
static size_t ascii_prefix(const char *text, size_t len)
{
    size_t at = 0;
    for (uint64_t word; at + sizeof(word) <= len; at += sizeof(word)) {
        memcpy(&word, text + at, sizeof(word));
        if (word & UINT64_C(0x8080808080808080))
            break;
    }
    return at;
}

bool cm_utf8_ok(const char *text, size_t len)
{
    for (size_t at = ascii_prefix(text, len); at < len;) {
        size_t step = cm_utf8_seq(text + at, len - at);
        if (step == 0)
            return false;
        at += step;
    }
    return true;
}

void cm_utf8_fix(char *text)
{
    size_t len = strlen(text);
    for (size_t at = 0; at < len;) {
        size_t step = cm_utf8_seq(text + at, len - at);
        if (step == 0) {
            text[at] = '?';
            step = 1;
        }
        at += step;
    }
}

void cm_utf8_trim(char *text)
{
    size_t len = strlen(text);
    size_t tail = 0;
    while (tail < 3 && tail < len && ((unsigned char)text[len - 1 - tail] & 0xc0) == 0x80)
        tail++;
    if (tail == len)
        return;
    size_t lead = len - 1 - tail;
    if ((unsigned char)text[lead] >= 0xc0 && cm_utf8_seq(text + lead, len - lead) == 0)
        text[lead] = '\0';
}
