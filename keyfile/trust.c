/* The trust root: parsed once into sorted tables; keys become EVP_PKEYs at first use. */
#include "keyfile/trust.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/bytes.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "keyfile/docsig.h"
#include "keyfile/maker.h"
#include "keyfile/pkey.h"

#define SIGNERS_MAX 16
#define URL_MAX     512
#define ROLES_MAX   3

enum { KEY_NOW, KEY_OLD, KEYS }; /* which of a server's sign keys */

struct entry {
    struct kf_server pub; /* first: kf_trust_sign_key() goes back from it */
    uint8_t sign_spki[KEYS][KF_P256_SPKI_SIZE];
    /* At first use: parsing 3000 keys would cost 0.1 s per version. */
    _Atomic(EVP_PKEY *) key[KEYS];
};

/* A key of a living server and whose it is. */
struct owned {
    const char *key; /* key id or SPKI hash, of the entry */
    struct entry *entry;
};

struct kf_trust {
    unsigned refs;
    json_t *doc;
    int64_t version, expires_ms;
    size_t threshold, signer_count;
    const char *signer[SIGNERS_MAX]; /* key ids, borrowed from doc */
    const char *recovery;
    size_t count;
    struct entry *server;
    struct entry **by_name;         /* sorted */
    struct owned *by_tls, *by_sign; /* sorted; without removed servers, with former keys */
    size_t live;
};

bool kf_name_ok(const char *name)
{
    size_t len = strlen(name);
    return len >= 1 && len < KF_NAME_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") == len;
}

static int order_name(const void *a, const void *b)
{
    const struct entry *const *x = a, *const *y = b;
    return strcmp((*x)->pub.name, (*y)->pub.name);
}

static int order_key(const void *a, const void *b)
{
    const struct owned *x = a, *y = b;
    return strcmp(x->key, y->key);
}

static struct entry *owner_of(const struct owned *list, size_t count, const char *key)
{
    struct owned want = {.key = key};
    const struct owned *got = bsearch(&want, list, count, sizeof(*list), order_key);
    return got ? got->entry : NULL;
}

static int parse_roles(const json_t *roles, struct kf_server *ret, struct cm_err *err)
{
    if (!json_is_array(roles) || json_array_size(roles) > ROLES_MAX)
        return cm_fail(err, CM_EMALF, "server %s of the trust root has no list of roles",
                       ret->name);
    for (size_t i = 0; i < json_array_size(roles); i++) {
        const char *role = json_string_value(json_array_get(roles, i));
        if (role && strcmp(role, "manager") == 0)
            ret->manager = true;
        else if (role && strcmp(role, "standby") == 0)
            ret->standby = true;
        else if (!role || strcmp(role, "server") != 0)
            return cm_fail(err, CM_EMALF, "server %s of the trust root has an unknown role",
                           ret->name);
    }
    return 0;
}

static int parse_state(const char *text, struct kf_server *ret, struct cm_err *err)
{
    static const char *const names[] = {
        [KF_ACTIVE] = "active", [KF_RETIRING] = "retiring", [KF_REMOVED] = "removed"};
    for (size_t i = 0; text && i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(text, names[i]) == 0) {
            ret->state = (enum kf_server_state)i;
            return 0;
        }
    }
    return cm_fail(err, CM_EMALF, "server %s of the trust root has no known state", ret->name);
}

/* The TLS key is compared by its hash only; any key type may stand there. */
static int hash_tls(const char *name, const char *text, char out[KF_SPKI_HEX], struct cm_err *err)
{
    uint8_t *tls;
    size_t len;
    size_t text_len = strlen(text);
    if (text_len > KF_SPKI_MAX || cm_b64_decode(text, text_len, &tls, &len) < 0)
        return cm_fail(err, CM_EMALF, "TLS key of server %s is not base64", name);
    cm_sha256_hex(tls, len, out);
    cm_free(tls);
    return 0;
}

