/*
 * An account at its CA beside its orders (RFC 8555 7.3.1-7.3.6): contacts, look-up by key, another
 * key, deactivation; and its removal here.
 *
 * Another key is journalled in the account (`rollover`, sealed) before the CA hears of it, and
 * takes the present one's place only after the CA has answered a request that it signed: whoever
 * dies in between, both keys are there, and the next attempt first asks which one the CA knows.
 */
#include <string.h>

#include "base/core/step.h"
#include "certmgr/acme/header.h"
#include "certmgr/engine/ca_op.h"
#include "certmgr/engine/life.h"

struct eng_act {
    struct eng_act *next;
    struct engine *engine;
    char *name, *id, *who;
    enum eng_account_act kind;
    bool proved_old;   /* the CA did not know the new key when it was asked first */
    json_t *made;      /* the new key, or NULL */
    struct eng_op *op; /* under way, or NULL */
    struct cm_err err;
    eng_done_fn done;
    void *arg;
};

static const char *const words[] = {"update", "find", "roll-over", "deactivate", "delete", "agree"};

int eng_account_act_parse(const char *word)
{
    for (int i = 0; word && i < (int)(sizeof(words) / sizeof(words[0])); i++)
        if (strcmp(words[i], word) == 0)
            return i;
    return -1;
}

/* ---- the end ------------------------------------------------------------------------------------
 */

static void act_end(struct eng_act *act, const struct cm_err *err)
{
    for (struct eng_act **at = &act->engine->acts; *at; at = &(*at)->next) {
        if (*at == act) {
            *at = act->next;
            break;
        }
    }
    bool failed = err && err->code != 0;
    if (!act->engine->dead)
        cm_log(failed ? CM_LOG_WARN : CM_LOG_INFO, "engine", act->id, "%s by %s%s%s",
               words[act->kind], act->who, failed ? ": " : "", failed ? err->what : "");
    if (act->done)
        act->done(act->arg, failed ? err : NULL);
    if (act->kind == ACCOUNT_ROLL_OVER)
        eng_resume_later(act->engine, act->name);
    eng_unref(act->engine);
    json_decref(act->made);
    cm_err_fini(&act->err);
    cm_free(act->name);
    cm_free(act->id);
    cm_free(act->who);
    cm_free(act);
}

static void on_deferred(void *arg)
{
    struct eng_act *act = arg;
    act_end(act, &act->err);
}

static void on_published(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    (void)doc;
    act_end(arg, err);
}

static json_t *account_of(const struct eng_act *act)
{
    return cs_get_body(act->engine->env.store, act->id);
}

/* ---- what a good answer changes ----------------------------------------------------------------
 */

static int edit_kid(void *arg, json_t *body, struct cm_err *err)
{
    struct eng_act *act = arg;
    (void)err;
    cm_json_set_str(body, "kid", json_string_value(act->made));
    cm_json_set_str(body, "status", "valid");
    json_object_del(body, "error");
    return 0;
}

static int edit_deactivated(void *arg, json_t *body, struct cm_err *err)
{
    (void)arg;
    (void)err;
    cm_json_set_str(body, "status", "deactivated");
    return 0;
}

static int edit_gone(void *arg, json_t *body, struct cm_err *err)
{
    const struct eng_act *act = arg;
    if (!json_object_get(body, "serial"))
        return cm_fail(err, CM_ENOENT, "There is no ACME account \"%s\"", act->name);
    eng_tombstone(body);
    return 0;
}

/* What was agreed to, by whom and when (reference/acme.md A7); the CA learns of it on its own page
 * (RFC 8555 7.3.3). */
static int edit_agreed(void *arg, json_t *body, struct cm_err *err)
{
    const struct eng_act *act = arg;
    const json_t *terms = cm_json_obj(body, "new_terms");
    if (!terms)
        return cm_fail(err, CM_ECONFLICT, "The CA has not asked for new terms to be agreed to");
    const char *former = cm_json_str_or(cm_json_obj(body, "terms_agreed"), "url", "");
    json_t *agreed = json_object();
    cm_json_set_str(agreed, "by", act->who);
    cm_json_set_time(agreed, "at", cm_now_ms());
    cm_json_set_str(agreed, "url",
                    cm_json_str_or(terms, "url", cm_json_str_or(terms, "page", former)));
    cm_json_set(body, "terms_agreed", agreed);
    json_object_del(body, "new_terms");
    return 0;
}

