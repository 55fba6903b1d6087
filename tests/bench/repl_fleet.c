/* The fleet of two and its documents. */
#include "tests/bench/repl_fleet.h"

#include <stdio.h>
#include <string.h>

#include "base/core/clock.h"
#include "base/core/file.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "base/net/tls.h"
#include "base/net/tls_key.h"
#include "keyfile/docsig.h"
#include "keyfile/trust_build.h"

#define TRUST_MAX    (1u << 20)
#define PEM_COLUMNS  64
#define CHAIN_BYTES  1728 /* of DER: a leaf and an intermediate */
#define SEALED_BYTES 560
#define DAY_MS       (24LL * 3600 * 1000)

char *bench_path(const struct bench_fleet *fleet, const char *name)
{
    return cm_asprintf("%s/%s", fleet->dir, name);
}

static int make_tls(const struct bench_fleet *fleet, const char *name, char **ret_spki,
                    struct cm_err *err)
{
    CM_AUTO_STR cert = cm_asprintf("%s/%s-tls.crt", fleet->dir, name);
    CM_AUTO_STR key = cm_asprintf("%s/%s-tls.key", fleet->dir, name);
    int rc = tls_identity_make(name, cert, key, err);
    return rc < 0 ? rc : tls_public_key_of_file(cert, ret_spki, err);
}

static int make_identity(const struct bench_fleet *fleet, const char *name, struct kf_identity *ret,
                         struct cm_err *err)
{
    CM_AUTO_STR dir = cm_asprintf("%s/%s-agent", fleet->dir, name);
    int rc = cm_dir_make(dir, 0700, err);
    return rc < 0 ? rc : kf_identity_create(dir, name, ret, err);
}

static struct kf_new_server server_of(const struct kf_identity *identity, const char *tls)
{
    return (struct kf_new_server){
        .name = identity->name, .seal = identity->seal_b64, .sign = identity->sign_b64, .tls = tls};
}

/* trust:root, version 2: the manager has admitted the server. */
static int make_trust(const struct bench_fleet *fleet, const struct kf_identity *source,
                      const struct kf_identity *target, struct cm_err *err)
{
    CM_AUTO_STR source_tls = NULL;
    CM_AUTO_STR target_tls = NULL;
    CM_AUTO_STR path = bench_path(fleet, "trust.json");
    CM_AUTO_JSON first = NULL;
    CM_AUTO_JSON second = NULL;
    struct kf_trust *root = NULL;
    int rc = make_tls(fleet, "source", &source_tls, err);
    if (rc == 0)
        rc = make_tls(fleet, "target", &target_tls, err);
    if (rc < 0)
        return rc;
    struct kf_new_server self = server_of(source, source_tls);
    struct kf_new_server other = server_of(target, target_tls);
    self.manager = true;
    rc = kf_trust_found(source, &self, NULL, cm_now_ms(), &first, err);
    if (rc == 0)
        rc = kf_trust_parse(first, &root, err);
    if (rc == 0)
        rc = kf_trust_add(source, root, &other, cm_now_ms(), &second, err);
    kf_trust_free(root);
    if (rc < 0)
        return rc;
    size_t len = 0;
    CM_AUTO_STR text = cm_json_dump(second, &len);
    return cm_file_write(path, text, len, 0600, err);
}

static int make_fleet(const struct bench_fleet *fleet, struct cm_err *err)
{
    struct kf_identity source = {0}, target = {0};
    int rc = cm_dir_make(fleet->dir, 0700, err);
    if (rc == 0)
        rc = make_identity(fleet, "source", &source, err);
    if (rc == 0)
        rc = make_identity(fleet, "target", &target, err);
    if (rc == 0)
        rc = make_trust(fleet, &source, &target, err);
    kf_identity_fini(&source);
    kf_identity_fini(&target);
    return rc;
}

int bench_fleet_open(const char *dir, struct bench_fleet *ret, struct cm_err *err)
{
    *ret = (struct bench_fleet){.dir = dir};
    CM_AUTO_STR path = bench_path(ret, "trust.json");
    CM_AUTO_STR agent = bench_path(ret, "source-agent");
    CM_AUTO_STR text = NULL;
    size_t len = 0;
    int rc = cm_path_exists(path) ? 0 : make_fleet(ret, err);
    if (rc == 0)
        rc = cm_file_read(path, TRUST_MAX, &text, &len, err);
    if (rc == 0)
        rc = cm_json_parse(text, len, &ret->trust, err);
    return rc < 0 ? rc : kf_identity_load(agent, &ret->source, err);
}

