/* The growing buffer: growth, cap, consuming, handing over. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <string.h>

#include "base/core/buf.h"
#include "base/core/err.h"
#include "base/core/mem.h"

static void grows_and_stays_terminated(void **state)
{
    (void)state;
    struct cm_buf buf;
    cm_buf_init(&buf, 1u << 20);
    assert_string_equal(cm_buf_str(&buf), "");
    for (int i = 0; i < 10000; i++)
        assert_int_equal(cm_buf_printf(&buf, "%04d,", i), 0);
    assert_int_equal(buf.len, 50000);
    assert_int_equal(strlen(cm_buf_str(&buf)), 50000);
    assert_memory_equal(buf.data + 49990, "9998,9999,", 10);
    cm_buf_fini(&buf);
}

static void cap_is_exact_and_sticky(void **state)
{
    (void)state;
    struct cm_buf buf;
    cm_buf_init(&buf, 8);
    assert_int_equal(cm_buf_puts(&buf, "12345678"), 0);
    assert_int_equal(cm_buf_add(&buf, "", 0), 0);
    assert_int_equal(cm_buf_putc(&buf, '9'), CM_ELIMIT);
    assert_int_equal(cm_buf_add(&buf, "", 0), CM_ELIMIT);
    assert_int_equal(cm_buf_printf(&buf, "%s", ""), CM_ELIMIT);
    assert_string_equal(cm_buf_str(&buf), "12345678");
    assert_int_not_equal(buf.failed, 0);
    cm_buf_reset(&buf);
    assert_int_equal(buf.len, 0);
    assert_int_equal(cm_buf_printf(&buf, "%d", 12345678), 0);
    assert_int_equal(cm_buf_printf(&buf, "%d", 1), CM_ELIMIT);
    assert_string_equal(cm_buf_str(&buf), "12345678");
    assert_int_equal(buf.size, 9); /* no more memory than its cap can need */
    cm_buf_fini(&buf);
}

static void writes_into_a_place(void **state)
{
    (void)state;
    struct cm_buf buf;
    char place[9] = "xxxxxxxx";
    cm_buf_place(&buf, place, sizeof(place));
    assert_string_equal(place, "");
    cm_buf_reserve(&buf, 100);
    assert_int_equal(cm_buf_puts(&buf, "12345678"), 0);
    assert_ptr_equal(buf.data, place);
    assert_int_equal(cm_buf_putc(&buf, '9'), CM_ELIMIT);
    assert_string_equal(place, "12345678");
    cm_buf_place(&buf, place, 1);
    assert_int_equal(cm_buf_putc(&buf, '1'), CM_ELIMIT);
    assert_string_equal(place, "");
}

static void consumes_from_the_front(void **state)
{
    (void)state;
    struct cm_buf buf;
    cm_buf_init(&buf, 100);
    cm_buf_puts(&buf, "headbody");
    cm_buf_consume(&buf, 4);
    assert_string_equal(cm_buf_str(&buf), "body");
    cm_buf_consume(&buf, 4);
    assert_string_equal(cm_buf_str(&buf), "");
    assert_int_equal(buf.len, 0);
    cm_buf_fini(&buf);
}

static void takes_are_never_null(void **state)
{
    (void)state;
    struct cm_buf buf;
    size_t len = 99;
    cm_buf_init(&buf, 100);
    CM_AUTO_STR empty = cm_buf_take(&buf, &len);
    assert_string_equal(empty, "");
    assert_int_equal(len, 0);
    cm_buf_add(&buf, "a\0b", 3);
    CM_AUTO_STR full = cm_buf_take(&buf, &len);
    assert_int_equal(len, 3);
    assert_memory_equal(full, "a\0b", 4);
    assert_null(buf.data);
    assert_int_equal(cm_buf_puts(&buf, "again"), 0);
    cm_buf_fini(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows_and_stays_terminated), cmocka_unit_test(cap_is_exact_and_sticky),
        cmocka_unit_test(writes_into_a_place),        cmocka_unit_test(consumes_from_the_front),
        cmocka_unit_test(takes_are_never_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
