/*
 * Checking the signatures of many documents on worker threads, ahead of the store.
 *
 * The loop finds the key; a worker makes the signed bytes from the document, which it only reads
 * and nobody changes meanwhile, and verifies them.  A verdict is bound to the signature value in
 * memory that was checked, which lives as long as the verdict, and to the key that was used:
 * whether the trust root of that moment still names it, fleet_verify() asks anew.
 *
 * While a document is at hand there, the worker does what else the caller has to do with it (also).
 */
#include "base/core/json.h"
#include "base/core/mem.h"
#include "certmgr/fleet/fleet_internal.h"
#include "keyfile/docsig.h"
#include "keyfile/sig.h"

#define SHARE_DOCS 64 /* of one worker thread at a time */

struct proved {
    struct kf_doc_check check; /* its key NULL: there is nothing to check */
    const json_t *signature;   /* lives in docs */
};

struct share {
    struct fleet_proof *proof;
    size_t from, to;
};

struct fleet_proof {
    struct fleet_proof *next;
    struct fleet *fleet;   /* NULL: it has ended */
    const json_t *docs;    /* the caller's */
    struct proved *proved; /* one for each document */
    size_t count;
    size_t at; /* documents are put in the order in which they came */
    struct share *share;
    size_t running;                     /* shares */
    void (*also)(void *arg, size_t at); /* or NULL */
    cm_fn done;
    void *arg;
};

static void unlink_proof(struct fleet_proof *proof)
{
    if (proof->fleet == NULL)
        return;
    struct fleet_proof **at = &proof->fleet->proofs;
    while (*at != proof)
        at = &(*at)->next;
    *at = proof->next;
}

static void free_proof(struct fleet_proof *proof)
{
    for (size_t i = 0; i < proof->count; i++)
        kf_doc_check_fini(&proof->proved[i].check);
    cm_free(proof->proved);
    cm_free(proof->share);
    cm_free(proof);
}

/* On a worker thread. */
static void run_share(void *arg)
{
    const struct share *share = arg;
    const struct fleet_proof *proof = share->proof;
    struct kf_verifier verifier = {0};
    for (size_t i = share->from; i < share->to; i++) {
        if (proof->proved[i].check.key != NULL)
            kf_doc_check_run(&proof->proved[i].check, &verifier);
        if (proof->also != NULL)
            proof->also(proof->arg, i);
    }
    kf_verifier_fini(&verifier);
}

static void share_done(void *arg)
{
    const struct share *share = arg;
    struct fleet_proof *proof = share->proof;
    if (--proof->running > 0)
        return;
    struct fleet *fleet = proof->fleet;
    unlink_proof(proof);
    if (fleet != NULL)
        fleet->proven = proof;
    proof->done(proof->arg);
    if (fleet != NULL)
        fleet->proven = NULL;
    free_proof(proof);
}

/* What kf_doc_verify() would refuse anyway is left to it, and so is the trust root. */
static void begin(struct fleet_proof *proof)
{
    size_t i;
    json_t *doc;
    proof->count = json_array_size(proof->docs);
    proof->proved = cm_calloc(proof->count + 1, sizeof(*proof->proved));
    json_array_foreach(proof->docs, i, doc)
    {
        struct proved *p = &proof->proved[i];
        bool deleted = cm_json_bool(doc, "_deleted", false);
        if (kf_doc_check_begin(proof->fleet->trust, doc, deleted, &p->check, NULL) == 0)
            p->signature = json_object_get(doc, "signature");
        else
            p->check = (struct kf_doc_check){0};
    }
}

void fleet_prove(void *prove_arg, const json_t *docs, void (*also)(void *arg, size_t at),
                 cm_fn done, void *arg)
{
    struct fleet *fleet = prove_arg;
    struct fleet_proof *proof = cm_calloc(1, sizeof(*proof));
    *proof = (struct fleet_proof){.fleet = fleet,
                                  .next = fleet->proofs,
                                  .docs = docs,
                                  .also = also,
                                  .done = done,
                                  .arg = arg};
    fleet->proofs = proof;
    begin(proof);
    size_t shares = proof->count / SHARE_DOCS + 1;
    proof->share = cm_calloc(shares, sizeof(*proof->share));
    proof->running = shares;
    for (size_t i = 0; i < shares; i++) {
        size_t from = i * SHARE_DOCS, to = from + SHARE_DOCS;
        proof->share[i] = (struct share){
            .proof = proof, .from = from, .to = to < proof->count ? to : proof->count};
        cm_loop_work(fleet->loop, run_share, share_done, &proof->share[i]);
    }
}

bool fleet_is_proven(const struct fleet *fleet, const json_t *body, bool deleted)
{
    struct fleet_proof *proof = fleet->proven;
    const json_t *signature = json_object_get(body, "signature");
    if (proof == NULL || signature == NULL)
        return false;
    for (size_t n = 0; n < proof->count; n++) {
        size_t i = (proof->at + n) % proof->count;
        const struct proved *p = &proof->proved[i];
        if (p->signature != signature)
            continue;
        proof->at = i + 1;
        return p->check.good && p->check.deleted == deleted;
    }
    return false;
}

void fleet_proofs_close(struct fleet *fleet)
{
    for (struct fleet_proof *proof = fleet->proofs; proof != NULL; proof = proof->next)
        proof->fleet = NULL;
    fleet->proofs = NULL;
}
