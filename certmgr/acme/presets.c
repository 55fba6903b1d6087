/*
 * The table of known CAs (reference: their guides as of August 2026).  JPRS: its Certbot manual
 * (EAB for 14 days, OCSP up to 10 minutes late, no dry run, a contact is a must; B6: names that
 * go); SSL.com: its ACME guide (one directory per kind of key, classes of names); Let's Encrypt:
 * limits and reasons of reference/acme.md 4.5, and the wider ones of its staging environment.
 */
#include "certmgr/acme/presets.h"

#include <ctype.h>
#include <string.h>

#include "base/core/num.h"

#define SECOND_MS  INT64_C(1000)
#define MINUTE_MS  (60 * SECOND_MS)
#define WEEK_MS    (7 * 24 * 60 * MINUTE_MS)
#define LE_TERMS   "https://letsencrypt.org/repository/"
#define LE_REASONS (1u << 0 | 1u << 1 | 1u << 4 | 1u << 5)
#define SSL_TERMS  "https://www.ssl.com/repository/"
#define JPRS_TERMS "https://jprs.jp/pubcert/info/repository/"

/* Profiles: reference/acme.md 2.3 (its table of Let's Encrypt's profiles; IP addresses through
 * shortlived only). */
#define LE_PROFILES                                                                                \
    {                                                                                              \
        {"classic", 100, false}, {"tlsserver", 25, false},                                         \
        {                                                                                          \
            "shortlived", 25, true                                                                 \
        }                                                                                          \
    }

const struct acme_preset acme_presets[] = {
    {.name = "letsencrypt",
     .title = "Let's Encrypt",
     .directory = "https://acme-v02.api.letsencrypt.org/directory",
     .terms = LE_TERMS,
     .staging = "letsencrypt-staging",
     .contact_max = 6,
     .ari = true,
     .profiles = true,
     .profile = LE_PROFILES,
     .rollover = true,
     .reasons = LE_REASONS,
     .validity_days = 90,
     .caa = "letsencrypt.org",
     .rate = {[ACME_LIMIT_ORDERS] = {300, 36 * SECOND_MS},
              [ACME_LIMIT_DOMAIN] = {50, WEEK_MS / 50},
              [ACME_LIMIT_SET] = {5, WEEK_MS / 5},
              [ACME_LIMIT_FAILED] = {5, 12 * MINUTE_MS}}},
    {.name = "letsencrypt-staging",
     .title = "Let's Encrypt (staging)",
     .directory = "https://acme-staging-v02.api.letsencrypt.org/directory",
     .terms = LE_TERMS,
     .test = true,
     .contact_max = 6,
     .ari = true,
     .profiles = true,
     .profile = LE_PROFILES,
     .rollover = true,
     .reasons = LE_REASONS,
     .validity_days = 90,
     .caa = "letsencrypt.org",
     .rate = {[ACME_LIMIT_ORDERS] = {1500, 7200},
              [ACME_LIMIT_DOMAIN] = {30000, WEEK_MS / 30000},
              [ACME_LIMIT_SET] = {30000, WEEK_MS / 30000},
              [ACME_LIMIT_FAILED] = {200, 18 * SECOND_MS}}},
    {.name = "sslcom-ecc",
     .title = "SSL.com (ECDSA)",
     .directory = "https://acme.ssl.com/sslcom-dv-ecc",
     .terms = SSL_TERMS,
     .eab = true,
     .contact_max = 6,
     .key_type = "EC",
     .other_key = "sslcom-rsa",
     .billing = true,
     .reasons = ACME_REASONS_ANY,
     .validity_days = 200,
     .caa = "ssl.com"},
    {.name = "sslcom-rsa",
     .title = "SSL.com (RSA)",
     .directory = "https://acme.ssl.com/sslcom-dv-rsa",
     .terms = SSL_TERMS,
     .eab = true,
     .contact_max = 6,
     .key_type = "RSA",
     .other_key = "sslcom-ecc",
     .billing = true,
     .reasons = ACME_REASONS_ANY,
     .validity_days = 200,
     .caa = "ssl.com"},
    {.name = "jprs",
     .title = "JPRS",
     .directory = "https://acme.amecert.jprs.jp/DV/getDirectory",
     .terms = JPRS_TERMS,
     .eab = true,
     .eab_days = 14,
     .contact_min = 1,
     .contact_max = 6,
     .activation_s = 600,
     .one_fate = true,
     .reasons = ACME_REASONS_ANY,
     .caa = "jprs.jp"},
};
const size_t acme_preset_count = sizeof(acme_presets) / sizeof(acme_presets[0]);

