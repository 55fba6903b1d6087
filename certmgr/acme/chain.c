/* A strict line reader over PEM. */
#include "certmgr/acme/chain.h"

#include <stdbool.h>
#include <string.h>

#define BEGIN_LINE "-----BEGIN CERTIFICATE-----"
#define END_LINE   "-----END CERTIFICATE-----"

static bool is_line(const char *line, size_t len, const char *want)
{
    return len == strlen(want) && memcmp(line, want, len) == 0;
}

static bool is_base64(const char *line, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char c = line[i];
        bool ok = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                  c == '+' || c == '/' || c == '=';
        if (!ok)
            return false;
    }
    return len > 0;
}

int acme_chain_check(const char *text, size_t len, struct cm_err *err)
{
    bool inside = false;
    unsigned certs = 0;
    unsigned lines = 0; /* of the present block */
    if (len > ACME_CHAIN_MAX)
        return cm_fail(err, CM_ELIMIT, "The CA's chain is larger than %u KiB",
                       ACME_CHAIN_MAX >> 10);
    for (size_t at = 0; at < len;) {
        const char *line = text + at;
        const char *newline = memchr(line, '\n', len - at);
        size_t n = newline ? (size_t)(newline - line) : len - at;
        at += n + (newline ? 1 : 0);
        if (n > 0 && line[n - 1] == '\r')
            n--;
        if (inside && is_line(line, n, END_LINE) && lines > 0) {
            inside = false;
        } else if (inside && is_base64(line, n)) {
            lines++;
        } else if (!inside && is_line(line, n, BEGIN_LINE)) {
            inside = true;
            lines = 0;
            if (++certs > ACME_CHAIN_CERTS_MAX)
                return cm_fail(err, CM_ELIMIT, "The CA's chain has more than %d certificates",
                               ACME_CHAIN_CERTS_MAX);
        } else if (inside || n > 0) {
            return cm_fail(err, CM_EPEER,
                           "The CA's chain holds something else than PEM certificates");
        }
    }
    if (inside || certs == 0)
        return cm_fail(err, CM_EPEER, "The CA's chain is %s", inside ? "cut off" : "empty");
    return 0;
}
