/* Document signatures: the signed bytes, and who may write what. */
#include "support.h"

#include "keyfile/sig.h"

static struct {
    char *dir;
    struct kf_identity manager, server, outsider;
    struct kf_trust *trust;
    struct cm_err err;
} f;

static int setup(void **state)
{
    (void)state;
    f.dir = temp_dir();
    f.err = CM_ERR_INIT;
    make_identity(f.dir, "manager", &f.manager);
    make_identity(f.dir, "server-1", &f.server);
    make_identity(f.dir, "outsider", &f.outsider);
    f.trust = admit(&f.manager, found(&f.manager), &f.server);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kf_trust_free(f.trust);
    kf_identity_fini(&f.manager);
    kf_identity_fini(&f.server);
    kf_identity_fini(&f.outsider);
    cm_err_fini(&f.err);
    remove_dir(f.dir);
    return 0;
}

static json_t *document(const char *id)
{
    json_t *doc = json_object();
    CM_AUTO_STR type = cm_strndup(id, strcspn(id, ":"));
    cm_json_set_str(doc, "_id", id);
    cm_json_set_str(doc, "type", type);
    cm_json_set_int(doc, "serial", 17);
    cm_json_set_str(doc, "text", "日本語 and \"quotes\"");
    return doc;
}

static void signs_canonical_bytes(void **state)
{
    (void)state;
    json_t *doc = json_loads("{\"type\":\"a\",\"_rev\":\"1-x\",\"_id\":\"a:b\",\"serial\":5,"
                             "\"signature\":{\"by\":\"x\"},\"signatures\":[],\"b\":[1,\"é\"],"
                             "\"_attachments\":{}}",
                             0, NULL);
    char *bytes;
    size_t len;
    OK(kf_doc_bytes(doc, false, &bytes, &len, &f.err), f.err);
    assert_string_equal(bytes, "{\"_id\":\"a:b\",\"b\":[1,\"é\"],\"deleted\":false,\"serial\":5,"
                               "\"type\":\"a\"}");
    assert_int_equal(len, strlen(bytes));
    cm_free(bytes);
    OK(kf_doc_bytes(doc, true, &bytes, &len, &f.err), f.err);
    assert_non_null(strstr(bytes, "\"deleted\":true"));
    cm_free(bytes);
    cm_json_set_bool(doc, "deleted", false);
    REFUSED(kf_doc_bytes(doc, false, &bytes, &len, &f.err), CM_EMALF, "deleted", f.err);
    json_decref(doc);
}

static void verifies_what_it_signed(void **state)
{
    (void)state;
    CM_AUTO_JSON doc = document("credential:01JDEXAMPLE0000000000000000");
    OK(kf_doc_sign(&f.manager, doc, false, &f.err), f.err);
    OK(kf_doc_verify(f.trust, doc, false, &f.err), f.err);
    cm_json_set_str(doc, "_rev", "1-abc"); /* the store's members are not signed */
    OK(kf_doc_verify(f.trust, doc, false, &f.err), f.err);
    REFUSED(kf_doc_verify(f.trust, doc, true, &f.err), CM_EDENIED, "not validly signed", f.err);
    cm_json_set_int(doc, "serial", 18);
    REFUSED(kf_doc_verify(f.trust, doc, false, &f.err), CM_EDENIED, "not validly signed", f.err);
}

struct row {
    const char *id;
    bool manager, server;
};

static const struct row rows[] = {
    {"request:01A", true, true},          {"receipt:server-1:01A", false, true},
    {"receipt:manager:01A", true, false}, {"receipt:server-11:01A", false, false},
    {"receipt:server-1", false, false},   {"credential:01A", true, false},
    {"keyfile:01A", true, false},         {"challenge:01A", true, false},
    {"account:le", true, false},          {"settings:global", true, false},
    {"root:00ff", true, false},           {"dns-account:x", true, false},
    {"archive:x", true, false},           {"trust:root", false, false},
    {"nonsense:x", false, false},
};

/* The text out of the signed bytes is the document, whatever else is named "deleted". */
static void a_checked_document_is_not_written_again(void **state)
{
    struct kf_verifier v = {0};
    (void)state;
    for (int deleted = 0; deleted < 2; deleted++) {
        CM_AUTO_JSON doc = document("credential:01JDEXAMPLE0000000000000000");
        cm_json_set(doc, "a", json_pack("{s:b,s:s}", "deleted", 1, "b", "\"deleted\":true,"));
        cm_json_set(doc, "z", json_pack("{s:b}", "deleted", 0));
        OK(kf_doc_sign(&f.manager, doc, deleted, &f.err), f.err);
        CM_AUTO_JSON body = json_deep_copy(doc);
        CM_AUTO_JSON read = NULL;
        cm_json_set_str(doc, "_rev", "1-a");
        cm_json_set_bool(doc, "_deleted", deleted);
        struct cm_buf text;
        cm_buf_init(&text, 4096);
        OK(kf_doc_check(f.trust, doc, deleted, &v, &f.err), f.err);
        assert_true(kf_doc_checked_text(&v, doc, &text));
        OK(cm_json_parse(text.data, text.len, &read, &f.err), f.err);
        assert_true(json_equal(read, body));
        CM_AUTO_STR compact = cm_json_dump(read, NULL);
        assert_string_equal(text.data, compact);
        text.max = text.len - 1;
        cm_buf_reset(&text);
        assert_false(kf_doc_checked_text(&v, doc, &text)); /* no room */
        cm_json_set(doc, "signatures", json_array());
        cm_buf_fini(&text);
        cm_buf_init(&text, 4096);
        assert_false(kf_doc_checked_text(&v, doc, &text)); /* has what nobody signed */
        cm_buf_fini(&text);
    }
    kf_verifier_fini(&v);
}

