/* Scripts by the ranges of Unicode.  See script.h. */
#include "base/net/script.h"

#include <stdint.h>
#include <string.h>

#include "base/core/utf8.h"

enum script { LATIN, GREEK, CYRILLIC, SCRIPTS };

static const char *const names[SCRIPTS] = {"Latin", "Greek", "Cyrillic"};

/* Letters that may stand in a name (RFC 5892), with what lies between them. */
static const struct {
    uint32_t first, last;
    enum script script;
} ranges[] = {
    {0x0041, 0x005a, LATIN},    {0x0061, 0x007a, LATIN},    {0x00c0, 0x00d6, LATIN},
    {0x00d8, 0x00f6, LATIN},    {0x00f8, 0x02b8, LATIN},    {0x0370, 0x0373, GREEK},
    {0x0376, 0x0377, GREEK},    {0x037b, 0x037d, GREEK},    {0x037f, 0x037f, GREEK},
    {0x0386, 0x0386, GREEK},    {0x0388, 0x03e1, GREEK},    {0x03f0, 0x03ff, GREEK},
    {0x0400, 0x052f, CYRILLIC}, {0x1c80, 0x1c8f, CYRILLIC}, {0x1d00, 0x1d25, LATIN},
    {0x1e00, 0x1eff, LATIN},    {0x1f00, 0x1ffe, GREEK},    {0x2c60, 0x2c7f, LATIN},
    {0x2de0, 0x2dff, CYRILLIC}, {0xa640, 0xa69f, CYRILLIC}, {0xa722, 0xa787, LATIN},
    {0xa78b, 0xa7ff, LATIN},    {0xab30, 0xab64, LATIN},
};

static enum script script_of(uint32_t letter)
{
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
        if (letter >= ranges[i].first && letter <= ranges[i].last)
            return ranges[i].script;
    return SCRIPTS;
}

static uint32_t decode(const char *text, size_t len)
{
    uint32_t letter = (unsigned char)text[0];
    if (len > 1)
        letter &= 0x7fu >> len;
    for (size_t i = 1; i < len; i++)
        letter = letter << 6 | ((unsigned char)text[i] & 0x3f);
    return letter;
}

bool script_mixed(const char *name, struct script_mix *ret)
{
    enum script first = SCRIPTS;
    size_t left = strlen(name), step;
    const char *label = name;
    for (const char *at = name; left > 0; at += step, left -= step) {
        step = cm_utf8_seq(at, left);
        if (step == 0)
            return false; /* no name at all: others say so */
        enum script script = script_of(decode(at, step));
        if (*at == '.') {
            label = at + 1;
            first = SCRIPTS;
        } else if (script == SCRIPTS) {
            continue;
        } else if (first == SCRIPTS) {
            first = script;
        } else if (script != first) {
            *ret = (struct script_mix){.label = label,
                                       .len = strcspn(label, "."),
                                       .one = names[first < script ? first : script],
                                       .other = names[first < script ? script : first]};
            return true;
        }
    }
    return false;
}