static int parse_keys(const json_t *obj, struct entry *ret, struct cm_err *err)
{
    struct kf_server *s = &ret->pub;
    uint8_t spki[KF_P256_SPKI_SIZE];
    s->seal_b64 = cm_json_str(obj, "seal");
    s->sign_b64 = cm_json_str(obj, "sign");
    s->tls_b64 = cm_json_str(obj, "tls");
    if (!s->seal_b64 || !s->sign_b64 || !s->tls_b64)
        return cm_fail(err, CM_EMALF, "server %s of the trust root lacks one of its three keys",
                       s->name);
    if (kf_p256_spki_b64(s->seal_b64, spki, err) < 0 ||
        kf_p256_spki_b64(s->sign_b64, ret->sign_spki[KEY_NOW], err) < 0)
        return cm_wrap(err, CM_EMALF, "server %s of the trust root has an unusable key", s->name);
    kf_key_id(ret->sign_spki[KEY_NOW], KF_P256_SPKI_SIZE, s->sign_id);
    return hash_tls(s->name, s->tls_b64, s->tls_spki, err);
}

/* Its former keys, while they are being replaced. */
static int parse_old(const json_t *obj, struct entry *ret, struct cm_err *err)
{
    struct kf_server *s = &ret->pub;
    uint8_t spki[KF_P256_SPKI_SIZE];
    const json_t *old = json_object_get(obj, "old");
    if (!old)
        return 0;
    s->old_seal_b64 = cm_json_str(old, "seal");
    s->old_sign_b64 = cm_json_str(old, "sign");
    s->old_tls_b64 = cm_json_str(old, "tls");
    if (!s->old_seal_b64 || !s->old_sign_b64 || !s->old_tls_b64 ||
        kf_p256_spki_b64(s->old_seal_b64, spki, err) < 0 ||
        kf_p256_spki_b64(s->old_sign_b64, ret->sign_spki[KEY_OLD], err) < 0)
        return cm_fail(err, CM_EMALF, "server %s of the trust root has unusable former keys",
                       s->name);
    kf_key_id(ret->sign_spki[KEY_OLD], KF_P256_SPKI_SIZE, s->old_sign_id);
    return hash_tls(s->name, s->old_tls_b64, s->old_tls_spki, err);
}

static int parse_url(const json_t *obj, const char *key, const char **ret, struct cm_err *err)
{
    const json_t *value = json_object_get(obj, key);
    *ret = json_string_value(value);
    if (value && !json_is_null(value) &&
        (!*ret || strncmp(*ret, "https://", 8) != 0 || strlen(*ret) > URL_MAX))
        return cm_fail(err, CM_EMALF, "%s of a server of the trust root is not an https URL", key);
    return 0;
}

static int parse_server(const json_t *obj, struct entry *ret, struct cm_err *err)
{
    struct kf_server *s = &ret->pub;
    s->name = cm_json_str(obj, "name");
    if (!s->name || !kf_name_ok(s->name))
        return cm_fail(err, CM_EMALF, "a server of the trust root has no valid name");
    kf_maker_mark(s->name, s->mark);
    int rc = parse_roles(json_object_get(obj, "roles"), s, err);
    if (rc == 0)
        rc = parse_state(cm_json_str(obj, "state"), s, err);
    if (rc == 0)
        rc = parse_keys(obj, ret, err);
    if (rc == 0)
        rc = parse_old(obj, ret, err);
    if (rc == 0)
        rc = parse_url(obj, "url", &s->url, err);
    if (rc == 0)
        rc = parse_url(obj, "ui_url", &s->ui_url, err);
    return rc;
}

static void own(struct kf_trust *t, struct entry *e)
{
    if (e->pub.state == KF_REMOVED)
        return;
    t->by_tls[t->live] = (struct owned){e->pub.tls_spki, e};
    t->by_sign[t->live++] = (struct owned){e->pub.sign_id, e};
    if (!e->pub.old_sign_b64)
        return;
    t->by_tls[t->live] = (struct owned){e->pub.old_tls_spki, e};
    t->by_sign[t->live++] = (struct owned){e->pub.old_sign_id, e};
}

static int check_unique(const struct kf_trust *t, struct cm_err *err)
{
    for (size_t i = 1; i < t->count; i++) {
        if (order_name(&t->by_name[i - 1], &t->by_name[i]) == 0)
            return cm_fail(err, CM_EMALF, "trust root lists server %s twice",
                           t->by_name[i]->pub.name);
    }
    for (size_t i = 1; i < t->live; i++) {
        if (order_key(&t->by_tls[i - 1], &t->by_tls[i]) == 0 ||
            order_key(&t->by_sign[i - 1], &t->by_sign[i]) == 0)
            return cm_fail(err, CM_EMALF, "trust root gives two servers the same key");
    }
    return 0;
}

