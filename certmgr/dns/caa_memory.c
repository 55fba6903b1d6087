/* Answers about CAA that may serve again.  See caa_memory.h. */
#include "certmgr/dns/caa_memory.h"

#include <string.h>

#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/mem.h"

/* Somebody who waits for an answer: at a question, or with the answer on the list of ready ones. */
struct caa_ask {
    struct caa_ask *next;
    caa_seen_fn fn; /* NULL = cancelled */
    void *arg;
    json_t *answer; /* as kept */
    bool kept;
};

/* One question: in line, sent, or late (nobody waits for it any more). */
struct open {
    struct open *next;
    struct caa_memory *memory;
    char *name;
    struct dns_query *query; /* NULL = in line */
    struct cm_timer *timer;
    int64_t sent_ms;
    bool late;
    struct caa_ask *asks;
};

/* kept: {name: {until, records, cname?} or {until, code, what}}, the oldest first. */
struct caa_memory {
    struct cm_loop *loop;
    struct dns_client *dns;
    struct open *open; /* in order of arrival */
    size_t open_sent;
    struct caa_ask *ready, **ready_end;
    struct cm_timer *kick;
    json_t *kept;
    int64_t answered_ms; /* the resolver was heard last, monotonic */
    int64_t probe_ms;    /* it is silent: to be asked again then; 0 = it is not */
    unsigned questions;
};

/* ---- replies ------------------------------------------------------------------------------ */

int caa_reply_read(const struct dns_reply *reply, json_t **ret_records, const char **ret_cname,
                   struct cm_err *err)
{
    *ret_records = NULL;
    *ret_cname = NULL;
    int rc = dns_reply_fail(reply, err);
    if (rc < 0)
        return rc;
    *ret_records = json_array();
    for (size_t i = 0; i < reply->count; i++) {
        const struct dns_record *r = &reply->records[i];
        if (r->type == DNS_CAA)
            json_array_append_new(*ret_records,
                                  json_pack("[i,s,s]", (int)r->flags, r->tag, r->text));
    }
    /* Resolvers follow CNAMEs, and say so with records or a SOA; a bare authoritative server leaves
     * it open what is at the end. */
    if (json_array_size(*ret_records) == 0 && reply->status == DNS_OK &&
        reply->authority_count == 0 && reply->count > 0)
        *ret_cname = reply->records[reply->count - 1].text;
    return 0;
}

/* How long an answer may serve: its least TTL, for "none" as RFC 2308 5 says. */
static int64_t life_ms(const struct dns_reply *reply)
{
    int64_t life = CAA_KEEP_MS;
    for (size_t i = 0; i < reply->count; i++)
        if (reply->records[i].ttl * INT64_C(1000) < life)
            life = reply->records[i].ttl * INT64_C(1000);
    for (size_t i = 0; i < reply->authority_count; i++) {
        const struct dns_record *soa = &reply->authority[i];
        uint32_t no = soa->ttl < soa->minimum ? soa->ttl : soa->minimum;
        if (soa->type == DNS_SOA && no * INT64_C(1000) < life)
            life = no * INT64_C(1000);
    }
    return life;
}

/* ---- delivery ----------------------------------------------------------------------------- */

static void ask_free(struct caa_ask *ask)
{
    json_decref(ask->answer);
    cm_free(ask);
}

static void make_ready(struct caa_memory *memory, struct caa_ask *ask, json_t *answer, bool kept)
{
    ask->answer = json_incref(answer);
    ask->kept = kept;
    ask->next = NULL;
    *memory->ready_end = ask;
    memory->ready_end = &ask->next;
    cm_timer_start(memory->kick, 0);
}

static void tell(struct caa_ask *ask)
{
    struct cm_err err = CM_ERR_INIT;
    const char *what = cm_json_str(ask->answer, "what");
    if (what)
        cm_fail(&err, (int)cm_json_int(ask->answer, "code", CM_ENET), "%s", what);
    struct caa_seen seen = {.records = cm_json_arr(ask->answer, "records"),
                            .cname = cm_json_str(ask->answer, "cname"),
                            .kept = ask->kept,
                            .err = what ? &err : NULL};
    ask->fn(ask->arg, &seen);
    cm_err_fini(&err);
}

