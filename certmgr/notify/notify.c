/*
 * One look: the credentials in batches (one per loop turn, so that a store of ten thousand stalls
 * nobody), then servers and trust root, then the comparison with what was told.  Credentials are
 * only read again when the store has changed or a threshold has passed.
 */
#include "certmgr/notify/notify.h"

#include <string.h>

#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "certmgr/notify/message.h"
#include "certmgr/notify/notice.h"
#include "certmgr/notify/outbox.h"
#include "certmgr/notify/rules.h"

#define TABLE       "notice"
#define OPEN        "open/"
#define SEEN        "seen/"
#define BATCH       64 /* credentials looked at per loop turn */
#define RECEIPTS    400
#define FAR         INT64_MAX
#define TESTS_MAX   4  /* test deliveries at a time */
#define SEEN_SHARES 24 /* last_seen is written when it moved by this part of silent_after */

struct notifier {
    struct notifier_opts opts;
    struct notice_sender *sender;
    struct outbox *outbox;
    struct cm_timer *timer;
    json_t *rows;  /* what was told, as stored */
    json_t *found; /* of all credentials at the last walk */
    json_t *seen;  /* {server: ms} */
    json_t *seen_stored;
    int64_t started_ms, last_ms;
    int64_t walked_seq, look_ms; /* of the last walk */
    /* the walk under way */
    json_t *walk; /* conditions so far */
    int64_t walk_seq, walk_look_ms;
    char after[CS_ID_MAX + 1];
    unsigned tests;
};

static struct notice_rules rules_of(const struct notifier *n, int64_t now_ms)
{
    return (struct notice_rules){.now_ms = now_ms,
                                 .deploy_after_ms = n->opts.config->deploy_after_s * INT64_C(1000),
                                 .silent_after_ms = n->opts.config->silent_after_s * INT64_C(1000),
                                 .trust = n->opts.trust(n->opts.trust_arg)};
}

static void put(struct notifier *n, const char *prefix, const char *key, const json_t *value)
{
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_STR name = cm_asprintf("%s%s", prefix, key);
    int rc = value && !json_is_null(value) ? cs_kv_put(n->opts.store, TABLE, name, value, &err)
                                           : cs_kv_del(n->opts.store, TABLE, name, &err);
    if (rc != 0)
        cm_log_err(CM_LOG_WARN, "notify", &err);
    cm_err_fini(&err);
}

/* ---- servers --------------------------------------------------------------------------------- */

/* A parked feed is a word said now.  Behind a hub nobody's feed can be seen: silence there is no
 * notice (docs/scaling.md); what does not reach a server is told by its missing receipts. */
static void hear(struct notifier *n, int64_t now_ms)
{
    CM_AUTO_JSON peers = n->opts.peers ? n->opts.peers(n->opts.peers_arg) : NULL;
    size_t i;
    json_t *peer;
    json_array_foreach(peers, i, peer)
    {
        const char *name = cm_json_str(peer, "peer");
        bool unseen = cm_json_str(peer, "through") != NULL;
        int64_t at = unseen || cm_json_bool(peer, "feed", false)
                         ? now_ms
                         : cm_json_time(peer, "last_seen_at", 0);
        if (name && at > cm_json_int(n->seen, name, 0))
            cm_json_set_int(n->seen, name, at);
    }
}

/* Written now and then only: an hour of 24 does not matter after a restart. */
static void keep_seen(struct notifier *n, const char *name, int64_t step_ms)
{
    int64_t at = cm_json_int(n->seen, name, 0), stored = cm_json_int(n->seen_stored, name, 0);
    if (stored != 0 && at >= stored && at - stored < step_ms)
        return;
    CM_AUTO_JSON row = json_object();
    cm_json_set_time(row, "at", at);
    put(n, SEEN, name, row);
    cm_json_set_int(n->seen_stored, name, at);
}

static void forget_gone(struct notifier *n, const struct kf_trust *trust)
{
    CM_AUTO_JSON before = json_copy(n->seen);
    const char *name;
    json_t *value;
    json_object_foreach(before, name, value)
    {
        const struct kf_server *server = kf_trust_server(trust, name);
        if (server && server->state == KF_ACTIVE)
            continue;
        json_object_del(n->seen, name);
        if (json_object_del(n->seen_stored, name) == 0)
            put(n, SEEN, name, NULL);
    }
}

