/* Certificates as people hand them in.  See handed.h. */
#include "keyfile/handed.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs7.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "keyfile/certinfo.h"
#include "keyfile/pem.h"
#include "keyfile/roots_impl.h"

#define SHOWN_MAX 5 /* names listed in a message */

KF_CLEANUP(PKCS7, pkcs7, PKCS7_free)

struct work {
    const struct kf_handed *in;
    STACK_OF(X509) * pile; /* as handed in */
    STACK_OF(X509) * more; /* `known` */
    STACK_OF(X509) * line; /* sorted: leaf first; all references */
    bool request;          /* it was in the text, too */
    json_t *notes;
};

static void note(const struct work *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void note(const struct work *w, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    json_array_append_new(w->notes, json_string(text));
}

/* ---- reading ----------------------------------------------------------------------------------
 */

static int push(STACK_OF(X509) * stack, X509 *cert, struct cm_err *err)
{
    if (sk_X509_num(stack) >= KF_CHAIN_MAX)
        return cm_fail(err, CM_EINVAL, "There are more than %d certificates in the text",
                       KF_CHAIN_MAX);
    for (int i = 0; i < sk_X509_num(stack); i++)
        if (X509_cmp(sk_X509_value(stack, i), cert) == 0)
            return 0; /* twice the same */
    if (!X509_up_ref(cert))
        return kf_ossl_fail(err, CM_ECRYPTO, "a certificate cannot be kept");
    if (sk_X509_push(stack, cert))
        return 0;
    X509_free(cert);
    return kf_ossl_fail(err, CM_ECRYPTO, "a certificate cannot be kept");
}

static int take_cert(struct work *w, const unsigned char *der, long len, struct cm_err *err)
{
    const unsigned char *at = der;
    KF_AUTO(x509) X509 *cert = d2i_X509(NULL, &at, len);
    if (!cert || at != der + len)
        return kf_ossl_fail(err, CM_EINVAL,
                            "Certificate %d in the text is damaged: copy it again, whole",
                            sk_X509_num(w->pile) + 1);
    return push(w->pile, cert, err);
}

/* What Windows and some CAs call a certificate bundle (.p7b). */
static int take_bundle(struct work *w, const unsigned char *der, long len, struct cm_err *err)
{
    const unsigned char *at = der;
    KF_AUTO(pkcs7) PKCS7 *bundle = d2i_PKCS7(NULL, &at, len);
    const STACK_OF(X509) *certs =
        bundle && PKCS7_type_is_signed(bundle) && bundle->d.sign ? bundle->d.sign->cert : NULL;
    int rc = certs ? 0
                   : kf_ossl_fail(err, CM_EINVAL,
                                  "The PKCS #7 bundle in the text is damaged or "
                                  "holds no certificates");
    for (int i = 0; rc == 0 && i < sk_X509_num(certs); i++)
        rc = push(w->pile, sk_X509_value(certs, i), err);
    return rc;
}

static int take_block(struct work *w, const char *label, const unsigned char *der, long len,
                      struct cm_err *err)
{
    if (strcmp(label, "CERTIFICATE") == 0 || strcmp(label, "X509 CERTIFICATE") == 0)
        return take_cert(w, der, len, err);
    if (strcmp(label, "PKCS7") == 0 || strcmp(label, "CMS") == 0)
        return take_bundle(w, der, len, err);
    w->request = w->request || strstr(label, "CERTIFICATE REQUEST");
    return 0;
}

static int read_blocks(struct work *w, struct cm_err *err)
{
    KF_AUTO(bio) BIO *bio = BIO_new_mem_buf(w->in->text, (int)w->in->len);
    int rc = bio ? 0 : kf_ossl_fail(err, CM_ECRYPTO, "the text cannot be read");
    for (int blocks = 0; rc == 0; blocks++) {
        char *label = NULL, *header = NULL;
        unsigned char *der = NULL;
        long len = 0;
        if (blocks > KF_HANDED_MAX)
            return cm_fail(err, CM_EINVAL, "There are more than %d blocks in the text",
                           KF_HANDED_MAX);
        if (PEM_read_bio(bio, &label, &header, &der, &len) != 1) {
            bool end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
            if (end)
                ERR_clear_error();
            return end ? 0
                       : kf_ossl_fail(err, CM_EINVAL,
                                      "Block %d in the text is damaged or cut off: copy it again, "
                                      "from its BEGIN line to its END line",
                                      blocks + 1);
        }
        rc = take_block(w, label, der, len, err);
        OPENSSL_free(label);
        OPENSSL_free(header);
        OPENSSL_clear_free(der, (size_t)len);
    }
    return rc;
}

static int read_text(struct work *w, struct cm_err *err)
{
    if (w->in->len > KF_PEM_MAX)
        return cm_fail(err, CM_EINVAL, "The text is longer than %u bytes", KF_PEM_MAX);
    if (memmem(w->in->text, w->in->len, "PRIVATE KEY-----", 16))
        return cm_fail(err, CM_EINVAL,
                       "There is a private key in the text: it was not kept. The key of this "
                       "credential was made here and never leaves; hand in certificates alone, and "
                       "think of that key as known to others");
    int rc = read_blocks(w, err);
    if (rc == 0 && sk_X509_num(w->pile) == 0)
        rc = cm_fail(err, CM_EINVAL,
                     w->request ? "This is the request (CSR), not the certificate: send it to the "
                                  "CA, and hand in what the CA makes of it"
                                : "There is no certificate in the text: each begins with a line "
                                  "-----BEGIN CERTIFICATE-----");
    if (rc != 0)
        return rc;
    KF_AUTO(x509_stack) STACK_OF(X509) *strict = NULL;
    if (kf_pem_certs(w->in->text, w->in->len, KF_HANDED_MAX, &strict, NULL) != 0)
        note(w, "What stood around the certificates was left out");
    for (size_t i = 0; rc == 0 && i < 2; i++) {
        KF_AUTO(x509_stack) STACK_OF(X509) *known = NULL;
        const char *pem = w->in->known[i];
        if (pem && kf_pem_certs(pem, strlen(pem), KF_CHAIN_MAX, &known, NULL) == 0)
            for (int k = 0; rc == 0 && k < sk_X509_num(known); k++)
                rc = push(w->more, sk_X509_value(known, k), err);
    }
    return rc;
}

/* ---- the leaf ---------------------------------------------------------------------------------
 */

static void list_names(const json_t *names, char *out, size_t size)
{
    size_t i, len = 0;
    json_t *name;
    *out = '\0';
    json_array_foreach(names, i, name)
    {
        if (i == SHOWN_MAX || len >= size)
            break;
        len += (size_t)snprintf(out + len, size - len, "%s%.80s", i ? ", " : "",
                                json_string_value(name));
    }
    if (json_array_size(names) > SHOWN_MAX && len < size)
        snprintf(out + len, size - len, ", …");
}

static bool is_ours(const struct work *w, const struct kf_cert_info *info)
{
    for (size_t i = 0; i < 2; i++)
        if (w->in->spki[i] && strcmp(w->in->spki[i], info->public_key_sha256) == 0)
            return true;
    return false;
}

/* The one for our key; of several the one that begins last. */
static int find_leaf(struct work *w, X509 **ret, struct cm_err *err)
{
    int64_t begins = INT64_MIN;
    char names[512] = "";
    int found = 0;
    *ret = NULL;
    for (int i = 0; i < sk_X509_num(w->pile); i++) {
        struct kf_cert_info info = {0};
        int rc = kf_x509_info(sk_X509_value(w->pile, i), &info, err);
        if (rc == 0 && is_ours(w, &info)) {
            found++;
            if (info.not_before_ms > begins)
                *ret = sk_X509_value(w->pile, i);
            begins = info.not_before_ms > begins ? info.not_before_ms : begins;
        } else if (rc == 0 && !*names && json_array_size(info.san) > 0) {
            list_names(info.san, names, sizeof(names));
        }
        kf_cert_info_fini(&info);
        if (rc != 0)
            return rc;
    }
    if (found > 1)
        note(w, "Of %d certificates for this key the newest was taken", found);
    if (*ret)
        return 0;
    if (*names)
        return cm_fail(err, CM_EINVAL,
                       "The certificate (for %s) is not for this credential's key: it belongs to "
                       "another request. Send the CSR that is shown here to the CA",
                       names);
    return cm_fail(err, CM_EINVAL,
                   "There are only certificates of CAs in the text: the one for the host names is "
                   "missing");
}

/* "*.example.com" covers www.example.com, not a.b.example.com (RFC 6125 6.4.3). */
static bool covers(const json_t *san, const char *name)
{
    const char *dot = strchr(name, '.');
    CM_AUTO_STR wildcard = dot ? cm_asprintf("*%s", dot) : NULL;
    return cm_json_has_str(san, name) || (wildcard && cm_json_has_str(san, wildcard));
}

static int check_leaf(const struct work *w, const struct kf_cert_info *info, struct cm_err *err)
{
    char text[512], when[CM_TIME_TEXT];
    size_t i;
    json_t *name;
    CM_AUTO_JSON missing = json_array();
    CM_AUTO_JSON extra = json_array();
    if (info->not_after_ms <= w->in->now_ms) {
        cm_time_format(info->not_after_ms, when);
        return cm_fail(err, CM_EINVAL,
                       "The certificate has expired at %s: ask the CA for a new one", when);
    }
    json_array_foreach(w->in->names, i, name)
    {
        if (!covers(info->san, json_string_value(name)))
            json_array_append(missing, name);
    }
    for (i = 0; w->in->names && i < json_array_size(info->san); i++) {
        name = json_array_get(info->san, i);
        if (!cm_json_has_str(w->in->names, json_string_value(name)))
            json_array_append(extra, name);
    }
    if (json_array_size(missing) > 0) {
        list_names(missing, text, sizeof(text));
        return cm_fail(err, CM_EINVAL,
                       "The certificate does not name %s: ask the CA for one that names all of the "
                       "credential's hosts, or change the credential",
                       text);
    }
    if (json_array_size(extra) > 0) {
        list_names(extra, text, sizeof(text));
        note(w, "The certificate names more than was asked for: %s", text);
    }
    return 0;
}

/* ---- the chain --------------------------------------------------------------------------------
 */

static bool self_signed(X509 *cert)
{
    return X509_NAME_cmp(X509_get_subject_name(cert), X509_get_issuer_name(cert)) == 0 &&
           kf_x509_signed_by(cert, cert);
}

/* One whose time has passed counts only when there is no other. */
static X509 *issuer_in(const STACK_OF(X509) * certs, X509 *cert, int64_t now_ms)
{
    time_t now = (time_t)(now_ms / 1000);
    X509 *late = NULL;
    for (int i = 0; i < sk_X509_num(certs); i++) {
        X509 *one = sk_X509_value(certs, i);
        if (one == cert || !kf_x509_signed_by(cert, one))
            continue;
        if (X509_cmp_time(X509_get0_notAfter(one), &now) > 0)
            return one;
        late = one;
    }
    return late;
}

static int missing_issuer(X509 *top, struct cm_err *err)
{
    struct kf_cert_info info = {0};
    int rc = kf_x509_info(top, &info, err);
    if (rc == 0)
        rc = cm_fail(err, CM_EINVAL,
                     "The certificate of the issuer \"%.200s\" is missing: add it to the text (the "
                     "CA offers it as intermediate certificate or chain). Is it the CA's root? "
                     "Then add it to the trusted roots",
                     info.issuer);
    kf_cert_info_fini(&info);
    return rc;
}

static int sort_chain(struct work *w, X509 *leaf, struct cm_err *err)
{
    X509 *top = leaf;
    int filled = 0, rc = push(w->line, leaf, err);
    if (rc == 0 && self_signed(leaf))
        return cm_fail(err, CM_EINVAL, "The certificate is self-signed: no CA has issued it");
    while (rc == 0 && !self_signed(top)) {
        X509 *next = issuer_in(w->pile, top, w->in->now_ms);
        if (!next) {
            KF_AUTO(x509) X509 *root = kf_roots_search(w->in->roots, top);
            if (root)
                break;
            next = issuer_in(w->more, top, w->in->now_ms);
            filled += next != NULL;
        }
        if (!next)
            return missing_issuer(top, err);
        int before = sk_X509_num(w->line);
        rc = push(w->line, next, err);
        if (rc == 0 && sk_X509_num(w->line) == before)
            return cm_fail(err, CM_EINVAL,
                           "The certificates in the text sign each other in a "
                           "circle");
        top = next;
    }
    if (rc == 0 && filled > 0)
        note(w, "%d certificate%s of the CA %s added from what was known", filled,
             filled == 1 ? "" : "s", filled == 1 ? "was" : "were");
    return rc;
}

/* Was the text what servers send, without reading twice? */
static void note_order(const struct work *w)
{
    int used = 0, last = -1;
    bool sorted = true;
    for (int i = 0; i < sk_X509_num(w->line); i++) {
        for (int k = 0; k < sk_X509_num(w->pile); k++) {
            if (X509_cmp(sk_X509_value(w->line, i), sk_X509_value(w->pile, k)) != 0)
                continue;
            used++;
            sorted = sorted && k > last;
            last = k;
        }
    }
    if (!sorted)
        note(w, "The certificates were put into order");
    if (used < sk_X509_num(w->pile))
        note(w, "Certificates that do not belong to the chain were left out: %d",
             sk_X509_num(w->pile) - used);
}

/* The self-signed end that was handed in, where no trusted root is known. */
static int take_root(const struct work *w, struct kf_chain *ret, struct cm_err *err)
{
    int count = sk_X509_num(w->line);
    if (ret->root || count < 2 || !self_signed(sk_X509_value(w->line, count - 1)))
        return 0;
    note(w, "The root certificate that was handed in is used; it is none of the trusted roots");
    return kf_pem_write(w->line, count - 1, count, &ret->root, err);
}

static int check(struct work *w, struct kf_chain *ret, struct cm_err *err)
{
    struct kf_cert_info info = {0};
    X509 *leaf;
    char *pem = NULL;
    int rc = read_text(w, err);
    if (rc == 0)
        rc = find_leaf(w, &leaf, err);
    if (rc == 0)
        rc = kf_x509_info(leaf, &info, err);
    if (rc == 0)
        rc = check_leaf(w, &info, err);
    if (rc == 0)
        rc = sort_chain(w, leaf, err);
    if (rc == 0)
        rc = kf_pem_write(w->line, 0, sk_X509_num(w->line), &pem, err);
    if (rc == 0)
        rc = kf_chain_check(pem, strlen(pem), info.san, info.public_key_sha256, w->in->roots,
                            w->in->now_ms, ret, err);
    if (rc == 0) {
        note_order(w);
        rc = take_root(w, ret, err);
    }
    cm_free(pem);
    kf_cert_info_fini(&info);
    return rc;
}

int kf_handed_check(const struct kf_handed *handed, struct kf_chain *ret, json_t **ret_notes,
                    struct cm_err *err)
{
    struct work w = {.in = handed,
                     .pile = sk_X509_new_null(),
                     .more = sk_X509_new_null(),
                     .line = sk_X509_new_null(),
                     .notes = json_array()};
    *ret = (struct kf_chain){0};
    *ret_notes = NULL;
    int rc = w.pile && w.more && w.line
                 ? check(&w, ret, err)
                 : kf_ossl_fail(err, CM_ECRYPTO, "the certificates cannot be kept");
    sk_X509_pop_free(w.pile, X509_free);
    sk_X509_pop_free(w.more, X509_free);
    sk_X509_pop_free(w.line, X509_free);
    if (rc == 0) {
        *ret_notes = w.notes;
        return 0;
    }
    kf_chain_fini(ret);
    json_decref(w.notes);
    return rc;
}
