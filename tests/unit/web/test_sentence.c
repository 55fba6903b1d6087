/* The engine's sentences in Japanese: the table itself, holes, sentences within sentences, limits.
 */
#include "tests/unit/web/rig.h"

#include "web-ui/sentence.h"

#define DEPLOY "Deployment failed: "

static void assert_said(const char *english, const char *japanese)
{
    struct cm_buf out;
    cm_buf_init(&out, 1 << 16);
    if (!web_say(&out, WEB_JA, english))
        fail_msg("not recognised: %s", english);
    assert_string_equal(cm_buf_str(&out), japanese);
    cm_buf_fini(&out);
}

static void assert_unknown(const char *english)
{
    struct cm_buf out;
    cm_buf_init(&out, 1 << 16);
    assert_false(web_say(&out, WEB_JA, english));
    assert_int_equal(out.len, 0);
    cm_buf_fini(&out);
}

/* ---- the table ----------------------------------------------------------------------------------
 */

/* Bits of the holes that a text has; they are well formed and do not touch. */
static unsigned holes_of(const char *text, bool template)
{
    unsigned seen = 0;
    for (const char *at = strchr(text, '{'); at; at = strchr(at, '{')) {
        if (at[1] < '1' || at[1] > '0' + SENTENCE_HOLES)
            fail_msg("no hole: %s", text);
        unsigned bit = 1u << (at[1] - '1');
        if (template && (seen & bit))
            fail_msg("a hole twice: %s", text);
        seen |= bit;
        at += 2;
        if (template && *at != '}' && !strchr("nwtsk", *at++))
            fail_msg("an unknown kind of hole: %s", text);
        if (*at++ != '}')
            fail_msg("a hole without an end: %s", text);
        if (template && *at == '{')
            fail_msg("holes touch: %s", text);
    }
    return seen;
}

/* The template with something in its holes. */
static void fill(const char *text, char *out)
{
    while (*text) {
        if (*text != '{') {
            *out++ = *text++;
            continue;
        }
        char kind = text[2];
        const char *sample = kind == 'n'   ? "17"
                             : kind == 't' ? "2026-11-22T04:02:26Z"
                             : kind == 'k' ? "paused"
                                           : "sample";
        out = stpcpy(out, sample);
        text = strchr(text, '}') + 1;
    }
    *out = '\0';
}

static void test_the_table(void **state)
{
    const char *english, *japanese;
    size_t count = 0;
    (void)state;
    for (; (english = web_sentence_at(count, &japanese)) != NULL; count++) {
        char sample[SENTENCE_MAX];
        struct cm_buf out;
        unsigned holes = holes_of(english, true);
        if ((holes_of(japanese, false) & ~holes) != 0 || *japanese == '\0')
            fail_msg("a hole that is not filled: %s", japanese);
        fill(english, sample);
        cm_buf_init(&out, 1 << 16);
        if (!web_say(&out, WEB_JA, sample))
            fail_msg("not recognised: %s", sample);
        assert_null(strchr(cm_buf_str(&out), '{'));
        cm_buf_fini(&out);
    }
    assert_true(count > 500);
}

/* ---- what is said -------------------------------------------------------------------------------
 */

static void test_said(void **state)
{
    struct cm_buf out;
    (void)state;
    assert_said("The key is kept", "鍵は現在のものを引き続き使います");
    assert_said("Renewal (30 days before expiry)", "更新します (有効期限の 30 日前)");
    assert_said("Certificate issued by CN=A <b>, valid until 2026-11-22T04:02:26Z",
                "証明書が発行されました。発行者: CN=A &lt;b&gt;、有効期限: "
                "<time datetime=\"2026-11-22T04:02:26Z\"><span class=\"when\">2026-11-22 04:02:26 "
                "UTC</span></time>");
    cm_buf_init(&out, 1 << 12);
    assert_false(web_say(&out, WEB_EN, "The key is kept"));
    assert_false(web_say(&out, WEB_JA, NULL));
    web_said(&out, WEB_JA, "p", "what", "The key is kept");
    web_said(&out, WEB_JA, "p", NULL, "Something <new>");
    web_said(&out, WEB_EN, "p", NULL, "The key is kept");
    assert_string_equal(cm_buf_str(&out), "<p class=\"what\">鍵は現在のものを引き続き使います</p>"
                                          "<p lang=\"en\">Something &lt;new&gt;</p>"
                                          "<p lang=\"en\">The key is kept</p>");
    cm_buf_reset(&out);
    web_said(&out, WEB_EN, "p", NULL,
             "Certificate issued by CN=A, valid until "
             "2026-11-22T04:02:26Z");
    web_said(&out, WEB_EN, "p", NULL, "Own words of the CA of 2026-11-22T04:02:26Z");
    assert_string_equal(
        cm_buf_str(&out),
        "<p lang=\"en\">Certificate issued by CN=A, valid until <time "
        "datetime=\"2026-11-22T04:02:26Z\"><span class=\"when\">2026-11-22 04:02:26 "
        "UTC</span></time></p>"
        "<p lang=\"en\">Own words of the CA of 2026-11-22T04:02:26Z</p>");
    cm_buf_fini(&out);
}

static void assert_plain(const char *english, const char *japanese)
{
    CM_AUTO_STR text = web_say_plain(WEB_JA, english);
    assert_non_null(text);
    assert_string_equal(text, japanese);
}

