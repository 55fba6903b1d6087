/* Account: terms, registration, every refusal of the table, repair of a lost account. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/core/mem.h"
#include "tests/unit/acme/fake_ca.h"

static void terms_need_a_person(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    f.has_terms = true;
    f.terms_refused = true;
    fake_start(&f, 1);
    fake_run(&f);
    assert_int_equal(f.err.code, CM_EHUMAN);
    assert_int_equal(f.err.retry, CM_RETRY_CONFIGURATION);
    assert_non_null(strstr(f.err.hint, "https://ca.test/t"));
    assert_non_null(strstr(f.err.object, FAKE_DIR));
    assert_int_equal(f.count[FAKE_NEW_ACCOUNT], 0);
    /* without terms at the CA there is nothing to agree to */
    fake_restart(&f);
    f.has_terms = false;
    fake_issue(&f, 1);
    fake_fini(&f);
}

static void binding_to_an_account_at_the_ca(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    f.eab_required = true;
    fake_start(&f, 1);
    fake_run(&f);
    assert_int_equal(f.err.code, CM_EHUMAN);
    assert_int_equal(f.err.retry, CM_RETRY_CONFIGURATION);
    assert_non_null(strstr(f.err.hint, "HMAC key"));
    assert_int_equal(f.count[FAKE_NEW_ACCOUNT], 0);
    f.eab = json_pack("{s:s,s:s,s:s}", "protected", "e30", "payload", "e30", "signature", "c2ln");
    fake_issue(&f, 1); /* the model compares what arrives */
    assert_int_equal(f.accounts_made, 1);
    json_decref(f.eab);
    f.eab = NULL;
    fake_fini(&f);
}

/* An HMAC key that can be read in two ways (keyfile/eab.h): the CA decides, and is asked once for
 * each; what it says besides is no answer to that. */
static void the_other_reading_of_a_key_is_tried_once(void **state)
{
    (void)state;
    static const struct {
        const char *refusal;
        bool never, good;
        unsigned asked;
    } table[] = {{"malformed", false, true, 2},
                 {"unauthorized", false, true, 2},
                 {"externalAccountRequired", false, true, 2},
                 {"malformed", true, false, 2},
                 {"invalidContact", false, false, 1}};
    CM_AUTO_JSON one = json_pack("{s:s,s:s}", "payload", "e30", "signature", "b25l");
    CM_AUTO_JSON two = json_pack("{s:s,s:s}", "payload", "e30", "signature", "dHdv");
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct fake f;
        fake_init(&f);
        f.eab_required = true;
        f.eab = one;
        f.eab_other = two;
        f.eab_refusal = table[i].refusal;
        f.eab_never = table[i].never;
        fake_start(&f, 1);
        fake_run(&f);
        assert_int_equal(f.err.code == 0, table[i].good);
        assert_int_equal(f.count[FAKE_NEW_ACCOUNT], table[i].asked);
        assert_int_equal(f.accounts_made, table[i].good);
        f.eab = f.eab_other = NULL;
        fake_fini(&f);
    }
}

static void a_known_account_is_not_registered(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    f.account = true;
    f.account_number = 1;
    f.saved_kid = cm_strdup(FAKE_KID);
    f.has_terms = true;
    f.terms_refused = true; /* agreed long ago; new terms would come as userActionRequired */
    fake_issue(&f, 1);
    assert_int_equal(f.count[FAKE_NEW_ACCOUNT], 0);
    fake_fini(&f);
}

static const char *refusal;
static int refusal_status;

static bool refuse_account(struct fake *f, const struct fake_req *req, struct fake_reply *r)
{
    (void)f;
    if (req->kind != FAKE_NEW_ACCOUNT)
        return false;
    fake_problem(r, refusal_status, refusal, "the CA's own words");
    return true;
}

