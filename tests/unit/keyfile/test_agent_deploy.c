/*
 * Deployment end to end through three agents: the manager makes the key, a test CA signs, the
 * manager signs the keyfile document, the listed server deploys it, and an outsider cannot.
 */
#include "deploy_support.h"

static void check_files(struct test_agent *a, const json_t *document)
{
    const char *leaf = cm_json_str(document, "leaf");
    CM_AUTO_STR key = read_data(a, "site/privkey.pem", 0600);
    CM_AUTO_STR cert = read_data(a, "site/cert.pem", 0644);
    CM_AUTO_STR chain = read_data(a, "site/chain.pem", 0644);
    CM_AUTO_STR full = read_data(a, "site/fullchain.pem", 0644);
    CM_AUTO_STR kyr = read_data(a, "site.kyr", 0600);
    assert_string_equal(cert, leaf);
    assert_string_equal(chain, f.ca.middle);
    CM_AUTO_STR want_full = cm_asprintf("%s%s", leaf, f.ca.middle);
    assert_string_equal(full, want_full);
    CM_AUTO_STR want_kyr = cm_asprintf("%s%s%s%s", key, leaf, f.ca.middle, f.ca.root);
    assert_string_equal(kyr, want_kyr);
    EVP_PKEY *pkey;
    char spki[KF_SPKI_HEX];
    assert_int_equal(strncmp(key, "-----BEGIN PRIVATE KEY-----\n", 28), 0);
    OK(kf_pkey_from_pem(key, strlen(key), &pkey, &f.err), f.err);
    OK(kf_spki_hex(pkey, spki, &f.err), f.err);
    assert_string_equal(spki, cm_json_str(document, "public_key_sha256"));
    EVP_PKEY_free(pkey);
}

static void deploys_end_to_end(void **state)
{
    (void)state;
    static const char *const both[] = {"server-1", "server-2"};
    CM_AUTO_JSON body = new_body(ULID, both, 2);
    CM_AUTO_JSON document = resign(body);
    CM_AUTO_JSON reply = call(&f.server, stage_request(document, "web"));
    assert_true(cm_json_bool(reply, "changed", false));
    assert_string_equal(cm_json_str(reply, "fingerprint"), cm_json_str(document, "fingerprint"));
    assert_true(cm_json_has_str(cm_json_arr(reply, "files"), "site.kyr"));
    assert_true(cm_json_has_str(cm_json_arr(reply, "files"), "site/fullchain.pem"));
    assert_int_equal(json_array_size(cm_json_arr(reply, "files")), 5);
    assert_false(there(&f.server, "site.kyr")); /* staged beside, not yet seen by anybody */
    assert_true(there(&f.server, ".certmgr/site/1/site.kyr"));
    const char *stage = cm_json_str(reply, "stage");
    refused(&f.server, stage_op("deploy.commit", stage), "invalid", "not swapped");
    CM_AUTO_JSON swapped = call(&f.server, stage_op("deploy.swap", stage));
    assert_int_equal(cm_json_int(swapped, "previous", -1), 0);
    check_files(&f.server, document);
    json_decref(call(&f.server, stage_op("deploy.commit", stage)));
    refused(&f.server, stage_op("deploy.commit", stage), "not_found", "unknown");

    deploy(&f.second, document);
    check_files(&f.second, document);
    CM_AUTO_STR one = read_data(&f.server, "site.kyr", 0600);
    CM_AUTO_STR two = read_data(&f.second, "site.kyr", 0600);
    assert_string_equal(one, two);
    /* The manager sealed it and is not listed. */
    refused(&f.manager, stage_request(document, "web"), "denied", "not listed");

    /* The same again: nothing to do, now and after a restart. */
    CM_AUTO_JSON again = call(&f.server, stage_request(document, "web"));
    assert_false(cm_json_bool(again, "changed", true));
    json_decref(call(&f.server, stage_op("deploy.swap", cm_json_str(again, "stage"))));
    json_decref(call(&f.server, stage_op("deploy.commit", cm_json_str(again, "stage"))));
    agent_restart(&f.server);
    CM_AUTO_JSON later = call(&f.server, stage_request(document, "web"));
    assert_false(cm_json_bool(later, "changed", true));
    assert_false(there(&f.server, ".certmgr/site/2"));
}

