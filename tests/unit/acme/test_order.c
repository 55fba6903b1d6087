/* The whole flow against the fake CA: results, exact numbers of requests, life of a job. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "tests/unit/acme/fake_ca.h"

/* Directory, account and one nonce are paid once; a warm order of S names costs 2S + 5. */
static void issue_counted(int names)
{
    struct fake f;
    fake_init(&f);
    f.has_terms = true;
    fake_issue(&f, names);
    unsigned cold = 3; /* directory, newNonce, newAccount */
    assert_int_equal(f.requests, cold + 2 * (unsigned)names + 5);
    assert_int_equal(f.count[FAKE_NEW_NONCE], 1);
    assert_int_equal(f.account_saves, 1);
    assert_string_equal(f.saved_kid, FAKE_KID);
    assert_int_equal(f.orders_made, 1);
    assert_int_equal(f.finalized, 1);
    assert_int_equal(f.publishes, 1);
    assert_int_equal(json_array_size(f.published), names);
    assert_non_null(strstr(cm_json_str(f.chain, "chain"), "BEGIN CERTIFICATE"));
    assert_int_equal(json_array_size(cm_json_arr(f.chain, "alternates")), 0);

    /* Again, warm: not one request more than the order needs. */
    f.requests = 0;
    json_decref(f.saved);
    f.saved = NULL;
    fake_issue(&f, names);
    assert_int_equal(f.requests, 2 * (unsigned)names + 5);
    assert_int_equal(f.count[FAKE_NEW_NONCE], 1);
    assert_int_equal(f.count[FAKE_DIRECTORY], 1);
    assert_int_equal(f.orders_made, 2);
    fake_fini(&f);
}

static void happy_paths(void **state)
{
    (void)state;
    issue_counted(1);
    issue_counted(3);
    issue_counted(30);
}

static void proved_names_cost_nothing(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    f.reuse = true;
    f.finalize_at_once = true;
    fake_issue(&f, 2);
    f.requests = 0;
    json_decref(f.saved);
    f.saved = NULL;
    fake_issue(&f, 2);
    assert_int_equal(f.requests, 3); /* newOrder, finalize, certificate */
    assert_int_equal(f.publishes, 1);

    /* One known name and two new ones: the known one is read but not answered. */
    f.answers = 0;
    json_decref(f.saved);
    f.saved = NULL;
    fake_issue(&f, 4);
    assert_int_equal(f.answers, 2);
    assert_int_equal(json_array_size(f.published), 2);
    fake_fini(&f);
}

static void saved_state_tells_the_order(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    fake_issue(&f, 2);
    assert_string_equal(cm_json_str(f.saved, "order_url"), FAKE_BASE "/order/0");
    assert_string_equal(cm_json_str(f.saved, "csr"), f.csr_text);
    assert_string_equal(cm_json_str(f.saved, "kid"), FAKE_KID);
    assert_string_equal(cm_json_str(f.saved, "directory"), FAKE_DIR);
    assert_string_equal(cm_json_str(f.saved, "finalize"), FAKE_BASE "/order/0/finalize");
    assert_int_equal(json_array_size(cm_json_arr(f.saved, "authorizations")), 2);
    assert_int_equal(json_array_size(cm_json_arr(f.saved, "tokens")), 2);
    assert_int_equal(json_array_size(cm_json_arr(f.saved, "answered")), 2);
    assert_null(cm_json_str(f.saved, "ordering_at"));
    assert_int_equal(f.saves, 5); /* intent, order, tokens, answered, CSR */
    fake_fini(&f);
}

static void steps_have_names_and_a_log(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    fake_start(&f, 1);
    assert_string_equal(acme_order_step(f.job), "start");
    bool polled = false;
    while (!f.done && fake_turn(&f))
        polled = polled || (f.job && strcmp(acme_order_step(f.job), "wait for validation") == 0);
    assert_true(polled);
    assert_non_null(strstr(cm_buf_str(&f.log), "The CA took the order of 1 name (pending)"));
    assert_non_null(strstr(cm_buf_str(&f.log), "The certificate is issued"));
    assert_null(strstr(cm_buf_str(&f.log), "token_")); /* tokens are no business of the log */
    fake_fini(&f);
}

