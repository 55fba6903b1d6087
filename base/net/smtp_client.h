/*
 * Outgoing mail: one plain text message at a time to a relay, by libcurl on a worker thread (its
 * SMTP waits for the answer to QUIT while it closes a connection, which the loop must not).
 *
 * smtps:// is TLS from the first byte; smtp:// demands STARTTLS unless the relay is on loopback;
 * certificates are checked.  Texts are UTF-8; the subject is encoded by RFC 2047, the body by
 * curl's MIME interface.
 */
#pragma once

#include "base/core/buf.h"
#include "base/core/err.h"
#include "base/net/loop.h"

#define SMTP_TO_MAX      16
#define SMTP_ADDRESS_MAX 254 /* RFC 5321 4.5.3.1.3 */
#define SMTP_SUBJECT_MAX 400 /* bytes; longer ones are cut */
#define SMTP_TEXT_MAX    (256u << 10)
#define SMTP_TIMEOUT_MS  30000 /* whole delivery */

struct smtp_mail {
    const char *url;        /* "smtp://host[:port]" or "smtps://host[:port]" */
    const char *user;       /* NULL or "" = no login */
    const char *password;   /* with user */
    const char *ca_file;    /* PEM file of the accepted CAs; NULL = the system's */
    const char *from;       /* bare address */
    const char *const *to;  /* bare addresses, NULL-terminated, at most SMTP_TO_MAX */
    const char *subject;    /* UTF-8, control bytes become blanks */
    const char *text;       /* UTF-8, lines end in \n */
    const char *message_id; /* "left@right", without <> */
    int timeout_ms;         /* 0 = SMTP_TIMEOUT_MS */
};

#define SMTP_QUEUE_MAX 16 /* mails that wait for the one under way */

/* Called exactly once, never from inside smtp_send().  err NULL = the relay took the mail. */
typedef void (*smtp_done_fn)(void *arg, const struct cm_err *err);

struct smtp_client;
struct smtp_client *smtp_client_new(struct cm_loop *loop);
/* Ends what runs and waits: done gets CM_ECLOSED.  The loop must turn until the worker has noticed
 * (about a second). */
void smtp_client_free(struct smtp_client *client);
/* Everything of mail is copied.  Returns 0, or CM_EINVAL/CM_ELIMIT for what can never be sent and
 * CM_EBUSY when the queue is full (done is not called then). */
int smtp_send(struct smtp_client *client, const struct smtp_mail *mail, smtp_done_fn done,
              void *arg, struct cm_err *err);

/* Is it a bare address that can stand in a command and a header: printable ASCII, one '@', none of
 * < > ( ) , ; : " \ and blanks? */
bool smtp_address_ok(const char *address);
/* Appends an unstructured header value: as it is when plain ASCII, else RFC 2047 encoded words,
 * folded, never splitting a character. */
void smtp_header_text(struct cm_buf *out, const char *text);
