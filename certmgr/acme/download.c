/*
 * The chain of an issued certificate, and the other chains that the CA offers for it (RFC 8555
 * 7.4.2, Link rel="alternate").
 *
 * The CA's default chain is what counts.  When it is not the one that was wished for, its
 * alternates are looked at; one that cannot be had or used is no failure, for the default is there.
 */
#include "certmgr/acme/job.h"

#include <string.h>

#include "base/core/log.h"
#include "base/core/mem.h"
#include "certmgr/acme/chain.h"
#include "certmgr/acme/header.h"

struct alternates {
    struct acme_order *o;
    json_t *urls;
};

static void add_alternate(void *arg, const char *target)
{
    struct alternates *a = arg;
    char url[ACME_URL_MAX];
    /* One that cannot be used is left out: the default chain is there. */
    if (json_array_size(a->urls) < ACME_ALTERNATES_MAX &&
        acme_url_resolve(a->o->request.url, target, a->o->lab_http, url, NULL) == 0 &&
        !cm_json_has_str(a->urls, url))
        json_array_append_new(a->urls, json_string(url));
}

/* The alternate under way; NULL = the default chain, or there are no more. */
static const char *alternate(const struct acme_order *o)
{
    return o->value
               ? json_string_value(json_array_get(cm_json_arr(o->value, "alternates"), o->index))
               : NULL;
}

void acme_download_enter(struct acme_order *o)
{
    const char *url = alternate(o);
    acme_request_accept(o, url ? url : acme_state_str(o, "certificate"),
                        "application/pem-certificate-chain");
}

/* chain NULL = the default one. */
static void finish(struct acme_order *o, const char *chain)
{
    json_t *result = o->value;
    o->value = NULL;
    if (chain)
        cm_json_set_str(result, "chain", chain);
    acme_log(o, CM_LOG_INFO, "The certificate is issued");
    acme_finish(o, result);
}

static bool is_wanted(const struct acme_order *o, const char *chain, size_t index)
{
    return !o->ports.wanted || o->ports.wanted(o->ports.arg, chain, index);
}

static void take_default(struct acme_order *o)
{
    const struct acme_reply *reply = &o->reply;
    if (!acme_reply_ok(o, ACME_ABOUT_ORDER, "the certificate"))
        return;
    if (acme_chain_check(reply->body, reply->body_len, &o->err) < 0) {
        cm_wrap(&o->err, CM_EPEER, "The downloaded certificate cannot be used");
        cm_err_hint(&o->err, "It was not stored. CertMgr downloads it again by itself, without a "
                             "new order; if this stays, tell the CA.");
        acme_give_up(o);
        return;
    }
    struct alternates a = {.o = o, .urls = json_array()};
    acme_link_each(reply->headers, "alternate", add_alternate, &a);
    json_decref(o->value);
    o->value = json_object();
    o->index = 0;
    cm_json_set_str(o->value, "chain", reply->body);
    cm_json_set(o->value, "alternates", a.urls);
    if (is_wanted(o, reply->body, 0)) {
        finish(o, NULL);
    } else if (json_array_size(a.urls) > 0) {
        acme_log(o, CM_LOG_INFO, "Looking at the CA's %zu alternate chain%s",
                 json_array_size(a.urls), json_array_size(a.urls) == 1 ? "" : "s");
        acme_go(o, STEP_DOWNLOAD);
    } else {
        acme_log(o, CM_LOG_WARN, "The CA offers no alternate chain; its default one is used");
        finish(o, NULL);
    }
}

static void take_alternate(struct acme_order *o)
{
    const struct acme_reply *reply = &o->reply;
    bool usable = reply->err.code == 0 && reply->status >= 200 && reply->status < 300 &&
                  acme_chain_check(reply->body, reply->body_len, NULL) == 0;
    if (usable && is_wanted(o, reply->body, o->index + 1)) {
        finish(o, reply->body);
        return;
    }
    o->index++;
    if (!usable)
        acme_log(o, CM_LOG_WARN, "Alternate chain %zu could not be downloaded", o->index);
    if (alternate(o)) {
        acme_go(o, STEP_DOWNLOAD);
        return;
    }
    acme_log(o, CM_LOG_WARN,
             "None of the CA's chains is the one that was asked for; its default one is used");
    finish(o, NULL);
}

void acme_download_react(struct acme_order *o)
{
    if (alternate(o))
        take_alternate(o);
    else
        take_default(o);
}
