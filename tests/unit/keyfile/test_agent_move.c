/* The agent's verbs key.import, key.rewrap, key.export: who may, for whom, and what comes of it. */
#include "agent_support.h"

#include <openssl/pkcs12.h>

#include "keyfile/handover.h"

#define ULID     "01JDEXAMPE0000000000000000"
#define OTHER    "01JDEXAMPE0000000000000001"
#define PASSWORD "correct horse battery"

static struct {
    char *dir;
    struct test_agent manager, one, two;
    struct test_ca ca;
    EVP_PKEY *key;
    char *file; /* key, leaf, middle */
    struct cm_err err;
} f;

static int setup(void **state)
{
    (void)state;
    f.dir = temp_dir();
    f.err = CM_ERR_INIT;
    agent_init(&f.manager, f.dir, "manager");
    agent_init(&f.one, f.dir, "one");
    agent_init(&f.two, f.dir, "two");
    agent_start(&f.manager);
    agent_start(&f.one);
    agent_start(&f.two);
    json_decref(agent_found(&f.manager, "manager"));
    json_decref(agent_join(&f.manager, &f.one, "one"));
    CM_AUTO_JSON root = agent_join(&f.manager, &f.two, "two");
    json_decref(call(&f.one, json_pack("{s:s,s:O}", "op", "trust.update", "document", root)));
    ca_init(&f.ca);
    assert_int_equal(kf_pkey_generate(KF_KEY_P256, &f.key, NULL), 0);
    KF_AUTO_SECRET pem = {0};
    assert_int_equal(kf_pkey_to_pem(f.key, &pem, NULL), 0);
    CM_AUTO_STR leaf = ca_leaf(&f.ca, f.key, "DNS:a.example,DNS:*.b.example");
    f.file = cm_asprintf("%s%s%s", f.ca.middle, leaf, pem.data);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    agent_fini(&f.manager);
    agent_fini(&f.one);
    agent_fini(&f.two);
    ca_fini(&f.ca);
    EVP_PKEY_free(f.key);
    cm_free(f.file);
    remove_dir(f.dir);
    return 0;
}

/* As certmgr import does it: by the public key in the agent's directory. */
static char *handed(struct test_agent *a, const struct kf_handover *handover)
{
    CM_AUTO_JSON hello = call(a, json_pack("{s:s}", "op", "hello"));
    char *sealed;
    OK(kf_handover_seal(handover, cm_json_str(hello, "seal"), cm_now_ms(), &sealed, &f.err), f.err);
    return sealed;
}

static char *file_for(struct test_agent *a, const char *credential, bool exportable)
{
    struct kf_handover handover = {.kind = KF_HANDOVER_IMPORT,
                                   .credential = credential,
                                   .exportable = exportable,
                                   .password = "",
                                   .data = f.file,
                                   .len = strlen(f.file)};
    return handed(a, &handover);
}

static json_t *import_request(const char *sealed, int generation, json_t *take_servers)
{
    return json_pack("{s:s,s:s,s:i,s:o,s:s}", "op", "key.import", "credential", ULID, "generation",
                     generation, "servers", take_servers, "sealed", sealed);
}

static bool can_open(struct test_agent *a, const char *sealed64)
{
    struct kf_identity id;
    struct kf_secret text;
    uint8_t *der;
    size_t len;
    OK(kf_identity_load(a->config.dir, &id, &f.err), f.err);
    assert_int_equal(cm_b64_decode(sealed64, strlen(sealed64), &der, &len), 0);
    int rc = kf_open(der, len, id.seal, id.seal_cert, &text, NULL);
    if (rc == 0)
        kf_secret_fini(&text);
    cm_free(der);
    kf_identity_fini(&id);
    return rc == 0;
}

static json_t *imported(bool exportable)
{
    CM_AUTO_STR sealed = file_for(&f.manager, "-", exportable);
    return call(&f.manager, import_request(sealed, 1, json_pack("[s]", "one")));
}

/* A credential: document of the manager. */
static json_t *credential(const json_t *reply, const char *status, json_t *take_servers)
{
    static int64_t serial = 1795313802123;
    json_t *body =
        json_pack("{s:s,s:s,s:I,s:s,s:o,s:i,s:[s]}", "_id", "credential:" ULID, "type",
                  "credential", "serial", (json_int_t)++serial, "status", status, "servers",
                  take_servers, "key_generation", 1, "host_names_ascii", "a.example");
    static const char *const parts[] = {"sealed_key", "public_key_sha256", "chain"};
    for (size_t i = 0; i < 3; i++)
        json_object_set(body, parts[i], json_object_get(reply, parts[i]));
    /* The front sends the chain sorted. */
    const char *tail = strstr(cm_json_str(reply, "chain"), "END CERTIFICATE-----\n") + 21;
    CM_AUTO_STR first =
        cm_strndup(cm_json_str(reply, "chain"), (size_t)(tail - cm_json_str(reply, "chain")));
    CM_AUTO_STR sorted = cm_asprintf("%s%s", tail, first);
    cm_json_set_str(body, "chain", sorted);
    CM_AUTO_JSON said =
        call(&f.manager, json_pack("{s:s,s:O,s:b}", "op", "doc.sign", "body", body, "deleted", 0));
    json_object_set(body, "signature", json_object_get(said, "signature"));
    return body;
}

