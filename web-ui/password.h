/*
 * Passwords: Argon2id (64 MiB, 3 passes, 1 lane; RFC 9106) on worker threads.
 *
 * At most WEB_LOGIN_JOBS_MAX run at a time and PASSWORD_QUEUE_MAX wait: otherwise a login page is a
 * memory bomb.
 */
#pragma once

#include "base/net/loop.h"

#define PASSWORD_QUEUE_MAX   16
#define PASSWORD_BYTES_MAX   1024
#define PASSWORD_CHARS_MIN   12
#define PASSWORD_ENCODED_MAX 160

struct web_passwords;
/* matches: the password is right.  encoded: the hash to store (of web_password_hash(), or of a
 * check whose stored parameters are out of date), else NULL.  err: CM_ECLOSED at shutdown. */
typedef void (*web_password_fn)(void *arg, bool matches, const char *encoded,
                                const struct cm_err *err);

struct web_passwords *web_passwords_new(struct cm_loop *loop);
/* Waiting jobs end with CM_ECLOSED now, running ones when their worker is done (the loop must still
 * turn until then). */
void web_passwords_free(struct web_passwords *pool);
/* CM_EBUSY when the queue is full; then fn is not called.  The password is copied and wiped. */
int web_password_hash(struct web_passwords *pool, const char *password, web_password_fn fn,
                      void *arg, struct cm_err *err);
/* encoded NULL (no such user): takes as long and does not match. */
int web_password_check(struct web_passwords *pool, const char *password, const char *encoded,
                       web_password_fn fn, void *arg, struct cm_err *err);
