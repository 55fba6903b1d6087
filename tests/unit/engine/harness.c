/* The server of a test: store, trust root, key agent in memory, waiting.  See harness.h. */
#include "tests/unit/engine/harness.h"

#include "certmgr/engine/life.h"
#include "keyfile/csr.h"
#include "tests/unit/engine/skip.h"

#define SEALED "c2VhbGVk"

/* ---- key agent ----------------------------------------------------------------------------------
 */

struct answer {
    struct h *h;
    json_t *request;
    kf_reply_fn done;
    void *arg;
};

static json_t *key_create(const json_t *request)
{
    EVP_PKEY *key;
    uint8_t *der;
    size_t len;
    char hex[65];
    struct cm_err err = CM_ERR_INIT;
    assert_int_equal(kf_pkey_generate(KF_KEY_P256, &key, NULL), 0);
    OK(kf_csr(key, json_object_get(request, "names"), &der, &len, &err), err);
    assert_int_equal(kf_spki_hex(key, hex, NULL), 0);
    CM_AUTO_STR csr = cm_b64url(der, len);
    json_t *reply = json_object();
    cm_json_set_str(reply, "sealed_key", SEALED);
    cm_json_set_str(reply, "public_key_sha256", hex);
    cm_json_set_str(reply, "csr", csr);
    cm_free(der);
    EVP_PKEY_free(key);
    return reply;
}

static json_t *jws_sign(const json_t *request)
{
    CM_AUTO_JSON head = json_object();
    cm_json_set_str(head, "url", cm_json_str(request, "url"));
    cm_json_set_str(head, "nonce", cm_json_str(request, "nonce"));
    cm_json_set_str(head, "kid", cm_json_str(request, "kid"));
    size_t len;
    CM_AUTO_STR text = cm_json_dump(head, &len);
    CM_AUTO_STR protected = cm_b64url(text, len);
    const char *payload = cm_json_str_or(request, "payload", "");
    CM_AUTO_STR body = cm_b64url(payload, strlen(payload));
    json_t *jws = json_object(), *reply = json_object();
    cm_json_set_str(jws, "protected", protected);
    cm_json_set_str(jws, "payload", body);
    cm_json_set_str(jws, "signature", "AAAA");
    cm_json_set(reply, "jws", jws);
    return reply;
}

/* The payload is the agent's own, as in the real one. */
static json_t *revoke_sign(const json_t *request)
{
    CM_AUTO_STR payload = eng_revoke_payload(cm_json_obj(request, "document"));
    CM_AUTO_JSON copy = json_copy((json_t *)(uintptr_t)request);
    cm_json_set_str(copy, "payload", payload);
    return jws_sign(copy);
}

static json_t *answer_to(const struct h *h, const json_t *request)
{
    const char *op = cm_json_str_or(request, "op", "");
    if (strcmp(op, "key.create") == 0)
        return key_create(request);
    if (strcmp(op, "jws.sign") == 0)
        return jws_sign(request);
    if (strcmp(op, "revoke.sign") == 0)
        return revoke_sign(request);
    json_t *reply = json_object();
    if (strcmp(op, "account.create") == 0) {
        cm_json_set_str(reply, "sealed_key", SEALED);
        cm_json_set(reply, "jwk", json_pack("{s:s}", "kty", "EC"));
        CM_AUTO_STR print =
            cm_asprintf("oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD%uU", h_op_count(h, op) % 10);
        cm_json_set_str(reply, "thumbprint", print);
    } else if (strcmp(op, "eab.sign") == 0) {
        cm_json_set(
            reply, "jws",
            json_pack("{s:s,s:s,s:s}", "protected", "e30", "payload", "e30", "signature", "AAAA"));
        cm_json_set_int(reply, "key_bytes", 32);
        if (strcmp(cm_json_str_or(request, "key", ""), H_TWICE) == 0)
            cm_json_set(reply, "jws_other", json_pack("{s:s}", "signature", "BBBB"));
    } else if (strcmp(op, "secret.seal") == 0) {
        const char *value = cm_json_str_or(request, "value", "");
        CM_AUTO_STR sealed = cm_b64(value, strlen(value));
        cm_json_set_str(reply, "sealed", sealed);
    } else if (strcmp(op, "secret.open") == 0) {
        const char *sealed = cm_json_str_or(request, "sealed", "");
        uint8_t *value = NULL;
        size_t len = 0;
        assert_int_equal(cm_b64_decode(sealed, strlen(sealed), &value, &len), 0);
        cm_json_set(reply, "value", json_stringn((char *)value, len));
        cm_free(value);
    } else if (strcmp(op, "key.import") == 0) {
        json_object_update(reply, h->import_reply);
    } else if (strcmp(op, "key.rewrap") == 0) {
        cm_json_set_str(reply, "sealed_key", "bmV3");
    } else if (strcmp(op, "deploy.stage") == 0) {
        const json_t *document = json_object_get(request, "document");
        cm_json_set_str(reply, "stage", h->stage_unchanged ? "unchanged" : "s1");
        cm_json_set_bool(reply, "changed", !h->stage_unchanged);
        cm_json_set_str(reply, "fingerprint", cm_json_str(document, "fingerprint"));
    }
    return reply;
}

