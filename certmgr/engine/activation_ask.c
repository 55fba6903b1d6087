/*
 * Asking the CAs' OCSP responders about new certificates until they say good, or until the latest
 * time has come (activation.h).  The answer is written to the keyfile: document first: that is what
 * servers act on; asking again after a crash in between does no harm.
 */
#include "certmgr/engine/activation.h"

#include <stdio.h>
#include <string.h>

#include "keyfile/ocsp.h"

#define TURN_MAX_MS 60000 /* the wall clock may be set: look at least so often */

struct eng_wait {
    struct eng_wait *next;
    struct eng_waits *all;
    char ulid[CM_ULID_TEXT];
    char fingerprint[CM_SHA256_HEX];
    struct http_call *call;
    struct cm_timer *timer;
    unsigned tries;
    bool told, revoked;
    bool settling; /* its end is being written */
};

struct eng_waits {
    struct engine *engine;
    struct eng_wait *first;
    unsigned count;
};

static void ask(void *arg);

static void wait_free(struct eng_wait *wait)
{
    struct eng_waits *all = wait->all;
    for (struct eng_wait **at = &all->first; *at; at = &(*at)->next) {
        if (*at == wait) {
            *at = wait->next;
            break;
        }
    }
    all->count--;
    if (wait->call)
        http_call_cancel(wait->call);
    cm_timer_free(wait->timer);
    cm_free(wait);
}

static struct eng_wait *wait_of(struct engine *engine, const char *ulid)
{
    struct eng_wait *wait = engine->waits ? engine->waits->first : NULL;
    while (wait && strcmp(wait->ulid, ulid) != 0)
        wait = wait->next;
    return wait;
}

/* `activation` while a responder is asked, else NULL (borrowed). */
static const json_t *asked(const json_t *body)
{
    const json_t *activation = cm_json_obj(body, "activation");
    return strcmp(cm_json_str_or(activation, "by", ""), "ocsp") == 0 ? activation : NULL;
}

static void later(struct eng_wait *wait, int64_t until_ms)
{
    int64_t pause = ENG_OCSP_PAUSE_MS, left = until_ms - cm_now_ms();
    if (wait->tries < 5 && ENG_OCSP_FIRST_MS << wait->tries < pause)
        pause = (int64_t)ENG_OCSP_FIRST_MS << wait->tries;
    wait->tries++;
    if (pause > left)
        pause = left;
    cm_timer_start(wait->timer, pause < 0 ? 0 : pause > TURN_MAX_MS ? TURN_MAX_MS : pause);
}

/* ---- the end of a wait --------------------------------------------------------------------------
 */

/* Holds no pointer to the wait: that may go while documents are written. */
struct settle {
    struct engine *engine;
    char ulid[CM_ULID_TEXT];
    char fingerprint[CM_SHA256_HEX];
    bool good;
};

static bool is_same(const struct settle *settle, const json_t *body)
{
    return strcmp(cm_json_str_or(body, "fingerprint", ""), settle->fingerprint) == 0;
}

static void settle_over(struct settle *settle, const struct cm_err *err)
{
    struct eng_wait *wait = settle->engine->dead ? NULL : wait_of(settle->engine, settle->ulid);
    if (wait && strcmp(wait->fingerprint, settle->fingerprint) != 0)
        wait = NULL;
    if (wait)
        wait->settling = false;
    if (err && !settle->engine->dead)
        cm_log_err(CM_LOG_WARN, "engine", err);
    if (wait && err)
        cm_timer_start(wait->timer, ENG_AGENT_AWAY_MS); /* asked, and written, again */
    else if (wait)
        eng_activation_look(settle->engine, settle->ulid);
    cm_free(settle);
}

static int edit_credential(void *arg, json_t *body, struct cm_err *err)
{
    const struct settle *settle = arg;
    const json_t *present = asked(body);
    (void)err;
    if (settle->engine->dead || !present || !is_same(settle, body))
        return 1;
    int64_t from = cm_now_ms(), begin = cm_json_time(body, "not_before", 0);
    json_t *activation = json_object();
    if (!settle->good)
        from = cm_json_time(present, "from", from);
    cm_json_set_time(activation, "from", from < begin ? begin : from);
    cm_json_set_str(activation, "by", settle->good ? "good" : "limit");
    json_object_set(activation, "url", json_object_get(present, "url"));
    cm_json_set(body, "activation", activation);
    return 0;
}

