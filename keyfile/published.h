/* Where those who ask learn that a certificate was revoked, as the certificate itself says. */
#pragma once

#include <stddef.h>

#define KF_TOLD_OCSP 1u /* a responder: authorityInfoAccess (RFC 5280 4.2.2.1) */
#define KF_TOLD_CRL  2u /* a list: cRLDistributionPoints (RFC 5280 4.2.1.13) */

/* Bits of the first certificate of a PEM text; 0 = it names no place, or cannot be read. */
unsigned kf_told(const char *pem, size_t len);
