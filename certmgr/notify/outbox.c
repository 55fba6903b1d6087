/*
 * The queue is one JSON object in memory, mirrored row by row in the store; rows are written before
 * they are sent and removed after they were taken, so that a kill repeats a message at worst (same
 * id) and never loses one.
 */
#include "certmgr/notify/outbox.h"

#include <stdio.h>
#include <string.h>

#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/log.h"
#include "base/core/mem.h"

#define TABLE         "notice"
#define PREFIX        "out/"
#define KEY_MAX       64
#define SEND_MS       30000
#define LOOK_AGAIN_MS 60000 /* the wall clock may be set: look at least so often */

struct slot {
    struct outbox *outbox;
    enum notice_channel channel;
    bool busy;
    char key[KEY_MAX]; /* the row that is being sent */
};

struct outbox {
    struct cs_store *store;
    struct notice_sender *sender;
    struct cm_timer *timer;
    json_t *rows; /* {"<ulid>/<channel>": {channel, message, since, attempts, next_at, error}} */
    struct slot slot[NOTICE_CHANNELS];
    bool stopped;
};

static void pump(void *arg);

/* ---- rows ------------------------------------------------------------------------------------ */

static void row_key(const char *key, char out[KEY_MAX + 8])
{
    snprintf(out, KEY_MAX + 8, PREFIX "%s", key);
}

static void save(struct outbox *outbox, const char *key)
{
    struct cm_err err = CM_ERR_INIT;
    char name[KEY_MAX + 8];
    const json_t *row = json_object_get(outbox->rows, key);
    row_key(key, name);
    int rc = row ? cs_kv_put(outbox->store, TABLE, name, row, &err)
                 : cs_kv_del(outbox->store, TABLE, name, &err);
    if (rc != 0)
        cm_log_err(CM_LOG_WARN, "notify", &err); /* sent all the same; a restart may repeat it */
    cm_err_fini(&err);
}

static void drop(struct outbox *outbox, const char *key)
{
    char name[KEY_MAX];
    (void)cm_strcpy(name, sizeof(name), key); /* key may be the row's own */
    json_object_del(outbox->rows, name);
    save(outbox, name);
}

/* The oldest row of a channel, those not yet due left out when due is set.  Keys are ULIDs, and
 * the object keeps the order of insertion. */
static const char *first_of(const struct outbox *outbox, const char *channel, int64_t due_ms,
                            size_t *ret_count)
{
    const char *key, *found = NULL;
    json_t *row;
    size_t count = 0;
    json_object_foreach(outbox->rows, key, row)
    {
        if (strcmp(cm_json_str_or(row, "channel", ""), channel) != 0)
            continue;
        count++;
        if (!found && (due_ms == 0 || cm_json_time(row, "next_at", 0) <= due_ms))
            found = key;
    }
    if (ret_count)
        *ret_count = count;
    return found;
}

/* ---- sending --------------------------------------------------------------------------------- */

int64_t outbox_pause_ms(unsigned attempts)
{
    int64_t pause = OUTBOX_FIRST_MS;
    for (unsigned i = 1; i < attempts && pause < OUTBOX_PAUSE_MS; i++)
        pause *= 2;
    return pause < OUTBOX_PAUSE_MS ? pause : OUTBOX_PAUSE_MS;
}

static void note_failure(struct outbox *outbox, const char *key, json_t *row,
                         const struct cm_err *err)
{
    int64_t now = cm_now_ms();
    unsigned attempts = (unsigned)cm_json_int(row, "attempts", 0) + 1;
    int64_t next = now + outbox_pause_ms(attempts);
    if (err->next_attempt_ms > next)
        next = err->next_attempt_ms;
    if (next > now + OUTBOX_GIVE_UP_MS / 2)
        next = now + OUTBOX_GIVE_UP_MS / 2; /* a Retry-After in the far future */
    cm_log_err(CM_LOG_WARN, "notify", err);
    if (now - cm_json_time(row, "since", now) >= OUTBOX_GIVE_UP_MS) {
        cm_log(CM_LOG_ERROR, "notify", NULL, "notice %s is given up after %u attempts by %s",
               cm_json_str_or(cm_json_obj(row, "message"), "id", ""), attempts,
               cm_json_str_or(row, "channel", ""));
        drop(outbox, key);
        return;
    }
    cm_json_set_int(row, "attempts", attempts);
    cm_json_set_time(row, "next_at", next);
    cm_json_set(row, "error", cm_err_to_json(err));
    save(outbox, key);
}

static void on_sent(void *arg, const struct cm_err *err)
{
    struct slot *slot = arg;
    struct outbox *outbox = slot->outbox;
    slot->busy = false;
    if (outbox->stopped)
        return;
    json_t *row = json_object_get(outbox->rows, slot->key);
    if (row && err)
        note_failure(outbox, slot->key, row, err);
    else if (row)
        drop(outbox, slot->key);
    cm_timer_start(outbox->timer, 0);
}

static void send_due(struct slot *slot)
{
    struct outbox *outbox = slot->outbox;
    const char *key =
        slot->busy ? NULL : first_of(outbox, notice_channel_name(slot->channel), cm_now_ms(), NULL);
    if (!key || cm_strcpy(slot->key, sizeof(slot->key), key) != 0)
        return;
    slot->busy = true;
    notice_send(outbox->sender, slot->channel,
                json_object_get(json_object_get(outbox->rows, key), "message"), SEND_MS, on_sent,
                slot);
}

