/* Revoking what a new key replaced.  See former.h. */
#include "certmgr/engine/former.h"

#include <string.h>

#include "certmgr/acme/presets.h"
#include "certmgr/acme/problem.h"
#include "certmgr/acme/retry.h"
#include "certmgr/engine/ca_op.h"
#include "certmgr/engine/former_alarm.h"
#include "certmgr/engine/life.h"

struct eng_former {
    struct engine *engine;
    json_t *wanted; /* {ulid: when to look} */
    struct cm_timer *timer;
    /* the certificate that the CA is asked about, or whose outcome is being written */
    bool busy;
    char ulid[CM_ULID_TEXT];
    char id[CS_ID_MAX + 1];
    int64_t reason;
    struct eng_op *op;
};

/* ---- the wish -----------------------------------------------------------------------------------
 */

bool eng_former_reason(int64_t reason)
{
    return reason == FORMER_SUPERSEDED || reason == FORMER_COMPROMISED;
}

void eng_former_wish(struct engine *engine, json_t *body, const json_t *request)
{
    const json_t *wish = cm_json_obj(request, "revoke");
    int64_t reason = cm_json_int(wish, "reason", -1);
    CM_AUTO_STR id = cm_asprintf("account:%s", eng_issuer_account(body));
    CM_AUTO_JSON account = cs_peek_body(engine->env.store, id);
    json_object_del(body, "rollover");
    if (!eng_former_reason(reason) || !cm_json_str(body, "chain") || !*eng_issuer_account(body) ||
        !(acme_reasons(cm_json_str(account, "directory")) & 1u << reason))
        return;
    json_t *rollover = json_object();
    cm_json_set_int(rollover, "reason", reason);
    cm_json_set_str(rollover, "asked_by",
                    cm_json_str_or(cm_json_obj(request, "by"), "who", "unknown"));
    cm_json_set_time(rollover, "asked_at", cm_now_ms());
    json_object_set(rollover, "public_key_sha256", json_object_get(body, "public_key_sha256"));
    cm_json_set(body, "rollover", rollover);
}

const char *eng_former_why(const json_t *credential, const char *public_key_sha256)
{
    const json_t *rollover = cm_json_obj(credential, "rollover");
    if (!rollover || !cm_json_str(credential, "chain") ||
        strcmp(cm_json_str_or(rollover, "public_key_sha256", ""), public_key_sha256) == 0)
        return NULL;
    return cm_json_int(rollover, "reason", 0) == FORMER_COMPROMISED ? "compromised" : "superseded";
}

/* ---- what is archived ---------------------------------------------------------------------------
 */

struct rows {
    struct engine *engine;
    const char *prefix;
    json_t *list;
};

static int on_row(void *arg, const char *key, const char *id)
{
    struct rows *rows = arg;
    (void)key;
    if (strncmp(id, rows->prefix, strlen(rows->prefix)) != 0 ||
        json_array_size(rows->list) >= FORMER_ROWS_MAX)
        return 1;
    json_t *body = cs_get_body(rows->engine->env.store, id);
    if (body && cm_json_str(body, "chain"))
        json_array_append(rows->list, body);
    json_decref(body);
    return 0;
}

/* Bodies of a credential's archive: documents (owned). */
static json_t *rows_of(struct engine *engine, const char *ulid)
{
    CM_AUTO_STR prefix = cm_asprintf("archive:%s-", ulid);
    struct rows rows = {.engine = engine, .prefix = prefix, .list = json_array()};
    cs_each(engine->env.store, CS_BY_TYPE, "archive", "archive", prefix, on_row, &rows);
    return rows.list;
}

/* Never the certificate that serves: the credential may not have been written yet. */
static bool is_present(const json_t *row, const json_t *credential)
{
    return strcmp(cm_json_str_or(row, "fingerprint", ""),
                  cm_json_str_or(credential, "fingerprint", "-")) == 0;
}

static bool is_open(const json_t *row)
{
    return !cm_json_obj(row, "revocation") && !cm_json_bool(row, "given_up", false);
}

