/*
 * A server with access revokes by the certificate's key when the manager asks for it: the
 * credential document is the order, this server's agent signs it, the CA gets it from here, and a
 * request: document tells the manager how it ended.
 */
#include <stdio.h>
#include <string.h>

#include "certmgr/engine/ca_op.h"
#include "certmgr/engine/life.h"
#include "keyfile/maker.h"

#define HOLDERS_MAX 50 /* revocations under way on one server; the others are asked for again */

struct eng_holder {
    struct eng_holder *next;
    struct engine *engine;
    char ulid[CM_ULID_TEXT];
    char fingerprint[65];
    int64_t serial; /* of the order: each is answered once */
    struct eng_op *op;
};

static void holder_free(struct eng_holder *holder)
{
    eng_op_free(holder->op);
    cm_free(holder);
}

static void on_reported(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    (void)arg;
    (void)doc;
    if (err) /* the manager hears nothing and asks again: the CA answers alreadyRevoked then */
        cm_log_err(CM_LOG_WARN, "engine", err);
}

static void report(const struct eng_holder *holder, const struct cm_err *err)
{
    struct engine *engine = holder->engine;
    char ulid[CM_ULID_TEXT];
    kf_maker_ulid(engine->env.self, ulid);
    CM_AUTO_STR id = cm_asprintf("request:%s", ulid);
    json_t *request = json_object(), *by = json_object(), *said = json_object();
    cm_json_set_str(request, "_id", id);
    cm_json_set_str(request, "type", "request");
    cm_json_set_str(request, "action", "revoked");
    cm_json_set_str(request, "credential", holder->ulid);
    cm_json_set_int(request, "base_serial", holder->serial);
    cm_json_set_str(by, "who", "certmgr");
    cm_json_set_str(by, "server", engine->env.self);
    cm_json_set(request, "by", by);
    cm_json_set_time(request, "at", cm_now_ms());
    cm_json_set_str(said, "fingerprint", holder->fingerprint);
    cm_json_set(said, "error", err ? cm_err_to_json(err) : NULL);
    cm_json_set(request, "revoke", said);
    cs_publish(engine->env.store, request, 0, on_reported, NULL);
}

static void on_reply(void *arg, const struct acme_op_reply *reply, const struct cm_err *err)
{
    struct eng_holder *holder = arg;
    bool done = !err || acme_problem_is(reply->json, "alreadyRevoked");
    holder->op = NULL;
    cm_log(done ? CM_LOG_INFO : CM_LOG_ERROR, "engine", holder->ulid,
           done ? "revoked by the certificate's key" : "the revocation failed: %s",
           err ? err->what : "");
    report(holder, done ? NULL : err);
}

static struct eng_holder *find(struct engine *engine, const char *ulid)
{
    struct eng_holder *holder = engine->holders;
    while (holder && strcmp(holder->ulid, ulid) != 0)
        holder = holder->next;
    return holder;
}

/* One that is free: new, or of a revocation that has ended; NULL = all are at work. */
static struct eng_holder *place(struct engine *engine)
{
    size_t count = 0;
    struct eng_holder *idle = NULL;
    for (struct eng_holder *at = engine->holders; at; at = at->next, count++)
        idle = at->op ? idle : at;
    if (count >= HOLDERS_MAX)
        return idle;
    struct eng_holder *holder = cm_calloc(1, sizeof(*holder));
    holder->engine = engine;
    holder->next = engine->holders;
    engine->holders = holder;
    return holder;
}

static void begin(struct eng_holder *holder, const json_t *body)
{
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_STR payload = eng_revoke_payload(body);
    CM_AUTO_JSON verb = eng_revoke_signer(body);
    struct eng_op_spec spec = {.account = eng_issuer_account(body),
                               .request = {.kind = ACME_OP_JWK,
                                           .member = "revokeCert",
                                           .payload = payload,
                                           .what = "the revocation",
                                           .about = ACME_ABOUT_REVOCATION},
                               .sign_with = verb};
    if (payload)
        holder->op = eng_op_new(holder->engine, &spec, on_reply, holder, &err);
    else
        cm_fail(&err, CM_EMALF, "The credential holds no certificate that could be revoked");
    if (!holder->op)
        report(holder, &err);
    cm_err_fini(&err);
}

void eng_holder_look(struct engine *engine, const char *ulid)
{
    CM_AUTO_STR id = cm_asprintf("credential:%s", ulid);
    CM_AUTO_JSON body = cm_ulid_ok(ulid) ? cs_get_body(engine->env.store, id) : NULL;
    const json_t *order = cm_json_obj(body, "revocation");
    if (strcmp(cm_json_str_or(body, "status", ""), "revoke_pending") != 0 ||
        !eng_revoke_by_key(body) ||
        strcmp(cm_json_str_or(order, "holder", ""), engine->env.self) != 0)
        return;
    struct eng_holder *holder = find(engine, ulid);
    int64_t serial = cm_json_int(body, "serial", 0);
    if (holder && (holder->op || holder->serial == serial))
        return;
    if (!holder)
        holder = place(engine);
    if (!holder)
        return;
    (void)cm_strcpy(holder->ulid, sizeof(holder->ulid), ulid);
    holder->serial = serial;
    (void)cm_strcpy(holder->fingerprint, sizeof(holder->fingerprint),
                    cm_json_str_or(order, "fingerprint", ""));
    begin(holder, body);
}

static int on_pending(void *arg, const char *key, const char *id)
{
    (void)key;
    json_array_append_new(arg, json_string(id));
    return 0;
}

void eng_holder_start(struct engine *engine)
{
    CM_AUTO_JSON ids = json_array();
    size_t i;
    json_t *id;
    cs_each(engine->env.store, CS_BY_STATUS, "revoke_pending", NULL, NULL, on_pending, ids);
    json_array_foreach(ids, i, id)
    {
        const char *ulid = eng_id_name(json_string_value(id), "credential:");
        if (ulid)
            eng_holder_look(engine, ulid);
    }
}

void eng_holder_stop(struct engine *engine)
{
    while (engine->holders) {
        struct eng_holder *holder = engine->holders;
        engine->holders = holder->next;
        holder_free(holder);
    }
}
