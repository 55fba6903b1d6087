/* External account binding: the MAC key in all its spellings, and the inner JWS. */
#include "support.h"

#include "keyfile/eab.h"

#define URL "https://ca.example/new-account"
/* 32 bytes, fb ff 00 01 ... : both alphabets differ in it */
#define KEY_URL "-_8AAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0"
#define KEY_STD "+/8AAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0="

/* The text of 43 characters and a "=", encoded once more */
#define KEY_TWICE "LV84QUFRSURCQVVHQndnSkNnc01EUTRQRUJFU0V4UVZGaGNZR1JvYkhCMD0"

static json_t *jwk(void)
{
    return json_pack("{s:s,s:s}", "kty", "EC", "crv", "P-256");
}

static struct kf_eab signed_by(const char *hmac, const char *alg, const json_t *key)
{
    struct cm_err err = CM_ERR_INIT;
    struct kf_eab eab;
    OK(kf_eab_sign("kid", hmac, alg, URL, key, &eab, &err), err);
    return eab;
}

static void every_spelling_is_the_same_key(void **state)
{
    (void)state;
    static const char *const spellings[] = {
        KEY_URL,
        KEY_STD,
        KEY_URL "=",
        "  " KEY_STD "\n",
        "+/8AAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0",
        "+/8AAQIDBAUGBwgJ\r\n  CgsMDQ4PEBESExQVFhcYGRobHB0=\r\n",
        "\"" KEY_STD "\"",
        "'" KEY_URL "'"};
    CM_AUTO_JSON key = jwk();
    CM_AUTO_JSON first = NULL;
    for (size_t i = 0; i < sizeof(spellings) / sizeof(spellings[0]); i++) {
        struct kf_eab eab = signed_by(spellings[i], "HS256", key);
        assert_int_equal(eab.key_len, 32);
        assert_null(eab.other);
        if (first)
            assert_true(json_equal(first, eab.jws));
        else
            first = json_incref(eab.jws);
        json_decref(eab.jws);
    }
}

/* Whose MAC is it? */
static void assert_mac(const json_t *jws, unsigned bits, const void *key, size_t len)
{
    uint8_t mac[CM_HMAC_MAX];
    CM_AUTO_STR input =
        cm_asprintf("%s.%s", cm_json_str(jws, "protected"), cm_json_str(jws, "payload"));
    size_t mac_len = cm_hmac_sha2(bits, key, len, input, strlen(input), mac);
    CM_AUTO_STR want = cm_b64url(mac, mac_len);
    assert_string_equal(cm_json_str(jws, "signature"), want);
}

static void the_mac_can_be_computed_again(void **state)
{
    (void)state;
    static const unsigned bits[] = {256, 384, 512};
    CM_AUTO_JSON key = jwk();
    uint8_t *bytes, *part;
    size_t len, part_len;
    assert_int_equal(cm_b64url_decode(KEY_URL, strlen(KEY_URL), &bytes, &len), 0);
    for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
        CM_AUTO_STR alg = cm_asprintf("HS%u", bits[i]);
        struct cm_err err = CM_ERR_INIT;
        struct kf_eab eab = signed_by(KEY_URL, alg, key);
        assert_mac(eab.jws, bits[i], bytes, len);
        const char *head = cm_json_str(eab.jws, "protected");
        assert_int_equal(cm_b64url_decode(head, strlen(head), &part, &part_len), 0);
        CM_AUTO_JSON protected = NULL;
        OK(cm_json_parse((char *)part, part_len, &protected, &err), err);
        assert_string_equal(cm_json_str(protected, "alg"), alg);
        cm_free(part);
        const char *payload = cm_json_str(eab.jws, "payload");
        assert_int_equal(cm_b64url_decode(payload, strlen(payload), &part, &part_len), 0);
        CM_AUTO_JSON inner = NULL;
        OK(cm_json_parse((char *)part, part_len, &inner, &err), err);
        assert_true(json_equal(inner, key));
        cm_free(part);
        json_decref(eab.jws);
    }
    cm_free(bytes);
}

/* Some portals encode twice; some CAs' keys are texts.  Only the CA knows, so both are signed. */
static void an_ambiguous_key_is_read_both_ways(void **state)
{
    (void)state;
    static const char text[] = "-_8AAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0="; /* decoded once */
    CM_AUTO_JSON key = jwk();
    uint8_t *bytes;
    size_t len;
    struct kf_eab eab = signed_by(KEY_TWICE, "HS256", key);
    assert_int_equal(eab.key_len, strlen(text));
    assert_mac(eab.jws, 256, text, strlen(text));
    assert_int_equal(cm_b64url_decode(KEY_URL, strlen(KEY_URL), &bytes, &len), 0);
    assert_mac(eab.other, 256, bytes, len);
    cm_free(bytes);
    json_decref(eab.jws);
    json_decref(eab.other);
    eab = signed_by("c2hvcnRUZXh0S2V5", "HS256", key); /* "shortTextKey": too short for chance */
    assert_null(eab.other);
    json_decref(eab.jws);
    /* 25 characters cannot be base64, so there is one reading only. */
    eab = signed_by("YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYQ", "HS256", key);
    assert_int_equal(eab.key_len, 25);
    assert_null(eab.other);
    json_decref(eab.jws);
}

static void what_a_person_has_to_correct(void **state)
{
    (void)state;
    static const struct {
        const char *kid, *key, *alg, *part;
    } rows[] = {
        {"kid", "", "HS256", "eab_hmac: the HMAC key of the CA is missing"},
        {"kid", " \n\"\"", "HS256", "missing"},
        {"kid", "====", "HS256", "not base64url"},
        {"kid", "AAAA=AAAA", "HS256", "not base64url"},
        {"kid", "key: AAAA", "HS256", "not base64url"},
        {"kid", "A", "HS256", "cut off"},
        {"kid", KEY_URL, "HS1", "eab_alg: choose"},
        {"kid", KEY_URL, "", "eab_alg: choose"},
        {"", KEY_URL, "HS256", "eab_kid: the key identifier of the CA is missing"},
        {"a b", KEY_URL, "HS256", "eab_kid"},
        {"a\nb", KEY_URL, "HS256", "eab_kid"},
    };
    CM_AUTO_JSON key = jwk();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct cm_err err = CM_ERR_INIT;
        struct kf_eab eab;
        REFUSED(kf_eab_sign(rows[i].kid, rows[i].key, rows[i].alg, URL, key, &eab, &err), CM_EINVAL,
                rows[i].part, err);
        assert_null(eab.jws);
    }
    struct cm_err err = CM_ERR_INIT;
    struct kf_eab eab;
    CM_AUTO_STR big = cm_malloc(4001);
    memset(big, 'A', 4000);
    big[4000] = '\0';
    REFUSED(kf_eab_sign("kid", big, "HS256", URL, key, &eab, &err), CM_EINVAL, "more than 1024",
            err);
    REFUSED(kf_eab_sign(big, KEY_URL, "HS256", URL, key, &eab, &err), CM_EINVAL, "more than 255",
            err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_spelling_is_the_same_key),
        cmocka_unit_test(the_mac_can_be_computed_again),
        cmocka_unit_test(an_ambiguous_key_is_read_both_ways),
        cmocka_unit_test(what_a_person_has_to_correct),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
