/* The entries inside a backup's stream: 2 bytes length (big-endian), JSON {name, size}, the bytes.
 * Shared by backup.c and restore.c only. */
#pragma once

#define ENTRY_LENGTH   2
#define ENTRY_HEAD_MAX 512

#define ENTRY_IDENTITY                                                                             \
    "identity" /* base64 CMS for the recovery key, of the agent's backup.seal                      \
                */
#define ENTRY_TLS_CERT "tls/cert.pem"
#define ENTRY_TLS_KEY  "tls/key.pem"
/* While the keys are being replaced (certmgr/fleet/rotate_tls.c). */
#define ENTRY_TLS_NEXT_CERT "tls/next-cert.pem"
#define ENTRY_TLS_NEXT_KEY  "tls/next-key.pem"
#define ENTRY_CONFIG        "certmgr.conf"
#define ENTRY_STORE         "store/data.mdb"
#define ENTRY_END           "end"
