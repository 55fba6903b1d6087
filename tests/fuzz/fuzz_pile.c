/* Files with a private key, PEM or PKCS #12: read whole or refused, never half a result.  The key
 * material in the corpus was made for it and opens nothing. */
#include <stdint.h>
#include <stdlib.h>

#include "keyfile/handover.h"
#include "keyfile/pile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kf_pile pile;
    struct cm_err err = CM_ERR_INIT;
    if (size > KF_HANDOVER_DATA_MAX)
        return 0;
    int rc = kf_pile_read(data, size, "password", &pile, &err);
    if (rc == 0 && (!pile.key || !pile.leaf || sk_X509_num(pile.certs) < 1))
        abort();
    if (rc != 0 && (pile.key || pile.leaf || pile.certs || !err.what[0]))
        abort();
    kf_pile_fini(&pile);
    cm_err_fini(&err);
    return 0;
}
