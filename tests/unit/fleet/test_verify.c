/* Which documents the store takes as valid: the trust root's own rules, and everything else under
 * an unexpired trust root. */
#include "keyfile/maker.h"
#include "tests/unit/fleet/support.h"

static struct server alpha, beta;

static int setup(void **state)
{
    (void)state;
    manager_init(&alpha, "alpha");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    server_fini(&alpha);
    return 0;
}

static struct cs_verdict verdict(struct server *s, const json_t *body, bool deleted)
{
    struct cs_verdict v;
    fleet_verify(s->fleet, body, deleted, &v);
    if (v.valid)
        assert_string_equal(v.reason, "");
    else
        assert_true(v.reason[0] != '\0');
    return v;
}

#define REFUSED(s, body, deleted, why)                                                             \
    do {                                                                                           \
        struct cs_verdict refused = verdict(s, body, deleted);                                     \
        assert_false(refused.valid);                                                               \
        if (strstr(refused.reason, why) == NULL)                                                   \
            fail_msg("refused with \"%s\", expected \"%s\"", refused.reason, why);                 \
    } while (0)

static const json_t *pinned(struct server *s)
{
    return kf_trust_document(fleet_trust(s->fleet));
}

static void the_next_trust_root_is_taken(void **state)
{
    (void)state;
    CM_AUTO_JSON next = renew(&alpha);
    assert_int_equal(cm_json_int(next, "version", 0), 2);
    struct cs_verdict v = verdict(&alpha, next, false);
    assert_true(v.valid);
    assert_int_equal(v.serial, cm_json_int(next, "serial", -1));
}

static void versions_may_be_skipped_never_repeated(void **state)
{
    (void)state;
    CM_AUTO_JSON first = json_deep_copy(pinned(&alpha));
    CM_AUTO_JSON second = renew(&alpha);
    CM_AUTO_JSON third = renew(&alpha);
    struct cm_err err = CM_ERR_INIT;
    assert_true(verdict(&alpha, third, false).valid);
    fleet_attach(alpha.fleet, alpha.store, count_change, &alpha);
    OK(fleet_adopt(alpha.fleet, third, &err), err);
    assert_int_equal(version_of(&alpha), 3);
    REFUSED(&alpha, second, false, "not above");
    REFUSED(&alpha, first, false, "not above");
    assert_true(verdict(&alpha, third, false).valid); /* the pinned one, by replication */
}

static void another_root_of_the_same_version_is_refused(void **state)
{
    (void)state;
    CM_AUTO_JSON copy = json_deep_copy(pinned(&alpha));
    assert_true(verdict(&alpha, copy, false).valid);
    cm_json_set_str(copy, "made_at", "2026-01-01T00:00:00.000Z");
    assert_false(verdict(&alpha, copy, false).valid);
}

static void a_root_of_strangers_is_refused(void **state)
{
    (void)state;
    struct server mallory;
    manager_init(&mallory, "alpha"); /* the same name, other keys */
    CM_AUTO_JSON foreign = renew(&mallory);
    REFUSED(&alpha, foreign, false, "signatures that trust root version 1 demands");
    CM_AUTO_JSON unsigned_root = renew(&alpha);
    json_object_del(unsigned_root, "signatures");
    REFUSED(&alpha, unsigned_root, false, "signatures");
    server_fini(&mallory);
}

static void the_trust_root_cannot_be_deleted(void **state)
{
    (void)state;
    CM_AUTO_JSON next = renew(&alpha);
    REFUSED(&alpha, next, true, "cannot be deleted");
    REFUSED(&alpha, pinned(&alpha), true, "cannot be deleted");
}

static void nonsense_is_refused(void **state)
{
    (void)state;
    CM_AUTO_JSON empty = json_object();
    CM_AUTO_JSON root = json_pack("{s:s}", "_id", "trust:root");
    CM_AUTO_JSON text = json_pack("{s:s, s:s}", "_id", "trust:root", "serial", "x");
    assert_false(verdict(&alpha, empty, false).valid);
    assert_false(verdict(&alpha, root, false).valid);
    assert_false(verdict(&alpha, text, false).valid);
    assert_int_equal(verdict(&alpha, text, false).serial, 0);
}

static void documents_need_a_listed_signer_with_the_right(void **state)
{
    (void)state;
    member_init(&beta, "beta", &alpha);
    CM_AUTO_JSON settings = signed_doc(
        &alpha, json_pack("{s:s, s:s, s:i}", "_id", "settings:a", "type", "settings", "serial", 7));
    CM_AUTO_JSON receipt = receipt_of(&beta);
    struct cs_verdict v = verdict(&beta, settings, false);
    assert_true(v.valid);
    assert_int_equal(v.serial, 7);
    assert_true(verdict(&beta, receipt, false).valid);
    assert_false(verdict(&alpha, receipt, false).valid); /* alpha's fleet is at version 1 yet */
    REFUSED(&beta, settings, true, "");                  /* signed as not deleted */
    cm_json_set_int(settings, "serial", 8);
    REFUSED(&beta, settings, false, "");
    CM_AUTO_JSON stolen = json_deep_copy(receipt);
    cm_json_set_str(stolen, "_id", "receipt:alpha:" ULID);
    REFUSED(&beta, stolen, false, "");
    server_fini(&beta);
}

