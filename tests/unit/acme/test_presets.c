/* Known CAs: every row is whole; reasons of a revocation by number and by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "certmgr/acme/presets.h"

static void rows_are_whole(void **state)
{
    (void)state;
    for (size_t i = 0; i < acme_preset_count; i++) {
        const struct acme_preset *row = &acme_presets[i];
        assert_ptr_equal(acme_preset(row->name), row);
        assert_ptr_equal(acme_preset_of(row->directory), row);
        assert_int_equal(strncmp(row->directory, "https://", 8), 0);
        assert_int_equal(strncmp(row->terms, "https://", 8), 0);
        assert_true(row->contact_min <= row->contact_max);
        assert_non_null(strchr(row->caa, '.')); /* CAA is looked at before the CA was asked */
        assert_true(row->reasons & 1u);         /* "unspecified" is always accepted */
        if (row->staging)
            assert_true(acme_preset(row->staging)->test);
        if (row->other_key) {
            const struct acme_preset *other = acme_preset(row->other_key);
            assert_ptr_equal(acme_preset(other->other_key), row);
            assert_string_not_equal(other->key_type, row->key_type);
        }
    }
    assert_null(acme_preset(NULL));
    assert_null(acme_preset("nobody"));
    assert_null(acme_preset_of("https://ca.example/dir"));
    assert_null(acme_preset_of(NULL));
}

/* All that is known of each CA before it is asked: reference/acme.md A1, A2, A4, B7, N5, N6, 4.5 */
static void what_each_ca_can_do(void **state)
{
    (void)state;
    static const struct {
        const char *name, *directory, *staging, *key, *caa;
        unsigned reasons, activation_s, contacts[2], eab_days;
        bool test, eab, billing, one_fate, ari, profiles, rollover;
    } table[] = {
        {"letsencrypt",
         "https://acme-v02.api.letsencrypt.org/directory",
         "letsencrypt-staging",
         NULL,
         "letsencrypt.org",
         0x33,
         0,
         {0, 6},
         0,
         false,
         false,
         false,
         false,
         true,
         true,
         true},
        {"letsencrypt-staging",
         "https://acme-staging-v02.api.letsencrypt.org/directory",
         NULL,
         NULL,
         "letsencrypt.org",
         0x33,
         0,
         {0, 6},
         0,
         true,
         false,
         false,
         false,
         true,
         true,
         true},
        {"sslcom-ecc",
         "https://acme.ssl.com/sslcom-dv-ecc",
         NULL,
         "EC",
         "ssl.com",
         ACME_REASONS_ANY,
         0,
         {0, 6},
         0,
         false,
         true,
         true,
         false,
         false,
         false,
         false},
        {"sslcom-rsa",
         "https://acme.ssl.com/sslcom-dv-rsa",
         NULL,
         "RSA",
         "ssl.com",
         ACME_REASONS_ANY,
         0,
         {0, 6},
         0,
         false,
         true,
         true,
         false,
         false,
         false,
         false},
        {"jprs",
         "https://acme.amecert.jprs.jp/DV/getDirectory",
         NULL,
         NULL,
         "jprs.jp",
         ACME_REASONS_ANY,
         600,
         {1, 6},
         14,
         false,
         true,
         false,
         true,
         false,
         false,
         false},
    };
    const size_t count = sizeof(table) / sizeof(table[0]);
    assert_int_equal(acme_preset_count, count);
    for (size_t i = 0; i < count; i++) {
        const struct acme_preset *row = &acme_presets[i];
        assert_string_equal(row->name, table[i].name);
        assert_string_equal(row->directory, table[i].directory);
        assert_string_equal(row->staging ? row->staging : "-",
                            table[i].staging ? table[i].staging : "-");
        assert_string_equal(row->key_type ? row->key_type : "-", table[i].key ? table[i].key : "-");
        assert_string_equal(row->caa, table[i].caa);
        assert_int_equal(row->reasons, table[i].reasons);
        assert_int_equal(row->activation_s, table[i].activation_s);
        assert_int_equal(row->contact_min, table[i].contacts[0]);
        assert_int_equal(row->contact_max, table[i].contacts[1]);
        assert_int_equal(row->eab_days, table[i].eab_days);
        assert_int_equal(row->test, table[i].test);
        assert_int_equal(row->eab, table[i].eab);
        assert_int_equal(row->billing, table[i].billing);
        assert_int_equal(row->one_fate, table[i].one_fate);
        assert_int_equal(row->ari, table[i].ari);
        assert_int_equal(row->profiles, table[i].profiles);
        assert_int_equal(row->rollover, table[i].rollover);
    }
}

