/* Signers that are gone, back, or new: what is stored is judged anew under the present root. */
#include "support.h"

#include "certmgr/fleet/exchange.h"

static struct server alpha, beta;
static int ends, last_code;

#define RECEIPT "receipt:beta:" ULID

static int setup(void **state)
{
    (void)state;
    ends = 0;
    manager_init(&alpha, "alpha");
    member_init(&beta, "beta", &alpha);
    server_attach(&alpha);
    server_attach(&beta);
    SETTLE_UNTIL(&alpha, version_of(&alpha) == 2);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    server_fini(&beta);
    server_fini(&alpha);
    return 0;
}

static void on_end(void *arg, const struct cm_err *err)
{
    (void)arg;
    last_code = err != NULL ? err->code : 0;
    ends++;
}

static void remove_beta(void)
{
    int before = ends;
    fleet_remove(alpha.fleet, "beta", on_end, NULL);
    SETTLE_UNTIL(&alpha, ends > before);
    assert_int_equal(last_code, 0);
}

/* It joins once more, with the keys it has. */
static void readmit_beta(void)
{
    int before = ends;
    CM_AUTO_JSON document = admit(&alpha, &beta);
    fleet_store_trust(alpha.fleet, document, on_end, NULL);
    SETTLE_UNTIL(&alpha, ends > before);
    assert_int_equal(last_code, 0);
}

/* `to` hears what `from` knows, as over /trust. */
static void hear(struct server *to, struct server *from)
{
    int before = ends;
    CM_AUTO_JSON all = fleet_chain(from->fleet, version_of(to));
    fleet_follow_chain(to->fleet, cm_json_arr(all, "documents"), on_end, NULL);
    SETTLE_UNTIL(to, ends > before);
    assert_int_equal(last_code, 0);
}

static bool has(struct server *s, const char *id)
{
    CM_AUTO_JSON body = cs_get_body(s->store, id);
    return body != NULL;
}

static bool at_rest(struct server *s)
{
    CM_AUTO_JSON status = cs_rejudge_status(s->store);
    return strcmp(cm_json_str_or(status, "state", ""), "idle") == 0;
}

static size_t refused(struct server *s)
{
    CM_AUTO_JSON all = cs_quarantine(s->store);
    return json_array_size(all);
}

static void take_receipt(void)
{
    CM_AUTO_JSON receipt = receipt_of(&beta);
    struct cs_result r = replicate(&alpha, receipt, "1-00000000000000000000000000000001");
    assert_int_equal(r.code, 0);
    settle(&alpha);
    assert_true(has(&alpha, RECEIPT));
}

static void a_removed_servers_documents_lose_their_verdict(void **state)
{
    (void)state;
    take_receipt();
    remove_beta();
    SETTLE_UNTIL(&alpha, !has(&alpha, RECEIPT) && at_rest(&alpha));
    CM_AUTO_JSON all = cs_quarantine(alpha.store);
    assert_int_equal(json_array_size(all), 1);
    const json_t *row = json_array_get(all, 0);
    assert_string_equal(cm_json_str(row, "id"), RECEIPT);
    assert_string_equal(cm_json_str(row, "peer"), "beta");
    assert_string_equal(cm_json_str(row, "reason"),
                        "its signer is no longer in the trust root: signer beta was removed from "
                        "the trust root");
    CM_AUTO_JSON receipt = receipt_of(&beta); /* neither as news nor under another name */
    struct cs_result r = replicate(&alpha, receipt, "2-00000000000000000000000000000002");
    assert_int_equal(r.code, CM_EDENIED);
    assert_false(has(&alpha, RECEIPT));
}

static void a_server_that_is_back_counts_again(void **state)
{
    (void)state;
    take_receipt();
    remove_beta();
    SETTLE_UNTIL(&alpha, !has(&alpha, RECEIPT) && at_rest(&alpha));
    readmit_beta();
    SETTLE_UNTIL(&alpha, has(&alpha, RECEIPT) && at_rest(&alpha));
    assert_int_equal(refused(&alpha), 0);
}

