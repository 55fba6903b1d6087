/*
 * Read, change, publish.  The manager is the only writer of its types, but intake, jobs and people
 * write at the same time: whoever finds that another write came between reads again.
 */
#include "certmgr/engine/internal.h"

#include <string.h>

#define EDIT_TRIES 10

struct edit {
    struct engine *engine;
    char *id, *type;
    eng_edit_fn fn;
    cs_published_fn done;
    void *arg;
    unsigned tries;
    struct cm_err *inside; /* cs_publish() is running: it may answer from inside, there */
    bool answered;         /* it did */
    struct cm_err *err;    /* of a deferred answer (cm_err_dup()), or NULL */
};

static void edit_end(struct edit *edit, const struct cs_doc *doc, const struct cm_err *err)
{
    if (edit->done)
        edit->done(edit->arg, doc, err);
    else if (err && !edit->engine->dead)
        cm_log_err(CM_LOG_ERROR, "engine", err);
    eng_unref(edit->engine);
    cm_err_free(edit->err);
    cm_free(edit->id);
    cm_free(edit->type);
    cm_free(edit);
}

static void on_deferred(void *arg)
{
    struct edit *edit = arg;
    edit_end(edit, NULL, edit->err);
}

static void edit_try(struct edit *edit);

static bool try_again(const struct edit *edit, const struct cm_err *err)
{
    return err && err->code == CM_ECONFLICT && edit->tries < EDIT_TRIES && !edit->engine->dead;
}

static void on_published(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    struct edit *edit = arg;
    if (edit->inside) {
        edit->answered = true;
        cm_err_copy(edit->inside, err); /* success never comes before the commit */
    } else if (try_again(edit, err)) {
        edit_try(edit);
    } else {
        edit_end(edit, doc, err);
    }
}

/* Reads the document as it is now, or begins one. */
static int edit_read(struct edit *edit, json_t **ret_before, json_t **ret_body, int64_t *ret_serial,
                     struct cm_err *err)
{
    struct cs_doc doc = {0};
    int rc = cs_peek(edit->engine->env.store, edit->id, &doc, err);
    if (rc != 0 && rc != CM_ENOENT)
        return rc;
    cm_err_fini(err);
    *ret_serial = rc == 0 ? doc.serial : 0;
    *ret_before = rc == 0 ? json_incref(doc.body) : NULL;
    *ret_body = rc == 0 ? json_copy(doc.body) : json_object();
    cs_doc_fini(&doc);
    cm_json_set_str(*ret_body, "_id", edit->id);
    cm_json_set_str(*ret_body, "type", edit->type);
    json_object_del(*ret_body, "signature");
    return 0;
}

/* One read and write.  Returns true when an answer will come by itself. */
static bool edit_once(struct edit *edit, struct cm_err *err)
{
    json_t *body = NULL;
    CM_AUTO_JSON before = NULL;
    int64_t serial = 0;
    edit->tries++;
    cm_err_fini(err);
    if (edit_read(edit, &before, &body, &serial, err) != 0)
        return false;
    int rc = edit->fn(edit->arg, body, err);
    if (rc != 0) {
        json_decref(body);
        if (rc > 0)
            cm_err_fini(err);
        return false;
    }
    if (strcmp(edit->type, "credential") == 0)
        eng_note_decision(before, body);
    json_object_del(body, "serial");
    edit->answered = false;
    edit->inside = err;
    cs_publish(edit->engine->env.store, body, serial, on_published, edit);
    edit->inside = NULL;
    return !edit->answered;
}

static void edit_try(struct edit *edit)
{
    struct cm_err err = CM_ERR_INIT;
    bool comes;
    do
        comes = edit_once(edit, &err);
    while (!comes && try_again(edit, &err));
    if (!comes) {
        edit->err = cm_err_dup(&err);
        cm_loop_defer(edit->engine->env.loop, on_deferred, edit);
    }
    cm_err_fini(&err);
}

void eng_edit(struct engine *engine, const char *id, const char *type, eng_edit_fn fn,
              cs_published_fn done, void *arg)
{
    struct edit *edit = cm_calloc(1, sizeof(*edit));
    *edit = (struct edit){.engine = engine,
                          .id = cm_strdup(id),
                          .type = cm_strdup(type),
                          .fn = fn,
                          .done = done,
                          .arg = arg};
    engine->refs++;
    edit_try(edit);
}
