/* DNS accounts of the engine in the rig: none is there, and everything is taken. */
#include "certmgr/engine/engine.h"

#include "tests/unit/web/doubles.h"

void eng_dns_account_put(struct engine *engine, const json_t *fields, const struct eng_actor *actor,
                         eng_done_fn done, void *arg)
{
    eng_account_put(engine, fields, actor, done, arg); /* kept and answered alike */
}

void eng_dns_account_delete(struct engine *engine, const char *name, bool force,
                            const struct eng_actor *actor, eng_done_fn done, void *arg)
{
    (void)force;
    eng_retry(engine, name, actor, done, arg);
}

void eng_dns_recipe_put(struct engine *engine, const char *name, const json_t *recipe,
                        const struct eng_actor *actor, eng_done_fn done, void *arg)
{
    (void)name;
    eng_account_put(engine, recipe, actor, done, arg);
}

json_t *eng_dns_account_view(struct engine *engine, const char *name)
{
    (void)engine;
    (void)name;
    return NULL;
}

json_t *eng_dns_accounts(struct engine *engine)
{
    (void)engine;
    return json_array();
}

json_t *eng_dns_recipes(struct engine *engine)
{
    (void)engine;
    return json_array();
}

int eng_dns_test(struct engine *engine, const char *name, const char *probe,
                 const struct eng_actor *actor, struct cm_err *err)
{
    (void)engine;
    (void)probe;
    (void)actor;
    return cm_fail(err, CM_ENOENT, "There is no enabled DNS account \"%s\"", name);
}

json_t *eng_dns_test_view(struct engine *engine, const char *name)
{
    (void)engine;
    (void)name;
    return NULL;
}

int eng_dns_go_on(struct engine *engine, const char *credential, const struct eng_actor *actor,
                  struct cm_err *err)
{
    (void)engine;
    (void)actor;
    return cm_fail(err, CM_ECONFLICT, "%s waits for nobody", credential);
}
