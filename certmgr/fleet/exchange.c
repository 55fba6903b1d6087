/*
 * /trust of the replication listener: two members show each other their trust roots.
 *
 * The newer one wins wherever it is rightly signed, so it needs no protection but size; who asks
 * has to be in the trust root, in whatever state: a lost manager that comes back learns here that
 * it was replaced.
 */
#include <stdlib.h>
#include <string.h>

#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "certmgr/fleet/alarm.h"
#include "certmgr/fleet/exchange.h"
#include "certmgr/fleet/fleet_internal.h"

#define CHAIN_TABLE "state"
#define CHAIN_KEY   "trust_chain:" /* and the version, 12 digits */
#define CHAIN_MAX   16

#define COPY_NOTE_MS 60000 /* a copy that knocks all the time is noted so often */

/* ---- the chain: trust roots at which the signers changed ---- */

struct chain {
    int64_t from;
    json_t *documents, *keys;
};

static int collect(void *arg, const char *key, const json_t *value)
{
    struct chain *chain = arg;
    json_array_append_new(chain->keys, json_string(key));
    if (cm_json_int(value, "version", 0) > chain->from)
        json_array_append_new(chain->documents, json_deep_copy(value));
    return 0;
}

static bool same_signers(const struct kf_trust *a, const struct kf_trust *b)
{
    return kf_trust_threshold(a) == kf_trust_threshold(b) &&
           json_equal(json_object_get(kf_trust_document(a), "root_signers"),
                      json_object_get(kf_trust_document(b), "root_signers"));
}

int fleet_chain_note(struct fleet *fleet, const struct kf_trust *next, struct cm_err *err)
{
    if (same_signers(fleet->trust, next))
        return 0;
    struct chain chain = {.from = INT64_MAX, .documents = json_array(), .keys = json_array()};
    cs_kv_each(fleet->store, CHAIN_TABLE, CHAIN_KEY, collect, &chain);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i + CHAIN_MAX <= json_array_size(chain.keys); i++)
        rc = cs_kv_del(fleet->store, CHAIN_TABLE, json_string_value(json_array_get(chain.keys, i)),
                       err);
    json_decref(chain.documents);
    json_decref(chain.keys);
    CM_AUTO_STR key = cm_asprintf(CHAIN_KEY "%012lld", (long long)kf_trust_version(next));
    return rc < 0 ? rc : cs_kv_put(fleet->store, CHAIN_TABLE, key, kf_trust_document(next), err);
}

json_t *fleet_chain(const struct fleet *fleet, int64_t from)
{
    struct chain chain = {.from = from, .documents = json_array(), .keys = json_array()};
    cs_kv_each(fleet->store, CHAIN_TABLE, CHAIN_KEY, collect, &chain);
    json_decref(chain.keys);
    const json_t *last = json_array_get(chain.documents, json_array_size(chain.documents) - 1);
    if (kf_trust_version(fleet->trust) > from &&
        cm_json_int(last, "version", 0) != kf_trust_version(fleet->trust))
        json_array_append_new(chain.documents, json_deep_copy(kf_trust_document(fleet->trust)));
    json_t *all = json_object();
    cm_json_set_int(all, "version", kf_trust_version(fleet->trust));
    cm_json_set_bool(all, "manager", fleet_is_manager(fleet));
    cm_json_set(all, "documents", chain.documents);
    CM_AUTO_JSON proposal = fleet_proposal(fleet);
    cm_json_set(all, "proposal", json_deep_copy(cm_json_obj(proposal, "document")));
    return all;
}

/* ---- following a chain ---- */

struct following {
    struct fleet *fleet;
    json_t *documents;
    size_t at;
    fleet_done_fn done;
    void *arg;
};

static void follow_end(struct following *f, const struct cm_err *err)
{
    f->done(f->arg, err);
    json_decref(f->documents);
    cm_free(f);
}

static void follow_next(void *arg, const struct cm_err *err)
{
    struct following *f = arg;
    if (err != NULL || f->at >= json_array_size(f->documents)) {
        follow_end(f, err);
        return;
    }
    fleet_take(f->fleet, json_array_get(f->documents, f->at++), follow_next, f);
}

void fleet_follow_chain(struct fleet *fleet, const json_t *documents, fleet_done_fn done, void *arg)
{
    struct following *f = cm_calloc(1, sizeof(*f));
    *f = (struct following){.fleet = fleet, .done = done, .arg = arg};
    f->documents = json_is_array(documents) && json_array_size(documents) <= CHAIN_MAX + 1
                       ? json_deep_copy(documents)
                       : json_array();
    follow_next(f, NULL);
}

/* ---- an agent that is behind ---- */

struct telling {
    struct fleet *fleet;
    json_t *documents;
    size_t at;
    fleet_done_fn done;
};

