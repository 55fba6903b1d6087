/* Reads one certificate for its key. */
#include "base/net/tls_key.h"

#include "base/core/bytes.h"
#include "base/core/file.h"
#include "base/core/mem.h"
#include "base/net/tls.h"

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#define CERT_FILE_MAX 65536

int tls_public_key_of_file(const char *cert_file, char **ret_b64, struct cm_err *err)
{
    CM_AUTO_STR text = NULL;
    size_t len = 0;
    int rv = cm_file_read(cert_file, CERT_FILE_MAX, &text, &len, err);
    if (rv != 0)
        return rv;
    BIO *bio = BIO_new_mem_buf(text, (int)len);
    X509 *cert = bio != NULL ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    unsigned char *der = NULL;
    int size = cert != NULL ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der) : -1;
    if (size > 0)
        *ret_b64 = cm_b64(der, (size_t)size);
    else
        rv = tls_fail(err, CM_EMALF, cert_file);
    OPENSSL_free(der);
    X509_free(cert);
    BIO_free(bio);
    return rv;
}
