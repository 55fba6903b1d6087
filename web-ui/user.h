/*
 * Administrators (table "user") and the one-time set-up links that make them (table "setup").
 *
 * A link is printed locally, works once and for 24 hours; only its SHA-256 is stored.  Using one
 * for a name that exists sets a new password: whoever can print links is root here anyway.
 */
#pragma once

#include "certstore/store.h"

#define SETUP_TOKEN_S   86400
#define SETUP_LINKS_MAX 50

/* Letters, digits, ". _ - @", 1 to 64 of them. */
bool web_user_name_ok(const char *name);
/* The stored hash of a user's password; NULL = no such user (cm_free). */
char *web_user_hash(struct cs_store *store, const char *name);
int web_user_put(struct cs_store *store, const char *name, const char *encoded, struct cm_err *err);
/* Is the token known and not expired? */
bool web_setup_ok(struct cs_store *store, const char *token);
/* Takes the token out of the store: CM_ENOENT when somebody was faster. */
int web_setup_use(struct cs_store *store, const char *token, struct cm_err *err);
