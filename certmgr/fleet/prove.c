/*
 * Checking the signatures of many documents on worker threads, ahead of the store.
 *
 * A worker gets a document (often makes it from text just then), verifies it by the trust root of
 * the moment in which the check began, and hands it back while it is still in that processor's
 * cache.  A verdict is bound to the signature value in memory that was checked, which lives as
 * long as the verdict, and to the key that was used: whether the trust root of today still names
 * it, fleet_verify() asks anew.
 */
#include "base/core/json.h"
#include "base/core/mem.h"
#include "certmgr/fleet/fleet_internal.h"
#include "keyfile/docsig.h"
#include "keyfile/sig.h"

#define SHARE_DOCS 32 /* of one worker thread at a time */

struct verdict {
    const json_t *signature; /* of the document; NULL: there is nothing to say */
    bool good, deleted;
};

struct share {
    struct fleet_proof *proof;
    size_t from, to;
};

struct fleet_proof {
    struct fleet_proof *next;
    struct fleet *fleet; /* NULL: it has ended */
    struct kf_trust *trust;
    struct cs_proof docs;
    struct verdict *verdict; /* one for each document */
    size_t at;               /* documents are put in the order in which they came */
    struct share *share;
    size_t running; /* shares */
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
    kf_trust_free(proof->trust);
    cm_free(proof->verdict);
    cm_free(proof->share);
    cm_free(proof);
}

/* What kf_doc_verify() would refuse anyway is left to it, and so is the trust root. */
static void check(const struct fleet_proof *proof, size_t at, struct kf_verifier *verifier,
                  struct cm_buf *text)
{
    const struct cs_proof *docs = &proof->docs;
    const json_t *doc = docs->doc(docs->arg, at);
    struct verdict *v = &proof->verdict[at];
    bool written = false;
    if (doc != NULL) {
        v->deleted = cm_json_bool(doc, "_deleted", false);
        v->good = kf_doc_check(proof->trust, doc, v->deleted, verifier, NULL) == 0;
        v->signature = v->good ? json_object_get(doc, "signature") : NULL;
    }
    if (docs->also == NULL)
        return;
    cm_buf_reset(text);
    if (v->good)
        written = kf_doc_checked_text(verifier, doc, text);
    docs->also(docs->arg, at, v->good, written ? text->data : NULL, text->len);
}

/* On a worker thread. */
static void run_share(void *arg)
{
    const struct share *share = arg;
    struct kf_verifier verifier = {0};
    struct cm_buf text;
    cm_buf_init(&text, CS_DOC_MAX);
    for (size_t i = share->from; i < share->to; i++)
        check(share->proof, i, &verifier, &text);
    cm_buf_fini(&text);
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
    proof->docs.done(proof->docs.arg);
    if (fleet != NULL)
        fleet->proven = NULL;
    free_proof(proof);
}

void fleet_prove(void *prove_arg, const struct cs_proof *docs)
{
    struct fleet *fleet = prove_arg;
    struct fleet_proof *proof = cm_calloc(1, sizeof(*proof));
    size_t shares = docs->count / SHARE_DOCS + 1;
    *proof = (struct fleet_proof){.fleet = fleet,
                                  .next = fleet->proofs,
                                  .trust = kf_trust_ref(fleet->trust),
                                  .docs = *docs,
                                  .verdict = cm_calloc(docs->count + 1, sizeof(*proof->verdict)),
                                  .share = cm_calloc(shares, sizeof(*proof->share)),
                                  .running = shares};
    fleet->proofs = proof;
    for (size_t i = 0; i < shares; i++) {
        size_t from = i * SHARE_DOCS, to = from + SHARE_DOCS;
        proof->share[i] =
            (struct share){.proof = proof, .from = from, .to = to < docs->count ? to : docs->count};
        cm_loop_work(fleet->loop, run_share, share_done, &proof->share[i]);
    }
}

bool fleet_is_proven(const struct fleet *fleet, const json_t *body, bool deleted)
{
    struct fleet_proof *proof = fleet->proven;
    const json_t *signature = json_object_get(body, "signature");
    if (proof == NULL || signature == NULL)
        return false;
    for (size_t n = 0; n < proof->docs.count; n++) {
        size_t i = (proof->at + n) % proof->docs.count;
        const struct verdict *v = &proof->verdict[i];
        if (v->signature != signature)
            continue;
        proof->at = i + 1;
        return v->good && v->deleted == deleted;
    }
    return false;
}

bool fleet_proof_is_old(const struct fleet *fleet)
{
    return fleet->proven->trust != fleet->trust;
}

void fleet_proofs_close(struct fleet *fleet)
{
    for (struct fleet_proof *proof = fleet->proofs; proof != NULL; proof = proof->next)
        proof->fleet = NULL;
    fleet->proofs = NULL;
}
