/* DNS accounts of the engine in the rig: "spare" is there, and everything is taken. */
#include <stdio.h>
#include <string.h>

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
                        const json_t *confirmed, const struct eng_actor *actor, eng_done_fn done,
                        void *arg)
{
    json_decref(doubles.confirmed);
    doubles.confirmed = json_deep_copy(confirmed);
    snprintf(doubles.name, sizeof(doubles.name), "%s", name);
    eng_account_put(engine, recipe, actor, done, arg);
}

void eng_dns_recipe_delete(struct engine *engine, const char *name, const struct eng_actor *actor,
                           eng_done_fn done, void *arg)
{
    eng_retry(engine, name, actor, done, arg);
}

/* One is stored, "own", when the test gave it. */
json_t *eng_dns_recipe_view(struct engine *engine, const char *name)
{
    (void)engine;
    return strcmp(name, "own") == 0 ? json_deep_copy(doubles.recipe) : NULL;
}

json_t *eng_dns_recipe_lint(const json_t *recipe)
{
    return json_is_object(recipe) && json_object_get(recipe, "schema")
               ? json_pack("{s:b,s:i,s:[s]}", "ok", 1, "tests", 1, "lines", "test add: passed")
               : json_pack("{s:b,s:i,s:[],s:s,s:{s:s,s:s}}", "ok", 0, "tests", 0, "lines",
                           "pointer", "/steps/<b>", "error", "code", "invalid", "what",
                           "recipe x: /steps/<b>: wrong");
}

json_t *eng_dns_recipe_widens(struct engine *engine, const char *name, const json_t *recipe)
{
    (void)engine;
    (void)name;
    (void)recipe;
    return doubles.widens ? json_deep_copy(doubles.widens) : json_array();
}

json_t *eng_dns_account_view(struct engine *engine, const char *name)
{
    (void)engine;
    return strcmp(name, "spare") == 0 ? json_pack("{s:s,s:s,s:[s]}", "name", name, "kind", "manual",
                                                  "domains", "spare.example")
                                      : NULL;
}

json_t *eng_dns_accounts(struct engine *engine)
{
    (void)engine;
    return json_array();
}

json_t *eng_dns_recipes(struct engine *engine)
{
    json_t *own = eng_dns_recipe_view(engine, "own");
    return own ? json_pack("[o]", own) : json_array();
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
