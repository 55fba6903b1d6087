/* Base64, hex, digests, random bytes, ULIDs. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <string.h>

#include "base/core/bytes.h"
#include "base/core/clock.h"
#include "base/core/err.h"
#include "base/core/mem.h"

static void rfc4648_vectors(void **state)
{
    (void)state;
    static const char *const rows[][3] = {
        {"", "", ""},
        {"f", "Zg==", "Zg"},
        {"fo", "Zm8=", "Zm8"},
        {"foo", "Zm9v", "Zm9v"},
        {"foob", "Zm9vYg==", "Zm9vYg"},
        {"fooba", "Zm9vYmE=", "Zm9vYmE"},
        {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t len = strlen(rows[i][0]), got_len;
        uint8_t *got;
        CM_AUTO_STR std = cm_b64(rows[i][0], len);
        CM_AUTO_STR url = cm_b64url(rows[i][0], len);
        assert_string_equal(std, rows[i][1]);
        assert_string_equal(url, rows[i][2]);
        assert_int_equal(cm_b64_decode(std, strlen(std), &got, &got_len), 0);
        assert_int_equal(got_len, len);
        assert_memory_equal(got, rows[i][0], len);
        cm_free(got);
        assert_int_equal(cm_b64url_decode(url, strlen(url), &got, &got_len), 0);
        assert_int_equal(got_len, len);
        assert_memory_equal(got, rows[i][0], len);
        cm_free(got);
    }
}

/* RFC 7515 appendix C; RFC 9773 4.1 (a serial with a leading zero octet). */
static void base64url_of_the_acme_world(void **state)
{
    (void)state;
    static const uint8_t octets[] = {3, 236, 255, 224, 193};
    static const uint8_t serial[] = {0x00, 0x87, 0x65, 0x43, 0x21};
    uint8_t aki[20];
    assert_int_equal(cm_hex_decode("69885B6B87464041E1B37B847BA0AE2CDE01C8D4", aki, 20), 0);
    CM_AUTO_STR a = cm_b64url(octets, sizeof(octets));
    CM_AUTO_STR b = cm_b64url(serial, sizeof(serial));
    CM_AUTO_STR c = cm_b64url(aki, sizeof(aki));
    assert_string_equal(a, "A-z_4ME");
    assert_string_equal(b, "AIdlQyE");
    assert_string_equal(c, "aYhba4dGQEHhs3uEe6CuLN4ByNQ");
}

static void decoders_are_strict(void **state)
{
    (void)state;
    static const char *const bad_url[] = {
        "Zg==", "Zh", "Zm9=", "A", "AAAAA", "Zm 9v", "Zm9v\n", "+A", "/A", "Zm9vYh", "Zm\xc3",
    };
    static const char *const bad_std[] = {
        "Zg",   "Zg=",  "Zg===", "=Zg=", "Zh==",     "Zm9",
        "-A==", "_A==", "====",  "Z===", "Zm9v=Zm9", "Zm9v\n",
    };
    uint8_t *data = NULL;
    size_t len;
    for (size_t i = 0; i < sizeof(bad_url) / sizeof(bad_url[0]); i++)
        assert_int_equal(cm_b64url_decode(bad_url[i], strlen(bad_url[i]), &data, &len), CM_EMALF);
    for (size_t i = 0; i < sizeof(bad_std) / sizeof(bad_std[0]); i++)
        assert_int_equal(cm_b64_decode(bad_std[i], strlen(bad_std[i]), &data, &len), CM_EMALF);
    assert_int_equal(cm_b64url_decode("AA\0A", 4, &data, &len), CM_EMALF);
    assert_null(data);
}

static void every_byte_survives(void **state)
{
    (void)state;
    uint8_t all[256], *back;
    for (int i = 0; i < 256; i++)
        all[i] = (uint8_t)i;
    for (size_t len = 250; len <= 256; len++) {
        size_t got;
        CM_AUTO_STR std = cm_b64(all, len);
        CM_AUTO_STR url = cm_b64url(all, len);
        assert_int_equal(cm_b64_decode(std, strlen(std), &back, &got), 0);
        assert_int_equal(got, len);
        assert_memory_equal(back, all, len);
        cm_free(back);
        assert_int_equal(cm_b64url_decode(url, strlen(url), &back, &got), 0);
        assert_memory_equal(back, all, len);
        cm_free(back);
    }
}

