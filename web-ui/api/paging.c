/* Keyset paging of API lists.  See api.h. */
#include <stdlib.h>
#include <string.h>

#include "base/core/mem.h"
#include "base/core/num.h"
#include "web-ui/api/api.h"
#include "web-ui/reply.h"

bool api_limit(struct web_ctx *ctx, size_t fallback, size_t *ret)
{
    const char *text = web_form_get(&ctx->query, "limit");
    int64_t number = (int64_t)fallback;

    if (text && cm_num_i64(text, 1, API_LIMIT_MAX, &number) < 0) {
        web_reply_problem(ctx, 422, NULL, "limit must be a whole number from 1 to 1000", NULL,
                          NULL);
        return false;
    }
    *ret = (size_t)number;
    return true;
}

void api_bad_cursor(struct web_ctx *ctx)
{
    web_reply_problem(ctx, 422, NULL, "after must be the next of an earlier page", NULL, NULL);
}

void api_reply_page(struct web_ctx *ctx, const char *name, json_t *take_rows, const char *next)
{
    json_t *reply = json_object();

    cm_json_set(reply, name, take_rows);
    json_object_set_new(reply, "next", next ? json_string(next) : json_null());
    web_reply_json(ctx, 200, reply);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(cm_json_str_or(*(json_t *const *)a, "name", ""),
                  cm_json_str_or(*(json_t *const *)b, "name", ""));
}

/* A copy of the array, by name. */
static json_t **sorted(const json_t *rows, size_t count)
{
    json_t **list = cm_calloc(count + 1, sizeof(json_t *));

    for (size_t i = 0; i < count; i++)
        list[i] = json_array_get(rows, i);
    qsort(list, count, sizeof(json_t *), by_name);
    return list;
}

void api_reply_named(struct web_ctx *ctx, const char *name, json_t *take_rows)
{
    const char *after = web_form_get(&ctx->query, "after");
    size_t count = json_array_size(take_rows), limit, begin = 0;
    json_t **list;
    json_t *page;
    const char *next = NULL;

    if (!api_limit(ctx, API_LIMIT_MAX, &limit)) {
        json_decref(take_rows);
        return;
    }
    list = sorted(take_rows, count);
    page = json_array();
    while (after && begin < count && strcmp(cm_json_str_or(list[begin], "name", ""), after) <= 0)
        begin++;
    for (size_t i = begin; i < count && i < begin + limit; i++)
        json_array_append(page, list[i]);
    if (count - begin > limit)
        next = cm_json_str(list[begin + limit - 1], "name");
    api_reply_page(ctx, name, page, next);
    cm_free(list);
    json_decref(take_rows);
}
