/*
 * What the manager looks at before it forgets a server's former keys: its own store.
 *
 * The server says that nothing needs them, but it knows only what it has pulled.  A document that
 * is sealed for the former key alone waits until the server has it and has it sealed anew; an
 * imported certificate's key the manager opens itself (certmgr/engine/rewrap.c); an order that a CA
 * has is finished with the key that it has (certmgr/engine/job_key.c), so its end is waited for,
 * too.  A server is asked for by the index of its credentials; only a manager or standby, for whom
 * there is more, has all credentials looked at.  One slice in a turn of the loop.
 */
#include <string.h>

#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "base/core/step.h"
#include "certmgr/fleet/alarm.h"
#include "certmgr/fleet/rotate_internal.h"
#include "keyfile/rewrap.h"

#define TABLE     "state"
#define WAITING   "rotation_wait:" /* and the server's name */
#define ORDERS    "order"          /* local table of the engine (certmgr/engine/job.h) */
#define SLICE_MS  10
#define DEPTH_MAX 4

/* Where documents of a server may lie. */
static const struct source {
    enum cs_index index;
    const char *key; /* NULL: the server's name */
    bool managers;   /* only of who may open the managers' secrets */
} sources[] = {
    {CS_BY_SERVER, NULL, false},
    {CS_BY_TYPE, "account", true},
    {CS_BY_TYPE, "dns-account", true},
    {CS_BY_TYPE, "credential", true},
};
#define SOURCES (sizeof(sources) / sizeof(sources[0]))

struct rotate_wait {
    struct cs_store *store;
    struct cm_timer *timer;
    rotate_found_fn done;
    void *arg;
    /* The look that is under way, for … */
    char server[KF_NAME_MAX];
    uint8_t former[KF_SKI_SIZE], present[KF_SKI_SIZE];
    bool manages, running;
    size_t source;             /* … in this one, behind … */
    char after[CS_ID_MAX + 1]; /* … this id; "" = from the first */
    size_t open;               /* slices that are not durable yet */
    bool failed;               /* … or were thrown away by the store */
    struct rotate_found found;
};

/* ---- one document ---- */

static bool needs_former(const struct rotate_wait *wait, const char *text)
{
    struct kf_envelope envelope;
    uint8_t *der = NULL;
    if (kf_envelope_read(text, &der, &envelope, NULL) < 0)
        return false; /* nobody opens it */
    bool yes =
        kf_envelope_lists(&envelope, wait->former) && !kf_envelope_lists(&envelope, wait->present);
    cm_free(der);
    return yes;
}

/* Is anything in it sealed for the former key and not for the new one? */
static bool has_former(const struct rotate_wait *wait, const json_t *value, int depth)
{
    const char *key;
    json_t *member;
    size_t i;
    if (depth > DEPTH_MAX)
        return false;
    json_object_foreach((json_t *)(uintptr_t)value, key, member)
    {
        const char *text = json_string_value(member);
        if ((text && strncmp(key, "sealed", 6) == 0 && needs_former(wait, text)) ||
            has_former(wait, member, depth + 1))
            return true;
    }
    json_array_foreach(value, i, member)
    {
        if (has_former(wait, member, depth + 1))
            return true;
    }
    return false;
}

static void found(struct rotate_wait *wait, const char *id)
{
    if (wait->found.count++ == 0)
        (void)cm_strcpy(wait->found.first, sizeof(wait->found.first), id);
}

/* What cannot be read may need the former key, as on the server itself (rotate_seal.c). */
static bool look_at(struct rotate_wait *wait, const char *id, struct cs_doc *doc)
{
    struct cm_err err = CM_ERR_INIT;
    int rc = cs_peek(wait->store, id, doc, &err);
    if (rc < 0 && rc != CM_ENOENT) {
        cm_log_err(CM_LOG_WARN, "rotate", &err);
        found(wait, id);
    }
    cm_err_fini(&err);
    if (rc < 0)
        return false;
    bool needs = has_former(wait, doc->body, 0);
    if (needs)
        found(wait, id);
    else
        cs_doc_fini(doc);
    return needs;
}

static bool is_import(const json_t *body)
{
    return strcmp(cm_json_str_or(body, "provider", ""), "import") == 0;
}

/* The key of an import this manager opens itself: the task seals it for the keys of today
 * (certmgr/engine/rewrap.c), as succession.c has it done.  With an error it was tried in vain. */
static void ask_for_sealing(const struct rotate_wait *wait, const struct cs_doc *doc)
{
    const char *status = cm_json_str_or(doc->body, "status", "");
    if (!is_import(doc->body) || json_object_get(doc->body, "error") != NULL ||
        (strcmp(status, "issued") != 0 && strcmp(status, "expired") != 0))
        return;
    json_t *next = json_deep_copy(doc->body);
    json_object_del(next, "signature");
    json_object_del(next, "serial");
    cm_json_set_str(next, "status", "update_servers");
    cm_json_set_time(next, "next_action_at", cm_now_ms());
    cs_publish(wait->store, next, doc->serial, NULL, NULL); /* else the next look asks again */
}

