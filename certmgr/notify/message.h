/*
 * One message: the events of one look (or a test) as JSON for the webhook, as subject and text for
 * mail, and the webhook's signature.  Pure.
 */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#define MESSAGE_EVENTS_MAX    100          /* the others are counted in `more` */
#define MESSAGE_BYTES_MAX     (192u << 10) /* of all events; it must fit a row of the store */
#define MESSAGE_TEXT_MAX      (128u << 10)
#define MESSAGE_SIGNATURE_MAX 100

/* {type: "certmgr.notice", version: 1, id (ULID), at, server, test, events: […], more} (owned).
 * Each event gets its link: ui_url + path.  events is borrowed. */
json_t *message_new(const json_t *events, const char *server, const char *ui_url, int64_t now_ms);
/* The same shape with one event that says it is a test asked for by `who`. */
json_t *message_test(const char *who, const char *server, const char *ui_url, int64_t now_ms);

/* Says an English sentence in this language: owned (cm_free), NULL when it has no words for it. */
typedef char *(*message_say_fn)(const char *language, const char *english);
/* The language of who reads it; say NULL: as it is written, English. */
struct message_tongue {
    const char *language; /* "en", "ja" */
    message_say_fn say;
};
/* The message as its reader gets it: member language, and the texts of the events in it where there
 * are words for them.  Owned. */
json_t *message_in(const json_t *message, const struct message_tongue *tongue);
/* Of a message in that language; cm_free. */
char *message_subject(const json_t *message, const struct message_tongue *tongue);
char *message_text(const json_t *message, const struct message_tongue *tongue);

/* "t=<unix>,v1=<hex>": HMAC-SHA-256 keyed with the secret over "<unix>.<body>". */
void message_sign(const char *secret, int64_t unix_s, const char *body, size_t len,
                  char out[MESSAGE_SIGNATURE_MAX]);