static int edit_journal(void *arg, json_t *body, struct cm_err *err)
{
    const struct eng_act *act = arg;
    if (cm_json_obj(body, "rollover"))
        return cm_fail(err, CM_ECONFLICT, "Another key of the account is being made already");
    json_t *rollover = json_object();
    static const char *const parts[] = {"sealed_key", "jwk", "thumbprint"};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        json_object_set(rollover, parts[i], json_object_get(act->made, parts[i]));
    cm_json_set_time(rollover, "at", cm_now_ms());
    cm_json_set(body, "rollover", rollover);
    return 0;
}

/* The new key is proven. */
static int edit_swap(void *arg, json_t *body, struct cm_err *err)
{
    const json_t *rollover = cm_json_obj(body, "rollover");
    (void)arg;
    (void)err;
    if (!rollover)
        return 1;
    CM_AUTO_JSON keep = json_incref((json_t *)(uintptr_t)rollover);
    static const char *const parts[] = {"sealed_key", "jwk", "thumbprint"};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        json_object_set(body, parts[i], json_object_get(keep, parts[i]));
    json_object_del(body, "rollover");
    return 0;
}

/* The CA will not have it: the present key stays. */
static int edit_drop(void *arg, json_t *body, struct cm_err *err)
{
    (void)arg;
    (void)err;
    json_object_del(body, "rollover");
    return 0;
}

static void edit(struct eng_act *act, eng_edit_fn fn, cs_published_fn done)
{
    eng_edit(act->engine, act->id, "account", fn, done, act);
}

bool eng_account_busy(const struct engine *engine, const char *name)
{
    for (const struct eng_act *act = engine->acts; act; act = act->next)
        if (strcmp(act->name, name) == 0)
            return true;
    return false;
}

/* What waits for a CA ends; what waits for agent or store ends by itself and finds the engine dead.
 */
void eng_acts_stop(struct engine *engine)
{
    struct eng_act *next;
    for (struct eng_act *act = engine->acts; act; act = next) {
        next = act->next;
        if (!act->op)
            continue;
        eng_op_free(act->op);
        act->op = NULL;
        cm_fail(&act->err, CM_ECLOSED, "The server was stopped");
        act_end(act, &act->err);
    }
}

/* ---- requests ----------------------------------------------------------------------------------
 */

static void request(struct eng_act *act, const struct acme_op_request *request,
                    const json_t *sign_with, acme_op_fn done)
{
    struct eng_op_spec spec = {.account = act->name, .request = *request, .sign_with = sign_with};
    act->op = eng_op_new(act->engine, &spec, done, act, &act->err);
    if (!act->op)
        cm_loop_defer(act->engine->env.loop, on_deferred, act);
}

static void on_simple(void *arg, const struct acme_op_reply *reply, const struct cm_err *err)
{
    struct eng_act *act = arg;
    act->op = NULL;
    char url[2048];
    const char *status = err ? "" : cm_json_str_or(reply->json, "status", "valid");
    if (err) {
        act_end(act, err);
    } else if (act->kind == ACCOUNT_FIND && strcmp(status, "valid") != 0) { /* RFC 8555 7.1.2 */
        cm_fail(&act->err, CM_ECONFLICT, "The account is %.60s at the CA", status);
        act_end(act, &act->err);
    } else if (act->kind == ACCOUNT_DEACTIVATE) {
        edit(act, edit_deactivated, on_published);
    } else if (act->kind == ACCOUNT_FIND &&
               acme_header_get(reply->headers, "Location", 0, url, sizeof(url))) {
        act->made = json_string(url);
        edit(act, edit_kid, on_published);
    } else if (act->kind == ACCOUNT_FIND) {
        cm_fail(&act->err, CM_EPEER, "The CA does not say where the account is");
        act_end(act, &act->err);
    } else {
        act_end(act, NULL);
    }
}

static void update(struct eng_act *act)
{
    CM_AUTO_JSON account = account_of(act);
    CM_AUTO_JSON payload = json_object();
    const json_t *contacts = cm_json_arr(account, "contacts");
    cm_json_set(payload, "contact", contacts ? json_deep_copy(contacts) : json_array());
    CM_AUTO_STR text = cm_json_dump(payload, NULL);
    request(act,
            &(struct acme_op_request){.kind = ACME_OP_KID,
                                      .payload = text,
                                      .what = "the change of the contacts",
                                      .about = ACME_ABOUT_ACCOUNT},
            NULL, on_simple);
}

