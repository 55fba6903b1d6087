/*
 * An order whose newOrder reply was lost: found in the account's list of orders (RFC 8555 7.1.2.1),
 * where the CA keeps one.
 *
 * Adopted is an order with exactly our names that is pending or ready and that no other job works
 * on.  Later states are not ours: this job has not sent a CSR yet, so a processing or valid order
 * of the same names belongs to an earlier certificate.  Orders whose URLs this process has got are
 * not read: theirs was no lost reply.
 */
#include "certmgr/acme/job.h"

#include "base/core/clock.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "certmgr/acme/header.h"

#define LOOKUP_PAGES_MAX 64   /* pages of the list */
#define LOOKUP_URLS_MAX  2000 /* order URLs kept */
#define LOOKUP_READS_MAX 24   /* orders read, the last of the list (as a rule the newest) first */

void acme_lookup_start(struct acme_order *o)
{
    json_decref(o->lookup);
    o->lookup = json_array();
    cm_free(o->lookup_url);
    o->lookup_url = NULL;
    o->lookup_pages = 0;
    o->lookup_reads = 0;
    acme_go(o, STEP_LOOKUP_ACCOUNT);
}

static void not_found(struct acme_order *o)
{
    acme_log(o, CM_LOG_INFO, "No open order of these names at the CA; making one");
    acme_new_order_begin(o);
}

void acme_lookup_account_enter(struct acme_order *o)
{
    acme_request(o, o->kid, "");
}

/* The list is a help, not a need: a CA that refuses it (Boulder has none) is not a failure. */
void acme_lookup_account_react(struct acme_order *o)
{
    if (acme_reply_refused(&o->reply)) {
        not_found(o);
        return;
    }
    if (!acme_reply_object(o, ACME_ABOUT_ACCOUNT, "the account"))
        return;
    const char *orders = cm_json_str(o->reply.json, "orders");
    char url[ACME_URL_MAX];
    if (!orders || acme_url_resolve(o->request.url, orders, o->lab_http, url, NULL) < 0) {
        not_found(o);
        return;
    }
    o->lookup_url = cm_strdup(url);
    acme_go(o, STEP_LOOKUP_LIST);
}

void acme_lookup_list_enter(struct acme_order *o)
{
    acme_request(o, o->lookup_url, "");
}

static void take_next(void *arg, const char *target)
{
    struct acme_order *o = arg;
    char url[ACME_URL_MAX];
    if (!o->lookup_url && acme_url_resolve(o->request.url, target, o->lab_http, url, NULL) == 0)
        o->lookup_url = cm_strdup(url);
}

void acme_lookup_list_react(struct acme_order *o)
{
    size_t i;
    json_t *url;
    if (acme_reply_refused(&o->reply)) {
        not_found(o);
        return;
    }
    if (!acme_reply_object(o, ACME_ABOUT_ACCOUNT, "the list of orders"))
        return;
    json_array_foreach(cm_json_arr(o->reply.json, "orders"), i, url)
    {
        if (acme_url_check(json_string_value(url), o->lab_http, NULL) < 0)
            continue;
        if (json_array_size(o->lookup) == LOOKUP_URLS_MAX)
            json_array_remove(o->lookup, 0);
        json_array_append(o->lookup, url);
    }
    cm_free(o->lookup_url);
    o->lookup_url = NULL;
    if (++o->lookup_pages < LOOKUP_PAGES_MAX)
        acme_link_each(o->reply.headers, "next", take_next, o);
    if (!o->lookup_url)
        acme_go(o, STEP_LOOKUP_ORDER);
}

void acme_lookup_order_enter(struct acme_order *o)
{
    for (size_t n = json_array_size(o->lookup); n > 0; n = json_array_size(o->lookup)) {
        const char *url = json_string_value(json_array_get(o->lookup, n - 1));
        if (acme_ca_knows_order(o->ca, url) || acme_order_in_use(o, url)) {
            json_array_remove(o->lookup, n - 1);
            continue;
        }
        if (o->lookup_reads >= LOOKUP_READS_MAX)
            break;
        o->lookup_reads++;
        acme_request(o, url, "");
        json_array_remove(o->lookup, n - 1);
        return;
    }
    not_found(o);
}

void acme_lookup_order_react(struct acme_order *o)
{
    struct acme_order_object object;
    if (acme_reply_refused(&o->reply))
        return; /* an old one: the next */
    if (!acme_reply_object(o, ACME_ABOUT_ORDER, "an order of the account"))
        return;
    if (!acme_order_names(o->reply.json, o->names) ||
        acme_order_parse(o->reply.json, o->names, o->lab_http, &object, NULL) < 0 ||
        (object.status != ACME_PENDING && object.status != ACME_READY) ||
        (object.expires_ms != 0 && cm_now_ms() > object.expires_ms) ||
        acme_order_in_use(o, o->request.url))
        return;
    acme_log(o, CM_LOG_INFO, "Found the order whose reply was lost; going on with it");
    acme_ca_know_order(o->ca, o->request.url);
    acme_state_set(o, "order_url", json_string(o->request.url));
    acme_state_set(o, "ordering_at", NULL);
    acme_order_act(o, &object);
}
