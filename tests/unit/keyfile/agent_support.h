/* Talking to a real key agent: kf_agent_serve() in a child process over a socket pair. */
#pragma once

#include "support.h"

#include <sys/socket.h>

#include "base/core/frame.h"
#include "keyfile/agent.h"

struct test_agent {
    struct kf_agent_config config;
    char *data; /* data directory of target "web" */
    pid_t pid;
    int fd;
    int64_t next_id;
    bool lockdown;
    int64_t clock_ms; /* the child's clock stands still there; 0 = real */
};

/* Directories below dir/name, one target "web" (both formats) and one allowed CA; not started. */
static inline void agent_init(struct test_agent *a, const char *dir, const char *name)
{
    *a = (struct test_agent){.fd = -1, .pid = -1};
    CM_AUTO_STR home = cm_asprintf("%s/%s", dir, name);
    a->data = cm_asprintf("%s/%s/data", dir, name);
    assert_int_equal(cm_dir_make(a->data, 0755, NULL), 0);
    snprintf(a->config.dir, sizeof(a->config.dir), "%s/agent", home);
    struct kf_target *web = &a->config.target[a->config.target_count++];
    cm_strcpy(web->name, sizeof(web->name), "web");
    cm_strcpy(web->directory, sizeof(web->directory), a->data);
    web->kyr = web->pem = true;
    cm_strcpy(a->config.origin[a->config.origin_count++], sizeof(a->config.origin[0]),
              "https://ca.example");
}

static inline void agent_start(struct test_agent *a)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    fflush(NULL);
    a->pid = fork();
    assert_true(a->pid >= 0);
    if (a->pid == 0) {
        /* Ends of other agents' channels too: they would never see theirs close. */
        close_range(3, (unsigned)pair[1] - 1, 0);
        close_range((unsigned)pair[1] + 1, ~0u, 0);
        if (a->clock_ms)
            cm_clock_fake(a->clock_ms, 0);
        if (a->lockdown && kf_agent_lockdown(NULL) != 0)
            _exit(99);
        exit(kf_agent_serve(&a->config, pair[1], -1) == 0 ? 0 : 1);
    }
    close(pair[1]);
    a->fd = pair[0];
}

