/*
 * Known CAs and what they can do beside what their directory says: the one table behind form, API,
 * CLI and engine.  Data by name or directory URL; limits and CAA identities: engine/ca_known.h.
 *
 * Where a directory tells for itself (renewalInfo, keyChange, profiles, terms), it decides and the
 * table is only what people see before the CA was asked.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ACME_REASONS_ANY 0x3bu /* 0, 1, 3, 4, 5: what a subscriber may say (RFC 5280 5.3.1) */

struct acme_preset {
    const char *name;  /* also the proposed account name */
    const char *title; /* the CA's own name */
    const char *directory;
    const char *terms;       /* page with its terms of service */
    bool test;               /* its certificates are not trusted by browsers */
    const char *staging;     /* name of the preset to try with; NULL = no dry run */
    bool eab;                /* accounts are bound to an account at the CA */
    unsigned eab_days;       /* the binding's key is of use for so long; 0 = no limit known */
    unsigned contact_min;    /* mail addresses that an account must have … */
    unsigned contact_max;    /* … and may have */
    const char *key_type;    /* "EC" or "RSA": all that this directory takes; NULL = both */
    const char *other_key;   /* preset for the other kind; NULL = this one */
    unsigned activation_s;   /* OCSP knows a new certificate so long after its issue */
    bool billing;            /* sold by classes of names */
    bool ari;                /* renewalInfo */
    bool profiles, rollover; /* of the directory */
    unsigned reasons;        /* bit n: revocation reason n is accepted */
    unsigned validity_days;  /* usual life, 0 = unknown; notAfter decides */
};

extern const struct acme_preset acme_presets[];
extern const size_t acme_preset_count;
/* NULL = unknown (or NULL asked for). */
const struct acme_preset *acme_preset(const char *name);
const struct acme_preset *acme_preset_of(const char *directory);
/* Tests: so many more rows, found first; NULL takes them away. */
void acme_preset_test(const struct acme_preset *rows, size_t count);
/* Reasons that may be given at this directory; ACME_REASONS_ANY when it is unknown. */
unsigned acme_reasons(const char *directory);

/* When a binding's key that was received at_ms is of no use any more; 0 = no limit known. */
int64_t acme_binding_end(const char *directory, int64_t at_ms);

/* Revocation reasons by number or name ("keyCompromise", "superseded", …; letters' case and
 * hyphens do not matter).  -1 = none of them. */
int acme_reason_parse(const char *text);
const char *acme_reason_name(int reason); /* "unspecified", …; NULL = unknown */