static void look_up(struct eng_act *act)
{
    request(act,
            &(struct acme_op_request){.kind = ACME_OP_JWK,
                                      .member = "newAccount",
                                      .payload = "{\"onlyReturnExisting\":true}",
                                      .what = "the look-up of the account",
                                      .about = ACME_ABOUT_ACCOUNT},
            NULL, on_simple);
}

static void deactivate(struct eng_act *act)
{
    request(act,
            &(struct acme_op_request){.kind = ACME_OP_KID,
                                      .payload = "{\"status\":\"deactivated\"}",
                                      .what = "the deactivation",
                                      .about = ACME_ABOUT_ACCOUNT},
            NULL, on_simple);
}

/* ---- another key -------------------------------------------------------------------------------
 */

static void prove(struct eng_act *act);

static json_t *verb_of(const struct eng_act *act, const char *op, const json_t *account)
{
    json_t *verb = json_object();
    cm_json_set_str(verb, "op", op);
    cm_json_set_str(verb, "account", act->name);
    cm_json_set_str(verb, "directory", cm_json_str(account, "directory"));
    return verb;
}

static void on_dropped(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    struct eng_act *act = arg;
    (void)doc;
    (void)err; /* what is told is why the CA refused */
    act_end(act, &act->err);
}

/* A refusal that says the CA stays with the old key; all else is unclear and kept. */
static bool is_final(const struct acme_op_reply *reply)
{
    return reply->status == 409 || acme_problem_is(reply->json, "badPublicKey") ||
           acme_problem_is(reply->json, "badSignatureAlgorithm") ||
           acme_problem_is(reply->json, "malformed");
}

static void on_changed(void *arg, const struct acme_op_reply *reply, const struct cm_err *err)
{
    struct eng_act *act = arg;
    act->op = NULL;
    cm_step("rollover.answered");
    if (!err) {
        prove(act);
    } else if (is_final(reply)) {
        cm_err_copy(&act->err, err);
        edit(act, edit_drop, on_dropped);
    } else {
        act_end(act, err); /* begun again, it asks first which key the CA knows */
    }
}

static void change_key(struct eng_act *act)
{
    CM_AUTO_JSON account = account_of(act);
    CM_AUTO_JSON verb = verb_of(act, "rollover.sign", account);
    json_object_set(verb, "sealed_key", json_object_get(account, "sealed_key"));
    json_object_set(verb, "new_sealed_key",
                    json_object_get(cm_json_obj(account, "rollover"), "sealed_key"));
    act->proved_old = true;
    request(act,
            &(struct acme_op_request){.kind = ACME_OP_KID,
                                      .member = "keyChange",
                                      .payload = "{}", /* the agent's own */
                                      .what = "the change of the account key",
                                      .about = ACME_ABOUT_ACCOUNT,
                                      .once = true},
            verb, on_changed);
}

/* The CA does not know the key that signed.  Any other refusal (429, say) tells nothing about it:
 * a change with the old key then could be answered "malformed", and the only good key dropped. */
static bool is_unknown(const struct acme_op_reply *reply)
{
    return reply->status >= 400 && reply->status < 500 &&
           (acme_problem_is(reply->json, "malformed") ||
            acme_problem_is(reply->json, "unauthorized") ||
            acme_problem_is(reply->json, "accountDoesNotExist"));
}

static void on_swapped(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    struct eng_act *act = arg;
    (void)doc;
    cm_step("rollover.swapped");
    act_end(act, err);
}

static void on_proved(void *arg, const struct acme_op_reply *reply, const struct cm_err *err)
{
    struct eng_act *act = arg;
    act->op = NULL;
    cm_step("rollover.asked");
    if (!err)
        edit(act, edit_swap, on_swapped);
    else if (!act->proved_old && is_unknown(reply))
        change_key(act); /* the change never came through */
    else
        act_end(act, err);
}

