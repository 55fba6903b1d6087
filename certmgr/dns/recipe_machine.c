/*
 * The steps of one value: login, zone, find, write, commit, wait, read back, logout.
 *
 * The machine asks for one thing at a time and is told what came of it; it holds no socket and no
 * timer.  A write whose answer was lost is followed by another look (find), never by a blind
 * repetition, so that adding twice is adding once.
 */
#include <string.h>

#include "base/core/mem.h"
#include "base/core/num.h"
#include "base/net/http_client.h"
#include "certmgr/dns/recipe_machine.h"

#define ROUNDS_MAX   3
#define WAIT_S       2
#define WAIT_LIMIT_S 120

static const char *const names[] = {"login", "zone",   "find", "add",       "delete", "put",
                                    "clear", "commit", "wait", "read back", "logout", "done"};

const json_t *rcpm_step(const struct rcp_machine *m, const char *name)
{
    return cm_json_obj(m->steps, name);
}

json_t *rcpm_sub(struct rcp_machine *m, const char *root)
{
    return json_object_get(m->vars.values, root);
}

void rcpm_trace(struct rcp_machine *m, const char *what, const char *text)
{
    if (!m->job.trace)
        return;
    CM_AUTO_STR line = cm_asprintf("%s: %s", what, text);
    m->job.trace(m->job.trace_arg, line);
}

void rcpm_go(struct rcp_machine *m, enum rcp_phase phase)
{
    m->phase = phase;
    m->tries = 0;
    m->pages = 0;
    const json_t *step = rcpm_step(m, phase == P_CHECK ? "find" : names[phase]);
    m->page_no = cm_json_int(rcp_rule(m->job.recipe, step, "paging"), "start", 1);
    cm_free(m->next_page);
    m->next_page = NULL;
}

/* Ends the work; what was logged in is logged out first, whatever happened. */
void rcpm_end(struct rcp_machine *m)
{
    bool out = m->logged_in && cm_json_obj(cm_json_obj(m->job.recipe, "auth"), "logout");
    m->logged_in = false;
    rcpm_go(m, out && m->phase != P_LOGOUT && m->requests < DNSP_REQUESTS_MAX ? P_LOGOUT : P_DONE);
}

void rcpm_fail(struct rcp_machine *m, struct cm_err *take)
{
    if (!m->failed && m->phase != P_LOGOUT) { /* a logout that fails spoils nothing */
        m->failed = true;
        m->err = *take;
    } else {
        cm_err_fini(take);
    }
    rcpm_end(m);
}

/* ---- beginning ----------------------------------------------------------------------------- */

static json_t *options_with_defaults(const struct rcp_job *job)
{
    const json_t *all = cm_json_arr(job->recipe, "options");
    json_t *opt = json_object();
    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *one = json_array_get(all, i);
        const char *name = cm_json_str(one, "name");
        json_t *v = json_object_get(job->options, name);
        if (!v || (json_is_string(v) && json_string_length(v) == 0))
            v = json_object_get(one, "default");
        int64_t n;
        if (json_is_integer(json_object_get(one, "default")) && json_is_string(v) &&
            cm_num_i64(json_string_value(v), INT64_MIN + 1, INT64_MAX, &n) == 0)
            json_object_set_new(opt, name, json_integer((json_int_t)n)); /* forms send text */
        else if (v)
            json_object_set(opt, name, v);
    }
    return opt;
}

static void fill_vars(struct rcp_machine *m)
{
    const struct rcp_job *job = &m->job;
    bool quoted = cm_json_bool(cm_json_obj(job->recipe, "txt"), "quoted", false);
    CM_AUTO_STR value = quoted ? rcp_quote(job->value) : cm_strdup(job->value);
    json_t *zone = json_object_get(job->record, "zone"),
           *rec = json_object_get(job->record, "record");
    json_t *v = json_object();
    json_object_set(v, "cred", (json_t *)(uintptr_t)job->secrets);
    json_object_set_new(v, "opt", options_with_defaults(job));
    json_object_set_new(v, "zone", json_object());
    json_object_set_new(v, "name", json_pack("{s:s, s:s}", "fqdn", job->fqdn, "record", job->fqdn));
    json_object_set_new(v, "value", json_string(value));
    json_object_set_new(v, "record", json_is_object(rec) ? json_deep_copy(rec) : json_object());
    if (job->login)
        json_object_set_new(v, "login", json_deep_copy(job->login));
    m->vars = (struct rcp_vars){.recipe = job->recipe, .values = v};
    rcpm_take_zone_options(m);
    const char *kept = cm_json_str(zone, "name");
    CM_AUTO_STR name = kept ? rcpm_plain_zone(kept) : NULL;
    if (name && !json_object_get(rcpm_sub(m, "zone"), "name") && rcpm_below(job->fqdn, name)) {
        json_object_update(rcpm_sub(m, "zone"), zone);
        rcpm_set_zone(m, name);
    }
}