static void look_at_servers(struct notifier *n, const struct notice_rules *rules, json_t *open)
{
    int64_t grace =
        rules->silent_after_ms < NOTIFY_GRACE_MS ? rules->silent_after_ms : NOTIFY_GRACE_MS;
    bool watched = rules->now_ms - n->started_ms > grace;
    hear(n, rules->now_ms);
    forget_gone(n, rules->trust);
    for (size_t i = 0; i < kf_trust_count(rules->trust); i++) {
        const struct kf_server *server = kf_trust_at(rules->trust, i);
        if (server->state != KF_ACTIVE || strcmp(server->name, n->opts.self) == 0)
            continue;
        int64_t seen = cm_json_int(n->seen, server->name, 0);
        if (seen == 0 || seen > rules->now_ms) /* new, or the clock was set back: from here */
            cm_json_set_int(n->seen, server->name, rules->now_ms);
        keep_seen(n, server->name, rules->silent_after_ms / SEEN_SHARES);
        notice_rules_server(rules, server->name, cm_json_int(n->seen, server->name, 0), watched,
                            open);
    }
}

static int on_alarm(void *arg, const char *key, const json_t *value)
{
    notice_rules_alarm(key, value, arg);
    return 0;
}

/* What peers brought.  What a removed server wrote is in the list as well, but that is no news. */
static void count_refused(const json_t *list, struct notice_store *store)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *entry = json_array_get(list, i);
        const char *reason = cm_json_str_or(entry, "reason", "");
        if (strncmp(reason, CS_REJUDGE_REASON, strlen(CS_REJUDGE_REASON)) == 0)
            continue;
        if (store->refused_count++ == 0)
            store->refused = entry;
    }
}

static void look_at_store(const struct notifier *n, json_t *open)
{
    struct cs_stat stat;
    CM_AUTO_JSON scrub = cs_scrub_status(n->opts.store);
    CM_AUTO_JSON hold = cs_kv_get(n->opts.store, "state", "hold"); /* certmgr/fleet/hold.h */
    bool held = hold && !json_object_get(hold, "released_at");
    struct notice_store store = {.scrub_problems = json_array_size(cm_json_arr(scrub, "problems")),
                                 .held_since_ms = held ? cm_json_time(hold, "since", 0) : 0};
    CM_AUTO_JSON refused = NULL;
    if (cs_stat(n->opts.store, &stat, NULL) == 0) {
        store.map_percent = stat.map_percent;
        store.disk_low = stat.disk_free < CS_DISK_WARN;
        store.disk_free = stat.disk_free;
        store.stuck_reader = stat.stuck_reader;
        refused = stat.refused > 0 ? cs_quarantine(n->opts.store) : NULL;
    }
    count_refused(refused, &store);
    notice_rules_store(&store, open);
    cs_kv_each(n->opts.store, "budget", "alarm/", on_alarm, open);
    cs_kv_each(n->opts.store, "state", "alarm/", on_alarm, open); /* certmgr/fleet/alarm.h */
}

/* ---- one look -------------------------------------------------------------------------------- */

/* All but the credentials. */
static void look_around(struct notifier *n, int64_t now_ms, json_t *open)
{
    struct notice_rules rules = rules_of(n, now_ms);
    look_at_servers(n, &rules, open);
    look_at_store(n, open);
    CM_AUTO_JSON second = cs_kv_get(n->opts.store, "state", "second_manager");
    notice_rules_second(second, open);
    notice_rules_trust(&rules, kf_trust_expires_ms(rules.trust), open);
}

static void compare(struct notifier *n)
{
    int64_t now = cm_now_ms();
    CM_AUTO_JSON open = json_copy(n->found);
    CM_AUTO_JSON changed = json_object();
    look_around(n, now, open);
    CM_AUTO_JSON events =
        notice_update(n->rows, open, now, n->opts.config->remind_after_s * INT64_C(1000), changed);
    const char *key;
    json_t *row;
    json_object_foreach(changed, key, row)
    {
        put(n, OPEN, key, row);
    }
    if (json_array_size(events) > 0) {
        CM_AUTO_JSON message = message_new(events, n->opts.self, n->opts.ui_url, now);
        outbox_add(n->outbox, message);
    }
    n->last_ms = now;
    cm_timer_start(n->timer, n->opts.config->check_interval_s * INT64_C(1000));
}

struct batch {
    char id[BATCH][CS_ID_MAX + 1];
    size_t count;
};

static int on_credential(void *arg, const char *key, const char *id)
{
    struct batch *batch = arg;
    (void)key;
    (void)cm_strcpy(batch->id[batch->count++], CS_ID_MAX + 1, id);
    return batch->count == BATCH;
}

struct receipts {
    struct cs_store *store;
    json_t *list;
};

static int on_part(void *arg, const char *key, const char *id)
{
    struct receipts *receipts = arg;
    (void)key;
    if (strncmp(id, "receipt:", 8) != 0 || json_array_size(receipts->list) >= RECEIPTS)
        return 0;
    json_t *body = cs_get_body(receipts->store, id);
    if (body)
        json_array_append_new(receipts->list, body);
    return 0;
}

