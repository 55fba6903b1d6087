/* /livez, /readyz, /metrics: for supervisors and monitoring, without login; they tell no names. */
#include <string.h>

#include "base/core/clock.h"
#include "web-ui/api/api.h"
#include "web-ui/reply.h"
#include "web-ui/stream.h"
#include "web-ui/view.h"

static void plain(struct web_ctx *ctx, int status, const char *text)
{
    web_reply(ctx, status, "text/plain; charset=utf-8", text, strlen(text));
}

void health_livez(struct web_ctx *ctx)
{
    plain(ctx, 200, "ok\n");
}

/* Ready = new documents can be accepted: that needs a trust root that has not expired. */
void health_readyz(struct web_ctx *ctx)
{
    const struct kf_trust *trust = fleet_trust(ctx->web->env.fleet);

    if (kf_trust_expires_ms(trust) > cm_now_ms())
        plain(ctx, 200, "ok\n");
    else
        plain(ctx, 503, "trust root expired\n");
}

static void store_metrics(struct cs_store *store, struct cm_buf *text)
{
    struct cs_stat stat;
    CM_AUTO_JSON scrub = cs_scrub_status(store);

    if (cs_stat(store, &stat, NULL) == 0)
        cm_buf_printf(text,
                      "# HELP certmgr_store_map_percent Part of the store's largest size in use.\n"
                      "# TYPE certmgr_store_map_percent gauge\ncertmgr_store_map_percent %d\n",
                      stat.map_percent);
    cm_buf_printf(text,
                  "# HELP certmgr_store_scrub_problems Problems that the last reading found.\n"
                  "# TYPE certmgr_store_scrub_problems gauge\ncertmgr_store_scrub_problems %zu\n",
                  json_array_size(cm_json_arr(scrub, "problems")));
}

/* Prometheus text exposition; statuses are our own words, so no label needs escaping. */
void health_metrics(struct web_ctx *ctx)
{
    CM_AUTO_JSON counts = web_status_counts(ctx->web->env.store);
    const char *status;
    json_t *count;
    struct cm_buf text;

    cm_buf_init(&text, 64u << 10);
    cm_buf_puts(&text, "# HELP certmgr_build_info Version of the running program.\n"
                       "# TYPE certmgr_build_info gauge\n"
                       "certmgr_build_info{version=\"" CM_VERSION "\"} 1\n"
                       "# HELP certmgr_credentials TLS Credentials by status.\n"
                       "# TYPE certmgr_credentials gauge\n");
    json_object_foreach(counts, status, count)
        cm_buf_printf(&text, "certmgr_credentials{status=\"%s\"} %lld\n", status,
                      (long long)json_integer_value(count));
    cm_buf_printf(&text,
                  "# HELP certmgr_event_streams Open streams of live events.\n"
                  "# TYPE certmgr_event_streams gauge\ncertmgr_event_streams %zu\n"
                  "# HELP certmgr_store_sequence Newest durable update sequence.\n"
                  "# TYPE certmgr_store_sequence gauge\ncertmgr_store_sequence %lld\n",
                  web_streams_count(ctx->web->streams), (long long)cs_seq(ctx->web->env.store));
    store_metrics(ctx->web->env.store, &text);
    web_reply(ctx, 200, "text/plain; version=0.0.4; charset=utf-8", text.data, text.len);
    cm_buf_fini(&text);
}
