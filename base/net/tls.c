/*
 * TLS server contexts, the pinned-key rule between peers, and the making of identities.
 *
 * A client certificate is nothing but a carrier of a public key here: no chain, no names, no dates.
 * OpenSSL still checks that the client holds the private key (CertificateVerify).
 */
#include "base/net/tls.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "base/core/bytes.h"
#include "base/core/file.h"
#include "base/core/mem.h"

#define TLS12_CIPHERS                                                                              \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"                                   \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"                                   \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define TLS_GROUPS        "X25519:P-256:P-384"
#define TLS_PEER_CERT_MAX 16384 /* bytes of client certificates read before authentication */
#define TLS_CAUSES_MAX    3
#define IDENTITY_DAYS     36500
#define IDENTITY_NAME_MAX 253

struct tls_server {
    SSL_CTX *ctx;
    bool ask_client_cert;
    tls_peer_fn peer_ok;
    void *arg;
};

int tls_fail(struct cm_err *err, int code, const char *what)
{
    char text[256];
    unsigned long e;

    cm_fail(err, code, "%s", what);
    for (int i = 0; i < TLS_CAUSES_MAX && (e = ERR_get_error()) != 0; i++) {
        ERR_error_string_n(e, text, sizeof(text));
        if (err != NULL)
            cm_err_cause(err, "%s", text);
    }
    ERR_clear_error();
    return code;
}

int tls_spki_of_cert(X509 *cert, char out[65])
{
    unsigned char *der = NULL;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);

    if (len <= 0) {
        ERR_clear_error();
        return CM_ECRYPTO;
    }
    cm_sha256_hex(der, (size_t)len, out);
    OPENSSL_free(der);
    return 0;
}

/* Replaces OpenSSL's chain verification. */
static int verify_peer(X509_STORE_CTX *store, void *arg)
{
    const struct tls_server *tls = arg;
    X509 *cert = X509_STORE_CTX_get0_cert(store);
    char spki[CM_SHA256_HEX];

    if (cert != NULL && tls_spki_of_cert(cert, spki) == 0 && tls->peer_ok != NULL &&
        tls->peer_ok(tls->arg, spki)) {
        X509_STORE_CTX_set_error(store, X509_V_OK);
        return 1;
    }
    X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_UNTRUSTED);
    return 0;
}

/* RFC 7301: a client that offers ALPN without http/1.1 is refused with no_application_protocol. */
static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *in, unsigned in_len, void *arg)
{
    static const unsigned char offer[] = "\x08http/1.1";
    unsigned char *chosen = NULL;

    (void)ssl;
    (void)arg;
    if (SSL_select_next_proto(&chosen, out_len, offer, sizeof(offer) - 1, in, in_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static int load_files(SSL_CTX *ctx, const struct tls_server_opts *opts, struct cm_err *err)
{
    const char *what;

    if (SSL_CTX_use_certificate_chain_file(ctx, opts->cert_file) != 1)
        what = "the certificate cannot be read";
    else if (SSL_CTX_use_PrivateKey_file(ctx, opts->key_file, SSL_FILETYPE_PEM) != 1)
        what = "the private key cannot be read or is not the certificate's";
    else
        return 0;
    tls_fail(err, CM_ECRYPTO, what);
    return cm_wrap(err, CM_ECRYPTO, "TLS files %s and %s cannot be used", opts->cert_file,
                   opts->key_file);
}

static int make_ctx(struct tls_server *tls, const struct tls_server_opts *opts, struct cm_err *err)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    char groups[] = TLS_GROUPS; /* the macro casts const away */

    if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_cipher_list(ctx, TLS12_CIPHERS) != 1 ||
        SSL_CTX_set1_groups_list(ctx, groups) != 1) {
        SSL_CTX_free(ctx);
        return tls_fail(err, CM_ECRYPTO, "OpenSSL refuses the TLS policy");
    }
    /* No resumption of any kind: a removed peer or a new certificate counts at the next
     * connection, and there are no ticket keys to keep. */
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ctx, 0);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_max_cert_list(ctx, TLS_PEER_CERT_MAX);
    SSL_CTX_set_alpn_select_cb(ctx, select_alpn, NULL);
    if (tls->ask_client_cert) {
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
        SSL_CTX_set_cert_verify_callback(ctx, verify_peer, tls);
    }
    int r = load_files(ctx, opts, err);
    if (r < 0) {
        SSL_CTX_free(ctx);
        return r;
    }
    tls->ctx = ctx;
    return 0;
}

int tls_server_new(const struct tls_server_opts *opts, struct tls_server **ret, struct cm_err *err)
{
    struct tls_server *tls = cm_calloc(1, sizeof(*tls));

    *tls = (struct tls_server){
        .ask_client_cert = opts->ask_client_cert,
        .peer_ok = opts->peer_ok,
        .arg = opts->arg,
    };
    int r = make_ctx(tls, opts, err);
    if (r < 0) {
        tls_server_free(tls);
        return r;
    }
    *ret = tls;
    return 0;
}

void tls_server_free(struct tls_server *tls)
{
    if (tls == NULL)
        return;
    SSL_CTX_free(tls->ctx);
    cm_free(tls);
}

SSL_CTX *tls_server_ctx(struct tls_server *tls)
{
    return tls->ctx;
}