/* reference/acme.md A1, A4, A6, A8, N5, N6 */
static void jprs_is_as_its_manual_says(void **state)
{
    (void)state;
    const struct acme_preset *jprs = acme_preset_of("https://acme.amecert.jprs.jp/DV/getDirectory");
    assert_true(jprs->eab);
    assert_int_equal(jprs->eab_days, 14);
    assert_int_equal(jprs->contact_min, 1);
    assert_int_equal(jprs->contact_max, 6);
    assert_int_equal(jprs->activation_s, 600);
    assert_true(jprs->one_fate); /* B6 */
    assert_string_equal(jprs->caa, "jprs.jp");
    assert_null(jprs->staging);
}

/* reference/acme.md 2.3 */
static void profiles_take_so_many_names(void **state)
{
    (void)state;
    const struct acme_preset *live = acme_preset("letsencrypt");
    assert_string_equal(acme_profile_rule(live, NULL)->name, "classic");
    assert_string_equal(acme_profile_rule(live, "")->name, "classic");
    assert_int_equal(acme_profile_rule(live, "tlsserver")->names_max, 25);
    assert_false(acme_profile_rule(live, "tlsserver")->ip);
    assert_true(acme_profile_rule(live, "shortlived")->ip);
    assert_null(acme_profile_rule(live, "of-next-year"));
    assert_null(acme_profile_rule(acme_preset("jprs"), NULL));
    assert_null(acme_profile_rule(NULL, "classic"));
}

/* reference/acme.md 4.5 */
static void the_limits_of_known_cas_are_data(void **state)
{
    (void)state;
    const struct acme_preset *live =
        acme_preset_of("https://acme-v02.api.letsencrypt.org/directory");
    const struct acme_preset *staging =
        acme_preset_of("https://acme-staging-v02.api.letsencrypt.org/directory");
    assert_int_equal(live->rate[ACME_LIMIT_ORDERS].count, 300);
    assert_int_equal(live->rate[ACME_LIMIT_ORDERS].refill_ms, 36000); /* 300 in 3 h */
    assert_int_equal(live->rate[ACME_LIMIT_DOMAIN].count, 50);
    assert_int_equal(live->rate[ACME_LIMIT_SET].count, 5);
    assert_int_equal(live->rate[ACME_LIMIT_FAILED].count, 5);
    assert_int_equal(live->rate[ACME_LIMIT_DOMAIN].refill_ms / 60000, 201); /* 50 in 7 d */
    assert_int_equal(live->rate[ACME_LIMIT_SET].refill_ms / 3600000, 33);   /* 5 in 7 d */
    assert_int_equal(live->rate[ACME_LIMIT_FAILED].refill_ms, 720000);      /* 5 in 1 h */
    for (int i = 0; i < ACME_LIMIT_COUNT; i++)
        assert_true(staging->rate[i].count > live->rate[i].count);
    assert_int_equal(acme_preset("jprs")->rate[ACME_LIMIT_ORDERS].count, 0);
}

static void reasons(void **state)
{
    (void)state;
    static const struct {
        const char *typed;
        int reason;
    } rows[] = {{"0", 0},
                {"1", 1},
                {"5", 5},
                {"10", 10},
                {"7", -1},
                {"11", -1},
                {"-1", -1},
                {"", -1},
                {"superseded", 4},
                {"keyCompromise", 1},
                {"KEY-compromise", 1},
                {"key_compromise", 1},
                {"cessationofoperation", 5},
                {"keyCompromises", -1},
                {"key", -1},
                {"1x", -1},
                {"unspecified", 0},
                {"affiliation changed", 3}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(acme_reason_parse(rows[i].typed), rows[i].reason);
    assert_int_equal(acme_reason_parse(NULL), -1);
    assert_string_equal(acme_reason_name(1), "keyCompromise");
    assert_null(acme_reason_name(7));
    assert_int_equal(acme_reasons("https://acme-v02.api.letsencrypt.org/directory"),
                     1u << 0 | 1u << 1 | 1u << 4 | 1u << 5);
    assert_int_equal(acme_reasons("https://ca.example/dir"), ACME_REASONS_ANY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rows_are_whole),
                                       cmocka_unit_test(jprs_is_as_its_manual_says),
                                       cmocka_unit_test(what_each_ca_can_do),
                                       cmocka_unit_test(profiles_take_so_many_names),
                                       cmocka_unit_test(the_limits_of_known_cas_are_data),
                                       cmocka_unit_test(reasons)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