/* Listed by a manager that forgot to seal for us: the document's word opens nothing. */
static void who_is_no_recipient_cannot_open(void **state)
{
    (void)state;
    CM_AUTO_JSON body = body_for_server_1();
    json_array_append_new(cm_json_arr(body, "servers"), json_string("server-2"));
    CM_AUTO_JSON document = resign(body);
    refused(&f.second, stage_request(document, "web"), "denied", "cannot open: not a recipient");
    assert_false(there(&f.second, ".certmgr"));
    deploy(&f.server, document);
}

static void refuses_unsigned_and_foreign(void **state)
{
    (void)state;
    CM_AUTO_JSON body = body_for_server_1();
    refused(&f.server, stage_request(body, "web"), "denied", "no signature");
    CM_AUTO_JSON signed_one = resign(body);
    CM_AUTO_JSON changed = json_deep_copy(signed_one);
    cm_json_set_str(changed, "keyring_file", "other.kyr");
    refused(&f.server, stage_request(changed, "web"), "denied", "not validly signed");

    /* By a server with its own key. */
    struct kf_identity id;
    OK(kf_identity_load(f.server.config.dir, &id, &f.err), f.err);
    CM_AUTO_JSON own = json_deep_copy(body);
    OK(kf_doc_sign(&id, own, false, &f.err), f.err);
    refused(&f.server, stage_request(own, "web"), "denied", "not a manager");
    kf_identity_fini(&id);

    CM_AUTO_JSON other_type =
        agent_sign(&f.manager, json_pack("{s:s,s:s,s:i}", "_id", "credential:" ULID, "type",
                                         "credential", "serial", 5));
    refused(&f.server, stage_request(other_type, "web"), "malformed", "");

    refused(&f.second, stage_request(signed_one, "web"), "denied", "not listed");
    refused(&f.server, stage_request(signed_one, "mail"), "denied", "not configured");
    cm_json_set_str(body, "target", "mail");
    CM_AUTO_JSON elsewhere = resign(body);
    refused(&f.server, stage_request(elsewhere, "web"), "denied", "for target");
    refused(&f.server, stage_request(elsewhere, "mail"), "denied", "not configured");
    refused(&f.server, stage_op("deploy.swap", "1"), "not_found", "unknown");
    refused(&f.server, stage_op("deploy.rollback", "1"), "not_found", "unknown");
    assert_false(there(&f.server, ".certmgr"));
}

/* A removed server stays listed in the root as such, and maybe still in documents: it is served no
 * more.  What the others deploy goes on. */
static void a_removed_server_deploys_nothing(void **state)
{
    (void)state;
    static const char *const both[] = {"server-1", "server-2"};
    CM_AUTO_JSON body = new_body(ULID, both, 2);
    CM_AUTO_JSON document = resign(body);
    CM_AUTO_JSON removed =
        call(&f.manager, json_pack("{s:s,s:s}", "op", "trust.remove", "name", "server-1"));
    const json_t *next = cm_json_obj(removed, "document");
    json_decref(call(&f.server, with_document("trust.update", next)));
    json_decref(call(&f.second, with_document("trust.update", next)));
    refused(&f.server, stage_request(document, "web"), "denied", "is not in the trust root");
    assert_false(there(&f.server, ".certmgr"));
    deploy(&f.second, document);
}

static void refuses_rollback_in_time(void **state)
{
    (void)state;
    CM_AUTO_JSON body = body_for_server_1();
    CM_AUTO_JSON old = resign(body);
    CM_AUTO_JSON now = resign(body);
    deploy(&f.server, now);
    refused(&f.server, stage_request(old, "web"), "denied", "older than the deployed");
    agent_restart(&f.server); /* the memory is on disk */
    refused(&f.server, stage_request(old, "web"), "denied", "older than the deployed");

    /* The same serial with other content: two managers. */
    CM_AUTO_JSON twin = json_deep_copy(body);
    cm_json_set_str(twin, "keyring_file", "twin.kyr");
    twin = agent_sign(&f.manager, twin);
    refused(&f.server, stage_request(twin, "web"), "denied", "other content");
    CM_AUTO_JSON next = resign(body);
    CM_AUTO_JSON reply = call(&f.server, stage_request(next, "web"));
    assert_false(cm_json_bool(reply, "changed", true)); /* same files, newer document */
    refused(&f.server, stage_request(now, "web"), "denied", "older than the deployed");
}

