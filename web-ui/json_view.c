/* Generic JSON as HTML.  See json_view.h. */
#include "web-ui/json_view.h"

#include <string.h>

#include "base/core/clock.h"
#include "base/core/mem.h"
#include "web-ui/html.h"
#include "web-ui/widget.h"

struct word {
    const char *text;
    enum web_msg msg;
};

/* Members that have a name of their own; others are shown as they are called. */
static const struct word members[] = {{"jobs", MSG_K_JOBS},
                                      {"next_due_at", MSG_K_NEXT_DUE_AT},
                                      {"version", MSG_K_VERSION},
                                      {"expires_at", MSG_K_EXPIRES_AT},
                                      {"servers", MSG_K_SERVERS},
                                      {"manager", MSG_K_MANAGER},
                                      {"uuid", MSG_K_UUID},
                                      {"sequence", MSG_K_SEQUENCE},
                                      {"documents", MSG_K_DOCUMENTS},
                                      {"deleted", MSG_K_DELETED},
                                      {"refused", MSG_K_REFUSED},
                                      {"records", MSG_K_RECORDS},
                                      {"file_size", MSG_K_FILE_SIZE},
                                      {"map_size", MSG_K_MAP_SIZE},
                                      {"map_used", MSG_K_MAP_USED},
                                      {"map_percent", MSG_K_MAP_PERCENT},
                                      {"disk_free", MSG_K_DISK_FREE},
                                      {"readers", MSG_K_READERS},
                                      {"slow_snapshots", MSG_K_SLOW_SNAPSHOTS},
                                      {"stuck_reader", MSG_K_STUCK_READER},
                                      {"scrub", MSG_K_SCRUB},
                                      {"started_at", MSG_K_STARTED_AT},
                                      {"problems", MSG_K_PROBLEMS},
                                      {"finished_at", MSG_K_FINISHED_AT},
                                      {"verdicts", MSG_K_VERDICTS},
                                      {"at_most", MSG_K_AT_MOST},
                                      {"lost", MSG_K_LOST},
                                      {"regained", MSG_K_REGAINED},
                                      {"state", MSG_K_STATE},
                                      {"listeners", MSG_K_LISTENERS},
                                      {"name", MSG_K_NAME},
                                      {"address", MSG_K_ADDRESS},
                                      {"agent_connected", MSG_K_AGENT_CONNECTED},
                                      {"kind", MSG_K_KIND},
                                      {"peer", MSG_K_PEER},
                                      {"since", MSG_K_SINCE},
                                      {"feed", MSG_K_FEED},
                                      {"standbys", MSG_K_STANDBYS},
                                      {"lag_documents", MSG_K_LAG_DOCUMENTS},
                                      {"last_seen_at", MSG_K_LAST_SEEN_AT},
                                      {"open", MSG_K_OPEN},
                                      {"url", MSG_K_URL},
                                      {"cert_not_before", MSG_K_CERT_NOT_BEFORE},
                                      {"cert_not_after", MSG_K_CERT_NOT_AFTER},
                                      {"cert_health", MSG_K_CERT_HEALTH},
                                      {"identity", MSG_K_IDENTITY},
                                      {"reason", MSG_K_REASON},
                                      {"place", MSG_K_PLACE},
                                      {"active", MSG_K_ACTIVE},
                                      {"waits_for", MSG_K_WAITS_FOR},
                                      {"draft", MSG_S_DRAFT},
                                      {"pending", MSG_S_PENDING},
                                      {"issued", MSG_S_ISSUED},
                                      {"renew", MSG_S_RENEW},
                                      {"revoke_pending", MSG_S_REVOKE_PENDING},
                                      {"revoked", MSG_S_REVOKED},
                                      {"error", MSG_S_ERROR},
                                      {"expired", MSG_S_EXPIRED},
                                      {"archived", MSG_S_ARCHIVED},
                                      {"update_servers", MSG_S_UPDATE_SERVERS},
                                      {"waiting", MSG_S_WAITING}};

/* Words of states. */
static const struct word words[] = {{"none", MSG_W_NONE},
                                    {"open", MSG_W_OPEN},
                                    {"closed", MSG_W_CLOSED},
                                    {"idle", MSG_W_IDLE},
                                    {"running", MSG_W_RUNNING},
                                    {"stopped", MSG_W_STOPPED},
                                    {"connecting", MSG_W_CONNECTING},
                                    {"replicating", MSG_W_REPLICATING},
                                    {"live", MSG_W_LIVE},
                                    {"waiting", MSG_W_WAITING},
                                    {"manager", MSG_K_MANAGER},
                                    {"unused", MSG_W_UNUSED},
                                    {"failed", MSG_W_FAILED}};

static enum web_msg find(const struct word *table, size_t n, const char *text)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(table[i].text, text) == 0)
            return table[i].msg;
    }
    return MSG_NONE;
}

const char *web_json_word(const struct web_ctx *ctx, const char *text)
{
    enum web_msg msg = find(words, sizeof(words) / sizeof(words[0]), text);

    return msg != MSG_NONE ? web_msg(ctx, msg) : text;
}

