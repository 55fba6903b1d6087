/* Verbs about the trust root: founding, pinning, following, admitting, removing, renewing. */
#include <string.h>

#include "keyfile/agent_impl.h"
#include "keyfile/invite.h"
#include "keyfile/pkey.h"
#include "keyfile/trust_build.h"

static void set_document(json_t *reply, const struct kf_trust *trust)
{
    cm_json_set(reply, "document", json_deep_copy(kf_trust_document(trust)));
}

/* How many of those who have to sign did: the new root is to satisfy the old rule and its own. */
static int propose(const struct kfa *a, const json_t *document, json_t *reply, struct cm_err *err)
{
    struct kf_trust *next = NULL;
    int rc = kf_trust_parse(document, &next, err);
    if (rc < 0)
        return rc;
    size_t have = kf_trust_signed_by(a->trust, next), need = kf_trust_threshold(a->trust);
    size_t own_have = kf_trust_signed_by(next, next), own_need = kf_trust_threshold(next);
    bool own = own_need > own_have && (need <= have || own_need - own_have > need - have);
    cm_json_set(reply, "proposal", json_deep_copy(document));
    cm_json_set_int(reply, "have", (int64_t)(own ? own_have : have));
    cm_json_set_int(reply, "need", (int64_t)(own ? own_need : need));
    kf_trust_free(next);
    return 0;
}

