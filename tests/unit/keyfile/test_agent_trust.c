/* The agent's verbs about identity, trust root and document signatures, and its strictness. */
#include "agent_support.h"

static struct {
    char *dir;
    struct test_agent manager, server, outsider;
    json_t *root;
    struct cm_err err;
} f;

static int setup(void **state)
{
    (void)state;
    f.dir = temp_dir();
    f.err = CM_ERR_INIT;
    agent_init(&f.manager, f.dir, "manager");
    agent_init(&f.server, f.dir, "server");
    agent_init(&f.outsider, f.dir, "outsider");
    agent_start(&f.manager);
    agent_start(&f.server);
    agent_start(&f.outsider);
    json_decref(agent_found(&f.manager, "manager"));
    f.root = agent_join(&f.manager, &f.server, "server-1");
    json_decref(call(&f.outsider, json_pack("{s:s,s:s}", "op", "identity.create", "name", "out")));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    json_decref(f.root);
    agent_fini(&f.manager);
    agent_fini(&f.server);
    agent_fini(&f.outsider);
    remove_dir(f.dir);
    return 0;
}

static json_t *pinned(struct test_agent *a)
{
    CM_AUTO_JSON reply = call(a, op("trust.get"));
    return json_incref(cm_json_obj(reply, "document"));
}

static void says_who_it_is(void **state)
{
    (void)state;
    CM_AUTO_JSON m = call(&f.manager, op("hello"));
    assert_string_equal(cm_json_str(m, "name"), "manager");
    assert_true(cm_json_has_str(cm_json_arr(m, "roles"), "manager"));
    assert_true(cm_json_has_str(cm_json_arr(m, "roles"), "server"));
    assert_int_equal(cm_json_int(m, "trust_version", 0), 2);
    CM_AUTO_JSON s = call(&f.server, op("hello"));
    assert_int_equal(json_array_size(cm_json_arr(s, "roles")), 1);
    assert_non_null(cm_json_str(s, "seal"));
    assert_non_null(cm_json_str(s, "sign"));
    assert_int_equal(strlen(cm_json_str(s, "key_id")), 32);
    CM_AUTO_JSON o = call(&f.outsider, op("hello"));
    assert_int_equal(json_array_size(cm_json_arr(o, "roles")), 0);
    assert_int_equal(cm_json_int(o, "trust_version", -1), 0);
}

static void identity_is_made_once(void **state)
{
    (void)state;
    CM_AUTO_JSON before = call(&f.server, op("hello"));
    CM_AUTO_JSON again =
        call(&f.server, json_pack("{s:s,s:s}", "op", "identity.create", "name", "server-1"));
    assert_string_equal(cm_json_str(again, "seal"), cm_json_str(before, "seal"));
    refused(&f.server, json_pack("{s:s,s:s}", "op", "identity.create", "name", "other"), "conflict",
            "server-1");
    agent_restart(&f.server);
    CM_AUTO_JSON after = call(&f.server, op("hello"));
    assert_true(json_equal(cm_json_arr(before, "roles"), cm_json_arr(after, "roles")));
    assert_string_equal(cm_json_str(before, "key_id"), cm_json_str(after, "key_id"));
    assert_int_equal(cm_json_int(after, "trust_version", 0), 2);
}

static void trust_is_founded_and_pinned_once(void **state)
{
    (void)state;
    CM_AUTO_STR tls = fresh_spki();
    refused(&f.manager, json_pack("{s:s,s:s}", "op", "trust.found", "tls", tls), "conflict",
            "pinned already");
    CM_AUTO_JSON other = json_deep_copy(f.root);
    cm_json_set_int(other, "version", 7);
    refused(&f.server, with_document("trust.pin", other), "conflict", "pinned already");
    json_decref(call(&f.server, with_document("trust.pin", f.root))); /* asked again */

    refused(&f.outsider, op("trust.get"), "not_found", "no trust root");
    refused(&f.outsider, with_document("trust.pin", f.root), "denied", "does not list this server");
    refused(&f.outsider, with_document("trust.pin", other), "denied", "0 of 1");
    CM_AUTO_JSON no_root = json_object();
    refused(&f.outsider, with_document("trust.pin", no_root), "malformed", "_id");
}

