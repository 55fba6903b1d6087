/* The directory: what may be absent, what may not, age. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/core/clock.h"
#include "base/core/json.h"
#include "certmgr/acme/directory.h"

#define URLS                                                                                       \
    "\"newNonce\":\"https://ca/n\",\"newAccount\":\"https://ca/a\",\"newOrder\":\"https://ca/o\""

static int parse(const char *text, struct acme_directory *dir, struct cm_err *err)
{
    json_t *v = NULL;
    assert_int_equal(cm_json_parse_lax(text, strlen(text), &v, NULL), 0);
    int rc = acme_directory_parse(v, false, dir, err);
    json_decref(v);
    return rc;
}

static void accepted(void **state)
{
    (void)state;
    static const char *const good[] = {
        "{" URLS "}", "{" URLS ",\"meta\":null}", "{" URLS ",\"meta\":{\"termsOfService\":null}}",
        "{" URLS ",\"meta\":[],\"newAuthz\":null,\"x\":{\"y\":1.5}}"};
    struct acme_directory dir = {0};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(parse(good[i], &dir, NULL), 0);
        assert_null(dir.terms);
        assert_false(dir.eab_required);
        assert_string_equal(dir.new_order, "https://ca/o");
    }
    assert_int_equal(parse("{" URLS ",\"meta\":{\"termsOfService\":\"https://ca/t\","
                           "\"externalAccountRequired\":true}}",
                           &dir, NULL),
                     0);
    assert_string_equal(dir.terms, "https://ca/t");
    assert_true(dir.eab_required);
    assert_true(acme_directory_has(&dir, "https://ca/n"));
    assert_false(acme_directory_has(&dir, "https://ca/x"));
    acme_directory_fini(&dir);
    assert_false(acme_directory_has(&dir, "https://ca/n"));
}

static void further_members(void **state)
{
    (void)state;
    struct acme_directory dir = {0};
    assert_int_equal(
        parse("{" URLS ",\"revokeCert\":\"https://ca/r\",\"keyChange\":\"https://ca/k\","
              "\"renewalInfo\":\"https://ca/ari\",\"meta\":{\"website\":\"https://ca\","
              "\"caaIdentities\":[\"ca.example\"],\"profiles\":{\"shortlived\":\"6 days\"}}}",
              &dir, NULL),
        0);
    assert_string_equal(acme_directory_url(&dir, "revokeCert"), "https://ca/r");
    assert_string_equal(acme_directory_url(&dir, "keyChange"), "https://ca/k");
    assert_string_equal(acme_directory_url(&dir, "renewalInfo"), "https://ca/ari");
    assert_string_equal(acme_directory_url(&dir, "newOrder"), "https://ca/o");
    assert_null(acme_directory_url(&dir, "newAuthz"));
    assert_string_equal(dir.website, "https://ca");
    assert_string_equal(cm_json_str(dir.profiles, "shortlived"), "6 days");
    assert_true(cm_json_has_str(dir.caa_identities, "ca.example"));
    assert_true(acme_directory_has(&dir, "https://ca/k"));
    assert_true(acme_directory_has(&dir, "https://ca/ari/abc.def"));
    assert_false(acme_directory_has(&dir, "https://ca/z"));
    /* null, of another type, or not https: absent, and no reason to refuse the rest */
    assert_int_equal(parse("{" URLS
                           ",\"revokeCert\":null,\"keyChange\":7,\"renewalInfo\":\"http://ca/ari\","
                           "\"meta\":{\"website\":null,\"caaIdentities\":null,\"profiles\":[]}}",
                           &dir, NULL),
                     0);
    assert_null(dir.revoke_cert);
    assert_null(dir.key_change);
    assert_null(dir.renewal_info);
    assert_null(dir.website);
    assert_null(dir.profiles);
    assert_null(dir.caa_identities);
    assert_false(acme_directory_has(&dir, "https://ca/ari/abc.def"));
    acme_directory_fini(&dir);
}

static void refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "[]",
        "{}",
        "{\"newNonce\":\"https://ca/n\",\"newAccount\":\"https://ca/a\"}",
        "{\"newNonce\":\"http://ca/n\",\"newAccount\":\"https://ca/a\",\"newOrder\":\"https://ca/"
        "o\"}",
        "{\"newNonce\":7,\"newAccount\":\"https://ca/a\",\"newOrder\":\"https://ca/o\"}",
        "{\"newNonce\":\"/n\",\"newAccount\":\"https://ca/a\",\"newOrder\":\"https://ca/o\"}",
        "{\"newNonce\":\"https://u:p@ca/n\",\"newAccount\":\"https://ca/a\",\"newOrder\":"
        "\"https://ca/o\"}"};
    struct acme_directory dir = {0};
    assert_int_equal(parse("{" URLS "}", &dir, NULL), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct cm_err err = CM_ERR_INIT;
        assert_true(parse(bad[i], &dir, &err) < 0);
        assert_int_not_equal(err.code, 0);
        assert_string_equal(dir.new_order, "https://ca/o"); /* what was there stays */
        cm_err_fini(&err);
    }
    acme_directory_fini(&dir);
}

static void age(void **state)
{
    (void)state;
    struct acme_directory dir = {0};
    cm_clock_fake(1000, 1000);
    assert_false(acme_directory_fresh(&dir));
    assert_int_equal(parse("{" URLS "}", &dir, NULL), 0);
    assert_true(acme_directory_fresh(&dir));
    cm_clock_fake(1000, 1001 + ACME_DIRECTORY_AGE_MS);
    assert_false(acme_directory_fresh(&dir));
    cm_clock_fake(-1, -1);
    acme_directory_fini(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepted),
        cmocka_unit_test(further_members),
        cmocka_unit_test(refused),
        cmocka_unit_test(age),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
