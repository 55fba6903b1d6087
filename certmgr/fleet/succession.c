/* The pass over the store after a change of managers.  See succession.h. */
#include "certmgr/fleet/succession.h"

#include <string.h>

#include "base/core/bytes.h"
#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "base/core/step.h"
#include "certmgr/fleet/fleet_internal.h"
#include "certstore/schema.h"
#include "keyfile/envelope.h"
#include "keyfile/rewrap.h"

#define TABLE "state"
#define KEY   "succession" /* {mark} of the last complete pass */

#define SECRETS_MAX 8 /* in one document: an account's key, the next one, the former ones */

struct succession {
    struct cs_store *store;
    struct fleet *fleet;
    struct kf_agent agent;
    struct cm_timer *timer;
    char mark[CM_SHA256_HEX]; /* what the running pass is for */
    char *after;              /* id last looked at; NULL = from the first */
    bool running;
    size_t open, failed, changed;
    size_t former; /* signed by a key of this server that is being replaced */
};

/* Who may read the managers' secrets, and whose signature stands below documents. */
static void mark_of(const struct succession *s, char out[CM_SHA256_HEX])
{
    const struct kf_trust *trust = fleet_trust(s->fleet);
    const struct kf_server *self = kf_trust_server(trust, s->fleet->self);
    struct cm_buf text;
    cm_buf_init(&text, 1u << 20);
    cm_buf_puts(&text, self->sign_id);
    for (size_t i = 0; i < kf_trust_count(trust); i++) {
        const struct kf_server *server = kf_trust_at(trust, i);
        if (server->state == KF_ACTIVE && (server->manager || server->standby)) {
            cm_buf_puts(&text, "\n");
            cm_buf_puts(&text, server->seal_b64);
        }
    }
    cm_buf_puts(&text, "\n");
    cm_buf_puts(&text, kf_trust_recovery(trust) ? kf_trust_recovery(trust) : "");
    cm_sha256_hex(cm_buf_str(&text), strlen(cm_buf_str(&text)), out);
    cm_buf_fini(&text);
}

/* ---- one document ---- */

/* Where a secret of the managers lies. */
struct secret {
    json_t *holder; /* borrowed from the body */
    const char *member;
};

struct renewing {
    struct succession *s;
    json_t *body;
    int64_t serial;
    struct secret secret[SECRETS_MAX];
    size_t count, at; /* at: being sealed again */
    bool changed;
    bool resign; /* another signed it: it is published whatever becomes of the secrets */
};

/* The agent takes this server's own next keys into use a moment after the root names them. */
static bool signed_by_former_key(const struct succession *s, const struct cs_doc *doc)
{
    const struct kf_server *self = kf_trust_server(fleet_trust(s->fleet), s->fleet->self);
    const char *key = doc ? cm_json_str(cm_json_obj(doc->body, "signature"), "key") : NULL;
    return key != NULL && strcmp(key, self->sign_id) != 0;
}

static void renewed(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    struct succession *s = arg;
    s->open--;
    if (err == NULL && signed_by_former_key(s, doc))
        s->former++;
    else if (err == NULL)
        s->changed++;
    else if (err->code != CM_ECONFLICT) { /* changed meanwhile, by us: it is signed */
        s->failed++;
        cm_log_err(CM_LOG_WARN, "fleet", err);
    }
}

static void publish(struct succession *s, json_t *take_body, int64_t serial)
{
    cm_step("succession.publish");
    json_object_del(take_body, "signature");
    json_object_del(take_body, "serial");
    cs_publish(s->store, take_body, serial, renewed, s);
}

static void reseal_next(struct renewing *r);

static void on_resealed(void *arg, const json_t *reply, const struct cm_err *err)
{
    struct renewing *r = arg;
    struct secret *secret = &r->secret[r->at++];
    if (err != NULL) {
        /* Not sealed for us: nobody here can help; anything else may pass. */
        r->s->failed += err->code != CM_EDENIED && err->code != CM_ECRYPTO;
        cm_log(CM_LOG_WARN, "fleet", cm_json_str(r->body, "_id"),
               "its secret cannot be sealed for the managers of today: %s", err->what);
    } else if (cm_json_bool(reply, "changed", false)) {
        cm_json_set_str(secret->holder, secret->member, cm_json_str(reply, "sealed"));
        r->changed = true;
    }
    reseal_next(r);
}