/* The wish that stands in these documents; of several the one in a hurry. */
static const json_t *wish_in(const json_t *rows)
{
    const json_t *found = NULL;
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        if (cm_json_obj(row, "revoke") &&
            (!found || cm_json_int(cm_json_obj(row, "revoke"), "reason", 0) == FORMER_COMPROMISED))
            found = row;
    }
    return found;
}

/* ---- when ---------------------------------------------------------------------------------------
 */

struct served {
    struct engine *engine;
    const char *fingerprint;
    json_t *servers;
};

static int on_receipt(void *arg, const char *key, const char *id)
{
    struct served *served = arg;
    (void)key;
    CM_AUTO_JSON receipt =
        eng_id_name(id, "receipt:") ? cs_peek_body(served->engine->env.store, id) : NULL;
    const char *state = cm_json_str_or(receipt, "state", "");
    if (strcmp(cm_json_str_or(receipt, "fingerprint", ""), served->fingerprint) == 0 &&
        (strcmp(state, "deployed") == 0 || strcmp(state, "reloaded") == 0 ||
         strcmp(state, "served") == 0))
        json_object_set_new(served->servers, cm_json_str_or(receipt, "server", ""), json_true());
    return 0;
}

static bool all_serve(struct engine *engine, const char *ulid, const json_t *credential)
{
    CM_AUTO_JSON servers = json_object();
    struct served served = {.engine = engine,
                            .fingerprint = cm_json_str_or(credential, "fingerprint", ""),
                            .servers = servers};
    size_t i;
    json_t *name;
    cs_each(engine->env.store, CS_BY_CREDENTIAL, ulid, NULL, NULL, on_receipt, &served);
    json_array_foreach(cm_json_arr(credential, "servers"), i, name)
    {
        if (!json_object_get(servers, json_string_value(name)))
            return false;
    }
    return true;
}

/* The certificate that replaced it is in force everywhere, or was waited for long enough.  Without
 * a credential nobody serves anything of it. */
static bool is_time(struct engine *engine, const char *ulid, const json_t *credential,
                    const json_t *wish)
{
    bool hurry = cm_json_int(cm_json_obj(wish, "revoke"), "reason", 0) == FORMER_COMPROMISED;
    int64_t since = cm_json_time(wish, "archived_at", 0);
    int64_t force = cm_json_time(cm_json_obj(credential, "activation"), "from", 0);
    if (force > since)
        since = force;
    return !credential || cm_now_ms() >= since + (hurry ? FORMER_HURRY_MS : FORMER_WAIT_MS) ||
           (cm_now_ms() >= force && all_serve(engine, ulid, credential));
}

static void look_at(struct eng_former *former, const char *ulid, int64_t when_ms)
{
    cm_json_set_int(former->wanted, ulid, when_ms);
    if (!former->busy)
        cm_timer_start(former->timer, 0);
}

/* ---- one certificate ----------------------------------------------------------------------------
 */

struct outcome {
    struct engine *engine;
    int64_t reason; /* revoked for it; 0 = refused */
    bool compromised;
    struct cm_err err;
    json_t *alarm; /* of the refusal that is being written */
    bool end;      /* of the wish */
};

static void outcome_free(struct outcome *outcome)
{
    cm_err_fini(&outcome->err);
    json_decref(outcome->alarm);
    cm_free(outcome);
}

/* A certificate that has ended is refused by many CAs: once is enough. */
static void note_refusal(struct outcome *outcome, json_t *body)
{
    struct cm_err *why = &outcome->err;
    int64_t now = cm_now_ms();
    why->attempts = (unsigned)cm_json_int(body, "attempts", 0) + 1;
    if (why->retry == CM_RETRY_NONE || why->retry == CM_RETRY_REPAIR)
        why->retry = why->code == CM_EHUMAN ? CM_RETRY_CONFIGURATION : CM_RETRY_TRANSIENT;
    why->next_attempt_ms =
        acme_next_attempt_ms(now, why->attempts, why->retry,
                             eng_seed(cm_json_str_or(body, "_id", "")), why->next_attempt_ms);
    cm_json_set_int(body, "attempts", why->attempts);
    cm_json_set_time(body, "next_action_at", why->next_attempt_ms);
    json_t *error = cm_err_to_json(why);
    json_object_del(error, "problem"); /* a CA's members are none of an archive: document */
    cm_json_set(body, "error", error);
    if (why->problem && cm_json_time(body, "not_after", 0) <= now)
        cm_json_set_bool(body, "given_up", true);
    json_decref(outcome->alarm);
    outcome->alarm = eng_former_alarm_new(body, error, outcome->compromised);
}

