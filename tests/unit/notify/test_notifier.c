/* The notifier on a real store: looks, sends to a real receiver, forgets nothing over a restart. */
#include "tests/unit/engine/harness.h"

#include <sys/stat.h>

#include "certmgr/notify/message.h"
#include "certmgr/notify/notify.h"
#include "certmgr/notify/outbox.h"

#define SECRET "0123456789abcdef0123456789abcdef"
#define MANY   150 /* credentials: more than two batches */

struct n {
    struct h *h;
    struct config_notify config;
    struct notifier *notifier;
    struct http_listener *listener;
    json_t *got; /* messages with a right signature */
    unsigned wrong, requests;
    int status; /* the receiver's answer */
    json_t *peers;
    json_t *result;
    bool tested;
    struct cm_err err;
};

static void on_hook(void *arg, struct http_exchange *ex)
{
    struct n *n = arg;
    const struct http_request *req = http_ex_request(ex);
    const char *signature = http_head_field(&req->head, "certmgr-signature");
    char want[MESSAGE_SIGNATURE_MAX];
    json_t *message = NULL;
    n->requests++;
    assert_non_null(signature);
    message_sign(SECRET, strtoll(signature + 2, NULL, 10), req->body, req->body_len, want);
    if (strcmp(want, signature) != 0)
        n->wrong++;
    assert_int_equal(cm_json_parse(req->body, req->body_len, &message, NULL), 0);
    if (n->status == 200)
        json_array_append_new(n->got, message);
    else
        json_decref(message);
    http_ex_reply(ex, n->status, NULL, "", 0);
}

static int64_t on_limit(void *arg, const struct http_request *req)
{
    (void)arg;
    (void)req;
    return 1 << 20;
}

static const struct kf_trust *trust_of(void *arg)
{
    return ((struct n *)arg)->h->trust;
}

static json_t *peers_of(void *arg)
{
    return json_deep_copy(((struct n *)arg)->peers);
}

static void begin(struct n *n)
{
    struct notifier_opts opts = {.loop = n->h->loop,
                                 .store = n->h->store,
                                 .http = n->h->http,
                                 .config = &n->config,
                                 .self = "alpha",
                                 .ui_url = "https://alpha:8443",
                                 .trust = trust_of,
                                 .trust_arg = n,
                                 .peers = peers_of,
                                 .peers_arg = n};
    n->notifier = notifier_new(&opts);
}

static int set_up(void **state)
{
    if (h_setup(state) != 0)
        return -1;
    struct n *n = cm_calloc(1, sizeof(*n));
    n->h = *state;
    *state = n;
    n->status = 200;
    n->got = json_array();
    n->peers = json_pack("[{s:s,s:b},{s:s,s:b}]", "peer", "bravo", "feed", 1, "peer", "charlie",
                         "feed", 1);
    struct http_listen_opts opts = {
        .address = "127.0.0.1:0", .fd = -1, .limit = on_limit, .handler = on_hook, .arg = n};
    assert_int_equal(http_listen(n->h->loop, &opts, &n->listener, NULL), 0);
    n->config = (struct config_notify){.check_interval_s = 0, /* every turn */
                                       .remind_after_s = 86400,
                                       .deploy_after_s = 900,
                                       .silent_after_s = 86400};
    snprintf(n->config.webhook_url, sizeof(n->config.webhook_url), "http://%s/hook",
             http_listener_address(n->listener));
    snprintf(n->config.webhook_secret_file, sizeof(n->config.webhook_secret_file), "%s/secret",
             n->h->dir);
    FILE *f = fopen(n->config.webhook_secret_file, "w");
    assert_non_null(f);
    fputs(SECRET "\n", f);
    fclose(f);
    assert_int_equal(chmod(n->config.webhook_secret_file, 0600), 0);
    begin(n);
    return 0;
}

