/* The agent's verbs about keys: key.create, account.create, jws.sign,
 * eab.sign. */
#include "agent_support.h"

#include "keyfile/binding.h"
#include "keyfile/sig.h"

#define ULID "01JDEXAMPE0000000000000000"

static struct {
    char *dir;
    struct test_agent manager, server;
    struct cm_err err;
} f;

static int setup(void **state)
{
    (void)state;
    f.dir = temp_dir();
    f.err = CM_ERR_INIT;
    agent_init(&f.manager, f.dir, "manager");
    agent_init(&f.server, f.dir, "server");
    agent_start(&f.manager);
    agent_start(&f.server);
    json_decref(agent_found(&f.manager, "manager"));
    json_decref(agent_join(&f.manager, &f.server, "server-1"));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    agent_fini(&f.manager);
    agent_fini(&f.server);
    remove_dir(f.dir);
    return 0;
}

static json_t *key_request(const char *type, json_t *take_names, json_t *take_servers)
{
    return json_pack("{s:s,s:s,s:i,s:s,s:o,s:o}", "op", "key.create", "credential", ULID,
                     "generation", 3, "key_type", type, "names", take_names, "servers",
                     take_servers);
}

/* Opens a sealed key with the files of an agent, outside of the agent. */
static int open_sealed(struct test_agent *a, const char *sealed64, struct kf_secret *ret)
{
    struct kf_identity id;
    uint8_t *der;
    size_t len;
    OK(kf_identity_load(a->config.dir, &id, &f.err), f.err);
    assert_int_equal(cm_b64_decode(sealed64, strlen(sealed64), &der, &len), 0);
    int rc = kf_open(der, len, id.seal, id.seal_cert, ret, NULL);
    cm_free(der);
    kf_identity_fini(&id);
    return rc;
}

static X509_REQ *read_csr(const json_t *reply)
{
    uint8_t *der;
    size_t len;
    const char *text = cm_json_str(reply, "csr");
    assert_int_equal(cm_b64url_decode(text, strlen(text), &der, &len), 0);
    const unsigned char *at = der;
    X509_REQ *req = d2i_X509_REQ(NULL, &at, (long)len);
    assert_non_null(req);
    assert_ptr_equal(at, der + len);
    cm_free(der);
    return req;
}

static void makes_keys(const char *type, int id, int bits)
{
    CM_AUTO_JSON reply = call(
        &f.manager, key_request(type, json_pack("[s,s]", "www.example.com", "*.xn--wgv71a119e.jp"),
                                json_pack("[s]", "server-1")));
    struct kf_secret text;
    struct kf_binding binding;
    EVP_PKEY *key;
    char spki[KF_SPKI_HEX];
    assert_int_equal(open_sealed(&f.server, cm_json_str(reply, "sealed_key"), &text), 0);
    OK(kf_bind_credential(&binding, ULID, 3, &f.err), f.err);
    OK(kf_bound_read(&text, &binding, &key, spki, &f.err), f.err);
    assert_string_equal(spki, cm_json_str(reply, "public_key_sha256"));
    assert_int_equal(EVP_PKEY_get_base_id(key), id);
    assert_int_equal(EVP_PKEY_get_bits(key), bits);
    kf_secret_fini(&text);
    /* The manager made it and cannot open it: the credential is transient. */
    assert_int_equal(open_sealed(&f.manager, cm_json_str(reply, "sealed_key"), &text), CM_EDENIED);

    X509_REQ *req = read_csr(reply);
    assert_int_equal(X509_REQ_verify(req, key), 1);
    assert_int_equal(X509_NAME_entry_count(X509_REQ_get_subject_name(req)), 0);
    assert_int_equal(X509_REQ_get_version(req), 0);
    STACK_OF(X509_EXTENSION) *exts = X509_REQ_get_extensions(req);
    GENERAL_NAMES *names = X509V3_get_d2i(exts, NID_subject_alt_name, NULL, NULL);
    assert_int_equal(sk_GENERAL_NAME_num(names), 2);
    assert_string_equal(ASN1_STRING_get0_data(sk_GENERAL_NAME_value(names, 1)->d.dNSName),
                        "*.xn--wgv71a119e.jp");
    GENERAL_NAMES_free(names);
    sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
    X509_REQ_free(req);
    EVP_PKEY_free(key);
}

