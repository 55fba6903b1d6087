/*
 * The pass after a rotation: whatever the former keys of this server sealed or signed.
 *
 * An envelope gets our new key in the place of the former one (rotate.rewrap of the agent).  In the
 * documents of a manager a manager writes it; any other server says so with reseal:<server>:<ulid>,
 * and the manager takes it over after it looked that nothing else changed (rotate_serve.c).  What
 * we signed is signed again; a manager's documents are signed by the pass of succession.c.
 *
 * A pass that leaves nothing is told to the manager.  What is pulled after that, written when the
 * new keys were not listed yet, is looked at as it comes, for as long as the former keys are there:
 * the manager waits for it (rotate_wait.c).
 */
#include <string.h>

#include "base/core/bytes.h"
#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "base/core/step.h"
#include "certmgr/fleet/rotate_internal.h"
#include "certstore/schema.h"
#include "keyfile/rewrap.h"

#define SPOTS_MAX  16 /* envelopes of one document */
#define DEPTH_MAX  4
#define SLICE_MS   10
#define SECRET_DOC "" /* a secret of this server itself, no document */

/* A text that the former key can open, and where it stands. */
struct spot {
    json_t *holder; /* borrowed from the body */
    char key[32];
};

struct sealing {
    struct rotate *rotate;
    json_t *body;
    int64_t serial;
    struct spot spot[SPOTS_MAX];
    size_t count, at;
};

/* ---- looking ---- */

static bool lists_former(const struct rotate *rotate, const char *text)
{
    struct kf_envelope envelope;
    uint8_t *der = NULL;
    if (kf_envelope_read(text, &der, &envelope, NULL) < 0)
        return false;
    bool yes = kf_envelope_lists(&envelope, rotate->old_ski);
    cm_free(der);
    return yes;
}

static void collect(struct sealing *s, json_t *value, int depth)
{
    const char *key;
    json_t *member;
    size_t i;
    if (depth > DEPTH_MAX)
        return;
    json_object_foreach(value, key, member)
    {
        const char *text = json_string_value(member);
        if (text && strncmp(key, "sealed", 6) == 0 && s->count < SPOTS_MAX &&
            lists_former(s->rotate, text)) {
            s->spot[s->count] = (struct spot){.holder = value};
            if (cm_strcpy(s->spot[s->count].key, sizeof(s->spot[0].key), key) == 0)
                s->count++;
        }
        collect(s, member, depth + 1);
    }
    json_array_foreach(value, i, member) collect(s, member, depth + 1);
}

/* ---- one document ---- */

static void sealing_end(struct sealing *s)
{
    s->rotate->open--;
    json_decref(s->body);
    cm_free(s);
}

static void on_published(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    struct rotate *rotate = arg;
    (void)doc;
    rotate->open--;
    if (err == NULL || err->code == CM_ECONFLICT) /* changed meanwhile: the next pass sees it */
        return;
    rotate->failed++;
    rotate_error(rotate, err);
}

static void publish(struct rotate *rotate, json_t *take_body, int64_t serial)
{
    json_object_del(take_body, "signature");
    json_object_del(take_body, "serial");
    rotate->worked = true;
    rotate->open++;
    cs_publish(rotate->opts.store, take_body, serial, on_published, rotate);
}

static void say_resealed(const struct sealing *s)
{
    struct rotate *rotate = s->rotate;
    const char *ulid = strchr(cm_json_str(s->body, "_id"), ':') + 1;
    json_t *doc = json_object();
    const struct spot *spot = &s->spot[0];
    CM_AUTO_STR id = cm_asprintf("reseal:%s:%s", rotate->opts.config->name, ulid);
    cm_json_set_str(doc, "_id", id);
    cm_json_set_str(doc, "type", "reseal");
    cm_json_set_str(doc, "server", rotate->opts.config->name);
    cm_json_set_str(doc, "credential", ulid);
    cm_json_set_str(doc, "sealed_key", cm_json_str(spot->holder, spot->key));
    cm_json_set_time(doc, "at", cm_now_ms());
    publish(rotate, doc, -1);
}

static void sealed(struct sealing *s)
{
    struct rotate *rotate = s->rotate;
    const char *id = cm_json_str_or(s->body, "_id", SECRET_DOC);
    struct cm_err err = CM_ERR_INIT;
    cm_step("rotate.rewrapped");
    if (strcmp(id, SECRET_DOC) == 0) {
        if (cs_kv_put(rotate->opts.store, rotate->secret_table, rotate->secret_key, s->body, &err) <
            0)
            rotate_error(rotate, &err);
        else
            rotate->opts.restart(rotate->opts.arg); /* who uses it reads it at the start */
        cm_err_fini(&err);
    } else if (fleet_is_manager(rotate->opts.fleet)) {
        publish(rotate, json_incref(s->body), s->serial);
    } else {
        say_resealed(s);
    }
    sealing_end(s);
}