/* Each type of the JPRS table (reference 1.8), met at registration. */
static void every_refusal_is_decoded(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        int status;
        enum cm_retry retry;
    } rows[] = {
        {"accountDoesNotExist", 400, CM_RETRY_REPAIR},
        {"badCSR", 400, CM_RETRY_PERMANENT},
        {"badPublicKey", 400, CM_RETRY_CONFIGURATION},
        {"badSignatureAlgorithm", 400, CM_RETRY_CONFIGURATION},
        {"badRevocationReason", 400, CM_RETRY_CONFIGURATION},
        {"caa", 403, CM_RETRY_CONFIGURATION},
        {"connection", 400, CM_RETRY_TRANSIENT},
        {"dns", 400, CM_RETRY_TRANSIENT},
        {"tls", 400, CM_RETRY_TRANSIENT},
        {"incorrectResponse", 400, CM_RETRY_TRANSIENT},
        {"unauthorized", 401, CM_RETRY_CONFIGURATION},
        {"unauthorized", 403, CM_RETRY_CONFIGURATION},
        {"externalAccountRequired", 400, CM_RETRY_CONFIGURATION},
        {"invalidContact", 400, CM_RETRY_CONFIGURATION},
        {"unsupportedContact", 400, CM_RETRY_CONFIGURATION},
        {"malformed", 400, CM_RETRY_PERMANENT},
        {"malformed", 405, CM_RETRY_PERMANENT},
        {"malformed", 415, CM_RETRY_PERMANENT},
        {"orderNotReady", 403, CM_RETRY_REPAIR},
        {"rejectedIdentifier", 400, CM_RETRY_PERMANENT},
        {"unsupportedIdentifier", 400, CM_RETRY_PERMANENT},
        {"serverInternal", 500, CM_RETRY_TRANSIENT},
        {"rateLimited", 429, CM_RETRY_TRANSIENT},
        {"userActionRequired", 403, CM_RETRY_CONFIGURATION},
        {"agreementRequired", 403, CM_RETRY_CONFIGURATION},
        {"invalidProfile", 400, CM_RETRY_CONFIGURATION},
        {"alreadyReplaced", 409, CM_RETRY_REPAIR},
        {"conflict", 409, CM_RETRY_TRANSIENT},
        {"somethingNew", 400, CM_RETRY_CONFIGURATION},
        {"somethingNew", 503, CM_RETRY_TRANSIENT},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fake f;
        fake_init(&f);
        refusal = rows[i].type;
        refusal_status = rows[i].status;
        f.before = refuse_account;
        fake_start(&f, 1);
        fake_run(&f);
        if (f.err.retry != rows[i].retry)
            fail_msg("%s: class %s", refusal, cm_retry_name(f.err.retry));
        assert_int_not_equal(f.err.code, 0);
        assert_non_null(strstr(f.err.what, refusal));
        assert_true(f.err.cause_count >= 2);
        assert_non_null(strstr(f.err.cause[1], "the CA's own words"));
        assert_non_null(strchr(f.err.hint, ':')); /* who: what */
        assert_string_equal(cm_json_str(f.err.problem, "detail"), "the CA's own words");
        assert_non_null(strstr(f.err.object, "account at"));
        assert_int_equal(f.orders_made, 0);
        fake_fini(&f);
    }
}

static void bad_account_reply(struct fake *f, const struct fake_req *req, struct fake_reply *r)
{
    if (req->kind != FAKE_NEW_ACCOUNT)
        return;
    cm_buf_reset(&r->headers);
    fake_new_nonce(f, r);
    fake_header(r, refusal);
    if (refusal_status == 0)
        fake_body(r, "{\"status\":\"deactivated\"}");
}

static void unusable_accounts(void **state)
{
    (void)state;
    static const char *const lines[] = {"Location: http://ca.test/acct/1", "X: y",
                                        "Location: ftp://x/", "Location: " FAKE_KID};
    for (int i = 0; i < 4; i++) {
        struct fake f;
        fake_init(&f);
        f.after = bad_account_reply;
        refusal = lines[i];
        refusal_status = i == 3 ? 0 : 200;
        fake_start(&f, 1);
        fake_run(&f);
        assert_null(f.chain);
        assert_int_equal(f.account_saves, 0);
        assert_int_equal(f.orders_made, 0);
        assert_true(f.err.hint[0] != '\0' || i == 1 || i == 2);
        fake_fini(&f);
    }
    /* a path is resolved against newAccount */
    struct fake f;
    fake_init(&f);
    f.after = bad_account_reply;
    refusal = "Location: /acct/1";
    refusal_status = 200;
    fake_issue(&f, 1);
    assert_string_equal(f.saved_kid, FAKE_KID);
    fake_fini(&f);
}

/* The CA forgot everything (a Pebble that was restarted): one new registration, one new order. */
static void a_lost_account_is_registered_again(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    f.has_terms = true;
    fake_issue(&f, 1);
    f.account = false;
    unsigned orders = f.orders_made;
    fake_issue(&f, 1);
    assert_int_equal(f.accounts_made, 2);
    assert_int_equal(f.account_number, 2);
    assert_string_equal(f.saved_kid, FAKE_BASE "/acct/2");
    assert_int_equal(f.orders_made, orders + 1);
    /* look-up first, then the registration: never the other way round */
    assert_int_equal(f.count[FAKE_NEW_ACCOUNT], 3);
    fake_fini(&f);
}

static void a_moved_account_is_found(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    f.account = true;
    f.account_number = 7;
    f.saved_kid = cm_strdup(FAKE_BASE "/acct/3");
    fake_issue(&f, 1);
    assert_string_equal(f.saved_kid, FAKE_BASE "/acct/7");
    assert_int_equal(f.accounts_made, 0);
    fake_fini(&f);
}

static void lost_account_without_terms(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    f.has_terms = true;
    f.terms_refused = true;
    f.saved_kid = cm_strdup(FAKE_KID);
    fake_start(&f, 1);
    fake_run(&f);
    assert_int_equal(f.err.code, CM_EHUMAN);
    assert_int_equal(f.accounts_made, 0);
    fake_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(terms_need_a_person),
        cmocka_unit_test(binding_to_an_account_at_the_ca),
        cmocka_unit_test(the_other_reading_of_a_key_is_tried_once),
        cmocka_unit_test(a_known_account_is_not_registered),
        cmocka_unit_test(every_refusal_is_decoded),
        cmocka_unit_test(unusable_accounts),
        cmocka_unit_test(a_lost_account_is_registered_again),
        cmocka_unit_test(a_moved_account_is_found),
        cmocka_unit_test(lost_account_without_terms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
