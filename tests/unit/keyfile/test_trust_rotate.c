/* A server's keys are replaced: two versions of the trust root, and what each still believes. */
#include "support.h"

#include "keyfile/identity_next.h"
#include "keyfile/trust_build.h"
#include "keyfile/trust_change.h"
#include "keyfile/trust_rotate.h"

static struct {
    char *dir, *beta_dir;
    struct kf_identity alpha, beta;
    EVP_PKEY *tls;
    char *tls_b64;
    struct kf_trust *trust;
    struct cm_err err;
} f;

static int setup(void **state)
{
    (void)state;
    f.dir = temp_dir();
    f.err = CM_ERR_INIT;
    make_identity(f.dir, "alpha", &f.alpha);
    make_identity(f.dir, "beta", &f.beta);
    f.beta_dir = cm_asprintf("%s/beta", f.dir);
    f.trust = admit(&f.alpha, found(&f.alpha), &f.beta);
    OK(kf_pkey_generate(KF_KEY_P256, &f.tls, &f.err), f.err);
    OK(kf_spki_b64(f.tls, &f.tls_b64, &f.err), f.err);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kf_trust_free(f.trust);
    kf_identity_fini(&f.alpha);
    kf_identity_fini(&f.beta);
    EVP_PKEY_free(f.tls);
    cm_free(f.tls_b64);
    cm_free(f.beta_dir);
    cm_err_fini(&f.err);
    remove_dir(f.dir);
    return 0;
}

static void take(json_t *take_doc)
{
    struct kf_trust *next = parse_root(take_doc);
    OK(kf_trust_accept(f.trust, next, &f.err), f.err);
    kf_trust_free(f.trust);
    f.trust = next;
    json_decref(take_doc);
}

/* rotation:<server> with the pending keys of an identity, signed with its present key. */
static json_t *word(const struct kf_identity *server, const char *state)
{
    const struct kf_identity *next = server->pending ? server->pending : server;
    const struct kf_new_keys keys = {
        .name = server->name, .seal = next->seal_b64, .sign = next->sign_b64, .tls = f.tls_b64};
    CM_AUTO_STR seal = NULL;
    CM_AUTO_STR sign = NULL;
    CM_AUTO_STR tls = NULL;
    OK(kf_rotation_prove(next->seal, &keys, &seal, &f.err), f.err);
    OK(kf_rotation_prove(next->sign, &keys, &sign, &f.err), f.err);
    OK(kf_rotation_prove(f.tls, &keys, &tls, &f.err), f.err);
    CM_AUTO_STR id = cm_asprintf("rotation:%s", server->name);
    json_t *doc = json_pack("{s:s, s:s, s:I, s:s, s:s}", "_id", id, "type", "rotation", "serial",
                            (json_int_t)cm_now_ms(), "server", server->name, "state", state);
    cm_json_set_str(doc, "seal", keys.seal);
    cm_json_set_str(doc, "sign", keys.sign);
    cm_json_set_str(doc, "tls", keys.tls);
    cm_json_set_str(doc, "proof_seal", seal);
    cm_json_set_str(doc, "proof_sign", sign);
    cm_json_set_str(doc, "proof_tls", tls);
    cm_json_set_time(doc, "at", cm_now_ms());
    OK(kf_doc_sign(server, doc, false, &f.err), f.err);
    return doc;
}

static void prepare(struct kf_identity *server)
{
    CM_AUTO_STR dir = cm_asprintf("%s/%s", f.dir, server->name);
    OK(kf_identity_prepare(dir, server, &f.err), f.err);
}

/* The first version is in force, and the server uses its new keys. */
static void rotate(struct kf_identity *server)
{
    json_t *next;
    prepare(server);
    CM_AUTO_JSON doc = word(server, "keys");
    OK(kf_trust_rotate(&f.alpha, f.trust, doc, cm_now_ms(), &next, &f.err), f.err);
    take(next);
    CM_AUTO_STR dir = cm_asprintf("%s/%s", f.dir, server->name);
    OK(kf_identity_exchange(dir, server, &f.err), f.err);
}

static json_t *receipt(const struct kf_identity *server)
{
    json_t *doc = json_pack("{s:s, s:s, s:I}", "_id", "receipt:beta:01JD8ZV6T4QHM2N7X3K9C5W1RB",
                            "type", "receipt", "serial", (json_int_t)7);
    OK(kf_doc_sign(server, doc, false, &f.err), f.err);
    return doc;
}

