/* What the tests of keyfile share: temporary directories, a small CA, identities. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/core/bytes.h"
#include "base/core/clock.h"
#include "base/core/file.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "keyfile/cert.h"
#include "keyfile/docsig.h"
#include "keyfile/identity.h"
#include "keyfile/ossl.h"
#include "keyfile/pkey.h"
#include "keyfile/seal.h"
#include "keyfile/trust.h"
#include "keyfile/trust_build.h"
#include "tests/unit/scratch.h"

/* Runs expr (returning 0) and prints the error object when it fails. */
#define OK(expr, err)                                                                              \
    do {                                                                                           \
        int ok_rc = (expr);                                                                        \
        if (ok_rc != 0) {                                                                          \
            char ok_line[2048];                                                                    \
            cm_err_line(&(err), ok_line, sizeof(ok_line));                                         \
            fail_msg("%s = %d: %s", #expr, ok_rc, ok_line);                                        \
        }                                                                                          \
    } while (0)

/* Expects a code and a part of the message; empties err. */
#define REFUSED(expr, code, text, err)                                                             \
    do {                                                                                           \
        char ref_line[2048];                                                                       \
        int ref_rc = (expr);                                                                       \
        cm_err_line(&(err), ref_line, sizeof(ref_line));                                           \
        if (ref_rc != (code) || strstr(ref_line, text) == NULL)                                    \
            fail_msg("%s = %d: \"%s\"; expected %d and \"%s\"", #expr, ref_rc, ref_line, code,     \
                     text);                                                                        \
        cm_err_fini(&(err));                                                                       \
    } while (0)

static inline char *temp_dir(void)
{
    char name[96];
    assert_non_null(scratch_dir(name, sizeof(name), "keyfile-test"));
    return cm_strdup(name);
}

static inline int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static inline void remove_dir(char *dir)
{
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    cm_free(dir);
}

/* Runs a program with its output in the file out (NULL = dropped); returns the exit status. */
static inline int run_tool(const char *const argv[], const char *out)
{
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int status;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, out ? out : "/dev/null",
                                     O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    assert_int_equal(
        posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}
#define TOOL(out, ...) run_tool((const char *const[]){__VA_ARGS__, NULL}, out)

/* A certificate for `key`, signed by `issuer_key`; sans like "DNS:a.example,DNS:b.example" or NULL
 * for a CA certificate. */
static inline X509 *make_cert(const char *cn, EVP_PKEY *key, const char *issuer_cn,
                              EVP_PKEY *issuer_key, const char *sans, long from_s, long to_s)
{
    static long serial = 1000;
    X509 *cert = X509_new();
    X509_set_version(cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), serial++);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_UTF8,
                               (const unsigned char *)cn, -1, -1, 0);
    X509_NAME *issuer = X509_NAME_new();
    X509_NAME_add_entry_by_txt(issuer, "CN", MBSTRING_UTF8, (const unsigned char *)issuer_cn, -1,
                               -1, 0);
    X509_set_issuer_name(cert, issuer);
    X509_NAME_free(issuer);
    X509_gmtime_adj(X509_getm_notBefore(cert), from_s);
    X509_gmtime_adj(X509_getm_notAfter(cert), to_s);
    X509_set_pubkey(cert, key);
    X509_EXTENSION *ext =
        sans ? X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, sans)
             : X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "critical,CA:TRUE");
    assert_non_null(ext);
    X509_add_ext(cert, ext, -1);
    X509_EXTENSION_free(ext);
    if (sans) { /* a leaf names its issuer's key, as those of every CA do */
        AUTHORITY_KEYID *id = AUTHORITY_KEYID_new();
        id->keyid = ASN1_OCTET_STRING_new();
        ASN1_OCTET_STRING_set(id->keyid, (const unsigned char *)issuer_cn, -1);
        X509_add1_ext_i2d(cert, NID_authority_key_identifier, id, 0, 0);
        AUTHORITY_KEYID_free(id);
    }
    assert_true(X509_sign(cert, issuer_key, EVP_sha256()) > 0);
    return cert;
}

