/*
 * Checking the signatures of many documents on worker threads, ahead of the store.
 *
 * The loop finds the key; a worker makes the signed bytes from the document, which it only reads
 * and nobody changes meanwhile, and verifies them.  A verdict is bound to the signature value in
 * memory that was checked, which lives as long as the verdict, and to the key that was used:
 * whether the trust root of that moment still names it, fleet_verify() asks anew.
 */
#include "base/core/json.h"
#include "base/core/mem.h"
#include "certmgr/fleet/fleet_internal.h"
#include "keyfile/docsig.h"
#include "keyfile/sig.h"

#define SHARE_CHECKS 64 /* of one worker thread at a time */

struct proved {
    struct kf_doc_check check;
    const json_t *signature; /* lives in docs */
};

struct share {
    struct fleet_proof *proof;
    size_t from, to;
};

struct fleet_proof {
    struct fleet_proof *next;
    struct fleet *fleet; /* NULL: it has ended */
    struct cm_loop *loop;
    json_t *docs;
    struct proved *proved;
    size_t count;
    size_t at; /* documents are put in the order in which they came */
    struct share *share;
    size_t running; /* shares */
    cm_fn done;
    void *done_arg;
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

/* On a worker thread: the last reference of many documents. */
static void run_free(void *arg)
{
    struct fleet_proof *proof = arg;
    for (size_t i = 0; i < proof->count; i++)
        kf_doc_check_fini(&proof->proved[i].check);
    cm_free(proof->proved);
    cm_free(proof->share);
    json_decref(proof->docs);
    cm_free(proof);
}

static void freed(void *arg)
{
    (void)arg;
}

/* On a worker thread. */
static void run_share(void *arg)
{
    const struct share *share = arg;
    struct kf_verifier verifier = {0};
    for (size_t i = share->from; i < share->to; i++)
        kf_doc_check_run(&share->proof->proved[i].check, &verifier);
    kf_verifier_fini(&verifier);
}

static void share_done(void *arg)
{
    const struct share *share = arg;
    struct fleet_proof *proof = share->proof;
    if (--proof->running > 0)
        return;
    struct fleet *fleet = proof->fleet;
    struct cm_loop *loop = proof->loop;
    unlink_proof(proof);
    if (fleet != NULL)
        fleet->proven = proof;
    proof->done(proof->done_arg);
    if (fleet != NULL)
        fleet->proven = NULL;
    cm_loop_work(loop, run_free, freed, proof);
}

/* What kf_doc_verify() would refuse anyway is left to it, and so is the trust root. */
static void begin(struct fleet_proof *proof)
{
    size_t i;
    const json_t *doc;
    proof->proved = cm_calloc(json_array_size(proof->docs) + 1, sizeof(*proof->proved));
    json_array_foreach(proof->docs, i, doc)
    {
        struct proved *p = &proof->proved[proof->count];
        bool deleted = cm_json_bool(doc, "_deleted", false);
        if (kf_doc_check_begin(proof->fleet->trust, doc, deleted, &p->check, NULL) != 0)
            continue;
        p->signature = json_object_get(doc, "signature");
        proof->count++;
    }
}

void fleet_prove(void *arg, json_t *take_docs, cm_fn done, void *done_arg)
{
    struct fleet *fleet = arg;
    struct fleet_proof *proof = cm_calloc(1, sizeof(*proof));
    *proof = (struct fleet_proof){.fleet = fleet,
                                  .loop = fleet->loop,
                                  .next = fleet->proofs,
                                  .docs = take_docs,
                                  .done = done,
                                  .done_arg = done_arg};
    fleet->proofs = proof;
    begin(proof);
    size_t shares = proof->count / SHARE_CHECKS + 1;
    proof->share = cm_calloc(shares, sizeof(*proof->share));
    proof->running = shares;
    for (size_t i = 0; i < shares; i++) {
        size_t from = i * SHARE_CHECKS, to = from + SHARE_CHECKS;
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