static void an_expired_root_takes_only_its_successor(void **state)
{
    (void)state;
    CM_AUTO_JSON settings = signed_doc(
        &alpha, json_pack("{s:s, s:s, s:i}", "_id", "settings:a", "type", "settings", "serial", 7));
    int64_t expires = kf_trust_expires_ms(fleet_trust(alpha.fleet));
    cm_clock_fake(expires - 1, 0);
    assert_true(verdict(&alpha, settings, false).valid);
    cm_clock_fake(expires, 0);
    REFUSED(&alpha, settings, false, "the trust root has expired");
    CM_AUTO_JSON next = renew(&alpha);
    assert_true(verdict(&alpha, next, false).valid);
    struct cm_err err = CM_ERR_INIT;
    fleet_attach(alpha.fleet, alpha.store, count_change, &alpha);
    OK(fleet_adopt(alpha.fleet, next, &err), err);
    assert_true(verdict(&alpha, settings, false).valid);
}

struct signing {
    int calls, code;
    json_t *body;
};

static void on_signed(void *arg, const json_t *body, const struct cm_err *err)
{
    struct signing *s = arg;
    s->calls++;
    s->code = err != NULL ? err->code : 0;
    s->body = body != NULL ? json_deep_copy(body) : NULL;
}

static void signing_asks_the_agent(void **state)
{
    (void)state;
    struct signing s = {0};
    fleet_sign(alpha.fleet,
               json_pack("{s:s, s:s, s:i}", "_id", "settings:a", "type", "settings", "serial", 7),
               false, on_signed, &s);
    assert_int_equal(s.calls, 0);
    deliver(&alpha);
    assert_int_equal(s.calls, 1);
    assert_true(verdict(&alpha, s.body, false).valid);
    json_decref(s.body);
    fleet_sign(alpha.fleet,
               json_pack("{s:s, s:s, s:i}", "_id", "trust:root", "type", "trust", "serial", 7),
               false, on_signed, &s);
    deliver(&alpha);
    assert_int_equal(s.calls, 2);
    assert_true(s.code != 0);
    assert_null(s.body);
}

/* ---- requests: any server makes some, but each is one server's ---- */

#define REQUEST_ID "request:" ULID

static json_t *request_named(struct server *s, const char *id, int64_t serial, bool deleted)
{
    json_t *body =
        json_pack("{s:s, s:s, s:I}", "_id", id, "type", "request", "serial", (json_int_t)serial);
    if (!deleted) {
        cm_json_set_str(body, "action", "retry");
        cm_json_set_str(body, "credential", ULID);
        cm_json_set_str(body, "at", "2026-11-22T00:00:00.000Z");
    }
    json_t *ask =
        json_pack("{s:s, s:O, s:b}", "op", "doc.sign", "body", body, "deleted", (int)deleted);
    CM_AUTO_JSON reply = must(agent_now(s, ask));
    json_object_set(body, "signature", cm_json_obj(reply, "signature"));
    if (deleted)
        cm_json_set_bool(body, "_deleted", true);
    return body;
}

static json_t *request_of(struct server *s, int64_t serial, bool deleted)
{
    return request_named(s, REQUEST_ID, serial, deleted);
}

static int arrives(json_t *take_doc, const char *rev)
{
    CM_AUTO_JSON doc = take_doc;
    return replicate(&alpha, doc, rev).code;
}

static void nobody_else_changes_a_request(void **state)
{
    (void)state;
    struct server other;
    struct cm_err err = CM_ERR_INIT;
    member_init(&beta, "beta", &alpha);
    member_init(&other, "gamma", &alpha);
    server_attach(&alpha);
    OK(fleet_adopt(alpha.fleet, kf_trust_document(fleet_trust(other.fleet)), &err), err);
    settle(&alpha);
    assert_int_equal(arrives(request_of(&beta, 5, false), "1-a"), 0);
    assert_int_equal(arrives(request_of(&other, 6, false), "2-b"), CM_EDENIED);
    assert_int_equal(arrives(request_of(&other, 7, true), "2-c"), CM_EDENIED);
    CM_AUTO_JSON kept = cs_get_body(alpha.store, REQUEST_ID);
    assert_int_equal(cm_json_int(kept, "serial", 0), 5);
    CM_AUTO_JSON list = cs_quarantine(alpha.store);
    assert_non_null(strstr(cm_json_str(json_array_get(list, 0), "reason"),
                           "was made on server beta, not on gamma"));
    assert_int_equal(arrives(request_of(&beta, 8, false), "2-d"), 0);
    assert_int_equal(arrives(request_of(&alpha, 9, true), "3-e"), 0); /* the manager may */
    CM_AUTO_JSON gone = cs_get_body(alpha.store, REQUEST_ID);
    assert_null(gone);
    server_fini(&other);
    server_fini(&beta);
}

