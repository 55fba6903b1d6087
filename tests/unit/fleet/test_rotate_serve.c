/* What the manager does about rotations: new keys are listed, former ones forgotten in time; and
 * what it knows of them: orders, what is stuck and told to people, what is over. */
#include "rotation.h"

#include "certmgr/fleet/alarm.h"
#include "certmgr/fleet/exchange.h"
#include "certmgr/fleet/rotate.h"

static struct server alpha, beta;
static struct cm_err told;
static int64_t now;
static int ends;

static int setup(void **state)
{
    (void)state;
    told = CM_ERR_INIT;
    ends = 0;
    manager_init(&alpha, "alpha");
    member_init(&beta, "beta", &alpha);
    server_attach(&alpha);
    server_attach(&beta);
    SETTLE_UNTIL(&alpha, version_of(&alpha) == 2);
    now = cm_now_ms();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cm_err_fini(&told);
    server_fini(&beta);
    server_fini(&alpha);
    return 0;
}

static void on_end(void *arg, const struct cm_err *err)
{
    (void)arg;
    if (err != NULL)
        cm_err_copy(&told, err);
    ends++;
}

/* So much later the manager looks. */
static void look_after(int64_t ms)
{
    now += ms;
    cm_clock_fake(now, -1);
    rotate_watch(alpha.store, fleet_trust(alpha.fleet));
    settle(&alpha);
}

static void order(const char *name)
{
    int before = ends;
    cm_err_fini(&told);
    rotate_order(alpha.fleet, name, "alice", on_end, NULL);
    SETTLE_UNTIL(&alpha, ends > before);
}

/* The notice's reason, or NULL: none. */
static json_t *alarm_of(const char *kind)
{
    CM_AUTO_JSON all = fleet_alarms(alpha.store);
    size_t i;
    json_t *one;
    json_array_foreach(all, i, one)
    {
        if (strcmp(cm_json_str_or(one, "kind", ""), kind) == 0)
            return json_incref(one);
    }
    return NULL;
}

static bool has_alarm(void)
{
    CM_AUTO_JSON alarm = alarm_of("rotation_stuck");
    return alarm != NULL;
}

static json_t *known(void)
{
    return rotate_of(alpha.store, fleet_trust(alpha.fleet), "beta");
}

