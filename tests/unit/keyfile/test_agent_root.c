/* The agent's verbs that hand power on, and the managers' secrets that follow it. */
#include "agent_support.h"

static struct {
    char *dir;
    struct test_agent alpha, beta, gamma;
} f;

static int setup(void **state)
{
    (void)state;
    f.dir = temp_dir();
    agent_init(&f.alpha, f.dir, "alpha");
    agent_init(&f.beta, f.dir, "beta");
    agent_init(&f.gamma, f.dir, "gamma");
    agent_start(&f.alpha);
    agent_start(&f.beta);
    agent_start(&f.gamma);
    json_decref(agent_found(&f.alpha, "alpha"));
    json_decref(agent_join(&f.alpha, &f.beta, "beta"));
    CM_AUTO_JSON root = agent_join(&f.alpha, &f.gamma, "gamma");
    json_decref(call(&f.beta, with_document("trust.update", root)));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    agent_fini(&f.alpha);
    agent_fini(&f.beta);
    agent_fini(&f.gamma);
    remove_dir(f.dir);
    return 0;
}

/* Every other agent follows the document of this reply. */
static void follow(const json_t *reply, struct test_agent *a, struct test_agent *b)
{
    const json_t *document = cm_json_obj(reply, "document");
    assert_non_null(document);
    json_decref(call(a, with_document("trust.update", document)));
    json_decref(call(b, with_document("trust.update", document)));
}

static void make_standby(void)
{
    CM_AUTO_JSON reply =
        call(&f.alpha, json_pack("{s:s,s:s,s:s,s:s}", "op", "trust.role", "name", "beta", "role",
                                 "standby", "url", "https://beta.example:8444"));
    follow(reply, &f.beta, &f.gamma);
    CM_AUTO_JSON again = call(&f.alpha, json_pack("{s:s,s:s,s:s}", "op", "trust.role", "name",
                                                  "beta", "role", "standby"));
    assert_true(json_equal(cm_json_obj(reply, "document"), cm_json_obj(again, "document")));
}

static json_t *seal(const char *value)
{
    return json_pack("{s:s,s:s,s:s,s:s,s:s}", "op", "secret.seal", "purpose", "dns", "name", "z",
                     "value", value, "for", "managers");
}

static json_t *open_it(const char *sealed)
{
    return json_pack("{s:s,s:s,s:s,s:s}", "op", "secret.open", "purpose", "dns", "name", "z",
                     "sealed", sealed);
}

static json_t *reseal(const char *sealed)
{
    return json_pack("{s:s,s:s}", "op", "secret.reseal", "sealed", sealed);
}

static void secrets_follow(void **state)
{
    (void)state;
    CM_AUTO_JSON sealed = call(&f.alpha, seal("token"));
    CM_AUTO_JSON own =
        call(&f.alpha, json_pack("{s:s,s:s,s:s,s:s,s:s}", "op", "secret.seal", "purpose", "dns",
                                 "name", "z", "value", "v", "for", "self"));
    make_standby();
    CM_AUTO_JSON now = call(&f.alpha, reseal(cm_json_str(sealed, "sealed")));
    const char *text = cm_json_str(now, "sealed");
    assert_true(cm_json_bool(now, "changed", false));
    CM_AUTO_JSON same = call(&f.alpha, reseal(text));
    assert_false(cm_json_bool(same, "changed", true));
    assert_string_equal(cm_json_str(same, "sealed"), text);
    refused(&f.alpha, reseal(cm_json_str(own, "sealed")), "denied", "no secret of managers");
    refused(&f.alpha, reseal("!"), "malformed", "not base64");
    refused(&f.beta, reseal(text), "denied", "not a manager");
    refused(&f.beta, open_it(text), "denied", "not a manager"); /* a recipient, not yet in power */
    refused(&f.beta, json_pack("{s:s,s:b,s:i}", "op", "trust.promote", "lost", 1, "x", 1),
            "malformed", "unknown member");
    refused(&f.gamma, json_pack("{s:s,s:b}", "op", "trust.promote", "lost", 1), "denied",
            "no standby");
    CM_AUTO_JSON reply = call(&f.beta, json_pack("{s:s,s:b}", "op", "trust.promote", "lost", 1));
    CM_AUTO_JSON again = call(&f.beta, json_pack("{s:s,s:b}", "op", "trust.promote", "lost", 1));
    assert_true(json_equal(cm_json_obj(reply, "document"), cm_json_obj(again, "document")));
    follow(reply, &f.alpha, &f.gamma);
    CM_AUTO_JSON opened = call(&f.beta, open_it(text));
    assert_string_equal(cm_json_str(opened, "value"), "token");
    refused(&f.beta, open_it(cm_json_str(sealed, "sealed")), "denied", "not a recipient");
    refused(&f.alpha, open_it(text), "denied", "not a manager");
    refused(&f.alpha, op("trust.renew"), "denied", "does not list this server"); /* removed */
    json_decref(call(&f.beta, op("trust.renew")));
}