static void seal_next(struct sealing *s);

static void on_rewrapped(void *arg, const json_t *reply, const struct cm_err *err)
{
    struct sealing *s = arg;
    if (err != NULL) {
        s->rotate->failed++;
        rotate_error(s->rotate, err);
        sealing_end(s);
        return;
    }
    struct spot *spot = &s->spot[s->at++];
    cm_json_set_str(spot->holder, spot->key, cm_json_str(reply, "sealed"));
    seal_next(s);
}

static void seal_next(struct sealing *s)
{
    if (s->at == s->count) {
        sealed(s);
        return;
    }
    const struct spot *spot = &s->spot[s->at];
    json_t *request = json_pack("{s:s, s:s}", "op", "rotate.rewrap", "sealed",
                                cm_json_str(spot->holder, spot->key));
    s->rotate->opts.agent.call(s->rotate->opts.agent.arg, request, on_rewrapped, s);
}

/* Has the manager our envelope for this one already, and only to take it over? */
static bool said_already(const struct rotate *rotate, const json_t *body, const struct spot *spot)
{
    const char *ulid = strchr(cm_json_str_or(body, "_id", ":"), ':') + 1;
    const struct kf_server *self = rotate_self(rotate);
    CM_AUTO_STR id = cm_asprintf("reseal:%s:%s", self->name, ulid);
    CM_AUTO_JSON said = cs_get_body(rotate->opts.store, id);
    uint8_t ski[KF_SKI_SIZE];
    struct kf_octets before = {0}, after = {0};
    uint8_t *a = NULL, *b = NULL;
    const char *was = cm_json_str_or(spot->holder, spot->key, "");
    const char *is = cm_json_str_or(said, "sealed_key", "");
    bool same = said && kf_seal_ski(self->seal_b64, ski, NULL) == 0 &&
                cm_b64_decode(was, strlen(was), &a, &before.len) == 0 &&
                cm_b64_decode(is, strlen(is), &b, &after.len) == 0;
    before.data = a;
    after.data = b;
    same = same && kf_rewrap_check(before, after, rotate->old_ski, ski, NULL) == 0;
    cm_free(a);
    cm_free(b);
    return same;
}

static void begin_sealing(struct rotate *rotate, const json_t *body, int64_t serial)
{
    struct sealing *s = cm_calloc(1, sizeof(*s));
    bool manager = fleet_is_manager(rotate->opts.fleet);
    *s = (struct sealing){.rotate = rotate, .body = json_deep_copy(body), .serial = serial};
    collect(s, s->body, 0);
    const char *type = cm_json_str_or(body, "type", "");
    bool ours =
        manager || serial == 0 || strcmp(type, "credential") == 0 || strcmp(type, "keyfile") == 0;
    if (s->count > 0)
        rotate->left++;
    if (!manager && serial != 0 && s->count > 1)
        s->count = 1; /* a word has room for one; the next pass finds the others */
    if (s->count == 0 || !ours ||
        (!manager && serial != 0 && said_already(rotate, body, &s->spot[0]))) {
        json_decref(s->body);
        cm_free(s);
        return;
    }
    rotate->worked = true;
    rotate->open++;
    seal_next(s);
}

/* ---- the pass ---- */

/* Signed by us, with a key that is going? */
static bool signed_before(const struct rotate *rotate, const json_t *body)
{
    const struct kf_server *self = rotate_self(rotate);
    const json_t *signature = cm_json_obj(body, "signature");
    return strcmp(cm_json_str_or(signature, "by", ""), self->name) == 0 &&
           strcmp(cm_json_str_or(signature, "key", ""), self->sign_id) != 0;
}

/* What cannot be read may need the former key: it stays. */
static void unseen(struct rotate *rotate, const struct cm_err *err)
{
    rotate->failed++;
    rotate_error(rotate, err);
}

static void look_at_tombstone(struct rotate *rotate, const char *id, bool by_manager)
{
    json_t *body = NULL;
    if (cs_read_rev(rotate->opts.store, id, NULL, false, false, &body, NULL) < 0)
        return;
    if (cm_json_bool(body, "_deleted", false) && cm_json_str(body, "type") &&
        signed_before(rotate, body)) {
        json_t *next = json_object();
        rotate->left++;
        cm_json_set_str(next, "_id", id);
        cm_json_set_str(next, "type", cm_json_str(body, "type"));
        cm_json_set_bool(next, "_deleted", true);
        if (by_manager)
            json_decref(next);
        else
            publish(rotate, next, -1);
    }
    json_decref(body);
}