static void on_kick(void *arg)
{
    struct caa_memory *memory = arg;
    struct caa_ask *ask = memory->ready; /* what comes up meanwhile has its own turn */
    memory->ready = NULL;
    memory->ready_end = &memory->ready;
    while (ask) {
        struct caa_ask *next = ask->next;
        if (ask->fn)
            tell(ask);
        ask_free(ask);
        ask = next;
    }
}

void caa_ask_cancel(struct caa_ask *ask)
{
    if (ask)
        ask->fn = NULL;
}

/* ---- memory ------------------------------------------------------------------------------- */

static json_t *failure(int code, const char *what)
{
    json_t *answer = json_object();
    cm_json_set_int(answer, "code", code);
    cm_json_set_str(answer, "what", what);
    return answer;
}

static void keep(struct caa_memory *memory, const char *name, json_t *answer, int64_t life)
{
    json_object_del(memory->kept, name); /* to the end of the line */
    if (life <= 0)
        return;
    if (json_object_size(memory->kept) >= CAA_KEPT_MAX)
        json_object_del(memory->kept, json_object_iter_key(json_object_iter(memory->kept)));
    cm_json_set_int(answer, "until", cm_mono_ms() + life);
    json_object_set(memory->kept, name, answer);
}

static json_t *kept(struct caa_memory *memory, const char *name)
{
    json_t *answer = json_object_get(memory->kept, name);
    if (!answer || cm_json_int(answer, "until", 0) > cm_mono_ms())
        return answer;
    json_object_del(memory->kept, name);
    return NULL;
}

/* ---- questions ---------------------------------------------------------------------------- */

static void send_next(struct caa_memory *memory);

static void answer_all(struct open *open, json_t *answer)
{
    while (open->asks) {
        struct caa_ask *ask = open->asks;
        open->asks = ask->next;
        make_ready(open->memory, ask, answer, false);
    }
}

static void open_free(struct open *open)
{
    struct open **at = &open->memory->open;
    while (*at != open)
        at = &(*at)->next;
    *at = open->next;
    cm_timer_free(open->timer);
    cm_free(open->name);
    cm_free(open);
}

/* No answer to anything since this question was sent: it is the resolver, not the name. */
static void note_silence(struct caa_memory *memory, const struct open *open)
{
    if (memory->answered_ms < open->sent_ms && memory->probe_ms == 0)
        memory->probe_ms = cm_mono_ms() + CAA_PROBE_MS;
}

static void on_late(void *arg)
{
    struct open *open = arg;
    CM_AUTO_JSON answer = failure(CM_ETIMEOUT, "the DNS has not answered in time");
    open->late = true;
    note_silence(open->memory, open);
    answer_all(open, answer);
}

static void on_reply(void *arg, const struct dns_reply *reply)
{
    struct open *open = arg;
    struct caa_memory *memory = open->memory;
    struct cm_err err = CM_ERR_INIT;
    json_t *records;
    const char *cname;
    int64_t life = CAA_FAILED_MS;
    CM_AUTO_JSON answer = NULL;
    if (reply->status == DNS_TIMEOUT || reply->status == DNS_UNREACHABLE) {
        note_silence(memory, open);
    } else if (reply->status != DNS_ENDED && reply->status != DNS_INVALID) {
        memory->answered_ms = cm_mono_ms();
        memory->probe_ms = 0;
    }
    if (caa_reply_read(reply, &records, &cname, &err) < 0) {
        answer = failure(err.code, err.what);
        if (reply->status == DNS_ENDED) /* too much at once: says nothing about the name */
            life = 0;
    } else {
        answer = json_object();
        cm_json_set(answer, "records", records);
        cm_json_set_str(answer, "cname", cname);
        life = life_ms(reply);
    }
    cm_err_fini(&err);
    keep(memory, open->name, answer, life);
    answer_all(open, answer);
    memory->open_sent--;
    open_free(open);
    send_next(memory);
}

