/* The two ways a message leaves: mail and webhook, one delivery at a time each. */
#pragma once

#include "base/net/http_client.h"
#include "certmgr/config/config.h"
#include "certmgr/notify/message.h"

#define NOTICE_SECRET_MIN 16 /* characters of the webhook's secret */

enum notice_channel { NOTICE_MAIL, NOTICE_WEBHOOK, NOTICE_CHANNELS };

struct notice_sender;
/* say: words in the language that a channel is configured for; NULL = English is all there is. */
struct notice_sender *notice_sender_new(struct cm_loop *loop, struct http_client *http,
                                        const struct config_notify *config, message_say_fn say);
/* Ends what runs: its done is called with CM_ECLOSED. */
void notice_sender_free(struct notice_sender *sender);

const char *notice_channel_name(enum notice_channel channel); /* "mail", "webhook" */
bool notice_channel_on(const struct notice_sender *sender, enum notice_channel channel);
/* Where it leads, for people: addresses, or the webhook's host. */
char *notice_channel_to(const struct notice_sender *sender, enum notice_channel channel);

/* err NULL = taken by the relay or the receiver; err->next_attempt_ms: not before (Retry-After). */
typedef void (*notice_sent_fn)(void *arg, const struct cm_err *err);
/* Delivers a message (message.h) in the language of the channel.  done is called exactly once,
 * never from inside. */
void notice_send(struct notice_sender *sender, enum notice_channel channel, const json_t *message,
                 int timeout_ms, notice_sent_fn done, void *arg);
