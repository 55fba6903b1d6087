/* What requests about the end of a credential's life do to it.  See life.h. */
#include "certmgr/engine/life.h"

#include <string.h>

#include "certmgr/acme/presets.h"
#include "certmgr/acme/retry.h"
#include "keyfile/published.h"

/* ---- states ------------------------------------------------------------------------------------
 */

static bool status_is(const json_t *body, const char *status)
{
    return strcmp(cm_json_str_or(body, "status", ""), status) == 0;
}

static void set_health(json_t *body, const char *color, const char *cause)
{
    json_t *health = json_object(), *causes = json_array();
    cm_json_set_str(health, "color", color);
    json_array_append_new(causes, json_string(cause));
    cm_json_set(health, "causes", causes);
    cm_json_set(body, "health", health);
}

/* Nothing is planned for it any more, and it holds no key. */
static void put_away(json_t *body, bool leaving)
{
    static const char *const gone[] = {"sealed_key", "csr",       "csr_out", "next_action_at",
                                       "error",      "waits_for", "trial",   "rollover"};
    for (size_t i = 0; i < sizeof(gone) / sizeof(gone[0]); i++)
        json_object_del(body, gone[i]);
    cm_json_set_str(body, "status", "archived");
    if (leaving)
        cm_json_set_bool(body, "leaving", true);
}

void eng_tombstone(json_t *body)
{
    CM_AUTO_JSON id = json_incref(json_object_get(body, "_id"));
    CM_AUTO_JSON type = json_incref(json_object_get(body, "type"));
    json_object_clear(body);
    json_object_set(body, "_id", id);
    json_object_set(body, "type", type);
    cm_json_set_bool(body, "_deleted", true);
}

int eng_edit_gone(void *arg, json_t *body, struct cm_err *err)
{
    (void)arg;
    (void)err;
    if (!json_object_get(body, "serial"))
        return 1;
    eng_tombstone(body);
    return 0;
}

bool eng_is_gone(const struct engine *engine, const char *ulid)
{
    CM_AUTO_STR id = cm_asprintf("credential:%s", ulid);
    CM_AUTO_JSON leaves = NULL;
    bool gone = false;
    size_t i;
    json_t *leaf;
    if (cs_read_leaves(engine->env.store, id, false, &leaves, NULL) != 0)
        return false;
    json_array_foreach(leaves, i, leaf)
    {
        gone = gone || cm_json_bool(leaf, "_deleted", false);
    }
    return gone;
}

/* How clients learn of it: some CAs answer by OCSP, some keep nothing but a list. */
static json_t *published(const char *chain)
{
    unsigned told = kf_told(chain, strlen(chain));
    json_t *words = json_array();
    if (told & KF_TOLD_OCSP)
        json_array_append_new(words, json_string("ocsp"));
    if (told & KF_TOLD_CRL)
        json_array_append_new(words, json_string("crl"));
    return words;
}

int eng_revoked(json_t *body, int64_t now_ms)
{
    const json_t *present = cm_json_obj(body, "revocation");
    if (!present || !status_is(body, "revoke_pending"))
        return 1;
    json_t *revocation = json_copy((json_t *)(uintptr_t)present);
    cm_json_set_time(revocation, "revoked_at", now_ms);
    cm_json_set(revocation, "published", published(cm_json_str_or(body, "chain", "")));
    json_object_del(revocation, "asked");
    cm_json_set(body, "revocation", revocation);
    const char *after = cm_json_str_or(revocation, "after", "keep");
    cm_json_set_int(body, "attempts", 0);
    json_object_del(body, "error");
    json_object_del(body, "next_action_at");
    cm_json_set_str(body, "status", "revoked");
    set_health(body, "red", "the certificate was revoked");
    if (cm_json_int(revocation, "reason", 0) == 1)
        json_object_del(body, "csr"); /* whoever renews it gets another key (job_key.c) */
    if (strcmp(after, "keep") != 0)
        put_away(body, strcmp(after, "delete") == 0);
    return 0;
}

void eng_revoke_again(json_t *body, int64_t now_ms)
{
    const json_t *present = cm_json_obj(body, "error");
    json_t *error = present ? json_copy((json_t *)(uintptr_t)present) : NULL;
    if (error) {
        cm_json_set_time(error, "next_attempt_at", now_ms);
        cm_json_set(body, "error", error);
    }
    cm_json_set_time(body, "next_action_at", now_ms);
}

/* ---- answers ------------------------------------------------------------------------------------
 */

static void take_origin(const char *ulid, const json_t *request, json_t *body)
{
    cm_json_set_str(body, "request", ulid);
    cm_json_set_str(body, "requested_by",
                    cm_json_str_or(cm_json_obj(request, "by"), "who", "unknown"));
    json_object_set(body, "requested_at", json_object_get(request, "at"));
}

static const char *request_ulid(const json_t *request)
{
    const char *ulid = eng_id_name(cm_json_str_or(request, "_id", ""), "request:");
    return ulid ? ulid : "";
}

