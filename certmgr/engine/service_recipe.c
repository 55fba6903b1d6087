/*
 * Recipes of DNS providers in the store: linted, then published; removed when nobody uses them.
 *
 * A recipe says which hosts get the secrets of the accounts that use it.  So a change that lets a
 * host in which they did not go to so far is refused until this very host is confirmed.
 */
#include <string.h>

#include "certmgr/dns/recipe.h"
#include "certmgr/engine/dns.h"

_Static_assert(ENG_RECIPE_BYTES_MAX == RCP_BYTES_MAX, "one limit, told twice");

#define NAMED_MAX 200 /* bytes of accounts or hosts in a message */

struct recipe_put {
    struct engine *engine;
    char *name, *id, *who;
    json_t *recipe, *confirmed; /* recipe NULL = it is removed */
    struct cm_buf widened;      /* hosts that were let in, for the log */
    struct cm_err err;
    eng_done_fn done;
    void *arg;
};

static void put_end(struct recipe_put *put, const struct cm_err *err)
{
    if (put->done)
        put->done(put->arg, err && err->code != 0 ? err : NULL);
    eng_unref(put->engine);
    json_decref(put->recipe);
    json_decref(put->confirmed);
    cm_buf_fini(&put->widened);
    cm_free(put->name);
    cm_free(put->id);
    cm_free(put->who);
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
    struct recipe_put *put = arg;
    const char *hosts = cm_buf_str(&put->widened);
    (void)doc;
    if (!err || err->code == 0)
        cm_log(CM_LOG_INFO, "engine", put->id, "%s by %s%s%s", put->recipe ? "stored" : "removed",
               put->who, *hosts ? "; confirmed as new hosts for the secrets of its accounts: " : "",
               hosts);
    put_end(put, err);
}

static struct recipe_put *put_new(struct engine *engine, const char *name,
                                  const struct eng_actor *actor, eng_done_fn done, void *arg)
{
    struct recipe_put *put = cm_calloc(1, sizeof(*put));
    *put = (struct recipe_put){.engine = engine,
                               .name = cm_strdup(name),
                               .id = cm_asprintf("dns-provider:%.64s", name),
                               .who = cm_strdup(actor->who),
                               .done = done,
                               .arg = arg};
    cm_buf_init(&put->widened, 4096);
    engine->refs++;
    return put;
}

/* Appends a name to a list in words, once, as long as there is room; then "…". */
static void name_once(struct cm_buf *list, json_t *seen, const char *name)
{
    if (cm_json_has_str(seen, name))
        return;
    json_array_append_new(seen, json_string(name));
    if (list->len < NAMED_MAX)
        cm_buf_printf(list, "%s%.80s", list->len > 0 ? ", " : "", name);
    else if (strcmp(cm_buf_str(list) + list->len - 3, "…") != 0)
        cm_buf_puts(list, " …");
}

/* ---- storing ----------------------------------------------------------------------------------
 */

/* May the secrets of present accounts go where this recipe sends them? */
static int check_reach(struct recipe_put *put, struct cm_err *err)
{
    CM_AUTO_JSON widens = eng_dns_recipe_widens(put->engine, put->name, put->recipe);
    CM_AUTO_JSON seen = json_array();
    CM_AUTO_JSON seen_new = json_array();
    CM_AUTO_JSON users = json_array();
    struct cm_buf hosts, accounts;
    int rc = 0;
    cm_buf_init(&hosts, 4096);
    cm_buf_init(&accounts, 4096);
    cm_buf_reset(&put->widened);
    for (size_t i = 0; i < json_array_size(widens); i++) {
        const json_t *one = json_array_get(widens, i), *list = cm_json_arr(one, "hosts");
        for (size_t k = 0; k < json_array_size(list); k++) {
            const char *host = json_string_value(json_array_get(list, k));
            bool confirmed = cm_json_has_str(put->confirmed, host);
            name_once(confirmed ? &put->widened : &hosts, confirmed ? seen : seen_new, host);
            if (!confirmed)
                name_once(&accounts, users, cm_json_str_or(one, "account", ""));
        }
    }
    if (hosts.len > 0) {
        rc = cm_fail(err, CM_ECONFLICT,
                     "This recipe would send the secrets of DNS account %s to a host that does not "
                     "get them so far: %s",
                     cm_buf_str(&accounts), cm_buf_str(&hosts));
        cm_err_hint(err, "Nothing was stored. If that is wanted, confirm each of these hosts.");
    }
    cm_buf_fini(&hosts);
    cm_buf_fini(&accounts);
    return rc;
}

