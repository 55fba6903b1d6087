/* Words of a message: what, where, since when, what comes next, and the page to look at. */
#include "certmgr/notify/message.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/core/buf.h"
#include "base/core/bytes.h"
#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/mem.h"

/* ---- JSON ------------------------------------------------------------------------------------ */

static json_t *envelope(const char *server, int64_t now_ms, bool test)
{
    char id[CM_ULID_TEXT];
    json_t *message = json_object();
    cm_ulid(id);
    cm_json_set_str(message, "type", "certmgr.notice");
    cm_json_set_int(message, "version", 1);
    cm_json_set_str(message, "id", id);
    cm_json_set_time(message, "at", now_ms);
    cm_json_set_str(message, "server", server);
    cm_json_set_bool(message, "test", test);
    return message;
}

static json_t *with_link(const json_t *event, const char *ui_url)
{
    json_t *out = json_deep_copy(event);
    CM_AUTO_STR link = cm_asprintf("%s%s", ui_url, cm_json_str_or(event, "path", "/"));
    cm_json_set_str(out, "link", link);
    json_object_del(out, "path");
    return out;
}

json_t *message_new(const json_t *events, const char *server, const char *ui_url, int64_t now_ms)
{
    json_t *message = envelope(server, now_ms, false), *list = json_array();
    size_t count = json_array_size(events), told = 0, bytes = 0;
    for (; told < count && told < MESSAGE_EVENTS_MAX; told++) {
        json_t *event = with_link(json_array_get(events, told), ui_url);
        bytes += json_dumpb(event, NULL, 0, JSON_COMPACT);
        if (bytes > MESSAGE_BYTES_MAX) {
            json_decref(event);
            break;
        }
        json_array_append_new(list, event);
    }
    cm_json_set(message, "events", list);
    cm_json_set_int(message, "more", (int64_t)(count - told));
    return message;
}

json_t *message_test(const char *who, const char *server, const char *ui_url, int64_t now_ms)
{
    json_t *message = envelope(server, now_ms, true), *list = json_array(), *event = json_object();
    CM_AUTO_STR what =
        cm_asprintf("%s asked for this on server %s. Notices arrive here.", who, server);
    cm_json_set_str(event, "event", "test");
    cm_json_set_str(event, "key", "test");
    cm_json_set_str(event, "kind", "test");
    cm_json_set_str(event, "severity", "info");
    cm_json_set_str(event, "title", "Test notice");
    cm_json_set_str(event, "what", what);
    cm_json_set_str(event, "path", "/status");
    json_array_append_new(list, with_link(event, ui_url));
    json_decref(event);
    cm_json_set(message, "events", list);
    cm_json_set_int(message, "more", 0);
    return message;
}

/* ---- mail ------------------------------------------------------------------------------------ */

static bool event_is(const json_t *event, const char *name)
{
    return strcmp(cm_json_str_or(event, "event", ""), name) == 0;
}

/* The word before a title. */
static const char *mark(const json_t *event)
{
    return event_is(event, "resolved") ? "Resolved: "
           : event_is(event, "still")  ? "Still open: "
           : event_is(event, "worse")  ? "More urgent: "
                                       : "";
}

char *message_subject(const json_t *message)
{
    const json_t *events = cm_json_arr(message, "events");
    size_t count = json_array_size(events), resolved = 0, i;
    int64_t more = cm_json_int(message, "more", 0);
    const json_t *first = json_array_get(events, 0);
    json_t *event;
    if (count == 1 && more == 0)
        return cm_asprintf("[CertMgr] %s%s", mark(first), cm_json_str_or(first, "title", ""));
    json_array_foreach(events, i, event)
    {
        resolved += event_is(event, "resolved");
    }
    if (resolved == count && more == 0)
        return cm_asprintf("[CertMgr] %zu resolved", count);
    if (resolved > 0)
        return cm_asprintf("[CertMgr] %" PRId64 " notices, %zu of them resolved",
                           (int64_t)count + more, resolved);
    return cm_asprintf("[CertMgr] %" PRId64 " notices: %s%s, …", (int64_t)count + more, mark(first),
                       cm_json_str_or(first, "title", ""));
}

