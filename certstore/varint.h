/* Little-endian base-128 integers, and a reader that cannot run past its end. */
#pragma once

#include "base/core/buf.h"
#include <stdbool.h>

struct cs_reader {
    const uint8_t *at, *end;
    bool bad; /* sticky: something was read past the end or out of range */
};

void cs_varint_put(struct cm_buf *out, uint64_t value);
uint64_t cs_read_varint(struct cs_reader *in);
uint8_t cs_read_byte(struct cs_reader *in);
/* len bytes, or NULL (and bad). */
const uint8_t *cs_read_bytes(struct cs_reader *in, size_t len);