static int edit_recipe(void *arg, json_t *body, struct cm_err *err)
{
    struct recipe_put *put = arg;
    int rc = check_reach(put, err);
    if (rc == 0)
        json_object_set(body, "recipe", put->recipe);
    return rc;
}

static int check_size(const json_t *recipe, struct cm_err *err)
{
    size_t len = 0;
    cm_free(cm_json_dump(recipe, &len));
    return len <= RCP_BYTES_MAX
               ? 0
               : cm_fail(err, CM_EINVAL, "recipe: it has more than %u KiB", RCP_BYTES_MAX >> 10);
}

void eng_dns_recipe_put(struct engine *engine, const char *name, const json_t *recipe,
                        const json_t *confirmed, const struct eng_actor *actor, eng_done_fn done,
                        void *arg)
{
    struct recipe_put *put = put_new(engine, name, actor, done, arg);
    int rc = 0;
    put->recipe = recipe ? json_deep_copy(recipe) : json_null();
    put->confirmed = confirmed ? json_deep_copy(confirmed) : json_array();
    if (!engine->env.manager)
        rc = cm_fail(&put->err, CM_EDENIED, "Recipes are kept on the manager");
    else if (!eng_short_name_ok(name))
        rc = cm_fail(&put->err, CM_EINVAL,
                     "name: 1 to 63 letters, digits, dots, hyphens or underscores");
    else if ((rc = check_size(recipe, &put->err)) == 0 &&
             (rc = dnsp_lint(recipe, NULL, NULL, &put->err)) == 0)
        rc = check_reach(put, &put->err);
    if (rc != 0)
        cm_loop_defer(engine->env.loop, on_refused, put);
    else
        eng_edit(engine, put->id, "dns-provider", edit_recipe, on_published, put);
}

/* ---- removal ----------------------------------------------------------------------------------
 */

static int check_unused(struct recipe_put *put, struct cm_err *err)
{
    CM_AUTO_JSON users = eng_dns_recipe_users(put->engine, put->name);
    CM_AUTO_JSON seen = json_array();
    struct cm_buf names;
    int rc = 0;
    cm_buf_init(&names, 4096);
    for (size_t i = 0; i < json_array_size(users); i++)
        name_once(&names, seen, json_string_value(json_array_get(users, i)));
    if (names.len > 0) {
        rc = cm_fail(err, CM_ECONFLICT, "Recipe %s is used by DNS account %s", put->name,
                     cm_buf_str(&names));
        cm_err_hint(err, "Remove these accounts first, or store another recipe in its place.");
    }
    cm_buf_fini(&names);
    return rc;
}

static int edit_away(void *arg, json_t *body, struct cm_err *err)
{
    struct recipe_put *put = arg;
    int rc = check_unused(put, err);
    if (rc != 0)
        return rc;
    if (!json_object_get(body, "serial"))
        return cm_fail(err, CM_ENOENT, "There is no stored recipe \"%s\"", put->name);
    CM_AUTO_JSON id = json_incref(json_object_get(body, "_id"));
    CM_AUTO_JSON type = json_incref(json_object_get(body, "type"));
    json_object_clear(body);
    json_object_set(body, "_id", id);
    json_object_set(body, "type", type);
    cm_json_set_bool(body, "_deleted", true);
    return 0;
}

void eng_dns_recipe_delete(struct engine *engine, const char *name, const struct eng_actor *actor,
                           eng_done_fn done, void *arg)
{
    struct recipe_put *put = put_new(engine, name, actor, done, arg);
    CM_AUTO_JSON document = cs_get_body(engine->env.store, put->id);
    int rc = 0;
    if (!engine->env.manager)
        rc = cm_fail(&put->err, CM_EDENIED, "Recipes are kept on the manager");
    else if (!document)
        rc = cm_fail(&put->err, CM_ENOENT, "There is no stored recipe \"%s\"", name);
    else
        rc = check_unused(put, &put->err);
    if (rc != 0)
        cm_loop_defer(engine->env.loop, on_refused, put);
    else
        eng_edit(engine, put->id, "dns-provider", edit_away, on_published, put);
}
