/* `certmgr init` and `certmgr join`: each step looks whether it was done before. */
#include "certmgr/fleet/bootstrap.h"

#include "base/core/bytes.h"
#include "base/core/clock.h"
#include "base/core/file.h"
#include "base/core/json.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "base/core/step.h"
#include "base/net/http_client.h"
#include "base/net/tls.h"
#include "base/net/tls_key.h"
#include "certmgr/fleet/agent_sync.h"
#include "certstore/store.h"

#include <stdio.h>
#include <string.h>

#define TOKEN_MAX 4096

void bootstrap_full_hint(const char *place, struct cm_err *err)
{
    static const char store_says[] = "Free space ";
    /* A store that has reached its largest size needs another thing. */
    if (err && err->code == CM_EFULL &&
        (!err->hint[0] || strncmp(err->hint, store_says, sizeof(store_says) - 1) == 0))
        cm_err_hint(err, "Free space on the file system of %s, then give the same command again.",
                    place);
}

/* Before the store has a trust root of its own it takes the one that was just made or pinned. */
static void verify_first(void *arg, const json_t *body, bool deleted, struct cs_verdict *ret)
{
    const json_t *document = arg;
    *ret = (struct cs_verdict){.serial = cm_json_int(body, "serial", 0)};
    ret->valid = !deleted && json_equal(body, document);
    if (!ret->valid)
        snprintf(ret->reason, sizeof(ret->reason), "not the trust root of this fleet");
}

static int open_store(const struct config *config, json_t *document, bool create,
                      struct cs_store **ret, struct cm_err *err)
{
    char dir[CONFIG_PATH_MAX + 32];
    config_store_dir(config, dir, sizeof(dir));
    struct cs_opts opts = {
        .dir = dir, .create = create, .policy = true, .verify = verify_first, .port_arg = document};
    return cs_open(&opts, ret, err);
}

/* *ret: the state is complete.  CM_EBUSY: a server runs with it; what else cannot be opened was
 * left by a command that was killed, which goes on from there. */
static int look_for_member(const struct config *config, bool *ret, struct cm_err *err)
{
    char dir[CONFIG_PATH_MAX + 32];
    struct cs_store *store = NULL;
    config_store_dir(config, dir, sizeof(dir));
    *ret = false;
    if (!cm_path_exists(dir))
        return 0;
    int rc = open_store(config, NULL, false, &store, NULL);
    if (rc == CM_EBUSY) {
        cm_fail(err, rc, "%s belongs to a fleet already, and certmgr runs with it",
                config->state_dir);
        cm_err_hint(err, "Stop certmgr first; then the same command tells what can be done.");
        return rc;
    }
    if (rc != 0)
        return 0;
    CM_AUTO_JSON trust = cs_kv_get(store, "state", "trust");
    cs_close(store);
    *ret = trust != NULL;
    return 0;
}

/* mine: this server made it, so its revision begins here; a server that joins gets document and
 * revision by replication. */
static int keep_trust(const struct config *config, json_t *document, bool mine, struct cm_err *err)
{
    struct cs_store *store = NULL;
    struct cs_result result;
    if (document == NULL)
        return cm_fail(err, CM_EPEER, "the key agent returned no trust root");
    int rv = open_store(config, document, true, &store, err);
    if (rv != 0)
        return rv;
    CM_AUTO_JSON stored = cs_get_body(store, "trust:root");
    cm_step("bootstrap.store");
    if (mine && stored == NULL)
        rv = cs_put(store, document, &result, err);
    if (rv == 0)
        rv = cs_kv_put(store, "state", "trust", document, err);
    if (rv == 0)
        rv = cs_commit(store, err);
    cs_close(store);
    cm_step("bootstrap.kept");
    return rv;
}

/* Directories, and the TLS identity; *ret_tls (cm_free) is its public key. */
static int prepare(const struct config *config, char **ret_tls, struct cm_err *err)
{
    char dir[CONFIG_PATH_MAX + 32], cert[CONFIG_PATH_MAX + 32], key[CONFIG_PATH_MAX + 32];
    static const char *const parts[] = {"agent", "tls", "store"};
    int rv = cm_dir_make(config->state_dir, 0755, err);
    for (size_t i = 0; rv == 0 && i < sizeof(parts) / sizeof(parts[0]); i++) {
        snprintf(dir, sizeof(dir), "%s/%s", config->state_dir, parts[i]);
        rv = cm_dir_make(dir, 0700, err);
    }
    snprintf(dir, sizeof(dir), "%s/tls", config->state_dir);
    cm_dir_tidy(dir); /* of an earlier run that was killed */
    config_tls_files(config, cert, key, sizeof(cert));
    if (rv == 0 && (!cm_path_exists(cert) || !cm_path_exists(key)))
        rv = tls_identity_make(config->name, cert, key, err);
    return rv == 0 ? tls_public_key_of_file(cert, ret_tls, err) : rv;
}

