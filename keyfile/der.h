/* A small strict DER reader (X.690 10): definite minimal lengths only, nothing allocated. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Identifier octets; tag numbers above 30 do not occur in what we read and are refused. */
enum kf_der_tag {
    KF_DER_INTEGER = 0x02,
    KF_DER_BIT_STRING = 0x03,
    KF_DER_OCTET_STRING = 0x04,
    KF_DER_OID = 0x06,
    KF_DER_SEQUENCE = 0x30,
    KF_DER_SET = 0x31,
    KF_DER_CONTEXT0 = 0x80,             /* [0] IMPLICIT, primitive */
    KF_DER_CONTEXT0_CONSTRUCTED = 0xa0, /* [0], constructed; [1] is 0xa1, … */
    KF_DER_CONTEXT1_CONSTRUCTED = 0xa1,
};

struct kf_der {
    const uint8_t *at, *end;
};

/* Takes one element with this identifier from the front of `in`; its content goes to ret.  False
 * when there is none, or it is not DER. */
bool kf_der_take(struct kf_der *in, uint8_t tag, struct kf_der *ret);
/* As above, and the whole element with its head goes to `whole` (order of SET OF). */
bool kf_der_take_whole(struct kf_der *in, uint8_t tag, struct kf_der *ret, struct kf_der *whole);
bool kf_der_empty(const struct kf_der *in);
/* Takes an element and compares its content; false when it differs. */
bool kf_der_expect(struct kf_der *in, uint8_t tag, const void *content, size_t len);
/* Takes an element whose content has exactly len octets. */
bool kf_der_take_sized(struct kf_der *in, uint8_t tag, size_t len, const uint8_t **ret);