static void trust_follows_its_own_rule(void **state)
{
    (void)state;
    CM_AUTO_JSON reply = call(&f.manager, op("trust.renew"));
    const json_t *next = cm_json_obj(reply, "document");
    assert_int_equal(cm_json_int(next, "version", 0), 3);
    CM_AUTO_JSON forged = json_deep_copy(next);
    cm_json_set_str(json_array_get(cm_json_arr(forged, "servers"), 0), "state", "retiring");
    refused(&f.server, with_document("trust.update", forged), "denied", "0 of 1");
    CM_AUTO_JSON taken = call(&f.server, with_document("trust.update", next));
    assert_int_equal(cm_json_int(taken, "version", 0), 3);
    json_decref(call(&f.server, with_document("trust.update", next))); /* asked again */
    refused(&f.server, with_document("trust.update", f.root), "denied", "not above");
    refused(&f.server, op("trust.renew"), "denied", "not a root signer");
    CM_AUTO_JSON kept = pinned(&f.server);
    assert_true(json_equal(kept, next));
}

/* An expired root may be a step to the present one, but nobody begins with one. */
static void expired_roots(void **state)
{
    (void)state;
    int64_t now = cm_now_ms();
    CM_AUTO_JSON soon = call(&f.manager, op("trust.renew"));
    agent_stop(&f.server);
    f.server.clock_ms = now + 31LL * 86400000;
    agent_start(&f.server);
    json_decref(call(&f.server, with_document("trust.update", cm_json_obj(soon, "document"))));
    agent_stop(&f.outsider);
    f.outsider.clock_ms = now + 31LL * 86400000;
    agent_start(&f.outsider);
    refused(&f.outsider, with_document("trust.pin", f.root), "denied", "expired");
    agent_stop(&f.manager);
    f.manager.clock_ms = now + 31LL * 86400000;
    agent_start(&f.manager);
    CM_AUTO_JSON later = call(&f.manager, op("trust.renew"));
    json_decref(call(&f.server, with_document("trust.update", cm_json_obj(later, "document"))));
}

static void invitations(void **state)
{
    (void)state;
    refused(&f.server, json_pack("{s:s,s:s,s:i}", "op", "trust.invite", "name", "x", "ttl_s", 60),
            "denied", "not a manager");
    refused(&f.manager,
            json_pack("{s:s,s:s,s:i}", "op", "trust.invite", "name", "server-1", "ttl_s", 60),
            "conflict", "already");
    refused(&f.manager,
            json_pack("{s:s,s:s,s:i}", "op", "trust.invite", "name", "Bad Name", "ttl_s", 60),
            "invalid", "a-z");
    refused(&f.manager, json_pack("{s:s,s:s,s:i}", "op", "trust.invite", "name", "x", "ttl_s", 0),
            "invalid", "seconds");
    for (int i = 0; i < 64; i++) {
        char name[16];
        snprintf(name, sizeof(name), "n%d", i);
        json_decref(call(&f.manager, json_pack("{s:s,s:s,s:i}", "op", "trust.invite", "name", name,
                                               "ttl_s", 60)));
    }
    refused(&f.manager,
            json_pack("{s:s,s:s,s:i}", "op", "trust.invite", "name", "n64", "ttl_s", 60), "limit",
            "64 invitations");
    CM_AUTO_STR path = cm_asprintf("%s/invitations.json", f.manager.config.dir);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
}

static json_t *admit_request(const char *name, const char *seal, const char *sign, const char *tls,
                             const char *proof)
{
    return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "op", "trust.admit", "name", name, "seal", seal,
                     "sign", sign, "tls", tls, "proof", proof);
}