/* Closes the channel; the child's exit status. */
static inline int agent_end(struct test_agent *a)
{
    int status;
    close(a->fd);
    a->fd = -1;
    assert_int_equal(waitpid(a->pid, &status, 0), a->pid);
    a->pid = -1;
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static inline void agent_stop(struct test_agent *a)
{
    if (a->pid > 0)
        assert_int_equal(agent_end(a), 0);
}

static inline void agent_restart(struct test_agent *a)
{
    agent_stop(a);
    agent_start(a);
}

static inline void agent_fini(struct test_agent *a)
{
    agent_stop(a);
    cm_free(a->data);
}

static inline json_t *agent_read(struct test_agent *a)
{
    json_t *reply;
    struct cm_err err = CM_ERR_INIT;
    OK(cm_frame_read_fd(a->fd, &reply, &err), err);
    return reply;
}

static inline int64_t agent_send(struct test_agent *a, json_t *take_request)
{
    struct cm_err err = CM_ERR_INIT;
    int64_t id = a->next_id++;
    cm_json_set_int(take_request, "id", id);
    OK(cm_frame_write_fd(a->fd, take_request, &err), err);
    json_decref(take_request);
    return id;
}

/* The reply to one request, whatever it is. */
static inline json_t *ask(struct test_agent *a, json_t *take_request)
{
    int64_t id = agent_send(a, take_request);
    json_t *reply = agent_read(a);
    assert_int_equal(cm_json_int(reply, "id", -1), id);
    return reply;
}

/* Expects success. */
static inline json_t *call(struct test_agent *a, json_t *take_request)
{
    assert_non_null(take_request);
    CM_AUTO_STR op = cm_strdup(cm_json_str_or(take_request, "op", ""));
    json_t *reply = ask(a, take_request);
    if (!cm_json_bool(reply, "ok", false)) {
        char *text = cm_json_dump(reply, NULL);
        fail_msg("%s: %s", op, text);
    }
    return reply;
}

/* Expects a refusal of that kind whose error object holds the text. */
static inline void refused(struct test_agent *a, json_t *take_request, const char *code,
                           const char *text)
{
    assert_non_null(take_request);
    CM_AUTO_STR op = cm_strdup(cm_json_str_or(take_request, "op", ""));
    CM_AUTO_JSON reply = ask(a, take_request);
    CM_AUTO_STR line = cm_json_dump(reply, NULL);
    if (cm_json_bool(reply, "ok", true) ||
        strcmp(cm_json_str_or(cm_json_obj(reply, "error"), "code", ""), code) != 0 ||
        strstr(line, text) == NULL)
        fail_msg("%s: %s; expected %s and \"%s\"", op, line, code, text);
}

static inline json_t *op(const char *name)
{
    return json_pack("{s:s}", "op", name);
}

static inline json_t *with_document(const char *name, const json_t *document)
{
    json_t *request = op(name);
    cm_json_set(request, "document", json_deep_copy(document));
    return request;
}

/* Identity and trust root of a manager; returns the root. */
static inline json_t *agent_found(struct test_agent *a, const char *name)
{
    CM_AUTO_STR tls = fresh_spki();
    json_decref(call(a, json_pack("{s:s,s:s}", "op", "identity.create", "name", name)));
    CM_AUTO_JSON reply =
        call(a, json_pack("{s:s,s:s,s:s,s:s}", "op", "trust.found", "tls", tls, "url",
                          "https://m.example:8444", "ui_url", "https://m.example:8443"));
    return json_incref(cm_json_obj(reply, "document"));
}

static inline char *join_proof(const char *secret64, const char *name, const char *seal,
                               const char *sign, const char *tls)
{
    uint8_t *secret, mac[CM_SHA256_SIZE];
    size_t len;
    assert_int_equal(cm_b64url_decode(secret64, strlen(secret64), &secret, &len), 0);
    assert_int_equal(len, 16);
    CM_AUTO_STR text = cm_asprintf("certmgr-join-v1\n%s\n%s\n%s\n%s", name, seal, sign, tls);
    cm_hmac_sha256(secret, len, text, strlen(text), mac);
    cm_free(secret);
    return cm_b64url(mac, sizeof(mac));
}

/* Makes an identity on `server`, admits it on `manager` and pins the new root on it; returns it. */
static inline json_t *agent_join(struct test_agent *manager, struct test_agent *server,
                                 const char *name)
{
    CM_AUTO_STR tls = fresh_spki();
    CM_AUTO_JSON identity =
        call(server, json_pack("{s:s,s:s}", "op", "identity.create", "name", name));
    CM_AUTO_JSON invitation = call(
        manager, json_pack("{s:s,s:s,s:i}", "op", "trust.invite", "name", name, "ttl_s", 3600));
    const char *seal = cm_json_str(identity, "seal"), *sign = cm_json_str(identity, "sign");
    CM_AUTO_STR proof = join_proof(cm_json_str(invitation, "secret"), name, seal, sign, tls);
    CM_AUTO_JSON reply =
        call(manager, json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "op", "trust.admit", "name", name,
                                "seal", seal, "sign", sign, "tls", tls, "proof", proof));
    json_t *root = json_incref(cm_json_obj(reply, "document"));
    json_decref(call(server, with_document("trust.pin", root)));
    return root;
}

/* The signed form of a document's body. */
static inline json_t *agent_sign(struct test_agent *a, json_t *take_body)
{
    CM_AUTO_JSON reply =
        call(a, json_pack("{s:s,s:O,s:b}", "op", "doc.sign", "body", take_body, "deleted", 0));
    json_object_set(take_body, "signature", cm_json_obj(reply, "signature"));
    return take_body;
}