/* beta's word, as replication brings it. */
static void beta_says(void)
{
    static const char *const names[] = {"seal",       "sign",       "tls",
                                        "proof_seal", "proof_sign", "proof_tls"};
    CM_AUTO_JSON body = json_pack("{s:s, s:s, s:s, s:i, s:s}", "_id", "rotation:beta", "type",
                                  "rotation", "server", "beta", "serial", 1, "state", "keys");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        cm_json_set_str(body, names[i], "AAAA");
    cm_json_set_time(body, "at", now);
    signed_doc(&beta, body);
    replicate(&alpha, body, "1-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    settle(&alpha);
}

static void an_order_waits_and_is_told(void **state)
{
    (void)state;
    assert_null(known());
    cm_clock_fake(now, -1);
    order("beta");
    OK(told.code, told);
    CM_AUTO_JSON view = known();
    assert_string_equal(cm_json_str(view, "state"), "ordered");
    assert_string_equal(cm_json_str(view, "by"), "alice");
    assert_false(cm_json_bool(view, "stuck", true));
    look_after(ROTATE_STUCK_MS - 1000);
    assert_false(has_alarm());
    look_after(1000);
    CM_AUTO_JSON alarm = alarm_of("rotation_stuck");
    assert_non_null(alarm);
    assert_string_equal(cm_json_str(alarm, "where"), "server beta");
    assert_non_null(strstr(cm_json_str_or(alarm, "what", ""), "state \"ordered\" (no answer)"));
    assert_non_null(strstr(cm_json_str_or(alarm, "hint", ""), "rotate beta --status"));
    order("beta"); /* anew: the time runs from now on */
    look_after(0);
    assert_false(has_alarm());
}

static void what_the_manager_refuses_is_told(void **state)
{
    (void)state;
    CM_AUTO_JSON refused = json_pack("{s:s, s:s}", "server", "beta", "reason", "no proof of it");
    cm_clock_fake(now, -1);
    order("beta");
    assert_int_equal(cs_kv_put(alpha.store, "state", "rotation_refused:beta", refused, NULL), 0);
    beta_says();
    CM_AUTO_JSON view = known();
    assert_string_equal(cm_json_str(view, "state"), "proposed");
    assert_string_equal(cm_json_str(view, "refused"), "no proof of it");
    assert_false(cm_json_bool(view, "old_keys", true));
    look_after(ROTATE_STUCK_MS - 1000);
    assert_false(has_alarm());
    look_after(1000);
    CM_AUTO_JSON alarm = alarm_of("rotation_stuck");
    assert_non_null(alarm);
    assert_non_null(strstr(cm_json_str_or(alarm, "what", ""), "\"proposed\" (no proof of it)"));
}

static void orders_that_make_no_sense(void **state)
{
    (void)state;
    order("nobody");
    assert_int_equal(told.code, CM_ENOENT);
    cm_err_fini(&told);
    rotate_order(beta.fleet, "alpha", "bob", on_end, NULL);
    assert_int_equal(told.code, CM_EDENIED);
}

/* ---- new keys, former keys ---- */

/* rotate_serve() lives as long as the process: so do the loops that it works on. */
static struct cm_loop *work[8];
static size_t works;
static int rotates, retires; /* asked of the manager's agent */

static void counting(void *arg, json_t *take_request, kf_reply_fn done, void *done_arg)
{
    const char *op = cm_json_str_or(take_request, "op", "");
    rotates += strcmp(op, "trust.rotate") == 0;
    retires += strcmp(op, "trust.retire") == 0;
    agent_call(arg, take_request, done, done_arg);
}

static void serve(void)
{
    rotates = retires = 0;
    assert_true(works < sizeof(work) / sizeof(work[0]));
    work[works] = cm_loop_new();
    rotate_serve(work[works++], alpha.store, alpha.fleet,
                 (struct kf_agent){.arg = &alpha, .call = counting});
}

/* The manager works at what it was told, and at nothing else. */
static void serve_some(void)
{
    for (int i = 0; i < 6; i++)
        cm_loop_turn(work[works - 1], false);
}

static void hears(const json_t *word, const char *rev)
{
    assert_int_equal(replicate(&alpha, word, rev).code, 0);
    for (int i = 0; i < 4; i++) {
        settle(&alpha);
        serve_some();
    }
}

static const struct kf_server *listed(const char *name)
{
    return kf_trust_server(fleet_trust(alpha.fleet), name);
}

static bool is_refused(void)
{
    CM_AUTO_JSON refused = cs_kv_get(alpha.store, "state", "rotation_refused:beta");
    return refused != NULL;
}

/* While anything needs them, they stay: until the server itself says that nothing does. */
static void former_keys_go_when_all_is_sealed_anew(void **state)
{
    (void)state;
    serve();
    CM_AUTO_JSON word = rotation_word(&beta);
    CM_AUTO_JSON again = rotation_says(&beta, word, "keys", 2);
    hears(word, "1-00000000000000000000000000000001");
    SETTLE_UNTIL(&alpha, (serve_some(), listed("beta")->old_sign_b64 != NULL));
    assert_string_equal(listed("beta")->sign_b64, cm_json_str(word, "sign"));
    hears(again, "2-00000000000000000000000000000002");
    assert_int_equal(retires, 0);
    assert_int_equal(rotates, 1);
    assert_non_null(listed("beta")->old_sign_b64);
    assert_false(is_refused());

    int before = ends;
    CM_AUTO_JSON chain = fleet_chain(alpha.fleet, version_of(&beta));
    fleet_follow_chain(beta.fleet, cm_json_arr(chain, "documents"), on_end, NULL);
    SETTLE_UNTIL(&beta, ends > before &&
                            strcmp(beta.agent.identity.sign_b64, cm_json_str(word, "sign")) == 0);
    CM_AUTO_JSON done = rotation_says(&beta, word, "resealed", 3);
    hears(done, "3-00000000000000000000000000000003");
    SETTLE_UNTIL(&alpha, (serve_some(), listed("beta")->old_sign_b64 == NULL));
    assert_int_equal(retires, 1);
    assert_string_equal(listed("beta")->sign_b64, cm_json_str(word, "sign"));
}

/* ---- what is sealed for the former key alone ---- */

/* beta replaces its keys, and follows the trust root that lists them; its word (owned). */
static json_t *beta_rotates(void)
{
    json_t *word = rotation_word(&beta);
    hears(word, "1-00000000000000000000000000000001");
    SETTLE_UNTIL(&alpha, (serve_some(), listed("beta")->old_sign_b64 != NULL));
    int before = ends;
    CM_AUTO_JSON chain = fleet_chain(alpha.fleet, version_of(&beta));
    fleet_follow_chain(beta.fleet, cm_json_arr(chain, "documents"), on_end, NULL);
    SETTLE_UNTIL(&beta, ends > before &&
                            strcmp(beta.agent.identity.sign_b64, cm_json_str(word, "sign")) == 0);
    return word;
}

static void beta_has_resealed(const json_t *word)
{
    CM_AUTO_JSON done = rotation_says(&beta, word, "resealed", 3);
    hears(done, "3-00000000000000000000000000000003");
}

/* Number of documents that beta's rotation waits for. */
static int waits_for(void)
{
    CM_AUTO_JSON view = known();
    return (int)cm_json_int(cm_json_obj(view, "waiting"), "documents", 0);
}

/* A credential that beta had not pulled when it said that it needs the former keys no more. */
static void unread(int n, const char *seal)
{
    CM_AUTO_STR sealed = sealed_text(seal, NULL);
    manager_puts(&alpha, credential_of("beta", n, sealed));
}

/* beta's word about credential n: the envelope as its agent seals it anew. */
static void beta_seals(int n, const char *was, int serial)
{
    CM_AUTO_STR ulid = cm_asprintf("01ARZ3NDEKTSV4RRFFQ69G%04d", n);
    CM_AUTO_STR id = cm_asprintf("reseal:beta:%s", ulid);
    CM_AUTO_STR rev = cm_asprintf("%d-00000000000000000000000000000009", serial);
    CM_AUTO_JSON made =
        must(agent_now(&beta, json_pack("{s:s, s:s}", "op", "rotate.rewrap", "sealed", was)));
    json_t *body =
        json_pack("{s:s, s:s, s:i, s:s, s:s, s:s}", "_id", id, "type", "reseal", "serial", serial,
                  "server", "beta", "credential", ulid, "sealed_key", cm_json_str(made, "sealed"));
    cm_json_set_time(body, "at", cm_now_ms());
    CM_AUTO_JSON said = signed_doc(&beta, body);
    hears(said, rev);
}

static json_t *credential_one(void)
{
    return cs_get_body(alpha.store, "credential:01ARZ3NDEKTSV4RRFFQ69G0001");
}

static void former_keys_stay_for_what_it_had_not_pulled(void **state)
{
    (void)state;
    serve();
    unread(1, listed("beta")->seal_b64);
    CM_AUTO_JSON word = beta_rotates();
    beta_has_resealed(word);
    SETTLE_UNTIL(&alpha, (serve_some(), waits_for() == 1));
    assert_non_null(listed("beta")->old_sign_b64);
    assert_int_equal(retires, 0);

    CM_AUTO_JSON before = credential_one();
    beta_seals(1, cm_json_str(before, "sealed_key"), 1);
    SETTLE_UNTIL(&alpha, (serve_some(), listed("beta")->old_sign_b64 == NULL));
    assert_int_equal(retires, 1);
    CM_AUTO_JSON after = credential_one();
    assert_string_not_equal(cm_json_str(after, "sealed_key"), cm_json_str(before, "sealed_key"));
    CM_AUTO_JSON record = cs_kv_get(alpha.store, "state", "rotation_wait:beta");
    assert_null(record);
}

/* The key of a CSR that is out is taken over, too: the certificate may come in weeks. */
static void a_csr_that_is_out_is_taken_over(void **state)
{
    (void)state;
    serve();
    CM_AUTO_STR key = sealed_text(listed("beta")->seal_b64, NULL);
    CM_AUTO_STR next = sealed_text(listed("beta")->seal_b64, NULL);
    json_t *body = credential_of("beta", 1, key);
    cm_json_set(body, "csr_out", json_pack("{s:s}", "sealed_key", next));
    manager_puts(&alpha, body);
    CM_AUTO_JSON word = beta_rotates();
    beta_has_resealed(word);
    beta_seals(1, next, 1);
    SETTLE_UNTIL(&alpha, (serve_some(), waits_for() == 1));
    CM_AUTO_JSON half = credential_one();
    assert_string_equal(cm_json_str(half, "sealed_key"), key);
    beta_seals(1, key, 2);
    SETTLE_UNTIL(&alpha, (serve_some(), listed("beta")->old_sign_b64 == NULL));
}

/* One that does not seal anew holds nobody else up, is told to people, and after a day its former
 * keys go all the same; the manager may begin a new life meanwhile. */
static void nobody_waits_for_ever(void **state)
{
    (void)state;
    struct server gamma;
    struct cm_err err = CM_ERR_INIT;
    member_init(&gamma, "gamma", &alpha);
    CM_AUTO_JSON root = renew(&alpha);
    OK(fleet_adopt(alpha.fleet, root, &err), err);
    serve();
    unread(1, listed("beta")->seal_b64);
    CM_AUTO_JSON word = beta_rotates();
    beta_has_resealed(word);
    SETTLE_UNTIL(&alpha, (serve_some(), waits_for() == 1));

    CM_AUTO_JSON other = rotation_word(&gamma);
    hears(other, "1-00000000000000000000000000000002");
    SETTLE_UNTIL(&alpha, (serve_some(), listed("gamma")->old_sign_b64 != NULL));
    server_fini(&gamma);

    now = cm_now_ms();
    look_after(ROTATE_STUCK_MS);
    CM_AUTO_JSON stuck = alarm_of("rotation_stuck");
    assert_non_null(strstr(cm_json_str_or(stuck, "what", ""), "for its former key alone"));
    look_after(ROTATE_WAIT_MS);
    serve(); /* another life */
    SETTLE_UNTIL(&alpha, (serve_some(), listed("beta")->old_sign_b64 == NULL));
    look_after(0);
    CM_AUTO_JSON left = alarm_of("rotation_left");
    assert_non_null(strstr(cm_json_str_or(left, "what", ""), "1 documents, the first is cred"));
}

/* It is removed before the manager comes to look at what it said. */
static void a_removed_server_gets_no_new_keys(void **state)
{
    (void)state;
    struct cm_err err = CM_ERR_INIT;
    serve();
    CM_AUTO_JSON word = rotation_word(&beta);
    assert_int_equal(replicate(&alpha, word, "1-00000000000000000000000000000001").code, 0);
    settle(&alpha);
    CM_AUTO_JSON reply =
        must(agent_now(&alpha, json_pack("{s:s, s:s}", "op", "trust.remove", "name", "beta")));
    OK(fleet_adopt(alpha.fleet, cm_json_obj(reply, "document"), &err), err);
    assert_int_equal(listed("beta")->state, KF_REMOVED);
    CM_AUTO_JSON said = cs_get_body(alpha.store, "rotation:beta");
    assert_non_null(said);
    serve_some();
    settle(&alpha);
    assert_int_equal(rotates, 0);
    assert_false(is_refused());
}

/* Given up after it was refused: the next rotation does not begin with that reason. */
static void a_refusal_ends_with_its_rotation(void **state)
{
    (void)state;
    serve();
    CM_AUTO_JSON word = rotation_word(&beta);
    CM_AUTO_JSON bad = json_deep_copy(word);
    json_object_set(bad, "proof_seal", json_object_get(bad, "proof_sign"));
    CM_AUTO_JSON unproved = rotation_says(&beta, bad, "keys", 2);
    hears(unproved, "1-00000000000000000000000000000001");
    SETTLE_UNTIL(&alpha, (serve_some(), is_refused()));
    json_t *gone =
        json_pack("{s:s, s:s, s:i}", "_id", "rotation:beta", "type", "rotation", "serial", 3);
    json_t *request = json_pack("{s:s, s:o, s:b}", "op", "doc.sign", "body", gone, "deleted", 1);
    json_incref(gone);
    CM_AUTO_JSON reply = must(agent_now(&beta, request));
    json_object_set(gone, "signature", cm_json_obj(reply, "signature"));
    cm_json_set_bool(gone, "_deleted", true);
    CM_AUTO_JSON owned = gone;
    hears(owned, "2-00000000000000000000000000000002");
    SETTLE_UNTIL(&alpha, (serve_some(), !is_refused()));
    assert_int_equal(rotates, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_order_waits_and_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(what_the_manager_refuses_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(orders_that_make_no_sense, setup, teardown),
        cmocka_unit_test_setup_teardown(former_keys_go_when_all_is_sealed_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(former_keys_stay_for_what_it_had_not_pulled, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_csr_that_is_out_is_taken_over, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_waits_for_ever, setup, teardown),
        cmocka_unit_test_setup_teardown(a_removed_server_gets_no_new_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(a_refusal_ends_with_its_rotation, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
