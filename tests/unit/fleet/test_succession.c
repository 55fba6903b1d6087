/* Who leads: roles, promotion, proposals, chains of trust roots; what a new manager signs and seals
 * again; and the largest fleet. */
#include "support.h"

#include "base/core/frame.h"
#include "certmgr/fleet/exchange.h"
#include "certmgr/fleet/succession.h"
#include "keyfile/trust_change.h"

static struct server alpha, beta;
static struct succession *work, *next; /* live as long as the process */
static struct cm_err told;
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
    cm_err_fini(&told);
    if (err != NULL)
        cm_err_copy(&told, err);
    ends++;
}

static void wait_end(struct server *s, int before)
{
    SETTLE_UNTIL(s, ends > before);
}

/* `to` hears what `from` knows, as over /trust. */
static void hear(struct server *to, struct server *from)
{
    int before = ends;
    CM_AUTO_JSON all = fleet_chain(from->fleet, version_of(to));
    fleet_follow_chain(to->fleet, cm_json_arr(all, "documents"), on_end, NULL);
    wait_end(to, before);
}

static void make_standby(void)
{
    int before = ends;
    fleet_set_role(
        alpha.fleet,
        &(struct fleet_role){.name = "beta", .standby = true, .url = "https://beta.example:8444"},
        on_end, NULL);
    wait_end(&alpha, before);
    assert_int_equal(told.code, 0);
    hear(&beta, &alpha);
    assert_int_equal(told.code, 0);
}

static void promote_beta(void)
{
    int before = ends;
    fleet_promote(beta.fleet, false, NULL, NULL, on_end, NULL);
    wait_end(&beta, before);
    OK(told.code, told);
}

static void a_standby_takes_over(void **state)
{
    (void)state;
    make_standby();
    assert_false(fleet_is_manager(beta.fleet));
    promote_beta();
    assert_true(fleet_is_manager(beta.fleet));
    assert_int_equal(stored_version(&beta), version_of(&beta)); /* servers get it from there */
    assert_int_equal(version_of(&beta), 3 + KF_PROMOTE_STEP);
    /* The old manager renewed meanwhile; it hears, and is none any more, its agent neither. */
    json_decref(renew(&alpha));
    hear(&alpha, &beta);
    assert_int_equal(told.code, 0);
    assert_false(fleet_is_manager(alpha.fleet));
    SETTLE_UNTIL(&alpha, kf_trust_version(alpha.agent.trust) == version_of(&beta));
    CM_AUTO_JSON refused = agent_now(&alpha, json_pack("{s:s}", "op", "trust.renew"));
    assert_false(cm_json_bool(refused, "ok", true));
    hear(&beta, &alpha); /* nothing newer there */
    assert_int_equal(told.code, 0);
}

/* The former manager's agent has pinned its successor's trust root, and everything was killed
 * before the front followed.  Stored by itself, it would be a child of the version known there, and
 * have another revision than everywhere else until the next one. */
static void a_former_manager_stores_nothing_of_its_successor(void **state)
{
    (void)state;
    make_standby();
    promote_beta();
    int64_t own = stored_version(&alpha);
    json_t *update = json_pack("{s:s}", "op", "trust.update");
    cm_json_set(update, "document", json_deep_copy(kf_trust_document(fleet_trust(beta.fleet))));
    json_decref(must(agent_now(&alpha, update)));
    server_close(&alpha);
    server_open(&alpha, NULL);
    assert_true(fleet_is_manager(alpha.fleet));
    server_attach(&alpha);
    SETTLE_UNTIL(&alpha, version_of(&alpha) == version_of(&beta));
    assert_false(fleet_is_manager(alpha.fleet));
    assert_int_equal(stored_version(&alpha), own);
}

