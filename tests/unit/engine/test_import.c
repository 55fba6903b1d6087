/* Certificates that come with their keys: through the engine, with the agent's part played. */
#include "tests/unit/engine/harness.h"

#include "base/core/buf.h"
#include "certmgr/engine/import.h"
#include "keyfile/csr.h"

static const struct eng_actor ada = {.who = "ada", .via = "cli"};

/* What the agent makes of a file: names as in sans, the chain in the wrong order. */
static void file_with(struct h *h, const char *sans, json_t *take_names, long to_s)
{
    KF_AUTO(pkey) EVP_PKEY *key = NULL;
    uint8_t *der;
    size_t len;
    char hex[65];
    assert_int_equal(kf_pkey_generate(KF_KEY_P256, &key, NULL), 0);
    assert_int_equal(kf_spki_hex(key, hex, NULL), 0);
    assert_int_equal(kf_csr(key, take_names, &der, &len, NULL), 0);
    CM_AUTO_STR csr = cm_b64url(der, len);
    X509 *cert = make_cert("leaf", key, "Test Middle", h->ca.keys.middle_key, sans, -60, to_s);
    CM_AUTO_STR leaf = cert_pem(cert);
    CM_AUTO_STR chain = cm_asprintf("%s%s%s", h->ca.keys.root, h->ca.keys.middle, leaf);
    json_decref(h->import_reply);
    h->import_reply =
        json_pack("{s:s,s:s,s:s,s:s,s:s,s:b}", "sealed_key", "b2xk", "public_key_sha256", hex,
                  "csr", csr, "key_type", "P-256", "chain", chain, "exportable", 1);
    json_decref(take_names);
    X509_free(cert);
    cm_free(der);
}

static void on_import(void *arg, const char *id, const json_t *errors, const json_t *notes,
                      const struct cm_err *err)
{
    struct h *h = arg;
    if (id)
        (void)cm_strcpy(h->credential, sizeof(h->credential), id);
    json_decref(h->errors);
    json_decref(h->notes);
    h->errors = json_deep_copy(errors);
    h->notes = json_deep_copy(notes);
    h_on_done(h, err);
}

static int import(struct h *h, const char *credential, const char *server)
{
    CM_AUTO_JSON fields = server ? json_pack("{s:[s]}", "servers", server) : json_object();
    eng_import(h->engine, credential, fields, "c2VhbGVk", &ada, on_import, h);
    return h_done(h);
}

static json_t *imported(struct h *h)
{
    file_with(h, "DNS:www.example.com,DNS:*.example.com",
              json_pack("[s,s]", "www.example.com", "*.example.com"), 90 * 86400);
    if (import(h, NULL, "bravo") != 0)
        fail_msg("%s", h_line(h));
    return h_status(h, "issued");
}

static bool told(struct h *h, const char *text)
{
    CM_AUTO_JSON view = eng_view(h->engine, h->credential);
    CM_AUTO_STR all = cm_json_dump(json_object_get(view, "steps"), NULL);
    assert_null(json_object_get(cm_json_obj(view, "request"), "key"));
    return strstr(all, text) != NULL;
}

static void a_file_becomes_a_credential(void **state)
{
    struct h *h = *state;
    CM_AUTO_JSON body = imported(h);
    assert_string_equal(cm_json_str(body, "provider"), "import");
    assert_string_equal(cm_json_str(body, "sealed_key"), "b2xk");
    assert_string_equal(cm_json_str(body, "root"), h->ca.keys.root);
    assert_string_equal(cm_json_str(body, "requested_by"), "ada");
    assert_true(cm_json_bool(body, "exportable", false));
    assert_null(json_object_get(body, "account"));
    assert_null(json_object_get(body, "issued_by"));
    assert_int_equal(cm_json_int(body, "key_generation", 0), 1);
    assert_int_equal(json_array_size(cm_json_arr(body, "host_names_ascii")), 2);
    /* Nothing renews it. */
    struct plan plan = eng_plan(body, NULL, cm_now_ms());
    assert_int_equal(plan.action, PLAN_EXPIRE);
    assert_int_equal(plan.when_ms, cm_json_time(body, "not_after", 0));
    h_turns(h, 50);
    CM_AUTO_JSON keyfile = h_body(h, "keyfile", h->credential);
    CM_AUTO_STR chain =
        cm_asprintf("%s%s", cm_json_str(keyfile, "leaf"), cm_json_str(keyfile, "intermediates"));
    assert_string_equal(cm_json_str(body, "chain"), chain);
    assert_string_equal(cm_json_str(keyfile, "sealed_key"), "b2xk");
    assert_true(json_equal(json_object_get(keyfile, "servers"), json_object_get(body, "servers")));
    assert_true(told(h, "A certificate was imported with its key"));
    assert_int_equal(h->ca.new_orders, 0);
}