/* The removed server hears of it and cannot write any more, not even for itself. */
static void published(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    (void)doc;
    on_end(arg, err);
}

static void a_removed_server_cannot_write(void **state)
{
    (void)state;
    CM_AUTO_JSON receipt = receipt_of(&beta);
    replicate(&beta, receipt, "1-00000000000000000000000000000001");
    settle(&beta);
    assert_true(has(&beta, RECEIPT));
    remove_beta();
    hear(&beta, &alpha);
    SETTLE_UNTIL(&beta, !has(&beta, RECEIPT));
    int before = ends;
    cs_publish(beta.store, json_deep_copy(receipt), -1, published, NULL);
    SETTLE_UNTIL(&beta, ends > before);
    assert_int_not_equal(last_code, 0);
    assert_false(has(&beta, RECEIPT));
}

/* The front is killed after the root took effect, before anything was judged. */
static void a_pass_goes_on_in_the_next_life(void **state)
{
    (void)state;
    struct cm_err err = CM_ERR_INIT;
    take_receipt();
    CM_AUTO_JSON reply =
        must(agent_now(&alpha, json_pack("{s:s, s:s}", "op", "trust.remove", "name", "beta")));
    OK(fleet_adopt(alpha.fleet, cm_json_obj(reply, "document"), &err), err);
    server_close(&alpha);
    server_open(&alpha, NULL);
    assert_int_equal(version_of(&alpha), 3);
    assert_true(has(&alpha, RECEIPT));
    assert_false(at_rest(&alpha));
    server_attach(&alpha);
    SETTLE_UNTIL(&alpha, !has(&alpha, RECEIPT) && at_rest(&alpha));
    assert_int_equal(refused(&alpha), 1);
}

/* A store from before there were passes: decided by older roots only. */
static void an_older_store_is_judged_once(void **state)
{
    (void)state;
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_JSON first = cs_rejudge_status(alpha.store);
    assert_non_null(first);
    OK(cs_kv_del(alpha.store, "state", "rejudge", &err), err);
    server_close(&alpha);
    server_open(&alpha, NULL);
    server_attach(&alpha);
    SETTLE_UNTIL(&alpha, at_rest(&alpha));
    server_close(&alpha);
    CM_AUTO_JSON second = NULL;
    server_open(&alpha, NULL);
    second = cs_rejudge_status(alpha.store);
    server_attach(&alpha);
    settle(&alpha);
    CM_AUTO_JSON third = cs_rejudge_status(alpha.store);
    assert_true(json_equal(second, third)); /* only once */
}

/* Silence never takes anything away: an expired root keeps out what is new, no more. */
static void an_expired_root_takes_nothing_away(void **state)
{
    (void)state;
    struct cm_err err = CM_ERR_INIT;
    take_receipt();
    alpha.hold = true; /* no fresh root comes */
    cm_clock_fake(kf_trust_expires_ms(fleet_trust(alpha.fleet)) + 1, 0);
    OK(cs_rejudge_begin(alpha.store, &err), err);
    fleet_rejudge_go(alpha.fleet);
    SETTLE_UNTIL(&alpha, at_rest(&alpha));
    assert_true(has(&alpha, RECEIPT));
    assert_int_equal(refused(&alpha), 0);
}

/* After a promotion the former manager's documents hold, what it wrote as a server does, too. */
static void a_promotion_takes_nothing_away(void **state)
{
    (void)state;
    int before = ends;
    CM_AUTO_JSON settings = signed_doc(&alpha, json_pack("{s:s, s:s, s:i}", "_id", "settings:fleet",
                                                         "type", "settings", "serial", 7));
    CM_AUTO_JSON receipt = receipt_of(&alpha);
    fleet_set_role(
        alpha.fleet,
        &(struct fleet_role){.name = "beta", .standby = true, .url = "https://beta.example:8444"},
        on_end, NULL);
    SETTLE_UNTIL(&alpha, ends > before);
    hear(&beta, &alpha);
    assert_int_equal(replicate(&beta, settings, "1-00000000000000000000000000000001").code, 0);
    assert_int_equal(replicate(&beta, receipt, "1-00000000000000000000000000000002").code, 0);
    settle(&beta);
    before = ends;
    fleet_promote(beta.fleet, true, NULL, NULL, on_end, NULL); /* lost: its keys go */
    SETTLE_UNTIL(&beta, ends > before);
    assert_int_equal(last_code, 0);
    assert_int_equal(kf_trust_server(fleet_trust(beta.fleet), "alpha")->state, KF_REMOVED);
    SETTLE_UNTIL(&beta, !has(&beta, "receipt:alpha:" ULID) && at_rest(&beta));
    assert_true(has(&beta, "settings:fleet"));
    CM_AUTO_JSON news = signed_doc(&alpha, json_pack("{s:s, s:s, s:i}", "_id", "settings:fleet",
                                                     "type", "settings", "serial", 8));
    assert_int_equal(replicate(&beta, news, "2-00000000000000000000000000000003").code, CM_EDENIED);
    assert_true(has(&beta, "settings:fleet"));
}