/* Everything that the document says of key and certificate is checked against the key itself. */
static void refuses_what_does_not_fit_together(void **state)
{
    (void)state;
    CM_AUTO_JSON body = body_for_server_1();
    CM_AUTO_JSON other = body_for_server_1();
    static const char *const server[] = {"server-1"};
    CM_AUTO_JSON foreign = new_body(OTHER, server, 1);
    CM_AUTO_JSON b = json_deep_copy(body); /* the other key's certificate */
    cm_json_set_str(b, "leaf", cm_json_str(other, "leaf"));
    CM_AUTO_JSON d = resign(b);
    refused(&f.server, stage_request(d, "web"), "denied", "fingerprint");
    cm_json_set_str(b, "fingerprint", cm_json_str(other, "fingerprint"));
    json_decref(d);
    d = resign(b);
    refused(&f.server, stage_request(d, "web"), "denied", "another key");
    cm_json_set_str(b, "public_key_sha256", cm_json_str(other, "public_key_sha256"));
    json_decref(d);
    d = resign(b);
    refused(&f.server, stage_request(d, "web"), "denied", "does not belong to the certificate");

    json_decref(b); /* the sealed key of another credential */
    b = json_deep_copy(body);
    cm_json_set_str(b, "sealed_key", cm_json_str(foreign, "sealed_key"));
    json_decref(d);
    d = resign(b);
    refused(&f.server, stage_request(d, "web"), "denied", "bound to credential:" OTHER);

    json_decref(b);
    b = json_deep_copy(body);
    cm_json_set_int(b, "key_generation", 2);
    json_decref(d);
    d = resign(b);
    refused(&f.server, stage_request(d, "web"), "denied", "bound to generation 1, not to 2");

    json_decref(b);
    b = json_deep_copy(body);
    cm_json_set_str(b, "credential", OTHER);
    json_decref(d);
    d = resign(b);
    refused(&f.server, stage_request(d, "web"), "malformed", "is not about credential");

    struct kf_secret pem;
    EVP_PKEY *key;
    assert_int_equal(kf_pkey_generate(KF_KEY_P256, &key, NULL), 0);
    assert_int_equal(kf_pkey_to_pem(key, &pem, NULL), 0);
    json_decref(b); /* a key among the certificates would get into a readable file */
    b = json_deep_copy(body);
    cm_json_set_str(b, "intermediates", pem.data);
    json_decref(d);
    d = resign(b);
    refused(&f.server, stage_request(d, "web"), "malformed", "something else");
    kf_secret_fini(&pem);
    EVP_PKEY_free(key);
    assert_false(there(&f.server, ".certmgr"));
}

static void refuses_names_that_leave_the_directory(void **state)
{
    (void)state;
    static const char *const names[] = {"../site.kyr", "/etc/site.kyr", "a/b.kyr",    ".site.kyr",
                                        "site.pem",    ".kyr",          "",           "Site.kyr",
                                        "..kyr",       "a b.kyr",       "site.kyr\n", "site.kyr/"};
    CM_AUTO_JSON body = body_for_server_1();
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        cm_json_set_str(body, "keyring_file", names[i]);
        CM_AUTO_JSON document = resign(body);
        refused(&f.server, stage_request(document, "web"), "denied", "keyring file name");
    }
    assert_false(there(&f.server, ".certmgr"));
}

static void an_expired_root_lets_nothing_new_in(void **state)
{
    (void)state;
    CM_AUTO_JSON body = body_for_server_1();
    CM_AUTO_JSON held = resign(body);
    deploy(&f.server, held);
    CM_AUTO_JSON next = resign(body);
    agent_stop(&f.server);
    f.server.clock_ms = cm_now_ms() + 31LL * 86400000;
    agent_start(&f.server);
    refused(&f.server, stage_request(next, "web"), "denied", "expired");
    /* What it holds it keeps, and puts back if it was damaged. */
    CM_AUTO_STR path = cm_asprintf("%s/.certmgr/site/1/cert.pem", f.server.data);
    assert_int_equal(unlink(path), 0);
    deploy(&f.server, held);
    check_files(&f.server, held);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(deploys_end_to_end),
        TEST(who_is_no_recipient_cannot_open),
        TEST(refuses_unsigned_and_foreign),
        TEST(a_removed_server_deploys_nothing),
        TEST(refuses_rollback_in_time),
        TEST(refuses_what_does_not_fit_together),
        TEST(refuses_names_that_leave_the_directory),
        TEST(an_expired_root_lets_nothing_new_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
