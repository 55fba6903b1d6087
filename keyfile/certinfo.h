/* Inside keyfile: what cert.h does for PEM, for parsed certificates. */
#pragma once

#include <openssl/x509.h>

#include "keyfile/cert.h"

int kf_x509_info(X509 *cert, struct kf_cert_info *ret, struct cm_err *err);
/* True when the certificate names anything but DNS names and addresses. */
bool kf_x509_other_names(X509 *cert);