static void import_seals_for_servers_and_managers(void **state)
{
    (void)state;
    char spki[KF_SPKI_HEX];
    CM_AUTO_JSON reply = imported(true);
    const char *sealed = cm_json_str(reply, "sealed_key");
    assert_true(can_open(&f.manager, sealed));
    assert_true(can_open(&f.one, sealed));
    assert_false(can_open(&f.two, sealed));
    OK(kf_spki_hex(f.key, spki, &f.err), f.err);
    assert_string_equal(cm_json_str(reply, "public_key_sha256"), spki);
    assert_string_equal(cm_json_str(reply, "key_type"), "P-256");
    assert_true(cm_json_bool(reply, "exportable", false));
    assert_non_null(cm_json_str(reply, "csr"));
    assert_null(strstr(cm_json_str(reply, "chain"), "PRIVATE"));
    CM_AUTO_STR all = cm_json_dump(reply, NULL);
    assert_null(strstr(all, "PRIVATE KEY"));
}

static void import_refuses(void **state)
{
    (void)state;
    CM_AUTO_STR sealed = file_for(&f.manager, "-", false);
    CM_AUTO_STR for_one = file_for(&f.one, "-", false);
    CM_AUTO_STR for_other = file_for(&f.manager, OTHER, false);
    struct kf_handover handover = {
        .kind = KF_HANDOVER_EXPORT, .credential = ULID, .password = PASSWORD};
    CM_AUTO_STR export = handed(&f.manager, &handover);
    CM_AUTO_JSON reply = imported(false);
    refused(&f.one, import_request(for_one, 1, json_pack("[s]", "one")), "denied", "not a manager");
    refused(&f.manager, import_request(for_one, 1, json_pack("[s]", "one")), "denied",
            "not a recipient");
    refused(&f.manager, import_request(sealed, 1, json_pack("[s]", "nobody")), "invalid",
            "not in the trust root");
    refused(&f.manager, import_request(sealed, 1, json_array()), "invalid", "1 to 200");
    refused(&f.manager, import_request(sealed, 0, json_pack("[s]", "one")), "malformed",
            "generation");
    refused(&f.manager, import_request(sealed, 2, json_pack("[s]", "one")), "denied",
            "for the credential -");
    refused(&f.manager, import_request(for_other, 2, json_pack("[s]", "one")), "denied",
            "for the credential " OTHER);
    refused(&f.manager, import_request(export, 1, json_pack("[s]", "one")), "denied",
            "something else");
    refused(&f.manager,
            import_request(cm_json_str(reply, "sealed_key"), 1, json_pack("[s]", "one")), "denied",
            "something else");
    refused(&f.manager, import_request("%", 1, json_pack("[s]", "one")), "malformed", "base64");
    handover = (struct kf_handover){
        .kind = KF_HANDOVER_IMPORT, .credential = "-", .password = "", .data = "x", .len = 1};
    CM_AUTO_STR junk = handed(&f.manager, &handover);
    refused(&f.manager, import_request(junk, 1, json_pack("[s]", "one")), "invalid",
            "no private key in the file");
    /* What was handed over is no secret that the front may have. */
    refused(&f.manager,
            json_pack("{s:s,s:s,s:s,s:s}", "op", "secret.open", "purpose", "dns", "name", "x",
                      "sealed", sealed),
            "denied", "bound to handover:import");
}

static json_t *rewrap(json_t *take_document)
{
    return json_pack("{s:s,s:o}", "op", "key.rewrap", "document", take_document);
}

static void rewrap_follows_the_signed_list(void **state)
{
    (void)state;
    CM_AUTO_JSON reply = imported(true);
    CM_AUTO_JSON moved =
        call(&f.manager, rewrap(credential(reply, "update_servers", json_pack("[s]", "two"))));
    const char *sealed = cm_json_str(moved, "sealed_key");
    assert_true(can_open(&f.manager, sealed));
    assert_false(can_open(&f.one, sealed));
    assert_true(can_open(&f.two, sealed));

    refused(&f.manager, rewrap(credential(reply, "issued", json_pack("[s]", "two"))), "denied",
            "not to be changed");
    json_t *changed = credential(reply, "update_servers", json_pack("[s]", "two"));
    json_array_append_new(cm_json_arr(changed, "servers"), json_string("one"));
    refused(&f.manager, rewrap(changed), "denied", "signature does not verify");
    refused(&f.one, rewrap(credential(reply, "update_servers", json_pack("[s]", "one"))), "denied",
            "not a manager");
}