int tls_spki_of_file(const char *cert_file, char out[65], struct cm_err *err)
{
    BIO *bio = BIO_new_file(cert_file, "r");
    X509 *cert = bio == NULL ? NULL : PEM_read_bio_X509(bio, NULL, NULL, NULL);
    int r = cert == NULL ? CM_ECRYPTO : tls_spki_of_cert(cert, out);

    BIO_free(bio);
    X509_free(cert);
    if (r < 0) {
        tls_fail(err, CM_ECRYPTO, "no PEM certificate can be read");
        return cm_wrap(err, CM_ECRYPTO, "cannot read the certificate %s", cert_file);
    }
    return 0;
}

static int add_extension(X509 *cert, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);

    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    int ok = ext != NULL && X509_add_ext(cert, ext, -1) == 1;
    X509_EXTENSION_free(ext);
    return ok;
}

/* subjectAltName is built as objects: in OpenSSL's text form a comma in the name would add entries
 * of its own. */
static int add_san(X509 *cert, const char *name)
{
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    GENERAL_NAME *entry = GENERAL_NAME_new();
    ASN1_IA5STRING *text = ASN1_IA5STRING_new();

    if (names == NULL || entry == NULL || text == NULL ||
        ASN1_STRING_set(text, name, (int)strlen(name)) != 1) {
        GENERAL_NAMES_free(names);
        GENERAL_NAME_free(entry);
        ASN1_IA5STRING_free(text);
        return 0;
    }
    GENERAL_NAME_set0_value(entry, GEN_DNS, text);
    int ok = sk_GENERAL_NAME_push(names, entry) > 0;
    if (!ok)
        GENERAL_NAME_free(entry);
    ok = ok && X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1;
    GENERAL_NAMES_free(names);
    return ok;
}

static int set_serial(X509 *cert)
{
    uint8_t random[16];
    cm_random(random, sizeof(random));
    random[0] = (uint8_t)((random[0] & 0x7f) | 0x40); /* positive and never zero */

    BIGNUM *number = BN_bin2bn(random, sizeof(random), NULL);
    int ok = number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL;
    BN_free(number);
    return ok;
}

/* A common name holds at most 64 characters (RFC 5280 appendix A.1); the SAN carries the rest. */
static int set_names(X509 *cert, const char *name)
{
    size_t len = strlen(name);
    X509_NAME *subject = X509_get_subject_name(cert);

    return X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_ASC,
                                      (const unsigned char *)name, len > 64 ? 64 : (int)len, -1,
                                      0) == 1 &&
           X509_set_issuer_name(cert, subject) == 1;
}

static X509 *make_cert(const char *name, EVP_PKEY *key)
{
    X509 *cert = X509_new();
    int ok = cert != NULL && X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
             X509_gmtime_adj(X509_getm_notBefore(cert), 0) != NULL &&
             X509_time_adj_ex(X509_getm_notAfter(cert), IDENTITY_DAYS, 0, NULL) != NULL &&
             set_names(cert, name) && X509_set_pubkey(cert, key) == 1 &&
             add_extension(cert, NID_basic_constraints, "critical,CA:FALSE") &&
             add_extension(cert, NID_key_usage, "critical,digitalSignature") &&
             add_extension(cert, NID_ext_key_usage, "serverAuth,clientAuth") &&
             add_san(cert, name) && X509_sign(cert, key, EVP_sha256()) > 0;

    if (ok)
        return cert;
    X509_free(cert);
    return NULL;
}

/* Writes what is in bio to path with the given mode. */
static int save_pem(BIO *bio, const char *path, unsigned mode, struct cm_err *err)
{
    char *data = NULL;
    long len = BIO_get_mem_data(bio, &data);

    return cm_file_write(path, data, (size_t)len, mode, err);
}

static int save_identity(X509 *cert, EVP_PKEY *key, const char *cert_file, const char *key_file,
                         struct cm_err *err)
{
    BIO *key_pem = BIO_new(BIO_s_secmem());
    BIO *cert_pem = BIO_new(BIO_s_mem());
    int r;

    if (key_pem == NULL || cert_pem == NULL ||
        PEM_write_bio_PKCS8PrivateKey(key_pem, key, NULL, NULL, 0, NULL, NULL) != 1 ||
        PEM_write_bio_X509(cert_pem, cert) != 1)
        r = tls_fail(err, CM_ECRYPTO, "cannot encode the TLS identity");
    else
        r = save_pem(key_pem, key_file, 0600, err);
    if (r == 0)
        r = save_pem(cert_pem, cert_file, 0644, err);
    BIO_free(key_pem);
    BIO_free(cert_pem);
    return r;
}

int tls_identity_make(const char *name, const char *cert_file, const char *key_file,
                      struct cm_err *err)
{
    size_t len = strlen(name);

    if (len == 0 || len > IDENTITY_NAME_MAX)
        return cm_fail(err, CM_EINVAL, "a server name has 1 to %d characters", IDENTITY_NAME_MAX);
    for (const char *c = name; *c != '\0'; c++) {
        if (*c <= 0x20 || *c >= 0x7f)
            return cm_fail(err, CM_EINVAL, "the server name is not printable ASCII");
    }
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = key == NULL ? NULL : make_cert(name, key);
    int r = cert == NULL ? tls_fail(err, CM_ECRYPTO, "OpenSSL cannot make the certificate")
                         : save_identity(cert, key, cert_file, key_file, err);
    EVP_PKEY_free(key);
    X509_free(cert);
    return r < 0 ? cm_wrap(err, r, "cannot make the TLS identity of %s", name) : 0;
}
