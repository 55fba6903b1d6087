/* The escaping writer and the message catalogue. */
#include "tests/unit/web/rig.h"

#include "web-ui/html.h"
#include "web-ui/text.h"

static const char *text_of(struct cm_buf *buf)
{
    static char out[4096];

    snprintf(out, sizeof(out), "%s", cm_buf_str(buf));
    cm_buf_fini(buf);
    cm_buf_init(buf, 4096);
    return out;
}

static void test_text_is_escaped(void **state)
{
    struct cm_buf buf;

    (void)state;
    cm_buf_init(&buf, 4096);
    html_text(&buf, "<script>alert(\"1\") & 'x'</script>");
    assert_string_equal(text_of(&buf), "&lt;script&gt;alert(&quot;1&quot;) &amp; &#39;x&#39;"
                                       "&lt;/script&gt;");
    html_text(&buf, "a\x01"
                    "b\x7f"
                    "c\xff"
                    "d\xc3("
                    "\xe6\x97\xa5\n\t");
    assert_string_equal(text_of(&buf), "a\xef\xbf\xbd"
                                       "b\xef\xbf\xbd"
                                       "c\xef\xbf\xbd"
                                       "d\xef\xbf\xbd("
                                       "\xe6\x97\xa5\n\t");
    html_text(&buf, "a\r\nb\r\n\r\nc\rd\r");
    assert_string_equal(text_of(&buf), "a\nb\n\nc\xef\xbf\xbd"
                                       "d\xef\xbf\xbd");
    html_text(&buf, NULL);
    assert_string_equal(text_of(&buf), "");
    html_int(&buf, -42);
    assert_string_equal(text_of(&buf), "-42");
    cm_buf_fini(&buf);
}

static void test_attributes(void **state)
{
    struct cm_buf buf;

    (void)state;
    cm_buf_init(&buf, 4096);
    html_open(&buf, "input", "value", "\" autofocus x='", "hidden", "", "id", (const char *)NULL,
              NULL);
    assert_string_equal(text_of(&buf), "<input value=\"&quot; autofocus x=&#39;\" hidden>");
    html_leaf(&buf, "td", "<", "class", "a", NULL);
    assert_string_equal(text_of(&buf), "<td class=\"a\">&lt;</td>");
    cm_buf_fini(&buf);
}

static void test_urls(void **state)
{
    static const char *const good[] = {"/a?b=1", "#id", "?live=0", "https://example.com/"};
    static const char *const bad[] = {"javascript:alert(1)",
                                      "//evil.example",
                                      "/\\evil.example",
                                      "data:text/html,x",
                                      "JAVASCRIPT:x",
                                      " /x",
                                      "ftp://x",
                                      ""};
    struct cm_buf buf;

    (void)state;
    cm_buf_init(&buf, 4096);
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        html_open(&buf, "a", "href", good[i], NULL);
        assert_non_null(strstr(text_of(&buf), good[i]));
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        html_open(&buf, "a", "href", bad[i], NULL);
        assert_string_equal(text_of(&buf), "<a href=\"#\">");
    }
    cm_buf_fini(&buf);
}

static void test_sentence(void **state)
{
    struct cm_buf buf;

    (void)state;
    cm_buf_init(&buf, 4096);
    web_sentence(&buf, WEB_EN, MSG_FOOTER, "<a>", "1&2");
    assert_string_equal(text_of(&buf), "Server &lt;a&gt; · CertMgr 1&amp;2");
    cm_buf_fini(&buf);
}

static void test_language(void **state)
{
    static const struct {
        const char *accept;
        enum web_lang lang;
    } rows[] = {
        {NULL, WEB_EN},
        {"", WEB_EN},
        {"ja", WEB_JA},
        {"ja-JP,en;q=0.5", WEB_JA},
        {"en-GB,ja;q=0.9", WEB_EN},
        {"de, ja;q=0.4, en;q=0.3", WEB_JA},
        {"ja;q=0, en", WEB_EN},
        {"jav", WEB_EN},
        {"JA", WEB_JA},
        {"ja;q=0.5,en;q=0.5", WEB_EN},
        {";;;,,,q=", WEB_EN},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(web_lang_pick(rows[i].accept), rows[i].lang);
}

/* Every sentence exists in both languages and takes the same arguments in both. */
static void test_catalogue(void **state)
{
    (void)state;
    for (int m = MSG_NONE + 1; m < MSG_COUNT; m++) {
        const char *en = web_text(WEB_EN, (enum web_msg)m), *ja = web_text(WEB_JA, (enum web_msg)m);

        assert_true(en[0] != '\0' && ja[0] != '\0');
        assert_int_equal(strstr(en, "{1}") != NULL, strstr(ja, "{1}") != NULL);
        assert_int_equal(strstr(en, "{2}") != NULL, strstr(ja, "{2}") != NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_is_escaped),
        cmocka_unit_test(test_attributes),
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_sentence),
        cmocka_unit_test(test_language),
        cmocka_unit_test(test_catalogue),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
