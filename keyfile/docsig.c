/* Document signatures: ES256 over the canonical JSON of docs/documents.md. */
#include "keyfile/docsig.h"

#include <string.h>

#include "base/core/bytes.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "keyfile/sig.h"

#define DOC_BYTES_MAX   (4u << 20)
#define DOC_BYTES_USUAL 4096 /* room for most documents without growing */

/* What a type's documents may be written by. */
enum writer { BY_MANAGER, BY_ANY_SERVER, BY_NAMED_SERVER, BY_SERVER_ITSELF };

static const struct {
    const char *type;
    enum writer writer;
} types[] = {
    {"request", BY_ANY_SERVER},  {"receipt", BY_NAMED_SERVER},   {"credential", BY_MANAGER},
    {"keyfile", BY_MANAGER},     {"challenge", BY_MANAGER},      {"account", BY_MANAGER},
    {"settings", BY_MANAGER},    {"root", BY_MANAGER},           {"server", BY_MANAGER},
    {"dns-account", BY_MANAGER}, {"dns-provider", BY_MANAGER},   {"microca", BY_MANAGER},
    {"archive", BY_MANAGER},     {"rotation", BY_SERVER_ITSELF}, {"reseal", BY_NAMED_SERVER},
};

static bool is_signed_member(const char *key)
{
    if (key[0] == '_')
        return strcmp(key, "_id") == 0;
    return key[0] != 's' || (strcmp(key, "signature") != 0 && strcmp(key, "signatures") != 0);
}

/* ret_mark: where the one member begins that the document itself does not have. */
static int put_bytes(const json_t *body, bool deleted, struct cm_buf *out, size_t *ret_mark,
                     struct cm_err *err)
{
    struct cm_json_extra mark = {.key = "deleted", .value = json_boolean(deleted)};
    if (!json_is_object(body))
        return cm_fail(err, CM_EMALF, "a document is a JSON object");
    if (json_object_get(body, "deleted"))
        return cm_fail(err, CM_EMALF, "a document has no member named \"deleted\"");
    cm_buf_reserve(out, DOC_BYTES_USUAL);
    int rc = cm_json_canonical_view(body, is_signed_member, &mark, out, err);
    *ret_mark = mark.at;
    return rc;
}

int kf_doc_bytes(const json_t *body, bool deleted, char **ret, size_t *ret_len, struct cm_err *err)
{
    struct cm_buf buf;
    size_t mark;
    *ret = NULL;
    cm_buf_init(&buf, DOC_BYTES_MAX);
    int rc = put_bytes(body, deleted, &buf, &mark, err);
    if (rc == 0)
        *ret = cm_buf_take(&buf, ret_len);
    cm_buf_fini(&buf);
    return rc;
}

int kf_doc_shape(const json_t *body, struct cm_err *err)
{
    const char *id = cm_json_str(body, "_id");
    const char *type = cm_json_str(body, "type");
    if (!id || !type || strlen(id) > KF_DOC_ID_MAX)
        return cm_fail(err, CM_EMALF, "a document has the text members _id and type");
    size_t len = strlen(type);
    if (len == 0 || strncmp(id, type, len) != 0 || id[len] != ':' || id[len + 1] == '\0')
        return cm_fail(err, CM_EMALF, "document %.160s is not of its type \"%.40s\"", id, type);
    if (cm_json_int(body, "serial", 0) <= 0)
        return cm_fail(err, CM_EMALF, "document %.160s has no positive serial", id);
    return 0;
}

/* receipt:<server>:… and rotation:<server> are that server's; a request names the server where it
 * was made. */
static int check_own(const struct kf_server *server, const json_t *body, enum writer writer,
                     struct cm_err *err)
{
    const char *id = cm_json_str(body, "_id");
    if (writer == BY_NAMED_SERVER || writer == BY_SERVER_ITSELF) {
        const char *name = strchr(id, ':') + 1;
        size_t len = strlen(server->name);
        if (strncmp(name, server->name, len) != 0 ||
            name[len] != (writer == BY_NAMED_SERVER ? ':' : '\0'))
            return cm_fail(err, CM_EDENIED, "%.160s is not a document of server %s", id,
                           server->name);
        return 0;
    }
    const char *made = cm_json_str(cm_json_obj(body, "by"), "server");
    if (made && strcmp(made, server->name) != 0)
        return cm_fail(err, CM_EDENIED, "%.160s was made on server %.63s, not on %s", id, made,
                       server->name);
    return 0;
}

int kf_doc_may_write(const struct kf_server *server, const json_t *body, struct cm_err *err)
{
    int rc = kf_doc_shape(body, err);
    if (rc < 0)
        return rc;
    const char *type = cm_json_str(body, "type");
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (strcmp(type, types[i].type) != 0)
            continue;
        if (types[i].writer != BY_MANAGER)
            return check_own(server, body, types[i].writer, err);
        if (server->manager)
            return 0;
        return cm_fail(err, CM_EDENIED, "server %s is not a manager and may not write %.160s",
                       server->name, cm_json_str(body, "_id"));
    }
    return cm_fail(err, CM_EDENIED, "documents of type \"%.40s\" are not signed like this", type);
}

int kf_doc_signature(const struct kf_identity *identity, const json_t *body, bool deleted,
                     json_t **ret, struct cm_err *err)
{
    char *bytes = NULL;
    size_t len = 0, sig_len = 0;
    uint8_t sig[KF_SIG_MAX];
    *ret = NULL;
    int rc = kf_doc_bytes(body, deleted, &bytes, &len, err);
    if (rc < 0)
        return rc;
    rc = kf_sig_sign(identity->sign, bytes, len, sig, &sig_len, err);
    cm_free(bytes);
    if (rc < 0)
        return rc;
    CM_AUTO_STR value = cm_b64url(sig, sig_len);
    *ret = json_object();
    cm_json_set_str(*ret, "by", identity->name);
    cm_json_set_str(*ret, "key", identity->key_id);
    cm_json_set_str(*ret, "value", value);
    return 0;
}

