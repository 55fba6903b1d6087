/* The trust root: parsing, look-ups, and the rule of succession. */
#include "support.h"

static struct {
    char *dir;
    struct kf_identity manager, server, outsider;
    struct kf_trust *trust; /* manager and server */
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

static void looks_up_servers(void **state)
{
    (void)state;
    assert_int_equal(kf_trust_version(f.trust), 2);
    assert_int_equal(kf_trust_count(f.trust), 2);
    const struct kf_server *m = kf_trust_manager(f.trust);
    assert_string_equal(m->name, "manager");
    assert_true(m->manager);
    assert_string_equal(m->url, "https://manager.example:8444");
    assert_string_equal(m->sign_id, f.manager.key_id);
    const struct kf_server *s = kf_trust_server(f.trust, "server-1");
    assert_non_null(s);
    assert_false(s->manager);
    assert_int_equal(s->state, KF_ACTIVE);
    assert_string_equal(s->seal_b64, f.server.seal_b64);
    assert_ptr_equal(kf_trust_by_tls(f.trust, s->tls_spki), s);
    assert_null(kf_trust_by_tls(f.trust, f.manager.key_id));
    assert_null(kf_trust_server(f.trust, "outsider"));
    assert_null(kf_trust_recovery(f.trust));
    assert_null(kf_trust_at(f.trust, 2));
    int64_t left = kf_trust_expires_ms(f.trust) - cm_now_ms();
    assert_in_range(left, 29LL * 86400000, 30LL * 86400000);
}

static void removed_servers_lose_their_tls_key(void **state)
{
    (void)state;
    json_t *doc;
    char spki[KF_SPKI_HEX];
    cm_strcpy(spki, sizeof(spki), kf_trust_server(f.trust, "server-1")->tls_spki);
    OK(kf_trust_mark_removed(&f.manager, f.trust, "server-1", cm_now_ms(), &doc, &f.err), f.err);
    struct kf_trust *next = parse_root(doc);
    assert_int_equal(kf_trust_server(next, "server-1")->state, KF_REMOVED);
    assert_null(kf_trust_by_tls(next, spki));
    OK(kf_trust_accept(f.trust, next, &f.err), f.err);
    /* It may come back under the same name with other keys. */
    next = admit(&f.manager, next, &f.server);
    assert_int_equal(kf_trust_server(next, "server-1")->state, KF_ACTIVE);
    assert_int_equal(kf_trust_count(next), 2);
    kf_trust_free(next);
    json_decref(doc);
}

static void accepts_only_newer_and_rightly_signed(void **state)
{
    (void)state;
    json_t *doc;
    OK(kf_trust_accept(NULL, f.trust, &f.err), f.err);
    REFUSED(kf_trust_accept(f.trust, f.trust, &f.err), CM_EDENIED, "not above", f.err);

    OK(kf_trust_renew(&f.manager, f.trust, cm_now_ms(), &doc, &f.err), f.err);
    struct kf_trust *next = parse_root(doc);
    OK(kf_trust_accept(f.trust, next, &f.err), f.err);
    REFUSED(kf_trust_accept(next, f.trust, &f.err), CM_EDENIED, "not above", f.err);
    kf_trust_free(next);

    /* One changed member breaks the signature. */
    cm_json_set_int(doc, "version", 9);
    next = parse_root(doc);
    REFUSED(kf_trust_accept(f.trust, next, &f.err), CM_EDENIED, "0 of 1", f.err);
    REFUSED(kf_trust_accept(NULL, next, &f.err), CM_EDENIED, "0 of 1", f.err);
    kf_trust_free(next);

    json_object_del(doc, "signatures");
    next = parse_root(doc);
    REFUSED(kf_trust_accept(f.trust, next, &f.err), CM_EDENIED, "no list", f.err);
    kf_trust_free(next);
    json_decref(doc);
}

/* A listed server that is no root signer cannot make a root, nor can it name itself signer. */
static void refuses_usurpers(void **state)
{
    (void)state;
    json_t *doc;
    REFUSED(kf_trust_renew(&f.server, f.trust, cm_now_ms(), &doc, &f.err), CM_EDENIED, "0 of 1",
            f.err);

    json_t *body = json_deep_copy(kf_trust_document(f.trust));
    json_t *signature;
    json_t *ids = json_array();
    json_array_append_new(ids, json_string(f.server.key_id));
    cm_json_set(body, "root_signers", ids);
    cm_json_set_int(body, "version", 3);
    OK(kf_doc_signature(&f.server, body, false, &signature, &f.err), f.err);
    json_t *list = json_array();
    json_array_append_new(list, signature);
    cm_json_set(body, "signatures", list);
    struct kf_trust *next = parse_root(body);
    OK(kf_trust_accept(NULL, next, &f.err), f.err); /* of itself it is well made */
    REFUSED(kf_trust_accept(f.trust, next, &f.err), CM_EDENIED, "0 of 1", f.err);
    kf_trust_free(next);
    json_decref(body);
}

/* The same signature twice is one signature. */
static void counts_distinct_signers(void **state)
{
    (void)state;
    json_t *body = json_deep_copy(kf_trust_document(f.trust));
    json_t *signature;
    json_array_append_new(cm_json_arr(body, "root_signers"), json_string(f.server.key_id));
    cm_json_set_int(body, "threshold", 2);
    cm_json_set_int(body, "version", 3);
    OK(kf_doc_signature(&f.manager, body, false, &signature, &f.err), f.err);
    json_t *list = json_array();
    json_array_append(list, signature);
    json_array_append(list, signature);
    cm_json_set(body, "signatures", list);
    struct kf_trust *next = parse_root(body);
    REFUSED(kf_trust_accept(NULL, next, &f.err), CM_EDENIED, "1 of 2", f.err);
    kf_trust_free(next);

    json_t *second;
    OK(kf_doc_signature(&f.server, body, false, &second, &f.err), f.err);
    json_array_set_new(list, 1, second);
    next = parse_root(body);
    OK(kf_trust_accept(NULL, next, &f.err), f.err);
    OK(kf_trust_accept(f.trust, next, &f.err), f.err); /* version 2 demanded one */
    kf_trust_free(next);
    json_decref(signature);
    json_decref(body);
}

struct mutation {
    const char *name;
    const char *member; /* of the document, or of server 1 after a '.' */
    const char *value;  /* JSON; NULL = remove */
};

static const struct mutation mutations[] = {
    {"other id", "_id", "\"trust:other\""},
    {"other type", "type", "\"credential\""},
    {"no version", "version", NULL},
    {"version 0", "version", "0"},
    {"no serial", "serial", NULL},
    {"no expiry", "expires_at", NULL},
    {"malformed expiry", "expires_at", "\"tomorrow\""},
    {"no servers", "servers", "[]"},
    {"servers no list", "servers", "{}"},
    {"no signers", "root_signers", "[]"},
    {"unknown signer", "root_signers", "[\"00112233445566778899aabbccddeeff\"]"},
    {"threshold 0", "threshold", "0"},
    {"threshold above signers", "threshold", "2"},
    {"recovery no key", "recovery", "\"AAAA\""},
    {"server without name", ".name", NULL},
    {"server with bad name", ".name", "\"Server_1\""},
    {"server named as another", ".name", "\"manager\""},
    {"unknown role", ".roles", "[\"root\"]"},
    {"roles no list", ".roles", "\"server\""},
    {"unknown state", ".state", "\"sleeping\""},
    {"no seal key", ".seal", NULL},
    {"seal key no base64", ".seal", "\"!!\""},
    {"sign key too short", ".sign", "\"AAAA\""},
    {"no tls key", ".tls", NULL},
    {"url without TLS", ".url", "\"http://a.example\""},
};

static void refuses_malformed_roots(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(mutations) / sizeof(mutations[0]); i++) {
        const struct mutation *m = &mutations[i];
        CM_AUTO_JSON doc = json_deep_copy(kf_trust_document(f.trust));
        json_t *at = m->member[0] == '.' ? json_array_get(cm_json_arr(doc, "servers"), 1) : doc;
        const char *member = m->member + (m->member[0] == '.');
        if (m->value)
            cm_json_set(at, member, json_loads(m->value, JSON_DECODE_ANY, NULL));
        else
            json_object_del(at, member);
        struct kf_trust *trust;
        int rc = kf_trust_parse(doc, &trust, NULL);
        if (rc != CM_EMALF || trust != NULL)
            fail_msg("%s: %d", m->name, rc);
    }
}