static void key_create(void **state)
{
    (void)state;
    makes_keys("P-256", EVP_PKEY_EC, 256);
    makes_keys("P-384", EVP_PKEY_EC, 384);
    makes_keys("RSA-2048", EVP_PKEY_RSA, 2048);
}

static void key_create_for_addresses(void **state)
{
    (void)state;
    static const unsigned char v4[] = {192, 0, 2, 1};
    static const unsigned char v6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1};
    CM_AUTO_JSON reply = call(
        &f.manager,
        key_request("P-256", json_pack("[s,s,s]", "www.example.com", "192.0.2.1", "2001:db8::1"),
                    json_pack("[s]", "server-1")));
    X509_REQ *req = read_csr(reply);
    STACK_OF(X509_EXTENSION) *exts = X509_REQ_get_extensions(req);
    GENERAL_NAMES *names = X509V3_get_d2i(exts, NID_subject_alt_name, NULL, NULL);
    assert_int_equal(sk_GENERAL_NAME_num(names), 3);
    assert_int_equal(sk_GENERAL_NAME_value(names, 0)->type, GEN_DNS);
    const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, 1);
    assert_int_equal(name->type, GEN_IPADD);
    assert_int_equal(ASN1_STRING_length(name->d.iPAddress), sizeof(v4));
    assert_memory_equal(ASN1_STRING_get0_data(name->d.iPAddress), v4, sizeof(v4));
    name = sk_GENERAL_NAME_value(names, 2);
    assert_int_equal(name->type, GEN_IPADD);
    assert_int_equal(ASN1_STRING_length(name->d.iPAddress), sizeof(v6));
    assert_memory_equal(ASN1_STRING_get0_data(name->d.iPAddress), v6, sizeof(v6));
    GENERAL_NAMES_free(names);
    sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
    X509_REQ_free(req);
    /* only canonical text: what the CA compares */
    refused(&f.manager,
            key_request("P-256", json_pack("[s]", "2001:0db8::1"), json_pack("[s]", "server-1")),
            "invalid", "address");
    refused(&f.manager,
            key_request("P-256", json_pack("[s]", "2001:DB8::1"), json_pack("[s]", "server-1")),
            "invalid", "address");
}