static int make_identity(struct agent_sync *agent, const struct config *config, json_t **ret,
                         struct cm_err *err)
{
    return agent_sync_call(
        agent, json_pack("{s:s, s:s}", "op", "identity.create", "name", config->name), ret, err);
}

/* The trust root that is pinned already (an earlier run was killed), or NULL. */
static json_t *pinned(struct agent_sync *agent)
{
    CM_AUTO_JSON reply = NULL;
    struct cm_err err = CM_ERR_INIT;
    int rv = agent_sync_call(agent, json_pack("{s:s}", "op", "trust.get"), &reply, &err);
    cm_err_fini(&err);
    return rv == 0 ? json_incref(cm_json_obj(reply, "document")) : NULL;
}

/* ---- init ---- */

/* An earlier run that was killed has left a first trust root and no store.  A later one is that of
 * a fleet at work whose store is gone: an empty one in its place would forget every document. */
static int refuse_lost_store(const struct config *config, const json_t *document,
                             struct cm_err *err)
{
    if (cm_json_int(document, "version", 0) <= 1)
        return 0;
    cm_fail(err, CM_ECONFLICT,
            "the certificate store in %s is missing, but the keys of a fleet are there",
            config->state_dir);
    cm_err_hint(err,
                "Move %s away and restore the newest backup (certmgr restore), or promote a "
                "standby.",
                config->state_dir);
    return CM_ECONFLICT;
}

static int found(struct agent_sync *agent, const struct config *config, const char *tls,
                 const char *recovery, json_t **ret_document, struct cm_err *err)
{
    CM_AUTO_JSON identity = NULL;
    CM_AUTO_JSON reply = NULL;
    char url[400], ui_url[400];
    int rv = make_identity(agent, config, &identity, err);
    if (rv != 0)
        return rv;
    *ret_document = pinned(agent);
    if (*ret_document != NULL)
        return refuse_lost_store(config, *ret_document, err);
    snprintf(url, sizeof(url), "https://%s:%d", config->ui_host, config->replication_port);
    snprintf(ui_url, sizeof(ui_url), "https://%s:%d", config->ui_host, config->ui_port);
    rv = agent_sync_call(agent,
                         json_pack("{s:s, s:s, s:s, s:s, s:s}", "op", "trust.found", "tls", tls,
                                   "url", url, "ui_url", ui_url, "recovery", recovery),
                         &reply, err);
    if (rv == 0)
        *ret_document = json_incref(cm_json_obj(reply, "document"));
    return rv;
}

static int init(const struct config *config, const char *recovery_spki, struct cm_err *err)
{
    struct agent_sync agent;
    CM_AUTO_STR tls = NULL;
    CM_AUTO_JSON document = NULL;
    bool member;
    int rv = look_for_member(config, &member, err);
    if (rv == 0 && member)
        rv = cm_fail(err, CM_ECONFLICT, "%s belongs to a fleet already", config->state_dir);
    if (rv != 0)
        return rv;
    rv = prepare(config, &tls, err);
    if (rv == 0)
        rv = agent_sync_start(config, &agent, err);
    if (rv != 0)
        return rv;
    rv = found(&agent, config, tls, recovery_spki, &document, err);
    agent_sync_stop(&agent);
    if (rv == 0)
        rv = keep_trust(config, document, true, err);
    if (rv == 0 && strcmp(cm_json_str_or(document, "recovery", ""), recovery_spki) != 0)
        cm_log(CM_LOG_WARN, "fleet", NULL,
               "the recovery key is the one of an earlier run; when nobody has it, make another: "
               "certmgr recovery-key new FILE");
    return rv;
}

int fleet_init(const struct config *config, const char *recovery_spki, struct cm_err *err)
{
    int rv = init(config, recovery_spki, err);
    bootstrap_full_hint(config->state_dir, err);
    return rv;
}

/* ---- join ---- */

/* A join that was interrupted has made its keys.  If the manager has admitted them it answers once
 * more whatever became of the token, so such a join is not refused here because of the time. */
