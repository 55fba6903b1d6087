/* Certificate chains from a CA: split, described, compared; never a crash, never half a result. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/json.h"
#include "base/core/mem.h"
#include "keyfile/cert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The chain may pass: asked for is what it says of itself. */
static void check(const char *pem, size_t len, const struct kf_cert_info *info,
                  struct kf_roots *roots)
{
    struct kf_chain chain;
    int rc = kf_chain_check(pem, len, info->san, info->public_key_sha256, roots,
                            info->not_after_ms - 1, &chain, NULL);
    if (rc == 0 && (!chain.leaf || !chain.intermediates ||
                    strcmp(chain.info.fingerprint, info->fingerprint) != 0))
        abort();
    if (rc != 0 && (chain.leaf || chain.root || chain.info.san))
        abort();
    kf_chain_fini(&chain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kf_cert_info info;
    struct kf_chain chain;
    CM_AUTO_STR pem = cm_strndup((const char *)data, size);
    CM_AUTO_JSON none = json_array();
    if (kf_chain_check((const char *)data, size, none, "", NULL, 0, &chain, NULL) == 0)
        abort(); /* nobody has the empty key */
    if (kf_cert_info(pem, &info, NULL) == 0) {
        struct kf_roots *roots = kf_roots_new(pem);
        check(pem, strlen(pem), &info, roots);
        check(pem, strlen(pem), &info, roots); /* with its end known, maybe */
        kf_roots_free(roots);
        kf_cert_info_fini(&info);
    }
    return 0;
}
