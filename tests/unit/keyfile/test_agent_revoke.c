/* revoke.sign: what a credential's key signs, for whom, and everything it does not sign; the names
 * of certificates at a CA. */
#include "deploy_support.h"

#include "keyfile/certid.h"

/* A credential that server-1 holds the key of and that is to be revoked by it, unsigned. */
static json_t *order(int reason)
{
    json_t *body = body_for_server_1();
    CM_AUTO_STR chain =
        cm_asprintf("%s%s", cm_json_str(body, "leaf"), cm_json_str(body, "intermediates"));
    json_t *credential = json_object();
    static const char *const kept[] = {"sealed_key", "key_generation", "public_key_sha256",
                                       "fingerprint"};
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        json_object_set(credential, kept[i], json_object_get(body, kept[i]));
    cm_json_set_str(credential, "_id", "credential:" ULID);
    cm_json_set_str(credential, "type", "credential");
    cm_json_set_str(credential, "status", "revoke_pending");
    cm_json_set_str(credential, "chain", chain);
    cm_json_set(credential, "revocation",
                json_pack("{s:s,s:i,s:O}", "signer", "key", "reason", reason, "fingerprint",
                          json_object_get(body, "fingerprint")));
    json_decref(body);
    return credential;
}

static json_t *request_of(const json_t *document, const char *url)
{
    json_t *request = with_document("revoke.sign", document);
    cm_json_set_str(request, "url", url);
    cm_json_set_str(request, "nonce", "nonce-1");
    return request;
}

static json_t *part_of(const json_t *jws, const char *member)
{
    const char *text = cm_json_str(jws, member);
    uint8_t *data;
    size_t len;
    json_t *part;
    assert_int_equal(cm_b64url_decode(text, strlen(text), &data, &len), 0);
    assert_int_equal(cm_json_parse((char *)data, len, &part, NULL), 0);
    cm_free(data);
    return part;
}

#define URL "https://ca.example/revoke"

static void signs_exactly_this_revocation(void **state)
{
    (void)state;
    CM_AUTO_JSON body = order(4);
    CM_AUTO_JSON document = resign(body);
    CM_AUTO_JSON reply = call(&f.server, request_of(document, URL));
    const json_t *jws = cm_json_obj(reply, "jws");
    CM_AUTO_JSON head = part_of(jws, "protected");
    CM_AUTO_JSON payload = part_of(jws, "payload");
    assert_string_equal(cm_json_str(head, "url"), URL);
    assert_string_equal(cm_json_str(head, "nonce"), "nonce-1");
    assert_string_equal(cm_json_str(head, "alg"), "ES256");
    assert_null(json_object_get(head, "kid"));
    assert_string_equal(cm_json_str(cm_json_obj(head, "jwk"), "kty"), "EC");
    const char *chain = cm_json_str(body, "chain");
    CM_AUTO_STR leaf = kf_leaf_b64url(chain, strlen(chain));
    assert_string_equal(cm_json_str(payload, "certificate"), leaf);
    assert_int_equal(cm_json_int(payload, "reason", -1), 4);
    assert_int_equal(json_object_size(payload), 2);
    CM_AUTO_JSON plain = order(0);
    CM_AUTO_JSON second = resign(plain);
    CM_AUTO_JSON other = call(&f.server, request_of(second, URL));
    CM_AUTO_JSON without = part_of(cm_json_obj(other, "jws"), "payload");
    assert_null(json_object_get(without, "reason"));
}

/* One member changed and the document signed again: what is then refused. */
static void refuses(const char *member, json_t *take_value, const char *code, const char *text)
{
    CM_AUTO_JSON body = order(0);
    cm_json_set(body, member, take_value);
    CM_AUTO_JSON document = resign(body);
    refused(&f.server, request_of(document, URL), code, text);
}

