/*
 * What is kept of certificates that were replaced or removed: archive: documents without keys,
 * until 30 days after their end.  A daily sweep removes them, archived credentials, and keyfile
 * documents whose credential is gone; servers keep the files that they have.
 */
#include <stdio.h>
#include <string.h>

#include "certmgr/engine/former.h"
#include "certmgr/engine/life.h"

struct keep {
    struct keep *next; /* of those that are tried again */
    struct engine *engine;
    char id[CS_ID_MAX + 1];
    json_t *members;
    bool again; /* the certificate is gone from its credential: nobody else has it any more */
    cs_published_fn done;
    void *arg;
};

struct eng_archiver {
    struct cm_timer *timer, *retry;
    struct keep *again; /* what could not be written (a full disk) */
    size_t again_count;
};

/* What could not be written (a full disk) is found again by a sweep. */
static void sweep_soon(struct engine *engine)
{
    if (!engine->dead && engine->archiver)
        cm_timer_start(engine->archiver->timer, ARCHIVE_RETRY_MS);
}

static void on_done(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    (void)doc;
    if (!err || err->code == CM_ENOENT)
        return;
    cm_log_err(CM_LOG_WARN, "engine", err);
    sweep_soon(arg);
}

/* ---- archive: documents ------------------------------------------------------------------------
 */

static int edit_keep(void *arg, json_t *body, struct cm_err *err)
{
    const struct keep *keep = arg;
    (void)err;
    if (json_object_get(body, "serial"))
        return 1; /* kept before a crash */
    json_object_update(body, keep->members);
    return 0;
}

static void keep_free(struct keep *keep)
{
    json_decref(keep->members);
    cm_free(keep);
}

/* Disk, store or key agent fail for a while; the same document may be written later. */
static bool keep_later(struct keep *keep, int code)
{
    struct eng_archiver *archiver = keep->engine->dead ? NULL : keep->engine->archiver;
    bool passes = code == CM_EFULL || code == CM_EIO || code == CM_EBUSY || code == CM_ECLOSED;
    if (!passes || !archiver || archiver->again_count == ARCHIVE_AGAIN_MOST)
        return false;
    keep->next = archiver->again;
    archiver->again = keep;
    archiver->again_count++;
    cm_timer_start(archiver->retry, ARCHIVE_RETRY_MS);
    return true;
}

static void on_kept(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    struct keep *keep = arg;
    if (keep->again) {
        if (keep->done)
            keep->done(keep->arg, doc, NULL);
        keep->done = NULL;
        if (err)
            cm_log_err(CM_LOG_WARN, "engine", err);
        if (err && keep_later(keep, err->code))
            return;
    } else if (keep->done) {
        keep->done(keep->arg, doc, err);
    } else {
        on_done(keep->engine, doc, err);
    }
    keep_free(keep);
}

static void keep_now(struct keep *keep)
{
    eng_edit(keep->engine, keep->id, "archive", edit_keep, on_kept, keep);
}

static void on_retry(void *arg)
{
    struct eng_archiver *archiver = arg;
    struct keep *keep = archiver->again;
    archiver->again = NULL;
    archiver->again_count = 0;
    while (keep) {
        struct keep *next = keep->next;
        keep_now(keep);
        keep = next;
    }
}

static struct keep *keep_new(struct engine *engine, const char *ulid, const json_t *credential,
                             const char *why)
{
    static const char *const kept[] = {
        "chain",     "root",      "fingerprint",       "san",     "issuer",         "not_before",
        "not_after", "issued_at", "public_key_sha256", "account", "key_generation", "revocation",
        "issued_by"};
    bool former = strcmp(why, "superseded") == 0 || strcmp(why, "compromised") == 0;
    struct keep *keep = cm_calloc(1, sizeof(*keep));
    *keep = (struct keep){.engine = engine, .members = json_object()};
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        json_object_set(keep->members, kept[i], json_object_get(credential, kept[i]));
    if (former) /* the CA is to hear of it, when the new one serves (former.c) */
        json_object_set(keep->members, "revoke", json_object_get(credential, "rollover"));
    cm_json_set_str(keep->members, "credential", ulid);
    cm_json_set_str(keep->members, "why", why);
    cm_json_set_time(keep->members, "archived_at", cm_now_ms());
    snprintf(keep->id, sizeof(keep->id), "archive:%s-%.16s", ulid,
             cm_json_str_or(credential, "fingerprint", "0"));
    return keep;
}

void eng_archive(struct engine *engine, const char *ulid, const json_t *credential, const char *why,
                 cs_published_fn done, void *arg)
{
    struct keep *keep = keep_new(engine, ulid, credential, why);
    keep->done = done;
    keep->arg = arg;
    keep_now(keep);
}

void eng_archive_former(struct engine *engine, const char *ulid, const json_t *former,
                        cs_published_fn done, void *arg)
{
    struct keep *keep =
        keep_new(engine, ulid, former, cm_json_obj(former, "revocation") ? "revoked" : "replaced");
    keep->again = true;
    keep->done = done;
    keep->arg = arg;
    keep_now(keep);
}

/* ---- removal ------------------------------------------------------------------------------------
 */

