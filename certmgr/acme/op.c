/*
 * A request outside an order, as a job with one step of its own behind the directory's.
 */
#include "certmgr/acme/op.h"

#include <string.h>

#include "base/core/clock.h"
#include "base/core/mem.h"
#include "certmgr/acme/header.h"
#include "certmgr/acme/job.h"

struct acme_op {
    struct acme_order *job;
    struct acme_op_request request; /* texts are ours */
    char *member, *url, *payload, *what;
    acme_op_fn done;
    void *arg;
};

void acme_op_free(struct acme_op *op)
{
    if (!op)
        return;
    acme_order_free(op->job);
    cm_free(op->member);
    cm_free(op->url);
    cm_free(op->payload);
    cm_free(op->what);
    cm_free(op);
}

/* The job's last word; the caller may free the operation, and so the job, in it. */
static void on_end(void *arg, const json_t *none, const struct cm_err *err)
{
    struct acme_op *op = arg;
    const struct acme_reply *reply = &op->job->reply;
    (void)none;
    struct acme_op_reply out = {
        .status = reply->status,
        .url = op->job->request.url,
        .headers = reply->headers ? reply->headers : "",
        .body = reply->body ? reply->body : "",
        .json = reply->json,
        .retry_after = acme_retry_after(reply->headers, cm_now_ms()),
        .unknown = reply->unknown,
    };
    op->done(op->arg, &out, err);
}

static char *copy(const char *text)
{
    return text ? cm_strdup(text) : NULL;
}

static int check(const struct acme_op_request *request, struct cm_err *err)
{
    bool signs = request->kind == ACME_OP_KID || request->kind == ACME_OP_JWK;
    if (signs && !request->payload)
        return cm_fail(err, CM_EINVAL, "A signed request to a CA needs a payload");
    if ((request->kind == ACME_OP_GET || request->kind == ACME_OP_JWK) && !request->member &&
        !request->url)
        return cm_fail(err, CM_EINVAL, "A request to a CA needs a URL");
    return 0;
}

struct acme_op *acme_op_new(struct acme_ca *ca, const struct acme_account *account,
                            const struct acme_op_request *request, bool lab_http,
                            const struct acme_ports *ports, acme_op_fn done, void *arg,
                            struct cm_err *err)
{
    if (check(request, err) < 0)
        return NULL;
    struct acme_op *op = cm_calloc(1, sizeof(*op));
    op->member = copy(request->member);
    op->url = copy(request->url);
    op->payload = copy(request->payload);
    op->what = cm_strdup(request->what ? request->what : "a request");
    op->request = (struct acme_op_request){.kind = request->kind,
                                           .member = op->member,
                                           .url = op->url,
                                           .payload = op->payload,
                                           .what = op->what,
                                           .about = request->about,
                                           .once = request->once};
    op->done = done;
    op->arg = arg;
    op->job = acme_job_new(ca, account, lab_http, ports, on_end, op, err);
    if (!op->job) {
        acme_op_free(op);
        return NULL;
    }
    op->job->op = &op->request;
    op->job->state = json_object();
    return op;
}

/* ---- the step ------------------------------------------------------------------------------- */

void acme_op_begin(struct acme_order *o)
{
    if (o->op->kind == ACME_OP_DIRECTORY) {
        acme_finish(o, NULL);
    } else if (o->op->kind == ACME_OP_KID && !o->kid) {
        cm_fail(&o->err, CM_EHUMAN, "The account is not registered at the CA");
        o->err.retry = CM_RETRY_CONFIGURATION;
        cm_err_hint(&o->err, "Operator: the account is registered with its first order.");
        acme_give_up(o);
    } else {
        acme_go(o, STEP_OP);
    }
}

/* The URL to ask, into out; false: the job ends. */
static bool take_url(struct acme_order *o, char out[ACME_URL_MAX])
{
    const struct acme_op_request *op = o->op;
    const char *base = op->member ? acme_directory_url(&o->ca->directory, op->member) : "";
    const char *rest = op->url ? op->url : "";
    if (!op->member && !op->url)
        rest = o->kid;
    if (!base) {
        cm_fail(&o->err, CM_ENOENT, "The CA does not offer %s (no %s in its directory)", op->what,
                op->member);
        o->err.retry = CM_RETRY_PERMANENT;
        cm_err_hint(&o->err, "Operator: this CA cannot do it over ACME.");
    } else if (strlen(base) + strlen(rest) >= ACME_URL_MAX) {
        cm_fail(&o->err, CM_ELIMIT, "The URL for %s is longer than %d bytes", op->what,
                ACME_URL_MAX - 1);
    } else {
        CM_AUTO_STR url = cm_asprintf("%s%s", base, rest);
        (void)cm_strcpy(out, ACME_URL_MAX, url);
        if (acme_url_check(out, o->lab_http, &o->err) == 0)
            return true;
    }
    acme_give_up(o);
    return false;
}

void acme_op_enter(struct acme_order *o)
{
    char url[ACME_URL_MAX];
    if (!take_url(o, url))
        return;
    if (o->op->kind == ACME_OP_GET)
        acme_request(o, url, NULL);
    else if (o->op->kind == ACME_OP_JWK)
        acme_request_jwk(o, url, o->op->payload);
    else if (o->op->once)
        acme_request_once(o, url, o->op->payload);
    else
        acme_request(o, url, o->op->payload);
}

void acme_op_react(struct acme_order *o)
{
    if (acme_reply_ok(o, o->op->about, o->op->what))
        acme_finish(o, NULL);
}
