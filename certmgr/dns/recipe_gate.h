/* Limits of a provider account over all its calls: requests side by side, pause between them. */
#pragma once

#include "base/net/loop.h"

#define GATE_ACCOUNTS_MAX 64 /* remembered while idle */
#define GATE_INTERVAL_MAX 60000

struct gate_pass;
/* Asks for leave; fn(arg) follows once on a later turn, in the order of asking, when fewer than
 * parallel passes of this key are held and interval_ms is over since the last one began. */
struct gate_pass *gate_ask(struct cm_loop *loop, const char *key, int64_t parallel,
                           int64_t interval_ms, cm_fn fn, void *arg);
/* Gives a pass back, or stops waiting for it.  NULL is allowed. */
void gate_leave(struct gate_pass *pass);
