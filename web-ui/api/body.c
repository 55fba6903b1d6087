/* Strict JSON bodies and their errors.  See api.h. */
#include <string.h>

#include "base/core/mem.h"
#include "web-ui/api/api.h"
#include "web-ui/field.h"
#include "web-ui/reply.h"

static bool all_texts(const json_t *value)
{
    size_t i;
    json_t *item;

    if (!json_is_array(value))
        return false;
    json_array_foreach(value, i, item)
    {
        if (!json_is_string(item))
            return false;
    }
    return true;
}

static bool type_ok(enum api_type type, const json_t *value)
{
    switch (type) {
    case API_TEXT:
        return json_is_string(value);
    case API_INT:
        return json_is_integer(value);
    case API_BOOL:
        return json_is_boolean(value);
    case API_TEXTS:
        return all_texts(value);
    case API_TEXT_OR_TEXTS:
        return json_is_string(value) || all_texts(value);
    case API_OBJECT:
        return json_is_object(value);
    }
    return false;
}

static const char *type_words(enum api_type type)
{
    static const char *const words[] = {
        [API_TEXT] = "must be a string",
        [API_INT] = "must be an integer",
        [API_BOOL] = "must be true or false",
        [API_TEXTS] = "must be an array of strings",
        [API_TEXT_OR_TEXTS] = "must be a string or an array of strings",
        [API_OBJECT] = "must be an object",
    };

    return words[type];
}

/* Appends name to a JSON pointer in a URI fragment (RFC 6901 3 and 6): "~" and "/" escaped, and
 * what a fragment cannot hold percent-encoded. */
static void pointer_add(struct cm_buf *out, const char *name)
{
    cm_buf_putc(out, '/');
    for (const char *p = name; *p; p++) {
        unsigned char c = (unsigned char)*p;

        if (c == '~')
            cm_buf_puts(out, "~0");
        else if (c == '/')
            cm_buf_puts(out, "~1");
        else if (c <= 0x20 || c >= 0x7f || strchr("\"#%<>\\^`{|}[]", c))
            cm_buf_printf(out, "%%%02X", c);
        else
            cm_buf_putc(out, (char)c);
    }
}

static void add_error(json_t *errors, const char *name, const char *detail, const char *value,
                      int64_t index)
{
    struct cm_buf pointer;
    json_t *error = json_object();

    cm_buf_init(&pointer, 8192);
    cm_buf_putc(&pointer, '#');
    if (*name)
        pointer_add(&pointer, name);
    if (index >= 0)
        cm_buf_printf(&pointer, "/%lld", (long long)index);
    cm_json_set_str(error, "pointer", cm_buf_str(&pointer));
    cm_json_set_str(error, "field", *name ? name : NULL);
    cm_json_set_str(error, "detail", detail);
    cm_json_set_str(error, "value", value);
    json_array_append_new(errors, error);
    cm_buf_fini(&pointer);
}

static const struct api_member *member_of(const struct api_member *members, size_t count,
                                          const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(members[i].name, name) == 0)
            return &members[i];
    }
    return NULL;
}

bool api_body_ok(struct web_ctx *ctx, const struct api_member *members, size_t count)
{
    json_t *errors = json_array();
    const char *key;
    json_t *value;

    if (!json_is_object(ctx->json))
        add_error(errors, "", "the body must be a JSON object", NULL, -1);
    json_object_foreach(ctx->json, key, value)
    {
        const struct api_member *member = member_of(members, count, key);

        if (!member)
            add_error(errors, key, "unknown member", NULL, -1);
        else if (!type_ok(member->type, value))
            add_error(errors, key, type_words(member->type), NULL, -1);
    }
    for (size_t i = 0; i < count && json_is_object(ctx->json); i++) {
        if (members[i].required && !json_object_get(ctx->json, members[i].name))
            add_error(errors, members[i].name, "is missing", NULL, -1);
    }
    if (json_array_size(errors) == 0) {
        json_decref(errors);
        return true;
    }
    web_reply_problem(ctx, 422, "The request has errors", NULL, errors, NULL);
    return false;
}

/* Where in body[field] the value stands; -1 = not an array, or not found. */
static int64_t index_of(const json_t *body, const char *field, const char *value)
{
    const json_t *array = cm_json_arr(body, field);
    size_t i;
    json_t *item;

    json_array_foreach(array, i, item)
    {
        if (value && json_is_string(item) && strcmp(json_string_value(item), value) == 0)
            return (int64_t)i;
    }
    return -1;
}

json_t *api_field_errors(const json_t *field_errors, const json_t *body)
{
    json_t *errors = json_array();
    size_t i;
    json_t *error;

    json_array_foreach(field_errors, i, error)
    {
        const char *field = cm_json_str_or(error, "field", "");
        const char *value = cm_json_str(error, "value");

        add_error(errors, field, cm_json_str_or(error, "message", ""), value,
                  index_of(body, field, value));
    }
    return errors;
}

void api_refused(struct web_ctx *ctx, const struct cm_err *err)
{
    CM_AUTO_JSON errors = web_errors_of(err);

    if (errors)
        web_reply_problem(ctx, 422, "The request has errors", err->what,
                          api_field_errors(errors, ctx->json), err);
    else
        web_reply_error(ctx, err);
}

json_t *api_list(const char *name, json_t *take_array)
{
    json_t *reply = json_object();

    cm_json_set(reply, name, take_array);
    return reply;
}

void api_done(void *arg, const struct cm_err *err)
{
    struct web_ctx *ctx = arg;

    if (web_ctx_gone(ctx))
        return;
    if (err && err->code)
        web_reply_error(ctx, err);
    else
        web_reply(ctx, 204, NULL, "", 0);
}

void api_exported(void *arg, const json_t *value, const struct cm_err *err)
{
    struct web_ctx *ctx = arg;

    if (web_ctx_gone(ctx))
        return;
    if (err && err->code)
        api_refused(ctx, err);
    else
        web_reply_json(ctx, 200, json_deep_copy(value));
}
