/* What the tests of notices share: credentials and receipts from a few words, and their judgement.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "certmgr/notify/rules.h"

#define ULID      "01J00000000000000000000000"
#define KEY(kind) kind ":" ULID
#define HOUR      INT64_C(3600000)
#define DAY       (24 * HOUR)
#define NOW       INT64_C(1795313802000) /* 2026-11-22T02:16:42Z */
#define PRINT     "aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11"

static inline const char *level_text(const json_t *open, const char *key)
{
    static char text[40];
    const json_t *c = json_object_get(open, key);
    snprintf(text, sizeof(text), "%s%d", cm_json_bool(c, "hold", false) ? "hold " : "",
             (int)cm_json_int(c, "level", 0));
    return text;
}

static inline json_t *error_object(const char *what)
{
    json_t *error =
        json_pack("{s:s,s:s,s:[s,s],s:s}", "code", "peer", "what", what, "causes", "the CA refused",
                  "the name has no address", "hint", "Add an A record");
    cm_json_set_time(error, "next_attempt_at", NOW + HOUR);
    return error;
}

/* A 90-day certificate of www.例え.jp for bravo, issued `age` days ago. */
static inline json_t *credential(const char *status, int64_t age_days)
{
    json_t *c =
        json_pack("{s:s,s:s,s:s,s:[s],s:s,s:s,s:i,s:[s]}", "_id", "credential:" ULID, "type",
                  "credential", "status", status, "host_names_ascii", "www.xn--r8jz45g.jp",
                  "provider", "acme", "account", "ca", "attempts", 0, "servers", "bravo");
    if (age_days >= 0) {
        cm_json_set_time(c, "not_before", NOW - age_days * DAY);
        cm_json_set_time(c, "not_after", NOW + (90 - age_days) * DAY);
        cm_json_set_time(c, "issued_at", NOW - age_days * DAY);
        cm_json_set_str(c, "chain", "PEM");
        cm_json_set_str(c, "fingerprint", PRINT);
        cm_json_set_int(c, "renew_days", 30);
    }
    return c;
}

static inline json_t *failed(json_t *c, int attempts)
{
    cm_json_set_str(c, "status", "error");
    cm_json_set_int(c, "attempts", attempts);
    cm_json_set(c, "error", error_object("The CA refused the order"));
    return c;
}

static inline json_t *receipt(const char *server, const char *state, const char *fingerprint)
{
    json_t *r =
        json_pack("{s:s,s:s,s:s}", "server", server, "state", state, "fingerprint", fingerprint);
    cm_json_set_time(r, "at", NOW - HOUR);
    if (strcmp(state, "failed") == 0)
        cm_json_set(r, "error", error_object("The reload command failed"));
    return r;
}

/* What is open for one credential at a time (owned); takes both. */
static inline json_t *judge_at(int64_t now, json_t *take_credential, json_t *take_receipts,
                               int64_t *look)
{
    struct notice_rules rules = {.now_ms = now, .deploy_after_ms = HOUR, .silent_after_ms = DAY};
    json_t *open = json_object();
    int64_t unused = INT64_MAX;
    notice_rules_credential(&rules, take_credential, take_receipts, open, look ? look : &unused);
    json_decref(take_credential);
    json_decref(take_receipts);
    return open;
}

static inline json_t *served(void)
{
    return json_pack("[o]", receipt("bravo", "served", PRINT));
}
