/* Labels that mix letters of scripts that look alike. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/net/script.h"

static void assert_mix(const char *name, const char *label, const char *one, const char *other)
{
    struct script_mix mix = {0};
    if (!script_mixed(name, &mix))
        fail_msg("not found: %s", name);
    assert_int_equal(mix.len, strlen(label));
    assert_memory_equal(mix.label, label, mix.len);
    assert_string_equal(mix.one, one);
    assert_string_equal(mix.other, other);
}

static void what_pretends_is_found(void **state)
{
    (void)state;
    assert_mix("p\u0430ypal.example", "p\u0430ypal", "Latin", "Cyrillic");
    assert_mix("\u0440aypal.example", "\u0440aypal", "Latin", "Cyrillic");
    assert_mix("*.www.g\u03bf\u03bfgle.com", "g\u03bf\u03bfgle", "Latin", "Greek");
    assert_mix("\u03b1\u0430.example", "\u03b1\u0430", "Greek", "Cyrillic");
    assert_mix("a-1-\u04cf", "a-1-\u04cf", "Latin",
               "Cyrillic"); /* the last letter of the last one */
    assert_mix("\u00e9\u0454.example", "\u00e9\u0454", "Latin", "Cyrillic");
    assert_mix("\u1f00\u1e9e.example", "\u1f00\u1e9e", "Latin", "Greek");
    assert_mix("\ua641\uab30", "\ua641\uab30", "Latin", "Cyrillic");
}

static void each_by_itself_is_fine(void **state)
{
    static const char *const fine[] = {
        "www.example.com",
        "b\u00fccher.\u0440\u0444", /* Latin beside Cyrillic, each in its label */
        "\u043f\u0440\u0438\u043c\u0435\u0440-1.example",
        "\u03c0\u03b1\u03c1\u03ac\u03b4\u03b5\u03b9\u03b3\u03bc\u03b1.example",
        "\u4f8b\u3048a.jp", /* Japanese names mix with Latin */
        "\u0561a.example",  /* scripts that this does not know */
        "l\u00b7l.example", /* U+00B7: of no script */
        "a\u00f7\u00d7.example",
        "\u03e2a.example", /* Coptic, amid the Greek ones */
        "1-2.3",
        "",
        ".",
        "*",
    };
    struct script_mix mix;
    (void)state;
    for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++)
        if (script_mixed(fine[i], &mix))
            fail_msg("mixed: %s", fine[i]);
    assert_false(script_mixed("a\xd0", &mix)); /* cut off */
    assert_false(script_mixed("\xff\xfe\xd0\xb0", &mix));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_pretends_is_found),
        cmocka_unit_test(each_by_itself_is_fine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
