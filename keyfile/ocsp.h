/*
 * Asking a CA's OCSP responder (RFC 6960) about a certificate: where it is, the question, and what
 * its answer is worth.  No network here; public data only.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/core/buf.h"
#include "base/core/err.h"

#define KF_OCSP_URL_MAX   512         /* bytes of a responder's URL, with its end */
#define KF_OCSP_REPLY_MAX (64u << 10) /* the longest answer that is looked at */
#define KF_OCSP_SKEW_S    300         /* their clock may be that much ahead of ours */
#define KF_OCSP_TYPE      "application/ocsp-request"

enum kf_ocsp {
    KF_OCSP_GOOD,
    KF_OCSP_UNKNOWN, /* not heard of yet */
    KF_OCSP_REVOKED,
    KF_OCSP_LATER, /* no answer about the certificate: tryLater, unauthorized, … (4.2.1) */
};

/* The first http:// or https:// responder that the first certificate of the PEM text names (RFC
 * 5280 4.2.2.1).  CM_ENOENT: it names none that can be asked. */
int kf_ocsp_url(const char *pem, size_t len, char out[KF_OCSP_URL_MAX], struct cm_err *err);
/* The DER of an OCSPRequest about the first certificate of the chain, whose issuer is the second,
 * appended to out.  Without nonce: responders answer from a cache (RFC 5019).  CM_EMALF: a chain
 * of one certificate. */
int kf_ocsp_request(const char *pem, size_t len, struct cm_buf *out, struct cm_err *err);
/* Reads an answer to that question: signed by the issuer or by whom it appointed (4.2.2.2), about
 * this certificate, and not out of date at now_ms.  CM_ELIMIT: longer than KF_OCSP_REPLY_MAX;
 * CM_EMALF: no OCSPResponse, about another certificate, or out of date; CM_EPEER: not signed by
 * whom it has to be. */
int kf_ocsp_read(const char *pem, size_t len, const void *der, size_t size, int64_t now_ms,
                 enum kf_ocsp *ret, struct cm_err *err);