static void both_count_then_one(void **state)
{
    json_t *next;
    (void)state;
    CM_AUTO_JSON before = receipt(&f.beta);
    const struct kf_server *was = kf_trust_server(f.trust, "beta");
    char old_tls[KF_SPKI_HEX];
    memcpy(old_tls, was->tls_spki, sizeof(old_tls));
    rotate(&f.beta);
    CM_AUTO_JSON after = receipt(&f.beta);
    OK(kf_doc_verify(f.trust, before, false, &f.err), f.err);
    OK(kf_doc_verify(f.trust, after, false, &f.err), f.err);
    assert_string_equal(kf_trust_by_tls(f.trust, old_tls)->name, "beta");
    CM_AUTO_JSON early = word(&f.beta, "keys");
    REFUSED(kf_trust_retire(&f.alpha, f.trust, early, cm_now_ms(), &next, &f.err), CM_EINVAL,
            "not in state", f.err);

    CM_AUTO_JSON done = word(&f.beta, "resealed");
    OK(kf_trust_retire(&f.alpha, f.trust, done, cm_now_ms(), &next, &f.err), f.err);
    take(next);
    OK(kf_doc_verify(f.trust, after, false, &f.err), f.err);
    REFUSED(kf_doc_verify(f.trust, before, false, &f.err), CM_EDENIED, "not with its key", f.err);
    assert_null(kf_trust_by_tls(f.trust, old_tls));
    assert_string_equal(kf_trust_replaced_tls(f.trust, old_tls)->name, "beta");
    assert_string_equal(kf_trust_any_tls(f.trust, old_tls)->name, "beta");
    REFUSED(kf_trust_retire(&f.alpha, f.trust, done, cm_now_ms(), &next, &f.err), CM_ECONFLICT,
            "no former keys", f.err);
}

static void only_the_server_itself(void **state)
{
    json_t *next;
    (void)state;
    prepare(&f.beta);
    CM_AUTO_JSON doc = word(&f.beta, "keys");
    json_object_del(doc, "signature");
    OK(kf_doc_sign(&f.alpha, doc, false, &f.err), f.err); /* a manager, even */
    REFUSED(kf_trust_rotate(&f.alpha, f.trust, doc, cm_now_ms(), &next, &f.err), CM_EDENIED,
            "not a document of server alpha", f.err);
}

static void each_key_is_proved(void **state)
{
    static const char *const proofs[] = {"proof_seal", "proof_sign", "proof_tls"};
    static const char *const words[] = {"new seal key", "new sign key", "new TLS key"};
    json_t *next;
    (void)state;
    prepare(&f.beta);
    for (size_t i = 0; i < 3; i++) {
        CM_AUTO_JSON doc = word(&f.beta, "keys");
        cm_json_set_str(doc, proofs[i], cm_json_str(doc, proofs[(i + 1) % 3]));
        OK(kf_doc_sign(&f.beta, doc, false, &f.err), f.err);
        REFUSED(kf_trust_rotate(&f.alpha, f.trust, doc, cm_now_ms(), &next, &f.err), CM_EDENIED,
                words[i], f.err);
    }
}

static void not_twice_at_a_time(void **state)
{
    json_t *next;
    (void)state;
    rotate(&f.beta);
    REFUSED(kf_identity_prepare(f.beta_dir, &f.beta, &f.err), CM_EBUSY, "being replaced already",
            f.err);
    CM_AUTO_JSON again = word(&f.beta, "keys");
    REFUSED(kf_trust_rotate(&f.alpha, f.trust, again, cm_now_ms(), &next, &f.err), CM_EBUSY,
            "still count", f.err);
}

static void the_managers_own(void **state)
{
    json_t *next;
    (void)state;
    char old_id[KF_KEY_ID_TEXT];
    memcpy(old_id, f.alpha.key_id, sizeof(old_id));
    rotate(&f.alpha);
    assert_false(kf_trust_is_root_signer(f.trust, old_id));
    assert_true(kf_trust_is_signer(&f.alpha, f.trust));
    CM_AUTO_JSON done = word(&f.alpha, "resealed");
    OK(kf_trust_retire(&f.alpha, f.trust, done, cm_now_ms(), &next, &f.err), f.err);
    take(next);
}