static void line(struct cm_buf *out, const char *label, const char *text)
{
    if (!text || !text[0])
        return;
    cm_buf_printf(out, "  %-10s ", label);
    for (; *text; text++) /* text of a CA may hold anything; here each line is one fact */
        cm_buf_putc(out, (unsigned char)*text < ' ' || *text == 0x7f ? ' ' : *text);
    cm_buf_putc(out, '\n');
}

static void time_line(struct cm_buf *out, const char *label, const json_t *event,
                      const char *member)
{
    int64_t ms = cm_json_time(event, member, 0);
    char text[CM_TIME_TEXT], human[40];
    if (ms == 0)
        return;
    cm_time_format(ms, text);
    snprintf(human, sizeof(human), "%.10s %.8s UTC", text, text + 11);
    line(out, label, human);
}

static void event_text(struct cm_buf *out, const json_t *event)
{
    size_t i;
    json_t *cause;
    bool critical = strcmp(cm_json_str_or(event, "severity", ""), "critical") == 0 &&
                    !event_is(event, "resolved");
    cm_buf_printf(out, "%s%s%s\n", critical ? "CRITICAL  " : "", mark(event),
                  cm_json_str_or(event, "title", ""));
    line(out, "Where:", cm_json_str(event, "where"));
    line(out, event_is(event, "resolved") ? "It was:" : "What:", cm_json_str(event, "what"));
    json_array_foreach(cm_json_arr(event, "because"), i, cause)
    {
        line(out, "Because:", json_string_value(cause));
    }
    time_line(out, "Since:", event, "since");
    time_line(out, "Resolved:", event, "resolved_at");
    time_line(out, "Next try:", event, "next_at");
    line(out, "To do:", cm_json_str(event, "hint"));
    line(out, "Link:", cm_json_str(event, "link"));
    cm_buf_putc(out, '\n');
}

char *message_text(const json_t *message)
{
    struct cm_buf out;
    size_t i;
    json_t *event;
    int64_t more = cm_json_int(message, "more", 0);
    cm_buf_init(&out, MESSAGE_TEXT_MAX);
    json_array_foreach(cm_json_arr(message, "events"), i, event)
    {
        size_t before = out.len;
        event_text(&out, event);
        if (!out.failed)
            continue;
        out.failed = 0; /* whole paragraphs only; the rest is counted */
        out.len = before;
        out.data[before] = '\0';
        more += (int64_t)(json_array_size(cm_json_arr(message, "events")) - i);
        break;
    }
    CM_AUTO_STR list = cm_buf_take(&out, NULL);
    cm_buf_fini(&out);
    CM_AUTO_STR rest = more > 0 ? cm_asprintf("And %" PRId64 " more.\n\n", more) : cm_strdup("");
    return cm_asprintf("%s%s-- \nCertMgr on server %s\n", list, rest,
                       cm_json_str_or(message, "server", ""));
}

/* ---- signature ------------------------------------------------------------------------------- */

void message_sign(const char *secret, int64_t unix_s, const char *body, size_t len,
                  char out[MESSAGE_SIGNATURE_MAX])
{
    uint8_t mac[CM_SHA256_SIZE];
    char hex[CM_SHA256_HEX];
    CM_AUTO_STR head = cm_asprintf("%" PRId64 ".", unix_s);
    struct cm_buf text;
    cm_buf_init(&text, strlen(head) + len);
    cm_buf_puts(&text, head);
    cm_buf_add(&text, body, len);
    cm_hmac_sha256(secret, strlen(secret), text.data, text.len, mac);
    cm_buf_fini(&text);
    cm_hex(mac, sizeof(mac), hex);
    snprintf(out, MESSAGE_SIGNATURE_MAX, "t=%" PRId64 ",v1=%s", unix_s, hex);
}