static void file_error(struct h *h, int rc, const char *text)
{
    assert_int_equal(rc, CM_EINVAL);
    const json_t *first = json_array_get(h->errors, 0);
    if (!strstr(cm_json_str_or(first, "message", ""), text))
        fail_msg("%s, not %s", cm_json_str_or(first, "message", "-"), text);
    assert_string_equal(cm_json_str(first, "field"), "file");
}

static void what_is_wrong_is_said_at_once(void **state)
{
    struct h *h = *state;
    file_with(h, "DNS:www.example.com", json_pack("[s]", "www.example.com"), -1);
    file_error(h, import(h, NULL, "bravo"), "has expired");
    file_with(h, "DNS:www.example.com", json_pack("[s]", "www.example.com"), 86400);
    const char *chain = cm_json_str(h->import_reply, "chain");
    CM_AUTO_STR leaf = cm_strdup(strstr(strstr(chain + 5, "-----BEGIN") + 5, "-----BEGIN"));
    cm_json_set_str(h->import_reply, "chain", leaf);
    file_error(h, import(h, NULL, "bravo"), "\"Test Middle\" is missing");
    h->fail_op = "key.import";
    h->fail_code = CM_EINVAL;
    file_error(h, import(h, NULL, "bravo"), "the agent refuses");
    h->fail_op = NULL;
    assert_int_equal(import(h, NULL, NULL), CM_EINVAL); /* no server, and no default */
    assert_non_null(strstr(h_line(h), "at least one server"));
    assert_int_equal(import(h, "01JDEXAMPE0000000000000000", "bravo"), CM_ENOENT);
    assert_int_equal(import(h, "x", "bravo"), CM_EINVAL);
    CM_AUTO_JSON none = h_body(h, "credential", h->credential);
    assert_null(none);
}

/* More names than a credential has: its fields say so. */
static void thirty_names(void **state)
{
    struct h *h = *state;
    struct cm_buf sans;
    json_t *names = json_array();
    cm_buf_init(&sans, 4096);
    for (int i = 0; i < ENG_NAMES_MAX + 1; i++) {
        CM_AUTO_STR name = cm_asprintf("h%d.example.com", i);
        cm_buf_puts(&sans, i ? ",DNS:" : "DNS:");
        cm_buf_puts(&sans, name);
        json_array_append_new(names, json_string(name));
    }
    file_with(h, cm_buf_str(&sans), names, 86400);
    cm_buf_fini(&sans);
    assert_int_equal(import(h, NULL, "bravo"), CM_EINVAL);
    assert_string_equal(cm_json_str(json_array_get(h->errors, 0), "field"), "host_names");
}

static int change(struct h *h, json_t *take_fields)
{
    CM_AUTO_STR credential = cm_strdup(h->credential);
    eng_change(h->engine, credential, take_fields, 0, &ada, on_import, h);
    json_decref(take_fields);
    return h_done(h);
}

static bool has_new_servers(struct h *h)
{
    CM_AUTO_JSON body = h_body(h, "credential", h->credential);
    return strcmp(cm_json_str_or(body, "sealed_key", ""), "bmV3") == 0;
}

