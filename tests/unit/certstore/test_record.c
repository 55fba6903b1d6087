/* Checksums, varints and keys on disk. */
#include "support.h"

#include "certstore/record.h"
#include "certstore/varint.h"

/* RFC 3720 B.4 */
static void crc32c_vectors(void **state)
{
    (void)state;
    uint8_t bytes[32] = {0};
    assert_int_equal(cs_crc32c(0, bytes, 32), 0x8a9136aa);
    memset(bytes, 0xff, 32);
    assert_int_equal(cs_crc32c(0, bytes, 32), 0x62a8ab43);
    for (size_t i = 0; i < 32; i++)
        bytes[i] = (uint8_t)i;
    assert_int_equal(cs_crc32c(0, bytes, 32), 0x46dd794e);
    assert_int_equal(cs_crc32c(0, "123456789", 9), 0xe3069283);
    /* In pieces of any size it is the same. */
    for (size_t cut = 0; cut <= 32; cut++)
        assert_int_equal(cs_crc32c(cs_crc32c(0, bytes, cut), bytes + cut, 32 - cut), 0x46dd794e);
    /* With and without the processor's instruction, from any address. */
    uint8_t many[300];
    for (size_t i = 0; i < sizeof(many); i++)
        many[i] = (uint8_t)(i * 37 + 11);
    for (size_t from = 0; from < 9; from++)
        for (size_t len = 0; len < sizeof(many) - from; len++)
            assert_int_equal(cs_crc32c(7, many + from, len),
                             cs_crc32c_portable(7, many + from, len));
}

static void notices_every_changed_bit(void **state)
{
    (void)state;
    uint8_t value[CS_RECORD_HEAD + 7], key_bytes[] = "dsettings:a";
    struct cs_slice key = {.data = key_bytes, .len = sizeof(key_bytes) - 1};
    struct cs_slice whole = {.data = value, .len = sizeof(value)}, payload;
    struct cm_err err = CM_ERR_INIT;
    memcpy(value + CS_RECORD_HEAD, "payload", 7);
    uint32_t crc = cs_crc32c(cs_crc32c(0, key.data, key.len), "payload", 7);
    value[0] = CS_RECORD_FORMAT;
    for (int i = 0; i < 4; i++)
        value[1 + i] = (uint8_t)(crc >> (8 * i));
    assert_int_equal(cs_record_open(&key, &whole, &payload, NULL), 0);
    assert_int_equal(payload.len, 7);
    assert_memory_equal(payload.data, "payload", 7);
    for (size_t i = 0; i < sizeof(value) * 8; i++) {
        value[i / 8] = (uint8_t)(value[i / 8] ^ (1u << i % 8));
        assert_int_equal(cs_record_open(&key, &whole, &payload, NULL), CM_EIO);
        value[i / 8] = (uint8_t)(value[i / 8] ^ (1u << i % 8));
    }
    key_bytes[3] = 'x'; /* the value of another key */
    assert_int_equal(cs_record_open(&key, &whole, &payload, &err), CM_EIO);
    assert_non_null(strstr(err.what, "dsexting"));
    cm_err_fini(&err);
    whole.len = 4;
    assert_int_equal(cs_record_open(&key, &whole, &payload, NULL), CM_EIO);
}

static void varints(void **state)
{
    (void)state;
    static const uint64_t numbers[] = {0, 1, 127, 128, 16383, 16384, INT64_MAX, UINT64_MAX};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        struct cm_buf out;
        cm_buf_init(&out, 16);
        cs_varint_put(&out, numbers[i]);
        struct cs_reader in = {.at = (uint8_t *)out.data, .end = (uint8_t *)out.data + out.len};
        assert_true(cs_read_varint(&in) == numbers[i]);
        assert_false(in.bad);
        assert_ptr_equal(in.at, in.end);
        in =
            (struct cs_reader){.at = (uint8_t *)out.data, .end = (uint8_t *)out.data + out.len - 1};
        cs_read_varint(&in);
        assert_true(in.bad);
        cm_buf_fini(&out);
    }
    uint8_t endless[12];
    memset(endless, 0xff, sizeof(endless));
    struct cs_reader in = {.at = endless, .end = endless + sizeof(endless)};
    cs_read_varint(&in);
    assert_true(in.bad);
    assert_null(cs_read_bytes(&in, 1));
}

static void keys_keep_their_order(void **state)
{
    (void)state;
    struct cs_key a, b;
    cs_key_seq(&a, 255);
    cs_key_seq(&b, 256);
    assert_true(memcmp(a.data, b.data, a.len) < 0);
    assert_int_equal(cs_u64(b.data + 1), 256);
    cs_key_begin(&a, CS_T_DOC);
    for (int i = 0; i < CS_KEY_MAX - 1; i++)
        cs_key_byte(&a, 'x');
    assert_false(a.bad);
    cs_key_byte(&a, 'x');
    assert_true(a.bad);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc32c_vectors),
        cmocka_unit_test(notices_every_changed_bit),
        cmocka_unit_test(varints),
        cmocka_unit_test(keys_keep_their_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
