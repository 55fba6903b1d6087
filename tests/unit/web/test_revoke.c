/* The end of a credential: what is asked before, and what is told afterwards. */
#include "tests/unit/web/rig.h"

static void revoked_view(void)
{
    json_decref(doubles.view);
    doubles.view = json_pack(
        "{s:{s:s,s:s,s:[s],s:[s],s:s,s:s,s:s,s:{s:i,s:s,s:s,s:s,s:[s,s]}},s:{},s:[],s:[],s:s}",
        "credential", "_id", "credential:" ULID, "status", "revoked", "host_names",
        "www.example.com", "host_names_ascii", "www.example.com", "account", "le", "chain", "PEM",
        "fingerprint", "ab12", "revocation", "reason", 4, "signer", "account", "after", "keep",
        "revoked_at", "2026-11-22T02:16:42.000Z", "published", "ocsp", "crl", "request", "receipts",
        "steps", "next", "Nothing is left to do");
}

static void success_is_told_with_its_places(void **state)
{
    struct rig rig;
    struct reply reply;
    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    revoked_view();
    rig_get(&rig, "/credentials/" ULID, &reply);
    assert_has(&reply, "The CA has revoked the certificate. Reason: superseded.");
    assert_has(&reply, "learn of it by OCSP, CRL");
    reply_fini(&reply);
    json_t *revocation = json_object_get(json_object_get(doubles.view, "credential"), "revocation");
    json_array_remove(json_object_get(revocation, "published"), 0);
    rig_get(&rig, "/credentials/" ULID, &reply);
    assert_has(&reply, "learn of it by CRL");
    reply_fini(&reply);
    json_object_del(revocation, "published");
    rig_get(&rig, "/credentials/" ULID, &reply);
    assert_has(&reply, "does not say where this is published");
    reply_fini(&reply);
    json_object_del(revocation, "revoked_at"); /* only asked for */
    rig_get(&rig, "/credentials/" ULID, &reply);
    assert_has_not(&reply, "The CA has revoked");
    reply_fini(&reply);
    rig_stop(&rig);
}

/* Until the CA has revoked it, the page says what was asked for, what stands in the way, and has a
 * button to try again; not one to renew what is being revoked. */
static void a_refusal_leaves_what_was_asked_for(void **state)
{
    static const struct {
        const char *after, *said;
    } rows[] = {{"keep", "As soon as it has: Keep the credential."},
                {"archive", "As soon as it has: Archive the credential."},
                {"delete", "As soon as it has: Remove the credential."}};
    struct rig rig;
    struct reply reply;
    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    revoked_view();
    json_t *credential = json_object_get(doubles.view, "credential");
    json_t *revocation = json_object_get(credential, "revocation");
    cm_json_set_str(credential, "status", "revoke_pending");
    json_object_del(revocation, "revoked_at");
    cm_json_set(credential, "error",
                json_pack("{s:s, s:s, s:s}", "code", "CM_EPEER", "what", "the CA said <no>", "hint",
                          "choose another reason"));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cm_json_set_str(revocation, "after", rows[i].after);
        rig_get(&rig, "/credentials/" ULID, &reply);
        assert_has(&reply, "The CA is asked to revoke the certificate. Reason: superseded.");
        assert_has(&reply, rows[i].said);
        assert_has(&reply, "the CA said &lt;no&gt;");
        assert_has(&reply, "/credentials/" ULID "/retry\"");
        assert_has_not(&reply, "/credentials/" ULID "/renew\"");
        reply_fini(&reply);
    }
    rig_stop(&rig);
}

/* The second and third of the choices that people have for what a new key replaces. */
static void a_new_key_and_then_the_revocation(void **state)
{
    struct rig rig;
    struct reply reply;
    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    rig_put(&rig, json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "_id", "credential:" ULID, "type",
                            "credential", "status", "issued", "provider", "acme", "account", "le",
                            "chain", "-----BEGIN CERTIFICATE-----\n"));
    rig_get(&rig, "/credentials/" ULID "/end", &reply);
    assert_has(&reply, "Renew with a new key, then revoke");
    assert_has(&reply, "/credentials/" ULID "/renew\"");
    assert_has(&reply, "value=\"superseded\"");
    assert_has(&reply, "value=\"keyCompromise\"");
    reply_fini(&reply);
    rig_post(&rig, "/credentials/" ULID "/renew", "revoke=superseded", &reply);
    assert_status(&reply, 303);
    assert_int_equal(doubles.rollover, 4);
    assert_string_equal(doubles.name, ULID);
    reply_fini(&reply);
    rig_post(&rig, "/credentials/" ULID "/renew", "revoke=keyCompromise", &reply);
    assert_int_equal(doubles.rollover, 1);
    reply_fini(&reply);
    rig_stop(&rig);
}