int kfa_publish(struct kfa *a, int made, json_t *take_document, json_t *reply, struct cm_err *err)
{
    CM_AUTO_JSON document = take_document;
    if (made < 0)
        return made;
    if (made == KF_TRUST_OPEN)
        return propose(a, document, reply, err);
    int rc = kfa_pin(a, document, err);
    if (rc == 0)
        set_document(reply, a->trust);
    return rc;
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* Asked again after the front was killed: the same root once more. */
static bool founded_so(const struct kfa *a, const json_t *request)
{
    const struct kf_server *self = kfa_self(a);
    return self && kf_trust_version(a->trust) == 1 && self->manager &&
           same_text(self->tls_b64, cm_json_str(request, "tls")) &&
           same_text(self->url, cm_json_str(request, "url")) &&
           same_text(self->ui_url, cm_json_str(request, "ui_url")) &&
           same_text(kf_trust_recovery(a->trust), cm_json_str(request, "recovery"));
}

static int trust_found(struct kfa *a, int64_t id, const json_t *request, json_t *reply,
                       struct cm_err *err)
{
    json_t *document = NULL;
    (void)id;
    if (a->trust && founded_so(a, request)) {
        set_document(reply, a->trust);
        return 0;
    }
    if (a->trust)
        return cm_fail(err, CM_ECONFLICT, "a trust root is pinned already (version %lld)",
                       (long long)kf_trust_version(a->trust));
    struct kf_new_server self = {.name = a->identity.name,
                                 .seal = a->identity.seal_b64,
                                 .sign = a->identity.sign_b64,
                                 .tls = cm_json_str(request, "tls"),
                                 .url = cm_json_str(request, "url"),
                                 .ui_url = cm_json_str(request, "ui_url"),
                                 .manager = true};
    int rc = kf_trust_found(&a->identity, &self, cm_json_str(request, "recovery"), cm_now_ms(),
                            &document, err);
    return kfa_publish(a, rc, document, reply, err);
}

static int trust_get(struct kfa *a, int64_t id, const json_t *request, json_t *reply,
                     struct cm_err *err)
{
    (void)id;
    (void)request;
    (void)err;
    set_document(reply, a->trust);
    if (kfa_keys_wait(a))
        cm_json_set_bool(reply, "keys_wait", true);
    return 0;
}

static int check_fresh(const struct kf_trust *next, struct cm_err *err)
{
    char when[CM_TIME_TEXT];
    if (kf_trust_expires_ms(next) > cm_now_ms())
        return 0;
    cm_time_format(kf_trust_expires_ms(next), when);
    return cm_fail(err, CM_EDENIED, "trust root version %lld expired at %s",
                   (long long)kf_trust_version(next), when);
}

static int check_lists_us(const struct kfa *a, const struct kf_trust *next, struct cm_err *err)
{
    const struct kf_server *self = kf_trust_server(next, a->identity.name);
    if (!self || self->state != KF_ACTIVE || strcmp(self->sign_b64, a->identity.sign_b64) != 0 ||
        strcmp(self->seal_b64, a->identity.seal_b64) != 0)
        return cm_fail(err, CM_EDENIED,
                       "the trust root does not list this server (%s) with its keys",
                       a->identity.name);
    return 0;
}

/* Parses, judges against `current`, pins. */
static int take(struct kfa *a, const json_t *document, bool first, json_t *reply,
                struct cm_err *err)
{
    struct kf_trust *next = NULL;
    int rc = kf_trust_parse(document, &next, err);
    if (rc == 0)
        rc = kf_trust_accept(first ? NULL : a->trust, next, err);
    /* An expired one that follows is pinned: it is a step to those after it, which others may have
     * signed, and as long as it is the newest it lets nothing new in. */
    if (rc == 0 && first)
        rc = check_fresh(next, err);
    if (rc == 0 && first)
        rc = check_lists_us(a, next, err);
    kf_trust_free(next);
    if (rc == 0)
        rc = kfa_pin(a, document, err);
    if (rc == 0)
        cm_json_set_int(reply, "version", kf_trust_version(a->trust));
    return rc;
}

/* The very document that is pinned (asked again). */
static bool is_pinned(const struct kfa *a, const json_t *document, json_t *reply)
{
    if (!a->trust || !json_equal(kf_trust_document(a->trust), document))
        return false;
    cm_json_set_int(reply, "version", kf_trust_version(a->trust));
    return true;
}

static int trust_pin(struct kfa *a, int64_t id, const json_t *request, json_t *reply,
                     struct cm_err *err)
{
    const json_t *document = cm_json_obj(request, "document");
    (void)id;
    if (is_pinned(a, document, reply))
        return 0;
    if (a->trust)
        return cm_fail(err, CM_ECONFLICT, "a trust root is pinned already (version %lld)",
                       (long long)kf_trust_version(a->trust));
    return take(a, document, true, reply, err);
}

static int trust_update(struct kfa *a, int64_t id, const json_t *request, json_t *reply,
                        struct cm_err *err)
{
    const json_t *document = cm_json_obj(request, "document");
    (void)id;
    int rc = is_pinned(a, document, reply) ? 0 : take(a, document, false, reply, err);
    /* The front follows this root already: it knows the keys that we sign with from now on. */
    return rc < 0 ? rc : kfa_follow_rotation(a, err);
}

int kfa_check_signer(const struct kfa *a, struct cm_err *err)
{
    return kf_trust_is_signer(&a->identity, a->trust)
               ? 0
               : cm_fail(err, CM_EDENIED, "server %s is not a root signer", a->identity.name);
}

static int trust_invite(struct kfa *a, int64_t id, const json_t *request, json_t *reply,
                        struct cm_err *err)
{
    const char *name = cm_json_str(request, "name");
    (void)id;
    if (!kf_name_ok(name))
        return cm_fail(err, CM_EINVAL, "server name is 1 to %d characters of a-z 0-9 . -",
                       KF_NAME_MAX - 1);
    const struct kf_server *server = kf_trust_server(a->trust, name);
    if (server && server->state != KF_REMOVED) {
        cm_fail(err, CM_ECONFLICT, "server %s is already in the trust root", name);
        cm_err_hint(err,
                    "Was its join interrupted? Give the same certmgr join there once more, with "
                    "the same token. Is it to come back with new keys? First: certmgr server "
                    "remove %s",
                    name);
        return CM_ECONFLICT;
    }
    char *secret = NULL;
    int64_t expires = 0;
    int rc = kfa_check_signer(a, err);
    struct kf_invite_role role = {.standby = cm_json_bool(request, "standby", false),
                                  .url = cm_json_str(request, "url"),
                                  .ui_url = cm_json_str(request, "ui_url")};
    if (rc == 0 && role.standby && !role.url)
        rc = cm_fail(err, CM_EINVAL, "a standby needs the URL at which servers will reach it");
    if (rc == 0)
        rc = kf_invite_make(a->config->dir, name, &role, cm_json_int(request, "ttl_s", 0),
                            cm_now_ms(), &secret, &expires, err);
    if (rc < 0)
        return rc;
    CM_BUG_ON(!secret);
    cm_json_set_str(reply, "secret", secret);
    cm_json_set_time(reply, "expires_at", expires);
    cm_free_secret(secret, strlen(secret));
    return 0;
}

static bool admitted_so(const struct kfa *a, const struct kf_join *join)
{
    const struct kf_server *server = kf_trust_server(a->trust, join->name);
    return server && server->state == KF_ACTIVE && strcmp(server->seal_b64, join->seal) == 0 &&
           strcmp(server->sign_b64, join->sign) == 0 && strcmp(server->tls_b64, join->tls) == 0;
}

static int admit(struct kfa *a, const struct kf_join *join, json_t *reply, struct cm_err *err)
{
    struct kf_new_server server = {
        .name = join->name, .seal = join->seal, .sign = join->sign, .tls = join->tls};
    json_t *document = NULL;
    CM_AUTO_JSON invite = NULL;
    int rc = kf_invite_check(a->config->dir, join, cm_now_ms(), &invite, err);
    if (rc < 0)
        return rc;
    server.standby = cm_json_bool(invite, "standby", false);
    server.url = cm_json_str(invite, "url");
    server.ui_url = cm_json_str(invite, "ui_url");
    rc = kf_trust_add(&a->identity, a->trust, &server, cm_now_ms(), &document, err);
    bool open = rc == KF_TRUST_OPEN;
    rc = kfa_publish(a, rc, document, reply, err);
    /* Used up only when the new root is durable; killed in between, the same keys are answered. */
    return rc < 0 || open ? rc : kf_invite_drop(a->config->dir, join->name, cm_now_ms(), err);
}

static int trust_admit(struct kfa *a, int64_t id, const json_t *request, json_t *reply,
                       struct cm_err *err)
{
    struct kf_join join = {.name = cm_json_str(request, "name"),
                           .seal = cm_json_str(request, "seal"),
                           .sign = cm_json_str(request, "sign"),
                           .tls = cm_json_str(request, "tls"),
                           .proof = cm_json_str(request, "proof")};
    (void)id;
    if (!kf_name_ok(join.name) || strlen(join.seal) > KF_SPKI_MAX ||
        strlen(join.sign) > KF_SPKI_MAX || strlen(join.tls) > KF_SPKI_MAX)
        return cm_fail(err, CM_EMALF, "trust.admit: name or keys are malformed");
    if (admitted_so(a, &join)) {
        set_document(reply, a->trust); /* killed before it was used up, or signed by others since */
        return kf_invite_drop(a->config->dir, join.name, cm_now_ms(), err);
    }
    int rc = kfa_check_signer(a, err);
    return rc < 0 ? rc : admit(a, &join, reply, err);
}

static int trust_remove(struct kfa *a, int64_t id, const json_t *request, json_t *reply,
                        struct cm_err *err)
{
    const char *name = cm_json_str(request, "name");
    const struct kf_server *server = kf_trust_server(a->trust, name);
    json_t *document = NULL;
    (void)id;
    if (strcmp(name, a->identity.name) == 0)
        return cm_fail(err, CM_EDENIED, "a manager does not remove itself (%s)", name);
    if (server && server->state == KF_REMOVED) {
        set_document(reply, a->trust);
        return 0;
    }
    int rc = kfa_check_signer(a, err);
    /* Whoever has an old token must not come back with it. */
    if (rc == 0)
        rc = kf_invite_drop(a->config->dir, name, cm_now_ms(), err);
    if (rc == 0)
        rc = kf_trust_mark_removed(&a->identity, a->trust, name, cm_now_ms(), &document, err);
    return kfa_publish(a, rc, document, reply, err);
}

static int trust_renew(struct kfa *a, int64_t id, const json_t *request, json_t *reply,
                       struct cm_err *err)
{
    json_t *document = NULL;
    (void)id;
    (void)request;
    int rc = kfa_check_signer(a, err);
    if (rc == 0)
        rc = kf_trust_renew(&a->identity, a->trust, cm_now_ms(), &document, err);
    return kfa_publish(a, rc, document, reply, err);
}

const struct kfa_verb kfa_verbs_trust[] = {
    {"trust.found", KFA_IDENTITY, {"s:tls", "S:url", "S:ui_url", "S:recovery"}, trust_found},
    {"trust.get", KFA_TRUST, {NULL}, trust_get},
    {"trust.pin", KFA_IDENTITY, {"o:document"}, trust_pin},
    {"trust.update", KFA_TRUST, {"o:document"}, trust_update},
    {"trust.invite",
     KFA_MANAGER,
     {"s:name", "i:ttl_s", "B:standby", "S:url", "S:ui_url"},
     trust_invite},
    {"trust.admit", KFA_MANAGER, {"s:name", "s:seal", "s:sign", "s:tls", "s:proof"}, trust_admit},
    {"trust.remove", KFA_MANAGER, {"s:name"}, trust_remove},
    {"trust.renew", KFA_MEMBER, {NULL}, trust_renew},
    {0},
};
