/* External account binding: the MAC key in all its spellings, and the inner JWS. */
#include "support.h"

#include "keyfile/eab.h"

#define URL "https://ca.example/new-account"
/* 32 bytes, fb ff 00 01 ... : both alphabets differ in it */
#define KEY_URL "-_8AAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0"
#define KEY_STD "+/8AAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0="

static json_t *jwk(void)
{
    return json_pack("{s:s,s:s}", "kty", "EC", "crv", "P-256");
}

static void every_spelling_is_the_same_key(void **state)
{
    (void)state;
    static const char *const spellings[] = {KEY_URL, KEY_STD, KEY_URL "=", "  " KEY_STD "\n",
                                            "+/8AAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0"};
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_JSON key = jwk();
    CM_AUTO_JSON first = NULL;
    for (size_t i = 0; i < sizeof(spellings) / sizeof(spellings[0]); i++) {
        json_t *jws;
        size_t len = 0;
        OK(kf_eab_sign("kid", spellings[i], URL, key, &jws, &len, &err), err);
        assert_int_equal(len, 32);
        if (first)
            assert_true(json_equal(first, jws));
        else
            first = json_incref(jws);
        json_decref(jws);
    }
}

static void the_mac_can_be_computed_again(void **state)
{
    (void)state;
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_JSON key = jwk();
    CM_AUTO_JSON jws = NULL;
    uint8_t *bytes, mac[CM_SHA256_SIZE];
    size_t len;
    OK(kf_eab_sign("kid", KEY_URL, URL, key, &jws, &len, &err), err);
    assert_int_equal(cm_b64url_decode(KEY_URL, strlen(KEY_URL), &bytes, &len), 0);
    CM_AUTO_STR input =
        cm_asprintf("%s.%s", cm_json_str(jws, "protected"), cm_json_str(jws, "payload"));
    cm_hmac_sha256(bytes, len, input, strlen(input), mac);
    CM_AUTO_STR want = cm_b64url(mac, sizeof(mac));
    assert_string_equal(cm_json_str(jws, "signature"), want);
    cm_free(bytes);
    const char *payload = cm_json_str(jws, "payload");
    assert_int_equal(cm_b64url_decode(payload, strlen(payload), &bytes, &len), 0);
    CM_AUTO_JSON inner = NULL;
    OK(cm_json_parse((char *)bytes, len, &inner, &err), err);
    assert_true(json_equal(inner, key));
    cm_free(bytes);
}

static void what_a_person_has_to_correct(void **state)
{
    (void)state;
    static const struct {
        const char *kid, *key, *part;
    } rows[] = {
        {"kid", "", "eab_hmac: the HMAC key of the CA is missing"},
        {"kid", " \n", "missing"},
        {"kid", "====", "not base64url"},
        {"kid", "with blank", "not base64url"},
        {"kid", "A", "cut off"},
        {"kid", "LV84QUFRSURCQVVHQndnSkNnc01EUTRQRUJFU0V4UVZGaGNZR1JvYkhCMA==", "encoded twice"},
        {"", KEY_URL, "eab_kid: the key identifier of the CA is missing"},
        {"a b", KEY_URL, "eab_kid"},
        {"a\nb", KEY_URL, "eab_kid"},
    };
    CM_AUTO_JSON key = jwk();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct cm_err err = CM_ERR_INIT;
        json_t *jws = NULL;
        size_t len;
        REFUSED(kf_eab_sign(rows[i].kid, rows[i].key, URL, key, &jws, &len, &err), CM_EINVAL,
                rows[i].part, err);
        assert_null(jws);
    }
    struct cm_err err = CM_ERR_INIT;
    json_t *jws = NULL;
    size_t len;
    CM_AUTO_STR big = cm_malloc(4001);
    memset(big, 'A', 4000);
    big[4000] = '\0';
    REFUSED(kf_eab_sign("kid", big, URL, key, &jws, &len, &err), CM_EINVAL, "more than 1024", err);
    REFUSED(kf_eab_sign(big, KEY_URL, URL, key, &jws, &len, &err), CM_EINVAL, "more than 255", err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_spelling_is_the_same_key),
        cmocka_unit_test(the_mac_can_be_computed_again),
        cmocka_unit_test(what_a_person_has_to_correct),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