static void key_create_refusals(void **state)
{
    (void)state;
    static const char *const names[] = {"",      "UPPER.example", "a..b",  "-a.example",
                                        "a_b.c", "a.example.",    "*",     "*.*.example",
                                        "a b.c", "日本語.jp",     "a.*.b", "a-.example"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        refused(&f.manager,
                key_request("P-256", json_pack("[s]", names[i]), json_pack("[s]", "server-1")),
                "invalid", "host name");
    struct test_agent *m = &f.manager;
    refused(m, key_request("P-256", json_array(), json_pack("[s]", "server-1")), "invalid",
            "1 to 100");
    refused(m, key_request("P-256", json_pack("[s,s]", "a.b", "a.b"), json_pack("[s]", "server-1")),
            "invalid", "named twice");
    refused(m, key_request("P-256", json_pack("[i]", 5), json_pack("[s]", "server-1")), "invalid",
            "host name");
    refused(m, key_request("P-256", json_pack("[s]", "a.b"), json_array()), "invalid", "1 to 200");
    refused(m, key_request("P-256", json_pack("[s]", "a.b"), json_pack("[s]", "nobody")), "invalid",
            "not in the trust root");
    refused(m,
            key_request("P-256", json_pack("[s]", "a.b"), json_pack("[s,s]", "manager", "manager")),
            "invalid", "listed twice");
    refused(m, key_request("DSA", json_pack("[s]", "a.b"), json_pack("[s]", "manager")), "invalid",
            "key type");
    refused(m,
            json_pack("{s:s,s:s,s:i,s:s,s:[s],s:[s]}", "op", "key.create", "credential", "../etc",
                      "generation", 1, "key_type", "P-256", "names", "a.b", "servers", "manager"),
            "malformed", "ULID");
    refused(m,
            json_pack("{s:s,s:s,s:i,s:s,s:[s],s:[s]}", "op", "key.create", "credential", ULID,
                      "generation", 0, "key_type", "P-256", "names", "a.b", "servers", "manager"),
            "malformed", "generation");
    refused(&f.server, key_request("P-256", json_pack("[s]", "a.b"), json_pack("[s]", "server-1")),
            "denied", "not a manager");
    json_decref(call(m, json_pack("{s:s,s:s}", "op", "trust.remove", "name", "server-1")));
    refused(m, key_request("P-256", json_pack("[s]", "a.b"), json_pack("[s]", "server-1")),
            "invalid", "not active");
}

/* A slow key does not hold up a quick verb; the queue is bounded; everything is answered once. */
static void slow_keys_do_not_block(void **state)
{
    (void)state;
    int64_t slow = agent_send(
        &f.manager, key_request("RSA-4096", json_pack("[s]", "a.b"), json_pack("[s]", "server-1")));
    int64_t quick = agent_send(&f.manager, op("hello"));
    CM_AUTO_JSON first = agent_read(&f.manager);
    assert_int_equal(cm_json_int(first, "id", -1), quick);
    CM_AUTO_JSON second = agent_read(&f.manager);
    assert_int_equal(cm_json_int(second, "id", -1), slow);
    assert_true(cm_json_bool(second, "ok", false));

    enum { COUNT = 200 };
    bool seen[COUNT] = {false};
    int64_t base = f.manager.next_id;
    for (int i = 0; i < COUNT; i++)
        agent_send(&f.manager,
                   key_request("P-256", json_pack("[s]", "a.b"), json_pack("[s]", "server-1")));
    for (int i = 0; i < COUNT; i++) {
        CM_AUTO_JSON reply = agent_read(&f.manager);
        int64_t at = cm_json_int(reply, "id", -1) - base;
        assert_in_range(at, 0, COUNT - 1);
        assert_true(cm_json_bool(reply, "ok", false));
        assert_false(seen[at]);
        seen[at] = true;
    }
}

/* ---- ACME accounts ---- */

static json_t *account_request(const char *account, const char *directory)
{
    return json_pack("{s:s,s:s,s:s}", "op", "account.create", "account", account, "directory",
                     directory);
}

static json_t *jws_request(const char *account, const char *directory, const char *sealed,
                           const char *url, const char *nonce, const char *payload, const char *kid)
{
    return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s?}", "op", "jws.sign", "account", account,
                     "directory", directory, "sealed_key", sealed, "url", url, "nonce", nonce,
                     "payload", payload, "kid", kid);
}

static json_t *protected_of(const json_t *jws)
{
    const char *text = cm_json_str(jws, "protected");
    uint8_t *bytes;
    size_t len;
    json_t *head;
    assert_int_equal(cm_b64url_decode(text, strlen(text), &bytes, &len), 0);
    OK(cm_json_parse((char *)bytes, len, &head, &f.err), f.err);
    cm_free(bytes);
    return head;
}

/* Verifies with a key built from the JWK alone. */
static void check_jws(const json_t *jws, const json_t *jwk)
{
    uint8_t spki[KF_P256_SPKI_SIZE] = {0}, *x, *y, *sig;
    size_t x_len, y_len, sig_len;
    EVP_PKEY *any, *key;
    uint8_t *head;
    size_t head_len;
    /* The head of a P-256 SPKI is the same for all keys. */
    assert_int_equal(kf_pkey_generate(KF_KEY_P256, &any, NULL), 0);
    assert_int_equal(kf_spki(any, &head, &head_len, NULL), 0);
    memcpy(spki, head, KF_P256_SPKI_SIZE);
    cm_free(head);
    EVP_PKEY_free(any);
    const char *xt = cm_json_str(jwk, "x"), *yt = cm_json_str(jwk, "y");
    assert_int_equal(cm_b64url_decode(xt, strlen(xt), &x, &x_len), 0);
    assert_int_equal(cm_b64url_decode(yt, strlen(yt), &y, &y_len), 0);
    assert_int_equal(x_len, 32);
    assert_int_equal(y_len, 32);
    memcpy(spki + 27, x, 32);
    memcpy(spki + 59, y, 32);
    OK(kf_p256_from_spki(spki, sizeof(spki), &key, &f.err), f.err);
    const char *st = cm_json_str(jws, "signature");
    assert_int_equal(cm_b64url_decode(st, strlen(st), &sig, &sig_len), 0);
    CM_AUTO_STR input =
        cm_asprintf("%s.%s", cm_json_str(jws, "protected"), cm_json_str(jws, "payload"));
    OK(kf_sig_verify(key, input, strlen(input), sig, sig_len, &f.err), f.err);
    EVP_PKEY_free(key);
    cm_free(x);
    cm_free(y);
    cm_free(sig);
}

