/*
 * Trusted roots, parsed once, and the ends of chains that were found good under them: a CA signs
 * with the same few intermediates for months, so everything behind the leaf is checked once.
 * Not thread-safe; one owner.
 */
#pragma once

#include "base/core/err.h"

struct kf_roots;

/* pem: bundle of root certificates, or NULL.  One that cannot be read counts as none (its documents
 * were checked when they were made).  Never NULL; kf_roots_free(). */
struct kf_roots *kf_roots_new(const char *pem);
void kf_roots_free(struct kf_roots *roots);
