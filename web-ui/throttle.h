/*
 * Delays after failed logins, per account and per client address: 1 s, 2 s, 4 s … 5 min.
 *
 * In memory and bounded.  There is never a lock-out: the delay ends by itself, and root on the Unix
 * socket needs no login.
 */
#pragma once

#include <stdint.h>

#define THROTTLE_ENTRIES   1024   /* remembered accounts, and as many addresses */
#define THROTTLE_MAX_MS    300000 /* longest delay */
#define THROTTLE_FORGET_MS 3600000

struct web_throttle;
struct web_throttle *web_throttle_new(void);
void web_throttle_free(struct web_throttle *throttle);
/* Milliseconds until this account may be tried from this address ("1.2.3.4:5", "[::1]:5"). */
int64_t web_throttle_wait(struct web_throttle *throttle, const char *account, const char *remote);
void web_throttle_failed(struct web_throttle *throttle, const char *account, const char *remote);
void web_throttle_passed(struct web_throttle *throttle, const char *account, const char *remote);