static void tell_next(void *arg, const json_t *reply, const struct cm_err *err)
{
    struct telling *t = arg;
    (void)reply;
    if (err != NULL || t->at >= json_array_size(t->documents)) {
        t->done(t->fleet, err);
        json_decref(t->documents);
        cm_free(t);
        return;
    }
    json_t *request = json_object();
    cm_json_set_str(request, "op", "trust.update");
    cm_json_set(request, "document", json_deep_copy(json_array_get(t->documents, t->at++)));
    t->fleet->agent.call(t->fleet->agent.arg, request, tell_next, t);
}

void fleet_tell_agent(struct fleet *fleet, int64_t from, fleet_done_fn done)
{
    CM_AUTO_JSON chain = fleet_chain(fleet, from);
    struct telling *t = cm_calloc(1, sizeof(*t));
    *t = (struct telling){.fleet = fleet, .done = done};
    t->documents = json_incref(cm_json_arr(chain, "documents"));
    tell_next(t, NULL, NULL);
}

/* ---- the route ---- */

struct showing {
    struct fleet *fleet;
    struct http_exchange *ex; /* NULL: the client went away */
    int64_t from;
};

static void reply(struct showing *s, const struct cm_err *err)
{
    size_t len = 0;
    CM_AUTO_JSON all = fleet_chain(s->fleet, s->from);
    if (err != NULL)
        cm_json_set(all, "error", cm_err_to_json(err));
    CM_AUTO_STR text = cm_json_dump(all, &len);
    if (s->ex != NULL) {
        http_ex_header(s->ex, "Cache-Control", "no-store");
        http_ex_reply(s->ex, 200, "application/json", text, len);
    }
    cm_free(s);
}

static void on_followed(void *arg, const struct cm_err *err)
{
    if (err != NULL)
        cm_log_err(CM_LOG_WARN, "fleet", err);
    reply(arg, err);
}

static void on_closed(void *arg)
{
    ((struct showing *)arg)->ex = NULL;
}

static int64_t from_of(const char *query)
{
    return strncmp(query, "from=", 5) == 0 ? strtoll(query + 5, NULL, 10) : 0;
}

/* Who comes with keys that were replaced is a copy from before: a restored backup, or a thief. */
static void note_copy(struct fleet *fleet, const struct kf_server *server)
{
    char when[CM_TIME_TEXT];
    if (fleet->store == NULL || cm_mono_ms() < fleet->copy_noted_ms + COPY_NOTE_MS)
        return;
    fleet->copy_noted_ms = cm_mono_ms();
    cm_time_format(cm_now_ms(), when);
    CM_AUTO_STR key = cm_asprintf(FLEET_ALARMS "copy/%s", server->name);
    CM_AUTO_STR title = cm_asprintf("A copy of server %s is refused", server->name);
    CM_AUTO_STR where = cm_asprintf("server %s", server->name);
    CM_AUTO_STR what = cm_asprintf(
        "At %.16sZ somebody connected as %s with keys that were replaced", when, server->name);
    fleet_alarm_raise(fleet->store,
                      &(struct fleet_alarm){
                          .key = key,
                          .kind = "old_copy",
                          .title = title,
                          .where = where,
                          .what = what,
                          .hint = "Find out where an old copy of it runs, and stop it; if nobody "
                                  "started one, its former keys were stolen"});
}

bool fleet_knows_tls(struct fleet *fleet, const char *spki_hex)
{
    const struct kf_server *copy =
        spki_hex != NULL ? kf_trust_replaced_tls(fleet->trust, spki_hex) : NULL;
    if (copy != NULL)
        note_copy(fleet, copy);
    return spki_hex != NULL && kf_trust_any_tls(fleet->trust, spki_hex) != NULL;
}

void fleet_handle_trust(void *arg, struct http_exchange *ex)
{
    struct fleet *fleet = arg;
    const struct http_request *req = http_ex_request(ex);
    CM_AUTO_JSON body = NULL;
    bool post = req->head.method == HTTP_POST;
    if (!post && req->head.method != HTTP_GET) {
        http_ex_header(ex, "Allow", "GET, POST");
        http_ex_reply(ex, 405, NULL, NULL, 0);
        return;
    }
    if (!fleet_knows_tls(fleet, req->peer_spki)) {
        http_ex_reply(ex, 403, NULL, NULL, 0);
        return;
    }
    if (post && cm_json_parse(req->body, req->body_len, &body, NULL) != 0) {
        http_ex_reply(ex, 400, NULL, NULL, 0);
        return;
    }
    struct showing *s = cm_calloc(1, sizeof(*s));
    *s = (struct showing){.fleet = fleet, .ex = ex, .from = from_of(req->head.query)};
    if (!post) {
        reply(s, NULL);
        return;
    }
    http_ex_on_close(ex, on_closed, s);
    fleet_follow_chain(fleet, cm_json_arr(body, "documents"), on_followed, s);
}