static void look_at_credential(struct notifier *n, const struct notice_rules *rules, const char *id)
{
    CM_AUTO_JSON body = cs_get_body(n->opts.store, id);
    const char *ulid = strchr(id, ':');
    if (!body || !ulid)
        return;
    CM_AUTO_JSON list = json_array();
    struct receipts receipts = {.store = n->opts.store, .list = list};
    cs_each(n->opts.store, CS_BY_CREDENTIAL, ulid + 1, NULL, NULL, on_part, &receipts);
    notice_rules_credential(rules, body, list, n->walk, &n->walk_look_ms);
}

static void walk_on(struct notifier *n)
{
    struct notice_rules rules = rules_of(n, cm_now_ms());
    struct batch *batch = cm_calloc(1, sizeof(*batch));
    cs_each(n->opts.store, CS_BY_TYPE, "credential", n->after[0] ? "credential" : NULL,
            n->after[0] ? n->after : NULL, on_credential, batch);
    for (size_t i = 0; i < batch->count; i++)
        look_at_credential(n, &rules, batch->id[i]);
    bool more = batch->count == BATCH;
    if (more)
        (void)cm_strcpy(n->after, sizeof(n->after), batch->id[BATCH - 1]);
    cm_free(batch);
    if (more) {
        cm_timer_start(n->timer, 0);
        return;
    }
    json_decref(n->found);
    n->found = n->walk;
    n->walk = NULL;
    n->walked_seq = n->walk_seq;
    n->look_ms = n->walk_look_ms;
    compare(n);
}

/* Without a channel credentials are not looked at (they show their own state), and nothing is noted
 * as told. */
static bool tells_anybody(const struct notifier *n)
{
    return notice_channel_on(n->sender, NOTICE_MAIL) ||
           notice_channel_on(n->sender, NOTICE_WEBHOOK);
}

static void on_timer(void *arg)
{
    struct notifier *n = arg;
    int64_t now = cm_now_ms();
    if (!tells_anybody(n)) {
        CM_AUTO_JSON unused = json_object();
        look_around(n, now, unused); /* who is silent, and since when, is known by looking */
        cm_timer_start(n->timer, n->opts.config->check_interval_s * INT64_C(1000));
        return;
    }
    if (!n->walk && n->walked_seq == cs_seq(n->opts.store) && now < n->look_ms &&
        now >= n->last_ms) {
        compare(n); /* nothing new about credentials */
        return;
    }
    if (!n->walk) {
        n->walk = json_object();
        n->walk_seq = cs_seq(n->opts.store);
        n->walk_look_ms = FAR;
        n->after[0] = '\0';
    }
    walk_on(n);
}

/* ---- test ------------------------------------------------------------------------------------ */

struct test {
    struct notifier *notifier;
    json_t *message, *result;
    unsigned running;
    struct cm_err err;
    struct cm_timer *fail;
    notify_test_fn done;
    void *arg;
};
struct test_leg {
    struct test *test;
    json_t *row; /* of result */
};

static void test_end(struct test *test)
{
    test->notifier->tests--;
    test->done(test->arg, test->err.code != 0 ? NULL : test->result,
               test->err.code != 0 ? &test->err : NULL);
    cm_timer_free(test->fail);
    cm_err_fini(&test->err);
    json_decref(test->message);
    json_decref(test->result);
    cm_free(test);
}

static void on_test_refused(void *arg)
{
    test_end(arg);
}

static void on_test_sent(void *arg, const struct cm_err *err)
{
    struct test_leg *leg = arg;
    struct test *test = leg->test;
    cm_json_set_bool(leg->row, "ok", err == NULL);
    if (err)
        cm_json_set(leg->row, "error", cm_err_to_json(err));
    cm_free(leg);
    if (--test->running == 0)
        test_end(test);
}

static int test_refusal(const struct notifier *n, struct cm_err *err)
{
    if (n->tests > TESTS_MAX)
        return cm_fail(err, CM_EBUSY, "other test notices are still under way");
    for (size_t i = 0; i < NOTICE_CHANNELS; i++)
        if (notice_channel_on(n->sender, (enum notice_channel)i))
            return 0;
    cm_fail(err, CM_EINVAL, "no notices are configured on this server");
    cm_err_hint(err, "Set mail_to or webhook_url in section [notify] of certmgr.conf and restart "
                     "certmgr");
    return CM_EINVAL;
}