static void signs_for_its_ca(void **state)
{
    (void)state;
    const char *dir = "https://ca.example/directory";
    CM_AUTO_JSON account = call(&f.manager, account_request("main", dir));
    const char *sealed = cm_json_str(account, "sealed_key");
    const json_t *jwk = cm_json_obj(account, "jwk");
    assert_int_equal(json_object_size(jwk), 4);
    assert_int_equal(strlen(cm_json_str(account, "thumbprint")), 43);

    CM_AUTO_JSON first =
        call(&f.manager, jws_request("main", dir, sealed, "https://ca.example/new-account",
                                     "n0nce-_", "{\"a\":1}", NULL));
    const json_t *jws = cm_json_obj(first, "jws");
    CM_AUTO_JSON head = protected_of(jws);
    assert_int_equal(json_object_size(jws), 3);
    assert_int_equal(json_object_size(head), 4);
    assert_string_equal(cm_json_str(head, "alg"), "ES256");
    assert_string_equal(cm_json_str(head, "nonce"), "n0nce-_");
    assert_string_equal(cm_json_str(head, "url"), "https://ca.example/new-account");
    assert_true(json_equal(json_object_get(head, "jwk"), jwk));
    assert_string_equal(cm_json_str(jws, "payload"), "eyJhIjoxfQ");
    check_jws(jws, jwk);

    CM_AUTO_JSON second =
        call(&f.manager, jws_request("main", dir, sealed, "https://ca.example:443/order/1", "n2",
                                     "", "https://ca.example/acct/1"));
    const json_t *get = cm_json_obj(second, "jws");
    CM_AUTO_JSON head2 = protected_of(get);
    assert_string_equal(cm_json_str(head2, "kid"), "https://ca.example/acct/1");
    assert_null(json_object_get(head2, "jwk"));
    assert_string_equal(cm_json_str(head2, "url"), "https://ca.example:443/order/1");
    assert_string_equal(cm_json_str(get, "payload"), ""); /* POST-as-GET (RFC 8555 6.3) */
    check_jws(get, jwk);
    /* The key survives the agent: it lies in the envelope only. */
    agent_restart(&f.manager);
    CM_AUTO_JSON third = call(
        &f.manager, jws_request("main", dir, sealed, "https://ca.example/x", "n3", "{}", NULL));
    check_jws(cm_json_obj(third, "jws"), jwk);
}

static json_t *eab_request(const char *directory, const char *url, const char *kid, const char *key,
                           const json_t *jwk)
{
    return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:O}", "op", "eab.sign", "directory", directory,
                     "url", url, "kid", kid, "key", key, "alg", "HS384", "jwk", jwk);
}

