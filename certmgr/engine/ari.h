/*
 * The CA's word on when to renew (RFC 9773) for every certificate that serves: asked soon after the
 * issue and at least twice a day, never after its end or once it is replaced; a failure only means
 * that the usual time stays (plan.h).
 *
 * kv "ari", key = ULID: {fingerprint, check_at, failures}: a restart asks no sooner.  The window
 * and the time chosen in it are the credential's `ari`.
 */
#pragma once

#include "certmgr/engine/internal.h"

#define ARI_FIRST_MS  5000    /* after the issue */
#define ARI_PARALLEL  8       /* questions at a time */
#define ARI_SPREAD_MS 3600000 /* certificates that were never asked about, at the start */

void eng_ari_start(struct engine *engine);
void eng_ari_stop(struct engine *engine);
/* A credential changed. */
void eng_ari_look(struct engine *engine, const char *ulid);
/* The order's `replaces` (certID of what it renews) and `ari_led` (the CA proposed the time); taken
 * away when they do not hold. */
void eng_ari_order(const json_t *credential, const struct eng_account *account, json_t *order);
/* What a new certificate leaves of the former one's `ari`: {renewed_at} when the CA led to it. */
json_t *eng_ari_left(const json_t *order, int64_t now_ms);
