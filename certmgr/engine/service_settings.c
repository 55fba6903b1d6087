/* Form defaults: the members of settings:global, checked like the form itself. */
#include "certmgr/engine/internal.h"

#include <string.h>

static const char *const members[] = {"provider", "account",      "key_type",
                                      "servers",  "keyring_file", "renew_days"};
#define MEMBER_COUNT (sizeof(members) / sizeof(members[0]))

struct settings_put {
    struct engine *engine;
    json_t *fields; /* checked members given by the caller */
    struct cm_err err;
    eng_done_fn done;
    void *arg;
};

static void settings_end(struct settings_put *put, const struct cm_err *err)
{
    if (put->done)
        put->done(put->arg, err && err->code != 0 ? err : NULL);
    json_decref(put->fields);
    cm_err_fini(&put->err);
    cm_free(put);
}

static void on_settings_refused(void *arg)
{
    struct settings_put *put = arg;
    settings_end(put, &put->err);
}

static void on_settings_published(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    (void)doc;
    settings_end(arg, err);
}

static int edit_settings(void *arg, json_t *body, struct cm_err *err)
{
    const struct settings_put *put = arg;
    (void)err;
    const char *key;
    json_t *value;
    json_object_foreach(put->fields, key, value)
    {
        json_object_set(body, key, value);
    }
    return 0;
}

/* Is there anything to check under this name?  Empty text and an empty list mean "no default". */
static bool is_given(const json_t *value)
{
    const char *text = json_string_value(value);
    return value && !json_is_null(value) && !(text && !*text) &&
           !(json_is_array(value) && json_array_size(value) == 0);
}

/* Checks what was given as the form would, and keeps the normalised values. */
static int check_settings(struct settings_put *put, json_t *fields)
{
    const char *key;
    json_t *value;
    CM_AUTO_JSON first = json_incref(json_object_get(fields, "staging_first"));
    json_object_del(fields, "staging_first");
    if (first && !json_is_boolean(first))
        return cm_fail(&put->err, CM_EINVAL, "staging_first: choose true or false");
    json_object_foreach(fields, key, value)
    {
        bool known = false;
        for (size_t i = 0; i < MEMBER_COUNT; i++)
            known = known || strcmp(members[i], key) == 0;
        if (!known)
            return cm_fail(&put->err, CM_EINVAL, "%.60s: the form has no such default", key);
    }
    CM_AUTO_JSON checked = NULL;
    CM_AUTO_JSON errors = NULL;
    CM_AUTO_JSON notes = NULL;
    eng_check(put->engine, fields, &checked, &errors, &notes);
    put->fields = json_object();
    if (first)
        json_object_set(put->fields, "staging_first", first);
    for (size_t i = 0; i < MEMBER_COUNT; i++) {
        value = json_object_get(fields, members[i]);
        if (!value)
            continue;
        if (!is_given(value) && strcmp(members[i], "servers") == 0) {
            json_object_set_new(put->fields, "servers", json_array());
            continue;
        }
        if (!is_given(value))
            continue;
        size_t at;
        json_t *error;
        json_array_foreach(errors, at, error)
        {
            /* A default file name in use is no mistake: the next request is given another. */
            const char *field = cm_json_str_or(error, "field", "");
            bool clash = strcmp(field, "keyring_file") == 0 &&
                         eng_file_name_ok(cm_json_str_or(fields, "keyring_file", ""));
            if (strcmp(field, members[i]) == 0 && !clash)
                return cm_fail(&put->err, CM_EINVAL, "%s: %s", field,
                               cm_json_str_or(error, "message", "not accepted"));
        }
        json_object_set(put->fields, members[i], json_object_get(checked, members[i]));
    }
    return 0;
}

void eng_settings_put(struct engine *engine, const json_t *fields, eng_done_fn done, void *arg)
{
    struct settings_put *put = cm_calloc(1, sizeof(*put));
    put->engine = engine;
    put->done = done;
    put->arg = arg;
    CM_AUTO_JSON copy = json_deep_copy(fields);
    int rc = engine->env.manager
                 ? check_settings(put, copy)
                 : cm_fail(&put->err, CM_EDENIED, "Settings are changed on the manager");
    if (rc != 0) {
        cm_loop_defer(engine->env.loop, on_settings_refused, put);
        return;
    }
    eng_edit(engine, "settings:global", "settings", edit_settings, on_settings_published, put);
}