static void send_one(struct open *open)
{
    struct caa_memory *memory = open->memory;
    struct dns_question question = {.name = open->name, .type = DNS_CAA};
    memory->open_sent++;
    memory->questions++;
    open->sent_ms = cm_mono_ms();
    open->query = dns_ask(memory->dns, &question, on_reply, open);
    cm_timer_start(open->timer, CAA_SILENT_MS);
}

static void send_next(struct caa_memory *memory)
{
    for (struct open *open = memory->open; open && memory->open_sent < CAA_OPEN_MAX;
         open = open->next)
        if (!open->query)
            send_one(open);
}

static struct open *find_open(struct caa_memory *memory, const char *name)
{
    struct open *open = memory->open;
    while (open && strcmp(open->name, name) != 0)
        open = open->next;
    return open;
}

static struct open *open_new(struct caa_memory *memory, const char *name)
{
    struct open *open = cm_calloc(1, sizeof(*open)), **at = &memory->open;
    open->memory = memory;
    open->name = cm_strdup(name);
    open->timer = cm_timer_new(memory->loop, on_late, open);
    while (*at)
        at = &(*at)->next;
    *at = open;
    return open;
}

/* The resolver is silent: nobody waits, but one question a minute finds out when it is back. */
static void probe(struct caa_memory *memory, const char *name)
{
    if (cm_mono_ms() < memory->probe_ms || find_open(memory, name))
        return;
    memory->probe_ms = cm_mono_ms() + CAA_PROBE_MS;
    open_new(memory, name)->late = true;
    send_next(memory);
}

struct caa_ask *caa_memory_ask(struct caa_memory *memory, const char *name, bool fresh,
                               caa_seen_fn fn, void *arg)
{
    struct caa_ask *ask = cm_calloc(1, sizeof(*ask));
    *ask = (struct caa_ask){.fn = fn, .arg = arg};
    json_t *known = fresh ? NULL : kept(memory, name);
    struct open *open = known ? NULL : find_open(memory, name);
    if (known) {
        make_ready(memory, ask, known, true);
        return ask;
    }
    if (memory->probe_ms > 0 || (open && open->late)) {
        CM_AUTO_JSON answer = failure(CM_ETIMEOUT, "the resolver does not answer at present");
        if (memory->probe_ms > 0)
            probe(memory, name);
        make_ready(memory, ask, answer, false);
        return ask;
    }
    if (!open)
        open = open_new(memory, name);
    ask->next = open->asks;
    open->asks = ask;
    send_next(memory);
    return ask;
}

unsigned caa_memory_questions(const struct caa_memory *memory)
{
    return memory->questions;
}

/* ---- life --------------------------------------------------------------------------------- */

struct caa_memory *caa_memory_new(struct cm_loop *loop, struct dns_client *dns)
{
    struct caa_memory *memory = cm_calloc(1, sizeof(*memory));
    *memory = (struct caa_memory){.loop = loop, .dns = dns, .kept = json_object()};
    memory->ready_end = &memory->ready;
    memory->kick = cm_timer_new(loop, on_kick, memory);
    return memory;
}

void caa_memory_free(struct caa_memory *memory)
{
    if (!memory)
        return;
    while (memory->open) {
        struct open *open = memory->open;
        dns_cancel(open->query);
        while (open->asks) {
            struct caa_ask *ask = open->asks;
            open->asks = ask->next;
            ask_free(ask);
        }
        open_free(open);
    }
    while (memory->ready) {
        struct caa_ask *ask = memory->ready;
        memory->ready = ask->next;
        ask_free(ask);
    }
    cm_timer_free(memory->kick);
    json_decref(memory->kept);
    cm_free(memory);
}
