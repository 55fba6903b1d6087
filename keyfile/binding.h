/*
 * The sealed plaintext: a few lines that bind a private key to its document, an empty line, PKCS#8
 * PEM (docs/agent-protocol.md, docs/sealing.md).  `openssl cms -decrypt … | openssl pkey` reads it.
 * Texts that are no keys (passwords and tokens of services) have a head of their own.
 */
#pragma once

#include <openssl/evp.h>
#include <stdbool.h>

#include "base/core/err.h"
#include "keyfile/secret.h"

#define KF_BOUND_VALUE_MAX 300

/* What a key is bound to: "document: credential:<ulid>" and "generation: <n>", or
 * "document: account:<name>" and "directory: <origin>".  Values hold no control characters. */
struct kf_binding {
    char document[KF_BOUND_VALUE_MAX];
    const char *key; /* "generation" or "directory" */
    char value[KF_BOUND_VALUE_MAX];
    bool exportable; /* written as the line "exportable: yes"; never compared */
};

int kf_bind_credential(struct kf_binding *ret, const char *ulid, int64_t generation,
                       struct cm_err *err);
int kf_bind_account(struct kf_binding *ret, const char *account, const char *origin,
                    struct cm_err *err);

int kf_bound_write(const struct kf_binding *binding, const EVP_PKEY *key, int64_t now_ms,
                   struct kf_secret *ret, struct cm_err *err);
/* Refuses a text that is bound to anything else (CM_EDENIED), or whose key is not the one that its
 * own line names.  spki_hex receives the hash of the key. */
int kf_bound_read(const struct kf_secret *text, const struct kf_binding *binding, EVP_PKEY **ret,
                  char spki_hex[65], struct cm_err *err);
/* May this key leave as PKCS #12?  Of a text that kf_bound_read() has accepted. */
bool kf_bound_exportable(const struct kf_secret *text);

#define KF_TEXT_MAX (32u << 10) /* bytes of a sealed text that is no key */

/* A secret that programs of this server use: "document: secret:<purpose>", "name: <name>",
 * "for: managers" or "for: self", and when. */
struct kf_text {
    char document[KF_BOUND_VALUE_MAX], name[KF_BOUND_VALUE_MAX];
    bool managers; /* for managers; else for the server that sealed it */
};

/* CM_EDENIED when the purpose is not one of those that secrets can have ("dns", "notify", …). */
int kf_bind_text(struct kf_text *ret, const char *purpose, const char *name, bool managers,
                 struct cm_err *err);
int kf_text_write(const struct kf_text *head, const char *value, int64_t now_ms,
                  struct kf_secret *ret, struct cm_err *err);
/* The value (inside text) of a text bound to this document and name; head->managers is set from
 * the text.  CM_EDENIED when it is bound to anything else, a key for one. */
int kf_text_read(const struct kf_secret *text, struct kf_text *head, const char **ret,
                 struct cm_err *err);
/* Is it one of the managers' secrets (an account's key, a text "for: managers")?  CM_EDENIED when
 * it is not: such a text is never sealed for other managers. */
int kf_bound_to_managers(const struct kf_secret *text, struct cm_err *err);