static void refuses_everything_else(void **state)
{
    (void)state;
    CM_AUTO_JSON body = order(0);
    CM_AUTO_JSON document = resign(body);
    refused(&f.server, request_of(document, "https://evil.example/revoke"), "denied",
            "not configured");
    refused(&f.server, request_of(document, "http://ca.example/revoke"), "malformed", "https");
    refused(&f.second, request_of(document, URL), "denied", "");
    refused(&f.manager, request_of(document, URL), "denied", "recipient");
    CM_AUTO_JSON changed = json_deep_copy(document);
    cm_json_set_int(json_object_get(changed, "revocation"), "reason", 1);
    refused(&f.server, request_of(changed, URL), "denied", "");
    CM_AUTO_JSON unsigned_one = json_deep_copy(body);
    refused(&f.server, request_of(unsigned_one, URL), "denied", "no signature");
    refuses("status", json_string("issued"), "denied", "not to be revoked");
    refuses("status", json_string("revoked"), "denied", "not to be revoked");
    refuses("revocation", json_pack("{s:s}", "signer", "account"), "denied", "not to be revoked");
    refuses("revocation", json_pack("{s:s,s:s}", "signer", "key", "fingerprint", "00"), "denied",
            "another certificate");
    refuses("key_generation", json_integer(2), "denied", "");
    refuses("sealed_key", json_string("AAAA"), "malformed", "");
    refuses("chain", json_string("-----BEGIN"), "malformed", "");
    CM_AUTO_STR foreign = ca_leaf(&f.ca, f.ca.middle_key, "DNS:www.example.com");
    refuses("chain", json_string(foreign), "denied", "another key");
    json_t *bad = request_of(document, URL);
    cm_json_set_str(bad, "nonce", "a=b");
    refused(&f.server, bad, "malformed", "nonce");
    bad = request_of(document, URL);
    cm_json_set_str(bad, "payload", "{}");
    refused(&f.server, bad, "malformed", "unknown member");
}

/* ---- names at a CA ------------------------------------------------------------------------------
 */

/* The example certificate of RFC 9773 (appendix A) is reproduced by its AKI and serial. */
static char *cert_with(const char *aki, const char *serial_hex)
{
    EVP_PKEY *key;
    assert_int_equal(kf_pkey_generate(KF_KEY_P256, &key, NULL), 0);
    X509 *cert = make_cert("ari", key, "ari", key, NULL, -60, 3600);
    BIGNUM *number = NULL;
    assert_true(BN_hex2bn(&number, serial_hex) > 0);
    ASN1_INTEGER *serial = BN_to_ASN1_INTEGER(number, NULL);
    assert_int_equal(X509_set_serialNumber(cert, serial), 1);
    int at = X509_get_ext_by_NID(cert, NID_authority_key_identifier, -1);
    if (at >= 0)
        X509_EXTENSION_free(X509_delete_ext(cert, at));
    if (aki) {
        AUTHORITY_KEYID *id = AUTHORITY_KEYID_new();
        long len;
        unsigned char *octets = OPENSSL_hexstr2buf(aki, &len);
        id->keyid = ASN1_OCTET_STRING_new();
        assert_int_equal(ASN1_OCTET_STRING_set(id->keyid, octets, (int)len), 1);
        assert_int_equal(X509_add1_ext_i2d(cert, NID_authority_key_identifier, id, 0, 0), 1);
        OPENSSL_free(octets);
        AUTHORITY_KEYID_free(id);
    }
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    char *pem = cert_pem(cert);
    ASN1_INTEGER_free(serial);
    BN_free(number);
    X509_free(cert);
    EVP_PKEY_free(key);
    return pem;
}

/* RFC 9773 4.1; reference/acme.md 5.2: the leading zero octet of the serial stays. */
static void ari_id(void **state)
{
    (void)state;
    char id[KF_CERTID_MAX];
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_STR pem = cert_with("69885B6B87464041E1B37B847BA0AE2CDE01C8D4", "87654321");
    assert_int_equal(kf_ari_id(pem, strlen(pem), id, NULL), 0);
    assert_string_equal(id, "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE");
    CM_AUTO_STR low = cert_with("69885B6B87464041E1B37B847BA0AE2CDE01C8D4", "07654321");
    assert_int_equal(kf_ari_id(low, strlen(low), id, NULL), 0);
    assert_string_equal(id, "aYhba4dGQEHhs3uEe6CuLN4ByNQ.B2VDIQ");
    CM_AUTO_STR none = cert_with(NULL, "01");
    assert_int_equal(kf_ari_id(none, strlen(none), id, &err), CM_ENOENT);
    cm_err_fini(&err);
    assert_int_equal(kf_ari_id("nothing", 7, id, NULL), CM_EMALF);
    assert_null(kf_leaf_b64url("nothing", 7));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(signs_exactly_this_revocation, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_everything_else, setup, teardown),
        cmocka_unit_test(ari_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
