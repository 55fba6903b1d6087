/* The small CA of the harness: RFC 8555's happy path with a few knobs. */
#include "tests/unit/engine/harness.h"

#include "tests/unit/keyfile/ocsp_support.h"

#define BODY_MAX 65536

static void reply_json(struct h_ca *ca, struct http_exchange *ex, int status, json_t *take,
                       const char *location)
{
    static unsigned nonce;
    char text[32];
    (void)ca;
    snprintf(text, sizeof(text), "nonce-%u", ++nonce);
    http_ex_header(ex, "Replay-Nonce", text);
    if (location)
        http_ex_header(ex, "Location", location);
    size_t len;
    CM_AUTO_STR body = cm_json_dump(take, &len);
    json_decref(take);
    http_ex_reply(ex, status, status >= 400 ? "application/problem+json" : "application/json", body,
                  len);
}

static json_t *payload_of(const struct http_request *req)
{
    CM_AUTO_JSON jws = NULL;
    uint8_t *data = NULL;
    size_t len = 0;
    json_t *payload = NULL;
    assert_int_equal(cm_json_parse(req->body, req->body_len, &jws, NULL), 0);
    const char *text = cm_json_str_or(jws, "payload", "");
    assert_int_equal(cm_b64url_decode(text, strlen(text), &data, &len), 0);
    if (len > 0)
        assert_int_equal(cm_json_parse((const char *)data, len, &payload, NULL), 0);
    cm_free(data);
    return payload;
}

static json_t *order_view(struct h_ca *ca, size_t number)
{
    const json_t *order = json_array_get(ca->orders, number);
    json_t *view = json_object(), *authz = json_array(), *ids = json_array();
    size_t i;
    json_t *name;
    cm_json_set_str(view, "status", cm_json_str(order, "status"));
    json_array_foreach(cm_json_arr(order, "names"), i, name)
    {
        json_array_append_new(authz, json_sprintf("%s/authz/%zu-%zu", ca->base, number, i));
        json_array_append_new(ids, json_pack("{s:s,s:O}", "type", "dns", "value", name));
    }
    cm_json_set(view, "identifiers", ids);
    cm_json_set(view, "authorizations", authz);
    cm_json_set_time(view, "expires", cm_now_ms() + 3600000);
    cm_json_set(view, "finalize", json_sprintf("%s/finalize/%zu", ca->base, number));
    if (strcmp(cm_json_str(order, "status"), "valid") == 0)
        cm_json_set(view, "certificate", json_sprintf("%s/cert/%zu", ca->base, number));
    return view;
}

static void new_order(struct h_ca *ca, struct http_exchange *ex, const json_t *payload)
{
    ca->new_orders++;
    json_decref(ca->replaces);
    ca->replaces = json_incref(json_object_get(payload, "replaces"));
    if (ca->refuse_orders > 0) {
        ca->refuse_orders--;
        if (ca->retry_after)
            http_ex_header(ex, "Retry-After", ca->retry_after);
        CM_AUTO_STR type = cm_asprintf("urn:ietf:params:acme:error:%s", ca->refuse_type);
        json_t *refusal =
            json_pack("{s:s,s:s,s:i}", "type", type, "detail", "not today", "status", 403);
        if (strcmp(ca->refuse_type, "userActionRequired") == 0) { /* RFC 8555 7.3.3 */
            cm_json_set_str(refusal, "instance", "https://ca.example/agree");
            http_ex_header(ex, "Link", "<https://ca.example/terms-2>;rel=\"terms-of-service\"");
        }
        reply_json(ca, ex, 403, refusal, NULL);
        return;
    }
    json_t *order = json_object(), *names = json_array();
    size_t i;
    json_t *id;
    json_array_foreach(cm_json_arr(payload, "identifiers"), i, id)
    {
        json_array_append(names, json_object_get(id, "value"));
    }
    cm_json_set(order, "names", names);
    cm_json_set_str(order, "status", "pending");
    cm_json_set_int(order, "answered", 0);
    size_t number = 0; /* a forgotten one's place is free */
    while (number < json_array_size(ca->orders) &&
           !json_is_null(json_array_get(ca->orders, number)))
        number++;
    if (number == json_array_size(ca->orders))
        json_array_append_new(ca->orders, order);
    else
        json_array_set_new(ca->orders, number, order);
    CM_AUTO_STR location = cm_asprintf("%s/order/%zu", ca->base, number);
    reply_json(ca, ex, 201, order_view(ca, number), location);
}

