/* Strict PEM of certificates. */
#include "keyfile/pem.h"

#include <openssl/pem.h>
#include <string.h>

#include "base/core/buf.h"
#include "base/core/bytes.h"
#include "base/core/mem.h"
#include "keyfile/cert.h"
#include "keyfile/ossl.h"

#define BEGIN "-----BEGIN CERTIFICATE-----"
#define END   "-----END CERTIFICATE-----"

struct lines {
    const char *at, *end;
};

/* Next line without its end (LF or CRLF); false at the end of the text. */
static bool next_line(struct lines *in, const char **line, size_t *len)
{
    if (in->at == in->end)
        return false;
    const char *nl = memchr(in->at, '\n', (size_t)(in->end - in->at));
    const char *stop = nl ? nl : in->end;
    *line = in->at;
    *len = (size_t)(stop - in->at);
    if (*len > 0 && (*line)[*len - 1] == '\r')
        (*len)--;
    in->at = nl ? nl + 1 : in->end;
    return true;
}

static bool line_is(const char *line, size_t len, const char *text)
{
    return len == strlen(text) && memcmp(line, text, len) == 0;
}

/* The block's base64 up to its END line, decoded and parsed. */
static int read_block(struct lines *in, OSSL_LIB_CTX *context, X509 **ret, struct cm_err *err)
{
    struct cm_buf b64;
    const char *line;
    size_t len;
    bool ended = false;
    cm_buf_init(&b64, KF_PEM_MAX);
    while (!ended && next_line(in, &line, &len)) {
        ended = line_is(line, len, END);
        if (!ended)
            cm_buf_add(&b64, line, len);
    }
    uint8_t *der = NULL;
    size_t der_len = 0;
    int rc =
        !ended || b64.failed ? CM_EMALF : cm_b64_decode(cm_buf_str(&b64), b64.len, &der, &der_len);
    cm_buf_fini(&b64);
    const unsigned char *at = der;
    X509 *cert = rc == 0 ? X509_new_ex(context, NULL) : NULL;
    if (cert)
        cert = d2i_X509(&cert, &at, (long)der_len); /* frees it when it fails */
    bool whole = cert && at == der + der_len;
    cm_free(der);
    if (whole) {
        *ret = cert;
        return 0;
    }
    X509_free(cert);
    return kf_ossl_fail(err, CM_EMALF,
                        "a CERTIFICATE block is not base64 of one X.509 certificate");
}

int kf_pem_certs(const char *pem, size_t len, size_t max, STACK_OF(X509) * *ret, struct cm_err *err)
{
    return kf_pem_certs_in(NULL, pem, len, max, ret, err);
}

int kf_pem_certs_in(OSSL_LIB_CTX *context, const char *pem, size_t len, size_t max,
                    STACK_OF(X509) * *ret, struct cm_err *err)
{
    *ret = NULL;
    if (len > KF_PEM_MAX)
        return cm_fail(err, CM_ELIMIT, "PEM is longer than %u bytes", KF_PEM_MAX);
    KF_AUTO(x509_stack) STACK_OF(X509) *certs = sk_X509_new_null();
    struct lines in = {pem, pem + len};
    const char *line;
    size_t line_len;
    while (next_line(&in, &line, &line_len)) {
        if (line_len == 0)
            continue;
        if (!line_is(line, line_len, BEGIN))
            return cm_fail(err, CM_EMALF,
                           "PEM holds something else than CERTIFICATE blocks (RFC 8555 11.4)");
        if ((size_t)sk_X509_num(certs) >= max)
            return cm_fail(err, CM_ELIMIT, "PEM holds more than %zu certificates", max);
        X509 *cert = NULL;
        int rc = read_block(&in, context, &cert, err);
        if (rc < 0)
            return rc;
        if (!sk_X509_push(certs, cert)) {
            X509_free(cert);
            return kf_ossl_fail(err, CM_ECRYPTO, "cannot keep a certificate");
        }
    }
    if (sk_X509_num(certs) < 1)
        return cm_fail(err, CM_EMALF, "PEM holds no certificate");
    *ret = certs;
    certs = NULL;
    return 0;
}

int kf_pem_write(STACK_OF(X509) * certs, int from, int to, char **ret, struct cm_err *err)
{
    *ret = NULL;
    KF_AUTO(bio) BIO *bio = BIO_new(BIO_s_mem());
    for (int i = from; i < to; i++) {
        if (!bio || !PEM_write_bio_X509(bio, sk_X509_value(certs, i)))
            return kf_ossl_fail(err, CM_ECRYPTO, "cannot write a certificate as PEM");
    }
    char *data = NULL;
    long len = bio ? BIO_get_mem_data(bio, &data) : 0;
    *ret = len > 0 ? cm_strndup(data, (size_t)len) : cm_strdup("");
    return 0;
}
