/* The chain as text: PEM certificates and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/core/buf.h"
#include "certmgr/acme/chain.h"

#define B "-----BEGIN CERTIFICATE-----"
#define E "-----END CERTIFICATE-----"

static void shapes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int rc;
    } rows[] = {
        {B "\nQUJD\n" E "\n", 0},
        {B "\r\nQUJD\r\n" E "\r\n", 0},
        {B "\nQUJD\nQQ==\n" E, 0},
        {"\n" B "\nQUJD\n" E "\n\n" B "\nQUJD\n" E "\n", 0},
        {"", CM_EPEER},
        {"\n\n", CM_EPEER},
        {B "\n" E "\n", CM_EPEER},
        {B "\nQUJD\n", CM_EPEER},
        {B "\nQU JD\n" E "\n", CM_EPEER},
        {B "\n\nQUJD\n" E "\n", CM_EPEER},
        {B "\n" B "\nQUJD\n" E "\n", CM_EPEER},
        {"subject=CN = x\n" B "\nQUJD\n" E "\n", CM_EPEER},
        {B "\nQUJD\n" E "\ntrailing\n", CM_EPEER},
        {"-----BEGIN PRIVATE KEY-----\nQUJD\n-----END PRIVATE KEY-----\n", CM_EPEER},
        {B "\nQUJD\n-----END PRIVATE KEY-----\n", CM_EPEER},
        {" " B "\nQUJD\n" E "\n", CM_EPEER},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (acme_chain_check(rows[i].text, strlen(rows[i].text), NULL) != rows[i].rc)
            fail_msg("%s", rows[i].text);
    }
    assert_int_equal(
        acme_chain_check(B "\nQU\0JD\n" E "\n", sizeof(B "\nQU\0JD\n" E "\n") - 1, NULL), CM_EPEER);
}

static void limits(void **state)
{
    (void)state;
    struct cm_buf text;
    cm_buf_init(&text, 1 << 20);
    for (int i = 0; i < ACME_CHAIN_CERTS_MAX; i++)
        cm_buf_puts(&text, B "\nQUJD\n" E "\n");
    assert_int_equal(acme_chain_check(text.data, text.len, NULL), 0);
    cm_buf_puts(&text, B "\nQUJD\n" E "\n");
    assert_int_equal(acme_chain_check(text.data, text.len, NULL), CM_ELIMIT);
    cm_buf_reset(&text);
    cm_buf_puts(&text, B "\n");
    while (text.len < ACME_CHAIN_MAX)
        cm_buf_puts(&text, "QUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJD\n");
    cm_buf_puts(&text, E "\n");
    assert_int_equal(acme_chain_check(text.data, text.len, NULL), CM_ELIMIT);
    cm_buf_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes),
        cmocka_unit_test(limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