static json_t *authz_view(struct h_ca *ca, size_t number, size_t index)
{
    const json_t *order = json_array_get(ca->orders, number);
    const char *name = json_string_value(json_array_get(cm_json_arr(order, "names"), index));
    const char *status = cm_json_str(order, "status");
    CM_AUTO_STR key = cm_asprintf("%zu", index);
    bool proved = json_object_get(cm_json_obj(order, "proved"), key) != NULL;
    bool valid = proved || strcmp(status, "ready") == 0 || strcmp(status, "valid") == 0;
    bool invalid = strcmp(status, "invalid") == 0;
    if (invalid && ca->fail_one && index > 0)
        invalid = false;
    const char *state = valid ? "valid" : invalid ? "invalid" : "pending";
    json_t *challenge = json_pack("{s:s,s:s}", "type", "http-01", "status", state);
    cm_json_set(challenge, "url", json_sprintf("%s/chal/%zu-%zu", ca->base, number, index));
    cm_json_set(challenge, "token", json_sprintf("token-%zu-%zu", number, index));
    if (invalid)
        cm_json_set(challenge, "error",
                    json_pack("{s:s,s:s,s:i}", "type", "urn:ietf:params:acme:error:unauthorized",
                              "detail", "wrong answer", "status", 403));
    json_t *view = json_object();
    cm_json_set_str(view, "status", state);
    bool wildcard = strncmp(name, "*.", 2) == 0; /* RFC 8555 7.1.4 */
    json_t *dns = json_copy(challenge);
    cm_json_set_str(dns, "type", "dns-01");
    if (wildcard)
        json_object_set_new(view, "wildcard", json_true());
    cm_json_set(view, "identifier",
                json_pack("{s:s,s:s}", "type", "dns", "value", wildcard ? name + 2 : name));
    cm_json_set(view, "challenges",
                wildcard ? json_pack("[O]", dns) : json_pack("[O,O]", challenge, dns));
    json_decref(challenge);
    json_decref(dns);
    cm_json_set_time(view, "expires", cm_now_ms() + 3600000);
    return view;
}

static void answer_challenge(struct h_ca *ca, struct http_exchange *ex, size_t number, size_t index)
{
    json_t *order = json_array_get(ca->orders, number);
    int64_t answered = cm_json_int(order, "answered", 0) + 1;
    ca->answered++;
    if (ca->on_answer)
        ca->on_answer(ca->on_answer_arg);
    cm_json_set_int(order, "answered", answered);
    CM_AUTO_STR key = cm_asprintf("%zu", index);
    if (!cm_json_obj(order, "proved"))
        cm_json_set(order, "proved", json_object());
    if (ca->fail_validation)
        cm_json_set_str(order, "status", "invalid");
    else
        json_object_set_new(cm_json_obj(order, "proved"), key, json_true());
    if (ca->fail_validation)
        ; /* dead */
    else if (answered >= (int64_t)json_array_size(cm_json_arr(order, "names")))
        cm_json_set_str(order, "status", "ready");
    json_t *view = authz_view(ca, number, index);
    json_t *challenge = json_incref(json_array_get(cm_json_arr(view, "challenges"), 0));
    json_decref(view);
    reply_json(ca, ex, 200, challenge, NULL);
}

static void finalize(struct h_ca *ca, struct http_exchange *ex, size_t number,
                     const json_t *payload)
{
    json_t *order = json_array_get(ca->orders, number);
    json_object_set(order, "csr", json_object_get(payload, "csr"));
    cm_json_set_str(order, "status", "valid");
    ca->finalized++;
    if (ca->hold_finalize) {
        ca->held = ex;
        return;
    }
    reply_json(ca, ex, 200, order_view(ca, number), NULL);
}