static bool is_begun(const struct config *config)
{
    CM_AUTO_STR identity = cm_asprintf("%s/agent/identity.json", config->state_dir);
    return cm_path_exists(identity);
}

static int read_token(const char *text, const struct config *config, json_t **ret,
                      struct cm_err *err)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    if (strlen(text) > TOKEN_MAX || cm_b64url_decode(text, strlen(text), &bytes, &len) != 0)
        return cm_fail(err, CM_EMALF,
                       "this is not a join token; copy the whole line that "
                       "\"certmgr server add NAME\" printed");
    int rv = cm_json_parse((const char *)bytes, len, ret, NULL);
    cm_free_secret(bytes, len);
    if (rv != 0 || cm_json_str(*ret, "url") == NULL || cm_json_str(*ret, "spki") == NULL ||
        cm_json_str(*ret, "name") == NULL || cm_json_str(*ret, "secret") == NULL)
        return cm_fail(err, CM_EMALF,
                       "this is not a join token; copy the whole line that "
                       "\"certmgr server add NAME\" printed");
    if (strcmp(cm_json_str(*ret, "name"), config->name) != 0)
        return cm_fail(err, CM_EINVAL,
                       "the token is for server \"%s\", but [server] name in %s is \"%s\"",
                       cm_json_str(*ret, "name"), config->conf_file, config->name);
    if (cm_json_time(*ret, "expires_at", INT64_MAX) <= cm_now_ms() && !is_begun(config))
        return cm_fail(err, CM_EDENIED,
                       "the token has expired; ask for a new one with \"certmgr server add %s\"",
                       config->name);
    return 0;
}

/* HMAC of the token's secret over name and the three public keys (docs/agent-protocol.md). */
static int make_proof(const char *secret_b64, const char *name, const char *seal, const char *sign,
                      const char *tls, char **ret, struct cm_err *err)
{
    uint8_t *secret = NULL, mac[CM_SHA256_SIZE];
    size_t len = 0;
    if (cm_b64url_decode(secret_b64, strlen(secret_b64), &secret, &len) != 0)
        return cm_fail(err, CM_EMALF, "the join token is damaged");
    CM_AUTO_STR text = cm_asprintf("certmgr-join-v1\n%s\n%s\n%s\n%s", name, seal, sign, tls);
    cm_hmac_sha256(secret, len, text, strlen(text), mac);
    cm_free_secret(secret, len);
    *ret = cm_b64url(mac, sizeof(mac));
    return 0;
}

struct posting {
    struct cm_loop *loop;
    json_t *document;
    int rv;
    struct cm_err *err;
};

static void on_answer(void *arg, const struct http_result *res)
{
    struct posting *p = arg;
    CM_AUTO_JSON body = NULL;
    cm_loop_stop(p->loop);
    if (res->err->code != 0) {
        cm_err_copy(p->err, res->err);
        p->rv = cm_wrap(p->err, CM_ENET, "the manager cannot be reached");
        cm_err_hint(p->err, "Give the same command again, with the same token: keys that the "
                            "manager has admitted already are answered once more.");
        return;
    }
    if (cm_json_parse(res->body, res->body_len, &body, NULL) == 0 && res->status == 200 &&
        cm_json_obj(body, "document") != NULL) {
        p->document = json_incref(cm_json_obj(body, "document"));
        return;
    }
    if (body == NULL || cm_err_from_json(p->err, json_object_get(body, "error")) != 0)
        cm_fail(p->err, CM_EPEER, "status %d", res->status);
    p->rv = cm_wrap(p->err, CM_EPEER, "the manager refused the join");
}

static int post_join(const char *url, const char *spki, const json_t *request, json_t **ret,
                     struct cm_err *err)
{
    CM_AUTO_STR body = cm_json_dump(request, NULL);
    CM_AUTO_STR full = cm_asprintf("%s/join", url);
    const char *headers[] = {"Content-Type: application/json", NULL};
    struct http_call_opts opts = {.method = "POST",
                                  .url = full,
                                  .headers = headers,
                                  .body = body,
                                  .body_len = strlen(body),
                                  .reply_max = 4u << 20,
                                  .pin_spki = spki};
    struct cm_loop *loop = cm_loop_new();
    struct http_client *client = http_client_new(loop);
    struct posting p = {.loop = loop, .err = err};
    if (http_call(client, &opts, on_answer, &p, err) == NULL)
        p.rv = CM_EINVAL;
    else
        cm_loop_run(loop);
    http_client_free(client);
    cm_loop_free(loop);
    *ret = p.document;
    return p.rv;
}

