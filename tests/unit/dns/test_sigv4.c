/* Vectors of AWS's published Signature Version 4 test suite; XML of Route 53; RS256. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <string.h>

#include "base/core/bytes.h"
#include "base/core/mem.h"
#include "certmgr/dns/route53_api.h"
#include "certmgr/dns/sign.h"
#include "certmgr/dns/sigv4.h"
#include "certmgr/dns/xml.h"

#define SUITE_TIME INT64_C(1440938160000) /* 20150830T123600Z */

static void published_vectors(void **state)
{
    static const struct {
        const char *method, *query, *signature;
    } rows[] = {
        {"GET", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
        {"POST", "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
        {"GET", "Param1=value1&Param2=value2",
         "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
    };
    const struct sigv4_key key = {.id = "AKIDEXAMPLE",
                                  .secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
                                  .region = "us-east-1",
                                  .service = "service"};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct sigv4_request request = {.method = rows[i].method,
                                              .host = "example.amazonaws.com",
                                              .path = "/",
                                              .query = rows[i].query};
        char date[SIGV4_DATE];
        CM_AUTO_STR line = sigv4_sign(&request, &key, SUITE_TIME, date);
        CM_AUTO_STR want =
            cm_asprintf("Authorization: AWS4-HMAC-SHA256 "
                        "Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
                        "SignedHeaders=host;x-amz-date, Signature=%s",
                        rows[i].signature);
        assert_string_equal(date, "20150830T123600Z");
        assert_string_equal(line, want);
    }
}

static json_t *xml(const char *text, int code)
{
    json_t *v = NULL;
    assert_int_equal(xml_parse(text, strlen(text), &v, NULL), code);
    return v;
}

static void xml_is_read_strictly(void **state)
{
    (void)state;
    json_t *v = xml("<?xml version=\"1.0\"?>\n<A xmlns=\"x\"><B c='d'> 1 &amp; &#34;2&quot; </B>"
                    "<B/><C><D>e</D></C></A>\n",
                    0);
    assert_string_equal(xml_text(v, "B"), "1 & \"2\"");
    assert_string_equal(xml_text(v, "C/D"), "e");
    assert_null(xml_text(v, "C/E"));
    json_decref(v);
    static const char *const bad[] = {"",
                                      "a",
                                      "<a>",
                                      "<a></b>",
                                      "<a",
                                      "<a b></a>",
                                      "<a b=c></a>",
                                      "<a b='<'></a>",
                                      "<a/><b/>",
                                      "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>",
                                      "<a>&b;</a>",
                                      "<a>&#0;</a>",
                                      "<a>&#999;</a>",
                                      "<a><![CDATA[x]]></a>",
                                      "<a><!-- x --></a>",
                                      "<a><?x?></a>",
                                      "<a>\xff</a>",
                                      "<a>&amp</a>",
                                      "</a>",
                                      "<a></a",
                                      "<a></ a>"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_null(xml(bad[i], CM_EMALF));
    struct cm_buf deep;
    cm_buf_init(&deep, 1000);
    for (int i = 0; i < 30; i++)
        cm_buf_puts(&deep, "<a>");
    assert_null(xml(cm_buf_str(&deep), CM_ELIMIT));
    cm_buf_fini(&deep);
}

static void changes_and_sets(void **state)
{
    struct cm_buf out;
    (void)state;
    json_t *values = json_pack("[s, s]", "\"a<&\"", "\"b\"");
    cm_buf_init(&out, 4096);
    r53_change(&out, "UPSERT", "_acme-challenge.example.com", 60, values);
    json_t *v = xml(cm_buf_str(&out), 0);
    const json_t *set = xml_at(v, "ChangeBatch/Changes/Change/ResourceRecordSet");
    assert_string_equal(xml_text(set, "Name"), "_acme-challenge.example.com.");
    assert_string_equal(xml_text(set, "TTL"), "60");
    assert_string_equal(xml_text(set, "ResourceRecords/ResourceRecord/Value"), "\"a<&\"");
    json_decref(v);
    cm_buf_fini(&out);
    v = xml("<R><ResourceRecordSets><ResourceRecordSet><Name>other.example.com.</Name>"
            "<Type>TXT</Type></ResourceRecordSet></ResourceRecordSets></R>",
            0);
    int64_t ttl = 9;
    assert_int_equal(r53_values(v, "example.com", values, &ttl, NULL), 0);
    assert_int_equal(json_array_size(values), 0); /* the list begins behind the name */
    assert_int_equal(ttl, 9);
    json_decref(v);
    json_decref(values);
}

static void rs256_verifies(void **state)
{
    uint8_t *raw = NULL;
    size_t len = 0;
    char *signature = NULL, *pem = NULL;
    (void)state;
    EVP_PKEY *key = EVP_RSA_gen(2048);
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
    long size = BIO_get_mem_data(bio, &pem);
    /* As a JSON key file holds it: \n of two characters. */
    struct cm_buf text;
    cm_buf_init(&text, 8192);
    for (long i = 0; i < size; i++)
        cm_buf_puts(&text, pem[i] == '\n' ? "\\n" : (char[]){pem[i], '\0'});
    assert_int_equal(sign_rs256(cm_buf_str(&text), "header.claims", &signature, NULL), 0);
    assert_int_equal(cm_b64url_decode(signature, strlen(signature), &raw, &len), 0);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestVerifyInit_ex(ctx, NULL, "SHA256", NULL, NULL, key, NULL), 1);
    assert_int_equal(EVP_DigestVerify(ctx, raw, len, (const unsigned char *)"header.claims", 13),
                     1);
    EVP_MD_CTX_free(ctx);
    cm_free(raw);
    cm_free(signature);
    cm_buf_fini(&text);
    BIO_free(bio);
    EVP_PKEY_free(key);
    assert_int_equal(sign_rs256("no key", "x", &signature, NULL), CM_EINVAL);
    assert_null(signature);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_vectors),
        cmocka_unit_test(xml_is_read_strictly),
        cmocka_unit_test(changes_and_sets),
        cmocka_unit_test(rs256_verifies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
