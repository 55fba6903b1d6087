/* What every file that talks to libcrypto needs: typed clean-up, and its error queue as cm_err. */
#pragma once

#include <openssl/bio.h>
#include <openssl/cms.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "base/core/err.h"

/* cm_fail() with the reasons of libcrypto's error queue as causes; the queue is empty afterwards
 * (also when err is NULL), so that no later call reports somebody else's failure. */
int kf_ossl_fail(struct cm_err *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* NOLINTBEGIN(bugprone-macro-parentheses): a type does not stand in brackets */
#define KF_CLEANUP(type, name, call)                                                               \
    static inline void kf_auto_##name(type **p)                                                    \
    {                                                                                              \
        call(*p);                                                                                  \
    }
/* NOLINTEND(bugprone-macro-parentheses) */
KF_CLEANUP(BIO, bio, BIO_free_all)
KF_CLEANUP(CMS_ContentInfo, cms, CMS_ContentInfo_free)
KF_CLEANUP(ECDSA_SIG, ecdsa_sig, ECDSA_SIG_free)
KF_CLEANUP(EVP_MD_CTX, md_ctx, EVP_MD_CTX_free)
KF_CLEANUP(EVP_PKEY, pkey, EVP_PKEY_free)
KF_CLEANUP(EVP_PKEY_CTX, pkey_ctx, EVP_PKEY_CTX_free)
KF_CLEANUP(X509, x509, X509_free)
KF_CLEANUP(X509_REQ, x509_req, X509_REQ_free)
static inline void kf_auto_x509_stack(STACK_OF(X509) * *p)
{
    sk_X509_pop_free(*p, X509_free);
}
#define KF_AUTO(name) __attribute__((cleanup(kf_auto_##name)))