/* pinned_counts: the trust root of an earlier run that was killed is the answer. */
static int ask_manager(struct agent_sync *agent, const struct config *config, const json_t *token,
                       const char *tls, bool pinned_counts, json_t **ret_document,
                       struct cm_err *err)
{
    CM_AUTO_JSON identity = NULL;
    CM_AUTO_STR proof = NULL;
    int rv = make_identity(agent, config, &identity, err);
    if (rv != 0)
        return rv;
    *ret_document = pinned_counts ? pinned(agent) : NULL;
    if (*ret_document != NULL)
        return 0;
    const char *seal = cm_json_str_or(identity, "seal", "");
    const char *sign = cm_json_str_or(identity, "sign", "");
    rv = make_proof(cm_json_str(token, "secret"), config->name, seal, sign, tls, &proof, err);
    if (rv != 0)
        return rv;
    CM_AUTO_JSON request = json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", config->name, "seal",
                                     seal, "sign", sign, "tls", tls, "proof", proof);
    cm_step("join.ask");
    rv = post_join(cm_json_str(token, "url"), cm_json_str(token, "spki"), request, ret_document,
                   err);
    cm_step("join.answered");
    return rv;
}

static int pin(struct agent_sync *agent, const json_t *document, struct cm_err *err)
{
    CM_AUTO_JSON reply = NULL;
    CM_AUTO_JSON before = pinned(agent);
    if (before != NULL)
        return 0;
    json_t *request = json_pack("{s:s}", "op", "trust.pin");
    json_object_set_new(request, "document", json_deep_copy(document));
    return agent_sync_call(agent, request, &reply, err);
}

static int refuse_member(const struct config *config, struct cm_err *err)
{
    cm_fail(err, CM_ECONFLICT, "%s belongs to a fleet already", config->state_dir);
    cm_err_hint(err,
                "Was this server removed, and is it to return with its keys? On the manager: "
                "certmgr server add %s; here: certmgr join --again TOKEN. With new keys, or in "
                "another fleet: move %s away and give this command again.",
                config->name, config->state_dir);
    return CM_ECONFLICT;
}

/* The trust root that lists this server again must follow from the one it has: the store belongs to
 * that fleet.  The front takes over what the agent has pinned. */
static int follow(struct agent_sync *agent, const struct config *config, const json_t *document,
                  struct cm_err *err)
{
    CM_AUTO_JSON reply = NULL;
    json_t *request = json_pack("{s:s}", "op", "trust.update");
    json_object_set_new(request, "document", json_deep_copy(document));
    int rv = agent_sync_call(agent, request, &reply, err);
    cm_step("join.followed");
    if (rv == 0)
        return 0;
    cm_wrap(err, rv, "the trust root that lets this server in does not follow from the one here");
    cm_err_hint(err,
                "It is another fleet, or all who sign for this one have changed. On the manager: "
                "certmgr server remove %s, certmgr server add %s; here: move %s away, and certmgr "
                "join TOKEN.",
                config->name, config->name, config->state_dir);
    return rv;
}

static int join(const struct config *config, const char *token_text, bool again, bool *ret_back,
                struct cm_err *err)
{
    struct agent_sync agent;
    CM_AUTO_STR tls = NULL;
    CM_AUTO_JSON token = NULL;
    CM_AUTO_JSON document = NULL;
    *ret_back = false;
    int rv = read_token(token_text, config, &token, err);
    if (rv == 0)
        rv = look_for_member(config, ret_back, err);
    if (rv == 0 && *ret_back && !again)
        rv = refuse_member(config, err);
    if (rv == 0)
        rv = prepare(config, &tls, err);
    if (rv == 0)
        rv = agent_sync_start(config, &agent, err);
    if (rv != 0)
        return rv;
    rv = ask_manager(&agent, config, token, tls, !*ret_back, &document, err);
    if (rv == 0)
        rv = *ret_back ? follow(&agent, config, document, err) : pin(&agent, document, err);
    agent_sync_stop(&agent);
    return rv == 0 && !*ret_back ? keep_trust(config, document, false, err) : rv;
}

int fleet_join(const struct config *config, const char *token, bool again, bool *ret_back,
               struct cm_err *err)
{
    int rv = join(config, token, again, ret_back, err);
    bootstrap_full_hint(config->state_dir, err);
    return rv;
}