static json_t *export_request(const json_t *document, const char *sealed)
{
    return json_pack("{s:s,s:O,s:s}", "op", "key.export", "document", document, "sealed", sealed);
}

static void export_is_for_marked_keys(void **state)
{
    (void)state;
    struct kf_handover handover = {
        .kind = KF_HANDOVER_EXPORT, .credential = ULID, .password = PASSWORD};
    CM_AUTO_JSON reply = imported(true);
    CM_AUTO_JSON document = credential(reply, "issued", json_pack("[s]", "one"));
    CM_AUTO_STR for_one = handed(&f.one, &handover);
    CM_AUTO_JSON said = call(&f.one, export_request(document, for_one));
    uint8_t *der;
    size_t len;
    const char *text = cm_json_str(said, "pkcs12");
    assert_int_equal(cm_b64_decode(text, strlen(text), &der, &len), 0);
    const unsigned char *at = der;
    PKCS12 *file = d2i_PKCS12(NULL, &at, (long)len);
    EVP_PKEY *key = NULL;
    X509 *cert = NULL;
    assert_int_equal(PKCS12_parse(file, PASSWORD, &key, &cert, NULL), 1);
    assert_int_equal(EVP_PKEY_eq(key, f.key), 1);
    EVP_PKEY_free(key);
    X509_free(cert);
    PKCS12_free(file);
    cm_free(der);

    CM_AUTO_STR for_two = handed(&f.two, &handover);
    refused(&f.two, export_request(document, for_two), "denied", "not a recipient");
    refused(&f.one, export_request(document, for_two), "denied", "not a recipient");
    handover.credential = OTHER;
    CM_AUTO_STR for_other = handed(&f.one, &handover);
    refused(&f.one, export_request(document, for_other), "denied", "for the credential " OTHER);
    handover.credential = ULID;
    handover.password = "short";
    CM_AUTO_STR weak = handed(&f.one, &handover);
    refused(&f.one, export_request(document, weak), "invalid", "at least 12");
    CM_AUTO_STR file_text = file_for(&f.one, ULID, true);
    refused(&f.one, export_request(document, file_text), "denied", "something else");

    /* Whatever the document says: the key's own text decides. */
    CM_AUTO_JSON kept = imported(false);
    CM_AUTO_JSON other = credential(kept, "issued", json_pack("[s]", "one"));
    refused(&f.one, export_request(other, for_one), "denied", "not exportable");
    json_object_set(other, "sealed_key", json_object_get(reply, "sealed_key"));
    refused(&f.one, export_request(other, for_one), "denied", "signature does not verify");
}

/* The mark stays with the key when it is sealed anew. */
static void rewrap_keeps_the_mark(void **state)
{
    (void)state;
    for (int yes = 0; yes < 2; yes++) {
        CM_AUTO_JSON reply = imported(yes);
        CM_AUTO_JSON moved =
            call(&f.manager, rewrap(credential(reply, "update_servers", json_pack("[s]", "two"))));
        json_object_set(reply, "sealed_key", json_object_get(moved, "sealed_key"));
        CM_AUTO_JSON document = credential(reply, "issued", json_pack("[s]", "two"));
        struct kf_handover handover = {
            .kind = KF_HANDOVER_EXPORT, .credential = ULID, .password = "short"};
        CM_AUTO_STR sealed = handed(&f.two, &handover);
        if (yes) /* the mark comes first, then the password, which costs a second */
            refused(&f.two, export_request(document, sealed), "invalid", "at least 12");
        else
            refused(&f.two, export_request(document, sealed), "denied", "not exportable");
    }
}

/* Who is listed still, but was removed, does not keep the others from it.  The last test: "one" is
 * gone then. */
static void rewrap_leaves_out_who_was_removed(void **state)
{
    (void)state;
    CM_AUTO_JSON reply = imported(true);
    json_decref(call(&f.manager, json_pack("{s:s,s:s}", "op", "trust.remove", "name", "one")));
    CM_AUTO_JSON left = call(
        &f.manager, rewrap(credential(reply, "update_servers", json_pack("[s,s]", "one", "two"))));
    assert_true(can_open(&f.two, cm_json_str(left, "sealed_key")));
    assert_false(can_open(&f.one, cm_json_str(left, "sealed_key")));
    refused(&f.manager, rewrap(credential(reply, "update_servers", json_pack("[s]", "one"))),
            "invalid", "1 to 200");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(import_seals_for_servers_and_managers),
        cmocka_unit_test(import_refuses),
        cmocka_unit_test(rewrap_follows_the_signed_list),
        cmocka_unit_test(export_is_for_marked_keys),
        cmocka_unit_test(rewrap_keeps_the_mark),
        cmocka_unit_test(rewrap_leaves_out_who_was_removed),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