/* An order that the CA has not is made with another key, should nobody open this one. */
static void look_at_order(struct rotate_wait *wait, const char *id, const char *ulid)
{
    CM_AUTO_JSON order = cs_kv_get(wait->store, ORDERS, ulid);
    const json_t *acme = cm_json_obj(order, "acme");
    if ((cm_json_str(acme, "order_url") || cm_json_str(acme, "ordering_at")) &&
        has_former(wait, order, 0))
        found(wait, id);
}

static void look_at_credential(struct rotate_wait *wait, const char *id)
{
    const char *ulid = strchr(id, ':') + 1;
    CM_AUTO_STR keyfile = cm_asprintf("keyfile:%s", ulid);
    struct cs_doc doc;
    if (look_at(wait, id, &doc)) {
        ask_for_sealing(wait, &doc);
        cs_doc_fini(&doc);
    } else {
        look_at_order(wait, id, ulid);
    }
    if (look_at(wait, keyfile, &doc))
        cs_doc_fini(&doc);
}

/* Of a credential that the server has no access to: an import's key is for the managers, too. */
static void look_at_import(struct rotate_wait *wait, const char *id)
{
    CM_AUTO_JSON body = cs_peek_body(wait->store, id);
    if (is_import(body) && !cm_json_has_str(cm_json_arr(body, "servers"), wait->server))
        look_at_credential(wait, id);
}

static void look_at_one(struct rotate_wait *wait, const char *id)
{
    struct cs_doc doc;
    if (sources[wait->source].index == CS_BY_SERVER)
        look_at_credential(wait, id);
    else if (strncmp(id, "credential:", 11) == 0)
        look_at_import(wait, id);
    else if (look_at(wait, id, &doc))
        cs_doc_fini(&doc);
}

/* ---- the look ---- */

struct slice {
    const char *key;
    json_t *ids;
    bool more;
};

static int note_id(void *arg, const char *key, const char *id)
{
    struct slice *slice = arg;
    if (strcmp(key, slice->key) != 0) /* "beta2" begins with "beta", and follows it */
        return 1;
    slice->more = json_array_size(slice->ids) == ROTATE_WAIT_SLICE;
    if (slice->more)
        return 1;
    json_array_append_new(slice->ids, json_string(id));
    return 0;
}

/* False: this source has no more. */
static bool look_at_some(struct rotate_wait *wait)
{
    const struct source *source = &sources[wait->source];
    struct slice slice = {.key = source->key ? source->key : wait->server, .ids = json_array()};
    size_t i;
    json_t *id;
    bool begun = wait->after[0] != '\0';
    cs_each(wait->store, source->index, slice.key, begun ? slice.key : NULL,
            begun ? wait->after : NULL, note_id, &slice);
    json_array_foreach(slice.ids, i, id)
    {
        look_at_one(wait, json_string_value(id));
        (void)cm_strcpy(wait->after, sizeof(wait->after), json_string_value(id));
    }
    json_decref(slice.ids);
    return slice.more;
}

/* What was looked at may lie in the open batch of the store, where a full disk throws it away. */
static void on_durable(void *arg, int code, const struct cm_err *err)
{
    struct rotate_wait *wait = arg;
    (void)err; /* the store tells it */
    wait->open--;
    wait->failed = wait->failed || code != 0;
    if (wait->source == SOURCES && wait->open == 0)
        cm_timer_start(wait->timer, 0);
}

static void next_source(struct rotate_wait *wait)
{
    wait->after[0] = '\0';
    do
        wait->source++;
    while (wait->source < SOURCES && sources[wait->source].managers && !wait->manages);
}

static void turn(void *arg)
{
    struct rotate_wait *wait = arg;
    if (wait->source < SOURCES) {
        if (!look_at_some(wait))
            next_source(wait);
        if (wait->source < SOURCES)
            cm_timer_start(wait->timer, SLICE_MS);
        wait->open++;
        cs_after_commit(wait->store, on_durable, wait);
        return;
    }
    if (wait->open > 0)
        return;
    wait->running = false;
    cm_step("serve.looked");
    wait->done(wait->arg, wait->server, wait->failed ? NULL : &wait->found);
}

bool rotate_wait_look(struct rotate_wait *wait, const struct kf_server *server)
{
    if (wait->running || kf_seal_ski(server->old_seal_b64, wait->former, NULL) < 0 ||
        kf_seal_ski(server->seal_b64, wait->present, NULL) < 0)
        return false;
    (void)cm_strcpy(wait->server, sizeof(wait->server), server->name);
    wait->manages = server->manager || server->standby;
    wait->running = true;
    wait->failed = false;
    wait->source = 0;
    wait->after[0] = '\0';
    wait->found = (struct rotate_found){.count = 0};
    cm_timer_start(wait->timer, 0);
    return true;
}

