/* The self-check's look at one address for TLS-ALPN-01. */
#include "certmgr/challenge/alpn.h"

#include <errno.h>
#include <string.h>

#include "base/core/bytes.h"
#include "base/core/mem.h"
#include "base/net/tls_alpn.h"

struct ch_alpn {
    char *host;
    char address[64];
    bool address_first;
    int port;
    struct tls_alpn_look *look;
    ch_fetch_fn fn;
    void *arg;
};

void ch_alpn_cancel(struct ch_alpn *look)
{
    if (!look)
        return;
    tls_alpn_look_cancel(look->look);
    cm_free(look->host);
    cm_free(look);
}

static void on_seen(void *arg, const struct tls_alpn_seen *seen)
{
    struct ch_alpn *look = arg;
    ch_fetch_fn fn = look->fn;
    void *fn_arg = look->arg;
    struct cm_err err = CM_ERR_INIT;
    int number = seen->sys_errno;
    struct ch_fetch_end end = {.served = seen->proved};
    look->look = NULL;
    if (!seen->proved) {
        cm_fail(&err, seen->err->code, "the challenge of %.100s is not shown on %s port %d%s: %s",
                look->host, look->address, look->port,
                look->address_first ? " (the address a CA tries first)" : "", seen->err->what);
        for (unsigned i = 0; i < seen->err->cause_count; i++)
            cm_err_cause(&err, "%s", seen->err->cause[i]);
        cm_err_object(&err, "host %s", look->host);
        cm_err_hint(&err, "%s", seen->err->hint);
        end.err = &err;
        end.silent = number != 0 || seen->err->code == CM_ETIMEOUT;
        end.no_route = number == ENETUNREACH || number == EHOSTUNREACH || number == EADDRNOTAVAIL;
    }
    ch_alpn_cancel(look);
    fn(fn_arg, &end);
    cm_err_fini(&err);
}

struct ch_alpn *ch_alpn(struct cm_loop *loop, const struct ch_fetch_opts *opts, ch_fetch_fn fn,
                        void *arg)
{
    struct ch_alpn *look = cm_calloc(1, sizeof(*look));
    uint8_t digest[CM_SHA256_SIZE];
    *look = (struct ch_alpn){.host = cm_strdup(opts->host),
                             .address_first = opts->address_first,
                             .port = opts->port,
                             .fn = fn,
                             .arg = arg};
    (void)cm_strcpy(look->address, sizeof(look->address), opts->address);
    cm_sha256(opts->answer, strlen(opts->answer), digest);
    look->look = tls_alpn_look(loop, opts->address, opts->port, opts->host, digest, CH_FETCH_MS,
                               on_seen, look);
    return look;
}