void notifier_test(struct notifier *n, const char *who, notify_test_fn done, void *arg)
{
    struct test *test = cm_calloc(1, sizeof(*test));
    *test = (struct test){.notifier = n, .done = done, .arg = arg, .result = json_array()};
    n->tests++;
    if (test_refusal(n, &test->err) != 0) {
        test->fail = cm_timer_new(n->opts.loop, on_test_refused, test);
        cm_timer_start(test->fail, 0);
        return;
    }
    test->message = message_test(who, n->opts.self, n->opts.ui_url, cm_now_ms());
    for (size_t i = 0; i < NOTICE_CHANNELS; i++) {
        enum notice_channel channel = (enum notice_channel)i;
        if (!notice_channel_on(n->sender, channel))
            continue;
        struct test_leg *leg = cm_calloc(1, sizeof(*leg));
        CM_AUTO_STR to = notice_channel_to(n->sender, channel);
        *leg = (struct test_leg){.test = test, .row = json_object()};
        cm_json_set_str(leg->row, "channel", notice_channel_name(channel));
        cm_json_set_str(leg->row, "to", to);
        json_array_append_new(test->result, leg->row);
        test->running++;
        notice_send(n->sender, channel, test->message, NOTIFY_TEST_MS, on_test_sent, leg);
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

static int on_open_row(void *arg, const char *key, const json_t *value)
{
    struct notifier *n = arg;
    if (json_is_object(value))
        json_object_set_new(n->rows, key + strlen(OPEN), json_deep_copy(value));
    return 0;
}

static int on_seen_row(void *arg, const char *key, const json_t *value)
{
    struct notifier *n = arg;
    int64_t at = cm_json_time(value, "at", 0);
    cm_json_set_int(n->seen, key + strlen(SEEN), at);
    cm_json_set_int(n->seen_stored, key + strlen(SEEN), at);
    return 0;
}

struct notifier *notifier_new(const struct notifier_opts *opts)
{
    struct notifier *n = cm_calloc(1, sizeof(*n));
    n->opts = *opts;
    n->rows = json_object();
    n->found = json_object();
    n->seen = json_object();
    n->seen_stored = json_object();
    n->walked_seq = -1;
    n->started_ms = cm_now_ms();
    n->sender = notice_sender_new(opts->loop, opts->http, opts->config, opts->say);
    n->outbox = outbox_new(opts->loop, opts->store, n->sender);
    n->timer = cm_timer_new(opts->loop, on_timer, n);
    cs_kv_each(opts->store, TABLE, OPEN, on_open_row, n);
    cs_kv_each(opts->store, TABLE, SEEN, on_seen_row, n);
    cm_timer_start(n->timer, n->opts.config->check_interval_s * INT64_C(1000));
    return n;
}

void notifier_free(struct notifier *n)
{
    if (!n)
        return;
    cm_timer_free(n->timer);
    outbox_stop(n->outbox);
    notice_sender_free(n->sender);
    outbox_free(n->outbox);
    json_decref(n->rows);
    json_decref(n->found);
    json_decref(n->seen);
    json_decref(n->seen_stored);
    json_decref(n->walk);
    cm_free(n);
}

/* What the status of this server shows by itself. */
static bool shown_elsewhere(const char *kind)
{
    static const char *const kinds[] = {"on_hold",           "disk_full", "store_damaged",
                                        "documents_refused", "clock",     "ca_failing"};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(kinds[i], kind) == 0)
            return true;
    return false;
}

static json_t *alarm_of(const json_t *condition)
{
    static const char *const taken[] = {"kind", "severity", "title", "where",
                                        "what", "hint",     "path",  "since"};
    json_t *alarm = json_object();
    for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
        cm_json_set_str(alarm, taken[i], cm_json_str(condition, taken[i]));
    return alarm;
}

/* The alarms as they are right now, the critical ones first (owned). */
static json_t *alarms_now(struct notifier *n)
{
    CM_AUTO_JSON open = json_object();
    json_t *list = json_array(), *condition;
    const char *key;
    size_t critical = 0;
    look_around(n, cm_now_ms(), open);
    json_object_foreach(open, key, condition)
    {
        if (cm_json_bool(condition, "hold", false) ||
            shown_elsewhere(cm_json_str_or(condition, "kind", "")) ||
            json_array_size(list) >= NOTIFY_ALARMS_MAX)
            continue;
        if (strcmp(cm_json_str_or(condition, "severity", ""), "critical") == 0)
            json_array_insert_new(list, critical++, alarm_of(condition));
        else
            json_array_append_new(list, alarm_of(condition));
    }
    return list;
}

json_t *notifier_status(struct notifier *n)
{
    json_t *status = outbox_status(n->outbox);
    CM_AUTO_JSON alarms = alarms_now(n);
    cm_json_set_int(status, "open", (int64_t)json_object_size(n->rows));
    if (json_array_size(alarms) > 0)
        json_object_set(status, "alarms", alarms);
    if (!tells_anybody(n))
        cm_json_set_bool(status, "off", true);
    return status;
}
