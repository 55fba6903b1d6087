/* Values of challenges, by the vectors of reference/acme.md 5.2. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/core/bytes.h"
#include "base/core/mem.h"
#include "certmgr/acme/proof.h"
#include "certmgr/acme/text.h"

#define TOKEN "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"

static const struct {
    const char *thumbprint, *txt, *digest;
} vectors[] = {
    {"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs", "ZTRx1Ckl1-tM05o5zaizTTA0yUy5AGereMgSNWC6Ll8",
     "653471d42925d7eb4cd39a39cda8b34d3034c94cb90067ab78c8123560ba2e5f"},
    {"oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U", "ZaJgFtIV4WA0t2MzN7kbSk0sfRd2GZjaxRqaSTAK6lI",
     "65a26016d215e16034b7633337b91b4a4d2c7d17761998dac51a9a49300aea52"},
};

static void values(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        CM_AUTO_STR auth = acme_key_authorization(TOKEN, vectors[i].thumbprint);
        char txt[ACME_TXT_SIZE];
        uint8_t digest[32];
        char hex[65];
        acme_dns01_value(auth, txt);
        assert_string_equal(txt, vectors[i].txt);
        acme_proof_digest(auth, digest);
        cm_hex(digest, sizeof(digest), hex);
        assert_string_equal(hex, vectors[i].digest);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
