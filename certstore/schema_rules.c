/* Document types and their members (docs/documents.md).  One line is one member. */
#include "certstore/schema_rules.h"

#define REQ CS_M_REQUIRED
/* One line each is what makes them readable. */
/* clang-format off */
#define END              {.name = NULL}
#define TEXT(n, f, m)    {.name = (n), .kind = CS_K_TEXT, .flags = (f), .max = (m)}
#define TEXTS(n, m, i) \
    {.name = (n), .kind = CS_K_TEXT, .flags = CS_M_LIST, .max = (m), .items = (i)}
#define LINE(n, f, m)    {.name = (n), .kind = CS_K_LINE, .flags = (f), .max = (m)}
#define LINES(n, m, i) \
    {.name = (n), .kind = CS_K_LINE, .flags = CS_M_LIST, .max = (m), .items = (i)}
#define LABEL(n, f)      {.name = (n), .kind = CS_K_LABEL, .flags = (f), .max = 128}
#define HOST(n, f)       {.name = (n), .kind = CS_K_HOST, .flags = (f)}
#define HOSTS(n, f, i)   {.name = (n), .kind = CS_K_HOST, .flags = (f) | CS_M_LIST, .items = (i)}
#define WORD(n, f, w)    {.name = (n), .kind = CS_K_WORD, .flags = (f), .words = (w)}
#define WORDS(n, f, w, i) \
    {.name = (n), .kind = CS_K_WORD, .flags = (f) | CS_M_LIST, .items = (i), .words = (w)}
#define INT(n, m)        {.name = (n), .kind = CS_K_INT, .max = (m)}
#define HEX(n, f, m)     {.name = (n), .kind = CS_K_HEX, .flags = (f), .max = (m)}
#define HEXES(n, f, m, i) \
    {.name = (n), .kind = CS_K_HEX, .flags = (f) | CS_M_LIST, .max = (m), .items = (i)}
#define B64(n, f, m)     {.name = (n), .kind = CS_K_BASE64, .flags = (f), .max = (m)}
#define B64URL(n, f, m)  {.name = (n), .kind = CS_K_BASE64URL, .flags = (f), .max = (m)}
#define PEM(n, f, m)     {.name = (n), .kind = CS_K_PEM, .flags = (f), .max = (m)}
#define ULID(n, f)       {.name = (n), .kind = CS_K_ULID, .flags = (f)}
#define TIME(n, f)       {.name = (n), .kind = CS_K_TIME, .flags = (f)}
#define BOOL(n)          {.name = (n), .kind = CS_K_BOOL}
#define ANY(n, m)        {.name = (n), .kind = CS_K_ANY, .max = (m)}
#define OBJECT(n, f, t)  {.name = (n), .kind = CS_K_OBJECT, .flags = (f), .inner = (t)}
#define OBJECTS(n, f, t, i) \
    {.name = (n), .kind = CS_K_OBJECT, .flags = (f) | CS_M_LIST, .items = (i), .inner = (t)}
#define DOWN(n)          {.name = (n), .down = true, .by_manager = true}
#define UP(n)            {.name = (n), .up = true}
/* clang-format on */

#define SERVERS_MAX 200
#define NAMES_MAX   30
#define TYPED_MAX   100 /* host names before de-duplication */
#define SEALED_MAX  (64 << 10)
#define CHAIN_MAX   (64 << 10)
#define CERT_MAX    (32 << 10)
#define SPKI_MAX    512
#define URL_MAX     2048
#define DAYS_MAX    3650
#define COUNT_MAX   1000000000

static const char *const statuses[] = {"draft",   "pending",        "waiting",        "issued",
                                       "renew",   "revoke_pending", "revoked",        "error",
                                       "expired", "archived",       "update_servers", NULL};
static const char *const colors[] = {"green", "yellow", "red", NULL};
static const char *const roles[] = {"manager", "standby", "server", NULL};
static const char *const server_states[] = {"active", "retiring", "removed", NULL};
static const char *const receipt_states[] = {"replicated", "opened", "deployed", "reloaded",
                                             "served",     "failed", NULL};
