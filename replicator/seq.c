/* Sequence tokens: writing and reading. */
#include "replicator/seq.h"

#include <stdio.h>
#include <string.h>

#include "base/core/err.h"
#include "base/core/mem.h"
#include "base/core/num.h"

#define TOKEN_MAX 256

void rp_seq_format(int64_t seq, const char *epoch, char out[RP_SEQ_TEXT])
{
    snprintf(out, RP_SEQ_TEXT, "%lld-%.8s", (long long)seq, epoch);
}

int rp_seq_parse(const char *text, const char *epoch, int64_t newest, int64_t *ret)
{
    char token[TOKEN_MAX];
    size_t len = strlen(text);
    if (len >= 2 && text[0] == '"' && text[len - 1] == '"') {
        text++;
        len -= 2;
    }
    if (len >= sizeof(token))
        return CM_EMALF;
    memcpy(token, text, len);
    token[len] = '\0';
    if (strcmp(token, "now") == 0) {
        *ret = newest;
        return 0;
    }
    char *dash = strchr(token, '-');
    if (dash)
        *dash = '\0';
    if (cm_num_i64(token, 0, INT64_MAX, ret) < 0)
        return CM_EMALF;
    /* A sequence that this incarnation never gave out: everything is sent again, nothing lost. */
    if ((dash && strcmp(dash + 1, epoch) != 0) || *ret > newest)
        *ret = 0;
    return 0;
}