void bench_fleet_close(struct bench_fleet *fleet)
{
    json_decref(fleet->trust);
    kf_identity_fini(&fleet->source);
}

/* ---- documents ---------------------------------------------------------------------------- */

/* Random bytes as a PEM block, which is what fills a real document. */
static char *random_pem(size_t size)
{
    uint8_t bytes[CHAIN_BYTES];
    struct cm_buf out;
    cm_random(bytes, size);
    CM_AUTO_STR base64 = cm_b64(bytes, size);
    cm_buf_init(&out, 2 * CHAIN_BYTES);
    cm_buf_puts(&out, "-----BEGIN CERTIFICATE-----\n");
    for (size_t at = 0, len = strlen(base64); at < len; at += PEM_COLUMNS) {
        size_t left = len - at;
        cm_buf_add(&out, base64 + at, left < PEM_COLUMNS ? left : PEM_COLUMNS);
        cm_buf_putc(&out, '\n');
    }
    cm_buf_puts(&out, "-----END CERTIFICATE-----\n");
    return cm_buf_take(&out, NULL);
}

static void set_names(json_t *doc, int64_t number)
{
    static const char *const members[] = {"host_names", "host_names_ascii", "san"};
    char name[64];
    snprintf(name, sizeof(name), "h%lld.bench.example", (long long)number);
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        json_t *list = json_array();
        json_array_append_new(list, json_string(name));
        cm_json_set(doc, members[i], list);
    }
    json_t *servers = json_array();
    json_array_append_new(servers, json_string("target"));
    cm_json_set(doc, "servers", servers);
}

static void set_texts(json_t *doc)
{
    uint8_t sealed[SEALED_BYTES], hash[CM_SHA256_SIZE];
    char hex[CM_SHA256_HEX];
    cm_random(sealed, sizeof(sealed));
    cm_random(hash, sizeof(hash));
    cm_hex(hash, sizeof(hash), hex);
    CM_AUTO_STR sealed_text = cm_b64(sealed, sizeof(sealed));
    CM_AUTO_STR chain = random_pem(CHAIN_BYTES);
    cm_json_set_str(doc, "sealed_key", sealed_text);
    cm_json_set_str(doc, "chain", chain);
    cm_json_set_str(doc, "fingerprint", hex);
    cm_json_set_str(doc, "public_key_sha256", hex);
    cm_json_set_str(doc, "issuer", "CN=Bench Issuing CA,O=Example");
    cm_json_set_str(doc, "requested_by", "admin");
    cm_json_set_str(doc, "provider", "bench");
    cm_json_set_str(doc, "account", "bench");
    cm_json_set_str(doc, "key_type", "P-256");
    cm_json_set_str(doc, "keyring_file", "web");
}

int bench_document(const struct bench_fleet *fleet, int64_t number, int64_t serial,
                   const char *ulid, json_t **ret, struct cm_err *err)
{
    char fresh[CM_ULID_TEXT];
    CM_AUTO_JSON doc = json_object();
    int64_t issued = cm_now_ms() - number % 1000 * DAY_MS / 10;
    if (!ulid)
        cm_ulid(fresh);
    CM_AUTO_STR id = cm_asprintf("credential:%s", ulid ? ulid : fresh);
    cm_json_set_str(doc, "_id", id);
    cm_json_set_str(doc, "type", "credential");
    cm_json_set_int(doc, "serial", serial);
    cm_json_set_str(doc, "status", "issued");
    cm_json_set_int(doc, "renew_days", 30);
    cm_json_set_int(doc, "key_generation", 1);
    cm_json_set_time(doc, "requested_at", issued);
    cm_json_set_time(doc, "issued_at", issued);
    cm_json_set_time(doc, "not_before", issued);
    cm_json_set_time(doc, "not_after", issued + 90 * DAY_MS);
    cm_json_set_time(doc, "next_action_at", issued + 60 * DAY_MS);
    set_names(doc, number);
    set_texts(doc);
    int rc = kf_doc_sign(&fleet->source, doc, false, err);
    if (rc == 0)
        *ret = json_incref(doc);
    return rc;
}