static const char *const account_states[] = {"new", "valid", "error", "deactivated", NULL};
static const char *const doors[] = {"form", "api", "cli", NULL};
static const char *const challenge_choices[] = {"http-01", "tls-alpn-01", NULL};
static const char *const challenge_types[] = {"http-01", "dns-01", "tls-alpn-01", NULL};

/* base/core/err.h's one shape; the CA's problem document stays as it came. */
static const struct cs_member error_object[] = {LABEL("code", 0),
                                                LINE("object", 0, 512),
                                                TEXT("what", 0, 2048),
                                                TEXTS("causes", 2048, 16),
                                                TEXT("hint", 0, 2048),
                                                ANY("problem", 16 << 10),
                                                TEXTS("names", 256, 30),
                                                LABEL("retry", 0),
                                                INT("attempts", COUNT_MAX),
                                                TIME("next_attempt_at", 0),
                                                END};

/* While its keys are being replaced: the former ones; and what was replaced for good, by hash. */
static const struct cs_member trust_old[] = {B64("seal", REQ, SPKI_MAX), B64("sign", REQ, SPKI_MAX),
                                             B64("tls", REQ, SPKI_MAX), END};
static const struct cs_member trust_replaced[] = {HEX("sign", REQ, 32), HEX("tls", REQ, 64),
                                                  TIME("at", REQ), END};
static const struct cs_member trust_server[] = {HOST("name", REQ),
                                                WORDS("roles", REQ, roles, 8),
                                                WORD("state", REQ, server_states),
                                                B64("seal", REQ, SPKI_MAX),
                                                B64("sign", REQ, SPKI_MAX),
                                                B64("tls", REQ, SPKI_MAX),
                                                LINE("url", 0, URL_MAX),
                                                LINE("ui_url", 0, URL_MAX),
                                                OBJECT("old", 0, trust_old),
                                                OBJECTS("replaced", 0, trust_replaced, 8),
                                                END};

static const struct cs_member trust[] = {INT("version", COUNT_MAX),
                                         TIME("expires_at", REQ),
                                         HEXES("root_signers", REQ, 32, 16),
                                         INT("threshold", 16),
                                         B64("recovery", 0, SPKI_MAX),
                                         OBJECTS("servers", REQ, trust_server, 3000),
                                         END};

#define ASKED_FIELDS                                                                               \
    LINES("host_names", 1024, TYPED_MAX), LABEL("provider", 0), LABEL("account", 0),               \
        LABEL("key_type", 0), HOSTS("servers", 0, SERVERS_MAX), LABEL("keyring_file", 0),          \
        LABEL("target", 0), INT("renew_days", DAYS_MAX), LABEL("key_rollover", 0),                 \
        LINE("alternate_chain", 0, 255), WORD("challenge", 0, challenge_choices),                  \
        LINE("profile", 0, 64), BOOL("profile_required"), BOOL("paused"),                          \
        LINES("fallback_accounts", 63, 3), BOOL("exportable")

static const struct cs_member request_fields[] = {ASKED_FIELDS, END};

static const struct cs_member request_by[] = {LINE("who", 0, 256), WORD("via", 0, doors),
                                              HOST("server", 0), END};

static const char *const afterwards[] = {"keep", "archive", "delete", NULL};

/* A revocation that is asked for, or a holder's report about one. */
static const struct cs_member request_revoke[] = {INT("reason", 10),
                                                  BOOL("key"),
                                                  WORD("after", 0, afterwards),
                                                  HEX("fingerprint", 0, 64),
                                                  OBJECT("error", 0, error_object),
                                                  END};

/* The key of an import, sealed by the manager's agent. */
static const struct cs_member request_key[] = {
    B64("sealed_key", REQ, SEALED_MAX), HEX("public_key_sha256", REQ, 64),
    B64URL("csr", 0, CERT_MAX), INT("key_generation", COUNT_MAX), END};

static const struct cs_member request[] = {LABEL("action", REQ),
                                           ULID("credential", REQ),
                                           INT("base_serial", 0),
                                           OBJECT("fields", 0, request_fields),
                                           OBJECT("by", 0, request_by),
                                           OBJECT("revoke", 0, request_revoke),
                                           PEM("certificate", 0, CHAIN_MAX + CERT_MAX),
                                           OBJECT("key", 0, request_key),
                                           TIME("at", REQ),
                                           END};

