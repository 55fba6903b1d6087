/* libcrypto's error queue as cm_err. */
#include "keyfile/ossl.h"

#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>

int kf_ossl_fail(struct cm_err *err, int code, const char *fmt, ...)
{
    char text[CM_ERR_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
        text[0] = '\0';
    va_end(ap);
    cm_fail(err, code, "%s", text);

    unsigned long queued;
    const char *data;
    int flags;
    for (unsigned n = 0; (queued = ERR_get_error_all(NULL, NULL, NULL, &data, &flags)) != 0; n++) {
        const char *reason = ERR_reason_error_string(queued);
        if (n >= CM_ERR_CAUSES_MAX)
            continue;
        if ((flags & ERR_TXT_STRING) && data[0])
            cm_err_cause(err, "%s (%s)", reason ? reason : "libcrypto error", data);
        else
            cm_err_cause(err, "%s", reason ? reason : "libcrypto error");
    }
    return code;
}