static int parse_servers(struct kf_trust *t, struct cm_err *err)
{
    const json_t *list = cm_json_arr(t->doc, "servers");
    size_t count = json_array_size(list);
    if (count == 0 || count > KF_SERVERS_MAX)
        return cm_fail(err, CM_EMALF, "a trust root lists 1 to %d servers", KF_SERVERS_MAX);
    t->server = cm_calloc(count, sizeof(*t->server));
    t->by_name = cm_calloc(count, sizeof(struct entry *));
    t->by_tls = cm_calloc(count * KEYS, sizeof(*t->by_tls));
    t->by_sign = cm_calloc(count * KEYS, sizeof(*t->by_sign));
    t->count = count;
    for (size_t i = 0; i < count; i++) {
        struct entry *e = &t->server[i];
        int rc = parse_server(json_array_get(list, i), e, err);
        if (rc < 0)
            return rc;
        t->by_name[i] = e;
        own(t, e);
    }
    qsort(t->by_name, count, sizeof(struct entry *), order_name);
    qsort(t->by_tls, t->live, sizeof(*t->by_tls), order_key);
    qsort(t->by_sign, t->live, sizeof(*t->by_sign), order_key);
    return check_unique(t, err);
}

/* A living server's entry by key id, or NULL. */
static const struct entry *by_sign_id(const struct kf_trust *t, const char *id)
{
    return owner_of(t->by_sign, t->live, id);
}

static int parse_signers(struct kf_trust *t, struct cm_err *err)
{
    const json_t *list = cm_json_arr(t->doc, "root_signers");
    int64_t threshold = cm_json_int(t->doc, "threshold", 0);
    t->signer_count = json_array_size(list);
    if (t->signer_count == 0 || t->signer_count > SIGNERS_MAX)
        return cm_fail(err, CM_EMALF, "a trust root has 1 to %d root signers", SIGNERS_MAX);
    if (threshold < 1 || (size_t)threshold > t->signer_count)
        return cm_fail(err, CM_EMALF, "threshold of the trust root is not 1 to %zu",
                       t->signer_count);
    t->threshold = (size_t)threshold;
    for (size_t i = 0; i < t->signer_count; i++) {
        t->signer[i] = json_string_value(json_array_get(list, i));
        if (!t->signer[i] || !by_sign_id(t, t->signer[i]))
            return cm_fail(err, CM_EMALF, "a root signer is no server of the trust root");
        for (size_t k = 0; k < i; k++) {
            if (strcmp(t->signer[i], t->signer[k]) == 0)
                return cm_fail(err, CM_EMALF, "trust root names a root signer twice");
        }
    }
    return 0;
}

static int parse_head(struct kf_trust *t, struct cm_err *err)
{
    int rc = kf_doc_shape(t->doc, err);
    if (rc < 0)
        return rc;
    if (strcmp(cm_json_str(t->doc, "_id"), "trust:root") != 0)
        return cm_fail(err, CM_EMALF, "not a trust:root document");
    t->version = cm_json_int(t->doc, "version", 0);
    t->expires_ms = cm_json_time(t->doc, "expires_at", 0);
    if (t->version < 1 || t->expires_ms <= 0)
        return cm_fail(err, CM_EMALF, "trust root has no version or no expires_at");
    const json_t *recovery = json_object_get(t->doc, "recovery");
    if (recovery && !json_is_null(recovery)) {
        uint8_t spki[KF_P256_SPKI_SIZE];
        t->recovery = json_string_value(recovery);
        if (!t->recovery || kf_p256_spki_b64(t->recovery, spki, err) < 0)
            return cm_wrap(err, CM_EMALF, "trust root has an unusable recovery key");
    }
    return 0;
}

int kf_trust_parse(const json_t *document, struct kf_trust **ret, struct cm_err *err)
{
    *ret = NULL;
    if (!json_is_object(document))
        return cm_fail(err, CM_EMALF, "a trust root is a JSON object");
    struct kf_trust *t = cm_calloc(1, sizeof(*t));
    t->refs = 1;
    t->doc = json_deep_copy(document);
    int rc = parse_head(t, err);
    if (rc == 0)
        rc = parse_servers(t, err);
    if (rc == 0)
        rc = parse_signers(t, err);
    if (rc < 0) {
        kf_trust_free(t);
        return rc;
    }
    *ret = t;
    return 0;
}