static void a_second_signature(void **state)
{
    (void)state;
    make_standby();
    CM_AUTO_JSON asked = call(&f.alpha, json_pack("{s:s,s:i,s:[s]}", "op", "trust.threshold",
                                                  "threshold", 2, "signers", "gamma"));
    assert_null(cm_json_obj(asked, "document"));
    assert_int_equal(cm_json_int(asked, "have", 0), 1);
    assert_int_equal(cm_json_int(asked, "need", 0), 2);
    const json_t *proposal = cm_json_obj(asked, "proposal");
    json_t *request = with_document("trust.sign", proposal);
    cm_json_set_bool(request, "renewal", true);
    refused(&f.beta, request, "denied", "no renewal");
    CM_AUTO_JSON signed_now = call(&f.beta, with_document("trust.sign", proposal));
    const json_t *document = cm_json_obj(signed_now, "document");
    assert_non_null(document);
    /* It comes back to the manager, complete. */
    CM_AUTO_JSON taken = call(&f.alpha, with_document("trust.sign", document));
    assert_true(json_equal(cm_json_obj(taken, "document"), document));
    json_decref(call(&f.gamma, with_document("trust.update", document)));

    CM_AUTO_JSON renewed = call(&f.alpha, op("trust.renew"));
    agent_stop(&f.gamma);
    f.gamma.clock_ms = cm_now_ms() + 31LL * 86400000; /* it lay about for a month */
    agent_start(&f.gamma);
    refused(&f.gamma, with_document("trust.sign", cm_json_obj(renewed, "proposal")), "denied",
            "the proposal has expired");
    agent_stop(&f.gamma);
    f.gamma.clock_ms = 0;
    agent_start(&f.gamma);
    request = with_document("trust.sign", cm_json_obj(renewed, "proposal"));
    cm_json_set_bool(request, "renewal", true);
    CM_AUTO_JSON complete = call(&f.gamma, request);
    json_decref(call(&f.alpha, with_document("trust.sign", cm_json_obj(complete, "document"))));
    CM_AUTO_JSON removal =
        call(&f.alpha, json_pack("{s:s,s:s}", "op", "trust.remove", "name", "gamma"));
    assert_null(cm_json_obj(removal, "document"));
    assert_non_null(cm_json_obj(removal, "proposal"));
    refused(&f.beta, with_document("trust.sign", removal), "malformed", "_id");
}

/* Invited as a standby: one from the first moment. */
static void joins_as_standby(void **state)
{
    (void)state;
    struct test_agent delta;
    agent_init(&delta, f.dir, "delta");
    agent_start(&delta);
    CM_AUTO_STR tls = fresh_spki();
    CM_AUTO_JSON identity =
        call(&delta, json_pack("{s:s,s:s}", "op", "identity.create", "name", "delta"));
    refused(&f.alpha,
            json_pack("{s:s,s:s,s:i,s:b}", "op", "trust.invite", "name", "delta", "ttl_s", 60,
                      "standby", 1),
            "invalid", "needs the URL");
    CM_AUTO_JSON invitation =
        call(&f.alpha, json_pack("{s:s,s:s,s:i,s:b,s:s}", "op", "trust.invite", "name", "delta",
                                 "ttl_s", 60, "standby", 1, "url", "https://delta.example:8444"));
    const char *seal_key = cm_json_str(identity, "seal"), *sign = cm_json_str(identity, "sign");
    CM_AUTO_STR proof = join_proof(cm_json_str(invitation, "secret"), "delta", seal_key, sign, tls);
    CM_AUTO_JSON reply =
        call(&f.alpha, json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "op", "trust.admit", "name", "delta",
                                 "seal", seal_key, "sign", sign, "tls", tls, "proof", proof));
    struct kf_trust *trust = parse_root(cm_json_obj(reply, "document"));
    const struct kf_server *server = kf_trust_server(trust, "delta");
    assert_true(server->standby);
    assert_string_equal(server->url, "https://delta.example:8444");
    assert_true(kf_trust_is_root_signer(trust, server->sign_id));
    kf_trust_free(trust);
    agent_fini(&delta);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(secrets_follow, setup, teardown),
        cmocka_unit_test_setup_teardown(a_second_signature, setup, teardown),
        cmocka_unit_test_setup_teardown(joins_as_standby, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
