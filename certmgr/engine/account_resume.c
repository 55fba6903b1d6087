/*
 * A change of an account's key that was begun and did not end (RFC 8555 7.3.5) is gone on with by
 * itself: at the start, and later again as long as the account's journal (`rollover`) is there.
 *
 * Which of the two keys the CA knows is asked anew each time (account_act.c), so that it does not
 * matter where the last life ended, and a second attempt never changes a key twice.
 */
#include "certmgr/engine/ca_op.h"

#define FIRST_MS   60000   /* pause after a failure, doubled … */
#define LONGEST_MS 3600000 /* … up to this */

struct eng_resume {
    struct engine *engine;
    struct cm_timer *timer;
    int64_t pause_ms;
};

static const struct eng_actor self = {.who = "CertMgr", .via = "task"};

static int on_account(void *arg, const char *key, const char *id)
{
    struct engine *engine = arg;
    const char *name = eng_id_name(id, "account:");
    (void)key;
    CM_AUTO_JSON body = name ? cs_peek_body(engine->env.store, id) : NULL;
    if (!cm_json_obj(body, "rollover") || eng_account_busy(engine, name))
        return 0;
    cm_log(CM_LOG_INFO, "engine", id, "going on with the change of the account key");
    eng_account_act(engine, name, ACCOUNT_ROLL_OVER, &self, NULL, NULL);
    return 0;
}

static void look(void *arg)
{
    struct eng_resume *resume = arg;
    cs_each(resume->engine->env.store, CS_BY_TYPE, "account", NULL, NULL, on_account,
            resume->engine);
}

void eng_resume_start(struct engine *engine)
{
    struct eng_resume *resume = cm_calloc(1, sizeof(*resume));
    *resume = (struct eng_resume){.engine = engine, .pause_ms = FIRST_MS};
    resume->timer = cm_timer_new(engine->env.loop, look, resume);
    engine->resume = resume;
    cm_timer_start(resume->timer, 0);
}

void eng_resume_stop(struct engine *engine)
{
    if (!engine->resume)
        return;
    cm_timer_free(engine->resume->timer);
    cm_free(engine->resume);
    engine->resume = NULL;
}

void eng_resume_later(struct engine *engine, const char *account)
{
    struct eng_resume *resume = engine->resume;
    if (!resume || engine->dead)
        return;
    CM_AUTO_STR id = cm_asprintf("account:%s", account);
    CM_AUTO_JSON body = cs_peek_body(engine->env.store, id);
    if (!cm_json_obj(body, "rollover")) {
        resume->pause_ms = FIRST_MS;
        return;
    }
    if (cm_timer_active(resume->timer))
        return;
    cm_timer_start(resume->timer, resume->pause_ms);
    resume->pause_ms = resume->pause_ms * 2 < LONGEST_MS ? resume->pause_ms * 2 : LONGEST_MS;
}
