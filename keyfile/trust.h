/*
 * trust:root and document signatures: what both the agent and the front verify with.  Pure: JSON
 * and public keys in, verdicts out.  Format: docs/documents.md.
 */
#pragma once

#include "base/core/err.h"
#include <jansson.h>

#define KF_NAME_MAX    64   /* server names: 1-63 of a-z 0-9 . - */
#define KF_SERVERS_MAX 3000 /* removed ones, too; their documents fit (CS_TRUST_MAX) */
#define KF_TRUST_DAYS  30
#define KF_KEY_ID_TEXT 33 /* 32 hex + NUL */
#define KF_MARK_TEXT   9  /* keyfile/maker.h */
#define KF_SPKI_HEX    65

enum kf_server_state { KF_ACTIVE, KF_RETIRING, KF_REMOVED };

struct kf_server {
    const char *name;
    bool manager, standby;
    enum kf_server_state state;
    const char *seal_b64, *sign_b64, *tls_b64; /* SPKI DER, base64 */
    char sign_id[KF_KEY_ID_TEXT];
    char tls_spki[KF_SPKI_HEX]; /* hex SHA-256 of the TLS SPKI */
    char mark[KF_MARK_TEXT];    /* what its numbers end with (keyfile/maker.h) */
    const char *url, *ui_url;   /* or NULL */
    /* While its keys are being replaced: the former ones, which still count; else NULL and "". */
    const char *old_seal_b64, *old_sign_b64, *old_tls_b64;
    char old_sign_id[KF_KEY_ID_TEXT];
    char old_tls_spki[KF_SPKI_HEX];
};

#define KF_REPLACED_MAX 8 /* key sets of a server that the trust root remembers as replaced */

/* A parsed trust root; immutable.  Verification keys are parsed once and cached inside. */
struct kf_trust;
int kf_trust_parse(const json_t *document, struct kf_trust **ret, struct cm_err *err);
/* Each holder frees once; on one thread. */
struct kf_trust *kf_trust_ref(struct kf_trust *trust);
void kf_trust_free(struct kf_trust *trust); /* NULL allowed */
const json_t *kf_trust_document(const struct kf_trust *trust);
int64_t kf_trust_version(const struct kf_trust *trust);
int64_t kf_trust_expires_ms(const struct kf_trust *trust);
size_t kf_trust_count(const struct kf_trust *trust);
const struct kf_server *kf_trust_at(const struct kf_trust *trust, size_t i);
const struct kf_server *kf_trust_server(const struct kf_trust *trust, const char *name);
/* The active or retiring server with this TLS key (hex SPKI hash; a former one, too, while it
 * counts), or NULL. */
const struct kf_server *kf_trust_by_tls(const struct kf_trust *trust, const char *spki_hex);
/* The server with this TLS key in any state, removed ones too, or NULL (looks at all of them). */
const struct kf_server *kf_trust_any_tls(const struct kf_trust *trust, const char *spki_hex);
/* The server whose TLS key this was until its keys were replaced, or NULL (looks at all of them):
 * who shows it is a copy from before. */
const struct kf_server *kf_trust_replaced_tls(const struct kf_trust *trust, const char *spki_hex);
/* Is this one of the server's sign keys (kf_server.sign_id) that count? */
bool kf_server_signs_with(const struct kf_server *server, const char *key_id);
/* The TLS keys with which it may answer, as pin_spki of base/net/http_client.h wants them: its own,
 * and the former one while that counts. */
#define KF_PINS_TEXT (2 * KF_SPKI_HEX)
void kf_server_pins(const struct kf_server *server, char out[KF_PINS_TEXT]);
/* The same of the two key sets of this server (of this trust root) that were replaced last; "" when
 * none was: by these a copy of it from before is known. */
void kf_trust_replaced_pins(const struct kf_trust *trust, const struct kf_server *server,
                            char out[KF_PINS_TEXT]);
/* The first active manager, or NULL. */
const struct kf_server *kf_trust_manager(const struct kf_trust *trust);
/* Recovery key's SPKI (base64) or NULL. */
const char *kf_trust_recovery(const struct kf_trust *trust);

/* How many root signers have to sign the next version. */
size_t kf_trust_threshold(const struct kf_trust *trust);
/* Is the sign key with this id (kf_server.sign_id) a root signer? */
bool kf_trust_is_root_signer(const struct kf_trust *trust, const char *sign_id);
/* How many root signers of `root` validly signed `next`. */
size_t kf_trust_signed_by(const struct kf_trust *root, const struct kf_trust *next);

/* Is `next` signed as `current` demands (threshold of its root signers), newer and consistent? With
 * current == NULL: self-consistent (signed by its own root signers). */
int kf_trust_accept(const struct kf_trust *current, const struct kf_trust *next,
                    struct cm_err *err);

/* Verifies a document's signature under the trust root: the signer exists, is active (or retiring),
 * and its role may write this type (and name).  Returns 0 or CM_EDENIED with the reason. trust:root
 * itself is judged by kf_trust_accept(). */
int kf_doc_verify(const struct kf_trust *trust, const json_t *body, bool deleted,
                  struct cm_err *err);
/* All of that but the signature's value: for a signature that this server's agent just made. */
int kf_doc_signer(const struct kf_trust *trust, const json_t *body, struct cm_err *err);
/* The bytes that are signed (RFC 8785 canonical form, docs/documents.md).  cm_free. */
int kf_doc_bytes(const json_t *body, bool deleted, char **ret, size_t *ret_len, struct cm_err *err);