static char *issue(struct h_ca *ca, size_t number)
{
    const json_t *order = json_array_get(ca->orders, number);
    const char *csr = cm_json_str_or(order, "csr", "");
    uint8_t *der = NULL;
    size_t len = 0;
    assert_int_equal(cm_b64url_decode(csr, strlen(csr), &der, &len), 0);
    const unsigned char *at = der;
    X509_REQ *req = d2i_X509_REQ(NULL, &at, (long)len);
    assert_non_null(req);
    EVP_PKEY *key = X509_REQ_get_pubkey(req);
    assert_int_equal(X509_REQ_verify(req, key), 1);
    if (ca->wrong_key) {
        EVP_PKEY_free(key);
        assert_int_equal(kf_pkey_generate(KF_KEY_P256, &key, NULL), 0);
    }
    struct cm_buf sans;
    cm_buf_init(&sans, 8192);
    size_t i;
    json_t *name;
    json_array_foreach(cm_json_arr(order, "names"), i, name)
    {
        cm_buf_printf(&sans, "%sDNS:%s", i ? "," : "", json_string_value(name));
    }
    X509 *leaf = make_cert("leaf", key, "Test Middle", ca->keys.middle_key, cm_buf_str(&sans),
                           ca->shift_s - 60, ca->shift_s + ca->life_s);
    if (ca->ocsp)
        ocsp_name(leaf, ca->ocsp, ca->keys.middle_key);
    CM_AUTO_STR pem = cert_pem(leaf);
    char *chain = cm_asprintf("%s%s", pem, ca->keys.middle);
    X509_free(leaf);
    cm_buf_fini(&sans);
    EVP_PKEY_free(key);
    X509_REQ_free(req);
    cm_free(der);
    return chain;
}

static void directory(struct h_ca *ca, struct http_exchange *ex)
{
    json_t *dir = json_object();
    static const char *const urls[][2] = {{"newNonce", "nonce"},
                                          {"newAccount", "account"},
                                          {"newOrder", "order"},
                                          {"revokeCert", "revoke"},
                                          {"keyChange", "rollover"}};
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++)
        cm_json_set(dir, urls[i][0], json_sprintf("%s/new-%s", ca->base, urls[i][1]));
    if (ca->ari)
        cm_json_set(dir, "renewalInfo", json_sprintf("%s/ari", ca->base));
    cm_json_set(dir, "meta",
                json_pack("{s:s,s:b}", "termsOfService",
                          ca->terms ? ca->terms : "https://ca.example/terms",
                          "externalAccountRequired", ca->eab_required));
    if (ca->caa)
        cm_json_set(json_object_get(dir, "meta"), "caaIdentities", json_pack("[s]", ca->caa));
    reply_json(ca, ex, 200, dir, NULL);
}

static bool has_jwk(const struct http_request *req)
{
    CM_AUTO_JSON jws = NULL;
    CM_AUTO_JSON head = NULL;
    uint8_t *data = NULL;
    size_t len = 0;
    assert_int_equal(cm_json_parse(req->body, req->body_len, &jws, NULL), 0);
    const char *text = cm_json_str_or(jws, "protected", "");
    assert_int_equal(cm_b64url_decode(text, strlen(text), &data, &len), 0);
    assert_int_equal(cm_json_parse((const char *)data, len, &head, NULL), 0);
    cm_free(data);
    return cm_json_str(head, "kid") == NULL;
}

static void revoke_cert(struct h_ca *ca, struct http_exchange *ex, const json_t *payload)
{
    bool by_key = has_jwk(http_ex_request(ex));
    const char *problem = ca->refuse_revoke ? ca->refuse_revoke
                          : by_key          ? NULL
                                            : ca->refuse_account;
    ca->revocations++;
    if (problem) {
        CM_AUTO_STR type = cm_asprintf("urn:ietf:params:acme:error:%s", problem);
        if (ca->retry_after)
            http_ex_header(ex, "Retry-After", ca->retry_after);
        reply_json(ca, ex, 403,
                   json_pack("{s:s,s:s,s:i}", "type", type, "detail", "not so", "status", 403),
                   NULL);
        return;
    }
    ca->revoked_by_key = by_key;
    json_decref(ca->revoked);
    ca->revoked = json_deep_copy(payload);
    reply_json(ca, ex, 200, json_object(), NULL);
}

static void give_up(struct h_ca *ca, struct http_exchange *ex, const json_t *payload)
{
    if (ca->refuse_giving_up) {
        CM_AUTO_STR type = cm_asprintf("urn:ietf:params:acme:error:%s", ca->refuse_giving_up);
        reply_json(ca, ex, 403, json_pack("{s:s,s:i}", "type", type, "status", 403), NULL);
        return;
    }
    assert_string_equal(cm_json_str_or(payload, "status", ""), "deactivated");
    ca->given_up++;
    reply_json(ca, ex, 200, json_pack("{s:s}", "status", "deactivated"), NULL);
}

