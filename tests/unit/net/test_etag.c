/* Lists of entity tags, as clients send them in If-Match and If-None-Match. */
#include "base/net/etag.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void lists_of_tags(void **state)
{
    static const struct {
        const char *list;
        bool strong, weak;
    } rows[] = {
        {"\"a\"", true, true},
        {"W/\"a\"", false, true},
        {"\"b\", \"a\"", true, true},
        {"\"b\" ,W/\"a\"", false, true},
        {" * ", false, false}, /* no list and not the star alone */
        {"*", true, true},
        {"\"aa\"", false, false},
        {"a", false, false},
        {"\"a", false, false},
        {"", false, false},
        {"\"b\", a, \"a\"", false, false}, /* nothing behind what is no tag is believed */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(http_etag_listed(rows[i].list, "\"a\"", false), rows[i].strong);
        assert_int_equal(http_etag_listed(rows[i].list, "\"a\"", true), rows[i].weak);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_of_tags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