static void reseal_next(struct renewing *r)
{
    struct succession *s = r->s;
    if (r->at < r->count) {
        const struct secret *secret = &r->secret[r->at];
        json_t *request = json_pack("{s:s}", "op", "secret.reseal");
        cm_json_set_str(request, "sealed", cm_json_str(secret->holder, secret->member));
        s->agent.call(s->agent.arg, request, on_resealed, r);
        return;
    }
    if (r->changed || r->resign)
        publish(s, json_incref(r->body), r->serial);
    else
        s->open--;
    json_decref(r->body);
    cm_free(r);
}

static void note_secret(struct renewing *r, json_t *holder, const char *member)
{
    if (r->count < SECRETS_MAX && cm_json_str(holder, member))
        r->secret[r->count++] = (struct secret){.holder = holder, .member = member};
}

static void find_secrets(struct renewing *r)
{
    const char *type = cm_json_str_or(r->body, "type", "");
    size_t i;
    json_t *former;
    if (strcmp(type, "dns-account") == 0)
        note_secret(r, r->body, "sealed");
    if (strcmp(type, "account") != 0)
        return;
    note_secret(r, r->body, "sealed_key");
    note_secret(r, cm_json_obj(r->body, "rollover"), "sealed_key");
    json_array_foreach(cm_json_arr(r->body, "former"), i, former)
        note_secret(r, former, "sealed_key");
}

static bool lists(const struct kf_envelope *envelope, const struct kf_server *server)
{
    uint8_t ski[KF_SKI_SIZE];
    return kf_seal_ski(server->seal_b64, ski, NULL) == 0 && kf_envelope_lists(envelope, ski);
}

/* Can this manager open it, and is there another one, or a standby, that cannot? */
static bool lacks_somebody(const struct succession *s, const char *sealed)
{
    const struct kf_trust *trust = fleet_trust(s->fleet);
    struct kf_envelope envelope;
    uint8_t *der = NULL;
    bool lacks = false;
    if (kf_envelope_read(sealed, &der, &envelope, NULL) < 0)
        return false;
    if (lists(&envelope, kf_trust_server(trust, s->fleet->self))) {
        for (size_t i = 0; i < kf_trust_count(trust); i++) {
            const struct kf_server *server = kf_trust_at(trust, i);
            if (server->state == KF_ACTIVE && (server->manager || server->standby))
                lacks = lacks || !lists(&envelope, server);
        }
    }
    cm_free(der);
    return lacks;
}

/* The key of an imported certificate is in the servers' envelope: the task seals that again
 * (certmgr/engine/rewrap.c), as when other servers get it. */
static bool ask_for_sealing(const struct succession *s, json_t *body)
{
    const char *status = cm_json_str_or(body, "status", "");
    if (strcmp(cm_json_str_or(body, "type", ""), "credential") != 0 ||
        strcmp(cm_json_str_or(body, "provider", ""), "import") != 0 ||
        (strcmp(status, "issued") != 0 && strcmp(status, "expired") != 0) ||
        !lacks_somebody(s, cm_json_str_or(body, "sealed_key", "")))
        return false;
    cm_json_set_str(body, "status", "update_servers");
    cm_json_set_time(body, "next_action_at", cm_now_ms());
    return true;
}

static void renew(struct succession *s, const struct cs_doc *doc, bool resign)
{
    struct renewing *r = cm_calloc(1, sizeof(*r));
    *r = (struct renewing){
        .s = s, .body = json_deep_copy(doc->body), .serial = doc->serial, .resign = resign};
    find_secrets(r);
    r->changed = ask_for_sealing(s, r->body);
    s->open++;
    reseal_next(r);
}

static bool signed_by_us(const struct succession *s, const json_t *body)
{
    const struct kf_server *self = kf_trust_server(fleet_trust(s->fleet), s->fleet->self);
    const char *key = cm_json_str(cm_json_obj(body, "signature"), "key");
    return key != NULL && strcmp(key, self->sign_id) == 0;
}

/* What cannot be read may lack a manager: the pass is made again. */
static void unseen(struct succession *s, const struct cm_err *err)
{
    s->failed++;
    cm_log_err(CM_LOG_WARN, "fleet", err);
}

/* A tombstone is signed, too: a server that missed it would keep what was deleted. */
static void look_at_tombstone(struct succession *s, const char *id)
{
    json_t *body = NULL;
    if (cs_read_rev(s->store, id, NULL, false, false, &body, NULL) < 0)
        return;
    if (cm_json_bool(body, "_deleted", false) && cm_json_str(body, "type") &&
        !signed_by_us(s, body)) {
        json_t *next = json_object();
        cm_json_set_str(next, "_id", id);
        cm_json_set_str(next, "type", cm_json_str(body, "type"));
        cm_json_set_bool(next, "_deleted", true);
        s->open++;
        publish(s, next, -1);
    }
    json_decref(body);
}