static void roles_own_types(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CM_AUTO_JSON doc = document(rows[i].id);
        OK(kf_doc_sign(&f.manager, doc, false, &f.err), f.err);
        int rc = kf_doc_verify(f.trust, doc, false, NULL);
        if (rc != (rows[i].manager ? 0 : CM_EDENIED))
            fail_msg("%s by the manager: %d", rows[i].id, rc);
        OK(kf_doc_sign(&f.server, doc, false, &f.err), f.err);
        rc = kf_doc_verify(f.trust, doc, false, NULL);
        if (rc != (rows[i].server ? 0 : CM_EDENIED))
            fail_msg("%s by a server: %d", rows[i].id, rc);
    }
}

static void a_request_names_its_server(void **state)
{
    (void)state;
    CM_AUTO_JSON doc = document("request:01A");
    cm_json_set(doc, "by", json_pack("{s:s}", "server", "server-1"));
    OK(kf_doc_sign(&f.server, doc, false, &f.err), f.err);
    OK(kf_doc_verify(f.trust, doc, false, &f.err), f.err);
    OK(kf_doc_sign(&f.manager, doc, false, &f.err), f.err);
    REFUSED(kf_doc_verify(f.trust, doc, false, &f.err), CM_EDENIED, "made on server", f.err);
}

static void refuses_bad_signers(void **state)
{
    (void)state;
    CM_AUTO_JSON doc = document("request:01A");
    REFUSED(kf_doc_verify(f.trust, doc, false, &f.err), CM_EDENIED, "no signature", f.err);
    OK(kf_doc_sign(&f.outsider, doc, false, &f.err), f.err);
    REFUSED(kf_doc_verify(f.trust, doc, false, &f.err), CM_EDENIED, "not in the trust root", f.err);

    OK(kf_doc_sign(&f.server, doc, false, &f.err), f.err);
    json_t *sig = cm_json_obj(doc, "signature");
    cm_json_set_str(sig, "by", "manager"); /* the manager's name, the server's key */
    REFUSED(kf_doc_verify(f.trust, doc, false, &f.err), CM_EDENIED, "not with its key", f.err);
    cm_json_set_str(sig, "key", f.manager.key_id);
    REFUSED(kf_doc_verify(f.trust, doc, false, &f.err), CM_EDENIED, "does not verify", f.err);
    cm_json_set_str(sig, "value", "AAAA");
    REFUSED(kf_doc_verify(f.trust, doc, false, &f.err), CM_EDENIED, "64 octets", f.err);
    cm_json_set_str(sig, "value", "=!");
    REFUSED(kf_doc_verify(f.trust, doc, false, &f.err), CM_EDENIED, "base64url", f.err);

    OK(kf_doc_sign(&f.server, doc, false, &f.err), f.err);
    cm_json_set_str(cm_json_obj(doc, "signature"), "extra", "x");
    REFUSED(kf_doc_verify(f.trust, doc, false, &f.err), CM_EDENIED, "no signature", f.err);

    json_t *next_doc;
    OK(kf_doc_sign(&f.server, doc, false, &f.err), f.err);
    OK(kf_trust_mark_removed(&f.manager, f.trust, "server-1", cm_now_ms(), &next_doc, &f.err),
       f.err);
    struct kf_trust *next = parse_root(next_doc);
    OK(kf_doc_verify(f.trust, doc, false, &f.err), f.err);
    REFUSED(kf_doc_verify(next, doc, false, &f.err), CM_EDENIED, "was removed", f.err);
    kf_trust_free(next);
    json_decref(next_doc);
}

static void refuses_bad_shapes(void **state)
{
    (void)state;
    static const struct {
        const char *member, *value;
    } bad[] = {{"_id", NULL},        {"type", NULL},          {"type", "\"keyfile\""},
               {"serial", NULL},     {"serial", "0"},         {"serial", "-3"},
               {"serial", "\"17\""}, {"_id", "\"request:\""}, {"_id", "\"req\""}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CM_AUTO_JSON doc = document("request:01A");
        if (bad[i].value)
            cm_json_set(doc, bad[i].member, json_loads(bad[i].value, JSON_DECODE_ANY, NULL));
        else
            json_object_del(doc, bad[i].member);
        OK(kf_doc_sign(&f.server, doc, false, &f.err), f.err);
        int rc = kf_doc_verify(f.trust, doc, false, NULL);
        if (rc != CM_EDENIED)
            fail_msg("%s = %s: %d", bad[i].member, bad[i].value, rc);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signs_canonical_bytes),
        cmocka_unit_test(verifies_what_it_signed),
        cmocka_unit_test(a_checked_document_is_not_written_again),
        cmocka_unit_test(a_checked_document_is_not_written_again),
        cmocka_unit_test(roles_own_types),
        cmocka_unit_test(a_request_names_its_server),
        cmocka_unit_test(refuses_bad_signers),
        cmocka_unit_test(refuses_bad_shapes),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