static void hex(void **state)
{
    (void)state;
    char text[9];
    uint8_t data[4];
    cm_hex("\x00\xff\x1a\xa1", 4, text);
    assert_string_equal(text, "00ff1aa1");
    assert_int_equal(cm_hex_decode("00Ff1aA1", data, 4), 0);
    assert_memory_equal(data, "\x00\xff\x1a\xa1", 4);
    assert_int_equal(cm_hex_decode("00ff1aa", data, 4), CM_EMALF);
    assert_int_equal(cm_hex_decode("00ff1aa100", data, 4), CM_EMALF);
    assert_int_equal(cm_hex_decode("00ff1ag1", data, 4), CM_EMALF);
    assert_int_equal(cm_hex_decode("", data, 4), CM_EMALF);
    assert_int_equal(cm_hex_decode(NULL, data, 4), CM_EMALF);
}

/* FIPS 180-4 examples, RFC 4231 test cases 1 and 2, an empty key. */
static void digests(void **state)
{
    (void)state;
    char text[CM_SHA256_HEX];
    uint8_t mac[CM_SHA256_SIZE], key[20];
    cm_sha256_hex("", 0, text);
    assert_string_equal(text, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    cm_sha256_hex("abc", 3, text);
    assert_string_equal(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    memset(key, 0x0b, sizeof(key));
    cm_hmac_sha256(key, sizeof(key), "Hi There", 8, mac);
    cm_hex(mac, sizeof(mac), text);
    assert_string_equal(text, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    cm_hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, mac);
    cm_hex(mac, sizeof(mac), text);
    assert_string_equal(text, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    cm_hmac_sha256(NULL, 0, "", 0, mac);
    cm_hex(mac, sizeof(mac), text);
    assert_string_equal(text, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

/* RFC 4231 test case 2. */
static void longer_macs(void **state)
{
    (void)state;
    static const struct {
        unsigned bits;
        const char *mac;
    } rows[] = {
        {256, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
        {384, "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e"
              "8e2240ca5e69e2c78b3239ecfab21649"},
        {512, "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
              "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t mac[CM_HMAC_MAX];
        char text[2 * CM_HMAC_MAX + 1];
        size_t len = cm_hmac_sha2(rows[i].bits, "Jefe", 4, "what do ya want for nothing?", 28, mac);
        cm_hex(mac, len, text);
        assert_string_equal(text, rows[i].mac);
    }
}

static void ulids_carry_the_time(void **state)
{
    (void)state;
    char a[CM_ULID_TEXT], b[CM_ULID_TEXT];
    cm_clock_fake(1469918176385, 0); /* the ULID specification's example: 01ARYZ6S41 */
    cm_ulid(a);
    cm_ulid(b);
    cm_clock_fake(-1, -1);
    assert_memory_equal(a, "01ARYZ6S41", 10);
    assert_memory_equal(b, "01ARYZ6S41", 10);
    assert_string_not_equal(a, b);
    assert_true(cm_ulid_ok(a));
    for (int64_t t = 1; t < 3; t++) {
        char later[CM_ULID_TEXT];
        cm_clock_fake(1469918176385 + t, 0);
        cm_ulid(later);
        cm_clock_fake(-1, -1);
        assert_true(strcmp(a, later) < 0);
    }
}

static void ulid_texts_are_checked(void **state)
{
    (void)state;
    assert_true(cm_ulid_ok("7ZZZZZZZZZZZZZZZZZZZZZZZZZ"));
    assert_false(cm_ulid_ok("8ZZZZZZZZZZZZZZZZZZZZZZZZZ")); /* beyond 128 bits */
    assert_false(cm_ulid_ok("01ARYZ6S41TSV4RRFFQ69G5FA"));
    assert_false(cm_ulid_ok("01ARYZ6S41TSV4RRFFQ69G5FAVX"));
    assert_false(cm_ulid_ok("01aryz6s41tsv4rrffq69g5fav"));
    assert_false(cm_ulid_ok("01ARYZ6S41TSV4RRFFQ69G5FAU")); /* U is not in the alphabet */
    assert_false(cm_ulid_ok("01ARYZ6S41TSV4RRFFQ69G5FA/"));
    assert_false(cm_ulid_ok(""));
    assert_false(cm_ulid_ok(NULL));
}

static void random_bytes_differ(void **state)
{
    (void)state;
    uint8_t a[300], b[300];
    memset(a, 0, sizeof(a));
    memset(b, 0, sizeof(b));
    cm_random(a, sizeof(a));
    cm_random(b, sizeof(b));
    assert_memory_not_equal(a, b, sizeof(a));
    assert_memory_not_equal(a + 268, b + 268, 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc4648_vectors),
        cmocka_unit_test(base64url_of_the_acme_world),
        cmocka_unit_test(decoders_are_strict),
        cmocka_unit_test(every_byte_survives),
        cmocka_unit_test(hex),
        cmocka_unit_test(digests),
        cmocka_unit_test(longer_macs),
        cmocka_unit_test(ulids_carry_the_time),
        cmocka_unit_test(ulid_texts_are_checked),
        cmocka_unit_test(random_bytes_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