static void look_at(struct succession *s, const char *id)
{
    const struct cs_type *type = cs_type_of(id);
    struct cs_doc doc;
    if (type == NULL || !type->by_manager || strcmp(id, "trust:root") == 0)
        return;
    struct cm_err err = CM_ERR_INIT;
    int rc = cs_get(s->store, id, &doc, &err);
    if (rc == CM_ENOENT)
        look_at_tombstone(s, id);
    else if (rc < 0)
        unseen(s, &err);
    cm_err_fini(&err);
    if (rc < 0)
        return;
    renew(s, &doc, !signed_by_us(s, doc.body));
    cs_doc_fini(&doc);
}

/* ---- the pass ---- */

struct slice {
    json_t *ids;
};

static int note_id(void *arg, const struct cs_change *change)
{
    struct slice *slice = arg;
    json_array_append_new(slice->ids, json_string(change->id));
    return 0;
}

static void pass_end(struct succession *s)
{
    CM_AUTO_JSON done = json_object();
    struct cm_err err = CM_ERR_INIT;
    if (s->changed > 0)
        cm_log(CM_LOG_INFO, "fleet", NULL,
               "%zu documents were signed or sealed for the managers of today", s->changed);
    if (s->failed > 0 || s->former > 0) {
        s->mark[0] = '\0'; /* from the beginning, a little later */
        cm_timer_start(s->timer, s->failed > 0 ? SUCCESSION_LATE_MS : SUCCESSION_SOON_MS);
        return;
    }
    cm_json_set_str(done, "mark", s->mark);
    cm_step("succession.end");
    if (cs_kv_put(s->store, TABLE, KEY, done, &err) < 0)
        cm_log_err(CM_LOG_WARN, "fleet", &err);
    cm_err_fini(&err);
    succession_look(s); /* it may have changed meanwhile */
}

static void slice(struct succession *s)
{
    struct slice slice = {.ids = json_array()};
    size_t i;
    json_t *id;
    bool same = s->after != NULL;
    struct cm_err err = CM_ERR_INIT;
    int rc = cs_docs(s->store, s->after, false, SUCCESSION_SLICE, note_id, &slice, &err);
    size_t count = json_array_size(slice.ids);
    if (rc < 0)
        unseen(s, &err);
    cm_err_fini(&err);
    json_array_foreach(slice.ids, i, id)
    {
        if (!same || i > 0) /* `from` is included */
            look_at(s, json_string_value(id));
    }
    if (count > 0) {
        cm_free(s->after);
        s->after = cm_strdup(json_string_value(json_array_get(slice.ids, count - 1)));
    }
    json_decref(slice.ids);
    if (rc < 0 || count < SUCCESSION_SLICE) {
        cm_free(s->after);
        s->after = NULL;
        s->running = false; /* until what is open has ended */
    }
}

static void step(void *arg)
{
    struct succession *s = arg;
    if (!fleet_is_manager(s->fleet))
        return;
    if (s->mark[0] == '\0') {
        succession_look(s);
        return;
    }
    if (s->running && s->open < SUCCESSION_OPEN)
        slice(s);
    if (s->running || s->open > 0)
        cm_timer_start(s->timer, SUCCESSION_MS);
    else
        pass_end(s);
}

void succession_look(struct succession *s)
{
    char mark[CM_SHA256_HEX];
    if (!fleet_is_manager(s->fleet) || s->fleet->held || s->running || s->open > 0)
        return;
    mark_of(s, mark);
    CM_AUTO_JSON done = cs_kv_get(s->store, TABLE, KEY);
    if (strcmp(cm_json_str_or(done, "mark", ""), mark) == 0)
        return;
    memcpy(s->mark, mark, sizeof(mark));
    s->running = true;
    s->failed = s->changed = s->former = 0;
    cm_step("succession.begin");
    cm_free(s->after);
    s->after = NULL;
    cm_timer_start(s->timer, 0);
}

void succession_free(struct succession *s)
{
    cm_timer_free(s->timer);
    cm_free(s->after);
    cm_free(s);
}

struct succession *succession_new(struct cm_loop *loop, struct cs_store *store, struct fleet *fleet,
                                  struct kf_agent agent)
{
    struct succession *s = cm_calloc(1, sizeof(*s));
    s->store = store;
    s->fleet = fleet;
    s->agent = agent;
    s->timer = cm_timer_new(loop, step, s);
    return s;
}