/* Signers changed twice while it was away: the newest alone says nothing to it. */
static void who_missed_it_follows_step_by_step(void **state)
{
    (void)state;
    CM_AUTO_JSON first = cs_kv_get(beta.store, "state", "trust");
    int before = ends;
    fleet_set_role(
        alpha.fleet,
        &(struct fleet_role){.name = "beta", .standby = true, .url = "https://beta.example:8444"},
        on_end, NULL);
    wait_end(&alpha, before);
    struct server gamma;
    member_init(&gamma, "gamma", &alpha); /* the agent's root; alpha's front gets it by looking */
    server_attach(&gamma);
    CM_AUTO_JSON now = must(agent_now(&alpha, json_pack("{s:s}", "op", "trust.get")));
    before = ends;
    fleet_take(alpha.fleet, cm_json_obj(now, "document"), on_end, NULL);
    wait_end(&alpha, before);
    SETTLE_UNTIL(&alpha, version_of(&alpha) == 4 || (server_attach(&alpha), false));
    hear(&beta, &alpha);
    struct kf_trust *old = NULL;
    OK(kf_trust_parse(first, &old, &told), told);
    promote_beta();
    struct cm_err err = CM_ERR_INIT;
    assert_int_not_equal(kf_trust_accept(old, fleet_trust(beta.fleet), &err), 0);
    cm_err_fini(&err);
    CM_AUTO_JSON all = fleet_chain(beta.fleet, 2);
    const json_t *documents = cm_json_arr(all, "documents");
    assert_true(json_array_size(documents) >= 2);
    for (size_t i = 0; i < json_array_size(documents); i++) {
        struct kf_trust *newer = NULL;
        OK(kf_trust_parse(json_array_get(documents, i), &newer, &told), told);
        OK(kf_trust_accept(old, newer, &told), told);
        kf_trust_free(old);
        old = newer;
    }
    assert_int_equal(kf_trust_version(old), version_of(&beta));
    kf_trust_free(old);
    hear(&gamma, &beta);
    assert_int_equal(told.code, 0);
    assert_string_equal(kf_trust_manager(fleet_trust(gamma.fleet))->name, "beta");
    server_fini(&gamma);
}

static void proposals_wait(void **state)
{
    (void)state;
    make_standby();
    int before = ends;
    fleet_threshold(alpha.fleet, 2, NULL, on_end, NULL);
    wait_end(&alpha, before);
    assert_int_equal(told.code, CM_EBUSY);
    assert_int_equal(told.retry, CM_RETRY_CONFIGURATION);
    assert_non_null(strstr(told.what, "1 of 2"));
    CM_AUTO_JSON proposal = fleet_proposal(alpha.fleet);
    assert_string_equal(cm_json_str(proposal, "what"), "other root signers");
    before = ends;
    fleet_cosign(beta.fleet, cm_json_obj(proposal, "document"), true, on_end, NULL);
    wait_end(&beta, before);
    assert_int_equal(told.code, CM_EDENIED); /* no renewal: a person has to say so */
    before = ends;
    fleet_cosign(beta.fleet, cm_json_obj(proposal, "document"), false, on_end, NULL);
    wait_end(&beta, before);
    OK(told.code, told);
    hear(&alpha, &beta);
    OK(told.code, told);
    assert_int_equal(kf_trust_threshold(fleet_trust(alpha.fleet)), 2);
    assert_int_equal(stored_version(&alpha), version_of(&beta));
    assert_null(fleet_proposal(alpha.fleet));
    before = ends;
    fleet_remove(alpha.fleet, "beta", on_end, NULL);
    wait_end(&alpha, before);
    assert_int_equal(told.code, CM_ECONFLICT); /* one signer would be left */
}

static void published(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    (void)arg;
    (void)doc;
    on_end(NULL, err);
}

static void publish(struct server *s, json_t *take_doc)
{
    int before = ends;
    cs_publish(s->store, take_doc, -1, published, NULL);
    wait_end(s, before);
    OK(told.code, told);
}

static json_t *settings(int days)
{
    return json_pack("{s:s, s:s, s:i}", "_id", "settings:global", "type", "settings", "renew_days",
                     days);
}

static void copy_to_beta(const char *id)
{
    json_t *doc = NULL;
    struct cm_err err = CM_ERR_INIT;
    struct cs_result result;
    OK(cs_read_rev(alpha.store, id, NULL, true, false, &doc, &err), err);
    OK(cs_put_replicated(beta.store, doc, "alpha", &result, &err), err);
    assert_int_equal(result.code, 0);
    json_decref(doc);
}