static size_t number_in(const char *path, size_t *ret_index)
{
    unsigned long number, index = 0;
    char *end;
    number = strtoul(strrchr(path, '/') + 1, &end, 10);
    if (*end == '-')
        index = strtoul(end + 1, NULL, 10);
    *ret_index = index;
    return number;
}

static void handle(void *arg, struct http_exchange *ex)
{
    struct h_ca *ca = arg;
    const struct http_request *req = http_ex_request(ex);
    const char *path = req->head.path;
    size_t index = 0, number = number_in(path, &index);
    if (ca->hold_path && strcmp(path, ca->hold_path) == 0) {
        ca->held = ex;
        return;
    }
    CM_AUTO_JSON payload = req->head.method == HTTP_POST ? payload_of(req) : NULL;
    if (strcmp(path, "/dir") == 0)
        directory(ca, ex);
    else if (strcmp(path, "/new-nonce") == 0)
        reply_json(ca, ex, 200, json_object(), NULL);
    else if (strcmp(path, "/new-account") == 0) {
        CM_AUTO_STR location = cm_asprintf("%s/account/1", ca->base);
        ca->accounts++;
        json_decref(ca->eab);
        ca->eab = json_incref(json_object_get(payload, "externalAccountBinding"));
        reply_json(ca, ex, 201,
                   json_pack("{s:s}", "status", ca->account_status ? ca->account_status : "valid"),
                   location);
    } else if (strcmp(path, "/new-order") == 0)
        new_order(ca, ex, payload);
    else if (strncmp(path, "/ari/", 5) == 0) {
        ca->ari_asks++;
        (void)cm_strcpy(ca->ari_id, sizeof(ca->ari_id), path + 5);
        if (ca->retry_after)
            http_ex_header(ex, "Retry-After", ca->retry_after);
        reply_json(ca, ex, ca->ari_status ? ca->ari_status : 200, json_deep_copy(ca->ari), NULL);
    } else if (strcmp(path, "/new-revoke") == 0)
        revoke_cert(ca, ex, payload);
    else if (strncmp(path, "/order/", 7) == 0)
        reply_json(ca, ex, 200, order_view(ca, number), NULL);
    else if (strncmp(path, "/authz/", 7) == 0 && json_object_get(payload, "status"))
        give_up(ca, ex, payload);
    else if (strncmp(path, "/authz/", 7) == 0)
        reply_json(ca, ex, 200, authz_view(ca, number, index), NULL);
    else if (strncmp(path, "/chal/", 6) == 0)
        answer_challenge(ca, ex, number, index);
    else if (strncmp(path, "/finalize/", 10) == 0)
        finalize(ca, ex, number, payload);
    else if (strncmp(path, "/cert/", 6) == 0) {
        CM_AUTO_STR chain = issue(ca, number);
        ca->downloads++;
        if (ca->forgets)
            json_array_set_new(ca->orders, number, json_null());
        http_ex_header(ex, "Replay-Nonce", "nonce-cert");
        http_ex_reply(ex, 200, "application/pem-certificate-chain", chain, strlen(chain));
    } else
        reply_json(ca, ex, 404, json_pack("{s:s}", "type", "urn:ietf:params:acme:error:malformed"),
                   NULL);
}

void h_ca_go_on(struct h_ca *ca)
{
    struct http_exchange *ex = ca->held;
    ca->held = NULL;
    ca->hold_path = NULL;
    handle(ca, ex);
}

static int64_t limit(void *arg, const struct http_request *req)
{
    (void)arg;
    (void)req;
    return BODY_MAX;
}

void h_ca_start(struct h_ca *ca, struct cm_loop *loop)
{
    struct cm_err err = CM_ERR_INIT;
    struct http_listen_opts opts = {
        .address = "127.0.0.1:0", .fd = -1, .limit = limit, .handler = handle, .arg = ca};
    *ca = (struct h_ca){.loop = loop, .orders = json_array(), .life_s = 90 * 86400};
    OK(http_listen(loop, &opts, &ca->listener, &err), err);
    snprintf(ca->base, sizeof(ca->base), "http://%s", http_listener_address(ca->listener));
    ca_init(&ca->keys);
}

void h_ca_stop(struct h_ca *ca)
{
    http_listener_free(ca->listener);
    json_decref(ca->orders);
    json_decref(ca->eab);
    json_decref(ca->revoked);
    json_decref(ca->ari);
    json_decref(ca->replaces);
    ca_fini(&ca->keys);
}
