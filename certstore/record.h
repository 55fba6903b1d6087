/*
 * Records: every value of the store is a format byte, a CRC-32C over key and payload, and the
 * payload.  The checksum is verified at every read, so damage is reported and never used; as it
 * covers the key, a value that lands under a wrong key is noticed too.
 */
#pragma once

#include "certstore/env.h"

#define CS_RECORD_FORMAT 1
#define CS_RECORD_HEAD   5

/* CRC-32C (Castagnoli, RFC 3720 B.4), continued from crc (0 at the start). */
uint32_t cs_crc32c(uint32_t crc, const void *data, size_t len);
/* The same without the processor's instruction for it. */
uint32_t cs_crc32c_portable(uint32_t crc, const void *data, size_t len);

/* Checks a value and gives its payload; CM_EIO names the record. */
int cs_record_open(const struct cs_slice *key, const struct cs_slice *value, struct cs_slice *ret,
                   struct cm_err *err);
/* As cs_txn_get, payload only. */
int cs_record_get(struct cs_txn *txn, const struct cs_key *key, struct cs_slice *ret,
                  struct cm_err *err);
int cs_record_put(struct cs_txn *txn, const struct cs_key *key, const void *payload, size_t len,
                  struct cm_err *err);
