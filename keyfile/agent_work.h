/*
 * The agent's worker: one thread that generates keys, so that a slow RSA key does not hold up quick
 * verbs.  A job owns everything it touches while it runs.
 */
#pragma once

#include <openssl/x509.h>

#include "keyfile/binding.h"
#include "keyfile/envelope.h"
#include "keyfile/pkey.h"

#define KFA_QUEUE_MAX 1024 /* jobs waiting or running; one more is answered "busy" */

struct kfa_job {
    struct kfa_job *next;
    int64_t id;
    uint64_t channel;
    /* in */
    void (*run)(struct kfa_job *job);
    enum kf_key_type type;
    struct kf_binding binding;
    json_t *names; /* of the request for a certificate; NULL for accounts */
    X509 *recipient[KF_RECIPIENTS_MAX + 1];
    size_t recipient_count;
    int64_t now_ms;
    void *own; /* whatever else the job needs; freed with it */
    void (*own_free)(void *own);
    /* out */
    json_t *reply;
    int rc;
    struct cm_err err;
};

struct kfa_job *kfa_job_new(void);
void kfa_job_free(struct kfa_job *job);
/* Adds a recipient (its own reference). */
int kfa_job_seal_for(struct kfa_job *job, X509 *recipient, struct cm_err *err);
/* Binds and seals a key that is there; sets sealed_key in job->reply, which it makes. */
int kfa_job_seal(struct kfa_job *job, const EVP_PKEY *key);
/* Generates, binds, seals; the caller frees *ret_key.  Sets sealed_key in the reply. */
int kfa_job_make_key(struct kfa_job *job, EVP_PKEY **ret_key);

struct kfa_work;
int kfa_work_new(struct kfa_work **ret, struct cm_err *err);
/* Waits for the job that runs and drops the others. */
void kfa_work_free(struct kfa_work *work);
/* Takes the job; CM_EBUSY (job freed) when the queue is full. */
int kfa_work_push(struct kfa_work *work, struct kfa_job *take, struct cm_err *err);
/* A finished job (caller frees) or NULL. */
struct kfa_job *kfa_work_pop(struct kfa_work *work);
/* Milliseconds that the job under way has run, 0 = none runs. */
int64_t kfa_work_running_ms(struct kfa_work *work);
/* Readable when a job has finished. */
int kfa_work_fd(const struct kfa_work *work);