int rcp_machine_new(const struct rcp_job *job, struct rcp_machine **ret, struct cm_err *err)
{
    int64_t max = cm_json_int(cm_json_obj(job->recipe, "txt"), "max", 255);
    *ret = NULL;
    if ((int64_t)strlen(job->value) > max)
        return cm_fail(err, CM_EINVAL, "the TXT value is longer than this provider takes (%lld)",
                       (long long)max);
    struct rcp_machine *m = cm_calloc(1, sizeof(*m));
    m->job = *job;
    m->steps = cm_json_obj(job->recipe, "steps");
    m->found = json_array();
    m->login_kept = job->login != NULL;
    fill_vars(m);
    const char *zone = cm_json_str(rcpm_sub(m, "zone"), "name");
    CM_AUTO_STR plain = zone ? rcpm_plain_zone(zone) : NULL;
    if (plain && !rcpm_below(job->fqdn, plain)) {
        int rc = cm_fail(err, CM_EINVAL, "%s is not in zone %s of the account", job->fqdn, plain);
        rcp_machine_free(m);
        return rc;
    }
    m->candidate = job->fqdn;
    rcpm_go(m, rcp_needs_login(job->recipe) && !job->login ? P_LOGIN : P_ZONE);
    *ret = m;
    return 0;
}

void rcp_machine_free(struct rcp_machine *m)
{
    if (!m)
        return;
    rcp_request_fini(&m->request);
    json_decref(m->step);
    json_decref(m->vars.values);
    json_decref(m->found);
    json_decref(m->before);
    json_decref(m->targets);
    cm_free(m->next_page);
    cm_err_fini(&m->err);
    cm_free(m);
}

void rcp_zone_found(struct rcp_machine *m, const char *zone, const struct cm_err *err)
{
    struct cm_err copy = CM_ERR_INIT;
    if (zone && rcpm_below(m->job.fqdn, zone)) {
        rcpm_trace(m, "zone", zone);
        rcpm_set_zone(m, zone);
        return;
    }
    if (err)
        cm_err_copy(&copy, err);
    cm_wrap(&copy, CM_ENOENT, "the zone of %s was not found in the DNS", m->job.fqdn);
    rcpm_fail(m, &copy);
}

/* ---- replies ------------------------------------------------------------------------------- */

/* Is another page to be read? */
static bool more_pages(struct rcp_machine *m, const json_t *doc, size_t got)
{
    const json_t *paging = rcp_rule(m->job.recipe, m->step, "paging");
    const char *next = cm_json_str(paging, "next"), *last = cm_json_str(paging, "last");
    int64_t max = cm_json_int(paging, "max", RCP_PAGES_MAX);
    cm_free(m->next_page);
    m->next_page = NULL;
    if (!paging || (int64_t)++m->pages >= max)
        return false;
    if (next) {
        const json_t *v = rcp_pointer(doc, next);
        m->next_page = json_is_string(v) && json_string_length(v) > 0 ? rcp_scalar(v) : NULL;
        return m->next_page != NULL;
    }
    if (last) {
        const json_t *v = rcp_pointer(doc, last);
        if (!json_is_integer(v) || json_integer_value(v) <= (json_int_t)m->page_no)
            return false;
    } else if (got == 0) {
        return false;
    }
    m->page_no++;
    m->next_page = cm_asprintf("%lld", (long long)m->page_no);
    return true;
}

static bool lists(const struct rcp_machine *m)
{
    return m->phase == P_FIND || m->phase == P_CHECK ||
           (m->phase == P_ZONE && cm_json_str(m->step, "items"));
}