static int edit_outcome(void *arg, json_t *body, struct cm_err *err)
{
    static const char *const gone[] = {"attempts", "next_action_at", "error"};
    struct outcome *outcome = arg;
    (void)err;
    if (outcome->engine->dead || !cm_json_str(body, "chain"))
        return 1;
    if (outcome->end) {
        json_object_del(body, "revoke");
        return 0;
    }
    if (outcome->reason == 0) {
        note_refusal(outcome, body);
        return 0;
    }
    json_t *revocation = json_object();
    cm_json_set_int(revocation, "reason", outcome->reason);
    cm_json_set_str(revocation, "signer", "account");
    cm_json_set_time(revocation, "revoked_at", cm_now_ms());
    cm_json_set(body, "revocation", revocation);
    for (size_t i = 0; i < sizeof(gone) / sizeof(gone[0]); i++)
        json_object_del(body, gone[i]);
    return 0;
}

static void on_written(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    struct outcome *outcome = arg;
    struct eng_former *former = outcome->engine->dead ? NULL : outcome->engine->former;
    (void)doc;
    if (former) {
        former->busy = false;
        if (!err && outcome->alarm)
            eng_former_alarm_keep(former->engine, former->ulid, outcome->alarm);
        /* what could not be written (agent away) is asked for, and written, again */
        look_at(former, former->ulid, cm_now_ms() + (err ? ENG_AGENT_AWAY_MS : 0));
    }
    outcome_free(outcome);
}

static void write_outcome(struct eng_former *former, struct outcome *outcome)
{
    outcome->engine = former->engine;
    eng_edit(former->engine, former->id, "archive", edit_outcome, on_written, outcome);
}

static void refused(struct eng_former *former, const struct cm_err *err)
{
    struct outcome *outcome = cm_calloc(1, sizeof(*outcome));
    cm_err_copy(&outcome->err, err);
    outcome->compromised = former->reason == FORMER_COMPROMISED;
    eng_step(former->engine, former->ulid, CM_LOG_ERROR,
             "A certificate that was replaced could not be revoked: %s%s%s", err->what,
             err->cause_count ? ": " : "",
             err->cause_count ? err->cause[err->cause_count - 1] : "");
    write_outcome(former, outcome);
}

static void on_reply(void *arg, const struct acme_op_reply *reply, const struct cm_err *err)
{
    struct eng_former *former = arg;
    former->op = NULL;
    if (err && !acme_problem_is(reply->json, "alreadyRevoked")) {
        if ((err->code == CM_EBUSY || err->code == CM_ECLOSED) && err->next_attempt_ms == 0) {
            former->busy = false; /* the agent is away: not an attempt */
            look_at(former, former->ulid, cm_now_ms() + ENG_AGENT_AWAY_MS);
        } else {
            refused(former, err);
        }
        return;
    }
    struct outcome *outcome = cm_calloc(1, sizeof(*outcome));
    outcome->reason = former->reason;
    eng_step(former->engine, former->ulid, CM_LOG_INFO,
             "A certificate that was replaced is revoked (%s)",
             acme_reason_name((int)former->reason));
    write_outcome(former, outcome);
}

static void ask(struct eng_former *former, const json_t *row)
{
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_JSON part = json_object();
    json_object_set(part, "chain", json_object_get(row, "chain"));
    cm_json_set(part, "revocation", json_pack("{s:I}", "reason", (json_int_t)former->reason));
    CM_AUTO_STR payload = eng_revoke_payload(part);
    struct eng_op_spec spec = {.account = eng_issuer_account(row),
                               .credential = former->ulid,
                               .request = {.kind = ACME_OP_KID,
                                           .member = "revokeCert",
                                           .payload = payload,
                                           .what = "the revocation",
                                           .about = ACME_ABOUT_REVOCATION}};
    (void)cm_strcpy(former->id, sizeof(former->id), cm_json_str_or(row, "_id", ""));
    former->busy = true;
    if (!payload)
        cm_fail(&err, CM_EMALF, "The archived certificate cannot be read");
    else
        former->op = eng_op_new(former->engine, &spec, on_reply, former, &err);
    if (!former->op)
        refused(former, &err);
    cm_err_fini(&err);
}

