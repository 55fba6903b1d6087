/* Recipes of DNS providers in the store: linted, then published. */
#include "certmgr/dns/recipe.h"
#include "certmgr/engine/internal.h"

struct recipe_put {
    json_t *recipe;
    struct cm_err err;
    eng_done_fn done;
    void *arg;
};

static void put_end(struct recipe_put *put, const struct cm_err *err)
{
    if (put->done)
        put->done(put->arg, err && err->code != 0 ? err : NULL);
    json_decref(put->recipe);
    cm_err_fini(&put->err);
    cm_free(put);
}

static void on_refused(void *arg)
{
    struct recipe_put *put = arg;
    put_end(put, &put->err);
}

static void on_published(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    (void)doc;
    put_end(arg, err);
}

static int edit_recipe(void *arg, json_t *body, struct cm_err *err)
{
    const struct recipe_put *put = arg;
    (void)err;
    json_object_set(body, "recipe", put->recipe);
    return 0;
}

void eng_dns_recipe_put(struct engine *engine, const char *name, const json_t *recipe,
                        const struct eng_actor *actor, eng_done_fn done, void *arg)
{
    struct recipe_put *put = cm_calloc(1, sizeof(*put));
    int rc = 0;
    (void)actor;
    *put = (struct recipe_put){.recipe = json_deep_copy(recipe), .done = done, .arg = arg};
    if (!engine->env.manager)
        rc = cm_fail(&put->err, CM_EDENIED, "Recipes are kept on the manager");
    else if (!eng_short_name_ok(name))
        rc = cm_fail(&put->err, CM_EINVAL,
                     "name: 1 to 63 letters, digits, dots, hyphens or underscores");
    else
        rc = dnsp_lint(recipe, NULL, NULL, &put->err);
    if (rc != 0) {
        cm_loop_defer(engine->env.loop, on_refused, put);
        return;
    }
    CM_AUTO_STR id = cm_asprintf("dns-provider:%s", name);
    eng_edit(engine, id, "dns-provider", edit_recipe, on_published, put);
}
