/* Asking a CA when to renew.  See ari.h. */
#include "certmgr/engine/ari.h"

#include <string.h>

#include "certmgr/acme/ari.h"
#include "certmgr/engine/ca_op.h"
#include "keyfile/certid.h"

struct eng_ari_check {
    struct eng_ari_check *next;
    struct eng_ari *ari;
    char ulid[CM_ULID_TEXT];
    struct eng_op *op;
};

struct eng_ari {
    struct engine *engine;
    json_t *rows; /* {ulid: row of kv "ari"} */
    struct cm_timer *timer;
    int64_t armed_ms; /* wall clock that the timer stands for; 0 = none */
    struct eng_ari_check *checks;
    unsigned count;
};

#define TURN_MAX_MS 60000 /* the wall clock may be set: look at least so often */

static void turn(void *arg);

static void arm(struct eng_ari *ari, int64_t when_ms)
{
    if (ari->armed_ms && ari->armed_ms <= when_ms)
        return;
    int64_t pause = when_ms - cm_now_ms();
    ari->armed_ms = when_ms;
    cm_timer_start(ari->timer, pause < 0 ? 0 : pause > TURN_MAX_MS ? TURN_MAX_MS : pause);
}

/* ---- rows --------------------------------------------------------------------------------------
 */

static void row_set(struct eng_ari *ari, const char *ulid, const char *fingerprint,
                    int64_t check_ms, unsigned failures)
{
    json_t *row = json_object();
    struct cm_err err = CM_ERR_INIT;
    cm_json_set_str(row, "fingerprint", fingerprint);
    cm_json_set_time(row, "check_at", check_ms);
    cm_json_set_int(row, "failures", failures);
    json_object_set_new(ari->rows, ulid, row);
    if (cs_kv_put(ari->engine->env.store, "ari", ulid, row, &err) != 0)
        cm_log_err(CM_LOG_WARN, "engine", &err); /* asked again after a restart */
    cm_err_fini(&err);
    arm(ari, check_ms);
}

static void row_drop(struct eng_ari *ari, const char *ulid)
{
    if (!json_object_get(ari->rows, ulid))
        return;
    json_object_del(ari->rows, ulid);
    (void)cs_kv_del(ari->engine->env.store, "ari", ulid, NULL);
}

/* Does this certificate serve, so that its CA may be asked? */
static bool serves(const json_t *body)
{
    const char *status = cm_json_str_or(body, "status", "");
    return cm_json_str(body, "chain") && cm_json_time(body, "not_after", 0) > cm_now_ms() &&
           (strcmp(status, "issued") == 0 || strcmp(status, "error") == 0 ||
            strcmp(status, "renew") == 0) &&
           strcmp(cm_json_str_or(body, "provider", ""), "acme") == 0;
}

/* A CA that is known to have no renewal information is not asked for it. */
static bool has_info(struct engine *engine, const json_t *body)
{
    struct eng_account *account;
    if (eng_account_get(engine, eng_issuer_account(body), &account, NULL) != 0)
        return false;
    const struct acme_directory *directory = acme_ca_directory(account->ca);
    bool has = !directory->loaded || directory->renewal_info;
    eng_account_unref(account);
    return has;
}

static void look(struct eng_ari *ari, const char *ulid, int64_t first_ms)
{
    CM_AUTO_STR id = cm_asprintf("credential:%s", ulid);
    CM_AUTO_JSON body = cs_peek_body(ari->engine->env.store, id);
    const char *fingerprint = cm_json_str_or(body, "fingerprint", "");
    const char *known = cm_json_str(json_object_get(ari->rows, ulid), "fingerprint");
    if (!body || !serves(body)) {
        row_drop(ari, ulid);
        return;
    }
    if ((!known || strcmp(known, fingerprint) != 0) && has_info(ari->engine, body))
        row_set(ari, ulid, fingerprint, cm_now_ms() + first_ms, 0);
}

void eng_ari_look(struct engine *engine, const char *ulid)
{
    if (engine->ari)
        look(engine->ari, ulid, ARI_FIRST_MS);
}

/* ---- one question ------------------------------------------------------------------------------
 */