/* POST-as-GET of the account, signed by the new key. */
static void prove(struct eng_act *act)
{
    CM_AUTO_JSON account = account_of(act);
    CM_AUTO_JSON verb = verb_of(act, "jws.sign", account);
    json_object_set(verb, "sealed_key",
                    json_object_get(cm_json_obj(account, "rollover"), "sealed_key"));
    cm_json_set_str(verb, "payload", "");
    request(act,
            &(struct acme_op_request){.kind = ACME_OP_KID,
                                      .payload = "",
                                      .what = "the new account key",
                                      .about = ACME_ABOUT_ACCOUNT},
            verb, on_proved);
}

static void on_journalled(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    struct eng_act *act = arg;
    (void)doc;
    cm_step("rollover.journalled");
    if (err || act->engine->dead)
        act_end(act, err);
    else
        change_key(act);
}

static void on_made(void *arg, const json_t *reply, const struct cm_err *err)
{
    struct eng_act *act = arg;
    if (err || act->engine->dead) {
        act_end(act, err);
        return;
    }
    cm_step("rollover.made");
    act->made = json_deep_copy(reply);
    edit(act, edit_journal, on_journalled);
}

static void roll_over(struct eng_act *act)
{
    CM_AUTO_JSON account = account_of(act);
    if (cm_json_obj(account, "rollover")) {
        prove(act); /* begun before: which key does the CA know? */
        return;
    }
    struct kf_agent agent = act->engine->env.agent;
    agent.call(agent.arg, verb_of(act, "account.create", account), on_made, act);
}

/* ---- removal ------------------------------------------------------------------------------------
 */

struct users {
    struct engine *engine;
    const char *account;
    size_t count;
};

static int on_credential(void *arg, const char *key, const char *id)
{
    struct users *users = arg;
    (void)key;
    CM_AUTO_JSON body = cs_peek_body(users->engine->env.store, id);
    bool uses = strcmp(cm_json_str_or(body, "account", ""), users->account) == 0 ||
                cm_json_has_str(cm_json_arr(body, "fallback_accounts"), users->account);
    if (uses && strcmp(cm_json_str_or(body, "status", ""), "archived") != 0)
        users->count++;
    return 0;
}

static void remove_account(struct eng_act *act)
{
    struct users users = {.engine = act->engine, .account = act->name};
    cs_each(act->engine->env.store, CS_BY_TYPE, "credential", NULL, NULL, on_credential, &users);
    if (users.count == 0) {
        edit(act, edit_gone, on_published);
        return;
    }
    cm_fail(&act->err, CM_ECONFLICT, "The account \"%s\" is used by %zu credential%s", act->name,
            users.count, users.count == 1 ? "" : "s");
    cm_err_hint(&act->err, "Give them another account first, or archive them");
    cm_loop_defer(act->engine->env.loop, on_deferred, act);
}

static void agree(struct eng_act *act)
{
    edit(act, edit_agreed, on_published);
}

void eng_account_act(struct engine *engine, const char *name, enum eng_account_act kind,
                     const struct eng_actor *actor, eng_done_fn done, void *arg)
{
    static void (*const run[])(struct eng_act *) = {update,     look_up,        roll_over,
                                                    deactivate, remove_account, agree};
    struct eng_act *act = cm_calloc(1, sizeof(*act));
    *act = (struct eng_act){.engine = engine,
                            .name = cm_strdup(name),
                            .id = cm_asprintf("account:%s", name),
                            .who = cm_strdup(actor->who),
                            .kind = kind,
                            .done = done,
                            .arg = arg};
    bool busy = kind == ACCOUNT_ROLL_OVER && eng_account_busy(engine, name);
    engine->refs++;
    act->next = engine->acts;
    engine->acts = act;
    CM_AUTO_JSON account = eng_short_name_ok(name) ? account_of(act) : NULL;
    if (!engine->env.manager)
        cm_fail(&act->err, CM_EDENIED, "ACME accounts are kept on the manager");
    else if (!account)
        cm_fail(&act->err, CM_ENOENT, "There is no ACME account \"%s\"", name);
    else if (kind == ACCOUNT_ROLL_OVER && !cm_json_str(account, "kid"))
        cm_fail(&act->err, CM_ECONFLICT, "The account \"%s\" is not registered at its CA yet",
                name);
    else if (busy)
        cm_fail(&act->err, CM_ECONFLICT,
                "Something else is being done for the account \"%s\": let that end first", name);
    if (act->err.code != 0)
        cm_loop_defer(engine->env.loop, on_deferred, act);
    else
        run[kind](act);
}
