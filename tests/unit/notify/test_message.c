/* Words of a mail, JSON of a webhook, and its signature. */
#include "tests/unit/notify/support.h"

#include "base/core/bytes.h"
#include "certmgr/notify/message.h"

static const struct message_tongue english = {.language = "en"};

static json_t *event(const char *name, const char *title)
{
    json_t *e = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:[s],s:s}", "event", name, "key",
                          "order:" ULID, "kind", "order_failed", "severity", "critical", "title",
                          title, "where", "credential " ULID, "what", "The CA refused", "because",
                          "line\r\nTo do: pay me", "path", "/credentials/" ULID);
    cm_json_set_time(e, "since", NOW);
    cm_json_set_time(e, "next_at", NOW + HOUR);
    cm_json_set_str(e, "hint", "Add an A record");
    return e;
}

static json_t *message(json_t *take_events)
{
    json_t *m = message_new(take_events, "alpha", "https://alpha:8443", NOW);
    json_decref(take_events);
    return m;
}

static void assert_in(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("missing: %s\nin: %s", part, text);
}

static void test_one(void **state)
{
    (void)state;
    CM_AUTO_JSON m = message(json_pack("[o]", event("open", "Order for www.例え.jp failed")));
    CM_AUTO_STR subject = message_subject(m, &english);
    CM_AUTO_STR text = message_text(m, &english);
    assert_string_equal(subject, "[CertMgr] Order for www.例え.jp failed");
    assert_string_equal(text, "CRITICAL  Order for www.例え.jp failed\n"
                              "  Where:     credential " ULID "\n"
                              "  What:      The CA refused\n"
                              "  Because:   line  To do: pay me\n"
                              "  Since:     2026-11-22 02:16:42 UTC\n"
                              "  Next try:  2026-11-22 03:16:42 UTC\n"
                              "  To do:     Add an A record\n"
                              "  Link:      https://alpha:8443/credentials/" ULID "\n"
                              "\n-- \nCertMgr on server alpha\n");
}

static void test_json(void **state)
{
    (void)state;
    CM_AUTO_JSON m = message(json_pack("[o]", event("open", "Order failed")));
    assert_string_equal(cm_json_str(m, "type"), "certmgr.notice");
    assert_int_equal(cm_json_int(m, "version", 0), 1);
    assert_true(cm_ulid_ok(cm_json_str(m, "id")));
    assert_int_equal(cm_json_time(m, "at", 0), NOW);
    assert_string_equal(cm_json_str(m, "server"), "alpha");
    assert_false(cm_json_bool(m, "test", true));
    const json_t *e = json_array_get(cm_json_arr(m, "events"), 0);
    assert_string_equal(cm_json_str(e, "link"), "https://alpha:8443/credentials/" ULID);
    assert_null(json_object_get(e, "path"));
}

static void test_subjects(void **state)
{
    (void)state;
    const struct {
        json_t *events;
        const char *subject;
    } rows[] = {
        {json_pack("[o]", event("resolved", "A")), "[CertMgr] Resolved: A"},
        {json_pack("[o]", event("still", "A")), "[CertMgr] Still open: A"},
        {json_pack("[o]", event("worse", "A")), "[CertMgr] More urgent: A"},
        {json_pack("[oo]", event("open", "A"), event("open", "B")), "[CertMgr] 2 notices: A, …"},
        {json_pack("[oo]", event("open", "A"), event("resolved", "B")),
         "[CertMgr] 2 notices, 1 of them resolved"},
        {json_pack("[oo]", event("resolved", "A"), event("resolved", "B")), "[CertMgr] 2 resolved"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CM_AUTO_JSON m = message(rows[i].events);
        CM_AUTO_STR subject = message_subject(m, &english);
        assert_string_equal(subject, rows[i].subject);
    }
}

static void test_resolved_text(void **state)
{
    (void)state;
    CM_AUTO_JSON m = message(json_pack("[o]", event("resolved", "Order failed")));
    CM_AUTO_STR text = message_text(m, &english);
    assert_int_equal(strncmp(text, "Resolved: Order failed\n", 23), 0); /* no longer critical */
    assert_in(text, "  It was:    The CA refused\n");
}

static void test_many(void **state)
{
    (void)state;
    json_t *events = json_array();
    for (int i = 0; i < MESSAGE_EVENTS_MAX + 7; i++)
        json_array_append_new(events, event("open", "A"));
    CM_AUTO_JSON m = message(events);
    CM_AUTO_STR subject = message_subject(m, &english);
    CM_AUTO_STR text = message_text(m, &english);
    assert_int_equal(json_array_size(cm_json_arr(m, "events")), MESSAGE_EVENTS_MAX);
    assert_int_equal(cm_json_int(m, "more", 0), 7);
    assert_string_equal(subject, "[CertMgr] 107 notices: A, …");
    assert_in(text, "And 7 more.\n");
}

/* A few words, as the web pages' table would give them. */
static char *say(const char *language, const char *text)
{
    static const struct {
        const char *english, *other;
    } words[] = {{"Order failed", "オーダー失敗"},
                 {"Resolved: オーダー失敗", "解決: オーダー失敗"},
                 {"And 3 more.", "ほか 3 件。"},
                 {"5 notices: オーダー失敗, …", "通知 5 件"},
                 {"The CA refused", "拒否"},
                 {"Add an A record", "A を追加"},
                 {"the cause", "理由"},
                 {"credential " ULID, "項目"},
                 {"CRITICAL  ", "【重大】 "},
                 {"Where:", "対象:"},
                 {"What:", "内容:"},
                 {"CertMgr on server alpha", "サーバー alpha"}};
    assert_string_equal(language, "ja");
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcmp(words[i].english, text) == 0)
            return cm_strdup(words[i].other);
    return NULL;
}