static void check_end(struct eng_ari_check *check)
{
    struct eng_ari *ari = check->ari;
    for (struct eng_ari_check **at = &ari->checks; *at; at = &(*at)->next) {
        if (*at == check) {
            *at = check->next;
            break;
        }
    }
    ari->count--;
    cm_free(check);
}

struct answer {
    struct engine *engine;
    char ulid[CM_ULID_TEXT];
    char *fingerprint, *explanation;
    struct acme_ari window;
};

static void answer_free(struct answer *answer)
{
    cm_free(answer->fingerprint);
    cm_free(answer->explanation);
    cm_free(answer);
}

/* No two renewals that the CA leads to follow each other at once: a CA that always answers with a
 * time that has passed would be paid for it. */
static int64_t not_before(const json_t *body)
{
    int64_t last = cm_json_time(cm_json_obj(body, "ari"), "renewed_at", 0);
    int64_t life = cm_json_time(body, "not_after", 0) - cm_json_time(body, "not_before", 0);
    int64_t pause = life / 30 < ACME_ARI_CHECK_MAX_MS ? life / 30 : ACME_ARI_CHECK_MAX_MS;
    return last ? last + pause : 0;
}

static bool same_window(const json_t *ari, const struct answer *answer)
{
    return cm_json_time(ari, "window_start", 0) == answer->window.start_ms &&
           cm_json_time(ari, "window_end", 0) == answer->window.end_ms &&
           strcmp(cm_json_str_or(ari, "explanation_url", ""),
                  answer->explanation ? answer->explanation : "") == 0;
}

/* Chosen once, and kept while the window is the same. */
static int edit_window(void *arg, json_t *body, struct cm_err *err)
{
    struct answer *answer = arg;
    const json_t *present = cm_json_obj(body, "ari");
    (void)err;
    if (answer->engine->dead || !serves(body) ||
        strcmp(cm_json_str_or(body, "fingerprint", ""), answer->fingerprint) != 0 ||
        same_window(present, answer))
        return 1;
    uint64_t random;
    cm_random(&random, sizeof(random));
    bool moved = cm_json_time(present, "window_start", 0) != answer->window.start_ms ||
                 cm_json_time(present, "window_end", 0) != answer->window.end_ms;
    int64_t renew =
        moved ? acme_ari_choose(&answer->window, random) : cm_json_time(present, "renew_at", 0);
    if (renew < not_before(body))
        renew = not_before(body);
    json_t *ari = json_object();
    cm_json_set_time(ari, "window_start", answer->window.start_ms);
    cm_json_set_time(ari, "window_end", answer->window.end_ms);
    cm_json_set_time(ari, "renew_at", renew);
    cm_json_set_str(ari, "explanation_url", answer->explanation);
    json_object_set(ari, "renewed_at", json_object_get(present, "renewed_at"));
    cm_json_set(body, "ari", ari);
    if (strcmp(cm_json_str_or(body, "status", ""), "issued") == 0 &&
        !cm_json_bool(body, "paused", false))
        cm_json_set_time(body, "next_action_at", eng_plan_renewal(body));
    return 0;
}

static void on_edited(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    struct answer *answer = arg;
    if (!answer->engine->dead && doc) {
        char from[CM_TIME_TEXT], to[CM_TIME_TEXT];
        cm_time_format(answer->window.start_ms, from);
        cm_time_format(answer->window.end_ms, to);
        eng_step(answer->engine, answer->ulid, answer->explanation ? CM_LOG_WARN : CM_LOG_INFO,
                 "The CA proposes to renew between %s and %s%s%s", from, to,
                 answer->explanation ? "; its reason: " : "",
                 answer->explanation ? answer->explanation : "");
    } else if (err && !answer->engine->dead) {
        cm_log_err(CM_LOG_WARN, "engine", err); /* the next answer says it again */
    }
    answer_free(answer);
}