static void on_answer(void *arg)
{
    struct answer *answer = arg;
    struct h *h = answer->h;
    const char *op = cm_json_str_or(answer->request, "op", "");
    struct cm_err err = CM_ERR_INIT;
    if (h->away > 0 && (!h->away_op || strcmp(h->away_op, op) == 0)) {
        h->away--;
        cm_fail(&err, CM_EBUSY, "the key agent is being started");
    } else if (h->fail_op && strcmp(h->fail_op, op) == 0) {
        cm_fail(&err, h->fail_code, "the agent refuses %s", op);
    }
    CM_AUTO_JSON reply = err.code ? NULL : answer_to(h, answer->request);
    answer->done(answer->arg, reply, err.code ? &err : NULL);
    cm_err_fini(&err);
    json_decref(answer->request);
    cm_free(answer);
}

static void agent_call(void *arg, json_t *take_request, kf_reply_fn done, void *done_arg)
{
    struct h *h = arg;
    json_array_append(h->ops, take_request);
    struct answer *answer = cm_calloc(1, sizeof(*answer));
    *answer = (struct answer){.h = h, .request = take_request, .done = done, .arg = done_arg};
    cm_loop_defer(h->loop, on_answer, answer);
}

unsigned h_op_count(const struct h *h, const char *op)
{
    unsigned count = 0;
    size_t i;
    json_t *request;
    json_array_foreach(h->ops, i, request)
    {
        count += strcmp(cm_json_str_or(request, "op", ""), op) == 0;
    }
    return count;
}

/* ---- store --------------------------------------------------------------------------------------
 */

static void verify(void *arg, const json_t *body, bool deleted, struct cs_verdict *ret)
{
    (void)arg;
    (void)deleted;
    *ret = (struct cs_verdict){.valid = true, .serial = cm_json_int(body, "serial", 0)};
}

struct signing {
    struct h *h;
    json_t *body;
    cs_signed_fn done;
    void *arg;
};

static void on_sign(void *arg)
{
    struct signing *signing = arg;
    struct cm_err err = CM_ERR_INIT;
    if (signing->h->sign_skip > 0) {
        signing->h->sign_skip--;
    } else if (signing->h->sign_away > 0) {
        int code = signing->h->sign_code;
        signing->h->sign_away--;
        cm_fail(&err, code ? code : CM_EBUSY, "the signature cannot be made now");
    }
    json_t *signature = json_pack("{s:s,s:s,s:s}", "by", "alpha", "key",
                                  "00000000000000000000000000000000", "value", "AAAA");
    cm_json_set(signing->body, "signature", signature);
    bool credential = strcmp(cm_json_str_or(signing->body, "type", ""), "credential") == 0;
    if (credential && signing->h->spoil_credentials > 0) {
        signing->h->spoil_credentials--;
        cm_json_set_str(signing->body, "foreign", "x");
    }
    signing->done(signing->arg, err.code ? NULL : signing->body, err.code ? &err : NULL);
    cm_err_fini(&err);
    json_decref(signing->body);
    cm_free(signing);
}

