/* The mark of the server where a ULID was made.  See maker.h. */
#include "keyfile/maker.h"

#include <stdio.h>
#include <string.h>

#define DIGITS    "0123456789ABCDEFGHJKMNPQRSTVWXYZ" /* Crockford's base 32, as cm_ulid() */
#define MARK_LEN  (KF_MARK_TEXT - 1)
#define TEXT_SIZE (KF_NAME_MAX + 16)

void kf_maker_mark(const char *server, char out[KF_MARK_TEXT])
{
    uint8_t digest[CM_SHA256_SIZE];
    char text[TEXT_SIZE];
    int len = snprintf(text, sizeof(text), "certmgr-maker\n%.63s", server);
    cm_sha256(text, (size_t)len, digest);
    for (size_t i = 0; i < MARK_LEN; i++)
        out[i] = DIGITS[digest[i] & 31];
    out[MARK_LEN] = '\0';
}

void kf_maker_ulid(const char *server, char out[CM_ULID_TEXT])
{
    cm_ulid(out);
    kf_maker_mark(server, out + CM_ULID_TEXT - KF_MARK_TEXT);
}

const struct kf_server *kf_maker_of(const struct kf_trust *trust, const char *ulid)
{
    if (!cm_ulid_ok(ulid))
        return NULL;
    const char *mark = ulid + CM_ULID_TEXT - KF_MARK_TEXT;
    for (size_t i = 0; i < kf_trust_count(trust); i++)
        if (memcmp(kf_trust_at(trust, i)->mark, mark, MARK_LEN) == 0)
            return kf_trust_at(trust, i);
    return NULL;
}
