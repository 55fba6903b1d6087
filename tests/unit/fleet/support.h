/*
 * A server in memory: the real key agent's verbs behind kf_agent (no process, no socket), a real
 * store, the fleet on top.  Replies of the agent wait until the loop turns, as in production.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/core/bytes.h"
#include "base/core/clock.h"
#include "base/core/file.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "certmgr/fleet/fleet_internal.h"
#include "keyfile/agent_impl.h"
#include "keyfile/identity.h"
#include "keyfile/pkey.h"
#include "tests/unit/scratch.h"

#define DAY_MS     (24LL * 3600 * 1000)
#define ULID       "01ARZ3NDEKTSV4RRFFQ69G5FAV"
#define WAITS_MAX  64
#define WAIT_TURNS 3000

struct waiting {
    json_t *reply;
    kf_reply_fn done;
    void *arg;
};

struct server {
    const char *name;
    char *dir;
    struct kf_agent_config config;
    struct kfa agent;
    struct cm_loop *loop;
    struct cs_store *store;
    struct fleet *fleet;
    struct waiting wait[WAITS_MAX];
    size_t waits;
    bool hold;        /* the agent does not answer for now */
    char last_op[32]; /* asked of the agent */
    int asked, changes;
    const char *fail_op; /* answered as if the agent were away */
};

