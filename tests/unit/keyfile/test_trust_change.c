/* Handing power on: roles, promotion, thresholds, and proposals that need several signatures. */
#include "support.h"

#include "keyfile/trust_change.h"

static struct {
    char *dir;
    struct kf_identity alpha, beta, gamma;
    struct kf_trust *trust; /* all three, alpha is the manager */
    struct cm_err err;
} f;

static int setup(void **state)
{
    (void)state;
    f.dir = temp_dir();
    f.err = CM_ERR_INIT;
    make_identity(f.dir, "alpha", &f.alpha);
    make_identity(f.dir, "beta", &f.beta);
    make_identity(f.dir, "gamma", &f.gamma);
    f.trust = admit(&f.alpha, admit(&f.alpha, found(&f.alpha), &f.beta), &f.gamma);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kf_trust_free(f.trust);
    kf_identity_fini(&f.alpha);
    kf_identity_fini(&f.beta);
    kf_identity_fini(&f.gamma);
    cm_err_fini(&f.err);
    remove_dir(f.dir);
    return 0;
}

/* Makes the document the present root; it has to be acceptable after the one before. */
static void take(json_t *take_doc)
{
    struct kf_trust *next = parse_root(take_doc);
    OK(kf_trust_accept(f.trust, next, &f.err), f.err);
    kf_trust_free(f.trust);
    f.trust = next;
    json_decref(take_doc);
}

static void make_standby(void)
{
    json_t *doc;
    OK(kf_trust_set_role(&f.alpha, f.trust, "beta", true, "https://beta.example:8444", NULL,
                         cm_now_ms(), &doc, &f.err),
       f.err);
    take(doc);
}

static void threshold_two(void)
{
    json_t *doc, *both;
    make_standby();
    CM_AUTO_JSON names = json_pack("[s]", "gamma");
    assert_int_equal(kf_trust_set_threshold(&f.alpha, f.trust, 2, names, cm_now_ms(), &doc, &f.err),
                     KF_TRUST_OPEN); /* the new root's own rule asks for two */
    OK(kf_trust_cosign(&f.beta, f.trust, doc, &both, &f.err), f.err);
    json_decref(doc);
    take(both);
    assert_int_equal(kf_trust_threshold(f.trust), 2);
}

static void a_standby_signs_roots(void **state)
{
    (void)state;
    json_t *doc;
    REFUSED(
        kf_trust_set_role(&f.alpha, f.trust, "beta", true, NULL, NULL, cm_now_ms(), &doc, &f.err),
        CM_EINVAL, "needs the URL", f.err);
    REFUSED(kf_trust_set_role(&f.alpha, f.trust, "alpha", true, "https://a.example", NULL,
                              cm_now_ms(), &doc, &f.err),
            CM_EDENIED, "is the manager", f.err);
    REFUSED(kf_trust_set_role(&f.alpha, f.trust, "delta", true, "https://a.example", NULL,
                              cm_now_ms(), &doc, &f.err),
            CM_ENOENT, "not active", f.err);
    make_standby();
    const struct kf_server *beta = kf_trust_server(f.trust, "beta");
    assert_true(beta->standby);
    assert_false(beta->manager);
    assert_string_equal(beta->url, "https://beta.example:8444");
    assert_true(kf_trust_is_signer(&f.beta, f.trust));
    OK(kf_trust_renew(&f.beta, f.trust, cm_now_ms(), &doc, &f.err), f.err);
    take(doc);
    OK(kf_trust_set_role(&f.alpha, f.trust, "beta", false, NULL, NULL, cm_now_ms(), &doc, &f.err),
       f.err);
    take(doc);
    assert_false(kf_trust_is_signer(&f.beta, f.trust));
    assert_false(kf_trust_server(f.trust, "beta")->standby);
}

static void promotes(bool lost)
{
    json_t *doc;
    int64_t before = kf_trust_version(f.trust);
    OK(kf_trust_promote(&f.beta, f.trust, lost, NULL, "https://ui.example:8443", cm_now_ms(), &doc,
                        &f.err),
       f.err);
    take(doc);
    assert_int_equal(kf_trust_version(f.trust), before + KF_PROMOTE_STEP);
    const struct kf_server *manager = kf_trust_manager(f.trust);
    const struct kf_server *old = kf_trust_server(f.trust, "alpha");
    assert_string_equal(manager->name, "beta");
    assert_false(manager->standby);
    assert_string_equal(manager->ui_url, "https://ui.example:8443");
    assert_false(old->manager);
    assert_int_equal(old->state, lost ? KF_REMOVED : KF_ACTIVE);
    assert_false(kf_trust_is_signer(&f.alpha, f.trust));
    if (lost) {
        assert_null(kf_trust_by_tls(f.trust, old->tls_spki));
        assert_ptr_equal(kf_trust_any_tls(f.trust, old->tls_spki), old);
    }
}

static void a_standby_is_promoted(void **state)
{
    (void)state;
    json_t *doc;
    REFUSED(kf_trust_promote(&f.beta, f.trust, true, "https://b.example", NULL, cm_now_ms(), &doc,
                             &f.err),
            CM_EDENIED, "no standby", f.err);
    make_standby();
    REFUSED(kf_trust_promote(&f.gamma, f.trust, true, "https://c.example", NULL, cm_now_ms(), &doc,
                             &f.err),
            CM_EDENIED, "no standby", f.err);
    promotes(false);
}