struct kf_trust *kf_trust_ref(struct kf_trust *trust)
{
    trust->refs++;
    return trust;
}

void kf_trust_free(struct kf_trust *trust)
{
    if (!trust || --trust->refs > 0)
        return;
    for (size_t i = 0; i < trust->count; i++)
        for (size_t k = 0; k < KEYS; k++)
            EVP_PKEY_free(atomic_load(&trust->server[i].key[k]));
    cm_free(trust->server);
    cm_free(trust->by_name);
    cm_free(trust->by_tls);
    cm_free(trust->by_sign);
    json_decref(trust->doc);
    cm_free(trust);
}

const json_t *kf_trust_document(const struct kf_trust *trust)
{
    return trust->doc;
}

int64_t kf_trust_version(const struct kf_trust *trust)
{
    return trust->version;
}

int64_t kf_trust_expires_ms(const struct kf_trust *trust)
{
    return trust->expires_ms;
}

size_t kf_trust_count(const struct kf_trust *trust)
{
    return trust->count;
}

const struct kf_server *kf_trust_at(const struct kf_trust *trust, size_t i)
{
    return i < trust->count ? &trust->server[i].pub : NULL;
}

const struct kf_server *kf_trust_server(const struct kf_trust *trust, const char *name)
{
    struct entry want = {.pub.name = name};
    const struct entry *key = &want;
    struct entry **got =
        bsearch(&key, trust->by_name, trust->count, sizeof(struct entry *), order_name);
    return got ? &(*got)->pub : NULL;
}

const struct kf_server *kf_trust_by_tls(const struct kf_trust *trust, const char *spki_hex)
{
    const struct entry *e = owner_of(trust->by_tls, trust->live, spki_hex);
    return e ? &e->pub : NULL;
}

const struct kf_server *kf_trust_manager(const struct kf_trust *trust)
{
    for (size_t i = 0; i < trust->count; i++) {
        const struct kf_server *s = &trust->server[i].pub;
        if (s->manager && s->state == KF_ACTIVE)
            return s;
    }
    return NULL;
}

const char *kf_trust_recovery(const struct kf_trust *trust)
{
    return trust->recovery;
}

bool kf_server_signs_with(const struct kf_server *server, const char *key_id)
{
    return strcmp(key_id, server->sign_id) == 0 ||
           (server->old_sign_b64 && strcmp(key_id, server->old_sign_id) == 0);
}

void kf_server_pins(const struct kf_server *server, char out[KF_PINS_TEXT])
{
    snprintf(out, KF_PINS_TEXT, "%s%s%s", server->tls_spki, server->old_tls_b64 ? "," : "",
             server->old_tls_b64 ? server->old_tls_spki : "");
}

void kf_trust_replaced_pins(const struct kf_trust *trust, const struct kf_server *server,
                            char out[KF_PINS_TEXT])
{
    const struct entry *found = (const struct entry *)server;
    const json_t *entry =
        json_array_get(cm_json_arr(trust->doc, "servers"), (size_t)(found - trust->server));
    const json_t *gone = cm_json_arr(entry, "replaced");
    size_t count = json_array_size(gone);
    const char *last = count > 0 ? cm_json_str(json_array_get(gone, count - 1), "tls") : NULL;
    const char *before = count > 1 ? cm_json_str(json_array_get(gone, count - 2), "tls") : NULL;
    snprintf(out, KF_PINS_TEXT, "%s%s%s", last ? last : "", last && before ? "," : "",
             last && before ? before : "");
}

EVP_PKEY *kf_trust_sign_key(const struct kf_trust *trust, const struct kf_server *server,
                            const char *key_id)
{
    /* server points into the table of this root: its index leads to the writable entry. */
    const struct entry *found = (const struct entry *)server;
    struct entry *e = &trust->server[found - trust->server];
    int which = strcmp(key_id, server->sign_id) == 0 ? KEY_NOW : KEY_OLD;
    if (!kf_server_signs_with(server, key_id))
        return NULL;
    EVP_PKEY *key = atomic_load(&e->key[which]);
    if (key || kf_p256_from_spki(e->sign_spki[which], KF_P256_SPKI_SIZE, &key, NULL) < 0)
        return key;
    EVP_PKEY *none = NULL;
    if (!atomic_compare_exchange_strong(&e->key[which], &none, key)) {
        EVP_PKEY_free(key); /* another thread was faster */
        key = none;
    }
    return key;
}

