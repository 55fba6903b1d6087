/* Mending and skipping rows of a changes feed.  See rows.h. */
#include "replicator/rows.h"

#include <string.h>

#include "base/core/bytes.h"
#include "base/core/mem.h"
#include "base/core/num.h"
#include "replicator/job.h"

#define ESCAPE 6 /* bytes of \uXXXX */
#define DIGITS 18

/* The unit of the escape at text, or -1: it is none. */
static int unit_at(const char *text, size_t len)
{
    uint8_t bytes[2];
    char hex[5];
    if (len < ESCAPE || text[0] != '\\' || text[1] != 'u')
        return -1;
    for (size_t i = 0; i < 4; i++) {
        char c = text[2 + i];
        hex[i] = c >= 'A' && c <= 'F' ? (char)(c - 'A' + 'a') : c;
    }
    hex[4] = '\0';
    return cm_hex_decode(hex, bytes, sizeof(bytes)) == 0 ? bytes[0] << 8 | bytes[1] : -1;
}

void rp_rows_mend(char *text, size_t len)
{
    size_t step;
    for (size_t i = 0; i < len; i += step) {
        int unit = text[i] == '\\' ? unit_at(text + i, len - i) : -1;
        step = unit >= 0 ? ESCAPE : text[i] == '\\' ? 2 : 1;
        if (unit >= 0xd800 && unit <= 0xdbff) {
            int next = unit_at(text + i + ESCAPE, len - i - ESCAPE);
            if (next >= 0xdc00 && next <= 0xdfff) {
                step = 2 * ESCAPE;
                continue;
            }
        }
        if (unit == 0 || (unit >= 0xd800 && unit <= 0xdfff))
            memcpy(text + i, "\\ufffd", ESCAPE);
    }
}

bool rp_rows_whole(const char *text, size_t len)
{
    bool quoted = false, begun = false;
    size_t open = 0, step;
    for (size_t i = 0; i < len; i += step) {
        char c = text[i];
        step = quoted && c == '\\' ? 2 : 1;
        if (begun && open == 0) { /* behind the end there may be blanks */
            if (c != ' ' && c != '\n' && c != '\r' && c != '\t')
                return false;
        } else if (c == '"') {
            quoted = !quoted;
        } else if (!quoted && (c == '{' || c == '[')) {
            begun = true;
            open++;
        } else if (!quoted && open > 0 && (c == '}' || c == ']')) {
            open--;
        }
    }
    return begun && open == 0 && !quoted;
}

json_t *rp_rows_first_seq(const char *text, size_t len)
{
    static const char begin[] = "{\"results\":[", row[] = "{\"seq\":";
    const char *end = text + len, *at = text + sizeof(begin) - 1;
    if (len < sizeof(begin) || memcmp(text, begin, sizeof(begin) - 1) != 0)
        return NULL;
    while (at < end && (*at == '\n' || *at == '\r' || *at == ' '))
        at++;
    if ((size_t)(end - at) < sizeof(row) || memcmp(at, row, sizeof(row) - 1) != 0)
        return NULL;
    at += sizeof(row) - 1;
    bool quoted = *at == '"';
    at += quoted;
    size_t room = (size_t)(end - at), max = quoted ? RP_SEQ_MAX + 1 : DIGITS + 1;
    const char *stop = memchr(at, quoted ? '"' : ',', room < max ? room : max);
    if (!stop || stop == at)
        return NULL;
    size_t size = (size_t)(stop - at);
    if (quoted) /* a token of this length is never escaped */
        return memchr(at, '\\', size) ? NULL : json_stringn(at, size);
    CM_AUTO_STR digits = cm_strndup(at, size);
    int64_t number;
    return cm_num_i64(digits, 0, INT64_MAX, &number) == 0 ? json_integer(number) : NULL;
}
