/*
 * Open invitations of a manager: which server name may join with which secret, until when.
 *
 * Kept in invitations.json of the agent's directory, mode 0600.  The secret itself lies there (HMAC
 * needs it); it admits one server name once, and expires.
 */
#pragma once

#include <jansson.h>

#include "base/core/err.h"

#define KF_INVITES_MAX       64
#define KF_INVITE_TTL_MAX_S  (7 * 24 * 3600)
#define KF_INVITE_SECRET_LEN 16

struct kf_join {
    const char *name, *seal, *sign, *tls; /* as they will stand in the trust root */
    const char *proof;                    /* base64url */
};

/* What the server will be. */
struct kf_invite_role {
    bool standby;
    const char *url, *ui_url; /* where it will listen; NULL = nothing listens for servers */
};

/* Makes (or replaces) the invitation of a name; *ret_secret is base64url (cm_free). */
int kf_invite_make(const char *dir, const char *name, const struct kf_invite_role *role,
                   int64_t ttl_s, int64_t now_ms, char **ret_secret, int64_t *ret_expires_ms,
                   struct cm_err *err);
/* 0 when the proof is the HMAC-SHA-256 of the invitation's secret over "certmgr-join-v1", name and
 * keys, each on a line of its own.  *ret (owned): {standby?, url?, ui_url?} of the invitation. */
int kf_invite_check(const char *dir, const struct kf_join *join, int64_t now_ms, json_t **ret,
                    struct cm_err *err);
/* Forgets the invitation of a name (used up). */
int kf_invite_drop(const char *dir, const char *name, int64_t now_ms, struct cm_err *err);