static int tear_down(void **state)
{
    struct n *n = *state;
    cm_clock_fake(-1, -1);
    notifier_free(n->notifier);
    http_listener_free(n->listener);
    json_decref(n->got);
    json_decref(n->peers);
    json_decref(n->result);
    cm_err_fini(&n->err);
    unlink(n->config.webhook_secret_file);
    *state = n->h;
    cm_free(n);
    return h_teardown(state);
}

static void turns(struct n *n, int ms)
{
    h_turns(n->h, ms);
}

static void until_got(struct n *n, size_t count)
{
    for (int i = 0; i < 200 && json_array_size(n->got) < count; i++)
        turns(n, 20);
    turns(n, 0); /* its receiver's answer is heard: what was delivered is not sent again */
    if (json_array_size(n->got) != count) {
        CM_AUTO_STR text = cm_json_dump(n->got, NULL);
        fail_msg("%zu messages, not %zu: %s", json_array_size(n->got), count, text);
    }
    assert_int_equal(n->wrong, 0);
}

/* "event kind" of each event of message i. */
static const char *told(const struct n *n, size_t i)
{
    static char text[4000];
    size_t k;
    json_t *event;
    text[0] = '\0';
    json_array_foreach(cm_json_arr(json_array_get(n->got, i), "events"), k, event)
    {
        size_t len = strlen(text);
        snprintf(text + len, sizeof(text) - len, "%s%s %s", len ? ", " : "",
                 cm_json_str(event, "event"), cm_json_str(event, "kind"));
    }
    return text;
}

