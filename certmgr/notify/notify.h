/*
 * Notices (manager): looks at the store now and then, finds what people must be told (rules.h),
 * remembers what was told (notice.h, table "notice"), and sends it by mail and webhook (outbox.h).
 */
#pragma once

#include "base/net/http_client.h"
#include "certmgr/config/config.h"
#include "certstore/store.h"
#include "keyfile/trust.h"

#define NOTIFY_TEST_MS  20000  /* a test delivery; people wait for it */
#define NOTIFY_GRACE_MS 600000 /* after a start: servers come back before they count as silent */

struct notifier_opts {
    struct cm_loop *loop;
    struct cs_store *store;
    struct http_client *http;
    const struct config_notify *config; /* outlives the notifier, as self and ui_url do */
    const char *self;
    const char *ui_url;                         /* links lead there */
    const struct kf_trust *(*trust)(void *arg); /* current trust root, never NULL */
    void *trust_arg;
    /* Who is connected: [{peer, feed: bool, last_seen_at}] (owned). */
    json_t *(*peers)(void *arg);
    void *peers_arg;
    /* Sentences in a language of [notify] (certmgr/notify/message.h); NULL = notices are English.
     */
    char *(*say)(const char *language, const char *english);
};

struct notifier;
/* When neither mail_to nor webhook_url is set nobody is told: alarms are in notifier_status()
 * alone.
 */
struct notifier *notifier_new(const struct notifier_opts *opts);
/* After cs_close(). */
void notifier_free(struct notifier *notifier);

/* Sends a test notice by every channel that is configured.  result: [{channel, to, ok, error?}]
 * (borrowed); err: CM_EINVAL when no channel is.  done is called exactly once, never from inside.
 */
typedef void (*notify_test_fn)(void *arg, const json_t *result, const struct cm_err *err);
void notifier_test(struct notifier *notifier, const char *who, notify_test_fn done, void *arg);

/* {open, waiting, failed?, off?, alarms?: [{kind, severity, title, where?, what, hint, path,
 * since?}]} for status pages (owned).  alarms: of fleet and manager, as they are now, with or
 * without mail; not those which the status shows by itself. */
#define NOTIFY_ALARMS_MAX 50
json_t *notifier_status(struct notifier *notifier);