static const struct acme_preset *test_rows;
static size_t test_count;

void acme_preset_test(const struct acme_preset *rows, size_t count)
{
    test_rows = rows;
    test_count = rows ? count : 0;
}

const struct acme_preset *acme_preset(const char *name)
{
    for (size_t i = 0; name && i < test_count; i++)
        if (test_rows[i].name && strcmp(test_rows[i].name, name) == 0)
            return &test_rows[i];
    for (size_t i = 0; name && i < acme_preset_count; i++)
        if (strcmp(acme_presets[i].name, name) == 0)
            return &acme_presets[i];
    return NULL;
}

const struct acme_preset *acme_preset_of(const char *directory)
{
    for (size_t i = 0; directory && i < test_count; i++)
        if (strcmp(test_rows[i].directory, directory) == 0)
            return &test_rows[i];
    for (size_t i = 0; directory && i < acme_preset_count; i++)
        if (strcmp(acme_presets[i].directory, directory) == 0)
            return &acme_presets[i];
    return NULL;
}

const struct acme_profile_rule *acme_profile_rule(const struct acme_preset *preset,
                                                  const char *profile)
{
    for (size_t i = 0; preset && i < ACME_PROFILE_RULES && preset->profile[i].name; i++)
        if (!profile || !*profile || strcmp(preset->profile[i].name, profile) == 0)
            return &preset->profile[i];
    return NULL;
}

unsigned acme_reasons(const char *directory)
{
    const struct acme_preset *preset = acme_preset_of(directory);
    return preset && preset->reasons ? preset->reasons : ACME_REASONS_ANY;
}

int64_t acme_binding_end(const char *directory, int64_t at_ms)
{
    const struct acme_preset *preset = acme_preset_of(directory);
    return preset && preset->eab_days && at_ms > 0 ? at_ms + preset->eab_days * INT64_C(86400000)
                                                   : 0;
}

/* ---- reasons of a revocation (RFC 5280 5.3.1) ------------------------------------------------ */

static const struct {
    int reason;
    const char *name;
} reasons[] = {{0, "unspecified"},        {1, "keyCompromise"}, {2, "cACompromise"},
               {3, "affiliationChanged"}, {4, "superseded"},    {5, "cessationOfOperation"},
               {6, "certificateHold"},    {8, "removeFromCRL"}, {9, "privilegeWithdrawn"},
               {10, "aACompromise"}};

static bool same_word(const char *typed, const char *name)
{
    for (;; typed++) {
        if (*typed == '-' || *typed == '_' || *typed == ' ')
            continue;
        if (tolower((unsigned char)*typed) != tolower((unsigned char)*name))
            return false;
        if (!*typed)
            return true;
        name++;
    }
}

int acme_reason_parse(const char *text)
{
    int64_t number = -1;
    if (!text || !*text)
        return -1;
    bool is_number = cm_num_i64(text, 0, 10, &number) == 0;
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (is_number ? reasons[i].reason == number : same_word(text, reasons[i].name))
            return reasons[i].reason;
    return -1;
}

const char *acme_reason_name(int reason)
{
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (reasons[i].reason == reason)
            return reasons[i].name;
    return NULL;
}