/* The lost manager, still cut off, renews what it knows for weeks: it stays below. */
static void the_lost_manager_stays_below(void **state)
{
    (void)state;
    json_t *doc;
    make_standby();
    struct kf_trust *old = parse_root(kf_trust_document(f.trust));
    for (int day = 0; day < 30; day++) {
        OK(kf_trust_renew(&f.alpha, old, cm_now_ms(), &doc, &f.err), f.err);
        kf_trust_free(old);
        old = parse_root(doc);
        json_decref(doc);
    }
    promotes(true);
    REFUSED(kf_trust_accept(f.trust, old, &f.err), CM_EDENIED, "not above", f.err);
    OK(kf_trust_accept(old, f.trust, &f.err), f.err); /* and follows the new one */
    /* What it makes after the promotion bears no signature that counts. */
    json_t *body = json_deep_copy(kf_trust_document(old));
    cm_json_set_int(body, "version", 5000);
    assert_true(kf_trust_finish(&f.alpha, old, body, &doc, &f.err) == 0);
    struct kf_trust *forged = parse_root(doc);
    REFUSED(kf_trust_accept(f.trust, forged, &f.err), CM_EDENIED, "0 of 1", f.err);
    kf_trust_free(forged);
    json_decref(doc);
    json_decref(body);
    kf_trust_free(old);
}

static void two_have_to_sign(void **state)
{
    (void)state;
    json_t *doc, *both;
    threshold_two();
    assert_int_equal(kf_trust_mark_removed(&f.alpha, f.trust, "gamma", cm_now_ms(), &doc, &f.err),
                     KF_TRUST_OPEN);
    struct kf_trust *next = parse_root(doc);
    assert_int_equal(kf_trust_signed_by(f.trust, next), 1);
    REFUSED(kf_trust_accept(f.trust, next, &f.err), CM_EDENIED, "1 of 2", f.err);
    kf_trust_free(next);
    /* The same signer once more does not count twice. */
    assert_int_equal(kf_trust_cosign(&f.alpha, f.trust, doc, &both, &f.err), KF_TRUST_OPEN);
    assert_int_equal(json_array_size(cm_json_arr(both, "signatures")), 1);
    json_decref(both);
    assert_int_equal(kf_trust_cosign(&f.beta, f.trust, doc, &both, &f.err), 0);
    json_decref(doc);
    /* Two would be left, which is as many as have to sign: that is still allowed. */
    take(both);
    CM_AUTO_JSON none = json_array();
    REFUSED(
        kf_trust_set_role(&f.alpha, f.trust, "beta", false, NULL, NULL, cm_now_ms(), &doc, &f.err),
        CM_ECONFLICT, "1 root signers would be left", f.err);
    REFUSED(kf_trust_set_threshold(&f.alpha, f.trust, 3, none, cm_now_ms(), &doc, &f.err),
            CM_EINVAL, "1 to 2", f.err);
}

static void proposals_are_looked_at(void **state)
{
    (void)state;
    json_t *doc, *both;
    struct kf_identity outsider;
    make_identity(f.dir, "outsider", &outsider);
    threshold_two();
    assert_int_equal(kf_trust_renew(&f.alpha, f.trust, cm_now_ms(), &doc, &f.err), KF_TRUST_OPEN);
    assert_true(kf_trust_only_renews(f.trust, doc));
    REFUSED(kf_trust_cosign(&outsider, f.trust, doc, &both, &f.err), CM_EDENIED,
            "not a root signer", f.err);
    json_t *changed = json_deep_copy(doc);
    cm_json_set_int(changed, "threshold", 1);
    assert_false(kf_trust_only_renews(f.trust, changed));
    REFUSED(kf_trust_cosign(&f.beta, f.trust, changed, &both, &f.err), CM_EDENIED,
            "no root signer of this fleet", f.err); /* alpha did not sign this */
    json_object_del(changed, "signatures");
    cm_json_set_int(changed, "threshold", 2);
    assert_true(kf_trust_only_renews(f.trust, changed));
    json_t *server = json_array_get(cm_json_arr(changed, "servers"), 1);
    cm_json_set_str(server, "state", "removed"); /* one server alone: no renewal either */
    assert_false(kf_trust_only_renews(f.trust, changed));
    cm_json_set_str(server, "state", "active");
    REFUSED(kf_trust_cosign(&f.beta, f.trust, changed, &both, &f.err), CM_EDENIED,
            "no root signer of this fleet", f.err);
    json_decref(changed);
    REFUSED(kf_trust_cosign(&f.beta, f.trust, kf_trust_document(f.trust), &both, &f.err),
            CM_ECONFLICT, "is not above", f.err);
    OK(kf_trust_cosign(&f.gamma, f.trust, doc, &both, &f.err), f.err);
    json_decref(doc);
    take(both);
    kf_identity_fini(&outsider);
}

static void promotion_needs_two_then(void **state)
{
    (void)state;
    json_t *doc, *both;
    threshold_two();
    assert_int_equal(
        kf_trust_promote(&f.beta, f.trust, true, NULL, NULL, cm_now_ms(), &doc, &f.err),
        KF_TRUST_OPEN);
    OK(kf_trust_cosign(&f.gamma, f.trust, doc, &both, &f.err), f.err);
    json_decref(doc);
    take(both);
    assert_string_equal(kf_trust_manager(f.trust)->name, "beta");
    assert_int_equal(kf_trust_threshold(f.trust), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_standby_signs_roots, setup, teardown),
        cmocka_unit_test_setup_teardown(a_standby_is_promoted, setup, teardown),
        cmocka_unit_test_setup_teardown(the_lost_manager_stays_below, setup, teardown),
        cmocka_unit_test_setup_teardown(two_have_to_sign, setup, teardown),
        cmocka_unit_test_setup_teardown(proposals_are_looked_at, setup, teardown),
        cmocka_unit_test_setup_teardown(promotion_needs_two_then, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