static void take(struct eng_ari_check *check, const char *fingerprint,
                 const struct acme_ari *window)
{
    struct answer *answer = cm_calloc(1, sizeof(*answer));
    answer->engine = check->ari->engine;
    (void)cm_strcpy(answer->ulid, sizeof(answer->ulid), check->ulid);
    answer->fingerprint = cm_strdup(fingerprint);
    answer->explanation = window->explanation ? cm_strdup(window->explanation) : NULL;
    answer->window = *window;
    answer->window.explanation = NULL;
    CM_AUTO_STR id = cm_asprintf("credential:%s", check->ulid);
    eng_edit(answer->engine, id, "credential", edit_window, on_edited, answer);
}

static void on_reply(void *arg, const struct acme_op_reply *reply, const struct cm_err *err)
{
    struct eng_ari_check *check = arg;
    struct eng_ari *ari = check->ari;
    const json_t *row = json_object_get(ari->rows, check->ulid);
    CM_AUTO_STR fingerprint = cm_strdup(cm_json_str_or(row, "fingerprint", ""));
    unsigned failures = (unsigned)cm_json_int(row, "failures", 0);
    struct acme_ari window;
    struct cm_err why = CM_ERR_INIT;
    int rc = err ? err->code : acme_ari_read(reply->json, &window, &why);
    check->op = NULL;
    if (rc == 0)
        take(check, fingerprint, &window);
    failures = rc == 0 ? 0 : failures < 1000 ? failures + 1 : failures;
    int64_t next = acme_ari_next(cm_now_ms(), reply->retry_after, failures);
    if (err && err->code == CM_ENOENT && reply->status == 0) /* not in the directory */
        next = cm_now_ms() + ACME_ARI_CHECK_MAX_MS;
    if (rc != 0)
        cm_log(CM_LOG_DEBUG, "engine", check->ulid, "no renewal information: %s",
               err ? err->what : why.what);
    if (row)
        row_set(ari, check->ulid, fingerprint, next, failures);
    cm_err_fini(&why);
    check_end(check);
    arm(ari, cm_now_ms());
}

static void begin(struct eng_ari *ari, const char *ulid)
{
    CM_AUTO_STR id = cm_asprintf("credential:%s", ulid);
    CM_AUTO_JSON body = cs_peek_body(ari->engine->env.store, id);
    const char *chain = cm_json_str_or(body, "chain", "");
    char certid[KF_CERTID_MAX];
    struct cm_err err = CM_ERR_INIT;
    if (!body || !serves(body)) {
        row_drop(ari, ulid);
        return;
    }
    struct eng_ari_check *check = cm_calloc(1, sizeof(*check));
    check->ari = ari;
    (void)cm_strcpy(check->ulid, sizeof(check->ulid), ulid);
    if (kf_ari_id(chain, strlen(chain), certid, &err) == 0) {
        CM_AUTO_STR tail = cm_asprintf("/%s", certid);
        struct eng_op_spec spec = {.account = eng_issuer_account(body),
                                   .request = {.kind = ACME_OP_GET,
                                               .member = "renewalInfo",
                                               .url = tail,
                                               .what = "renewal information"}};
        check->op = eng_op_new(ari->engine, &spec, on_reply, check, &err);
    }
    if (check->op) {
        check->next = ari->checks;
        ari->checks = check;
        ari->count++;
    } else { /* a certificate without a name at its CA, an account that cannot be used */
        row_set(ari, ulid, cm_json_str_or(body, "fingerprint", ""),
                cm_now_ms() + ACME_ARI_CHECK_MAX_MS, 0);
        cm_free(check);
    }
    cm_err_fini(&err);
}

/* ---- turns -------------------------------------------------------------------------------------
 */

static bool is_asked(const struct eng_ari *ari, const char *ulid)
{
    const struct eng_ari_check *check = ari->checks;
    while (check && strcmp(check->ulid, ulid) != 0)
        check = check->next;
    return check != NULL;
}

