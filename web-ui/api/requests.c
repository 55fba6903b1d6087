/* /api/v1/requests: Submit Request, and what was asked for. */
#include <string.h>

#include "base/core/mem.h"
#include "web-ui/api/api.h"
#include "web-ui/api/idempotency.h"
#include "web-ui/credential.h"
#include "web-ui/reply.h"

/* ---- submit ---- */

void api_submitted(struct web_ctx *ctx, json_t *take_answer)
{
    CM_AUTO_STR location =
        cm_asprintf("/api/v1/credentials/%s", cm_json_str_or(take_answer, "credential", ""));

    http_ex_header(ctx->ex, "Location", location);
    web_reply_json(ctx, 202, take_answer);
}

static json_t *answer_of(const char *credential, const json_t *notes)
{
    json_t *answer = json_object();

    cm_json_set_str(answer, "credential", credential);
    cm_json_set(answer, "notes", notes ? json_deep_copy(notes) : json_array());
    return answer;
}

static bool failed(const json_t *field_errors, const struct cm_err *err)
{
    return json_array_size(field_errors) > 0 || (err && err->code);
}

void api_taken(struct web_ctx *ctx, const char *title, const char *credential,
               const json_t *field_errors, const json_t *notes, const struct cm_err *err)
{
    if (web_ctx_gone(ctx))
        return;
    if (json_array_size(field_errors) > 0)
        web_reply_problem(ctx, 422, title, err ? err->what : NULL,
                          api_field_errors(field_errors, ctx->json), err);
    else if (failed(field_errors, err))
        web_reply_error(ctx, err);
    else
        api_submitted(ctx, answer_of(credential, notes));
}

static void submitted(void *arg, const char *credential, const json_t *field_errors,
                      const json_t *notes, const struct cm_err *err)
{
    struct web_ctx *ctx = arg;
    CM_AUTO_JSON answer = failed(field_errors, err) ? NULL : answer_of(credential, notes);

    /* A client that has gone will send it again: that is what the key is for. */
    idempotency_done(ctx, answer);
    api_taken(ctx, "The request has errors", credential, field_errors, notes, err);
}

const struct api_member api_request_members[] = {
    {"host_names", API_TEXT_OR_TEXTS, true},
    {"provider", API_TEXT, false},
    {"account", API_TEXT, false},
    {"key_type", API_TEXT, false},
    {"servers", API_TEXTS, false},
    {"keyring_file", API_TEXT, false},
    {"target", API_TEXT, false},
    {"renew_days", API_INT, false},
    {"key_rollover", API_TEXT, false},
    {"alternate_chain", API_TEXT, false},
    {"challenge", API_TEXT, false},
    {"profile", API_TEXT, false},
    {"profile_required", API_BOOL, false},
    {"paused", API_BOOL, false},
    {"fallback_accounts", API_TEXTS, false},
    {"add_base", API_BOOL, false},
    {"exportable", API_BOOL, false},
};
const size_t api_request_member_count =
    sizeof(api_request_members) / sizeof(api_request_members[0]);

void api_requests_post(struct web_ctx *ctx)
{
    struct eng_actor actor = web_actor(ctx);
    struct api_member members[sizeof(api_request_members) / sizeof(api_request_members[0]) + 1];

    memcpy(members, api_request_members, sizeof(api_request_members));
    members[api_request_member_count] = (struct api_member){"dry_run", API_BOOL, false};
    if (api_body_ok(ctx, members, api_request_member_count + 1) && idempotency_begin(ctx))
        eng_submit(ctx->web->env.engine, ctx->json, &actor, submitted, ctx);
}

/* ---- what was asked for ---- */

struct collect {
    json_t *ids;
    size_t max;
    bool more;
};

static int collect_id(void *arg, const char *key, const char *id)
{
    struct collect *collect = arg;

    if (strcmp(key, "request") != 0)
        return 0;
    if (json_array_size(collect->ids) == collect->max) {
        collect->more = true;
        return 1;
    }
    json_array_append_new(collect->ids, json_string(id + strlen("request:")));
    return 0;
}

void api_requests(struct web_ctx *ctx)
{
    struct cs_store *store = ctx->web->env.store;
    struct collect collect = {0};
    const char *after = web_form_get(&ctx->query, "after");
    CM_AUTO_STR after_id = after ? cm_asprintf("request:%s", after) : NULL;
    json_t *requests;
    size_t i;
    json_t *id;

    if (!api_limit(ctx, API_PAGE_ROWS, &collect.max))
        return;
    if (after && !cm_ulid_ok(after)) {
        api_bad_cursor(ctx);
        return;
    }
    collect.ids = json_array();
    requests = json_array();
    cs_each(store, CS_BY_TYPE, "request", after ? "request" : NULL, after_id, collect_id, &collect);
    json_array_foreach(collect.ids, i, id)
    {
        json_t *request = web_request(store, json_string_value(id));

        if (request)
            json_array_append_new(requests, request);
    }
    api_reply_page(ctx, "requests", requests,
                   collect.more ? json_string_value(json_array_get(collect.ids, collect.max - 1))
                                : NULL);
    json_decref(collect.ids);
}

void api_request(struct web_ctx *ctx)
{
    json_t *request = web_request(ctx->web->env.store, ctx->param);

    if (request)
        web_reply_json(ctx, 200, request);
    else
        web_reply_status(ctx, 404);
}