static void two_signers(void **state)
{
    json_t *next, *both;
    (void)state;
    OK(kf_trust_set_role(&f.alpha, f.trust, "beta", true, "https://beta.example:8444", NULL,
                         cm_now_ms(), &next, &f.err),
       f.err);
    take(next);
    CM_AUTO_JSON none = json_array();
    OK(kf_trust_set_threshold(&f.alpha, f.trust, 2, none, cm_now_ms(), &next, &f.err) -
           KF_TRUST_OPEN,
       f.err);
    OK(kf_trust_cosign(&f.beta, f.trust, next, &both, &f.err), f.err);
    json_decref(next);
    take(both);

    prepare(&f.beta); /* a root signer's: it signs with the old and with the new key */
    CM_AUTO_JSON doc = word(&f.beta, "keys");
    OK(kf_trust_rotate(&f.alpha, f.trust, doc, cm_now_ms(), &next, &f.err) - KF_TRUST_OPEN, f.err);
    assert_false(kf_trust_only_renews(f.trust, next)); /* a person agrees to new keys */
    OK(kf_trust_cosign(&f.beta, f.trust, next, &both, &f.err), f.err);
    json_decref(next);
    take(both);
    OK(kf_identity_exchange(f.beta_dir, &f.beta, &f.err), f.err);

    CM_AUTO_JSON done = word(&f.beta, "resealed");
    OK(kf_trust_retire(&f.alpha, f.trust, done, cm_now_ms(), &next, &f.err) - KF_TRUST_OPEN, f.err);
    assert_true(kf_trust_only_renews(f.trust, next)); /* nobody needs to be asked again */
    json_t *entry = kf_trust_entry(next, "beta");
    CM_AUTO_JSON kept = json_deep_copy(next);
    cm_json_set_str(entry, "url", "https://elsewhere.example:1");
    assert_false(kf_trust_only_renews(f.trust, next));
    json_decref(next);
    OK(kf_trust_cosign(&f.beta, f.trust, kept, &both, &f.err), f.err);
    take(both);
}

/* What it says fits its name, its server and the keys that are listed. */
static void a_word_about_something_else(void **state)
{
    json_t *next;
    (void)state;
    prepare(&f.beta);
    CM_AUTO_JSON other = word(&f.beta, "keys");
    json_object_del(other, "signature");
    cm_json_set_str(other, "server", "alpha");
    OK(kf_doc_sign(&f.beta, other, false, &f.err), f.err);
    REFUSED(kf_trust_rotate(&f.alpha, f.trust, other, cm_now_ms(), &next, &f.err), CM_EMALF,
            "rotation:beta is not about server alpha", f.err);
    CM_AUTO_JSON doc = word(&f.beta, "keys");
    OK(kf_trust_rotate(&f.alpha, f.trust, doc, cm_now_ms(), &next, &f.err), f.err);
    take(next);
    OK(kf_identity_exchange(f.beta_dir, &f.beta, &f.err), f.err);
    CM_AUTO_JSON done = word(&f.beta, "resealed");
    json_object_del(done, "signature");
    cm_json_set_str(done, "seal", f.alpha.seal_b64);
    OK(kf_doc_sign(&f.beta, done, false, &f.err), f.err);
    REFUSED(kf_trust_retire(&f.alpha, f.trust, done, cm_now_ms(), &next, &f.err), CM_ECONFLICT,
            "no former keys", f.err);
}

/* Who is leaving keeps the keys it has. */
static void only_an_active_server(void **state)
{
    json_t *next;
    (void)state;
    CM_AUTO_JSON body = kf_trust_next_body(f.trust, cm_now_ms());
    cm_json_set_str(kf_trust_entry(body, "beta"), "state", "retiring");
    OK(kf_trust_finish(&f.alpha, f.trust, body, &next, &f.err), f.err);
    take(next);
    prepare(&f.beta);
    CM_AUTO_JSON doc = word(&f.beta, "keys");
    OK(kf_doc_verify(f.trust, doc, false, &f.err), f.err); /* its signature counts */
    REFUSED(kf_trust_rotate(&f.alpha, f.trust, doc, cm_now_ms(), &next, &f.err), CM_EDENIED,
            "not active", f.err);
}

/* The hashes of the newest replaced keys; who comes with older ones is a stranger. */
static void replaced_keys_are_bounded(void **state)
{
    (void)state;
    CM_AUTO_JSON entry = json_object();
    char at[24];
    for (int i = 0; i < KF_REPLACED_MAX + 3; i++) {
        cm_json_set(entry, "old",
                    json_pack("{s:s, s:s}", "sign", f.beta.sign_b64, "tls", f.tls_b64));
        snprintf(at, sizeof(at), "%d", i);
        OK(kf_trust_forget_old(entry, at, &f.err), f.err);
        assert_null(json_object_get(entry, "old"));
    }
    const json_t *list = cm_json_arr(entry, "replaced");
    assert_int_equal(json_array_size(list), KF_REPLACED_MAX);
    assert_string_equal(cm_json_str(json_array_get(list, 0), "at"), "3");
    assert_string_equal(cm_json_str(json_array_get(list, KF_REPLACED_MAX - 1), "at"), "10");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(both_count_then_one, setup, teardown),
        cmocka_unit_test_setup_teardown(only_the_server_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(each_key_is_proved, setup, teardown),
        cmocka_unit_test_setup_teardown(not_twice_at_a_time, setup, teardown),
        cmocka_unit_test_setup_teardown(the_managers_own, setup, teardown),
        cmocka_unit_test_setup_teardown(two_signers, setup, teardown),
        cmocka_unit_test_setup_teardown(a_word_about_something_else, setup, teardown),
        cmocka_unit_test_setup_teardown(only_an_active_server, setup, teardown),
        cmocka_unit_test_setup_teardown(replaced_keys_are_bounded, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
