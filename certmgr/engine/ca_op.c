/* One acme_op over the ports of a job that is in no table.  See ca_op.h. */
#include "certmgr/engine/ca_op.h"

#include "certmgr/engine/guard.h"
#include "certmgr/engine/job.h"

struct eng_op {
    struct job *job; /* its ports and calls */
    struct acme_op *acme;
    acme_op_fn done;
    void *arg;
};

void eng_op_free(struct eng_op *op)
{
    if (!op)
        return;
    acme_op_free(op->acme);
    job_free(op->job);
    cm_free(op);
}

static void on_end(void *arg, const struct acme_op_reply *reply, const struct cm_err *err)
{
    struct eng_op *op = arg;
    acme_op_fn done = op->done;
    void *done_arg = op->arg;
    op->done = NULL;
    if (err)
        eng_budget_keep_floor(op->job->engine, op->job->account);
    done(done_arg, reply, err); /* what reply points to is the operation's */
    eng_op_free(op);
}

static void log_line(void *arg, int level, const char *text)
{
    const struct job *job = arg;
    cm_log(level == CM_LOG_INFO ? CM_LOG_DEBUG : level, "engine", job->account->name, "%s", text);
}

struct eng_op *eng_op_new(struct engine *engine, const struct eng_op_spec *spec, acme_op_fn done,
                          void *arg, struct cm_err *err)
{
    struct eng_op *op = cm_calloc(1, sizeof(*op));
    op->done = done;
    op->arg = arg;
    op->job = job_new(engine, spec->credential ? spec->credential : "");
    op->job->sign_with = spec->sign_with ? json_deep_copy(spec->sign_with) : NULL;
    if (spec->body)
        op->job->account = eng_account_of(engine, spec->account, spec->body);
    if (op->job->account || eng_account_get(engine, spec->account, &op->job->account, err) == 0) {
        struct acme_account account = eng_account_acme(op->job->account);
        struct acme_ports ports = job_ports(op->job);
        if (!spec->credential)
            ports.log = log_line;
        op->acme = acme_op_new(op->job->account->ca, &account, &spec->request, engine->env.lab_http,
                               &ports, on_end, op, err);
    }
    if (op->acme)
        return op;
    eng_op_free(op);
    return NULL;
}