static void turn(void *arg)
{
    struct eng_ari *ari = arg;
    CM_AUTO_JSON due = json_array();
    int64_t now = cm_now_ms(), next = 0;
    const char *ulid;
    json_t *row, *item;
    size_t i;
    ari->armed_ms = 0;
    json_object_foreach(ari->rows, ulid, row)
    {
        int64_t at = cm_json_time(row, "check_at", 0);
        if (at > now + ACME_ARI_CHECK_MAX_MS + ARI_SPREAD_MS)
            at = now; /* the clock has been set back since */
        if (is_asked(ari, ulid))
            continue;
        if (at <= now)
            json_array_append_new(due, json_string(ulid));
        else if (!next || at < next)
            next = at;
    }
    json_array_foreach(due, i, item)
    {
        if (ari->count >= ARI_PARALLEL)
            break; /* the next reply looks again */
        begin(ari, json_string_value(item));
    }
    if (next)
        arm(ari, next);
}

static int on_row(void *arg, const char *key, const json_t *value)
{
    struct eng_ari *ari = arg;
    if (cm_ulid_ok(key))
        json_object_set_new(ari->rows, key, json_deep_copy(value));
    return 0;
}

static int on_issued(void *arg, const char *key, const char *id)
{
    (void)key;
    json_array_append_new(arg, json_string(id));
    return 0;
}

void eng_ari_start(struct engine *engine)
{
    struct eng_ari *ari = cm_calloc(1, sizeof(*ari));
    CM_AUTO_JSON ids = json_array();
    size_t i;
    json_t *id;
    *ari = (struct eng_ari){.engine = engine, .rows = json_object()};
    ari->timer = cm_timer_new(engine->env.loop, turn, ari);
    engine->ari = ari;
    cs_kv_each(engine->env.store, "ari", "", on_row, ari);
    cs_each(engine->env.store, CS_BY_STATUS, "issued", NULL, NULL, on_issued, ids);
    json_array_foreach(ids, i, id)
    {
        const char *ulid = eng_id_name(json_string_value(id), "credential:");
        if (ulid && !json_object_get(ari->rows, ulid))
            look(ari, ulid, (int64_t)(eng_seed(ulid) % ARI_SPREAD_MS));
    }
    arm(ari, cm_now_ms());
}

void eng_ari_stop(struct engine *engine)
{
    struct eng_ari *ari = engine->ari;
    if (!ari)
        return;
    while (ari->checks) {
        struct eng_ari_check *check = ari->checks;
        ari->checks = check->next;
        eng_op_free(check->op);
        cm_free(check);
    }
    cm_timer_free(ari->timer);
    json_decref(ari->rows);
    cm_free(ari);
    engine->ari = NULL;
}

/* ---- orders ------------------------------------------------------------------------------------
 */

/* Does the order renew this certificate in the sense of RFC 9773 5: at the CA and by the account
 * that issued it, with a name in common? */
static bool renews(const json_t *credential, const struct eng_account *account)
{
    const json_t *names = cm_json_arr(credential, "host_names_ascii");
    const json_t *issuer = cm_json_obj(credential, "issued_by");
    size_t i;
    json_t *name;
    if (!cm_json_str(credential, "chain") || cm_json_obj(credential, "revocation") ||
        strcmp(cm_json_str_or(issuer, "account", ""), account->name) != 0 ||
        strcmp(cm_json_str_or(issuer, "directory", ""),
               cm_json_str_or(account->body, "directory", "-")) != 0)
        return false;
    json_array_foreach(cm_json_arr(credential, "san"), i, name)
    {
        if (cm_json_has_str(names, json_string_value(name)))
            return true;
    }
    return false;
}

void eng_ari_order(const json_t *credential, const struct eng_account *account, json_t *order)
{
    const char *chain = cm_json_str_or(credential, "chain", "");
    int64_t renew = cm_json_time(cm_json_obj(credential, "ari"), "renew_at", 0);
    char certid[KF_CERTID_MAX];
    json_object_del(order, "replaces");
    json_object_del(order, "ari_led");
    if (!renews(credential, account) || kf_ari_id(chain, strlen(chain), certid, NULL) != 0)
        return;
    cm_json_set_str(order, "replaces", certid);
    if (renew && renew <= cm_now_ms())
        cm_json_set_bool(order, "ari_led", true);
}

json_t *eng_ari_left(const json_t *order, int64_t now_ms)
{
    if (!cm_json_bool(order, "ari_led", false))
        return NULL;
    json_t *left = json_object();
    cm_json_set_time(left, "renewed_at", now_ms);
    return left;
}
