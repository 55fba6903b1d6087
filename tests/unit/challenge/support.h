/* A store without policy and a resolver that says 127.0.0.1, on one loop. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <ftw.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "certmgr/challenge/challenge.h"
#include "tests/unit/scratch.h"

#define OK(expr, err)                                                                              \
    do {                                                                                           \
        int ok_rc = (expr);                                                                        \
        if (ok_rc != 0) {                                                                          \
            char ok_line[2048];                                                                    \
            cm_err_line(&(err), ok_line, sizeof(ok_line));                                         \
            fail_msg("%s = %d: %s", #expr, ok_rc, ok_line);                                        \
        }                                                                                          \
    } while (0)

static inline char *temp_dir(void)
{
    char name[96];
    assert_non_null(scratch_dir(name, sizeof(name), "challenge-test"));
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

static inline void accept_all(void *arg, const json_t *body, bool deleted, struct cs_verdict *ret)
{
    (void)arg;
    (void)deleted;
    *ret = (struct cs_verdict){.valid = true, .serial = cm_json_int(body, "serial", 0)};
}

static inline struct cs_store *open_store(const char *dir)
{
    struct cs_store *store;
    struct cm_err err = CM_ERR_INIT;
    struct cs_opts opts = {
        .dir = dir, .map_size = 64u << 20, .create = true, .policy = true, .verify = accept_all};
    OK(cs_open(&opts, &store, &err), err);
    return store;
}

/* tokens: "host token answer expires" each; NULL ends. */
static inline json_t *make_tokens(const char *const (*rows)[4])
{
    json_t *tokens = json_array();
    for (; (*rows)[0]; rows++)
        json_array_append_new(tokens, json_pack("{s:s,s:s,s:s,s:s,s:s}", "host", (*rows)[0], "type",
                                                "http-01", "token", (*rows)[1], "key_authorization",
                                                (*rows)[2], "expires_at", (*rows)[3]));
    return tokens;
}

static inline void put_challenge(struct cs_store *store, const char *ulid, json_t *take_tokens)
{
    static int64_t serial = 1;
    struct cs_result result;
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_STR id = cm_asprintf("challenge:%s", ulid);
    CM_AUTO_JSON doc =
        json_pack("{s:s,s:s,s:s,s:o,s:I}", "_id", id, "type", "challenge", "credential", ulid,
                  "tokens", take_tokens, "serial", (json_int_t)serial++);
    json_object_set_new(doc, "signature",
                        json_pack("{s:s,s:s,s:s}", "by", "alpha", "key",
                                  "00000000000000000000000000000000", "value", "AAAA"));
    OK(cs_put(store, doc, &result, &err), err);
    assert_int_equal(result.code, 0);
    OK(cs_commit(store, &err), err);
}
