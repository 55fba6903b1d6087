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
/* Does nothing but answer tests when neither mail_to nor webhook_url is set. */
struct notifier *notifier_new(const struct notifier_opts *opts);
/* After cs_close(). */
void notifier_free(struct notifier *notifier);

/* Sends a test notice by every channel that is configured.  result: [{channel, to, ok, error?}]
 * (borrowed); err: CM_EINVAL when no channel is.  done is called exactly once, never from inside.
 */
typedef void (*notify_test_fn)(void *arg, const json_t *result, const struct cm_err *err);
void notifier_test(struct notifier *notifier, const char *who, notify_test_fn done, void *arg);

/* {open, waiting, failed?} for status pages (owned). */
json_t *notifier_status(const struct notifier *notifier);
