/* What the tests of the store share: a store in a fresh directory, documents, a toy signature. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/core/bytes.h"
#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "certstore/store.h"
#include "tests/unit/scratch.h"

#define ULID_A "01J00000000000000000000000"
#define ULID_B "01J00000000000000000000001"
#define TIME_A "2027-01-02T03:04:05.000Z"

struct rig {
    struct cs_store *store;
    char dir[256];
    bool policy;
    bool reject_all;  /* the verify port says no */
    const char *gone; /* … to what this signer signed; NULL = nobody */
    unsigned verified;
    unsigned armed;
};

/* ---- toy signature: SHA-256 over the canonical JSON, as RFC 8785 signatures are made ---- */

static inline char *toy_digest(const json_t *body, bool deleted)
{
    static char hex[CM_SHA256_HEX];
    json_t *copy = json_copy((json_t *)(uintptr_t)body);
    struct cm_buf text;
    json_object_del(copy, "signature");
    json_object_del(copy, "signatures");
    cm_json_set_bool(copy, "deleted", deleted);
    cm_buf_init(&text, 1 << 20);
    assert_int_equal(cm_json_canonical(copy, &text, NULL), 0);
    cm_sha256_hex(text.data, text.len, hex);
    cm_buf_fini(&text);
    json_decref(copy);
    return hex;
}

static inline void toy_sign(json_t *body, bool deleted)
{
    const char *value = toy_digest(body, deleted);
    cm_json_set(body, "signature",
                json_pack("{s:s,s:s,s:s}", "by", "manager", "key",
                          "00112233445566778899aabbccddeeff", "value", value));
}

static inline void toy_verify(void *arg, const json_t *body, bool deleted, struct cs_verdict *ret)
{
    struct rig *rig = arg;
    const char *value = cm_json_str_or(cm_json_obj(body, "signature"), "value", "");
    rig->verified++;
    ret->serial = cm_json_int(body, "serial", 0);
    ret->valid = !rig->reject_all && strcmp(value, toy_digest(body, deleted)) == 0;
    if (!ret->valid)
        snprintf(ret->reason, sizeof(ret->reason), "wrong signature");
    const char *by = cm_json_str_or(cm_json_obj(body, "signature"), "by", "");
    if (ret->valid && rig->gone && strcmp(by, rig->gone) == 0) {
        ret->valid = false;
        snprintf(ret->reason, sizeof(ret->reason), "signer %s was removed", by);
    }
}

static inline void count_arm(void *arg)
{
    ((struct rig *)arg)->armed++;
}

/* ---- a store ---- */

static inline void rig_open_with(struct rig *rig, cs_sign_fn sign)
{
    struct cm_err err = CM_ERR_INIT;
    struct cs_opts opts = {.dir = rig->dir,
                           .create = true,
                           .policy = rig->policy,
                           .verify = toy_verify,
                           .sign = sign,
                           .port_arg = rig,
                           .arm = count_arm,
                           .arm_arg = rig};
    int rc = cs_open(&opts, &rig->store, &err);
    if (rc < 0)
        fail_msg("cs_open: %s", err.what);
}

static inline void rig_open(struct rig *rig, bool policy)
{
    *rig = (struct rig){.policy = policy};
    assert_non_null(scratch_dir(rig->dir, sizeof(rig->dir), "cs-test"));
    rig_open_with(rig, NULL);
}

static inline void rig_reopen(struct rig *rig)
{
    cs_close(rig->store);
    rig_open_with(rig, NULL);
}

static inline void rig_close(struct rig *rig)
{
    cs_close(rig->store);
    rig->store = NULL;
    DIR *dir = opendir(rig->dir);
    assert_non_null(dir);
    for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
        char path[600];
        snprintf(path, sizeof(path), "%s/%s", rig->dir, e->d_name);
        if (e->d_name[0] != '.')
            unlink(path);
    }
    closedir(dir);
    rmdir(rig->dir);
}

static inline void commit(struct rig *rig)
{
    struct cm_err err = CM_ERR_INIT;
    if (cs_commit(rig->store, &err) < 0)
        fail_msg("cs_commit: %s", err.what);
}

/* Nothing wrong in the store, and so many documents. */
static inline void assert_sound(struct rig *rig, int64_t documents)
{
    CM_AUTO_JSON report = NULL;
    assert_int_equal(cs_check(rig->store, &report, NULL), 0);
    json_t *problems = cm_json_arr(report, "problems");
    if (json_array_size(problems) > 0) {
        char *text = cm_json_dump(problems, NULL);
        fail_msg("cs_check: %s", text);
    }
    assert_int_equal(cm_json_int(report, "documents", -1), documents);
}

/* ---- documents ---- */

/* settings:NAME with a serial and one member that tells versions apart; signed. */
static inline json_t *settings(const char *name, int64_t serial, int64_t days, bool deleted)
{
    json_t *doc = json_object();
    char id[CS_ID_MAX];
    snprintf(id, sizeof(id), "settings:%s", name);
    cm_json_set_str(doc, "_id", id);
    cm_json_set_str(doc, "type", "settings");
    cm_json_set_int(doc, "serial", serial);
    if (!deleted)
        cm_json_set_int(doc, "renew_days", days);
    toy_sign(doc, deleted);
    if (deleted)
        cm_json_set_bool(doc, "_deleted", true);
    return doc;
}

static inline struct cs_result put(struct rig *rig, json_t *take_doc)
{
    struct cs_result result;
    cs_put(rig->store, take_doc, &result, NULL);
    json_decref(take_doc);
    return result;
}

/* Adds `_rev` and `_revisions` from "3-c,2-b,1-a". */
static inline json_t *at_rev(json_t *doc, const char *path)
{
    char rev[CS_REV_MAX + 1];
    const char *comma = strchr(path, ',');
    snprintf(rev, sizeof(rev), "%.*s", comma ? (int)(comma - path) : (int)strlen(path), path);
    cm_json_set_str(doc, "_rev", rev);
    json_t *ids = json_array();
    for (const char *at = path; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        const char *id = strchr(at, '-') + 1;
        json_array_append_new(ids, json_stringn(id, strcspn(id, ",")));
    }
    cm_json_set(doc, "_revisions",
                json_pack("{s:I,s:o}", "start", (json_int_t)strtoll(path, NULL, 10), "ids", ids));
    return doc;
}

static inline struct cs_result replicate(struct rig *rig, json_t *take_doc)
{
    struct cs_result result;
    assert_int_equal(cs_put_replicated(rig->store, take_doc, "peer.example", &result, NULL), 0);
    json_decref(take_doc);
    return result;
}

static inline int64_t days_of(struct rig *rig, const char *id)
{
    CM_AUTO_JSON body = cs_get_body(rig->store, id);
    return body ? cm_json_int(body, "renew_days", -2) : -1;
}