static const char *refusal_of(struct engine *engine, const json_t *body, const json_t *wish)
{
    CM_AUTO_STR id = cm_asprintf("account:%s", eng_issuer_account(body));
    CM_AUTO_JSON account = cs_peek_body(engine->env.store, id);
    int64_t reason = cm_json_int(wish, "reason", 0);
    if (!cm_json_str(body, "chain"))
        return "Nothing is revoked: there is no certificate";
    if (!*eng_issuer_account(body))
        return "Nothing is revoked: a person brought the certificate; its CA revokes it";
    if (status_is(body, "revoked") || status_is(body, "archived"))
        return "Nothing is revoked: the certificate is revoked or archived already";
    if (cm_json_str(wish, "fingerprint") &&
        strcmp(cm_json_str(wish, "fingerprint"), cm_json_str_or(body, "fingerprint", "")) != 0)
        return "Nothing is revoked: the certificate was replaced in the meantime";
    if (reason < 0 || reason > 10 ||
        !(acme_reasons(cm_json_str(account, "directory")) & 1u << reason))
        return "Nothing is revoked: the CA does not accept this reason";
    return NULL;
}

static int answer_revoke(struct engine *engine, const char *ulid, const json_t *request,
                         json_t *body, const char **ret_outcome)
{
    const json_t *wish = cm_json_obj(request, "revoke");
    *ret_outcome = refusal_of(engine, body, wish);
    if (*ret_outcome)
        return 1;
    sched_drop(engine, ulid); /* an order that would bring another certificate */
    take_origin(request_ulid(request), request, body);
    json_t *revocation = json_object();
    cm_json_set_int(revocation, "reason", cm_json_int(wish, "reason", 0));
    cm_json_set_str(revocation, "signer", cm_json_bool(wish, "key", false) ? "key" : "account");
    cm_json_set_str(revocation, "after", cm_json_str_or(wish, "after", "keep"));
    json_object_set(revocation, "fingerprint", json_object_get(body, "fingerprint"));
    json_object_set(revocation, "asked_by", json_object_get(body, "requested_by"));
    cm_json_set_time(revocation, "asked_at", cm_now_ms());
    cm_json_set(body, "revocation", revocation);
    cm_json_set_str(body, "status", "revoke_pending");
    json_object_del(body, "error");
    json_object_del(body, "waits_for");
    json_object_del(body, "rollover");
    cm_json_set_int(body, "attempts", 0);
    cm_json_set_time(body, "next_action_at", cm_now_ms());
    *ret_outcome = "A revocation was asked for";
    return 0;
}

/* A holder's report: the CA has revoked by the certificate's key, or why not. */
static int answer_revoked(struct engine *engine, const char *ulid, const json_t *request,
                          json_t *body, const char **ret_outcome)
{
    const json_t *said = cm_json_obj(request, "revoke");
    const json_t *revocation = cm_json_obj(body, "revocation");
    const char *by = cm_json_str_or(cm_json_obj(request, "signature"), "by", "");
    (void)engine;
    *ret_outcome = "A report about a revocation that nobody waits for";
    if (!status_is(body, "revoke_pending") ||
        strcmp(cm_json_str_or(revocation, "holder", "-"), by) != 0 ||
        strcmp(cm_json_str_or(said, "fingerprint", "-"),
               cm_json_str_or(revocation, "fingerprint", "")) != 0)
        return 1;
    const json_t *error = cm_json_obj(said, "error");
    if (!error) {
        *ret_outcome = "The certificate is revoked (by its own key)";
        return eng_revoked(body, cm_now_ms());
    }
    int64_t attempts = cm_json_int(body, "attempts", 0) + 1;
    cm_json_set(body, "error", json_deep_copy(error));
    cm_json_set_int(body, "attempts", attempts);
    cm_json_set_time(body, "next_action_at",
                     acme_next_attempt_ms(cm_now_ms(), (unsigned)attempts, CM_RETRY_TRANSIENT,
                                          eng_seed(ulid), 0));
    *ret_outcome = "The holder could not revoke the certificate";
    return 0;
}

static int answer_away(struct engine *engine, const char *ulid, const json_t *request, json_t *body,
                       const char **ret_outcome)
{
    bool leaving = strcmp(cm_json_str_or(request, "action", ""), "delete") == 0;
    *ret_outcome = "Nothing to do: it is archived already";
    if (status_is(body, "archived") && (!leaving || cm_json_bool(body, "leaving", false)))
        return 1;
    sched_drop(engine, ulid);
    eng_trial_forget(engine, ulid);
    take_origin(request_ulid(request), request, body);
    put_away(body, leaving);
    *ret_outcome = leaving ? "The credential is removed" : "The credential is archived";
    return 0;
}

static const struct {
    const char *action;
    int (*answer)(struct engine *engine, const char *ulid, const json_t *request, json_t *body,
                  const char **ret_outcome);
} answers[] = {{"revoke", answer_revoke},
               {"revoked", answer_revoked},
               {"archive", answer_away},
               {"delete", answer_away}};

static size_t find(const char *action)
{
    size_t i = 0;
    while (i < sizeof(answers) / sizeof(answers[0]) && strcmp(answers[i].action, action) != 0)
        i++;
    return i;
}

bool eng_life_is(const char *action)
{
    return find(action) < sizeof(answers) / sizeof(answers[0]);
}

int eng_life_answer(struct engine *engine, const char *ulid, const json_t *request, json_t *body,
                    const char **ret_outcome)
{
    size_t i = find(cm_json_str_or(request, "action", ""));
    if (i == sizeof(answers) / sizeof(answers[0]) || !cm_json_str(body, "status")) {
        *ret_outcome = "There is no such credential";
        return 1;
    }
    return answers[i].answer(engine, ulid, request, body, ret_outcome);
}