static void put_credential(struct n *n, const char *ulid, const char *status, int attempts)
{
    CM_AUTO_STR id = cm_asprintf("credential:%s", ulid);
    CM_AUTO_STR host = cm_asprintf("h%s.example", ulid + 20);
    json_t *c = json_pack("{s:s,s:s,s:s,s:[s],s:s,s:i,s:[s]}", "_id", id, "type", "credential",
                          "status", status, "host_names_ascii", host, "provider", "acme",
                          "attempts", attempts, "servers", "bravo");
    int64_t later = cm_now_ms() + INT64_C(86400000) * 300;
    cm_json_set_time(c, "next_action_at", later);
    if (attempts > 0)
        cm_json_set(c, "error", json_pack("{s:s,s:s}", "code", "peer", "what", "refused"));
    else {
        cm_json_set_time(c, "not_before", cm_now_ms() - 86400000);
        cm_json_set_time(c, "not_after", cm_now_ms() + INT64_C(86400000) * 365);
        cm_json_set_time(c, "issued_at", cm_now_ms());
        cm_json_set_str(c, "chain",
                        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        cm_json_set_str(c, "fingerprint",
                        "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff");
    }
    h_put(n->h, c);
}

static void test_open_and_resolved(void **state)
{
    struct n *n = *state;
    char ulid[CM_ULID_TEXT];
    cm_ulid(ulid);
    turns(n, 50);
    assert_int_equal(json_array_size(n->got), 0);
    put_credential(n, ulid, "error", 1);
    until_got(n, 1);
    assert_string_equal(told(n, 0), "open order_failed");
    turns(n, 100);
    assert_int_equal(json_array_size(n->got), 1); /* once */
    put_credential(n, ulid, "issued", 0);
    until_got(n, 2);
    assert_string_equal(told(n, 1), "resolved order_failed");
    assert_string_not_equal(cm_json_str(json_array_get(n->got, 0), "id"),
                            cm_json_str(json_array_get(n->got, 1), "id"));
}

/* What a peer brought and the store refused; what a removed server wrote is no news. */
static void test_refused(void **state)
{
    struct n *n = *state;
    size_t count;
    assert_int_equal(cs_quarantine_note(n->h->store, "receipt:bravo:x", "1-a", "bravo",
                                        CS_REJUDGE_REASON ": it was removed", NULL),
                     0);
    assert_int_equal(cs_commit(n->h->store, NULL), 0);
    turns(n, 100);
    assert_int_equal(json_array_size(n->got), 0);
    assert_int_equal(cs_quarantine_note(n->h->store, "receipt:bravo:y", "1-a", "bravo",
                                        "the signature does not fit", NULL),
                     0);
    assert_int_equal(cs_commit(n->h->store, NULL), 0);
    until_got(n, 1);
    assert_string_equal(told(n, 0), "open documents_refused");
    assert_int_equal(cs_quarantine_forget(n->h->store, NULL, NULL, &count, NULL), 0);
    assert_int_equal(count, 2);
    assert_int_equal(cs_commit(n->h->store, NULL), 0);
    until_got(n, 2);
    assert_string_equal(told(n, 1), "resolved documents_refused");
}

static void test_restart(void **state)
{
    struct n *n = *state;
    char ulid[CM_ULID_TEXT];
    cm_ulid(ulid);
    put_credential(n, ulid, "error", 1);
    until_got(n, 1);
    notifier_free(n->notifier);
    h_restart(n->h);
    begin(n);
    turns(n, 150);
    assert_int_equal(json_array_size(n->got), 1);
    CM_AUTO_JSON status = notifier_status(n->notifier);
    assert_int_equal(cm_json_int(status, "open", -1), 1);
    assert_int_equal(cm_json_int(status, "waiting", -1), 0);
    put_credential(n, ulid, "issued", 0);
    until_got(n, 2);
    assert_string_equal(told(n, 1), "resolved order_failed");
}

/* What the receiver did not take waits in the store, over a restart, with growing pauses. */
static void test_retry(void **state)
{
    struct n *n = *state;
    char ulid[CM_ULID_TEXT];
    cm_ulid(ulid);
    n->status = 503;
    cm_clock_fake(cm_now_ms(), -1);
    int64_t start = cm_now_ms();
    put_credential(n, ulid, "error", 1);
    for (int i = 0; i < 100 && n->requests == 0; i++)
        turns(n, 20);
    turns(n, 60);
    assert_int_equal(n->requests, 1);
    CM_AUTO_JSON status = notifier_status(n->notifier);
    assert_int_equal(cm_json_int(status, "waiting", -1), 1);
    assert_string_equal(cm_json_str(cm_json_obj(status, "failed"), "error"),
                        "the webhook's receiver answered with status 503");
    notifier_free(n->notifier);
    h_restart(n->h);
    begin(n);
    turns(n, 60);
    assert_int_equal(n->requests, 1); /* not before its time */
    cm_clock_fake(start + OUTBOX_FIRST_MS + 1000, -1);
    notifier_free(n->notifier); /* its timer counts real time */
    begin(n);
    for (int i = 0; i < 100 && n->requests == 1; i++)
        turns(n, 20);
    assert_int_equal(n->requests, 2);
    n->status = 200;
    cm_clock_fake(start + 100 * OUTBOX_FIRST_MS, -1);
    turns(n, 20);
    notifier_free(n->notifier);
    begin(n);
    until_got(n, 1);
    turns(n, 40);
    CM_AUTO_JSON after = notifier_status(n->notifier);
    assert_int_equal(cm_json_int(after, "waiting", -1), 0);
}

static const json_t *first_alarm(const json_t *status)
{
    return json_array_get(cm_json_arr(status, "alarms"), 0);
}

/* Neither mail nor webhook: alarms are seen all the same, at once, and nothing is noted as told. */
static void test_alarms_without_a_channel(void **state)
{
    struct n *n = *state;
    static const char text[] = "{\"kind\":\"old_copy\",\"level\":3,\"title\":\"The title\","
                               "\"where\":\"server alpha\",\"what\":\"What is wrong\","
                               "\"hint\":\"Do it\",\"since\":\"2026-11-22T00:00:00.000Z\"}";
    CM_AUTO_JSON row = json_loads(text, 0, NULL);
    notifier_free(n->notifier);
    n->config.webhook_url[0] = '\0';
    begin(n);
    CM_AUTO_JSON calm = notifier_status(n->notifier);
    assert_null(json_object_get(calm, "alarms"));
    assert_int_equal(cs_kv_put(n->h->store, "state", "alarm/copy/alpha", row, NULL), 0);
    turns(n, 40);
    CM_AUTO_JSON status = notifier_status(n->notifier);
    assert_true(cm_json_bool(status, "off", false));
    assert_int_equal(cm_json_int(status, "waiting", -1), 0);
    assert_int_equal(json_array_size(cm_json_arr(status, "alarms")), 1);
    assert_string_equal(cm_json_str(first_alarm(status), "kind"), "old_copy");
    assert_string_equal(cm_json_str(first_alarm(status), "severity"), "critical");
    assert_string_equal(cm_json_str(first_alarm(status), "what"), "What is wrong");
    /* Whom the manager has not heard for long, it knows by looking, too. */
    json_array_clear(n->peers);
    cm_clock_fake(cm_now_ms() + 86400000 + NOTIFY_GRACE_MS, -1);
    turns(n, 40);
    CM_AUTO_JSON silent = notifier_status(n->notifier);
    assert_int_equal(json_array_size(cm_json_arr(silent, "alarms")), 3);
    assert_string_equal(cm_json_str(first_alarm(silent), "kind"), "old_copy");
    cm_clock_fake(-1, -1);
    /* Where there is a channel it is told then, for it never was. */
    snprintf(n->config.webhook_url, sizeof(n->config.webhook_url), "http://%s/hook",
             http_listener_address(n->listener));
    notifier_free(n->notifier);
    begin(n);
    until_got(n, 1);
    assert_string_equal(told(n, 0), "open old_copy");
}

static void test_pauses(void **state)
{
    (void)state;
    assert_int_equal(outbox_pause_ms(0), OUTBOX_FIRST_MS);
    assert_int_equal(outbox_pause_ms(1), OUTBOX_FIRST_MS);
    assert_int_equal(outbox_pause_ms(2), 2 * OUTBOX_FIRST_MS);
    assert_int_equal(outbox_pause_ms(5), 16 * OUTBOX_FIRST_MS);
    assert_int_equal(outbox_pause_ms(10), OUTBOX_PAUSE_MS);
    assert_int_equal(outbox_pause_ms(4000000000u), OUTBOX_PAUSE_MS);
}

/* Many at once are one message, and every batch of the walk is looked at. */
static void test_many(void **state)
{
    struct n *n = *state;
    size_t events = 0;
    n->config.check_interval_s = 3600;
    notifier_free(n->notifier);
    begin(n);
    for (int i = 0; i < MANY; i++) {
        char ulid[CM_ULID_TEXT];
        cm_ulid(ulid);
        put_credential(n, ulid, "error", 1);
    }
    n->config.check_interval_s = 0;
    notifier_free(n->notifier);
    begin(n);
    until_got(n, 1);
    turns(n, 100);
    assert_int_equal(json_array_size(n->got), 1);
    const json_t *message = json_array_get(n->got, 0);
    events =
        json_array_size(cm_json_arr(message, "events")) + (size_t)cm_json_int(message, "more", 0);
    assert_int_equal(events, MANY);
}

static void test_silent(void **state)
{
    struct n *n = *state;
    int64_t start = cm_now_ms(), day = 86400000;
    cm_clock_fake(start, -1);
    turns(n, 30);
    json_decref(n->peers); /* bravo's feed is gone, charlie stays */
    n->peers = json_pack("[{s:s,s:b}]", "peer", "charlie", "feed", 1);
    cm_clock_fake(start + day - 1000, -1);
    turns(n, 30);
    assert_int_equal(json_array_size(n->got), 0);
    cm_clock_fake(start + day + 1000, -1);
    until_got(n, 1);
    assert_string_equal(told(n, 0), "open server_silent");
    assert_string_equal(
        cm_json_str(json_array_get(cm_json_arr(json_array_get(n->got, 0), "events"), 0), "title"),
        "Server bravo is silent");
    json_array_append_new(n->peers, json_pack("{s:s,s:b}", "peer", "bravo", "feed", 1));
    until_got(n, 2);
    assert_string_equal(told(n, 1), "resolved server_silent");
    /* The manager itself was away for two days: nobody is silent before they could come back. */
    turns(n, 20);
    notifier_free(n->notifier);
    json_array_clear(n->peers);
    cm_clock_fake(start + 4 * day, -1);
    begin(n);
    turns(n, 60);
    assert_int_equal(json_array_size(n->got), 2);
    cm_clock_fake(start + 4 * day + NOTIFY_GRACE_MS + 1000, -1);
    until_got(n, 3);
    assert_string_equal(told(n, 2), "open server_silent, open server_silent");
}

/* Heard "in five days", before the manager's clock was set right: silence counts from now. */
static void test_silent_after_a_wrong_clock(void **state)
{
    struct n *n = *state;
    int64_t start = cm_now_ms(), day = 86400000;
    cm_clock_fake(start + 5 * day, -1);
    turns(n, 30);
    cm_clock_fake(start, -1);
    turns(n, 30);
    json_array_clear(n->peers);
    cm_clock_fake(start + day + 1000, -1);
    until_got(n, 1);
    assert_string_equal(told(n, 0), "open server_silent, open server_silent");
}

static void on_tested(void *arg, const json_t *result, const struct cm_err *err)
{
    struct n *n = arg;
    n->tested = true;
    json_decref(n->result);
    n->result = json_deep_copy(result);
    cm_err_fini(&n->err);
    if (err)
        cm_err_copy(&n->err, err);
}

static void try_test(struct n *n)
{
    n->tested = false;
    notifier_test(n->notifier, "root", on_tested, n);
    assert_false(n->tested);
    for (int i = 0; i < 200 && !n->tested; i++)
        turns(n, 20);
    assert_true(n->tested);
}

static void test_test(void **state)
{
    struct n *n = *state;
    try_test(n);
    assert_int_equal(json_array_size(n->result), 1);
    const json_t *row = json_array_get(n->result, 0);
    assert_string_equal(cm_json_str(row, "channel"), "webhook");
    assert_true(cm_json_bool(row, "ok", false));
    assert_true(cm_json_bool(json_array_get(n->got, 0), "test", false));
    assert_null(strstr(cm_json_str(row, "to"), "hook")); /* the path may hold a token */
    n->status = 500;
    try_test(n);
    row = json_array_get(n->result, 0);
    assert_false(cm_json_bool(row, "ok", true));
    assert_string_equal(cm_json_str(cm_json_obj(row, "error"), "what"),
                        "the webhook's receiver answered with status 500");
    CM_AUTO_JSON status = notifier_status(n->notifier);
    assert_int_equal(cm_json_int(status, "waiting", -1), 0); /* tests are not kept */
    assert_null(json_object_get(status, "off"));
    assert_int_equal(chmod(n->config.webhook_secret_file, 0644), 0);
    try_test(n);
    row = json_array_get(n->result, 0);
    assert_string_equal(cm_json_str(cm_json_obj(row, "error"), "code"), "denied");
    n->config.webhook_url[0] = '\0';
    try_test(n);
    assert_int_equal(n->err.code, CM_EINVAL);
    assert_non_null(strstr(n->err.hint, "[notify]"));
    CM_AUTO_JSON nobody = notifier_status(n->notifier);
    assert_true(cm_json_bool(nobody, "off", false)); /* nothing open is not: all is well */
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_open_and_resolved),
        TEST(test_refused),
        TEST(test_restart),
        TEST(test_retry),
        TEST(test_many),
        TEST(test_silent),
        TEST(test_silent_after_a_wrong_clock),
        TEST(test_test),
        TEST(test_alarms_without_a_channel),
        cmocka_unit_test(test_pauses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