static const char *signer_of(struct server *s, const char *id, json_t **keep)
{
    json_decref(*keep);
    *keep = cs_get_body(s->store, id);
    return cm_json_str_or(cm_json_obj(*keep, "signature"), "by", "");
}

static bool pass_done(struct server *s)
{
    CM_AUTO_JSON mark = cs_kv_get(s->store, "state", "succession");
    return mark != NULL;
}

static bool tombstone_by_beta(void)
{
    json_t *body = NULL;
    if (cs_read_rev(beta.store, "dns-account:gone", NULL, false, false, &body, NULL) < 0)
        return false;
    CM_AUTO_JSON gone = body;
    return cm_json_bool(gone, "_deleted", false) &&
           strcmp(cm_json_str_or(cm_json_obj(gone, "signature"), "by", ""), "beta") == 0;
}

static void the_new_manager_signs_and_seals_again(void **state)
{
    (void)state;
    CM_AUTO_JSON keep = NULL;
    CM_AUTO_JSON sealed = must(
        agent_now(&alpha, json_pack("{s:s, s:s, s:s, s:s, s:s}", "op", "secret.seal", "purpose",
                                    "dns", "name", "zone", "value", "token", "for", "managers")));
    publish(&alpha,
            json_pack("{s:s, s:s, s:s, s:s}", "_id", "dns-account:zone", "type", "dns-account",
                      "kind", "recipe", "sealed", cm_json_str(sealed, "sealed")));
    publish(&alpha, settings(11));
    publish(&alpha, json_pack("{s:s, s:s, s:s}", "_id", "dns-account:gone", "type", "dns-account",
                              "kind", "manual"));
    publish(&alpha, json_pack("{s:s, s:s, s:b}", "_id", "dns-account:gone", "type", "dns-account",
                              "_deleted", 1));
    make_standby();
    work = succession_new(alpha.loop, alpha.store, alpha.fleet, agent_of(&alpha));
    succession_look(work);
    SETTLE_UNTIL(&alpha, pass_done(&alpha));
    copy_to_beta("dns-account:zone");
    copy_to_beta("dns-account:gone");
    copy_to_beta("settings:global");
    promote_beta();
    next = succession_new(beta.loop, beta.store, beta.fleet, agent_of(&beta));
    succession_look(next);
    SETTLE_UNTIL(&beta, strcmp(signer_of(&beta, "settings:global", &keep), "beta") == 0);
    SETTLE_UNTIL(&beta, strcmp(signer_of(&beta, "dns-account:zone", &keep), "beta") == 0);
    CM_AUTO_JSON opened = must(
        agent_now(&beta, json_pack("{s:s, s:s, s:s, s:s}", "op", "secret.open", "purpose", "dns",
                                   "name", "zone", "sealed", cm_json_str(keep, "sealed"))));
    assert_string_equal(cm_json_str(opened, "value"), "token");
    SETTLE_UNTIL(&beta, tombstone_by_beta());
    SETTLE_UNTIL(&beta, pass_done(&beta));
    succession_free(work);
    succession_free(next);
}

static bool unlisted, unreadable;

int __real_cs_get(struct cs_store *store, const char *id, struct cs_doc *ret, struct cm_err *err);
int __wrap_cs_get(struct cs_store *store, const char *id, struct cs_doc *ret, struct cm_err *err);
int __real_cs_docs(struct cs_store *store, const char *from, bool descending, size_t limit,
                   cs_change_fn fn, void *arg, struct cm_err *err);
int __wrap_cs_docs(struct cs_store *store, const char *from, bool descending, size_t limit,
                   cs_change_fn fn, void *arg, struct cm_err *err);

int __wrap_cs_get(struct cs_store *store, const char *id, struct cs_doc *ret, struct cm_err *err)
{
    if (unreadable && strcmp(id, "settings:global") == 0)
        return cm_fail(err, CM_EIO, "the text of document %s is damaged", id);
    return __real_cs_get(store, id, ret, err);
}

