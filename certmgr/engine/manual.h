/*
 * Credentials whose certificates people bring (provider "manual"; reference/acme.md B5): the agent
 * makes the key, the CSR stands in the credential (`csr_out`) until somebody hands in what a CA
 * made of it.  The certificate that serves is not touched before that.
 *
 * `csr_out` {csr, sealed_key, public_key_sha256, key_generation, at}: the request that is out.
 * {new_key: true}: one with a new key is wanted.
 */
#pragma once

#include "certmgr/engine/internal.h"
#include "keyfile/cert.h"

#define ENG_HANDED_MAX (60u << 10) /* bytes of a chain as it is stored */

struct job;

bool eng_is_manual(const json_t *credential);
/* People bring its certificates: for a key that was made here, or with their key (import.h). */
bool eng_is_brought(const json_t *credential);
/* A CSR is out: nothing is to be done but to wait for its certificate. */
bool eng_csr_waits(const json_t *credential);
/* The key and CSR of the order are there (job_key.c): they go into the credential. */
void job_manual(struct job *job);

/* Checks what was handed in for this credential.  *ret_key: the members of the key that it is for
 * (owned); *ret_notes as kf_handed_check(). */
int eng_manual_check(struct engine *engine, const json_t *credential, const char *text, size_t len,
                     struct kf_chain *ret, json_t **ret_key, json_t **ret_notes,
                     struct cm_err *err);
/* A request brings a certificate: takes it into the credential's body.  Notes are added to notes.
 */
int eng_manual_take(struct engine *engine, const char *text, json_t *body, json_t *notes,
                    struct cm_err *err);
/* The keyfile: document of a credential that has just taken one: 1 = it says so already. */
int eng_manual_keyfile(const char *ulid, const json_t *credential, json_t *keyfile);
/* `csr_out` as people see it: {csr (PEM), public_key_sha256, key_generation, at} (owned), or NULL
 * when none is out. */
json_t *eng_csr_out_view(const json_t *credential);