static void wait_more(struct rcp_machine *m)
{
    struct cm_err err = CM_ERR_INIT;
    const json_t *step = rcpm_step(m, "wait");
    int64_t pause = cm_json_int(step, "interval_s", WAIT_S) * 1000;
    pause += m->waited_ms / 4; /* a slow change needs no more requests than a quick one */
    m->waited_ms += pause;
    if (m->waited_ms > cm_json_int(step, "limit_s", WAIT_LIMIT_S) * 1000) {
        cm_fail(&err, CM_ETIMEOUT, "wait: the provider did not finish the change in time");
        err.retry = CM_RETRY_TRANSIENT;
        rcpm_fail(m, &err);
        return;
    }
    m->pause_ms = pause;
}

/* A step went well. */
static void advance(struct rcp_machine *m, const json_t *doc, int status)
{
    struct cm_err err = CM_ERR_INIT;
    switch (m->phase) {
    case P_LOGIN:
        if (rcp_login_take(&m->vars, doc, &m->login_life_ms, &err) < 0) {
            rcpm_fail(m, &err);
            return;
        }
        m->logged_in = true;
        rcpm_go(m, P_ZONE);
        break;
    case P_ZONE:
        rcpm_zone_answered(m, doc);
        break;
    case P_FIND:
        rcpm_after_find(m);
        break;
    case P_DELETE:
        rcpm_after_delete(m);
        break;
    case P_WAIT:
        if (rcp_holds(json_object_get(m->step, "until"), status, doc))
            rcpm_after_write(m, P_WAIT);
        else
            wait_more(m);
        break;
    case P_CHECK:
        rcpm_after_check(m);
        break;
    case P_LOGOUT:
        rcpm_go(m, P_DONE);
        break;
    default:
        rcpm_after_write(m, m->phase);
    }
}

/* 0 = taken; 1 = another page follows */
static int take_list(struct rcp_machine *m, const json_t *doc, struct cm_err *err)
{
    int rc = rcp_items(m->step, doc, &m->vars, m->found, err);
    if (rc < 0)
        return rc;
    const json_t *all = rcp_pointer(doc, cm_json_str_or(m->step, "items", ""));
    return more_pages(m, doc, json_array_size(all)) ? 1 : 0;
}

/* Waits and asks again; false when there were enough tries. */
static bool try_again(struct rcp_machine *m, int64_t pause_ms, bool unsure)
{
    if (++m->tries >= RCP_TRIES_MAX)
        return false;
    m->pause_ms = pause_ms > 0 ? pause_ms : (INT64_C(500) << m->tries);
    unsigned tries = m->tries;
    if (unsure && m->phase == P_ADD && rcpm_step(m, "find")) {
        json_array_clear(m->found);
        rcpm_go(m, P_FIND);
        m->tries = tries;
    }
    return true;
}

static bool is_busy(const struct rcp_machine *m, int status)
{
    const json_t *list = json_object_get(cm_json_obj(m->job.recipe, "limits"), "retry");
    static const int usual[] = {429, 500, 502, 503, 504};
    for (size_t i = 0; !list && i < sizeof(usual) / sizeof(usual[0]); i++)
        if (usual[i] == status)
            return true;
    for (size_t i = 0; i < json_array_size(list); i++)
        if (json_integer_value(json_array_get(list, i)) == status)
            return true;
    return false;
}

static bool retried(struct rcp_machine *m, const struct rcp_reply *reply)
{
    int64_t pause = 0;
    if (reply->status == 401 && m->login_kept && !m->login_renewed && m->phase < P_LOGOUT) {
        m->login_renewed = true; /* the kept token ended early */
        json_object_del(m->vars.values, "login");
        rcpm_go(m, P_LOGIN);
        return true;
    }
    if (!is_busy(m, reply->status))
        return false;
    if (cm_json_bool(cm_json_obj(m->job.recipe, "limits"), "retry_after", true)) {
        int64_t at = http_retry_after(reply->headers, m->job.now_ms);
        pause = at > m->job.now_ms ? at - m->job.now_ms : 0;
    }
    if (pause > RCP_RETRY_MAX_S * 1000)
        return false;
    return try_again(m, pause, reply->status >= 500);
}

static bool is_conflict(const struct rcp_machine *m, int status, const json_t *doc)
{
    return (m->phase == P_PUT || m->phase == P_CLEAR) &&
           rcp_holds(rcp_rule(m->job.recipe, m->step, "conflict"), status, doc);
}

