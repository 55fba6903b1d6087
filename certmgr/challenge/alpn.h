/*
 * One TLS-ALPN-01 challenge looked at on one address as a CA does it (RFC 8737 3).  Internal to the
 * self-check; the HTTP-01 side is fetch.h.
 */
#pragma once

#include "certmgr/challenge/fetch.h"

struct ch_alpn;
/* http, dns and token of the options are not used.  fn once, never from inside. */
struct ch_alpn *ch_alpn(struct cm_loop *loop, const struct ch_fetch_opts *opts, ch_fetch_fn fn,
                        void *arg);
void ch_alpn_cancel(struct ch_alpn *look); /* fn is not called any more; NULL allowed */