int kf_doc_sign(const struct kf_identity *identity, json_t *body, bool deleted, struct cm_err *err)
{
    json_t *signature;
    int rc = kf_doc_signature(identity, body, deleted, &signature, err);
    if (rc == 0)
        cm_json_set(body, "signature", signature);
    return rc;
}

static int check_value(struct kf_verifier *v, EVP_PKEY *key, const json_t *entry, const char *bytes,
                       size_t len, struct cm_err *err)
{
    const char *value = cm_json_str(entry, "value");
    uint8_t *sig = NULL;
    size_t sig_len = 0;
    if (!value || strlen(value) > 2 * KF_SIG_ES256 ||
        cm_b64url_decode(value, strlen(value), &sig, &sig_len) < 0)
        return cm_fail(err, CM_EDENIED, "signature value is not base64url");
    int rc = kf_verifier_check(v, key, bytes, len, sig, sig_len, err);
    cm_free(sig);
    return rc;
}

int kf_doc_check_value(EVP_PKEY *key, const json_t *entry, const char *bytes, size_t len,
                       struct cm_err *err)
{
    struct kf_verifier once = {0};
    int rc = check_value(&once, key, entry, bytes, len, err);
    kf_verifier_fini(&once);
    return rc;
}

/* The signer as the trust root knows it, or NULL with the reason. */
static const struct kf_server *signer_of(const struct kf_trust *trust, const json_t *entry,
                                         struct cm_err *err)
{
    const char *by = cm_json_str(entry, "by");
    const char *key = cm_json_str(entry, "key");
    if (!by || !key || json_object_size(entry) != 3) {
        cm_fail(err, CM_EDENIED, "document has no signature");
        return NULL;
    }
    const struct kf_server *server = kf_trust_server(trust, by);
    if (!server)
        cm_fail(err, CM_EDENIED, "signer \"%.63s\" is not in the trust root", by);
    else if (server->state == KF_REMOVED)
        cm_fail(err, CM_EDENIED, "signer %s was removed from the trust root", by);
    else if (!kf_server_signs_with(server, key))
        cm_fail(err, CM_EDENIED, "signature of %s was made with key %.32s, not with its key %s", by,
                key, server->sign_id);
    else
        return server;
    return NULL;
}

static const struct kf_server *writer_of(const struct kf_trust *trust, const json_t *body,
                                         struct cm_err *err)
{
    const struct kf_server *server = signer_of(trust, cm_json_obj(body, "signature"), err);
    if (!server || kf_doc_may_write(server, body, err) == 0)
        return server;
    if (err)
        err->code = CM_EDENIED;
    return NULL;
}

int kf_doc_signer(const struct kf_trust *trust, const json_t *body, struct cm_err *err)
{
    return writer_of(trust, body, err) ? 0 : CM_EDENIED;
}

static int check_bytes(EVP_PKEY *key, const json_t *body, bool deleted, struct kf_verifier *v,
                       struct cm_err *err)
{
    struct cm_buf *bytes = &v->signed_bytes;
    bytes->max = DOC_BYTES_MAX;
    cm_buf_reset(bytes);
    int rc = put_bytes(body, deleted, bytes, &v->mark, err);
    if (rc < 0)
        return rc;
    const json_t *entry = cm_json_obj(body, "signature");
    rc = check_value(v, key, entry, bytes->data, bytes->len, err);
    return rc < 0 ? cm_wrap(err, rc, "document %.160s is not validly signed by %s",
                            cm_json_str(body, "_id"), cm_json_str_or(entry, "by", ""))
                  : 0;
}

int kf_doc_check(const struct kf_trust *trust, const json_t *body, bool deleted,
                 struct kf_verifier *v, struct cm_err *err)
{
    const struct kf_server *server = writer_of(trust, body, err);
    if (!server)
        return CM_EDENIED;
    EVP_PKEY *key =
        kf_trust_sign_key(trust, server, cm_json_str_or(cm_json_obj(body, "signature"), "key", ""));
    if (!key)
        return cm_fail(err, CM_EDENIED, "signature key of %s is not on the curve", server->name);
    int rc = check_bytes(key, body, deleted, v, err);
    if (rc < 0 && err)
        err->code = CM_EDENIED;
    return rc < 0 ? CM_EDENIED : 0;
}

bool kf_doc_checked_text(const struct kf_verifier *v, const json_t *body, struct cm_buf *out)
{
    const struct cm_buf *bytes = &v->signed_bytes;
    if (json_object_get(body, "signatures")) /* neither signed nor counted among what is not */
        return false;
    /* "_id" stands before it and "type" behind it. */
    const char *behind = memchr(bytes->data + v->mark, ',', bytes->len - v->mark);
    const char *end = bytes->data + bytes->len - 1;
    if (!behind)
        return false;
    cm_buf_add(out, bytes->data, v->mark);
    cm_buf_add(out, behind + 1, (size_t)(end - behind - 1));
    cm_buf_puts(out, ",\"signature\":");
    cm_json_put(json_object_get(body, "signature"), out);
    cm_buf_putc(out, '}');
    return !out->failed;
}

int kf_doc_verify(const struct kf_trust *trust, const json_t *body, bool deleted,
                  struct cm_err *err)
{
    struct kf_verifier once = {0};
    int rc = kf_doc_check(trust, body, deleted, &once, err);
    kf_verifier_fini(&once);
    return rc;
}