static bool is_ok(const struct rcp_machine *m, int status, const json_t *doc)
{
    const json_t *ok = rcp_rule(m->job.recipe, m->step, "ok");
    bool fine = status >= 200 && status <= 299;
    if (!ok || m->phase == P_LOGIN)
        ok = json_object_get(m->step, "ok");
    if (!ok)
        return fine;
    return rcp_holds(ok, status, doc) && (fine || json_object_get(ok, "status"));
}

static void take_ok(struct rcp_machine *m, const json_t *doc, int status)
{
    struct cm_err err = CM_ERR_INIT;
    if (m->phase != P_LOGIN && m->phase != P_ZONE)
        rcp_save(cm_json_obj(m->step, "save"), doc, rcpm_sub(m, "record"));
    int more = lists(m) ? take_list(m, doc, &err) : 0;
    if (more < 0)
        rcpm_fail(m, &err);
    else if (more == 0)
        advance(m, doc, status);
}

/* What is gone already counts as done; a zone that is gone is another one. */
static bool taken_as_gone(struct rcp_machine *m, int status, const json_t *doc)
{
    bool can = m->phase == P_ZONE || m->phase == P_FIND || m->phase == P_CHECK ||
               m->phase == P_DELETE || m->phase == P_CLEAR;
    if (!can || !rcp_holds(rcp_rule(m->job.recipe, m->step, "gone"), status, doc))
        return false;
    if (m->phase == P_ZONE)
        rcpm_next_candidate(m);
    else
        advance(m, NULL, status);
    return true;
}

static void refused(struct rcp_machine *m, const struct rcp_reply *reply, const json_t *doc)
{
    struct cm_err err = CM_ERR_INIT;
    int64_t at = http_retry_after(reply->headers, m->job.now_ms);
    rcp_reply_fail(&m->vars, m->step, names[m->phase], reply, doc, &err);
    if (at > m->job.now_ms)
        err.next_attempt_ms = at;
    rcpm_fail(m, &err);
}

static void judge(struct rcp_machine *m, const struct rcp_reply *reply, const json_t *doc)
{
    int status = reply->status;
    if (m->phase == P_LOGOUT) {
        rcpm_go(m, P_DONE);
    } else if (is_ok(m, status, doc)) {
        take_ok(m, doc, status);
    } else if (m->phase == P_ADD &&
               rcp_holds(rcp_rule(m->job.recipe, m->step, "already"), status, doc)) {
        rcpm_after_write(m, P_ADD);
    } else if (taken_as_gone(m, status, doc)) {
        return;
    } else if (is_conflict(m, status, doc) && ++m->rounds < ROUNDS_MAX) {
        json_object_clear(rcpm_sub(m, "record"));
        json_array_clear(m->found);
        rcpm_go(m, P_FIND);
    } else if (!retried(m, reply)) {
        refused(m, reply, doc);
    }
}

void rcp_replied(struct rcp_machine *m, const struct rcp_reply *reply)
{
    struct cm_err err = CM_ERR_INIT;
    json_t *doc = NULL;
    CM_AUTO_STR status = cm_asprintf("status %d, %zu bytes", reply->status, reply->body_len);
    rcpm_trace(m, names[m->phase], status);
    if (rcp_reply_parse(m->job.recipe, m->step, reply, &doc, &err) < 0)
        rcpm_fail(m, &err);
    else
        judge(m, reply, doc);
    json_decref(doc);
}

void rcp_lost(struct rcp_machine *m, const struct cm_err *err)
{
    struct cm_err copy = CM_ERR_INIT;
    bool transient = err->code == CM_ENET || err->code == CM_ETIMEOUT;
    if (transient && try_again(m, 0, true)) {
        rcpm_trace(m, names[m->phase], "no answer; trying again");
        return;
    }
    cm_err_copy(&copy, err);
    cm_wrap(&copy, CM_ENET, "%s: no answer from the provider", names[m->phase]);
    rcpm_fail(m, &copy);
}

/* ---- asking -------------------------------------------------------------------------------- */

/* The step to ask for now (a new reference), or NULL when this phase needs no request. */
static json_t *current_step(struct rcp_machine *m, struct cm_err *err)
{
    const json_t *auth = cm_json_obj(m->job.recipe, "auth");
    if (m->phase == P_LOGIN)
        return rcp_login_step(&m->vars, m->job.sign, m->job.now_ms, err);
    if (m->phase == P_LOGOUT)
        return json_incref(cm_json_obj(auth, "logout"));
    return json_incref(cm_json_obj(m->steps, m->phase == P_CHECK ? "find" : names[m->phase]));
}

