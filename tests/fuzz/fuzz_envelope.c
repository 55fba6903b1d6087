/* The strict reading of envelopes: every input is refused or has the form that we write. */
#include <stdint.h>
#include <stdlib.h>

#include "keyfile/envelope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kf_envelope envelope;
    struct cm_err err = CM_ERR_INIT;
    int rc = kf_envelope_check(data, size, &envelope, &err);
    if (rc == 0) {
        if (envelope.recipient_count < 1 || envelope.recipient_count > KF_RECIPIENTS_MAX ||
            envelope.content_len == 0 || envelope.content_len >= size)
            abort();
        for (size_t i = 0; i < envelope.recipient_count; i++) {
            const uint8_t *ski = envelope.ski[i];
            if (ski < data || ski + KF_SKI_SIZE > data + size || !kf_envelope_lists(&envelope, ski))
                abort();
        }
    } else if (rc != CM_EMALF && rc != CM_ELIMIT) {
        abort();
    }
    cm_err_fini(&err);
    return 0;
}