static void admissions(void **state)
{
    (void)state;
    CM_AUTO_STR tls = fresh_spki();
    CM_AUTO_JSON keys = call(&f.outsider, op("hello"));
    const char *seal = cm_json_str(keys, "seal"), *sign = cm_json_str(keys, "sign");
    CM_AUTO_STR none = join_proof("AAAAAAAAAAAAAAAAAAAAAA", "out", seal, sign, tls);
    refused(&f.manager, admit_request("out", seal, sign, tls, none), "denied",
            "no open invitation");

    CM_AUTO_JSON invitation = call(
        &f.manager, json_pack("{s:s,s:s,s:i}", "op", "trust.invite", "name", "out", "ttl_s", 60));
    const char *secret = cm_json_str(invitation, "secret");
    CM_AUTO_STR proof = join_proof(secret, "out", seal, sign, tls);
    CM_AUTO_STR other_tls = fresh_spki();
    refused(&f.manager, admit_request("out", seal, sign, tls, none), "denied", "does not prove");
    refused(&f.manager, admit_request("out", seal, sign, tls, "?"), "denied", "does not prove");
    refused(&f.manager, admit_request("out", seal, sign, other_tls, proof), "denied",
            "does not prove");
    refused(&f.manager, admit_request("out2", seal, sign, tls, proof), "denied", "no open");
    refused(&f.server, admit_request("out", seal, sign, tls, proof), "denied", "not a manager");
    CM_AUTO_STR bad_key = join_proof(secret, "out", "AAAA", sign, tls);
    refused(&f.manager, admit_request("out", "AAAA", sign, tls, bad_key), "malformed", "key");

    CM_AUTO_JSON first = call(&f.manager, admit_request("out", seal, sign, tls, proof));
    assert_int_equal(cm_json_int(cm_json_obj(first, "document"), "version", 0), 3);
    /* The same keys again: the present document; the invitation is used up. */
    CM_AUTO_JSON again = call(&f.manager, admit_request("out", seal, sign, tls, proof));
    assert_true(json_equal(cm_json_obj(first, "document"), cm_json_obj(again, "document")));
    CM_AUTO_STR replayed = join_proof(secret, "out", seal, sign, other_tls);
    refused(&f.manager, admit_request("out", seal, sign, other_tls, replayed), "denied",
            "no open invitation");
}

static void invitations_expire(void **state)
{
    (void)state;
    CM_AUTO_STR tls = fresh_spki();
    CM_AUTO_JSON keys = call(&f.outsider, op("hello"));
    const char *seal = cm_json_str(keys, "seal"), *sign = cm_json_str(keys, "sign");
    CM_AUTO_JSON invitation = call(
        &f.manager, json_pack("{s:s,s:s,s:i}", "op", "trust.invite", "name", "out", "ttl_s", 60));
    CM_AUTO_STR proof = join_proof(cm_json_str(invitation, "secret"), "out", seal, sign, tls);
    agent_stop(&f.manager);
    f.manager.clock_ms = cm_now_ms() + 61000;
    agent_start(&f.manager);
    refused(&f.manager, admit_request("out", seal, sign, tls, proof), "denied",
            "no open invitation");
}

static void removals(void **state)
{
    (void)state;
    refused(&f.manager, json_pack("{s:s,s:s}", "op", "trust.remove", "name", "nobody"), "not_found",
            "nobody");
    refused(&f.manager, json_pack("{s:s,s:s}", "op", "trust.remove", "name", "manager"), "denied",
            "itself");
    refused(&f.server, json_pack("{s:s,s:s}", "op", "trust.remove", "name", "manager"), "denied",
            "not a manager");
    CM_AUTO_JSON first =
        call(&f.manager, json_pack("{s:s,s:s}", "op", "trust.remove", "name", "server-1"));
    CM_AUTO_JSON again =
        call(&f.manager, json_pack("{s:s,s:s}", "op", "trust.remove", "name", "server-1"));
    assert_true(json_equal(cm_json_obj(first, "document"), cm_json_obj(again, "document")));
    /* The removed server learns of it and signs no more. */
    json_decref(call(&f.server, with_document("trust.update", cm_json_obj(first, "document"))));
    refused(&f.server,
            json_pack("{s:s,s:{s:s,s:s,s:i},s:b}", "op", "doc.sign", "body", "_id", "request:1",
                      "type", "request", "serial", 5, "deleted", 0),
            "denied", "does not list this server");
}

static json_t *sign_request(const char *id, const char *type)
{
    return json_pack("{s:s,s:{s:s,s:s,s:i},s:b}", "op", "doc.sign", "body", "_id", id, "type", type,
                     "serial", 5, "deleted", 0);
}

static void signs_what_its_role_owns(void **state)
{
    (void)state;
    struct kf_trust *trust = parse_root(f.root);
    CM_AUTO_JSON body = agent_sign(&f.manager, json_pack("{s:s,s:s,s:i}", "_id", "credential:1",
                                                         "type", "credential", "serial", 5));
    OK(kf_doc_verify(trust, body, false, &f.err), f.err);
    CM_AUTO_JSON gone =
        json_pack("{s:s,s:s,s:i}", "_id", "request:1", "type", "request", "serial", 5);
    CM_AUTO_JSON deleted =
        call(&f.server, json_pack("{s:s,s:O,s:b}", "op", "doc.sign", "body", gone, "deleted", 1));
    json_object_set(gone, "signature", cm_json_obj(deleted, "signature"));
    OK(kf_doc_verify(trust, gone, true, &f.err), f.err);
    json_decref(call(&f.server, sign_request("receipt:server-1:1", "receipt")));
    json_decref(call(&f.manager, sign_request("receipt:manager:1", "receipt")));
    json_decref(call(&f.manager, sign_request("request:1", "request")));

    refused(&f.server, sign_request("credential:1", "credential"), "denied", "not a manager");
    refused(&f.server, sign_request("keyfile:1", "keyfile"), "denied", "not a manager");
    refused(&f.server, sign_request("receipt:manager:1", "receipt"), "denied", "not a document of");
    refused(&f.server, sign_request("trust:root", "trust"), "denied", "not signed like this");
    refused(&f.manager, sign_request("trust:root", "trust"), "denied", "not signed like this");
    refused(&f.manager, sign_request("credential:1", "request"), "malformed", "not of its type");
    refused(&f.outsider, sign_request("request:1", "request"), "not_found", "no trust root");
    kf_trust_free(trust);
}

