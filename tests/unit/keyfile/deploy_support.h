/* Three agents of one fleet (manager, server-1, server-2), a test CA, and keyfile documents. */
#pragma once

#include "agent_support.h"

#define ULID  "01JDEXAMPE0000000000000000"
#define OTHER "01JDEXAMPE0000000000000001"

static struct {
    char *dir;
    struct test_agent manager, server, second;
    struct test_ca ca;
    json_t *root;
    int64_t serial;
    struct cm_err err;
} f;

static inline int setup(void **state)
{
    (void)state;
    f.dir = temp_dir();
    f.err = CM_ERR_INIT;
    f.serial = 1000;
    ca_init(&f.ca);
    agent_init(&f.manager, f.dir, "manager");
    agent_init(&f.server, f.dir, "server");
    agent_init(&f.second, f.dir, "second");
    agent_start(&f.manager);
    agent_start(&f.server);
    agent_start(&f.second);
    json_decref(agent_found(&f.manager, "manager"));
    json_decref(agent_join(&f.manager, &f.server, "server-1"));
    f.root = agent_join(&f.manager, &f.second, "server-2");
    json_decref(call(&f.server, with_document("trust.update", f.root)));
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    json_decref(f.root);
    ca_fini(&f.ca);
    agent_fini(&f.manager);
    agent_fini(&f.server);
    agent_fini(&f.second);
    remove_dir(f.dir);
    return 0;
}

/* key.create for these servers, and a certificate from the CSR: an unsigned keyfile document. */
static inline json_t *new_body(const char *ulid, const char *const *servers, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_string(servers[i]));
    CM_AUTO_JSON key =
        call(&f.manager, json_pack("{s:s,s:s,s:i,s:s,s:[s],s:O}", "op", "key.create", "credential",
                                   ulid, "generation", 1, "key_type", "P-256", "names",
                                   "www.example.com", "servers", list));
    const char *text = cm_json_str(key, "csr");
    uint8_t *der;
    size_t len;
    assert_int_equal(cm_b64url_decode(text, strlen(text), &der, &len), 0);
    const unsigned char *at = der;
    X509_REQ *req = d2i_X509_REQ(NULL, &at, (long)len);
    cm_free(der);
    assert_int_equal(X509_REQ_verify(req, X509_REQ_get0_pubkey(req)), 1);
    CM_AUTO_STR leaf = ca_leaf(&f.ca, X509_REQ_get0_pubkey(req), "DNS:www.example.com");
    X509_REQ_free(req);
    struct kf_cert_info info;
    OK(kf_cert_info(leaf, &info, &f.err), f.err);
    assert_string_equal(info.public_key_sha256, cm_json_str(key, "public_key_sha256"));
    CM_AUTO_STR id = cm_asprintf("keyfile:%s", ulid);
    json_t *body = json_pack(
        "{s:s,s:s,s:s,s:o,s:s,s:s,s:[s],s:s,s:i,s:s,s:s,s:s,s:s,s:s}", "_id", id, "type", "keyfile",
        "credential", ulid, "servers", list, "keyring_file", "site.kyr", "target", "web", "names",
        "www.example.com", "sealed_key", cm_json_str(key, "sealed_key"), "key_generation", 1,
        "public_key_sha256", info.public_key_sha256, "leaf", leaf, "intermediates", f.ca.middle,
        "root", f.ca.root, "fingerprint", info.fingerprint);
    cm_json_set_int(body, "serial", f.serial++);
    kf_cert_info_fini(&info);
    return body;
}

static inline json_t *body_for_server_1(void)
{
    static const char *const servers[] = {"server-1"};
    return new_body(ULID, servers, 1);
}

/* The body (kept) signed again under a new serial. */
static inline json_t *resign(json_t *body)
{
    cm_json_set_int(body, "serial", f.serial++);
    return agent_sign(&f.manager, json_deep_copy(body));
}

static inline json_t *stage_request(const json_t *document, const char *target)
{
    json_t *request = with_document("deploy.stage", document);
    cm_json_set_str(request, "target", target);
    return request;
}

static inline json_t *stage_op(const char *name, const char *stage)
{
    return json_pack("{s:s,s:s}", "op", name, "stage", stage);
}

static inline char *read_data(struct test_agent *a, const char *file, mode_t mode)
{
    CM_AUTO_STR path = cm_asprintf("%s/%s", a->data, file);
    struct stat st;
    char *text;
    size_t len;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, mode);
    OK(cm_file_read(path, 1u << 20, &text, &len, &f.err), f.err);
    return text;
}

static inline bool there(struct test_agent *a, const char *file)
{
    CM_AUTO_STR path = cm_asprintf("%s/%s", a->data, file);
    return cm_path_exists(path);
}

/* stage, swap, commit of a changed document. */
static inline void deploy(struct test_agent *a, const json_t *document)
{
    CM_AUTO_JSON reply = call(a, stage_request(document, "web"));
    assert_true(cm_json_bool(reply, "changed", false));
    const char *stage = cm_json_str(reply, "stage");
    json_decref(call(a, stage_op("deploy.swap", stage)));
    json_decref(call(a, stage_op("deploy.commit", stage)));
}