/* ---- when a pass is needed ---- */

static struct kf_trust *parsed(const json_t *document)
{
    struct kf_trust *trust = NULL;
    struct cm_err err = CM_ERR_INIT;
    OK(kf_trust_parse(document, &trust, &err), err);
    return trust;
}

/* The present root with something else about beta. */
static struct kf_trust *with(void (*change)(json_t *server))
{
    CM_AUTO_JSON document = json_deep_copy(kf_trust_document(fleet_trust(alpha.fleet)));
    json_t *servers = cm_json_arr(document, "servers"), *server;
    size_t i;
    json_array_foreach(servers, i, server) if (strcmp(cm_json_str(server, "name"), "beta") == 0)
        change(server);
    return parsed(document);
}

static void no_change(json_t *server)
{
    (void)server;
}

static void removed(json_t *server)
{
    cm_json_set_str(server, "state", "removed");
}

static void retiring(json_t *server)
{
    cm_json_set_str(server, "state", "retiring");
}

static void other_key(json_t *server)
{
    CM_AUTO_STR key = fresh_spki();
    cm_json_set_str(server, "sign", key);
}

/* Its keys are being replaced: those from before count, too. */
static void two_keys(json_t *server)
{
    static const char *const names[] = {"seal", "sign", "tls"};
    json_t *old = json_object();
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        CM_AUTO_STR key = fresh_spki();
        cm_json_set_str(old, names[i], key);
    }
    cm_json_set(server, "old", old);
}

static void only_who_may_sign_matters(void **state)
{
    (void)state;
    struct server gamma;
    struct kf_trust *same = with(no_change), *out = with(removed), *leaving = with(retiring),
                    *rekeyed = with(other_key), *both = with(two_keys);
    member_init(&gamma, "gamma", &alpha);
    const struct kf_trust *wider = fleet_trust(gamma.fleet);
    assert_false(fleet_signers_changed(same, same));
    assert_false(fleet_signers_changed(same, leaving)); /* its signature still counts */
    assert_false(fleet_signers_changed(same, wider));   /* merely new */
    assert_false(fleet_signers_changed(out, out));
    assert_true(fleet_signers_changed(same, out));
    assert_true(fleet_signers_changed(out, same));
    assert_true(fleet_signers_changed(wider, same)); /* not even listed any more */
    assert_true(fleet_signers_changed(same, rekeyed));
    assert_true(fleet_signers_changed(rekeyed, same));
    assert_false(fleet_signers_changed(same, both));
    assert_false(fleet_signers_changed(both, both));
    assert_true(fleet_signers_changed(both, same)); /* the former key is forgotten */
    kf_trust_free(both);
    kf_trust_free(same);
    kf_trust_free(out);
    kf_trust_free(leaving);
    kf_trust_free(rekeyed);
    server_fini(&gamma);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_removed_servers_documents_lose_their_verdict),
        T(a_server_that_is_back_counts_again),
        T(a_removed_server_cannot_write),
        T(a_pass_goes_on_in_the_next_life),
        T(an_older_store_is_judged_once),
        T(an_expired_root_takes_nothing_away),
        T(a_promotion_takes_nothing_away),
        T(only_who_may_sign_matters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
