/*
 * Known CAs and what they can do beside what their directory says: the one record per CA behind
 * form, API, CLI and engine, found by its name or its directory URL.  An unknown CA has no record:
 * no limits, every reason, whatever its directory says.
 *
 * Where a directory tells for itself (renewalInfo, keyChange, profiles, terms, caaIdentities), it
 * decides and the record is only what is known before the CA was asked.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ACME_REASONS_ANY 0x3bu /* 0, 1, 3, 4, 5: what a subscriber may say (RFC 5280 5.3.1) */

enum acme_limit {
    ACME_LIMIT_ORDERS, /* new orders of an account */
    ACME_LIMIT_DOMAIN, /* certificates for a registered domain */
    ACME_LIMIT_SET,    /* certificates for exactly the same names */
    ACME_LIMIT_FAILED, /* failed validations of a name by an account */
    ACME_LIMIT_COUNT
};

/* A bucket of `count`, refilled by one every refill_ms; count 0 = no limit. */
struct acme_rate {
    unsigned count;
    int64_t refill_ms;
};

#define ACME_PROFILE_RULES 3

/* What a profile of the CA takes; name NULL ends the list. */
struct acme_profile_rule {
    const char *name;
    unsigned names_max; /* of a certificate */
    bool ip;            /* IP addresses, too */
};

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
    bool one_fate;           /* taking away one name revokes the whole certificate */
    bool ari;                /* renewalInfo */
    bool profiles, rollover; /* of the directory */
    struct acme_profile_rule profile[ACME_PROFILE_RULES]; /* the first one when none is asked for */
    unsigned reasons;       /* bit n: revocation reason n is accepted; 0 = unknown, so any */
    unsigned validity_days; /* usual life, 0 = unknown; notAfter decides */
    const char *caa;        /* its names in CAA records, separated by blanks; NULL = unknown */
    struct acme_rate rate[ACME_LIMIT_COUNT];
};

extern const struct acme_preset acme_presets[];
extern const size_t acme_preset_count;
/* NULL = unknown (or NULL asked for).  They never go. */
const struct acme_preset *acme_preset(const char *name);
const struct acme_preset *acme_preset_of(const char *directory);
/* Tests: so many more rows (with or without a name), found first; NULL takes them away. */
void acme_preset_test(const struct acme_preset *rows, size_t count);
/* What this profile takes (NULL or "" = the CA's usual one); NULL = unknown. */
const struct acme_profile_rule *acme_profile_rule(const struct acme_preset *preset,
                                                  const char *profile);
/* Reasons that may be given at this directory; ACME_REASONS_ANY when it is unknown. */
unsigned acme_reasons(const char *directory);

/* When a binding's key that was received at_ms is of no use any more; 0 = no limit known. */
int64_t acme_binding_end(const char *directory, int64_t at_ms);

/* Revocation reasons by number or name ("keyCompromise", "superseded", …; letters' case and
 * hyphens do not matter).  -1 = none of them. */
int acme_reason_parse(const char *text);
const char *acme_reason_name(int reason); /* "unspecified", …; NULL = unknown */
