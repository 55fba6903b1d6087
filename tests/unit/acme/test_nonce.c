/* Nonces: alphabet, order, bound, age. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/core/clock.h"
#include "base/core/mem.h"
#include "certmgr/acme/nonce.h"

static void put(struct acme_nonces *pool, const char *nonce)
{
    char *head = cm_asprintf("HTTP/1.1 200 OK\r\nReplay-Nonce: %s\r\n\r\n", nonce);
    acme_nonces_put(pool, head);
    cm_free(head);
}

static void freshest_first_each_once(void **state)
{
    (void)state;
    char out[ACME_NONCE_TEXT];
    struct acme_nonces *pool = cm_calloc(1, sizeof(*pool));
    put(pool, "one");
    put(pool, "two");
    assert_true(acme_nonces_take(pool, out));
    assert_string_equal(out, "two");
    assert_true(acme_nonces_take(pool, out));
    assert_string_equal(out, "one");
    assert_false(acme_nonces_take(pool, out));
    put(pool, "three");
    acme_nonces_clear(pool);
    assert_false(acme_nonces_take(pool, out));
    cm_free(pool);
}

static void malformed_ones_are_ignored(void **state)
{
    (void)state;
    char out[ACME_NONCE_TEXT];
    char longest[ACME_NONCE_TEXT + 1];
    struct acme_nonces *pool = cm_calloc(1, sizeof(*pool));
    memset(longest, 'a', ACME_NONCE_TEXT);
    longest[ACME_NONCE_TEXT] = '\0';
    put(pool, "");
    put(pool, "a=");
    put(pool, "a b");
    put(pool, "a/b");
    put(pool, "\xc3\xa9");
    put(pool, longest);
    acme_nonces_put(pool, "HTTP/1.1 200 OK\r\n\r\n");
    acme_nonces_put(pool, NULL);
    assert_false(acme_nonces_take(pool, out));
    put(pool, longest + 1);
    assert_true(acme_nonces_take(pool, out));
    assert_string_equal(out, longest + 1);
    cm_free(pool);
}

static void the_oldest_gives_way(void **state)
{
    (void)state;
    char out[ACME_NONCE_TEXT];
    struct acme_nonces *pool = cm_calloc(1, sizeof(*pool));
    for (int i = 0; i < ACME_NONCE_POOL + 10; i++) {
        char text[16];
        snprintf(text, sizeof(text), "n%d", i);
        put(pool, text);
    }
    for (int i = ACME_NONCE_POOL + 9; i >= 10; i--) {
        char text[16];
        snprintf(text, sizeof(text), "n%d", i);
        assert_true(acme_nonces_take(pool, out));
        assert_string_equal(out, text);
    }
    assert_false(acme_nonces_take(pool, out));
    cm_free(pool);
}

static void old_ones_are_dropped(void **state)
{
    (void)state;
    char out[ACME_NONCE_TEXT];
    struct acme_nonces *pool = cm_calloc(1, sizeof(*pool));
    cm_clock_fake(1000, 1000);
    put(pool, "old");
    cm_clock_fake(1000, 1000 + ACME_NONCE_AGE_MS);
    put(pool, "young");
    cm_clock_fake(1000, 1001 + ACME_NONCE_AGE_MS);
    assert_true(acme_nonces_take(pool, out));
    assert_string_equal(out, "young");
    assert_false(acme_nonces_take(pool, out));
    cm_clock_fake(-1, -1);
    cm_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(freshest_first_each_once),
        cmocka_unit_test(malformed_ones_are_ignored),
        cmocka_unit_test(the_oldest_gives_way),
        cmocka_unit_test(old_ones_are_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
