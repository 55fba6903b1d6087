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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(success_is_told_with_its_places)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