static void other_servers(void **state)
{
    struct h *h = *state;
    CM_AUTO_JSON before = imported(h);
    h->away = 1; /* the agent is away once: gone on with later */
    h->away_op = "key.rewrap";
    assert_int_equal(change(h, json_pack("{s:[s,s]}", "servers", "alpha", "charlie")), 0);
    h_until(h, has_new_servers, "the key for other servers");
    CM_AUTO_JSON body = h_status(h, "issued");
    CM_AUTO_JSON keyfile = h_body(h, "keyfile", h->credential);
    assert_string_equal(cm_json_str(keyfile, "sealed_key"), "bmV3");
    assert_int_equal(json_array_size(cm_json_arr(keyfile, "servers")), 2);
    assert_true(json_equal(json_object_get(keyfile, "servers"), json_object_get(body, "servers")));
    static const char *const stays[] = {"chain",          "csr",        "fingerprint",
                                        "key_generation", "exportable", "host_names_ascii"};
    for (size_t i = 0; i < sizeof(stays) / sizeof(stays[0]); i++)
        assert_true(json_equal(json_object_get(body, stays[i]), json_object_get(before, stays[i])));
    assert_int_equal(h_op_count(h, "key.rewrap"), 2);
    assert_int_equal(h_op_count(h, "key.create"), 0);
}

static bool change_failed(struct h *h)
{
    CM_AUTO_JSON body = h_body(h, "credential", h->credential);
    return cm_json_obj(body, "error") != NULL;
}

/* The servers that have the key keep it, and people hear why. */
static void servers_that_cannot_be_given_it(void **state)
{
    struct h *h = *state;
    json_decref(imported(h));
    h->fail_op = "key.rewrap";
    h->fail_code = CM_EDENIED;
    assert_int_equal(change(h, json_pack("{s:[s]}", "servers", "charlie")), 0);
    h_until(h, change_failed, "the failure");
    CM_AUTO_JSON body = h_status(h, "issued");
    assert_string_equal(json_string_value(json_array_get(cm_json_arr(body, "servers"), 0)),
                        "bravo");
    assert_string_equal(cm_json_str(body, "sealed_key"), "b2xk");
    assert_true(told(h, "could not be given to other servers"));
}

static void names_and_providers(void **state)
{
    struct h *h = *state;
    json_decref(imported(h));
    assert_int_equal(change(h, json_pack("{s:s}", "host_names", "other.example.com")), CM_EINVAL);
    assert_string_equal(cm_json_str(json_array_get(h->errors, 0), "field"), "host_names");
    json_t *fields = h_fields("www.example.com");
    cm_json_set_str(fields, "provider", "import");
    assert_int_equal(h_submit(h, fields), CM_EINVAL);
    assert_string_equal(cm_json_str(json_array_get(h->errors, 0), "field"), "provider");
}

static bool has_fingerprint(struct h *h)
{
    CM_AUTO_JSON body = h_body(h, "credential", h->credential);
    return cm_json_int(body, "key_generation", 0) == 2;
}

static void the_next_one(void **state)
{
    struct h *h = *state;
    CM_AUTO_JSON before = imported(h);
    CM_AUTO_STR credential = cm_strdup(h->credential);
    assert_int_equal(import(h, credential, NULL), CM_EINVAL);
    assert_non_null(strstr(h_line(h), "has already"));
    file_with(h, "DNS:new.example.com", json_pack("[s]", "new.example.com"), 60 * 86400);
    assert_int_equal(import(h, credential, NULL), 0);
    assert_string_equal(h->credential, credential);
    h_until(h, has_fingerprint, "the next certificate");
    h_turns(h, 50);
    CM_AUTO_JSON body = h_status(h, "issued");
    CM_AUTO_JSON keyfile = h_body(h, "keyfile", credential);
    assert_string_equal(cm_json_str(keyfile, "fingerprint"), cm_json_str(body, "fingerprint"));
    assert_true(
        json_equal(json_object_get(body, "keyring_file"), json_object_get(before, "keyring_file")));
    assert_true(json_equal(json_object_get(body, "servers"), json_object_get(before, "servers")));
    CM_AUTO_STR name = cm_asprintf("%s-%.16s", credential, cm_json_str(before, "fingerprint"));
    CM_AUTO_JSON archive = h_body(h, "archive", name);
    assert_non_null(archive);
}