/* Archiving can be taken back by a new request; a removal is asked about once more. */
static void removing_wants_a_word(void **state)
{
    struct rig rig;
    struct reply reply;
    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    rig_put(&rig, json_pack("{s:s,s:s,s:s}", "_id", "credential:" ULID, "type", "credential",
                            "status", "error"));
    rig_get(&rig, "/credentials/" ULID "/end", &reply);
    assert_has(&reply, "name=\"sure\"");
    assert_has_not(&reply, "sure-error");
    reply_fini(&reply);
    rig_post(&rig, "/credentials/" ULID "/remove", "how=delete", &reply);
    assert_status(&reply, 422);
    assert_has(&reply, "id=\"sure-error\"");
    assert_has(&reply, "Confirm that this credential is to be removed.");
    assert_int_equal(doubles.calls, 0);
    reply_fini(&reply);
    rig_post(&rig, "/credentials/" ULID "/remove", "how=delete&sure=1", &reply);
    assert_status(&reply, 303);
    assert_string_equal(reply_header(&reply, "Location"), "/credentials");
    assert_true(cm_json_bool(doubles.fields, "remove", false));
    reply_fini(&reply);
    rig_post(&rig, "/credentials/" ULID "/remove", "how=archive", &reply);
    assert_status(&reply, 303);
    assert_false(cm_json_bool(doubles.fields, "remove", true));
    assert_int_equal(doubles.calls, 2);
    reply_fini(&reply);
    rig_post(&rig, "/credentials/01JD8Y2K5R3V7W9X0ABCDEFGHJ/remove", "how=delete", &reply);
    assert_status(&reply, 404);
    reply_fini(&reply);
    rig_stop(&rig);
}

/* The same word where a revocation removes the credential afterwards; nothing that was chosen is
 * lost by the question. */
static void removing_after_the_revocation_wants_a_word(void **state)
{
    static const char *const others[] = {"keep", "archive"};
    struct rig rig;
    struct reply reply;
    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    rig_put(&rig, json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "_id", "credential:" ULID, "type",
                            "credential", "status", "issued", "provider", "acme", "account", "le",
                            "chain", "-----BEGIN CERTIFICATE-----\n"));
    rig_get(&rig, "/credentials/" ULID "/end", &reply);
    assert_has(&reply, "name=\"revoke_sure\"");
    assert_has(&reply, "If it is to be removed afterwards");
    assert_has(&reply, "<option value=\"keep\" selected");
    assert_has_not(&reply, "revoke_sure-error");
    reply_fini(&reply);
    rig_post(&rig, "/credentials/" ULID "/revoke", "reason=4&after=delete&key=1", &reply);
    assert_status(&reply, 422);
    assert_has(&reply, "id=\"revoke_sure-error\"");
    assert_has_not(&reply, "id=\"sure-error\"");
    assert_has(&reply, "Confirm that this credential is to be removed.");
    assert_has(&reply, "<option value=\"4\" selected");
    assert_has(&reply, "<option value=\"delete\" selected");
    assert_has(&reply, "name=\"key\" value=\"1\" checked");
    assert_has_not(&reply, "name=\"revoke_sure\" value=\"1\" checked");
    assert_int_equal(doubles.calls, 0);
    reply_fini(&reply);
    /* The word of the other card is not this one's. */
    rig_post(&rig, "/credentials/" ULID "/revoke", "reason=4&after=delete&sure=1", &reply);
    assert_status(&reply, 422);
    reply_fini(&reply);
    rig_post(&rig, "/credentials/" ULID "/revoke", "reason=4&after=delete&revoke_sure=1", &reply);
    assert_status(&reply, 303);
    assert_int_equal(doubles.calls, 1);
    reply_fini(&reply);
    for (size_t i = 0; i < 2; i++) {
        CM_AUTO_STR form = cm_asprintf("reason=4&after=%s", others[i]);
        rig_post(&rig, "/credentials/" ULID "/revoke", form, &reply);
        assert_status(&reply, 303);
        assert_int_equal(doubles.calls, 2 + (int)i);
        reply_fini(&reply);
    }
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(success_is_told_with_its_places),
        cmocka_unit_test(a_refusal_leaves_what_was_asked_for),
        cmocka_unit_test(a_new_key_and_then_the_revocation),
        cmocka_unit_test(removing_wants_a_word),
        cmocka_unit_test(removing_after_the_revocation_wants_a_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