/* A mail is no page: no entities, no elements, times as people write them. */
static void test_plain(void **state)
{
    (void)state;
    assert_plain("Order for a<b> and 2 more failed", "a<b> ほか 2 件 のオーダーに失敗しました");
    assert_plain("Resolved: Renewal of www.例え.jp is overdue",
                 "解決: www.例え.jp の更新が遅れています");
    assert_plain("4 notices: Server bravo is silent, …",
                 "通知 4 件: サーバー bravo から応答がありません、…");
    assert_plain("The certificate ends at 2026-11-22T04:02:26Z and has not been renewed",
                 "証明書の有効期限は 2026-11-22 04:02:26 UTC ですが、まだ更新されていません");
    assert_plain("This server's clock jumped 75 minutes ahead: renewals that nobody asked for wait",
                 "このサーバーの時計が 75 分進みました。人が求めていない更新は待機します");
    assert_null(web_say_plain(WEB_JA, "Something <new>"));
    assert_null(web_say_plain(WEB_JA, NULL));
    assert_null(web_say_plain(WEB_EN, "Order for a failed"));
}

/* What the layers below the engine say: replication, store, key agent, DNS providers. */
static void test_the_layers_below(void **state)
{
    (void)state;
    assert_said("replication (pull) with https://h/db has stopped",
                "https://h/db とのレプリケーション (受信) が停止しました");
    assert_said("fetching documents from the peer: HTTP 503 busy",
                "ピアからの文書の取得: HTTP 503 busy");
    assert_said("the certificate store is 91 % full: nothing new is taken",
                "証明書ストアの使用率が 91 % のため、新しいものを受け付けません");
    assert_said("/var/lib/certmgr/seal.key has mode 0644; a private key has mode 0600",
                "/var/lib/certmgr/seal.key のモードが 0644 です。秘密鍵のモードは 0600 "
                "でなければなりません");
    assert_said("document keyfile:X is not validly signed by alpha",
                "文書 keyfile:X の alpha による署名が正しくありません");
    assert_said("its clock is 301 s ahead of this host's",
                "ネームサーバーの時計がこのホストより 301 秒進んでいます");
    assert_said("taking away the TXT record _acme-challenge.a. in zone a. with key k (hmac-sha256)",
                "鍵 k (hmac-sha256) によるゾーン a. の TXT レコード _acme-challenge.a. の削除");
    assert_said("present: the provider answered status 403",
                "present: プロバイダーがステータス 403 を返しました");
}

/* A template with more text of its own wins; a hole takes as little as it can. */
static void test_the_longest_wins(void **state)
{
    (void)state;
    assert_said(
        "The dry run has failed: x; that says nothing about the names: the live CA is asked",
        "ドライランに失敗しました: <span lang=\"en\">x</span>。名前に問題があるとは限らないた"
        "め、本番の認証局に申請します");
    assert_said("\"a\" is b, and reads back as \"c\" is d, and reads back as e",
                "「a」は b で、読み戻すと &quot;c&quot; is d, and reads back as e です");
}

/* What comes from outside stays word for word, also when it looks like a sentence of ours. */
static void test_words_of_the_ca(void **state)
{
    (void)state;
    assert_said("The CA says: The key is kept <i>", "認証局の説明: The key is kept &lt;i&gt;");
    assert_said(
        "Failed: The CA refused the order (malformed, HTTP 400): The CA says: bad {1} %s "
        "(attempt 3, next at 2026-11-22T04:02:26Z)",
        "失敗しました: 認証局が拒否しました: 申請 (malformed, HTTP 400): 認証局の説明: bad {1} "
        "%s (3 回目、次回: "
        "<time datetime=\"2026-11-22T04:02:26Z\"><span class=\"when\">2026-11-22 04:02:26 "
        "UTC</span></time>)");
}

/* A hole of a kind takes nothing else. */
static void test_kinds(void **state)
{
    (void)state;
    assert_unknown("Renewal");
    assert_unknown("the key is kept");
    assert_unknown("The key is kept.");
    assert_unknown("");
    assert_unknown("many days before expiry");
    assert_unknown("TXT value removed at two words");
    assert_unknown("In force from tomorrow; servers wait till then");
    assert_unknown("The earlier order was eaten; making a new one");
}

/* ---- limits -------------------------------------------------------------------------------------
 */

static void test_limits(void **state)
{
    char text[SENTENCE_MAX + 2], deep[512] = "";
    (void)state;
    memset(text, 'x', sizeof(text));
    memcpy(text, DEPLOY, strlen(DEPLOY));
    text[SENTENCE_MAX + 1] = '\0';
    assert_unknown(text); /* a byte too long */
    text[SENTENCE_MAX] = '\0';
    struct cm_buf out;
    cm_buf_init(&out, 1 << 16);
    assert_true(web_say(&out, WEB_JA, text));
    cm_buf_reset(&out);
    for (int i = 0; i < SENTENCE_DEPTH + 3; i++)
        (void)snprintf(deep + strlen(deep), sizeof(deep) - strlen(deep), "%s", DEPLOY);
    assert_true(web_say(&out, WEB_JA, deep));
    assert_non_null(strstr(cm_buf_str(&out), "<span lang=\"en\">" DEPLOY));
    cm_buf_fini(&out);
    /* Whoever fills it with what separates sentences does not keep the page busy. */
    for (size_t i = 0; i < SENTENCE_MAX; i++)
        text[i] = ": . ; "[i % 6];
    assert_unknown(text);
    for (size_t i = 0; i < SENTENCE_MAX; i++)
        text[i] = "paused: "[i % 8];
    cm_buf_init(&out, 1 << 16);
    (void)web_say(&out, WEB_JA, text);
    cm_buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_table),
        cmocka_unit_test(test_said),
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_the_layers_below),
        cmocka_unit_test(test_the_longest_wins),
        cmocka_unit_test(test_words_of_the_ca),
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