/* Another provider goes on with the key that came with the file. */
static void to_a_ca_with_the_same_key(void **state)
{
    struct h *h = *state;
    h_account(h);
    file_with(h, "DNS:www.example.com", json_pack("[s]", "www.example.com"), 90 * 86400);
    assert_int_equal(import(h, NULL, "bravo"), 0);
    CM_AUTO_JSON before = h_status(h, "issued");
    assert_int_equal(change(h, json_pack("{s:s,s:s}", "provider", "acme", "account", "ca")), 0);
    for (int i = 0; i < 100 && h->ca.downloads == 0; i++)
        h_turns(h, 50);
    CM_AUTO_JSON body = h_status(h, "issued");
    assert_int_equal(h->ca.new_orders, 1);
    assert_int_equal(h_op_count(h, "key.create"), 0);
    assert_true(json_equal(json_object_get(body, "public_key_sha256"),
                           json_object_get(before, "public_key_sha256")));
    assert_string_not_equal(cm_json_str(body, "fingerprint"), cm_json_str(before, "fingerprint"));
}

/* Another server cannot make an import of what others are to serve. */
static void only_of_the_manager(void **state)
{
    struct h *h = *state;
    CM_AUTO_JSON request = json_pack("{s:{s:s}}", "signature", "by", h->env.self);
    assert_true(eng_import_ours(h->engine, request));
    cm_json_set_str(cm_json_obj(request, "signature"), "by", "bravo");
    assert_false(eng_import_ours(h->engine, request));
    assert_false(eng_import_ours(h->engine, NULL));
}

/* Nothing is lost between the request and the keyfile. */
static void a_kill_in_between(void **state)
{
    struct h *h = *state;
    file_with(h, "DNS:www.example.com", json_pack("[s]", "www.example.com"), 86400);
    assert_int_equal(import(h, NULL, "bravo"), 0);
    h_restart(h);
    CM_AUTO_JSON body = h_status(h, "issued");
    h_turns(h, 50);
    CM_AUTO_JSON keyfile = h_body(h, "keyfile", h->credential);
    assert_string_equal(cm_json_str(keyfile, "fingerprint"), cm_json_str(body, "fingerprint"));
}

static void on_export(void *arg, const json_t *value, const struct cm_err *err)
{
    (void)value;
    h_on_done(arg, err);
}

static void export_looks_first(void **state)
{
    struct h *h = *state;
    json_decref(imported(h));
    eng_export(h->engine, h->credential, "c2VhbGVk", &ada, on_export, h);
    assert_int_equal(h_done(h), 0);
    assert_int_equal(h_op_count(h, "key.export"), 1);
    assert_true(told(h, "exported as PKCS #12 (by ada)"));
    cm_json_set_bool(h->import_reply, "exportable", false);
    assert_int_equal(import(h, NULL, "charlie"), 0);
    json_decref(h_status(h, "issued"));
    eng_export(h->engine, h->credential, "c2VhbGVk", &ada, on_export, h);
    assert_int_equal(h_done(h), CM_EDENIED);
    assert_int_equal(h_op_count(h, "key.export"), 1);
    eng_export(h->engine, "01JDEXAMPE0000000000000000", "x", &ada, on_export, h);
    assert_int_equal(h_done(h), CM_ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        H_TEST(a_file_becomes_a_credential),
        H_TEST(what_is_wrong_is_said_at_once),
        H_TEST(thirty_names),
        H_TEST(other_servers),
        H_TEST(servers_that_cannot_be_given_it),
        H_TEST(names_and_providers),
        H_TEST(the_next_one),
        H_TEST(to_a_ca_with_the_same_key),
        H_TEST(only_of_the_manager),
        H_TEST(a_kill_in_between),
        H_TEST(export_looks_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
