/* UTF-8 well-formedness after RFC 3629. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <string.h>

#include "base/core/utf8.h"

static void well_formed_text_passes(void **state)
{
    (void)state;
    static const char *const good[] = {
        "",
        "plain",
        "\xc2\x80",
        "\xdf\xbf",
        "\xe0\xa0\x80",
        "\xed\x9f\xbf",
        "\xee\x80\x80",
        "\xef\xbf\xbf",
        "\xf0\x90\x80\x80",
        "\xf4\x8f\xbf\xbf",
        "日本語",
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(cm_utf8_ok(good[i], strlen(good[i])));
}

static void malformed_text_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\x80",             /* continuation alone */
        "\xc0\xaf",         /* overlong '/' */
        "\xc1\xbf",         /* overlong */
        "\xe0\x9f\xbf",     /* overlong */
        "\xed\xa0\x80",     /* surrogate */
        "\xf0\x8f\xbf\xbf", /* overlong */
        "\xf4\x90\x80\x80", /* beyond U+10FFFF */
        "\xf5\x80\x80\x80",
        "\xff",
        "a\xe3\x81",
        "\xe3\x81z",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(cm_utf8_ok(bad[i], strlen(bad[i])));
}

/* ASCII is skipped in words: what comes behind has to be found wherever it stands. */
static void what_follows_ascii_is_looked_at(void **state)
{
    (void)state;
    char text[32];
    for (size_t before = 0; before < 20; before++) {
        for (size_t behind = 0; behind < 9; behind++) {
            memset(text, 'a', sizeof(text));
            memcpy(text + before, "\xc3\xa9", 2);
            assert_true(cm_utf8_ok(text, before + 2 + behind));
            assert_false(cm_utf8_ok(text, before + 1));
            text[before] = '\xa9';
            assert_false(cm_utf8_ok(text, before + 2 + behind));
        }
    }
}

static void fixing_keeps_length_and_good_characters(void **state)
{
    (void)state;
    char text[] = "a\xff\xe3\x81\x82\xc0z\xe3\x81";
    cm_utf8_fix(text);
    assert_string_equal(text, "a?\xe3\x81\x82?z??");
}

static void trimming_drops_only_a_cut_character(void **state)
{
    (void)state;
    char cut[] = "ab\xe3\x81", whole[] = "ab\xe3\x81\x82", lone[] = "ab\xf0", ascii[] = "ab";
    cm_utf8_trim(cut);
    cm_utf8_trim(whole);
    cm_utf8_trim(lone);
    cm_utf8_trim(ascii);
    assert_string_equal(cut, "ab");
    assert_string_equal(whole, "ab\xe3\x81\x82");
    assert_string_equal(lone, "ab");
    assert_string_equal(ascii, "ab");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(well_formed_text_passes),
        cmocka_unit_test(malformed_text_is_refused),
        cmocka_unit_test(what_follows_ascii_is_looked_at),
        cmocka_unit_test(fixing_keeps_length_and_good_characters),
        cmocka_unit_test(trimming_drops_only_a_cut_character),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
