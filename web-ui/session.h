/*
 * Sessions: a 256-bit random cookie of which only the SHA-256 is stored (table "session").
 *
 * Idle WEB_SESSION_IDLE_S, absolute WEB_SESSION_MAX_S; a new id at every login.  The form token is
 * derived from the cookie, so nothing else is stored and nobody without the cookie can make it.
 */
#pragma once

#include "base/core/bytes.h"
#include "base/net/http_parse.h"
#include "certstore/store.h"

#define SESSION_COOKIE     "__Host-certmgr"
#define SESSION_ID_TEXT    44 /* base64url of 32 bytes + NUL */
#define SESSION_COOKIE_MAX 200
#define SESSION_SEEN_S     60 /* the last use is written at most so often */
#define WEB_USER_MAX       65 /* user name with NUL */

struct web_session {
    bool valid;
    bool root; /* administrator over the Unix socket: no cookie, no form token */
    char user[WEB_USER_MAX];
    char key[CM_SHA256_HEX];    /* table key */
    char csrf[SESSION_ID_TEXT]; /* token of every form */
};

/* Makes a session; cookie = the Set-Cookie value.  Drops expired ones, and the oldest beyond
 * WEB_SESSIONS_MAX.  The commit is the caller's business. */
int web_session_start(struct cs_store *store, const char *user, char cookie[SESSION_COOKIE_MAX],
                      struct cm_err *err);
/* The session of a request, or valid = false.  Writes the time of last use now and then. */
void web_session_find(struct cs_store *store, const struct http_head *head,
                      struct web_session *ret);
/* Is this session (found some time ago) still valid?  Does not count as use. */
bool web_session_alive(struct cs_store *store, const struct web_session *session);
int web_session_end(struct cs_store *store, const struct web_session *session, struct cm_err *err);
/* Ends every session of a user (new password, sign out everywhere). */
void web_session_end_all(struct cs_store *store, const char *user);
/* Ends the one of the list with this id, if it is the same user's; false: there is none such. */
bool web_session_end_one(struct cs_store *store, const struct web_session *session, const char *id);
/* The living sessions of a user, newest use first: [{id, created_at, seen_at, current}] (owned).
 * The id is the key in the table, which says nothing of the cookie. */
json_t *web_session_list(struct cs_store *store, const struct web_session *session);
/* Set-Cookie value that removes the cookie. */
const char *web_session_gone(void);
/* Ends every session of this user, as `by` asks; false = there is no such user.  Logged. */
bool web_session_end_user(struct cs_store *store, const struct web_session *by, const char *user);
/* Everybody who may sign in, by name: [{name, role, created_at, sessions, seen_at?}], with the
 * number of living sessions and their newest use (owned). */
json_t *web_session_people(struct cs_store *store);
