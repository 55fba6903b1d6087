/* Idempotency-Key.  See idempotency.h. */
#include "web-ui/api/idempotency.h"

#include <string.h>

#include "base/core/clock.h"
#include "base/core/mem.h"
#include "web-ui/api/api.h"
#include "web-ui/precondition.h"
#include "web-ui/reply.h"

#define TABLE "idempotency"

/* Table key: the caller and the key, so that nobody meets another's. */
static bool table_key(const struct web_ctx *ctx, char out[CM_SHA256_HEX])
{
    const char *key = http_head_field(&ctx->req->head, "idempotency-key");
    CM_AUTO_STR text = NULL;

    if (!key)
        return false;
    text = cm_asprintf("%s\n%s", ctx->session.user, key);
    cm_sha256_hex(text, strlen(text), out);
    return true;
}

static bool key_is_fine(const char *key)
{
    size_t len = strlen(key);

    if (len == 0 || len > IDEMPOTENCY_KEY_MAX)
        return false;
    for (const char *p = key; *p; p++) {
        if ((unsigned char)*p < 0x21 || (unsigned char)*p > 0x7e)
            return false;
    }
    return true;
}

struct sweep {
    json_t *doomed; /* keys */
    size_t kept;
    char oldest[CM_SHA256_HEX];
    int64_t oldest_ms;
};

static int sweep_one(void *arg, const char *key, const json_t *value)
{
    struct sweep *sweep = arg;
    int64_t at = cm_json_time(value, "at", 0);

    if (cm_now_ms() - at > IDEMPOTENCY_S * INT64_C(1000)) {
        json_array_append_new(sweep->doomed, json_string(key));
        return 0;
    }
    if (sweep->kept == 0 || at < sweep->oldest_ms) {
        sweep->oldest_ms = at;
        (void)cm_strcpy(sweep->oldest, sizeof(sweep->oldest), key);
    }
    sweep->kept++;
    return 0;
}

static void sweep_table(struct cs_store *store)
{
    struct sweep sweep = {.doomed = json_array()};
    size_t i;
    json_t *key;

    cs_kv_each(store, TABLE, "", sweep_one, &sweep);
    if (sweep.kept >= IDEMPOTENCY_MAX)
        json_array_append_new(sweep.doomed, json_string(sweep.oldest));
    json_array_foreach(sweep.doomed, i, key)(void)
        cs_kv_del(store, TABLE, json_string_value(key), NULL);
    json_decref(sweep.doomed);
}

static json_t *record_of(const struct web_ctx *ctx)
{
    char body[CM_SHA256_HEX];
    json_t *record = json_object();

    cm_sha256_hex(ctx->req->body, ctx->req->body_len, body);
    cm_json_set_str(record, "body", body);
    cm_json_set_time(record, "at", cm_now_ms());
    return record;
}

/* What is known of this key decides; the record of this request is compared with it. */
static void answer_again(struct web_ctx *ctx, const json_t *known, const json_t *record)
{
    json_t *answer = cm_json_obj(known, "answer");

    if (strcmp(cm_json_str_or(known, "body", ""), cm_json_str_or(record, "body", "")) != 0)
        web_reply_problem_as(ctx, 409, "idempotency_key",
                             "this Idempotency-Key was used with another body");
    else if (!answer)
        web_reply_problem_as(ctx, 409, "idempotency_key",
                             "the server stopped while it worked on this request: look at the list "
                             "of requests, and use a new key if it is not there");
    else
        api_submitted(ctx, json_deep_copy(answer));
}

bool idempotency_begin(struct web_ctx *ctx)
{
    struct cs_store *store = ctx->web->env.store;
    struct cm_err err = CM_ERR_INIT;
    char key[CM_SHA256_HEX];
    CM_AUTO_JSON known = NULL;
    CM_AUTO_JSON record = NULL;
    bool go_on = false;

    if (!table_key(ctx, key))
        return true;
    record = record_of(ctx);
    known = cs_kv_get(store, TABLE, key);
    if (known && cm_now_ms() - cm_json_time(known, "at", 0) > IDEMPOTENCY_S * INT64_C(1000)) {
        json_decref(known);
        known = NULL;
    }
    if (!key_is_fine(http_head_field(&ctx->req->head, "idempotency-key"))) {
        web_reply_problem(ctx, 400, NULL,
                          "an Idempotency-Key has 1 to 200 visible ASCII characters", NULL, NULL);
    } else if (!web_hold(ctx, key)) {
        http_ex_header(ctx->ex, "Retry-After", "1");
        web_reply_problem_as(ctx, 409, "idempotency_key",
                             "a request with this Idempotency-Key is under way");
    } else if (known) {
        answer_again(ctx, known, record);
    } else {
        sweep_table(store);
        go_on = cs_kv_put(store, TABLE, key, record, &err) == 0;
        if (!go_on)
            web_reply_error(ctx, &err);
    }
    cm_err_fini(&err);
    return go_on;
}

void idempotency_done(struct web_ctx *ctx, const json_t *answer)
{
    struct cs_store *store = ctx->web->env.store;
    CM_AUTO_JSON record = NULL;

    if (!ctx->edit) /* held since idempotency_begin(); no key, nothing held */
        return;
    record = answer ? cs_kv_get(store, TABLE, ctx->edit) : NULL;
    if (!record) {
        (void)cs_kv_del(store, TABLE, ctx->edit, NULL);
        return;
    }
    cm_json_set(record, "answer", json_deep_copy(answer));
    (void)cs_kv_put(store, TABLE, ctx->edit, record, NULL);
}
