/* Variable-length integers of the store format. */
#include <stdbool.h>

#include "certstore/varint.h"

#define VARINT_BYTES_MAX 10

void cs_varint_put(struct cm_buf *out, uint64_t value)
{
    uint8_t bytes[VARINT_BYTES_MAX];
    size_t len = 0;
    do {
        uint8_t low = (uint8_t)(value & 0x7f);
        value >>= 7;
        bytes[len++] = value != 0 ? (uint8_t)(low | 0x80) : low;
    } while (value != 0);
    cm_buf_add(out, bytes, len);
}

uint8_t cs_read_byte(struct cs_reader *in)
{
    if (in->at >= in->end) {
        in->bad = true;
        return 0;
    }
    return *in->at++;
}

uint64_t cs_read_varint(struct cs_reader *in)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = cs_read_byte(in);
        if (shift == 63 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0)
            return value;
    }
    in->bad = true;
    return 0;
}

const uint8_t *cs_read_bytes(struct cs_reader *in, size_t len)
{
    if (in->bad || (size_t)(in->end - in->at) < len) {
        in->bad = true;
        return NULL;
    }
    const uint8_t *data = in->at;
    in->at += len;
    return data;
}