/* On a hub a member sees the number before the manager does, and may be listed first. */
static void a_number_is_its_makers_whoever_comes_first(void **state)
{
    (void)state;
    struct server other;
    struct cm_err err = CM_ERR_INIT;
    char id[CS_ID_MAX + 1] = "request:";
    kf_maker_ulid("beta", id + strlen(id));
    member_init(&beta, "beta", &alpha);
    member_init(&other, "gamma", &alpha);
    server_attach(&alpha);
    OK(fleet_adopt(alpha.fleet, kf_trust_document(fleet_trust(other.fleet)), &err), err);
    settle(&alpha);
    assert_int_equal(arrives(request_named(&other, id, 9000, false), "5-b"), CM_EDENIED);
    assert_int_equal(arrives(request_named(&other, id, 9001, true), "6-c"), CM_EDENIED);
    CM_AUTO_JSON list = cs_quarantine(alpha.store);
    assert_non_null(strstr(cm_json_str(json_array_get(list, 0), "reason"),
                           "was made on server beta, not on gamma"));
    assert_int_equal(arrives(request_named(&beta, id, 5, false), "1-a"), 0);
    assert_int_equal(arrives(request_named(&other, id, 9002, false), "7-d"), CM_EDENIED);
    CM_AUTO_JSON kept = cs_get_body(alpha.store, id);
    assert_int_equal(cm_json_int(kept, "serial", 0), 5);
    assert_int_equal(arrives(request_named(&alpha, id, 6, true), "2-e"), 0); /* the manager may */
    server_fini(&other);
    server_fini(&beta);
}

/* Serials end at 2^53 - 1: a server that takes the last one is not to have the last word, and does
 * not take the manager's away. */
static void no_server_uses_up_the_serials(void **state)
{
    (void)state;
    struct cm_err err = CM_ERR_INIT;
    member_init(&beta, "beta", &alpha);
    server_attach(&alpha);
    OK(fleet_adopt(alpha.fleet, kf_trust_document(fleet_trust(beta.fleet)), &err), err);
    settle(&alpha);
    int64_t most = INT64_C(1) << 52;
    assert_int_equal(arrives(request_of(&beta, most + 1, false), "1-a"), CM_EDENIED);
    CM_AUTO_JSON list = cs_quarantine(alpha.store);
    assert_non_null(strstr(cm_json_str(json_array_get(list, 0), "reason"), "leaves none"));
    assert_int_equal(arrives(request_of(&beta, most, false), "1-b"), 0);
    assert_int_equal(arrives(request_of(&alpha, most + 1, true), "2-c"), 0);
    CM_AUTO_JSON gone = cs_get_body(alpha.store, REQUEST_ID);
    assert_null(gone);
    server_fini(&beta);
}

/* A manager from a backup does not know a server that joined since: what another one wrote under
 * its number falls when the server's own version comes, be its serial as high as it will. */
static void what_was_taken_too_early_gives_way(void **state)
{
    (void)state;
    struct server other;
    struct cm_err err = CM_ERR_INIT;
    char id[CS_ID_MAX + 1] = "request:";
    kf_maker_ulid("beta", id + strlen(id));
    member_init(&other, "gamma", &alpha);
    server_attach(&alpha);
    OK(fleet_adopt(alpha.fleet, kf_trust_document(fleet_trust(other.fleet)), &err), err);
    settle(&alpha);
    assert_int_equal(arrives(request_named(&other, id, 9000, false), "5-b"), 0);
    member_init(&beta, "beta", &alpha);
    OK(fleet_adopt(alpha.fleet, kf_trust_document(fleet_trust(beta.fleet)), &err), err);
    settle(&alpha);
    assert_int_equal(arrives(request_named(&other, id, 9001, false), "6-b"), CM_EDENIED);
    assert_int_equal(arrives(request_named(&beta, id, 5, false), "1-a"), 0);
    CM_AUTO_JSON kept = cs_get_body(alpha.store, id);
    assert_int_equal(cm_json_int(kept, "serial", 0), 5);
    assert_string_equal(cm_json_str(cm_json_obj(kept, "signature"), "by"), "beta");
    server_fini(&other);
    server_fini(&beta);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(the_next_trust_root_is_taken),
        T(versions_may_be_skipped_never_repeated),
        T(another_root_of_the_same_version_is_refused),
        T(a_root_of_strangers_is_refused),
        T(the_trust_root_cannot_be_deleted),
        T(nonsense_is_refused),
        T(documents_need_a_listed_signer_with_the_right),
        T(an_expired_root_takes_only_its_successor),
        T(signing_asks_the_agent),
        T(nobody_else_changes_a_request),
        T(a_number_is_its_makers_whoever_comes_first),
        T(what_was_taken_too_early_gives_way),
        T(no_server_uses_up_the_serials),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
