/* Parsed roots and a small ring of known chain ends. */
#include "keyfile/roots.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "base/core/file.h"
#include "base/core/mem.h"
#include "keyfile/cert.h"
#include "keyfile/pem.h"
#include "keyfile/roots_impl.h"

#define SYSTEM_ROOTS      "/etc/ssl/certs" /* ca-certificates, files named by subject hash */
#define SYSTEM_HASH_MAX   8                /* certificates of one subject hash that are tried */
#define TRUSTED_ROOTS_MAX 512

struct kf_roots {
    STACK_OF(X509) * certs; /* NULL = none */
    struct kf_tail tail[KF_TAILS_MAX];
    size_t tail_count, tail_next;
};

struct kf_roots *kf_roots_new(const char *pem)
{
    struct kf_roots *roots = cm_calloc(1, sizeof(*roots));
    if (pem && kf_pem_certs(pem, strlen(pem), TRUSTED_ROOTS_MAX, &roots->certs, NULL) < 0)
        roots->certs = NULL;
    return roots;
}

static void tail_fini(struct kf_tail *tail)
{
    cm_free(tail->text);
    X509_free(tail->issuer);
    cm_free(tail->intermediates);
    cm_free(tail->root);
    *tail = (struct kf_tail){0};
}

void kf_roots_free(struct kf_roots *roots)
{
    if (!roots)
        return;
    for (size_t i = 0; i < roots->tail_count; i++)
        tail_fini(&roots->tail[i]);
    sk_X509_pop_free(roots->certs, X509_free);
    cm_free(roots);
}

bool kf_x509_signed_by(X509 *cert, X509 *issuer)
{
    EVP_PKEY *key = X509_get0_pubkey(issuer);
    bool ok = key && X509_check_issued(issuer, cert) == X509_V_OK && X509_verify(cert, key) == 1;
    ERR_clear_error();
    return ok;
}

/* Is `root` the trusted issuer of `top` (or top itself)? */
static bool is_root_of(X509 *root, X509 *top)
{
    if (X509_cmp(root, top) == 0)
        return true;
    return X509_check_ca(root) != 0 && kf_x509_signed_by(top, root);
}

static X509 *search(const STACK_OF(X509) * roots, X509 *top)
{
    for (int i = 0; i < sk_X509_num(roots); i++) {
        X509 *root = sk_X509_value(roots, i);
        if (is_root_of(root, top)) {
            X509_up_ref(root);
            return root;
        }
    }
    return NULL;
}

/* The system's store has one link per root, named by the hash of its subject: nothing to cache. */
static X509 *search_system(X509 *top)
{
    unsigned long hash = X509_NAME_hash_ex(X509_get_issuer_name(top), NULL, NULL, NULL);
    for (int n = 0; n < SYSTEM_HASH_MAX; n++) {
        char path[64];
        snprintf(path, sizeof(path), SYSTEM_ROOTS "/%08lx.%d", hash, n);
        char *pem;
        size_t len;
        if (cm_file_read(path, KF_PEM_MAX, &pem, &len, NULL) < 0)
            return NULL;
        KF_AUTO(x509_stack) STACK_OF(X509) *found = NULL;
        X509 *root = NULL;
        if (kf_pem_certs(pem, len, TRUSTED_ROOTS_MAX, &found, NULL) == 0)
            root = search(found, top);
        cm_free(pem);
        if (root)
            return root;
    }
    return NULL;
}

X509 *kf_roots_search(const struct kf_roots *roots, X509 *top)
{
    X509 *root = roots && roots->certs ? search(roots->certs, top) : NULL;
    return root ? root : search_system(top);
}

/* ---- chain ends -------------------------------------------------------------------------------
 */

const struct kf_tail *kf_roots_tail(const struct kf_roots *roots, const char *text, size_t len)
{
    for (size_t i = 0; roots && i < roots->tail_count; i++) {
        const struct kf_tail *tail = &roots->tail[i];
        if (strlen(tail->text) == len && memcmp(tail->text, text, len) == 0)
            return tail;
    }
    return NULL;
}

void kf_roots_keep(struct kf_roots *roots, const char *text, size_t len, X509 *issuer,
                   const char *intermediates, const char *root)
{
    if (!roots || !X509_up_ref(issuer))
        return;
    struct kf_tail *tail = &roots->tail[roots->tail_next];
    tail_fini(tail);
    *tail = (struct kf_tail){.text = cm_strndup(text, len),
                             .issuer = issuer,
                             .intermediates = cm_strdup(intermediates),
                             .root = cm_strdup(root)};
    roots->tail_next = (roots->tail_next + 1) % KF_TAILS_MAX;
    if (roots->tail_count < KF_TAILS_MAX)
        roots->tail_count++;
}