static inline char *cert_pem(X509 *cert)
{
    char *data;
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, cert);
    long len = BIO_get_mem_data(bio, &data);
    char *pem = cm_strndup(data, (size_t)len);
    BIO_free(bio);
    return pem;
}

/* root -> middle, ready to sign leaves. */
struct test_ca {
    EVP_PKEY *root_key, *middle_key;
    char *root, *middle; /* PEM */
};

static inline void ca_init(struct test_ca *ca)
{
    assert_int_equal(kf_pkey_generate(KF_KEY_P256, &ca->root_key, NULL), 0);
    assert_int_equal(kf_pkey_generate(KF_KEY_P256, &ca->middle_key, NULL), 0);
    X509 *root = make_cert("Test Root", ca->root_key, "Test Root", ca->root_key, NULL, -60, 86400);
    X509 *middle =
        make_cert("Test Middle", ca->middle_key, "Test Root", ca->root_key, NULL, -60, 86400);
    ca->root = cert_pem(root);
    ca->middle = cert_pem(middle);
    X509_free(root);
    X509_free(middle);
}

static inline void ca_fini(struct test_ca *ca)
{
    EVP_PKEY_free(ca->root_key);
    EVP_PKEY_free(ca->middle_key);
    cm_free(ca->root);
    cm_free(ca->middle);
}

/* A leaf's PEM signed by the middle CA. */
static inline char *ca_leaf(struct test_ca *ca, EVP_PKEY *key, const char *sans)
{
    X509 *leaf = make_cert("leaf", key, "Test Middle", ca->middle_key, sans, -60, 3600);
    char *pem = cert_pem(leaf);
    X509_free(leaf);
    return pem;
}

/* An identity in memory and on disk below dir. */
static inline void make_identity(const char *dir, const char *name, struct kf_identity *ret)
{
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_STR path = cm_asprintf("%s/%s", dir, name);
    OK(kf_identity_create(path, name, ret, &err), err);
}

static inline char *fresh_spki(void)
{
    EVP_PKEY *key;
    char *b64;
    assert_int_equal(kf_pkey_generate(KF_KEY_P256, &key, NULL), 0);
    assert_int_equal(kf_spki_b64(key, &b64, NULL), 0);
    EVP_PKEY_free(key);
    return b64;
}

static inline struct kf_trust *parse_root(const json_t *doc)
{
    struct kf_trust *trust;
    struct cm_err err = CM_ERR_INIT;
    OK(kf_trust_parse(doc, &trust, &err), err);
    return trust;
}

/* Lists another identity in the root, as trust.admit does; returns the new root. */
static inline struct kf_trust *admit(const struct kf_identity *manager, struct kf_trust *take,
                                     const struct kf_identity *other)
{
    struct cm_err err = CM_ERR_INIT;
    json_t *doc;
    CM_AUTO_STR tls = fresh_spki();
    struct kf_new_server server = {
        .name = other->name, .seal = other->seal_b64, .sign = other->sign_b64, .tls = tls};
    OK(kf_trust_add(manager, take, &server, cm_now_ms(), &doc, &err), err);
    struct kf_trust *next = parse_root(doc);
    json_decref(doc);
    kf_trust_free(take);
    return next;
}

/* Trust root version 1 of this manager. */
static inline struct kf_trust *found(const struct kf_identity *manager)
{
    struct cm_err err = CM_ERR_INIT;
    json_t *doc;
    CM_AUTO_STR tls = fresh_spki();
    struct kf_new_server self = {.name = manager->name,
                                 .seal = manager->seal_b64,
                                 .sign = manager->sign_b64,
                                 .tls = tls,
                                 .url = "https://manager.example:8444",
                                 .manager = true};
    OK(kf_trust_found(manager, &self, NULL, cm_now_ms(), &doc, &err), err);
    struct kf_trust *trust = parse_root(doc);
    json_decref(doc);
    return trust;
}
