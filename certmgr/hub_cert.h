/*
 * The client certificate with which this server goes to its hub: nobody renews it but a person, so
 * its end is shown and told before it comes.
 */
#pragma once

#include "certstore/store.h"

#define HUB_CERT_ALARM   "alarm/hub-certificate" /* docs/notices.md */
#define HUB_CERT_LOOK_MS INT64_C(3600000)        /* so often somebody looks */
/* Told when a third, a fifth, a tenth of its life is left, but at the earliest so many days before
 * its end: long-lived ones are not told for years. */
#define HUB_CERT_DAYS_SOON   30
#define HUB_CERT_DAYS_SOONER 14
#define HUB_CERT_DAYS_URGENT 7

/* How urgent it is: 0 = not, 1 soon, 2 sooner, 3 urgent, 4 over. */
int hub_cert_level(int64_t not_before_ms, int64_t not_after_ms, int64_t now_ms);
/* Adds {cert_not_before, cert_not_after, cert_health: "green"|"yellow"|"red"} to a view of the
 * settings doc (hub_settings_check()); nothing without a certificate. */
void hub_cert_show(const json_t *doc, int64_t now_ms, json_t *view);
/* Raises the alarm, tells it anew when it got worse, or clears it.  doc NULL = no hub. */
void hub_cert_look(struct cs_store *store, const json_t *doc, const char *self);