/* Distinct root signers of `root` that validly signed the bytes. */
static size_t count_good(const struct kf_trust *root, const json_t *signatures, const char *bytes,
                         size_t len)
{
    size_t good = 0;
    for (size_t i = 0; i < root->signer_count; i++) {
        const struct entry *signer = by_sign_id(root, root->signer[i]);
        EVP_PKEY *key = signer ? kf_trust_sign_key(root, &signer->pub, root->signer[i]) : NULL;
        for (size_t k = 0; key && k < json_array_size(signatures); k++) {
            const json_t *sig = json_array_get(signatures, k);
            const char *id = cm_json_str(sig, "key");
            if (!id || strcmp(id, root->signer[i]) != 0)
                continue;
            if (kf_doc_check_value(key, sig, bytes, len, NULL) == 0) {
                good++;
                break;
            }
        }
    }
    return good;
}

static int check_threshold(const struct kf_trust *root, const json_t *signatures, const char *bytes,
                           size_t len, struct cm_err *err)
{
    size_t good = count_good(root, signatures, bytes, len);
    if (good >= root->threshold)
        return 0;
    return cm_fail(err, CM_EDENIED,
                   "%zu of %zu signatures that trust root version %lld demands are valid", good,
                   root->threshold, (long long)root->version);
}

size_t kf_trust_threshold(const struct kf_trust *trust)
{
    return trust->threshold;
}

size_t kf_trust_signed_by(const struct kf_trust *root, const struct kf_trust *next)
{
    char *bytes;
    size_t len;
    const json_t *signatures = cm_json_arr(next->doc, "signatures");
    if (json_array_size(signatures) > SIGNERS_MAX ||
        kf_doc_bytes(next->doc, false, &bytes, &len, NULL) < 0)
        return 0;
    size_t good = count_good(root, signatures, bytes, len);
    cm_free(bytes);
    return good;
}

const struct kf_server *kf_trust_any_tls(const struct kf_trust *trust, const char *spki_hex)
{
    for (size_t i = 0; i < trust->count; i++) {
        if (strcmp(trust->server[i].pub.tls_spki, spki_hex) == 0)
            return &trust->server[i].pub;
    }
    const struct kf_server *former = kf_trust_by_tls(trust, spki_hex);
    return former ? former : kf_trust_replaced_tls(trust, spki_hex);
}

const struct kf_server *kf_trust_replaced_tls(const struct kf_trust *trust, const char *spki_hex)
{
    const json_t *list = cm_json_arr(trust->doc, "servers");
    for (size_t i = 0; i < trust->count; i++) {
        const json_t *gone = cm_json_arr(json_array_get(list, i), "replaced");
        for (size_t k = 0; k < json_array_size(gone); k++) {
            const char *tls = cm_json_str(json_array_get(gone, k), "tls");
            if (tls && strcmp(tls, spki_hex) == 0)
                return &trust->server[i].pub;
        }
    }
    return NULL;
}

bool kf_trust_is_root_signer(const struct kf_trust *trust, const char *sign_id)
{
    for (size_t i = 0; i < trust->signer_count; i++) {
        if (strcmp(trust->signer[i], sign_id) == 0)
            return true;
    }
    return false;
}

int kf_trust_accept(const struct kf_trust *current, const struct kf_trust *next, struct cm_err *err)
{
    const json_t *signatures = cm_json_arr(next->doc, "signatures");
    if (json_array_size(signatures) == 0 || json_array_size(signatures) > SIGNERS_MAX)
        return cm_fail(err, CM_EDENIED, "trust root has no list of 1 to %d signatures",
                       SIGNERS_MAX);
    if (current && next->version <= current->version)
        return cm_fail(err, CM_EDENIED, "trust root version %lld is not above the pinned %lld",
                       (long long)next->version, (long long)current->version);
    char *bytes;
    size_t len;
    int rc = kf_doc_bytes(next->doc, false, &bytes, &len, err);
    if (rc < 0)
        return rc;
    /* As the old root demands, and as the new one says of itself (TUF's rule for its root). */
    rc = current ? check_threshold(current, signatures, bytes, len, err) : 0;
    if (rc == 0)
        rc = check_threshold(next, signatures, bytes, len, err);
    cm_free(bytes);
    return rc;
}
