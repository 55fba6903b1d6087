/*
 * Messages on their way: kept in the store until the relay or the receiver took them, tried again
 * with growing pauses, given up after two days.  A message goes to each channel by itself.
 */
#pragma once

#include "certmgr/notify/channel.h"
#include "certstore/store.h"

#define OUTBOX_MAX        100     /* messages waiting per channel; beyond, the oldest is dropped */
#define OUTBOX_FIRST_MS   10000   /* pause after the first failure; doubled each time … */
#define OUTBOX_PAUSE_MS   3600000 /* … up to this */
#define OUTBOX_GIVE_UP_MS 172800000 /* age at which a message is given up */

struct outbox;
/* Reads what waits in the store (table "notice", keys "out/…") and goes on with it. */
struct outbox *outbox_new(struct cm_loop *loop, struct cs_store *store,
                          struct notice_sender *sender);
/* After notice_sender_free() and cs_close(). */
void outbox_free(struct outbox *outbox);
/* Nothing is written or sent any more (call it before notice_sender_free()). */
void outbox_stop(struct outbox *outbox);
/* Puts a message into the queue of every channel that is on; sent once it is durable. */
void outbox_add(struct outbox *outbox, const json_t *message);
/* {waiting, failed?: {channel, attempts, next_at, error}} (owned). */
json_t *outbox_status(const struct outbox *outbox);
/* Pause in ms after so many failures (1 = the first). */
int64_t outbox_pause_ms(unsigned attempts);
