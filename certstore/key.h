/* Composite keys: a table letter, then parts in an order-preserving form (docs/store-format.md). */
#pragma once

#include "certstore/rev.h"

#define CS_KEY_MAX 511 /* LMDB's limit */

enum cs_table {
    CS_T_BEGIN = 0, /* before every record */
    CS_T_META = 'm',
    CS_T_DOC = 'd',        /* id */
    CS_T_BODY = 'b',       /* id NUL generation rev-id */
    CS_T_SEQ = 's',        /* sequence */
    CS_T_INDEX = 'i',      /* index number, key NUL id */
    CS_T_KV = 'k',         /* table NUL key */
    CS_T_QUARANTINE = 'q', /* see quarantine.c */
};

struct cs_slice {
    const void *data;
    size_t len;
};

struct cs_key {
    uint8_t data[CS_KEY_MAX];
    size_t len;
    bool bad; /* sticky: longer than CS_KEY_MAX */
};

void cs_key_begin(struct cs_key *key, enum cs_table table);
void cs_key_bytes(struct cs_key *key, const void *data, size_t len);
void cs_key_text(struct cs_key *key, const char *text); /* without its NUL */
void cs_key_byte(struct cs_key *key, uint8_t byte);
void cs_key_u64(struct cs_key *key, uint64_t value); /* big-endian, so that order is kept */

void cs_key_doc(struct cs_key *key, const char *id);
void cs_key_body(struct cs_key *key, const char *id, const struct cs_rev *rev);
void cs_key_seq(struct cs_key *key, int64_t seq);

/* Reads 8 big-endian bytes. */
uint64_t cs_u64(const uint8_t *data);
bool cs_key_has_prefix(const struct cs_slice *key, const struct cs_key *prefix);
