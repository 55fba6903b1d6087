/*
 * Checking the signatures of many documents ahead of the store, whose verify port then knows the
 * verdicts: who has documents to put (replicator) asks who knows the signers (fleet).
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Documents whose signatures are to be checked away from the loop. */
struct cs_proof {
    size_t count;
    /* On any thread, once for each: the document, signed, which nobody changes until `also`; NULL =
     * there is none. */
    const json_t *(*doc)(void *arg, size_t at);
    /* Then, on the same thread: good = validly signed by who may write it.  May change and free the
     * document, but its `signature` stays until done.  text: what will be stored of it, as far as
     * that is known, or NULL.  May be NULL. */
    void (*also)(void *arg, size_t at, bool good, const char *text, size_t len);
    /* On the loop, once, never from inside, also when prove_arg has ended meanwhile: inside, the
     * store's verify port knows the verdicts. */
    void (*done)(void *arg);
    void *arg;
};
/* proof is copied. */
typedef void (*cs_prove_fn)(void *prove_arg, const struct cs_proof *proof);
