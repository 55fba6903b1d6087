/* Trusted roots: all root: documents, read once, and the use-case that adds one.
 */
#include "certmgr/engine/internal.h"

#include <stdio.h>
#include <string.h>

#include "base/core/buf.h"
#include "keyfile/cert.h"

struct collect {
    struct engine *engine;
    struct cm_buf pem;
};

static int on_root(void *arg, const char *key, const char *id)
{
    struct collect *collect = arg;
    (void)key;
    CM_AUTO_JSON body = cs_get_body(collect->engine->env.store, id);
    const char *pem = cm_json_str(body, "pem");
    if (pem) {
        cm_buf_puts(&collect->pem, pem);
        cm_buf_putc(&collect->pem, '\n');
    }
    return 0;
}

struct kf_roots *eng_roots(struct engine *engine)
{
    if (engine->roots)
        return engine->roots;
    struct collect collect = {.engine = engine};
    cm_buf_init(&collect.pem, ENG_ROOTS_MAX);
    cs_each(engine->env.store, CS_BY_TYPE, "root", NULL, NULL, on_root, &collect);
    engine->roots = kf_roots_new(collect.pem.len > 0 ? cm_buf_str(&collect.pem) : NULL);
    cm_buf_fini(&collect.pem);
    return engine->roots;
}

/* ---- adding one ---------------------------------------------------------------------------------
 */

struct root_put {
    char *pem;
    struct kf_cert_info info;
    struct cm_err err;
    eng_done_fn done;
    void *arg;
};

static void root_end(struct root_put *put, const struct cm_err *err)
{
    if (put->done)
        put->done(put->arg, err && err->code != 0 ? err : NULL);
    cm_free(put->pem);
    kf_cert_info_fini(&put->info);
    cm_err_fini(&put->err);
    cm_free(put);
}

static void on_root_refused(void *arg)
{
    struct root_put *put = arg;
    root_end(put, &put->err);
}

static void on_root_published(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    (void)doc;
    root_end(arg, err);
}

static int edit_root(void *arg, json_t *body, struct cm_err *err)
{
    const struct root_put *put = arg;
    (void)err;
    if (cm_json_str(body, "pem"))
        return 1; /* known already */
    cm_json_set_str(body, "pem", put->pem);
    cm_json_set_str(body, "subject", put->info.issuer); /* a root is its own issuer */
    cm_json_set_time(body, "not_after", put->info.not_after_ms);
    return 0;
}

void eng_root_put(struct engine *engine, const char *pem, eng_done_fn done, void *arg)
{
    struct root_put *put = cm_calloc(1, sizeof(*put));
    put->pem = cm_strdup(pem);
    put->done = done;
    put->arg = arg;
    int rc = engine->env.manager
                 ? kf_cert_info(pem, &put->info, &put->err)
                 : cm_fail(&put->err, CM_EDENIED, "Trusted roots are kept on the manager");
    if (rc == 0 && put->info.not_after_ms <= cm_now_ms())
        rc = cm_fail(&put->err, CM_EINVAL, "The root certificate of %s has expired",
                     put->info.issuer);
    if (rc != 0) {
        cm_loop_defer(engine->env.loop, on_root_refused, put);
        return;
    }
    char id[CS_ID_MAX + 1];
    snprintf(id, sizeof(id), "root:%s", put->info.fingerprint);
    eng_edit(engine, id, "root", edit_root, on_root_published, put);
}