static void bad_arguments(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    struct acme_ports ports = {0};
    struct acme_account account = {.directory = FAKE_DIR, .thumbprint = FAKE_THUMB};
    struct acme_account no_thumb = {.directory = FAKE_DIR};
    struct acme_account other = {.directory = "https://other.test/", .thumbprint = FAKE_THUMB};
    json_t *none = json_array();
    json_t *many = fake_names(31);
    json_t *twice = json_pack("[s, s]", "a.example.com", "A.example.com");
    json_t *good = fake_names(1);
    struct cm_err err = CM_ERR_INIT;
    assert_null(acme_order_new(f.ca, &account, none, NULL, false, &ports, NULL, NULL, &err));
    assert_int_equal(err.code, CM_EINVAL);
    assert_null(acme_order_new(f.ca, &account, many, NULL, false, &ports, NULL, NULL, &err));
    assert_null(acme_order_new(f.ca, &account, twice, NULL, false, &ports, NULL, NULL, &err));
    assert_non_null(strstr(err.what, "twice"));
    assert_null(acme_order_new(f.ca, &no_thumb, good, NULL, false, &ports, NULL, NULL, &err));
    assert_null(acme_order_new(f.ca, &other, good, NULL, false, &ports, NULL, NULL, &err));
    struct acme_ca *plain = acme_ca_new("http://127.0.0.1:14000/dir");
    account.directory = NULL;
    assert_null(acme_order_new(plain, &account, good, NULL, false, &ports, NULL, NULL, &err));
    assert_non_null(strstr(err.cause[0], "not https"));
    struct acme_ca *far = acme_ca_new("http://ca.example.com/dir");
    assert_null(acme_order_new(far, &account, good, NULL, true, &ports, NULL, NULL, &err));
    acme_ca_free(plain);
    acme_ca_free(far);
    json_decref(none);
    json_decref(many);
    json_decref(twice);
    json_decref(good);
    cm_err_fini(&err);
    fake_fini(&f);
}

/* Free after each single event: AddressSanitizer proves that nothing leaks or is touched later. */
static void free_at_any_moment(void **state)
{
    (void)state;
    for (unsigned events = 0; events < 400; events++) {
        struct fake f;
        fake_init(&f);
        f.bad_nonces = 1;
        f.polls_pending = 1;
        fake_start(&f, 2);
        for (unsigned i = 0; i < events && !f.done && fake_turn(&f);) {
            i++;
        }
        bool done = f.done;
        acme_order_free(f.job);
        f.job = NULL;
        unsigned calls = f.calls;
        while (fake_turn(&f)) { /* replies for nobody */
        }
        assert_int_equal(f.calls, calls);
        fake_fini(&f);
        if (done)
            return;
    }
    fail_msg("the order never ended");
}

/* Two orders of one account side by side: one directory request, one registration. */
static void two_orders_share_the_ca(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    json_t *names = json_pack("[s]", "other.example.com");
    fake_start(&f, 1);
    struct acme_order *first = f.job;
    f.job = NULL;
    fake_start_names(&f, names);
    struct acme_order *job = f.job;
    f.job = NULL; /* both jobs report into f; free them here */
    unsigned done = 0;
    while (done < 2 && fake_turn(&f)) {
        if (f.done) {
            assert_non_null(f.chain);
            json_decref(f.chain);
            f.chain = NULL;
            f.done = false;
            done++;
        }
    }
    assert_int_equal(done, 2);
    assert_int_equal(f.count[FAKE_DIRECTORY], 1);
    assert_int_equal(f.accounts_made, 1);
    assert_int_equal(f.count[FAKE_NEW_ACCOUNT], 1);
    assert_int_equal(f.orders_made, 2);
    acme_order_free(first);
    acme_order_free(job);
    json_decref(names);
    fake_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(happy_paths),
        cmocka_unit_test(proved_names_cost_nothing),
        cmocka_unit_test(saved_state_tells_the_order),
        cmocka_unit_test(steps_have_names_and_a_log),
        cmocka_unit_test(bad_arguments),
        cmocka_unit_test(free_at_any_moment),
        cmocka_unit_test(two_orders_share_the_ca),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
