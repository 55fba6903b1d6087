/* A small strict DER reader. */
#include "keyfile/der.h"

#include <string.h>

#define LENGTH_OCTETS_MAX 4

bool kf_der_empty(const struct kf_der *in)
{
    return in->at == in->end;
}

/* Length octets: short form below 128, else the fewest octets that hold it; 0x80 (indefinite) and
 * reserved forms are not DER. */
static bool take_length(const uint8_t **at, const uint8_t *end, size_t *ret)
{
    if (*at == end)
        return false;
    uint8_t first = *(*at)++;
    if (first < 0x80) {
        *ret = first;
        return true;
    }
    size_t octets = first & 0x7fu;
    if (octets == 0 || octets > LENGTH_OCTETS_MAX || (size_t)(end - *at) < octets || **at == 0)
        return false;
    size_t len = 0;
    while (octets-- > 0)
        len = len << 8 | *(*at)++;
    *ret = len;
    return len >= 0x80;
}

bool kf_der_take_whole(struct kf_der *in, uint8_t tag, struct kf_der *ret, struct kf_der *whole)
{
    const uint8_t *at = in->at;
    size_t len;
    if (at == in->end || *at++ != tag || (tag & 0x1f) == 0x1f)
        return false;
    if (!take_length(&at, in->end, &len) || (size_t)(in->end - at) < len)
        return false;
    *whole = (struct kf_der){in->at, at + len};
    *ret = (struct kf_der){at, at + len};
    in->at = at + len;
    return true;
}

bool kf_der_take(struct kf_der *in, uint8_t tag, struct kf_der *ret)
{
    struct kf_der whole;
    return kf_der_take_whole(in, tag, ret, &whole);
}

bool kf_der_take_sized(struct kf_der *in, uint8_t tag, size_t len, const uint8_t **ret)
{
    struct kf_der content;
    if (!kf_der_take(in, tag, &content) || (size_t)(content.end - content.at) != len)
        return false;
    *ret = content.at;
    return true;
}

bool kf_der_expect(struct kf_der *in, uint8_t tag, const void *content, size_t len)
{
    const uint8_t *got;
    return kf_der_take_sized(in, tag, len, &got) && memcmp(got, content, len) == 0;
}