static const struct cs_member health[] = {WORD("color", REQ, colors), TEXTS("causes", 1024, 50),
                                          END};

static const struct cs_member fallback[] = {LABEL("account", REQ), INT("failures", COUNT_MAX), END};

static const struct cs_member waits_for[] = {LINE("text", REQ, 512), TIME("until", REQ), END};

/* A dry run at the CA's staging that is wanted, or the last one. */
static const char *const trial_reasons[] = {"asked", "failures", NULL};
static const char *const trial_states[] = {"wanted", "passed", "failed", NULL};
static const struct cs_member trial[] = {WORD("reason", REQ, trial_reasons),
                                         WORD("state", REQ, trial_states),
                                         LABEL("account", 0),
                                         LINE("by", 0, 256),
                                         TIME("at", REQ),
                                         TIME("ended_at", 0),
                                         OBJECT("error", 0, error_object),
                                         END};

static const char *const signers[] = {"account", "key", NULL};
static const char *const publications[] = {"ocsp", "crl", NULL};
static const struct cs_member revocation[] = {INT("reason", 10),
                                              WORD("signer", 0, signers),
                                              WORD("after", 0, afterwards),
                                              HEX("fingerprint", 0, 64),
                                              LINE("asked_by", 0, 256),
                                              TIME("asked_at", 0),
                                              TIME("revoked_at", 0),
                                              WORDS("published", 0, publications, 2),
                                              HOST("holder", 0),
                                              INT("asked", COUNT_MAX),
                                              END};

/* RFC 9773: what the CA proposes, the time chosen in it, when it last led to a renewal. */
static const struct cs_member ari[] = {TIME("window_start", 0), TIME("window_end", 0),
                                       TIME("renew_at", 0),     LINE("explanation_url", 0, URL_MAX),
                                       TIME("renewed_at", 0),   END};
/* When servers serve the certificate from, and why then. */
static const char *const activations[] = {"delay", "ocsp", "not_before", "good", "limit", NULL};
static const struct cs_member activation[] = {TIME("from", REQ), WORD("by", REQ, activations),
                                              LINE("url", 0, 512), END};
static const struct cs_member issued_by[] = {LABEL("account", 0), LINE("directory", 0, URL_MAX),
                                             END};

/* A CSR that is out (certmgr/engine/manual.h). */
static const struct cs_member csr_out[] = {B64URL("csr", 0, CERT_MAX),
                                           B64("sealed_key", 0, SEALED_MAX),
                                           HEX("public_key_sha256", 0, 64),
                                           INT("key_generation", COUNT_MAX),
                                           TIME("at", 0),
                                           BOOL("new_key"),
                                           END};

/* What is to become of the certificates that a new key replaces. */
static const struct cs_member new_key[] = {INT("reason", 10), LINE("asked_by", 0, 256),
                                           TIME("asked_at", 0), HEX("public_key_sha256", 0, 64),
                                           END};

static const struct cs_member credential[] = {ASKED_FIELDS,
                                              HOSTS("host_names_ascii", 0, NAMES_MAX),
                                              WORD("status", REQ, statuses),
                                              ULID("request", 0),
                                              LINE("requested_by", 0, 256),
                                              TIME("requested_at", 0),
                                              INT("key_generation", COUNT_MAX),
                                              HEX("public_key_sha256", 0, 64),
                                              B64("sealed_key", 0, SEALED_MAX),
                                              B64URL("csr", 0, CERT_MAX),
                                              PEM("chain", 0, CHAIN_MAX),
                                              PEM("root", 0, CERT_MAX),
                                              HEX("fingerprint", 0, 64),
                                              LINES("san", 256, TYPED_MAX),
                                              LINES("san_unicode", 1024, TYPED_MAX),
                                              LINE("issuer", 0, 1024),
                                              TIME("not_before", 0),
                                              TIME("not_after", 0),
                                              TIME("issued_at", 0),
                                              OBJECT("health", 0, health),
                                              OBJECT("error", 0, error_object),
                                              TIME("next_action_at", 0),
                                              OBJECT("revocation", 0, revocation),
                                              OBJECT("ari", 0, ari),
                                              OBJECT("activation", 0, activation),
                                              OBJECT("csr_out", 0, csr_out),
                                              OBJECT("issued_by", 0, issued_by),
                                              BOOL("leaving"),
                                              OBJECT("waits_for", 0, waits_for),
                                              OBJECT("fallback", 0, fallback),
                                              OBJECT("trial", 0, trial),
                                              OBJECT("rollover", 0, new_key),
                                              INT("attempts", COUNT_MAX),
                                              INT("edited_over", 0),
                                              END};