static void is_strict(void **state)
{
    (void)state;
    refused(&f.server, json_object(), "malformed", "unknown verb");
    refused(&f.server, op("key.reveal"), "malformed", "unknown verb");
    refused(&f.server, json_pack("{s:i}", "op", 5), "malformed", "unknown verb");
    refused(&f.server, json_pack("{s:s,s:i}", "op", "hello", "extra", 1), "malformed",
            "unknown member");
    refused(&f.server, op("identity.create"), "malformed", "name");
    refused(&f.server, json_pack("{s:s,s:i}", "op", "identity.create", "name", 5), "malformed",
            "name");
    refused(&f.server, json_pack("{s:s,s:s}", "op", "trust.pin", "document", "x"), "malformed",
            "document");
    refused(&f.server, json_pack("{s:s,s:{},s:s}", "op", "doc.sign", "body", "deleted", "no"),
            "malformed", "deleted");
    refused(&f.manager,
            json_pack("{s:s,s:s,s:s}", "op", "trust.invite", "name", "x", "ttl_s", "60"),
            "malformed", "ttl_s");
    refused(&f.server, json_pack("{s:s,s:[]}", "op", "deploy.swap", "stage"), "malformed", "stage");
}

/* Bytes that are no request end the channel. */
static void malformed_frames_close_the_channel(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
    } rows[] = {
        {"\0\0\0\0", 4},
        {"\xff\xff\xff\xff", 4},
        {"\0\0\0\2{]", 6},
        {"\0\0\0\2[]", 6},
        {"\0\0\0\2{}", 6},
        {"\0\0\0\x0a{\"id\":-1 }", 14},
        {"\0\0\0\x0a{\"id\":\"1\"}", 14},
        {"\0\0\0\x0b{\"id\":1.5 }", 15},
    };
    agent_stop(&f.server);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        json_t *reply;
        agent_start(&f.server);
        assert_int_equal(write(f.server.fd, rows[i].bytes, rows[i].len), rows[i].len);
        assert_int_equal(cm_frame_read_fd(f.server.fd, &reply, NULL), CM_ECLOSED);
        if (agent_end(&f.server) != 1)
            fail_msg("row %zu", i);
    }
}

/* Keys that others can read: every verb says so, and nothing is done. */
static void damaged_identity_locks_the_agent(void **state)
{
    (void)state;
    CM_AUTO_STR key = cm_asprintf("%s/sign.key", f.server.config.dir);
    agent_stop(&f.server);
    assert_int_equal(chmod(key, 0644), 0);
    agent_start(&f.server);
    refused(&f.server, op("hello"), "denied", "0600");
    refused(&f.server, json_pack("{s:s,s:s}", "op", "identity.create", "name", "server-1"),
            "denied", "0600");
    agent_stop(&f.server);
    assert_int_equal(chmod(key, 0600), 0);
    CM_AUTO_STR root = cm_asprintf("%s/trust.json", f.server.config.dir);
    OK(cm_file_write(root, "{}", 2, 0600, &f.err), f.err);
    agent_start(&f.server);
    refused(&f.server, op("trust.get"), "malformed", "cannot be used");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(says_who_it_is),
        TEST(identity_is_made_once),
        TEST(trust_is_founded_and_pinned_once),
        TEST(trust_follows_its_own_rule),
        TEST(expired_roots),
        TEST(invitations),
        TEST(admissions),
        TEST(invitations_expire),
        TEST(removals),
        TEST(signs_what_its_role_owns),
        TEST(is_strict),
        TEST(malformed_frames_close_the_channel),
        TEST(damaged_identity_locks_the_agent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