/* ---- one credential -----------------------------------------------------------------------------
 */

/* The newest first, then all that are archived besides; the wish goes when all are through.  0 =
 * nothing is left to do, else when to look again. */
static int64_t work(struct eng_former *former, const char *ulid)
{
    struct engine *engine = former->engine;
    CM_AUTO_STR id = cm_asprintf("credential:%s", ulid);
    CM_AUTO_JSON credential = cs_get_body(engine->env.store, id);
    CM_AUTO_JSON rows = rows_of(engine, ulid);
    const json_t *wish = wish_in(rows);
    int64_t now = cm_now_ms(), next = 0;
    if (!wish)
        return 0;
    if (is_present(wish, credential) || !is_time(engine, ulid, credential, wish))
        return now + FORMER_LOOK_MS;
    former->reason = cm_json_int(cm_json_obj(wish, "revoke"), "reason", 0);
    (void)cm_strcpy(former->ulid, sizeof(former->ulid), ulid);
    for (size_t i = 0; i <= json_array_size(rows); i++) {
        const json_t *row = i == 0 ? wish : json_array_get(rows, i - 1);
        int64_t at = cm_json_time(row, "next_action_at", 0);
        if (!is_open(row) || is_present(row, credential))
            continue;
        if (at <= now) {
            ask(former, row);
            return now;
        }
        next = next && next < at ? next : at;
    }
    if (next == 0) {
        struct outcome *outcome = cm_calloc(1, sizeof(*outcome));
        outcome->end = true;
        (void)cm_strcpy(former->id, sizeof(former->id), cm_json_str_or(wish, "_id", ""));
        former->busy = true;
        write_outcome(former, outcome);
        return now;
    }
    return next;
}

static void turn(void *arg)
{
    struct eng_former *former = arg;
    int64_t now = cm_now_ms(), next = 0;
    CM_AUTO_JSON all = json_copy(former->wanted);
    const char *ulid;
    json_t *at;
    json_object_foreach(all, ulid, at)
    {
        int64_t when = json_integer_value(at);
        if (former->busy)
            return; /* its end looks on */
        if (when <= now)
            when = work(former, ulid);
        if (when == 0) {
            json_object_del(former->wanted, ulid);
            eng_former_alarm_keep(former->engine, ulid, NULL);
        }
        if (when != 0 && !former->busy)
            cm_json_set_int(former->wanted, ulid, when);
        if (when != 0 && (next == 0 || when < next))
            next = when;
    }
    if (next != 0 && !former->busy)
        cm_timer_start(former->timer, next - now > FORMER_LOOK_MS ? FORMER_LOOK_MS
                                      : next > now                ? next - now
                                                                  : 0);
}

void eng_former_look(struct engine *engine, const char *ulid)
{
    if (engine->former && cm_ulid_ok(ulid) && !json_object_get(engine->former->wanted, ulid))
        look_at(engine->former, ulid, cm_now_ms());
}

void eng_former_touch(struct engine *engine, const char *ulid)
{
    if (engine->former && json_object_get(engine->former->wanted, ulid))
        look_at(engine->former, ulid, cm_now_ms());
}

void eng_former_start(struct engine *engine)
{
    engine->former = cm_calloc(1, sizeof(*engine->former));
    *engine->former = (struct eng_former){.engine = engine, .wanted = json_object()};
    engine->former->timer = cm_timer_new(engine->env.loop, turn, engine->former);
    /* What was told and is no more (its document went) is to be over, too. */
    CM_AUTO_JSON told = eng_former_alarms(engine);
    const char *ulid;
    json_t *alarm;
    json_object_foreach(told, ulid, alarm)
    {
        look_at(engine->former, ulid, cm_now_ms());
    }
}

void eng_former_stop(struct engine *engine)
{
    struct eng_former *former = engine->former;
    if (!former)
        return;
    eng_op_free(former->op);
    cm_timer_free(former->timer);
    json_decref(former->wanted);
    cm_free(former);
    engine->former = NULL;
}