static void on_credential(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    struct settle *settle = arg;
    if (doc && !settle->engine->dead && settle->good)
        eng_step(settle->engine, settle->ulid, CM_LOG_INFO,
                 "The CA's OCSP responder says good: the certificate is in force");
    else if (doc && !settle->engine->dead)
        eng_step(settle->engine, settle->ulid, CM_LOG_WARN,
                 "The CA's OCSP responder has not said good in time: the certificate is in force "
                 "nevertheless; clients that ask the responder may show an error for a while");
    settle_over(settle, err);
}

/* Never later than it was: a server that has begun to serve it goes on. */
static int edit_keyfile(void *arg, json_t *body, struct cm_err *err)
{
    const struct settle *settle = arg;
    struct kf_cert_info info = {0};
    (void)err;
    if (settle->engine->dead || !settle->good || !is_same(settle, body) ||
        !cm_json_str(body, "serve_from"))
        return 1;
    int64_t begin = 0;
    if (kf_cert_info(cm_json_str_or(body, "leaf", ""), &info, NULL) == 0)
        begin = info.not_before_ms;
    kf_cert_info_fini(&info);
    json_object_del(body, "serve_from");
    if (begin > cm_now_ms())
        cm_json_set_time(body, "serve_from", begin);
    return 0;
}

static void on_keyfile(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    struct settle *settle = arg;
    (void)doc;
    if (err || settle->engine->dead) {
        settle_over(settle, err);
        return;
    }
    CM_AUTO_STR id = cm_asprintf("credential:%s", settle->ulid);
    eng_edit(settle->engine, id, "credential", edit_credential, on_credential, settle);
}

static void settle(struct eng_wait *wait, bool good)
{
    struct settle *end = cm_calloc(1, sizeof(*end));
    *end = (struct settle){.engine = wait->all->engine, .good = good};
    (void)cm_strcpy(end->ulid, sizeof(end->ulid), wait->ulid);
    (void)cm_strcpy(end->fingerprint, sizeof(end->fingerprint), wait->fingerprint);
    wait->settling = true;
    CM_AUTO_STR id = cm_asprintf("keyfile:%s", wait->ulid);
    eng_edit(end->engine, id, "keyfile", edit_keyfile, on_keyfile, end);
}

/* ---- one question ------------------------------------------------------------------------------
 */

static json_t *body_of(const struct eng_wait *wait)
{
    CM_AUTO_STR id = cm_asprintf("credential:%s", wait->ulid);
    return cs_get_body(wait->all->engine->env.store, id);
}

/* Told once, and again when the answer is the worst. */
static void tell(struct eng_wait *wait, const json_t *activation, const char *answer, bool revoked)
{
    if (wait->told && (!revoked || wait->revoked))
        return;
    wait->told = true;
    wait->revoked = revoked;
    eng_step(wait->all->engine, wait->ulid, revoked ? CM_LOG_ERROR : CM_LOG_INFO,
             "The CA's OCSP responder %s %s; the certificate is in force as soon as it says good, "
             "at the latest from %s",
             cm_json_str_or(activation, "url", ""), answer, cm_json_str_or(activation, "from", ""));
}

static void take(struct eng_wait *wait, const json_t *body, const struct http_result *res)
{
    static const char *const words[] = {[KF_OCSP_GOOD] = "says good",
                                        [KF_OCSP_UNKNOWN] = "does not know it yet",
                                        [KF_OCSP_REVOKED] = "says that it is revoked",
                                        [KF_OCSP_LATER] = "does not answer about it yet"};
    const json_t *activation = asked(body);
    const char *chain = cm_json_str_or(body, "chain", "");
    enum kf_ocsp state = KF_OCSP_LATER;
    struct cm_err err = CM_ERR_INIT;
    int rc = res->err && res->err->code != 0 ? res->err->code : 0;
    if (rc != 0)
        cm_err_copy(&err, res->err);
    else if (res->status != 200)
        rc = cm_fail(&err, CM_EPEER, "HTTP status %d", res->status);
    else
        rc =
            kf_ocsp_read(chain, strlen(chain), res->body, res->body_len, cm_now_ms(), &state, &err);
    if (rc == 0 && state == KF_OCSP_GOOD) {
        settle(wait, true);
    } else {
        CM_AUTO_STR failed = cm_asprintf("cannot be asked (%s)", err.what);
        tell(wait, activation, rc != 0 ? failed : words[state],
             rc == 0 && state == KF_OCSP_REVOKED);
        later(wait, cm_json_time(activation, "from", 0));
    }
    cm_err_fini(&err);
}

static void on_reply(void *arg, const struct http_result *res)
{
    struct eng_wait *wait = arg;
    wait->call = NULL;
    CM_AUTO_JSON body = body_of(wait);
    if (asked(body))
        take(wait, body, res);
}