static void binds_to_an_account_at_the_ca(void **state)
{
    (void)state;
    const char *dir = "https://ca.example/directory", *url = "https://ca.example/new-account";
    struct test_agent *m = &f.manager;
    CM_AUTO_JSON account = call(m, account_request("main", dir));
    const json_t *jwk = cm_json_obj(account, "jwk");
    CM_AUTO_JSON reply = call(m, eab_request(dir, url, "kid-1", "c2VjcmV0IGtleQ==", jwk));
    assert_int_equal(cm_json_int(reply, "key_bytes", 0), 10);
    const json_t *jws = cm_json_obj(reply, "jws");
    CM_AUTO_JSON head = protected_of(jws);
    assert_int_equal(json_object_size(head), 3); /* no nonce (7.3.4) */
    assert_string_equal(cm_json_str(head, "alg"), "HS384");
    assert_string_equal(cm_json_str(head, "kid"), "kid-1");
    assert_null(json_object_get(reply, "jws_other"));
    assert_string_equal(cm_json_str(head, "url"), url);

    refused(m, eab_request("https://other.example/dir", url, "k", "c2VjcmV0", jwk), "denied",
            "not configured");
    refused(m, eab_request(dir, "https://evil.example/x", "k", "c2VjcmV0", jwk), "denied",
            "not at the account's CA");
    refused(m, eab_request(dir, url, "k", "", jwk), "invalid", "missing");
    refused(&f.server, eab_request(dir, url, "k", "c2VjcmV0", jwk), "denied", "not a manager");
    CM_AUTO_JSON other = json_pack("{s:s}", "any", "thing"); /* no oracle for other texts */
    refused(m, eab_request(dir, url, "k", "c2VjcmV0", other), "malformed", "public key");
}

static void refuses_other_cas_and_accounts(void **state)
{
    (void)state;
    struct test_agent *m = &f.manager;
    const char *dir = "https://ca.example/directory", *url = "https://ca.example/x";
    CM_AUTO_JSON account = call(m, account_request("main", dir));
    const char *sealed = cm_json_str(account, "sealed_key");

    refused(m, account_request("x", "https://other.example/dir"), "denied", "not configured");
    refused(m, account_request("x", "http://ca.example/dir"), "malformed", "https");
    refused(m, account_request("x", "https://ca.example@evil.example/"), "malformed", "URL");
    refused(m, account_request("a\nb", dir), "malformed", "sealed text");
    refused(m, account_request("", dir), "malformed", "sealed text");
    refused(&f.server, account_request("x", dir), "denied", "not a manager");

    refused(m, jws_request("main", dir, sealed, "https://evil.example/x", "n", "", NULL), "denied",
            "not at the account's CA");
    refused(m, jws_request("main", dir, sealed, "https://ca.example:8443/x", "n", "", NULL),
            "denied", "not at the account's CA");
    refused(m, jws_request("main", dir, sealed, "https://ca.example.evil.example/", "n", "", NULL),
            "denied", "not at the account's CA");
    refused(m, jws_request("main", dir, sealed, "https://ca.example\\@evil/", "n", "", NULL),
            "malformed", "URL");
    refused(m, jws_request("main", dir, sealed, url, "n", "", "https://evil.example/acct"),
            "denied", "account URL");
    refused(m, jws_request("main", "https://evil.example/", sealed, url, "n", "", NULL), "denied",
            "not configured");
    refused(m, jws_request("other", dir, sealed, url, "n", "", NULL), "denied",
            "bound to account:main");
    refused(m, jws_request("main", dir, sealed, url, "", "", NULL), "malformed", "nonce");
    refused(m, jws_request("main", dir, sealed, url, "a=b", "", NULL), "malformed", "nonce");
    refused(m, jws_request("main", dir, "!!", url, "n", "", NULL), "malformed", "base64");
    refused(m, jws_request("main", dir, "AAAA", url, "n", "", NULL), "malformed", "envelope");
    refused(&f.server, jws_request("main", dir, sealed, url, "n", "", NULL), "denied",
            "not a manager");

    /* A credential's key is no account key, whoever asks. */
    CM_AUTO_JSON made = call(m, key_request("P-256", json_pack("[s]", "a.b"),
                                            json_pack("[s,s]", "manager", "server-1")));
    refused(m, jws_request("main", dir, cm_json_str(made, "sealed_key"), url, "n", "", NULL),
            "denied", "bound to credential:");
    CM_AUTO_JSON foreign =
        call(m, key_request("P-256", json_pack("[s]", "a.b"), json_pack("[s]", "server-1")));
    refused(m, jws_request("main", dir, cm_json_str(foreign, "sealed_key"), url, "n", "", NULL),
            "denied", "not a recipient");

    /* Bound to this CA: another one, even if configured later, gets no signature from it. */
    agent_stop(m);
    cm_strcpy(m->config.origin[m->config.origin_count++], sizeof(m->config.origin[0]),
              "https://second.example:8443/");
    agent_start(m);
    refused(m,
            jws_request("main", "https://second.example:8443/dir", sealed,
                        "https://second.example:8443/x", "n", "", NULL),
            "denied", "bound to directory https://ca.example");
    json_decref(call(m, account_request("main", "https://SECOND.example:8443/dir")));
}

