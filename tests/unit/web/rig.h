/*
 * The web interface on a real HTTP listener and a real store in a fresh directory; the client is a
 * raw socket in the same thread, so a test is a straight line.
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
#include "base/net/http_server.h"
#include "tests/unit/web/doubles.h"
#include "web-ui/session.h"
#include "web-ui/user.h"
#include "web-ui/web.h"

#define ULID     "01J00000000000000000000000"
#define USER     "alice"
#define PASSWORD "correct horse battery"
#define SAME     "Sec-Fetch-Site: same-origin\r\n"
#define FORM     "Content-Type: application/x-www-form-urlencoded\r\n"
#define JSON     "Content-Type: application/json\r\n"

struct rig {
    char dir[200], address[64], socket[240];
    struct cm_loop *loop;
    struct cs_store *store;
    struct web *web;
    struct http_listener *tcp, *unix_socket;
    char cookie[80];            /* "Cookie: …\r\n" of the signed-in user, or "" */
    char csrf[SESSION_ID_TEXT]; /* its form token */
};
struct reply {
    int status;
    char *text; /* head and body */
    const char *body;
};

void rig_start(struct rig *rig);
void rig_stop(struct rig *rig);
/* A user and a session without the cost of hashing. */
void rig_sign_in(struct rig *rig);
/* Stores a document of any serial above the last one. */
void rig_put(struct rig *rig, json_t *take_doc);
/* credential:<ulid> with one host name. */
void rig_credential(struct rig *rig, const char *ulid, const char *host, const char *status,
                    const char *not_after, const char *server);
/* account:<name> with a sealed key. */
void rig_account(struct rig *rig, const char *name);
/* A line of the step log, committed; number: 16 digits. */
void rig_step(struct rig *rig, const char *ulid, const char *number, const char *text);

/* One exchange; headers are lines ending in CRLF, or NULL; body NULL = none. */
void rig_send(struct rig *rig, bool unix_socket, const char *method, const char *target,
              const char *headers, const char *body, struct reply *ret);
/* With the cookie of the signed-in user. */
void rig_get(struct rig *rig, const char *target, struct reply *ret);
/* A form of a page of ours: cookie, fetch metadata, token. */
void rig_post(struct rig *rig, const char *target, const char *body, struct reply *ret);
void reply_fini(struct reply *reply);
/* Value of a reply header (first one), borrowed until the next call; NULL = absent. */
const char *reply_header(const struct reply *reply, const char *name);
/* Turns the loop until nothing is pending for some turns (callbacks of vanished clients). */
void rig_settle(struct rig *rig);
/* Starts an exchange without waiting for its reply; the socket is the caller's. */
int rig_open(struct rig *rig, bool unix_socket, const char *method, const char *target,
             const char *headers, const char *body);
/* What has come on it by now, or within some turns of the loop, until `wanted` is in it (NULL:
 * until the server closes).  Appends to in; false = did not come. */
bool rig_read(struct rig *rig, int fd, struct cm_buf *in, const char *wanted);
/* Starts an exchange and closes the client at once. */
void rig_send_and_vanish(struct rig *rig, const char *method, const char *target,
                         const char *headers, const char *body);

#define assert_has(got, needle)                                                                    \
    do {                                                                                           \
        if (!strstr((got)->text, (needle)))                                                        \
            fail_msg("missing in the reply: %s\n%s", (needle), (got)->text);                       \
    } while (0)
#define assert_has_not(got, needle)                                                                \
    do {                                                                                           \
        if (strstr((got)->text, (needle)))                                                         \
            fail_msg("must not be in the reply: %s\n%s", (needle), (got)->text);                   \
    } while (0)
#define assert_status(got, wanted)                                                                 \
    do {                                                                                           \
        if ((got)->status != (wanted))                                                             \
            fail_msg("status %d, not %d\n%s", (got)->status, (wanted), (got)->text);               \
    } while (0)
