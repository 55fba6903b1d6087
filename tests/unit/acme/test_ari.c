/* Renewal information: what is an answer, the time chosen, when to ask again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/core/json.h"
#include "certmgr/acme/ari.h"

#define NOW  INT64_C(1760000000000)
#define HOUR INT64_C(3600000)

static int read_it(const char *text, struct acme_ari *ret, json_t **keep)
{
    struct cm_err err = CM_ERR_INIT;
    json_decref(*keep);
    *keep = NULL;
    assert_int_equal(cm_json_parse(text, strlen(text), keep, NULL), 0);
    int rc = acme_ari_read(*keep, ret, &err);
    assert_int_equal(rc == 0, err.code == 0);
    cm_err_fini(&err);
    return rc;
}

#define WINDOW(start, end) "\"suggestedWindow\":{\"start\":\"" start "\",\"end\":\"" end "\"}"

static void answers(void **state)
{
    (void)state;
    struct acme_ari ari;
    CM_AUTO_JSON keep = NULL;
    /* RFC 9773 4.2 */
    assert_int_equal(read_it("{" WINDOW("2025-01-02T04:00:00Z",
                                        "2025-01-03T04:00:00Z") ",\"explanationURL\":\"https://"
                                                                "acme.example.com/docs/ari\"}",
                             &ari, &keep),
                     0);
    assert_int_equal(ari.end_ms - ari.start_ms, 24 * HOUR);
    assert_string_equal(ari.explanation, "https://acme.example.com/docs/ari");
    assert_int_equal(
        read_it(
            "{" WINDOW(
                "2025-01-02T04:00:00Z",
                "2025-01-02T04:00:01Z") ",\"explanationURL\":\"javascript:alert(1)\",\"more\":[1]}",
            &ari, &keep),
        0);
    assert_null(ari.explanation);
    static const char *const bad[] = {
        "{}",
        "[]",
        "{\"suggestedWindow\":null}",
        "{\"suggestedWindow\":{\"start\":\"2025-01-02T04:00:00Z\"}}",
        "{\"suggestedWindow\":{\"start\":1,\"end\":2}}",
        "{" WINDOW("yesterday", "2025-01-03T04:00:00Z") "}",
        "{" WINDOW("2025-01-03T04:00:00Z", "2025-01-02T04:00:00Z") "}", /* inverted */
        "{" WINDOW("2025-01-03T04:00:00Z", "2025-01-03T04:00:00Z") "}", /* empty */
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(read_it(bad[i], &ari, &keep), CM_EMALF);
    assert_int_equal(acme_ari_read(NULL, &ari, NULL), CM_EMALF);
}

static void every_time_of_the_window(void **state)
{
    (void)state;
    struct acme_ari ari = {.start_ms = NOW, .end_ms = NOW + 9};
    unsigned seen[10] = {0};
    for (uint64_t random = 0; random < 1000; random++) {
        int64_t at = acme_ari_choose(&ari, random * UINT64_C(0x9e3779b97f4a7c15));
        assert_true(at >= ari.start_ms && at <= ari.end_ms);
        seen[at - NOW]++;
    }
    for (size_t i = 0; i < 10; i++)
        assert_true(seen[i] > 50);
    ari =
        (struct acme_ari){.start_ms = INT64_C(-62135596800000), .end_ms = INT64_C(253402300799000)};
    assert_true(acme_ari_choose(&ari, UINT64_MAX) >= ari.start_ms);
    assert_true(acme_ari_choose(&ari, UINT64_MAX) <= ari.end_ms);
}

static void when_to_ask(void **state)
{
    (void)state;
    static const struct {
        int64_t retry_after; /* from now; 0 = none */
        unsigned failures;
        int64_t want;
    } rows[] = {{0, 0, 6 * HOUR},
                {3 * HOUR, 0, 3 * HOUR},
                {1000, 0, 60000},
                {-5000, 0, 60000},
                {25 * HOUR, 0, 24 * HOUR},
                {400 * 24 * HOUR, 0, 24 * HOUR},
                {0, 1, 60000},
                {0, 2, 120000},
                {0, 5, 960000},
                {0, 9, 256 * 60000},
                {0, 10, 6 * HOUR},
                {0, 64, 6 * HOUR},
                {0, 4000000000u, 6 * HOUR},
                {2 * HOUR, 3, 2 * HOUR}}; /* Retry-After of a refusal counts, too */
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int64_t after = rows[i].retry_after ? NOW + rows[i].retry_after : 0;
        assert_int_equal(acme_ari_next(NOW, after, rows[i].failures) - NOW, rows[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(answers),
                                       cmocka_unit_test(every_time_of_the_window),
                                       cmocka_unit_test(when_to_ask)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