static bool build(struct rcp_machine *m)
{
    struct cm_err err = CM_ERR_INIT;
    const json_t *paging = NULL;
    struct rcp_page page = {0};
    rcp_request_fini(&m->request);
    json_decref(m->step);
    m->step = current_step(m, &err);
    if (m->phase == P_ZONE && m->candidate)
        cm_json_set_str(rcpm_sub(m, "zone"), "candidate",
                        cm_json_str_or(rcpm_sub(m, "zone"), "name", m->candidate));
    if (m->step && m->next_page) {
        paging = rcp_rule(m->job.recipe, m->step, "paging");
        page.name = cm_json_str(paging, "query");
        *(page.name ? &page.value : &page.next) = m->next_page;
    }
    if (m->requests++ >= DNSP_REQUESTS_MAX)
        cm_fail(&err, CM_ELIMIT, "%s: more than %d requests for one value", names[m->phase],
                DNSP_REQUESTS_MAX);
    else if (m->step)
        rcp_request_build(&m->request, m->step, &m->vars, m->phase != P_LOGIN,
                          m->next_page ? &page : NULL, m->job.lab_http, &err);
    if (err.code == 0)
        return true;
    cm_wrap(&err, CM_EINVAL, "%s: the request cannot be made", names[m->phase]);
    rcpm_fail(m, &err);
    return false;
}

static bool has_request(const json_t *step)
{
    return cm_json_str(step, "get") || cm_json_str(step, "post") || cm_json_str(step, "put") ||
           cm_json_str(step, "patch") || cm_json_str(step, "del");
}

/* Passes by phases that ask nothing; true when the zone has to be found by DNS. */
static bool settle(struct rcp_machine *m)
{
    if (m->phase == P_ZONE && (!rcpm_step(m, "zone") || rcpm_zone_known(m))) {
        rcpm_after_zone(m);
    } else if (m->phase == P_ZONE &&
               strcmp(cm_json_str_or(rcpm_step(m, "zone"), "iterate", ""), "soa") == 0 &&
               !json_object_get(rcpm_sub(m, "zone"), "name")) {
        if (m->soa_asked) {
            struct cm_err err = CM_ERR_INIT;
            cm_fail(&err, CM_ENOENT, "the zone of %s is unknown", m->job.fqdn);
            rcpm_fail(m, &err);
            return false;
        }
        m->soa_asked = true;
        return true;
    } else if (m->phase == P_ZONE && !has_request(rcpm_step(m, "zone"))) {
        rcpm_after_zone(m);
    }
    if (m->phase == P_DELETE && !rcpm_step(m, "delete")) {
        rcpm_trace(m, "delete", "this provider lets old values go by itself");
        rcpm_end(m);
    }
    return false;
}

enum rcp_ask rcp_next(struct rcp_machine *m, const struct rcp_request **request, int64_t *pause_ms)
{
    *request = NULL;
    *pause_ms = 0;
    if (m->pause_ms > 0) {
        *pause_ms = m->pause_ms;
        m->pause_ms = 0;
        return RCP_ASK_PAUSE;
    }
    if (m->phase != P_DONE && settle(m))
        return RCP_ASK_SOA;
    while (m->phase != P_DONE) {
        if (!build(m))
            continue;
        rcpm_trace(m, names[m->phase], m->request.shown);
        *request = &m->request;
        return RCP_ASK_SEND;
    }
    return RCP_ASK_DONE;
}

int rcp_result(struct rcp_machine *m, json_t **ret_record, struct cm_err *err)
{
    *ret_record = NULL;
    if (m->failed) {
        cm_err_copy(err, &m->err);
        return m->err.code;
    }
    json_object_del(rcpm_sub(m, "zone"), "candidate");
    if (m->job.adding)
        *ret_record =
            json_pack("{s:O, s:O}", "zone", rcpm_sub(m, "zone"), "record", rcpm_sub(m, "record"));
    return 0;
}

const json_t *rcp_login(const struct rcp_machine *m, int64_t *ret_life_ms)
{
    *ret_life_ms = m->login_life_ms;
    return m->login_life_ms > 0 ? json_object_get(m->vars.values, "login") : NULL;
}
