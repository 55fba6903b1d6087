/* Inside keyfile: what the readers of piles share (pile.c for PEM, pile_p12.c). */
#pragma once

#include <openssl/pkcs12.h>

#include "keyfile/pile.h"

struct kf_pile_work {
    const char *password;
    struct kf_pile *pile;
    int64_t rounds; /* spent */
};

/* Takes the key; a second one is refused, but for the same once more. */
int kf_pile_key(struct kf_pile_work *w, EVP_PKEY *take, struct cm_err *err);
int kf_pile_cert(struct kf_pile_work *w, X509 *take, struct cm_err *err);
/* Adds what an algorithm (PBES2 with PBKDF2, PKCS #5 1.5, PKCS #12) costs before it is paid. */
int kf_pile_spend(struct kf_pile_work *w, const X509_ALGOR *algorithm, struct cm_err *err);
int kf_pile_spend_rounds(struct kf_pile_work *w, int64_t rounds, struct cm_err *err);
int kf_pile_p12(struct kf_pile_work *w, const void *data, size_t len, struct cm_err *err);