static json_t *rollover_request(const char *account, const char *sealed, const char *next,
                                const char *url, const char *kid)
{
    return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s}", "op", "rollover.sign", "account", account,
                     "directory", "https://ca.example/directory", "sealed_key", sealed,
                     "new_sealed_key", next, "url", url, "nonce", "n1", "kid", kid);
}

/* RFC 8555 7.3.5: the new key signs inside, the present one outside. */
static void rollover(void **state)
{
    (void)state;
    struct test_agent *m = &f.manager;
    const char *dir = "https://ca.example/directory", *url = "https://ca.example/key-change";
    const char *kid = "https://ca.example/acct/1";
    CM_AUTO_JSON old = call(m, account_request("main", dir));
    CM_AUTO_JSON new = call(m, account_request("main", dir));
    CM_AUTO_JSON other = call(m, account_request("other", dir));
    const char *sealed = cm_json_str(old, "sealed_key"), *next = cm_json_str(new, "sealed_key");
    CM_AUTO_JSON reply = call(m, rollover_request("main", sealed, next, url, kid));
    const json_t *jws = cm_json_obj(reply, "jws");
    check_jws(jws, cm_json_obj(old, "jwk"));
    CM_AUTO_JSON head = protected_of(jws);
    assert_string_equal(cm_json_str(head, "kid"), kid);
    uint8_t *data;
    size_t len;
    const char *text = cm_json_str(jws, "payload");
    CM_AUTO_JSON inner = NULL;
    assert_int_equal(cm_b64url_decode(text, strlen(text), &data, &len), 0);
    assert_int_equal(cm_json_parse((char *)data, len, &inner, NULL), 0);
    cm_free(data);
    check_jws(inner, cm_json_obj(new, "jwk"));
    CM_AUTO_JSON inner_head = protected_of(inner);
    assert_null(json_object_get(inner_head, "nonce"));
    assert_string_equal(cm_json_str(inner_head, "url"), url);
    assert_true(json_equal(json_object_get(inner_head, "jwk"), json_object_get(new, "jwk")));
    text = cm_json_str(inner, "payload");
    CM_AUTO_JSON said = NULL;
    assert_int_equal(cm_b64url_decode(text, strlen(text), &data, &len), 0);
    assert_int_equal(cm_json_parse((char *)data, len, &said, NULL), 0);
    cm_free(data);
    assert_string_equal(cm_json_str(said, "account"), kid);
    assert_true(json_equal(json_object_get(said, "oldKey"), json_object_get(old, "jwk")));

    refused(m, rollover_request("main", sealed, sealed, url, kid), "denied", "is the old one");
    refused(m, rollover_request("main", sealed, cm_json_str(other, "sealed_key"), url, kid),
            "denied", "bound to account:other");
    refused(m, rollover_request("main", sealed, next, "https://evil.example/", kid), "denied",
            "not at the account's CA");
    refused(m, rollover_request("main", sealed, next, url, "https://evil.example/1"), "denied",
            "account URL");
    refused(m, rollover_request("main", "AAAA", next, url, kid), "malformed", "envelope");
    refused(&f.server, rollover_request("main", sealed, next, url, kid), "denied", "not a manager");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(key_create),
        TEST(key_create_for_addresses),
        TEST(key_create_refusals),
        TEST(slow_keys_do_not_block),
        TEST(signs_for_its_ca),
        TEST(binds_to_an_account_at_the_ca),
        TEST(rollover),
        TEST(refuses_other_cas_and_accounts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
