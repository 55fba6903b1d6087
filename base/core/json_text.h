/*
 * Inside of base/core's JSON: the fast reader and the writer that json.c and json_canonical.c
 * share.
 *
 * jansson stays the judge: the reader takes the plain subset that nearly every document is and
 * answers NULL for everything else, which jansson then reads or refuses with its message
 * (docs/adr/0009-json-reader.md).
 */
#pragma once

#include <stdbool.h>
#include <string.h>

#include "base/core/buf.h"
#include <jansson.h>

/* One complete value with every limit of cm_json_parse() kept, or NULL: not well-formed, over a
 * limit, or a number that is no plain integer. */
json_t *cm_json_read(const char *text, size_t len);

/* Length of the prefix that stands in a JSON string as it is.  *high: has bytes above 0x7f. */
size_t cm_json_plain(const char *text, size_t len, bool *high);

/* Behind the blanks between two tokens (RFC 8259, section 2). */
static inline const char *cm_json_blanks(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r'))
        at++;
    return at;
}

/* cm_buf_add() where it only copies, which is nearly always. */
static inline void cm_json_add(struct cm_buf *out, const void *data, size_t len)
{
    if (out->size <= out->len || len >= out->size - out->len || len > out->max - out->len ||
        out->failed) {
        cm_buf_add(out, data, len);
        return;
    }
    memcpy(out->data + out->len, data, len);
    out->len += len;
    out->data[out->len] = '\0';
}

void cm_json_put_integer(struct cm_buf *out, int64_t value);