static void send_question(struct eng_wait *wait, const json_t *body)
{
    static const char *const headers[] = {"Content-Type: " KF_OCSP_TYPE,
                                          "Accept: application/ocsp-response",
                                          "User-Agent: certmgr/" CM_VERSION, NULL};
    struct engine *engine = wait->all->engine;
    const json_t *activation = asked(body);
    const char *chain = cm_json_str_or(body, "chain", "");
    struct cm_err err = CM_ERR_INIT;
    struct cm_buf question;
    cm_buf_init(&question, 4096);
    if (kf_ocsp_request(chain, strlen(chain), &question, &err) == 0) {
        struct http_call_opts opts = {.method = "POST",
                                      .url = cm_json_str(activation, "url"),
                                      .headers = headers,
                                      .body = question.data,
                                      .body_len = question.len,
                                      .timeout_ms = ENG_OCSP_CALL_MS,
                                      .reply_max = KF_OCSP_REPLY_MAX,
                                      .allow_http = true, /* what it says is signed */
                                      .no_keep = true};
        wait->call = http_call(engine->env.http, &opts, on_reply, wait, &err);
    }
    if (!wait->call) {
        cm_log_err(CM_LOG_WARN, "engine", &err);
        later(wait, cm_json_time(activation, "from", 0));
    }
    cm_err_fini(&err);
    cm_buf_fini(&question);
}

static void ask(void *arg)
{
    struct eng_wait *wait = arg;
    if (wait->call || wait->settling)
        return;
    CM_AUTO_JSON body = body_of(wait);
    const json_t *activation = asked(body);
    if (!activation)
        return; /* the change that took it away looks, too */
    if (cm_json_time(activation, "from", 0) <= cm_now_ms())
        settle(wait, false);
    else
        send_question(wait, body);
}

/* ---- who is asked about ------------------------------------------------------------------------
 */

static void row(struct engine *engine, const char *ulid, bool keep)
{
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_JSON value = json_object();
    int rc = keep ? cs_kv_put(engine->env.store, "ocsp", ulid, value, &err)
                  : cs_kv_del(engine->env.store, "ocsp", ulid, &err);
    if (rc != 0 && rc != CM_ENOENT)
        cm_log_err(CM_LOG_WARN, "engine", &err); /* then it waits to the latest time */
    cm_err_fini(&err);
}

static void begin(struct engine *engine, const char *ulid, const char *fingerprint)
{
    struct eng_waits *all = engine->waits;
    struct eng_wait *wait = cm_calloc(1, sizeof(*wait));
    *wait = (struct eng_wait){.next = all->first, .all = all};
    (void)cm_strcpy(wait->ulid, sizeof(wait->ulid), ulid);
    (void)cm_strcpy(wait->fingerprint, sizeof(wait->fingerprint), fingerprint);
    wait->timer = cm_timer_new(engine->env.loop, ask, wait);
    all->first = wait;
    all->count++;
    row(engine, ulid, true);
    cm_timer_start(wait->timer, 0);
}

void eng_activation_look(struct engine *engine, const char *ulid)
{
    if (!engine->waits || !cm_ulid_ok(ulid))
        return;
    CM_AUTO_STR id = cm_asprintf("credential:%s", ulid);
    CM_AUTO_JSON body = cs_peek_body(engine->env.store, id);
    struct eng_wait *wait = wait_of(engine, ulid);
    const char *fingerprint = cm_json_str_or(body, "fingerprint", "");
    bool wanted = asked(body) != NULL;
    if (wait && (!wanted || strcmp(wait->fingerprint, fingerprint) != 0)) {
        wait_free(wait);
        wait = NULL;
        if (!wanted)
            row(engine, ulid, false);
    }
    if (wanted && !wait && engine->waits->count < ENG_OCSP_MAX)
        begin(engine, ulid, fingerprint);
}

static int on_row(void *arg, const char *key, const json_t *value)
{
    (void)value;
    json_array_append_new(arg, json_string(key));
    return 0;
}

void eng_activation_start(struct engine *engine)
{
    CM_AUTO_JSON rows = json_array();
    size_t i;
    json_t *ulid;
    engine->waits = cm_calloc(1, sizeof(*engine->waits));
    engine->waits->engine = engine;
    cs_kv_each(engine->env.store, "ocsp", "", on_row, rows);
    json_array_foreach(rows, i, ulid)
    {
        eng_activation_look(engine, json_string_value(ulid));
        if (!wait_of(engine, json_string_value(ulid)))
            row(engine, json_string_value(ulid), false);
    }
}

void eng_activation_stop(struct engine *engine)
{
    if (!engine->waits)
        return;
    while (engine->waits->first)
        wait_free(engine->waits->first);
    cm_free(engine->waits);
    engine->waits = NULL;
}
