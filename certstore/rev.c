/* Revision names: text to bytes and back, CouchDB's order. */
#include "certstore/rev.h"

#include <stdio.h>
#include <string.h>

#include "base/core/bytes.h"
#include "base/core/mem.h"

#define HEX_ID_TEXT 32
#define HEX_ID_SIZE 16

static size_t digits(int64_t n)
{
    size_t count = 1;
    while (n >= 10) {
        n /= 10;
        count++;
    }
    return count;
}

/* CouchDB lowers upper-case digits silently. */
static int hex_id(const char *text, uint8_t out[HEX_ID_SIZE])
{
    char lower[HEX_ID_TEXT + 1];
    for (size_t i = 0; i < HEX_ID_TEXT; i++)
        lower[i] = text[i] >= 'A' && text[i] <= 'F' ? (char)(text[i] - 'A' + 'a') : text[i];
    lower[HEX_ID_TEXT] = '\0';
    return cm_hex_decode(lower, out, HEX_ID_SIZE);
}

int cs_rev_parse_id(const char *id, int64_t gen, struct cs_rev *ret)
{
    if (gen < 1 || gen > CS_GENERATION_MAX)
        return CM_EMALF;
    size_t len = strnlen(id, CS_REV_MAX + 1);
    if (len == 0 || digits(gen) + 1 + len > CS_REV_MAX || len > CS_REVID_MAX)
        return CM_EMALF;
    ret->gen = gen;
    if (len == HEX_ID_TEXT) {
        ret->len = HEX_ID_SIZE;
        return hex_id(id, ret->id) == 0 ? 0 : CM_EMALF;
    }
    if (len == HEX_ID_SIZE && digits(gen) + 1 + HEX_ID_TEXT > CS_REV_MAX)
        return CM_EMALF;
    ret->len = (uint8_t)len;
    memcpy(ret->id, id, len);
    return 0;
}

int cs_rev_parse(const char *text, struct cs_rev *ret)
{
    int64_t gen = 0;
    size_t i = 0;
    for (; text[i] >= '0' && text[i] <= '9'; i++) {
        if (gen > CS_GENERATION_MAX / 10)
            return CM_EMALF;
        gen = gen * 10 + (text[i] - '0');
    }
    if (i == 0 || text[0] == '0' || text[i] != '-')
        return CM_EMALF;
    return cs_rev_parse_id(text + i + 1, gen, ret);
}

bool cs_rev_named(const char *text)
{
    text += *text == '-' || *text == '+';
    size_t number = strspn(text, "0123456789");
    if (number == 0 || text[number] != '-')
        return false;
    const char *id = text + number + 1;
    return strlen(id) != HEX_ID_TEXT || strspn(id, "0123456789abcdefABCDEF") == HEX_ID_TEXT;
}

void cs_rev_format_id(const struct cs_rev *rev, char out[CS_REV_MAX + 1])
{
    if (rev->len == HEX_ID_SIZE) {
        cm_hex(rev->id, rev->len, out);
        return;
    }
    memcpy(out, rev->id, rev->len);
    out[rev->len] = '\0';
}

void cs_rev_format(const struct cs_rev *rev, char out[CS_REV_MAX + 1])
{
    int at = snprintf(out, CS_REV_MAX + 1, "%lld-", (long long)rev->gen);
    char id[CS_REV_MAX + 1];
    cs_rev_format_id(rev, id);
    /* It fits: cs_rev_parse_id() refused what would not. */
    cm_strcpy(out + at, (size_t)(CS_REV_MAX + 1 - at), id);
}

int cs_rev_cmp(const struct cs_rev *a, const struct cs_rev *b)
{
    if (a->gen != b->gen)
        return a->gen < b->gen ? -1 : 1;
    size_t min = a->len < b->len ? a->len : b->len;
    int order = memcmp(a->id, b->id, min);
    return order != 0 ? order : (int)a->len - (int)b->len;
}

bool cs_rev_eq(const struct cs_rev *a, const struct cs_rev *b)
{
    return a->gen == b->gen && a->len == b->len && memcmp(a->id, b->id, a->len) == 0;
}