static void look_at(struct rotate *rotate, const char *id)
{
    const struct cs_type *type = cs_type_of(id);
    struct cs_doc doc;
    struct cm_err err = CM_ERR_INIT;
    if (type == NULL || strcmp(id, "trust:root") == 0 || strncmp(id, "rotation:", 9) == 0)
        return;
    int rc = cs_peek(rotate->opts.store, id, &doc, &err);
    if (rc == CM_ENOENT)
        look_at_tombstone(rotate, id, type->by_manager);
    else if (rc < 0)
        unseen(rotate, &err);
    cm_err_fini(&err);
    if (rc < 0)
        return;
    if (signed_before(rotate, doc.body)) {
        rotate->left++;
        if (!type->by_manager)
            publish(rotate, json_deep_copy(doc.body), doc.serial);
    } else if (type->by_manager) {
        begin_sealing(rotate, doc.body, doc.serial);
    }
    cs_doc_fini(&doc);
}

struct listing {
    struct rotate *rotate;
    json_t *ids;
};

static int note_id(void *arg, const struct cs_change *change)
{
    struct listing *listing = arg;
    listing->rotate->since = change->seq; /* where a late pass goes on */
    json_array_append_new(listing->ids, json_string(change->id));
    return 0;
}

/* The next documents: all of them, or those that changed since a pass that left nothing. */
static int list_some(struct rotate *rotate, json_t *ids, struct cm_err *err)
{
    struct listing listing = {.rotate = rotate, .ids = ids};
    struct cs_store *store = rotate->opts.store;
    if (rotate->passed > 0)
        return cs_changes(store, rotate->since, ROTATE_SLICE, note_id, &listing, err);
    return cs_docs(store, rotate->after, false, ROTATE_SLICE, note_id, &listing, err);
}

/* What was looked at may lie in the open batch of the store, where a full disk throws it away: it
 * counts when that is durable. */
static void on_durable(void *arg, int code, const struct cm_err *err)
{
    struct rotate *rotate = arg;
    (void)err; /* the store tells it */
    rotate->open--;
    rotate->failed += code != 0;
}

/* One slice; false at the end. */
static bool slice(struct rotate *rotate)
{
    CM_AUTO_JSON ids = json_array();
    struct cm_err err = CM_ERR_INIT;
    size_t i;
    json_t *id;
    bool from = rotate->passed == 0 && rotate->after != NULL;
    int rc = list_some(rotate, ids, &err);
    size_t count = json_array_size(ids);
    if (rc < 0)
        unseen(rotate, &err);
    cm_err_fini(&err);
    json_array_foreach(ids, i, id)
    {
        if (!from || i > 0) /* `from` is included */
            look_at(rotate, json_string_value(id));
    }
    if (count > 0) {
        cm_free(rotate->after);
        rotate->after = cm_strdup(json_string_value(json_array_get(ids, count - 1)));
    }
    rotate->open++;
    cs_after_commit(rotate->opts.store, on_durable, rotate);
    return rc == 0 && count == ROTATE_SLICE;
}

static void begin(struct rotate *rotate)
{
    rotate->passing = true;
    rotate->looked = rotate->worked = false;
    rotate->left = rotate->failed = 0;
    rotate->begun_at = cs_seq(rotate->opts.store);
    rotate->since = rotate->passed;
    cm_free(rotate->after);
    rotate->after = NULL;
    if (rotate->secret_table == NULL)
        return;
    CM_AUTO_JSON secret = cs_kv_get(rotate->opts.store, rotate->secret_table, rotate->secret_key);
    if (secret != NULL)
        begin_sealing(rotate, secret, 0);
}

void rotate_pass(struct rotate *rotate)
{
    if (!rotate->passing)
        begin(rotate);
    if (!rotate->looked && rotate->open < ROTATE_OPEN)
        rotate->looked = !slice(rotate);
    if (!rotate->looked || rotate->open > 0) {
        cm_timer_start(rotate->timer, SLICE_MS);
        return;
    }
    /* What was begun in this pass counts as left: the next one, at once, finds it done. */
    rotate->passing = false;
    if (rotate->worked)
        cm_timer_start(rotate->timer, SLICE_MS);
    if (rotate->left + rotate->failed == 0)
        rotate->passed = rotate->begun_at;
    rotate_passed(rotate, rotate->left + rotate->failed);
}

void rotate_pass_late(struct rotate *rotate)
{
    if (rotate->passed == 0 || rotate->passed != cs_seq(rotate->opts.store))
        rotate_pass(rotate);
}