#define OK(expr, err)                                                                              \
    do {                                                                                           \
        int ok_rc = (expr);                                                                        \
        if (ok_rc != 0) {                                                                          \
            char ok_line[2048];                                                                    \
            cm_err_line(&(err), ok_line, sizeof(ok_line));                                         \
            fail_msg("%s = %d: %s", #expr, ok_rc, ok_line);                                        \
        }                                                                                          \
    } while (0)

static inline int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

/* ---- the agent ---- */

/* One verb at once, as a tool would; owned reply with "ok". */
static inline json_t *agent_now(struct server *s, json_t *take_request)
{
    CM_AUTO_JSON request = take_request;
    struct cm_err err = CM_ERR_INIT;
    json_t *reply = NULL;
    assert_non_null(request);
    cm_json_set_int(request, "id", 1);
    assert_int_equal(kfa_dispatch(&s->agent, request, &reply, &err), 1);
    cm_err_fini(&err);
    return reply;
}

static inline void agent_call(void *arg, json_t *take_request, kf_reply_fn done, void *done_arg)
{
    struct server *s = arg;
    s->asked++;
    cm_strcpy(s->last_op, sizeof(s->last_op), cm_json_str_or(take_request, "op", "?"));
    assert_true(s->waits < WAITS_MAX);
    struct waiting *w = &s->wait[s->waits++];
    *w = (struct waiting){.done = done, .arg = done_arg};
    if (s->fail_op != NULL && strcmp(s->last_op, s->fail_op) == 0) {
        struct cm_err err = CM_ERR_INIT;
        cm_fail(&err, CM_ETIMEOUT, "the key agent in /var/lib/certmgr/agent does not answer");
        w->reply = json_object();
        cm_json_set(w->reply, "error", cm_err_to_json(&err));
        json_decref(take_request);
        cm_err_fini(&err);
    } else {
        w->reply = agent_now(s, take_request);
    }
}

static inline void deliver(struct server *s)
{
    while (s->waits > 0 && !s->hold) {
        struct waiting w = s->wait[0];
        struct cm_err err = CM_ERR_INIT;
        memmove(s->wait, s->wait + 1, --s->waits * sizeof(w));
        bool ok = cm_json_bool(w.reply, "ok", false);
        if (!ok)
            assert_int_equal(cm_err_from_json(&err, json_object_get(w.reply, "error")), 0);
        w.done(w.arg, ok ? w.reply : NULL, ok ? NULL : &err);
        json_decref(w.reply);
        cm_err_fini(&err);
    }
}

/* ---- time ---- */

/* Turns everything some times: replies, commits, timers of 0. */
static inline void settle(struct server *s)
{
    struct cm_err err = CM_ERR_INIT;
    for (int i = 0; i < 6; i++) {
        cm_loop_turn(s->loop, false);
        deliver(s);
        OK(cs_commit(s->store, &err), err);
    }
}

#define SETTLE_UNTIL(s, condition)                                                                 \
    do {                                                                                           \
        struct timespec settle_pause = {.tv_nsec = 2000000};                                       \
        for (int turn = 0; !(condition) && turn < WAIT_TURNS; turn++) {                            \
            settle(s);                                                                             \
            if (!(condition))                                                                      \
                nanosleep(&settle_pause, NULL);                                                    \
        }                                                                                          \
        if (!(condition))                                                                          \
            fail_msg("waited in vain for %s", #condition);                                         \
    } while (0)

/* ---- life of a server ---- */

static inline char *fresh_spki(void)
{
    EVP_PKEY *key;
    char *b64;
    assert_int_equal(kf_pkey_generate(KF_KEY_P256, &key, NULL), 0);
    assert_int_equal(kf_spki_b64(key, &b64, NULL), 0);
    EVP_PKEY_free(key);
    return b64;
}

static inline json_t *must(json_t *take_reply)
{
    if (!cm_json_bool(take_reply, "ok", false)) {
        char *text = cm_json_dump(take_reply, NULL);
        fail_msg("the agent refused: %s", text);
    }
    return take_reply;
}

static inline void server_init(struct server *s, const char *name)
{
    char dir[96];
    *s = (struct server){.name = name};
    assert_non_null(scratch_dir(dir, sizeof(dir), "fleet-test"));
    s->dir = cm_strdup(dir);
    snprintf(s->config.dir, sizeof(s->config.dir), "%s/agent", dir);
    s->loop = cm_loop_new();
    kfa_init(&s->agent, &s->config);
    json_decref(must(agent_now(s, json_pack("{s:s, s:s}", "op", "identity.create", "name", name))));
}

static inline void port_verify(void *arg, const json_t *body, bool deleted, struct cs_verdict *ret)
{
    fleet_verify(((struct server *)arg)->fleet, body, deleted, ret);
}

static inline void port_sign(void *arg, json_t *take_body, bool deleted, cs_signed_fn done,
                             void *done_arg)
{
    fleet_sign(((struct server *)arg)->fleet, take_body, deleted, done, done_arg);
}

static inline void count_change(void *arg)
{
    ((struct server *)arg)->changes++;
}

static inline struct kf_agent agent_of(struct server *s)
{
    return (struct kf_agent){.arg = s, .call = agent_call};
}

/* Store and fleet from this trust root, not attached yet. */
static inline void server_open(struct server *s, const json_t *trust)
{
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_STR dir = cm_asprintf("%s/store", s->dir);
    struct cs_opts opts = {.dir = dir,
                           .map_size = 16u << 20,
                           .create = true,
                           .policy = true,
                           .verify = port_verify,
                           .sign = port_sign,
                           .port_arg = s};
    OK(cs_open(&opts, &s->store, &err), err);
    CM_AUTO_JSON kept = cs_kv_get(s->store, "state", "trust");
    struct fleet_opts fo = {
        .loop = s->loop, .agent = agent_of(s), .self = s->name, .trust = trust ? trust : kept};
    OK(fleet_new(&fo, &s->fleet, &err), err);
    if (kept == NULL)
        OK(cs_kv_put(s->store, "state", "trust", trust, &err), err);
    OK(cs_commit(s->store, &err), err);
}

static inline void server_close(struct server *s)
{
    s->hold = false;
    deliver(s);
    cs_close(s->store);
    fleet_free(s->fleet);
    s->store = NULL;
    s->fleet = NULL;
}

static inline void server_fini(struct server *s)
{
    if (s->store != NULL)
        server_close(s);
    cm_loop_free(s->loop);
    kfa_fini(&s->agent);
    nftw(s->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    cm_free(s->dir);
    cm_clock_fake(-1, -1);
}

static inline void server_attach(struct server *s)
{
    fleet_attach(s->fleet, s->store, count_change, s);
    settle(s);
}

/* The first server, with its trust root in the store. */
static inline void manager_init(struct server *s, const char *name)
{
    struct cm_err err = CM_ERR_INIT;
    struct cs_result result;
    CM_AUTO_STR tls = fresh_spki();
    server_init(s, name);
    CM_AUTO_JSON reply = must(agent_now(
        s, json_pack("{s:s, s:s, s:s, s:s}", "op", "trust.found", "tls", tls, "url",
                     "https://alpha.example:8444", "ui_url", "https://alpha.example:8443")));
    json_t *document = cm_json_obj(reply, "document");
    server_open(s, document);
    OK(cs_put(s->store, document, &result, &err), err);
    OK(cs_commit(s->store, &err), err);
}

/* The keys a server brings to /join. */
struct keys {
    char *seal, *sign, *tls;
};

static inline struct keys keys_of(struct server *s)
{
    return (struct keys){.seal = s->agent.identity.seal_b64,
                         .sign = s->agent.identity.sign_b64,
                         .tls = fresh_spki()};
}

static inline char *proof_of(const char *secret_b64, const char *name, const struct keys *k)
{
    uint8_t *secret = NULL, mac[CM_SHA256_SIZE];
    size_t len = 0;
    assert_int_equal(cm_b64url_decode(secret_b64, strlen(secret_b64), &secret, &len), 0);
    CM_AUTO_STR text =
        cm_asprintf("certmgr-join-v1\n%s\n%s\n%s\n%s", name, k->seal, k->sign, k->tls);
    cm_hmac_sha256(secret, len, text, strlen(text), mac);
    cm_free(secret);
    return cm_b64url(mac, sizeof(mac));
}

/* Admits a server at the manager's agent alone; the new trust root (owned). */
static inline json_t *admit(struct server *manager, struct server *other)
{
    CM_AUTO_JSON invited =
        must(agent_now(manager, json_pack("{s:s, s:s, s:i}", "op", "trust.invite", "name",
                                          other->name, "ttl_s", 60)));
    struct keys k = keys_of(other);
    CM_AUTO_STR proof = proof_of(cm_json_str(invited, "secret"), other->name, &k);
    CM_AUTO_JSON reply =
        must(agent_now(manager, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "op", "trust.admit",
                                          "name", other->name, "seal", k.seal, "sign", k.sign,
                                          "tls", k.tls, "proof", proof)));
    cm_free(k.tls);
    return json_incref(cm_json_obj(reply, "document"));
}

/* The next trust root, made by the manager's agent behind the fleet's back. */
static inline json_t *renew(struct server *manager)
{
    CM_AUTO_JSON reply = must(agent_now(manager, json_pack("{s:s}", "op", "trust.renew")));
    return json_incref(cm_json_obj(reply, "document"));
}

static inline int64_t version_of(struct server *s)
{
    return kf_trust_version(fleet_trust(s->fleet));
}

static inline int64_t stored_version(struct server *s)
{
    CM_AUTO_JSON body = cs_get_body(s->store, "trust:root");
    return cm_json_int(body, "version", 0);
}

static inline int64_t kept_version(struct server *s)
{
    CM_AUTO_JSON body = cs_kv_get(s->store, "state", "trust");
    return cm_json_int(body, "version", 0);
}

static inline int64_t agent_version(struct server *s)
{
    return s->agent.trust ? kf_trust_version(s->agent.trust) : 0;
}

/* Makes `other` a server of the fleet, opened and attached; the manager's store knows it. */
static inline void member_init(struct server *other, const char *name, struct server *manager)
{
    server_init(other, name);
    CM_AUTO_JSON document = admit(manager, other);
    json_t *pin = json_pack("{s:s}", "op", "trust.pin");
    cm_json_set(pin, "document", json_deep_copy(document));
    json_decref(must(agent_now(other, pin)));
    server_open(other, document);
}

/* A document as the replicator brings it. */
static inline struct cs_result replicate(struct server *s, const json_t *body, const char *rev)
{
    struct cm_err err = CM_ERR_INIT;
    struct cs_result result = {0};
    CM_AUTO_JSON doc = json_deep_copy(body);
    cm_json_set_str(doc, "_rev", rev);
    OK(cs_put_replicated(s->store, doc, "peer", &result, &err), err);
    return result;
}

/* A small document signed by this server's agent. */
static inline json_t *signed_doc(struct server *s, json_t *take_body)
{
    json_t *request =
        json_pack("{s:s, s:O, s:b}", "op", "doc.sign", "body", take_body, "deleted", 0);
    CM_AUTO_JSON reply = must(agent_now(s, request));
    json_object_set(take_body, "signature", cm_json_obj(reply, "signature"));
    return take_body;
}

static inline json_t *receipt_of(struct server *s)
{
    CM_AUTO_STR id = cm_asprintf("receipt:%s:" ULID, s->name);
    return signed_doc(s, json_pack("{s:s, s:s, s:i, s:s, s:s, s:s, s:s}", "_id", id, "type",
                                   "receipt", "serial", 1, "server", s->name, "credential", ULID,
                                   "state", "served", "at", "2026-11-22T00:00:00.000Z"));
}