/* "last_seen_at" -> "Last seen", or, when it has no name, "Last seen at". */
static void member_name(const struct web_ctx *ctx, struct cm_buf *page, const char *name)
{
    enum web_msg msg = find(members, sizeof(members) / sizeof(members[0]), name);

    if (msg != MSG_NONE) {
        html_text(page, web_msg(ctx, msg));
        return;
    }
    CM_AUTO_STR text = cm_strdup(name);

    for (char *p = text; *p; p++) {
        if (*p == '_')
            *p = ' ';
    }
    if (text[0] >= 'a' && text[0] <= 'z')
        text[0] = (char)(text[0] - 'a' + 'A');
    html_text(page, text);
}

/* Bytes with a unit: as the store counts them nobody reads them. */
static void size(struct cm_buf *page, json_int_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double n = (double)bytes;
    size_t u = 0;

    for (; n >= 1024 && u + 1 < sizeof(units) / sizeof(units[0]); u++)
        n /= 1024;
    CM_AUTO_STR text = cm_asprintf(u > 0 ? "%.1f %s" : "%.0f %s", n, units[u]);

    html_text(page, text);
}

static bool is_size(const char *key)
{
    return key && (strcmp(key, "file_size") == 0 || strcmp(key, "map_size") == 0 ||
                   strcmp(key, "map_used") == 0 || strcmp(key, "disk_free") == 0);
}

static bool is_state(const char *key)
{
    return key && (strcmp(key, "state") == 0 || strcmp(key, "kind") == 0);
}

static void scalar(const struct web_ctx *ctx, struct cm_buf *page, const char *key,
                   const json_t *value)
{
    const char *text = json_string_value(value);
    int64_t ms;

    if (text && cm_time_parse(text, &ms) == 0)
        web_time(ctx, page, text);
    else if (text && key && strcmp(key, "cert_health") == 0)
        web_health_badge(ctx, page, text);
    else if (text)
        html_text(page, is_state(key) ? web_json_word(ctx, text) : text);
    else if (json_is_integer(value) && is_size(key))
        size(page, json_integer_value(value));
    else if (json_is_integer(value))
        html_int(page, json_integer_value(value));
    else if (json_is_boolean(value))
        html_text(page, web_msg(ctx, json_is_true(value) ? MSG_YES : MSG_NO));
    else
        html_raw(page, "–");
}

static void show(const struct web_ctx *ctx, struct cm_buf *page, const char *key,
                 const json_t *value, int depth);

static void show_object(const struct web_ctx *ctx, struct cm_buf *page, const json_t *value,
                        int depth)
{
    const char *key;
    json_t *member;

    html_raw(page, "<dl class=\"facts\">");
    json_object_foreach((json_t *)(uintptr_t)value, key, member)
    {
        html_raw(page, "<dt>");
        member_name(ctx, page, key);
        html_raw(page, "</dt><dd>");
        show(ctx, page, key, member, depth + 1);
        html_raw(page, "</dd>");
    }
    html_raw(page, "</dl>");
}

/* Column names of an array of objects: the union of their members in order of appearance. */
static json_t *columns_of(const json_t *rows)
{
    json_t *columns = json_array();
    size_t i;
    json_t *row, *member;
    const char *key;

    json_array_foreach(rows, i, row)
    {
        json_object_foreach(row, key, member)
        {
            if (json_array_size(columns) < JSON_VIEW_COLUMNS && !cm_json_has_str(columns, key))
                json_array_append_new(columns, json_string(key));
        }
    }
    return columns;
}

static void show_table(const struct web_ctx *ctx, struct cm_buf *page, const json_t *rows,
                       int depth)
{
    CM_AUTO_JSON columns = columns_of(rows);
    size_t i, c;
    json_t *row, *column;

    html_raw(page, "<div class=\"frame\"><table><thead><tr>");
    json_array_foreach(columns, c, column)
    {
        html_raw(page, "<th scope=\"col\">");
        member_name(ctx, page, json_string_value(column));
        html_raw(page, "</th>");
    }
    html_raw(page, "</tr></thead><tbody>");
    json_array_foreach(rows, i, row)
    {
        html_raw(page, "<tr>");
        json_array_foreach(columns, c, column)
        {
            html_raw(page, "<td>");
            show(ctx, page, json_string_value(column),
                 json_object_get(row, json_string_value(column)), depth + 1);
            html_raw(page, "</td>");
        }
        html_raw(page, "</tr>");
    }
    html_raw(page, "</tbody></table></div>");
}

/* key: the member that holds the value; NULL = none. */
static void show(const struct web_ctx *ctx, struct cm_buf *page, const char *key,
                 const json_t *value, int depth)
{
    if (depth > JSON_VIEW_DEPTH_MAX) {
        html_raw(page, "…");
    } else if (json_is_object(value) && cm_json_str(value, "what")) {
        web_error_object(ctx, page, value);
    } else if (json_is_object(value) && json_object_size(value) > 0) {
        show_object(ctx, page, value, depth);
    } else if (json_is_array(value) && json_is_object(json_array_get(value, 0))) {
        show_table(ctx, page, value, depth);
    } else if (json_is_array(value) && json_array_size(value) > 0) {
        size_t i;
        json_t *item;

        html_raw(page, "<ul class=\"plain\">");
        json_array_foreach(value, i, item)
        {
            html_raw(page, "<li>");
            show(ctx, page, NULL, item, depth + 1);
            html_raw(page, "</li>");
        }
        html_raw(page, "</ul>");
    } else {
        scalar(ctx, page, key, value);
    }
}

void web_json_view(const struct web_ctx *ctx, struct cm_buf *page, const json_t *value)
{
    show(ctx, page, NULL, value, 0);
}
