/* Publishing a document of our own: serial, signature, put, commit, answer. */
#include <string.h>

#include "base/core/clock.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "certstore/internal.h"

struct cs_publication {
    struct cs_publication *next;
    struct cs_store *store; /* NULL once the store was closed */
    char id[CS_ID_MAX + 1];
    int64_t base_serial;
    int64_t serial; /* given to it */
    bool deleted;
    cs_published_fn done;
    void *arg;
    struct cs_doc doc; /* what was put */
};

static void unlink_publication(struct cs_publication *pub)
{
    if (!pub->store)
        return;
    struct cs_publication **at = &pub->store->publications;
    while (*at && *at != pub)
        at = &(*at)->next;
    if (*at)
        *at = pub->next;
}

static void finish(struct cs_publication *pub, const struct cm_err *err)
{
    unlink_publication(pub);
    if (pub->done)
        pub->done(pub->arg, err ? NULL : &pub->doc, err);
    else if (err)
        cm_log_err(CM_LOG_ERROR, "certstore", err);
    cs_doc_fini(&pub->doc);
    cm_free(pub);
}

static void on_commit(void *arg, int code, const struct cm_err *err)
{
    finish(arg, code == 0 ? NULL : err);
}

/* Is the version that the caller edited still the present one?  *ret_serial: highest known. */
static int check_base(struct cs_store *store, const char *id, int64_t base, int64_t *ret_serial,
                      struct cm_err *err)
{
    struct cs_view view;
    struct cs_head head;
    int rc = cs_view_begin(store, false, &view, err);
    if (rc < 0)
        return rc;
    rc = cs_head_load(view.txn, id, &head, err);
    cs_view_end(store, &view);
    if (rc < 0 && rc != CM_ENOENT)
        return rc;
    *ret_serial = head.serial;
    bool exists = head.has_effective && !head.effective_deleted;
    if (base < 0 || base == (exists ? head.serial : 0))
        return 0;
    if (base == 0)
        cm_fail(err, CM_ECONFLICT, "%s exists already", id);
    else
        cm_fail(err, CM_ECONFLICT, "%s was changed by somebody else meanwhile", id);
    cm_err_hint(err, "Read it again and repeat the change.");
    return CM_ECONFLICT;
}

/* What was signed has no "_" members but the id; the store is told of a tombstone by one. */
static int put_body(struct cs_publication *pub, const json_t *body, struct cs_result *result,
                    struct cm_err *err)
{
    if (!pub->deleted)
        return cs_put(pub->store, body, result, err);
    CM_AUTO_JSON doc = json_copy((json_t *)(uintptr_t)body);
    cm_json_set_bool(doc, "_deleted", true);
    return cs_put(pub->store, doc, result, err);
}

static int put_signed(struct cs_publication *pub, const json_t *body, struct cm_err *err)
{
    struct cs_result result;
    struct cs_head head;
    int64_t unused;
    int rc = check_base(pub->store, pub->id, pub->base_serial, &unused, err);
    if (rc < 0)
        return rc;
    rc = put_body(pub, body, &result, err);
    if (rc < 0)
        return rc;
    rc = cs_head_load(&pub->store->txn, pub->id, &head, err);
    if (rc < 0)
        return rc;
    cm_strcpy(pub->doc.id, sizeof(pub->doc.id), pub->id);
    cm_strcpy(pub->doc.rev, sizeof(pub->doc.rev), result.rev);
    pub->doc.deleted = pub->deleted;
    pub->doc.seq = head.seq;
    pub->doc.serial = head.serial;
    pub->doc.body = json_incref((json_t *)(uintptr_t)body); /* nobody else has it any more */
    return 0;
}

static void on_signed(void *arg, const json_t *signed_body, const struct cm_err *err)
{
    struct cs_publication *pub = arg;
    struct cm_err why = CM_ERR_INIT;
    if (!pub->store) {
        cm_free(pub); /* the store was closed, and done() was told so then */
        return;
    }
    if (err || !signed_body) {
        if (err)
            cm_err_copy(&why, err);
        cm_wrap(&why, CM_ECRYPTO, "%s could not be signed", pub->id);
    } else {
        put_signed(pub, signed_body, &why);
    }
    if (why.code == 0) {
        cs_after_commit(pub->store, on_commit, pub);
        return;
    }
    if (why.object[0] == '\0')
        cm_err_object(&why, "%s", pub->id);
    finish(pub, &why);
    cm_err_fini(&why);
}

/* Above what is known of the document and what was signed before.  Another server's serial, however
 * high, raises that of its own document only: none may use up the serials of all that follow. */
static int64_t next_serial(struct cs_store *store, const char *id, int64_t known)
{
    int64_t now = cm_now_ms();
    store->last_serial = now > store->last_serial ? now : store->last_serial + 1;
    for (const struct cs_publication *at = store->publications; at; at = at->next)
        if (at->serial > known && strcmp(at->id, id) == 0)
            known = at->serial;
    return known >= store->last_serial ? known + 1 : store->last_serial;
}

static int prepare(struct cs_publication *pub, json_t *doc, struct cm_err *err)
{
    struct cs_store *store = pub->store;
    const char *id = cm_json_str(doc, "_id");
    int64_t serial;
    if (store->hold) {
        cm_fail(err, CM_EBUSY, "%s", store->hold);
        cm_err_hint(err, "Wait until the servers answered, or run \"certmgr hold release\".");
        return CM_EBUSY;
    }
    if (!store->sign)
        return cm_fail(err, CM_EINVAL, "this certificate store has no sign port");
    if (!id || cm_strcpy(pub->id, sizeof(pub->id), id) < 0)
        return cm_fail(err, CM_EINVAL, "a document to publish needs an _id of at most %d bytes",
                       CS_ID_MAX);
    int rc = check_base(store, pub->id, pub->base_serial, &serial, err);
    if (rc < 0)
        return rc;
    pub->deleted = json_is_true(json_object_get(doc, "_deleted"));
    pub->serial = next_serial(store, pub->id, serial);
    cm_json_set_int(doc, "serial", pub->serial);
    static const char *const outside[] = {"_deleted", "_rev", "_revisions", "signature",
                                          "signatures"};
    for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++)
        json_object_del(doc, outside[i]);
    return 0;
}

void cs_publish(struct cs_store *store, json_t *take_doc, int64_t base_serial, cs_published_fn done,
                void *arg)
{
    struct cm_err err = CM_ERR_INIT;
    struct cs_publication *pub = cm_calloc(1, sizeof(*pub));
    *pub = (struct cs_publication){
        .store = store, .base_serial = base_serial, .done = done, .arg = arg};
    /* The caller keeps nothing: what the sign port gets is ours alone. */
    CM_AUTO_JSON doc = json_deep_copy(take_doc);
    json_decref(take_doc);
    if (prepare(pub, doc, &err) < 0) {
        finish(pub, &err);
        cm_err_fini(&err);
        return;
    }
    pub->next = store->publications;
    store->publications = pub;
    store->sign(store->port_arg, json_incref(doc), pub->deleted, on_signed, pub);
}

void cs_publish_close(struct cs_store *store)
{
    struct cm_err err = CM_ERR_INIT;
    cm_fail(&err, CM_ECLOSED, "the certificate store was closed before the signature came");
    while (store->publications) {
        struct cs_publication *pub = store->publications;
        store->publications = pub->next;
        if (pub->done)
            pub->done(pub->arg, NULL, &err);
        pub->store = NULL; /* on_signed() still has it */
    }
    cm_err_fini(&err);
}