static void bury(struct engine *engine, const char *type, const char *name)
{
    CM_AUTO_STR id = cm_asprintf("%s:%s", type, name);
    CM_AUTO_JSON body = cs_peek_body(engine->env.store, id);
    if (body)
        eng_edit(engine, id, type, eng_edit_gone, on_done, engine);
}

struct leave {
    struct engine *engine;
    char ulid[CM_ULID_TEXT];
};

static void on_archived(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    struct leave *leave = arg;
    if (err)
        on_done(leave->engine, doc, err);
    else if (!leave->engine->dead)
        bury(leave->engine, "credential", leave->ulid);
    cm_free(leave);
}

void eng_archive_look(struct engine *engine, const char *ulid)
{
    CM_AUTO_STR id = cm_asprintf("credential:%s", ulid);
    CM_AUTO_JSON body = cs_peek_body(engine->env.store, id);
    if (body && strcmp(cm_json_str_or(body, "status", ""), "archived") != 0)
        return;
    bury(engine, "keyfile", ulid);
    if (body && cm_json_bool(body, "leaving", false) && cm_json_str(body, "chain")) {
        struct leave *leave = cm_calloc(1, sizeof(*leave));
        leave->engine = engine;
        (void)cm_strcpy(leave->ulid, sizeof(leave->ulid), ulid);
        eng_archive(engine, ulid, body, "deleted", on_archived, leave);
    } else if (body && cm_json_bool(body, "leaving", false)) {
        bury(engine, "credential", ulid);
    } else if (!body) {
        bury(engine, "challenge", ulid);
    }
}

/* ---- the daily sweep ---------------------------------------------------------------------------
 */

static int on_id(void *arg, const char *key, const char *id)
{
    json_t *ids = arg;
    (void)key;
    json_array_append_new(ids, json_string(id));
    return json_array_size(ids) > 100 * ARCHIVE_SWEEP_MAX;
}

static bool is_over(const json_t *body, int64_t now_ms)
{
    int64_t end = cm_json_time(body, "not_after", 0);
    if (end == 0)
        end = cm_json_time(body, "requested_at", now_ms);
    return end + ARCHIVE_DAYS * ARCHIVE_SWEEP_MS < now_ms;
}

/* Removes what is over of these documents; returns how many. */
static size_t sweep_type(struct engine *engine, enum cs_index index, const char *key,
                         const char *type)
{
    CM_AUTO_JSON ids = json_array();
    size_t i, count = 0;
    json_t *id;
    cs_each(engine->env.store, index, key, NULL, NULL, on_id, ids);
    json_array_foreach(ids, i, id)
    {
        CM_AUTO_JSON body = cs_peek_body(engine->env.store, json_string_value(id));
        if (count == ARCHIVE_SWEEP_MAX)
            break;
        if (cm_json_obj(body, "revoke"))
            eng_former_look(engine, cm_json_str_or(body, "credential", ""));
        if (!body || strcmp(cm_json_str_or(body, "type", ""), type) != 0 ||
            !is_over(body, cm_now_ms()))
            continue;
        count++;
        eng_edit(engine, json_string_value(id), type, eng_edit_gone, on_done, engine);
    }
    return count;
}

/* What a crash left behind between one write and the next. */
static void sweep_orphans(struct engine *engine)
{
    CM_AUTO_JSON ids = json_array();
    size_t i;
    json_t *id;
    cs_each(engine->env.store, CS_BY_STATUS, "archived", NULL, NULL, on_id, ids);
    cs_each(engine->env.store, CS_BY_TYPE, "keyfile", NULL, NULL, on_id, ids);
    json_array_foreach(ids, i, id)
    {
        const char *text = json_string_value(id);
        const char *keyfile = eng_id_name(text, "keyfile:");
        const char *ulid = keyfile ? keyfile : eng_id_name(text, "credential:");
        CM_AUTO_STR owner = cm_asprintf("credential:%s", ulid ? ulid : "");
        CM_AUTO_JSON body = keyfile ? cs_peek_body(engine->env.store, owner) : NULL;
        if (ulid && !body)
            eng_archive_look(engine, ulid);
    }
}

static void on_sweep(void *arg)
{
    struct engine *engine = arg;
    size_t count = sweep_type(engine, CS_BY_TYPE, "archive", "archive");
    count += sweep_type(engine, CS_BY_STATUS, "archived", "credential");
    sweep_orphans(engine);
    cm_timer_start(engine->archiver->timer,
                   count >= ARCHIVE_SWEEP_MAX ? ARCHIVE_AGAIN_MS : ARCHIVE_SWEEP_MS);
}

void eng_archive_start(struct engine *engine)
{
    engine->archiver = cm_calloc(1, sizeof(*engine->archiver));
    engine->archiver->timer = cm_timer_new(engine->env.loop, on_sweep, engine);
    engine->archiver->retry = cm_timer_new(engine->env.loop, on_retry, engine->archiver);
    cm_timer_start(engine->archiver->timer, 0);
}

void eng_archive_stop(struct engine *engine)
{
    if (!engine->archiver)
        return;
    cm_timer_free(engine->archiver->timer);
    cm_timer_free(engine->archiver->retry);
    while (engine->archiver->again) {
        struct keep *keep = engine->archiver->again;
        engine->archiver->again = keep->next;
        keep_free(keep);
    }
    cm_free(engine->archiver);
    engine->archiver = NULL;
}