static void pump(void *arg)
{
    struct outbox *outbox = arg;
    int64_t now = cm_now_ms(), pause = LOOK_AGAIN_MS;
    const char *key;
    json_t *row;
    if (outbox->stopped)
        return;
    for (size_t i = 0; i < NOTICE_CHANNELS; i++)
        if (notice_channel_on(outbox->sender, outbox->slot[i].channel))
            send_due(&outbox->slot[i]);
    json_object_foreach(outbox->rows, key, row)
    {
        int64_t left = cm_json_time(row, "next_at", 0) - now;
        if (left > 0 && left < pause)
            pause = left;
    }
    if (json_object_size(outbox->rows) > 0)
        cm_timer_start(outbox->timer, pause);
}

/* ---- public ---------------------------------------------------------------------------------- */

static int on_row(void *arg, const char *key, const json_t *value)
{
    struct outbox *outbox = arg;
    if (strlen(key) < KEY_MAX && json_is_object(value))
        json_object_set_new(outbox->rows, key + strlen(PREFIX), json_deep_copy(value));
    return 0;
}

/* A channel that was taken out of the configuration has no use for what waits for it. */
static void drop_unreachable(struct outbox *outbox)
{
    CM_AUTO_JSON rows = json_copy(outbox->rows);
    const char *key;
    json_t *row;
    json_object_foreach(rows, key, row)
    {
        bool on = false;
        for (size_t i = 0; i < NOTICE_CHANNELS; i++)
            on = on || (notice_channel_on(outbox->sender, (enum notice_channel)i) &&
                        strcmp(cm_json_str_or(row, "channel", ""),
                               notice_channel_name((enum notice_channel)i)) == 0);
        if (!on)
            drop(outbox, key);
    }
}

struct outbox *outbox_new(struct cm_loop *loop, struct cs_store *store,
                          struct notice_sender *sender)
{
    struct outbox *outbox = cm_calloc(1, sizeof(*outbox));
    outbox->store = store;
    outbox->sender = sender;
    outbox->rows = json_object();
    outbox->timer = cm_timer_new(loop, pump, outbox);
    for (size_t i = 0; i < NOTICE_CHANNELS; i++)
        outbox->slot[i] = (struct slot){.outbox = outbox, .channel = (enum notice_channel)i};
    cs_kv_each(store, TABLE, PREFIX, on_row, outbox);
    drop_unreachable(outbox);
    if (json_object_size(outbox->rows) > 0)
        cm_timer_start(outbox->timer, 0);
    return outbox;
}

void outbox_stop(struct outbox *outbox)
{
    outbox->stopped = true;
    cm_timer_stop(outbox->timer);
}

void outbox_free(struct outbox *outbox)
{
    if (!outbox)
        return;
    cm_timer_free(outbox->timer);
    json_decref(outbox->rows);
    cm_free(outbox);
}

static void on_durable(void *arg, int code, const struct cm_err *err)
{
    struct outbox *outbox = arg;
    (void)code; /* a store that cannot be written ends the process; until then people are told */
    (void)err;
    if (!outbox->stopped)
        cm_timer_start(outbox->timer, 0);
}

static void add_to(struct outbox *outbox, const char *channel, const json_t *message)
{
    char key[KEY_MAX];
    size_t count = 0;
    const char *oldest = first_of(outbox, channel, 0, &count);
    if (oldest && count >= OUTBOX_MAX) {
        cm_log(CM_LOG_ERROR, "notify", NULL,
               "%zu notices wait for delivery by %s: the oldest is dropped", count, channel);
        drop(outbox, oldest);
    }
    snprintf(key, sizeof(key), "%.26s/%s", cm_json_str_or(message, "id", ""), channel);
    json_t *row = json_object();
    cm_json_set_str(row, "channel", channel);
    cm_json_set(row, "message", json_deep_copy(message));
    cm_json_set_time(row, "since", cm_now_ms());
    cm_json_set(outbox->rows, key, row);
    save(outbox, key);
}

void outbox_add(struct outbox *outbox, const json_t *message)
{
    for (size_t i = 0; i < NOTICE_CHANNELS; i++)
        if (notice_channel_on(outbox->sender, (enum notice_channel)i))
            add_to(outbox, notice_channel_name((enum notice_channel)i), message);
    cs_after_commit(outbox->store, on_durable, outbox);
}

json_t *outbox_status(const struct outbox *outbox)
{
    json_t *status = json_object(), *row;
    const char *key;
    cm_json_set_int(status, "waiting", (int64_t)json_object_size(outbox->rows));
    json_object_foreach(outbox->rows, key, row)
    {
        const json_t *error = cm_json_obj(row, "error");
        if (!error)
            continue;
        json_t *failed = json_object();
        cm_json_set_str(failed, "channel", cm_json_str(row, "channel"));
        cm_json_set_int(failed, "attempts", cm_json_int(row, "attempts", 0));
        cm_json_set_time(failed, "next_at", cm_json_time(row, "next_at", 0));
        cm_json_set_str(failed, "error", cm_json_str(error, "what"));
        cm_json_set(status, "failed", failed);
        break;
    }
    return status;
}
