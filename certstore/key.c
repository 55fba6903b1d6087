/* Building the keys of the store. */
#include "certstore/key.h"

#include <string.h>

void cs_key_bytes(struct cs_key *key, const void *data, size_t len)
{
    if (key->bad || len > CS_KEY_MAX - key->len) {
        key->bad = true;
        return;
    }
    memcpy(key->data + key->len, data, len);
    key->len += len;
}

void cs_key_byte(struct cs_key *key, uint8_t byte)
{
    cs_key_bytes(key, &byte, 1);
}

void cs_key_begin(struct cs_key *key, enum cs_table table)
{
    key->len = 0;
    key->bad = false;
    cs_key_byte(key, (uint8_t)table);
}

void cs_key_text(struct cs_key *key, const char *text)
{
    cs_key_bytes(key, text, strlen(text));
}

void cs_key_u64(struct cs_key *key, uint64_t value)
{
    uint8_t bytes[8];
    for (int i = 7; i >= 0; i--) {
        bytes[i] = (uint8_t)value;
        value >>= 8;
    }
    cs_key_bytes(key, bytes, sizeof(bytes));
}

uint64_t cs_u64(const uint8_t *data)
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value = value << 8 | data[i];
    return value;
}

void cs_key_doc(struct cs_key *key, const char *id)
{
    cs_key_begin(key, CS_T_DOC);
    cs_key_text(key, id);
}

void cs_key_body(struct cs_key *key, const char *id, const struct cs_rev *rev)
{
    cs_key_begin(key, CS_T_BODY);
    cs_key_bytes(key, id, strlen(id) + 1);
    cs_key_u64(key, (uint64_t)rev->gen);
    cs_key_bytes(key, rev->id, rev->len);
}

void cs_key_seq(struct cs_key *key, int64_t seq)
{
    cs_key_begin(key, CS_T_SEQ);
    cs_key_u64(key, (uint64_t)seq);
}

bool cs_key_has_prefix(const struct cs_slice *key, const struct cs_key *prefix)
{
    return key->len >= prefix->len && memcmp(key->data, prefix->data, prefix->len) == 0;
}
