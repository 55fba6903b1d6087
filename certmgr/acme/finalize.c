/*
 * The end of an order: CSR and finalize (RFC 8555 7.4).
 */
#include "certmgr/acme/job.h"

#include <string.h>

#include "base/core/bytes.h"
#include "base/core/log.h"
#include "base/core/mem.h"

#define CSR_TEXT_MAX 65536 /* base64url characters */

void acme_csr_enter(struct acme_order *o)
{
    if (++o->finalizes > ACME_FINALIZE_MAX) {
        cm_fail(&o->err, CM_EPEER, "The CA did not take the signing request in %d attempts",
                ACME_FINALIZE_MAX);
        cm_err_hint(&o->err, "The order stays open; CertMgr goes on with it at the next attempt.");
        acme_give_up(o);
        return;
    }
    acme_call_csr(o); /* each time: the owner of the key knows best which CSR is right now */
}

void acme_csr_react(struct acme_order *o)
{
    if (o->err.code != 0) {
        cm_wrap(&o->err, CM_EBUSY, "The certificate signing request could not be made");
        acme_give_up(o);
        return;
    }
    const char *csr = cm_json_str(o->value, "csr");
    uint8_t *der = NULL;
    size_t len = 0;
    if (!csr || strlen(csr) > CSR_TEXT_MAX || cm_b64url_decode(csr, strlen(csr), &der, &len) < 0 ||
        len == 0) {
        cm_free(der);
        cm_fail(&o->err, CM_EMALF, "The certificate signing request is not base64url DER");
        acme_give_up(o);
        return;
    }
    cm_free(der);
    acme_state_set(o, "csr", json_string(csr));
    acme_go(o, STEP_FINALIZE);
}

void acme_finalize_enter(struct acme_order *o)
{
    const char *url = acme_state_str(o, "finalize");
    if (!url) {
        cm_fail(&o->err, CM_EPEER, "The CA's order has no finalize URL");
        acme_give_up(o);
        return;
    }
    CM_AUTO_JSON payload = json_object();
    cm_json_set_str(payload, "csr", acme_state_str(o, "csr"));
    CM_AUTO_STR text = cm_json_dump(payload, NULL);
    acme_request_once(o, url, text);
}

void acme_finalize_react(struct acme_order *o)
{
    struct acme_order_object object;
    const struct acme_reply *reply = &o->reply;
    if (reply->unknown) {
        /* The certificate may be on its way: the order tells. */
        if (++o->unknowns >= ACME_QUICK_TRIES) {
            acme_reply_ok(o, ACME_ABOUT_ORDER, "the signing request");
            return;
        }
        acme_log(o, CM_LOG_WARN, "The reply to finalize was lost; reading the order");
        acme_poll_start(o, STEP_POLL_VALID, o->unknowns);
        return;
    }
    if (reply->status >= 400 && acme_problem_is(reply->json, "orderNotReady")) {
        acme_log(o, CM_LOG_INFO, "The order is not ready yet at the CA; reading it again");
        acme_poll_start(o, STEP_POLL_READY, o->finalizes);
        return;
    }
    if (!acme_reply_ok(o, ACME_ABOUT_ORDER, "the signing request")) {
        if (acme_problem_is(reply->json, "badCSR"))
            acme_state_set(o, "csr", NULL); /* the order stays ready for another one (7.4) */
        return;
    }
    acme_log(o, CM_LOG_INFO, "The CA took the signing request");
    if (!reply->json || acme_order_parse(reply->json, o->names, o->lab_http, &object, NULL) < 0 ||
        object.status == ACME_PENDING || object.status == ACME_READY) {
        acme_poll_start(o, STEP_POLL_VALID, 0); /* taken, it seems: the order tells */
        return;
    }
    acme_order_act(o, &object);
}