static const struct cs_member keyfile[] = {ULID("credential", REQ),
                                           HOSTS("servers", REQ, SERVERS_MAX),
                                           LABEL("keyring_file", REQ),
                                           LABEL("target", 0),
                                           HOSTS("names", 0, TYPED_MAX),
                                           B64("sealed_key", REQ, SEALED_MAX),
                                           INT("key_generation", COUNT_MAX),
                                           HEX("public_key_sha256", REQ, 64),
                                           PEM("leaf", REQ, CERT_MAX),
                                           PEM("intermediates", 0, CHAIN_MAX),
                                           PEM("root", 0, CERT_MAX),
                                           HEX("fingerprint", 0, 64),
                                           TIME("not_after", 0),
                                           TIME("serve_from", 0),
                                           END};

static const struct cs_member token[] = {
    HOST("host", REQ),         WORD("type", REQ, challenge_types),
    B64URL("token", REQ, 128), LINE("key_authorization", REQ, 256),
    TIME("expires_at", REQ),   END};

static const struct cs_member challenge[] = {ULID("credential", REQ),
                                             OBJECTS("tokens", REQ, token, TYPED_MAX), END};

static const struct cs_member receipt[] = {
    HOST("server", REQ),       ULID("credential", REQ),          WORD("state", REQ, receipt_states),
    HEX("fingerprint", 0, 64), INT("key_generation", COUNT_MAX), LABEL("target", 0),
    TIME("at", REQ),           OBJECT("error", 0, error_object), END};

static const struct cs_member agreed[] = {LINE("by", 0, 256), TIME("at", 0),
                                          LINE("url", 0, URL_MAX), END};

/* The JWS is there until the account is registered. */
static const char *const mac_algs[] = {"HS256", "HS384", "HS512", NULL}; /* RFC 7518 3.2 */
static const struct cs_member binding[] = {LINE("kid", REQ, 255),
                                           TIME("at", 0),
                                           ANY("jws", 8192),
                                           ANY("jws_other", 8192),
                                           INT("key_bytes", 1024),
                                           WORD("alg", 0, mac_algs),
                                           END};

/* The key that is to follow, until the CA has been seen to know it. */
static const struct cs_member rollover[] = {B64("sealed_key", REQ, SEALED_MAX), ANY("jwk", 4096),
                                            B64URL("thumbprint", REQ, 64), TIME("at", 0), END};

/* Bound to another account at the CA since: the keys that it had. */
static const struct cs_member former_key[] = {B64("sealed_key", REQ, SEALED_MAX),
                                              B64URL("thumbprint", 0, 64),
                                              LINE("kid", 0, URL_MAX),
                                              LINE("eab_kid", 0, 255),
                                              LINE("by", 0, 256),
                                              TIME("at", REQ),
                                              END};

static const char *const activation_modes[] = {"at_once", "delay", "ocsp", NULL};

/* The CA wants its new terms agreed to (RFC 8555 7.3.3). */
static const struct cs_member new_terms[] = {TIME("at", REQ), LINE("page", 0, URL_MAX),
                                             LINE("url", 0, URL_MAX), END};

