/* Format byte and checksum of every record. */
#include "certstore/record.h"

#include <ctype.h>
#include <string.h>
#ifdef __x86_64__
#include <nmmintrin.h>
#endif

#include "certstore/crash.h"

#define CRC32C_POLYNOMIAL 0x82f63b78u /* reflected */
#define SLICES            8
#define SHOWN_KEY_MAX     80

static uint32_t crc_table[SLICES][256];
static bool crc_ready;

static void crc_fill(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (crc & 1 ? CRC32C_POLYNOMIAL : 0);
        crc_table[0][i] = crc;
    }
    for (int slice = 1; slice < SLICES; slice++)
        for (int i = 0; i < 256; i++) {
            uint32_t before = crc_table[slice - 1][i];
            crc_table[slice][i] = (before >> 8) ^ crc_table[0][before & 0xff];
        }
    crc_ready = true;
}

uint32_t cs_crc32c_portable(uint32_t crc, const void *data, size_t len)
{
    const uint8_t *at = data;
    if (!crc_ready)
        crc_fill();
    crc = ~crc;
    for (; len >= 8; at += 8, len -= 8) {
        crc ^=
            (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
        crc = crc_table[7][crc & 0xff] ^ crc_table[6][crc >> 8 & 0xff] ^
              crc_table[5][crc >> 16 & 0xff] ^ crc_table[4][crc >> 24] ^ crc_table[3][at[4]] ^
              crc_table[2][at[5]] ^ crc_table[1][at[6]] ^ crc_table[0][at[7]];
    }
    for (; len > 0; at++, len--)
        crc = (crc >> 8) ^ crc_table[0][(crc ^ *at) & 0xff];
    return ~crc;
}

#ifdef __x86_64__

/* The processor's own instruction, which every one since 2008 has. */
__attribute__((target("sse4.2"))) static uint32_t crc_hardware(uint32_t crc, const uint8_t *at,
                                                               size_t len)
{
    uint64_t wide = crc;
    for (uint64_t word; len >= sizeof(word); at += sizeof(word), len -= sizeof(word)) {
        memcpy(&word, at, sizeof(word));
        wide = _mm_crc32_u64(wide, word);
    }
    crc = (uint32_t)wide;
    for (; len > 0; at++, len--)
        crc = _mm_crc32_u8(crc, *at);
    return crc;
}

uint32_t cs_crc32c(uint32_t crc, const void *data, size_t len)
{
    return __builtin_cpu_supports("sse4.2") ? ~crc_hardware(~crc, data, len)
                                            : cs_crc32c_portable(crc, data, len);
}

#else

uint32_t cs_crc32c(uint32_t crc, const void *data, size_t len)
{
    return cs_crc32c_portable(crc, data, len);
}

#endif

/* A key as text for messages: bytes that do not print become dots. */
static void show_key(const struct cs_slice *key, char out[SHOWN_KEY_MAX + 1])
{
    size_t len = key->len < SHOWN_KEY_MAX ? key->len : SHOWN_KEY_MAX;
    const uint8_t *data = key->data;
    for (size_t i = 0; i < len; i++)
        out[i] = isgraph(data[i]) ? (char)data[i] : '.';
    out[len] = '\0';
}

static int damaged(const struct cs_slice *key, const char *why, struct cm_err *err)
{
    char shown[SHOWN_KEY_MAX + 1];
    show_key(key, shown);
    cm_fail(err, CM_EIO, "record \"%s\" of the certificate store is damaged: %s", shown, why);
    cm_err_hint(err, "Run \"certmgr store check\"; restore the newest backup if it finds more.");
    return CM_EIO;
}

static void head_of(const void *key, size_t key_len, const void *payload, size_t len,
                    uint8_t out[CS_RECORD_HEAD])
{
    uint32_t crc = cs_crc32c(cs_crc32c(0, key, key_len), payload, len);
    out[0] = CS_RECORD_FORMAT;
    for (int i = 0; i < 4; i++)
        out[1 + i] = (uint8_t)(crc >> (8 * i));
}

int cs_record_open(const struct cs_slice *key, const struct cs_slice *value, struct cs_slice *ret,
                   struct cm_err *err)
{
    uint8_t head[CS_RECORD_HEAD];
    const uint8_t *data = value->data;
    if (value->len < CS_RECORD_HEAD)
        return damaged(key, "too short", err);
    if (data[0] != CS_RECORD_FORMAT)
        return damaged(key, "unknown record format", err);
    *ret = (struct cs_slice){.data = data + CS_RECORD_HEAD, .len = value->len - CS_RECORD_HEAD};
    cs_reading++; /* a damaged page may say that a record reaches out of the map */
    head_of(key->data, key->len, ret->data, ret->len, head);
    cs_reading--;
    return memcmp(head, data, CS_RECORD_HEAD) == 0 ? 0 : damaged(key, "wrong checksum", err);
}

int cs_record_get(struct cs_txn *txn, const struct cs_key *key, struct cs_slice *ret,
                  struct cm_err *err)
{
    struct cs_slice name = {.data = key->data, .len = key->len}, value;
    int rc = cs_txn_get(txn, key, &value, err);
    return rc < 0 ? rc : cs_record_open(&name, &value, ret, err);
}

int cs_record_put(struct cs_txn *txn, const struct cs_key *key, const void *payload, size_t len,
                  struct cm_err *err)
{
    void *room;
    int rc = cs_txn_put(txn, key, CS_RECORD_HEAD + len, &room, err);
    if (rc < 0)
        return rc;
    head_of(key->data, key->len, payload, len, room);
    if (len > 0)
        memcpy((uint8_t *)room + CS_RECORD_HEAD, payload, len);
    return 0;
}