static void sign(void *arg, json_t *take_body, bool deleted, cs_signed_fn done, void *done_arg)
{
    struct h *h = arg;
    (void)deleted;
    struct signing *signing = cm_calloc(1, sizeof(*signing));
    *signing = (struct signing){.h = h, .body = take_body, .done = done, .arg = done_arg};
    cm_loop_defer(h->loop, on_sign, signing);
}

static void commit(void *arg)
{
    struct h *h = arg;
    struct cm_err err = CM_ERR_INIT;
    if (h->store && !h->commits_held)
        OK(cs_commit(h->store, &err), err);
}

static void arm(void *arg)
{
    struct h *h = arg;
    cm_loop_defer(h->loop, commit, h);
}

static const struct kf_trust *trust_now(void *arg)
{
    const struct h *h = arg;
    return h->trust;
}

static void open_all(struct h *h)
{
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_STR dir = cm_asprintf("%s/store", h->dir);
    struct cs_opts opts = {.dir = dir,
                           .map_size = 512u << 20, /* sparse; a year of a thousand credentials */
                           .create = true,
                           .policy = true,
                           .verify = verify,
                           .sign = sign,
                           .port_arg = h,
                           .arm = arm,
                           .arm_arg = h};
    OK(cs_open(&opts, &h->store, &err), err);
    h->env = (struct eng_env){.loop = h->loop,
                              .store = h->store,
                              .http = h->http,
                              .agent = {.arg = h, .call = agent_call},
                              .self = "alpha",
                              .manager = true,
                              .held = h->on_hold,
                              .lab_http = true,
                              .trust = trust_now,
                              .trust_arg = h};
    h->engine = eng_new(&h->env);
}

static void close_all(struct h *h)
{
    struct cs_store *store = h->store;
    eng_free(h->engine);
    h->store = NULL; /* commits still queued find nothing */
    cs_close(store);
    h->engine = NULL;
}

void h_restart(struct h *h)
{
    close_all(h);
    h_turns(h, 0);
    open_all(h);
}

int h_setup(void **state)
{
    struct h *h = cm_calloc(1, sizeof(*h));
    cm_log_init("test", CM_LOG_ERROR);
    skip_waits(true);
    h->dir = temp_dir();
    h->loop = cm_loop_new();
    h->http = http_client_new(h->loop);
    h->ops = json_array();
    static const char *const names[] = {"alpha", "bravo", "charlie"};
    for (size_t i = 0; i < 3; i++)
        make_identity(h->dir, names[i], &h->identity[i]);
    h->trust = found(&h->identity[0]);
    h->trust = admit(&h->identity[0], h->trust, &h->identity[1]);
    h->trust = admit(&h->identity[0], h->trust, &h->identity[2]);
    open_all(h);
    h_ca_start(&h->ca, h->loop);
    *state = h;
    return 0;
}

int h_teardown(void **state)
{
    struct h *h = *state;
    cm_clock_fake(-1, -1);
    close_all(h);
    h_ca_stop(&h->ca);
    http_client_free(h->http);
    h_turns(h, 0);
    cm_loop_free(h->loop);
    kf_trust_free(h->trust);
    for (size_t i = 0; i < 3; i++)
        kf_identity_fini(&h->identity[i]);
    json_decref(h->ops);
    json_decref(h->import_reply);
    json_decref(h->errors);
    json_decref(h->notes);
    cm_err_fini(&h->err);
    remove_dir(h->dir);
    cm_free(h);
    return 0;
}

/* ---- waiting ------------------------------------------------------------------------------------
 */

static void on_late(void *arg)
{
    *(bool *)arg = true;
}

void h_until(struct h *h, bool (*what)(struct h *h), const char *name)
{
    bool late = false;
    struct cm_timer *timer = cm_timer_new(h->loop, on_late, &late);
    cm_timer_start(timer, H_SECONDS * 1000);
    while (!what(h) && !late)
        cm_loop_turn(h->loop, true);
    cm_timer_free(timer);
    if (late) {
        CM_AUTO_JSON view = h->credential[0] ? eng_view(h->engine, h->credential) : NULL;
        CM_AUTO_STR text = view ? cm_json_dump(view, NULL) : NULL;
        fail_msg("waited in vain for %s: %s", name, text ? text : "");
    }
}