static const struct cs_member account[] = {LINE("directory", REQ, URL_MAX),
                                           LINES("contacts", 320, 10),
                                           OBJECT("terms_agreed", 0, agreed),
                                           PEM("ca_pem", 0, CHAIN_MAX),
                                           B64("sealed_key", 0, SEALED_MAX),
                                           ANY("jwk", 4096),
                                           B64URL("thumbprint", 0, 64),
                                           LINE("kid", 0, URL_MAX),
                                           OBJECT("eab", 0, binding),
                                           OBJECT("rollover", 0, rollover),
                                           OBJECTS("former", 0, former_key, 3),
                                           OBJECT("new_terms", 0, new_terms),
                                           WORD("status", REQ, account_states),
                                           OBJECT("error", 0, error_object),
                                           BOOL("self_check"),
                                           INT("http_port", 65535),
                                           INT("tls_port", 65535),
                                           WORD("challenge", 0, challenge_choices),
                                           WORD("activation", 0, activation_modes),
                                           INT("activation_s", 86400),
                                           LABEL("staging", 0),
                                           END};

static const struct cs_member settings[] = {LABEL("provider", 0),
                                            LABEL("account", 0),
                                            LABEL("key_type", 0),
                                            INT("renew_days", DAYS_MAX),
                                            HOSTS("servers", 0, SERVERS_MAX),
                                            LABEL("keyring_file", 0),
                                            BOOL("staging_first"),
                                            END};

static const struct cs_member propagation[] = {BOOL("authoritative"), LINE("resolvers", 0, 512),
                                               INT("fixed_s", 7200), INT("limit_s", 7200), END};

static const struct cs_member dns_account[] = {LABEL("kind", REQ),
                                               LABEL("provider", 0),
                                               ANY("options", 8192),
                                               B64("sealed", 0, SEALED_MAX),
                                               LINES("secret_names", 64, 32),
                                               LINES("domains", 1024, 100),
                                               HOSTS("domains_ascii", 0, 100),
                                               BOOL("enabled"),
                                               OBJECT("propagation", 0, propagation),
                                               LINE("resolvers", 0, 512),
                                               END};

static const struct cs_member dns_provider[] = {ANY("recipe", 128 << 10), END};

static const struct cs_member root[] = {PEM("pem", REQ, CERT_MAX), LINE("subject", 0, 1024),
                                        TIME("not_after", 0), END};

/* What the manager orders a server to do. */
static const struct cs_member server[] = {TIME("rotate_at", 0), LINE("asked_by", 0, 256), END};

/* A server's new keys, signed with the old one, and each proved by a signature of its own; later
 * the word that everything it holds is sealed and signed with them. */
static const char *const rotation_states[] = {"keys", "resealed", NULL};
static const struct cs_member rotation[] = {HOST("server", REQ),
                                            WORD("state", REQ, rotation_states),
                                            B64("seal", REQ, SPKI_MAX),
                                            B64("sign", REQ, SPKI_MAX),
                                            B64("tls", REQ, SPKI_MAX),
                                            B64URL("proof_seal", REQ, 128),
                                            B64URL("proof_sign", REQ, 128),
                                            B64URL("proof_tls", REQ, 1400),
                                            TIME("at", REQ),
                                            END};

/* A credential's sealed key as it is with a server's new seal key in the place of its old one. */
static const struct cs_member reseal[] = {HOST("server", REQ), ULID("credential", REQ),
                                          B64("sealed_key", REQ, SEALED_MAX), TIME("at", REQ), END};

const struct cs_rule cs_rules[] = {
    {UP("request"), CS_N_ULID, request},
    {DOWN("credential"), CS_N_ULID, credential},
    {DOWN("keyfile"), CS_N_ULID, keyfile},
    {DOWN("challenge"), CS_N_ULID, challenge},
    {DOWN("trust"), CS_N_ROOT, trust},
    {UP("receipt"), CS_N_HOST_ULID, receipt},
    {DOWN("account"), CS_N_LABEL, account},
    {DOWN("settings"), CS_N_LABEL, settings},
    {DOWN("root"), CS_N_HEX64, root},
    {DOWN("server"), CS_N_HOST, server},
    {DOWN("dns-account"), CS_N_LABEL, dns_account},
    {DOWN("dns-provider"), CS_N_LABEL, dns_provider},
    {DOWN("microca"), CS_N_LABEL, NULL},
    {DOWN("archive"), CS_N_LABEL, NULL},
    {UP("rotation"), CS_N_HOST, rotation},
    {UP("reseal"), CS_N_HOST_ULID, reseal},
};
const size_t cs_rule_count = sizeof(cs_rules) / sizeof(cs_rules[0]);