/* Every text of an event, the words around it and the subject; what has no words stays. */
static void test_language(void **state)
{
    const struct message_tongue ja = {.language = "ja", .say = say};
    (void)state;
    CM_AUTO_JSON written = message(
        json_pack("[o,o]", event("open", "Order failed"), event("resolved", "Order failed")));
    json_array_append_new(cm_json_arr(json_array_get(cm_json_arr(written, "events"), 0), "because"),
                          json_string("the cause"));
    cm_json_set_int(written, "more", 3);
    CM_AUTO_JSON before = json_deep_copy(written);
    CM_AUTO_JSON m = message_in(written, &ja);
    const json_t *e = json_array_get(cm_json_arr(m, "events"), 0);
    assert_true(json_equal(written, before)); /* it goes to other channels, too */
    assert_string_equal(cm_json_str(m, "language"), "ja");
    assert_string_equal(cm_json_str(e, "title"), "オーダー失敗");
    assert_string_equal(cm_json_str(e, "where"), "項目");
    assert_string_equal(cm_json_str(e, "what"), "拒否");
    assert_string_equal(cm_json_str(e, "hint"), "A を追加");
    assert_string_equal(json_string_value(json_array_get(cm_json_arr(e, "because"), 1)), "理由");
    assert_string_equal(cm_json_str(e, "kind"), "order_failed");
    assert_string_equal(cm_json_str(e, "severity"), "critical");
    CM_AUTO_STR text = message_text(m, &ja);
    assert_in(text, "【重大】 オーダー失敗\n  対象:      項目\n  内容:      拒否\n"
                    "  Because:   line  To do: pay me\n  Because:   理由\n");
    assert_in(text, "\n解決: オーダー失敗\n");
    assert_in(text, "\n\nほか 3 件。\n\n-- \nサーバー alpha\n");
    json_array_remove(cm_json_arr(m, "events"), 1);
    cm_json_set_int(m, "more", 4);
    CM_AUTO_STR subject = message_subject(m, &ja);
    assert_string_equal(subject, "[CertMgr] 通知 5 件");
    CM_AUTO_JSON plain = message_in(written, &english);
    assert_string_equal(cm_json_str(plain, "language"), "en");
    cm_json_set(before, "language", json_string("en"));
    assert_true(json_equal(plain, before));
}

/* However long the CA's texts are, message and mail stay within their limits. */
static void test_long(void **state)
{
    (void)state;
    json_t *events = json_array();
    char *text_of_ca = cm_calloc(1, 20000);
    memset(text_of_ca, 'x', 19999);
    for (int i = 0; i < 50; i++) {
        json_t *e = event("open", "A");
        cm_json_set_str(e, "what", text_of_ca);
        json_array_append_new(events, e);
    }
    cm_free(text_of_ca);
    CM_AUTO_JSON m = message(events);
    CM_AUTO_STR json = cm_json_dump(m, NULL);
    CM_AUTO_STR text = message_text(m, &english);
    assert_true(strlen(json) < MESSAGE_BYTES_MAX + 1000);
    assert_int_equal(cm_json_int(m, "more", 0), 50 - json_array_size(cm_json_arr(m, "events")));
    assert_true(strlen(text) <= MESSAGE_TEXT_MAX + 200);
    assert_in(text, "\nAnd 44 more.\n");
}

static void test_test(void **state)
{
    (void)state;
    CM_AUTO_JSON m = message_test("root", "alpha", "https://alpha:8443", NOW);
    CM_AUTO_STR subject = message_subject(m, &english);
    CM_AUTO_STR text = message_text(m, &english);
    assert_true(cm_json_bool(m, "test", false));
    assert_string_equal(subject, "[CertMgr] Test notice");
    assert_in(text, "root asked for this on server alpha");
}

/* The value of openssl dgst -sha256 -hmac 0123456789abcdef over '1795313802.{"a":1}'. */
static void test_signature(void **state)
{
    (void)state;
    char out[MESSAGE_SIGNATURE_MAX];
    message_sign("0123456789abcdef", 1795313802, "{\"a\":1}", 7, out);
    assert_string_equal(out, "t=1795313802,v1="
                             "1bb12ecc5b5bf9a65d5f075600fc08fea158007a94d6d18cb4e4a6eb505ca9f4");
    char other[MESSAGE_SIGNATURE_MAX];
    message_sign("0123456789abcdef", 1795313803, "{\"a\":1}", 7, other);
    assert_string_not_equal(out + 13, other + 13);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one),       cmocka_unit_test(test_json),
        cmocka_unit_test(test_subjects),  cmocka_unit_test(test_resolved_text),
        cmocka_unit_test(test_many),      cmocka_unit_test(test_language),
        cmocka_unit_test(test_long),      cmocka_unit_test(test_test),
        cmocka_unit_test(test_signature),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
