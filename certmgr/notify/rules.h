/*
 * What people must be told: documents and the time in, open conditions out.  Pure: no clock, no
 * store, no network.
 *
 * A condition is an object {kind, severity: "warning"|"critical", level, title, where, what,
 * because?: [text], hint?, since?, next_at?, path, hold?} under a key that stays the same as long
 * as it is the same trouble ("order:<ulid>").  A higher level is worse.  hold: it stays open when
 * it is, but does not open (a decision is under way).
 */
#pragma once

#include "keyfile/trust.h"

#define NOTICE_KEY_MAX  180
#define NOTICE_OPEN_MAX 2000 /* conditions known at a time; what is beyond waits */

struct notice_rules {
    int64_t now_ms;
    int64_t deploy_after_ms; /* a deployment may take so long */
    int64_t silent_after_ms; /* a server may say nothing for so long */
    const struct kf_trust
        *trust; /* servers that were removed are not waited for; NULL = all count */
};

/* Adds what is open to `open` ({key: condition}), and lowers *look_ms to the time after which the
 * same documents may give more.  receipts: those of the credential. */
void notice_rules_credential(const struct notice_rules *rules, const json_t *credential,
                             const json_t *receipts, json_t *open, int64_t *look_ms);
/* watched: the manager has been up long enough for the server to have come back. */
void notice_rules_server(const struct notice_rules *rules, const char *name, int64_t last_seen_ms,
                         bool watched, json_t *open);
/* The manager's own state: how full its store is, what the scrub found, the hold after a restore,
 * who keeps its files from being used again, what peers brought that was refused. */
struct notice_store {
    int map_percent;
    bool disk_low; /* fewer bytes are free than CS_DISK_WARN: disk_free */
    int64_t disk_free;
    size_t scrub_problems;
    int64_t held_since_ms; /* 0 = not on hold */
    int64_t stuck_reader;  /* process that keeps an old snapshot; 0 = none */
    const json_t *refused; /* newest entry of the list of refused documents; NULL = it is empty */
    size_t refused_count;
};
void notice_rules_store(const struct notice_store *store, json_t *open);
/* key: "alarm/…"; alarm: what the engine (certmgr/engine/guard.h) or the fleet wrote,
 * which names its title and kind (certmgr/fleet/alarm.h). */
void notice_rules_alarm(const char *key, const json_t *alarm, json_t *open);
/* told: what the store knows of a second manager (certmgr/fleet/seek.h), NULL = nothing. */
void notice_rules_second(const json_t *told, json_t *open);
void notice_rules_trust(const struct notice_rules *rules, int64_t expires_ms, json_t *open);