/* One key listed twice would be two of two signers. */
static void a_signer_is_listed_once(void **state)
{
    (void)state;
    CM_AUTO_JSON doc = json_deep_copy(kf_trust_document(f.trust));
    json_t *signers = cm_json_arr(doc, "root_signers");
    json_array_append(signers, json_array_get(signers, 0));
    cm_json_set_int(doc, "threshold", 2);
    struct kf_trust *trust;
    REFUSED(kf_trust_parse(doc, &trust, &f.err), CM_EMALF, "twice", f.err);
}

/* Each signature costs a verification. */
static void signatures_are_bounded(void **state)
{
    (void)state;
    json_t *body = json_deep_copy(kf_trust_document(f.trust));
    json_t *signature, *list = json_array();
    cm_json_set_int(body, "version", 3);
    OK(kf_doc_signature(&f.manager, body, false, &signature, &f.err), f.err);
    for (int i = 0; i < 16; i++)
        json_array_append(list, signature);
    cm_json_set(body, "signatures", list);
    struct kf_trust *next = parse_root(body);
    OK(kf_trust_accept(f.trust, next, &f.err), f.err);
    kf_trust_free(next);
    json_array_append(list, signature);
    next = parse_root(body);
    REFUSED(kf_trust_accept(f.trust, next, &f.err), CM_EDENIED, "1 to 16", f.err);
    assert_int_equal(kf_trust_signed_by(f.trust, next), 0);
    kf_trust_free(next);
    json_decref(signature);
    json_decref(body);
}

static void refuses_shared_keys(void **state)
{
    (void)state;
    static const char *const members[] = {"sign", "tls"};
    for (size_t i = 0; i < 2; i++) {
        CM_AUTO_JSON doc = json_deep_copy(kf_trust_document(f.trust));
        json_t *servers = cm_json_arr(doc, "servers");
        json_t *one = json_array_get(servers, 1);
        cm_json_set_str(one, members[i], cm_json_str(json_array_get(servers, 0), members[i]));
        struct kf_trust *trust;
        REFUSED(kf_trust_parse(doc, &trust, &f.err), CM_EMALF, "same key", f.err);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(looks_up_servers),
        cmocka_unit_test(removed_servers_lose_their_tls_key),
        cmocka_unit_test(accepts_only_newer_and_rightly_signed),
        cmocka_unit_test(refuses_usurpers),
        cmocka_unit_test(counts_distinct_signers),
        cmocka_unit_test(refuses_malformed_roots),
        cmocka_unit_test(a_signer_is_listed_once),
        cmocka_unit_test(signatures_are_bounded),
        cmocka_unit_test(refuses_shared_keys),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