int __wrap_cs_docs(struct cs_store *store, const char *from, bool descending, size_t limit,
                   cs_change_fn fn, void *arg, struct cm_err *err)
{
    if (unlisted)
        return cm_fail(err, CM_EIO, "a document of the store is damaged");
    return __real_cs_docs(store, from, descending, limit, fn, arg, err);
}

/* A pass that could not read everything is not the last one: a standby would lack keys. */
static void a_pass_that_did_not_see_all_is_not_done(void **state)
{
    bool *const failures[] = {&unlisted, &unreadable};
    (void)state;
    publish(&alpha, settings(11));
    work = succession_new(alpha.loop, alpha.store, alpha.fleet, agent_of(&alpha));
    for (size_t i = 0; i < 2; i++) {
        *failures[i] = true;
        succession_look(work);
        for (int k = 0; k < 20; k++) {
            settle(&alpha);
            nanosleep(&(struct timespec){.tv_nsec = 3000000}, NULL);
        }
        *failures[i] = false;
        assert_false(pass_done(&alpha));
    }
    succession_look(work);
    SETTLE_UNTIL(&alpha, pass_done(&alpha));
    succession_free(work);
}

static char *account_key(const char *account)
{
    CM_AUTO_JSON made = must(
        agent_now(&alpha, json_pack("{s:s, s:s, s:s, s:s, s:s}", "op", "secret.seal", "purpose",
                                    "dns", "name", account, "value", account, "for", "managers")));
    return cm_strdup(cm_json_str(made, "sealed"));
}

static void assert_beta_opens(const json_t *holder, const char *name)
{
    CM_AUTO_JSON opened = must(agent_now(
        &beta, json_pack("{s:s, s:s, s:s, s:s}", "op", "secret.open", "purpose", "dns", "name",
                         name, "sealed", cm_json_str_or(holder, "sealed_key", ""))));
    assert_string_equal(cm_json_str(opened, "value"), name);
}

/* An account's key, the one that is to follow, and the former ones: a standby can open each. */
static void nested_secrets_are_sealed_for_a_standby(void **state)
{
    (void)state;
    CM_AUTO_STR present = account_key("present");
    CM_AUTO_STR next_key = account_key("next");
    CM_AUTO_STR first = account_key("first");
    CM_AUTO_STR second = account_key("second");
    CM_AUTO_JSON keep = NULL;
    publish(&alpha, json_pack("{s:s, s:s, s:s, s:s, s:s, s:{s:s, s:s}, s:[{s:s, s:s}, {s:s, s:s}]}",
                              "_id", "account:ca", "type", "account", "directory",
                              "https://ca.example/dir", "status", "valid", "sealed_key", present,
                              "rollover", "sealed_key", next_key, "thumbprint", "abc", "former",
                              "sealed_key", first, "at", "2026-11-22T00:00:00.000Z", "sealed_key",
                              second, "at", "2026-11-22T00:00:00.000Z"));
    make_standby();
    work = succession_new(alpha.loop, alpha.store, alpha.fleet, agent_of(&alpha));
    succession_look(work);
    SETTLE_UNTIL(&alpha, pass_done(&alpha));
    keep = cs_get_body(alpha.store, "account:ca");
    const json_t *former = cm_json_arr(keep, "former");
    assert_int_equal(json_array_size(former), 2);
    int64_t serial = cm_json_int(keep, "serial", 0);
    /* A second look finds nothing to do. */
    succession_look(work);
    SETTLE_UNTIL(&alpha, pass_done(&alpha));
    CM_AUTO_JSON same = cs_get_body(alpha.store, "account:ca");
    assert_int_equal(cm_json_int(same, "serial", 0), serial);
    promote_beta(); /* its agent opens nothing before */
    assert_beta_opens(keep, "present");
    assert_beta_opens(cm_json_obj(keep, "rollover"), "next");
    assert_beta_opens(json_array_get(former, 0), "first");
    assert_beta_opens(json_array_get(former, 1), "second");
    succession_free(work);
}

/* Every server that the limit allows, with names of full length. */
static void publish_import(const char *id, const char *sealed)
{
    publish(&alpha, json_pack("{s:s, s:s, s:s, s:s, s:s, s:[s], s:[s], s:s, s:i}", "_id", id,
                              "type", "credential", "status", "issued", "provider", "import",
                              "key_type", "P-256", "servers", "alpha", "host_names",
                              "www.example.com", "sealed_key", sealed, "key_generation", 1));
}