static unsigned wanted_downloads;

static bool downloaded(struct h *h)
{
    return h->ca.downloads >= wanted_downloads && h->engine->job_count == 0;
}

void h_until_downloads(struct h *h, unsigned downloads)
{
    wanted_downloads = downloads;
    h_until(h, downloaded, "the next certificate");
}

void h_turns(struct h *h, int ms)
{
    bool late = false;
    struct cm_timer *timer = cm_timer_new(h->loop, on_late, &late);
    cm_timer_start(timer, ms);
    while (!late)
        cm_loop_turn(h->loop, true);
    cm_timer_free(timer);
    /* The time may have passed while this process had no processor: what was begun goes on. */
    for (int all = 0, quiet = 0; quiet < H_QUIET && all < H_TURNS_MAX; all++) {
        unsigned before = skip_wakes();
        cm_loop_turn(h->loop, false);
        quiet = skip_wakes() == before ? quiet + 1 : 0;
    }
}

static bool was_called(struct h *h)
{
    return h->called;
}

void h_on_done(void *arg, const struct cm_err *err)
{
    struct h *h = arg;
    assert_false(h->called); /* exactly once */
    h->called = true;
    cm_err_fini(&h->err);
    if (err)
        cm_err_copy(&h->err, err);
}

int h_done(struct h *h)
{
    h_until(h, was_called, "the answer");
    h->called = false;
    return h->err.code;
}

const char *h_line(const struct h *h)
{
    static char line[4096];
    cm_err_line(&h->err, line, sizeof(line));
    return line;
}

/* ---- use-cases ----------------------------------------------------------------------------------
 */

static const struct eng_actor actor = {.who = "ada", .via = "form"};

void h_account(struct h *h)
{
    CM_AUTO_STR directory = cm_asprintf("%s/dir", h->ca.base);
    CM_AUTO_JSON fields =
        json_pack("{s:s,s:s,s:[s],s:b,s:b}", "name", "ca", "directory", directory, "contacts",
                  "ops@example.com", "terms_agreed", 1, "self_check", 0);
    eng_account_put(h->engine, fields, &actor, h_on_done, h);
    if (h_done(h) != 0)
        fail_msg("%s", h_line(h));
}

json_t *h_fields(const char *names)
{
    return json_pack("{s:s,s:[s,s],s:s}", "host_names", names, "servers", "alpha", "bravo",
                     "account", "ca");
}

static void on_submit(void *arg, const char *credential, const json_t *errors, const json_t *notes,
                      const struct cm_err *err)
{
    struct h *h = arg;
    h_on_done(h, err);
    json_decref(h->errors);
    json_decref(h->notes);
    h->errors = json_deep_copy(errors);
    h->notes = json_deep_copy(notes);
    assert_true((credential != NULL) == (err == NULL));
    if (credential)
        (void)cm_strcpy(h->credential, sizeof(h->credential), credential);
}

int h_submit(struct h *h, json_t *take_fields)
{
    eng_submit(h->engine, take_fields, &actor, on_submit, h);
    json_decref(take_fields);
    return h_done(h);
}

json_t *h_body(struct h *h, const char *type, const char *name)
{
    CM_AUTO_STR id = cm_asprintf("%s:%s", type, name);
    return cs_get_body(h->store, id);
}

static const char *wanted_status;

static bool has_status(struct h *h)
{
    CM_AUTO_JSON body = h_body(h, "credential", h->credential);
    return strcmp(cm_json_str_or(body, "status", ""), wanted_status) == 0;
}

json_t *h_status(struct h *h, const char *status)
{
    wanted_status = status;
    h_until(h, has_status, status);
    return h_body(h, "credential", h->credential);
}

json_t *h_issue(struct h *h, const char *names)
{
    if (h_submit(h, h_fields(names)) != 0)
        fail_msg("%s", h_line(h));
    return h_status(h, "issued");
}

static void on_put(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    (void)doc;
    h_on_done(arg, err);
}

void h_put(struct h *h, json_t *take_doc)
{
    cs_publish(h->store, take_doc, -1, on_put, h);
    if (h_done(h) != 0)
        fail_msg("%s", h_line(h));
}