struct rotate_wait *rotate_wait_new(struct cm_loop *loop, struct cs_store *store,
                                    rotate_found_fn done, void *arg)
{
    struct rotate_wait *wait = cm_calloc(1, sizeof(*wait));
    wait->store = store;
    wait->done = done;
    wait->arg = arg;
    wait->timer = cm_timer_new(loop, turn, wait);
    return wait;
}

void rotate_wait_free(struct rotate_wait *wait)
{
    cm_timer_free(wait->timer);
    cm_free(wait);
}

/* ---- what was found ---- */

/* Of this rotation: the former key tells it from the one before. */
static json_t *record_of(struct cs_store *store, const struct kf_server *server)
{
    CM_AUTO_STR key = cm_asprintf(WAITING "%s", server->name);
    json_t *record = cs_kv_get(store, TABLE, key);
    const char *seal = server->old_seal_b64 ? server->old_seal_b64 : "";
    if (record && strcmp(cm_json_str_or(record, "seal", ""), seal) == 0)
        return record;
    json_decref(record);
    return NULL;
}

static bool keep_record(struct cs_store *store, const char *name, const json_t *record)
{
    CM_AUTO_STR key = cm_asprintf(WAITING "%s", name);
    struct cm_err err = CM_ERR_INIT;
    int rc = cs_kv_put(store, TABLE, key, record, &err);
    if (rc < 0)
        cm_log_err(CM_LOG_WARN, "rotate", &err);
    cm_err_fini(&err);
    return rc == 0;
}

bool rotate_wait_note(struct cs_store *store, const struct kf_server *server,
                      const struct rotate_found *found)
{
    CM_AUTO_STR key = cm_asprintf(WAITING "%s", server->name);
    CM_AUTO_JSON before = record_of(store, server);
    CM_AUTO_JSON record = json_object();
    int64_t now = cm_now_ms(), since = cm_json_time(before, "since", now);
    if (found->count == 0) {
        (void)cs_kv_del(store, TABLE, key, NULL);
        return false;
    }
    if (since > now) /* the clock was put back */
        since = now;
    bool over = since + ROTATE_WAIT_MS <= now;
    cm_json_set_str(record, "seal", server->old_seal_b64);
    cm_json_set_int(record, "documents", (int64_t)found->count);
    cm_json_set_str(record, "first", found->first);
    cm_json_set_time(record, "since", since);
    if (over) /* before the keys go: the notice is raised from this */
        cm_json_set_bool(record, "given_up", true);
    if (before == NULL)
        cm_log(CM_LOG_WARN, "rotate", NULL,
               "the former keys of server %s stay: %zu documents are sealed for them alone, the "
               "first is %s",
               server->name, found->count, found->first);
    return (!json_equal(before, record) && !keep_record(store, server->name, record)) || !over;
}

json_t *rotate_wait_of(struct cs_store *store, const struct kf_server *server)
{
    CM_AUTO_JSON record = record_of(store, server);
    if (server->old_seal_b64 == NULL || record == NULL)
        return NULL;
    json_t *view = json_object();
    cm_json_set_int(view, "documents", cm_json_int(record, "documents", 0));
    cm_json_set_str(view, "first", cm_json_str(record, "first"));
    int64_t since = cm_json_time(record, "since", 0);
    cm_json_set_time(view, "since", since);
    cm_json_set_time(view, "until", since + ROTATE_WAIT_MS);
    return view;
}

static void raise_left(struct cs_store *store, const char *name, const json_t *record)
{
    CM_AUTO_STR key = cm_asprintf(FLEET_ALARMS "rotation_left/%s", name);
    CM_AUTO_STR title = cm_asprintf("Server %s lacks documents since its keys were replaced", name);
    CM_AUTO_STR where = cm_asprintf("server %s", name);
    CM_AUTO_STR what = cm_asprintf(
        "%lld documents, the first is %s, were sealed for its former key alone a day after it "
        "had said that it needs it no more; now it cannot open them",
        (long long)cm_json_int(record, "documents", 0), cm_json_str_or(record, "first", "?"));
    fleet_alarm_raise(
        store, &(struct fleet_alarm){
                   .key = key,
                   .kind = "rotation_left",
                   .title = title,
                   .where = where,
                   .what = what,
                   .hint = "Certificates from an ACME CA are renewed with a new key by themselves; "
                           "for others, and paused ones, hand in or import one with a new key. The "
                           "page of a credential tells what the server could not deploy"});
}

void rotate_wait_watch(struct cs_store *store, const struct kf_server *server)
{
    CM_AUTO_STR key = cm_asprintf(WAITING "%s", server->name);
    CM_AUTO_JSON record = cs_kv_get(store, TABLE, key);
    if (record == NULL || (server->state == KF_ACTIVE && server->old_seal_b64 != NULL))
        return;
    if (server->state == KF_ACTIVE && cm_json_bool(record, "given_up", false))
        raise_left(store, server->name, record);
    (void)cs_kv_del(store, TABLE, key, NULL);
}