static const char *status_of(const char *id, json_t **keep)
{
    json_decref(*keep);
    *keep = cs_get_body(alpha.store, id);
    return cm_json_str_or(*keep, "status", "");
}

/* The task is told to seal again what the new standby cannot open, and nothing else. */
static void imported_keys_follow_a_new_standby(void **state)
{
    (void)state;
    static const char first[] = "credential:01J00000000000000000000001";
    static const char second[] = "credential:01J00000000000000000000002";
    static const char damaged[] = "credential:01J00000000000000000000003";
    CM_AUTO_STR before = account_key("before");
    CM_AUTO_JSON keep = NULL;
    publish_import(first, before);
    publish_import(damaged, "AAAA");
    make_standby();
    CM_AUTO_STR after = account_key("after");
    publish_import(second, after);
    work = succession_new(alpha.loop, alpha.store, alpha.fleet, agent_of(&alpha));
    succession_look(work);
    SETTLE_UNTIL(&alpha, pass_done(&alpha));
    assert_string_equal(status_of(first, &keep), "update_servers");
    assert_true(cm_json_time(keep, "next_action_at", 0) > 0);
    assert_string_equal(status_of(second, &keep), "issued");
    assert_string_equal(status_of(damaged, &keep), "issued");
    succession_free(work);
}

static void the_largest_fleet_fits(void **state)
{
    (void)state;
    size_t len;
    CM_AUTO_JSON body = kf_trust_next_body(fleet_trust(alpha.fleet), cm_now_ms());
    json_t *servers = cm_json_arr(body, "servers"), *document = NULL;
    while (json_array_size(servers) < KF_SERVERS_MAX) {
        CM_AUTO_STR name =
            cm_asprintf("%.55s-%05zu", "a-server-with-a-name-as-long-as-names-of-servers-can-be.ex",
                        json_array_size(servers));
        CM_AUTO_STR seal = fresh_spki();
        CM_AUTO_STR sign = fresh_spki();
        CM_AUTO_STR tls = fresh_spki();
        json_array_append_new(servers, json_pack("{s:s, s:[s], s:s, s:s, s:s, s:s}", "name", name,
                                                 "roles", "server", "state", "active", "seal", seal,
                                                 "sign", sign, "tls", tls));
    }
    OK(kf_trust_finish(&alpha.agent.identity, fleet_trust(alpha.fleet), body, &document, &told),
       told);
    cm_free(cm_json_dump(document, &len));
    assert_in_range(len, 1200u << 10, CS_TRUST_MAX);
    assert_true(CS_TRUST_MAX + 4096 < CM_FRAME_MAX);
    int before = ends;
    fleet_take(alpha.fleet, document, on_end, NULL);
    wait_end(&alpha, before);
    OK(told.code, told);
    assert_int_equal(stored_version(&alpha), 3);
    assert_int_equal(kept_version(&alpha), 3);
    hear(&beta, &alpha);
    OK(told.code, told);
    assert_int_equal(kf_trust_count(fleet_trust(beta.fleet)), KF_SERVERS_MAX);
    copy_to_beta("trust:root");
    assert_int_equal(stored_version(&beta), 3);
    json_decref(document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_standby_takes_over, setup, teardown),
        cmocka_unit_test_setup_teardown(a_former_manager_stores_nothing_of_its_successor, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(who_missed_it_follows_step_by_step, setup, teardown),
        cmocka_unit_test_setup_teardown(proposals_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(the_new_manager_signs_and_seals_again, setup, teardown),
        cmocka_unit_test_setup_teardown(a_pass_that_did_not_see_all_is_not_done, setup, teardown),
        cmocka_unit_test_setup_teardown(nested_secrets_are_sealed_for_a_standby, setup, teardown),
        cmocka_unit_test_setup_teardown(imported_keys_follow_a_new_standby, setup, teardown),
        cmocka_unit_test_setup_teardown(the_largest_fleet_fits, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
